"""The versions that the store keeps, without the images that are forgotten: each becomes a version of its own."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import polars as pl

from radloop import files, manifest, tree
from radloop.catalog import history
from radloop.dataset import forgetting
from radloop.dataset.forgetting import Gone, Remainder
from radloop.errors import StoreError
from radloop.storage import Store, keeping, layout, versions
from radloop.storage.keeping import Planned, Rewritten, Standing

FORGET = "forget"  # an action


def without(
    store: Store, listed: pl.DataFrame, gone: Gone, stones: pl.DataFrame, remainder: Remainder | None, *, now: datetime
) -> Planned | None:
    """The history without them; None where none of the kept versions changes.

    listed, remainder: of the current version. One that is not whole cannot be rewritten, and is kept no more.
    """
    told = versions.read(store, manifest.UNIT)
    current, renamed, succeeded = manifest.version(listed), dict[str, Rewritten](), dict[str, str]()
    changed = False
    for one in dict.fromkeys(entry.version for entry in told.entries if entry.kept):
        try:
            content = versions.content(store, manifest.UNIT, one, listed)
        except StoreError:
            changed = True
            continue
        left = (
            remainder
            if one == current
            else forgetting.of_dataset(content.documents.get, content.table, gone, stones, succeeded=succeeded)
        )
        changed |= left is not None
        renamed[one] = _rewritten(content.table, content.documents, left)
        succeeded[one] = renamed[one].version
    if not changed and (remainder is None or not told.entries):
        return None
    summary = None if remainder is None else remainder.documents.get(tree.SUMMARY)
    entry = keeping.entry(
        listed if remainder is None else remainder.manifest,
        summary or store.get(layout.key_in(manifest.UNIT, tree.SUMMARY)),
        previous=current,
        action=FORGET,
        now=now,
        was=(current,),
    )
    standing = Standing(lambda key: store.get(layout.key_in(manifest.UNIT, key)), listed, {}, {})
    return keeping.rewritten(standing, renamed, entry)


def _rewritten(table: pl.DataFrame, documents: Mapping[str, bytes], left: Remainder | None) -> Rewritten:
    after = table if left is None else left.manifest
    other = {} if left is None else left.documents
    keys = after.filter(pl.col("kind") != "image")["key"]
    packed = {key: other.get(key, documents.get(key, b"")) for key in keys}
    return Rewritten(after, history.objects(after, packed), packed.get(tree.SUMMARY))


def write(planned: Planned, folder: Path) -> None:
    """Lay it ready in the folder of what is prepared of the dataset."""
    for key, data in {**planned.objects, history.NAME: history.encode(planned.history)}.items():
        files.write_atomic(folder / key, data)


def read(folder: Path) -> Planned | None:
    """What `write` left there; None where it left nothing."""
    path = folder / history.NAME
    if not path.is_file():
        return None
    found = (one.relative_to(folder).as_posix() for one in (folder / manifest.VERSIONS).rglob("*.parquet"))
    objects = {key: (folder / key).read_bytes() for key in found if history.is_ours(key)}
    return Planned(history.decode(path.read_bytes(), name=str(path)), objects)
