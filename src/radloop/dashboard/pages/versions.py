"""Versions: what changed from one to the next, what it did to the figures, and what each round learned from."""

from pathlib import Path
from typing import Final

import streamlit as st

from radloop.dashboard import layout, loading, loop, round_charts, version_charts
from radloop.dashboard.loading import Dataset, Feedback
from radloop.errors import RadloopError
from radloop.options import Dashboard

KEPT: Final = "versions"  # the folder of a dataset that keeps older ones
_VIEWS: Final = ("Two versions", "What it did to the figures", "Over the rounds")


def page(inputs: Dashboard) -> None:
    """Two versions of the dataset side by side, or all rounds so far."""
    said, found = layout.quiet_feedback(inputs), layout.quiet_dataset(inputs)
    layout.head(
        "Versions",
        "What changed from one version to the next, what did it do to the figures, and what did each round learn from?",
        simulated=layout.marks(found, said),
    )
    is_alone = inputs.compare is None and found is not None and not _kept(found)
    first = _VIEWS[2 if is_alone else 0]
    view = st.segmented_control("View", _VIEWS, default=first, required=True, key="view", bind="query-params")
    if view == _VIEWS[2]:
        round_charts.rounds(inputs.retrain_table.parent)
        if found is not None and said is not None and loop.has_images(found):
            round_charts.detectors(found, said, inputs.seed)
        return
    found = layout.dataset(inputs)
    other = None if found is None else _other(inputs, found)
    if found is None or other is None:
        return
    before, after = (found, other) if version_charts.follows(other, found) else (other, found)
    if not (before.has_splits and after.has_splits):
        layout.missing("One of the two tells no splits.", "radloop transform")
        return
    if view == _VIEWS[0]:
        version_charts.show(before, after, loop.changed(before, after), here=found)
        return
    said = layout.feedback(inputs)
    if said is not None:
        _figures(before, after, said, inputs)


def _figures(before: Dataset, after: Dataset, said: Feedback, inputs: Dashboard) -> None:
    if not (loop.has_images(before) and loop.has_images(after)):
        layout.missing("A table alone does not tell which picture an image is.", "radloop transform")
        return
    version_charts.figures_of(before, after, said, loading.last_rule(inputs.retrain_table), inputs.seed)


def _other(inputs: Dashboard, found: Dataset) -> Dataset | None:
    """The version that is set beside the dataset: that of the setting, or one that the dataset keeps."""
    kept = _kept(found)
    if inputs.compare is None and not kept:
        layout.missing("There is no other version to set beside this one.", "radloop dashboard --compare DIR|CSV")
        return None
    path = inputs.compare
    if path is None:
        names = {folder.name: folder for folder in kept}
        path = names[str(st.selectbox("Beside version", list(names), key="beside", bind="query-params"))]
    try:
        if not path.exists():
            st.error(f"**Refused:** {layout.absent('other version', path)}")
            return None
        return loading.dataset(path)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return None


def _kept(found: Dataset) -> list[Path]:
    """The folders of older versions, the newest first."""
    folder = None if found.root is None else found.root / KEPT
    if folder is None or not folder.is_dir():
        return []
    versions = [one for one in folder.iterdir() if (one / "annotations.parquet").is_file()]
    return sorted(versions, key=lambda one: (one.stat().st_mtime_ns, one.name), reverse=True)
