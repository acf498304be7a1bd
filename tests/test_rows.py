"""The rows of a folder of feedback: put together of parts they are the same, and none is held twice."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from feedback_files import bare, put, rich
from radloop.feedback import cache, reading, records, rows
from radloop.feedback.records import Detection
from radloop.feedback.rows import NEEDED
from radloop.tables import DETECTIONS, FEEDBACK
from taxonomies import VINDR

BYTES_OF_A_FEEDBACK = 600  # with a box and a half: a million in 600 MB


def folder_of(place: Path, kinds: str) -> Path:
    """A file for each letter: r, rich; s, rich with the id of the one before; b, bare; x, broken."""
    folder = place / "feedback"
    folder.mkdir()
    low = [Detection(class_id=5, confidence=0.1, bbox=(0.5, 0.5, 0.2, 0.4))]
    for number, kind in enumerate(kinds):
        told = {"image_id": f"i{number % 5}", "timestamp": f"2026-11-22T10:00:{number % 7:02}+00:00"}
        contents = {
            "r": records.encode(rich(feedback_id=f"f{number:032}", low_detections=low, **told)),
            "s": records.encode(rich(feedback_id=f"f{number - 1:032}", **told)),
            "b": bare(**told, confidence=number / 1000),
            "x": b"{",
        }
        put(folder, f"{97 * number % 101}.{number}.json", contents[kind])
    return folder


@pytest.mark.slow
@settings(max_examples=25)
@given(kinds=st.text("rsbx", max_size=14), cut=st.integers(1, 5))
def test_what_is_kept_is_what_reading_all_gives(tmp_path_factory, kinds, cut):
    place = tmp_path_factory.mktemp("rows")
    folder = folder_of(place, kinds)
    whole = reading.read(folder, VINDR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK", cut)
        for columns in (FEEDBACK.names(), NEEDED):
            for _ in range(2):  # the second time of the cache
                found = cache.read(folder, VINDR, place / "kept", columns=columns)
                assert_frame_equal(found.feedback, whole.feedback.select(columns))
                assert found.detections.equals(whole.detections)
                assert found.low.equals(whole.low)
                assert found.refused.equals(whole.refused)


def test_nothing_of_nothing_has_every_column():
    found = rows.combine([])
    assert (found.feedback.schema, found.detections.schema) == (FEEDBACK, DETECTIONS)
    assert found.feedback.is_empty()


def test_boxes_hold_no_copy_of_the_ids_of_their_feedback(tmp_path):
    found = reading.read(folder_of(tmp_path, "r" * 50), VINDR)
    assert buffers(found.detections["feedback_id"]) <= buffers(found.feedback["feedback_id"])
    assert buffers(found.detections["image_id"]) <= buffers(found.feedback["image_id"])


def buffers(strings: pl.Series) -> set[int]:
    """Where the bytes of texts of more than twelve bytes lie."""
    array = strings.to_arrow(compat_level=pl.CompatLevel.newest())
    return {one.address for one in array.buffers()[2:] if one is not None}


def test_rows_of_the_cache_take_no_more_memory_than_their_columns(tmp_path):
    """A slice of the table that the cache keeps would hold, for each file, the empty fields of its boxes too."""
    folder = folder_of(tmp_path, "rb" * 150)
    cache.read(folder, VINDR, tmp_path / "kept")
    found = list(cache._known_and_new(tmp_path / "kept", folder, VINDR, FEEDBACK.names())[0])
    held = sum(held_bytes(part.feedback) + held_bytes(part.detections) + held_bytes(part.low) for part in found)
    assert held / 300 < BYTES_OF_A_FEEDBACK


def held_bytes(table: pl.DataFrame) -> int:
    """Of all buffers under the columns, whole ones also where the table is a slice of them; each once."""
    found = {}
    for column in table.get_columns():
        for one in column.to_arrow(compat_level=pl.CompatLevel.newest()).buffers():
            if one is not None:
                found[one.address] = one.size
    return sum(found.values())


def test_what_is_left_of_a_killed_write_is_read_again(tmp_path):
    folder, kept = folder_of(tmp_path, "rrbb"), tmp_path / "kept"
    whole = cache.read(folder, VINDR, kept)
    (part,) = kept.iterdir()
    data = part.read_bytes()
    for length in (0, 1, len(data) // 2, len(data) - 1):
        part.write_bytes(data[:length])
        found = cache.read(folder, VINDR, kept)
        assert found.feedback.equals(whole.feedback)
        assert found.detections.equals(whole.detections)
