"""The splits that a source has already, for `--keep-splits`: kept as they are, or refused with a sentence."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from radloop import values
from radloop.dataset import splits
from radloop.errors import AnnotationError, SplitError
from radloop.tables import ASSIGNMENT, SPLITS

_NAMES: Final = {name: name for name in SPLITS} | {
    "train": "training",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "testing": "test",
}
_MOST_NAMED: Final = 10


def read(rows: pl.DataFrame, *, name: str) -> pl.DataFrame:
    """The split that the column `split` gives each image (image_id, split), by radloop's names.

    A cell may name several, with " and " between. Raises AnnotationError where there is no such column, for a name that
    is no split's, for an image in two splits, and for one in none.
    """
    if "split" not in rows.columns:
        raise AnnotationError(
            f"--keep-splits: {name} has no splits of its own (of a table: the column `split`). Build without it."
        )
    told = rows.select("image_id", told=values.text("split").str.to_lowercase().str.split(" and ")).explode("told")
    unknown = told.filter(~pl.col("told").is_in([*_NAMES, ""])).group_by("told").len().sort("len", "told")
    if unknown.height:
        shown = ", ".join(f"{one[:60]!r} ({count:,} rows)" for one, count in unknown.head(_MOST_NAMED).iter_rows())
        raise AnnotationError(
            f"--keep-splits: {name} has unknown splits: {shown}. Call them {', '.join(SPLITS)} (or train, val, valid)."
        )
    split = pl.col("told").replace_strict(_NAMES, default=None, return_dtype=pl.String)
    kept = told.select("image_id", split=split).unique().drop_nulls("split").sort("image_id", "split")
    twice = kept.filter(pl.col("image_id").is_duplicated()).head(2)
    if twice.height:
        raise AnnotationError(
            f"--keep-splits: {name} has image {twice['image_id'][0]!r} in {' and '.join(twice['split'])}. Leave one."
        )
    without = told.join(kept, on="image_id", how="anti")["image_id"].unique().sort()
    if len(without):
        raise AnnotationError(
            f"--keep-splits: {name} gives {len(without):,} images no split, such as {without[0]!r}. Add them "
            "to one, or leave them out."
        )
    return kept


def settle(kept: pl.DataFrame, links: Sequence[pl.DataFrame], previous: pl.DataFrame | None) -> pl.DataFrame:
    """ASSIGNMENT that `splits.assign` has to keep: of the version before (`previous`), and of the source (`read`).

    links: tables of image_id and a value; images with one value belong together. Raises SplitError where such images
    are in several splits, and where the version before has an image in another one. From production to training an
    image may have moved since.
    """
    splits.require_whole(kept, links)
    earlier = pl.DataFrame(schema=ASSIGNMENT) if previous is None else previous
    both = kept.join(earlier.select("image_id", before="split").unique(), on="image_id").sort("image_id")
    moved = (pl.col("split") == "production") & (pl.col("before") == "training")
    other = both.filter((pl.col("split") != pl.col("before")) & ~moved)
    if other.height:
        image_id, split, before = other.row(0)
        raise SplitError(
            f"--keep-splits: the source has {other.height:,} images in another split than the version before, such as "
            f"{image_id} in {split} (before: {before}), where it stays for ever. Build without --keep-splits, or begin "
            "anew with --fresh."
        )
    new = kept.join(earlier, on="image_id", how="anti").select("image_id", group="image_id", split="split")
    return pl.concat([earlier.select(ASSIGNMENT.names()), new])
