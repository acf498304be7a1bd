"""The queue: what readers differ on, what the model doubts, what is rare; and some by lot."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from radloop.feedback import queue
from radloop.tables import CLASS_ID, DETECTIONS, FEEDBACK, QUEUE

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BOX = (0.1, 0.1, 0.3, 0.3)
# class 3: both readers on nine images of ten; class 7: one of two; class 12: both, on one image
ANNOTATIONS = pl.DataFrame(
    [(f"a{n}", reader, 3) for n in range(9) for reader in ("R1", "R2")]
    + [("a9", "R1", 3), ("a9", "R2", None)]
    + [(f"b{n}", "R1", 7) for n in range(9)]
    + [(f"b{n}", "R2", None) for n in range(9)]
    + [("c", reader, 12) for reader in ("R1", "R2")],
    schema={"image_id": pl.String, "rad_id": pl.String, "class_id": CLASS_ID},
    orient="row",
)


def tables(*said: tuple, disputed: tuple = ()) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Feedback as (id, class, confidence); class None: nothing found."""
    feedback = [
        {"feedback_id": name, "image_id": f"i-{name}", "class_id": class_id, "confidence": p, "timestamp": NOON}
        for name, class_id, p in said
    ]
    found = [(name, f"i-{name}", class_id, p, *BOX) for name, class_id, p in said if class_id is not None]
    table = pl.DataFrame(feedback, schema=FEEDBACK).with_columns(disputed=pl.col("feedback_id").is_in(list(disputed)))
    return table, pl.DataFrame(found, schema=DETECTIONS, orient="row")


def order(*said: tuple, seed: int = 0, audit_share: float = 0.0, **known) -> pl.DataFrame:
    return queue.order(*tables(*said, **known), ANNOTATIONS, seed=seed, audit_share=audit_share)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(("x", 7, 0.6), ("y", 3, 0.6), id="readers differ on the class"),
        pytest.param(("x", 3, 0.6), ("y", 3, 0.95), id="the model is less sure"),
        pytest.param(("x", 12, 0.6), ("y", 3, 0.6), id="the class is rare"),
        pytest.param(("x", 3, 0.6), ("y", None, 0.99), id="something was found"),
    ],
)
def test_what_is_worth_more_comes_first(first, second):
    assert order(first, second)["feedback_id"].to_list() == ["x", "y"]
    assert order(second, first)["feedback_id"].to_list() == ["x", "y"]


def test_disputed_feedback_comes_before_all():
    ordered = order(("x", 7, 0.5), ("y", 3, 0.99), disputed=("y",))
    assert ordered.schema == QUEUE
    assert ordered.select("place", "feedback_id", "disputed").rows() == [(1, "y", True), (2, "x", False)]


def test_score_is_the_product_of_three_shares():
    ordered = order(("x", 7, 0.6), ("y", 12, 0.99))
    product = pl.col("disagreement") * pl.col("uncertainty") * pl.col("rarity")
    assert ordered.select((product - pl.col("score")).abs().max()).item() == pytest.approx(0)
    assert ordered.select(pl.all_horizontal(pl.col("disagreement", "uncertainty", "rarity").is_between(0.05, 1)).all())[
        0, 0
    ]


def test_a_tenth_of_the_places_is_drawn_by_lot_and_spread_over_the_queue():
    said = [(f"f{n}", 3, 0.5 + n / 300) for n in range(100)]
    ordered = order(*said, audit_share=0.1)
    places = ordered.filter("audit")["place"].to_list()
    assert len(places) == 10
    assert all(10 * n - 9 <= place <= 10 * n for n, place in enumerate(places, 1))
    assert sorted(ordered["feedback_id"]) == sorted(name for name, *_ in said)
    assert ordered["place"].to_list() == list(range(1, 101))


def test_order_follows_from_the_seed_alone():
    said = [(f"f{n}", 3, 0.6) for n in range(50)]
    one, again = order(*said, audit_share=0.2, seed=1), order(*reversed(said), audit_share=0.2, seed=1)
    assert one.equals(again)
    assert not one.equals(order(*said, audit_share=0.2, seed=2))


def test_nothing_to_look_at_is_an_empty_queue():
    assert order(audit_share=0.1).schema == QUEUE


def judged(*rows: tuple) -> pl.DataFrame:
    """Feedback as (id, image, split, held_out), a minute after each other."""
    return pl.DataFrame(
        [(*row, NOON + timedelta(minutes=minute)) for minute, row in enumerate(rows)],
        schema=["feedback_id", "image_id", "split", "held_out", "timestamp"],
        orient="row",
    )


def test_candidates_are_the_newest_feedback_of_each_image_that_may_train_and_is_not_settled():
    known = judged(
        ("old", "a", "production", None),
        ("new", "a", "production", None),
        ("held", "b", "test", "test"),
        ("copy", "c", "production", "test"),
        ("stranger", "d", None, None),
        ("settled", "e", "training", None),
        ("after", "e", "training", None),
        ("disputed", "f", "training", None),
        ("later", "f", "training", None),
    )
    standing = pl.DataFrame({"feedback_id": ["settled", "disputed"], "disputed": [False, True]})
    found = queue.candidates(known, standing)
    assert sorted(found.select("feedback_id", "disputed").rows()) == [("disputed", True), ("new", False)]
