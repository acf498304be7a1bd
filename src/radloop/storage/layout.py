"""How a unit lies in a store: its keys, the publisher's own files, its manifest; and without one, its listing."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import polars as pl

from radloop import manifest, tree
from radloop.catalog import history
from radloop.errors import UNDECODABLE, StoreError
from radloop.storage import Store
from radloop.storage.change import Row, Stored
from radloop.tables import MANIFEST, SPLITS

MARKER: Final = "publishing"  # stands while what the manifest says and what is there may differ
JOURNAL: Final = "publishing.parquet"
UNFINISHED: Final = "the first publish is in progress, or unfinished: no manifest yet"
# that publish a unit beside or inside the dataset
_COMMANDS: Final = {manifest.RETRAIN: "retrain", manifest.INCOMING: "ingest", manifest.MODELS: "promote"}
OURS: Final = frozenset({manifest.NAME, MARKER, JOURNAL})


def key_in(prefix: str, key: str) -> str:
    """The key of a unit's file in its store; the unit may be the store itself (an empty prefix)."""
    return f"{prefix}/{key}" if prefix else key


def resolve_prefix(store: Store) -> str:
    """The unit that `store` means: itself where a dataset lies at its root, else its `organized/` child."""
    names = store.top()
    at_root = bool(names & {*OURS, "data.yaml"}) or (manifest.UNIT not in names and bool(names & set(SPLITS)))
    return "" if at_root else manifest.UNIT


def rows_of(table: pl.DataFrame) -> Iterable[Row]:
    """The files that a manifest lists."""
    return map(Row._make, table.select(Row._fields).iter_rows())


def within(listing: Mapping[str, Stored]) -> dict[str, Stored]:
    """A listing of a unit without the units inside it and without the publisher's own files."""
    return {key: stored for key, stored in listing.items() if key not in OURS and not manifest.is_inner(key)}


def of_versions(listing: Mapping[str, Stored]) -> dict[str, Stored]:
    """What a listing of a unit shows of the versions that are kept, but for what is none of ours."""
    return {key: stored for key, stored in listing.items() if history.is_ours(key)}


def read_manifest(store: Store, *, prefix: str = manifest.UNIT) -> pl.DataFrame | None:
    """The manifest of a published unit; None where it has none.

    Raises StoreError while a publish is in progress or unfinished: what the manifest says and what is there may
    differ then.
    """
    data = require_quiet(store, prefix)
    return None if data is None else manifest.decode(data, name=f"{store.address}/{key_in(prefix, manifest.NAME)}")


def require_quiet(store: Store, prefix: str) -> bytes | None:
    """The bytes of a unit's manifest, None where it has none; raise StoreError where no reader should begin.

    That is while the marker stands, and where a journal lies without a manifest: the first publish is in progress, or
    was cut off. A journal beside a manifest disturbs nobody: nothing that the manifest lists has been touched yet.
    """
    if store.get(key_in(prefix, MARKER)) is not None:
        raise _unfinished(store, prefix, f"{MARKER} stands there")
    data = store.get(key_in(prefix, manifest.NAME))
    if data is None and store.get(key_in(prefix, JOURNAL)) is not None:
        raise _unfinished(store, prefix, f"{JOURNAL} lies there, and no {manifest.NAME}")
    return data


def _unfinished(store: Store, prefix: str, sign: str) -> StoreError:
    place = "/".join(filter(None, (store.address, prefix)))
    command = _COMMANDS.get(prefix.rpartition("/")[2], "load")
    return StoreError(
        f"{place}: publish in progress, or unfinished ({sign}). Wait for it; if none is running it was cut off, and "
        f"`radloop {command}` again completes it."
    )


def summary_version(data: bytes) -> str | None:
    """The version that a summary.json tells; None where it tells none."""
    version = _summary(data).get("version")
    return version if isinstance(version, str) else None


def summary_continues(data: bytes) -> tuple[object, ...] | None:
    """The versions that the one of a summary.json follows on or sets aside; None where it does not tell."""
    told = _summary(data)
    return (told["previous"], told.get("replaces")) if "previous" in told else None


def summary_lineage(data: bytes) -> object:
    """The lineage of the version of a summary.json; None where it does not tell."""
    return _summary(data).get("lineage")


def _summary(data: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(data, type=dict[str, object])
    except UNDECODABLE:
        return {}


def listed(store: Store, *, prefix: str = manifest.UNIT) -> pl.DataFrame:
    """A manifest made up from the listing of a unit that has none: kinds, splits and readers by name, unverified.

    `md5` is null where the store keeps none. Raises StoreError where nothing is there, or what a first publish has
    brought so far.
    """
    listing = store.list(prefix)
    for name in (MARKER, JOURNAL):
        if name in listing:
            raise _unfinished(store, prefix, f"{name} lies there, and no {manifest.NAME}")
    rows = []
    for key, stored in sorted(within(listing).items()):
        if not manifest.is_safe_key(key):
            continue
        part = tree.parse(key)
        rows.append(
            {
                "key": key,
                "kind": part.kind if part else "yaml" if key.endswith(".yaml") else "document",
                "image_id": part.image_id if part else None,
                "rad_id": part.rad_id if part else None,
                "split": part.split if part else None,
                "bytes": stored.bytes,
                "md5": stored.md5 or None,
                "sha256": None,
            }
        )
    if not rows:
        raise StoreError(f"{store.address} holds nothing under {prefix or '/'}. Run `radloop load`, or check the name.")
    return pl.DataFrame(rows, schema=MANIFEST)
