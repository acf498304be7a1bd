"""How far a detector can be believed: by held-out images alone, never surer for more doubt, never certain of few."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.feedback import reliability
from radloop.feedback.reliability import LEAST
from radloop.tables import CLASS_ID, DETECTIONS, EDGES, FEEDBACK

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BOX = (0.1, 0.1, 0.3, 0.3)


def looked(*said: tuple[float | None, bool], split: str = "test", drawn: int = 3, model: str | None = "m"):
    """Images with one box each: its confidence (None: none) and whether the readers drew that very box (`drawn`)."""
    feedback = pl.DataFrame(
        [{"feedback_id": f"f{n}", "image_id": f"i{n}", "timestamp": NOON, "model": model} for n in range(len(said))],
        schema=FEEDBACK,
    ).with_columns(split=pl.lit(split), other_picture=pl.lit(value=False))
    found = [(f"f{n}", f"i{n}", 3, p, *BOX) for n, (p, _) in enumerate(said) if p is not None]
    rows = [(f"i{n}", "R1", *((drawn, *BOX) if there else [None] * 5)) for n, (_, there) in enumerate(said)]
    readings = pl.DataFrame(
        rows,
        schema={"image_id": pl.String, "rad_id": pl.String, "class_id": CLASS_ID, **dict.fromkeys(EDGES, pl.Float64)},
        orient="row",
    )
    return feedback, pl.DataFrame(found, schema=DETECTIONS, orient="row"), readings


def test_share_of_right_boxes_and_of_found_ones_is_told():
    said = [(0.9, True)] * 30 + [(0.3, False)] * 20 + [(0.3, True)] * 10 + [(None, True)] * 10
    one = reliability.of(*looked(*said))["m", ""]
    low, high = one.is_right(np.array([0.3, 0.9]))
    assert low == pytest.approx(1 / 3, abs=0.03)  # 10 of 30, drawn inwards
    assert 0.95 < high < 1  # 30 of 30 are not certain
    assert one.is_right(np.array([0.05, 0.99])).tolist() == [low, high]
    found = one.finds(np.array([3, 3, 3]), np.array([0.0, 0.3, 0.9]))
    assert found.tolist() == pytest.approx([0.8, 0.6, 0.0])  # 40, 30 and none of 50


def test_class_of_few_boxes_is_drawn_towards_all():
    said = [(0.9, True)] * 40
    feedback, found, readings = looked(*said)
    rare = pl.col("image_id") == "i0"  # drawn as class 7, and not found as that
    readings = readings.with_columns(class_id=pl.when(rare).then(pl.lit(7, CLASS_ID)).otherwise("class_id"))
    one = reliability.of(feedback, found, readings)["m", ""]
    common, seldom = one.finds(np.array([3, 7]), np.zeros(2))
    assert common == pytest.approx(1, abs=0.01)
    assert seldom == pytest.approx(10 * 39 / 40 / 11)  # none of 1, and ten boxes of the usual share
    assert one.finds(np.array([9]), np.zeros(1)).item() == pytest.approx(39 / 40)


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        pytest.param([(0.9, True)] * (LEAST - 1), {}, id="too few boxes"),
        pytest.param([(0.9, False)] * 99, {}, id="too little truth"),
        pytest.param([(0.9, True)] * 99, {"split": "training"}, id="training"),
        pytest.param([(0.9, True)] * 99, {"split": "production"}, id="production"),
        pytest.param([(0.9, True)] * 99, {"split": "staging"}, id="staging: it compares models"),
    ],
)
def test_nothing_is_told_of_a_detector_that_is_not_known(said, changes):
    assert reliability.of(*looked(*said, **changes)) == {}


def test_detectors_are_known_apart():
    feedback, found, readings = looked(*[(0.9, True)] * 30)
    other = feedback.with_columns(feedback_id="g" + pl.col("feedback_id"), model=pl.lit("worse"))
    both = pl.concat([found, found.with_columns(feedback_id="g" + pl.col("feedback_id"), class_id=pl.lit(5, CLASS_ID))])
    known = reliability.of(pl.concat([other, feedback]), both, readings)
    assert list(known) == [("m", ""), ("worse", "")]
    assert known["worse", ""].is_right(np.array([0.9])).item() < 0.05 < known["m", ""].is_right(np.array([0.9])).item()


@settings(max_examples=25)
@given(said=st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=60, max_size=80))
def test_surer_boxes_are_never_less_likely_right_and_row_order_changes_nothing(said):
    tables = looked(*said)
    known = reliability.of(*tables)
    again = reliability.of(*(table.reverse() for table in tables))
    assert list(known) == list(again)
    at = np.linspace(0, 1, 21)
    for name, one in known.items():
        right = one.is_right(at)
        assert (np.diff(right) >= 0).all()
        assert ((right > 0) & (right < 1)).all()
        assert right.tolist() == again[name].is_right(at).tolist()
        assert (np.diff(one.finds(np.full(21, 3), at)) <= 0).all()
