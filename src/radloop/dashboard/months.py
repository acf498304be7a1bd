"""The section of the Detector page that says how good a model is on this hospital's own images, month by month."""

from typing import Any

import polars as pl
import streamlit as st

from radloop.catalog import judging
from radloop.dashboard import figures, layout, loop
from radloop.dashboard.loading import Dataset, Feedback
from radloop.measures.intervals import LEAST_FOR_DRAWS
from radloop.options import Dashboard
from radloop.tables import DETECTOR
from radloop.words import several


def show(inputs: Dashboard, found: Dataset, said: Feedback) -> None:
    """A chart of the audit images that people have read; nothing where none ever came in."""
    if not found.incoming["audit"].any():
        return
    reviewed = layout.reviews(inputs)
    if reviewed is None:
        return
    st.markdown("**How good is it here? The audit images of this hospital, which never train**")
    table = loop.by_month(found, said, reviewed, inputs.seed)
    if table.is_empty():
        layout.cannot_tell("how good a detector is on them: there is no feedback on an audit image.")
        return
    whole = table.filter(pl.col("month").is_null())
    for row in whole.iter_rows(named=True):
        st.markdown(sentence(row))
    for row in loop.over_time(found, said, "test", inputs.seed).iter_rows(named=True):
        images = several(row["images"], "image")
        st.markdown(f"{layout.plain(row['detector'])}, on the {images} of the test split: {_figure(row)}.")
    dated = table.filter(pl.col("month").is_not_null(), pl.col("read") > 0)
    if dated.is_empty():
        return
    name = pl.concat_str(DETECTOR, separator=" ").str.strip_chars()
    named = dated.with_columns(detector=pl.when(name == "").then(pl.lit("unknown")).otherwise(name)).sort("month")
    figure = figures.dots(named, of="month", value="ap", by="detector", title="mAP@0.4")
    figure.update_xaxes(range=[0, 1])
    layout.chart(
        "mAP@0.4 on the audit images of each month of arrival, with its 95 % interval",
        figure,
        table,
        key="months",
        units=f"Hollow: fewer than {LEAST_FOR_DRAWS} groups with a box, too few for an interval.",
    )
    st.caption(
        "Truth: what those who read an image drew before the AI findings were shown, where their review tells that; of "
        "two readers or more, what two drew. Not every audit image is read; the worklist draws them by lot."
    )


def sentence(row: dict[str, Any]) -> str:
    """What the audit says of one detector (a row of MONTHS).

    >>> told = {"model": "net", "model_version": "1", "images": 40, "read": 12, "simulated": 0, "truth": 9}
    >>> sentence(told | {"ap": 0.31, "ap_low": None, "ap_high": None})
    'net 1: of 40 images 12 are read, with 9 boxes: mAP@0.4 0.310 (too few for an interval).'
    >>> sentence(told | {"read": 0, "ap": None, "ap_low": None, "ap_high": None})
    'net 1: of 40 images none is read yet: how good it is here is unknown.'
    """
    name = layout.plain(judging.name(row["model"], row["model_version"]))
    if not row["read"]:
        return f"{name}: of {several(row['images'], 'image')} none is read yet: how good it is here is unknown."
    simulated = f" ({row['simulated']:,} of them by a program)" if row["simulated"] else ""
    read = f"{row['read']:,} are read{simulated}, with {several(row['truth'], 'box')}"
    return f"{name}: of {several(row['images'], 'image')} {read}: {_figure(row)}."


def _figure(row: dict[str, Any]) -> str:
    """mAP with its interval (ap, ap_low, ap_high)."""
    if row["ap"] is None:
        return "no figure: there is no box to find"
    interval = "too few for an interval"
    if row["ap_low"] is not None:
        interval = f"95 % interval {row['ap_low']:.3f} to {row['ap_high']:.3f}"
    return f"mAP@0.4 {row['ap']:.3f} ({interval})"
