"""Splits that the source has already."""

import polars as pl
import pytest

from radloop.dataset import kept_splits
from radloop.errors import AnnotationError, SplitError
from radloop.tables import ASSIGNMENT


def rows(**split_of):
    return pl.DataFrame({"image_id": [*split_of], "split": [*split_of.values()]})


def read(table):
    return dict(kept_splits.read(table, name="train.csv").iter_rows())


@pytest.mark.parametrize(
    ("told", "split"),
    [
        ("train", "training"), ("TRAIN", "training"), ("training", "training"), ("val", "validation"),
        (" valid ", "validation"), ("validation", "validation"), ("dev", "validation"), ("test", "test"),
        ("staging", "staging"), ("canary", "canary"), ("production", "production"),
    ],
)  # fmt: skip
def test_splits_have_the_names_that_people_give_them(told, split):
    assert read(rows(a=told)) == {"a": split}


def test_one_row_tells_the_split_of_its_image():
    table = pl.DataFrame({"image_id": ["a", "a", "b"], "split": ["train", "NaN", "val"]})
    assert read(table) == {"a": "training", "b": "validation"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(rows(a="train", b="holdout"), r"unknown splits: 'holdout' \(1 rows\)", id="unknown"),
        pytest.param(rows(a="train", b="0"), "unknown splits: '0'", id="a fold"),
        pytest.param(rows(a="train", b=""), "1 images no split, such as 'b'", id="none"),
        pytest.param(
            rows(a="train").drop("split"),
            r"train\.csv has no splits of its own \(of a table: the column `split`\)",
            id="no column",
        ),
        pytest.param(
            pl.DataFrame({"image_id": ["a", "a"], "split": ["train", "val"]}),
            "'a' in training and validation",
            id="two",
        ),
    ],
)
def test_splits_that_cannot_be_kept_stop(table, message):
    with pytest.raises(AnnotationError, match=f"--keep-splits: .*{message}"):
        read(table)


def together(**value_of):
    return pl.DataFrame({"image_id": [*value_of], "value": [*value_of.values()]})


KEPT = rows(a="training", b="validation", c="production")


def test_images_that_belong_together_are_in_one_split_or_stop():
    alone = together(a="1", b="2", c="3")
    assert kept_splits.settle(KEPT, [alone], None).rows() == [
        ("a", "a", "training"), ("b", "b", "validation"), ("c", "c", "production"),
    ]  # fmt: skip
    with pytest.raises(SplitError, match=r"a \(training\), b \(validation\): these belong together"):
        kept_splits.settle(KEPT, [alone, together(a="P", b="P")], None)
    with pytest.raises(SplitError, match=r"a \(training\), c \(production\)"):
        kept_splits.settle(KEPT, [alone, together(a="P", c="P")], None)
    with pytest.raises(SplitError, match=r"a \(training\), b \(validation\)"):  # by an image that is not there
        kept_splits.settle(KEPT, [alone, together(a="P", x="P"), together(x="Q", b="Q")], None)


def assignment(*triples):
    return pl.DataFrame(triples, schema=ASSIGNMENT, orient="row")


def test_the_version_before_goes_on_and_what_moved_to_training_stays_there():
    before = assignment(("a", "a", "training"), ("c", "c", "training"), ("old", "old", "test"))
    settled = kept_splits.settle(KEPT, [together(a="1")], before)
    assert dict(settled.select("image_id", "split").iter_rows()) == {
        "a": "training", "b": "validation", "c": "training", "old": "test",
    }  # fmt: skip


@pytest.mark.parametrize("split", ["test", "production", "training"])
def test_another_split_than_that_of_the_version_before_stops(split):
    with pytest.raises(SplitError, match=f"b in validation .before: {split}."):
        kept_splits.settle(KEPT, [together(a="1")], assignment(("b", "b", split)))
