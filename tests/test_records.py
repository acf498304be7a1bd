"""Feedback files: writing that loses nothing, and what a file may be."""

import errno
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import any_classes
from feedback_files import bare, names, put, refused_by, rich
from radloop.errors import FeedbackError
from radloop.feedback import reading, records
from radloop.feedback.records import Detection, Model
from radloop.recipe import Recipe
from radloop.taxonomy import Taxonomy
from taxonomies import EVERY, VINDR


def test_file_begins_with_the_five_known_keys_and_leaves_out_what_is_unknown():
    written = json.loads(records.encode(rich(image_md5=None)))
    assert list(written)[:5] == ["image_id", "class_id", "confidence", "bbox", "timestamp"]
    assert "image_md5" not in written
    assert records.encode(rich()).startswith(b'{\n  "image_id": "a1",\n')
    assert records.encode(rich()).endswith(b"}\n")


def test_nothing_found_says_so_with_an_empty_bbox(classes):
    nothing = rich(class_id=classes.nothing, bbox=None, detections=[])
    written = json.loads(records.encode(nothing))
    assert written["bbox"] is None
    assert written["detections"] == []


def refuse_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file system does that knows none."""
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, **place: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, mode, **place)

    monkeypatch.setattr(os, "open", refuse)


@pytest.fixture(params=["nameless files", "temporary names"])
def file_system(request, monkeypatch):
    """One that knows files without a name, and one that does not."""
    if request.param == "temporary names":
        refuse_nameless_files(monkeypatch)


@pytest.mark.usefixtures("file_system")
def test_second_feedback_on_an_image_stands_beside_the_first(tmp_path):
    first = records.write(tmp_path, rich(feedback_id="f1"))
    second = records.write(tmp_path, rich(feedback_id="f2"), durable=True)
    assert (first.name, second.name) == ("a1.json", "a1.f2.json")
    assert first.read_bytes() == records.encode(rich(feedback_id="f1"))
    assert names(tmp_path) == ["a1.f2.json", "a1.json"]


@pytest.mark.usefixtures("file_system")
def test_feedback_is_closed_to_other_users(tmp_path):
    assert oct(records.write(tmp_path, rich()).stat().st_mode & 0o777) == "0o640"


@pytest.mark.usefixtures("file_system")
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


@pytest.mark.usefixtures("file_system")
def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        records.write(tmp_path, rich())
    assert names(tmp_path) == []


@pytest.mark.usefixtures("file_system")
def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    assert records.write(tmp_path, rich()).read_bytes() == records.encode(rich())


def test_writer_whose_temporary_file_was_taken_away_writes_again(tmp_path, monkeypatch):
    real, taken = os.link, []

    def link(source: str, target: str, **places: int) -> None:
        if not taken:
            taken.append(source)
            os.unlink(source)
        real(source, target, **places)

    refuse_nameless_files(monkeypatch)
    monkeypatch.setattr(os, "link", link)
    assert records.write(tmp_path, rich()).name == "a1.json"
    assert len(taken) == 1
    assert names(tmp_path) == ["a1.json"]


def test_without_proc_a_temporary_name_is_used(tmp_path, monkeypatch):
    real, sources = os.link, []

    def link(source: str, target: str, **places: int) -> None:
        sources.append(source)
        if source.startswith("/proc/"):
            raise FileNotFoundError(source)
        real(source, target, **places)

    monkeypatch.setattr(os, "link", link)
    writer = records.Writer(tmp_path)
    assert [writer.write(rich(feedback_id=one)) for one in ("f1", "f2")] == ["a1.json", "a1.f2.json"]
    assert [source.startswith("/proc/") for source in sources] == [True, False, False]
    assert names(tmp_path) == ["a1.f2.json", "a1.json"]


def test_writer_of_one_folder_overwrites_nothing_that_others_put_there(tmp_path):
    writer = records.Writer(tmp_path)
    put(tmp_path, "a1.json", b"of another")
    assert writer.write(rich(feedback_id="f1")) == "a1.f1.json"
    put(tmp_path, "a1.f2.json", b"of another")
    with pytest.raises(FeedbackError, match="f2"):
        writer.write(rich(feedback_id="f2"))
    assert (tmp_path / "a1.json").read_bytes() == b"of another"
    assert (tmp_path / "a1.f2.json").read_bytes() == b"of another"


@pytest.mark.usefixtures("file_system")
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
from radloop.vindr.classes import TAXONOMY
for number in range(20):
    feedback = records.decode(sys.argv[3].encode(), TAXONOMY, name="")
    records.write(Path(sys.argv[1]), records.msgspec.structs.replace(feedback, feedback_id=f"{sys.argv[2]}-{number}"))
"""


def test_any_number_of_processes_lose_nothing(tmp_path):
    command = [sys.executable, "-c", WRITER, tmp_path]
    writers = [subprocess.Popen([*command, str(writer), records.encode(rich())]) for writer in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = reading.read(tmp_path, VINDR)
    assert len(names(tmp_path)) == 60
    assert set(found.feedback["feedback_id"]) == {f"{writer}-{number}" for writer in range(3) for number in range(20)}


@pytest.mark.usefixtures("file_system")
def test_any_number_of_threads_lose_nothing(tmp_path):
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda writer: write_many(tmp_path, writer), range(20)))
    assert reading.read(tmp_path, VINDR).feedback["feedback_id"].n_unique() == 400
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


def test_rich_form_comes_back_as_it_was_written(classes):
    assert records.decode(records.encode(rich(classes)), classes, name="a1.json") == rich(classes)


@pytest.mark.parametrize("indent", [None, 2, 4])
def test_bare_form_gets_the_md5_of_its_bytes_as_id(indent, classes):
    data = json.dumps(bare(), indent=indent).encode()
    feedback = records.decode(data, classes, name="a1.json")
    assert feedback.feedback_id == hashlib.md5(data).hexdigest()
    assert feedback.found(classes.nothing) == [Detection(class_id=3, confidence=0.95, bbox=(0.5, 0.5, 0.2, 0.4))]


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
    assert records.decode(json.dumps(bare(timestamp=text)).encode(), VINDR, name="x").timestamp == utc


@pytest.mark.parametrize("box", [[0, 0, 1, 1], [5, 5, 1, 1], "none", {}, [0.5], [], 7, None])
def test_any_box_of_nothing_found_is_passed_over(box, classes):
    feedback = records.decode(json.dumps(bare(class_id=classes.nothing, bbox=box)).encode(), classes, name="x")
    assert feedback.bbox is None
    assert feedback.found(classes.nothing) == []


def test_any_box_is_passed_over_of_nothing_found_alone(classes):
    with pytest.raises(FeedbackError, match="bbox") as refused:
        records.decode(json.dumps(bare(class_id=classes.nothing - 1, bbox=[])).encode(), classes, name="x")
    assert refused.value.code == "bad-bbox"


def test_nothing_found_among_the_detections_is_none(classes):
    among = [*rich(classes).detections, Detection(class_id=classes.nothing, confidence=0.5, bbox=(0.5, 0.5, 1.0, 1.0))]
    read = records.decode(records.encode(rich(classes, detections=among)), classes, name="x")
    assert [box.class_id for box in read.found(classes.nothing)] == [3, 0]


def low(confidence: float = 0.2, **changes) -> dict:
    return {"class_id": 5, "confidence": confidence, "bbox": [0.3, 0.3, 0.1, 0.1], **changes}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        pytest.param(low(class_id=15), "class-unknown", "class_id 15", id="unknown class"),
        pytest.param(low(class_id=-1), "class-unknown", "class_id -1", id="negative class"),
        pytest.param(low(class_name="Aortic enlargement"), "class-contradicts-name", "other classes", id="other name"),
        pytest.param(low(bbox=[0.95, 0.5, 0.2, 0.2]), "box-outside", "inside the picture", id="box outside"),
        pytest.param(low(bbox=[0.5, 0.5, 0, 0.1]), "box-outside", "inside the picture", id="box without area"),
        pytest.param(low(bbox=None), "bad-bbox", "low_detections[0].bbox", id="no box"),
        pytest.param(
            low(0.2500001), "low-contradicts-confidence", "what is above 0.25 stands in detections", id="sure"
        ),
        pytest.param(low(1.5), "bad-confidence", "low_detections[0].confidence", id="confidence above 1"),
        pytest.param(low(-0.1), "bad-confidence", "low_detections[0].confidence", id="negative confidence"),
        pytest.param([low()], "bad-low-detections", "low_detections[0]", id="no object"),
    ],
)
@pytest.mark.parametrize("form", ["bare", "rich"])
def test_hostile_low_detection_refuses_its_feedback(changes, code, words, form):
    document = bare() if form == "bare" else json.loads(records.encode(rich()))
    with pytest.raises(FeedbackError) as refused:
        records.decode(json.dumps(document | {"low_detections": [changes]}).encode(), VINDR, name="x.json")
    assert refused.value.code == code
    assert words in str(refused.value)


@pytest.mark.parametrize("told", [-0.1, 1.1, "0.05", None])
def test_kept_from_is_a_confidence_or_not_there(told):
    refused = refused_by(records.decode, json.dumps(bare(kept_from=told)).encode(), VINDR, name="x.json")
    assert (refused and refused.code) == (None if told is None else "bad-kept-from")


def test_recipe_comes_back_and_stands_nowhere_where_there_is_none(classes):
    name = str(Recipe("window:-600/1500", 512, keeps_ratio=True))
    written = rich(classes, recipe=name)
    assert records.decode(records.encode(written), classes, name="x").recipe == name
    assert b"recipe" not in records.encode(rich(classes))


def test_low_detections_stand_behind_the_detections_and_are_none_of_them(classes):
    box = Detection(class_id=5, class_name=classes.name(5), confidence=0.2, bbox=(0.3, 0.3, 0.1, 0.1))
    nothing = Detection(class_id=classes.nothing, confidence=0.1, bbox=(0.5, 0.5, 1.0, 1.0))
    written = rich(classes, low_detections=[box, nothing], kept_from=0.05)
    keys = list(json.loads(records.encode(written)))
    assert keys[:5] == ["image_id", "class_id", "confidence", "bbox", "timestamp"]
    assert keys[6:9] == ["detections", "low_detections", "kept_from"]
    read = records.decode(records.encode(written), classes, name="x")
    assert read == written
    assert read.found(classes.nothing) == rich(classes).detections
    assert read.low(classes.nothing) == [box]


def test_nothing_is_found_where_there_are_low_detections_alone(classes):
    box = Detection(class_id=5, confidence=0.25, bbox=(0.3, 0.3, 0.1, 0.1))
    for detections in ([], None):
        nothing = {"class_id": classes.nothing, "class_name": None, "bbox": None, "detections": detections}
        read = records.decode(records.encode(rich(classes, low_detections=[box], **nothing)), classes, name="x")
        assert (read.class_id, read.found(classes.nothing), read.low(classes.nothing)) == (classes.nothing, [], [box])


def test_feedback_tells_from_where_it_is_whole_and_radloops_own_of_before_from_its_threshold():
    assert rich(kept_from=0.05).whole_above == 0.05
    assert rich().whole_above == 0.25
    assert rich(schema_version=None).whole_above is None
    assert rich(schema_version=None, kept_from=0.1).whole_above == 0.1


def test_feedback_on_a_dataset_of_other_classes_is_refused():
    """A number alone would be read as another class, after one was left out or the order changed."""
    before, after = Taxonomy(("Alpha", "Beta", "Gamma")), Taxonomy(("Beta", "Gamma"))
    nothing = {"class_id": 3, "class_name": "No finding", "bbox": None}
    for written in (
        rich(before, class_id=0, class_name="Alpha", detections=[]),
        rich(before, detections=[], **nothing),
    ):
        with pytest.raises(FeedbackError, match="was it written for other classes") as refused:
            records.decode(records.encode(written), after, name="x")
        assert refused.value.code == "class-contradicts-name"


@pytest.mark.parametrize("beyond", [1, 2, 900])
def test_class_above_the_last_is_refused_with_the_range(classes, beyond):
    number = classes.nothing + beyond
    box = {"class_id": number, "confidence": 0.5, "bbox": [0.5, 0.5, 0.1, 0.1]}
    for document in (bare(class_id=number), bare(class_id=number, bbox=None), bare(detections=[box])):
        with pytest.raises(FeedbackError) as refused:
            records.decode(json.dumps(document).encode(), classes, name="x.json")
        assert refused.value.code == "class-unknown"
        assert str(refused.value) == (
            f"x.json: class_id {number} is unknown: the classes are 0..{len(classes) - 1}, and {len(classes)} says "
            "that nothing was found"
        )


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
    assert records.decode(data, VINDR, name="") == feedback
    assert msgspec.json.decode(data) == json.loads(data)


LOW = st.floats(0, 0.25)
BOXES = st.tuples(st.just(0.5), st.just(0.5), st.floats(0.01, 0.9), st.floats(0.01, 0.9))


@given(any_classes.ANY | st.sampled_from([*EVERY.values()]), st.data())
def test_feedback_on_any_classes_comes_back_as_it_was_written(classes, data):
    numbers = data.draw(st.lists(st.integers(0, len(classes) - 1), max_size=5))
    found = [
        Detection(class_id=number, class_name=classes.name(number), confidence=0.5, bbox=data.draw(BOXES))
        for number in numbers
    ]
    low = [
        Detection(class_id=number, class_name=classes.name(number), confidence=data.draw(LOW), bbox=data.draw(BOXES))
        for number in data.draw(st.lists(st.integers(0, len(classes) - 1), max_size=3))
    ]
    top = found[0] if found else None
    written = rich(
        class_id=top.class_id if top else classes.nothing,
        class_name=classes.name(top.class_id if top else None),
        bbox=top.bbox if top else None,
        detections=found,
        low_detections=low or None,
        kept_from=data.draw(st.none() | st.floats(0, 1)),
    )
    read = records.decode(records.encode(written), classes, name="")
    assert read == written
    assert (read.found(classes.nothing), read.low(classes.nothing)) == (found, low)


@given(
    any_classes.ANY,
    st.binary(max_size=80)
    | st.dictionaries(
        st.sampled_from([*bare(), *records.Feedback.__struct_fields__]),
        st.none() | st.integers() | st.floats() | st.text() | st.lists(st.floats(), max_size=5),
    ).map(lambda fields: json.dumps(bare() | fields).encode()),
)
def test_any_bytes_are_feedback_or_one_sentence_with_a_code(classes, data):
    refused = refused_by(records.decode, data, classes, name="x.json")
    if refused is None:
        feedback = records.decode(data, classes, name="x.json")
        assert all(0 <= box.class_id < len(classes) for box in feedback.found(classes.nothing))
        return
    assert str(refused).startswith("x.json: ")
    assert len(str(refused).splitlines()) == 1
    assert refused.code.replace("-", "").isalnum()
    assert refused.code == refused.code.lower() != "unusable"
