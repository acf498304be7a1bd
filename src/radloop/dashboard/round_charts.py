"""What each round of re-training learned from, and how good each detector was, one after the other."""

from pathlib import Path

import numpy as np
import polars as pl
import streamlit as st

from radloop.catalog import judging
from radloop.catalog.rounds import read
from radloop.dashboard import figures, layout, loop
from radloop.dashboard.loading import Dataset, Feedback
from radloop.measures import intervals
from radloop.words import several

_FATES = ("kept", "withheld", "disputed", "unused", "refused")
_SOURCES = {"predictions": "predictions", "reviews": "reviews", "simulated_reviews": "simulated reviews"}


def rounds(unit: Path) -> None:
    """Rows, fates and the precision of the rule, round by round. unit: the folder of the re-training data."""
    table, refused = read(unit)
    if refused:
        st.error(f"**Refused:** {several(len(refused), 'report')} that the manifest does not vouch for.")
    if table.is_empty():
        layout.missing(layout.absent("round of re-training", unit), "radloop retrain")
        return
    named = table.with_columns(name=_names(table))
    st.caption(
        f"{several(table.height, 'round')}, in the order of the newest feedback or review that each one knew. "
        "A round that makes the same table of the same reviews again is the same round."
    )
    left, right = st.columns(2, gap="medium")
    with left:
        sources = named.select("name", *(pl.col(name).alias(says) for name, says in _SOURCES.items()))
        long = sources.unpivot(index="name", variable_name="source", value_name="rows")
        figure = figures.bars(long, of="name", value="rows", by="source", title="rows")
        figure.update_layout(barmode="stack")
        layout.chart(
            "Rows of the table, by who they are from",
            figure,
            table,
            key="rounds-rows",
            units="A row is a box, or an image on which nothing is found.",
        )
    with right:
        long = named.select("name", *_FATES).unpivot(_FATES, index="name", variable_name="fate", value_name="feedback")
        layout.chart(
            "What became of the feedback",
            figures.bars(long, of="name", value="feedback", by="fate", title="feedback"),
            None,
            key="rounds-fates",
        )
    _precision(named)


def _names(table: pl.DataFrame) -> pl.Expr:
    day = pl.col("newest").dt.strftime("%Y-%m-%d %H:%M").fill_null("time unknown")
    return pl.format("{} · {}", day, pl.col("round").str.slice(0, 6))


def _precision(named: pl.DataFrame) -> None:
    known = named.filter(pl.col("known_labels") > 0)
    if known.is_empty():
        layout.cannot_tell("how often the rule is right: in no round did a model's row train on an image with readers.")
        return
    images, labels, correct = (known[f"known_{name}"].to_numpy() for name in ("images", "labels", "correct"))
    share, worth = correct / labels, np.minimum(images, labels).astype(float)
    low, high = intervals.jeffreys(share * worth, worth)
    few = worth < intervals.LEAST_FOR_SHARE
    data = known.select("name", "known_images", "known_labels", "known_correct").with_columns(
        precision=pl.Series(share),
        precision_low=pl.Series(np.where(few, np.nan, low)).fill_nan(None),
        precision_high=pl.Series(np.where(few, np.nan, high)).fill_nan(None),
        of=pl.lit("rows of a model"),
    )
    figure = figures.dots(data, of="name", value="precision", by="of", title="share that is right", percent=True)
    figure.update_xaxes(range=[0, 1.01])
    layout.chart(
        "How often the rule was right, on images that readers have read",
        figure,
        data.drop("of"),
        key="rounds-precision",
        units="Of the rows that train and are a model's. In the interval each image counts as one box, since the boxes "
        "of one image are right and wrong together. Hollow: too few images.",
    )


def detectors(found: Dataset, said: Feedback, seed: int) -> None:
    """mAP of each detector, in the order in which they came."""
    parts = loop.parts(found, said)
    if parts.is_empty():
        return
    splits = [split for split in judging.SPLITS if split in parts["split"]]
    split = str(st.selectbox("Split", splits, key="of_split", bind="query-params"))
    with st.spinner("Judging …"):
        data = loop.over_time(found, said, split, seed)
    figure = figures.dots(data.with_columns(at=pl.lit("IoU 0.4")), of="detector", value="ap", by="at", title="mAP@0.4")
    figure.update_xaxes(range=[-0.02, 1.02])
    layout.chart(
        f"mAP@0.4 of each detector on {split}, in the order in which they came",
        figure,
        data,
        key="detectors-over-time",
        units="Each on the images that it has seen; which of two is better on the images of both, the page Detector "
        "tells (*Two detectors*). Hollow: too few groups with a class, on average, for an interval. `cut`: boxes are "
        "whole from this confidence on; mAP falls with it.",
    )
