"""How other programs write feedback: declared by flags, read as it was meant."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_files import bare, refused_by
from radloop.errors import FeedbackError, UsageError
from radloop.feedback.conventions import OWN, Convention, of_flags

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "utc", "zoned"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00+00:00", True),
        ("2026-11-22t10:00:00z", "2026-11-22T10:00:00+00:00", True),
        ("2026-11-22 10:00:00.5", "2026-11-22T10:00:00.500000+00:00", False),
        ("2026-11-22T10:00", "2026-11-22T10:00:00+00:00", False),
        ("2026-11-22T11:30:00+01:30", "2026-11-22T10:00:00+00:00", True),
        ("20261122T100000Z", "2026-11-22T10:00:00+00:00", True),
        ("2000-01-01T00:00:00Z", "2000-01-01T00:00:00+00:00", True),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00+00:00", True),
    ],
)
def test_time_is_a_date_with_a_time_of_day(text, utc, zoned):
    time, told = OWN.utc(text, NOW)
    assert (time.isoformat(), told) == (utc, zoned)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1712010121530", "bad-timestamp"),
        ("17120101T21530", "bad-timestamp"),
        ("2026-11-22", "bad-timestamp"),
        ("20261122", "bad-timestamp"),
        ("10:00:00", "bad-timestamp"),
        ("2026-W47-7T10:00:00", "bad-timestamp"),
        ("2026-11-22x10:00:00", "bad-timestamp"),
        ("2026-11-22T10:00:00 Europe/Berlin", "bad-timestamp"),
        ("yesterday", "bad-timestamp"),
        ("", "bad-timestamp"),
        ("1712-01-01T21:53:00Z", "time-too-early"),
        ("1999-12-31T23:59:59Z", "time-too-early"),
        ("9999-12-31T23:59:59Z", "time-in-future"),
        ("2099-01-01T00:00:00Z", "time-in-future"),
        ("2026-11-23T10:00:01Z", "time-in-future"),
        ("2026-11-23T10:00:01", "time-in-future"),
    ],
)
def test_other_times_are_refused_with_a_code_and_the_value(text, code):
    refused = refused_by(OWN.utc, text, NOW)
    assert refused is not None
    assert refused.code == code
    assert repr(text) in str(refused)


def test_times_without_a_zone_are_in_the_one_declared():
    berlin = Convention(time_zone="Europe/Berlin")
    assert berlin.utc("2026-07-01T10:00:00") == (datetime(2026, 7, 1, 8, tzinfo=UTC), False)
    assert berlin.utc("2026-12-01T10:00:00") == (datetime(2026, 12, 1, 9, tzinfo=UTC), False)
    assert berlin.utc("2026-12-01T10:00:00Z") == (datetime(2026, 12, 1, 10, tzinfo=UTC), True)


@given(st.integers(0, 800_000_000), st.integers(-720, 720))
def test_a_time_in_any_zone_is_the_same_moment(seconds, minutes):
    there = datetime(2000, 1, 2, tzinfo=UTC) + timedelta(seconds=seconds)
    shifted = (there + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat()
    sign = "-" if minutes < 0 else "+"
    text = f"{shifted}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    assert OWN.utc(text, NOW)[0] == there


@pytest.mark.parametrize(
    ("flag", "raw"),
    [
        ("cxcywh", [0.4, 0.5, 0.2, 0.4]),
        ("xyxy", [0.3, 0.3, 0.5, 0.7]),
        ("xywh", [0.3, 0.3, 0.2, 0.4]),
        ("cxcywh:percent", [40, 50, 20, 40]),
        ("xyxy:pixel", [307.2, 307.2, 512, 716.8]),
        ("xywh:800x600", [240, 180, 160, 240]),
        ("XYXY:Percent", [30, 30, 50, 70]),
    ],
)
def test_boxes_of_every_format_and_unit_are_the_same_box(flag, raw):
    declared = of_flags(bbox_format=flag)
    assert declared.to_corners(raw)[0] == pytest.approx([0.3, 0.3, 0.5, 0.7])
    assert declared.of_corners([0.3, 0.3, 0.5, 0.7])[0] == pytest.approx(raw)
    own = declared.as_own(bare(bbox=raw), 14)
    assert own["bbox"] == pytest.approx([0.4, 0.5, 0.2, 0.4])


@given(
    st.sampled_from(["cxcywh", "xyxy", "xywh"]),
    st.sampled_from(["", ":percent", ":pixel", ":800x600", ":7x90000"]),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5),
)
def test_of_corners_is_the_inverse_of_to_corners(shape, unit, corners):
    declared = of_flags(bbox_format=shape + unit)
    assert np.allclose(declared.to_corners(declared.of_corners(corners)), np.reshape(corners, (-1, 4)), atol=1e-9)


@pytest.mark.parametrize(
    "flag", ["", "yxyx", "xyxy:", "xyxy:cm", "xyxy:0x5", "xyxy:800", "xyxy:-1x5", "cxcywh:fraction "]
)
def test_unknown_format_names_the_flag_and_the_way_out(flag):
    if flag in ("xyxy:", "cxcywh:fraction "):  # as good as none
        assert of_flags(bbox_format=flag).bbox_frame == (1.0, 1.0)
        return
    with pytest.raises(UsageError, match=r"--bbox-format .*xyxy:pixel"):
        of_flags(bbox_format=flag)


@pytest.mark.parametrize("zone", ["Berlin", "", "../../etc/passwd", "Europe", "\0"])
def test_unknown_zone_names_the_flag(zone):
    with pytest.raises(UsageError, match=r"--time-zone .*Europe/Berlin"):
        of_flags(time_zone=zone)


def test_confidences_classes_and_times_become_ours():
    declared = of_flags(confidence_unit="percent", class_base=1, time_unit="milliseconds")
    box = {"class_id": 8, "confidence": 40, "bbox": [0.5, 0.5, 0.1, 0.1]}
    own = declared.as_own(bare(class_id=4, confidence=97, timestamp="1795168800000", detections=[box]), 14)
    assert (own["class_id"], own["confidence"], own["timestamp"]) == (3, 0.97, "2026-11-20T10:00:00+00:00")
    assert own["detections"] == [{"class_id": 7, "confidence": 0.4, "bbox": [0.5, 0.5, 0.1, 0.1]}]
    low = declared.as_own(bare(low_detections=[box | {"confidence": 20}], kept_from=5), 14)
    assert low["low_detections"] == [{"class_id": 7, "confidence": 0.2, "bbox": [0.5, 0.5, 0.1, 0.1]}]
    assert low["kept_from"] == 0.05
    assert of_flags(time_unit="seconds").as_own(bare(timestamp=1795168800), 14)["timestamp"] == own["timestamp"]


def test_who_counts_from_one_says_nothing_found_by_0_or_by_the_number_after_the_last():
    declared = of_flags(class_base=1)
    assert declared.as_own(bare(class_id=0, bbox=None), 14)["class_id"] == 14
    assert declared.as_own(bare(class_id=15, bbox=None), 14)["class_id"] == 14
    assert declared.as_own(bare(class_id=0), 14)["class_id"] == -1


@given(
    st.dictionaries(
        st.sampled_from([*bare(), "detections", "low_detections", "kept_from"]),
        st.none() | st.text() | st.lists(st.none()) | st.floats(),
    )
)
def test_anything_is_passed_on_or_refused_later(fields):
    declared = of_flags(bbox_format="xyxy:pixel", confidence_unit="percent", class_base=1, time_unit="seconds")
    assert declared.as_own(bare() | fields, 14).keys() == (bare() | fields).keys()


def test_own_convention_changes_nothing():
    assert OWN.as_own(bare(), 14) == bare()
    assert of_flags().is_own
    assert not of_flags(time_zone="Europe/Berlin").is_own
    with pytest.raises(FeedbackError):
        OWN.utc("x")
