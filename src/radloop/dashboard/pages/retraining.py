"""Re-training: what will the next model learn, and what was kept from it?"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop import slices, tree
from radloop.catalog.rule import Rule
from radloop.dashboard import figures, layout, links, loading, loop
from radloop.dashboard.loading import Dataset, Feedback, Reviewed
from radloop.errors import RadloopError
from radloop.feedback import arrivals, retraining
from radloop.feedback.retraining import Decided
from radloop.options import Dashboard
from radloop.tables import CLASS_ID, DETECTOR, FATES
from radloop.taxonomy import NOTHING, Taxonomy
from radloop.words import several

_FATES = {
    "kept": "is in the table; where it has a code it does not train",
    "withheld": "held out: its picture, or one like it, is for testing",
    "disputed": "its reviewers disagree, or a review cannot be read: waits for one that decides",
    "unused": "the rule does not take it",
    "refused": "cannot be used",
}

_CALIBRATED: Final = "their class's threshold"
_ONE: Final = "one threshold"
_THRESHOLDS: Final = pl.Schema(
    {
        **dict.fromkeys(DETECTOR, pl.String()),
        "class_id": CLASS_ID,
        "above": pl.Float64(),
        **dict.fromkeys(("boxes", "groups"), pl.Int64()),
        **dict.fromkeys(("precision", "low"), pl.Float64()),
        "too_few": pl.Boolean(),
    }
)


def page(inputs: Dashboard) -> None:
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
        _last(inputs.retrain_table)
        return
    found, said = layout.dataset(inputs), layout.feedback(inputs)
    if found is None or said is None or reviewed is None:
        return
    if not loop.has_images(found):
        layout.missing("A table alone does not tell which images are held out.", "radloop transform")
        return
    _now(found, said, reviewed, loading.last_rule(inputs.retrain_table))


def _now(found: Dataset, said: Feedback, reviewed: Reviewed, last: Rule) -> None:
    rule = _rule(last, found.taxonomy)
    decided = loop.decided(found, said, reviewed, rule)
    if decided.unproven.height:
        st.info(
            "Feedback of a model of which the last round knew nothing: `radloop retrain` finds its thresholds, or "
            "stops where it was shown no image of validation."
        )
    counted = retraining.count(decided.fates)
    for column, (fate, number) in zip(st.columns(len(counted)), counted.items(), strict=True):
        column.metric(fate, f"{number:,}", border=True, help=_FATES[fate])
    st.caption(f"Of {decided.fates.height:,} feedback files; each met exactly one fate.")
    if found.incoming.height:
        st.markdown(f"**Incoming:** {arrivals.words(loop.arrived(found, said, reviewed, rule))}.")
    st.code(_command(rule), language="bash")
    _rows(decided, found.taxonomy)
    _why(decided)
    _balance(found, decided)


def _rule(last: Rule, classes: Taxonomy) -> Rule:
    """The rule of the last round, with what is chosen here in its place."""
    left, right = st.columns(2)
    rule = last
    if last.thresholds:
        first = _CALIBRATED if last.policy == "calibrated" else _ONE
        chosen = left.segmented_control(
            "Without a review, boxes above", [_CALIBRATED, _ONE], default=first, required=True
        )
        rule = replace(last, policy="calibrated" if chosen == _CALIBRATED else "threshold")
    if rule.policy == "threshold":
        at = float(last.min_confidence)
        lowest, highest = min(0.5, at), max(0.99, at)
        least = left.slider("Without a review, boxes above a confidence of", lowest, highest, at, 0.01)
        rule = replace(rule, min_confidence=least, thresholds=(), calibrations=())
    require = right.toggle("Only what was reviewed", value=last.require_review)
    if last.include_held_out:
        st.warning("**Held-out images train, too:** the last round did so. What they measured is worth nothing then.")
    if rule.policy == "calibrated":
        _thresholds(rule, classes)
    return replace(rule, require_review=require)


def _thresholds(rule: Rule, classes: Taxonomy) -> None:
    """From which confidence on a box of each class is a label, and what proves it."""
    table = pl.DataFrame([asdict(one) for one in rule.thresholds], schema=_THRESHOLDS)
    why = (
        pl.when(pl.col("above").is_not_null()).then(pl.lit("proven"))
        .when("too_few").then(pl.lit("too few boxes to prove any: no label without a review"))
        .otherwise(pl.lit("none is proven: no label without a review"))
    )  # fmt: skip
    named = table.with_columns(class_name=classes.named(pl.col("class_id")), says=why)
    proven, silent = table["above"].count(), table["above"].null_count()
    st.markdown("**From which confidence on a box is a label, class by class**")
    st.caption(
        f"Above it at least {rule.precision:.0%} of the boxes are right, proven on held-out images, for "
        f"{several(proven, 'class')}; {several(silent, 'class')} without one. Boxes below are regions to ignore. As in "
        "the last round: `radloop retrain` works them out anew."
    )
    shown = named.select("model", "model_version", "class_name", "above", "says", "boxes", "groups", "precision", "low")
    layout.table(shown, key="class-thresholds", opened=True)


def _command(rule: Rule) -> str:
    """The command that retrains by this rule.

    >>> _command(Rule(policy="calibrated", precision=0.8))
    'radloop retrain --policy calibrated --precision 0.8'
    """
    if rule.policy == "calibrated":
        least = f" --policy calibrated --precision {rule.precision:g}"
    else:
        least = f" --min-confidence {rule.min_confidence:g}" if rule.min_confidence != Rule().min_confidence else ""
    flags = (" --require-review" * rule.require_review) + (" --include-held-out" * rule.include_held_out)
    flags += " --allow-simulated" * rule.allow_simulated
    return f"radloop retrain{least}{flags}"


def _rows(decided: Decided, classes: Taxonomy) -> None:
    sources = decided.rows.group_by("source").agg(rows=pl.len(), images=pl.col("image_id").n_unique()).sort("source")
    if decided.rows.is_empty():
        st.info("Nothing would train. Reviews make the most of it: see Review.")
        return
    said = ", ".join(f"{rows:,} of {source}" for source, rows in sources.select("source", "rows").iter_rows())
    st.markdown(f"**{_counted_rows(decided.rows)}:** {said}")
    idle = decided.rows.filter(~pl.col("trains")).height
    if idle:
        st.info(f"{idle:,} of the rows do not train (column `trains`): Why, below, says so.")
    if (sources["source"] == "simulated-review").any():
        st.warning("**Simulated:** rows of simulated reviews are among them, marked in the column `source`.")
    st.download_button(
        "Download retrain.csv",
        lambda: retraining.csv(decided.rows, classes),
        tree.RETRAIN_TABLE,
        "text/csv",
        on_click="ignore",
    )
    layout.table(decided.rows, key="rows-now", opens=links.image_of)


def _counted_rows(rows: pl.DataFrame) -> str:
    return f"{several(rows.height, 'row')} on {several(rows['image_id'].n_unique(), 'image')}"


def _why(decided: Decided) -> None:
    why = _counted(decided.fates)
    st.markdown("**Why the rest does not train**")
    st.dataframe(why, hide_index=True, key="why")
    held = decided.fates.filter(pl.col("fate").is_in(["withheld", "disputed", "refused"]))
    layout.table(held.cast(FATES), key="withheld", opens=links.image_of)
    if decided.refused_reviews.height:
        waits = decided.waiting["feedback_id"].n_unique()
        st.error(
            f"**Refused:** {decided.refused_reviews.height:,} review files cannot be used; "
            f"{waits:,} feedback files wait."
        )
        layout.table(decided.refused_reviews, key="refused-reviews")


def _counted(fates: pl.DataFrame) -> pl.DataFrame:
    """fate, code, reason (the first of its kind), split, files: of those with a code, the most frequent first."""
    by, needed = ["fate", "code", "split"], fates.select("fate", "code", "split", "reason")
    parts = [
        some.cast(pl.String).group_by(by).agg(pl.col("reason").min(), files=pl.len()) for some in slices.of(needed)
    ]
    whole = pl.concat(parts).group_by(by).agg(pl.col("reason").min(), pl.col("files").sum())
    ordered = whole.drop_nulls("code").sort("files", "fate", "code", "split", descending=[True, False, False, False])
    return ordered.select("fate", "code", "reason", "split", "files")


def _before(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The images of a class that train now; which more will is in the table above."""
    return {"class": row["class_name"], "split": "training"} if row.get("when", "before") == "before" else None


def _balance(found: Dataset, decided: Decided) -> None:
    balance = loop.balance(found, decided.rows.filter("trains"))
    findings = balance.filter(pl.col("class_name") != NOTHING)
    shown, most = figures.most(findings, of="class_name", size="after", what="classes")
    long = shown.unpivot(["before", "after"], index="class_name", variable_name="when")
    figure = figures.bars(long, of="class_name", value="value", by="when", title="training images", opens=_before)
    title = "Training images of each class, before and after the next round"
    images = decided.rows.filter("trains")["image_id"].n_unique()
    units = (
        f"n: images with a label of the class in training now, and when the {several(images, 'image')} of the "
        f"table are added: what people drew on those from production comes along. {most}"
    )
    layout.chart(title, figure, balance, key="balance", units=units, opens=_before)


def _last(path: Path) -> None:
    if not path.is_file():
        layout.missing(layout.absent("retrain", path), "radloop retrain")
        return
    try:
        rows = loading.table(path, retraining.COLUMNS)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return
    if (rows["source"] == "simulated-review").any():
        st.warning("**Simulated:** rows of simulated reviews are among them, marked in the column `source`.")
    st.markdown(f"**{_counted_rows(rows)}**")
    st.download_button("Download retrain.csv", path.read_bytes, path.name, "text/csv", on_click="ignore")
    links.choose(rows, key="last-rows", opens=links.image_of)
    report = loading.document(path.with_name(tree.REPORT))
    if report:
        st.markdown("**What became of every feedback**")
        st.json(report, expanded=2)
