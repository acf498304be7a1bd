"""Detector: how good is it, at which threshold, and what does it take for what?"""

import math
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from radloop.catalog import judging
from radloop.catalog.judging import Paired
from radloop.catalog.rule import Rule
from radloop.dashboard import (
    against_truth,
    audit,
    confusion_chart,
    curve_charts,
    layout,
    loading,
    loop,
    months,
    pair_charts,
)
from radloop.dashboard.loading import Dataset, Feedback
from radloop.options import Dashboard
from radloop.tables import DETECTOR
from radloop.words import several

Part = tuple[str, str, str]  # model, version, split

_VIEWS: Final = ("How good it is", "Curves", "Confusion", "Two detectors")


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
        months.show(inputs, found, said)
    detector, split, own = st.columns(3)  # the last is the view's
    part = _chosen(found, said, detector, split)
    if part is None:
        return
    rule = loading.last_rule(inputs.retrain_table)
    with st.spinner("Judging …"):
        if view == _VIEWS[0]:
            judged = loop.evaluated(found, said, part, rule, inputs.seed)
            against_truth.show(judged, loop.against_readers(found, said, part), rule, part)
        elif view == _VIEWS[1]:
            here, class_id = loop.matched(found, said, part), _class(found, said, part, own)
            froc, curve = (
                loop.froc(found, said, part, inputs.seed),
                loop.curve(found, said, part, class_id, inputs.seed),
            )
            curve_charts.show(here, froc, curve, class_id, part)
        elif view == _VIEWS[2]:
            least = _least(loop.matched(found, said, part).cut, rule, own)
            confusion_chart.show(*loop.confused(found, said, part, least), found.taxonomy, least=least)
        else:
            _beside(found, said, part, rule, inputs.seed, own)


def _chosen(found: Dataset, said: Feedback, left: DeltaGenerator, right: DeltaGenerator) -> Part | None:
    """The detector and the split to judge: one split at a time, for each tells something else."""
    parts, rest = loop.parts(found, said), loop.left_out(found, said)
    if rest:
        told = (f"{several(each.feedback, 'feedback')} ({each.reason})" for each in rest)
        st.caption(f"Left out: {'; '.join(told)}.")
    if parts.is_empty():
        st.info("No feedback is on a picture of the dataset outside training: nothing to judge by.")
        return None
    detectors = {
        judging.name(*detector): detector for detector in parts.select(DETECTOR).unique(maintain_order=True).rows()
    }
    name = left.selectbox("Detector", list(detectors), key="detector", bind="query-params")
    model, version = detectors[str(name)]
    own = parts.filter(model=model, model_version=version)
    split = right.selectbox("Split", own["split"].to_list(), key="of_split", bind="query-params")
    return model, version, str(split)


def _beside(found: Dataset, said: Feedback, part: Part, rule: Rule, seed: int, place: DeltaGenerator) -> None:
    """The chosen detector beside another, on the images that both have seen."""
    model, version, split = part
    parts = loop.parts(found, said).filter(split=split)
    others = {judging.name(*other): other for other in parts.select(DETECTOR).rows() if other != (model, version)}
    if not others:
        st.info(f"No other detector has feedback on a picture of {split}: there is nothing to set beside this one.")
        return
    name = str(place.selectbox("Beside", list(others), key="beside", bind="query-params"))
    detectors = (model, version), others[name]
    paired = loop.paired(found, said, detectors, split, rule, seed)
    names = judging.name(model, version), name
    st.caption(
        f"{several(paired.images, 'image')} of {split} in {several(paired.groups, 'group')} that both have seen, "
        f"{several(paired.truth[1], 'box')} of the truth. Left out, seen by one alone: {paired.only[0]:,} "
        f"({layout.plain(names[0])}), {paired.only[1]:,} ({layout.plain(names[1])}). {_cuts(paired, names)}"
    )
    if not paired.images:
        layout.cannot_tell(f"which is better: no image of {split} was seen by both.")
        return
    pair_charts.show(paired, names, detectors, split, what="detectors")


def _cuts(paired: Paired, names: tuple[str, str]) -> str:
    told = (
        f"{layout.plain(name)} no box" if cut is None else f"{layout.plain(name)} from {cut:g} on"
        for name, cut in zip(names, paired.cuts, strict=True)
    )
    unlike = paired.cuts[0] != paired.cuts[1]
    less = " The one that keeps fewer is at a disadvantage: average precision falls with the cut." if unlike else ""
    return f"Boxes that were kept: {', '.join(told)}.{less}"


def _least(cut: float | None, rule: Rule, place: DeltaGenerator) -> float:
    """The confidence above which boxes are taken: at least the cut, below which some are missing."""
    lowest = min(math.ceil((cut or 0.0) * 100) / 100, 0.98)
    usual = max(lowest, rule.doubtful)
    key = "above"
    return place.slider("Boxes above a confidence of", lowest, 0.99, usual, 0.01, key=key, bind="query-params")


def _class(found: Dataset, said: Feedback, part: Part, place: DeltaGenerator) -> int | None:
    """The class of the address, of those with boxes of the truth, the most frequent first; None: all together."""
    counted = loop.matched(found, said, part).truth["class_id"].value_counts(sort=True)
    ids = counted.sort("count", "class_id", descending=[True, False])["class_id"]
    names = {found.taxonomy.names[class_id]: int(class_id) for class_id in ids}
    chosen = place.selectbox("Class", [curve_charts.ALL, *names], key="of_class", bind="query-params")
    return names.get(str(chosen))
