"""The versions that a store keeps: listed, compared, brought back, pruned."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from radloop import files, formats, manifest, storage, tree
from radloop.catalog import changes, heldout, history, tombstones, version
from radloop.catalog.changes import Changes
from radloop.dataset import plan
from radloop.errors import DatasetError, StoreError, UsageError
from radloop.options import Prune, Rollback, Versions
from radloop.pipelines import deeds
from radloop.progress import Progress, silent
from radloop.storage import Store, keeping, layout, publish, pull
from radloop.storage import versions as kept
from radloop.storage.keeping import ROLLBACK, Keep
from radloop.storage.publish import Pruned, Published
from radloop.storage.pull import Pulled
from radloop.storage.versions import Content

_UNIT = manifest.UNIT


@dataclass(frozen=True)
class Listed:
    """The versions that a store has published."""

    address: str
    current: str
    history: pl.DataFrame  # HISTORY, by time
    kept_files: int  # that lie there for earlier versions
    kept_bytes: int
    compared: tuple[str, str] | None = None
    changes: Changes | None = None  # from the first of `compared` to the second


@dataclass(frozen=True)
class RolledBack:
    """An earlier version that is the current one again."""

    version: str
    organized: Path
    pulled: Pulled | None  # None where OUT had it already
    published: Published | None  # None with --dry-run


def versions(options: Versions) -> Listed:
    """What was published to the store, by time; with --compare also how two versions differ.

    Raises StoreError while a publish is in progress, UsageError for a version that is not kept.
    """
    with closing(storage.open_store(options.store_address)) as store:
        prefix = layout.resolve_prefix(store)
        table = _current(store, prefix)
        there = store.list(layout.key_in(prefix, manifest.VERSIONS))
        ids, differ = None, None
        if options.compare:
            before, after = _asked(store, prefix, options.compare, table)
            ids = (before, after)
            differ = changes.of(*(_annotations(store, prefix, one, table) for one in ids))
        return Listed(
            address=f"{store.address}/{prefix}".rstrip("/"),
            current=manifest.version(table),
            history=history.table(kept.read(store, prefix)),
            kept_files=len(there),
            kept_bytes=sum(one.bytes for one in there.values()),
            compared=ids,
            changes=differ,
        )


def _current(store: Store, prefix: str) -> pl.DataFrame:
    table = layout.read_manifest(store, prefix=prefix)
    if table is None:
        raise StoreError(f"{store.address} holds no {manifest.NAME}: no version was published there.")
    return table


def _asked(store: Store, prefix: str, asked: Iterable[str], table: pl.DataFrame) -> tuple[str, str]:
    """The ids of two versions; the second is the current one where one alone is named."""
    found = [kept.find(store, prefix, one, table) for one in asked]
    ids = [manifest.version(table) if entry is None else entry.version for entry in found]
    if len(ids) > 2:
        raise UsageError(f"--compare takes one version or two, not {len(ids)}.")
    return ids[0], ids[1] if len(ids) > 1 else manifest.version(table)


def _annotations(store: Store, prefix: str, one: str, table: pl.DataFrame) -> pl.DataFrame:
    if one == manifest.version(table):
        return keeping.annotations(lambda key: store.get(layout.key_in(prefix, key)))
    return keeping.annotations(kept.content(store, prefix, one, table).documents.get)


def rollback(options: Rollback, *, now: datetime | None = None, progress: Progress = silent) -> RolledBack:
    """Make a kept version the current one, in OUT and in the store: its images, labels and yaml byte for byte.

    What was ever held out and what was forgotten stay as they are known now. Killed, the same command completes it.
    Raises UsageError where no version is called so, StoreError where it is not whole.
    """
    if options.data is None:
        raise UsageError(
            "rollback needs to know what to. Give --data (`radloop versions` lists them) or --model previous."
        )
    into, writing, durable = options.out / _UNIT, not options.dry_run, options.durable
    with (
        files.locked(options.out, writing=writing, durable=durable),
        closing(storage.open_store(options.store_address, durable=durable)) as store,
    ):
        store.preflight()
        here = manifest.read(into)
        taken_up = store.get(f"{_UNIT}/{layout.MARKER}") is not None  # by a rollback that was cut off, perhaps
        brought, after = None, None
        if not (taken_up and here is not None and manifest.version(here).startswith(options.data)):
            after = publish.digest(store.get(f"{_UNIT}/{manifest.NAME}"))
            content = _as_of_now(store, options.data)
            brought = pull.pull(
                store, into, earlier=content, dry_run=options.dry_run, durable=durable, progress=progress
            )
            here = content.table if content else _current(store, _UNIT)
        keep = Keep(now or datetime.now(UTC), len(kept.read(store, _UNIT).kept) + 1, ROLLBACK)
        done = None
        new, current = manifest.version(here), deeds.version_of(into)
        with deeds.deed(
            options.out, "rollback", _UNIT, current=current, new=new, writing=writing, durable=durable
        ) as deed:
            if writing:
                done = publish.publish(into, store, allow_shrink=True, versions=keep, after=after, progress=progress)
                deed.old = done.previous_version
                note(store, _UNIT, into, durable=durable)
    return RolledBack(manifest.version(here), into, brought, done)


def _as_of_now(store: Store, asked: str) -> Content | None:
    """The kept version with the memory and the tombstones of now; None where it is the current one."""
    table = _current(store, _UNIT)
    entry = kept.find(store, _UNIT, asked, table)
    if entry is None or entry.version == manifest.version(table):
        return None
    content = kept.content(store, _UNIT, entry.version, table)
    told = version.summary_of(content.documents.get(tree.SUMMARY), name=entry.version)
    annotations = keeping.annotations(content.documents.get)
    stones = tombstones.decode(store.get(f"{_UNIT}/{tree.TOMBSTONES}"), name=store.address)
    memory = tombstones.remain(_memory(store, content, told.get("lineage"), table), stones)
    documents = {tree.HELDOUT: heldout.encode(memory)}
    if stones.height:
        documents[tree.TOMBSTONES] = tombstones.encode(stones)
        documents[tree.SUMMARY] = tree.json_file(formats.numbered(told | tombstones.counted(stones)))
    wrong = [
        *heldout.verify(documents[tree.HELDOUT], annotations),
        *(f"image {one} was forgotten" for one in sorted(tombstones.forgotten(stones, annotations["image_id"]))),
    ]
    if wrong:
        raise DatasetError(f"version {entry.version} cannot be the current one again: {wrong[0]}.")
    return content.with_documents(documents, plan.listed(documents))


def _memory(store: Store, content: Content, lineage: object, table: pl.DataFrame) -> pl.DataFrame:
    """HELDOUT as the last version of this lineage knows it: a memory only grows."""
    newest = [entry.version for entry in reversed(kept.read(store, _UNIT).entries) if entry.kept]
    current = manifest.version(table)
    for one in dict.fromkeys([current, *newest]):
        if one == current:
            documents: Mapping[str, bytes] = _documents(store)
        else:
            documents = kept.content(store, _UNIT, one, table).documents
        told = version.summary_of(documents.get(tree.SUMMARY), name=one)
        if told.get("lineage") == lineage and tree.HELDOUT in documents:
            return heldout.decode(documents[tree.HELDOUT], name=tree.HELDOUT)
    return heldout.of_annotations(keeping.annotations(content.documents.get))


def _documents(store: Store) -> dict[str, bytes]:
    found = {key: store.get(f"{_UNIT}/{key}") for key in (tree.SUMMARY, tree.HELDOUT)}
    return {key: data for key, data in found.items() if data is not None}


def prune(options: Prune, *, progress: Progress = silent) -> Pruned:
    """Keep the newest versions alone; pictures that none of them lists go. Raises StoreError during a publish."""
    with (
        files.locked(options.out, writing=not options.dry_run, durable=options.durable),
        closing(storage.open_store(options.store_address, durable=options.durable)) as store,
    ):
        store.preflight()
        with deeds.deed(
            options.out,
            "prune",
            _UNIT,
            current=lambda: None,
            new=options.keep,
            writing=not options.dry_run,
            durable=options.durable,
        ) as deed:
            done = publish.prune(store, options.keep, dry_run=options.dry_run, progress=progress)
            deed.new = f"keep {options.keep}: {', '.join(done.pruned) or 'none'} pruned"
        if not options.dry_run:
            note(store, _UNIT, options.out / _UNIT, durable=options.durable)
        return done


def note(store: Store, prefix: str, root: Path, *, durable: bool = False) -> None:
    """Copy the store's history beside the dataset in the folder `root`, where pages find it."""
    if not (root / manifest.NAME).is_file():
        return
    told, path = kept.read(store, prefix), root / history.NAME
    if told.entries:
        files.write_atomic(path, history.copied(told), durable=durable)
    else:
        path.unlink(missing_ok=True)
