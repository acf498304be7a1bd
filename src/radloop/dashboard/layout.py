"""What every page is made of: its head, charts with their data, and sentences for what is missing or refused."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from radloop import people, spreadsheets
from radloop.dashboard import links, loading, loop
from radloop.dashboard.links import open_image as open_image
from radloop.dashboard.links import open_images as open_images
from radloop.dashboard.loading import Dataset, Feedback, Reviewed
from radloop.errors import RadloopError
from radloop.measures import counts
from radloop.options import Dashboard
from radloop.tables import READER
from radloop.taxonomy import Taxonomy
from radloop.typed import typed, typed_line
from radloop.words import several

CHART: Final = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"], "scrollZoom": False}
MOST_SHOWN: Final = 5_000  # rows of a table on a page; its CSV has all
FEW_IMAGES: Final = 10  # of a split, or of a class in it: below, a figure says little
LONGEST_NAME: Final = 40  # of a class on a picture or an axis
_CLICK: Final = "Click: its images."
_READINGS: Final = {
    READER: ("reading of a reader", "readings of readers"),
    people.REVIEWER: ("review", "reviews"),
    people.SIMULATED_REVIEWER: ("simulated review", "simulated reviews"),
    people.MODEL: ("image labelled by a model", "images labelled by models"),
}
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")


def plain(text: object) -> str:
    """Text from a file, so that Markdown shows it as it is: no link, picture or tag.

    >>> plain("<b>![x](y)")
    '\\\\<b\\\\>\\\\!\\\\[x\\\\]\\\\(y\\\\)'
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(typed(str(text)).split()))


def label(text: object) -> str:
    """Text from a file for a chart, which reads a little HTML.

    >>> label("<a href=x>")
    '&lt;a href=x&gt;'
    """
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, most: int = LONGEST_NAME) -> str:
    """The beginning of a text that is too long for its place.

    >>> shortened("Pneumonia, bilateral", 10)
    'Pneumonia…'
    """
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def listed(names: Sequence[str], most: int = 20) -> str:
    """The first names, and how many more there are.

    >>> listed(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def head(title: str, subtitle: str, *, simulated: Sequence[str] = ()) -> None:
    """The title of a page, what it answers, and a mark for each part that is simulated."""
    st.title(title)
    st.caption(subtitle)
    if simulated:
        told = f"**Simulated:** {', '.join(simulated)}. Made up by a program; says nothing of patients."
        st.markdown(f":small[:orange[{told}]]")


def chart(
    says: str,
    figure: go.Figure,
    data: pl.DataFrame | None,
    *,
    key: str,
    units: str = "",
    opens: links.Opens | None = None,
) -> None:
    """A chart under the sentence that it shows (Markdown), and the table it was drawn from.

    opens: which images a row of the table stands for; the figure was drawn with the same. A click on what it draws, or
    the choice of a row, goes there.
    """
    st.markdown(f"**{says}**")
    click = "" if opens is None else _CLICK if data is None else f"{_CLICK[:-1]}; or choose a row of the data."
    told = f"{units.strip()} {click}".strip()
    if told:
        st.caption(told)
    alt = says.replace("\\", "")
    if opens is None:
        st.plotly_chart(figure, key=key, config=CHART, alt=alt)
    else:
        event: Any = st.plotly_chart(figure, key=key, config=CHART, alt=alt, on_select="rerun", selection_mode="points")
        for point in event["selection"]["points"]:
            links.follow(point.get("customdata"))
    if data is not None:
        table(data, key=key, opens=opens)


@loading.measured
def _origins(found: Dataset) -> pl.DataFrame:
    return counts.origins(found.rows)


@loading.measured
def _people(found: Dataset) -> Mapping[str, int]:
    return dict(people.named(found.rows).group_by("who").len().iter_rows())


def in_use(found: Dataset) -> None:
    """Whose labels the figures of a page count, and what is set aside."""
    table = _origins(found)
    boxes, aside = (int(table[name].sum()) for name in ("boxes", "boxes_aside"))
    parts = [
        f"{several(boxes, 'box')} in {readings:,} {_READINGS[who][readings != 1]}"
        for who, readings, boxes in table.select("who", "readings", "boxes").iter_rows()
        if readings
    ]
    left = f" Set aside, in no label: {several(aside, 'box')}." if aside else ""
    total = "" if len(parts) == 1 else f"{several(boxes, 'box')}: "
    st.caption(f"Counted are the labels in use, {total}{', '.join(parts) or 'none'}.{left}")


def enough(data: pl.DataFrame, found: Dataset) -> tuple[pl.DataFrame, str]:
    """The rows of splits that have images enough for a share to say something; and how many images each has."""
    sizes = counts.split_sizes(found.labels)
    told = ", ".join(f"{split} {images:,}" for split, images in sizes.select("split", "images").iter_rows())
    few = sizes.filter(pl.col("images") < FEW_IMAGES)["split"].to_list()
    left = f"; fewer than {FEW_IMAGES} say nothing and are not drawn" if few else ""
    return data.filter(~pl.col("split").is_in(few)), f"n, images: {told}{left}."


def readers(found: Dataset) -> int:
    """How many readers the source has: the number on every page."""
    return _people(found).get(READER, 0)


def who_read(found: Dataset) -> str:
    """How many readers there are, and apart from them how many reviewers; who is not counted."""
    number = _people(found)
    told = [several(number.get(who, 0), who) for who in (READER, people.REVIEWER) if who == READER or who in number]
    others = [several(number[who], who) for who in (people.SIMULATED_REVIEWER, people.MODEL) if who in number]
    return " and ".join(told) + (f" (not counted: {' and '.join(others)})" if others else "")


def dependent(found: Dataset) -> None:
    """What it means for intervals and tests of images that some are of one patient, or alike."""
    groups = _groups(found)
    if groups:
        which = f"{several(len(groups), 'group')} of one patient or of near-duplicates ({sum(groups):,} images)"
        st.caption(
            f"Each image counts for itself here, also those in {which}: intervals are narrower and p-values smaller "
            "than they should be."
        )


@loading.measured
def _groups(found: Dataset) -> list[int]:
    """How many images each group of several has."""
    if "group" not in found.rows.columns:
        return []
    sizes = found.rows.group_by("group").agg(images=pl.col("image_id").n_unique())["images"]
    return sizes.filter(sizes > 1).to_list()


def table(data: pl.DataFrame, *, key: str, opened: bool = False, opens: links.Opens | None = None) -> None:
    """A table behind one click, and as a CSV file; with `opens` the choice of a row goes to its images."""
    with st.expander(f"Data ({data.height:,} rows)", expanded=opened):
        if data.height > MOST_SHOWN:
            st.caption(f"The first {MOST_SHOWN:,} rows; the CSV has all.")
        shown = data.head(MOST_SHOWN)
        if opens is None:
            st.dataframe(shown, hide_index=True, key=f"{key}-table")
        else:
            links.choose(shown, key=f"{key}-table", opens=opens)
        download(data, key=key)


def download(data: pl.DataFrame | Callable[[], pl.DataFrame], *, key: str) -> None:
    """A button that gives the table as a CSV file; it is made when somebody clicks."""

    def csv() -> bytes:
        return spreadsheets.csv(data if isinstance(data, pl.DataFrame) else data())

    st.download_button("Download CSV", csv, f"{key}.csv", "text/csv", key=f"{key}-csv", on_click="ignore")


def cannot_tell(why: str) -> None:
    """The third verdict beside proved and wrong: there is too little to say (Markdown)."""
    st.container(border=True).markdown(f":gray[**Cannot tell:** {why}]")


def missing(what: str, command: str) -> None:
    """What is not there, and the command that makes it."""
    st.info(f"{what} This makes it:")
    st.code(typed_line(command), language="bash")


def dataset(inputs: Dashboard) -> Dataset | None:
    """The dataset; where there is none that can be used, the page says so and how to get one."""
    path = inputs.dataset_folder
    if not path.exists():
        missing(
            absent("dataset", path), "radloop etl --source synthetic:600     # or: --source MY-XRAYS, --source kaggle"
        )
        return None
    try:
        return loading.dataset(path)
    except RadloopError as refused:
        st.error(f"**Refused:** {plain(refused)}")
        return None


def feedback(inputs: Dashboard) -> Feedback | None:
    """The feedback; where there is none, the page says so and how to get some."""
    path = inputs.feedback_folder
    if not path.is_dir():
        missing(absent("feedback", path), "radloop simulate")
        return None
    try:
        found = loading.feedback(path, classes(inputs), inputs.convention)
        loop.check(quiet_dataset(inputs), found, inputs.convention)
    except RadloopError as refused:
        st.error(f"**Refused:** {plain(refused)}")
        return None
    if found.records.feedback.is_empty():
        refused_files(found)
        missing(f"{plain(path)} holds no feedback that can be read.", "radloop simulate")
        return None
    return found


def quiet_dataset(inputs: Dashboard) -> Dataset | None:
    """The dataset for a page that can do without."""
    try:
        return loading.dataset(inputs.dataset_folder) if inputs.dataset_folder.exists() else None
    except RadloopError:
        return None


def classes(inputs: Dashboard) -> Taxonomy:
    """The classes of the dataset; without one, those of a dataset that names none."""
    found = quiet_dataset(inputs)
    return loading.default_classes() if found is None else found.taxonomy


def default_classes(inputs: Dashboard) -> None:
    """Say whose names the classes have where there is no dataset that tells its own."""
    if quiet_dataset(inputs) is None:
        names = listed([plain(name) for name in classes(inputs).names], 3)
        st.caption(f"No dataset names the classes: they are read as VinBigData's ({names}).")


def quiet_feedback(inputs: Dashboard) -> Feedback | None:
    """The feedback for a page that can do without."""
    try:
        path = inputs.feedback_folder
        return loading.feedback(path, classes(inputs), inputs.convention) if path.is_dir() else None
    except RadloopError:
        return None


def page_title(title: str) -> None:
    """Name the tab of the browser after the page."""
    st.set_page_config(page_title=f"{title} · radloop")


def open_review(feedback_id: str) -> NoReturn:
    """Go to the feedback on the page Review."""
    st.switch_page(st.Page(_nowhere, url_path="review"), query_params={"feedback": feedback_id})


def _nowhere() -> None:
    """Stands for a page that is known by its address."""


def refused_files(found: Feedback) -> None:
    """The feedback files that cannot be used, with the reason."""
    bad = found.records.refused
    if bad.height:
        st.error(f"**Refused:** {bad.height:,} feedback files cannot be used. They stay where they are.")
        table(bad, key="refused-feedback")


def absent(what: str, path: Path) -> str:
    """The sentence for an input that is not there."""
    return f"There is no {what} at {plain(path)}."


def reviews(inputs: Dashboard) -> Reviewed | None:
    """The reviews, or none yet; where their folder cannot be read, the page says so."""
    try:
        return loading.reviews(inputs.reviews_folder, classes(inputs), inputs.convention)
    except RadloopError as refused:
        st.error(f"**Refused:** {plain(refused)}")
        return None


def number(value: float | None) -> str:
    """A figure, or a dash where it has no meaning."""
    return "–" if value is None else f"{value:.3f}"


def share(value: float | None) -> str:
    """A share in per cent, or a dash where it has no meaning."""
    return "–" if value is None else f"{value:.1%}"


def interval(row: Mapping[str, Any], name: str, *, percent: bool = False) -> str:
    """The 95 % interval of a figure in words, as a number or in per cent, or that there is none."""
    if row[name] is None:
        return "nothing to count"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None:
        return "too few for an interval"
    shown = share if percent else number
    return f"95 % interval {shown(low)} to {shown(high)}"


def marks(found: Dataset | None, said: Feedback | None = None, reviewed: Reviewed | None = None) -> list[str]:
    """What of it is simulated."""
    marked = []
    if found is not None and found.simulated:
        marked.append("patients, radiographs and readers")
    if found is not None and people.SIMULATED_REVIEWER in _people(found):
        marked.append("some of the reviews in the labels")
    if said is not None and said.simulated:
        marked.append("hospital and feedback")
    if reviewed is not None and reviewed.simulated:
        marked.append("some reviews")
    return marked


def age(span: timedelta) -> str:
    """How long ago, as a person says it.

    >>> age(timedelta(minutes=3)), age(timedelta(hours=30)), age(timedelta(days=9))
    ('3 minutes', '30 hours', '9 days')
    """
    minutes = max(int(span.total_seconds()) // 60, 0)
    for unit, size in (("days", 48 * 60), ("hours", 120)):
        if minutes >= size:
            return f"{minutes // (24 * 60 if unit == 'days' else 60)} {unit}"
    return f"{minutes} minutes"
