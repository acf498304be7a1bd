"""Evaluation against hand-worked cases, and the interval's own precision against faster-coco-eval's."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import taxonomies
from radloop.measures import calibration, evaluation
from radloop.tables import DETECTIONS, FINDINGS, TRUTH
from radloop.taxonomy import Taxonomy

Box = tuple[float, float, float, float]
HERE, THERE = (0.0, 0.0, 0.2, 0.2), (0.6, 0.6, 0.8, 0.8)
NEAR = (0.05, 0.0, 0.25, 0.2)  # IoU 0.6 with HERE
HALF = (0.0, 0.0, 0.2, 0.09)  # IoU 0.45 with HERE


def truth(*rows: tuple[str, int, Box]) -> pl.DataFrame:
    return pl.DataFrame([(image, class_id, *box) for image, class_id, box in rows], TRUTH, orient="row")


def predicted(*rows: tuple[str, int, float, Box]) -> pl.DataFrame:
    return pl.DataFrame(
        [("f", image, class_id, confidence, *box) for image, class_id, confidence, box in rows],
        DETECTIONS,
        orient="row",
    )


def looked(*names: str) -> pl.DataFrame:
    """Images that are a group each."""
    return pl.DataFrame({"image_id": names, "group": names}, schema={"image_id": pl.String, "group": pl.String})


TWO = truth(("a", 3, HERE), ("b", 3, HERE))
RIGHT_WRONG_RIGHT = predicted(("a", 3, 0.95, HERE), ("b", 3, 0.8, THERE), ("b", 3, 0.7, HERE))


def test_average_precision_worked_by_hand(classes: Taxonomy) -> None:
    found = evaluation.average_precision(RIGHT_WRONG_RIGHT, TWO, looked("a", "b"), classes)
    # Precision 1 up to recall 0.5 (51 of the 101 points), 2/3 up to recall 1 (50 points).
    heart, mean = found.row(3, named=True), found.row(len(classes), named=True)
    assert heart["ap"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert (heart["class_name"], heart["truth"], heart["predictions"]) == (classes.names[3], 2, 3)
    assert (mean["class_id"], mean["class_name"], mean["ap"]) == (None, None, pytest.approx(heart["ap"]))
    assert found["class_id"].to_list() == [*range(len(classes)), None]
    assert found["ap"].null_count() == len(classes) - 1


def test_overlap_decides_what_is_found(classes: Taxonomy) -> None:
    loose = predicted(("a", 3, 0.9, HALF))
    one = truth(("a", 3, HERE))
    assert evaluation.average_precision(loose, one, looked("a"), classes, min_iou=0.4)["ap"][3] == pytest.approx(1)
    assert evaluation.average_precision(loose, one, looked("a"), classes, min_iou=0.5)["ap"][3] == 0


def test_second_box_on_one_truth_is_wrong() -> None:
    matched = evaluation.match(predicted(("a", 3, 0.8, HERE), ("a", 3, 0.9, NEAR)), truth(("a", 3, HERE)))
    assert matched.select("confidence", "correct").rows() == [(0.9, True), (0.8, False)]


def test_a_box_of_another_class_or_image_is_wrong() -> None:
    said = predicted(("a", 0, 0.9, HERE), ("b", 3, 0.8, HERE))
    assert not evaluation.match(said, truth(("a", 3, HERE)))["correct"].any()


def test_a_box_on_a_normal_image_costs_precision(classes: Taxonomy) -> None:
    said = predicted(("normal", 3, 0.99, HERE), ("a", 3, 0.9, HERE))
    found = evaluation.average_precision(said, truth(("a", 3, HERE)), looked("a", "normal"), classes)
    assert found["ap"][3] == pytest.approx(0.5)
    assert evaluation.average_precision(said, truth(("a", 3, HERE)), looked("a"), classes)["ap"][3] == pytest.approx(1)


def test_no_prediction_finds_nothing_and_no_truth_has_no_figure(classes: Taxonomy) -> None:
    assert evaluation.average_precision(predicted(), TWO, looked("a", "b"), classes)["ap"].to_list()[3] == 0
    nothing = evaluation.average_precision(RIGHT_WRONG_RIGHT, truth(), looked("a", "b"), classes)
    assert nothing["ap"].null_count() == len(classes) + 1
    assert evaluation.average_precision(predicted(), truth(), looked(), classes)["ap"].null_count() == len(classes) + 1


def test_mean_is_over_the_classes_that_have_truth_and_no_other(classes: Taxonomy) -> None:
    known = truth(("a", 0, HERE), ("a", 3, HERE))
    said = predicted(("a", 0, 0.9, HERE), ("a", 5, 0.99, HERE))
    found = evaluation.average_precision(said, known, looked("a"), classes)
    assert found.drop_nulls("ap").select("class_id", "ap").rows() == [(0, 1.0), (3, 0.0), (None, 0.5)]
    assert found["truth"].sum() == 2 * 2
    assert found.row(5, named=True)["predictions"] == 1


def test_what_lies_on_other_images_is_not_counted(classes: Taxonomy) -> None:
    found = evaluation.average_precision(RIGHT_WRONG_RIGHT, TWO, looked("a"), classes).row(3, named=True)
    assert (found["truth"], found["predictions"], found["ap"]) == (1, 1, pytest.approx(1))
    matched = evaluation.match(RIGHT_WRONG_RIGHT, TWO)
    labels = evaluation.pseudo_labels(matched, TWO, looked("a"), classes, min_confidence=0.0).row(3, named=True)
    assert (labels["truth"], labels["labels"], labels["correct"]) == (1, 1, 1)
    assert calibration.calibration(matched, looked("a"))["predictions"].sum() == 1


def test_a_thousand_classes_are_judged() -> None:
    many = Taxonomy(tuple(f"class {number}" for number in range(1000)))
    known = truth(*((image, class_id, HERE) for class_id in (0, 500, 999) for image in ("a", "b")))
    said = predicted(*((image, class_id, 0.9, HERE) for class_id in (0, 999) for image in ("a", "b")))
    found = evaluation.average_precision(said, known, looked("a", "b"), many)
    assert found.drop_nulls("ap").select("class_id", "ap").rows() == [
        (0, pytest.approx(1)),
        (500, 0.0),
        (999, pytest.approx(1)),
        (None, pytest.approx(2 / 3)),
    ]


def test_pseudo_labels_are_strictly_above_the_threshold(classes: Taxonomy) -> None:
    said = predicted(("a", 3, 0.95, HERE), ("b", 3, 0.9, HERE), ("b", 0, 0.91, HERE))
    matched = evaluation.match(said, TWO)
    found = evaluation.pseudo_labels(matched, TWO, looked("a", "b", "c"), classes, min_confidence=0.9)
    everything = found.row(len(classes), named=True)
    assert (everything["truth"], everything["labels"], everything["correct"]) == (2, 2, 1)
    assert (everything["precision"], everything["recall"]) == (0.5, 0.5)
    assert found.row(3, named=True)["precision"] == 1
    assert found.row(0, named=True)["precision"] == 0
    assert found.row(0, named=True)["recall"] is None
    every = evaluation.pseudo_labels(matched, TWO, looked("a", "b", "c"), classes, min_confidence=0.5).row(
        -1, named=True
    )
    assert (every["labels"], every["correct"], every["recall"]) == (3, 2, 1.0)


def test_thresholds_trade_labels_for_precision() -> None:
    found = evaluation.thresholds(evaluation.match(RIGHT_WRONG_RIGHT, TWO), TWO)
    at = {round(row["confidence"], 2): row for row in found.iter_rows(named=True)}
    assert (at[0.0]["labels"], at[0.0]["precision"], at[0.0]["recall"]) == (3, pytest.approx(2 / 3), 1.0)
    assert (at[0.9]["labels"], at[0.9]["precision"], at[0.9]["recall"]) == (1, 1.0, 0.5)
    assert (at[0.99]["labels"], at[0.99]["precision"]) == (0, None)
    assert [at[step]["labels"] for step in (0.95, 0.94, 0.8, 0.7)] == [0, 1, 1, 2]  # strictly above


def test_calibration_counts_each_confidence_in_one_bin() -> None:
    said = predicted(("a", 3, 0.9, HERE), ("b", 3, 0.91, THERE), ("b", 3, 1.0, HERE), ("b", 0, 0.0, HERE))
    found = calibration.calibration(evaluation.match(said, TWO), looked("a", "b"))
    assert found["predictions"].to_list() == [1, 0, 0, 0, 0, 0, 0, 0, 1, 2]
    last = found.row(9, named=True)
    assert (last["low"], last["confidence"], last["correct"]) == (0.9, pytest.approx(0.955), 0.5)
    assert found["correct"][1] is None
    assert calibration.error(found) == pytest.approx((0.0 + 0.1 + 2 * 0.455) / 4)
    assert calibration.error(found.with_columns(predictions=0)) is None


def test_a_perfect_detector_stays_under_the_calibration_floor_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(3)
    names = [f"i{n}" for n in range(43)]  # as few boxes as a small test split has
    matched = pl.DataFrame({"image_id": names, "confidence": rng.uniform(0.25, 1, 43)})
    usual, most = calibration.floor(matched.with_columns(correct=True), looked(*names))
    errors = []
    for _ in range(300):
        right = pl.Series("correct", rng.random(43) < matched["confidence"].to_numpy())
        errors.append(calibration.error(calibration.calibration(matched.with_columns(right), looked(*names))))
    assert np.mean(errors) == pytest.approx(usual, rel=0.05)
    assert np.mean(np.array(errors) <= most) == pytest.approx(0.95, abs=0.03)
    assert 0.05 < usual < most
    sure = matched.with_columns(confidence=pl.lit(0.99), correct=pl.Series(rng.random(43) < 0.6))
    assert calibration.error(calibration.calibration(sure, looked(*names))) > calibration.floor(sure, looked(*names))[1]
    assert calibration.floor(matched.head(0), looked(*names)) is None


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    from benchmarks import interval_coverage

    found = interval_coverage.coverage(80, seed=1).filter(pl.col("figure") != "mAP")
    for (figure,), told in found.filter(pl.col("intervals") > 0).group_by("figure", maintain_order=True):
        intervals = int(told["intervals"].sum())
        covering = round((told["covers"] * told["intervals"]).sum())
        assert intervals > 40
        assert stats.binomtest(covering, intervals, 0.95).pvalue > 0.001, (figure, covering, intervals)
    assert found.filter(figure="ap", boxes="5 to 19")["intervals"].item() == 0


def annotated(*rows: tuple[str, str, int | None, Box | None]) -> pl.DataFrame:
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
    ("b", "R1", None, None),
    ("b", "R2", None, None),
)


def test_each_reader_is_a_truth_of_its_own(classes: Taxonomy) -> None:
    found = evaluation.by_reader(predicted(("a", 3, 0.9, HERE)), READ, looked("a", "b"), classes)
    # R2 has two boxes, the prediction finds one: precision 1 up to recall 0.5.
    assert found.rows() == [
        ("R1", 2, 1, pytest.approx(1), True),
        ("R2", 2, 2, pytest.approx(51 / 101), True),
        ("R3", 1, 1, 0.0, True),
    ]
    normal = evaluation.by_reader(predicted(("b", 3, 0.9, HERE)), READ, looked("b"), classes)
    assert normal.rows() == [("R1", 1, 0, None, True), ("R2", 1, 0, None, True)]


def test_a_reader_is_asked_about_the_images_that_this_reader_read_alone(classes: Taxonomy) -> None:
    read = annotated(("a", "R1", 3, HERE), ("b", "R2", 3, HERE))
    found = evaluation.by_reader(predicted(("b", 3, 0.99, THERE), ("a", 3, 0.9, HERE)), read, looked("a", "b"), classes)
    assert found.rows() == [("R1", 1, 1, pytest.approx(1), True), ("R2", 1, 1, 0.0, True)]


spots = st.builds(lambda x, y: (x / 10, y / 10, x / 10 + 0.2, y / 10 + 0.2), st.integers(0, 4), st.integers(0, 1))
known_boxes = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([0, 3]), spots), min_size=1, max_size=8, unique=True
)
confidences = st.integers(1, 99).map(lambda percent: percent / 100)
said_boxes = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 3, 5]), confidences, spots), max_size=10)


@settings(max_examples=60, deadline=None)
@given(known_boxes, said_boxes, st.sampled_from(list(taxonomies.EVERY.values())))
def test_interval_is_of_the_same_figure_as_coco(
    known: list[tuple[str, int, Box]], said: list[tuple[str, int, float, Box]], classes: Taxonomy
) -> None:
    here = evaluation.Looked(looked("a", "b", "c"))
    matched = evaluation.match(predicted(*said), truth(*known))
    own = evaluation._drawn_precision(matched, here.counts(truth(*known), classes), here, 1, 0)[:, 0]
    coco = evaluation._coco_precision(predicted(*said), truth(*known), classes, 0.4)
    np.testing.assert_allclose(own, coco, atol=1e-9)


def test_intervals_hold_the_figure(classes: Taxonomy) -> None:
    rng = np.random.default_rng(1)
    images = [f"i{number:03}" for number in range(120)]
    known = truth(*((image, 3, HERE) for image in images))
    said = predicted(*((image, 3, 0.9 + 0.1 * rng.random(), HERE if rng.random() < 0.7 else THERE) for image in images))
    ap = evaluation.average_precision(said, known, looked(*images), classes).row(3, named=True)
    matched = evaluation.match(said, known)
    labels = evaluation.pseudo_labels(matched, known, looked(*images), classes, min_confidence=0.9).row(-1, named=True)
    assert ap["ap_low"] < ap["ap"] < ap["ap_high"]
    assert labels["precision_low"] < labels["precision"] < labels["precision_high"]
    assert labels["precision_low"] > 0.5
    assert labels["precision_high"] < 0.9


def test_intervals_are_the_same_however_few_draws_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [f"i{number}" for number in range(30)]
    known = truth(*((image, 3, HERE) for image in images))
    said = predicted(
        *((image, 3, 0.5 + place / 100, HERE if place % 3 else THERE) for place, image in enumerate(images))
    )
    whole = evaluation.average_precision(said, known, looked(*images), taxonomies.SPINE)
    monkeypatch.setattr(evaluation.bootstrap, "AT_ONCE", 100)  # three draws
    assert evaluation.average_precision(said, known, looked(*images), taxonomies.SPINE).equals(whole)
