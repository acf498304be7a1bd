"""The versions that a store keeps: read, found by id, brought back, verified."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import polars as pl

from radloop import manifest
from radloop.catalog import history
from radloop.catalog.history import Entry, History, Kept
from radloop.errors import DatasetError, StoreError
from radloop.storage import Store
from radloop.storage.change import Stored
from radloop.storage.layout import key_in, of_versions, read_manifest, rows_of


@dataclass(frozen=True)
class Content:
    """A kept version: its manifest, its files but the pictures, and where the store has those."""

    table: pl.DataFrame  # MANIFEST
    documents: Mapping[str, bytes]
    places: Mapping[str, str]  # by the key of a picture: the key in the store
    size_bytes: int = 0  # that brought table and documents here

    def with_documents(self, documents: Mapping[str, bytes], rows: pl.DataFrame) -> "Content":
        """With other bytes of documents, or further ones (MANIFEST), that make no other version."""
        stays = self.table.filter(~pl.col("key").is_in(list(documents)))
        table = pl.concat([stays, rows]).sort("key")
        return replace(self, table=table, documents={**self.documents, **documents})


def read(store: Store, prefix: str) -> History:
    """The history of a store; empty where it has none. Raises DatasetError for a damaged one."""
    return history.decode(store.get(key_in(prefix, history.NAME)), name=f"{store.address}: {history.NAME}")


def find(store: Store, prefix: str, asked: str, current: pl.DataFrame) -> Entry | None:
    """The kept version that is meant; None where it is the current one. Raises UsageError for none, or several."""
    told, here = read(store, prefix), manifest.version(current)
    if asked and [one for one in {here, *told.kept} if one.startswith(asked)] == [here]:
        return None
    return told.find(asked)


def content(store: Store, prefix: str, version: str, current: pl.DataFrame) -> Content:
    """A kept version as it was published, verified but for its pictures. Raises StoreError where it is not whole."""
    kept = read(store, prefix).kept[version]
    table = listed(store, prefix, version, kept)
    _, key = kept.keys(version)
    data = store.get(key_in(prefix, key))
    try:
        documents = history.unpacked(data, table, name=key)
    except DatasetError as damaged:
        raise _not_whole(store, version, str(damaged)) from damaged
    pictures = current.filter(kind="image").select("md5", "key")
    here = dict(pictures.sort("key", descending=True).iter_rows())
    aside = _pictures(_stored(store, prefix))
    places = {
        row.key: here.get(row.md5) or aside.get(row.md5, history.picture_key(row.key, row.md5))
        for row in rows_of(table.filter(kind="image"))
        if row.md5
    }
    return Content(table, documents, places, len(data or b"") + len(manifest.encode(table)))


def listed(store: Store, prefix: str, version: str, kept: Kept) -> pl.DataFrame:
    """The manifest of a kept version. Raises StoreError where it is missing or damaged."""
    key, _ = kept.keys(version)
    try:
        table = manifest.decode(store.get(key_in(prefix, key)) or b"", name=key)
    except DatasetError as damaged:
        raise _not_whole(store, version, str(damaged)) from damaged
    if manifest.version(table) != version:
        raise _not_whole(store, version, f"{key} is the manifest of another version.")
    return table


def verify(store: Store, prefix: str) -> Iterator[tuple[str, str]]:
    """What each kept version lacks: the key of it, and a sentence. Sizes and MD5s are as the store tells them.

    That the current version is whole is another's to say. Raises DatasetError where the history cannot be read.
    """
    told = read(store, prefix)
    if not told.kept:
        return
    current = read_manifest(store, prefix=prefix)
    here = set() if current is None else set(current.filter(kind="image")["md5"])
    there = _stored(store, prefix)
    aside = _pictures(there)
    for version, kept in told.kept.items():
        lacking = [
            key
            for key, md5 in zip(kept.keys(version), (kept.manifest, kept.documents), strict=True)
            if key not in there or there[key].md5 not in (None, md5)
        ]
        yield from ((key, f"version {version} is kept, and this is missing or damaged") for key in lacking)
        if lacking:
            continue
        pictures = {row.md5 or "": row for row in rows_of(listed(store, prefix, version, kept).filter(kind="image"))}
        for md5, row in sorted(pictures.items()):
            key = aside.get(md5, history.picture_key(row.key, md5))
            if md5 not in here and (key not in there or not there[key].holds(row)):
                yield key, f"a picture of version {version}, which is missing or damaged"


def _stored(store: Store, prefix: str) -> dict[str, Stored]:
    """What lies in `versions/`, by key of the dataset."""
    there = store.list(key_in(prefix, manifest.VERSIONS))
    return of_versions({f"{manifest.VERSIONS}/{key}": one for key, one in there.items()})


def _pictures(there: Mapping[str, Stored]) -> dict[str, str]:
    return {history.md5_in(key): key for key in sorted(there) if key.startswith(history.PICTURES)}


def _not_whole(store: Store, version: str, why: str) -> StoreError:
    return StoreError(f"{store.address}: version {version} is not whole. {why}")
