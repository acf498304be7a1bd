"""Reports of people in a PACS become reviews of the feedback on their images, once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dicom_files import uid_of, with_file
from memory_pacs import MemoryPacs
from radloop.catalog import version
from radloop.codes import Code
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.dicom.report import Person
from radloop.feedback import reviews as review_files
from radloop.pipelines.studies import observing, reported
from radloop.tables import EDGES
from structured_reports import box, image, made
from watched_pacs import Sure, build, feedback, linked, log, radiograph, reviews, watch

READER = Person("Miller^Ann")
LATER = datetime(2099, 1, 1, tzinfo=UTC)  # than any answer
SHOWN = [box(0, 19.2, 28.8, 28.8, 35.2), box(12, 9.6, 38.4, 14.4, 57.6)]  # what `Sure` finds, in pixels


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("reported"))


@pytest.fixture
def out(built, tmp_path):
    return linked(built, tmp_path / "out")


@pytest.fixture
def pacs(out):
    """A PACS whose only image has been answered, and reported to."""
    held = MemoryPacs(radiograph(1))
    watch(out, held, detector=Sure())
    return held


def said(what, person=READER, *, at=LATER, number=1, of=1):
    """A person's report on an image."""
    return made(person, (of, what), images={of: image(of, study=of)}, written_at=at, number=number)


def read(out, pacs, *told, **wishes):
    pacs.store(told)
    return watch(out, pacs, detector=Sure(), **wishes)


def test_equal_boxes_accept_the_models(out, pacs):
    moved = [box(0, 19.0, 28.9, 28.9, 35.0), box(12, 9.6, 38.4, 14.4, 57.6)]  # by less than half a pixel
    done = read(out, pacs, said(moved))

    ((told,),) = feedback(out).values()
    (review,) = reviews(out)
    assert (done.reviews, review["verdict"], review["feedback_id"]) == (1, "accept", told["feedback_id"])
    assert [one["bbox"] for one in review["findings"]] == [pytest.approx(one["bbox"]) for one in told["detections"]]
    assert len(review["shown"]) == 2
    assert review["timestamp"] == LATER.replace(microsecond=0).isoformat()


@pytest.mark.parametrize(
    ("what", "verdict", "count"),
    [
        pytest.param(SHOWN[:1], "correct", 1, id="one box taken away"),
        pytest.param([*SHOWN, box(3, 1, 2, 20, 30)], "correct", 3, id="one box more"),
        pytest.param([box(1, *SHOWN[0].xyxy_px), SHOWN[1]], "correct", 2, id="another class"),
        pytest.param({}, "normal", 0, id="nothing found"),
        pytest.param({"readable": False}, "reject", None, id="not readable"),
    ],
)
def test_what_a_person_says_is_the_verdict(out, pacs, what, verdict, count):
    read(out, pacs, said(what))

    (review,) = reviews(out)
    assert review["verdict"] == verdict
    assert (len(review["findings"]) if "findings" in review else None) == count


def test_a_review_is_read_like_any_other_and_its_boxes_lie_where_they_were_drawn(out, pacs):
    read(out, pacs, said([box(5, 12, 16, 24, 48)]))
    classes = version.read(out / "organized").taxonomy
    found = review_files.read(out / "reviews", classes)

    assert found.refused.is_empty()
    (row,) = found.findings.iter_rows(named=True)
    assert row["class_id"] == 5
    assert [row[edge] for edge in EDGES] == pytest.approx([0.25, 0.25, 0.5, 0.75])


def test_the_same_report_is_one_review_however_often_it_is_read(out, pacs):
    read(out, pacs, said(SHOWN))
    again = said(SHOWN, number=2)  # another object that says the same
    done = read(out, pacs, again)
    assert (done.reviews, len(reviews(out))) == (0, 1)
    (out / "private/watch").rename(out / "private/lost")  # also where the ledger is lost
    assert (watch(out, pacs, detector=Sure()).reviews, len(reviews(out))) == (0, 1)


def test_a_later_report_of_the_same_person_amends_the_first(out, pacs):
    read(out, pacs, said(SHOWN))
    read(out, pacs, said({}, at=LATER + timedelta(minutes=1), number=2))

    first, second = sorted(reviews(out), key=lambda one: one["timestamp"])
    assert (first["verdict"], second["verdict"]) == ("accept", "normal")
    assert len(second["previous"]) == 16


def test_a_person_is_a_keyed_pseudonym_whatever_the_case_and_nowhere_by_name(out, pacs):
    read(out, pacs, said(SHOWN), said({}, Person("Other^Reader"), number=2))
    read(out, pacs, said({}, Person("MILLER^ANN"), at=LATER + timedelta(minutes=1), number=3))

    assert len({review["reviewer"] for review in reviews(out)}) == 2
    assert reported.reader_id(READER, Pseudonyms.open(out)) in {review["reviewer"] for review in reviews(out)}
    for path in [*(path for path in (out / "reviews").rglob("*") if path.is_file()), out / "logs/watch.log"]:
        assert b"iller" not in path.read_bytes()
        assert "iller" not in path.name


@pytest.mark.parametrize(
    ("what", "code"),
    [
        pytest.param([box(0, 10, 10, 60, 20)], "box-outside", id="beyond the picture"),
        pytest.param([box(0, -9, 10, 20, 20)], "box-outside", id="before the picture"),
        pytest.param([box(0, 10, 10, 10, 20)], "box-outside", id="without width"),
        pytest.param([replace(box(0, 1, 2, 3, 4), code=Code("1", "L", "tooth"))], "class-unknown", id="no class here"),
    ],
)
def test_what_no_review_can_hold_is_refused_with_a_code_and_the_feedback_waits(out, pacs, what, code):
    done = read(out, pacs, said(what))

    assert (done.reviews, done.refused) == (0, {f"review-{code}": 1})
    (line,) = [line for line in log(out) if line["event"] == "review-refused"]
    assert line["code"] == code
    found = review_files.read(out / "reviews", version.read(out / "organized").taxonomy)
    assert found.waiting.height == 1
    assert read(out, pacs).refused == {}


def test_a_report_on_an_image_that_nobody_answered_is_refused(out, pacs):
    done = read(out, pacs, said({}, of=9))
    assert done.refused == {"review-feedback-unknown": 1}
    assert reviews(out) == []


def test_a_report_that_came_with_its_image_is_read_after_the_image_was_answered(out):
    held = MemoryPacs(radiograph(1), said({}))
    done = watch(out, held, detector=Sure())
    assert (done.written, done.reviews) == (1, 1)


def test_reports_that_are_drafts_or_of_another_form_are_counted_and_no_review(out, pacs):
    draft = with_file(said({}), lambda report: setattr(report, "CompletionFlag", "PARTIAL"))
    other = with_file(said({}, number=2), lambda report: report.pop("ContentTemplateSequence"))
    done = read(out, pacs, draft, other)
    assert done.refused == {"not-complete": 1, "not-a-report": 1}
    assert reviews(out) == []


def test_a_report_of_before_the_answer_is_no_review_of_it(out, pacs):
    done = read(out, pacs, said({}, at=datetime(2020, 1, 1, tzinfo=UTC)))
    assert done.refused == {"review-older-than-feedback": 1}


def test_the_time_of_a_report_without_a_zone_is_of_the_zone_that_is_told(out, pacs):
    zone = timezone(timedelta(hours=-5))
    plain = with_file(said({}, at=LATER), lambda report: report.pop("TimezoneOffsetFromUTC"))
    read(out, pacs, plain, time_zone="Etc/GMT+5")
    (review,) = reviews(out)
    assert datetime.fromisoformat(review["timestamp"]) == LATER.replace(microsecond=0, tzinfo=zone).astimezone(UTC)


def test_readers_who_are_sent_no_results_have_not_seen_them(out):
    held = MemoryPacs(radiograph(1))
    watch(out, held, detector=Sure(), send_results="none")
    read(out, held, said(SHOWN), send_results="none")
    (review,) = reviews(out)
    assert "revealed" not in review
    assert "shown" not in review


def test_a_models_report_is_no_review(out, pacs):
    assert read(out, pacs, *pacs.reports).reviews == 0
    assert observing.OURS not in [line.get("code") for line in log(out)]
    assert uid_of(1) not in (out / "logs/watch.log").read_text()
