"""There and back: labels as other people's tools write them are the same boxes in radloop, and out of it."""

import json
import logging
import operator
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import radloop
from radloop import tree
from radloop.catalog import classes
from radloop.dataset import findings
from radloop.options import Export
from radloop.pipelines import exporting
from radloop.sources import formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import yolo

NAMES = ["nodule", "mass", "rib fracture"]
SIZE = (320, 200)
SPLITS = {"train": "training", "val": "validation", "test": "test"}


@st.composite
def lines(draw):
    """A line as trainers write it: six decimals, the box inside the picture."""
    numbers = []
    for side in (SIZE[0], SIZE[1]):
        size = draw(st.integers(-(-200_000 // side), 1_000_000))  # of a millionth; a fifth of a pixel is the least
        centre = draw(st.integers(-(-size // 2), 1_000_000 - -(-size // 2)))
        numbers.append((centre / 1e6, size / 1e6))
    (x, w), (y, h) = numbers
    text = f"{draw(st.integers(0, 2))} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n"
    return text if (w, h) != (1, 1) else draw(st.nothing())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(lines(), max_size=4), min_size=1, max_size=4))
def test_any_line_comes_back_as_it_was(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("yolo")
    (root / "labels").mkdir()
    for at, texts in enumerate(files):
        (root / "labels" / f"p{at}.txt").write_text("".join(sorted(texts)))
    (root / "classes.txt").write_text("\n".join(NAMES))
    labels = yolo.read(Bundle(root))
    images = [f"p{at}" for at in range(len(files))]
    sizes = pl.DataFrame({"image_id": images, "width": SIZE[0], "height": SIZE[1]})
    valid = findings.validate(
        labels.rows,
        classes.resolve(labels.rows, own=labels.classes),
        sizes=None,
        pictures=sizes,
        boxes=labels.boxes,
        boxes_why="the format yolo has them so",
        decimal=labels.decimal,
        own=True,  # the lines are anywhere: nothing is to be proved of their frame
    )
    assert valid.rejected.is_empty()
    boxes = valid.findings.filter(pl.col("class_id").is_not_null()).rename({"image_id": "stem"})
    boxes = boxes.with_columns(pl.col(tree.EDGES).clip(0, 1))
    written = dict(tree.texts(boxes).select("stem", "text").iter_rows())
    assert {image: {*written.get(image, "").splitlines(keepends=True)} for image in images} == dict(
        zip(images, files, strict=True)
    )


def pixels(seed: int) -> Image.Image:
    tiles = np.random.default_rng(seed).integers(0, 255, (5, 8), dtype=np.uint8)
    return Image.fromarray(tiles).resize(SIZE, Image.Resampling.NEAREST)


def random_boxes(count: int) -> dict[str, list[tuple[int, tuple[int, int, int, int]]]]:
    """Of each picture: classes and corners in whole pixels; every fifth picture has none."""
    numbers = np.random.default_rng(7)
    made = {}
    for at in range(count):
        made[f"p{at}"] = []
        for _ in range(at % 5):
            x, y = numbers.integers(0, 250), numbers.integers(0, 150)
            w, h = numbers.integers(8, 70), numbers.integers(8, 50)
            made[f"p{at}"].append((int(numbers.integers(3)), (int(x), int(y), int(x + w), int(y + h))))
    return made


BOXES = random_boxes(30)


def label(boxes) -> str:
    w, h = SIZE
    return "".join(
        f"{number} {(x0 + x1) / 2 / w:.6f} {(y0 + y1) / 2 / h:.6f} {(x1 - x0) / w:.6f} {(y1 - y0) / h:.6f}\n"
        for number, (x0, y0, x1, y1) in boxes
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A YOLO data set of 30 pictures in three splits."""
    root = tmp_path_factory.mktemp("set")
    for at, (name, boxes) in enumerate(BOXES.items()):
        split = [*SPLITS][at % 3]
        for folder in ("images", "labels"):
            (root / folder / split).mkdir(parents=True, exist_ok=True)
        pixels(at).save(root / "images" / split / f"{name}.png")
        (root / "labels" / split / f"{name}.txt").write_text(label(boxes))
    places = "".join(f"{split}: images/{split}\n" for split in SPLITS)
    (root / "data.yaml").write_text(f"path: /elsewhere\n{places}names: {NAMES}\n")
    return root


def labels_below(root: Path, name_of=lambda stem: stem) -> dict[tuple[str, str], set[str]]:
    """The lines of each image, by its split and name."""
    found = defaultdict(set)
    for path in root.glob("*/labels/*.txt"):
        found[path.parts[-3], name_of(path.stem)] |= {*path.read_text().splitlines()}
    return dict(found)


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["per-reader", "consensus"])
def test_a_data_set_with_splits_is_the_same_lines_in_the_same_splits(source, tmp_path, labels):
    done = radloop.etl(source=source, out=tmp_path, keep_splits=True, labels=labels, jobs=1)
    expected = {
        (SPLITS[path.parts[-2]], path.stem): {*path.read_text().splitlines()} for path in source.glob("labels/*/*.txt")
    }
    organized = tmp_path / "organized"
    assert labels_below(organized, lambda stem: stem.removesuffix("_R0")) == expected
    assert len(expected) == 30
    assert done.transformed.rows_refused == 0

    again = tmp_path / "again"  # what a trainer has of it, read once more
    for split in SPLITS.values():
        shutil.copytree(organized / split, again / split)
    shutil.copy(organized / "data.yaml", again / "data.yaml")
    radloop.etl(source=again, out=tmp_path / "out", keep_splits=True, labels="consensus", jobs=1)
    assert labels_below(tmp_path / "out" / "organized") == labels_below(organized)


@pytest.mark.slow
def test_without_keep_splits_a_data_set_is_assigned_anew_and_that_is_said(source, tmp_path):
    done = radloop.etl(source=source, out=tmp_path, jobs=1)
    assert sum(done.transformed.images.values()) == 30
    assert any("the splits that the source has are not used" in note for note in done.transformed.notes)


def read_boxes(root: Path, form: str) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    """What radloop reads, in pixels."""
    assert formats.detect(Bundle(root)) == form
    labels = formats.reader(form).read(Bundle(root))
    assert labels.rejected.is_empty()
    scale = np.array([*SIZE, *SIZE]) if labels.boxes == "fraction" else 1
    found = {image: [] for image in labels.rows["image_id"].unique()}
    columns = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    for image, name, *corners in labels.rows.select(columns).iter_rows():
        if corners[0] is not None:
            found[image].append((name, tuple(np.array(corners, float) * scale)))
    return {image: sorted(boxes) for image, boxes in found.items()}


def same(found, *, to: float, shift: float = 0, expected=BOXES) -> None:
    """Every box of BOXES, in pixels give or take `to`."""
    assert found.keys() == expected.keys()
    for image, boxes in expected.items():
        meant = sorted((NAMES[number], tuple(corner + shift for corner in corners)) for number, corners in boxes)
        assert [name for name, _ in found[image]] == [name for name, _ in meant]
        for (_, mine), (_, theirs) in zip(found[image], meant, strict=True):
            assert np.allclose(mine, theirs, atol=to, rtol=0), image


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for at, name in enumerate(BOXES):
        pixels(at).convert("RGB").save(root / f"{name}.png")
    return root


@pytest.fixture(scope="module")
def by_supervision(pictures):
    sv = pytest.importorskip("supervision")
    annotations = {}
    for name, boxes in BOXES.items():
        corners = np.array([corners for _, corners in boxes], float).reshape(-1, 4)
        numbers = np.array([number for number, _ in boxes], int)
        annotations[str(pictures / f"{name}.png")] = sv.Detections(xyxy=corners, class_id=numbers)
    return sv.DetectionDataset(classes=NAMES, images=[*annotations], annotations=annotations)


@pytest.mark.slow
def test_boxes_that_supervision_wrote_as_yolo(by_supervision, tmp_path):
    by_supervision.as_yolo(str(tmp_path / "images"), str(tmp_path / "labels"), str(tmp_path / "data.yaml"))
    same(read_boxes(tmp_path, "yolo"), to=0.01)  # it writes five decimals


@pytest.mark.slow
def test_boxes_that_supervision_wrote_as_voc(by_supervision, tmp_path):
    by_supervision.as_pascal_voc(str(tmp_path / "images"), str(tmp_path / "annotations"))
    same(read_boxes(tmp_path, "voc"), to=1e-6)


@pytest.fixture(scope="module")
def datumaro(pictures):
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.CRITICAL)
    yield pytest.importorskip("datumaro")
    root.setLevel(before)


def in_datumaro(dm, pictures, *, by: float = 0):
    items = [
        dm.DatasetItem(
            name,
            subset="val" if name.endswith("3") else "train",
            media=dm.Image.from_file(str(pictures / f"{name}.png")),
            annotations=[
                dm.Bbox(x0 + by, y0 + by, x1 - x0, y1 - y0, label=number) for number, (x0, y0, x1, y1) in boxes
            ],
        )
        for name, boxes in BOXES.items()
    ]
    return dm.Dataset.from_iterable(items, categories=NAMES)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["yolo", "yolo_ultralytics"])
@pytest.mark.parametrize("with_pictures", [True, False])
def test_boxes_that_datumaro_wrote_as_yolo(datumaro, pictures, tmp_path, form, with_pictures):
    in_datumaro(datumaro, pictures).export(str(tmp_path), form, save_media=with_pictures)
    same(read_boxes(tmp_path, "yolo"), to=1e-3)  # it writes six decimals, or fewer


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("by", [0, 0.25])
def test_boxes_that_datumaro_wrote_as_voc(datumaro, pictures, tmp_path, by):
    in_datumaro(datumaro, pictures, by=by).export(str(tmp_path), "voc", save_media=True)
    drawn = {name: boxes for name, boxes in BOXES.items() if boxes}  # it writes no file for the others
    same(read_boxes(tmp_path, "voc"), to=1e-6, shift=by, expected=drawn)
    notes = formats.reader("voc").read(Bundle(tmp_path)).notes
    assert any("6 images of ImageSets have no XML file, such as p0: they are unlabelled" in note for note in notes)


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["per-reader", "consensus"])
def test_what_was_exported_as_coco_comes_back_with_its_splits_and_readers(tmp_path, labels):
    radloop.etl(source="synthetic:60", out=tmp_path / "first", jobs=1)
    first = exporting.export(Export(out=tmp_path / "first", format="coco", labels=labels)).folder
    radloop.etl(source=first, out=tmp_path / "second", keep_splits=True, classes="vinbigdata", jobs=1)
    second = exporting.export(Export(out=tmp_path / "second", format="coco")).folder
    files = sorted(path.relative_to(first) for path in first.glob("annotations/*.json"))
    assert len(files) == len(SPLITS) + 3
    for file in files:
        before, after = (json.loads((folder / file).read_bytes()) for folder in (first, second))
        assert after["categories"] == before["categories"]
        if labels == "per-reader":
            assert after["images"] == before["images"]
            assert after["annotations"] == before["annotations"]
        else:  # fused boxes are one reader's now
            assert {*after["images"][0]["readers"]} == {"R0"}
            key = operator.itemgetter("image_id", "category_id", "area", "bbox")
            was, now = ([key(one) for one in document["annotations"]] for document in (before, after))
            assert [one[:2] for one in now] == [one[:2] for one in was]
            assert [[one[2], *one[3]] for one in now] == [pytest.approx([one[2], *one[3]], abs=1e-6) for one in was]


@pytest.mark.slow
def test_boxes_of_voc_are_the_same_in_the_dataset(by_supervision, pictures, tmp_path):
    by_supervision.as_pascal_voc(None, str(tmp_path / "labels"))
    radloop.etl(source=pictures, annotations=tmp_path / "labels", out=tmp_path / "out", jobs=1)
    table = pl.read_parquet(tmp_path / "out" / "organized" / "annotations.parquet")
    found = {image: [] for image in table["image_id"].unique()}
    for row in table.filter(pl.col("x_min_norm").is_not_null()).iter_rows(named=True):
        corners = [row[edge] * side for edge, side in zip(tree.EDGES, (*SIZE, *SIZE), strict=True)]
        found[row["image_id"]].append((row["class_name"], tuple(corners)))
    same({image: sorted(boxes) for image, boxes in found.items()}, to=1e-6)
