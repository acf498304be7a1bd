"""Suspects: where a detector that is known and the readers differ, each of its kind; nowhere else."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.feedback import suspects
from radloop.feedback.reliability import Reliable
from radloop.feedback.suspects import ALONE, CLASS, MISSED, PLACED, SUSPECTS
from radloop.tables import CLASS_ID, DETECTIONS, EDGES, FEEDBACK
from radloop.taxonomy import Taxonomy

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HERE, ASIDE, AWAY = (0.1, 0.1, 0.3, 0.3), (0.2, 0.1, 0.4, 0.3), (0.6, 0.6, 0.8, 0.8)  # HERE and ASIDE: IoU 1/3
READINGS = {"image_id": pl.String, "rad_id": pl.String, "class_id": CLASS_ID, **dict.fromkeys(EDGES, pl.Float64)}
# right as often as it says; of class 3 it finds nine of ten, of class 5 one of ten
KNOWN = {
    ("m", ""): Reliable(
        np.array([0.0, 1.0]),
        np.array([0.0, 1.0]),
        pl.DataFrame(
            {"class_id": [3] * 1000 + [5] * 1000, "confidence": [0.9] * 900 + [0.0] * 100 + [0.9] * 100 + [0.0] * 900}
        ),
    )
}


def find(seen: list, drawn: list, *, readers: tuple = ("R1", "R2"), known=KNOWN, **changes) -> pl.DataFrame:
    """SUSPECTS of one image: what the model has `seen` (class, confidence, box) and every reader drew (class, box)."""
    row = {"feedback_id": "f", "image_id": "i", "timestamp": NOON, "model": "m", "complete": True} | changes
    found = [("f", "i", class_id, p, *box) for class_id, p, box in seen]
    rows = [("i", reader, class_id, *box) for reader in readers for class_id, box in drawn or [(None, (None,) * 4)]]
    return suspects.find(
        pl.DataFrame([row], schema=FEEDBACK),
        pl.DataFrame(found, schema=DETECTIONS, orient="row"),
        pl.DataFrame(rows, schema=READINGS, orient="row"),
        known,
    )


@pytest.mark.parametrize(
    ("model", "drawn", "kinds"),
    [
        pytest.param([(3, 0.9, HERE)], [(3, HERE)], [], id="they agree"),
        pytest.param([], [], [], id="nobody sees anything"),
        pytest.param([(3, 0.9, HERE)], [], [(MISSED, 3, 3, HERE)], id="the readers drew nothing"),
        pytest.param([(3, 0.2, HERE)], [], [], id="what the model doubts is nothing"),
        pytest.param([], [(3, HERE)], [(ALONE, 3, None, HERE)], id="the model found nothing"),
        pytest.param([(5, 0.9, HERE)], [(3, HERE)], [(CLASS, 3, 5, HERE)], id="another class at this place"),
        pytest.param([(5, 0.9, ASIDE)], [(3, HERE)], [(MISSED, 5, 5, ASIDE), (ALONE, 3, None, HERE)], id="two things"),
        pytest.param([(3, 0.9, ASIDE)], [(3, HERE)], [(PLACED, 3, 3, HERE)], id="the same aside"),
        pytest.param([(3, 0.9, AWAY)], [(3, HERE)], [(MISSED, 3, 3, AWAY), (ALONE, 3, None, HERE)], id="elsewhere"),
        pytest.param([(3, 0.9, HERE), (3, 0.8, ASIDE)], [(3, HERE)], [], id="a finding shown twice"),
        pytest.param([(3, 0.9, HERE), (5, 0.8, HERE)], [(3, HERE)], [(MISSED, 5, 5, HERE)], id="one class more"),
    ],
)
def test_each_difference_has_its_kind_and_its_box(model, drawn, kinds):
    found = find(model, drawn)
    assert found.schema == SUSPECTS
    told = [(*row[:3], row[3:]) for row in found.select("suspicion", "class_id", "model_class_id", *EDGES).rows()]
    assert sorted(told, key=str) == sorted(kinds, key=str)
    assert found["suspected"].is_between(0, 1).all()
    assert found["suspected"].to_list() == sorted(found["suspected"], reverse=True)


def test_score_is_how_surprising_the_label_is():
    def score(model: list, drawn: list) -> float:
        return find(model, drawn)["suspected"].item()

    assert score([(3, 0.9, HERE)], []) == pytest.approx(0.9)
    assert score([], [(3, HERE)]) == pytest.approx(0.9, abs=0.01)
    assert score([], [(5, HERE)]) == pytest.approx(0.1, abs=0.01)  # it seldom finds what is there
    assert score([(5, 0.9, HERE)], [(3, HERE)]) == pytest.approx(1 - 0.1 * 0.1, abs=0.01)  # both would have to be wrong
    assert score([(5, 0.9, HERE)], [(5, ASIDE)]) == pytest.approx(1 - 0.1 * 0.9, abs=0.01)


def test_box_that_the_model_doubts_makes_the_readers_less_suspect():
    known = {("m", ""): Reliable(np.array([0.0, 1.0]), np.array([0.0, 1.0]), _spread())}
    alone = [find(model, [(3, HERE)], known=known)["suspected"].item() for model in ([], [(3, 0.2, HERE)])]
    assert alone == pytest.approx([1.0, 0.8], abs=0.02)


def _spread() -> pl.DataFrame:
    return pl.DataFrame({"class_id": [3] * 999, "confidence": [n / 1000 for n in range(1, 1000)]})


@pytest.mark.parametrize(
    ("drawn", "changes"),
    [
        pytest.param([(3, HERE)], {"readers": ()}, id="nobody has read it"),
        pytest.param([(3, HERE)], {"model": "another"}, id="a detector that is not known"),
        pytest.param([(3, HERE)], {"known": {}}, id="no detector is known"),
        pytest.param([(3, HERE)], {"complete": False}, id="only the top box is told"),
    ],
)
def test_nothing_is_suspected_where_nothing_is_known(drawn, changes):
    assert find([], drawn, **changes).is_empty()


def test_box_of_one_reader_of_two_is_not_what_the_readers_say():
    rows = [("i", "R1", 3, *HERE), ("i", "R2", None, *[None] * 4)]
    row = {"feedback_id": "f", "image_id": "i", "timestamp": NOON, "model": "m", "complete": True}
    for model, kinds in (([], []), ([("f", "i", 3, 0.9, *HERE)], [MISSED])):
        found = suspects.find(
            pl.DataFrame([row], schema=FEEDBACK),
            pl.DataFrame(model, schema=DETECTIONS, orient="row"),
            pl.DataFrame(rows, schema=READINGS, orient="row"),
            KNOWN,
        )
        assert found["suspicion"].to_list() == kinds


def test_worst_is_one_of_each_image_and_more_surprising_than_not():
    both = find([(3, 0.9, AWAY), (5, 0.8, ASIDE), (5, 0.4, HERE)], [])
    assert both["suspected"].to_list() == pytest.approx([0.9, 0.8, 0.4])
    assert suspects.worst(both)["class_id"].to_list() == [3]
    assert suspects.worst(both.tail(1)).is_empty()


def test_words_name_what_each_side_says():
    classes = Taxonomy(("Mass", "Nodule"))
    row = {"class_id": 0, "model_class_id": 1}
    assert suspects.says({**row, "suspicion": CLASS}, classes) == (
        "another class? The readers drew Mass, the model sees Nodule at the same place."
    )
    assert "model sees nothing" in suspects.says({**row, "suspicion": ALONE, "model_class_id": None}, classes)


BOXES = st.lists(
    st.tuples(st.sampled_from([3, 5, 7]), st.sampled_from([0.1, 0.4, 0.9]), st.sampled_from([HERE, ASIDE, AWAY])),
    max_size=5,
)


@settings(max_examples=40)
@given(model=BOXES, drawn=BOXES, complete=st.booleans())
def test_order_of_rows_changes_nothing_and_every_box_is_suspected_once_at_most(model, drawn, complete):
    pairs = [(class_id, box) for class_id, _, box in drawn]
    found = find(model, pairs, complete=complete)
    assert found.equals(find(model[::-1], pairs[::-1], complete=complete))
    mine = found.filter(pl.col("suspicion") != ALONE)
    assert mine.height <= sum(p > 0.25 for _, p, _ in model)
    assert set(mine["model_class_id"]) <= {class_id for class_id, *_ in model}
    assert complete or ALONE not in found["suspicion"]
