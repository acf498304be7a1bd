"""Overview: is the data sound, and what needs attention?"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import polars as pl
import streamlit as st

from radloop.dashboard import figures, layout, loading, soundness
from radloop.dashboard.loading import Dataset, Feedback
from radloop.measures import counts
from radloop.options import Dashboard

_MARKS: Final[Mapping[soundness.Verdict, str]] = {
    "proved": ":green[proved]",
    "wrong": ":red[**WRONG**]",
    "cannot tell": ":gray[cannot tell]",
    "as it is": ":gray[as it is]",
}


@loading.measured
def _totals(dataset: Dataset) -> dict[str, int]:
    return counts.totals(dataset.labels)


@loading.measured
def _sizes(dataset: Dataset) -> pl.DataFrame:
    return counts.split_sizes(dataset.rows, dataset.wanted)


def page(inputs: Dashboard) -> None:
    """The state of the dataset in one look."""
    found = layout.dataset(inputs)
    said = layout.quiet_feedback(inputs)
    layout.head("Overview", "Is the data sound, and what needs attention?", simulated=layout.marks(found, said))
    if found is not None:
        _numbers(found)
        left, right = st.columns([3, 2], gap="large")
        with left:
            _splits(found)
        with right:
            _checked(found)
        _attention(found, said)
        _facts(found)


def _numbers(found: Dataset) -> None:
    totals = _totals(found)
    shown = {
        "Images": totals["images"],
        "with a finding": totals["images_with_finding"],
        "Boxes": totals["boxes"],
        "Readers": layout.readers(found),
        "Readings": totals["readings"],
    }
    for column, (name, number) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(name, f"{number:,}", border=True)
    layout.in_use(found)
    st.caption(f"Read by {layout.who_read(found)}.")


def _splits(found: Dataset) -> None:
    sizes = _sizes(found)
    if not found.has_splits:
        st.info("The table has no splits, so none are shown. `radloop transform` makes them.")
        return
    figure = figures.bars(sizes, of="split", value="images", title="images")
    if found.wanted:
        figure.add_scatter(
            y=sizes["split"].to_list(),
            x=sizes["target"].to_list(),
            name="target",
            mode="markers",
            marker={"symbol": "line-ns", "size": 16, "line": {"width": 3, "color": figures.ORANGE}},
        )
        figure.update_layout(showlegend=True)
        figure.data[0].name = "images"
    units = f"n: {sizes['images'].sum():,} images. The target is what was asked for, before any round of re-training."
    layout.chart("Images in each split, against the target", figure, sizes, key="split-sizes", units=units)


def _checked(found: Dataset) -> None:
    st.markdown("**What was checked just now**")
    done = soundness.checks(found)
    for check in done:
        st.markdown(f"{_MARKS[check.verdict]} — {layout.plain(check.says)}")
    if not done:
        st.markdown("Nothing: a table alone proves nothing of files.")
    if found.root is not None:
        st.caption("Every file, picture and label line is checked by")
        st.code(f"radloop check {found.root}", language="bash")


def _attention(found: Dataset, said: Feedback | None) -> None:
    notes = list(soundness.attention(found))
    if said is not None and said.records.refused.height:
        notes.append(f"{said.records.refused.height:,} feedback files cannot be used (see Feedback).")
    st.subheader("Needs attention")
    if not notes:
        st.markdown("Nothing.")
    for note in notes:
        st.markdown(f"- {layout.plain(note)}")
    if found.refused.height:
        layout.table(found.refused, key="refused-rows")


def _facts(found: Dataset) -> None:
    settings = found.summary.get("settings")
    age = datetime.now(UTC) - found.written
    facts = {
        "version": found.summary.get("version", "none"),
        "source": found.summary.get("source", "a table alone"),
        "written": f"{found.written:%Y-%m-%d %H:%M} UTC ({layout.age(age)} ago)",
        "label files": found.summary.get("labels_created"),
        "pictures": found.summary.get("images_copied"),
        "rows kept, refused": f"{found.summary.get('rows_kept')}, {found.summary.get('rows_refused')}",
    } | (
        {str(name): value for name, value in settings.items() if name != "sizes"} if isinstance(settings, dict) else {}
    )
    with st.expander("Where it comes from", expanded=True):
        rows = [(name, str(value)) for name, value in facts.items() if value is not None]
        st.dataframe(pl.DataFrame(rows, schema=["what", "value"], orient="row"), hide_index=True, key="facts")
