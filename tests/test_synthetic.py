"""Made-up patients: the published shape, the same from the same seed, restartable."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from radloop import similarity
from radloop.errors import SourceError, UsageError
from radloop.sources import raw, stamps, synthetic
from radloop.sources.formats.csv import read_annotations
from radloop.tables import ANNOTATION_COLUMNS, EDGES
from radloop.taxonomy import Taxonomy
from taxonomies import SPINE, TWENTY, VINDR


@pytest.fixture(scope="module")
def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    return synthetic.annotations(6000, seed=3)


@pytest.fixture(scope="module")
def boxes(tables) -> pl.DataFrame:
    return tables[0].filter(pl.col("class_id") < 14)


def tiny(
    folder: Path,
    count: int = 3,
    *,
    seed: int = 0,
    jobs: int = 1,
    side_px: int = 32,
    classes: Taxonomy | None = None,
) -> raw.RawData:
    return synthetic.generate(folder, count, seed=seed, jobs=jobs, side_px=side_px, classes=classes)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_smaller_set_is_the_beginning_of_a_larger(classes):
    few, sizes = synthetic.annotations(40, seed=1, classes=classes)
    more, more_sizes = synthetic.annotations(90, seed=1, classes=classes)
    assert few.equals(more.head(len(few)))
    assert sizes.equals(more_sizes.head(40))


def test_another_seed_gives_other_patients():
    first, second = (set(synthetic.annotations(50, seed=seed)[1]["image_id"]) for seed in (0, 1))
    assert not first & second


def test_columns_and_ids_are_those_of_the_real_files(tables):
    table, sizes = tables
    assert tuple(table.columns) == ANNOTATION_COLUMNS
    assert sizes.columns == ["image_id", "dim0", "dim1"]
    assert sizes["image_id"].str.contains("^[0-9a-f]{32}$").all()
    assert sizes["image_id"].n_unique() == 6000
    names = table.select("class_id", "class_name").unique()
    assert all(VINDR.name(class_id) == name for class_id, name in names.iter_rows())


def test_every_image_has_three_readers_of_seventeen(tables):
    readers = tables[0].group_by("image_id").agg(pl.col("rad_id").n_unique())
    assert set(readers["rad_id"]) == {3}
    assert set(tables[0]["rad_id"]) == {f"R{number}" for number in range(1, 18)}


def test_normal_or_not_is_never_in_dispute(tables):
    per_image = (
        tables[0]
        .group_by("image_id")
        .agg(normal=(pl.col("class_id") == 14).sum(), found=(pl.col("class_id") < 14).sum(), rows=pl.len())
    )
    assert per_image.filter((pl.col("normal") > 0) & ((pl.col("found") > 0) | (pl.col("rows") != 3))).is_empty()
    assert per_image["normal"].gt(0).mean() == pytest.approx(10_606 / 15_000, abs=0.02)


def test_boxes_are_whole_pixels_of_the_original(tables, boxes):
    sized = boxes.join(tables[1], on="image_id")
    corners = boxes.select("x_min", "y_min", "x_max", "y_max").to_numpy()
    assert (corners == np.rint(corners)).all()
    assert (corners >= 0).all()
    assert sized.filter(
        (pl.col("x_max") > pl.col("dim1"))
        | (pl.col("y_max") > pl.col("dim0"))
        | (pl.col("x_min") >= pl.col("x_max"))
        | (pl.col("y_min") >= pl.col("y_max"))
    ).is_empty()
    assert tables[1]["dim0"].is_between(1950, 3400).all()
    assert tables[1]["dim1"].is_between(1950, 3400).all()
    assert 0.2 < (tables[1]["dim1"] > tables[1]["dim0"]).mean() < 0.5


def test_the_uneven_readers_are_the_real_ones(tables, boxes):
    ill = set(boxes["image_id"])
    trio = boxes.filter(pl.col("rad_id") == "R9")["image_id"].n_unique()
    assert trio / len(ill) == pytest.approx(4146 / 4394, abs=0.03)
    assert not set(boxes["rad_id"]) & {"R1", "R2", "R3", "R4", "R5", "R6", "R7"}


# images with the class, images where at least two of three readers report it, of 15,000 (FACTS of the real table)
@pytest.mark.parametrize(
    ("class_id", "images", "by_two"),
    [
        (0, 3067, 2346),
        (3, 2300, 1817),
        (7, 1322, 547),
        (8, 826, 405),
        (10, 1032, 634),
        (11, 1981, 882),
        (13, 1617, 1017),
    ],
)
def test_classes_are_as_frequent_and_as_disputed_as_published(boxes, class_id, images, by_two):
    seen = boxes.filter(pl.col("class_id") == class_id).group_by("image_id").agg(pl.col("rad_id").n_unique())["rad_id"]
    assert len(seen) / 6000 == pytest.approx(images / 15_000, rel=0.16)
    assert (seen >= 2).sum() / 6000 == pytest.approx(by_two / 15_000, rel=0.2)


def test_boxes_for_each_image_with_a_finding_are_as_many_as_published(boxes):
    counts = boxes.group_by("image_id").len()["len"]
    assert counts.mean() == pytest.approx(8.2, abs=0.5)
    assert counts.min() == 3
    assert counts.max() < 90


def test_rectangles_carry_two_classes_as_often_as_real_ones_and_no_row_twice(boxes):
    rectangles = boxes.group_by("image_id", "rad_id", "x_min", "y_min", "x_max", "y_max").agg(pl.col("class_id"))
    shared = rectangles.filter(pl.col("class_id").list.len() > 1)
    assert len(shared) / len(boxes) == pytest.approx(3884 / 36_096, rel=0.25)
    both = shared.filter(pl.col("class_id").list.contains(10) & pl.col("class_id").list.contains(11))
    assert len(both) / len(shared) > 0.2
    assert boxes.is_unique().all()


@pytest.mark.slow
def test_three_hundred_patients_are_three_hundred_films():
    patients = [synthetic.patient(index, seed=0) for index in range(300)]
    small = np.array([similarity.thumbnail(synthetic.picture(known, side_px=256)) for known in patients])
    ids = [known.image_id for known in patients]
    films = pl.DataFrame(
        {"image_id": ids, "pixels_md5": ids, "phash": [similarity.phash(one) for one in small]}
    ).with_columns(problem=pl.lit(None, pl.String))
    at = {image_id: number for number, image_id in enumerate(ids)}
    assert similarity.near_duplicates(films, lambda asked: small[[at[image_id] for image_id in asked]]).is_empty()


def test_generate_writes_what_a_source_must(tmp_path):
    data = tiny(tmp_path / "raw", 3)
    assert data.name == "synthetic:3"
    assert data.boxes == "original"
    rows, rejected = read_annotations(data.annotations)
    assert rejected.is_empty()
    assert set(rows["image_id"]) == {path.stem for path in data.pictures.iterdir()}
    assert raw.read_sizes(data.sizes)["image_id"].len() == 3
    raw.write(data, tmp_path)
    assert raw.read(tmp_path).name == "synthetic:3"


def test_annotations_only_draws_nothing(tmp_path):
    data = synthetic.generate(tmp_path, 5, seed=0, jobs=1, annotations_only=True)
    assert data.pictures is None
    assert {path.name for path in tmp_path.iterdir()} == {"train.csv", "train_meta.csv", "synthetic.json"}


def test_two_runs_give_the_same_bytes(tmp_path, classes):
    for name in ("first", "second"):
        tiny(tmp_path / name, 4, classes=classes)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


@pytest.mark.parametrize("classes", [VINDR, pytest.param(SPINE, marks=pytest.mark.slow)], ids=["14", "7"])
def test_workers_change_no_byte(tmp_path, classes):
    tiny(tmp_path / "one", 20, jobs=1, classes=classes)
    tiny(tmp_path / "two", 20, jobs=2, classes=classes)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_pictures_that_are_there_are_kept(tmp_path):
    data = tiny(tmp_path, 3)
    before = {path.name: path.stat().st_mtime_ns for path in data.pictures.iterdir()}
    lost = next(data.pictures.iterdir())
    lost.unlink()
    reported: list[int] = []
    synthetic.generate(tmp_path, 3, seed=0, jobs=1, side_px=32, progress=lambda what, done, *_: reported.append(done))
    after = {path.name: path.stat().st_mtime_ns for path in data.pictures.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {lost.name}
    assert reported == [2, 3]


@pytest.mark.parametrize(
    "changes",
    [{"count": 2}, {"count": 5}, {"seed": 1}, {"side_px": 48}, {"classes": SPINE}],
    ids=["fewer", "more", "seed", "side", "classes"],
)
def test_a_folder_of_other_settings_ends_as_if_it_had_been_empty(tmp_path, changes):
    tiny(tmp_path / "used", 3)
    for name in ("used", "fresh"):
        tiny(tmp_path / name, **{"count": 3} | changes)
    assert contents(tmp_path / "used") == contents(tmp_path / "fresh")


def test_what_a_killed_write_left_is_removed(tmp_path):
    data = tiny(tmp_path, 1)
    (data.pictures / f".{synthetic.image_id(0, seed=0)}.png.tmp").write_bytes(b"half")
    tiny(tmp_path, 1)
    assert len(list(data.pictures.iterdir())) == 1


def test_data_of_another_source_is_not_overwritten(tmp_path):
    (tmp_path / "train.csv").write_text("mine")
    with pytest.raises(SourceError, match=r"another source.*another --out"):
        tiny(tmp_path)
    assert (tmp_path / "train.csv").read_text() == "mine"


@pytest.mark.parametrize("record", ["{", "[]", "null", json.dumps({"count": "x"}), json.dumps({"count": 2})])
def test_a_damaged_record_is_one_clear_line(tmp_path, record):
    (tmp_path / "synthetic.json").write_text(record)
    with pytest.raises(SourceError, match=r"synthetic\.json is damaged"):
        tiny(tmp_path)


@pytest.mark.slow
def test_a_killed_run_is_taken_up_and_its_workers_end(tmp_path):
    tiny(tmp_path / "calm", 60, side_px=64)
    code = (
        "import sys; from pathlib import Path; from radloop.sources import synthetic;"
        "synthetic.generate(Path(sys.argv[1]), 60, seed=0, jobs=2, side_px=64)"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "killed")])
    pictures = tmp_path / "killed" / "train"
    _until(lambda: pictures.exists() and len(list(pictures.glob("*.png"))) > 5)
    workers = _children(run.pid)
    run.kill()
    run.wait()
    _until(lambda: not any(_runs(worker) for worker in workers))
    tiny(tmp_path / "killed", 60, jobs=2, side_px=64)
    assert contents(tmp_path / "killed") == contents(tmp_path / "calm")


@pytest.mark.slow
def test_a_worker_that_dies_is_one_clear_line(tmp_path):
    def kill_a_worker(what: str, done: int, total: int, unit: str = "files") -> None:
        workers = [child.pid for child in multiprocessing.active_children()]
        if done and workers:
            os.kill(workers[0], signal.SIGKILL)

    with pytest.raises(SourceError, match="a worker was killed"):
        synthetic.generate(tmp_path, 400, seed=0, jobs=2, side_px=64, progress=kill_a_worker)


@pytest.mark.parametrize("source", ["synthetic:", "synthetic:0", "synthetic:-3", "synthetic:1e3", "synthetic:٣"])
def test_a_count_that_is_no_count_is_refused(source):
    with pytest.raises(UsageError, match="synthetic:600"):
        synthetic.parse_count(source)


def test_a_count_is_read():
    assert synthetic.parse_count("synthetic:600") == 600


# Of the first release: what a seed gave once it gives for ever.
def test_files_of_a_seed_are_those_that_they_were(tmp_path):
    tiny(tmp_path, 6, seed=2, side_px=48)
    digest = hashlib.md5()
    for name, data in sorted(contents(tmp_path).items()):
        digest.update(name.encode() + data)
    assert digest.hexdigest() == "e687260494592e67fb8f2aa0332bd6f9"
    table, sizes = synthetic.annotations(300, seed=5)
    written = table.write_csv(float_precision=1).encode() + sizes.write_csv().encode()
    assert hashlib.md5(written).hexdigest() == "ab7562d72fccb7f5ff5e2dbf33432ab0"


@pytest.mark.parametrize("classes", [SPINE, TWENTY, Taxonomy(("only: one, #1",))], ids=len)
def test_annotations_of_other_classes_have_their_names_and_numbers(classes):
    table, sizes = synthetic.annotations(400, seed=3, classes=classes)
    assert tuple(table.columns) == ANNOTATION_COLUMNS
    pairs = dict(table.select("class_id", "class_name").unique().iter_rows())
    assert pairs == dict(enumerate(classes.file_names(with_nothing=True)))
    nothing = table.filter(class_id=classes.nothing)
    assert nothing["image_id"].n_unique() == pytest.approx(200, abs=40)
    assert nothing.filter(pl.any_horizontal(pl.col("x_min", "y_min", "x_max", "y_max").is_not_null())).is_empty()
    found = table.filter(pl.col("class_id") < classes.nothing).join(sizes, on="image_id")
    assert found["image_id"].is_in(nothing["image_id"].implode()).sum() == 0
    assert (found.select("x_min", "y_min") >= 0).to_numpy().all()
    assert found.filter(
        (pl.col("x_max") > pl.col("dim1"))
        | (pl.col("y_max") > pl.col("dim0"))
        | (pl.col("x_min") >= pl.col("x_max"))
        | (pl.col("y_min") >= pl.col("y_max"))
    ).is_empty()
    assert table.group_by("image_id").agg(pl.col("rad_id").n_unique())["rad_id"].unique().to_list() == [3]


def test_readers_of_other_classes_disagree_as_radiologists_do():
    rows = synthetic.annotations(400, seed=3, classes=SPINE)[0].filter(pl.col("class_id") < SPINE.nothing)
    seen = rows.group_by("image_id", "class_id").agg(pl.col("rad_id").n_unique())["rad_id"]
    assert 0.1 < (seen == 1).mean() < 0.6
    assert 0.2 < (seen == 3).mean() < 0.8


GRID = (np.arange(24, dtype=np.float32) + 0.5) / 12 - 1
DISC = GRID[None] ** 2 + GRID[:, None] ** 2 < 0.8


def seen_as(pixels: np.ndarray, box: list[float], templates: np.ndarray) -> int:
    """The class whose pattern is most like what lies in the box."""
    edges = [edge * len(pixels) for edge in box]
    part = np.asarray(Image.fromarray(pixels).resize((24, 24), Image.Resampling.BILINEAR, box=edges), dtype=np.float32)
    return int((templates @ (part[DISC] - part[DISC].mean())).argmax())


@pytest.mark.parametrize(
    "count", [7, pytest.param(300, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.slow)]
)
def test_what_is_drawn_tells_the_classes_apart(count):
    classes = Taxonomy(tuple(f"c{number}" for number in range(count)))
    patterns = np.stack([stamps.pattern(number, GRID[None], GRID[:, None])[DISC] for number in range(count)])
    patterns -= patterns.mean(axis=1, keepdims=True)
    templates = patterns / np.linalg.norm(patterns, axis=1, keepdims=True)
    right = []
    for index in range(140):
        known = synthetic.patient(index, seed=5, classes=classes)
        if len(known.classes):
            pixels = synthetic.picture(known, classes=classes, side_px=256)
            for class_id, box in zip(known.classes.tolist(), known.boxes.tolist(), strict=True):
                right.append(seen_as(pixels, box, templates) == class_id)
    assert len(right) > 150
    assert np.mean(right) > 0.95


def test_every_class_has_a_pattern_of_its_own_that_is_its_mirror_image():
    patterns = [stamps.pattern(number, GRID[None], GRID[:, None]).round(3) for number in range(1000)]
    assert len({one.tobytes() for one in patterns}) == 1000
    assert all(np.allclose(one, one[:, ::-1], atol=2e-3) for one in patterns)


def test_findings_of_other_classes_lie_apart_and_inside():
    for index in range(200):
        known = synthetic.patient(index, seed=1, classes=TWENTY)
        assert ((known.boxes >= 0) & (known.boxes <= 1)).all()
        low, high = known.boxes[:, None, :2], known.boxes[:, None, 2:]
        both = (np.maximum(low, known.boxes[None, :, :2]) < np.minimum(high, known.boxes[None, :, 2:])).all(axis=2)
        assert both.sum() == len(known.boxes)  # each with itself


def test_picture_of_the_smallest_side_is_drawn_for_any_classes(classes):
    for index in range(10):
        known = synthetic.patient(index, seed=1, classes=classes)
        assert synthetic.picture(known, classes=classes, side_px=16).shape == (16, 16)


def _until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_readings_are_the_rows_as_fractions_and_normal_ones_have_no_class(classes):
    rows, sizes = synthetic.annotations(60, seed=1, classes=classes)
    told = synthetic.readings(60, seed=1, classes=classes)
    assert told.height == rows.height
    assert told["class_id"].null_count() == rows["x_min"].null_count() > 0
    found = told.drop_nulls("class_id")
    assert found.select(pl.col(EDGES).min() >= 0).row(0) == (True,) * 4
    assert found.select(pl.col(EDGES).max() <= 1).row(0) == (True,) * 4
    one = rows.drop_nulls("x_min").row(0, named=True)
    same = found.filter(image_id=one["image_id"], rad_id=one["rad_id"], class_id=one["class_id"])
    frame = sizes.filter(image_id=one["image_id"]).row(0, named=True)
    assert one["x_min"] / frame["dim1"] in same["x_min_norm"]
    assert one["y_max"] / frame["dim0"] in same["y_max_norm"]
