"""A unit as it stands, without some of its images: nothing is built anew, so that all else keeps its bytes.

What is computed here is written by `pipelines.forgetting`: the documents that change, the keys that go, the manifest.
"""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

import polars as pl

from radloop import formats, manifest, sealed, spreadsheets, tree
from radloop.catalog import heldout, incoming, tombstones, version
from radloop.catalog.tombstones import FORGOTTEN
from radloop.catalog.version import Get
from radloop.dataset import proof
from radloop.dataset.plan import listed as rows_of
from radloop.errors import DatasetError
from radloop.split_sizes import SplitSizes
from radloop.tables import ASSIGNMENT, SPLITS
from radloop.taxonomy import Taxonomy

_FOR_PEOPLE: Final = "reason"  # a column of the tables that `spreadsheets` writes, and of no other
_TRAINERS_CACHES: Final = (".cache", ".npy")  # they name the pictures that were trained on


@dataclass(frozen=True)
class Gone:
    """What is taken away, and what it may be known by."""

    image_ids: frozenset[str]
    md5s: frozenset[str] = frozenset()  # of its pictures
    feedback_ids: frozenset[str] = frozenset()
    groups: Mapping[str, str] = field(default_factory=dict)  # the other name of a group that one of them named

    def is_row(self, row: Mapping[str, str]) -> bool:
        """Whether a row of a table speaks of it."""
        image_id = row.get("image_id", "")
        if image_id in self.image_ids or row.get("feedback_id") in self.feedback_ids:
            return True
        return not image_id and self.is_file(row.get("file") or row.get("place") or "")

    def is_file(self, name: str) -> bool:
        """Whether a file of feedback or of a review is on it, by its name alone."""
        last = PurePosixPath(name).name
        return any(last.startswith(f"{one}.") for one in (*self.image_ids, *self.feedback_ids))

    def left(self, table: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table of images that stay, in groups that are not named by what goes."""
        stays = table.filter(~pl.col("image_id").is_in(list(self.image_ids)))
        if "group" not in stays.columns:
            return stays
        return stays.with_columns(pl.col("group").replace(dict(self.groups)))


@dataclass(frozen=True)
class Remainder:
    """A unit without them."""

    manifest: pl.DataFrame  # MANIFEST
    documents: Mapping[str, bytes]  # by key, those that are not what they were
    gone: tuple[str, ...]  # keys

    @property
    def version(self) -> str:
        """Its id."""
        return manifest.version(self.manifest)


def renamed_groups(image_ids: Collection[str], *tables: pl.DataFrame) -> dict[str, str]:
    """Other names for the groups that are named by one of these images: the smallest other one in the first table.

    tables: image_id, group; a table that comes later is asked only for a group that none before it has.
    """
    names: dict[str, str] = {}
    for table in tables:
        others = table.filter(pl.col("group").is_in(list(image_ids)), ~pl.col("image_id").is_in(list(image_ids)))
        found = others.group_by("group").agg(pl.col("image_id").min())
        names = dict(found.iter_rows()) | names
    return names


def of_dataset(
    get: Get, listed: pl.DataFrame, gone: Gone, stones: pl.DataFrame, *, succeeded: Mapping[str, str] | None = None
) -> Remainder | None:
    """The dataset whose files `get` brings and whose manifest is `listed`; None where nothing of it changes.

    stones: TOMBSTONES that it is to hold. succeeded: versions that others have taken the place of, by id.
    """
    told = version.document(get(tree.SUMMARY), name=tree.SUMMARY)
    classes = version.taxonomy_of(get(tree.SUMMARY), name="the dataset")
    before = version.decode(get(tree.ANNOTATIONS) or b"", classes, name=tree.ANNOTATIONS)
    after = gone.left(before)
    documents = _tables(get, listed, gone) | ({tree.TOMBSTONES: tombstones.encode(stones)} if stones.height else {})
    if not after.equals(before):
        documents |= {tree.ANNOTATIONS: version.encode(after, classes), tree.PROOF: _proof(get, told, after, classes)}
    if (memory := get(tree.HELDOUT)) is not None:
        documents[tree.HELDOUT] = heldout.encode(gone.left(heldout.decode(memory, name=tree.HELDOUT)))
    keys = _keys(listed, gone)
    yamls, empty = _yamls(get, listed, keys)
    remainder = _remainder(get, listed, documents | yamls, keys | empty)
    if remainder is None:
        return None
    summary = _summary(get, told, listed, remainder, (before, after)) | tombstones.counted(stones)
    old, new = manifest.version(listed), remainder.version
    if new != old and "lineage" in told:
        followers = succeeded or {}
        summary |= {"previous": followers.get(told.get("previous", ""), old)}
        summary |= {"replaces": followers.get(told.get("replaces") or "", told.get("replaces"))}
    return _remainder(
        get, listed, documents | yamls | {tree.SUMMARY: tree.json_file(formats.numbered(summary))}, keys | empty
    )


def of_retrain(get: Get, listed: pl.DataFrame, gone: Gone) -> Remainder | None:
    """The same of the re-training data: its rows, labels and pictures, and what every round keeps of them.

    A report stays what it was when its round was made, but for the names in it; it counts what was forgotten since.
    """
    keys, documents = _keys(listed, gone), {}
    for key in (tree.RETRAIN_TABLE, tree.REFUSED, tree.WITHHELD):
        if (data := get(key)) is not None:
            documents[key] = rows_left(data, gone.is_row)
    for key in listed.filter(pl.col("key").str.starts_with(tree.ROUNDS))["key"]:
        name = PurePosixPath(key).name
        if name != tree.REPORT and (gone.is_file(name) or _speaks_of(get(key), gone)):
            keys |= {key}
    table = get(tree.RETRAIN_TABLE)
    ids = frozenset(row["image_id"] for row in rows(table) if row.get("image_id") in gone.image_ids)
    reports = listed.filter(pl.col("key").str.contains(rf"(^|/){tree.REPORT}$"))["key"]
    touched = {key.rpartition("/")[0] for key in keys} | ({""} if ids else set())
    for key in reports:
        report = version.document(get(key), name=key)
        waiting = report.get("waiting_for_a_review") or {}
        names = {name: count for name, count in waiting.items() if not gone.is_file(name)}
        if key.rpartition("/")[0] in touched or len(names) < len(waiting):
            counted = {FORGOTTEN: int(report.get(FORGOTTEN, 0)) + len(gone.image_ids)}
            documents[key] = tree.json_file(formats.numbered(report | {"waiting_for_a_review": names} | counted))
    stays = listed.filter(pl.col("kind") == "image", ~pl.col("key").is_in(list(keys)))
    if stays.is_empty() and tree.RETRAIN_DATA in listed["key"]:
        keys |= {tree.RETRAIN_DATA}  # a trainer stops at an empty folder
    return _remainder(get, listed, documents, keys)


def of_incoming(get: Get, listed: pl.DataFrame, gone: Gone) -> Remainder | None:
    """The same of the pictures without labels."""
    data, documents = get(tree.INCOMING), {}
    if data is not None:
        documents = {tree.INCOMING: incoming.encode(gone.left(incoming.decode(data, name=tree.INCOMING)))}
    return _remainder(get, listed, documents, _keys(listed, gone))


def unlisted(keys: Collection[str], listed: pl.DataFrame, gone: Gone, md5s: Mapping[str, str]) -> list[str]:
    """Those of the `keys` that no manifest lists that are of the same images or pictures, or a trainer's caches."""
    others = set(listed["image_id"].drop_nulls())
    return sorted(key for key in keys if _is_leftover(key, gone, md5s, others))


def _is_leftover(key: str, gone: Gone, md5s: Mapping[str, str], others: Collection[str]) -> bool:
    path, part = PurePosixPath(key), tree.parse(key)
    if path.suffix in _TRAINERS_CACHES or path.stem in gone.image_ids | gone.md5s or md5s.get(key) in gone.md5s:
        return True
    return part is not None and part.image_id in gone.image_ids and path.stem not in others


def rows_left(data: bytes, is_gone: Callable[[Mapping[str, str]], bool]) -> bytes:
    """A CSV without the rows that go; every other byte is as it was.

    >>> rows_left(b'image_id,x\\r\\na,"1\\n2"\\r\\nb,3\\r\\n', lambda row: row["image_id"] == "a")
    b'image_id,x\\r\\nb,3\\r\\n'
    """
    kept = (text for row, text in _read(data) if not row or not is_gone(row))
    return "".join(kept).encode("utf-8", "surrogateescape")


def rows(data: bytes | None) -> list[dict[str, str]]:
    """The rows of a CSV; none where there is none.

    >>> rows(b"\\xef\\xbb\\xbfimage_id, x\\na,1\\n")
    [{'image_id': 'a', 'x': '1'}]
    """
    return [row for row, _ in _read(data or b"") if row]


def _read(data: bytes) -> Iterator[tuple[dict[str, str], str]]:
    """Each row of a CSV, and how it is written; the names of the columns, and an empty line, are no row."""
    lines = list(io.StringIO(data.decode("utf-8", "surrogateescape"), newline=""))
    reader, start, head = csv.reader(lines), 0, list[str]()
    for cells in reader:
        if _FOR_PEOPLE in head:
            cells = [spreadsheets.plain(cell) for cell in cells]
        row = dict(zip(head, cells, strict=False))
        head = head or [name.lstrip("\ufeff").strip() for name in cells]
        yield row, "".join(lines[start : reader.line_num])
        start = reader.line_num


def _keys(listed: pl.DataFrame, gone: Gone) -> set[str]:
    ids = pl.col("image_id").is_in(list(gone.image_ids)).fill_null(value=False)
    same = pl.col("kind").eq("image") & pl.col("md5").is_in(list(gone.md5s))
    return set(listed.filter(ids | same)["key"])


def _tables(get: Get, listed: pl.DataFrame, gone: Gone) -> dict[str, bytes]:
    """The tables that have an image a row, but for those that are more than that."""
    documents = {}
    apart = (tree.ANNOTATIONS, tree.HELDOUT, tree.TOMBSTONES)
    for key in listed.filter(pl.col("kind") == "table", ~pl.col("key").is_in(apart))["key"]:
        data = get(key) or b""
        if key.endswith(".csv"):
            documents[key] = rows_left(data, gone.is_row)
        else:
            table = sealed.decode(data, name=key)
            if table is None:
                raise DatasetError(f"{key} is not radloop's, or damaged. Write the dataset again.")
            documents[key] = sealed.encode(gone.left(table))
    return documents


def _proof(get: Get, told: Mapping[str, Any], after: pl.DataFrame, classes: Taxonomy) -> bytes:
    before, settings = version.document(get(tree.PROOF), name=tree.PROOF), told.get("settings", {})
    assignment = after.select(ASSIGNMENT.names()).unique().sort("image_id")
    counts = dict(assignment.group_by("split").len().iter_rows())
    sizes = SplitSizes(**(settings.get("sizes") or before["wanted"]))
    if settings.get("keep_splits"):
        sizes = SplitSizes(*(counts.get(split, 0) for split in SPLITS))
    seed = int(before.get("seed", 0))
    return tree.json_file(
        formats.numbered(proof.of(after, assignment, sizes, classes, seed=seed, previous=assignment, before=before))
    )


def _yamls(get: Get, listed: pl.DataFrame, keys: Collection[str]) -> tuple[dict[str, bytes], set[str]]:
    """The trainer's files that named a folder which is empty now, without it; and those that had it as `val`."""
    images = listed.filter(pl.col("kind") == "image")["key"]
    filled = {key.rpartition("/")[0] for key in images if key not in keys}
    empty = {key.rpartition("/")[0] for key in images} - filled
    changed, gone = {}, set()
    for key in listed.filter(pl.col("kind") == "yaml")["key"]:
        lines = (get(key) or b"").splitlines(keepends=True)
        if key != tree.DATA and any(b"val: %b" % place.encode() in {line.strip() for line in lines} for place in empty):
            gone.add(key)
        named = {b"test: %b" % place.encode() for place in empty}
        changed[key] = b"".join(line for line in lines if line.strip() not in named)
    return {key: data for key, data in changed.items() if key not in gone}, gone


def _summary(
    get: Get,
    told: dict[str, Any],
    listed: pl.DataFrame,
    remainder: Remainder,
    annotations: tuple[pl.DataFrame, pl.DataFrame],  # before, after
) -> dict[str, Any]:
    """summary.json of what remains; of what only the run that wrote it knew, less what went."""
    before, after = annotations
    images = remainder.manifest.filter(pl.col("kind") == "image")
    by_split = dict(images.group_by("split").agg(pl.col("image_id").n_unique()).iter_rows())
    went = listed.filter(pl.col("key").is_in(remainder.gone), pl.col("kind") == "label")
    boxes = {key: _boxes(get(key), told) for key in went["key"]}
    counted: dict[str, Any] = {
        "total_unique_images": images["image_id"].n_unique(),
        "total_image_radiologist_combinations": after.filter("used").select("image_id", "rad_id").n_unique(),
        "labels_created": remainder.manifest.filter(pl.col("kind") == "label").height,
        "images_copied": images.height,
        "splits": {split: by_split.get(split, 0) for split in SPLITS},
        "version": remainder.version,
        "boxes_written": told.get("boxes_written", 0) - sum(boxes.values()),
        "boxes_cut_at_the_edge": after.filter("used", _outside()).height,
        "rows_kept": after.height,
    }
    if "judged" in told:
        beside = [key for key in went["key"] if (part := tree.parse(key)) and not key.startswith(f"{part.split}/")]
        less = {"images": len(beside), "labels": len(beside), "boxes": sum(boxes[key] for key in beside)}
        counted["judged"] = {name: told["judged"][name] - number for name, number in less.items()}
    old, new = rows(get(tree.REJECTED)), rows(remainder.documents.get(tree.REJECTED, get(tree.REJECTED)))
    lost = _lost(old, before) - _lost(new, before)
    counted |= {"rows_refused": len(new), "readings_lost": max(0, told.get("readings_lost", 0) - len(lost))}
    return {key: counted.get(key, value) for key, value in told.items() if key != FORGOTTEN}


def _outside() -> pl.Expr:
    edges = pl.col("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm")
    return pl.any_horizontal((edges < 0) | (edges > 1))


def _lost(rejected: Sequence[Mapping[str, str]], annotations: pl.DataFrame) -> set[tuple[str, str]]:
    """The readings of refused rows that kept none."""
    kept = set(annotations.select("image_id", "rad_id").iter_rows())
    named = {(row.get("image_id", ""), row.get("rad_id", "")) for row in rejected}
    return {one for one in named if all(one) and one not in kept}


def _boxes(label: bytes | None, told: Mapping[str, Any]) -> int:
    """How many boxes a label holds; one around the whole picture that says "No finding" is none."""
    lines = (label or b"").splitlines()
    nothing = tree.whole_picture(len(told.get("classes", ()))).encode().splitlines()
    return 0 if lines == nothing else len(lines)


def _speaks_of(data: bytes | None, gone: Gone) -> bool:
    """Whether a review, also one that cannot be read, is on one of the images."""
    try:
        told = json.loads(data or b"")
        return told["image_id"] in gone.image_ids or told["feedback_id"] in gone.feedback_ids
    except (ValueError, TypeError, LookupError, RecursionError):
        return any(one.encode() in (data or b"") for one in (*gone.image_ids, *gone.feedback_ids))


def _remainder(
    get: Get, listed: pl.DataFrame, documents: Mapping[str, bytes], keys: Collection[str]
) -> Remainder | None:
    """The unit with other documents and without some keys; None where that changes nothing."""
    changed = {key: data for key, data in documents.items() if key not in keys and get(key) != data}
    if not changed and not keys:
        return None
    stays = listed.filter(~pl.col("key").is_in([*keys, *changed]))
    return Remainder(pl.concat([stays, rows_of(changed)]).sort("key"), changed, tuple(sorted(keys)))
