"""Feedback files: one JSON object for what a model said of one image at one time, written once and never changed.

`write` puts one file there. `decode` says what a file may be. `read` does the same for a whole folder: it takes a
short cut for the bare form as it usually looks, and asks `decode` about every other file.
"""

import errno
import fcntl
import hashlib
import json
import os
import stat
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

import msgspec
import numpy as np
import polars as pl

from radloop import engines
from radloop.errors import UNDECODABLE, FeedbackError
from radloop.files import flush_folder, write_all
from radloop.progress import Progress, silent
from radloop.tables import DETECTIONS, FEEDBACK, NO_FINDING, REFUSED_FILES, Split

SCHEMA_VERSION: Final = 1
TOLERANCE: Final = 0.01  # how far a box may reach over the picture's edge, as the trainer allows
MAX_BYTES: Final = 4 * 1024 * 1024

CHUNK: Final = 10_000  # files that are Python objects at one time: they take ten times the memory of their rows
_WORTH_PROCESSES: Final = 50_000  # files; below, starting them takes longer than what they save
_FIRST_READ: Final = 16 * 1024  # bytes; almost every file is smaller
_TEMPORARY: Final = ".tmp"
_WHOLE: Final = 2**31 - 1

_LONGEST_ID: Final = 200
_IMAGE_ID = r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,199}\Z"
ImageId = Annotated[str, msgspec.Meta(pattern=_IMAGE_ID)]
FeedbackId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
ClassId = Annotated[int, msgspec.Meta(ge=0, le=NO_FINDING)]
Box = tuple[float, float, float, float]  # xc, yc, w, h as fractions of the picture


class Detection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One detected box."""

    class_id: ClassId
    class_name: str | None = None
    confidence: Fraction
    bbox: Box


class PictureMeasures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the gray values (0..255), for drift; sharpness is the variance of the Laplacian."""

    mean: float
    std: float
    sharpness: float


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which detector answered."""

    name: str
    version: str = ""


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """Made-up hospital metadata; that it stands there marks the feedback as simulated."""

    site: str
    view: str
    device: str


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One feedback. The first five keys speak of the top detection; they are all that the bare form has.

    Nothing found: class_id 14, bbox None, and confidence says how sure of that.
    """

    image_id: ImageId
    class_id: ClassId
    confidence: Fraction
    bbox: Box | None
    timestamp: str  # ISO 8601, UTC
    class_name: str | None = None
    detections: list[Detection] | None = None
    split: Split | None = None
    image_md5: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")] | None = None
    image_phash: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")] | None = None
    picture: PictureMeasures | None = None
    model: Model | None = None
    latency_ms: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    stage: Annotated[int, msgspec.Meta(ge=0, le=_WHOLE)] | None = None
    arrived_at: str | None = None
    feedback_id: FeedbackId | None = None
    run_id: str | None = None
    simulated: Simulated | None = None
    schema_version: Literal[1] | None = None

    @property
    def found(self) -> list[Detection]:
        """The detections of class 0..13: `detections` where there are some, else the top one of the bare form."""
        if self.detections:
            return [detection for detection in self.detections if detection.class_id != NO_FINDING]
        if self.class_id == NO_FINDING or self.bbox is None:
            return []
        return [Detection(class_id=self.class_id, confidence=self.confidence, bbox=self.bbox)]


class _Bare(msgspec.Struct, gc=False):
    """The bare form for reading many: image_id, bbox and timestamp are looked at as columns."""

    image_id: str
    class_id: ClassId
    confidence: Fraction
    bbox: Box | None
    timestamp: str


_decode_feedback: Final = msgspec.json.Decoder(Feedback).decode
_decode_bare: Final = msgspec.json.Decoder(_Bare).decode
_QUOTES_OF_BARE: Final = 14  # around five keys and two texts

_SIDES: Final = (("xc", "width"), ("yc", "height"))
_USUAL_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{6})?(\+00:00|Z)?$"
_RICH_COLUMNS: Final = pl.Schema({**FEEDBACK, "timestamp": pl.Datetime("us")})
_BOX_COLUMNS: Final = pl.Schema(
    {
        "feedback_id": pl.String(),
        "image_id": pl.String(),
        "class_id": pl.Int8(),
        "confidence": pl.Float64(),
        "bbox": pl.Array(pl.Float64, 4),
        "file": pl.String(),
    }
)
_READ_ONLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_REASONS: Final = {
    errno.ELOOP: "a symbolic link: feedback is a file",
    errno.EISDIR: "a folder",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.ENXIO: "not a regular file",
    errno.EAGAIN: "not a regular file",
    errno.ENOENT: "it went away while the folder was read",
}


@dataclass(frozen=True)
class Records:
    """What a folder of feedback holds. Independent of the order of files: sorted by time and id, or by file."""

    feedback: pl.DataFrame  # FEEDBACK
    detections: pl.DataFrame  # DETECTIONS
    refused: pl.DataFrame  # REFUSED_FILES


def encode(feedback: Feedback) -> bytes:
    """The bytes of a feedback file: JSON with an indent of two, the five known keys first, no key without a value.

    `bbox` is the exception: null says "nothing found" and is never left out.
    """
    return msgspec.json.format(msgspec.json.encode(feedback), indent=2) + b"\n"


def write(folder: Path, feedback: Feedback, *, durable: bool = False) -> Path:
    """Write `<image_id>.json`, or `<image_id>.<feedback_id>.json` where that name is taken; returns the path.

    Never overwrites and never shows a part of a file, with any number of writers and a kill at any moment: the bytes
    are complete under a temporary name before they get their own, by a link that fails where the name exists. With
    `durable` they have reached the disk before this returns. Raises FeedbackError where the feedback has no id, and
    where it has been written already.
    """
    if not feedback.feedback_id:
        raise FeedbackError(f"feedback on image {feedback.image_id} has no feedback_id: give it one before writing.")
    data = encode(feedback)
    while (path := _publish(folder, feedback, data, durable=durable)) is None:
        pass  # somebody took the temporary file away
    if durable:
        flush_folder(folder)
    return path


def _publish(folder: Path, feedback: Feedback, data: bytes, *, durable: bool) -> Path | None:
    temporary = f"{folder}/.{feedback.feedback_id}.{uuid4().hex}{_TEMPORARY}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with suppress(OSError):  # not every file system has locks; then nobody can reclaim either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
        for name in (f"{feedback.image_id}.json", f"{feedback.image_id}.{feedback.feedback_id}.json"):
            try:
                os.link(temporary, f"{folder}/{name}")
            except FileExistsError:
                continue
            except FileNotFoundError:
                if folder.is_dir():
                    return None
                raise
            return folder / name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        os.close(descriptor)
    raise FeedbackError(f"feedback {feedback.feedback_id} on image {feedback.image_id} has been written already.")


def reclaim(folder: Path) -> int:
    """Remove the temporary files of writers that were killed; returns how many. Those of living ones are locked."""
    removed = 0
    for entry in list(os.scandir(folder)):
        if entry.name.startswith(".") and entry.name.endswith(_TEMPORARY) and entry.is_file(follow_symlinks=False):
            with suppress(OSError):  # gone, or its writer lives
                descriptor = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)
                    removed += 1
                finally:
                    os.close(descriptor)
    return removed


def decode(data: bytes, *, name: str) -> Feedback:
    """The feedback in a file's bytes, in the rich or the bare form, complete: with an id and a time in UTC.

    Raises FeedbackError that names the file and what is wrong with it.
    """
    try:
        return _decode(data)
    except FeedbackError as wrong:
        raise FeedbackError(f"{name}: {wrong}") from wrong


def _decode(data: bytes) -> Feedback:
    if len(data) > MAX_BYTES:
        raise FeedbackError(f"{len(data)} bytes are more than any feedback has ({MAX_BYTES}): not read")
    try:
        feedback = _decode_feedback(data)
    except UNDECODABLE as broken:
        feedback = _decode_normal_with_any_box(data, broken)
    if encode(feedback) != data:  # what `encode` made has no key twice
        refuse_duplicate_keys(data)
    if feedback.class_id != NO_FINDING and feedback.bbox is None and not feedback.detections:
        raise FeedbackError(f"class {feedback.class_id} without a bbox")
    for detection in feedback.found:
        if not is_inside(*detection.bbox):
            raise FeedbackError(
                f"bbox {list(detection.bbox)} is not inside the picture (xc, yc, w, h as fractions of it)"
            )
    return msgspec.structs.replace(
        feedback,
        bbox=None if feedback.class_id == NO_FINDING else feedback.bbox,
        timestamp=utc(feedback.timestamp),
        feedback_id=feedback.feedback_id or hashlib.md5(data).hexdigest(),
    )


def _decode_normal_with_any_box(data: bytes, broken: Exception) -> Feedback:
    """What older pipelines write as the box of "No finding" is anything; it means nothing and is not looked at."""
    with suppress(*UNDECODABLE):
        plain = msgspec.json.decode(data)
        if isinstance(plain, dict) and plain.get("class_id") == NO_FINDING and plain.get("bbox") is not None:
            try:
                return msgspec.convert(plain | {"bbox": None}, Feedback)
            except msgspec.ValidationError as also_broken:
                broken = also_broken
    raise FeedbackError(str(broken)) from broken


def refuse_duplicate_keys(data: bytes) -> None:
    """A key that stands twice has two values, and JSON readers differ in which they take."""

    def pairs(items: list[tuple[str, object]]) -> None:
        names = [key for key, _ in items]
        if len(names) != len(set(names)):
            twice = Counter(names).most_common(1)[0][0]
            raise FeedbackError(f"the key {twice[:40]!r} stands twice")

    try:
        json.loads(data, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as unreadable:  # deep nesting or endless numbers in a key of no meaning
        raise FeedbackError(f"not readable as JSON: {unreadable}") from unreadable


def is_inside(xc: float, yc: float, width: float, height: float) -> bool:
    """Whether a box lies in the picture, give or take TOLERANCE, and has an area."""
    low, high = -TOLERANCE, 1 + TOLERANCE
    return (
        width > 0
        and height > 0
        and low <= xc - width / 2
        and xc + width / 2 <= high
        and low <= yc - height / 2
        and yc + height / 2 <= high
    )


def utc(text: str) -> str:
    """A time in ISO 8601 as the same in UTC; without a zone it is UTC. Raises FeedbackError."""
    try:
        time = datetime.fromisoformat(text)
        return (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()
    except (ValueError, OverflowError) as broken:
        raise FeedbackError(f"timestamp {text[:60]!r} is no time in ISO 8601") from broken


def listing(folder: Path) -> dict[str, int]:
    """{name: inode} of everything in `folder` called `*.json`, by inode; empty where there is no folder.

    A name that is known with the same inode is the same file: feedback is never changed. No file is touched for it.
    """
    return dict(zip(*_names_and_inodes(folder), strict=True))


def names(folder: Path) -> list[str]:
    """The names of `listing`, in a quarter of its memory."""
    return _names_and_inodes(folder)[0]


def _names_and_inodes(folder: Path) -> tuple[list[str], list[int]]:
    """By inode: in this order reading is 1.8 times as fast as by name where the cache is cold."""
    found, inodes = [], array("Q")  # a list of entries would take 50 MB for 200,000 files
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json"):
                found.append(entry.name)
                inodes.append(entry.inode())
    numbers = np.array(inodes)
    order = np.argsort(numbers)
    return [found[place] for place in order.tolist()], numbers[order].tolist()


def read(folder: Path, wanted: Iterable[str] | None = None, *, progress: Progress = silent) -> Records:
    """Every feedback in `folder`, or in those of its files that are `wanted` (a part of its `listing`).

    What cannot be used is in `refused` with the reason, and stays where it is. Of several files with one feedback_id
    the first by name counts. Raises OSError only for the folder itself.
    """
    return combine(list(parts(folder, names(folder) if wanted is None else list(wanted), progress=progress)))


def parts(folder: Path, names: Sequence[str], *, jobs: int = 1, progress: Progress = silent) -> Iterator[Records]:
    """What is in these files of `folder`, for `combine`, CHUNK by CHUNK; many of them are read by `jobs` processes."""
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    engine = engines.Local(jobs if len(names) >= _WORTH_PROCESSES else 1)
    done = 0
    for chunk, part in zip(chunks, engine.map(partial(read_some, folder), chunks), strict=True):
        yield part
        done += len(chunk)
        progress("feedback", done, len(names))


def combine(parts: Sequence[Records]) -> Records:
    """What one reading of all their files would have given; no file may be in two of the parts."""
    feedback = pl.concat([part.feedback for part in parts] or [FEEDBACK.to_frame()], how="diagonal")
    detections = [part.detections for part in parts]
    refused = [part.refused for part in parts]
    if feedback["feedback_id"].n_unique() < feedback.height:
        feedback, lost = _first_by_name(feedback)
        # within a part an id is unique, so that it says whose boxes these are
        theirs = [part.feedback.join(lost, on="file", how="semi") for part in parts]
        detections = [
            boxes.join(gone, on="feedback_id", how="anti", maintain_order="left")
            for boxes, gone in zip(detections, theirs, strict=True)
        ]
        refused.append(_refused_twins(lost))
    return Records(
        _complete(feedback.sort("timestamp", "feedback_id")),
        pl.concat(detections or [DETECTIONS.to_frame()]).sort("feedback_id", maintain_order=True),
        pl.concat(refused or [REFUSED_FILES.to_frame()]).sort("file", "reason"),
    )


def read_some(folder: Path, names: Sequence[str]) -> Records:
    """Part of a folder, for `combine`: only the columns of FEEDBACK that somebody fills, in the order of the files.

    At most CHUNK files: they are Python objects for a while.
    """
    bare: list[_Bare] = []
    bare_names: list[str] = []
    bare_ids: list[str] = []
    others: list[tuple[str, Feedback]] = []
    refused: list[tuple[str, str]] = []

    def look_closely(name: str, data: bytes | None = None) -> None:
        try:
            others.append((name, _decode(read_bytes(directory, name) if data is None else data)))
        except FeedbackError as wrong:
            refused.append((name, str(wrong)))

    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            try:
                data = read_bytes(directory, name)
            except FeedbackError as wrong:
                refused.append((name, str(wrong)))
                continue
            if data.count(b'"') == _QUOTES_OF_BARE:  # so no key can stand twice, or beside the five
                try:
                    bare.append(_decode_bare(data))
                except UNDECODABLE:
                    pass
                else:
                    bare_names.append(name)
                    bare_ids.append(hashlib.md5(data).hexdigest())
                    continue
            look_closely(name, data)
        table = _bare_table(bare, bare_ids, bare_names)
        for name in table.filter(~pl.col("usual"))["file"]:
            look_closely(name)
    finally:
        os.close(directory)
    return _tables(table.filter("usual"), others, refused)


def read_bytes(directory: int, name: str) -> bytes:
    """What is in a file of the folder. Raises FeedbackError where it is none that could be feedback."""
    if not name.isascii() and shown(name) != name:
        raise FeedbackError("its name is not UTF-8")
    try:
        descriptor = os.open(name, _READ_ONLY, dir_fd=directory)
        try:
            data = os.read(descriptor, _FIRST_READ)
            return data if 0 < len(data) < _FIRST_READ else data + _rest(descriptor)
        finally:
            os.close(descriptor)
    except OSError as unreadable:
        reason = _REASONS.get(unreadable.errno or 0, f"cannot be read: {unreadable.strerror}")
        raise FeedbackError(reason) from unreadable


def _rest(descriptor: int) -> bytes:
    """What comes after the first bytes, if this is a file of a size to be read."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise FeedbackError("not a regular file")
    if status.st_size == 0:
        raise FeedbackError("the file is empty")
    if status.st_size > MAX_BYTES:
        raise FeedbackError(f"{status.st_size} bytes are more than any feedback has ({MAX_BYTES}): not read")
    parts = []
    while part := os.read(descriptor, MAX_BYTES):
        parts.append(part)
    return b"".join(parts)


def _bare_table(bare: list[_Bare], ids: list[str], names: list[str]) -> pl.DataFrame:
    """A row a file. `usual` is false where only `decode` can tell what image_id, bbox and timestamp are worth."""
    boxes = chain.from_iterable([one.bbox or (0.0,) * 4 for one in bare])
    table = pl.DataFrame(
        {
            "feedback_id": ids,
            "image_id": [one.image_id for one in bare],
            "class_id": [one.class_id for one in bare],
            "confidence": [one.confidence for one in bare],
            "bbox": np.fromiter(boxes, np.float64, 4 * len(bare)).reshape(-1, 4),
            "timestamp": [one.timestamp for one in bare],
            "file": names,
        },
        schema={**_BOX_COLUMNS, "timestamp": pl.String},
    )
    image_id, text = pl.col("image_id"), pl.col("timestamp")
    seconds, fraction = text.str.slice(0, 19).str.replace(" ", "T", literal=True), text.str.slice(19, 7)
    plain = seconds + pl.when(fraction.str.starts_with(".")).then(fraction).otherwise(pl.lit(".000000"))
    return table.with_columns(
        timestamp=pl.when(text.str.contains(_USUAL_TIME)).then(
            plain.str.to_datetime("%Y-%m-%dT%H:%M:%S.%6f", time_unit="us", strict=False, cache=False)
        )
    ).with_columns(
        usual=pl.col("timestamp").is_not_null()
        & (pl.col("timestamp").dt.year() > 0)
        & image_id.str.len_chars().is_between(1, _LONGEST_ID)
        & ~image_id.str.contains(r"^\.|[/\\\x00-\x1f]")
        & ((pl.col("class_id") == NO_FINDING) | _inside())
    )


def _inside() -> pl.Expr:
    """`is_inside` for a column."""
    xc, yc, width, height = (pl.col("bbox").arr.get(place) for place in range(4))
    low, high = -TOLERANCE, 1 + TOLERANCE
    return (
        (width > 0)
        & (height > 0)
        & (xc - width / 2 >= low)
        & (xc + width / 2 <= high)
        & (yc - height / 2 >= low)
        & (yc + height / 2 <= high)
    )


def _rich_row(name: str, feedback: Feedback) -> tuple[Any, ...]:
    picture, model, simulated = feedback.picture, feedback.model, feedback.simulated
    return (
        feedback.feedback_id,
        feedback.image_id,
        datetime.fromisoformat(feedback.timestamp).replace(tzinfo=None),
        feedback.class_id,
        feedback.confidence,
        feedback.split,
        feedback.image_md5,
        feedback.image_phash,
        *((picture.mean, picture.std, picture.sharpness) if picture else (None, None, None)),
        *((model.name, model.version) if model else (None, None)),
        feedback.latency_ms,
        feedback.stage,
        feedback.run_id,
        *((simulated.site, simulated.view, simulated.device) if simulated else (None, None, None)),
        simulated is not None,
        name,
    )


def _tables(bare: pl.DataFrame, others: list[tuple[str, Feedback]], refused: list[tuple[str, str]]) -> Records:
    """The columns of FEEDBACK that somebody fills, and the other two tables."""
    feedback = bare.select("feedback_id", "image_id", "timestamp", "class_id", "confidence", "file", simulated=False)
    boxes = bare.filter(pl.col("class_id") != NO_FINDING).select(_BOX_COLUMNS.names())
    if others:
        rich = pl.DataFrame([_rich_row(*other) for other in others], schema=_RICH_COLUMNS, orient="row")
        feedback = pl.concat([feedback, rich], how="diagonal")
        found = [
            (feedback.feedback_id, feedback.image_id, box.class_id, box.confidence, box.bbox, name)
            for name, feedback in others
            for box in feedback.found
        ]
        boxes = pl.concat([boxes, pl.DataFrame(found, schema=_BOX_COLUMNS, orient="row")])
    refusals = [pl.DataFrame([(shown(name), reason) for name, reason in refused], schema=REFUSED_FILES, orient="row")]
    feedback = feedback.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    if feedback["feedback_id"].is_duplicated().any():
        feedback, lost = _first_by_name(feedback)
        boxes = boxes.join(lost, on="file", how="anti", maintain_order="left")
        refusals.append(_refused_twins(lost))
    return Records(feedback, _corners(boxes), pl.concat(refusals))


def _corners(boxes: pl.DataFrame) -> pl.DataFrame:
    middle_and_side = {"x": (0, 2), "y": (1, 3)}
    corners = {
        f"{axis}_{end}_norm": pl.col("bbox").arr.get(middle) + sign * pl.col("bbox").arr.get(side) / 2
        for axis, (middle, side) in middle_and_side.items()
        for end, sign in (("min", -1), ("max", 1))
    }
    return boxes.with_columns(**corners).select(DETECTIONS.names())


def _complete(feedback: pl.DataFrame) -> pl.DataFrame:
    """With those columns of FEEDBACK, too, that nobody filled."""
    absent = {name: pl.lit(None, dtype=kind) for name, kind in FEEDBACK.items() if name not in feedback.columns}
    return feedback.with_columns(**absent).select(FEEDBACK.names())


def _first_by_name(feedback: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that count where several files have one feedback_id, and those that do not."""
    kept = feedback.sort("file").unique("feedback_id", keep="first", maintain_order=True)
    return kept, feedback.join(kept, on="file", how="anti")


def _refused_twins(lost: pl.DataFrame) -> pl.DataFrame:
    reason = pl.format("feedback_id {} is also that of a file which comes before this one by name", "feedback_id")
    return lost.select("file", reason=reason)


def shown(name: str) -> str:
    """A file's name as text that can be written anywhere."""
    return os.fsencode(name).decode("utf-8", "replace")
