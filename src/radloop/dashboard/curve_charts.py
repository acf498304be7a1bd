"""The view of the Detector page that draws precision against recall, and FROC."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from radloop.catalog import kept
from radloop.catalog.judging import Matched
from radloop.dashboard import figures, layout, links
from radloop.dashboard.loop import Curve
from radloop.measures.curves import Froc
from radloop.measures.intervals import LEAST_FOR_DRAWS
from radloop.words import several

ALL: Final = "all classes together"
_TICKS: Final = {0.125: "1/8", 0.25: "1/4", 0.5: "1/2", 1.0: "1", 2.0: "2", 4.0: "4", 8.0: "8"}
_LEFT: Final = 1 / 16  # where a logarithmic axis of false boxes begins, unless there are so few
Part = tuple[str, str, str]  # model, version, split
_UNSEEN: Final = {"marker": {"opacity": 0}}
_CLICKABLE: Final[Mapping[str, Any]] = {  # Plotly takes no click on a line: points that nobody sees take it
    "mode": "lines+markers",
    "marker": {"size": 12, "opacity": 0},
    "selected": _UNSEEN,
    "unselected": _UNSEEN,
}
_BAND: Final = "rgba(86, 180, 233, 0.25)"


def show(here: Matched, froc: Froc, curve: Curve, class_id: int | None, part: Part) -> None:
    """Both curves of one class, or of all together, and the figures of every class."""
    finds = froc.sensitivity.filter(_is(class_id))
    if finds.is_empty():
        layout.cannot_tell("how much of the truth is found: there is no box in the truth of these images.")
        return
    whole = froc.cpm.filter(_is(class_id)).row(0, named=True)
    cut = kept.words(here.cut, told=kept.told(here.looked), top_box_only=kept.top_box_only(here.looked))
    st.caption(
        f"{several(whole['truth'], 'box')} of the truth on {several(here.images.height, 'image')} in "
        f"{several(here.images['group'].n_unique(), 'group')}; {_joined(class_id)}its boxes: {cut}."
    )
    opens = _opens(part, whole["class_name"])
    left, right = st.columns(2, gap="medium")
    with left:
        _precision(here, curve, class_id, opens)
    with right:
        _froc(curve, finds, whole, opens)
    _every_class(froc)


def _opens(part: Part, class_name: str | None) -> Callable[[str | None], links.Opens]:
    """The images with boxes from the confidence of a row on; of an outcome, or of any."""
    model, version, split = part
    asked = {"class": class_name, "split": split, "model": model, "version": version}

    def of_outcome(outcome: str | None) -> links.Opens:
        def opens(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
            if row["confidence"] is None:
                return None
            above = max(round(row["confidence"] - 1e-6, 6), 0.0)  # the filter takes what is strictly above
            return asked | {"outcome": outcome, "min_confidence": above}

        return opens

    return of_outcome


def _is(class_id: int | None) -> pl.Expr:
    return pl.col("class_id").eq_missing(pl.lit(class_id, pl.Int64))


def _joined(class_id: int | None) -> str:
    return "each box is matched within its class; " if class_id is None else ""


def _precision(here: Matched, curve: Curve, class_id: int | None, opens: Callable[[str | None], links.Opens]) -> None:
    reached = curve.precision.drop_nulls("confidence")
    figure = figures.empty(x="recall: share of the truth found", y="precision: share of the boxes that is right")
    band = reached.drop_nulls("precision_low")
    figure.add_scatter(
        x=[*band["recall"], *band["recall"].reverse()],
        y=[*band["precision_high"], *band["precision_low"].reverse()],
        fill="toself",
        fillcolor=_BAND,
        line={"width": 0},
        name="95 % interval",
        hoverinfo="skip",
    )
    whole = pl.col("confidence") >= (2.0 if here.cut is None else here.cut)
    for name, part, dash in (
        ("best precision at that recall", reached.filter(whole), "solid"),
        ("below the cut: boxes are missing", reached.filter(~whole), "dot"),
    ):
        if part.height:
            figure.add_scatter(
                x=part["recall"].to_list(),
                y=part["precision"].to_list(),
                text=part["confidence"].to_list(),
                customdata=figures.addresses(part, opens(None)),
                hovertemplate="recall %{x:.2f}<br>precision %{y:.3f}<br>from a confidence of %{text:.3f}",
                line={"color": figures.SKY, "dash": dash},
                name=name,
                **_CLICKABLE,
            )
    figure.update_xaxes(range=[0, 1.01])
    figure.update_yaxes(range=[0, 1.02])
    average = layout.number(float(curve.precision["precision"].to_numpy().mean()))
    units = (
        f"COCO's 101 points; their mean, 0 where no box is left, is the average precision: {average}."
        + (" All boxes in one list: not mAP, which is the mean over the classes." if class_id is None else "")
        + _few(reached["precision_low"])
    )
    layout.chart(
        "Precision against recall", figure, curve.precision, key="precision-recall", units=units, opens=opens(None)
    )


def _few(low: pl.Series) -> str:
    """Why there is no interval, where there is none."""
    return f" No interval: fewer than {LEAST_FOR_DRAWS} groups with a box of the truth." if low.is_null().all() else ""


def _froc(curve: Curve, finds: pl.DataFrame, whole: dict[str, Any], opens: Callable[[str | None], links.Opens]) -> None:
    figure = figures.empty(x="false boxes an image, at most (log scale)", y="sensitivity: share of the truth found")
    known = curve.points.filter("whole")
    begin = _begin(whole["reached"])
    left = pl.col("false_positives") <= begin
    drawn = pl.concat([known.filter(left).tail(1), known.filter(~left)])
    none = [] if known.select(left.any()).item() else [begin]  # with no box nothing is found
    figure.add_scatter(
        x=[*none, *drawn["false_positives"].clip(begin)],
        y=[*(0.0 for _ in none), *drawn["recall"]],
        text=[*(None for _ in none), *drawn["confidence"]],
        customdata=[*("" for _ in none), *(figures.addresses(drawn, opens("false")) or ())],
        hovertemplate="%{x:.3f} false boxes an image<br>sensitivity %{y:.3f}<br>from a confidence of %{text:.3f}",
        line={"color": figures.SKY, "shape": "hv"},
        name="each threshold",
        **_CLICKABLE,
    )
    known_rates = finds.drop_nulls("sensitivity")
    if known_rates.height:
        figure.add_trace(_dots(known_rates, opens("false")))
    ticks = [2.0**power for power in range(round(math.log2(begin)), 4)]
    names = [f"1/{1 / tick:g}" if tick < 1 else f"{tick:g}" for tick in ticks]
    figure.update_xaxes(type="log", range=[math.log10(begin) - 0.05, 0.95], tickvals=ticks, ticktext=names)
    figure.update_yaxes(range=[0, 1.02])
    beyond = (
        f" Beyond {whole['reached']:.2g} false boxes an image nothing is known: boxes below the cut were not kept. "
        f"At any higher rate at least {layout.share(finds['at_least'][-1])} is found."
        if finds["sensitivity"].has_nulls()
        else ""
    )
    few = _few(known_rates["sensitivity_low"]) if known_rates.height else ""
    units = f"CPM, the mean over the seven rates: {cpm(whole)}.{beyond}{few}"
    title = "FROC: how much is found at how many false boxes"
    says = f"{units} A threshold leads to its false boxes."
    layout.chart(title, figure, finds, key="froc", units=says, opens=opens("false"))


def _begin(reached: float) -> float:
    """Where the axis of false boxes begins: a power of 2, an eighth of the highest rate or less."""
    return 2.0 ** max(min(math.floor(math.log2(max(reached, 1e-9) / 8)), math.floor(math.log2(_LEFT))), -10)


def _dots(finds: pl.DataFrame, opens: links.Opens) -> go.Scatter:
    return go.Scatter(
        x=finds["rate"].to_list(),
        y=finds["sensitivity"].to_list(),
        customdata=figures.addresses(finds, opens),
        error_y={
            "type": "data",
            "array": (finds["sensitivity_high"] - finds["sensitivity"]).fill_null(0).to_list(),
            "arrayminus": (finds["sensitivity"] - finds["sensitivity_low"]).fill_null(0).to_list(),
            "color": figures.VERMILION,
        },
        mode="markers",
        marker={"color": figures.VERMILION, "size": 9, "symbol": _hollow(finds)},
        name="at the usual rates",
    )


def _hollow(finds: pl.DataFrame) -> list[str]:
    return ["circle-open" if few else "circle" for few in finds["sensitivity_low"].is_null()]


def cpm(row: dict[str, Any]) -> str:
    """The mean sensitivity in words, or what it is at least."""
    if row["cpm"] is None:
        return f"at least {row['at_least']:.3f} (not all rates are reached)"
    return f"{row['cpm']:.3f} ({layout.interval(row, 'cpm')})"


def _every_class(froc: Froc) -> None:
    """A row for each class: sensitivity at each rate, and CPM."""
    st.markdown("**Sensitivity of every class at each rate of false boxes an image, and CPM, their mean**")
    st.caption(
        f"Rates: {', '.join(_TICKS.values())} false boxes of the class on each image that was looked at. ≥: boxes of "
        "lower confidence were not kept; so much is found by those that were, how much at that rate is not known."
    )
    named = pl.col("class_name").fill_null(ALL)
    rates = froc.sensitivity.with_columns(
        named, rate=pl.col("rate").replace_strict(_TICKS, return_dtype=pl.String), told=_or_at_least("sensitivity")
    )
    wide = rates.pivot("rate", index=["class_name", "truth"], values="told", maintain_order=True)
    means = froc.cpm.select(named, CPM=_or_at_least("cpm"))
    st.dataframe(wide.join(means, on="class_name", maintain_order="left"), hide_index=True, key="froc-classes")
    layout.download(froc.sensitivity, key="froc-classes")


def _or_at_least(name: str) -> pl.Expr:
    def written(row: Mapping[str, float | None]) -> str:
        return f"≥ {layout.number(row['at_least'])}" if row[name] is None else layout.number(row[name])

    return pl.struct(name, "at_least").map_elements(written, pl.String)
