"""Two detectors on the same images: the difference is that of their figures, and its interval is paired."""

import numpy as np
import polars as pl
import pytest

from radloop.measures import compared, curves, evaluation
from radloop.measures.compared import Side
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR
from test_curves import MANY, made
from test_evaluation import HERE, THERE, looked, predicted, truth


def side(matched: pl.DataFrame, known: pl.DataFrame, cut: float | None = 0.05) -> Side:
    return Side(matched.drop("correct"), matched, known, cut)


def figure(found: pl.DataFrame, name: str, class_id: int | None = None) -> dict[str, float | None]:
    return found.filter(pl.col("class_id").eq_missing(class_id), figure=name).row(0, named=True)


def test_figures_are_those_of_each_alone(classes: Taxonomy) -> None:
    """Whatever is set beside what, and the difference is that of the two."""
    matched, known, images = made(0)
    other = evaluation.match(made(7)[0].drop("correct"), known)
    found = compared.compare(side(matched, known), side(other, known), images, classes, min_confidence=0.5)
    for column, boxes in (("first", matched), ("second", other)):
        ap = evaluation.average_precision(boxes.drop("correct"), known, images, classes)
        labels = evaluation.pseudo_labels(boxes, known, images, classes, min_confidence=0.5)
        froc = curves.froc(boxes, known, images, classes, cut=0.05)
        for class_id in (0, 3, None):
            is_class = pl.col("class_id").eq_missing(class_id)
            assert figure(found, "ap", class_id)[column] == ap.filter(is_class)["ap"].item()
            assert figure(found, "recall", class_id)[column] == pytest.approx(labels.filter(is_class)["recall"].item())
            at_one = froc.sensitivity.filter(is_class, rate=1)["sensitivity"].item()
            assert figure(found, "sensitivity", class_id)[column] == at_one
            assert figure(found, "cpm", class_id)[column] == froc.cpm.filter(is_class)["cpm"].item()
    assert found["class_id"].unique().sort().to_list() == [None, 0, 3]
    told = found.drop_nulls("difference")
    assert told["difference"].to_list() == pytest.approx((told["second"] - told["first"]).to_list())


def test_a_detector_is_not_better_than_itself(classes: Taxonomy) -> None:
    matched, known, images = made(1)
    found = compared.compare(side(matched, known), side(matched, known), images, classes, min_confidence=0.5)
    told = found.drop_nulls("difference")
    assert told.height > 4
    assert told["difference"].to_list() == [0.0] * told.height
    assert told["difference_low"].null_count() == told.height  # no interval of width zero
    verdicts = {compared.words(row) for row in told.filter(pl.col("groups") >= 20).iter_rows(named=True)}
    assert verdicts == {"the same in every draw"}


def halves(right: list[bool], *, wrong: float = 0.8) -> pl.DataFrame:
    """What `match` gives of one box on each image, right or elsewhere."""
    known = truth(*((image, 3, HERE) for image in MANY))
    said = predicted(*((image, 3, wrong, HERE if found else THERE) for image, found in zip(MANY, right, strict=True)))
    return evaluation.match(said, known)


def test_images_that_both_find_hard_do_not_hide_a_difference(classes: Taxonomy) -> None:
    """40 of 60 against 30 of the same 60: each alone has an interval of 0.24, their difference one that excludes 0."""
    known, images = truth(*((image, 3, HERE) for image in MANY)), looked(*MANY)
    first, second = halves([place < 30 for place in range(60)]), halves([place < 40 for place in range(60)])
    found = compared.compare(side(first, known), side(second, known), images, classes, min_confidence=0.5)
    recall = figure(found, "recall", 3)
    assert recall["difference"] == pytest.approx(1 / 6)
    assert 0.05 < recall["difference_low"] < recall["difference"] < recall["difference_high"] < 0.3
    assert compared.words(recall) == "better"
    back = figure(
        compared.compare(side(second, known), side(first, known), images, classes, min_confidence=0.5), "recall", 3
    )
    assert compared.words(back) == "worse"
    assert back["difference_low"] == pytest.approx(-recall["difference_high"])


@pytest.mark.slow
def test_no_difference_is_claimed_in_nineteen_of_twenty_cases() -> None:
    known, images, rng = truth(*((image, 3, HERE) for image in MANY)), looked(*MANY), np.random.default_rng(0)
    claims = 0
    for _ in range(60):
        sides = [side(halves((rng.random(60) < 0.6).tolist()), known) for _ in range(2)]
        found = compared.compare(*sides, images, VINDR, min_confidence=0.5)
        claims += compared.words(figure(found, "recall", 3)) in ("better", "worse")
    assert claims <= 8  # of 60; 3 are expected


def test_of_few_groups_nothing_is_said(classes: Taxonomy) -> None:
    few = MANY[:19]
    known = truth(*((image, 3, HERE) for image in few))
    sides = [evaluation.match(predicted(*((image, 3, 0.8, box) for image in few)), known) for box in (HERE, THERE)]
    found = compared.compare(*(side(each, known) for each in sides), looked(*few), classes, min_confidence=0.5)
    recall = figure(found, "recall", 3)
    assert (recall["difference"], recall["difference_low"], recall["groups"]) == (-1.0, None, 19)
    assert compared.words(recall) == "too few to say"


def test_what_one_of_the_two_does_not_keep_is_not_compared(classes: Taxonomy) -> None:
    matched, known, images = made(2)
    high = matched.filter(pl.col("confidence") >= 0.9)
    found = compared.compare(side(matched, known), side(high, known, 0.9), images, classes, min_confidence=0.95)
    assert figure(found, "sensitivity")["second"] is None
    assert figure(found, "sensitivity")["difference"] is None
    assert compared.words(figure(found, "sensitivity")) == "not known"
    assert figure(found, "recall")["difference"] == 0
    assert figure(found, "ap")["second"] is not None


def test_one_detector_by_two_truths(classes: Taxonomy) -> None:
    """A truth that lost every second box of a class: each counts its own boxes."""
    matched, known, images = made(3)
    less = known.filter((pl.col("class_id") != 3) | (pl.int_range(pl.len()) % 2 == 0))
    again = evaluation.match(matched.drop("correct"), less)
    found = compared.compare(side(matched, known), side(again, less), images, classes, min_confidence=0.5)
    row = figure(found, "ap", 3)
    assert (row["truth_first"], row["truth_second"]) == tuple(each.filter(class_id=3).height for each in (known, less))
    assert figure(found, "ap", 0)["difference"] == pytest.approx(0, abs=1e-12)
    assert row["first"] != row["second"]
