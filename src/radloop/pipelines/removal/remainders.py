"""The units of OUT and of the store without the images that are forgotten: looked at, prepared in a folder, switched.

A unit is prepared whole before anything is written to it, so that every switch can be killed and made again.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
import polars as pl

from radloop import files, manifest, storage, tree
from radloop.catalog import heldout
from radloop.catalog.version import Get
from radloop.dataset import forgetting, yolo
from radloop.dataset.forgetting import Gone, Remainder
from radloop.errors import DatasetError
from radloop.pipelines.removal import earlier
from radloop.progress import Progress
from radloop.storage import Store, folder, layout, publish

PlaceName = Literal["here", "store"]

_STAGED: Final = ".forgetting"


class Unit(msgspec.Struct, frozen=True):
    """One unit: what it was, what it will be."""

    place: PlaceName
    prefix: str
    before: str  # MD5 of its manifest
    after: str
    versions: tuple[str, str]  # ids, before and after
    gone: tuple[str, ...]  # keys, listed or not
    held_out: int  # rows of the memory that go
    splits: dict[str, int]  # images that go, by split

    @property
    def is_dataset_here(self) -> bool:
        """Whether it is the dataset in OUT."""
        return self.place == "here" and self.prefix == manifest.UNIT


@dataclass(frozen=True)
class Places:
    """OUT, and the store where it is another place."""

    out: Path
    store: Store

    def get(self, place: PlaceName, key: str) -> bytes | None:
        """The bytes of a key such as organized/data.yaml; None where there is none."""
        if place == "here":
            path = self.out / key
            return path.read_bytes() if path.is_file() else None
        return None if self.is_one else self.store.get(key)

    @property
    def is_one(self) -> bool:
        """Whether the store is OUT itself."""
        return not storage.is_remote(self.store.address) and Path(self.store.address).resolve() == self.out.resolve()

    def manifest_md5(self, unit: Unit) -> str | None:
        """Of the manifest that stands; None where there is none, or where a publish was cut off: it is taken up."""
        if unit.place == "store" and self.get("store", f"{unit.prefix}/{layout.MARKER}") is not None:
            return None
        data = self.get(unit.place, f"{unit.prefix}/{manifest.NAME}")
        return None if data is None else hashlib.md5(data).hexdigest()


def prepare(places: Places, gone: Gone, stones: pl.DataFrame, *, now: datetime, into: Path | None) -> Iterator[Unit]:
    """Every unit that changes, the store's first; what is to be written lies below `into` then, if that is given.

    Raises StoreError while a publish is unfinished, DatasetError for what is damaged, or a part of a dataset.
    """
    succeeded: dict[str, str] = {}
    names: tuple[PlaceName, ...] = ("here",) if places.is_one else ("store", "here")
    for place in names:
        for prefix in (manifest.INCOMING_UNIT, manifest.RETRAIN_UNIT, manifest.UNIT):
            unit = _prepared(places, place, prefix, gone, stones, succeeded, (now, into))
            if unit is not None:
                yield unit
                if place == "store" and prefix == manifest.UNIT:
                    succeeded |= dict([unit.versions])


def _prepared(
    places: Places,
    place: PlaceName,
    prefix: str,
    gone: Gone,
    stones: pl.DataFrame,
    succeeded: dict[str, str],
    writing: tuple[datetime, Path | None],
) -> Unit | None:
    here, (now, into) = place == "here", writing
    data = places.get(place, f"{prefix}/{manifest.NAME}") if here else layout.require_quiet(places.store, prefix)
    if data is None:
        return None
    listed = manifest.filled(manifest.decode(data, name=prefix), places.out / prefix)
    get = _get_of(places, place, prefix, listed)
    if prefix == manifest.UNIT:
        _require_whole(get, listed, places.out if here else places.store.address)
        remainder = forgetting.of_dataset(get, listed, gone, stones, succeeded=succeeded)
    else:
        of_unit = forgetting.of_retrain if prefix == manifest.RETRAIN_UNIT else forgetting.of_incoming
        remainder = of_unit(get, listed, gone)
    leftovers, kept = _leftovers(places, place, prefix, listed, gone), None
    if (place, prefix) == ("store", manifest.UNIT):
        kept = earlier.without(places.store, listed, gone, stones, remainder, now=now)
    if remainder is None and not leftovers and kept is None:
        return None
    after = data if remainder is None else manifest.encode(remainder.manifest)
    remainder = remainder or Remainder(listed, {}, ())
    if into is not None:
        for key, document in {**remainder.documents, manifest.NAME: after}.items():
            files.write_atomic(into / place / prefix / key, document)
        if kept is not None:
            earlier.write(kept, into / place / prefix)
    return Unit(
        place,
        prefix,
        hashlib.md5(data).hexdigest(),
        hashlib.md5(after).hexdigest(),
        (manifest.version(listed), remainder.version),
        (*remainder.gone, *leftovers),
        _rows(get(tree.HELDOUT)) - _rows(remainder.documents.get(tree.HELDOUT, get(tree.HELDOUT))),
        _by_split(listed.filter(pl.col("key").is_in(remainder.gone), pl.col("kind") == "image")),
    )


def _get_of(places: Places, place: PlaceName, prefix: str, listed: pl.DataFrame) -> Get:
    """The files of a unit, each asked for once; of the store what OUT has, too, is not brought from there."""
    md5s = dict(listed.select("key", "md5").iter_rows())
    known: dict[str, bytes | None] = {}

    def get(key: str) -> bytes | None:
        if key not in known:
            here = places.get("here", f"{prefix}/{key}") if place == "store" else None
            same = here is not None and hashlib.md5(here).hexdigest() == md5s.get(key)
            known[key] = here if same else places.get(place, f"{prefix}/{key}")
        return known[key]

    return get


def _require_whole(get: Get, listed: pl.DataFrame, name: Path | str) -> None:
    told = layout.summary_version(get(tree.SUMMARY) or b"{}")
    if told not in (None, manifest.version(listed)):
        raise DatasetError(
            f"{name} holds a part of version {told} (pulled with --splits), which cannot be mended alone. Pull all of "
            f"it first, or remove the part: it comes back without what is forgotten."
        )


def _leftovers(places: Places, place: PlaceName, prefix: str, listed: pl.DataFrame, gone: Gone) -> list[str]:
    """Keys that no manifest lists."""
    if place == "store":
        stored = layout.within(places.store.list(prefix))
        names, md5s = list(stored), {key: one.md5 or "" for key, one in stored.items()}
    else:
        names, md5s = list(yolo.walk(places.out / prefix)), {}
    if prefix == manifest.UNIT:
        names = [key for key in names if not manifest.is_inner(key)]
    unlisted = set(names) - {*listed["key"], manifest.NAME}
    if place == "here":
        md5s = {key: hashlib.md5(places.get("here", f"{prefix}/{key}") or b"").hexdigest() for key in unlisted}
    return forgetting.unlisted(unlisted, listed, gone, md5s)


def _by_split(images: pl.DataFrame) -> dict[str, int]:
    counts = images.drop_nulls("split").group_by("split").agg(pl.col("image_id").n_unique()).sort("split")
    return dict(counts.iter_rows())


def _rows(memory: bytes | None) -> int:
    return 0 if memory is None else heldout.decode(memory, name=tree.HELDOUT).height


def switch(places: Places, unit: Unit, prepared: Path, *, progress: Progress) -> None:
    """Put what was prepared in the place of a unit; killed and called again it ends in the same bytes."""
    root = prepared / unit.place / unit.prefix
    if unit.place == "store":
        publish.publish(
            root,
            places.store,
            prefix=unit.prefix,
            allow_shrink=True,
            purged=frozenset(unit.gone),
            versions=earlier.read(root),
            after=None if places.manifest_md5(unit) is None else unit.before,
            progress=progress,
        )
        return
    data = (root / manifest.NAME).read_bytes()
    keys = manifest.decode(data, name=str(root))["key"]
    target = places.out / unit.prefix
    with folder.explained(str(target)):
        files.recover_tree(target)
        folder.replace_unit(
            target,
            places.out / f".{unit.prefix.replace('/', '-')}{_STAGED}",
            {key: (root if (root / key).is_file() else target) / key for key in keys},
            manifest_file=data,
            gone=unit.gone,
            progress=progress,
        )


def staged(out: Path) -> list[Path]:
    """The folders that a killed `switch` left beside the dataset: a unit, perhaps as it was."""
    return sorted(out.glob(f".*{_STAGED}"))
