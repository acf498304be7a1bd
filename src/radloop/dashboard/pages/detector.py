"""Detector: how good is it, at which threshold, and what does it take for what?"""

from typing import Final

import polars as pl
import streamlit as st

from radloop.catalog import judging
from radloop.dashboard import against_truth, audit, curve_charts, layout, loading, loop
from radloop.dashboard.loading import Dataset, Feedback
from radloop.options import Dashboard
from radloop.tables import DETECTOR
from radloop.words import several

Part = tuple[str, str, str]  # model, version, split

_VIEWS: Final = ("How good it is", "Curves")


def page(inputs: Dashboard) -> None:
    """One detector on one split, in the view that the address names."""
    said, found = layout.quiet_feedback(inputs), layout.quiet_dataset(inputs)
    layout.head(
        "Detector",
        "How good is it, at which threshold, and what does it take for what?",
        simulated=layout.marks(found, said),
    )
    view = st.segmented_control("View", _VIEWS, default=_VIEWS[0], required=True, key="view", bind="query-params")
    said, found = layout.feedback(inputs), layout.dataset(inputs)
    if said is None or found is None:
        return
    if not loop.has_images(found):
        layout.missing("A table alone does not tell training images from others.", "radloop transform")
        return
    if view == _VIEWS[0]:
        audit.show(inputs, said)
    part = _chosen(found, said)
    if part is None:
        return
    with st.spinner("Judging …"):
        judged = loop.evaluated(found, said, part, loading.last_rule(inputs.retrain_table), inputs.seed)
    if view == _VIEWS[0]:
        against_truth.show(judged, loop.against_readers(found, said, part), loading.last_rule(inputs.retrain_table))
    else:
        class_id = choose_class(found, judged)
        curve_charts.show(judged, loop.curve(found, said, part, class_id, inputs.seed), class_id)


def _chosen(found: Dataset, said: Feedback) -> Part | None:
    """The detector and the split to judge: one split at a time, for each tells something else."""
    parts, rest = loop.parts(found, said), loop.left_out(found, said)
    if rest:
        told = (f"{several(each.feedback, 'feedback')} ({each.reason})" for each in rest)
        st.caption(f"Left out: {'; '.join(told)}.")
    if parts.is_empty():
        st.info("No feedback is on a picture of the dataset outside training: nothing to judge by.")
        return None
    left, right = st.columns(2)
    detectors = {
        judging.name(*detector): detector for detector in parts.select(DETECTOR).unique(maintain_order=True).rows()
    }
    name = left.selectbox("Detector", list(detectors), key="detector", bind="query-params")
    model, version = detectors[str(name)]
    own = parts.filter(model=model, model_version=version)
    split = right.selectbox("Split", own["split"].to_list(), key="split", bind="query-params")
    return model, version, str(split)


def choose_class(found: Dataset, judged: judging.Judged) -> int | None:
    """The class of the address, of those with boxes of the truth; None: all together."""
    known = judged.precision[0.4].filter(pl.col("class_id").is_not_null(), pl.col("truth") > 0)
    names = dict(known.sort("truth", descending=True, maintain_order=True).select("class_name", "class_id").iter_rows())
    chosen = st.selectbox("Class", [curve_charts.ALL, *names], key="class", bind="query-params")
    return names.get(str(chosen))
