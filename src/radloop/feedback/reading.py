"""A folder of feedback files as four tables, the same for any order of files.

Every file of the folder and of the folders in it is read (`.json`: one feedback; `.jsonl`: one a line) or refused; only
temporary and hidden ones are passed over. The bare form as it usually looks takes a short cut; `records.parse` is asked
about every other file.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import polars as pl

from radloop import engines
from radloop.errors import UNDECODABLE, FeedbackError
from radloop.feedback import documents, listing, records
from radloop.feedback.conventions import FIRST_YEAR, MOST_AHEAD, OWN, Convention
from radloop.feedback.doubts import Doubt, doubt
from radloop.feedback.records import TOLERANCE, Box, Fraction, Parsed
from radloop.feedback.rows import Records, combine, first_by_name, refused_twins, shared, without
from radloop.progress import Progress, silent
from radloop.tables import CLASS_ID, DETECTIONS, FEEDBACK, REFUSED_FILES
from radloop.taxonomy import MOST_CLASSES, Taxonomy

CHUNK: Final = 10_000  # files that are Python objects at one time: they take ten times the memory of their rows
_WORTH_PROCESSES: Final = 50_000  # files; below, starting them takes longer than what they save


class _Bare(msgspec.Struct, gc=False):
    """The bare form for reading many: all but the confidence is looked at as columns."""

    image_id: str
    class_id: Annotated[int, msgspec.Meta(ge=0, le=MOST_CLASSES)]
    confidence: Fraction
    bbox: Box | None
    timestamp: str


_decode_bare: Final = msgspec.json.Decoder(_Bare).decode
_QUOTES_OF_BARE: Final = 2 * (5 + 2)  # around five keys and two texts

_USUAL_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{6})?(\+00:00|Z)?$"
_RICH_COLUMNS: Final = pl.Schema({**FEEDBACK, "timestamp": pl.Datetime("us")})
_BOX_COLUMNS: Final = pl.Schema(
    {
        "feedback_id": pl.String(),
        "image_id": pl.String(),
        "class_id": CLASS_ID,
        "confidence": pl.Float64(),
        "bbox": pl.Array(pl.Float64, 4),
        "file": pl.String(),
    }
)
_BETWEEN: Final = "\0"  # names: no name holds one
_Refused = list[tuple[str, str, str]]  # name, code, sentence


@dataclass(frozen=True)
class Manner:
    """How a folder is read."""

    classes: Taxonomy
    convention: Convention = OWN  # of what other programs wrote
    now: datetime | None = None  # no time is more than a day ahead of it


def read(
    folder: Path,
    classes: Taxonomy,
    wanted: Iterable[str] | None = None,
    *,
    convention: Convention = OWN,
    now: datetime | None = None,
    progress: Progress = silent,
) -> Records:
    """Every feedback in `folder`, or in those of its files that are `wanted` (a part of its `listing`).

    What cannot be used, or names a class that is not one of `classes`, is in `refused` with the reason, and stays
    where it is. Of several files with one feedback_id the first by name counts. Raises OSError only for the folder
    itself.
    """
    wanted = listing.names(folder) if wanted is None else list(wanted)
    return combine(parts(folder, wanted, Manner(classes, convention, now), progress=progress))


def parts(
    folder: Path, names: list[str], manner: Manner, *, jobs: int = 1, progress: Progress = silent
) -> Iterator[Records]:
    """What is in these files of `folder`, for `combine`, CHUNK by CHUNK; many of them are read by `jobs` processes.

    `names` is emptied: a million of them take 130 MB, in texts of a CHUNK half of that.
    """
    others, many = [name for name in names if not listing.is_document(name)], len(names)
    whole = [name for name in names if listing.is_document(name)] if others else names
    chunks = [_BETWEEN.join(whole[start : start + CHUNK]) for start in range(0, len(whole), CHUNK)]
    engine = engines.Local(jobs if len(whole) >= _WORTH_PROCESSES else 1)
    names.clear()
    whole.clear()
    for number, part in enumerate(engine.map(partial(_read_chunk, folder, manner), chunks), 1):
        yield shared(part)
        progress("feedback", min(number * CHUNK, many - len(others)), many)
    if others:
        yield from _of_other_names(folder, others, manner)


def _of_other_names(folder: Path, names: Sequence[str], manner: Manner) -> Iterator[Records]:
    """What is in files of many lines, CHUNK lines at a time; every other file is refused."""
    refused: _Refused = []
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in sorted(names):
            if listing.has_lines(name):
                lines = documents.lines(directory, name)
                while some := list(islice(lines, CHUNK)):
                    yield _decoded(some, manner)
            else:
                refused.append((documents.shown(name), "unknown-kind", listing.kind(name)))
    finally:
        os.close(directory)
    if refused:
        yield _decoded([], manner, refused)


def _read_chunk(folder: Path, manner: Manner, names: str) -> Records:
    return read_some(folder, manner, names.split(_BETWEEN))


def read_some(folder: Path, manner: Manner, names: Sequence[str]) -> Records:
    """Part of a folder, for `combine`: only the columns of FEEDBACK that somebody fills, in the order of the files.

    At most CHUNK files: they are Python objects for a while.
    """
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _decoded(((name, _bytes(directory, name)) for name in names), manner)
    finally:
        os.close(directory)


def _bytes(directory: int, name: str) -> bytes | FeedbackError:
    try:
        return documents.read_bytes(directory, name)
    except FeedbackError as wrong:
        return wrong


def _decoded(
    contents: Iterable[tuple[str, bytes | FeedbackError]], manner: Manner, refused: Iterable[tuple[str, str, str]] = ()
) -> Records:
    """The tables of some documents, each with its name; an error is the reason why there is none."""
    bare: list[_Bare] = []
    bare_names: list[str] = []
    bare_data: list[bytes] = []
    others: list[tuple[str, Parsed]] = []
    refusals, doubts = [*refused], []

    def look_closely(name: str, data: bytes) -> None:
        try:
            others.append((name, records.parse(data, manner.classes, manner.convention, manner.now)))
        except FeedbackError as wrong:
            refusals.append((documents.shown(name), wrong.code, str(wrong)))
            doubts.append(doubt(documents.shown(name), data))

    for name, data in contents:
        if isinstance(data, FeedbackError):
            refusals.append((documents.shown(name), data.code, str(data)))
        elif data.count(b'"') == _QUOTES_OF_BARE and manner.convention.is_own:
            try:  # with so many quotes no key can stand twice, or beside the five
                bare.append(_decode_bare(data))
            except UNDECODABLE:
                look_closely(name, data)
            else:
                bare_names.append(name)
                bare_data.append(data)
        else:
            look_closely(name, data)
    table = _bare_table(bare, bare_data, bare_names, manner)
    for place in table["usual"].not_().arg_true():
        look_closely(bare_names[place], bare_data[place])
    told = tuple(one for one in doubts if one is not None)
    return _tables(table.filter("usual"), others, refusals, told, manner.classes.nothing)


def _bare_table(bare: list[_Bare], data: list[bytes], names: list[str], manner: Manner) -> pl.DataFrame:
    """A row a file. `usual` is false where only `records.parse` can tell what class, id, box and time are worth."""
    nothing, latest = manner.classes.nothing, manner.now and (manner.now + MOST_AHEAD).replace(tzinfo=None)
    boxes = chain.from_iterable([one.bbox or (0.0,) * 4 for one in bare])
    table = pl.DataFrame(
        {
            "feedback_id": [hashlib.md5(one).hexdigest() for one in data],
            "image_id": [one.image_id for one in bare],
            "class_id": [one.class_id for one in bare],
            "confidence": [one.confidence for one in bare],
            "bbox": np.fromiter(boxes, np.float64, 4 * len(bare)).reshape(-1, 4),
            "timestamp": [one.timestamp for one in bare],
            "file": names,
        },
        schema={**_BOX_COLUMNS, "timestamp": pl.String},
    )
    image_id, class_id, text = pl.col("image_id"), pl.col("class_id"), pl.col("timestamp")
    seconds, fraction = text.str.slice(0, 19).str.replace(" ", "T", literal=True), text.str.slice(19, 7)
    plain = seconds + pl.when(fraction.str.starts_with(".")).then(fraction).otherwise(pl.lit(".000000"))
    return table.with_columns(
        zoned=text.str.contains(r"(Z|\+00:00)$"),
        timestamp=pl.when(text.str.contains(_USUAL_TIME)).then(
            plain.str.to_datetime("%Y-%m-%dT%H:%M:%S.%6f", time_unit="us", strict=False, cache=False)
        ),
    ).with_columns(
        usual=pl.col("timestamp").is_not_null()
        & (pl.col("timestamp").dt.year() >= FIRST_YEAR)
        & (pl.lit(value=True) if latest is None else pl.col("timestamp") <= latest)
        & image_id.str.len_chars().is_between(1, records.LONGEST_ID)
        & ~image_id.str.contains(r"^\.|[/\\\x00-\x1f]")
        & ((class_id == nothing) | ((class_id < nothing) & _inside())),
        class_id=pl.when(class_id != nothing).then(class_id),
    )


def _inside() -> pl.Expr:
    """`records.is_inside` for a column."""
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


def _rich_row(name: str, parsed: Parsed, nothing: int) -> tuple[Any, ...]:
    feedback = parsed.feedback
    picture, model, simulated = feedback.picture, feedback.model, feedback.simulated
    return (
        feedback.feedback_id,
        feedback.image_id,
        datetime.fromisoformat(feedback.timestamp).replace(tzinfo=None),
        None if feedback.class_id == nothing else feedback.class_id,
        feedback.confidence,
        feedback.split,
        feedback.image_md5,
        feedback.image_phash,
        feedback.recipe,
        *((picture.mean, picture.std, picture.sharpness) if picture else (None, None, None)),
        *((model.name, model.version) if model else (None, None)),
        feedback.latency_ms,
        feedback.stage,
        feedback.run_id,
        *((simulated.site, simulated.view, simulated.device) if simulated else (None, None, None)),
        simulated is not None,
        bool(feedback.detections) or (feedback.detections is not None and feedback.class_id == nothing),
        feedback.whole_above,
        parsed.zoned,
        feedback.schema_version,
        name,
    )


def _tables(
    bare: pl.DataFrame, others: list[tuple[str, Parsed]], refused: _Refused, doubts: tuple[Doubt, ...], nothing: int
) -> Records:
    """The columns of FEEDBACK that somebody fills, and the other tables."""
    same = ("feedback_id", "image_id", "timestamp", "class_id", "confidence", "zoned", "file")
    feedback = bare.select(*same, simulated=False, complete=False)
    boxes, low = bare.filter(pl.col("class_id").is_not_null()).select(_BOX_COLUMNS.names()), _BOX_COLUMNS.to_frame()
    if others:
        rich = pl.DataFrame([_rich_row(*other, nothing) for other in others], schema=_RICH_COLUMNS, orient="row")
        feedback = pl.concat([feedback, rich], how="diagonal")
        boxes = pl.concat([boxes, _box_table((name, one, one.found(nothing)) for name, (one, _) in others)])
        low = _box_table((name, one, one.low(nothing)) for name, (one, _) in others)
    refusals = [pl.DataFrame(refused, schema=REFUSED_FILES, orient="row")]
    feedback = feedback.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    if feedback["feedback_id"].is_duplicated().any():
        feedback, lost = first_by_name(feedback)
        boxes, low = without(boxes, lost, "file"), without(low, lost, "file")
        refusals.append(refused_twins(lost))
    return Records(feedback, _corners(boxes), pl.concat(refusals), doubts, _corners(low))


def _box_table(told: Iterable[tuple[str, records.Feedback, list[records.Detection]]]) -> pl.DataFrame:
    """A row a box; `told` has the name of each file, its feedback and boxes."""
    rows = [
        (one.feedback_id, one.image_id, box.class_id, box.confidence, box.bbox, name)
        for name, one, boxes in told
        for box in boxes
    ]
    return pl.DataFrame(rows, schema=_BOX_COLUMNS, orient="row")


def _corners(boxes: pl.DataFrame) -> pl.DataFrame:
    middle_and_side = {"x": (0, 2), "y": (1, 3)}
    corners = {
        f"{axis}_{end}_norm": pl.col("bbox").arr.get(middle) + sign * pl.col("bbox").arr.get(side) / 2
        for axis, (middle, side) in middle_and_side.items()
        for end, sign in (("min", -1), ("max", 1))
    }
    return boxes.with_columns(**corners).select(DETECTIONS.names())
