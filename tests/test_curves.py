"""Precision–recall and FROC against slow loops, and what must always hold of them."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.measures import curves, evaluation
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR
from test_evaluation import HERE, RIGHT_WRONG_RIGHT, THERE, TWO, Box, looked, predicted, truth

MANY = [f"i{number:03}" for number in range(60)]


def made(seed: int, *, images: list[str] = MANY, digits: int = 9) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """What `match` gives of some boxes, their truth, and the images: groups of two."""
    rng = np.random.default_rng(seed)
    known = truth(*((image, class_id, HERE) for image in images for class_id in (0, 3) if rng.random() < 0.5))
    said = predicted(
        *(
            (
                image,
                int(rng.choice([0, 3, 5])),
                round(float(rng.uniform(0.05, 1)), digits),
                (HERE, THERE)[rng.integers(2)],
            )
            for image in images
            for _ in range(rng.integers(5))
        )
    )
    groups = pl.DataFrame({"image_id": images, "group": [f"g{place // 2}" for place in range(len(images))]})
    return evaluation.match(said, known), known, groups


@pytest.mark.parametrize("digits", [9, 1], ids=["no ties", "ties"])
def test_mean_of_the_curve_is_the_average_precision(digits: int) -> None:
    matched, known, images = made(0, digits=digits)
    ap = evaluation.average_precision(matched.drop("correct"), known, images, VINDR, resamples=20)
    for class_id in (0, 3):
        curve = curves.precision_recall(matched, known, images, class_id=class_id, resamples=20)
        assert curve["precision"].mean() == pytest.approx(ap["ap"][class_id], abs=1e-9)
    assert curves.precision_recall(matched, known, images, class_id=5).is_empty()  # no truth


def slowly(
    matched: pl.DataFrame, known: pl.DataFrame, images: pl.DataFrame, class_id: int | None
) -> dict[float, tuple]:
    """Each threshold's boxes, right ones, recall and false boxes an image, counted one by one."""
    rows = [row for row in matched.iter_rows(named=True) if class_id in (None, row["class_id"])]
    boxes = sum(1 for own in known["class_id"] if class_id in (None, own))
    found = {}
    for least in {row["confidence"] for row in rows}:
        above = [row for row in rows if row["confidence"] >= least]
        right = sum(row["correct"] for row in above)
        found[least] = (len(above), right, right / boxes, (len(above) - right) / images.height)
    return found


@pytest.mark.parametrize("class_id", [0, 3, None])
@pytest.mark.parametrize("digits", [9, 1], ids=["no ties", "ties"])
def test_figures_are_those_of_a_slow_loop(class_id: int | None, digits: int) -> None:
    matched, known, images = made(1, digits=digits)
    slow = slowly(matched, known, images, class_id)
    points = curves.operating_points(matched, known, images, class_id=class_id, cut=0.05)
    told = points.select("boxes", "correct", "recall", "false_positives").rows()
    assert dict(zip(points["confidence"], told, strict=True)) == {
        least: pytest.approx(values) for least, values in slow.items()
    }
    froc = curves.froc(matched, known, images, VINDR, cut=0.05, resamples=5)
    own = froc.sensitivity.filter(pl.col("class_id").eq_missing(class_id))
    reached = max(false for *_, false in slow.values())
    for rate, sensitivity, at_least, confidence in own.select(
        "rate", "sensitivity", "at_least", "confidence"
    ).iter_rows():
        assert confidence == min((least for least, (*_, false) in slow.items() if false <= rate), default=None)
        best = max((recall for *_, recall, false in slow.values() if false <= rate), default=0)
        assert at_least == pytest.approx(best)
        assert sensitivity == (pytest.approx(best) if reached >= rate else None)
    mean = froc.cpm.filter(pl.col("class_id").eq_missing(class_id)).row(0, named=True)
    assert mean["reached"] == pytest.approx(reached)
    assert mean["at_least"] == pytest.approx(own["at_least"].mean())
    assert mean["cpm"] is None


def test_froc_worked_by_hand(classes: Taxonomy) -> None:
    matched = evaluation.match(RIGHT_WRONG_RIGHT, TWO)
    froc = curves.froc(matched, TWO, looked("a", "b"), classes, cut=0.05)
    # 0.95 right, 0.8 wrong, 0.7 right, on two images: half is found without a false box, all with half a one.
    own = froc.sensitivity.filter(class_id=3)
    assert own.select("rate", "sensitivity").rows() == [(rate, 1.0 if rate >= 0.5 else 0.5) for rate in curves.RATES]
    assert own["sensitivity_low"].null_count() == len(curves.RATES)  # of two groups
    assert own["confidence"].to_list() == [0.7 if rate >= 0.5 else 0.95 for rate in curves.RATES]
    assert froc.cpm["cpm"].to_list() == [pytest.approx((2 * 0.5 + 5) / 7)] * 2
    assert froc.cpm["class_name"].to_list() == [classes.names[3], None]


def test_below_the_cut_nothing_is_known(classes: Taxonomy) -> None:
    matched = evaluation.match(RIGHT_WRONG_RIGHT, TWO)
    froc = curves.froc(matched, TWO, looked("a", "b"), classes, cut=0.75)
    own = froc.sensitivity.filter(class_id=3)
    assert own.select("sensitivity", "at_least").rows() == [(0.5, 0.5)] * 3 + [(None, 0.5)] * 4
    assert froc.cpm.select("cpm", "at_least", "reached").row(0) == (None, 0.5, 0.5)
    points = curves.operating_points(matched, TWO, looked("a", "b"), cut=0.75)
    assert points["whole"].to_list() == [True, True, False]
    silent = curves.froc(matched, TWO, looked("a", "b"), classes, cut=None)
    assert silent.sensitivity["sensitivity"].null_count() == silent.sensitivity.height
    everything = curves.froc(matched.head(1), TWO, looked("a", "b"), classes, cut=0.0)
    assert everything.cpm["cpm"].to_list() == [0.5, 0.5]  # no box was left out: more cannot be found


def test_without_truth_there_is_no_figure(classes: Taxonomy) -> None:
    matched = evaluation.match(RIGHT_WRONG_RIGHT, truth())
    froc = curves.froc(matched, truth(), looked("a", "b"), classes, cut=0.05)
    assert (froc.sensitivity.height, froc.cpm.height) == (0, 0)
    assert curves.operating_points(matched, truth(), looked("a", "b"))["recall"].null_count() == 3
    nothing = curves.froc(evaluation.match(predicted(), TWO), TWO, looked("a", "b"), classes, cut=0.05)
    assert nothing.sensitivity["at_least"].sum() == 0
    assert nothing.sensitivity["sensitivity"].null_count() == nothing.sensitivity.height


def test_thinned_draws_tell_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    matched, known, images = made(2)
    every = curves.froc(matched, known, images, VINDR, cut=0.05).sensitivity
    monkeypatch.setattr(curves, "MOST_STEPS", 40)
    few = curves.froc(matched, known, images, VINDR, cut=0.05).sensitivity
    assert few["sensitivity"].equals(every["sensitivity"])  # the figure itself has every threshold
    low = (few["sensitivity_low"] - every["sensitivity_low"]).drop_nulls().abs()
    assert low.len() > 3
    assert low.max() < 0.1
    monkeypatch.setattr(curves, "MOST_POINTS", 7)
    points = curves.operating_points(matched, known, images)
    whole = slowly(matched, known, images, None)
    assert (points.height, points["confidence"][0], points["confidence"][-1]) == (7, max(whole), min(whole))


def test_intervals_hold_the_figure_and_have_a_width() -> None:
    matched, known, images = made(3)
    tables = [
        ("sensitivity", curves.froc(matched, known, images, VINDR, cut=0.05).sensitivity),
        ("precision", curves.precision_recall(matched, known, images, class_id=3)),
    ]
    for name, table in tables:
        told = table.drop_nulls(f"{name}_low")
        assert told.height > 5
        assert (told[f"{name}_low"] <= told[name]).all()
        assert (told[name] <= told[f"{name}_high"]).all()
        assert (told[f"{name}_low"] < told[f"{name}_high"]).all()


spots = st.sampled_from([HERE, THERE])
known_boxes = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 3]), spots), max_size=6, unique=True)
said_boxes = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 3, 5]), spots), max_size=10)


@settings(max_examples=60, deadline=None)
@given(known_boxes, said_boxes, st.permutations(range(10)), st.floats(0, 1))
def test_more_false_boxes_never_find_less_and_no_order_of_rows_counts(
    known: list[tuple[str, int, Box]], said: list[tuple[str, int, Box]], order: list[int], cut: float
) -> None:
    rows = [(image, class_id, (rank + 1) / 11, box) for (image, class_id, box), rank in zip(said, order, strict=False)]
    found = []
    for turn in (rows, rows[::-1]):
        matched, images = evaluation.match(predicted(*turn), truth(*known)), looked("a", "b", "c")
        froc = curves.froc(matched, truth(*known), images, VINDR, cut=cut, resamples=3)
        points = curves.operating_points(matched, truth(*known), images, cut=cut)
        found.append((froc.sensitivity.rows(), froc.cpm.rows(), points.rows()))
    assert found[0] == found[1]
    for column in ("recall", "false_positives", "boxes"):
        values = points[column].drop_nulls().to_list()
        assert values == sorted(values)
    assert points["confidence"].to_list() == sorted(points["confidence"], reverse=True)
    for _, own in froc.sensitivity.group_by("class_id"):
        assert all(first <= second for first, second in itertools.pairwise(own["at_least"]))
        assert own["at_least"].is_between(0, 1).all()
