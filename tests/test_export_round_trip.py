"""What is exported as COCO and read again is the same dataset: images, splits, readers, boxes."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exports
import made_up
from radloop.dataset.export import coco, contents
from radloop.dataset.export.contents import Contents
from radloop.options import Etl, Export
from radloop.pipelines import exporting, offline
from radloop.sources.bundle import Bundle
from radloop.sources.formats import coco as reader
from radloop.tables import ANNOTATIONS, EDGES, SPLITS
from small_loop import SIZES
from taxonomies import VINDR

CORNERS = ("x_min", "y_min", "x_max", "y_max")
NUMBERS = pl.col("class_name").replace_strict({name: number for number, name in enumerate(VINDR.names)})
SPAN = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda span: span[1] - span[0] > 1e-3)
BOX = st.tuples(st.integers(0, 13), st.sampled_from(["R1", "R2"]), SPAN, SPAN)
IMAGE = st.tuples(st.integers(10, 4000), st.integers(10, 4000), st.lists(BOX, max_size=3))


def made(images: list[tuple]) -> Contents:
    """Contents with these images in training."""
    rows, boxes = [], []
    for number, (width, height, drawn) in enumerate(images, 1):
        image_id = f"i{number}"
        rows.append((number, image_id, "training", image_id, f"{image_id}.png", "", 1, "", width, height, ["R1", "R2"]))
        for class_id, rad_id, (left, right), (top, low) in drawn:
            boxes.append((len(boxes) + 1, image_id, class_id, rad_id, left, top, right, low, None, None, False))
    return Contents(
        root=None,
        version="0",
        source="test",
        license=None,
        classes=VINDR,
        labels=dict.fromkeys(SPLITS, "per-reader"),
        images=pl.DataFrame(rows, schema=contents.IMAGES, orient="row"),
        boxes=pl.DataFrame(boxes, schema=contents.BOXES, orient="row"),
        annotations=ANNOTATIONS.to_frame(),
    )


@given(st.lists(IMAGE, min_size=1, max_size=4))
@settings(max_examples=25)
def test_every_box_of_every_reader_comes_back_where_it_was(tmp_path_factory, images):
    chosen, folder = made(images), tmp_path_factory.mktemp("coco")
    coco.write_annotations(chosen, folder)
    rows = reader.read(Bundle(folder)).rows
    drawn = rows.filter(pl.col("x_min").is_not_null()).with_columns(
        pl.col(*CORNERS, "width", "height").cast(pl.Float64)
    )
    found = drawn.select(
        "image_id",
        NUMBERS,
        "rad_id",
        *(pl.col(corner) / pl.col(side) for corner, side in zip(CORNERS, ("width", "height") * 2, strict=True)),
    ).rows()
    expected = chosen.boxes.select("image_id", "class_id", "rad_id", *EDGES).rows()
    assert [one[:3] for one in sorted(found)] == [one[:3] for one in sorted(expected)]
    for mine, theirs in zip(sorted(expected), sorted(found), strict=True):
        assert mine[3:] == pytest.approx(theirs[3:], abs=1e-9)
    silent = {
        (image_id, rad_id)
        for image_id, rad_id in rows.filter(class_name="No finding").select("image_id", "rad_id").rows()
    }
    drew = {one[0::2][:2] for one in expected}
    assert silent == {(f"i{number}", rad_id) for number in range(1, len(images) + 1) for rad_id in ("R1", "R2")} - drew


def test_dataset_made_of_an_export_is_exported_as_the_same(tmp_path):
    offline.etl(Etl(out=tmp_path / "first", source=str(made_up.films(tmp_path / "films")), sizes=SIZES))
    first = exporting.export(Export(out=tmp_path / "first", format="coco")).folder
    offline.etl(Etl(out=tmp_path / "second", source=str(first), keep_splits=True))
    second = exporting.export(Export(out=tmp_path / "second", format="coco")).folder
    assert sorted(exports.tree(second)) == sorted(exports.tree(first))
    for split in SPLITS:
        before, after = (exports.document(folder, split) for folder in (first, second))
        assert after["images"] == before["images"]
        assert after["categories"] == before["categories"]
        for mine, theirs in zip(before["annotations"], after["annotations"], strict=True):
            assert mine | {"bbox": 0, "area": 0} == theirs | {"bbox": 0, "area": 0}
            assert mine["bbox"] == pytest.approx(theirs["bbox"], abs=1e-6)
