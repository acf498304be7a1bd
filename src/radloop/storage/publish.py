"""Publishing a dataset: what changes in the store is computed here, and the store commits it its own way."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from radloop import manifest, tree
from radloop.catalog import heldout, history, tombstones
from radloop.errors import DatasetError, StoreError
from radloop.progress import Progress, silent
from radloop.storage import Store, keeping, shrinking
from radloop.storage.change import Change, Stored
from radloop.storage.keeping import ROLLBACK, Keep, Planned, Standing
from radloop.storage.layout import (
    JOURNAL,
    MARKER,
    OURS,
    key_in,
    of_versions,
    require_quiet,
    rows_of,
    summary_continues,
    summary_lineage,
    summary_version,
    within,
)
from radloop.tables import MANIFEST
from radloop.words import several

# what a killed rclone leaves of a key in a remote that is a file system
_PARTIAL: Final = re.compile(r"(.+)\.[0-9a-f]{8}\.partial")


@dataclass(frozen=True)
class Published:
    """What a publish did, or with `dry_run` would do."""

    address: str
    version: str
    previous_version: str | None
    sent_files: int  # whose bytes travelled
    sent_bytes: int
    copied: int  # keys made of bytes that the store had, or by links
    unchanged: int
    removed: int
    kept: int = 0  # versions that can be brought back
    notes: tuple[str, ...] = ()
    done: bool = True  # False with `dry_run`


@dataclass(frozen=True)
class Pruned:
    """What pruning did, or with `dry_run` would do."""

    address: str
    kept: tuple[str, ...]  # versions by id
    pruned: tuple[str, ...]
    removed: int  # objects
    removed_bytes: int
    done: bool = True  # False with `dry_run`


class _Held(NamedTuple):
    """What a store holds of a unit before a publish."""

    manifest_file: bytes | None
    journal: bytes | None
    last: pl.DataFrame  # what its manifest lists
    owed: pl.DataFrame  # and what the journal of a publish that did not end lists
    listing: Mapping[str, Stored]
    versions: Mapping[str, Stored]  # the same of versions that are kept
    marked: bool
    unfinished: bool
    notes: tuple[str, ...]

    def standing(self, store: Store, prefix: str) -> Standing:
        """What earlier versions depend on."""
        return Standing(
            get=cache(lambda key: store.get(key_in(prefix, key))),
            table=self.last,
            listing=self.listing,
            versions=self.versions,
            unfinished=self.unfinished,
        )


def publish(
    root: Path,
    store: Store,
    *,
    prefix: str = manifest.UNIT,
    keep_old: bool = False,
    allow_shrink: bool = False,
    purged: frozenset[str] = frozenset(),
    versions: Keep | Planned | None = None,
    after: str | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Published:
    """Make the unit `prefix` of `store` the dataset in the folder `root`, and verify it by size and MD5.

    Sends only what the store does not hold; of each distinct picture one copy, unless to send more is quicker. Raises
    DatasetError where `root` is not what its manifest says, StoreError where the store refuses or fails; the same
    command then goes on from there.
    Raises StoreError, too, where a dataset has over a tenth less than the store's, unless `allow_shrink`. `purged` keys
    go, although no manifest lists them. `versions` says how the dataset's history goes on; None leaves it as it is.
    `after` is the MD5 of the manifest that this one was made to follow ("": none):
    raises StoreError where the store holds another by now.
    """
    store.admit(root, prefix)
    manifest_file, table = _read_unit(root)
    if not dry_run:
        store.recover(prefix)
    held = _look(store, prefix)
    if after is not None:
        _refuse_overtaken(manifest_file, held, after, f"{store.address}/{prefix}")
    if not (isinstance(versions, Keep) and versions.action == ROLLBACK):
        _refuse_another(root, table, held, store.address)
        if isinstance(versions, Keep):
            _refuse_forgetful(root, table, held, store, prefix)
    if not allow_shrink:
        _refuse_shrunken(root, table, held, store, prefix)
    change = _compare(root, prefix, manifest_file, table, held, keep_old=keep_old, purged=purged)
    kept: tuple[str, ...] = ()
    if versions is not None:
        standing = held.standing(store, prefix)
        planned = keeping.grown(standing, root, table, versions) if isinstance(versions, Keep) else versions
        kept, change, notes = _keep(change, standing, planned, table)
        held = held._replace(notes=(*held.notes, *notes))

    transfers = store.foresee(change) if dry_run else store.commit(change, progress=progress)
    return Published(
        address=f"{store.address}/{prefix}",
        version=manifest.version(table),
        previous_version=manifest.version(held.last) if len(held.last) else None,
        sent_files=transfers.sent_files,
        sent_bytes=transfers.sent_bytes,
        copied=transfers.copied,
        unchanged=len(change.unchanged),
        removed=len(change.gone),
        kept=len(kept),
        notes=(*held.notes, *_notes(change)),
        done=not dry_run,
    )


def prune(
    store: Store, number: int, *, prefix: str = manifest.UNIT, dry_run: bool = False, progress: Progress = silent
) -> Pruned:
    """Keep the `number` versions that were published last, the current one in any case; the others leave nothing.

    It is a publish that changes no file of the dataset. Raises StoreError while one is unfinished.
    """
    require_quiet(store, prefix)
    held = _look(store, prefix)
    if held.manifest_file is None or held.last.is_empty():
        raise StoreError(f"{store.address} holds no {manifest.NAME}: no version was published there.")
    standing = held.standing(store, prefix)
    change = _compare(Path(), prefix, held.manifest_file, held.last, held, keep_old=False, purged=frozenset())
    if change.new or change.changed:
        raise StoreError(f"{store.address}: the current version is not whole. Run `radloop load` again, then prune.")
    kept, change, _ = _keep(change, standing, keeping.pruned(standing, number), held.last)
    if not dry_run:
        store.commit(change, progress=progress)
    return Pruned(
        address=f"{store.address}/{prefix}",
        kept=kept,
        pruned=tuple(one for one in standing.history.kept if one not in kept),
        removed=len(change.keeping.gone),
        removed_bytes=sum(held.versions[key].bytes for key in change.keeping.gone if key in held.versions),
        done=not dry_run,
    )


def digest(manifest_file: bytes | None) -> str:
    """How `after` names a manifest, or that there is none."""
    return hashlib.md5(manifest_file).hexdigest() if manifest_file else ""


def _refuse_overtaken(manifest_file: bytes, held: _Held, after: str, place: str) -> None:
    """Raise StoreError where the store holds neither this manifest nor the one that it was made to follow."""
    standing, own = digest(held.manifest_file), digest(manifest_file)
    if standing not in (after, own):
        raise StoreError(
            f"{place}: somebody else has published there in the meantime. Nothing was written; run the same command "
            "again, which goes on from that."
        )


def _read_unit(root: Path) -> tuple[bytes, pl.DataFrame]:
    try:
        data = (root / manifest.NAME).read_bytes()
    except FileNotFoundError as missing:
        raise DatasetError(
            f"{root} holds no {manifest.NAME}, so nothing says what to publish. Run `radloop transform`."
        ) from missing
    table = manifest.decode(data, name=str(root / manifest.NAME))
    summary = root / tree.SUMMARY
    version = summary_version(summary.read_bytes()) if summary.exists() else None
    if version not in (None, manifest.version(table)):
        raise DatasetError(
            f"{root} is a part of version {version} (pulled with --splits), and publishing it would remove the rest. "
            "Pull all of it first."
        )
    return data, table


def _refuse_another(root: Path, table: pl.DataFrame, held: _Held, address: str) -> None:
    """Raise StoreError where the store holds another version than the one that this one was built to follow."""
    summary = root / tree.SUMMARY
    continues = summary_continues(summary.read_bytes()) if summary.exists() else None
    if continues is None or held.last.is_empty():
        return
    standing = manifest.version(held.last)
    if standing not in (manifest.version(table), *continues):
        raise StoreError(
            f"{address} holds version {standing}, and {root} follows {continues[0] or 'none'}: what "
            "was held out there could train here. Run `radloop transform` with this --store, which continues its "
            "version, or begin anew with --fresh."
        )


def _refuse_forgetful(root: Path, table: pl.DataFrame, held: _Held, store: Store, prefix: str) -> None:
    """Raise StoreError where the store remembers images of this lineage as held out that the dataset does not."""
    md5s = [listed.filter(key=tree.HELDOUT)["md5"].first() for listed in (held.last, table)]
    if None in md5s or md5s[0] == md5s[1]:
        return
    own, here, stones = (
        path.read_bytes() if (path := root / key).is_file() else None
        for key in (tree.HELDOUT, tree.SUMMARY, tree.TOMBSTONES)
    )
    previous, replaces = summary_continues(here or b"") or (None, None)
    is_fresh = previous is None and replaces is not None
    if own is None or is_fresh:
        return
    known, told = (store.get(key_in(prefix, key)) for key in (tree.HELDOUT, tree.SUMMARY))
    if known is None or hashlib.md5(known).hexdigest() != md5s[0]:
        return
    if summary_lineage(here or b"") != summary_lineage(told or b""):
        return
    memory = tombstones.remain(
        heldout.decode(known, name=f"{store.address}: {tree.HELDOUT}"),
        tombstones.decode(stones, name=str(root / tree.TOMBSTONES)),
    )
    now = heldout.decode(own, name=str(root / tree.HELDOUT))
    if lost := memory.join(now, on=["image_id", "md5"], how="anti").height:
        raise StoreError(
            f"{store.address} remembers {several(lost, 'image')} as held out that {root} does not know of, so that "
            "what was measured on could train: the store was rolled back after this was pulled or built. Run `radloop "
            "pull`, which brings the version as it is now, or `radloop rollback --data` to make another one current."
        )


def _refuse_shrunken(root: Path, table: pl.DataFrame, held: _Held, store: Store, prefix: str) -> None:
    summary = root / tree.SUMMARY
    if prefix == manifest.UNIT and summary.exists() and manifest.version(held.last) != manifest.version(table):
        new, before = shrinking.size(table, summary.read_bytes()), shrinking.held(store, held.last)
        shrinking.refuse(new, before, address=store.address)


def _look(store: Store, prefix: str) -> _Held:
    held, journal, marker = (store.get(key_in(prefix, name)) for name in (manifest.NAME, JOURNAL, MARKER))
    notes: list[str] = []
    last = _known(held, f"{store.address}: {manifest.NAME}", notes)
    owed = pl.concat([last, _known(journal, f"{store.address}: {JOURNAL}", notes)]).unique("key", keep="first")
    listing = store.list(prefix)
    return _Held(
        manifest_file=held,
        journal=journal,
        last=last,
        owed=owed,
        listing=within(listing),
        versions=of_versions(listing),
        marked=marker is not None,
        unfinished=journal is not None or marker is not None,
        notes=tuple(notes),
    )


def _known(data: bytes | None, name: str, notes: list[str]) -> pl.DataFrame:
    """The rows of a manifest in the store; none where it is missing or damaged: then nothing is removed for it."""
    if data is not None:
        try:
            return manifest.decode(data, name=name)
        except DatasetError as damaged:
            notes.append(f"{damaged} It is replaced; what it listed is left alone.")
    return pl.DataFrame(schema=MANIFEST)


def _compare(
    root: Path,
    prefix: str,
    manifest_file: bytes,
    table: pl.DataFrame,
    held: _Held,
    *,
    keep_old: bool,
    purged: frozenset[str],
) -> Change:
    rows = {row.key: row for row in rows_of(table)}
    # while the marker stands, the keys that were to change may hold either version
    promised = {} if held.marked else dict(held.last.select("key", "md5").iter_rows())
    new, changed, unchanged, unverified = [], [], [], 0
    for key, row in rows.items():
        stored = held.listing.get(key)
        if stored is None:
            new.append(key)
        elif stored.bytes == row.bytes and (stored.md5 or promised.get(key)) == row.md5:
            # a store that keeps no MD5s is believed what its manifest promised
            unchanged.append(key)
            unverified += stored.md5 is None
        else:
            changed.append(key)
    owed = set(held.owed["key"].to_list())
    old = owed - rows.keys()
    cut = set(_cut_off(held.listing, OURS | owed | rows.keys())) | ((purged - rows.keys()) & held.listing.keys())
    return Change(
        root=root,
        prefix=prefix,
        rows=rows,
        manifest_file=manifest_file,
        standing=held.manifest_file,
        listing=held.listing,
        journal=pl.concat([held.owed, table.filter(pl.col("key").is_in(new))]).unique("key", keep="last"),
        new=tuple(new),
        changed=tuple(changed),
        unchanged=tuple(unchanged),
        gone=tuple(sorted(cut if keep_old else cut | (old & held.listing.keys()))),
        unlisted=tuple(sorted(held.listing.keys() - rows.keys() - owed - cut)),
        unverified=unverified,
        unfinished=held.unfinished,
        owing=held.journal,
    )


def _keep(
    change: Change, standing: Standing, planned: Planned, table: pl.DataFrame
) -> tuple[tuple[str, ...], Change, tuple[str, ...]]:
    """The versions that are kept, the change with what that takes, and what is to be said of it."""
    aside, notes = keeping.plan(standing, planned, table, change.changed)
    told = history.decode(aside.history, name=history.NAME)
    if standing.version and not standing.history.entries:
        notes += (f"{standing.version}, which the store held, has no history and is not kept",)
    return tuple(told.kept), replace(change, keeping=aside), notes


def _cut_off(listing: Iterable[str], known: frozenset[str]) -> Iterable[str]:
    """The parts of `known` keys that a killed rclone left."""
    return (key for key in listing if (part := _PARTIAL.fullmatch(key)) and part[1] in known)


def _notes(change: Change) -> list[str]:
    notes = []
    if change.unfinished:
        notes.append("an earlier publish did not end; this one took over from it")
    if change.unlisted:
        notes.append(f"{len(change.unlisted)} objects that no manifest lists were left alone")
    if change.unverified:
        notes.append(f"{change.unverified} objects are unverified: the store keeps no MD5, sizes were compared")
    return notes
