"""What another publish left that began and ended while this one was about to write its manifest.

Objects cannot be locked, and the manifest that this one then wrote lies over the other's. But a version that is kept
has its manifest a second time, and by that it can be the current one again.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from radloop import manifest, tree
from radloop.catalog import history
from radloop.catalog.history import Kept
from radloop.errors import DatasetError
from radloop.storage import keeping
from radloop.storage.change import Change, Row, Stored
from radloop.storage.layout import key_in, of_versions, rows_of


class _Listed(Protocol):
    def list(self, prefix: str = "") -> dict[str, Stored]: ...

    def get(self, key: str) -> bytes | None: ...


@dataclass(frozen=True)
class Overtaken:
    """The version that another one has published."""

    version: str
    manifest_file: bytes
    history: bytes  # with it as the last
    rows: tuple[Row, ...]  # all that it lists
    ours: tuple[str, ...]  # keys that this publish wrote and that it has no need of


def find(change: Change, store: _Listed) -> Overtaken | None:
    """It, where exactly one version has come to be kept since the store was looked at; None where that is not known."""
    own = change.keeping
    if own.history is None:
        return None
    listing = store.list(key_in(change.prefix, manifest.VERSIONS))
    there = of_versions({f"{manifest.VERSIONS}/{key}": one for key, one in listing.items()})
    others = list(_kept(there.keys() - {*own.listing, *own.objects, *own.pictures}))
    if len(others) != 1:
        return None
    version, kept = others[0]
    keys = kept.keys(version)
    manifest_file, documents = (store.get(key_in(change.prefix, key)) for key in keys)
    with suppress(DatasetError):
        table = manifest.decode(manifest_file or b"", name=keys[0])
        files = history.unpacked(documents, table, name=keys[1])
        told = history.decode(own.history, name=history.NAME)
        before = history.decode(own.standing, name=history.NAME)
        entry = keeping.entry(
            table,
            files.get(tree.SUMMARY),
            previous=before.entries[-1].version if before.entries else None,
            action="load",
            now=told.entries[-1].published_at,
        )
        entries = history.History(entries=(*before.entries, entry))
        rows = tuple(rows_of(table))
        still = {one: kept for one, kept in before.kept.items() if _is_there(there, kept.keys(one))}
        mine = own.objects.keys() - set(history.keys(before.kept))
        return Overtaken(
            version,
            manifest_file or b"",
            history.encode(entries.keeping({**still, version: kept})),
            rows,
            tuple(sorted(({*change.new} | mine) - {row.key for row in rows} - {*keys})),
        )
    return None


def _is_there(there: Mapping[str, Stored], keys: Collection[str]) -> bool:
    return there.keys() >= set(keys)


def _kept(keys: Iterable[str]) -> Iterator[tuple[str, Kept]]:
    """The versions that both objects of are among the keys."""
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        _, _, inner = key.partition("/")
        version, _, name = inner.partition("/")
        kind, _, md5 = name.removesuffix(".parquet").partition("-")
        if kind in ("manifest", "documents"):
            found.setdefault(version, {})[kind] = md5
    for version, parts in sorted(found.items()):
        if len(parts) == 2:
            yield version, Kept(parts["manifest"], parts["documents"])
