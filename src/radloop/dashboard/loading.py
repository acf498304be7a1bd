"""Tables from the disk, read once: what was read is kept until the file is another (path, mtime, size).

Nothing here stops a page. What cannot be used raises a RadloopError with the sentence that the page shows; rows that
cannot be used are counted with their reason.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, ParamSpec, TypeVar

import msgspec
import polars as pl
import streamlit as st

from radloop import manifest, sealed
from radloop.errors import UNDECODABLE, DatasetError, FeedbackError
from radloop.feedback import cache, records
from radloop.feedback import reviews as reviewing
from radloop.feedback.records import Records
from radloop.feedback.reviews import Reviews
from radloop.tables import (
    ANNOTATIONS,
    CLASS_NAMES,
    NO_FINDING,
    SCALED_SIDE_PX,
    SINGLE_READER,
    SPLITS,
    class_name,
)

Stamp = tuple[str, int, int]  # path, mtime in ns, bytes
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_TABLE: Final = "annotations.parquet"
_CSV: Final = "scaled_bounding_boxes.csv"
_SUMMARY: Final = "summary.json"
_PROOF: Final = "splits.json"
_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")
_OUTSIDE_PX: Final = 1.0  # what a box may reach over the edge by rounding
_MOST_OUTSIDE: Final = 0.01  # of the boxes; above, the whole table is in another frame
_SETTLED_NS: Final = 2_000_000_000  # a folder changed longer ago can be told from its time alone


@dataclass(frozen=True)
class Dataset:
    """A dataset's folder, or an annotations CSV alone."""

    key: tuple[Stamp, ...]  # of the files read: the same key is the same content
    root: Path | None  # None for a CSV
    rows: pl.DataFrame  # ANNOTATIONS as far as known; `split` only where the source says it
    refused: pl.DataFrame  # reason, rows
    manifest: pl.DataFrame | None
    summary: Mapping[str, Any]
    wanted: Mapping[str, int] | None  # images per split that were asked for
    written: datetime
    notes: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict, repr=False)  # image_id -> a key of its picture

    @property
    def has_splits(self) -> bool:
        """Whether the source says which split an image is in."""
        return "split" in self.rows.columns

    @property
    def labels(self) -> pl.DataFrame:
        """The rows that label files are made of: those that re-training data replaced left out."""
        return self.rows.filter("used") if "used" in self.rows.columns else self.rows

    @property
    def readings(self) -> pl.DataFrame:
        """The rows of the readers alone: re-training data that took their place in the labels is left out."""
        if "used" not in self.rows.columns or self.rows["used"].all():
            return self.rows
        replaced = self.rows.filter(~pl.col("used"))["image_id"].unique()
        return self.rows.filter(~pl.col("used") | ~pl.col("image_id").is_in(replaced.implode()))

    @property
    def simulated(self) -> bool:
        """Whether patients and readers are made up."""
        return str(self.summary.get("source", "")).startswith("synthetic")


@dataclass(frozen=True)
class Feedback:
    """What a folder of feedback holds now."""

    key: tuple[str, int]
    records: Records

    @property
    def simulated(self) -> bool:
        """Whether any of it is made up."""
        return bool(self.records.feedback["simulated"].any())


@dataclass(frozen=True)
class Reviewed:
    """What a folder of reviews holds now."""

    key: tuple[str, int]
    reviews: Reviews

    @property
    def simulated(self) -> bool:
        """Whether any of it is made up."""
        return bool(self.reviews.reviews["simulated"].any())


def stamp(path: Path) -> Stamp:
    """What tells this content of a file from another. Raises OSError where there is none."""
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size


_KEYS: Final[dict[str | type[Any], Callable[[Any], Any]]] = {
    Dataset: lambda dataset: dataset.key,
    Feedback: lambda feedback: feedback.key,
    Reviewed: lambda reviewed: reviewed.key,
}


def measured(function: Callable[P, R]) -> Callable[P, R]:
    """Keep what a function of Dataset, Feedback and plain values returns, for all sessions."""
    return st.cache_data(hash_funcs=_KEYS, show_spinner=False, max_entries=100)(function)


def dataset(path: Path) -> Dataset:
    """The dataset in a folder (or its `organized/` child), or the annotations in a CSV.

    Raises DatasetError where there is none, or where it cannot be used as a whole.
    """
    try:
        if path.is_file():
            return _read_csv((stamp(path),))
        root = manifest.unit_root(path)
        files = [root / name for name in (manifest.NAME, _TABLE, _CSV, _SUMMARY, _PROOF)]
        return _read_dataset(str(root), tuple(stamp(file) for file in files if file.is_file()))
    except OSError as unreadable:
        raise DatasetError(f"{path} cannot be read: {unreadable.strerror}.") from unreadable


@st.cache_resource(show_spinner="Reading the dataset …", max_entries=4)
def _read_dataset(folder: str, key: tuple[Stamp, ...]) -> Dataset:
    root = Path(folder)
    listed = manifest.read(root)
    summary, proof = _document(root / _SUMMARY), _document(root / _PROOF)
    notes = [note for _, note in (summary, proof) if note]
    refused = _reasons(None)
    if listed is not None and (root / _TABLE).is_file():
        rows = _parquet(root / _TABLE, listed)
    elif (root / _CSV).is_file():
        rows, refused = _csv_rows(root / _CSV)
        notes.append(f"The boxes are those of {_CSV}: {_TABLE} is read only where a manifest vouches for it.")
    else:
        raise DatasetError(f"{root} has no {_TABLE} and no {_CSV}: nothing to show. Run `radloop transform`.")
    if listed is None:
        notes.append(f"There is no {manifest.NAME}: nothing proves that the files are those that were written.")
    if (root / "rejected.csv").is_file():
        refused = _reasons(root / "rejected.csv")
    written = max(mtime for _, mtime, _ in key)
    return Dataset(
        key=key,
        root=root,
        rows=rows,
        refused=refused,
        manifest=listed,
        summary=summary[0],
        wanted=_wanted(proof[0]),
        written=datetime.fromtimestamp(written / 1e9, UTC),
        notes=tuple(notes),
        places=_places(listed),
    )


@st.cache_resource(show_spinner="Reading the annotations …", max_entries=4)
def _read_csv(key: tuple[Stamp]) -> Dataset:
    ((path, mtime, _),) = key
    rows, refused = _csv_rows(Path(path))
    notes = ["A table alone: no manifest, no version, and no pictures but those of --images."]
    if "split" not in rows.columns:
        notes.append("The table has no column `split`: it is shown as a whole, no split is guessed.")
    written = datetime.fromtimestamp(mtime / 1e9, UTC)
    return Dataset(key, None, rows, refused, None, {}, None, written, tuple(notes))


def _parquet(path: Path, listed: pl.DataFrame) -> pl.DataFrame:
    """ANNOTATIONS; the file must be the one that the manifest lists."""
    data = path.read_bytes()
    if hashlib.md5(data).hexdigest() not in listed.filter(pl.col("key") == path.name)["md5"]:
        raise DatasetError(f"{path} is not the file that the manifest lists and was refused. Run `radloop check`.")
    rows = sealed.decode(data)
    if rows is None or dict(rows.schema) != dict(ANNOTATIONS):
        raise DatasetError(f"{path} is not radloop's and was refused. Run `radloop transform` again.")
    if not rows["class_id"].is_between(0, NO_FINDING).all() or not rows["split"].is_in(SPLITS).all():
        raise DatasetError(f"{path} holds a class or split that does not exist and was refused.")
    return rows


def _csv_rows(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The findings of a CSV in 1024×1024 pixels (or of its own width and height), and the reasons of refused rows."""
    text = _csv_text(path)
    has_class = {"class_id", "class_name"} & set(text.columns)
    missing = [name for name in ("image_id", *_SIDES) if name not in text.columns] + ([] if has_class else ["class_id"])
    if missing:
        raise DatasetError(f"{path} lacks the column {', '.join(missing)} and was refused.")
    if "rad_id" not in text.columns:
        text = text.with_columns(rad_id=pl.lit(SINGLE_READER))

    numbers = {name: str(number) for number, name in enumerate(CLASS_NAMES)}
    known = [pl.col(name) for name in ("class_id", "class_name") if name in text.columns]
    class_id = pl.coalesce(known).replace(numbers).cast(pl.Float64, strict=False).cast(pl.Int16, strict=False)
    sides = [pl.col(side).cast(pl.Float64, strict=False) for side in _SIDES]
    if {"width", "height"} <= set(text.columns):
        frame = [pl.col(side).cast(pl.Int32, strict=False) for side in ("width", "height")]
    else:
        frame = [pl.lit(SCALED_SIDE_PX)] * 2
    rows = text.with_columns(*sides, class_id=class_id).with_columns(width=frame[0], height=frame[1])

    finding = pl.col("class_id") != NO_FINDING
    is_box = (
        pl.all_horizontal(pl.col(_SIDES).is_finite())
        & (pl.col("x_min") < pl.col("x_max"))
        & (pl.col("y_min") < pl.col("y_max"))
    )
    inside = (
        (pl.min_horizontal("x_min", "y_min") >= -_OUTSIDE_PX)
        & (pl.col("x_max") <= pl.col("width") + _OUTSIDE_PX)
        & (pl.col("y_max") <= pl.col("height") + _OUTSIDE_PX)
    )
    boxes = rows.filter(finding & is_box)
    outside = boxes.filter(~inside).height
    if outside > _MOST_OUTSIDE * boxes.height:
        raise DatasetError(
            f"{path}: {outside:,} of {boxes.height:,} boxes reach over {SCALED_SIDE_PX} pixels, so they are not in "
            f"{SCALED_SIDE_PX}×{SCALED_SIDE_PX}. `radloop etl --source FOLDER` makes a dataset of original pixels."
        )
    in_split = pl.col("split").is_in(SPLITS) if "split" in rows.columns else pl.lit(value=True)
    reason = (
        pl.when(pl.col("image_id").is_null())
        .then(pl.lit("no image_id"))
        .when(~pl.col("class_id").is_between(0, NO_FINDING).fill_null(value=False))
        .then(pl.lit("unknown class"))
        .when(~in_split.fill_null(value=False))
        .then(pl.lit("unknown split"))
        .when(finding & ~is_box.fill_null(value=False))
        .then(pl.lit("not a box"))
        .when(finding & ~inside.fill_null(value=False))
        .then(pl.lit("box outside the picture"))
    )
    judged = rows.with_columns(reason=reason)
    refused = judged.filter(pl.col("reason").is_not_null()).group_by("reason").agg(rows=pl.len().cast(pl.Int64))
    norm = [
        pl.when(finding).then(pl.col(side) / pl.col("width" if side[0] == "x" else "height")).alias(f"{side}_norm")
        for side in _SIDES
    ]
    found = judged.filter(pl.col("reason").is_null()).select(
        "image_id",
        "rad_id",
        pl.col("class_id").cast(pl.Int8),
        *norm,
        "width",
        "height",
        class_name(pl.col("class_id")).alias("class_name"),
        *(["split"] if "split" in rows.columns else []),
    )
    if found.is_empty():
        raise DatasetError(f"{path} holds no row that can be used.")
    return found, refused.sort("rows", descending=True)


def _csv_text(path: Path) -> pl.DataFrame:
    try:
        text = pl.read_csv(path, infer_schema=False)
        return text.rename({name: name.strip() for name in text.columns})
    except (pl.exceptions.PolarsError, OSError, ValueError) as broken:
        raise DatasetError(f"{path} is no table of annotations and was refused ({_first_line(broken)}).") from broken


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def _reasons(path: Path | None) -> pl.DataFrame:
    """reason, rows: the refused rows counted."""
    none = pl.DataFrame(schema={"reason": pl.String, "rows": pl.Int64})
    if path is None:
        return none
    try:
        rows = _csv_text(path)
    except DatasetError:
        return none
    if "reason" not in rows.columns:
        return none
    kinds = rows.select(reason=pl.col("reason").str.replace_all(r"-?\d[\d.]*", "…"))
    return kinds.group_by("reason").agg(rows=pl.len().cast(pl.Int64)).sort("rows", "reason", descending=[True, False])


def document(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    return _document(path)[0]


def table(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """A CSV as text. Raises DatasetError where it lacks a column."""
    rows = _csv_text(path)
    missing = [name for name in columns if name not in rows.columns]
    if missing:
        raise DatasetError(f"{path} lacks the column {', '.join(missing)} and was refused.")
    return rows


def _document(path: Path) -> tuple[Mapping[str, Any], str | None]:
    """A JSON object, and a sentence where it cannot be had."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, f"{path.name} is missing."
    except (OSError, ValueError, RecursionError):
        return {}, f"{path.name} is damaged and was refused."
    return (value, None) if isinstance(value, dict) else ({}, f"{path.name} is damaged and was refused.")


def _wanted(proof: Mapping[str, Any]) -> Mapping[str, int] | None:
    wanted = proof.get("wanted")
    if not isinstance(wanted, dict):
        return None
    return {split: count for split, count in wanted.items() if split in SPLITS and isinstance(count, int)}


def _places(listed: pl.DataFrame | None) -> dict[str, str]:
    if listed is None:
        return {}
    pictures = listed.filter(pl.col("kind") == "image").sort("key").unique("image_id", keep="first")
    return dict(pictures.select("image_id", "key").iter_rows())


class _Watched(Generic[T]):
    """A folder that is read again when something came or went; no file in it is ever changed."""

    def __init__(self, folder: Path, read: Callable[[Path, T | None], T]) -> None:
        self._folder, self._read = folder, read
        self._lock = threading.Lock()
        self._changed_ns = self._listed_ns = 0
        self._generation = 0
        self._held: T | None = None

    def now(self) -> tuple[int, T]:
        with self._lock:
            changed_ns = os.stat(self._folder).st_mtime_ns
            settled = self._listed_ns - self._changed_ns > _SETTLED_NS
            if self._held is None or changed_ns != self._changed_ns or not settled:
                self._changed_ns, self._listed_ns = changed_ns, time.time_ns()
                found = self._read(self._folder, self._held)
                self._generation += found is not self._held
                self._held = found
            return self._generation, self._held


@dataclass(frozen=True)
class _Known:
    """The feedback of the files that were read."""

    names: Mapping[str, int]
    records: Records


def _grow(folder: Path, before: _Known | None) -> _Known:
    """A file that is known is not opened again, neither by this server nor after another command kept its rows."""
    listed = records.listing(folder) if before else {}
    if before is None or not listed.items() >= before.names.items():
        found = _read_all(folder)
        read = {*found.feedback["file"], *found.refused["file"]}  # perhaps more, or less, than was listed
        listed = {
            name: inode
            for name, inode in records.listing(folder).items()
            if name in read or records.shown(name) in read
        }
        return _Known(listed, found)
    new = {name: inode for name, inode in listed.items() if name not in before.names}
    return _Known(listed, records.combine([before.records, records.read(folder, new)])) if new else before


def _read_all(folder: Path) -> Records:
    try:
        return cache.read(folder, cache.path(folder.parent, folder))
    except OSError:  # a place that cannot be written keeps nothing
        return records.read(folder)


@st.cache_resource(show_spinner="Reading the feedback …", max_entries=4)
def _feedback(path: str) -> _Watched[_Known]:
    return _Watched(Path(path), _grow)


@st.cache_resource(show_spinner=False, max_entries=4)
def _reviews(path: str) -> _Watched[Reviews]:
    return _Watched(Path(path), lambda folder, _: reviewing.read(folder))


def feedback(path: Path) -> Feedback:
    """The feedback in a folder, as it is now. Raises FeedbackError where there is no folder."""
    try:
        generation, found = _feedback(str(path)).now()
    except OSError as unreadable:
        raise FeedbackError(f"{path} cannot be read: {unreadable.strerror}.") from unreadable
    return Feedback((str(path), generation), found.records)


def reviews(path: Path | None) -> Reviewed:
    """The reviews in a folder, as they are now; none where there is no folder yet."""
    if path is None or not path.is_dir():
        return Reviewed((str(path), 0), reviewing.NONE)
    try:
        generation, found = _reviews(str(path)).now()
    except OSError as unreadable:
        raise FeedbackError(f"{path} cannot be read: {unreadable.strerror}.") from unreadable
    return Reviewed((str(path), generation), found)


def lines(path: Path, columns: pl.Schema) -> pl.DataFrame:
    """The JSON lines of a log, those left out that are none. Raises FeedbackError where it cannot be read."""
    try:
        return _lines(stamp(path), columns)
    except (OSError, pl.exceptions.PolarsError) as unreadable:
        raise FeedbackError(f"{path} is no log of the simulator and was refused.") from unreadable


@st.cache_resource(show_spinner="Reading the log …", max_entries=4, hash_funcs={pl.Schema: str})
def _lines(key: Stamp, columns: pl.Schema) -> pl.DataFrame:
    whole = [line for line in Path(key[0]).read_bytes().splitlines() if _is_object(line)]
    return pl.read_ndjson(b"\n".join(whole), schema=columns, ignore_errors=True) if whole else columns.to_frame()


def _is_object(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except UNDECODABLE:
        return False
    return True
