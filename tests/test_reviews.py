"""Reviews: written once, read as they are, weighed against each other."""

import json
import os
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import any_classes
from radloop.errors import FeedbackError
from radloop.feedback import reviews, weighing
from radloop.feedback.conventions import of_flags
from radloop.feedback.reviews import Finding, Review, Shown
from radloop.tables import REVIEW_FINDINGS, REVIEW_SHOWN, REVIEWS
from taxonomies import EVERY, SPINE, VINDR

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HEART = Finding(class_id=3, bbox=(0.5, 0.6, 0.4, 0.2))
SAME_HEART = Finding(class_id=3, bbox=(0.51, 0.6, 0.4, 0.2))
ELSEWHERE = Finding(class_id=3, bbox=(0.2, 0.2, 0.1, 0.1))
EDGE = Finding(class_id=3, bbox=(0.68, 0.6, 0.4, 0.2))  # an IoU of 0.38 with HEART
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
        reviews.write(folder, one, VINDR)
    return weighing.standing(reviews.read(folder, VINDR)).row(0, named=True)


def test_review_is_read_as_it_was_written(tmp_path, classes):
    last = Finding(class_id=len(classes) - 1, bbox=(0.2, 0.7, 0.1, 0.1))
    path = reviews.write(tmp_path, review(findings=[HEART, last], comment="portable film"), classes)

    read = reviews.read(tmp_path, classes)
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
    assert read.findings["class_id"].to_list() == [3, len(classes) - 1]


def test_review_and_its_folder_are_closed_to_other_users(tmp_path):
    path = reviews.write(tmp_path / "reviews", review(), VINDR)
    assert [oct(place.stat().st_mode & 0o777) for place in (path, path.parent)] == ["0o640", "0o750"]


def test_file_holds_the_fields_of_the_contract(tmp_path):
    written = json.loads(reviews.write(tmp_path, review(), VINDR).read_bytes())
    assert written == {
        "feedback_id": "f1",
        "image_id": "a1",
        "reviewer": "ann",
        "verdict": "correct",
        "findings": [{"class_id": 3, "bbox": [0.5, 0.6, 0.4, 0.2]}],
        "timestamp": "2026-01-02T12:00:00+00:00",
    }


def test_review_of_more_boxes_than_anybody_draws_is_refused(tmp_path):
    with pytest.raises(FeedbackError, match="length <= 1000") as refused:
        reviews.write(tmp_path, review(findings=[HEART] * 1001), VINDR)
    assert refused.value.code == "bad-findings"
    assert list(tmp_path.iterdir()) == []


READ = {
    "blind_findings": [HEART],
    "revealed": True,
    "seconds_blind": 12.5,
    "seconds_total": 20.25,
    "shown": [Shown(class_id=10, bbox=(0.2, 0.7, 0.1, 0.1), confidence=0.75)],
    "previous": "0123456789abcdef",
}


def test_read_is_kept_blind_boxes_times_and_what_was_shown(tmp_path):
    path = reviews.write(tmp_path, review(findings=[HEART, EFFUSION], **READ), VINDR)
    assert json.loads(path.read_bytes()).keys() >= READ.keys()

    read = reviews.read(tmp_path, VINDR)
    row = read.reviews.row(0, named=True)
    assert {name: row[name] for name in ("blind_boxes", "revealed", "shown_boxes", "previous")} == {
        "blind_boxes": 1,
        "revealed": True,
        "shown_boxes": 1,
        "previous": "0123456789abcdef",
    }
    assert (row["seconds_blind"], row["seconds_total"]) == (12.5, 20.25)
    assert read.blind.schema == REVIEW_FINDINGS
    assert read.blind["class_id"].to_list() == [3]
    assert read.shown.schema == REVIEW_SHOWN
    assert read.shown.drop("file").row(0) == pytest.approx((10, 0.15, 0.65, 0.25, 0.75, 0.75))


def test_nothing_drawn_and_nothing_shown_are_not_the_same_as_not_told(tmp_path):
    reviews.write(tmp_path, review(blind_findings=[], revealed=True, shown=[]), VINDR)
    reviews.write(tmp_path, review("bob"), VINDR)
    told = reviews.read(tmp_path, VINDR).reviews.sort("reviewer")
    assert told["blind_boxes"].to_list() == told["shown_boxes"].to_list() == [0, None]


def test_review_without_a_read_keeps_its_bytes_and_its_id():
    """The bytes that radloop wrote before a read was kept."""
    data = b"""{
  "feedback_id": "f1",
  "image_id": "a1",
  "reviewer": "ann",
  "verdict": "normal",
  "findings": [],
  "timestamp": "2026-01-02T12:00:00+00:00"
}
"""
    assert reviews.encode(review(verdict="normal")) == data
    assert reviews.file_name(review(verdict="normal")) == "f1.ann.0247126837abcf95.json"


def test_same_review_twice_is_one_file_and_another_is_added(tmp_path):
    first = reviews.write(tmp_path, review(), VINDR)
    assert reviews.write(tmp_path, review(), VINDR) == first
    assert reviews.write(tmp_path, review(minute=1), VINDR) != first
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        pytest.param({"reviewer": "Dr. Ann"}, "bad-reviewer", "a pseudonym", id="a reviewer that is no pseudonym"),
        pytest.param({"verdict": "maybe"}, "bad-verdict", "accept, correct", id="unknown verdict"),
        pytest.param({"findings": None}, "findings-missing", "without findings", id="correct without findings"),
        pytest.param({"findings": []}, "findings-missing", "`normal`", id="corrected to nothing"),
        pytest.param(
            {"verdict": "normal"}, "findings-contradict-verdict", "normal with 1 findings", id="normal with a box"
        ),
        pytest.param(
            {"verdict": "reject"}, "findings-contradict-verdict", "reject with 1 findings", id="reject with a box"
        ),
        pytest.param(
            {"findings": [Finding(class_id=1, bbox=(0.9, 0.5, 0.4, 0.1))]},
            "box-outside",
            "not inside",
            id="a box outside",
        ),
        pytest.param(
            {"findings": [Finding(class_id=1, bbox=(-0.004, 0.5, 0.008, 0.1))]},
            "box-without-area",
            "no area",
            id="flat once cut",
        ),
        pytest.param({"timestamp": "yesterday"}, "bad-timestamp", "ISO 8601", id="no time"),
        pytest.param(
            {"feedback_id": "../f1"}, "bad-feedback-id", "feedback_id", id="an id that leads out of the folder"
        ),
        pytest.param({"seconds_blind": -1.0}, "bad-seconds-blind", ">= 0", id="a negative time before the reveal"),
        pytest.param({"seconds_total": -0.1}, "bad-seconds-total", ">= 0", id="a negative time"),
        pytest.param({"seconds_total": 1e300}, "bad-seconds-total", "<= 1000000000", id="a time longer than a life"),
        pytest.param(
            {"seconds_blind": 9.0, "seconds_total": 8.0}, "seconds-contradict", "more than", id="blind beyond the total"
        ),
        pytest.param({"previous": "the last"}, "bad-previous", "16 hexadecimal", id="no id of a review"),
        pytest.param(
            {"blind_findings": [Finding(class_id=99, bbox=(0.5, 0.5, 0.1, 0.1))]},
            "class-unknown",
            "class_id 99",
            id="a blind box of an unknown class",
        ),
        pytest.param(
            {"blind_findings": [Finding(class_id=1, bbox=(0.9, 0.5, 0.4, 0.1))]},
            "box-outside",
            "not inside",
            id="a blind box outside",
        ),
        pytest.param({"blind_findings": [HEART] * 1001}, "bad-blind-findings", "1000", id="too many blind boxes"),
        pytest.param(
            {"revealed": True, "shown": [Shown(class_id=14, bbox=(0.5, 0.5, 0.1, 0.1), confidence=0.5)]},
            "class-unknown",
            "class_id 14",
            id="an unknown class shown",
        ),
        pytest.param(
            {"revealed": True, "shown": [Shown(class_id=1, bbox=(0.9, 0.5, 0.4, 0.1), confidence=0.5)]},
            "box-outside",
            "not inside",
            id="a box outside shown",
        ),
        pytest.param(
            {"revealed": True, "shown": [Shown(class_id=1, bbox=(0.5, 0.5, 0.1, 0.1), confidence=1.5)]},
            "bad-confidence",
            "<= 1.0",
            id="a confidence above 1 shown",
        ),
        pytest.param({"shown": []}, "shown-unrevealed", "revealed", id="shown and not revealed"),
    ],
)
def test_review_that_cannot_be_used_is_not_written(tmp_path, changes, code, reason):
    with pytest.raises(FeedbackError, match=reason) as refused:
        reviews.write(tmp_path, msgspec.structs.replace(review(), **changes), VINDR)
    assert refused.value.code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("beyond", [0, 1, 900, -1_000])
def test_finding_has_one_of_the_classes(tmp_path, classes, beyond):
    unknown = Finding(class_id=classes.nothing + beyond, bbox=(0.5, 0.5, 1, 1))
    with pytest.raises(FeedbackError, match=rf"class_id {unknown.class_id} .* 0\.\.{len(classes) - 1}$") as refused:
        reviews.write(tmp_path, review(findings=[HEART, unknown]), classes)
    assert refused.value.code == "class-unknown"


def test_review_on_more_classes_is_refused_where_there_are_fewer(tmp_path):
    reviews.write(tmp_path, review(findings=[EFFUSION]), VINDR)
    read = reviews.read(tmp_path, SPINE)
    assert read.reviews.is_empty()
    assert read.findings.is_empty()
    assert read.refused["code"].to_list() == ["class-unknown"]


@pytest.mark.parametrize(
    ("name", "data", "code", "reason"),
    [
        pytest.param("f1.ann.0.json", b"{", "not-json", "truncated", id="cut off"),
        pytest.param("f1.ann.0.json", b"", "empty", "empty", id="empty"),
        pytest.param("other.ann.0.json", None, "bad-file-name", "its name", id="another feedback's name"),
        pytest.param("f1.bob.0.json", None, "bad-file-name", "its name", id="another reviewer's name"),
        pytest.param("f1.json", None, "bad-file-name", "its name", id="a feedback's name"),
    ],
)
def test_file_that_cannot_be_used_is_listed_with_the_reason_and_stays(tmp_path, name, data, code, reason):
    (tmp_path / name).write_bytes(reviews.encode(review()) if data is None else data)
    read = reviews.read(tmp_path, VINDR)
    assert read.reviews.is_empty()
    assert read.refused.select("file", "code").rows() == [(name, code)]
    assert reason in read.refused["reason"][0]
    assert (tmp_path / name).exists()


def test_folder_that_is_not_there_holds_no_reviews(tmp_path):
    assert reviews.read(tmp_path / "none", VINDR).reviews.is_empty()


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


@given(st.binary(max_size=200) | OBJECTS.map(lambda fields: json.dumps(fields).encode()), any_classes.ANY)
def test_bytes_that_are_no_review_are_one_error(data, classes):
    with pytest.raises(FeedbackError, match=r"^f1\.ann\.0\.json: ") as refused:
        reviews.decode(data, classes, name="f1.ann.0.json")
    assert refused.value.code.replace("-", "").isalnum()
    assert len(str(refused.value).splitlines()) == 1


BOXES = st.tuples(st.floats(0.4, 0.6), st.floats(0.4, 0.6), st.floats(0.01, 0.7), st.floats(0.01, 0.7))


@given(any_classes.ANY | st.sampled_from([*EVERY.values()]), st.data(), st.text(max_size=9))
def test_review_on_any_classes_comes_back_as_it_was_written(classes, data, comment):
    found = st.lists(st.builds(Finding, class_id=st.integers(0, len(classes) - 1), bbox=BOXES), min_size=1, max_size=5)
    written = review(findings=data.draw(found), comment=comment)
    name = reviews.file_name(written)
    assert reviews.decode(reviews.encode(written), classes, name=name) == written


NORMAL = review("bob", "normal", minute=1)


@pytest.mark.parametrize(
    ("written", "disputed"),
    [
        pytest.param([NORMAL, review(verdict="reject")], True, id="unusable is not normal"),
        pytest.param([review(verdict="reject"), review("bob", "reject", minute=1)], False, id="unusable to both"),
        pytest.param(
            [review(), review("bob", "normal", minute=1), review("eve", minute=2)], True, id="one of three differs"
        ),
        pytest.param(
            [review(findings=[HEART, SAME_HEART]), review("bob", minute=1)], True, id="the same box twice and once"
        ),
        pytest.param(
            [review(findings=[HEART, ELSEWHERE]), review("bob", findings=[ELSEWHERE, SAME_HEART], minute=1)],
            False,
            id="two boxes of a class in another order",
        ),
        pytest.param(
            [review(findings=[HEART, ELSEWHERE]), review("bob", findings=[HEART, SAME_HEART], minute=1)],
            True,
            id="two boxes of which one is elsewhere",
        ),
        pytest.param(
            [review(findings=[HEART, SAME_HEART]), review("bob", findings=[HEART, ELSEWHERE], minute=1)],
            True,
            id="two boxes that share one of the other's",
        ),
        pytest.param([review(), review("bob", findings=[EDGE], minute=1)], True, id="a box that overlaps too little"),
    ],
)
def test_reviewers_mean_the_same_where_each_box_has_one_of_its_own(tmp_path, written, disputed):
    assert standing(tmp_path, *written)["disputed"] is disputed


def test_reviewers_are_counted_and_a_simulated_one_only_among_its_like(tmp_path):
    simulated = {"simulated": True}
    two = standing(tmp_path / "a", review("S-R8", **simulated), review("S-R9", "normal", minute=1, **simulated))
    assert (two["reviewers"], two["disputed"]) == (2, True)
    three = standing(tmp_path / "b", review("S-R8", "normal", **simulated), review(), review("bob", minute=1))
    assert (three["reviewers"], three["disputed"], three["reviewer"]) == (2, False, "bob")


def test_name_without_an_id_is_not_a_reviews(tmp_path):
    (tmp_path / "f1.ann..json").write_bytes(reviews.encode(review()))
    assert reviews.read(tmp_path, VINDR).refused["code"].to_list() == ["bad-file-name"]


def test_key_that_stands_twice_is_refused(tmp_path):
    data = reviews.encode(review()).rstrip()[:-1] + b', "verdict": "reject"}'
    (tmp_path / "f1.ann.0.json").write_bytes(data)
    assert reviews.read(tmp_path, VINDR).refused["code"].to_list() == ["key-twice"]


def put_review(folder, data, name="f1.ann.0.json"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())


def plain(**changes):
    return json.loads(reviews.encode(review("ann", "reject"))) | changes


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xef\xbb\xbf" + json.dumps(plain()).encode(), id="a byte order mark"),
        pytest.param(plain(verdict="Reject"), id="capital letter"),
        pytest.param(plain(verdict=" REJECT "), id="capitals and blanks"),
    ],
)
def test_near_miss_that_means_one_thing_is_read(tmp_path, data):
    put_review(tmp_path, data)
    read = reviews.read(tmp_path, VINDR, now=NOON)
    assert read.reviews["verdict"].to_list() == ["reject"]
    assert read.waiting.is_empty()


@pytest.mark.parametrize(
    ("data", "name", "code"),
    [
        pytest.param(json.dumps(plain()).encode()[:60], "f1.ann.0.json", "not-json", id="cut off"),
        pytest.param(b"", "f1.ann.0.json", "empty", id="empty"),
        pytest.param(plain(timestamp=1795168800), "f1.ann.0.json", "bad-timestamp", id="an epoch"),
        pytest.param(plain(timestamp="1795168800000"), "f1.ann.0.json", "bad-timestamp", id="an epoch as a text"),
        pytest.param(plain(timestamp="2099-01-01T00:00:00Z"), "f1.ann.0.json", "time-in-future", id="to come"),
        pytest.param(plain(verdict="rejected"), "f1.ann.0.json", "bad-verdict", id="another word"),
        pytest.param(plain(verdict=["reject"]), "f1.ann.0.json", "bad-verdict", id="a list"),
        pytest.param(plain(), "f1.bob.0.json", "bad-file-name", id="another reviewer's name"),
        pytest.param(plain(), "review-7.json", "bad-file-name", id="a name that tells nothing"),
        pytest.param(plain(), "f1.ann.0123456789abcdef.json", "review-changed", id="changed after it was written"),
        pytest.param(json.dumps(plain()).encode(), "all.jsonl", "unknown-kind", id="another kind of file"),
        pytest.param(json.dumps(plain()).encode(), "notes", "unknown-kind", id="no ending"),
        pytest.param(b'{"feedback_id": "f1", "image', "x.json", "not-json", id="cut off, its content tells"),
    ],
)
@pytest.mark.parametrize("day", ["", "2026-11-20/"])
def test_feedback_of_a_review_that_cannot_be_used_waits(tmp_path, data, name, code, day):
    put_review(tmp_path, data, day + name)
    read = reviews.read(tmp_path, VINDR, now=NOON)
    assert read.reviews.is_empty()
    assert read.refused.select("file", "code").rows() == [(day + name, code)]
    assert ("f1", day + name) in read.waiting.rows()


def test_later_review_of_the_same_reviewer_takes_the_place_of_one_that_cannot_be_read(tmp_path):
    put_review(tmp_path, b"{", "f1.ann.0.json")
    os.utime(tmp_path / "f1.ann.0.json", (1_000, 1_000))
    for reviewer, seconds, waiting in (("bob", 2_000, 1), ("ann", 500, 1), ("ann", 2_000, 0)):
        path = reviews.write(tmp_path, review(reviewer, minute=seconds), VINDR)
        os.utime(path, (seconds, seconds))
        assert reviews.read(tmp_path, VINDR).waiting.height == waiting


def test_reviews_in_folders_of_a_day_and_with_capital_endings_are_read(tmp_path):
    put_review(tmp_path, plain(), "2026-11-20/f1.ann.0.json")
    put_review(tmp_path, plain(reviewer="bob"), "f1.bob.0.JSON")
    put_review(tmp_path, b"{", ".hidden.json")
    put_review(tmp_path, b"{", "f1.ann.1.json.tmp")
    read = reviews.read(tmp_path, VINDR)
    assert sorted(read.reviews["file"]) == ["2026-11-20/f1.ann.0.json", "f1.bob.0.JSON"]
    assert read.reviews["review_id"].to_list() == ["0", "0"]
    assert read.refused.is_empty()


def test_times_without_a_zone_are_counted_and_in_the_zone_declared(tmp_path):
    put_review(tmp_path, plain(timestamp="2026-01-02T12:00:00"))
    put_review(tmp_path, plain(reviewer="bob"), "f1.bob.0.json")
    read = reviews.read(tmp_path, VINDR)
    assert read.zoneless == 1
    berlin = reviews.read(tmp_path, VINDR, convention=of_flags(time_zone="Europe/Berlin"))
    assert berlin.reviews["timestamp"][0] == NOON - timedelta(hours=1)


def test_what_radloop_wrote_is_known_by_its_bytes(tmp_path):
    path = reviews.write(tmp_path, review("ann", "reject"), VINDR)
    assert reviews.read(tmp_path, VINDR).refused.is_empty()
    path.write_bytes(
        path.read_bytes().replace(b'"reject"', b'"normal"').replace(b'"timestamp"', b'"findings": [], "timestamp"')
    )
    read = reviews.read(tmp_path, VINDR)
    assert read.refused["code"].to_list() == ["review-changed"]
    assert read.waiting["feedback_id"].to_list() == ["f1"]


@given(st.binary(max_size=60), st.sampled_from(["f1.ann.0.json", "f1.json", "f1", "f1.ann.0.JSON"]))
def test_any_bytes_beside_a_feedback_make_it_wait(tmp_path_factory, data, name):
    folder = tmp_path_factory.mktemp("reviews")
    put_review(folder, data, name)
    read = reviews.read(folder, VINDR)
    assert read.refused.height == 1
    assert "f1" in read.waiting["feedback_id"].to_list()


FILES = {
    "f1.ann.0.json": b"{",
    "f2.ann.0.json": b"{",
    "f2.bob.0.json": reviews.encode(review("bob", feedback_id="f2")),
    "f1.ann.1.json": reviews.encode(review("ann", minute=1)),
    "f1.bob.1.json": reviews.encode(review("bob", findings=[HEART, EFFUSION], **READ)),
    "f3.ann.1.json": reviews.encode(review("ann", "normal", feedback_id="f3", timestamp="2026-01-02T12:00:00")),
    "notes": b"hello",
}


@settings(max_examples=30)
@given(st.permutations(list(FILES)), st.integers(0, len(FILES)))
def test_reviews_that_are_read_as_they_come_are_those_that_are_read_at_once(tmp_path_factory, order, first):
    folder = tmp_path_factory.mktemp("reviews")
    for name in order[:first]:
        (folder / name).write_bytes(FILES[name])
    before = reviews.read(folder, VINDR)
    for name in order[first:]:
        (folder / name).write_bytes(FILES[name])
    new = [name for name in order if name not in before.reviews["file"]]
    grown, whole = reviews.read(folder, VINDR, names=new, before=before), reviews.read(folder, VINDR)
    assert grown.zoneless == whole.zoneless == 1
    for table in ("reviews", "findings", "refused", "waiting", "blind", "shown"):
        one, other = getattr(grown, table), getattr(whole, table)
        assert one.sort(pl.all()).equals(other.sort(pl.all())), table
