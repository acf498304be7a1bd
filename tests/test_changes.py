"""How two versions differ: images, splits and labels."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.catalog import changes, version
from radloop.tables import SPLITS

HERE, NEAR, THERE = (0.0, 0.0, 0.2, 0.2), (0.02, 0.0, 0.22, 0.2), (0.6, 0.6, 0.8, 0.8)
SCHEMA = {
    "image_id": pl.String,
    "split": pl.String,
    "rad_id": pl.String,
    "class_name": pl.String,
    "class_id": pl.Int16,
    "x_min_norm": pl.Float64,
    "y_min_norm": pl.Float64,
    "x_max_norm": pl.Float64,
    "y_max_norm": pl.Float64,
    "used": pl.Boolean,
}

CLASSES = {"Nodule": 0, "Mass": 1}


def row(image_id="a", split="training", rad_id="R1", class_name="Nodule", box=HERE, *, used=True):
    return (image_id, split, rad_id, class_name, CLASSES.get(class_name), *(box or (None,) * 4), used)


def table(*rows):
    return pl.DataFrame(rows, SCHEMA, orient="row")


def told(before, after):
    return changes.of(table(*before), table(*after)).labels.select("class_name", "change", "iou").rows()


def test_nothing_changed_is_said_as_nothing():
    found = changes.of(table(row(), row("b")), table(row("b"), row()))
    assert (found.images, found.both) == ((2, 2), 2)
    assert (found.moved.height, found.labels.height) == (0, 0)


def test_images_that_moved_came_and_went():
    before = table(row("a", "production"), row("b", "test"), row("c"), row("d", "production"))
    after = table(row("a"), row("b"), row("e", "test"), row("d", "production"))
    found = changes.of(before, after)
    assert found.moved.rows() == [
        ("a", "production", "training"),
        ("b", "test", "training"),
        ("c", "training", None),
        ("e", None, "test"),
    ]
    allowed = {(before, after): may for before, after, _, may in changes.moves(found.moved).iter_rows()}
    assert allowed == {
        ("production", "training"): True,
        ("test", "training"): False,
        ("training", None): True,
        (None, "test"): True,
    }
    assert (found.images, found.both) == ((4, 4), 3)


@pytest.mark.parametrize("before", SPLITS)
@pytest.mark.parametrize("after", SPLITS)
def test_one_move_is_allowed(before, after):
    moved = changes.of(table(row(split=before)), table(row(split=after))).moved
    assert changes.moves(moved)["allowed"].to_list() == (
        [] if before == after else [(before, after) == ("production", "training")]
    )


def test_box_that_was_drawn_elsewhere_is_one_that_went_and_one_that_came():
    assert told([row()], [row(box=THERE)]) == [("Nodule", "added", None), ("Nodule", "gone", None)]


def test_box_that_moved_a_little_has_moved():
    ((name, change, iou),) = told([row()], [row(box=NEAR)])
    assert (name, change) == ("Nodule", "moved")
    assert iou == pytest.approx(0.18 / 0.22)


def test_another_reader_or_class_is_another_label():
    assert told([row()], [row(rad_id="R2")]) == [("Nodule", "gone", None), ("Nodule", "added", None)]
    assert told([row()], [row(class_name="Mass")]) == [("Mass", "added", None), ("Nodule", "gone", None)]


def test_same_box_twice_is_two():
    assert told([row(), row()], [row()]) == [("Nodule", "gone", None)]
    assert told([row()], [row(), row()]) == [("Nodule", "added", None)]


def test_reading_that_found_nothing_and_now_something():
    nothing = row(class_name="No finding", box=None)
    assert told([nothing], [row()]) == [("No finding", "gone", None), ("Nodule", "added", None)]
    assert told([nothing], [nothing]) == []


def test_labels_that_are_not_used_and_images_that_came_change_no_label():
    assert told([row(used=False)], [row(used=False, box=THERE)]) == []
    assert told([row()], [row(used=False)]) == [("Nodule", "gone", None)]
    assert told([row()], [row(), row("b")]) == []


def test_classes_are_counted_in_each_split_before_and_after():
    before = [row(), row(rad_id="R2"), row("b", "test", class_name="Mass")]
    after = [row(), row("c", "test", class_name="Mass"), row("b", "test", class_name="Mass")]
    assert changes.of(table(*before), table(*after)).classes.rows() == [
        ("Nodule", "training", 1, 1, 2, 1),
        ("Mass", "test", 1, 2, 1, 2),
    ]


rows = st.lists(
    st.builds(
        row,
        image_id=st.sampled_from("abc"),
        split=st.just("training"),
        rad_id=st.sampled_from(["R1", "R2"]),
        class_name=st.sampled_from(["Nodule", "Mass"]),
        box=st.sampled_from([HERE, NEAR, THERE]),
    ),
    min_size=1,
    max_size=8,
)


@given(rows, rows)
def test_what_went_and_came_makes_up_the_difference(before, after):
    found = changes.of(table(*before), table(*after))
    back = changes.of(table(*after[::-1]), table(*before[::-1]))
    count = dict(found.labels.group_by("change").len().iter_rows())
    both = {one[0] for one in before} & {one[0] for one in after}
    old, new = (sum(one[0] in both for one in side) for side in (before, after))
    assert old - count.get("gone", 0) + count.get("added", 0) == new
    swapped = {"added": "gone", "gone": "added", "moved": "moved"}
    assert {swapped[change]: n for change, n in back.labels.group_by("change").len().iter_rows()} == count


def test_the_two_ways_to_compare_agree():
    """`version.compare` is what `load` prints: the same images moved, came, went, and have other labels."""
    before = table(row("a", "production"), row("b"), row("c"), row("d"))
    after = table(row("a"), row("b", box=NEAR), row("d"), row("e"))
    one, other = version.compare(before, after), changes.of(before, after)
    assert one.moved["image_id"].to_list() == other.moved.drop_nulls()["image_id"].to_list() == ["a"]
    assert list(one.added) == other.moved.filter(pl.col("before").is_null())["image_id"].to_list() == ["e"]
    assert list(one.removed) == other.moved.filter(pl.col("after").is_null())["image_id"].to_list() == ["c"]
    assert list(one.changed) == other.labels["image_id"].to_list() == ["b"]
