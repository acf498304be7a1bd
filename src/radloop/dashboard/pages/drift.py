"""Drift: do two sets of images differ, in what was said of them or in the pictures?"""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.catalog import judging
from radloop.dashboard import alarms, axes, figures, filters, layout, loading
from radloop.dashboard.loading import Dataset, Feedback
from radloop.measures import drift
from radloop.measures.drift import Permuted, Sets
from radloop.options import Dashboard
from radloop.tables import DETECTOR, SPLITS
from radloop.taxonomy import Taxonomy
from radloop.words import several

Window = tuple[datetime, datetime]
Detector = tuple[str, str]  # its model and version
Asked = tuple[str, bool]  # a summary, and whether of the images that both sets hold
Opened = tuple[Asked, str, bool]  # its title, and whether there are enough images for a test

PERMUTATIONS: Final = 1000  # half a second for 12,000 images
_LABELS: Final = "Labels of two splits"
_FEEDBACK: Final = "Feedback of two time windows"
_ALARMS: Final = "Alarms over time"
_VERDICTS: Final = {
    "drift": "differs",
    "readers": "differs, but not among images that the same readers read: the readers' doing",
    "unclear": "differs; too few images have the same readers to say why",
    "none": "no difference found",
    "too few": "too few images to say",
}
_SUMMARIES: Final = {
    "finding": "any finding",
    "boxes": "boxes per image with a finding",
    "x": "centre, from the left",
    "y": "centre, from the top",
    "area": "area of the boxes",
    "confidence": "confidence",
    "picture_mean": "picture: mean gray value",
    "picture_std": "picture: contrast (std)",
    "picture_sharpness": "picture: sharpness",
}
_PAIRED: Final = " (images of both)"
_REST: Final = " (images of one alone)"
_STEPS: Final = (  # of a slider, by how long the feedback lasted
    (timedelta(days=1), timedelta(minutes=1), "MM-DD HH:mm"),
    (timedelta(minutes=1), timedelta(seconds=1), "HH:mm:ss"),
    (timedelta(0), timedelta(milliseconds=1), "HH:mm:ss.SSS"),
)
_MOST_BINS: Final = 30
_MOST_NAMED: Final = 20  # alarms in words; the table has all


def _questions(classes: Taxonomy) -> dict[str, str]:
    """What is asked, in words, by the name of the summary."""
    return _SUMMARIES | {f"class_{number}": name for number, name in enumerate(classes.names)}


@loading.measured
def _of_split(dataset: Dataset, split: str) -> pl.DataFrame:
    return drift.of_annotations(dataset.labels.filter(pl.col("split") == split), dataset.taxonomy)


@loading.measured
def _of_window(said: Feedback, detector: Detector, window: Window, last: bool) -> pl.DataFrame:
    time = pl.col("timestamp").dt.replace_time_zone(None)
    inside = _of_detector(said, detector).filter(time.is_between(*window, closed="both" if last else "left"))
    return drift.of_feedback(inside, said.records.detections, said.taxonomy)


@loading.measured
def _compare_splits(dataset: Dataset, first: str, second: str) -> pl.DataFrame:
    return drift.compare(_of_split(dataset, first), _of_split(dataset, second))


@loading.measured
def _compare_windows(said: Feedback, detector: Detector, first: Window, second: Window) -> pl.DataFrame:
    return drift.compare(_of_window(said, detector, first, False), _of_window(said, detector, second, True))


@loading.measured
def _permute_splits(dataset: Dataset, first: str, second: str, asked: Asked, within_readers: bool) -> Permuted:
    sets = _of_split(dataset, first), _of_split(dataset, second)
    summary, pairs = asked
    return drift.permute(*sets, summary, pairs=pairs, within_readers=within_readers, permutations=PERMUTATIONS)


@loading.measured
def _permute_windows(said: Feedback, detector: Detector, first: Window, second: Window, asked: Asked) -> Permuted:
    sets = _of_window(said, detector, first, False), _of_window(said, detector, second, True)
    summary, pairs = asked
    return drift.permute(*sets, summary, pairs=pairs, permutations=PERMUTATIONS)


def page(inputs: Dashboard) -> None:
    """Every question at once, and one of them opened."""
    kind = st.session_state.get("compare", _LABELS)
    found = layout.dataset(inputs) if kind == _LABELS else layout.quiet_dataset(inputs)
    said = layout.quiet_feedback(inputs)
    marked = layout.marks(found, None) if kind == _LABELS else layout.marks(None, said)
    layout.head("Drift", "Do two sets of images differ? The unit is the image.", simulated=marked)
    kinds = (_LABELS, _FEEDBACK, _ALARMS)
    kind = st.segmented_control("Compare", kinds, default=_LABELS, required=True, key="compare", bind="query-params")
    if kind == _ALARMS:
        alarms.show(inputs)
        return
    alarms.remind(inputs)
    if kind == _LABELS:
        if found is not None:
            _splits(found)
    else:
        said = layout.feedback(inputs)
        if said is not None:
            layout.default_classes(inputs)
            if found is not None:
                layout.dependent(found)
            _windows(said)


def _splits(found: Dataset) -> None:
    if not found.has_splits:
        st.info("The table has no splits: there are no two sets to compare.")
        return
    here = [split for split in SPLITS if split in found.rows["split"].unique()]
    if len(here) < 2:
        layout.cannot_tell(f"all images are in {' or '.join(here)}: there are no two sets to compare.")
        return
    left, right = st.columns(2)
    first = left.selectbox("First", here, index=0)
    second = right.selectbox("Second", here, index=len(here) - 1)
    if first == second:
        st.info("Choose two different splits.")
        return
    sets = _of_split(found, first), _of_split(found, second)
    st.caption(_counted(sets, (first, second)) + " Labels in use, of each image all together, whoever drew them.")
    if found.wanted is not None:
        st.caption("The splits were made alike in every class: that classes are found alike says nothing of the data.")
    layout.dependent(found)
    compared, questions = _compare_splits(found, first, second), _questions(found.taxonomy)
    questions["boxes"] = f"{questions['boxes']} and reader"
    opened = _overview(compared, sets, (first, second), questions)
    if opened is None:
        return
    asked, _, enough = opened
    permuted = None
    if enough:
        within = not asked[1] and st.toggle("Only among images that the same readers read", value=False)
        permuted = _permute_splits(found, first, second, asked, within)
    _opened(sets, opened, permuted, (first, second), ({"split": first}, {"split": second}))


def _windows(said: Feedback) -> None:
    detector = _detector(said)
    times = _of_detector(said, detector)["timestamp"].dt.replace_time_zone(None).sort()
    if times[0] == times[-1]:
        layout.cannot_tell("all feedback of the detector has one time, there are no two windows to compare.")
        return
    step, shown = next((step, shown) for span, step, shown in _STEPS if times[-1] - times[0] >= span)
    earliest, middle, latest = (_whole(times[at], step) for at in (0, len(times) // 2, -1))
    latest += step  # the last feedback lies before it
    st.caption(f"Feedback from {times[0]:%Y-%m-%d %H:%M:%S} to {times[-1]:%Y-%m-%d %H:%M:%S} UTC.")

    def window(title: str, begin: datetime, end: datetime) -> Window:
        chosen: Window = st.slider(title, earliest, latest, (begin, end), step=step, format=shown)
        return chosen

    first = window("First window (UTC, its end left out)", earliest, middle)
    second = window("Second window (UTC)", middle, latest)
    sets = _of_window(said, detector, first, False), _of_window(said, detector, second, True)
    names = "first window", "second window"
    st.caption(_counted(sets, names) + " Of the predictions on an image in a window the middle one counts.")
    compared, questions = _compare_windows(said, detector, first, second), _questions(said.taxonomy)
    opened = _overview(compared, sets, names, questions)
    if opened is not None:
        asked, _, enough = opened
        permuted = _permute_windows(said, detector, first, second, asked) if enough else None
        own = {"model": detector[0], "version": detector[1]}
        before = first[0], first[1] - timedelta(microseconds=1)
        windows = [own | {"since": since.isoformat(), "until": until.isoformat()} for since, until in (before, second)]
        _opened(sets, opened, permuted, names, (windows[0], windows[1]))


def _of_detector(said: Feedback, detector: Detector) -> pl.DataFrame:
    needed = said.records.feedback.select(*DETECTOR, "feedback_id", "image_id", "timestamp", "mean", "std", "sharpness")
    named = needed.with_columns(pl.col(DETECTOR).fill_null(""))
    return named.filter(model=detector[0], model_version=detector[1])


def _detector(said: Feedback) -> Detector:
    """The one to look at, that of the newest feedback first: another one answers otherwise without any drift."""
    detectors = filters.detectors(said)
    if len(detectors) == 1:
        return detectors[0]
    chosen = st.selectbox("Detector", range(len(detectors)), format_func=lambda at: judging.name(*detectors[at]))
    st.caption("Its own feedback alone: two detectors answer differently without any drift.")
    return detectors[chosen]


def _whole(time: datetime, step: timedelta) -> datetime:
    """The last whole step before it."""
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return time - (time - midnight) % step


def _counted(sets: Sets, names: tuple[str, str]) -> str:
    """How many images there are, how many of them in both sets, and what that means for the tests."""
    images = _sizes(sets, names)
    both = drift.shared(*sets)[0].height
    if not both:
        return f"{images}, none in both."
    if both < min(table.height for table in sets):
        return f"{images}, {both:,} of them in both: those are compared in pairs, the others as independent sets."
    whole = next(name for table, name in zip(sets[::-1], names[::-1], strict=True) if table.height == both)
    return f"{images}; all images of {whole} are in both: they are compared in pairs, the others not at all."


def _sizes(sets: Sets, names: tuple[str, str]) -> str:
    sizes = (several(table.height, "image") for table in sets)
    return " and ".join(f"{size} in {name}" for size, name in zip(sizes, names, strict=True))


def _overview(
    compared: pl.DataFrame, sets: Sets, names: tuple[str, str], questions: Mapping[str, str]
) -> Opened | None:
    """All questions; returns the one to open."""
    kinds = compared["paired"].n_unique() > 1
    kind = pl.when("paired").then(pl.lit(_PAIRED)).otherwise(pl.lit(_REST)) if kinds else pl.lit("")
    named = compared.with_columns(
        question=pl.col("summary").replace(questions) + kind, says=pl.col("verdict").replace(_VERDICTS)
    )
    alarms = named.filter(pl.col("verdict").is_in(["drift", "readers", "unclear"]))
    tested = named.filter(pl.col("p_value").is_not_null())
    few = named.height - tested.height
    rest = f"; too few images for {few:,} more" if few else ""
    if alarms.height:
        st.warning(
            f"**{alarms.height} of {tested.height} questions differ** (q of {drift.FALSE_DISCOVERIES} or less){rest}."
        )
        worst = alarms.sort("q_value", maintain_order=True).head(_MOST_NAMED).select("question", "says")
        lines = [f"- **{layout.plain(question)}**: {says}" for question, says in worst.iter_rows()]
        more = [f"- and {alarms.height - _MOST_NAMED} more, in the data below"] if alarms.height > _MOST_NAMED else []
        st.markdown("\n".join(lines + more))
    elif tested.is_empty():
        least = f"at least {drift.LEAST_IMAGES} with an answer are needed in each"
        layout.cannot_tell(f"{_sizes(sets, names)} answer none of the {few:,} questions; {least}.")
    else:
        missed = float(tested.select(pl.col("detectable").median()).item())
        unchanged = (tested["changed"] == 0).fill_null(value=False).all()
        same = "On no image of both did an answer change. " if unchanged else ""
        st.info(
            f"No difference found in {several(tested.height, 'question')}{rest}. {same}"
            "That is no proof of there being none: "
            f"a shift of less than {missed:.2f} (the middle of the questions) is missed in more than one of five cases."
        )
    if tested.height:
        _shifts(compared, tested, *names)
    if named.is_empty():
        return None
    at = st.selectbox(
        "Open", range(named.height), index=_first_alarm(named), format_func=lambda row: named["question"][row]
    )
    one = named.row(at, named=True)
    return (one["summary"], one["paired"]), questions[one["summary"]], one["p_value"] is not None


def _shifts(compared: pl.DataFrame, tested: pl.DataFrame, first: str, second: str) -> None:
    """How far the second set lies from the first, by question."""
    surest = tested.sort("q_value", maintain_order=True).head(figures.MOST_ROWS)["summary"]
    shown = tested.filter(pl.col("summary").is_in(surest.implode()))
    most = (
        f"The {shown.height} questions of {tested.height} with the smallest q." if shown.height < tested.height else ""
    )
    figure = figures.dots(
        shown, of="question", value="shift", by="says", title=f"shift of {second} against {first} (−1 … 1)"
    )
    figure.update_xaxes(range=[-1.05, 1.05], dtick=0.25)  # ticks of the whole range, not of the points
    figure.add_vline(x=0, line_width=1, line_color=figures.GREY)
    layout.chart(
        f"How far {second} lies from {first}, question by question",
        figure,
        compared,
        key="drift",
        units="Yes or no: difference of the shares of images. Numbers: Cliff's delta; of the same images rank-biserial "
        f"correlation. `detectable` is the shift that would be found. q controls false discoveries. {most}",
    )


def _first_alarm(named: pl.DataFrame) -> int:
    order = named.with_row_index("at").sort("q_value", nulls_last=True)
    return int(order["at"][0]) if order.height else 0


def _opened(
    sets: Sets,
    opened: Opened,
    permuted: Permuted | None,
    names: tuple[str, str],
    asked: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> None:
    """One question on the images that its test is about: those of both sets, or those of one alone."""
    (summary, pairs), title, _ = opened
    both = drift.shared(*sets)
    sets = _answered(both, summary) if pairs else drift.apart(*sets)
    if permuted is None:
        answers = (table[summary].count() for table in sets)
        told = " and ".join(several(number, "image") for number in answers)
        layout.cannot_tell(f"{told} with an answer are too few for a test.")
    else:
        _tested(permuted)
    bins = _bins(sets, summary)
    figure = figures.empty(x=layout.label(title), y="share of images")
    held: list[pl.DataFrame] = []
    own = dict(zip(names, asked, strict=True))

    def opens(row: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**own[row["set"]], "measure": summary, "low": row["low"], "high": row["high"]}

    for table, name, colour in zip(sets, names, (figures.SKY, figures.ORANGE), strict=True):
        counted = _counted_bins(table[summary].drop_nulls(), bins).with_columns(set=pl.lit(name))
        held.append(counted)
        figure.add_bar(
            x=counted["place"].to_list(),
            y=counted["share"].to_list(),
            name=f"{name} ({several(int(counted['images'].sum()), 'image')})",
            marker_color=colour,
            opacity=0.75,
            customdata=figures.addresses(counted, opens),
            hovertemplate="%{x}: %{y:.1%}",
        )
    figure.update_layout(barmode="group", bargap=0.05)
    counted = pl.concat(held)
    figure.update_yaxes(**axes.linear(counted["share"], percent=True))
    every = pl.concat(
        table.select("image_id", summary).with_columns(set=pl.lit(name))
        for table, name in zip(sets, names, strict=True)
    )
    both_or_alone = " The images of a bin are all of that set." if both[0].height else ""
    which = "the images of both" if pairs else "the images of one alone" if both[0].height else ""
    title = f"{layout.plain(title)} in {names[0]} and in {names[1]}{f': {which}' if which else ''}"
    shown = counted.filter(pl.col("images") > 0).select("set", "low", "high", "images", "share")
    layout.chart(title, figure, shown, key="opened-bins", units=both_or_alone, opens=opens)
    layout.download(every, key="opened")


def _bins(sets: Sets, summary: str) -> pl.DataFrame:
    """low, high, place: where each bar begins, where it ends (the last nowhere), and where it stands on the axis."""
    values = pl.concat([table[summary] for table in sets]).drop_nulls()
    if values.dtype == pl.Boolean:
        return pl.DataFrame({"low": [0.5, -0.5], "high": [1.5, 0.5], "place": ["yes", "no"]})
    edges = axes.edges(values.to_numpy(), bins=min(max(math.isqrt(len(values)), 5), _MOST_BINS))
    held = pl.DataFrame({"low": edges[:-1], "high": [*edges[1:-1], None], "place": (edges[:-1] + edges[1:]) / 2})
    return held.with_columns(pl.col("high").cast(pl.Float64))


def _counted_bins(values: pl.Series, bins: pl.DataFrame) -> pl.DataFrame:
    """The bins with how many of the values they hold: images, share."""
    number = values.cast(pl.Float64)
    images = [
        int(((number >= low) & (number < (math.inf if high is None else high))).sum())
        for low, high in bins.select("low", "high").iter_rows()
    ]
    return bins.with_columns(images=pl.Series(images, dtype=pl.Int64)).with_columns(
        share=pl.col("images") / max(len(values), 1)
    )


def _tested(permuted: Permuted) -> None:
    columns = st.columns(3)
    columns[0].metric("Effect", f"{permuted.effect:.3f}", border=True)
    columns[1].metric("p (permutation of whole images)", f"{permuted.p_value:.4f}", border=True)
    columns[2].metric("Permutations", f"{permuted.permutations:,}", border=True)
    if not permuted.permutations:
        st.caption("No image could be exchanged: no group of readers read images of both.")


def _answered(sets: Sets, summary: str) -> Sets:
    """The images of both that have an answer in both."""
    first, second = (table.filter(pl.col(summary).is_not_null()) for table in sets)
    return drift.shared(first, second)
