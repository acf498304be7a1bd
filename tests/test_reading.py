"""A folder of feedback: every file is read or refused, whatever is in it and however it is cut into parts."""

import json
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_files import bare, names, put, rich
from radloop.errors import FeedbackError
from radloop.feedback import cache, documents, listing, reading, records, rows
from radloop.feedback.records import Detection
from radloop.tables import DETECTIONS, FEEDBACK, REFUSED_FILES
from taxonomies import EVERY, VINDR

TWICE = (
    b'{"image_id": "a1", "class_id": 3, "class_id": 4, "confidence": 0.5, "bbox": [0.5, 0.5, 0.1, 0.1], '
    b'"timestamp": "2026-01-01T10:00:00Z"}'
)
TWICE_AND_SHORT = (
    b'{"image_id":"a","image_id":"b","class_id":14,"confidence":0.5,"bbox":null,"timestamp":"2026-01-01T10:00Z"}'
)
HOSTILE = {
    "empty": (b"", "empty", "empty"),
    "truncated": (json.dumps(bare()).encode()[:-5], "not-json", "truncated"),
    "no object": (b"[1, 2]", "not-an-object", "object"),
    "null": (b"null", "not-an-object", "object"),
    "two objects": (json.dumps(bare()).encode() * 2, "not-json", "not JSON"),
    "missing key": (
        {key: value for key, value in bare().items() if key != "confidence"},
        "missing-confidence",
        "confidence",
    ),
    "wrong type": (bare(confidence="high"), "bad-confidence", "confidence"),
    "confidence above 1": (bare(confidence=1.01), "bad-confidence", "confidence"),
    "NaN": (json.dumps(bare(confidence=float("nan"))).encode(), "not-json", "not JSON"),
    "infinite": (json.dumps(bare(confidence=float("inf"))).encode(), "not-json", "not JSON"),
    "huge float": (json.dumps(bare()).encode().replace(b"0.95", b"1e999"), "bad-confidence", "out of range"),
    "unknown class": (bare(class_id=15), "class-unknown", "class_id"),
    "negative class": (bare(class_id=-1), "class-unknown", "class_id"),
    "fractional class": (bare(class_id=3.5), "bad-class-id", "class_id"),
    "huge int": (
        json.dumps(bare()).encode().replace(b": 3,", b": " + b"9" * 5000 + b","),
        "bad-class-id",
        "out of range",
    ),
    "box outside": (bare(bbox=[0.95, 0.5, 0.2, 0.2]), "box-outside", "inside"),
    "box in pixels": (bare(bbox=[512, 512, 100, 100]), "box-outside", "inside"),
    "box without area": (bare(bbox=[0.5, 0.5, 0, 0.1]), "box-outside", "inside"),
    "box of three": (bare(bbox=[0.5, 0.5, 0.1]), "bad-bbox", "bbox"),
    "finding without a box": (bare(bbox=None), "box-missing", "without a bbox"),
    "no time": (bare(timestamp="yesterday"), "bad-timestamp", "timestamp"),
    "impossible date": (bare(timestamp="2026-02-30T10:00:00"), "bad-timestamp", "timestamp"),
    "leap second": (bare(timestamp="2026-06-30T23:59:60"), "bad-timestamp", "timestamp"),
    "time before all": (bare(timestamp="0001-01-01T00:00:00+14:00"), "bad-timestamp", "timestamp"),
    "path as id": (bare(image_id="../../etc/passwd"), "bad-image-id", "image_id"),
    "hidden id": (bare(image_id=".a"), "bad-image-id", "image_id"),
    "empty id": (bare(image_id=""), "bad-image-id", "image_id"),
    "endless id": (bare(image_id="a" * 201), "bad-image-id", "image_id"),
    "line break in the id": (bare(image_id="a\nb"), "bad-image-id", "image_id"),
    "line break after the id": (bare(image_id="a\n"), "bad-image-id", "image_id"),
    "path as feedback id": (bare(feedback_id="../x"), "bad-feedback-id", "feedback_id"),
    "unknown split": (bare(split="train"), "bad-split", "split"),
    "later schema": (bare(schema_version=3), "bad-schema-version", "newer radloop"),
    "stage beyond a column": (bare(stage=2**31), "bad-stage", "stage"),
    "wrong detection": (
        bare(detections=[{"class_id": 3, "confidence": 0.5, "bbox": [2, 2, 1, 1]}]),
        "box-outside",
        "inside",
    ),
    "not UTF-8": (json.dumps(bare()).encode().replace(b"a1", b"\xff\xfe"), "not-json", "utf-8"),
    "half a surrogate": (json.dumps(bare()).encode().replace(b"a1", b"\\ud800"), "not-json", "surrogate"),
    "key twice": (TWICE, "key-twice", "twice"),
    "key twice in the short form": (TWICE_AND_SHORT, "key-twice", "twice"),
    "key twice inside": (
        json.dumps(bare(model=0)).encode().replace(b"0}", b'{"name": "a", "name": "b"}}'),
        "key-twice",
        "twice",
    ),
    "key twice, once escaped": (TWICE.replace(b'"class_id": 4', rb'"class\u005fid": 4'), "key-twice", "twice"),
    "key twice behind 300,000 others": (
        json.dumps(bare() | {f"{key}": 0 for key in range(300_000)}).encode()[:-1] + b', "x": 0, "x": 0}',
        "key-twice",
        "'x' stands twice",
    ),
    "nested too deeply": (
        json.dumps(bare()).encode()[:-1] + b', "x": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
        "not-json",
        "",
    ),
    "endless number": (json.dumps(bare()).encode()[:-1] + b', "x": ' + b"1" * 10**5 + b"}", "not-json", ""),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_refused_with_the_reason(case, tmp_path):
    content, code, word = HOSTILE[case]
    path = put(tmp_path, "x.json", content)
    before = path.read_bytes()
    with pytest.raises(FeedbackError, match=r"^x\.json: ") as refused:
        records.decode(before, VINDR, name="x.json")
    assert refused.value.code == code
    assert word.lower() in str(refused.value).lower()
    found = reading.read(tmp_path, VINDR)
    assert found.refused.select("file", "code").rows() == [("x.json", code)]
    assert word.lower() in found.refused["reason"][0].lower()
    assert found.feedback.is_empty()
    assert found.detections.is_empty()
    assert path.read_bytes() == before


def test_tables_hold_both_forms(tmp_path, classes):
    put(tmp_path, "a1.json", bare(timestamp="2026-11-22 09:00:00"))
    nothing = {"class_id": classes.nothing, "bbox": None}
    put(tmp_path, "n.json", bare(image_id="n", timestamp="2026-11-22T08:00:00Z", **nothing))
    records.write(tmp_path, rich(classes, feedback_id="f9", recipe="minmax@1,size=original"))
    put(tmp_path, "broken.json", b"{")
    put(tmp_path, "README.txt", b"no feedback")

    found = reading.read(tmp_path, classes)

    assert (found.feedback.schema, found.detections.schema) == (FEEDBACK, DETECTIONS)
    assert found.refused.schema == REFUSED_FILES
    assert found.feedback["image_id"].to_list() == ["n", "a1", "a1"]
    assert found.feedback["class_id"].to_list() == [None, 3, 3]
    assert found.feedback["simulated"].to_list() == [False, False, True]
    assert found.feedback["timestamp"][1] == datetime(2026, 11, 22, 9, tzinfo=UTC)
    full = found.feedback.row(2, named=True)
    assert full["file"] == "a1.f9.json"
    assert found.feedback["recipe"].to_list() == [None, None, "minmax@1,size=original"]
    assert (full["model"], full["model_version"], full["site"], full["stage"]) == ("oracle", "noise-1", "north", 4)
    assert (full["mean"], full["std"], full["sharpness"]) == (120.0, 50.5, 900.25)
    boxes = found.detections.filter(pl.col("feedback_id") == "f9")
    assert boxes["class_id"].to_list() == [3, 0]
    assert boxes.row(0)[4:] == pytest.approx((0.4, 0.3, 0.6, 0.7))
    assert found.refused.select("file", "code").rows() == [("README.txt", "unknown-kind"), ("broken.json", "not-json")]
    assert found.feedback["complete"].to_list() == [False, False, True]
    assert found.feedback["zoned"].to_list() == [True, False, True]
    assert found.feedback["schema_version"].to_list() == [None, None, 1]


def low_box(classes, class_id=5, confidence=0.125):
    return Detection(
        class_id=class_id, class_name=classes.name(class_id), confidence=confidence, bbox=(0.5, 0.5, 0.2, 0.4)
    )


def test_low_detections_are_a_table_of_their_own(tmp_path, classes):
    low = [low_box(classes), low_box(classes, 6, 0.0625)]
    nothing = {"class_id": classes.nothing, "class_name": None, "bbox": None, "detections": []}
    records.write(tmp_path, rich(classes, low_detections=low, kept_from=0.05))
    records.write(tmp_path, rich(classes, low_detections=low[:1], kept_from=0.0625, feedback_id="f2", **nothing))
    put(
        tmp_path,
        "other.json",
        bare(image_id="a2", low_detections=[{"class_id": 2, "confidence": 0.1, "bbox": [0.5] * 4}]),
    )
    put(tmp_path, "bare.json", bare(image_id="a3"))
    records.write(tmp_path, rich(classes, image_id="old", feedback_id="f0"))

    found = reading.read(tmp_path, classes)

    assert found.refused.is_empty()
    assert found.low.schema == DETECTIONS
    other = found.feedback.filter(image_id="a2")["feedback_id"][0]
    rows = [("f1", 5, 0.125), ("f1", 6, 0.0625), ("f2", 5, 0.125), (other, 2, 0.1)]
    assert found.low.select("feedback_id", "class_id", "confidence").rows() == sorted(rows, key=lambda row: row[0])
    assert found.low.filter(feedback_id="f1").row(0)[4:] == pytest.approx((0.4, 0.3, 0.6, 0.7))
    assert found.detections["confidence"].min() == 0.4
    assert found.detections.filter(feedback_id="f2").is_empty()
    whole = dict(found.feedback.select("image_id", "kept_from").filter(pl.col("image_id") != "a1").iter_rows())
    assert whole == {"old": 0.25, "a2": None, "a3": None}
    assert found.feedback.filter(image_id="a1").sort("feedback_id")["kept_from"].to_list() == [0.05, 0.0625]
    assert found.feedback.filter(feedback_id="f2").select("class_id", "complete").rows() == [(None, True)]
    every = found.every_box
    assert every.schema == DETECTIONS
    assert every.filter(feedback_id="f1")["confidence"].to_list() == [0.95, 0.4, 0.125, 0.0625]
    assert every.height == found.detections.height + found.low.height


def test_low_detections_change_no_other_table(tmp_path, classes):
    for folder, low in (("with", [low_box(classes)]), ("without", None)):
        (tmp_path / folder).mkdir()
        records.write(tmp_path / folder, rich(classes, low_detections=low))
        records.write(tmp_path / folder, rich(classes, feedback_id="f2", image_id="b", low_detections=low))
    one, other = (reading.read(tmp_path / folder, classes) for folder in ("with", "without"))
    assert one.feedback.equals(other.feedback)
    assert one.detections.equals(other.detections)
    assert (one.low.height, other.low.height) == (2, 0)


def test_rich_form_of_nothing_found_has_no_class(tmp_path, classes):
    put(tmp_path, "n.json", records.encode(rich(class_id=classes.nothing, class_name=None, bbox=None, detections=[])))
    found = reading.read(tmp_path, classes)
    assert found.feedback["class_id"].to_list() == [None]
    assert found.detections.is_empty()


def test_bare_form_of_a_class_above_the_last_is_refused(tmp_path, classes):
    for number in (classes.nothing, classes.nothing + 1, 1_000, 1_001, 2**31, 10**30):
        put(tmp_path, f"{number}.json", bare(class_id=number))
    found = reading.read(tmp_path, classes)
    assert found.feedback["file"].to_list() == [f"{classes.nothing}.json"]
    assert set(found.refused["code"]) == {"class-unknown", "bad-class-id"}
    assert found.refused.height == 5


def test_no_folder_is_no_feedback(tmp_path):
    found = reading.read(tmp_path / "absent", VINDR)
    assert found.feedback.is_empty()
    assert found.feedback.schema == FEEDBACK
    assert listing.inodes(tmp_path / "absent") == {}


def test_whatever_is_no_file_is_refused_and_does_not_hang(tmp_path):
    put(tmp_path, "good.json", bare())
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "good.json")
    (tmp_path / "broken-link.json").symlink_to(tmp_path / "absent")
    with open(tmp_path / "spaces.json", "wb") as file:
        file.truncate(2**30)

    found = reading.read(tmp_path, VINDR)

    assert found.feedback["file"].to_list() == ["good.json"]
    reasons = dict(found.refused.select("file", "reason").iter_rows())
    assert dict(found.refused.select("file", "code").iter_rows()) == dict.fromkeys(reasons, "not-a-file") | {
        "spaces.json": "too-large"
    }
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
    assert reading.read(tmp_path, VINDR).refused.row(0) == ("a1.json", "unreadable", "no permission to read it")


def test_file_that_goes_away_meanwhile_is_said(tmp_path):
    put(tmp_path, "a1.json", bare())
    found = reading.read(tmp_path, VINDR, ["a1.json", "gone.json"])
    assert found.refused.select("file", "code").rows() == [("gone.json", "gone")]


def test_name_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.json")).write_text(json.dumps(bare()))
    refused = reading.read(tmp_path, VINDR).refused
    assert "UTF-8" in refused["reason"][0]
    assert refused["code"].to_list() == ["bad-file-name"]


def test_file_larger_than_one_read_is_read_whole(tmp_path):
    many = [Detection(class_id=3, confidence=0.5, bbox=(0.5, 0.5, 0.1, 0.1))] * 500
    records.write(tmp_path, rich(detections=many))
    assert len(reading.read(tmp_path, VINDR).detections) == 500


def test_copy_of_a_file_is_refused_and_the_first_by_name_counts(tmp_path):
    for name in ("b.json", "a.json", "c.json"):
        put(tmp_path, name, bare())
    found = reading.read(tmp_path, VINDR)
    assert found.feedback["file"].to_list() == ["a.json"]
    assert found.refused["file"].to_list() == ["b.json", "c.json"]
    assert set(found.refused["code"]) == {"feedback-id-twice"}
    assert len(found.detections) == 1


def test_feedback_id_of_another_file_is_refused_with_its_boxes(tmp_path):
    low = [low_box(VINDR)]
    put(tmp_path, "b.json", records.encode(rich(low_detections=low)))
    put(tmp_path, "a.json", records.encode(rich(image_id="other", detections=None, low_detections=low)))
    apart = [reading.read(tmp_path, VINDR, [name]) for name in ("b.json", "a.json")]
    for found in (reading.read(tmp_path, VINDR), rows.combine(apart)):
        assert found.feedback["image_id"].to_list() == ["other"]
        assert found.detections["image_id"].to_list() == ["other"]
        assert found.low["image_id"].to_list() == ["other"]


def test_listing_names_what_is_new_without_touching_a_file(tmp_path):
    put(tmp_path, "a1.json", bare())
    before = listing.inodes(tmp_path)
    put(tmp_path, "b1.json", bare(image_id="b1"))
    put(tmp_path, ".c.1.tmp", b"")
    now = listing.inodes(tmp_path)
    assert now.keys() - before.keys() == {"b1.json"}
    assert now["b1.json"] == (tmp_path / "b1.json").stat().st_ino


def test_listing_tells_by_keys_what_came_and_what_went(tmp_path):
    for name in ("b.json", "a.json", "day/c.json", "d.tmp"):
        put(tmp_path / Path(name).parent, Path(name).name, bare())
    (tmp_path / os.fsdecode(b"\xff.json")).write_bytes(b"{")
    known = listing.keys(tmp_path, ["a.json", "\N{REPLACEMENT CHARACTER}.json", "gone.json"], documents.shown)
    assert len(known) == 2
    found, new = listing.since(tmp_path, known)
    assert (len(found), sorted(new)) == (4, ["b.json", "day/c.json"])
    assert listing.since(tmp_path, found)[1] == []
    (tmp_path / "a.json").rename(tmp_path / "e.json")
    after, new = listing.since(tmp_path, found)
    assert (len(after), new) == (4, ["e.json"])  # as many as before, and one is new: one went
    assert listing.since(tmp_path / "none", found)[0].size == 0


def some_files(folder: Path, count: int) -> list[str]:
    """Bare and rich ones, broken ones, and copies under other names."""
    rng = random.Random(0)
    for number in range(count):
        name = f"{rng.randrange(10**6)}.json"
        content = [
            bare(image_id=f"i{number}", confidence=number / count),
            bare(image_id="same"),
            records.encode(rich(feedback_id=f"f{number % 7}", image_id=f"i{number}", low_detections=[low_box(VINDR)])),
            b"{",
        ][number % 4]
        put(folder, name, content)
    return names(folder)


@pytest.mark.parametrize("seed", range(5))
def test_parts_combined_are_one_reading_of_all(tmp_path, seed, monkeypatch):
    files = some_files(tmp_path, 60)
    whole = reading.read(tmp_path, VINDR)
    random.Random(seed).shuffle(files)
    cut = random.Random(seed).randrange(len(files))
    old, new = reading.read(tmp_path, VINDR, files[:cut]), reading.read(tmp_path, VINDR, files[cut:])
    monkeypatch.setattr(reading, "CHUNK", 7)
    for again in (rows.combine([old, new]), rows.combine([new, old]), reading.read(tmp_path, VINDR, files)):
        assert again.feedback.equals(whole.feedback)
        assert again.detections.equals(whole.detections)
        assert again.low.equals(whole.low)
        assert again.refused.equals(whole.refused)
    assert whole.feedback.height + whole.refused.height == len(files)


def box_of(class_id: int, confidence: float = 0.5) -> dict:
    return {"class_id": class_id, "confidence": confidence, "bbox": [0.5, 0.5, 0.1, 0.1]}


NEAR = st.fixed_dictionaries(
    {
        "image_id": st.one_of(st.text(max_size=5), st.just("a1"), st.integers()),
        "class_id": st.one_of(st.integers(-1, 22), st.none(), st.booleans()),
        "confidence": st.one_of(st.floats(-0.5, 1.5), st.integers(0, 1), st.text(max_size=3)),
        "bbox": st.one_of(st.none(), st.lists(st.floats(-0.2, 1.2), min_size=3, max_size=5), st.just([0.5, 0.5, 1, 1])),
        "timestamp": st.one_of(
            st.datetimes().map(str), st.datetimes().map(datetime.isoformat), st.text(max_size=20), st.just("2026-01-01")
        ),
    },
    optional={
        "x": st.recursive(st.none(), st.lists),
        "detections": st.lists(st.none() | st.builds(box_of, st.integers(-1, 22)), max_size=3),
        "low_detections": st.lists(
            st.none() | st.builds(box_of, st.integers(-1, 22), st.floats(-0.1, 0.4)), max_size=3
        ),
        "feedback_id": st.text(),
    },
)


@pytest.mark.parametrize(
    "classes",
    [
        pytest.param(classes, id=name, marks=[pytest.mark.slow] if classes is not VINDR else [])
        for name, classes in EVERY.items()
    ],
)
@given(
    contents=st.lists(st.one_of(NEAR.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60)), max_size=8)
)
def test_reading_many_says_of_each_file_what_decoding_it_says(tmp_path_factory, classes, contents):
    folder = tmp_path_factory.mktemp("feedback")
    expected, codes = {}, {}
    for number, data in enumerate(contents):
        put(folder, f"{number}.json", data)
        try:
            feedback = records.decode(data, classes, name="")
        except FeedbackError as refused:
            codes[f"{number}.json"] = refused.code
            continue
        expected.setdefault(feedback.feedback_id, (f"{number}.json", feedback))

    found = reading.read(folder, classes)

    assert codes.items() <= dict(found.refused.select("file", "code").iter_rows()).items()
    assert found.feedback.height + found.refused.height == len(contents)
    assert dict(found.feedback.select("file", "feedback_id").iter_rows()) == {
        name: feedback_id for feedback_id, (name, _) in expected.items()
    }
    for row in found.feedback.iter_rows(named=True):
        feedback = expected[row["feedback_id"]][1]
        assert row["timestamp"] == datetime.fromisoformat(feedback.timestamp)
        class_id = None if feedback.class_id == classes.nothing else feedback.class_id
        assert (row["image_id"], row["class_id"]) == (feedback.image_id, class_id)
        boxes = found.detections.filter(pl.col("feedback_id") == row["feedback_id"])
        assert boxes["confidence"].to_list() == [box.confidence for box in feedback.found(classes.nothing)]
        low = found.low.filter(pl.col("feedback_id") == row["feedback_id"])
        assert low["confidence"].to_list() == [box.confidence for box in feedback.low(classes.nothing)]


def test_every_file_of_the_folder_is_read_or_named_with_its_kind(tmp_path):
    put(tmp_path, "a.json", bare(image_id="a"))
    put(tmp_path, "b.JSON", bare(image_id="b"))
    put(tmp_path / "2026-11-20" / "north", "c.json", bare(image_id="c"))
    put(tmp_path / "2026-11-21", "d.jsonl", b"\n".join(json.dumps(bare(image_id=f"d{n}")).encode() for n in range(3)))
    lines = [
        b"\xef\xbb\xbf" + json.dumps(bare(image_id="e")).encode(),
        b"",
        b'{"image',
        json.dumps(bare(image_id="f")).encode(),
    ]
    put(tmp_path, "e.NDJSON", b"\r\n".join(lines))
    put(tmp_path, "g.csv", b"image_id,class_id")
    put(tmp_path, "h.json.gz", b"\x1f\x8b")
    put(tmp_path, "notes", b"mine")
    for hidden in (".a.json", "._a.json", ".x.tmp", "y.tmp", "z.json.tmp"):
        put(tmp_path, hidden, b"{")
    put(tmp_path / ".git", "x.json", b"{")

    found = reading.read(tmp_path, VINDR)

    assert dict(found.feedback.select("image_id", "file").iter_rows()) == {
        "a": "a.json",
        "b": "b.JSON",
        "c": "2026-11-20/north/c.json",
        **{f"d{n}": f"2026-11-21/d.jsonl:{n + 1}" for n in range(3)},
        "e": "e.NDJSON:1",
        "f": "e.NDJSON:4",
    }
    assert found.refused.select("file", "code").rows() == [
        ("e.NDJSON:3", "not-json"),
        ("g.csv", "unknown-kind"),
        ("h.json.gz", "unknown-kind"),
        ("notes", "unknown-kind"),
    ]
    assert found.refused["reason"][1] == (
        "a file that ends in .csv: feedback is read from .json (one each) and .jsonl (one a line)"
    )


def test_lines_of_any_number_are_read_in_parts(tmp_path, monkeypatch):
    put(tmp_path, "all.jsonl", b"\n".join(json.dumps(bare(image_id=f"i{n}")).encode() for n in range(25)))
    whole = reading.read(tmp_path, VINDR)
    monkeypatch.setattr(reading, "CHUNK", 7)
    assert reading.read(tmp_path, VINDR).feedback.equals(whole.feedback)
    assert whole.feedback.height == 25


def test_file_of_lines_that_is_none_or_has_an_endless_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MAX_BYTES", 1000)
    put(tmp_path, "long.jsonl", json.dumps(bare()).encode() + b"\n" + b"x" * 5000)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "long.jsonl")
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "elsewhere").symlink_to("/")
    found = reading.read(tmp_path, VINDR)
    assert found.feedback.height == 1
    assert dict(found.refused.select("file", "code").iter_rows()) == {
        "long.jsonl:2": "too-large",
        "link.jsonl": "not-a-file",
        "fifo.jsonl": "not-a-file",
        "elsewhere": "unknown-kind",
    }


def test_cache_knows_files_in_folders_and_reads_files_of_lines_again(tmp_path, monkeypatch):
    folder, kept = tmp_path / "feedback", tmp_path / "kept"
    put(folder, "a.json", bare(image_id="a"))
    put(folder / "day", "b.json", bare(image_id="b"))
    put(folder, "c.jsonl", json.dumps(bare(image_id="c")).encode())
    first = cache.read(folder, VINDR, kept)
    assert sorted(first.feedback["image_id"]) == ["a", "b", "c"]
    with (folder / "c.jsonl").open("ab") as file:
        file.write(b"\n" + json.dumps(bare(image_id="d")).encode())
    put(folder / "day", "e.json", bare(image_id="e"))
    opened = []
    read_bytes = documents.read_bytes
    monkeypatch.setattr(
        documents, "read_bytes", lambda directory, name: opened.append(name) or read_bytes(directory, name)
    )
    again = cache.read(folder, VINDR, kept)
    assert sorted(again.feedback["image_id"]) == ["a", "b", "c", "d", "e"]
    assert opened == ["day/e.json"]
    assert again.feedback.equals(reading.read(folder, VINDR).feedback)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param(
            {"class_name": "Cardiomegaly", "class_id": 4}, "class-contradicts-name", id="another class's name"
        ),
        pytest.param({"class_name": "cardiomegaly", "class_id": 4}, "class-contradicts-name", id="in another case"),
        pytest.param({"class_name": "No finding"}, "class-contradicts-name", id="a class called nothing"),
        pytest.param(
            {"class_id": 14, "bbox": None, "class_name": "Nodule/Mass"}, "class-contradicts-name", id="nothing"
        ),
        pytest.param(
            {"detections": [box_of(4) | {"class_name": "ILD"}]}, "class-contradicts-name", id="in a detection"
        ),
        pytest.param(
            {"class_id": 14, "bbox": None, "detections": [box_of(3)]}, "top-contradicts-detections", id="nothing on top"
        ),
        pytest.param({"detections": [box_of(4)]}, "top-contradicts-detections", id="another class on top"),
        pytest.param({"timestamp": "2026-11-22"}, "bad-timestamp", id="a bare date"),
        pytest.param({"timestamp": "1712010121530"}, "bad-timestamp", id="a number"),
        pytest.param({"timestamp": "1999-01-01T00:00:00Z"}, "time-too-early", id="too early"),
        pytest.param({"timestamp": "2099-01-01T00:00:00Z"}, "time-in-future", id="to come"),
        pytest.param({"timestamp": "2026-11-23T10:00:01Z"}, "time-in-future", id="more than a day ahead"),
    ],
)
def test_contradiction_and_impossible_time_are_refused_with_a_code(tmp_path, changes, code):
    put(tmp_path, "x.json", bare(**changes))
    found = reading.read(tmp_path, VINDR, now=datetime(2026, 11, 22, 10, tzinfo=UTC))
    assert found.refused["code"].to_list() == [code]


@pytest.mark.parametrize(
    "changes",
    [
        {"class_name": "cardiomegaly "},
        {"class_name": "Herzvergrößerung"},
        {"timestamp": "2026-11-23T10:00:00Z"},
        {"class_id": 14, "bbox": None, "detections": [box_of(14)]},
        {"class_id": 14, "bbox": None, "class_name": "no Finding"},
    ],
)
def test_what_does_not_contradict_itself_is_read(tmp_path, changes):
    put(tmp_path, "x.json", bare(**changes))
    assert reading.read(tmp_path, VINDR, now=datetime(2026, 11, 22, 10, tzinfo=UTC)).refused.is_empty()


def test_byte_order_mark_means_nothing(tmp_path):
    put(tmp_path, "x.json", b"\xef\xbb\xbf" + json.dumps(bare()).encode())
    assert reading.read(tmp_path, VINDR).feedback["image_id"].to_list() == ["a1"]


def test_feedback_of_a_hundred_thousand_boxes_is_refused_before_it_is_read(tmp_path):
    box = {"class_id": 3, "confidence": 0.5, "bbox": [0.5, 0.5, 0.2, 0.2]}
    put(tmp_path, "many.json", json.dumps(bare() | {"detections": [box] * 100_000}).encode())
    put(tmp_path, "good.json", json.dumps(bare()).encode())
    found = reading.read(tmp_path, VINDR)
    assert found.feedback["file"].to_list() == ["good.json"]
    assert dict(found.refused.select("file", "code").iter_rows()) == {"many.json": "too-large"}
