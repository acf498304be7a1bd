"""Tables from the disk, read once: what was read is kept until the file is another (path, mtime, size).

Nothing here stops a page. What cannot be used raises a RadloopError with the sentence that the page shows; rows that
cannot be used are counted with their reason.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
import polars as pl
import streamlit as st

from radloop import manifest, tree
from radloop.catalog import rule, version
from radloop.catalog.rule import Rule
from radloop.dashboard import annotations_csv, incoming
from radloop.dashboard.watched import Watched
from radloop.errors import UNDECODABLE, DatasetError, FeedbackError
from radloop.feedback import cache, documents, listing, reading
from radloop.feedback import reviews as reviewing
from radloop.feedback.conventions import OWN, Convention
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records, combine, packed
from radloop.tables import INCOMING, SPLITS
from radloop.taxonomy import Taxonomy

Stamp = tuple[str, int, int]  # path, mtime in ns, bytes
_DOCUMENT: Final = r"(?i)\.json$"  # `listing.is_document` for a column

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Dataset:
    """A dataset's folder, or an annotations CSV alone."""

    key: tuple[Stamp, ...]  # of the files read: the same key is the same content
    root: Path | None  # None for a CSV
    taxonomy: Taxonomy
    rows: pl.DataFrame  # ANNOTATIONS as far as known; `split` only where the source says it
    refused: pl.DataFrame  # annotations_csv.REFUSED
    manifest: pl.DataFrame | None
    summary: Mapping[str, Any]
    wanted: Mapping[str, int] | None  # images per split that were asked for
    written: datetime
    notes: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict, repr=False)  # image_id -> a key of its picture
    incoming: pl.DataFrame = field(default_factory=INCOMING.to_frame, repr=False)  # INCOMING: of the unit beside it

    @property
    def has_splits(self) -> bool:
        """Whether the source says which split an image is in."""
        return "split" in self.rows.columns

    @property
    def labels(self) -> pl.DataFrame:
        """The rows that label files are made of: those that were set aside left out."""
        return self.rows.filter("used") if "used" in self.rows.columns else self.rows

    @cached_property
    def images(self) -> pl.DataFrame:
        """One row an image, incoming ones too (`version.images`): of a dataset that says which picture is held out."""
        return version.images(self.rows, self.incoming)

    @cached_property
    def unread(self) -> pl.DataFrame:
        """INCOMING of the images that the dataset has not itself: no reader of its source has read them."""
        return self.incoming.join(self.rows, on="image_id", how="anti")

    @cached_property
    def readings(self) -> pl.DataFrame:
        """The rows of the readers alone (`version.readings`): without what re-training data put in their place."""
        return version.readings(self.rows)

    @property
    def simulated(self) -> bool:
        """Whether patients and readers are made up."""
        return str(self.summary.get("source", "")).startswith("synthetic")


@dataclass(frozen=True)
class Feedback:
    """What a folder of feedback holds now."""

    key: tuple[str, str, int]
    taxonomy: Taxonomy  # the classes that it was read with
    records: Records

    @property
    def simulated(self) -> bool:
        """Whether any of it is made up."""
        return bool(self.records.feedback["simulated"].any())


@dataclass(frozen=True)
class Reviewed:
    """What a folder of reviews holds now."""

    key: tuple[str, str, int]
    reviews: Reviews

    @property
    def simulated(self) -> bool:
        """Whether any of it is made up."""
        return bool(self.reviews.reviews["simulated"].any())


def stamp(path: Path) -> Stamp:
    """What tells this content of a file from another. Raises OSError where there is none."""
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size


def _names(classes: Taxonomy) -> str:
    """What tells these classes from others."""
    return hashlib.md5("\n".join(classes.names).encode()).hexdigest()


_KEYS: Final[dict[str | type[Any], Callable[[Any], Any]]] = {
    Dataset: lambda dataset: dataset.key,
    Feedback: lambda feedback: feedback.key,
    Reviewed: lambda reviewed: reviewed.key,
    Taxonomy: _names,
    Convention: repr,
}


def measured(function: Callable[P, R]) -> Callable[P, R]:
    """Keep what a function of Dataset, Feedback, Rule and plain values returns, for all sessions: no one changes it."""
    return st.cache_resource(hash_funcs=_KEYS, show_spinner=False, max_entries=100)(function)


def dataset(path: Path) -> Dataset:
    """The dataset in a folder (or its `organized/` child), or the annotations in a CSV.

    Raises DatasetError where there is none, or where it cannot be used as a whole.
    """
    try:
        if path.is_file():
            return _read_csv((stamp(path),))
        root = manifest.unit_root(path)
        files = [root / name for name in (manifest.NAME, tree.ANNOTATIONS, tree.BOXES, tree.SUMMARY, tree.PROOF)]
        files += incoming.files(root)
        return _read_dataset(str(root), tuple(stamp(file) for file in files if file.is_file()))
    except OSError as unreadable:
        raise DatasetError(f"{path} cannot be read: {unreadable.strerror}.") from unreadable


@st.cache_resource(show_spinner="Reading the dataset …", max_entries=4)
def _read_dataset(folder: str, key: tuple[Stamp, ...]) -> Dataset:
    root = Path(folder)
    listed = manifest.read(root)
    summary, proof = _document(root / tree.SUMMARY), _document(root / tree.PROOF)
    notes = [note for _, note in (summary, proof) if note]
    refused = annotations_csv.REFUSED.to_frame()
    if listed is not None and (root / tree.ANNOTATIONS).is_file():
        classes = _classes(root)
        rows = _parquet(root / tree.ANNOTATIONS, listed, classes)
    elif (root / tree.BOXES).is_file():
        read = annotations_csv.read(root / tree.BOXES, _classes(root) if summary[0] else None)
        rows, refused, classes = read.rows, read.refused, read.taxonomy
        why = f"{tree.ANNOTATIONS} is read only where a manifest vouches for it"
        notes += [f"The boxes are those of {tree.BOXES}: {why}.", *map(_of_classes, read.notes)]
    else:
        raise DatasetError(
            f"{root} has no {tree.ANNOTATIONS} and no {tree.BOXES}: nothing to show. Run `radloop transform`."
        )
    if listed is None:
        notes.append(f"There is no {manifest.NAME}: nothing proves that the files are those that were written.")
    if (root / tree.REJECTED).is_file():
        refused = annotations_csv.refused(root / tree.REJECTED)
    written = max(mtime for path, mtime, _ in key if manifest.INCOMING not in Path(path).parts[-2:])
    came, places = incoming.read(root, notes)
    return Dataset(
        key=key,
        root=root,
        taxonomy=classes,
        rows=rows,
        refused=refused,
        manifest=listed,
        summary=summary[0],
        wanted=_wanted(proof[0]),
        written=datetime.fromtimestamp(written / 1e9, UTC),
        notes=tuple(notes),
        places=places | _places(listed),
        incoming=came,
    )


@st.cache_resource(show_spinner="Reading the annotations …", max_entries=4)
def _read_csv(key: tuple[Stamp]) -> Dataset:
    ((path, mtime, _),) = key
    read = annotations_csv.read(Path(path))
    notes = ["A table alone: no manifest, no version, and no pictures but those of --images."]
    if "split" not in read.rows.columns:
        notes.append("The table has no column `split`: it is shown as a whole, no split is guessed.")
    notes += map(_of_classes, read.notes)
    written = datetime.fromtimestamp(mtime / 1e9, UTC)
    return Dataset(key, None, read.taxonomy, read.rows, read.refused, None, {}, None, written, tuple(notes))


def _of_classes(note: str) -> str:
    return f"Classes: {note}."


def _classes(root: Path) -> Taxonomy:
    """The classes of a dataset's folder. Raises DatasetError where its summary does not tell them."""
    path = root / tree.SUMMARY
    return version.taxonomy_of(path.read_bytes() if path.is_file() else None, name=str(root))


def default_classes() -> Taxonomy:
    """The classes where no dataset names any."""
    return version.taxonomy_of(None, name="")


def last_rule(retrain: Path) -> Rule:
    """The rule of the last round, by the report beside its `retrain.csv`; where none tells it, the default."""
    try:
        return rule.standing(retrain.parent) or Rule()
    except DatasetError:
        return Rule()


def _parquet(path: Path, listed: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """ANNOTATIONS; the file must be the one that the manifest lists."""
    data = path.read_bytes()
    if hashlib.md5(data).hexdigest() not in listed.filter(pl.col("key") == path.name)["md5"]:
        raise DatasetError(f"{path} is not the file that the manifest lists and was refused. Run `radloop check`.")
    rows = version.decode(data, classes, name=str(path))
    if not rows["split"].is_in(SPLITS).all():
        raise DatasetError(f"{path} holds a split that does not exist and was refused.")
    return rows


def document(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    return _document(path)[0]


def table(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """A CSV as text. Raises DatasetError where it lacks a column."""
    rows = annotations_csv.text(path)
    missing = [name for name in columns if name not in rows.columns]
    if missing:
        raise DatasetError(f"{path} lacks the column {', '.join(missing)} and was refused.")
    return rows


def _document(path: Path) -> tuple[Mapping[str, Any], str | None]:
    """A JSON object, and a sentence where it is unavailable."""
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


@dataclass(frozen=True)
class _Known:
    """The feedback of the files that were read."""

    files: listing.Keys
    grows: bool  # not all are documents, which are never changed
    records: Records


@dataclass(frozen=True)
class _KnownReviews:
    """The reviews of the files that could be read."""

    names: Mapping[str, int]
    reviews: Reviews


def _more_reviews(
    classes: Taxonomy, convention: Convention, folder: Path, before: _KnownReviews | None
) -> _KnownReviews:
    """A review that was read is not opened again; a file that was refused may have been mended."""
    listed = listing.inodes(folder)
    if before is None or not listed.items() >= before.names.items():
        before = _KnownReviews({}, reviewing.NONE)
    new = [name for name in listed if name not in before.names]
    if before.names and not new and before.reviews.refused.is_empty():
        return before
    now = datetime.now(UTC)
    found = reviewing.read(folder, classes, names=new, before=before.reviews, convention=convention, now=now)
    read = set(found.reviews["file"])
    return _KnownReviews({name: inode for name, inode in listed.items() if name in read}, found)


def _grow(classes: Taxonomy, convention: Convention, folder: Path, before: _Known | None) -> _Known:
    """A file that is known is not opened again, neither by this server nor after another command kept its rows."""
    listed, new = listing.since(folder, before.files) if before else (listing.NO_KEYS, [])
    gone = before is None or len(listed) - len(new) < len(before.files)
    if before is None or gone or before.grows or not all(map(listing.is_document, new)):
        found = _read_all(folder, classes, convention)
        read = chain(found.feedback["file"], found.refused["file"])  # perhaps more, or less, than was listed
        grows = any(not table["file"].str.contains(_DOCUMENT).all() for table in (found.feedback, found.refused))
        return _Known(listing.keys(folder, read, documents.shown), grows, packed(found, pl.Categorical()))
    if not new:
        return before
    more = reading.read(folder, classes, new, convention=convention, now=datetime.now(UTC))
    together = combine([packed(before.records, pl.String()), more])
    return _Known(listed, grows=False, records=packed(together, pl.Categorical()))


def _read_all(folder: Path, classes: Taxonomy, convention: Convention) -> Records:
    now = datetime.now(UTC)
    try:
        kept = cache.path(folder.parent, folder, classes, convention)
        return cache.read(folder, classes, kept, convention=convention, now=now)
    except OSError:  # a place that cannot be written keeps nothing
        return cache.read(folder, classes, None, convention=convention, now=now)


_READ_AS: Final[dict[Any, Callable[[Any], str]]] = {Taxonomy: _names, Convention: repr}


@st.cache_resource(show_spinner="Reading the feedback …", max_entries=4, hash_funcs=_READ_AS)
def _feedback(path: str, classes: Taxonomy, convention: Convention) -> Watched[_Known]:
    return Watched(Path(path), partial(_grow, classes, convention))


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs=_READ_AS)
def _reviews(path: str, classes: Taxonomy, convention: Convention) -> Watched[_KnownReviews]:
    return Watched(Path(path), partial(_more_reviews, classes, convention))


def feedback(path: Path, classes: Taxonomy, convention: Convention = OWN) -> Feedback:
    """The feedback in a folder, as it is now.

    Raises FeedbackError where there is no folder, or where it is in another convention as a whole.
    """
    try:
        generation, found = _feedback(str(path), classes, convention).now()
    except OSError as unreadable:
        raise FeedbackError(f"{path} cannot be read: {unreadable.strerror}.") from unreadable
    return Feedback((str(path), _names(classes) + repr(convention), generation), classes, found.records)


def reviews(path: Path | None, classes: Taxonomy, convention: Convention = OWN) -> Reviewed:
    """The reviews in a folder, as they are now; none where there is no folder yet."""
    key = str(path), _names(classes)
    if path is None or not path.is_dir():
        return Reviewed((*key, 0), reviewing.NONE)
    try:
        generation, found = _reviews(str(path), classes, convention).now()
    except OSError as unreadable:
        raise FeedbackError(f"{path} cannot be read: {unreadable.strerror}.") from unreadable
    return Reviewed((*key, generation), found.reviews)


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
