"""Two sides of a comparison, class by class, and whether their difference is more than chance."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.catalog.judging import Paired
from radloop.dashboard import figures, layout, links
from radloop.dashboard.curve_charts import ALL
from radloop.measures import compared

Detector = tuple[str, str]  # model, version

NAMES: Final[Mapping[str, str]] = {
    "ap": "AP@0.4",
    "recall": "Recall as labels",
    "sensitivity": "Found at 1 false box an image",
    "cpm": "CPM",
}


def show(
    paired: Paired, names: tuple[str, str], detectors: tuple[Detector, Detector], split: str, *, what: str
) -> None:
    """The chosen figure of both sides and its difference; what: they are, in plural."""
    opens = _opens(detectors, split)
    chosen = str(
        st.segmented_control(
            "Figure", list(NAMES), default="ap", format_func=lambda one: NAMES[str(one)], required=True, key="figure"
        )
    )
    told = paired.figures.filter(figure=chosen).with_columns(class_name=pl.col("class_name").fill_null(_all(chosen)))
    known = told.drop_nulls("difference")
    if known.is_empty():
        layout.cannot_tell(_why_not(chosen))
        return
    verdicts = pl.Series("second is", [compared.words(row) for row in told.iter_rows(named=True)], pl.String)
    shown, most = figures.most(known, of="class_name", size="truth_second", what="classes", besides=[_all(chosen)])
    whole = known.filter(pl.col("class_id").is_null())
    if whole.height:
        row = whole.row(0, named=True)
        st.markdown(
            f"**{layout.plain(_all(chosen))}, {NAMES[chosen]}:** {row['first']:.3f} and {row['second']:.3f}; the "
            f"difference {row['difference']:+.3f}{_within(row)}: {layout.plain(names[1])} "
            f"{_verdict(compared.words(row))}."
        )
    left, right = st.columns(2, gap="medium")
    with left:
        long = pl.concat(
            [
                shown.select("class_id", "class_name", side=pl.lit(name), place=place, value=column)
                for place, (name, column) in enumerate(zip(_apart(names), ("first", "second"), strict=True))
            ]
        )
        figure = figures.dots(long, of="class_name", value="value", by="side", title=NAMES[chosen], opens=opens)
        figure.update_xaxes(range=[-0.02, 1.02])
        says = _says(chosen, paired.min_confidence)
        layout.chart(f"{NAMES[chosen]} of the two {what}", figure, None, key="pair-figures", units=says, opens=opens)
    with right:
        figure = figures.dots(
            shown.with_columns(side=pl.lit("difference")),
            of="class_name",
            value="difference",
            by="side",
            title=f"{names[1]} - {names[0]}",
            opens=opens,
        )
        figure.add_vline(x=0, line_dash="dash", line_color=figures.GREY)
        figure.update_layout(showlegend=False)
        units = (
            f"Right of the line: the second is better. Hollow: too few groups for an interval, or no difference. {most}"
        )
        layout.chart(
            "Their difference with its 95 % interval, over the same images",
            figure,
            told.with_columns(verdicts),
            key="pair-difference",
            units=units,
            opens=opens,
        )


def _opens(detectors: tuple[Detector, Detector], split: str) -> links.Opens:
    """The images of the split with the class of a row, and what the detector of its side found there."""

    def opens(row: Mapping[str, Any]) -> Mapping[str, Any]:
        model, version = detectors[row.get("place", 1)]
        name = None if row["class_id"] is None else row["class_name"]
        return {"class": name, "split": split, "model": model, "version": version}

    return opens


def _within(row: Mapping[str, Any]) -> str:
    return "" if row["difference_low"] is None else f" ({layout.interval(row, 'difference')})"


def _all(figure: str) -> str:
    return "mean of the classes" if figure == "ap" else ALL


def _apart(names: tuple[str, str]) -> tuple[str, str]:
    """Two names that differ: as they do not where one thing is set beside itself."""
    return names if names[0] != names[1] else (f"{names[0]} (first)", f"{names[1]} (second)")


def _says(figure: str, least: float) -> str:
    return {
        "ap": "Of all boxes that each keeps.",
        "recall": f"Share of the truth that boxes above {least:g} find.",
        "sensitivity": "Share of the truth found at a threshold with at most one false box of the class an image.",
        "cpm": "The mean of what is found at 1/8 to 8 false boxes an image.",
    }[figure]


def _why_not(figure: str) -> str:
    if figure in ("sensitivity", "cpm"):
        return "one of the two keeps too few boxes to reach that many false boxes an image, in every class."
    return "there is no box in the truth of these images."


def _verdict(words: str) -> str:
    return {
        "better": "is better, by more than chance",
        "worse": "is worse, by more than chance",
        "cannot be told apart": "cannot be told apart from it by these images",
        "the same in every draw": "is the same, however the images are drawn",
        "too few to say": "is on too few groups to say",
    }[words]
