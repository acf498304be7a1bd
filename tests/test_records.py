"""Feedback files: writing that loses nothing, reading that takes nothing for granted."""

import fcntl
import hashlib
import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import FeedbackError
from radloop.feedback import records
from radloop.feedback.records import Detection, Feedback, Model, PictureMeasures, Simulated
from radloop.tables import DETECTIONS, FEEDBACK, REFUSED_FILES


def bare(**changes) -> dict:
    return {
        "image_id": "a1",
        "class_id": 3,
        "confidence": 0.95,
        "bbox": [0.5, 0.5, 0.2, 0.4],
        "timestamp": "2026-11-22T10:00:00.250000+00:00",
        **changes,
    }


def rich(**changes) -> Feedback:
    values = {
        "image_id": "a1",
        "class_id": 3,
        "confidence": 0.95,
        "bbox": (0.5, 0.5, 0.2, 0.4),
        "timestamp": "2026-11-22T10:00:00.250000+00:00",
        "class_name": "Cardiomegaly",
        "detections": [
            Detection(class_id=3, class_name="Cardiomegaly", confidence=0.95, bbox=(0.5, 0.5, 0.2, 0.4)),
            Detection(class_id=0, class_name="Aortic enlargement", confidence=0.4, bbox=(0.3, 0.3, 0.1, 0.1)),
        ],
        "split": "production",
        "image_md5": "0" * 32,
        "image_phash": "f" * 16,
        "picture": PictureMeasures(mean=120.0, std=50.5, sharpness=900.25),
        "model": Model(name="oracle", version="noise-1"),
        "latency_ms": 12.5,
        "stage": 4,
        "arrived_at": "2026-11-22T10:00:00.230000+00:00",
        "feedback_id": "f1",
        "run_id": "run-1",
        "simulated": Simulated(site="north", view="PA", device="DX-1"),
        "schema_version": 1,
    }
    return Feedback(**values | changes)


def put(folder: Path, name: str, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else json.dumps(content, indent=2).encode()
    (folder / name).write_bytes(data)
    return folder / name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_begins_with_the_five_known_keys_and_leaves_out_what_is_unknown():
    written = json.loads(records.encode(rich(image_md5=None)))
    assert list(written)[:5] == ["image_id", "class_id", "confidence", "bbox", "timestamp"]
    assert "image_md5" not in written
    assert records.encode(rich()).startswith(b'{\n  "image_id": "a1",\n')
    assert records.encode(rich()).endswith(b"}\n")


def test_nothing_found_says_so_with_an_empty_bbox():
    nothing = rich(class_id=14, bbox=None, detections=[])
    written = json.loads(records.encode(nothing))
    assert written["bbox"] is None
    assert written["detections"] == []


def test_second_feedback_on_an_image_stands_beside_the_first(tmp_path):
    first = records.write(tmp_path, rich(feedback_id="f1"))
    second = records.write(tmp_path, rich(feedback_id="f2"), durable=True)
    assert (first.name, second.name) == ("a1.json", "a1.f2.json")
    assert first.read_bytes() == records.encode(rich(feedback_id="f1"))
    assert names(tmp_path) == ["a1.f2.json", "a1.json"]


def test_the_same_feedback_is_not_written_twice(tmp_path):
    records.write(tmp_path, rich())
    records.write(tmp_path, rich())
    with pytest.raises(FeedbackError, match="f1"):
        records.write(tmp_path, rich())
    assert len(names(tmp_path)) == 2


def test_feedback_without_an_id_is_not_written(tmp_path):
    with pytest.raises(FeedbackError, match="feedback_id"):
        records.write(tmp_path, rich(feedback_id=None))
    assert names(tmp_path) == []


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        records.write(tmp_path, rich())
    assert names(tmp_path) == []


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    assert records.write(tmp_path, rich()).read_bytes() == records.encode(rich())


def test_writer_whose_temporary_file_was_taken_away_writes_again(tmp_path, monkeypatch):
    real, taken = os.link, []

    def link(source: str, target: str) -> None:
        if not taken:
            taken.append(source)
            os.unlink(source)
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    assert records.write(tmp_path, rich()).name == "a1.json"
    assert names(tmp_path) == ["a1.json"]


def test_missing_folder_is_an_error_and_no_endless_try(tmp_path):
    with pytest.raises(FileNotFoundError):
        records.write(tmp_path / "absent", rich())


def write_many(folder: Path, writer: int) -> None:
    for number in range(20):
        records.write(folder, rich(feedback_id=f"{writer}-{number}", latency_ms=float(number)))


WRITER = """
import sys
from pathlib import Path
from radloop.feedback import records
for number in range(20):
    feedback = records.decode(sys.argv[3].encode(), name="")
    records.write(Path(sys.argv[1]), records.msgspec.structs.replace(feedback, feedback_id=f"{sys.argv[2]}-{number}"))
"""


def test_any_number_of_processes_lose_nothing(tmp_path):
    command = [sys.executable, "-c", WRITER, tmp_path]
    writers = [subprocess.Popen([*command, str(writer), records.encode(rich())]) for writer in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = records.read(tmp_path)
    assert len(names(tmp_path)) == 60
    assert set(found.feedback["feedback_id"]) == {f"{writer}-{number}" for writer in range(3) for number in range(20)}


def test_any_number_of_threads_lose_nothing(tmp_path):
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda writer: write_many(tmp_path, writer), range(20)))
    assert records.read(tmp_path).feedback["feedback_id"].n_unique() == 400
    assert len(names(tmp_path)) == 400


def test_temporary_files_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path):
    put(tmp_path, ".f1.abc.tmp", b"{")
    living = put(tmp_path, ".f2.abc.tmp", b"{")
    put(tmp_path, "a1.json", bare())
    put(tmp_path, "notes.tmp", b"mine")
    with living.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert records.reclaim(tmp_path) == 1
    assert names(tmp_path) == [".f2.abc.tmp", "a1.json", "notes.tmp"]


def test_rich_form_comes_back_as_it_was_written():
    assert records.decode(records.encode(rich()), name="a1.json") == rich()


@pytest.mark.parametrize("indent", [None, 2, 4])
def test_bare_form_gets_the_md5_of_its_bytes_as_id(indent):
    data = json.dumps(bare(), indent=indent).encode()
    feedback = records.decode(data, name="a1.json")
    assert feedback.feedback_id == hashlib.md5(data).hexdigest()
    assert feedback.found == [Detection(class_id=3, confidence=0.95, bbox=(0.5, 0.5, 0.2, 0.4))]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-22T10:00:00", "2026-11-22T10:00:00+00:00"),
        ("2026-11-22 10:00:00.5", "2026-11-22T10:00:00.500000+00:00"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00+00:00"),
        ("2026-11-22 11:30:00+01:30", "2026-11-22T10:00:00+00:00"),
    ],
)
def test_times_become_utc(text, utc):
    assert records.decode(json.dumps(bare(timestamp=text)).encode(), name="x").timestamp == utc


@pytest.mark.parametrize("box", [[0, 0, 1, 1], [5, 5, 1, 1], "none", {}, [0.5], [], 7, None])
def test_any_box_of_no_finding_is_passed_over(box):
    feedback = records.decode(json.dumps(bare(class_id=14, bbox=box)).encode(), name="x")
    assert feedback.bbox is None
    assert feedback.found == []


def test_class_14_among_the_detections_is_none():
    among = [*rich().detections, Detection(class_id=14, confidence=0.5, bbox=(0.5, 0.5, 1.0, 1.0))]
    assert [box.class_id for box in records.decode(records.encode(rich(detections=among)), name="x").found] == [3, 0]


TWICE = (
    b'{"image_id": "a1", "class_id": 3, "class_id": 4, "confidence": 0.5, "bbox": [0.5, 0.5, 0.1, 0.1], '
    b'"timestamp": "2026-01-01"}'
)
TWICE_AND_SHORT = (
    b'{"image_id": "a", "image_id": "b", "class_id": 14, "confidence": 0.5, "bbox": null, "timestamp": "2026-01-01"}'
)
HOSTILE = {
    "empty": (b"", "empty"),
    "truncated": (json.dumps(bare()).encode()[:-5], "truncated"),
    "no object": (b"[1, 2]", "object"),
    "null": (b"null", "object"),
    "two objects": (json.dumps(bare()).encode() * 2, "malformed"),
    "missing key": ({key: value for key, value in bare().items() if key != "confidence"}, "confidence"),
    "wrong type": (bare(confidence="high"), "confidence"),
    "confidence above 1": (bare(confidence=1.01), "confidence"),
    "NaN": (json.dumps(bare(confidence=float("nan"))).encode(), "malformed"),
    "infinite": (json.dumps(bare(confidence=float("inf"))).encode(), "malformed"),
    "huge float": (json.dumps(bare()).encode().replace(b"0.95", b"1e999"), "out of range"),
    "unknown class": (bare(class_id=15), "class_id"),
    "negative class": (bare(class_id=-1), "class_id"),
    "fractional class": (bare(class_id=3.5), "class_id"),
    "huge int": (json.dumps(bare()).encode().replace(b": 3,", b": " + b"9" * 5000 + b","), "out of range"),
    "box outside": (bare(bbox=[0.95, 0.5, 0.2, 0.2]), "inside"),
    "box in pixels": (bare(bbox=[512, 512, 100, 100]), "inside"),
    "box without area": (bare(bbox=[0.5, 0.5, 0, 0.1]), "inside"),
    "box of three": (bare(bbox=[0.5, 0.5, 0.1]), "bbox"),
    "finding without a box": (bare(bbox=None), "without a bbox"),
    "no time": (bare(timestamp="yesterday"), "timestamp"),
    "impossible date": (bare(timestamp="2026-02-30T10:00:00"), "timestamp"),
    "leap second": (bare(timestamp="2026-06-30T23:59:60"), "timestamp"),
    "time before all": (bare(timestamp="0001-01-01T00:00:00+14:00"), "timestamp"),
    "path as id": (bare(image_id="../../etc/passwd"), "image_id"),
    "hidden id": (bare(image_id=".a"), "image_id"),
    "empty id": (bare(image_id=""), "image_id"),
    "endless id": (bare(image_id="a" * 201), "image_id"),
    "line break in the id": (bare(image_id="a\nb"), "image_id"),
    "line break after the id": (bare(image_id="a\n"), "image_id"),
    "path as feedback id": (bare(feedback_id="../x"), "feedback_id"),
    "unknown split": (bare(split="train"), "split"),
    "later schema": (bare(schema_version=2), "schema_version"),
    "stage beyond a column": (bare(stage=2**31), "stage"),
    "wrong detection": (bare(detections=[{"class_id": 3, "confidence": 0.5, "bbox": [2, 2, 1, 1]}]), "inside"),
    "not UTF-8": (json.dumps(bare()).encode().replace(b"a1", b"\xff\xfe"), "utf-8"),
    "half a surrogate": (json.dumps(bare()).encode().replace(b"a1", b"\\ud800"), "surrogate"),
    "byte order mark": (b"\xef\xbb\xbf" + json.dumps(bare()).encode(), "malformed"),
    "key twice": (TWICE, "twice"),
    "key twice in the short form": (TWICE_AND_SHORT, "twice"),
    "key twice inside": (json.dumps(bare(model=0)).encode().replace(b"0}", b'{"name": "a", "name": "b"}}'), "twice"),
    "key twice, once escaped": (TWICE.replace(b'"class_id": 4', rb'"class\u005fid": 4'), "twice"),
    "key twice behind 300,000 others": (
        json.dumps(bare() | {f"{key}": 0 for key in range(300_000)}).encode()[:-1] + b', "x": 0, "x": 0}',
        "'x' stands twice",
    ),
    "nested too deeply": (json.dumps(bare()).encode()[:-1] + b', "x": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", ""),
    "endless number": (json.dumps(bare()).encode()[:-1] + b', "x": ' + b"1" * 10**5 + b"}", ""),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_refused_with_the_reason(case, tmp_path):
    content, word = HOSTILE[case]
    path = put(tmp_path, "x.json", content)
    before = path.read_bytes()
    if content:
        with pytest.raises(FeedbackError, match=r"x\.json") as refused:
            records.decode(before, name="x.json")
        assert word.lower() in str(refused.value).lower()
    found = records.read(tmp_path)
    assert found.refused["file"].to_list() == ["x.json"]
    assert word.lower() in found.refused["reason"][0].lower()
    assert found.feedback.is_empty()
    assert found.detections.is_empty()
    assert path.read_bytes() == before


def test_tables_hold_both_forms(tmp_path):
    put(tmp_path, "a1.json", bare(timestamp="2026-11-22 09:00:00"))
    put(tmp_path, "n.json", bare(image_id="n", class_id=14, bbox=None, timestamp="2026-11-22T08:00:00Z"))
    records.write(tmp_path, rich(feedback_id="f9"))
    put(tmp_path, "broken.json", b"{")
    put(tmp_path, "README.txt", b"no feedback")

    found = records.read(tmp_path)

    assert (found.feedback.schema, found.detections.schema) == (FEEDBACK, DETECTIONS)
    assert found.refused.schema == REFUSED_FILES
    assert found.feedback["image_id"].to_list() == ["n", "a1", "a1"]
    assert found.feedback["simulated"].to_list() == [False, False, True]
    assert found.feedback["timestamp"][1] == datetime(2026, 11, 22, 9, tzinfo=UTC)
    full = found.feedback.row(2, named=True)
    assert full["file"] == "a1.f9.json"
    assert (full["model"], full["model_version"], full["site"], full["stage"]) == ("oracle", "noise-1", "north", 4)
    assert (full["mean"], full["std"], full["sharpness"]) == (120.0, 50.5, 900.25)
    boxes = found.detections.filter(pl.col("feedback_id") == "f9")
    assert boxes["class_id"].to_list() == [3, 0]
    assert boxes.row(0)[4:] == pytest.approx((0.4, 0.3, 0.6, 0.7))
    assert found.refused["file"].to_list() == ["broken.json"]


def test_no_folder_is_no_feedback(tmp_path):
    found = records.read(tmp_path / "absent")
    assert found.feedback.is_empty()
    assert found.feedback.schema == FEEDBACK
    assert records.listing(tmp_path / "absent") == {}


def test_whatever_is_no_file_is_refused_and_does_not_hang(tmp_path):
    put(tmp_path, "good.json", bare())
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "good.json")
    (tmp_path / "broken-link.json").symlink_to(tmp_path / "absent")
    with open(tmp_path / "spaces.json", "wb") as file:
        file.truncate(2**30)

    found = records.read(tmp_path)

    assert found.feedback["file"].to_list() == ["good.json"]
    reasons = dict(found.refused.iter_rows())
    assert reasons.keys() == {"broken-link.json", "fifo.json", "folder.json", "link.json", "spaces.json"}
    assert "1073741824 bytes" in reasons["spaces.json"]
    assert "folder" in reasons["folder.json"]
    assert "link" in reasons["link.json"]


def test_file_without_permission_is_refused(tmp_path, monkeypatch):
    put(tmp_path, "a1.json", bare())
    real = os.open

    def refuse(path, flags, *arguments, **options):
        if path == "a1.json":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert records.read(tmp_path).refused.row(0) == ("a1.json", "no permission to read it")


def test_file_that_goes_away_meanwhile_is_said(tmp_path):
    put(tmp_path, "a1.json", bare())
    found = records.read(tmp_path, ["a1.json", "gone.json"])
    assert found.refused["file"].to_list() == ["gone.json"]


def test_name_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.json")).write_text(json.dumps(bare()))
    assert "UTF-8" in records.read(tmp_path).refused["reason"][0]


def test_file_larger_than_one_read_is_read_whole(tmp_path):
    many = [Detection(class_id=3, confidence=0.5, bbox=(0.5, 0.5, 0.1, 0.1))] * 500
    records.write(tmp_path, rich(detections=many))
    assert len(records.read(tmp_path).detections) == 500


def test_copy_of_a_file_is_refused_and_the_first_by_name_counts(tmp_path):
    for name in ("b.json", "a.json", "c.json"):
        put(tmp_path, name, bare())
    found = records.read(tmp_path)
    assert found.feedback["file"].to_list() == ["a.json"]
    assert found.refused["file"].to_list() == ["b.json", "c.json"]
    assert len(found.detections) == 1


def test_feedback_id_of_another_file_is_refused_with_its_boxes(tmp_path):
    put(tmp_path, "b.json", records.encode(rich()))
    put(tmp_path, "a.json", records.encode(rich(image_id="other", detections=None)))
    found = records.read(tmp_path)
    assert found.feedback["image_id"].to_list() == ["other"]
    assert found.detections["image_id"].to_list() == ["other"]


def test_listing_names_what_is_new_without_touching_a_file(tmp_path):
    put(tmp_path, "a1.json", bare())
    before = records.listing(tmp_path)
    put(tmp_path, "b1.json", bare(image_id="b1"))
    put(tmp_path, ".c.1.tmp", b"")
    now = records.listing(tmp_path)
    assert now.keys() - before.keys() == {"b1.json"}
    assert now["b1.json"] == (tmp_path / "b1.json").stat().st_ino


def some_files(folder: Path, count: int) -> list[str]:
    """Bare and rich ones, broken ones, and copies under other names."""
    rng = random.Random(0)
    for number in range(count):
        name = f"{rng.randrange(10**6)}.json"
        content = [
            bare(image_id=f"i{number}", confidence=number / count),
            bare(image_id="same"),
            records.encode(rich(feedback_id=f"f{number % 7}", image_id=f"i{number}")),
            b"{",
        ][number % 4]
        put(folder, name, content)
    return names(folder)


@pytest.mark.parametrize("seed", range(5))
def test_parts_combined_are_one_reading_of_all(tmp_path, seed, monkeypatch):
    files = some_files(tmp_path, 60)
    whole = records.read(tmp_path)
    random.Random(seed).shuffle(files)
    cut = random.Random(seed).randrange(len(files))
    old, new = records.read(tmp_path, files[:cut]), records.read(tmp_path, files[cut:])
    monkeypatch.setattr(records, "CHUNK", 7)
    for again in (records.combine([old, new]), records.combine([new, old]), records.read(tmp_path, files)):
        assert again.feedback.equals(whole.feedback)
        assert again.detections.equals(whole.detections)
        assert again.refused.equals(whole.refused)
    assert whole.feedback.height + whole.refused.height == len(files)


NEAR = st.fixed_dictionaries(
    {
        "image_id": st.one_of(st.text(max_size=5), st.just("a1"), st.integers()),
        "class_id": st.one_of(st.integers(-1, 16), st.none(), st.booleans()),
        "confidence": st.one_of(st.floats(-0.5, 1.5), st.integers(0, 1), st.text(max_size=3)),
        "bbox": st.one_of(st.none(), st.lists(st.floats(-0.2, 1.2), min_size=3, max_size=5), st.just([0.5, 0.5, 1, 1])),
        "timestamp": st.one_of(
            st.datetimes().map(str), st.datetimes().map(datetime.isoformat), st.text(max_size=20), st.just("2026-01-01")
        ),
    },
    optional={"x": st.recursive(st.none(), st.lists), "detections": st.lists(st.none()), "feedback_id": st.text()},
)


@given(st.lists(st.one_of(NEAR.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60)), max_size=8))
def test_reading_many_says_of_each_file_what_decoding_it_says(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("feedback")
    expected = {}
    for number, data in enumerate(contents):
        put(folder, f"{number}.json", data)
        try:
            feedback = records.decode(data, name="")
        except FeedbackError:
            continue
        expected.setdefault(feedback.feedback_id, (f"{number}.json", feedback))

    found = records.read(folder)

    assert found.feedback.height + found.refused.height == len(contents)
    assert dict(found.feedback.select("file", "feedback_id").iter_rows()) == {
        name: feedback_id for feedback_id, (name, _) in expected.items()
    }
    for row in found.feedback.iter_rows(named=True):
        feedback = expected[row["feedback_id"]][1]
        assert row["timestamp"] == datetime.fromisoformat(feedback.timestamp)
        assert (row["image_id"], row["class_id"]) == (feedback.image_id, feedback.class_id)
        boxes = found.detections.filter(pl.col("feedback_id") == row["feedback_id"])
        assert boxes["confidence"].to_list() == [box.confidence for box in feedback.found]


@given(
    st.builds(
        rich,
        confidence=st.floats(0, 1),
        latency_ms=st.floats(0, 1e300),
        run_id=st.text(st.characters(codec="utf-8")),
        model=st.builds(Model, name=st.text(st.characters(codec="utf-8")), version=st.text(max_size=3)),
    )
)
def test_what_encode_wrote_decode_reads(feedback):
    data = records.encode(feedback)
    assert records.decode(data, name="") == feedback
    assert msgspec.json.decode(data) == json.loads(data)
