"""The rows of a folder of feedback, put together of parts: a million of them are held once, and hardly ever twice."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import polars as pl

from radloop.feedback.doubts import Doubt
from radloop.tables import DETECTIONS, FEEDBACK, REFUSED_FILES

_FEW: Final = ("recipe", "run_id", "site", "view", "device")
_OF_THE_PICTURE: Final = ("recipe", "mean", "std", "sharpness", "site", "view", "device")
_OF_THE_RUN: Final = ("latency_ms", "stage", "run_id")
# The columns that tell what a feedback is worth: not those of its picture and its run, a quarter of the memory.
NEEDED: Final = tuple(name for name in FEEDBACK if name not in (*_OF_THE_PICTURE, *_OF_THE_RUN))


@dataclass(frozen=True)
class Records:
    """What a folder of feedback holds. Independent of the order of files: sorted by time and id, or by file."""

    feedback: pl.DataFrame  # FEEDBACK, or those of its columns that were asked for
    detections: pl.DataFrame  # DETECTIONS
    refused: pl.DataFrame  # REFUSED_FILES
    doubts: tuple[Doubt, ...] = ()  # what those refused files hold that may be in another convention
    low: pl.DataFrame = field(default_factory=DETECTIONS.to_frame)  # DETECTIONS: boxes below those, for measures alone

    @cached_property
    def every_box(self) -> pl.DataFrame:
        """DETECTIONS: the detections of each feedback, then its low boxes; whole above `catalog.kept.cut`."""
        if self.low.is_empty():
            return self.detections
        return pl.concat([self.detections, self.low]).sort("feedback_id", maintain_order=True)


def shared(part: Records) -> Records:
    """The same, whose boxes have the ids of their feedback, not copies of them: these are half of a box's memory."""
    ids = part.feedback.select("feedback_id", "image_id")
    detections, low = (
        ids.join(boxes.drop("image_id"), on="feedback_id", maintain_order="right").select(DETECTIONS.names())
        for boxes in (part.detections, part.low)
    )
    return replace(part, detections=detections, low=low)


def packed(found: Records, kind: pl.DataType) -> Records:
    """With texts of few values, which pages only filter by and show, as `kind`: a Categorical is a quarter of a String.

    Only such of String can be combined with others.
    """
    return replace(found, feedback=found.feedback.with_columns(pl.col(_FEW).cast(kind)))


def combine(parts: Iterable[Records], columns: Collection[str] = FEEDBACK) -> Records:
    """What one reading of all their files would have given; no file may be in two of the parts.

    `columns` of FEEDBACK are kept. Only the column that is being put together is there twice, if nobody else holds the
    parts.
    """
    schema = pl.Schema({name: kind for name, kind in FEEDBACK.items() if name in columns})
    feedback, detections, low = [schema.to_frame()], [DETECTIONS.to_frame()], [DETECTIONS.to_frame()]
    refused, doubts = [REFUSED_FILES.to_frame()], list[Doubt]()
    for part in parts:
        feedback.append(part.feedback.select(name for name in part.feedback.columns if name in schema))
        detections.append(part.detections)
        low.append(part.low)
        refused.append(part.refused)
        doubts += part.doubts
        del part  # else the last one would stay, and each while the next is read
    named = [table.select("feedback_id", "file") for table in feedback]
    ids = pl.concat(named)
    if ids["feedback_id"].n_unique() < ids.height:
        _, lost = first_by_name(ids)
        # within a part an id is unique, so that it says whose boxes these are
        theirs = [table.join(lost, on="file", how="semi") for table in named]
        feedback = [without(table, lost, "file") for table in feedback]
        detections, low = (
            [without(boxes, gone, "feedback_id") for boxes, gone in zip(tables, theirs, strict=True)]
            for tables in (detections, low)
        )
        refused.append(refused_twins(lost))
    del named, ids
    return Records(
        _joined(feedback, schema, "timestamp", "feedback_id"),
        _joined(detections, DETECTIONS, "feedback_id"),
        pl.concat(refused).sort("file", "reason"),
        tuple(sorted(doubts, key=lambda one: one.file)),
        _joined(low, DETECTIONS, "feedback_id"),
    )


def _joined(tables: list[pl.DataFrame], schema: pl.Schema, *by: str) -> pl.DataFrame:
    """The rows of all tables in one, by these columns, which have no null; what nobody filled is null.

    `tables` is emptied column by column.
    """
    order = pl.concat([table.select(by) for table in tables]).select(pl.arg_sort_by(by, maintain_order=True))
    heights, columns = [table.height for table in tables], []
    for name, kind in schema.items():
        if any(name in table.columns and table[name].null_count() < table.height for table in tables):
            pieces = [
                table[name] if name in table.columns else pl.Series(name, dtype=kind).extend_constant(None, height)
                for table, height in zip(tables, heights, strict=True)
            ]
            columns.append(pl.concat(pieces).gather(order.to_series()))
            del pieces
            tables[:] = [table.drop(name, strict=False) for table in tables]
    filled = pl.DataFrame(columns, height=order.height)
    absent = {name: pl.lit(None, dtype=kind) for name, kind in schema.items() if name not in filled.columns}
    return filled.with_columns(**absent).select(schema.names())


def first_by_name(feedback: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that count where several files have one feedback_id, and those that do not."""
    kept = feedback.sort("file").unique("feedback_id", keep="first", maintain_order=True)
    return kept, feedback.join(kept, on="file", how="anti")


def without(table: pl.DataFrame, lost: pl.DataFrame, key: str) -> pl.DataFrame:
    """The rows of which `lost` has no row with the same `key`."""
    return table.join(lost, on=key, how="anti", maintain_order="left")


def refused_twins(lost: pl.DataFrame) -> pl.DataFrame:
    """REFUSED_FILES of such rows that do not count."""
    reason = pl.format("feedback_id {} is also that of a file which comes before this one by name", "feedback_id")
    return lost.select("file", code=pl.lit("feedback-id-twice"), reason=reason)
