"""Evaluation against hand-worked cases, and the interval's own precision against faster-coco-eval's."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.measures import evaluation
from radloop.tables import DETECTIONS, FINDINGS

Box = tuple[float, float, float, float]
HERE, THERE = (0.0, 0.0, 0.2, 0.2), (0.6, 0.6, 0.8, 0.8)
NEAR = (0.05, 0.0, 0.25, 0.2)  # IoU 0.6 with HERE
HALF = (0.0, 0.0, 0.2, 0.09)  # IoU 0.45 with HERE


def truth(*rows: tuple[str, int, Box]) -> pl.DataFrame:
    return pl.DataFrame([(image, class_id, *box) for image, class_id, box in rows], evaluation.TRUTH, orient="row")


def predicted(*rows: tuple[str, int, float, Box]) -> pl.DataFrame:
    return pl.DataFrame(
        [("f", image, class_id, confidence, *box) for image, class_id, confidence, box in rows],
        DETECTIONS,
        orient="row",
    )


TWO = truth(("a", 3, HERE), ("b", 3, HERE))
RIGHT_WRONG_RIGHT = predicted(("a", 3, 0.95, HERE), ("b", 3, 0.8, THERE), ("b", 3, 0.7, HERE))


def test_average_precision_worked_by_hand() -> None:
    found = evaluation.average_precision(RIGHT_WRONG_RIGHT, TWO, ["a", "b"])
    # Precision 1 up to recall 0.5 (51 of the 101 points), 2/3 up to recall 1 (50 points).
    heart, mean = found.row(3, named=True), found.row(14, named=True)
    assert heart["ap"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert (heart["class_name"], heart["truth"], heart["predictions"]) == ("Cardiomegaly", 2, 3)
    assert (mean["class_id"], mean["ap"]) == (None, pytest.approx(heart["ap"]))
    assert found["ap"].null_count() == 13


def test_overlap_decides_what_is_found() -> None:
    loose = predicted(("a", 3, 0.9, HALF))
    one = truth(("a", 3, HERE))
    assert evaluation.average_precision(loose, one, ["a"], min_iou=0.4)["ap"][3] == pytest.approx(1)
    assert evaluation.average_precision(loose, one, ["a"], min_iou=0.5)["ap"][3] == 0


def test_second_box_on_one_truth_is_wrong() -> None:
    matched = evaluation.match(predicted(("a", 3, 0.8, HERE), ("a", 3, 0.9, NEAR)), truth(("a", 3, HERE)))
    assert matched.select("confidence", "correct").rows() == [(0.9, True), (0.8, False)]


def test_a_box_of_another_class_or_image_is_wrong() -> None:
    said = predicted(("a", 0, 0.9, HERE), ("b", 3, 0.8, HERE))
    assert not evaluation.match(said, truth(("a", 3, HERE)))["correct"].any()


def test_a_box_on_a_normal_image_costs_precision() -> None:
    said = predicted(("normal", 3, 0.99, HERE), ("a", 3, 0.9, HERE))
    found = evaluation.average_precision(said, truth(("a", 3, HERE)), ["a", "normal"])
    assert found["ap"][3] == pytest.approx(0.5)
    assert evaluation.average_precision(said, truth(("a", 3, HERE)), ["a"])["ap"][3] == pytest.approx(1)


def test_no_prediction_finds_nothing_and_no_truth_has_no_figure() -> None:
    assert evaluation.average_precision(predicted(), TWO, ["a", "b"])["ap"].to_list()[3] == 0
    nothing = evaluation.average_precision(RIGHT_WRONG_RIGHT, truth(), ["a", "b"])
    assert nothing["ap"].null_count() == 15
    assert evaluation.average_precision(predicted(), truth(), [])["ap"].null_count() == 15


def test_pseudo_labels_are_strictly_above_the_threshold() -> None:
    said = predicted(("a", 3, 0.95, HERE), ("b", 3, 0.9, HERE), ("b", 0, 0.91, HERE))
    found = evaluation.pseudo_labels(evaluation.match(said, TWO), TWO, ["a", "b", "c"])
    everything = found.row(14, named=True)
    assert (everything["truth"], everything["labels"], everything["correct"]) == (2, 2, 1)
    assert (everything["precision"], everything["recall"]) == (0.5, 0.5)
    assert found.row(3, named=True)["precision"] == 1
    assert found.row(0, named=True)["precision"] == 0
    assert found.row(0, named=True)["recall"] is None


def test_thresholds_trade_labels_for_precision() -> None:
    found = evaluation.thresholds(evaluation.match(RIGHT_WRONG_RIGHT, TWO), TWO)
    at = {round(row["confidence"], 2): row for row in found.iter_rows(named=True)}
    assert (at[0.0]["labels"], at[0.0]["precision"], at[0.0]["recall"]) == (3, pytest.approx(2 / 3), 1.0)
    assert (at[0.9]["labels"], at[0.9]["precision"], at[0.9]["recall"]) == (1, 1.0, 0.5)
    assert (at[0.99]["labels"], at[0.99]["precision"]) == (0, None)


def test_calibration_counts_each_confidence_in_one_bin() -> None:
    said = predicted(("a", 3, 0.9, HERE), ("b", 3, 0.91, THERE), ("b", 3, 1.0, HERE), ("b", 0, 0.0, HERE))
    found = evaluation.calibration(evaluation.match(said, TWO), ["a", "b"])
    assert found["predictions"].to_list() == [1, 0, 0, 0, 0, 0, 0, 0, 1, 2]
    last = found.row(9, named=True)
    assert (last["low"], last["confidence"], last["correct"]) == (0.9, pytest.approx(0.955), 0.5)
    assert found["correct"][1] is None
    assert evaluation.calibration_error(found) == pytest.approx((0.0 + 0.1 + 2 * 0.455) / 4)
    assert evaluation.calibration_error(found.with_columns(predictions=0)) is None


def annotated(*rows: tuple[str, str, int, Box | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [(image, reader, class_id, *(box or (None,) * 4), 1000, 1000) for image, reader, class_id, box in rows],
        FINDINGS,
        orient="row",
    )


READ = annotated(
    ("a", "R1", 3, HERE),
    ("a", "R2", 3, NEAR),
    ("a", "R2", 3, THERE),
    ("a", "R3", 0, HERE),
    ("b", "R1", 14, None),
    ("b", "R2", 14, None),
)


def test_consensus_is_what_two_readers_drew() -> None:
    found = evaluation.consensus(READ)
    assert found.select("image_id", "class_id").rows() == [("a", 3)]
    assert found.select("x_min_norm", "x_max_norm").row(0) == pytest.approx((0.025, 0.225))
    assert evaluation.consensus(READ, min_readers=1).height == 3
    assert evaluation.consensus(READ.clear()).is_empty()


def test_each_reader_is_a_truth_of_its_own() -> None:
    found = evaluation.by_reader(predicted(("a", 3, 0.9, HERE)), READ, ["a", "b"])
    # R2 has two boxes, the prediction finds one: precision 1 up to recall 0.5.
    assert found.rows() == [
        ("R1", 2, 1, pytest.approx(1)),
        ("R2", 2, 2, pytest.approx(51 / 101)),
        ("R3", 1, 1, 0.0),
    ]


spots = st.builds(lambda x, y: (x / 10, y / 10, x / 10 + 0.2, y / 10 + 0.2), st.integers(0, 4), st.integers(0, 1))
known_boxes = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([0, 3]), spots), min_size=1, max_size=8, unique=True
)
confidences = st.integers(1, 99).map(lambda percent: percent / 100)
said_boxes = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 3, 5]), confidences, spots), max_size=10)


@settings(max_examples=60, deadline=None)
@given(known_boxes, said_boxes)
def test_interval_is_of_the_same_figure_as_coco(
    known: list[tuple[str, int, Box]], said: list[tuple[str, int, float, Box]]
) -> None:
    images = pl.Series(["a", "b", "c"])
    matched = evaluation.match(predicted(*said), truth(*known))
    own = evaluation._drawn_precision(matched, truth(*known), images, 1, 0)[:, 0]
    coco = evaluation._coco_precision(predicted(*said), truth(*known), images, 0.4)
    np.testing.assert_allclose(own, coco, atol=1e-9)


def test_intervals_hold_the_figure() -> None:
    rng = np.random.default_rng(1)
    images = [f"i{number:03}" for number in range(120)]
    known = truth(*((image, 3, HERE) for image in images))
    said = predicted(*((image, 3, 0.9 + 0.1 * rng.random(), HERE if rng.random() < 0.7 else THERE) for image in images))
    ap = evaluation.average_precision(said, known, images).row(3, named=True)
    labels = evaluation.pseudo_labels(evaluation.match(said, known), known, images).row(14, named=True)
    assert ap["ap_low"] < ap["ap"] < ap["ap_high"]
    assert labels["precision_low"] < labels["precision"] < labels["precision_high"]
    assert labels["precision_low"] > 0.5
    assert labels["precision_high"] < 0.9
