"""Who the rows of an annotations table are from: the one place that says who is a reader, and who is not."""

from typing import Final

import polars as pl

from radloop.tables import PREDICTION, READER, REVIEW, SIMULATED_REVIEW

REVIEWER: Final = "reviewer"
SIMULATED_REVIEWER: Final = "simulated reviewer"
MODEL: Final = "model"
WHO: Final = {READER: READER, REVIEW: REVIEWER, SIMULATED_REVIEW: SIMULATED_REVIEWER, PREDICTION: MODEL}


def named(annotations: pl.DataFrame) -> pl.DataFrame:
    """rad_id, who (a value of WHO): everybody of whom `annotations` (ANNOTATIONS) has a row, once.

    A reader of the source who has reviewed, too, is a reader. A table that does not tell is all the readers'.
    """
    order = pl.Enum(list(WHO.values()))
    who = pl.col("source").replace_strict(WHO) if "source" in annotations.columns else pl.lit(READER)
    each = annotations.select("rad_id", who=who.cast(order)).group_by("rad_id").agg(pl.col("who").min())
    return each.sort("who", "rad_id").with_columns(pl.col("who").cast(pl.String))


def readers(annotations: pl.DataFrame) -> pl.DataFrame:
    """The rows of the source's readers, whether labels use them or not."""
    return annotations.filter(source=READER) if "source" in annotations.columns else annotations


def persons(annotations: pl.DataFrame) -> pl.DataFrame:
    """The rows of people: readers and reviewers. What was simulated and what a model said is nobody's reading."""
    if "source" not in annotations.columns:
        return annotations
    return annotations.filter(pl.col("source").is_in([READER, REVIEW]))
