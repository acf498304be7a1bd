"""Counting small tables by hand, and the heatmap against the loop that it replaces."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import taxonomies
from radloop.measures import counts
from radloop.tables import EDGES, FINDINGS, SPLITS
from radloop.taxonomy import Taxonomy

Box = tuple[float, float, float, float]


def row(
    image_id: str, rad_id: str, class_id: int | None, box: Box | None = None, split: str = "training"
) -> dict[str, object]:
    """One row of the annotations table; without a box it is "No finding"."""
    corners = box or (None, None, None, None)
    frame = {"width": 2000, "height": 1000, "split": split}
    return {
        "image_id": image_id,
        "rad_id": rad_id,
        "class_id": class_id,
        **dict(zip(EDGES, corners, strict=True)),
        **frame,
    }


def table(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={**FINDINGS, "split": pl.String})


HEART = (0.25, 0.5, 0.75, 0.75)
LUNG = (0.0, 0.0, 0.5, 0.5)

SMALL = table(
    row("a", "R1", 3, HEART),
    row("a", "R2", 3, HEART),
    row("a", "R3", 0, LUNG),
    row("a", "R3", 5, HEART),
    row("b", "R1", None),
    row("b", "R2", None),
    row("b", "R10", None),
    row("c", "R1", 5, LUNG, split="test"),
    row("c", "R1", 6, LUNG, split="test"),
)
NONE = SMALL.clear()


def values(frame: pl.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    return frame.select(columns).rows()


def test_totals_count_each_image_reader_and_reading_once() -> None:
    assert counts.totals(SMALL) == {
        "images": 3,
        "readers": 4,
        "readings": 7,
        "rows": 9,
        "boxes": 6,
        "images_with_finding": 2,
        "rectangles_of_several_classes": 2,
    }


def test_classes_count_readers_not_rows(classes: Taxonomy) -> None:
    twice = pl.concat([SMALL, table(row("a", "R1", 3, LUNG))])
    seen = counts.classes(twice, classes).filter(pl.col("rows") > 0)
    found = values(seen, "class_id", "rows", "images", "seen_by_2", "seen_by_3")
    assert found == [(0, 1, 1, 0, 0), (3, 3, 1, 1, 0), (5, 2, 2, 0, 0), (6, 1, 1, 0, 0), (classes.nothing, 3, 1, 1, 1)]


def test_every_class_has_a_row_even_in_an_empty_table(classes: Taxonomy) -> None:
    every = counts.classes(NONE, classes)
    assert every["class_id"].to_list() == [*range(len(classes) + 1)]
    assert every["class_name"].to_list() == [*classes.names, "No finding"]
    assert every["rows"].to_list() == [0] * (len(classes) + 1)
    assert counts.box_shapes(NONE, classes)["boxes"].to_list() == [0] * len(classes)


def test_splits_come_in_the_order_of_the_pipeline_beside_their_target() -> None:
    found = values(counts.split_sizes(SMALL, {"test": 2, "canary": 1, "training": 2}), "split", "images", "difference")
    assert found == [("training", 2, 0), ("test", 1, -1), ("canary", 0, -1)]


def test_a_table_without_splits_is_one_split_called_all(classes: Taxonomy) -> None:
    unsplit = SMALL.drop("split")
    assert values(counts.split_sizes(unsplit), "split", "images", "target") == [("all", 3, None)]
    assert counts.class_shares(unsplit, classes)["split"].unique().to_list() == ["all"]
    assert counts.heatmaps(unsplit, classes).splits == ("all",)


def test_class_shares_stand_beside_the_share_of_the_whole_table(classes: Taxonomy) -> None:
    shares = counts.class_shares(SMALL, classes).filter(pl.col("class_id") == 5)
    assert values(shares, "split", "images", "image_share") == [("training", 1, 0.5), ("test", 1, 1.0)]
    assert shares["expected_image_share"].to_list() == pytest.approx([2 / 3, 2 / 3])
    assert shares["box_share"].to_list() == pytest.approx([1 / 4, 1 / 2])
    assert shares["expected_box_share"].to_list() == pytest.approx([2 / 6, 2 / 6])


def test_no_finding_has_a_share_of_images_and_none_of_boxes(classes: Taxonomy) -> None:
    normal = counts.class_shares(SMALL, classes).filter(pl.col("class_id") == classes.nothing)
    assert values(normal, "image_share", "box_share", "expected_box_share") == [(0.5, None, None), (0.0, None, None)]


def test_shares_of_a_split_without_boxes_are_missing_and_not_infinite(classes: Taxonomy) -> None:
    normal = counts.class_shares(SMALL.filter(pl.col("image_id") == "b"), classes)
    assert normal["box_share"].null_count() == len(classes) + 1


def test_labels_per_image_sum_the_readers_and_labels_per_reading_do_not() -> None:
    images = counts.labels_per(SMALL, "image")
    readings = counts.labels_per(SMALL, "reading")
    assert values(images, "split", "labels", "count") == [("training", 0, 1), ("training", 4, 1), ("test", 2, 1)]
    assert values(readings, "split", "labels", "count") == [
        ("training", 0, 3),
        ("training", 1, 2),
        ("training", 2, 1),
        ("test", 2, 1),
    ]


def test_classes_together_on_an_image_and_on_one_rectangle(classes: Taxonomy) -> None:
    found = counts.together(SMALL, classes).filter(pl.col("images") > 0)
    assert values(found, "class_a", "class_b", "images", "rectangles") == [
        (0, 3, 1, 0),
        (0, 5, 1, 0),
        (3, 5, 1, 1),
        (5, 6, 1, 1),
    ]
    assert found["expected_images"].to_list() == pytest.approx([1 / 2, 2 / 2, 2 / 2, 2 / 2])
    assert counts.together(SMALL, classes).height == len(classes) * (len(classes) - 1) / 2
    assert set(found["class_a_name"]) == {classes.names[0], classes.names[3], classes.names[5]}
    assert set(found["class_b_name"]) == {classes.names[3], classes.names[5], classes.names[6]}


def test_box_shapes_use_the_pixels_of_the_frame(classes: Taxonomy) -> None:
    heart = counts.box_shapes(SMALL, classes).row(3, named=True)
    assert heart["boxes"] == 2
    assert heart["area_p50"] == pytest.approx(0.125)
    assert heart["aspect_p50"] == pytest.approx(1000 / 250)


def test_readers_come_in_the_order_of_their_numbers() -> None:
    found = values(counts.readers(SMALL), "rad_id", "rows", "images", "images_with_finding", "boxes")
    assert found == [("R1", 4, 3, 2, 3), ("R2", 2, 2, 1, 1), ("R3", 2, 1, 1, 2), ("R10", 1, 1, 0, 0)]


def test_reader_classes_are_shares_of_what_the_reader_read(classes: Taxonomy) -> None:
    found = counts.reader_classes(SMALL, classes).filter(pl.col("rad_id") == "R1", pl.col("images") > 0)
    assert values(found, "class_id", "images") == [(3, 1), (5, 1), (6, 1), (classes.nothing, 1)]
    assert found["share"].to_list() == pytest.approx([1 / 3] * 4)


def test_reader_splits_are_shares_of_the_splits_readings() -> None:
    found = values(counts.reader_splits(SMALL), "split", "rad_id", "images")
    assert found == [
        ("training", "R1", 2),
        ("training", "R2", 2),
        ("training", "R3", 1),
        ("training", "R10", 1),
        ("test", "R1", 1),
    ]
    assert counts.reader_splits(SMALL).group_by("split").agg(pl.col("share").sum())["share"].to_list() == [1, 1]


def test_heatmap_counts_the_boxes_over_each_cell(classes: Taxonomy) -> None:
    heat = counts.heatmaps(SMALL, classes, side=4)
    assert heat.splits == ("training", "test")
    assert heat.counts.shape == (2, len(classes), 4, 4)
    assert heat.counts[0, 3].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0]]
    assert heat.counts[1, 6].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_box_over_the_edge_or_thinner_than_a_cell_counts_where_it_lies(classes: Taxonomy) -> None:
    thin = table(row("a", "R1", 0, (0.5, 0.5, 0.5001, 0.5001)), row("a", "R2", 0, (-0.001, 0.0, 1.001, 0.25)))
    heat = counts.heatmaps(thin, classes, side=4).counts[0, 0]
    assert heat.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_empty_table_has_no_heatmap_layer(classes: Taxonomy) -> None:
    assert counts.heatmaps(NONE, classes).counts.shape == (0, len(classes), 128, 128)


corner = st.integers(0, 20)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), corner, corner, corner, corner), max_size=8),
    st.integers(1, 9),
    st.sampled_from(list(taxonomies.EVERY.values())),
)
def test_heatmap_equals_painting_box_by_box(
    drawn: list[tuple[int, int, int, int, int]], side: int, classes: Taxonomy
) -> None:
    boxes = [
        (class_id, (min(a, b) / 20, min(c, d) / 20, max(a, b) / 20, max(c, d) / 20))
        for class_id, a, b, c, d in drawn
        if a != b and c != d
    ]
    painted = np.zeros((len(classes), side, side), dtype=np.int64)
    for class_id, box in boxes:
        left, top = (int(np.floor(side * low)) for low in box[:2])
        right, bottom = (int(np.ceil(side * high)) for high in box[2:])
        painted[class_id, top:bottom, left:right] += 1
    rows = [row("n", "R1", None), *(row(f"i{n}", "R1", class_id, box) for n, (class_id, box) in enumerate(boxes))]
    np.testing.assert_array_equal(counts.heatmaps(table(*rows), classes, side=side).counts[0], painted)


def test_heatmaps_of_a_thousand_classes_fit_into_memory() -> None:
    many = Taxonomy(tuple(f"class {number}" for number in range(1000)))
    rows = [row(f"i{split}", "R1", 999, HEART, split) for split in SPLITS]
    heat = counts.heatmaps(table(*rows), many, side=64)
    assert heat.counts.shape == (6, 1000, 64, 64)
    assert heat.counts.dtype == np.int32  # 98 MB; beside it nothing of this size is made
    assert heat.counts.sum(axis=(0, 2, 3)).tolist() == [0] * 999 + [6 * 32 * 16]
