"""Orders by name: each says what it is good for, and its figure is the one it is said to be."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from radloop.feedback import queue
from radloop.feedback.orders import ORDERS, wanted
from radloop.feedback.places import Places
from radloop.feedback.queue import Measured
from radloop.feedback.reliability import Reliable
from radloop.tables import CLASS_ID, DETECTIONS, FEEDBACK
from radloop.words import Order

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BOX = (0.1, 0.1, 0.3, 0.3)
# 20 images of training, class 3 on 10 of them and class 7 on one; in test class 7 is on every image
ANNOTATIONS = pl.DataFrame(
    [(f"a{n}", "R1", 3 if n < 10 else 7 if n == 10 else None, "training") for n in range(20)]
    + [(f"t{n}", "R1", 7, "test") for n in range(30)],
    schema={"image_id": pl.String, "rad_id": pl.String, "class_id": CLASS_ID, "split": pl.String},
    orient="row",
)
UNKNOWN = Measured()
WANTED = {3: 10 / 20, 7: 10 / 11, 9: 1.0}


def order(
    name: Order, *said: tuple[str, list], low: Sequence[tuple[str, int, float]] = (), measured: Measured = UNKNOWN
) -> dict[str, float]:
    """The score of each feedback, in the order of the queue; said: (id, boxes as (class, confidence))."""
    rows = [
        {
            "feedback_id": one,
            "image_id": f"i-{one}",
            "timestamp": NOON,
            "class_id": found[0][0] if found else None,
            "confidence": found[0][1] if found else 0.9,
            "model": "m",
        }
        for one, found in said
    ]
    boxes = [(one, f"i-{one}", class_id, p, *BOX) for one, found in said for class_id, p in found]
    ordered = queue.order(
        pl.DataFrame(rows, schema=FEEDBACK).with_columns(disputed=pl.lit(value=False)),
        pl.DataFrame(boxes, schema=DETECTIONS, orient="row"),
        ANNOTATIONS,
        low=pl.DataFrame(
            [(one, f"i-{one}", class_id, p, *BOX) for one, class_id, p in low], schema=DETECTIONS, orient="row"
        ),
        measured=measured,
        places=Places(order=name, audit_share=0.0),
        seed=0,
    )
    return dict(ordered.select("feedback_id", "score").iter_rows())


@pytest.mark.parametrize("name", ORDERS)
def test_every_order_says_in_one_sentence_what_it_is_good_for(name):
    assert 20 < len(ORDERS[name].says) < 90
    assert ORDERS[name].says[0].islower()
    assert ORDERS[name].says[-1] not in ".!"


def test_yield_is_expected_findings_that_are_wanted_a_second_of_reading():
    scores = order("yield", ("one", [(3, 0.8)]), ("two", [(3, 0.8), (7, 0.5)]), ("new", [(9, 0.3)]), ("none", []))
    none, one, several = UNKNOWN.seconds
    assert scores == pytest.approx(
        {
            "two": (0.8 * WANTED[3] + 0.5 * WANTED[7]) / (one + 0.3 * (several - one) / 2),
            "new": 0.3 * WANTED[9] / (none + 0.3 * (one - none)),
            "one": 0.8 * WANTED[3] / (none + 0.8 * (one - none)),
            "none": 0.0,
        }
    )
    assert next(iter(scores)) == max(("two", "new"), key=scores.get)


def test_yield_goes_by_how_often_boxes_were_right_and_by_this_hospitals_times():
    steps = np.array([0.0, 1.0]), np.array([0.0, 0.5])
    measured = Measured({("m", ""): Reliable(*steps, pl.DataFrame())}, (5.0, 10.0, 40.0))
    scores = order("yield", ("one", [(7, 0.8)]), measured=measured)
    assert scores["one"] == pytest.approx(0.4 * WANTED[7] / (5 + 0.4 * 5))


def test_yield_looks_at_boxes_below_what_counts_as_found_also_where_nothing_was():
    """There most of what is rare hides; images with nothing found have no places apart."""
    found, low = [("sure", [(3, 0.3)]), ("empty", [])], [("empty", 9, 0.2)]
    scores = order("yield", *found, low=low)
    assert list(scores) == ["empty", "sure"]
    assert list(order("uncertainty", *found, low=low)) == ["sure", "empty"]


def test_a_class_of_ten_images_wants_labels_half_as_much_as_a_new_one():
    images = pl.DataFrame({"images": [None, 0, 10, 90]})
    assert images.select(wanted(pl.col("images"))).to_series().to_list() == [1.0, 1.0, 0.5, 0.1]


def test_uncertainty_is_that_of_the_least_certain_box():
    scores = order("uncertainty", ("sure", [(9, 0.99)]), ("unsure", [(3, 0.99), (3, 0.5)]))
    assert list(scores) == ["unsure", "sure"]
    assert scores["unsure"] == 1.0


def test_random_goes_by_the_lot_and_nothing_else():
    said = [(f"f{n}", [(3, 0.5)] * (n % 3)) for n in range(30)]
    assert list(order("random", *said)) == list(order("random", *((one, [(7, 0.9)]) for one, _ in said)))
    assert list(order("random", *said)) != sorted(one for one, _ in said)
