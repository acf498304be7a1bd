"""Bringing a published dataset to this machine: each distinct content once, verified by MD5 and SHA-256, kept by it."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from radloop import files, manifest, tree
from radloop.catalog import incoming
from radloop.errors import DatasetError, StoreError
from radloop.progress import Progress, silent
from radloop.storage import Store, versions
from radloop.storage.change import Row
from radloop.storage.digests import Digests
from radloop.storage.folder import explained, replace_unit
from radloop.storage.layout import key_in, listed, read_manifest, require_quiet, rows_of
from radloop.storage.versions import Content
from radloop.tables import Split
from radloop.words import INCOMING, Part, several


@dataclass(frozen=True)
class Pulled:
    """What a pull brought, or with `dry_run` would bring."""

    version: str | None  # None where the store has no manifest
    files: int
    received_files: int  # whose bytes travelled: each distinct content once
    received_bytes: int
    notes: tuple[str, ...] = ()
    done: bool = True  # False with `dry_run`


def pull_parts(
    store: Store,
    root: Path,
    *,
    prefix: str = manifest.UNIT,
    parts: Sequence[Part] | None = None,
    version: str | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Pulled:
    """As `pull`; where `parts` name it, also what came in without labels, into its folder in `root`.

    version: the beginning of the id of a kept version, in place of the current one. Raises UsageError where none is
    called so.
    """
    bring = partial(pull, store, dry_run=dry_run, progress=progress)
    splits = None if parts is None else [part for part in parts if part != INCOMING]
    earlier, notes = _earlier(store, prefix, version)
    done = [bring(root, prefix=prefix, splits=splits, earlier=earlier)] if splits != [] else []
    if parts is not None and INCOMING in parts:
        unit = key_in(prefix, manifest.INCOMING)
        _require_published(store, unit, root)
        done.append(bring(root / manifest.INCOMING, prefix=unit))
    return replace(
        done[0],
        files=sum(part.files for part in done),
        received_files=sum(part.received_files for part in done),
        received_bytes=sum(part.received_bytes for part in done),
        notes=(*notes, *(note for part in done for note in part.notes)),
    )


def _earlier(store: Store, prefix: str, asked: str | None) -> tuple[Content | None, tuple[str, ...]]:
    """The kept version that is asked for, None where it is the current one; and what is to be said of it."""
    if asked is None:
        return None, ()
    current = read_manifest(store, prefix=prefix)
    if current is None:
        raise StoreError(f"{store.address} has no {manifest.NAME}, and no version but what lies there.")
    entry = versions.find(store, prefix, asked, current)
    if entry is None:
        return None, ()
    told = f"version {asked} is {entry.version} since images in it were forgotten"
    notes = () if entry.version.startswith(asked) else (told,)
    if entry.version == manifest.version(current):
        return None, notes
    standing = f"{manifest.version(current)} is the current version: `radloop rollback --data` makes this one current"
    return versions.content(store, prefix, entry.version, current), (*notes, standing)


def _require_published(store: Store, unit: str, root: Path) -> None:
    """Raise DatasetError where pictures came in here that the store lacks: a pull would take them away."""
    listed = read_manifest(store, prefix=unit)
    here = incoming.read(root).select("image_id", "md5")
    alone = here if listed is None else here.join(listed, on=["image_id", "md5"], how="anti")
    if alone.height:
        raise DatasetError(
            f"{several(alone.height, 'image')} came in to {root / manifest.INCOMING} and not to {store.address}, "
            f"such as {alone['image_id'][0]}: run `radloop ingest` with this --store, which brings both together."
        )


def pull(
    store: Store,
    root: Path,
    *,
    prefix: str = manifest.UNIT,
    splits: Sequence[Split] | None = None,
    earlier: Content | None = None,
    dry_run: bool = False,
    durable: bool = False,
    progress: Progress = silent,
) -> Pulled:
    """Make the folder `root` the dataset under `prefix`, or its `splits` and every file that belongs to no split.

    earlier: a kept version, in place of the current one.

    Each distinct content travels once and is verified by its sums; what `root` has already does not. The old folder or
    the new, by one rename (`durable`: after a loss of power, too); files in it that no manifest lists stay. With
    `splits` the manifest lists what was pulled. Killed, it goes on where it was. Raises StoreError while a publish is
    in progress, and where a data yaml has a `download` key, whose text a trainer would run.
    """
    held = require_quiet(store, prefix) if earlier is None else manifest.encode(earlier.table)
    whole = None if held is None else manifest.decode(held, name=f"{store.address}/{key_in(prefix, manifest.NAME)}")
    table, notes = _wanted(store, prefix, whole, splits)
    rows = list(rows_of(table))
    cache = root.parent / f".{root.name}.pull"
    with explained(str(root)):
        if not dry_run:
            files.recover_tree(root)
        old = _local(root)
        reused = _sound_files(root, old, {row.md5: row for row in rows})
        travelling = [row for row in rows if row.md5 not in reused]
        packed = {} if earlier is None else earlier.documents
        received = {_content(row): row.bytes for row in travelling if row.key not in packed}
        pulled = Pulled(
            version=None if whole is None else manifest.version(whole),
            files=len(rows),
            received_files=len(received) + (2 if packed else 0),
            received_bytes=sum(received.values()) + (0 if earlier is None else earlier.size_bytes),
            notes=notes,
            done=not dry_run,
        )
        yamls = [row.key for row in rows if row.key.endswith((".yaml", ".yml"))]
        if dry_run:
            _require_harmless(store, {key: packed.get(key) or store.get(key_in(prefix, key)) for key in yamls})
            return pulled
        bring = fetch if earlier is None else partial(_unpack, earlier)
        placed = bring(store, travelling, cache, prefix=prefix, progress=progress)
        placed |= {row.key: reused[row.md5] for row in rows if row.md5 in reused}
        _require_harmless(store, {key: placed[key].read_bytes() for key in yamls})
        manifest_file = held if whole is None or splits is None else manifest.encode(table)
        gone = set() if old is None else set(old["key"].to_list()) - placed.keys()
        switch = partial(replace_unit, root, root.parent / f".{root.name}.new", durable=durable, progress=progress)
        switch(placed, manifest_file=manifest_file, gone=gone)
        shutil.rmtree(cache, ignore_errors=True)
    return pulled


def _wanted(
    store: Store, prefix: str, whole: pl.DataFrame | None, splits: Sequence[Split] | None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """What of a version is brought; where it has no manifest, of what the store lists. And what is to be said of it."""
    table, notes = whole, tuple[str, ...]()
    if table is None:
        table = listed(store, prefix=prefix)
        notes += (f"unverified: {store.address} has no {manifest.NAME}, so its listing was taken at its word",)
    if splits is not None:
        table = table.filter(pl.col("split").is_null() | pl.col("split").is_in(splits))
        notes += (f"only {', '.join(splits)}: this folder cannot be published again",)
    return table, notes


def _unpack(
    earlier: Content, store: Store, rows: Iterable[Row], cache: Path, *, prefix: str, progress: Progress
) -> dict[str, Path]:
    """As `fetch`, of a kept version: its documents are here, its pictures lie where it says."""
    asked = {row.key: row._replace(key=earlier.places.get(row.key, row.key)) for row in rows}
    for key, row in asked.items():
        if key in earlier.documents:
            path = cache / _content(row)[:2] / _content(row)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(earlier.documents[key])
    found = fetch(store, asked.values(), cache, prefix=prefix, progress=progress)
    return {key: found[row.key] for key, row in asked.items()}


def _require_harmless(store: Store, yamls: Mapping[str, bytes | None]) -> None:
    """Raise StoreError for a data yaml with a `download` key: radloop writes none, and a trainer runs its text."""
    for key, data in yamls.items():
        try:
            content = tree.read_data_yaml(data or b"")
        except Exception:  # noqa: BLE001, S112 - PyYAML raises anything; a trainer reads nothing from it, and runs nothing
            continue
        if isinstance(content, dict) and content.get("download"):
            raise StoreError(
                f"{store.address}: {key} has a `download` key, whose text the trainer runs as a program, and radloop "
                "writes none: nothing was pulled. Find out who put it there, remove it, or publish the dataset anew "
                "with `radloop load`."
            )


def _local(root: Path) -> pl.DataFrame | None:
    try:
        return manifest.read(root)
    except DatasetError:  # damaged: it claims nothing, so nothing is removed for it
        return None


def _sound_files(root: Path, old: pl.DataFrame | None, wanted: Mapping[str | None, Row]) -> dict[str | None, Path]:
    """{md5: a file in `root` that has what the row of that MD5 says}, as far as the old manifest leads there."""
    if old is None:
        return {}
    candidates = [root / row.key for row in rows_of(old) if row.md5 in wanted and (root / row.key).is_file()]
    found = Digests().both(candidates).items()
    return {sums.md5: path for path, sums in found if sums.md5 in wanted and wanted[sums.md5].agrees(sums)}


def fetch(
    store: Store,
    rows: Iterable[Row],
    cache: Path,
    *,
    prefix: str = manifest.UNIT,
    progress: Progress = silent,
) -> dict[str, Path]:
    """Bring the bytes of `rows` to this machine: {key: path}, each distinct content once, verified by MD5.

    `cache` keeps them by MD5 for the next call and for a next try; a folder store's files are used where they lie.
    Raises StoreError for what is missing or not what the manifest says.
    """
    rows = list(rows)
    with explained(store.address):
        have = _fetch_contents(store, rows, cache, prefix, progress)
    return {row.key: have[_content(row)] for row in rows}


def _fetch_contents(store: Store, rows: Sequence[Row], cache: Path, prefix: str, progress: Progress) -> dict[str, Path]:
    firsts = {_content(row): row for row in reversed(rows)}  # any key will do, the first is the same every time
    cache = cache.absolute()  # as the store tells what has come in
    incoming = cache / "incoming"
    have = _adopt(firsts, {name: cache / name[:2] / name for name in firsts})
    arrived = {name: incoming / row.key for name, row in firsts.items() if name not in have}
    have |= _keep(cache, incoming, _adopt(firsts, arrived))
    shutil.rmtree(incoming, ignore_errors=True)  # what is damaged there would be taken for what was asked for
    lacking = {name: row for name, row in firsts.items() if name not in have}
    if lacking:
        paths = store.fetch(prefix, [row.key for row in lacking.values()], incoming, progress=progress)
        found = {name: paths[row.key] for name, row in lacking.items() if row.key in paths}
        have |= _keep(cache, incoming, _adopt(lacking, found, progress))
        shutil.rmtree(incoming, ignore_errors=True)
    wrong = [row for name, row in firsts.items() if name not in have]
    if wrong:
        require_quiet(store, prefix)
        raise StoreError(
            f"{store.address}: {len(wrong)} objects are missing or not what the manifest says, first "
            f"{key_in(prefix, wrong[0].key)}. `radloop check {store.address}` lists them, `radloop load` repairs them."
        )
    return have


def _content(row: Row) -> str:
    return row.md5 or "unverified-" + hashlib.md5(row.key.encode()).hexdigest()


def _adopt(rows: Mapping[str, Row], paths: Mapping[str, Path], progress: Progress = silent) -> dict[str, Path]:
    """Those of `paths` (by content) that hold what their row says; for a row without MD5, as many bytes."""
    present = {name: path for name, path in paths.items() if path.is_file()}
    sums = Digests().both(present.values(), progress=progress)
    return {
        name: path
        for name, path in present.items()
        if (rows[name].agrees(sums[path]) if rows[name].md5 else rows[name].bytes == path.stat().st_size)
    }


def _keep(cache: Path, incoming: Path, sound: Mapping[str, Path]) -> dict[str, Path]:
    """Move what has come in to its place by content; what lies elsewhere stays there."""
    kept = {}
    for name, path in sound.items():
        kept[name] = path
        if path.is_relative_to(incoming):
            kept[name] = cache / name[:2] / name
            kept[name].parent.mkdir(parents=True, exist_ok=True)
            path.replace(kept[name])
    return kept
