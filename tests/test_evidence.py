"""A folder of feedback as a whole: what is not written as it was declared stops the reading, and nothing else does."""

import json
import random
from datetime import UTC, datetime

import polars as pl
import pytest

from feedback_files import bare, put, refused_by, rich
from radloop.errors import FeedbackError
from radloop.feedback import cache, evidence, records
from radloop.feedback.conventions import OWN, of_flags
from radloop.feedback.records import Detection
from radloop.tables import EDGES
from taxonomies import VINDR

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
FLAGS = ("bbox_format", "confidence_unit", "class_base", "time_unit")


def chest(count, seed=0):
    """Boxes as readers draw them: image, class, corners."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        left, top = rng.uniform(0.08, 0.7), rng.uniform(0.1, 0.7)
        width, height = rng.uniform(0.06, 0.28), rng.uniform(0.06, 0.28)
        found.append((f"i{number}", number % 14, (left, top, min(left + width, 0.98), min(top + height, 0.98))))
    return found


def drawn(found):
    rows = [(image_id, class_id, *corners) for image_id, class_id, corners in found]
    return pl.DataFrame(
        rows, schema={"image_id": pl.String, "class_id": pl.Int16, **dict.fromkeys(EDGES, pl.Float64)}, orient="row"
    )


def written(folder, found, *, flag="cxcywh", names=False, base=0, **changes):
    declared = of_flags(bbox_format=flag)
    for image_id, class_id, corners in found:
        box = declared.of_corners(corners)[0].tolist()
        named = {"class_name": VINDR.name(class_id)} if names else {}
        put(folder, f"{image_id}.json", bare(image_id=image_id, class_id=class_id + base, bbox=box, **named, **changes))
    return folder


def read(folder, declared=OWN, readings=None):
    return cache.read(folder, VINDR, None, convention=declared, readings=readings, now=NOW)


def stopped(folder, declared=OWN, readings=None):
    with pytest.raises(FeedbackError) as refused:
        read(folder, declared, readings)
    assert refused.value.code == "other-convention"
    return str(refused.value)


@pytest.mark.parametrize(
    "flag", ["xyxy", "xywh", "cxcywh:percent", "cxcywh:pixel", "xyxy:percent", "xyxy:pixel", "xywh:pixel"]
)
@pytest.mark.parametrize("count", [8, 25, 200])
def test_boxes_of_another_format_or_unit_stop_with_the_flag_that_reads_them(tmp_path, flag, count):
    found = chest(count)
    folder = written(tmp_path / "feedback", found, flag=flag)
    message = stopped(folder, readings=drawn(found))
    assert f"--bbox-format {flag};" in message
    assert str(folder) in message
    assert "for example " in message
    right = read(folder, of_flags(bbox_format=flag), drawn(found))
    assert right.refused.is_empty()
    expected = drawn(found).sort("image_id").select(EDGES).to_numpy()
    assert right.detections.sort("image_id").select(EDGES).to_numpy() == pytest.approx(expected)


@pytest.mark.parametrize("flag", ["xyxy", "cxcywh:percent", "cxcywh:pixel", "xyxy:pixel"])
def test_they_are_found_without_any_reader_where_boxes_leave_the_picture(tmp_path, flag):
    assert f"--bbox-format {flag};" in stopped(written(tmp_path / "feedback", chest(40), flag=flag))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_as_declared_is_never_stopped(tmp_path, seed):
    found = chest(30, seed)
    folder = written(tmp_path / "feedback", found, names=seed % 2 == 0)
    for readings in (None, drawn(found), drawn(chest(30, seed + 100))):
        assert read(folder, readings=readings).feedback.height == 30


def test_large_boxes_in_the_middle_are_as_declared(tmp_path):
    """They are inside the picture as corners, too."""
    rng = random.Random(1)
    for number in range(30):
        box = [
            0.5 + rng.uniform(-0.02, 0.02),
            0.5 + rng.uniform(-0.02, 0.02),
            rng.uniform(0.7, 0.95),
            rng.uniform(0.7, 0.95),
        ]
        put(tmp_path, f"{number}.json", bare(image_id=f"i{number}", bbox=box))
    assert read(tmp_path).feedback.height == 30


def test_where_readers_agree_with_the_declared_format_boxes_outside_are_refused_one_by_one(tmp_path):
    found = chest(20)
    folder = written(tmp_path / "feedback", found)
    for number in range(5):
        put(folder, f"out{number}.json", bare(image_id=f"o{number}", bbox=[0.55, 0.5, 0.98, 0.6]))
    assert set(read(folder, readings=drawn(found)).refused["code"]) == {"box-outside"}


def test_fewer_than_eight_say_nothing(tmp_path):
    found = chest(7)
    assert read(written(tmp_path / "feedback", found, flag="xyxy"), readings=drawn(found)).feedback.height <= 7


def test_radloops_own_feedback_is_never_stopped(tmp_path):
    for number, (image_id, class_id, corners) in enumerate(chest(30)):
        box = tuple(of_flags(bbox_format="xyxy").of_corners(corners)[0].tolist())
        one = Detection(class_id=class_id, confidence=0.95, bbox=box)
        feedback = rich(image_id=image_id, class_id=class_id, class_name=None, bbox=box, detections=[one])
        records.write(
            tmp_path,
            records.Feedback(
                **{name: getattr(feedback, name) for name in feedback.__struct_fields__} | {"feedback_id": f"f{number}"}
            ),
        )
    found = read(tmp_path, readings=drawn(chest(30)))
    assert found.feedback.height + found.refused.height == 30
    other = read(tmp_path, of_flags(bbox_format="xyxy", class_base=1, confidence_unit="percent"), drawn(chest(30)))
    assert other.detections.equals(found.detections)


def test_numbers_that_count_from_one_are_found_beside_the_names(tmp_path):
    folder = written(tmp_path / "feedback", chest(25)[:13], names=True, base=1)
    message = stopped(folder)
    assert "--class-base 1" in message
    assert "13 files" in message
    right = read(folder, of_flags(class_base=1))
    assert (
        right.feedback.sort("image_id")["class_id"].to_list() == drawn(chest(13)).sort("image_id")["class_id"].to_list()
    )
    assert "--class-base 0" in stopped(written(tmp_path / "right", chest(13), names=True), of_flags(class_base=1))


def test_numbers_that_count_from_one_are_found_beside_the_readers(tmp_path):
    found = [one for one in chest(40) if one[1] < 13]
    folder = written(tmp_path / "feedback", found, base=1)
    assert "--class-base 1" in stopped(folder, readings=drawn(found))
    assert read(folder).feedback.height == len(found)  # without any reader nothing can tell
    assert "--class-base 0" in stopped(written(tmp_path / "right", found), of_flags(class_base=1), drawn(found))


def test_confidences_in_percent_are_found(tmp_path):
    folder = written(tmp_path / "feedback", chest(25), confidence=97)
    assert "--confidence-unit percent" in stopped(folder)
    assert set(read(folder, of_flags(confidence_unit="percent")).feedback["confidence"]) == {0.97}
    assert "--confidence-unit fraction" in stopped(
        written(tmp_path / "b", chest(25)), of_flags(confidence_unit="percent")
    )


@pytest.mark.parametrize(
    ("unit", "time"), [("seconds", 1795168800), ("milliseconds", "1795168800000"), ("milliseconds", 1795168800000)]
)
def test_times_as_numbers_are_found(tmp_path, unit, time):
    folder = written(tmp_path / "feedback", chest(25), timestamp=time)
    assert f"--time-unit {unit}" in stopped(folder)
    assert set(read(folder, of_flags(time_unit=unit)).feedback["timestamp"]) == {datetime(2026, 11, 20, 10, tzinfo=UTC)}
    other = "seconds" if unit == "milliseconds" else "milliseconds"
    assert f"--time-unit {unit}" in stopped(folder, of_flags(time_unit=other))


def test_all_that_is_otherwise_is_said_at_once(tmp_path):
    found = chest(25)[:13]
    folder = written(
        tmp_path / "feedback", found, flag="xyxy:pixel", names=True, base=1, confidence=97, timestamp=1795168800
    )
    message = stopped(folder, readings=drawn(found))
    flags = "--bbox-format xyxy:pixel --class-base 1 --confidence-unit percent --time-unit seconds"
    assert flags in message
    declared = of_flags(bbox_format="xyxy:pixel", class_base=1, confidence_unit="percent", time_unit="seconds")
    right = read(folder, declared, drawn(found))
    assert right.refused.is_empty()
    assert right.detections.sort("image_id").select(EDGES).to_numpy() == pytest.approx(
        drawn(found).sort("image_id").select(EDGES).to_numpy()
    )


def test_pixels_beyond_1024_ask_for_the_size_of_the_pictures(tmp_path):
    folder = written(tmp_path / "feedback", chest(25), flag="cxcywh:3000x2400")
    assert "--bbox-format cxcywh:WIDTHxHEIGHT" in stopped(folder)
    assert read(folder, of_flags(bbox_format="cxcywh:3000x2400")).refused.is_empty()


def test_a_few_files_in_another_convention_are_refused_one_by_one(tmp_path):
    folder = written(tmp_path / "feedback", chest(60))
    for number in range(5):
        put(folder, f"pixel{number}.json", bare(image_id=f"p{number}", bbox=[512, 512, 100, 100]))
        put(folder, f"percent{number}.json", bare(image_id=f"q{number}", confidence=97))
        put(folder, f"epoch{number}.json", bare(image_id=f"r{number}", timestamp=1795168800))
        put(folder, f"named{number}.json", bare(image_id=f"s{number}", class_id=4, class_name="Cardiomegaly"))
    found = read(folder)
    assert found.feedback.height == 60
    assert dict(found.refused.group_by("code").len().iter_rows()) == {
        "box-outside": 5,
        "bad-confidence": 5,
        "bad-timestamp": 5,
        "class-contradicts-name": 5,
    }


def test_what_was_kept_of_an_earlier_reading_counts_as_well(tmp_path):
    found = chest(25)
    folder = written(tmp_path / "feedback", found, flag="xyxy")
    kept = cache.path(tmp_path, folder, VINDR)
    for _ in range(2):  # the second time all that could be read comes from the cache
        with pytest.raises(FeedbackError, match="--bbox-format xyxy"):
            cache.read(folder, VINDR, kept, readings=drawn(found), now=NOW)
    declared = of_flags(bbox_format="xyxy")
    other = cache.path(tmp_path, folder, VINDR, declared)
    assert other != kept
    right = cache.read(folder, VINDR, other, convention=declared, readings=drawn(found), now=NOW)
    again = cache.read(folder, VINDR, other, convention=declared, readings=drawn(found), now=NOW)
    assert right.feedback.equals(again.feedback)
    assert right.feedback.height == 25


def test_lists_of_detections_of_another_program_are_looked_at_too(tmp_path):
    found = chest(25)
    for image_id, class_id, corners in found:
        one = {"class_id": class_id, "confidence": 0.95, "bbox": list(corners)}
        put(tmp_path, f"{image_id}.json", {**bare(image_id=image_id), **one, "detections": [one]})
    assert "--bbox-format xyxy" in stopped(tmp_path, readings=drawn(found))


def test_any_numbers_are_read_refused_or_stopped_in_one_line(tmp_path):
    rng = random.Random(0)
    for round_ in range(30):
        folder = tmp_path / str(round_)
        for number in range(12):
            wild = [rng.choice([rng.uniform(-2, 2), rng.uniform(0, 3000), 1e308, 0]) for _ in range(4)]
            put(
                folder,
                f"{number}.json",
                json.dumps(bare(image_id=f"i{number}", bbox=wild, confidence=rng.uniform(0, 120))).encode(),
            )
        refused = refused_by(read, folder, readings=drawn(chest(12)))
        if refused is not None:
            assert len(str(refused).splitlines()) == 1
            continue
        found = read(folder, readings=drawn(chest(12)))
        assert found.feedback.height + found.refused.height == 12
    assert evidence.ENOUGH == 8
