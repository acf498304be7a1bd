"""Re-training: what will the next model learn, and what was kept from it?"""

from pathlib import Path

import polars as pl
import streamlit as st

from radloop.dashboard import figures, layout, loading, loop
from radloop.dashboard.inputs import Inputs
from radloop.dashboard.loading import Dataset, Feedback, Reviewed
from radloop.errors import RadloopError
from radloop.feedback import retraining
from radloop.feedback.retraining import Decided
from radloop.tables import CLASS_NAMES, NO_FINDING

_FATES = {
    "kept": "trains the next model",
    "withheld": "held out: its picture, or one like it, is for testing",
    "disputed": "its reviewers disagree: waits for one who decides",
    "unused": "the rule does not take it",
    "refused": "cannot be used",
}


def page(inputs: Inputs) -> None:
    """What would be learned now, and what the last round holds."""
    found, said = layout.quiet_dataset(inputs), layout.quiet_feedback(inputs)
    reviewed = layout.reviews(inputs)
    layout.head(
        "Re-training",
        "What will the next model learn, and what was kept from it?",
        simulated=layout.marks(found, said, reviewed),
    )
    view = st.segmented_control("View", ["If it ran now", "The last round"], default="If it ran now", required=True)
    if view == "The last round":
        _last(inputs.retrain)
        return
    found, said = layout.dataset(inputs), layout.feedback(inputs)
    if found is None or said is None or reviewed is None:
        return
    if not loop.has_images(found):
        layout.missing("A table alone does not tell which images are held out.", "radloop transform")
        return
    _now(found, said, reviewed)


def _now(found: Dataset, said: Feedback, reviewed: Reviewed) -> None:
    left, right = st.columns(2)
    least = left.slider("Without a review, boxes above a confidence of", 0.5, 0.99, retraining.MIN_CONFIDENCE, 0.01)
    require = right.toggle("Only what was reviewed", value=False)
    decided = loop.decided(found, said, reviewed, least, require)
    counted = retraining.count(decided.fates)
    for column, (fate, number) in zip(st.columns(len(counted)), counted.items(), strict=True):
        column.metric(fate, f"{number:,}", border=True, help=_FATES[fate])
    st.caption(f"Of {decided.fates.height:,} feedbacks; each met exactly one fate.")
    st.code("radloop retrain" + (f" --min-confidence {least:g}" if least != retraining.MIN_CONFIDENCE else "")
            + (" --require-review" if require else ""), language="bash")  # fmt: skip
    _rows(decided)
    _why(decided)
    _balance(found, decided)


def _rows(decided: Decided) -> None:
    sources = decided.rows.group_by("source").agg(rows=pl.len(), images=pl.col("image_id").n_unique()).sort("source")
    if decided.rows.is_empty():
        st.info("Nothing would train. Reviews make the most of it: see Review.")
        return
    said = ", ".join(f"{rows:,} of {source}" for source, rows in sources.select("source", "rows").iter_rows())
    st.markdown(f"**{decided.rows.height:,} rows on {decided.rows['image_id'].n_unique():,} images:** {said}")
    if (sources["source"] == "simulated-review").any():
        st.warning("**Simulated:** rows of simulated reviews are among them, marked in the column `source`.")
    st.download_button(
        "Download retrain.csv", lambda: retraining.csv(decided.rows), "retrain.csv", "text/csv", on_click="ignore"
    )
    layout.table(decided.rows, key="rows-now")


def _why(decided: Decided) -> None:
    why = decided.fates.group_by("fate", "reason", "split").agg(feedbacks=pl.len()).sort("feedbacks", descending=True)
    st.markdown("**Why the rest does not train**")
    st.dataframe(why.filter(pl.col("fate") != "kept"), hide_index=True, key="why")
    held = decided.fates.filter(pl.col("fate").is_in(["withheld", "disputed", "refused"]))
    layout.table(held, key="withheld")
    if decided.refused_reviews.height:
        st.error(f"**Refused:** {decided.refused_reviews.height:,} review files cannot be used.")
        layout.table(decided.refused_reviews, key="refused-reviews")


def _balance(found: Dataset, decided: Decided) -> None:
    balance = loop.balance(found, decided.rows)
    findings = balance.filter(pl.col("class_name") != CLASS_NAMES[NO_FINDING])
    long = findings.unpivot(["before", "after"], index="class_name", variable_name="when")
    figure = figures.bars(long, of="class_name", value="value", by="when", title="training images")
    layout.chart("Training images of each class, before and after the next round", figure, balance, key="balance")


def _last(path: Path | None) -> None:
    if path is None or not path.is_file():
        layout.missing(layout.absent("retrain", path), "radloop retrain")
        return
    try:
        rows = loading.table(path, retraining.COLUMNS)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return
    if (rows["source"] == "simulated-review").any():
        st.warning("**Simulated:** rows of simulated reviews are among them, marked in the column `source`.")
    st.markdown(f"**{rows.height:,} rows on {rows['image_id'].n_unique():,} images**")
    st.download_button("Download retrain.csv", path.read_bytes, path.name, "text/csv", on_click="ignore")
    st.dataframe(rows, hide_index=True, key="last-rows")
    report = loading.document(path.with_name("report.json"))
    if report:
        st.markdown("**What became of every feedback**")
        st.json(report, expanded=2)
