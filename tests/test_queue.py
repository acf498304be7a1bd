"""The queue: what readers differ on, what the model doubts, what is rare; what it may have missed; and some by lot."""

from datetime import UTC, datetime, timedelta
from math import floor, log
from typing import get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.feedback import audit, queue
from radloop.feedback.orders import ORDERS
from radloop.feedback.places import Places
from radloop.feedback.suspects import MISSED
from radloop.tables import CLASS_ID, DETECTIONS, FEEDBACK, QUEUE, WAITING
from radloop.words import Order

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BOX = (0.1, 0.1, 0.3, 0.3)
NO_LOT = Places(audit_share=0.0)
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


def order(*said: tuple, disputed: tuple = (), audit_share: float = 0.0, seed: int = 0, **shares) -> pl.DataFrame:
    places = Places(audit_share=audit_share, **shares)
    return queue.order(*tables(*said, disputed=disputed), ANNOTATIONS, seed=seed, places=places)


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
    assert ordered.select("place", "feedback_id", "kind").rows() == [(1, "y", "disputed"), (2, "x", "score")]


def test_score_is_the_product_of_three_shares():
    ordered = order(("x", 7, 0.6), ("y", 12, 0.99))
    product = pl.col("disagreement") * pl.col("uncertainty") * pl.col("rarity")
    assert ordered.select((product - pl.col("score")).abs().max()).item() == pytest.approx(0)
    assert ordered.select(pl.all_horizontal(pl.col("disagreement", "uncertainty", "rarity").is_between(0.05, 1)).all())[
        0, 0
    ]


def test_places_by_lot_are_spread_over_the_queue():
    said = [(f"f{n}", 3, 0.5 + n / 2000) for n in range(1000)]
    ordered = order(*said, audit_share=0.1)
    places = ordered.filter(kind="lot")["place"].to_list()
    assert 70 < len(places) < 130  # a lot of its own for each
    assert all(10 * n - 9 <= place <= 10 * n + 1 for n, place in enumerate(places[:90], 1))


def test_images_with_nothing_found_come_by_how_nearly_something_was():
    said = [*((f"n{n}", None, 0.75 + n / 100) for n in range(20)), *((f"f{n}", 3, 0.6) for n in range(80))]
    ordered = order(*said, nothing_share=0.2)
    nothing = ordered.filter(kind="nothing found")
    assert nothing["feedback_id"].to_list() == [f"n{n}" for n in range(20)]
    assert nothing["missed"].to_list() == pytest.approx([0.25 - n / 100 for n in range(20)])
    assert nothing["place"].to_list() == list(range(5, 101, 5))
    assert ordered.filter(kind="score")["missed"].null_count() == 80


def test_boxes_below_what_counts_as_found_add_up_by_class():
    feedback, detections = tables(("one", None, 0.76), ("two", None, 0.8), ("twice", None, 0.8))
    boxes = [("two", 3, 0.2), ("two", 7, 0.1), ("twice", 3, 0.2), ("twice", 3, 0.15)]
    low = pl.DataFrame([(name, f"i-{name}", *box, *BOX) for name, *box in boxes], schema=DETECTIONS, orient="row")
    ordered = queue.order(feedback, detections, ANNOTATIONS, low=low, seed=0, places=NO_LOT)
    assert ordered["feedback_id"].to_list() == ["two", "one", "twice"]
    assert ordered["missed"].to_list() == pytest.approx([0.28, 0.24, 0.2])
    assert set(ordered["kind"]) == {"nothing found"}


def test_what_another_detector_saw_where_this_one_found_nothing_counts():
    feedback, detections = tables(("near", None, 0.76), ("elsewhere", None, 0.99))
    other = pl.DataFrame([("older", "i-elsewhere", 3, 0.8, *BOX)], schema=DETECTIONS, orient="row")
    ordered = queue.order(feedback, pl.concat([detections, other]), ANNOTATIONS, seed=0, places=NO_LOT)
    assert ordered.select("feedback_id", "missed").rows() == [
        ("elsewhere", pytest.approx(0.8)),
        ("near", pytest.approx(0.24)),
    ]


FEEDBACK_SAID = st.lists(
    st.tuples(st.sampled_from([None, 3, 7, 12]), st.floats(0, 1), st.booleans()), min_size=1, max_size=60
)


@settings(max_examples=50)
@given(
    said=FEEDBACK_SAID,
    audit_share=st.sampled_from([0, 0.1, 0.3]),
    nothing_share=st.sampled_from([0, 0.2, 0.7]),
    name=st.sampled_from([name for name, one in ORDERS.items() if one.score]),
)
def test_every_feedback_is_in_the_queue_once_and_every_beginning_has_its_share_of_each_kind(
    said, audit_share, nothing_share, name
):
    rows = [(f"f{n}", class_id, p) for n, (class_id, p, _) in enumerate(said)]
    disputed = tuple(f"f{n}" for n, (*_, contested) in enumerate(said) if contested)
    ordered = order(*rows, disputed=disputed, audit_share=audit_share, nothing_share=nothing_share, order=name)
    assert ordered["place"].to_list() == list(range(1, len(said) + 1))
    assert sorted(ordered["feedback_id"]) == sorted(name for name, *_ in rows)
    assert set(ordered.filter(kind="disputed")["feedback_id"]) == set(disputed)
    assert set(ordered.head(len(disputed))["kind"]) <= {"disputed"}
    kinds = ordered["kind"].to_list()[len(disputed) :]
    shares = {"lot": audit_share, "nothing found": nothing_share, "score": 1 - audit_share - nothing_share}
    for length in range(1, len(kinds) + 1):
        for kind, share in shares.items():
            assert kinds[:length].count(kind) >= min(kinds.count(kind), floor(share * length + 1e-9) - 1)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    said=FEEDBACK_SAID,
    name=st.sampled_from(get_args(Order)),
    doubted=st.dictionaries(st.integers(0, 59), st.floats(0.5, 1), max_size=20),
)
def test_any_order_is_a_permutation_whatever_the_order_of_rows_and_keeps_the_places_of_the_lot(said, name, doubted):
    rows = [(f"f{n}", class_id, p) for n, (class_id, p, _) in enumerate(said)]
    suspects = pl.DataFrame(
        [(f"f{n}", MISSED, score) for n, score in doubted.items() if n < len(said)],
        schema={"feedback_id": pl.String, "suspicion": pl.String, "suspected": pl.Float64},
        orient="row",
    )
    places = Places(order=name, audit_share=0.2, suspect_share=0.1)
    ordered, again = (
        queue.order(*tables(*some), ANNOTATIONS, suspects=told, seed=4, places=places)
        for some, told in ((rows, suspects), (rows[::-1], suspects.reverse()))
    )
    assert ordered.equals(again)
    assert sorted(ordered["feedback_id"]) == sorted(name for name, *_ in rows)
    kinds, in_lot = ordered["kind"].to_list(), audit.lots(ordered["image_id"], 4) < 0.2
    assert set(ordered.filter(in_lot)["kind"]) <= {"lot"}  # also those whose labels are suspected
    if name == "random":
        assert set(kinds) == {"lot"}
        return
    shares = {"lot": 0.2, MISSED: 0.1}
    for length in range(1, len(kinds) + 1):
        for kind, share in shares.items():
            assert kinds[:length].count(kind) >= min(kinds.count(kind), floor(share * length + 1e-9) - 1)
    placed = ordered.filter(kind=MISSED).join(suspects, on="feedback_id", maintain_order="left")
    assert placed["suspected"].to_list() == sorted(placed["suspected"], reverse=True)


@pytest.mark.slow
@given(said=FEEDBACK_SAID, other=FEEDBACK_SAID, gone=st.sets(st.integers(0, 59)))
def test_lot_depends_on_nothing_that_was_said_or_reviewed(said, other, gone):
    def drawn(answers):
        rows = [(f"f{n}", class_id, p) for n, (class_id, p, _) in enumerate(answers) if n not in gone]
        return set(order(*rows, audit_share=0.3).filter(kind="lot")["feedback_id"])

    both = {f"f{n}" for n in range(min(len(said), len(other))) if n not in gone}
    assert drawn(said) & both == drawn(other) & both
    lots = dict(zip(both, audit.lots(pl.Series([f"i-{name}" for name in both], dtype=pl.String), 0), strict=True))
    assert drawn(said) & both == {name for name, lot in lots.items() if lot < 0.3}


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
    ).with_columns(other_picture=pl.col("feedback_id") == "elsewhere")


def test_candidates_are_the_newest_feedback_of_each_image_that_may_train_and_is_not_settled():
    known = judged(
        ("old", "a", "production", None),
        ("new", "a", "production", None),
        ("held", "b", "test", "test"),
        ("copy", "c", "production", "test"),
        ("stranger", "d", None, None),
        ("elsewhere", "g", "production", None),
        ("settled", "e", "training", None),
        ("after", "e", "training", None),
        ("disputed", "f", "training", None),
        ("later", "f", "training", None),
    )
    standing = pl.DataFrame({"feedback_id": ["settled", "disputed"], "disputed": [False, True]})
    found = queue.candidates(known, standing)
    assert sorted(found.select("feedback_id", "disputed").rows()) == [("disputed", True), ("new", False)]


def test_feedback_that_waits_for_a_review_that_can_be_read_is_disputed_also_where_another_was_read():
    known = judged(("first", "a", "production", None), ("later", "a", "production", None))
    waiting = pl.DataFrame([("first", "first.bob.0.json")], schema=WAITING, orient="row")
    for verdicts in ([], ["first"]):
        standing = pl.DataFrame(
            {"feedback_id": verdicts, "disputed": [False] * len(verdicts)},
            schema={"feedback_id": pl.String, "disputed": pl.Boolean},
        )
        found = queue.candidates(known, standing, waiting)
        assert found.select("feedback_id", "disputed").rows() == [("first", True)]


def test_factors_are_what_they_are_said_to_be():
    """20 images: class 3 on 10 of them, class 7 on 9, class 12 on one, nothing found on 10; nobody saw class 5."""
    said = [("three", 3, 0.6), ("seven", 7, 0.5), ("twelve", 12, 0.5), ("five", 5, 0.5), ("none", None, 0.5)]
    rows = {row["feedback_id"]: row for row in order(*said).iter_rows(named=True)}

    def rarity(images: int) -> float:
        return log(21 / (images + 1)) / log(21)

    assert {name: row["rarity"] for name, row in rows.items()} == pytest.approx(
        {"three": rarity(10), "seven": rarity(9), "twelve": rarity(1), "five": 1.0, "none": rarity(10)}
    )
    assert {name: row["disagreement"] for name, row in rows.items()} == pytest.approx(
        {"three": 0.1, "seven": 1.0, "twelve": 0.05, "five": 1.0, "none": 1.0}
    )
    assert {name: row["uncertainty"] for name, row in rows.items()} == pytest.approx(
        {"three": 0.96, "seven": 1.0, "twelve": 1.0, "five": 1.0, "none": 1.0}
    )


def test_of_two_classes_on_which_readers_differ_alike_the_rarer_comes_first():
    both = pl.DataFrame(
        [(f"a{n}", "R1", 1 if n else 2) for n in range(9)] + [(f"a{n}", "R2", None) for n in range(9)],
        schema=ANNOTATIONS.schema,
        orient="row",
    )
    for said in ([("a", 1, 0.6), ("b", 2, 0.6)], [("b", 1, 0.6), ("a", 2, 0.6)]):
        ordered = queue.order(*tables(*said), both, seed=0, places=NO_LOT)
        assert ordered["feedback_id"].to_list() == [name for name, *_ in reversed(said)]


def test_worst_box_of_several_counts():
    feedback, detections = tables(("x", 3, 0.99), ("y", 3, 0.7))
    more = detections.filter(feedback_id="x").with_columns(class_id=pl.lit(12, CLASS_ID), confidence=pl.lit(0.5))
    ordered = queue.order(feedback, pl.concat([detections, more]), ANNOTATIONS, seed=0, places=NO_LOT)
    first = ordered.row(0, named=True)
    assert first["feedback_id"] == "x"
    assert first["uncertainty"] == 1.0
    assert first["rarity"] == pytest.approx(log(21 / 2) / log(21))
    assert first["disagreement"] == pytest.approx(0.1)


def test_disputed_feedback_never_waits_for_its_lot():
    said = [(f"f{n}", 3, 0.6) for n in range(200)]
    ordered = order(*said, audit_share=0.5, disputed=tuple(name for name, *_ in said[:100]))
    assert set(ordered.head(100)["kind"]) == {"disputed"}
    assert set(ordered.tail(100)["kind"]) == {"lot", "score"}
    assert (ordered.filter(kind="disputed")["disagreement"] == 1.0).all()
