"""My reads: what I have read, how long it took, how far others agree, and whether I follow the model."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.dashboard import identity, layout, loop
from radloop.dashboard.loading import Dataset, Reviewed, measured
from radloop.errors import RadloopError
from radloop.feedback import reads
from radloop.options import Dashboard
from radloop.words import several

READER: Final = "reader"  # in st.session_state: the Reader ID that was given, here or on the page Review
_VERDICTS: Final = {
    "accept": "Accepted",
    "correct": "Corrected",
    "normal": "No finding",
    "reject": "Not readable",
}
_BIAS: Final = {
    "follow": "followed",
    "follow_right": "where the model is right",
    "follow_wrong": "where it is wrong",
    "mistaken": "of what was followed, wrong",
}
_OUT_OF: Final = {
    "follow": ("asked",),
    "follow_right": ("right",),
    "follow_wrong": ("wrong",),
    "mistaken": ("right_followed", "wrong_followed"),
}


def page(inputs: Dashboard) -> None:
    """The reads of one reader, and what they tell of that reader."""
    reviewed = layout.reviews(inputs)
    layout.head(
        "My reads",
        "What you have read, how long it took, and how far others agree.",
        simulated=layout.marks(None, None, reviewed),
    )
    if reviewed is None:
        return
    _refused(reviewed)
    if reviewed.reviews.reviews.is_empty():
        layout.missing("Nobody has read anything yet. The page Review is where it is done.", "radloop review --queue")
        return
    reader = _reader(inputs)
    if reader is None:
        return
    mine = _mine(reviewed, reader)
    if mine.is_empty():
        st.info(f"{layout.plain(reader)} has read nothing yet. The page Review shows what waits.")
        return
    _times(mine)
    _list(mine)
    found = layout.quiet_dataset(inputs)
    if found is None or not loop.has_images(found):
        layout.cannot_tell("which images are of one patient: agreement and bias need the dataset.")
        return
    _agreement(_compared(found, reviewed, reader))
    _bias(_followed(found, reviewed), reader)


def _reader(inputs: Dashboard) -> str | None:
    """Whom the proxy names; where none does, who says so."""
    try:
        named = identity.reader_id(inputs)
    except RadloopError as nobody:
        st.error(f"**Refused:** {layout.plain(nobody)}")
        return None
    if named is not None or inputs.auth_header is not None:
        return named
    left, _ = st.columns([1, 2])
    name = left.text_input(
        "Reader ID", key=READER, persist_state="session", placeholder="reader-7", max_chars=50, help="No real name."
    )
    return name or None


def _refused(reviewed: Reviewed) -> None:
    bad = reviewed.reviews.refused
    if bad.height:
        st.error(f"**Refused:** {several(bad.height, 'review file')} cannot be used. They stay where they are.")
        layout.table(bad, key="refused-reviews")


@measured
def _mine(reviewed: Reviewed, reader: str) -> pl.DataFrame:
    return reads.of(reviewed.reviews, reader)


@measured
def _compared(found: Dataset, reviewed: Reviewed, reader: str) -> pl.DataFrame:
    return reads.agreement(reviewed.reviews, reader, found.images)


@measured
def _followed(found: Dataset, reviewed: Reviewed) -> pl.DataFrame:
    return reads.following(reviewed.reviews, found.readings, found.images)


def _times(mine: pl.DataFrame) -> None:
    columns = st.columns(4)
    columns[0].metric("Images read", f"{mine['image_id'].n_unique():,}", border=True)
    columns[0].caption(f"{mine.filter(pl.col('amended') > 0).height:,} amended, {mine['disputed'].sum():,} in dispute")
    columns[1].metric("Not readable", f"{mine.filter(verdict='reject').height:,}", border=True)
    for column, name, title in (
        (columns[2], "seconds_blind", "Blind read, median"),
        (columns[3], "seconds_total", "Whole read, median"),
    ):
        column.metric(title, _seconds(mine[name].median()), border=True)
        column.caption(_spread(mine[name].drop_nulls()))


def _spread(seconds: pl.Series) -> str:
    if seconds.is_empty():
        return "no read tells its time"
    quarter, three = (_seconds(seconds.quantile(share, "linear")) for share in (0.25, 0.75))
    return f"half of {several(len(seconds), 'read')} took {quarter} to {three}; a hidden tab does not count"


def _seconds(value: Any) -> str:
    return "–" if value is None else f"{value:.0f} s"


def _list(mine: pl.DataFrame) -> None:
    st.markdown("**Choose a read to look again.** What you then say amends it; what you said before is kept.")
    shown = mine.select(
        read="timestamp",
        image="image_id",
        verdict=pl.col("verdict").replace_strict(_VERDICTS),
        boxes="boxes",
        seconds="seconds_total",
        state=pl.concat_list(
            pl.when(holds).then(pl.lit(word))
            for holds, word in (
                (pl.col("amended") > 0, "amended"),
                (pl.col("disputed"), "in dispute"),
                (pl.col("adjudicates"), "final"),
            )
        )
        .list.drop_nulls()
        .list.join(", "),
        comment=pl.col("comment").fill_null(""),
    )
    event = st.dataframe(
        shown,
        hide_index=True,
        height=320,
        key="my-reads",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "read": st.column_config.DatetimeColumn("read, UTC", format="YYYY-MM-DD HH:mm"),
            "image": st.column_config.TextColumn(width="small"),
            "seconds": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    layout.download(mine, key="my-reads")
    for row in event["selection"]["rows"]:
        layout.open_review(mine["feedback_id"][row])


def _agreement(compared: pl.DataFrame) -> None:
    st.markdown("**How far others agree with you, on images that both have read**")
    if compared.is_empty():
        layout.cannot_tell("nobody else has read one of these images.")
        return
    every = compared.row(0, named=True)
    st.markdown(
        f"Of {several(every['feedback'], 'pair')} of reads {_share(every, 'same')} mean the same; of the times that "
        f"either named a class both did in {_share(every, 'positive')}."
    )
    st.caption(
        "First looks alone, without final reads, which see the others' boxes. The same: each box of one has a box of "
        f"the other. Units of the intervals: {several(every['groups'], 'group')} of images."
    )
    layout.table(compared.filter(pl.col("other").is_not_null()), key="agreement")


def _bias(followed: pl.DataFrame, reader: str) -> None:
    st.markdown("**Do you follow the AI findings where your blind read said something else?**")
    shown = followed.filter((pl.col("reviewer") == reader) | pl.col("reviewer").is_null(), pl.col("asked") > 0)
    if reader not in shown["reviewer"]:
        layout.cannot_tell("no blind read of yours differed from the AI findings that were then shown.")
    if shown.height:
        head = ["", "reads", *_BIAS.values()]
        rows = [[_who(row), f"{row['reads']:,}", *(_cell(row, name) for name in _BIAS)] for row in shown.to_dicts()]
        table = [head, ["---"] * len(head), *rows]
        st.markdown("\n".join(f"| {' | '.join(cells)} |" for cells in table))
    st.caption(
        "Counted are classes on an image that the blind read or the model named alone. Right is what the readers of "
        "the dataset agree on. In six radiologists a wrong machine raised the share of missed findings from 2.7 % to "
        "20.7 % (Bernstein et al. 2023). Units of the intervals: groups of images."
    )


def _who(row: Mapping[str, Any]) -> str:
    pooled = "all simulated readers" if row["simulated"] else "all readers"
    return pooled if row["reviewer"] is None else layout.plain(row["reviewer"])


def _cell(row: Mapping[str, Any], name: str) -> str:
    below = _OUT_OF[name]
    counted = sum(row[part] for part in below)
    return f"{_share(row, name)} of {counted:,}" if counted else "–"


def _share(row: Mapping[str, Any], name: str) -> str:
    return f"{layout.share(row[name])} ({layout.interval(row, name, percent=True)})"
