"""Files on an image are found whoever wrote them and however damaged they are, and no others."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.feedback import mentions
from radloop.feedback.mentions import Wanted

WANTED = Wanted(frozenset({"a1"}), frozenset({"d41d8"}), frozenset({"fb-1"}), frozenset({"A1", "a1_x"}))
OURS = {
    "a1.json": {"image_id": "a1", "feedback_id": "fb-1"},
    "a1.fb-2.json": {"image_id": "a1", "feedback_id": "fb-2"},
    "named-as-a-file.json": {"image_id": "a1.PNG"},
    "with-a-reader.json": {"image_id": "a1_R9"},
    "other-name-same-picture.json": {"image_id": "z", "image_md5": "d41d8"},
    "sub/fb-1.RA-1.0123.json": {"feedback_id": "fb-1", "image_id": "a1", "reviewer": "RA-1"},
}
OTHERS = {
    "A1.json": {"image_id": "A1"},
    "a1_x.json": {"image_id": "a1_x"},
    "a12.json": {"image_id": "a12", "comment": "not a1"},
    "odd.json": {"image_id": ["a1"]},
    "fb-3.RA-1.0123.json": {"feedback_id": "fb-3", "image_id": "b", "reviewer": "a1"},
}


@pytest.fixture
def folder(tmp_path):
    for name, document in {**OURS, **OTHERS}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(document))
    (tmp_path / "a1.broken.json").write_text('{"image_id": "a1", ')
    (tmp_path / "broken.json").write_text('{"image_id": "a1" ')
    (tmp_path / "b.broken.json").write_text('{"image_id": "b", ')
    lines = [{"image_id": "a1"}, {"image_id": "b"}, {"image_id": "a1.png"}]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_all_that_is_on_the_image_goes_and_nothing_else(folder):
    found = mentions.find(folder, WANTED)
    assert set(found.whole) == {*OURS, "a1.broken.json", "broken.json"}
    assert found.lines == ("many.jsonl",)
    assert found.count == len(OURS) + 2 + 2
    mentions.remove(folder, found, WANTED)
    mentions.remove(folder, found, WANTED)
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {*OTHERS, "b.broken.json", "many.jsonl"}
    assert (folder / "many.jsonl").read_text() == '{"image_id": "b"}\n'
    assert mentions.find(folder, WANTED).count == 0


def test_ids_of_the_feedback_are_told_also_of_the_bare_form(tmp_path):
    bare = json.dumps({"image_id": "a1", "class_id": 1, "confidence": 0.5, "bbox": None, "timestamp": "2026-01-01"})
    (tmp_path / "a1.json").write_text(bare)
    (tmp_path / "a1.x.json").write_text(json.dumps({"image_id": "a1", "feedback_id": "x"}))
    assert mentions.find(tmp_path, WANTED).feedback_ids == {"x", hashlib.md5(bare.encode()).hexdigest()}


def test_file_that_cannot_be_read_is_counted_and_known_by_its_name(tmp_path):
    (tmp_path / "a1.json").symlink_to("/nowhere")
    (tmp_path / "b.json").symlink_to("/nowhere")
    found = mentions.find(tmp_path, WANTED)
    assert (found.whole, found.unreadable) == (("a1.json",), 2)


@given(st.binary(max_size=40))
def test_any_bytes_are_looked_at_without_an_error(data):
    assert WANTED.is_told_by(data, "b.json") in (True, False)


def test_no_folder_has_nothing(tmp_path):
    assert mentions.find(tmp_path / "none", WANTED).count == 0
