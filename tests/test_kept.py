"""From which confidence on the feedback of a detector is whole."""

import polars as pl
import pytest

from feedback_files import bare, put, rich
from radloop.catalog import kept
from radloop.feedback import reading, records
from radloop.feedback.records import Detection
from taxonomies import VINDR

BOX = (0.5, 0.5, 0.2, 0.2)


def box(confidence: float) -> Detection:
    return Detection(class_id=3, confidence=confidence, bbox=BOX)


def cut(folder, *said) -> float | None:
    for number, one in enumerate(said):
        data = one if isinstance(one, dict) else records.encode(one)
        put(folder, f"{number}.json", data)
    found = reading.read(folder, VINDR)
    assert found.feedback.height == len(said)
    other = found.every_box.with_columns(feedback_id=pl.lit("of another detector"), confidence=pl.lit(0.01))
    return kept.cut(found.feedback, pl.concat([found.every_box, other]))


OWN = {"feedback_id": "f0", "image_id": "a0"}
OTHER = {"schema_version": None, "feedback_id": "o1", "image_id": "o1", "confidence": 0.4}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param([rich(**OWN, low_detections=[box(0.07)], kept_from=0.05)], 0.05, id="keeps low boxes"),
        pytest.param([rich(**OWN, kept_from=0.05)], 0.05, id="had none to keep"),
        pytest.param([rich(**OWN, kept_from=0.05), rich(kept_from=0.0625)], 0.0625, id="one had more than are kept"),
        pytest.param([rich(**OWN)], 0.25, id="radloop's own of before"),
        pytest.param([rich(**OWN), rich(kept_from=0.05)], 0.25, id="of before and of now"),
        pytest.param([bare(confidence=0.6), bare(confidence=0.4)], 0.4, id="bare"),
        pytest.param([rich(**OTHER, detections=[box(0.4), box(0.1)])], 0.1, id="another program's"),
        pytest.param([rich(**OTHER, detections=[box(0.4)], low_detections=[box(0.2)])], 0.2, id="its low boxes"),
        pytest.param([rich(**OTHER, detections=[box(0.4)], kept_from=0.02)], 0.02, id="another program says it"),
        pytest.param([rich(kept_from=0.05), bare(confidence=0.4)], 0.4, id="one that says it and one that does not"),
        pytest.param([bare(class_id=14, bbox=None), bare(confidence=0.3)], 0.3, id="nothing found is no box"),
        pytest.param([bare(class_id=14, bbox=None)], None, id="no box and no word"),
        pytest.param([], None, id="no feedback"),
    ],
)
def test_feedback_is_whole_above_the_highest_of_what_its_files_tell(tmp_path, said, expected):
    assert cut(tmp_path, *said) == expected
