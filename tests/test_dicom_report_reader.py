"""What reports say, read back: those of radloop, and those of people by the same template."""

import contextlib
import io
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_files import dicom, gray, uid_of, with_file
from radloop.dicom import report_reader
from radloop.dicom.report import Device, Person
from radloop.errors import DicomError
from structured_reports import AT, CODES, box, made

MODEL, READER = Device("yolo 1"), Person("Reader^One")


def test_boxes_classes_certainty_observer_and_time_come_back():
    boxes = [box(0, 10.5, 20, 30, 40.25, certainty=0.931234), box(13, 1, 2, 3, 4, certainty=0.25)]
    back = report_reader.read(made(MODEL, (1, boxes), (2, {"certainty": 0.875}), (3, {"readable": False})))

    assert back.observer == MODEL
    assert back.written_at == AT
    assert back.study_uid == uid_of(1, 3)
    first, second, third = back.images
    assert first.boxes == tuple(boxes)
    assert (second.sop_instance_uid, second.boxes, second.certainty) == (uid_of(2), (), 0.875)
    assert second.readable
    assert not third.readable


@pytest.mark.slow
def test_a_thousand_random_boxes_come_back_within_half_a_pixel():
    """Each of a class, at a place as fine as a float, of a certainty: on ten images as wide as 6,000 px."""
    rng = np.random.default_rng(18)
    low = rng.uniform((0, 0), (5000, 5000), (1000, 2))
    corners = np.concatenate([low, low + rng.uniform(1, 1000, (1000, 2))], axis=1).tolist()
    kinds, sure = rng.integers(0, len(CODES), 1000).tolist(), rng.random(1000).tolist()
    drawn = [box(kind, *place, certainty=one) for kind, place, one in zip(kinds, corners, sure, strict=True)]

    data = made(MODEL, *((number + 1, drawn[number * 100 : (number + 1) * 100]) for number in range(10)))
    back = [one for observed in report_reader.read(data).images for one in observed.boxes]

    assert [one.code for one in back] == [one.code for one in drawn]
    np.testing.assert_allclose([one.certainty for one in back], sure, atol=1e-7)
    np.testing.assert_allclose([one.xyxy_px for one in back], corners, rtol=0, atol=0.5)


EDGE = st.floats(0, 10_000, width=32)


@given(x=EDGE, y=EDGE, width=st.floats(1, 5000, width=32), height=st.floats(1, 5000, width=32))
def test_any_box_comes_back_within_half_a_pixel(x, y, width, height):
    sent = (x, y, x + width, y + height)
    (observed,) = report_reader.read(made(MODEL, (1, [box(3, *sent)]))).images

    np.testing.assert_allclose(observed.boxes[0].xyxy_px, sent, atol=0.5)


def test_a_person_is_read_by_name_and_a_time_without_zone_has_none():
    data = with_file(made(READER, (1, {})), lambda report: report.pop("TimezoneOffsetFromUTC"))
    back = report_reader.read(data)

    assert back.observer == READER
    assert back.written_at == AT.replace(tzinfo=None)


@pytest.mark.parametrize(("told", "hours"), [("-0500", -5), ("+0530", 5.5)])
def test_a_zone_is_heeded(told, hours):
    back = report_reader.read(
        with_file(made(READER, (1, {})), lambda report: setattr(report, "TimezoneOffsetFromUTC", told))
    )

    assert back.written_at == datetime(2026, 1, 5, 12, 30, 15, tzinfo=timezone(timedelta(hours=hours)))
    assert back.written_at.astimezone(UTC) != AT


def groups(report):
    return next(
        item for item in report.ContentSequence if "Measurements" in item.ConceptNameCodeSequence[0].CodeMeaning
    )


def region(report):
    return groups(report).ContentSequence[0].ContentSequence[-1]


def points(*numbers, kind="POLYLINE"):
    def change(report):
        region(report).GraphicData = list(numbers)
        region(report).GraphicType = kind

    return change


def without_items(report):
    groups(report).ContentSequence = []


def twice_of_one_image(report):
    items = groups(report).ContentSequence
    items.append(pydicom.dcmread(io.BytesIO(made(READER, (1, {})))).ContentSequence[4].ContentSequence[0])


REFUSED = {
    "an ellipse": (points(1, 2, 3, 2, 2, 1, 2, 3, kind="ELLIPSE"), "not-a-box"),
    "a triangle": (points(1, 2, 30, 2, 15, 40, 1, 2), "not-a-box"),
    "a slanted rectangle": (points(10, 0, 20, 10, 10, 20, 0, 10, 10, 0), "not-a-box"),
    "two triangles": (points(1, 2, 30, 40, 30, 2, 1, 40, 1, 2), "not-a-box"),
    "an open line": (points(1, 2, 30, 2, 30, 40, 1, 40, 1, 30), "not-a-box"),
    "no number": (points(1, 2, float("nan"), 2, 30, 40, 1, 40, 1, 2), "not-a-box"),
    "nothing on any image": (without_items, "no-image"),
    "findings and none": (twice_of_one_image, "findings-contradict"),
    "no region": (lambda report: region(report).pop("ValueType"), "region-missing"),
    "no image": (lambda report: region(report).pop("ContentSequence"), "no-image"),
    "a draft": (lambda report: setattr(report, "CompletionFlag", "PARTIAL"), "not-complete"),
    "another template": (lambda report: report.pop("ContentTemplateSequence"), "not-a-report"),
    "no time": (lambda report: setattr(report, "ContentDate", ""), "no-time"),
}


@pytest.mark.parametrize(("change", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_of_the_template_is_refused_with_a_code(change, code):
    data = with_file(made(READER, (1, [box(0, 1, 2, 30, 40)])), change)

    with pytest.raises(DicomError) as refused:
        report_reader.read(data)
    assert refused.value.code == code


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("turned", [1, -1], ids=["clockwise", "the other way"])
def test_a_box_may_be_drawn_from_any_corner_in_either_direction(start, turned):
    ring = [(1, 2), (30, 2), (30, 40), (1, 40)][::turned]
    ring = ring[start:] + ring[:start]
    data = with_file(
        made(READER, (1, [box(0, 5, 6, 7, 8)])), points(*(number for point in [*ring, ring[0]] for number in point))
    )

    assert report_reader.read(data).images[0].boxes[0].xyxy_px == (1, 2, 30, 40)


@pytest.mark.parametrize(
    "data", [b"", b"DICM", b"\0" * 500, dicom(gray(8, 8))], ids=["empty", "short", "zeros", "an image"]
)
def test_other_files_are_refused(data):
    with pytest.raises(DicomError):
        report_reader.read(data)


@given(st.data())
def test_a_damaged_report_is_read_or_refused(data):
    whole = bytearray(made(READER, (1, [box(0, 1, 2, 30, 40)])))
    for place in data.draw(st.lists(st.integers(132, len(whole) - 1), min_size=1, max_size=5)):
        whole[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DicomError):
        report_reader.read(bytes(whole))
