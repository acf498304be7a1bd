"""Overview: is the data sound, and what needs attention?"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.catalog.monitor import Report
from radloop.dashboard import alarms, figures, layout, linked_table, links, loading, loop, soundness
from radloop.dashboard.linked_table import Cell, Look, Row
from radloop.dashboard.loading import Dataset, Feedback
from radloop.feedback import arrivals
from radloop.measures import counts
from radloop.options import Dashboard
from radloop.tables import SPLITS
from radloop.taxonomy import NOTHING
from radloop.words import several

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
def _shares(dataset: Dataset) -> pl.DataFrame:
    return counts.class_shares(dataset.labels, dataset.taxonomy)


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
        _arrived(inputs, found, said)
        left, right = st.columns(2, gap="large")
        with left:
            _checked(found)
        with right:
            _attention(found, said, alarms.read(inputs))
        _splits(found)
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


def _arrived(inputs: Dashboard, found: Dataset, said: Feedback | None) -> None:
    """How many pictures came in from production, and how far they have got."""
    if found.incoming.is_empty() or not loop.has_images(found):
        return
    reviewed = layout.reviews(inputs)
    rule = loading.last_rule(inputs.retrain_table)
    st.caption(f"Incoming: {arrivals.words(loop.arrived(found, said, reviewed, rule))}.")


def _splits(found: Dataset) -> None:
    """A row for all images and one for each class, three columns for each split: images, boxes, deviation."""
    if not found.has_splits:
        st.info("The table has no splits, so none are shown. `radloop transform` makes them.")
    sizes, shares = _sizes(found), _shares(found)
    shown, most = figures.most(shares, of="class_name", size="images", what="classes", besides=(NOTHING,))
    splits = dict(sizes.select("split", "images").iter_rows())
    parts = shown.partition_by("class_id", maintain_order=True)
    rows = [_all_images(found, sizes), *(_class(found, part, splits) for part in parts)]
    unit = [("images", "images"), ("boxes", "boxes"), ("±", "images more or fewer than were asked for, or expected")]
    heads = [
        [Cell(""), *(Cell(split, says=f"{split}: images, boxes and deviation", span=3) for split in splits)],
        [Cell("class"), *(Cell(text, says=says) for _ in splits for text, says in unit)],
    ]
    linked_table.show("Images and boxes of each class in each split", heads, rows, key="classes-splits")
    target = "all images against what was asked for, before any round of re-training; " if found.wanted else ""
    st.caption(
        f"n: {several(int(sizes['images'].sum()), 'image')}. A number leads to its images. ±, in images: {target}"
        f"a class against what each split would have if all were alike. Dotted: fewer than {layout.FEW_IMAGES} images, "
        f"on which figures waver. {most}"
    )
    layout.table(shares, key="class-splits", opens=_of_class)


def _all_images(found: Dataset, sizes: pl.DataFrame) -> Row:
    boxes = dict(_shares(found).group_by("split").agg(pl.col("boxes").sum()).iter_rows())
    cells: list[Cell] = []
    for row in sizes.iter_rows(named=True):
        split, images = row["split"], row["images"]
        off = None if row["difference"] is None else _signed(row["difference"])
        asked = "" if row["target"] is None else f", {row['target']:,} were asked for"
        own = split if found.has_splits else None
        cells += _cells(own, None, (images, boxes.get(split, 0), off), f"{split}{asked}")
    return Row(Cell("all images", links.address({})), tuple(cells))


def _signed(difference: int) -> str:
    return f"{difference:+,}" if difference else "0"


def _class(found: Dataset, part: pl.DataFrame, splits: Mapping[str, int]) -> Row:
    name = part["class_name"][0]
    by_split = {row["split"]: row for row in part.iter_rows(named=True)}
    cells: list[Cell] = []
    for split, size in splits.items():
        row = by_split.get(split)
        if row is None:  # a split without an image
            cells += [Cell("–", look="first"), Cell("–"), Cell("–")]
            continue
        images = row["images"]
        off = _signed(round(images - size * row["expected_image_share"]))
        cells += _cells(split if found.has_splits else None, name, (images, row["boxes"], off), split)
    return Row(Cell(name, links.address({"class": name}), f"all images with {name}"), tuple(cells))


def _cells(
    split: str | None, name: str | None, told: tuple[int, int | None, str | None], of: str
) -> tuple[Cell, Cell, Cell]:
    images, boxes, off = told
    says = f"{several(images, 'image')}{f' with {name}' if name else ''} in {of}"
    few: Look = "first few" if images < layout.FEW_IMAGES else "first"
    address = links.address({"class": name, "split": split}) if images else ""
    return (
        Cell(f"{images:,}", address, says, look=few),
        Cell("–" if boxes is None else f"{boxes:,}", look="quiet"),
        Cell("–" if off is None else off, look="quiet"),
    )


def _of_class(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"class": row["class_name"], "split": row["split"] if row["split"] in SPLITS else None}


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


def _attention(found: Dataset, said: Feedback | None, report: Report | None) -> None:
    notes = list(soundness.attention(found))
    if said is not None and said.records.refused.height:
        notes.append(f"{said.records.refused.height:,} feedback files cannot be used (see Feedback).")
    st.markdown("**Needs attention**")
    proven = alarms.notes(report)
    for note in proven:
        st.markdown(f"- {note}")
    if not (notes or proven):
        st.markdown("Nothing.")
    for note in notes:
        st.markdown(f"- {layout.plain(note)}")
    state, says = alarms.tile(report)
    st.caption(f"Watched over time: {says}." if proven else f"Watched over time: {state}; {says}.")
    if found.refused.height:
        layout.table(found.refused, key="refused-rows")


def _judged(found: Dataset) -> object:
    """How many label files, and as many pictures, are the consensus beside the readers' files; None where none is."""
    judged = found.summary.get("judged")
    return judged.get("labels") if isinstance(judged, dict) else None


def _facts(found: Dataset) -> None:
    settings = found.summary.get("settings")
    age = datetime.now(UTC) - found.written
    facts = {
        "version": found.summary.get("version", "none"),
        "source": found.summary.get("source", "a table alone"),
        "written": f"{found.written:%Y-%m-%d %H:%M} UTC ({layout.age(age)} ago)",
        "label files": found.summary.get("labels_created"),
        "pictures": found.summary.get("images_copied"),
        "of both the consensus": _judged(found),
        "rows kept, refused": f"{found.summary.get('rows_kept')}, {found.summary.get('rows_refused')}",
    } | (
        {str(name): value for name, value in settings.items() if name != "sizes"} if isinstance(settings, dict) else {}
    )
    with st.expander("Where it comes from", expanded=True):
        rows = [(name, str(value)) for name, value in facts.items() if value is not None]
        st.dataframe(pl.DataFrame(rows, schema=["what", "value"], orient="row"), hide_index=True, key="facts")
