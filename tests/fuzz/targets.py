"""What each reader of outside bytes must keep for any bytes whatever: one function a reader.

A target takes one input and ends quietly, or raises: AssertionError where a promise is broken, else what the reader let
through that is none of radloop's own errors. `tests/test_fuzz.py` feeds them a few seconds of inputs and every input
that once failed; `make fuzz` feeds them for minutes, guided by the coverage of the code.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import posixpath
import re
import shutil
import struct
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

import msgspec
import numpy as np
import polars as pl
from PIL import Image

import exports
import label_studio_files
from radloop import manifest, options, pixels, settings, spreadsheets, tags, tree
from radloop.catalog import cards, heldout, history, models, monitor, rounds, tombstones
from radloop.catalog import classes as resolving
from radloop.catalog import gates as catalog_gates
from radloop.catalog import incoming as catalog_incoming
from radloop.dashboard import loading, loop
from radloop.dataset import findings, pictures, trainer_labels, trainer_rules, trainer_yaml, yolo
from radloop.detectors import names, recipes
from radloop.detectors.triton import Triton
from radloop.dicom import gray, radiograph, report_reader, views
from radloop.errors import (
    AnnotationError,
    DatasetError,
    DetectorError,
    DicomError,
    FeedbackError,
    PacsError,
    SourceError,
    StoreError,
    TaxonomyError,
    UsageError,
)
from radloop.feedback import cache as feedback_cache
from radloop.feedback import reading, records, reviews, weighing
from radloop.feedback.conventions import OWN
from radloop.feedback.rows import combine
from radloop.pacs import multipart
from radloop.pacs.ledger import Done, Ledger
from radloop.pipelines import exporting, importing
from radloop.predictions import MIN_CONFIDENCE
from radloop.predictions import Picture as Shown
from radloop.recipe import Recipe
from radloop.simulation import drifting, load
from radloop.simulation.journal import Journal
from radloop.sources import raw
from radloop.sources.bundle import Bundle
from radloop.sources.formats import coco as formats_coco
from radloop.sources.formats import cvat as formats_cvat
from radloop.sources.formats import label_studio as formats_label_studio
from radloop.sources.formats import nih as formats_nih
from radloop.sources.formats import rsna as formats_rsna
from radloop.sources.formats import voc as formats_voc
from radloop.sources.formats import yolo as formats_yolo
from radloop.sources.formats.csv import read_annotations
from radloop.sources.formats.labels import Labels
from radloop.split_sizes import SplitSizes
from radloop.storage import verify
from radloop.storage.folder import FolderStore
from radloop.tables import ANNOTATION_COLUMNS, HELDOUT, INCOMING, MANIFEST, SPLITS, TOMBSTONES
from radloop.taxonomy import NOTHING
from radloop.transport import Reply
from radloop.vindr.classes import TAXONOMY

Target = Callable[[bytes], None]

SEPARATOR = b"\x1e"  # between the files of one input: no JSON text may hold it
ALL_COLUMNS = (*ANNOTATION_COLUMNS, "width", "height", "patient_id")
_MOST_FILES = 8
_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PNG = b"\x89PNG\r\n\x1a\n"


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="fuzz-")


def _folder() -> Path:
    return Path(_kept().name)


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def _only_files(folder: str, contents: dict[str, bytes]) -> Path:
    """A folder that holds these files and no other."""
    root = _folder() / folder
    root.mkdir(exist_ok=True)
    for name in os.listdir(root):
        (root / name).unlink()
    for name, data in contents.items():
        (root / name).write_bytes(data)
    return root


def _assert_one_line(text: str) -> None:
    """One sentence for a person."""
    assert text.strip(), "an error without a word"
    assert len(text.splitlines()) == 1, f"more than one line: {text!r}"
    assert "\0" not in text


def annotations(data: bytes) -> None:
    """train.csv: each record is a row or refused, with the cells and the line that it has in the file."""
    packed = data.startswith(b"\x1f\x8b")
    path = _file("train.csv.gz" if packed else "train.csv", data)
    try:
        rows, refused = read_annotations(path)
    except AnnotationError as error:
        _assert_one_line(str(error))
        return
    header, expected = _records(gzip.decompress(data) if packed else data)
    assert rows.height + refused.height == len(expected)
    taken = rows["line"].to_list() + refused["line"].to_list()
    assert sorted(taken) == [line for line, _ in expected]
    cells = dict(expected)
    places = {name: header.index(name) for name in ALL_COLUMNS if name in header}
    for row in rows.iter_rows(named=True):
        assert {name: row[name] for name in places} == {name: cells[row["line"]][at] for name, at in places.items()}
    for reason in refused["reason"]:
        _assert_one_line(reason)


def _records(data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header of a CSV, and its other records that are not blank with the line that each begins in."""
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline=""))
    found, last = [], 0
    for record in reader:
        line, last = last + 1, reader.line_num
        if "".join(record).strip() or len(record) > 1:
            found.append((line, record))
    return [name.strip() for name in found[0][1]], found[1:]


def validation(data: bytes) -> None:
    """Rows under a header with every column: each is a finding that a trainer can use, or refused."""
    path = _file("rows.csv", ",".join(ALL_COLUMNS).encode() + b"\n" + data)
    try:
        rows, _ = read_annotations(path)
        sizes = rows.select(pl.col("image_id").unique(maintain_order=True), width=2048, height=2560)
        resolved = resolving.resolve(rows, resolving.Wishes(declared=TAXONOMY))
        valid = findings.validate(rows, resolved, sizes=sizes, boxes="auto")
    except (AnnotationError, TaxonomyError, UsageError) as error:
        _assert_one_line(str(error))
        return
    lines = valid.origins["line"].to_list() + valid.rejected["line"].to_list()
    assert sorted(lines) == sorted(rows["line"].to_list()), "rows in = findings + refused"
    assert valid.origins.height == valid.findings.height
    for finding in valid.findings.iter_rows(named=True):
        _assert_finding(**finding)
    for reason in valid.rejected["reason"]:
        _assert_one_line(reason)
    _assert_no_false_normal(valid)

    again = findings.validate(
        rows.reverse(),
        resolving.resolve(rows.reverse(), resolving.Wishes(declared=TAXONOMY)),
        sizes=sizes.reverse(),
        boxes="auto",
    )
    assert again.findings.equals(valid.findings)
    assert again.rejected.equals(valid.rejected)
    assert again.lost.equals(valid.lost)
    assert again.patients.equals(valid.patients)


def _assert_finding(
    *, image_id: str, rad_id: str, class_id: int | None, width: int | None, height: int | None, **norm: float | None
) -> None:
    name = f"{image_id}_{rad_id}.jpeg"
    assert manifest.is_safe_key(name)
    assert len(name.encode()) <= 255
    assert "_" not in rad_id
    if class_id is None:
        assert set(norm.values()) == {None}
        return
    assert 0 <= class_id < len(TAXONOMY)
    for axis, side in (("x", width), ("y", height)):
        low, high = norm[f"{axis}_min_norm"], norm[f"{axis}_max_norm"]
        assert low < high
        assert low >= -1.0001 / side
        assert high <= 1 + 1.0001 / side
        assert low < 1
        assert high > 0


def _assert_no_false_normal(valid: findings.Validated) -> None:
    """A reading that is "No finding" has no other row, but for repeats of that one."""
    read = Counter(valid.findings.select("image_id", "rad_id").iter_rows())
    normal = set(valid.findings.filter(pl.col("class_id").is_null()).select("image_id", "rad_id").iter_rows())
    assert {read[reading] for reading in normal} <= {1}
    for row in valid.rejected.iter_rows(named=True):
        if (row["image_id"], (row["rad_id"] or "").strip()) in normal:
            assert row["reason"] == "the row repeats another"


def sizes(data: bytes) -> None:
    """train_meta.csv: a size between 10 and 50,000 pixels for each image that it names, or a sentence."""
    path = _file("train_meta.csv", data)
    try:
        table = raw.read_sizes(path)
    except AnnotationError as error:
        _assert_one_line(str(error))
        return
    header, expected = _records(data)
    at_id, at_height, at_width = (header.index(name) for name in ("image_id", "dim0", "dim1"))
    said = {cells[at_id]: tuple(_as_number(cells[at].strip()) for at in (at_width, at_height)) for _, cells in expected}
    assert {image_id: size for image_id, *size in table.iter_rows()} == {key: [*size] for key, size in said.items()}
    assert all(10 <= side <= 50_000 for size in said.values() for side in size)


def _as_number(text: str) -> float:
    """A plain number, or one whose thousands stand apart in groups of three."""
    try:
        return float(text)
    except ValueError:
        whole, *groups = re.split(r"[ ,.'’\u00a0\u202f]", re.sub(r"[.,]0*$", "", text))
        assert all(len(group) == 3 for group in groups), text
        return float(whole + "".join(groups))


def source(data: bytes) -> None:
    """raw/source.json: what `radloop extract` wrote down, or a sentence."""
    _file("raw/source.json", data)
    try:
        found = raw.read(_folder())
    except SourceError as error:
        _assert_one_line(str(error))
        return
    assert found.annotations.exists()
    raw.write(found, _folder())
    assert raw.read(_folder()) == found


def picture(data: bytes) -> None:
    """A PNG or JPEG, as it is: taken only if Pillow takes it, and then the same pixels; never an exception."""
    row = pictures.inspect_shard(_only_files("pictures", {"a.png": data}), ["a.png"]).row(0, named=True)
    assert (row["bytes"], row["md5"]) == (len(data), hashlib.md5(data).hexdigest())
    try:
        gray, bare = pixels.decode(data), tags.without_tags(data)
    except SourceError as error:
        problem = str(error)
    else:
        problem = None
        assert np.array_equal(pixels.decode(bare), gray)
    assert row["problem"] == problem
    if problem is not None:
        _assert_one_line(problem)
        return
    assert gray.shape == (row["height"], row["width"])
    assert min(gray.shape) >= pixels.MIN_SIDE_PX
    assert gray.size <= pixels.MAX_PIXELS
    assert 0 <= row["mean"] <= 255
    assert 0 <= row["std"] <= 127.5
    assert row["sharpness"] >= 0
    assert len(row["thumbnail"]) == 32 * 32
    assert len(row["phash"]) == 16
    expected = _by_pillow(data)
    assert gray.shape == expected.shape
    if data.startswith(_PNG) or _colours(data) == 1:  # of a colour JPEG the luma is taken, not made again
        assert np.array_equal(gray, expected)


def _colours(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return len(image.getbands())


def _by_pillow(data: bytes) -> np.ndarray:
    """What a trainer sees: verified, loaded, in gray. A wrong Adler-32 sum alone is put right before (on purpose)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.open(io.BytesIO(data)).verify()
        try:
            return _gray(data)
        except (OSError, SyntaxError):
            return _gray(_with_right_adler(data))


def _gray(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        if image.mode.startswith("I"):
            return (np.asarray(image) >> 8).astype(np.uint8)
        return np.asarray(image.convert("L"))


def png(data: bytes) -> None:
    """The same for a PNG whose chunks have right checksums, so that what was changed in them is looked at."""
    picture(_with_right_checksums(data))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG, whatever their checksums; the last may be cut off."""
    at = len(_PNG)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def as_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return _PNG + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _with_right_checksums(data: bytes) -> bytes:
    return as_png(list(_chunks(data))) if data.startswith(_PNG) else data


def _with_right_adler(data: bytes) -> bytes:
    """The PNG with all its image data in one chunk, their last four bytes what they should be."""
    chunks = list(_chunks(data))
    packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
    inflater = zlib.decompressobj(wbits=-15)
    plain = inflater.decompress(packed[2:])
    assert inflater.eof, "image data that never end were taken"
    body = packed[: len(packed) - len(inflater.unused_data)]
    first = next(at for at, (kind, _) in enumerate(chunks) if kind == b"IDAT")
    others = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    return as_png([*others[:first], (b"IDAT", body + struct.pack(">I", zlib.adler32(plain))), *others[first:]])


def feedback(data: bytes) -> None:
    """A folder of feedback files: reading them all at once says of each what `decode` says of it alone."""
    contents = {f"{at}.json": part for at, part in enumerate(data.split(SEPARATOR, _MOST_FILES - 1))}
    folder = _only_files("feedback", contents)
    taken, refused = {}, {}
    for name, part in contents.items():
        try:
            taken[name] = records.decode(part, TAXONOMY, name=name)
        except FeedbackError as error:
            _assert_refusal(error)
            refused[name] = (error.code, str(error).removeprefix(f"{name}: "))
        else:
            _assert_feedback(taken[name], part)

    found = reading.read(folder, TAXONOMY)
    first = {one.feedback_id: name for name, one in sorted(taken.items(), reverse=True)}  # of several with one id
    for name, one in taken.items():
        if first[one.feedback_id] != name:
            sentence = f"feedback_id {one.feedback_id} is also that of a file which comes before this one by name"
            refused[name] = ("feedback-id-twice", sentence)
    assert {name: (code, reason) for name, code, reason in found.refused.iter_rows()} == refused
    rows = found.feedback.rows_by_key("file", named=True, unique=True)
    assert rows.keys() == set(first.values())
    for name, row in rows.items():
        _assert_row(row, taken[name])
    boxes = [_corners(one, box) for one in map(taken.get, rows) for box in one.found(TAXONOMY.nothing)]
    assert sorted(found.detections.rows()) == sorted(boxes)
    low = [_corners(one, box) for one in map(taken.get, rows) for box in one.low(TAXONOMY.nothing)]
    assert sorted(found.low.rows()) == sorted(low)

    parts = [reading.read(folder, TAXONOMY, [name]) for name in reversed(contents)]
    together = combine(parts)
    assert together.feedback.equals(found.feedback)
    assert together.detections.equals(found.detections)
    assert together.low.equals(found.low)
    assert together.refused.equals(found.refused)


def _assert_refusal(error: FeedbackError | DicomError) -> None:
    _assert_one_line(str(error))
    assert _CODE.fullmatch(error.code)
    assert error.code != "unusable", "nobody said what it is"


def _assert_feedback(one: records.Feedback, data: bytes) -> None:
    assert records.decode(records.encode(one), TAXONOMY, name="x") == one
    assert one.feedback_id
    assert manifest.is_safe_key(f"{one.image_id}.json")
    assert "/" not in one.image_id
    assert not one.image_id.startswith(".")
    assert OWN.utc(one.timestamp)[0].isoformat() == one.timestamp
    assert (one.bbox is None) == (one.class_id == TAXONOMY.nothing) or one.detections
    assert all(box.confidence <= MIN_CONFIDENCE for box in one.low(TAXONOMY.nothing))
    for box in (*one.found(TAXONOMY.nothing), *one.low(TAXONOMY.nothing)):
        assert 0 <= box.class_id < len(TAXONOMY)
        assert 0 <= box.confidence <= 1
        _assert_inside(*box.bbox)
    keys = [key for key, _ in json.loads(data, object_pairs_hook=list)]
    assert len(keys) == len(set(keys))


def _assert_inside(xc: float, yc: float, width: float, height: float) -> None:
    assert width > 0
    assert height > 0
    for middle, side in ((xc, width), (yc, height)):
        assert middle - side / 2 >= -0.010001
        assert middle + side / 2 <= 1.010001


def _assert_row(row: dict[str, object], one: records.Feedback) -> None:
    for name in ("feedback_id", "image_id", "confidence", "split", "image_md5", "image_phash"):
        assert row[name] == getattr(one, name)
    assert row["class_id"] == (None if one.class_id == TAXONOMY.nothing else one.class_id)
    for name in ("latency_ms", "stage", "run_id"):
        assert row[name] == getattr(one, name)
    assert row["timestamp"].isoformat() == one.timestamp
    assert row["model"] == (one.model and one.model.name)
    assert row["mean"] == (one.picture and one.picture.mean)
    assert row["simulated"] == (one.simulated is not None)
    assert row["site"] == (one.simulated and one.simulated.site)


def _corners(one: records.Feedback, box: records.Detection) -> tuple[object, ...]:
    xc, yc, width, height = box.bbox
    corners = (xc - width / 2, yc - height / 2, xc + width / 2, yc + height / 2)
    return (one.feedback_id, one.image_id, box.class_id, box.confidence, *corners)


def review(data: bytes) -> None:
    """A folder of review files: each read or refused, and what stands does not depend on their order."""
    contents = dict(_named_reviews(data.split(SEPARATOR, _MOST_FILES - 1)))
    folder = _only_files("reviews", contents)
    taken: dict[str, reviews.Review] = {}
    refused: set[tuple[str, str]] = set()
    for name, part in contents.items():
        try:
            taken[name] = reviews.decode(part, TAXONOMY, name=name)
        except FeedbackError as error:
            _assert_refusal(error)
            refused.add((name, error.code))
        else:
            _assert_review(taken[name])
    found = reviews.read(folder, TAXONOMY)
    assert set(found.refused.select("file", "code").rows()) == refused
    assert set(found.reviews["file"]) == taken.keys()
    assert Counter(found.findings["file"]) == Counter(name for name, one in taken.items() for _ in one.findings or [])

    standing = weighing.standing(found)
    assert standing["feedback_id"].to_list() == sorted({one.feedback_id for one in taken.values()})
    shuffled = reviews.Reviews(found.reviews.reverse(), found.findings.reverse(), found.refused)
    assert weighing.standing(shuffled).equals(standing)


def _named_reviews(parts: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """The files under the names that they should have, as far as they tell."""
    for at, part in enumerate(parts):
        name = f"f1.R1.{at}.json"
        try:
            told = msgspec.json.decode(part, type=dict[str, msgspec.Raw])
            who = [msgspec.json.decode(told[key], type=str) for key in ("feedback_id", "reviewer")]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
            who = []
        if who and all(text.isascii() and text.replace("-", "").replace("_", "").isalnum() for text in who):
            name = f"{who[0][:80]}.{who[1][:80]}.{at}.json"
        yield name, part


def _assert_review(one: reviews.Review) -> None:
    data = reviews.encode(one)
    named = f"{one.feedback_id}.{one.reviewer}.0.json"
    assert reviews.decode(data, TAXONOMY, name=named) == one
    assert (one.findings is None) <= (one.verdict in ("reject", "normal"))
    for finding in one.findings or []:
        assert one.verdict in ("accept", "correct")
        assert 0 <= finding.class_id < len(TAXONOMY)
        _assert_inside(*finding.bbox)
    again = reviews.read(reviews.write(_only_files("written", {}), one, TAXONOMY).parent, TAXONOMY)
    assert again.reviews.height == 1
    assert again.findings.height == len(one.findings or [])


def listing(data: bytes) -> None:
    """manifest.parquet, as its bytes come: refused, or rows whose keys stay inside the unit."""
    store = FolderStore(_folder())
    _file("organized/manifest.parquet", data)
    try:
        table = manifest.decode(data, name="manifest.parquet")
    except DatasetError as error:
        _assert_one_line(str(error))
        problems = verify.verify(store)
        assert "manifest" in {problem.rule for problem in problems}
        return
    _assert_keys(table)
    assert manifest.decode(manifest.encode(table), name="again").equals(table.sort("key"))


def keys(data: bytes) -> None:
    """A sound manifest with any keys in it, a line each: taken only if every key stays inside and none stands twice."""
    names = data.decode("utf-8", "replace").split("\n")[:50]
    rows = [{"key": name, "kind": "label", "bytes": len(name), "md5": "0" * 32} for name in names]
    data = manifest.encode(pl.DataFrame(rows, schema=MANIFEST))
    try:
        table = manifest.decode(data, name="manifest.parquet")
    except DatasetError as error:
        _assert_one_line(str(error))
        assert len(set(names)) < len(names) or not all(map(_stays_inside, names))
        return
    assert table["key"].to_list() == sorted(names, key=str.encode)
    _assert_keys(table)
    assert len(manifest.version(table)) == 16


def _assert_keys(table: pl.DataFrame) -> None:
    assert dict(table.schema) == dict(MANIFEST)
    assert all(map(_stays_inside, table["key"]))
    assert not table["key"].is_duplicated().any()


def _stays_inside(key: str | None) -> bool:
    """What `manifest.is_safe_key` promises, said in another way."""
    if not key or any(character < " " or character in "\\" for character in key):
        return False
    return posixpath.normpath(f"/unit/{key}") == f"/unit/{key}" and not key.startswith("/")


def summary(data: bytes) -> None:
    """summary.json beside a sound manifest in a store: looked at, never trusted."""
    _file("organized/manifest.parquet", manifest.encode(pl.DataFrame(schema=MANIFEST)))
    _file("organized/summary.json", data)
    try:
        problems = verify.verify(FolderStore(_folder()))
    except StoreError as error:
        _assert_one_line(str(error))
        return
    finally:
        (_folder() / "organized/summary.json").unlink()
    for problem in problems:
        _assert_one_line(problem.detail)


def log(data: bytes) -> None:
    """The simulator's log: a row for each line that is an object, whatever stands between them."""
    for old in _folder().glob("online-*.log"):
        old.unlink()
    path = _file(f"online-{next(_NUMBERS)}.log", data)  # what was read of a file is kept by its name
    try:
        table = loading.lines(path, loop.LOG)
    except FeedbackError as error:
        _assert_one_line(str(error))
        return
    assert table.schema == loop.LOG
    assert table.height <= len(data.splitlines())
    for run_id in loop.runs(table)["run_id"].to_list()[:3]:
        loop.errors(table, run_id)


_NUMBERS = iter(range(10**9))


def journal(data: bytes) -> None:
    """Anything said to the log is one line that can be read again, without the password of an address in it."""
    text = data.decode("utf-8", "surrogateescape")
    path = _file("journal.log", b"")
    with Journal(path, "run") as written:
        written.write("error", message=text, image_id=text)
        written.write("end", seconds=1.5)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [msgspec.json.decode(line)["event"] for line in lines] == ["error", "end"]
    assert b"//user:hunter2@" not in lines[0]
    said = loading.lines(path, loop.LOG)
    assert said["event"].to_list() == ["error", "end"]


def shown(data: bytes) -> None:
    """A CSV in the dashboard, which reads it in its own way: each row is shown or counted as refused."""
    for old in _folder().glob("shown-*.csv"):
        old.unlink()
    path = _file(f"shown-{next(_NUMBERS)}.csv", data)
    try:
        found = loading.dataset(path)
    except DatasetError as error:
        _assert_one_line(str(error))
        return
    assert found.rows.height + found.refused["rows"].sum() == loading.table(path, ["image_id"]).height
    assert found.rows["class_id"].drop_nulls().is_between(0, len(found.taxonomy) - 1).all()
    for row in found.rows.drop_nulls("class_id").iter_rows(named=True):
        for axis, side in (("x", row["width"]), ("y", row["height"])):
            assert -1.0001 / side <= row[f"{axis}_min_norm"] < row[f"{axis}_max_norm"] <= 1 + 1.0001 / side


def label(data: bytes) -> None:
    """A label file of somebody's dataset: looked at among many, it breaks the rules that it breaks alone."""
    for classes in (None, len(TAXONOMY)):
        alone = trainer_labels.judge_label("a.txt", data, classes)
        assert trainer_labels.judge_labels(["a.txt", "b.txt"], [data, b""], classes) == alone
        assert {violation.rule for violation in alone} <= trainer_rules.RULES.keys()
        assert all(0 < violation.line <= len(data) + 1 for violation in alone)
        for violation in alone:
            _assert_one_line(violation.detail)


def config(data: bytes) -> None:
    """The data.yaml of somebody's dataset: what the trainer would make of it, or why it cannot."""
    tree = yolo.read(_only_files("tree", {"data.yaml": data}))
    (found,) = tree.configs
    assert (found.problem is None) or found.content is None
    for violation in trainer_yaml.judge_yaml(found.key, found.content):
        _assert_one_line(violation.detail)
    count = trainer_yaml.class_count(found.content)
    assert count is None or isinstance(count, int)


def numbers(data: bytes) -> None:
    """LOAD_PATTERN, --arrival, --drift and --sizes: a value that keeps its bounds, or a sentence for the user."""
    text = os.fsdecode(data)
    for read in (_pattern, _arrival, _drift, _split_sizes):
        try:
            read(text)
        except UsageError as error:
            _assert_one_line(str(error))


def _pattern(text: str) -> None:
    pattern = load.parse_pattern(text)
    assert 0 < len(pattern) <= load.MOST_STAGES
    assert min(pattern) >= 0
    assert 0 < max(pattern) <= load.MOST_WORKERS
    assert load.parse_pattern(",".join(map(str, pattern))) == pattern
    assert load.parse_pattern(str(list(pattern))) == pattern


def _arrival(text: str) -> None:
    rate = load.parse_arrival(text)
    assert rate is None or 0 < rate <= load.MOST_PER_SECOND


def _drift(text: str) -> None:
    drifts = drifting.parse(text)
    assert drifting.parse(",".join(map(str, drifts))) == drifts


def _split_sizes(text: str) -> None:
    wanted = SplitSizes.parse(text)
    for total in (0, 1, 7, 600, 15_000):
        counts = [getattr(wanted.scaled(total), name) for name in SPLITS]
        assert sum(counts) == total
        assert min(counts) >= 0
        assert not any(count for name, count in zip(SPLITS, counts, strict=True) if not getattr(wanted, name))


def environment(data: bytes) -> None:
    """Variables of the environment, NAME=VALUE a line: settings, or a sentence that names the variable."""
    pairs = [line.partition("=") for line in os.fsdecode(data).replace("\0", "").split("\n")]
    given = {name: value for name, _, value in pairs if name in VARIABLES}
    with mock.patch.dict(os.environ, given):
        for step in options.STEPS:
            told = {one.name: one.kind.placeholder.partition("|")[0] for one in settings.of(step) if one.required}
            try:
                chosen = settings.load(step, told)
            except UsageError as error:
                _assert_one_line(str(error))
                named = {name for name in given if name in str(error)}
                assert named
                continue
            if isinstance(chosen, options.Jobs):
                assert chosen.jobs >= 1
            if isinstance(chosen, options.Simulate):
                assert 0 < chosen.stage_seconds <= 86_400


VARIABLES = {name for step in options.STEPS for setting in settings.of(step) for name in setting.variables}


def picture_cache(data: bytes) -> None:
    """The file that keeps what pictures measure: one that was damaged is as if there were none."""
    folder = _films()
    found = pictures.find(folder)
    kept = _file("pictures.parquet", data)
    assert pictures.inspect(folder, found, cache=kept).equals(_inspected())
    assert pictures.inspect(folder, found, cache=kept).equals(_inspected()), "it was written anew"


@cache
def _films() -> Path:
    gray = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(gray).save(buffer, "PNG")
    path = _file("films/a.png", buffer.getvalue())
    os.utime(path, ns=(10**18, 10**18))  # the cache knows a file by its time: the seeds must fit in every process
    return path.parent


@cache
def _inspected() -> pl.DataFrame:
    return pictures.inspect(_films(), pictures.find(_films()))


def picture_cache_seed() -> bytes:
    path = _folder() / "seed.parquet"
    pictures.inspect(_films(), pictures.find(_films()), cache=path)
    return path.read_bytes()


def rows_cache(data: bytes) -> None:
    """A file that keeps rows of feedback: one that was damaged is as if there were none."""
    kept = _only_files("rows", {"damaged.parquet": data})
    known = reading.read(_answers(), TAXONOMY)
    for _ in range(2):
        found = feedback_cache.read(_answers(), TAXONOMY, kept)
        assert found.feedback.equals(known.feedback)
        assert found.detections.equals(known.detections)
        assert found.low.equals(known.low)
        assert found.refused.equals(known.refused)


@cache
def _answers() -> Path:
    document = {
        "image_id": "a",
        "class_id": 3,
        "confidence": 0.9,
        "bbox": [0.5, 0.5, 0.2, 0.2],
        "timestamp": "2026-01-02T10:00:00Z",
        "low_detections": [{"class_id": 5, "confidence": 0.1, "bbox": [0.5, 0.5, 0.2, 0.2]}],
    }
    path = _file("answers/a.json", json.dumps(document).encode())
    os.utime(path, ns=(10**18, 10**18))
    return path.parent


def rows_cache_seed() -> bytes:
    kept = _only_files("rows", {})
    feedback_cache.read(_answers(), TAXONOMY, kept)
    (path,) = kept.iterdir()
    return path.read_bytes()


def yolo_set(data: bytes) -> None:
    """A data yaml, a list of pictures and two labels: every line is a box or refused, at its place in the file."""
    names = ("data.yaml", "train.txt", "a.txt", "b.txt")
    parts = dict(zip(names, [*data.split(SEPARATOR, 3), b"", b"", b""], strict=False))
    root = _only_files("yolo", {**parts, "a.png": b"", "b.png": b""})
    labels = _labels(formats_yolo.read, root)
    if labels is None:
        return
    assert labels.boxes == "fraction"
    for row in labels.rows.iter_rows(named=True):
        if row["x_min"] is None:
            assert row["class_name"] == NOTHING
            assert not parts[row["place"]].decode("utf-8-sig").strip()
            continue
        text = re.split(r"\r\n|\r|\n", parts[row["place"]].decode("utf-8-sig"))[row["line"] - 1]
        number, x, y, w, h = map(float, text.split())
        assert number == int(number) >= 0
        for axis, centre, size in (("x", x, w), ("y", y, h)):
            low, high = float(row[f"{axis}_min"]), float(row[f"{axis}_max"])
            assert (low, high) == (centre - size / 2, centre + size / 2)
            assert size >= 0
    places = [*labels.rows.select("place", "line", "image_id").rows()]
    assert len(places) == len({*places})


def voc_file(data: bytes) -> None:
    """Two XML files: every object is a row or refused, and so is a file without one."""
    names = ("a.xml", "b.xml")
    parts = dict(zip(names, [*data.split(SEPARATOR, 1), b""], strict=False))
    root = _only_files("voc", parts)
    labels = _labels(formats_voc.read, root)
    if labels is None:
        return
    refused = Counter(labels.rejected["place"])
    drawn = Counter(labels.rows["place"])
    for name in names:
        if b"<!" in parts[name]:
            assert "<!DOCTYPE" not in parts[name].decode("latin-1") or not drawn[name]
            continue
        try:
            found = ElementTree.fromstring(parts[name])
        except (ElementTree.ParseError, ValueError, LookupError):
            assert not drawn[name]
            continue
        objects = len(found.findall("object")) if found.tag == "annotation" else 0
        if found.tag == "annotation" and not {*labels.rejected["code"]} & {"xml-broken", "image-ambiguous"}:
            assert drawn[name] + refused[name] == max(1, objects)


def packed(data: bytes) -> None:
    """A zip: names that stay inside, each read as Python reads it or refused."""
    path = _file("labels.zip", data)
    try:
        bundle = Bundle(path)
        names = bundle.names
    except SourceError as error:
        _assert_one_line(str(error))
        return
    for name in names:
        if bundle.is_zip:
            assert manifest.is_safe_key(name)
        try:
            content = bundle.read(name)
            assert content.startswith(bundle.head(name))
        except SourceError as error:
            _assert_one_line(str(error))
            continue
        assert len(content) <= max(2**26, 100 * len(data))


def _labels(read: Callable[[Bundle], Labels], root: Path) -> Labels | None:
    """What a reader makes of a folder; None where it stops, in one line."""
    try:
        labels = read(Bundle(root))
    except (AnnotationError, SourceError, TaxonomyError) as error:
        _assert_one_line(str(error))
        return None
    for code, reason in labels.rejected.select("code", "reason").iter_rows():
        assert _CODE.fullmatch(code)
        _assert_one_line(reason)
    for note in labels.notes:
        _assert_one_line(note)
    return labels


def coco(data: bytes) -> None:
    """A train.json and a val.json: every annotation is a row or refused at its place, none makes its image normal."""
    names = ("train.json", "val.json")
    parts = dict(zip(names, [*data.split(SEPARATOR, 1), b""], strict=False))
    labels = _labels(formats_coco.read, _only_files("coco", {name: part for name, part in parts.items() if part}))
    if labels is None:
        return
    drawn, refused = labels.rows.filter(pl.col("class_name") != NOTHING), labels.rejected
    taken = Counter(one for one in [*drawn["place"], *refused["place"]] if "annotations[" in one)
    for name, part in parts.items():
        try:
            document = json.loads(part.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            continue
        listed = document.get("annotations") or [] if isinstance(document, dict) else []
        told = {place for place in taken if place.startswith(f"{name}: ")}
        if told:
            assert told == {f"{name}: annotations[{at}]" for at in range(len(listed))}
        for place in labels.rows.filter(pl.col("class_name") == NOTHING, rad_id="R0")["place"]:
            if (found := re.fullmatch(rf"{name}: images\[(\d+)\]", place)) is not None:
                image = document["images"][int(found[1])]
                assert not any(one.get("image_id") == image["id"] and not one.get("rad_id") for one in listed)
    assert all(times == 1 for times in taken.values())
    for row in drawn.iter_rows(named=True):
        assert float(row["x_min"]) <= float(row["x_max"])
        assert float(row["y_min"]) <= float(row["y_max"])


def rsna(data: bytes) -> None:
    """RSNA's table: every record is a row or refused with its line, and a Target of 1 is never normal."""
    labels = _box_table(formats_rsna.read, data)
    if labels is not None:
        boxes = labels.rows.filter(pl.col("x_min").is_not_null() & (pl.col("class_name") != NOTHING))
        assert labels.classes is not None
        assert {*boxes["class_name"]} <= {*labels.classes.names}


def nih(data: bytes) -> None:
    """NIH's table: every record is a row or refused with its line, and none is normal unless its label says so."""
    labels = _box_table(formats_nih.read, data)
    if labels is not None and b"no finding" not in data.lower():
        assert labels.rows.filter(class_name=NOTHING).is_empty()


def _box_table(read: Callable[[Bundle], Labels], data: bytes) -> Labels | None:
    packed = data.startswith(b"\x1f\x8b")
    labels = _labels(read, _only_files("table", {"table.csv.gz" if packed else "table.csv": data}))
    if labels is None:
        return None
    header, expected = _records(gzip.decompress(data) if packed else data)
    if len(header) == 1:  # another separator than a comma
        return labels
    taken = labels.rows["line"].to_list() + labels.rejected["line"].to_list()
    assert sorted(taken) == [line for line, _ in expected]
    for low, high in labels.rows.filter(pl.col("x_min").is_not_null()).select("x_min", "x_max").iter_rows():
        assert float(low) <= float(high)
    return labels


def label_studio(data: bytes) -> None:
    """An export of Label Studio: only what was submitted empty, or says so, makes an image normal."""
    labels = _of_tool(formats_label_studio.read, "export.json", data)
    if labels is None:
        return
    try:
        listed = json.loads(data.decode("utf-8-sig"))
    except (RecursionError, UnicodeDecodeError):
        return
    submitted = [one for task in listed for one in _submitted(task)]
    assert labels.rows.filter(class_name=NOTHING).height <= sum(map(_says_nothing, submitted))


def _submitted(task: object) -> list[dict[str, object]]:
    """The annotations of a task, as a plain reader of JSON sees them."""
    if not isinstance(task, dict):
        return []
    listed = task.get("annotations") or task.get("completions") or ()
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [one for one in found if not one.get("was_cancelled") and not one.get("skipped")]


def _says_nothing(one: dict[str, object]) -> bool:
    items = one.get("result")
    return not items or any("no finding" in " ".join(str(item).casefold().split()) for item in items)


def cvat(data: bytes) -> None:
    """A file of CVAT: only a tag makes an image normal, and every row has the line that it stands in."""
    labels = _of_tool(formats_cvat.read, "annotations.xml", data)
    if labels is None:
        return
    assert labels.rows.filter(class_name=NOTHING).height <= data.decode("utf-8", "replace").count("<tag")
    lines = labels.rows["line"].to_list() + labels.rejected["line"].to_list()
    assert all(0 < line <= data.count(b"\n") + data.count(b"\r") + 1 for line in lines)


def _of_tool(read: Callable[[Bundle], Labels], name: str, data: bytes) -> Labels | None:
    """What a reader makes of a tool's export: no address in it, all that is refused at its place, real numbers."""
    labels = _labels(read, _only_files("tool", {name: data}))
    if labels is None:
        return None
    for rad_id in [*labels.rows["rad_id"], *labels.rejected["rad_id"].drop_nulls()]:
        assert options.READER_ID.fullmatch(rad_id)
    assert labels.rejected["place"].null_count() == 0
    numbers = labels.rows.select(pl.col("x_min", "y_min", "x_max", "y_max").cast(pl.Float64))
    assert numbers.select(pl.all().is_finite().all()).row(0) == (True,) * 4
    return labels


def imported(data: bytes) -> None:
    """An export that comes back: what is written is a review that can be read, or awaited, and twice is once."""
    out = _loop()
    shutil.rmtree(out / "reviews", ignore_errors=True)
    asked = options.Import(out=out, file=_file("back.json", data), format="label-studio", jobs=1)
    try:
        done = importing.import_reviews(asked)
    except (AnnotationError, SourceError, FeedbackError) as error:
        _assert_one_line(str(error))
        assert not (out / "reviews").exists()
        return
    found = reviews.read(out / "reviews", TAXONOMY)
    assert set(found.refused["code"]) <= {"missing-verdict"}  # what no review can hold, for which its feedback waits
    assert found.refused.height <= done.refused.height
    assert found.reviews.height == done.written
    assert importing.import_reviews(asked).written == 0
    for code, reason in done.refused.select("code", "reason").iter_rows():
        assert _CODE.fullmatch(code)
        _assert_one_line(reason)


@cache
def _loop() -> Path:
    """A dataset with feedback."""
    out = _folder() / "loop"
    exports.organized(out, TAXONOMY, images=12)
    return out


def tasks_seed(*results: object) -> bytes:
    """Tasks of that dataset, as Label Studio exports them once people have drawn `results`."""
    out = _loop()
    folder = exporting.export(options.Export(out=out, format="label-studio", jobs=1)).folder
    listed = json.loads((folder / "tasks.json").read_bytes())
    for task, result in zip(listed, results, strict=False):
        task["annotations"] = [label_studio_files.annotation(*result)]
    return json.dumps(listed).encode()


def dicom(data: bytes) -> None:
    """A DICOM file: gray values of the size that its header says, or a code and a sentence that repeats nothing."""
    try:
        found = radiograph.read(data)
        values = gray.make(found, Recipe("vinbigdata", None))
    except DicomError as error:
        _assert_refusal(error)
        return
    assert values.dtype == np.uint8
    assert min(values.shape) >= pixels.MIN_SIDE_PX
    assert values.size <= pixels.MAX_PIXELS
    if found.spacing_mm is None and "PixelAspectRatio" not in found.dataset:
        assert values.shape == (found.rows, found.columns)
    assert values.min() < values.max()
    assert found.view in {"", *views.KNOWN}
    assert np.array_equal(pixels.decode(gray.png(values)), values)
    assert np.array_equal(gray.make(found, Recipe("vinbigdata", None)), values)


def gates(data: bytes) -> None:
    """gates.yaml: gates that ask for something, which written out and read again are the same, or a wrong use."""
    try:
        found = catalog_gates.read(_file("gates.yaml", data))
    except UsageError as error:
        _assert_one_line(str(error))
        return
    document = found.document()
    assert document
    assert catalog_gates.read(_file("gates.yaml", json.dumps(document).encode())) == found


def versions(data: bytes) -> None:
    """history.json: what it names may be removed, so that every key lies in versions/ and is of its form."""
    try:
        found = history.decode(data, name="history.json")
    except DatasetError as error:
        _assert_one_line(str(error))
        return
    assert history.table(found).height == len(found.entries)
    assert all(history.is_ours(key) and manifest.is_safe_key(key) for key in history.keys(found.kept))
    assert history.decode(history.encode(found), name="again") == found


def watched(data: bytes) -> None:
    """report.json of a monitor: the same when it is written out again."""
    folder = _only_files("monitor", {monitor.NAME: data})
    try:
        found = monitor.read(folder)
    except DatasetError as error:
        _assert_one_line(str(error))
        return
    assert found is not None
    again = _only_files("monitor", {monitor.NAME: monitor.encode(found)})
    assert monitor.encode(monitor.read(again)) == monitor.encode(found)


def card(data: bytes) -> None:
    """model.json: a card whose detector is one that can be named, or damaged."""
    path = _folder() / "models" / "m-1" / cards.NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        found = cards.read(path.parent.parent, "m-1")
    except DatasetError as error:
        _assert_one_line(str(error))
        return
    assert found is not None
    path.write_bytes(found.document)
    assert cards.read(path.parent.parent, "m-1") == found
    kind, _, where = found.detector_in(path.parent.parent).partition(":")
    if kind == "onnx" and found.md5:
        assert Path(where).parent == path.parent.absolute(), "a card runs a file that is not its own"


def aliases(data: bytes) -> None:
    """aliases.json and two comparisons: who may be promoted is told by what can be read alone."""
    names = (models.ALIASES, f"{models.COMPARISONS_FOLDER}a.json", f"{models.COMPARISONS_FOLDER}b.json")
    parts = dict(zip(names, [*data.split(SEPARATOR, 2), b"", b""], strict=False))
    listed = pl.DataFrame({"key": [*parts], "md5": [hashlib.md5(part).hexdigest() for part in parts.values()]})
    try:
        found = models.of(listed, parts.get, name="models")
    except DatasetError as error:
        _assert_one_line(str(error))
        return
    assert found.comparisons.height + len(found.refused) == 2
    again = models.encode(found.aliases, found.history)
    parts[models.ALIASES] = again
    listed = pl.DataFrame({"key": [*parts], "md5": [hashlib.md5(part).hexdigest() for part in parts.values()]})
    assert models.of(listed, parts.get, name="models").aliases == found.aliases
    for alias in found.aliases:
        models.before(found, alias)


def rounds_told(data: bytes) -> None:
    """Two reports of rounds: each is a row or refused."""
    parts = dict(zip(("a", "b"), [*data.split(SEPARATOR, 1), b""], strict=False))
    root = _folder() / "retrain"
    rows = []
    for name, part in parts.items():
        key = f"{tree.ROUNDS}{name}/{tree.REPORT}"
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(part)
        rows.append((key, "document", None, None, None, len(part), hashlib.md5(part).hexdigest()))
    listed = pl.DataFrame(rows, schema=list(MANIFEST)[: len(rows[0])], orient="row")
    (root / manifest.NAME).write_bytes(manifest.encode(listed.match_to_schema(MANIFEST, missing_columns="insert")))
    found, refused = rounds.read(root)
    assert found.height + len(refused) == 2


def memories(data: bytes) -> None:
    """tombstones, heldout and incoming.parquet: a table of their columns, or damaged."""
    for decode, schema in (
        (tombstones.decode, TOMBSTONES),
        (heldout.decode, HELDOUT),
        (catalog_incoming.decode, INCOMING),
    ):
        try:
            table = decode(data, name="it.parquet")
        except DatasetError as error:
            _assert_one_line(str(error))
            continue
        assert {*schema} >= {*table.columns}


def structured_report(data: bytes) -> None:
    """A report of a PACS: boxes of real numbers on named images, or a code and a sentence that repeats nothing."""
    try:
        found = report_reader.read(data)
    except DicomError as error:
        _assert_refusal(error)
        return
    assert found.study_uid
    for observed in found.images:
        assert len(observed.boxes) <= report_reader.MOST_FINDINGS
        for box in observed.boxes:
            assert all(map(np.isfinite, box.xyxy_px))


def multiparted(data: bytes) -> None:
    """A content type and a body: the one part, which lies in the body, or malformed."""
    kind, _, body = data.partition(SEPARATOR)
    try:
        found = multipart.only_part(kind.decode("latin-1"), bytearray(body))
    except multipart.MalformedError:
        return
    assert found in body
    content_type, pieces, length = multipart.related([found])
    whole = b"".join(pieces)
    assert len(whole) == length
    assert multipart.only_part(content_type, bytearray(whole)) == found


def ledger(data: bytes) -> None:
    """The ledger of `watch`: a damaged one is told in one sentence, and never takes an object for done that is not."""
    path = _only_files("ledger", {"pacs.db": data}) / "pacs.db"
    try:
        with Ledger(path) as found:
            found.counts()
            found.held()
            found.known("1.2.3")
            found.count("1.2.3", 4)
            assert found.counts()["1.2.3"] == 4
    except (PacsError, DatasetError) as error:
        _assert_one_line(str(error))


def ledger_seed() -> bytes:
    root = _only_files("ledger", {})
    with Ledger(root / "pacs.db") as found:
        found.count("1.2.3", 2)
        found.record([Done("1.2.3", "1.2.3.4", "held", "a")])
    return (root / "pacs.db").read_bytes()


def told_names(data: bytes) -> None:
    """The names of classes and the recipe in a model's metadata: a list of different texts, or one sentence."""
    text = data.decode("utf-8", "replace")
    recipe = recipes.read(text)
    assert recipe is None or recipe.isprintable()
    try:
        found = names.parse(text, model="m.onnx")
    except DetectorError as error:
        _assert_one_line(str(error))
        return
    assert all(isinstance(name, str) for name in found)
    with suppress(TaxonomyError):
        names.match(TAXONOMY, found, names.Wishes(), model="m.onnx")


def triton(data: bytes) -> None:
    """What a Triton tells of a model, and what it answers: predictions of the dataset's classes, or one sentence."""
    told, _, answer = data.partition(SEPARATOR)
    head, _, body = answer.partition(SEPARATOR)
    headers = {"inference-header-content-length": head.decode("latin-1")} if head else {}

    def request(self: object, method: str, path: str, *_: object) -> Reply:
        if path.endswith("/infer"):
            return Reply(200, headers, bytearray(body))
        return Reply(200, {}, bytearray(told))

    with mock.patch("radloop.transport.Transport.request", request):
        try:
            found = Triton("http://127.0.0.1:1", TAXONOMY, model="m").predict(Shown("a1", _small_picture()))
        except (DetectorError, TaxonomyError) as error:
            _assert_one_line(str(error))
            return
    assert found.class_ids.min(initial=0) >= 0
    assert found.class_ids.max(initial=0) < len(TAXONOMY)
    assert ((found.cxcywh_norm >= 0) & (found.cxcywh_norm <= 1)).all()
    assert ((found.confidences >= 0) & (found.confidences <= 1)).all()


@cache
def _small_picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def csv_for_people(data: bytes) -> None:
    """A cell of rejected.csv: no formula, whatever it holds, and it comes back."""
    text = data.decode("utf-8", "replace")
    written = spreadsheets.csv(pl.DataFrame({"a": [text], "b": ["x"]}))
    (cell, _) = list(csv.reader(io.StringIO(written.decode(), newline="")))[1]
    assert spreadsheets.plain(cell) == text
    begins = cell.strip(" \t\r\n")
    is_number = re.fullmatch(r"[+-]?[\d.]+([eE][+-]?\d+)?", cell)
    assert is_number or not begins.startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        annotations,
        validation,
        sizes,
        source,
        picture,
        png,
        feedback,
        review,
        listing,
        keys,
        summary,
        log,
        journal,
        shown,
        label,
        config,
        numbers,
        environment,
        picture_cache,
        rows_cache,
        yolo_set,
        voc_file,
        packed,
        coco,
        rsna,
        nih,
        label_studio,
        cvat,
        imported,
        dicom,
        gates,
        versions,
        watched,
        card,
        aliases,
        rounds_told,
        memories,
        structured_report,
        multiparted,
        ledger,
        told_names,
        triton,
        csv_for_people,
    )
}
