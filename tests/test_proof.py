"""The proof of the splits: counted again from the annotations alone."""

import json

import numpy as np
import polars as pl
import pytest

from radloop.dataset import proof, splits
from radloop.split_sizes import SplitSizes
from radloop.tables import FINDINGS, GROUPS
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR


def proven(count: int = 300, classes: Taxonomy = VINDR) -> tuple[pl.DataFrame, dict]:
    """ANNOTATIONS as far as a proof needs them: seven images of ten normal, and what splits.json says of them."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(count):
        drawn = rng.permutation(len(classes))[: rng.integers(1, 4)] if rng.random() < 0.3 else [None]
        rows += [(f"{number:06d}", "R1", class_id, *(None,) * 4, 2000, 2500) for class_id in drawn]
    table = pl.DataFrame(rows, schema=FINDINGS, orient="row")
    ids = table["image_id"].unique()
    groups = pl.DataFrame({"image_id": ids, "group": ids}, schema=GROUPS)
    assignment = splits.assign(table, groups, SplitSizes(), classes, seed=3)
    told = proof.of(table, assignment, SplitSizes(), classes, seed=3)
    return table.join(assignment, on="image_id"), json.loads(json.dumps(told))


def verify(annotations: pl.DataFrame, told: object, classes: Taxonomy = VINDR) -> list[str]:
    return proof.verify(annotations, told, classes)


def test_a_proof_is_confirmed_by_the_annotations_alone(classes):
    annotations, told = proven(classes=classes)
    assert verify(annotations, told, classes) == []


def test_a_proof_names_every_class_and_nothing_found_as_the_last(classes):
    _, told = proven(classes=classes)
    assert list(told["classes"]) == [str(number) for number in range(len(classes) + 1)]
    assert [each["name"] for each in told["classes"].values()] == [*classes.names, "No finding"]
    assert told["classes"][str(classes.nothing)]["images"] > 150


def test_one_image_in_another_split_is_found():
    annotations, told = proven()
    first = annotations["image_id"][0]
    changed = annotations.with_columns(
        split=pl.when(pl.col("image_id") == first).then(pl.lit("canary")).otherwise("split")
    )
    assert any("splits.canary.images = 10, the annotations 11" in wrong for wrong in verify(changed, told))


def test_an_image_and_a_group_in_two_splits_are_found():
    annotations, told = proven()
    row = annotations.filter(pl.col("split") == "training").head(1)
    wrong = verify(pl.concat([annotations, row.with_columns(split=pl.lit("canary"))]), told)
    assert f"image {row['image_id'][0]} is in 2 splits: canary, training" in wrong
    assert f"group {row['group'][0]} is in 2 splits: canary, training" in wrong


def test_a_proof_that_wanted_other_sizes_is_found():
    annotations, told = proven()
    told["wanted"]["training"] = 1
    assert verify(annotations, told) == ["split training holds 230 images where 1 were wanted"]


def test_a_split_of_one_image_too_many_is_found_where_every_image_is_its_own_group():
    annotations, told = proven()
    told["wanted"]["training"] += 1
    told["wanted"]["test"] -= 1
    assert verify(annotations, told) == [
        "split training holds 230 images where 231 were wanted",
        "split test holds 15 images where 14 were wanted",
    ]


@pytest.mark.parametrize("told", [[], {}, {"classes": 3, "wanted": "x"}, {"splits": {"training": None}}])
def test_a_damaged_proof_is_wrong_and_not_a_crash(told):
    annotations, _ = proven()
    assert verify(annotations, told)


@pytest.mark.parametrize(
    "change",
    [{"split": "holdout"}, {"split": None}, {"class_id": 99}],
    ids=["unknown split", "no split", "unknown class"],
)
def test_rows_that_cannot_be_counted_are_named(change):
    annotations, told = proven()
    damaged = annotations.with_columns(**{name: pl.lit(value) for name, value in change.items()})
    assert "rows of the annotations have no group, no known split or no known class" in verify(damaged, told)[0]
