"""Reviews: written once, read as they are, weighed against each other."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import FeedbackError
from radloop.feedback import radiologists, reviews
from radloop.feedback.reviews import Finding, Review
from radloop.tables import REVIEW_FINDINGS, REVIEWS

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HEART = Finding(class_id=3, bbox=(0.5, 0.6, 0.4, 0.2))
SAME_HEART = Finding(class_id=3, bbox=(0.51, 0.6, 0.4, 0.2))
EFFUSION = Finding(class_id=10, bbox=(0.2, 0.7, 0.1, 0.1))


def review(reviewer="ann", verdict="correct", findings=(HEART,), minute=0, **changes):
    found = {"reject": None, "normal": []}.get(verdict, list(findings))
    return Review(
        **{
            "feedback_id": "f1",
            "image_id": "a1",
            "reviewer": reviewer,
            "verdict": verdict,
            "findings": found,
            "timestamp": (NOON + timedelta(minutes=minute)).isoformat(),
            **changes,
        }
    )


def standing(folder, *written):
    for one in written:
        reviews.write(folder, one)
    return reviews.standing(reviews.read(folder)).row(0, named=True)


def test_review_is_read_as_it_was_written(tmp_path):
    path = reviews.write(tmp_path, review(findings=[HEART, EFFUSION], comment="portable film"))

    read = reviews.read(tmp_path)
    assert read.reviews.schema == REVIEWS
    assert read.findings.schema == REVIEW_FINDINGS
    row = read.reviews.row(0, named=True)
    assert (row["feedback_id"], row["reviewer"], row["verdict"], row["comment"]) == (
        "f1",
        "ann",
        "correct",
        "portable film",
    )
    assert row["timestamp"] == NOON
    assert path.name == f"f1.ann.{row['review_id']}.json" == row["file"]
    file, class_id, *corners = read.findings.row(0)
    assert (file, class_id) == (path.name, 3)
    assert corners == pytest.approx([0.3, 0.5, 0.7, 0.7])


def test_file_holds_the_fields_of_the_contract(tmp_path):
    written = json.loads(reviews.write(tmp_path, review()).read_bytes())
    assert written == {
        "feedback_id": "f1",
        "image_id": "a1",
        "reviewer": "ann",
        "verdict": "correct",
        "findings": [{"class_id": 3, "bbox": [0.5, 0.6, 0.4, 0.2]}],
        "timestamp": "2026-01-02T12:00:00+00:00",
    }


def test_review_of_more_boxes_than_anybody_draws_is_refused(tmp_path):
    with pytest.raises(FeedbackError, match="length <= 1000"):
        reviews.write(tmp_path, review(findings=[HEART] * 1001))
    assert list(tmp_path.iterdir()) == []


def test_same_review_twice_is_one_file_and_another_is_added(tmp_path):
    first = reviews.write(tmp_path, review())
    assert reviews.write(tmp_path, review()) == first
    assert reviews.write(tmp_path, review(minute=1)) != first
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"reviewer": "Dr. Ann"}, "reviewer", id="a reviewer that is no pseudonym"),
        pytest.param({"verdict": "maybe"}, "verdict", id="unknown verdict"),
        pytest.param({"findings": None}, "without findings", id="correct without findings"),
        pytest.param({"findings": []}, "`normal`", id="corrected to nothing"),
        pytest.param({"verdict": "normal"}, "normal with 1 findings", id="normal with a box"),
        pytest.param({"verdict": "reject"}, "reject with 1 findings", id="reject with a box"),
        pytest.param(
            {"findings": [Finding(class_id=14, bbox=(0.5, 0.5, 1, 1))]}, "class_id", id="class 14 as a finding"
        ),
        pytest.param({"findings": [Finding(class_id=1, bbox=(0.9, 0.5, 0.4, 0.1))]}, "not inside", id="a box outside"),
        pytest.param(
            {"findings": [Finding(class_id=1, bbox=(-0.004, 0.5, 0.008, 0.1))]}, "no area", id="flat once cut"
        ),
        pytest.param({"timestamp": "yesterday"}, "ISO 8601", id="no time"),
        pytest.param({"feedback_id": "../f1"}, "feedback_id", id="an id that leads out of the folder"),
    ],
)
def test_review_that_cannot_be_used_is_not_written(tmp_path, changes, reason):
    with pytest.raises(FeedbackError, match=reason):
        reviews.write(tmp_path, msgspec.structs.replace(review(), **changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        pytest.param("f1.ann.0.json", b"{", "truncated", id="cut off"),
        pytest.param("f1.ann.0.json", b"", "empty", id="empty"),
        pytest.param("other.ann.0.json", None, "its name", id="another feedback's name"),
        pytest.param("f1.bob.0.json", None, "its name", id="another reviewer's name"),
        pytest.param("f1.json", None, "its name", id="a feedback's name"),
    ],
)
def test_file_that_cannot_be_used_is_listed_with_the_reason_and_stays(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(reviews.encode(review()) if data is None else data)
    read = reviews.read(tmp_path)
    assert read.reviews.is_empty()
    assert read.refused["file"].to_list() == [name]
    assert reason in read.refused["reason"][0]
    assert (tmp_path / name).exists()


def test_folder_that_is_not_there_holds_no_reviews(tmp_path):
    assert reviews.read(tmp_path / "none").reviews.is_empty()


def test_newest_review_of_a_reviewer_counts(tmp_path):
    said = standing(tmp_path, review(minute=5, verdict="normal"), review(minute=1))
    assert (said["verdict"], said["disputed"], said["reviewers"]) == ("normal", False, 1)


@pytest.mark.parametrize(
    ("other", "disputed"),
    [
        pytest.param(review("bob", findings=[SAME_HEART], minute=1), False, id="the same box by another hand"),
        pytest.param(review("bob", "accept", minute=1), False, id="accepted what the other drew"),
        pytest.param(review("bob", findings=[HEART, EFFUSION], minute=1), True, id="one box more"),
        pytest.param(review("bob", findings=[EFFUSION], minute=1), True, id="another class"),
        pytest.param(
            review("bob", findings=[Finding(class_id=3, bbox=(0.2, 0.2, 0.1, 0.1))], minute=1), True, id="elsewhere"
        ),
        pytest.param(review("bob", "normal", minute=1), True, id="normal"),
        pytest.param(review("bob", "reject", minute=1), True, id="rejected"),
    ],
)
def test_two_reviewers_dispute_what_they_differ_on(tmp_path, other, disputed):
    assert standing(tmp_path, review(), other)["disputed"] is disputed


def test_dispute_ends_when_one_adjudicates(tmp_path):
    said = standing(
        tmp_path, review(), review("bob", "normal", minute=1), review("eve", "reject", minute=2, adjudicates=True)
    )
    assert (said["disputed"], said["verdict"], said["reviewer"]) == (False, "reject", "eve")


def test_adjudication_decides_also_over_what_is_said_later(tmp_path):
    said = standing(tmp_path, review("eve", adjudicates=True), review("bob", "normal", minute=9))
    assert (said["disputed"], said["reviewer"]) == (False, "eve")


def test_person_is_heard_before_what_was_simulated(tmp_path):
    said = standing(tmp_path, review(), review("S-R8", "normal", minute=1, simulated=True, adjudicates=True))
    assert (said["disputed"], said["reviewer"], said["reviewers"]) == (False, "ann", 1)


OBJECTS = st.dictionaries(st.sampled_from(Review.__struct_fields__), st.none() | st.integers() | st.text())


@given(st.binary(max_size=200) | OBJECTS.map(lambda fields: json.dumps(fields).encode()))
def test_bytes_that_are_no_review_are_one_error(data):
    with pytest.raises(FeedbackError, match=r"^f1\.ann\.0\.json: "):
        reviews.decode(data, name="f1.ann.0.json")


def _seen(images):
    ids = [f"f{number}" for number in range(images)]
    feedback = pl.DataFrame({"feedback_id": ids, "image_id": [f"a{n}" for n in range(images)]}).with_columns(
        timestamp=pl.lit(NOON), disputed=pl.lit(value=False)
    )
    truth = feedback.select(
        "image_id",
        class_id=pl.lit(3, pl.Int8),
        x_min_norm=0.3,
        y_min_norm=0.5,
        x_max_norm=0.7,
        y_max_norm=0.7,
    )
    detections = truth.select(feedback["feedback_id"], "image_id", "class_id", "^.*norm$", confidence=pl.lit(0.95))
    return feedback, detections, truth


def test_simulated_readers_err_as_often_as_the_real_ones():
    feedback, detections, truth = _seen(600)
    written = list(radiologists.review(feedback, detections, truth, seed=1))

    assert all(one.simulated and one.reviewer in ("S-R8", "S-R9", "S-R10") for one in written)
    assert 600 < len(written) < 800
    verdicts = pl.Series([one.verdict for one in written]).value_counts()
    assert set(verdicts.to_series(0)) == {"accept", "correct", "normal", "reject"}
    missed = sum(one.verdict != "reject" and all(f.class_id != 3 for f in one.findings) for one in written)
    assert 0.05 < missed / len(written) < 0.16  # cardiomegaly: 0.09, 0.16 and 0.07 by reader
    assert all(f.bbox != (0.5, 0.6, 0.4, 0.2) for one in written if one.verdict == "correct" for f in one.findings)


def test_simulated_reviews_follow_from_the_seed_and_can_be_written(tmp_path):
    feedback, detections, truth = _seen(60)
    one = {reviews.write(tmp_path, each).name for each in radiologists.review(feedback, detections, truth, seed=1)}
    again = {
        reviews.write(tmp_path, each).name
        for each in radiologists.review(feedback.reverse(), detections.reverse(), truth.reverse(), seed=1)
    }
    other = {reviews.write(tmp_path, each).name for each in radiologists.review(feedback, detections, truth, seed=2)}
    assert one == again != other
    assert reviews.read(tmp_path).refused.is_empty()


def test_third_simulated_reader_adjudicates_what_two_dispute(tmp_path):
    feedback, detections, truth = _seen(200)
    for each in radiologists.review(feedback, detections, truth, seed=1):
        reviews.write(tmp_path, each)
    disputed = reviews.standing(reviews.read(tmp_path)).filter("disputed").select("feedback_id", "disputed")
    assert disputed.height > 0

    again = feedback.drop("disputed").join(disputed, on="feedback_id")
    for each in radiologists.review(again, detections, truth, seed=1):
        assert each.adjudicates
        reviews.write(tmp_path, each)
    assert not reviews.standing(reviews.read(tmp_path))["disputed"].any()
