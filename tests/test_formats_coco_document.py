"""A COCO file decoded: sound records fast, the others told with what is wrong, anything else in one line."""

import json
import subprocess
import sys

import pytest

from radloop.errors import AnnotationError
from radloop.sources.formats.coco_document import decode

SOUND = {
    "images": [{"id": 1, "file_name": "a.png"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    "categories": [{"id": 1, "name": "nodule"}],
}


def with_annotation(text):
    return json.dumps(SOUND).replace(json.dumps(SOUND["annotations"][0]), text).encode()


def test_a_byte_order_mark_says_nothing():
    assert decode(b"\xef\xbb\xbf" + json.dumps(SOUND).encode(), "x").images[0].file_name == "a.png"


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ('{"image_id": 1, "category_id": 1, "bbox": [1, 2, -Infinity, 4]}', "bbox[2]: expected float, got str"),
        ('{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 1e999]}', "bbox[3]: number out of range"),
        ('{"image_id": 1, "bbox": [1, 2, 3, 4]}', "object missing required field category_id"),
        (
            '{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "bbox": [9, 9, 9, 9]}',
            "the key 'bbox' stands twice",
        ),
    ],
)
def test_a_record_that_is_none_is_told_with_its_place_and_the_others_are_read(annotation, reason):
    document = decode(with_annotation(f'{{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}}, {annotation}'), "x")
    assert list(document.annotation_numbers) == [0]
    assert [(one.kind, one.number, one.reason) for one in document.broken] == [("annotations", 1, reason)]
    assert document.broken[0].fields["image_id"] == 1


def test_nan_within_a_text_is_text():
    document = decode(with_annotation('{"image_id": NaN}').replace(b"a.png", b'NaN \\" -Infinity.png'), "x")
    assert document.images[0].file_name == 'NaN " -Infinity.png'


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[1, 2]", id="a list"),
        pytest.param(b'{"images": [], "annotations": [], "categories": []', id="cut"),
        pytest.param(b'{"images": ' + b"[" * 100_000, id="nested deeply"),
        pytest.param(b'{"info": ' + b"[" * 100_000 + b"]" * 100_000 + b', "images": []}', id="nested deeply elsewhere"),
        pytest.param(with_annotation('{"image_id": "\\ud800"}'), id="half a character"),
        pytest.param(with_annotation("{}, 17"), id="a number for a record"),
        pytest.param(json.dumps(SOUND).replace('"id": 1, "name"', '"name"').encode(), id="a category without an id"),
        pytest.param(json.dumps(SOUND)[:-1].encode() + b', "annotations": []}', id="the annotations twice"),
        pytest.param(b'{"images": [], "annotations": [' + b"{}," * 100 + b"{}]}", id="nothing but empty records"),
        pytest.param(with_annotation(", ".join(['{"image_id": 17, "a": "bcdef"}'] * 20_000)), id="too many"),
    ],
)
def test_what_is_none_of_cocos_files_is_said_in_one_line(data):
    with pytest.raises(AnnotationError, match=r"^labels/x\.json ") as refused:
        decode(data, "labels/x.json")
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 400


MEASURE = """
import re, sys
from pathlib import Path
from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle
from radloop.sources.formats import coco
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
Path("/proc/self/clear_refs").write_text("5")
before = peak()
try:
    coco.read(Bundle(Path(sys.argv[1])))
except AnnotationError as refused:
    print(refused, file=sys.stderr)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
@pytest.mark.parametrize(
    "unit",
    [
        pytest.param("{}", id="empty records"),
        pytest.param('{"image_id":1,"category_id":1}', id="records without a box"),
        pytest.param('{"image_id":1,"category_id":1,"bbox":[0,0,1,1]}', id="the smallest boxes"),
        pytest.param("NaN", id="what is no JSON"),
    ],
)
def test_memory_stays_below_twenty_times_the_file(unit, tmp_path):
    size = 10_000_000
    records = ",".join([unit] * (size // (len(unit) + 1)))
    path = tmp_path / "labels.json"
    path.write_text(with_annotation(records).decode())
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20 * size, done.stderr
