"""Reads: what one reader has read, amended and agrees on with others."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.feedback import reads, reviews, weighing
from radloop.feedback.reviews import Finding, Review, Shown
from radloop.tables import CLASS_ID, EDGES
from taxonomies import VINDR

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HEART = Finding(class_id=3, bbox=(0.5, 0.6, 0.4, 0.2))
EFFUSION = Finding(class_id=10, bbox=(0.2, 0.7, 0.1, 0.1))


def review(reader="ann", feedback="f1", *found, minute=0, **changes):
    verdict = changes.pop("verdict", "correct" if found else "normal")
    return Review(
        feedback_id=feedback,
        image_id=f"image-{feedback}",
        reviewer=reader,
        verdict=verdict,
        findings=None if verdict == "reject" else list(found),
        timestamp=(NOON + timedelta(minutes=minute)).isoformat(),
        **changes,
    )


def written(folder, *said):
    for one in said:
        reviews.write(folder, one, VINDR)
    return reviews.read(folder, VINDR)


def amended(folder, review):
    """Write the review as the one that follows what is on disk."""
    known = reviews.read(folder, VINDR).reviews
    return reviews.write(folder, reads.amending(review, known), VINDR)


def test_new_review_of_a_reviewer_names_the_one_before(tmp_path):
    first = amended(tmp_path, review(minute=0))
    amended(tmp_path, review("bob", minute=1))
    amended(tmp_path, review("ann", "f2", minute=2))
    second = amended(tmp_path, review("ann", "f1", HEART, minute=3))
    amended(tmp_path, review("ann", "f1", EFFUSION, minute=4))
    named = reviews.read(tmp_path, VINDR).reviews["previous"].to_list()
    assert named == [None, None, None, first.name.split(".")[2], second.name.split(".")[2]]


def test_two_tabs_may_amend_the_same_review_and_the_newest_counts(tmp_path):
    first = amended(tmp_path, review())
    known = reviews.read(tmp_path, VINDR).reviews
    tabs = [
        reads.amending(review("ann", "f1", one, minute=minute), known) for minute, one in ((2, HEART), (1, EFFUSION))
    ]
    read = written(tmp_path, *tabs)
    assert read.reviews["previous"].to_list() == [None, *[first.name.split(".")[2]] * 2]
    standing = weighing.standing(read).row(0, named=True)
    assert (standing["timestamp"], standing["disputed"]) == (NOON + timedelta(minutes=2), False)


def test_review_under_a_name_without_an_id_cannot_be_named(tmp_path):
    (tmp_path / "f1.ann.0.json").write_bytes(reviews.encode(review()))
    amended(tmp_path, review(minute=1))
    assert reviews.read(tmp_path, VINDR).reviews["previous"].to_list() == [None, None]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["f1", "f2"])), max_size=8))
def test_reviews_of_one_reader_are_a_chain(tmp_path_factory, said):
    folder = tmp_path_factory.mktemp("reviews")
    for minute, (reader, feedback) in enumerate(said):
        amended(folder, review(reader, feedback, minute=minute))
    rows = reviews.read(folder, VINDR).reviews
    for _, chain in rows.group_by("feedback_id", "reviewer"):
        assert chain["previous"].to_list() == [None, *chain["review_id"][:-1]]


def test_own_reads_are_listed_once_each_the_newest_first(tmp_path):
    read = written(
        tmp_path,
        review("ann", "f1", HEART, minute=0, seconds_blind=3.0, seconds_total=5.0),
        review("ann", "f2", minute=1),
        review("ann", "f1", HEART, EFFUSION, minute=2, comment="looked again"),
        review("bob", "f2", HEART, minute=3),
        review("bob", "f3", minute=4),
    )
    listed = reads.of(read, "ann")
    assert listed.select("feedback_id", "verdict", "boxes", "amended", "disputed", "comment").rows() == [
        ("f1", "correct", 2, 1, False, "looked again"),
        ("f2", "normal", 0, 0, True, None),
    ]
    assert reads.of(read, "eve").is_empty()


def test_first_look_counts_for_what_tells_of_the_reader(tmp_path):
    read = written(
        tmp_path,
        review("ann", "f1", minute=0),
        review("ann", "f1", HEART, minute=1),
        review("eve", "f1", HEART, minute=2, adjudicates=True),
        review("bob", "f1", HEART, minute=3, previous="0" * 16),  # the first one is not there any more
    )
    assert reads.first(read.reviews).select("reviewer", "verdict").rows() == [("ann", "normal")]


IMAGES = pl.DataFrame({"image_id": [f"image-f{n}" for n in range(9)], "group": [f"g{n}" for n in range(9)]})


def test_agreement_with_each_other_reader_and_with_all(tmp_path):
    said = [review("ann", f"f{n}", HEART) for n in range(6)]
    said += [review("bob", f"f{n}", HEART if n < 3 else EFFUSION, minute=1) for n in range(4)]
    said += [review("eve", f"f{n}", HEART, EFFUSION, minute=1) for n in range(2)]
    rows = reads.agreement(written(tmp_path, *said), "ann", IMAGES).to_dicts()
    assert [(row["other"], row["feedback"], row["groups"]) for row in rows] == [
        (None, 6, 4),
        ("bob", 4, 4),
        ("eve", 2, 2),
    ]
    assert [row["same"] for row in rows] == pytest.approx([3 / 6, 3 / 4, 0])
    assert [row["positive"] for row in rows] == pytest.approx([10 / 14, 6 / 8, 4 / 6])
    assert 0 < rows[1]["same_low"] < 3 / 4 < rows[1]["same_high"] < 1
    assert rows[2]["same_low"] is None  # two groups are too few


def test_unreadable_to_one_alone_is_no_agreement(tmp_path):
    read = written(tmp_path, review("ann", "f1"), review("bob", "f1", verdict="reject"))
    assert reads.agreement(read, "ann", IMAGES)["same"].to_list() == [0, 0]
    read = written(tmp_path / "both", review("ann", verdict="reject"), review("bob", verdict="reject"))
    assert reads.agreement(read, "ann", IMAGES)["same"].to_list() == [1, 1]


def test_nobody_else_has_read_anything(tmp_path):
    read = written(tmp_path, review(), review("S-R8", simulated=True))
    assert reads.agreement(read, "ann", IMAGES).is_empty()
    assert reads.agreement(reviews.NONE, "ann", IMAGES).is_empty()


READINGS = pl.DataFrame(
    [("image-f1", "R1", 3, 0.3, 0.5, 0.7, 0.7)],
    schema={"image_id": pl.String, "rad_id": pl.String, "class_id": CLASS_ID, **dict.fromkeys(EDGES, pl.Float64)},
    orient="row",
)
BLIND = {"blind_findings": [], "revealed": True, "shown": [Shown(class_id=3, bbox=HEART.bbox, confidence=0.9)]}


@pytest.mark.parametrize(
    ("read", "counted"),
    [
        pytest.param(review("ann", "f1", HEART, **BLIND), 1, id="blind, then shown"),
        pytest.param(review("ann", "f1", HEART, **BLIND | {"revealed": False, "shown": None}), 0, id="never shown"),
        pytest.param(review("ann", "f1", HEART, **BLIND | {"blind_findings": None}), 0, id="not blind"),
        pytest.param(review("ann", "f1", HEART, **BLIND | {"shown": None}), 0, id="nobody knows what was shown"),
        pytest.param(review("ann", "f1", **BLIND, verdict="reject"), 0, id="rejected"),
        pytest.param(review("ann", "f1", HEART, **BLIND, adjudicates=True), 0, id="others' boxes were seen, too"),
        pytest.param(review("ann", "f1", HEART, **BLIND, previous="0" * 16), 0, id="a second look"),
    ],
)
def test_read_tells_whether_the_model_is_followed_only_where_it_was_blind_at_first(tmp_path, read, counted):
    table = reads.following(written(tmp_path, read), READINGS, IMAGES)
    assert table["followed"].to_list() == [1, 1][: 2 * counted]
    assert table["right"].to_list() == [1, 1][: 2 * counted]


def test_truth_is_of_the_readers_of_the_source_and_never_of_a_review(tmp_path):
    read = written(tmp_path, review("ann", "f1", HEART, **BLIND))
    table = reads.following(read, READINGS.with_columns(source=pl.lit("review")), IMAGES)
    assert table.select("asked", "right", "wrong").row(0) == (1, 0, 0)
