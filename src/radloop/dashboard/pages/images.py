"""Images: one radiograph at a time, in its true proportions, with whoever's boxes."""

from functools import partial
from typing import Final

import polars as pl
import streamlit as st

from radloop.dashboard import layout, pictures, radiograph, samples
from radloop.dashboard.loading import Dataset, Feedback
from radloop.errors import RadloopError
from radloop.options import Dashboard
from radloop.tables import SPLITS
from radloop.taxonomy import NOTHING

MOST_LISTED: Final = 500
GALLERY: Final = 12
_ANY: Final = "(any)"


def page(inputs: Dashboard) -> None:
    """A list to choose from and the picture, or twelve small pictures."""
    found = layout.dataset(inputs)
    said = layout.quiet_feedback(inputs)
    layout.head("Images", "Look at the radiographs and at every reader's boxes.", simulated=layout.marks(found, said))
    if found is None:
        return
    layout.in_use(found)
    listed = _filtered(found)
    asked = st.query_params.get("image")
    if asked is not None and asked not in listed["image_id"].head(MOST_LISTED):
        first = samples.images(found).filter(pl.col("image_id") == asked)
        if first.is_empty():
            st.warning(f"The dataset has no image {layout.plain(asked)[:200]}.")
        listed = pl.concat([first, listed.filter(pl.col("image_id") != asked)])
    if listed.is_empty():
        st.info("No image is like that.")
        return
    view = st.segmented_control("View", ["One image", "Gallery"], default="One image", required=True)
    if view == "Gallery":
        _gallery(inputs, found, listed)
        return
    left, right = st.columns([2, 5], gap="medium")
    with left:
        image_id = _choose(listed, asked)
    with right:
        _viewer(inputs, found, said, image_id)


def _filtered(found: Dataset) -> pl.DataFrame:
    listed = samples.images(found)
    columns = st.columns(5)
    if found.has_splits:
        here = [split for split in SPLITS if split in listed["split"].unique()]
        split = columns[0].selectbox("Split", [_ANY, *here], on_change=_forget)
        listed = listed if split == _ANY else listed.filter(pl.col("split") == split)
    name = columns[1].selectbox("Class", [_ANY, *found.taxonomy.file_names(with_nothing=True)], on_change=_forget)
    readers = samples.readers(found)
    reader = columns[2].selectbox("Read by", [_ANY, *readers], on_change=_forget)
    order = columns[3].selectbox("First", ["most disagreed on", "most boxes", "by id"], on_change=_forget)
    text = columns[4].text_input("Image id contains", on_change=_forget)
    if name == NOTHING:
        listed = listed.filter(pl.col("boxes") == 0)
    elif name != _ANY:
        listed = listed.filter(pl.col("class_ids").list.contains(found.taxonomy.names.index(name)))
    if reader != _ANY:
        listed = listed.filter(pl.col("readers").list.contains(readers[reader]))
    if text:
        listed = listed.filter(pl.col("image_id").str.contains(text, literal=True))
    if order == "most boxes":
        return listed.sort("boxes", "image_id", descending=[True, False])
    if order == "most disagreed on":
        by = ["disagreement", "boxes", "image_id"]
        return listed.sort(by, descending=[True, True, False], nulls_last=True)
    return listed


def _choose(listed: pl.DataFrame, asked: str | None) -> str:
    shown = listed.head(MOST_LISTED)
    ids: list[str] = shown["image_id"].to_list()
    at = ids.index(asked) if asked in ids else 0
    st.caption(f"{listed.height:,} images" + (f", the first {MOST_LISTED} listed" if listed.height > len(ids) else ""))
    back, onward = st.columns(2)
    before, after = ids[max(at - 1, 0)], ids[min(at + 1, len(ids) - 1)]
    back.button("Previous", shortcut="left", width="stretch", disabled=at == 0, on_click=_go, args=(before,))
    onward.button("Next", shortcut="right", width="stretch", disabled=after == ids[at], on_click=_go, args=(after,))
    columns = [name for name in ("image_id", "split", "boxes", "disagreement", "classes") if name in shown.columns]
    st.dataframe(
        shown.select(columns),
        hide_index=True,
        height=600,
        key="image-list",
        on_select=partial(_pick, ids),
        selection_mode="single-row",
        column_config={
            "image_id": st.column_config.TextColumn(width=90),
            "disagreement": st.column_config.NumberColumn("differ", format="%.2f"),
        },
    )
    return ids[at]


def _go(image_id: str) -> None:
    st.query_params["image"] = image_id


def _pick(ids: list[str]) -> None:
    for row in st.session_state["image-list"]["selection"]["rows"]:
        _go(ids[row])


def _forget() -> None:
    """Another filter: start with the first of what it finds."""
    st.query_params.pop("image", None)


@st.fragment
def _viewer(inputs: Dashboard, found: Dataset, said: Feedback | None, image_id: str) -> None:
    drawn = samples.layers(found, said, image_id)
    names = [layer.name for layer in drawn]
    used = [layer.name for layer in drawn if not layer.aside]
    wanted = st.pills("Boxes of", names, selection_mode="multi", default=used, key=f"layers-{image_id}") or []
    low, high = st.slider("Window (gray values shown from black to white)", 0, 255, (0, 255), key="window")
    try:
        path = pictures.find(found, inputs.images, image_id)
        source = pictures.address(pictures.jpeg(path, window=(low, max(high, low + 1))))
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        source = ""
    frame = pictures.frame(found, image_id)
    shown = [layer for layer in drawn if layer.name in wanted]
    figure = radiograph.draw(source, frame, shown, found.taxonomy, view=image_id)
    st.plotly_chart(figure, key="radiograph", config=radiograph.LOOKING, alt=f"radiograph {layout.plain(image_id)}")
    st.caption(
        f"{frame[0]}×{frame[1]} px. Wheel: zoom; drag: move; double click: all of it."
        if found.root is not None
        else "In the stretched proportions of the table: it does not tell the film's own."
    )
    _everything(found, image_id)


def _everything(found: Dataset, image_id: str) -> None:
    with st.expander("Everything known of this image"):
        rows = found.rows.filter(pl.col("image_id") == image_id)
        st.dataframe(rows, hide_index=True, key="rows-of-image")
        if "group" in rows.columns and rows.height:
            group = found.rows.filter(pl.col("group") == rows["group"][0])["image_id"].unique()
            others = [other for other in group.sort() if other != image_id]
            st.caption(f"Must share its split with: {layout.plain(', '.join(others[:20])) or 'no other image'}.")
        if found.manifest is not None:
            st.dataframe(found.manifest.filter(pl.col("image_id") == image_id), hide_index=True, key="files-of-image")
        st.code(f"radloop explain {image_id}", language="bash")


def _gallery(inputs: Dashboard, found: Dataset, listed: pl.DataFrame) -> None:
    pages = (listed.height - 1) // GALLERY + 1
    number = st.number_input(f"Page of {pages:,}", 1, pages, 1)
    part = listed.slice((int(number) - 1) * GALLERY, GALLERY)
    for start in range(0, part.height, 4):
        for column, row in zip(st.columns(4), part.slice(start, 4).iter_rows(named=True), strict=False):
            with column:
                _thumbnail(inputs, found, row["image_id"], row["classes"] or NOTHING)


def _thumbnail(inputs: Dashboard, found: Dataset, image_id: str, classes: str) -> None:
    try:
        path = pictures.find(found, inputs.images, image_id)
        st.image(pictures.proportions(path, pictures.frame(found, image_id), pictures.THUMBNAIL_PX), alt=image_id)
    except RadloopError as refused:
        st.error(layout.plain(refused))
    st.caption(f"{layout.plain(image_id[:12])} · {layout.plain(layout.shortened(classes, 80))}")
    if st.button("Open", key=f"open-{image_id}"):
        layout.open_image(image_id)
