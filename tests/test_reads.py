"""Reads: what one reader has read, amended and agrees on with others."""

from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.feedback import reads, reviews, weighing
from radloop.feedback.chaining import Chain
from radloop.feedback.reviews import Finding, Review, Shown
from radloop.tables import CLASS_ID, EDGES
from radloop.taxonomy import Taxonomy
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


def chained(folder, review):
    """Write the review as the one that follows what is on disk."""
    previous = Chain(folder).previous(review.reviewer)
    return reviews.write(folder, msgspec.structs.replace(review, previous=previous), VINDR)


def own_id(path):
    return path.name.split(".")[2]


def test_new_review_of_a_reviewer_names_the_one_before_of_any_feedback(tmp_path):
    first = chained(tmp_path, review(minute=0))
    chained(tmp_path, review("bob", minute=1))
    second = chained(tmp_path, review("ann", "f2", minute=2))
    third = chained(tmp_path, review("ann", "f1", HEART, minute=3))
    chained(tmp_path, review("ann", "f1", EFFUSION, minute=4))
    named = reviews.read(tmp_path, VINDR).reviews["previous"].to_list()
    assert named == [None, None, *map(own_id, (first, second, third))]


def test_two_tabs_may_fork_a_chain_and_the_newest_review_counts(tmp_path):
    first = chained(tmp_path, review())
    tabs = [
        review("ann", "f1", one, minute=minute, previous=own_id(first)) for minute, one in ((2, HEART), (1, EFFUSION))
    ]
    read = written(tmp_path, *tabs)
    assert read.heads["reviews"].to_list() == [2, 2]
    standing = weighing.standing(read).row(0, named=True)
    assert (standing["timestamp"], standing["disputed"]) == (NOON + timedelta(minutes=2), False)


def test_review_under_a_name_without_an_id_cannot_be_named(tmp_path):
    (tmp_path / "f1.ann.0.json").write_bytes(reviews.encode(review()))
    chained(tmp_path, review(minute=1))
    assert reviews.read(tmp_path, VINDR).reviews["previous"].to_list() == [None, None]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["f1", "f2"])), max_size=8))
def test_reviews_of_one_reader_are_a_chain(tmp_path_factory, said):
    folder = tmp_path_factory.mktemp("reviews")
    chain = Chain(folder)
    for minute, (reader, feedback) in enumerate(said):
        one = review(reader, feedback, minute=minute, previous=chain.previous(reader))
        reviews.write(folder, one, VINDR)
    read = reviews.read(folder, VINDR)
    for _, theirs in read.reviews.group_by("reviewer"):
        assert theirs["previous"].to_list() == [None, *theirs["review_id"][:-1]]
    assert read.heads.height == read.reviews["reviewer"].n_unique()


def test_review_that_cannot_be_read_is_a_link_all_the_same_and_a_changed_one_is_none(tmp_path):
    first = chained(tmp_path, review("ann", "f1", Finding(class_id=3, bbox=(0.5, 0.6, 0.4, 0.2))))
    chained(tmp_path, review("ann", "f2", minute=1))
    few = Taxonomy(("A",))
    assert reviews.read(tmp_path, few).heads["reviews"].to_list() == [2]
    first.write_bytes(first.read_bytes().replace(b"ann", b"ANN"))
    assert reviews.read(tmp_path, few).heads["reviews"].to_list() == [1]


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
    written(
        tmp_path,
        review("ann", "f1", minute=0),
        review("ann", "f1", HEART, minute=1),
        review("eve", "f1", HEART, minute=2, adjudicates=True),
        review("bob", "f2", HEART, minute=3, previous="0" * 16),  # of another feedback, perhaps
        review("bob", "f1", HEART, minute=3),
    )
    (tmp_path / "f1.bob.0123456789abcdef.json").write_text("{}")  # what may have been the first
    read = reviews.read(tmp_path, VINDR)
    assert reads.first(read).select("reviewer", "feedback_id", "verdict").rows() == [
        ("ann", "f1", "normal"),
        ("bob", "f2", "correct"),
    ]


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
