"""Versions: which were published, what changed from one to the next and in the figures, what each round learned."""

from typing import Final

import polars as pl
import streamlit as st

from radloop.dashboard import kept_versions, landmarks, layout, loading, loop, round_charts, version_charts
from radloop.dashboard.loading import Dataset, Feedback
from radloop.errors import RadloopError
from radloop.options import Dashboard
from radloop.words import several

_ALL: Final = "All versions"
_TWO: Final = "Two versions"
_FIGURES: Final = "What it did to the figures"
_ROUNDS: Final = "Over the rounds"
_THIS: Final = "the dataset shown here"


def page(inputs: Dashboard) -> None:
    """Every version that was published, two of them side by side, or all rounds so far."""
    said, found = layout.quiet_feedback(inputs), layout.quiet_dataset(inputs)
    layout.head(
        "Versions",
        "What changed from one version to the next, what did it do to the figures, and what did each round learn from?",
        simulated=layout.marks(found, said),
    )
    history = _history(inputs)
    views = (_ALL, _TWO, _FIGURES, _ROUNDS)
    first = _TWO if inputs.compare is not None else _ROUNDS if history is None or history.is_empty() else _ALL
    view = st.segmented_control("View", views, default=first, required=True, key="view", bind="query-params")
    if view == _ALL:
        _published(inputs, history, found)
    elif view == _ROUNDS:
        round_charts.rounds(inputs.retrain_table.parent)
        if found is not None and said is not None and loop.has_images(found):
            round_charts.detectors(found, said, inputs.seed)
    else:
        _beside(inputs, view)


def _history(inputs: Dashboard) -> pl.DataFrame | None:
    """HISTORY; one that cannot be used is shown as refused."""
    try:
        return kept_versions.published(inputs)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return None


def _published(inputs: Dashboard, history: pl.DataFrame | None, found: Dataset | None) -> None:
    """A row each time that a version was published or brought back, the newest first."""
    if history is None:
        return
    if history.is_empty():
        layout.missing("Nothing tells which versions were published.", "radloop load")
        return
    here = None if found is None else found.summary.get("version")
    shown = history.reverse().select(
        pl.col("published_at").dt.strftime("%Y-%m-%d %H:%M").alias("time (UTC)"),
        "version",
        "action",
        (pl.col("version") == pl.lit(here)).fill_null(value=False).alias("shown here"),
        "kept",
        "images",
        "labels",
        "boxes",
        pl.Series(
            "what changed",
            [landmarks.changed(row) for row in history.reverse().iter_rows(named=True)],
            dtype=pl.String(),
        ),
        "previous",
    )
    kept = history.filter("kept")["version"].n_unique()
    st.caption(
        f"{several(history['version'].n_unique(), 'version')}, published {several(history.height, 'time')}; "
        f"{several(kept, 'version')} can be brought back (kept)."
    )
    st.dataframe(shown, hide_index=True, key="history")
    layout.download(shown, key="history")
    st.caption("The store brings one back, or gives a copy of it:")
    st.code("radloop rollback --data ID\nradloop pull --version ID --out FOLDER", language="bash")


def _beside(inputs: Dashboard, view: str) -> None:
    """Two versions, side by side or by what the change did to the figures."""
    found = layout.dataset(inputs)
    pair = None if found is None else _pair(inputs, found)
    if found is None or pair is None:
        return
    one, other = pair
    before, after = (one, other) if version_charts.follows(other, one) else (other, one)
    if not (before.has_splits and after.has_splits):
        layout.missing("One of the two tells no splits.", "radloop transform")
        return
    if view == _TWO:
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


def _pair(inputs: Dashboard, found: Dataset) -> tuple[Dataset, Dataset] | None:
    """The dataset and that of the setting; or two that are chosen of it and those that the store keeps."""
    try:
        if inputs.compare is not None:
            if not inputs.compare.exists():
                st.error(f"**Refused:** {layout.absent('other version', inputs.compare)}")
                return None
            return found, loading.dataset(inputs.compare)
        own = version_charts.name(found)
        kept = [version for version in kept_versions.kept(inputs) if version != own]
        if not kept:
            layout.missing(
                "There is no other version on this machine to set beside this one.",
                "radloop versions                 # those that the store keeps\n"
                "radloop pull --version ID --out OTHER\n"
                "radloop dashboard --compare OTHER",
            )
            return None
        return _chosen(inputs, found, kept)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return None


def _chosen(inputs: Dashboard, found: Dataset, kept: list[str]) -> tuple[Dataset, Dataset]:
    left, right = st.columns(2)
    after = str(left.selectbox("Version", [_THIS, *kept], key="of_version", bind="query-params"))
    one = found if after == _THIS else kept_versions.read(inputs, after)
    others = [name for name in (*kept, _THIS) if name not in (after, version_charts.name(one))]
    previous = one.summary.get("previous")
    index = others.index(previous) if previous in others else 0
    before = str(right.selectbox("Beside version", others, index=index, key="beside", bind="query-params"))
    return one, found if before == _THIS else kept_versions.read(inputs, before)
