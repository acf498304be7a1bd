"""From a folder of films to a dataset in a store, as one run."""

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import made_up
import taxonomies
from radloop import cli, manifest, taxonomy
from radloop.catalog import version
from radloop.engines import HERE, Engine, Local
from radloop.errors import AnnotationError, BusyError, RefusedError, SourceError
from radloop.files import locked
from radloop.options import Etl, Extract, Pull, Transform
from radloop.pipelines import checking, offline
from radloop.split_sizes import SplitSizes
from radloop.taxonomy import Taxonomy
from taxonomies import SPINE, VINDR

SIZES = SplitSizes.parse("training=20,validation=4,test=4,staging=4,canary=4,production=4")
JUST_TRAINING = SplitSizes.parse("training=1,validation=0,test=0,staging=0,canary=0,production=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_up.films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def copy(folder, tmp_path):
    """The same films with tables of its own, to be changed by a test."""
    own = tmp_path / "films"
    own.mkdir()
    for name in ("train.csv", "train_meta.csv"):
        (own / name).write_bytes((folder / name).read_bytes())
    (own / "train").mkdir()
    for picture in (folder / "train").iterdir():
        os.link(picture, own / "train" / picture.name)
    return own


def build(folder: Path, out: Path, *, engine: Engine = HERE, **more):
    offline.extract(Extract(source=str(folder), out=out))
    return offline.transform(Transform(**{"out": out, "sizes": SIZES, **more}), engine=engine)


def tree(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and "versions" not in path.relative_to(root).parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def annotations(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / "organized" / "annotations.parquet")


def test_folder_of_films_becomes_a_dataset_without_a_violation(folder, tmp_path):
    done = build(folder, tmp_path)

    assert done.images == {"training": 20, "validation": 4, "test": 4, "staging": 4, "canary": 4, "production": 4}
    assert done.labels == 120
    assert done.rows_in == done.rows_out == len(made_up.rows(folder))
    assert checking.check(tmp_path).sound


def test_rows_in_any_order_and_any_number_of_processes_give_the_same_bytes(copy, tmp_path):
    build(copy, tmp_path / "a")
    shuffled = made_up.rows(copy)
    random.Random(1).shuffle(shuffled)
    made_up.write_rows(copy, shuffled)
    build(copy, tmp_path / "b", engine=Local(2))

    assert tree(tmp_path / "a" / "organized") == tree(tmp_path / "b" / "organized")


def test_second_run_writes_nothing(folder, tmp_path):
    first = build(folder, tmp_path)
    second = build(folder, tmp_path)

    assert first.written
    assert not second.written
    assert second.version == first.version


def test_pictures_are_linked_and_not_copied(folder, tmp_path):
    build(folder, tmp_path)

    source = {path.stem: path.stat().st_ino for path in (folder / "train").iterdir()}
    images = pl.read_parquet(tmp_path / "organized" / "manifest.parquet").filter(pl.col("kind") == "image")
    inodes = [(tmp_path / "organized" / key).stat().st_ino for key in images["key"]]
    assert inodes == [source[image_id] for image_id in images["image_id"]]


def test_every_row_ends_in_the_dataset_or_is_refused_with_its_line(copy, tmp_path):
    rows = made_up.rows(copy)
    rows[0]["rad_id"] = "../R1"
    rows[1] |= {"class_id": "14", "class_name": "No finding", "x_min": "1", "y_min": "1", "x_max": "2", "y_max": "2"}
    made_up.write_rows(copy, rows)

    done = build(copy, tmp_path / "out", max_refused=1)

    with (tmp_path / "out" / "organized" / "rejected.csv").open(newline="") as file:
        refused = {row["line"]: row["reason"] for row in csv.DictReader(file)}
    assert {"2", "3"} <= set(refused)
    assert {refused[line] for line in set(refused) - {"2", "3"}} == {"another row of the reading was refused"}
    assert done.rows_in == len(rows) == done.rows_out + len(refused)


def test_reading_that_lost_all_its_rows_gets_no_label_and_no_image(copy, tmp_path):
    rows = made_up.rows(copy)
    image_id, rad_id = rows[0]["image_id"], rows[0]["rad_id"]
    for row in rows:
        if (row["image_id"], row["rad_id"]) == (image_id, rad_id):
            row["class_id"] = "77"
    made_up.write_rows(copy, rows)

    done = build(copy, tmp_path / "out")

    keys = manifest.read(tmp_path / "out" / "organized")["key"].to_list()
    assert done.lost_readings == 1
    assert [key for key in keys if f"{image_id}_{rad_id}." in key] == []
    assert len([key for key in keys if image_id in key]) == 4  # the other two readers: a picture and a label each


def test_picture_without_rows_is_unlabelled_and_never_normal(copy, tmp_path):
    rows = made_up.rows(copy)
    silent = rows[0]["image_id"]
    made_up.write_rows(copy, [row for row in rows if row["image_id"] != silent])

    done = build(copy, tmp_path / "out")

    assert done.unlabelled_pictures == 1
    assert not [key for key in manifest.read(tmp_path / "out" / "organized")["key"] if silent in key]


def test_damaged_picture_refuses_its_rows(copy, tmp_path):
    damaged = next((copy / "train").iterdir())
    data = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(data[:-20])

    with pytest.raises(RefusedError, match="x the picture cannot be used: cut off or damaged"):
        build(copy, tmp_path / "out")
    done = build(copy, tmp_path / "out", max_refused=0.03)

    assert done.rows_refused == sum(row["image_id"] == damaged.stem for row in made_up.rows(copy))
    assert sum(done.images.values()) == 39


def test_patients_films_never_span_two_splits_and_the_patient_is_not_named(copy, tmp_path):
    rows = made_up.rows(copy)
    patients = {
        image_id: f"Jane-Doe-{number // 3}" for number, image_id in enumerate(sorted({r["image_id"] for r in rows}))
    }
    made_up.write_rows(copy, [row | {"patient_id": patients[row["image_id"]]} for row in rows])

    build(copy, tmp_path / "out")

    table = annotations(tmp_path / "out").select("image_id", "split").unique()
    splits = table.with_columns(pl.col("image_id").replace_strict(patients).alias("patient"))
    assert splits.group_by("patient").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 14
    published = [data for name, data in tree(tmp_path / "out" / "organized").items() if not name.endswith(".png")]
    assert not any(b"Jane-Doe" in data for data in published)


@pytest.mark.parametrize(
    ("width", "height"), [pytest.param("dim0", "dim1", id="swapped"), pytest.param(None, None, id="not rescaled")]
)
def test_boxes_in_the_wrong_frame_stop_the_run(tmp_path, width, height):
    folder = made_up.films(tmp_path / "films", 160)
    sizes = pl.read_csv(folder / "train_meta.csv")
    if width:
        sizes.rename({"dim0": "dim1", "dim1": "dim0"}).select("image_id", "dim0", "dim1").write_csv(
            folder / "train_meta.csv"
        )
    else:
        (folder / "train_meta.csv").unlink()

    with pytest.raises(AnnotationError):
        build(folder, tmp_path / "out")
    assert not (tmp_path / "out" / "organized").exists()


def test_next_version_keeps_every_split_and_moves_only_what_was_added(copy, tmp_path):
    build(copy, tmp_path / "one")
    before = annotations(tmp_path / "one").select("image_id", "split").unique()
    production = before.filter(pl.col("split") == "production")["image_id"].sort()
    held_out = before.filter(pl.col("split") == "test")["image_id"].sort()[0]
    retrain = tmp_path / "retrain.csv"
    head = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,width,height,split,source\n"
    retrain.write_text(
        head
        + f"{production[0]},Cardiomegaly,3,M-tiny,300,500,700,800,1024,1024,production,prediction\n"
        + f"{held_out},Cardiomegaly,3,M-tiny,300,500,700,800,1024,1024,test,prediction\n"
    )

    done = build(copy, tmp_path / "two", previous=str(tmp_path / "one"), add=retrain, blind_production=True)

    after = annotations(tmp_path / "two")
    splits = after.select("image_id", "split").unique().join(before, on="image_id", suffix="_before")
    moved = splits.filter(pl.col("split") != pl.col("split_before"))
    assert moved.rows() == [(production[0], "training", "production")]
    label = tmp_path / "two" / "organized" / "training" / "labels" / f"{production[0]}_M-tiny.txt"
    assert label.read_text() == "3 0.488281 0.634766 0.390625 0.292969\n"
    assert after.filter((pl.col("image_id") == production[0]) & ~pl.col("used")).height > 0
    assert done.rows_in == done.rows_out + done.rows_refused
    assert done.rows_refused == 1
    assert checking.check(tmp_path / "two").sound
    proof = json.loads((tmp_path / "two" / "organized" / "splits.json").read_text())
    assert [move["image_id"] for move in proof["moves"]] == [production[0]]
    assert done.difference.images == (40, 40)
    assert done.difference.changed == (production[0],)
    assert done.difference.moved.rows() == [(production[0], "production", "training")]


def test_store_holds_what_transform_wrote_and_pull_brings_it_back(folder, tmp_path):
    store = str(tmp_path / "store")
    done = offline.etl(Etl(source=str(folder), out=tmp_path / "out", store=store, sizes=SIZES))
    offline.pull(Pull(out=tmp_path / "back", store=store))

    assert done.published.version == done.transformed.version
    assert tree(tmp_path / "store" / "organized") == tree(tmp_path / "out" / "organized")
    assert tree(tmp_path / "back" / "organized") == tree(tmp_path / "out" / "organized")


def test_splits_that_were_not_pulled_are_not_missed(folder, tmp_path):
    store = str(tmp_path / "store")
    offline.etl(Etl(source=str(folder), out=tmp_path / "out", store=store, sizes=SIZES))
    offline.pull(Pull(out=tmp_path / "part", store=store, splits=("training", "validation")))

    report = checking.check(tmp_path / "part")
    assert report.sound
    assert "a part of the dataset, pulled without test, staging, canary, production" in report.checked

    next((tmp_path / "part" / "organized" / "training" / "labels").iterdir()).unlink()
    assert set(checking.check(tmp_path / "part").violations["rule"]) == {"file-missing", "label-missing"}


def test_scaled_boxes_of_a_dataset_are_a_source_that_gives_the_same_labels(folder, tmp_path):
    build(folder, tmp_path / "one")
    scaled = tmp_path / "one" / "organized" / "scaled_bounding_boxes.csv"
    offline.extract(Extract(source=str(folder), out=tmp_path / "two", annotations=scaled))
    offline.transform(Transform(out=tmp_path / "two", sizes=SIZES))

    def labels(out: Path) -> dict[str, bytes]:
        return {Path(name).name: data for name, data in tree(out / "organized").items() if name.endswith(".txt")}

    assert labels(tmp_path / "two").keys() == labels(tmp_path / "one").keys()
    assert labels(tmp_path / "two") == labels(tmp_path / "one")


def test_dry_run_writes_nothing(folder, tmp_path):
    offline.extract(Extract(source=str(folder), out=tmp_path))
    before = tree(tmp_path)
    done = offline.transform(Transform(out=tmp_path, sizes=SIZES, dry_run=True))

    assert not done.written
    assert sum(done.images.values()) == 40
    assert tree(tmp_path) == before


def test_transform_before_extract_says_what_to_run(tmp_path):
    with pytest.raises(SourceError, match="radloop extract"):
        offline.transform(Transform(out=tmp_path))


def test_table_without_a_usable_row_is_one_error_with_the_reasons(copy, tmp_path):
    made_up.write_rows(copy, [row | {"rad_id": "?"} for row in made_up.rows(copy)])
    with pytest.raises(SourceError, match="None of"):
        build(copy, tmp_path / "out")


# classes


def relabel(folder: Path, names, *, ids: bool = True) -> list[dict[str, str]]:
    """Give the findings of `folder` these classes, in turn; without `ids` the table has none."""
    changed = []
    for number, row in enumerate(made_up.rows(folder)):
        if row["class_name"] != "No finding":
            row |= {"class_name": names[number % len(names)], "class_id": str(number % len(names))}
        changed.append(row if ids else {name: value for name, value in row.items() if name != "class_id"})
    made_up.write_rows(folder, changed)
    return changed


def test_table_of_other_classes_becomes_a_dataset_of_those(copy, tmp_path):
    rows = relabel(copy, SPINE.names)
    done = build(copy, tmp_path)
    assert version.read(tmp_path).taxonomy == SPINE
    assert (tmp_path / "organized/classes.txt").read_text().splitlines()[6] == "6 Other lesions"
    assert done.rows_in == done.rows_out == len(rows)
    boxes = sum(row["class_name"] != "No finding" for row in rows)
    assert json.loads((tmp_path / "organized/summary.json").read_text())["boxes_written"] == boxes
    assert checking.check(tmp_path).sound
    assert any("only whether boxes fit was looked at" in note for note in done.notes)


HOSTILE = ("a: b", "c #d", "it's", 'the "heart"', "x, y", "Überlänge", "肺炎", "yes", "1.5", "- dash", "Nodule=Mass")


@pytest.mark.parametrize("ids", [True, False], ids=["own ids", "no ids"])
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("Fracture",), id="one class"),
        pytest.param(tuple(f"class {number:03}" for number in range(300)), id="300 classes"),
        pytest.param(HOSTILE, id="hostile names"),
    ],
)
def test_any_names_survive_every_file_and_the_next_version(copy, tmp_path, names, ids):
    rows = relabel(copy, names, ids=ids)
    named = {row["class_name"] for row in rows} - {"No finding"}
    classes = taxonomies.named(Taxonomy(names), tmp_path) if len(named) < len(names) else None
    build(copy, tmp_path / "one", classes=classes)

    first = version.read(tmp_path / "one")
    assert set(first.taxonomy.names) == set(names)
    for key in ("data.yaml", "classes.txt"):
        assert taxonomy.read(tmp_path / "one" / "organized" / key) == first.taxonomy
    written = first.annotations.filter(pl.col("class_id").is_not_null())
    assert set(written["class_name"]) == named
    assert all(first.taxonomy.name(number) == name for number, name in written["class_id", "class_name"].rows())

    relabel(copy, names, ids=False)
    again = build(copy, tmp_path / "two", previous=str(tmp_path / "one"))
    assert version.read(tmp_path / "two").taxonomy == first.taxonomy
    assert version.read(tmp_path / "two").annotations.equals(first.annotations)
    assert again.version == first.id
    assert checking.check(tmp_path / "two").sound


def test_unknown_class_stops_before_anything_is_written_until_it_is_named_away(copy, tmp_path):
    rows = made_up.rows(copy)
    findings = [row for row in rows if row["class_name"] != "No finding"]
    for row in findings[::3]:
        row |= {"class_name": "Bronchitis", "class_id": ""}
    made_up.write_rows(copy, rows)
    with pytest.raises(AnnotationError, match=rf"'Bronchitis' \({len(findings[::3])} rows\)"):
        build(copy, tmp_path / "out")
    assert not (tmp_path / "out" / "organized").exists()

    done = build(copy, tmp_path / "dropped", drop_classes=("Bronchitis",))
    assert done.rows_in == done.rows_out + done.rows_refused == len(rows)
    assert set(done.refused["code"]) == {"class-dropped"}
    assert done.lost_readings == 0
    assert done.labels == 120
    written = json.loads((tmp_path / "dropped/organized/summary.json").read_text())
    assert written["boxes_written"] == len(findings) - len(findings[::3])
    assert written["settings"]["drop_classes"] == ["Bronchitis"]

    build(copy, tmp_path / "mapped", map=("bronchitis=ILD",))
    mapped = version.read(tmp_path / "mapped")
    assert mapped.taxonomy == VINDR
    assert json.loads((tmp_path / "mapped/organized/summary.json").read_text())["boxes_written"] == len(findings)


def test_ids_without_names_are_not_guessed(copy, tmp_path):
    rows = [
        {name: value for name, value in row.items() if name != "class_name"}
        | {"class_id": str((int(row["class_id"]) + 1) % 15)}
        | ({"x_min": "0", "y_min": "0", "x_max": "1", "y_max": "1"} if row["class_id"] == "14" else {})
        for row in made_up.rows(copy)
    ]
    made_up.write_rows(copy, rows)
    with pytest.raises(AnnotationError, match="--classes FILE"):
        build(copy, tmp_path / "out")
    assert not (tmp_path / "out" / "organized").exists()

    with pytest.raises(RefusedError, match="84x the box is 0, 0, 1, 1"):  # wrong, and each empty box says so
        build(copy, tmp_path / "out", classes="vinbigdata")
    assert not (tmp_path / "out" / "organized").exists()


def test_next_version_numbers_new_classes_after_its_own(copy, tmp_path):
    relabel(copy, ("b", "a"))
    build(copy, tmp_path / "one")
    rows = relabel(copy, ("b", "c", "a"))
    done = build(copy, tmp_path / "two", previous=str(tmp_path / "one"))

    assert version.read(tmp_path / "two").taxonomy.names == ("b", "a", "c")
    assert any("numbered after its own: c" in note for note in done.notes)
    after = {name: number for name, _, number in done.difference.labels.iter_rows()}
    assert after["c"] == sum(row["class_name"] == "c" for row in rows)


def test_re_training_data_of_other_classes_move_their_images_and_keep_their_names(copy, tmp_path):
    relabel(copy, SPINE.names)
    build(copy, tmp_path / "one")
    images = version.read(tmp_path / "one").images.filter(split="production")["image_id"]
    retrain = tmp_path / "retrain.csv"
    retrain.write_text(
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,width,height\n"
        f"{images[0]},Other lesions,6,R8,300,500,700,800,1024,1024\n"
        f"{images[1]},No finding,7,R8,,,,,1024,1024\n"
    )
    done = build(copy, tmp_path / "two", previous=str(tmp_path / "one"), add=retrain)
    labels = tmp_path / "two/organized/training/labels"
    assert (labels / f"{images[0]}_R8.txt").read_text().startswith("6 ")
    assert (labels / f"{images[1]}_R8.txt").read_text() == ""
    assert done.rows_refused == 0

    kept = ("Osteophytes",)
    done = build(copy, tmp_path / "three", previous=str(tmp_path / "one"), add=retrain, keep_classes=kept)
    assert version.read(tmp_path / "three").taxonomy.names == ("Osteophytes",)
    assert (tmp_path / "three/organized/training/labels" / f"{images[0]}_R8.txt").read_text() == ""
    assert done.rows_in == done.rows_out + done.rows_refused


def test_flags_choose_the_classes(copy, tmp_path, monkeypatch):
    relabel(copy, ("x, y", "z", "it's"))
    (tmp_path / "map.txt").write_text("it's=its own\n")
    monkeypatch.setenv("RADLOOP_DROP_CLASSES", "z")
    arguments = ["etl", "--source", str(copy), "--out", str(tmp_path / "out"), "--map", str(tmp_path / "map.txt")]
    with pytest.raises(SystemExit) as left:
        cli.main([*arguments, "--map", "x, y=both, of them", "--jobs", "1"])
    assert left.value.code == 0
    assert version.read(tmp_path / "out").taxonomy.names == ("both, of them", "its own")


def test_one_second_reader_takes_no_consensus_box_from_other_images(copy, tmp_path):
    rows = made_up.rows(copy)
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row["image_id"], row["rad_id"])
    once = [row for row in rows if row["rad_id"] == first[row["image_id"]]]
    twice = next(row["image_id"] for row in once if row["class_name"] != "No finding")
    made_up.write_rows(copy, [*once, *({**row, "rad_id": "R99"} for row in once if row["image_id"] == twice)])

    build(copy, tmp_path / "two", labels="consensus", min_readers=2)
    build(copy, tmp_path / "one", labels="consensus", min_readers=1)
    boxes = [
        json.loads((tmp_path / out / "organized/summary.json").read_text())["boxes_written"] for out in ("one", "two")
    ]
    assert boxes[0] == boxes[1] > 40


def test_second_run_on_the_same_folder_is_refused_at_once(folder, tmp_path):
    with locked(tmp_path):
        held = subprocess.run(
            [sys.executable, "-m", "radloop.cli", "extract", "--source", str(folder), "--out", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert held.returncode == 1
    assert "another radloop run" in held.stderr
    with locked(tmp_path), pytest.raises(BusyError):
        offline.extract(Extract(source=str(folder), out=tmp_path))
