"""What was forgotten after a backup was made, and must not come back with it."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from radloop import files, manifest, storage, tree
from radloop.catalog import tombstones
from radloop.errors import StoreError
from radloop.options import Forget
from radloop.pipelines import forgetting
from radloop.progress import Progress
from radloop.storage import backups
from radloop.storage.backups import Head
from radloop.storage.vault import Vault

_REASON = "restored after it was forgotten"


def tombstones_of_later(
    kept_in: Vault, heads: list[Head], head: Head, work: Path, identities: list[Any]
) -> pl.DataFrame:
    """TOMBSTONES in the newest backup, where another one is restored."""
    newest = heads[-1]
    if newest.id == head.id:
        return tombstones.NOTHING
    index = backups.read_index(kept_in, newest, work, identities)
    found = [tombstones.NOTHING]
    for one in index.entries:
        if one.path.endswith(tree.TOMBSTONES):
            there = kept_in.fetch([one.place.part], work / "fetched")
            if one.place.part not in there:
                raise StoreError(f"{one.place.part} is missing, and with it what was forgotten since")
            with backups.open_part(there[one.place.part], one.place.part, work, identities) as part:
                file = part.extractfile(one.place.member)
                found.append(tombstones.decode(file.read() if file else None, name=one.path))
    return tombstones.union(*found)


def forget(out: Path, store: str | None, stones: pl.DataFrame, progress: Progress) -> int:
    """Take away from `out` what has a tombstone in the store, or among `stones`; how many images."""
    told = [stones, tombstones.read(out)]
    if store is not None:
        with closing(storage.open_store(store)) as opened:
            data = opened.get(f"{manifest.UNIT}/{tree.TOMBSTONES}")
        told.append(tombstones.decode(data, name=f"{store}/{tree.TOMBSTONES}"))
    known = tombstones.union(*told)
    images = sorted(tombstones.forgotten(known, set(_images(out))))
    if images:
        files.write_atomic(out / tree.TOMBSTONES, tombstones.encode(known))
    for image_id in images:  # also from a store that was restored with OUT; the one in use has none of them
        asked = Forget(asked=image_id, out=out, store=str(out / "store"), reason=_REASON)
        forgetting.forget(asked, progress=progress)
    return len(images)


def _images(out: Path) -> Iterator[str]:
    """The ids of all images that OUT knows of."""
    for unit in (manifest.UNIT, manifest.INCOMING_UNIT, manifest.RETRAIN_UNIT):
        listed = manifest.read(out / unit)
        if listed is not None:
            yield from listed["image_id"].drop_nulls().unique()
    for name in ("feedback", "reviews"):
        for path in (out / name).rglob("*.json"):
            try:
                told = json.loads(path.read_bytes())
                yield str(told["image_id"])
            except (ValueError, LookupError, TypeError, RecursionError):
                continue  # refused wherever it is read
