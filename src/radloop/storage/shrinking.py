"""Whether a version has much less than the one that it replaces: a table that lost its half must not pass unseen."""

import json
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Final

import polars as pl

from radloop import manifest
from radloop.errors import StoreError
from radloop.storage import Store
from radloop.storage.layout import key_in
from radloop.tree import SUMMARY

MOST: Final = 0.1


@dataclass(frozen=True)
class Size:
    """How much a version holds."""

    images: int
    labels: int
    boxes: int | None  # None: its summary does not tell

    def __str__(self) -> str:
        """In words."""
        boxes = "" if self.boxes is None else f" and {self.boxes:,} boxes"
        return f"{self.images:,} images, {self.labels:,} labels{boxes}"


def size(table: pl.DataFrame, summary: bytes | None) -> Size:
    """Of a version with this manifest (MANIFEST) and summary.json, without the consensus beside its readers' files.

    To judge by it, or no more, makes no version smaller.
    """
    boxes, beside = None, 0
    with suppress(ValueError, TypeError, AttributeError, LookupError, RecursionError):
        told = json.loads(summary or b"{}")
        boxes = told.get("boxes_written")
        judged = told.get("judged", {"labels": 0, "boxes": 0})
        boxes, beside = boxes - int(judged["boxes"]), int(judged["labels"])
    images = table.filter(kind="image")["image_id"].n_unique()
    return Size(images, table.filter(kind="label").height - beside, boxes if isinstance(boxes, int) else None)


def held(store: Store, table: pl.DataFrame, *, prefix: str = manifest.UNIT) -> Size:
    """Of the version in the store, whose manifest is `table`."""
    return size(table, store.get(key_in(prefix, SUMMARY)))


def refuse(new: Size, before: Size, *, address: str) -> None:
    """Raise StoreError where `new` holds over a tenth less of anything than `before`, which is in the store."""
    pairs = zip(astuple(new), astuple(before), strict=True)
    if any(after is not None and was is not None and after < (1 - MOST) * was for after, was in pairs):
        raise StoreError(
            f"{address} holds {before}; the new version has {new}: over a tenth less. Nothing was published. Pass "
            "--allow-shrink where that is meant."
        )
