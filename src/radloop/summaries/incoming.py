"""How it reads what came in without labels."""

from typing import Final

import polars as pl

from radloop.display import Grid, Summary
from radloop.pipelines.ingesting import REFUSED_FILE, Ingested
from radloop.summaries.registry import of
from radloop.words import several

MOST_CODES: Final = 10


@of.register
def _ingested(record: Ingested) -> Summary:
    codes = record.refused.group_by("code").agg(pl.len().alias("files"), pl.col("reason").sort().first())
    rows = [
        (code, f"{count:,}", why) for code, count, why in codes.sort("files", "code", descending=[True, False]).rows()
    ]
    splits = ", ".join(f"{count:,} {split}" for split, count in record.splits.items())
    title = f"refused files, all of them in {REFUSED_FILE}" if record.done else "refused files"
    stored = record.published
    return Summary(
        f"{'took in' if record.done else 'would take in'} {several(record.new, 'picture')}",
        facts=(
            (
                "files",
                f"{record.files:,}: {record.new:,} new, {record.known:,} known, {record.refused.height:,} refused",
            ),
            ("new", splits or "none"),
            ("incoming", f"{several(record.images, 'image')} of {record.patients:,} named patients"),
            ("folder", str(record.folder)),
            *((("store", f"{stored.address} ({stored.sent_files + stored.copied:,} files)"),) if stored else ()),
        ),
        grids=(Grid(title, (("reason", "files", "for example"), *rows[:MOST_CODES])),) if rows else (),
        notes=record.notes,
        following=("radloop simulate --splits incoming",) if record.images and record.done else (),
    )
