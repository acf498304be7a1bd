"""The pictures of a store that the simulator shows: of splits of the dataset, and those that came in without labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from radloop import manifest
from radloop.catalog import incoming
from radloop.errors import StoreError
from radloop.storage import Store, layout
from radloop.tables import MANIFEST
from radloop.words import INCOMING, SPLITS, Part


@dataclass(frozen=True)
class Chosen:
    """One manifest row for each image that is shown, and what is to be said about them."""

    prefix: str  # of the dataset in the store, which the keys are relative to
    rows: pl.DataFrame  # MANIFEST; split: the dataset's, or incoming, audit or the held-out split of an incoming image
    recipes: dict[str, str | None] = field(default_factory=dict)  # of incoming images, by image_id
    notes: tuple[str, ...] = ()


def choose(store: Store, parts: Sequence[Part]) -> Chosen:
    """The images of `parts`; one that came in and was added to the dataset since is the dataset's.

    Raises StoreError where there are none.
    """
    prefix = layout.resolve_prefix(store)
    listed = layout.read_manifest(store, prefix=prefix)
    notes: tuple[str, ...] = ()
    if listed is None:
        listed = layout.listed(store, prefix=prefix)
        notes = (f"unverified: {store.address} has no manifest, so its listing was taken at its word",)
    images = listed.filter(kind="image")
    rows = images.filter(pl.col("split").is_in([part for part in parts if part in SPLITS]))
    recipes: dict[str, str | None] = {}
    if INCOMING in parts:
        new, recipes = _incoming(store, prefix, images["image_id"])
        rows = pl.concat([rows, new])
    rows = rows.sort("key").unique("image_id", keep="first", maintain_order=True).sort("image_id")
    if rows.is_empty():
        commands = "`radloop ingest`" if tuple(parts) == (INCOMING,) else "`radloop load`"
        raise StoreError(
            f"{store.address} holds no pictures of {', '.join(parts)}. Choose other --splits, or run {commands}."
        )
    return Chosen(prefix, rows, recipes, notes)


def _incoming(store: Store, prefix: str, dataset: pl.Series) -> tuple[pl.DataFrame, dict[str, str | None]]:
    """MANIFEST of the images that came in and are not the dataset's, and their recipes."""
    unit = layout.key_in(prefix, manifest.INCOMING)
    listed = layout.read_manifest(store, prefix=unit)
    if listed is None:
        return MANIFEST.to_frame(), {}
    table = incoming.published(lambda key: store.get(f"{unit}/{key}"), listed, name=f"{store.address}/{unit}")
    table = table.filter(~pl.col("image_id").is_in(dataset.implode()))
    own = incoming.images(table).select("image_id", "split", "md5")
    rows = listed.filter(kind="image").drop("split").join(own, on=["image_id", "md5"])
    rows = rows.with_columns(key=pl.format(f"{manifest.INCOMING}/{{}}", "key")).select(MANIFEST.names())
    return rows, dict(table.select("image_id", "recipe").iter_rows())
