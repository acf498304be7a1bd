"""Keeping every version: what a publish adds to the history, what it moves aside, and what no version needs any more.

A picture is kept once for all versions. That of a kept version lies in the dataset, under a key that the current
manifest lists with its MD5, or else under its MD5 in `versions/pictures/`; nowhere twice.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from radloop import manifest, tree
from radloop.catalog import changes, history, version
from radloop.catalog.history import Changed, Entry, History, Kept, Objects
from radloop.errors import DatasetError
from radloop.storage import shrinking
from radloop.storage.change import Keeping, Row, Stored
from radloop.storage.layout import rows_of

Get = Callable[[str], bytes | None]  # the bytes of a key of the dataset; None where it is missing

DEFAULT: Final = 10
ROLLBACK: Final = "rollback"  # an action


@dataclass(frozen=True)
class Keep:
    """How a publish is recorded, and how many versions are kept then, this one included."""

    now: datetime
    number: int = DEFAULT
    action: str = "load"


@dataclass(frozen=True)
class Planned:
    """The history as it is to be, and by key the objects of versions that it names and the store may not have."""

    history: History
    objects: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """What a store holds before a publish, as far as earlier versions depend on it."""

    get: Get
    table: pl.DataFrame  # of the current version; empty where there is none
    listing: Mapping[str, Stored]
    versions: Mapping[str, Stored]  # the listing of what is kept
    unfinished: bool = False  # an earlier publish did not end

    @property
    def version(self) -> str | None:
        """The id of the current version."""
        return manifest.version(self.table) if self.table.height else None

    @cached_property
    def pictures(self) -> dict[str, str]:
        """Where the pictures of earlier versions lie, by MD5."""
        return {history.md5_in(key): key for key in sorted(self.versions) if key.startswith(history.PICTURES)}

    def keeps(self, row: Row) -> bool:
        """Whether the picture lies there."""
        key = self.pictures.get(row.md5 or "")
        return key is not None and self.versions[key].holds(row)

    @property
    def by_content(self) -> dict[tuple[str, int], str]:
        """A key of the dataset by MD5 and size of its picture; where the store keeps no MD5, as the manifest says."""
        promised = {row.key: row.md5 for row in _rows(self.table)}
        contents = {}
        for key, stored in sorted(self.listing.items(), reverse=True):
            if md5 := stored.md5 or promised.get(key):
                contents[md5, stored.bytes] = key
        return contents

    @property
    def history(self) -> History:
        """The history; without its last entry where that is of a publish that did not come to its manifest."""
        told = history.decode(self.get(history.NAME), name=history.NAME)
        entries = told.entries[:-1]
        before = {told.entries[-1].previous, *(entry.version for entry in entries)} if told.entries else set()
        # a version that is nowhere in it came to its manifest, and another publish took its entry away
        if not (self.unfinished and self.version in before and told.entries[-1].version != self.version):
            return told
        known = {entry.version for entry in entries}
        return History(entries=entries).keeping({one: kept for one, kept in told.kept.items() if one in known})


def grown(standing: Standing, root: Path, table: pl.DataFrame, keep: Keep) -> Planned:
    """The history with the version in the folder `root`, whose manifest is `table`, as its last."""
    told, new = standing.history, manifest.version(table)
    kept, made = dict(told.kept), dict[str, bytes]()
    if keep.number and not (new in kept and _is_kept(standing, new, kept[new], table)):
        packed = history.objects(table, _documents(root, table))
        kept[new], made = packed.kept, packed.by_key(new)
    entries = told.entries
    if not entries or entries[-1].version != new:
        was = tuple(sorted({one for entry in entries if entry.version == new for one in entry.was}))
        entries += (_entry(standing, root, table, keep, was),)
    return Planned(History(entries=entries).keeping(kept).newest(keep.number), made)


def _is_kept(standing: Standing, new: str, kept: Kept, table: pl.DataFrame) -> bool:
    """Whether the store has the two objects of this very version: where two loads met, one may have removed them."""
    own = hashlib.md5(manifest.encode(table)).hexdigest()
    return kept.manifest == own and standing.versions.keys() >= {*kept.keys(new)}


def _documents(root: Path, table: pl.DataFrame) -> dict[str, bytes]:
    """Every file of a version but its pictures. Raises DatasetError for what is not as its manifest says."""
    files = {}
    for row in rows_of(table.filter(pl.col("kind") != "image")):
        path = root / row.key
        files[row.key] = path.read_bytes() if path.is_file() else b""
        if hashlib.md5(files[row.key]).hexdigest() != row.md5:
            raise DatasetError(
                f"{path} is not what the manifest says: it is missing, or was changed after it was written. Run "
                "`radloop transform` again."
            )
    return files


def _entry(standing: Standing, root: Path, table: pl.DataFrame, keep: Keep, was: tuple[str, ...]) -> Entry:
    def get(key: str) -> bytes | None:
        return (root / key).read_bytes() if (root / key).is_file() else None

    return entry(
        table,
        get(tree.SUMMARY),
        previous=standing.version,
        action=keep.action,
        now=keep.now,
        was=was,
        changed=_changed(standing, get),
    )


def _changed(standing: Standing, after: Get) -> Changed | None:
    """From the current version, by its tables in the store, or where a publish that was cut off has replaced them, by
    what is kept of it."""
    if standing.version is None:
        return None
    found = difference(_verified(standing.get, standing.table), after)
    kept = standing.history.kept.get(standing.version)
    if found is None and kept is not None:
        _, key = kept.keys(standing.version)
        with suppress(DatasetError):
            files = history.unpacked(standing.get(key), standing.table, name=key)
            return difference(files.get, after)
    return found


def entry(
    table: pl.DataFrame,
    summary: bytes | None,
    *,
    previous: str | None,
    action: str,
    now: datetime,
    was: tuple[str, ...] = (),
    changed: Changed | None = None,
) -> Entry:
    """How a history records that the version with this manifest and summary.json is published."""
    size = shrinking.size(table, summary)
    images = table.filter(kind="image").drop_nulls("split").group_by("split").agg(pl.col("image_id").n_unique())
    return Entry(
        version=manifest.version(table),
        previous=previous,
        published_at=now.replace(microsecond=0),
        action=action,
        images=size.images,
        labels=size.labels,
        boxes=size.boxes,
        splits=dict(images.sort("split").iter_rows()),
        was=was,
        changes=changed,
    )


def difference(before: Get, after: Get) -> Changed | None:
    """How many images and labels differ between two versions; None where one cannot be read."""
    with suppress(DatasetError):
        return counted(changes.of(annotations(before), annotations(after)))
    return None


def annotations(get: Get) -> pl.DataFrame:
    """ANNOTATIONS of a version by its files. Raises DatasetError."""
    classes = version.taxonomy_of(get(tree.SUMMARY), name=tree.SUMMARY)
    return version.decode(get(tree.ANNOTATIONS) or b"", classes, name=tree.ANNOTATIONS)


def counted(told: changes.Changes) -> Changed:
    """The numbers of it."""
    moved = told.moved
    labels = dict(told.labels.group_by("change").len().iter_rows())
    return Changed(
        images_added=moved["before"].null_count(),
        images_removed=moved["after"].null_count(),
        images_moved=moved.drop_nulls().height,
        labels_added=labels.get("added", 0),
        labels_removed=labels.get("gone", 0),
        labels_moved=labels.get("moved", 0),
    )


def _verified(get: Get, listed: pl.DataFrame) -> Get:
    """Nothing for a file that is not what the manifest says, as after a publish that was cut off."""
    md5s = dict(listed.select("key", "md5").iter_rows())

    def verified(key: str) -> bytes | None:
        data = get(key)
        return data if data is not None and hashlib.md5(data).hexdigest() == md5s.get(key) else None

    return verified


def plan(
    standing: Standing, planned: Planned, table: pl.DataFrame, changed: Collection[str]
) -> tuple[Keeping, tuple[str, ...]]:
    """What the store has to do so that every version of the planned history is whole beside the one of `table`.

    changed: the keys that get other bytes; a kill may come when they have the old ones no more, and lack the new. So a
    picture that would lie under such keys alone is put aside, too, until all of them are written. A version that lacks
    something already is kept no more; a sentence says so.
    """
    told, notes = planned.history, tuple[str, ...]()
    whole = _must_read_all(standing, told)
    safe = {row.md5 for row in _rows(table) if row.key not in changed}
    needed = _needed(standing, planned, table, safe, whole=whole)
    if needed.lost and not whole:  # what the current version should have kept for those before it
        whole, needed = True, _needed(standing, planned, table, safe, whole=True)
    if lost := needed.lost:
        told = told.keeping({one: kept for one, kept in told.kept.items() if one not in lost})
        notes = (f"not kept, for something of them is missing: {', '.join(sorted(lost))}",)
    keys = {*history.keys(told.kept)}
    here = {row.md5 for row in _rows(table)}
    gone = {key for key in standing.versions if not key.startswith(history.PICTURES)} - keys
    aside = standing.pictures | {history.md5_in(key): key for key in needed.sources}
    gone |= {key for md5, key in aside.items() if md5 in here or (whole and md5 not in needed.pictures)}
    return Keeping(
        history=history.encode(told),
        standing=standing.get(history.NAME),
        before=_without_pruned(standing, told),
        objects={
            key: data
            for key, data in planned.objects.items()
            if key in keys and not _is_there(standing.versions.get(key), data)
        },
        pictures={key: needed.pictures[history.md5_in(key)]._replace(key=key) for key in needed.sources},
        sources=needed.sources,
        gone=tuple(sorted(gone)),
        listing=standing.versions,
    ), notes


@dataclass(frozen=True)
class _Needed:
    pictures: dict[str, Row] = field(default_factory=dict)  # by MD5: those that the new version does not have safely
    sources: dict[str, str] = field(default_factory=dict)  # by where they will lie: where those lie that are not there
    lost: set[str] = field(default_factory=set)  # versions that lack something


def _needed(
    standing: Standing, planned: Planned, table: pl.DataFrame, safe: Collection[str | None], *, whole: bool
) -> _Needed:
    """What the kept versions need beside the new one; if not `whole`, what the current version alone does.

    The new one is among them where it is kept already, as when an earlier version comes back: what it lacks is sent.
    """
    needed, kept, new = _Needed(), planned.history.kept, manifest.version(table)
    is_back = new in kept and standing.history.kept.get(new) == kept[new]
    by_content, objects = standing.by_content, {*standing.versions, *planned.objects}
    for one in sorted((kept.keys() if whole else kept.keys() & {standing.version}) - (set() if is_back else {new})):
        rows = _rows(table) if one == new else _images(standing, planned, one)
        pictures = {row.md5 or "": row for row in rows or () if row.md5 not in safe}
        absent = {md5: row for md5, row in pictures.items() if not standing.keeps(row)}
        sources = {md5: key for md5, row in absent.items() if (key := by_content.get((md5, row.bytes)))}
        is_here = not whole or objects.issuperset(kept[one].keys(one))
        if one != new and (rows is None or len(sources) < len(absent) or not is_here):
            needed.lost.add(one)
        else:
            needed.pictures.update(pictures)
            needed.sources.update((history.picture_key(pictures[md5].key, md5), key) for md5, key in sources.items())
    return needed


def _without_pruned(standing: Standing, told: History) -> bytes | None:
    """The history that stands without the versions that will be kept no more; None where it has none of them."""
    now = standing.history
    stays = {one: kept for one, kept in now.kept.items() if told.kept.get(one) == kept}
    return None if len(stays) == len(now.kept) else history.encode(now.keeping(stays))


def _must_read_all(standing: Standing, told: History) -> bool:
    """Whether the pictures of every kept version have to be known, and not only those of the current one.

    That is where a version is kept no more, or as another one, and after a publish that was cut off.
    """
    before = history.decode(standing.get(history.NAME), name=history.NAME).kept
    stays = all(told.kept.get(one) == kept for one, kept in before.items())
    return standing.unfinished or not stays or (bool(told.kept) and standing.version not in told.kept)


def _images(standing: Standing, planned: Planned, one: str) -> list[Row] | None:
    """The pictures that a kept version lists; None where its manifest is missing, or another's."""
    if one == standing.version:
        return _rows(standing.table)
    key, _ = planned.history.kept[one].keys(one)
    data = planned.objects.get(key) or standing.get(key)
    with suppress(DatasetError):
        listed = manifest.decode(data or b"", name=key)
        return _rows(listed) if manifest.version(listed) == one else None
    return None


def _rows(listed: pl.DataFrame) -> list[Row]:
    return list(rows_of(listed.filter(kind="image")))


def _is_there(stored: Stored | None, data: bytes) -> bool:
    return stored is not None and stored.bytes == len(data) and stored.md5 in (None, hashlib.md5(data).hexdigest())


def pruned(standing: Standing, number: int) -> Planned:
    """The history with the `number` kept versions that were published last, and the current one in any case."""
    told = standing.history
    newest = told.newest(number)
    current = {one: kept for one, kept in told.kept.items() if one == standing.version}
    return Planned(told.keeping({**newest.kept, **current}))


@dataclass(frozen=True)
class Rewritten:
    """A kept version without images that were forgotten."""

    table: pl.DataFrame  # MANIFEST
    objects: Objects
    summary: bytes | None

    @property
    def version(self) -> str:
        """Its id now."""
        return manifest.version(self.table)


def rewritten(standing: Standing, renamed: Mapping[str, Rewritten], current: Entry | None) -> Planned:
    """The history after images were forgotten: `renamed` has what became of each kept version, by its id before.

    The current version is one of them where it is kept; `current` records the one that takes its place.
    """
    told = standing.history
    entries = tuple(_renamed(one, renamed, standing.version) for one in told.entries)
    if current is not None and (not entries or entries[-1].version != current.version):
        entries += (current,)
    kept = {one.version: one.objects.kept for one in renamed.values()}
    objects = {key: data for one in renamed.values() for key, data in one.objects.by_key(one.version).items()}
    return Planned(History(entries=entries).keeping(kept), objects)


def _renamed(one: Entry, renamed: Mapping[str, Rewritten], current: str | None) -> Entry:
    """An earlier version is called otherwise from now on; of the current one it is known that it was there."""
    ids = {old: new.version for old, new in renamed.items() if old != current}
    previous = None if one.previous is None else ids.get(one.previous, one.previous)
    if ids.get(one.version, one.version) == one.version:
        return msgspec.structs.replace(one, previous=previous)
    now = renamed[one.version]
    return entry(
        now.table,
        now.summary,
        previous=previous,
        action=one.action,
        now=one.published_at,
        was=(*one.was, one.version),
        changed=one.changes,
    )
