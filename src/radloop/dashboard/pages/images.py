"""Images: the radiographs that the filters of the address ask for, small or one at a time, with whoever's boxes."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.catalog import judging
from radloop.dashboard import filter_bar, filters, gallery, layout, pictures, radiograph, samples, selection, tiles
from radloop.dashboard.filters import Filters
from radloop.dashboard.loading import Dataset, Feedback
from radloop.dashboard.samples import Layer
from radloop.errors import RadloopError
from radloop.options import Dashboard
from radloop.words import several

MOST_LISTED: Final = 500
GALLERY: Final = 12
_VIEW: Final = "images-view"
_GALLERY: Final = "Gallery"
_ONE: Final = "One image"


def page(inputs: Dashboard) -> None:
    """The filters, and what they leave: a gallery, or one picture beside its list."""
    found = layout.dataset(inputs)
    said = layout.quiet_feedback(inputs)
    layout.head("Images", "Look at the radiographs and at every reader's boxes.", simulated=layout.marks(found, said))
    if found is None:
        return
    filter_bar.restore()
    known = filters.choices(found, said)
    asked, problems = filters.read({name: st.query_params.get_all(name) for name in st.query_params}, known)
    for problem in problems:
        st.warning(f"Left out of the filters: {layout.plain(problem)}")
    filter_bar.draw(asked, known)
    listed = selection.images(found, said, asked)
    image_id = _asked_for(found, listed)
    if image_id is not None and image_id not in listed["image_id"]:
        listed = pl.concat([samples.images(found).filter(image_id=image_id), listed])
    filter_bar.keep()
    if listed.is_empty():
        st.info("No image is like that.")
        return
    bar = st.columns([4, 3, 5, 3], vertical_alignment="bottom")
    st.session_state[_VIEW] = _ONE if image_id else _GALLERY
    view = bar[0].segmented_control(
        "View", [_GALLERY, _ONE], required=True, key=_VIEW, on_change=_switch, args=(listed["image_id"][0],)
    )
    if view == _GALLERY:
        _gallery(inputs, found, said, asked, listed, bar)
    else:
        left, right = st.columns([2, 5], gap="medium")
        with left:
            shown = _choose(listed, image_id)
        drawn = samples.layers(found, said, shown)
        with bar[2]:
            wanted = _layers(drawn, shown)
        with right:
            _viewer(inputs, found, shown, [layer for layer in drawn if layer.name in wanted])
    layout.in_use(found)


def _asked_for(found: Dataset, listed: pl.DataFrame) -> str | None:
    """The image of the address, where the dataset has it."""
    image_id = st.query_params.get("image")
    if image_id is None or image_id in listed["image_id"]:
        return image_id
    if samples.images(found).filter(image_id=image_id).is_empty():
        st.warning(f"The dataset has no image {layout.plain(image_id)[:200]}.")
        return None
    return image_id


def _switch(first: str) -> None:
    filter_bar.change(image=first if st.session_state[_VIEW] == _ONE else None)


def _choose(listed: pl.DataFrame, asked: str | None) -> str:
    at = listed["image_id"].to_list().index(asked) if asked is not None else 0
    start = max(min(at - MOST_LISTED // 2, listed.height - MOST_LISTED), 0)
    shown = listed.slice(start, MOST_LISTED)
    ids: list[str] = shown["image_id"].to_list()
    some = f", {len(ids)} of them listed" if listed.height > len(ids) else ""
    st.caption(f"Image {at + 1:,} of {listed.height:,}{some}.")
    back, onward = st.columns(2)
    at -= start
    before, after = ids[max(at - 1, 0)], ids[min(at + 1, len(ids) - 1)]
    back.button("Previous", shortcut="left", width="stretch", disabled=at == 0, on_click=_go, args=(before,))
    onward.button("Next", shortcut="right", width="stretch", disabled=after == ids[at], on_click=_go, args=(after,))
    columns = [name for name in ("image_id", "boxes", "disagreement", "split", "classes") if name in shown.columns]
    st.dataframe(
        shown.select(columns),
        hide_index=True,
        height=440,
        key="image-list",
        on_select=partial(_pick, ids),
        selection_mode="single-row",
        column_config={
            "image_id": st.column_config.TextColumn(width=90),
            "boxes": st.column_config.NumberColumn(width=50),
            "disagreement": st.column_config.NumberColumn("differ", format="%.2f", width=55),
        },
    )
    return ids[at]


def _go(image_id: str) -> None:
    filter_bar.change(image=image_id)


def _pick(ids: list[str]) -> None:
    for row in st.session_state["image-list"]["selection"]["rows"]:
        _go(ids[row])


def _layers(drawn: Sequence[Layer], image_id: str) -> Sequence[str]:
    """Whose boxes are wanted: at first all that are in a label."""
    names = [layer.name for layer in drawn]
    used = [layer.name for layer in drawn if not layer.aside]
    key = f"layers-{image_id}"
    wanted: Sequence[str] | None = st.pills("Boxes of", names, selection_mode="multi", default=used, key=key)
    return wanted or []


def _viewer(inputs: Dashboard, found: Dataset, image_id: str, shown: Sequence[Layer]) -> None:
    png = jpg = ""
    try:
        pictures.gray(pictures.find(found, inputs.images, image_id))  # a damaged one is named here
        jpg = pictures.url(found, inputs.images, image_id, pictures.LONGEST_SIDE_PX)
        png = pictures.url(found, inputs.images, image_id)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
    width, height = pictures.frame(found, image_id)
    item = {"image_id": image_id, "jpg": jpg, "png": png, "width": width, "height": height}
    boxes = several(sum(layer.boxes.height for layer in shown), "box")
    radiograph.show(item, shown, found.taxonomy, says=f"Radiograph {image_id}, {boxes} drawn")
    size = (
        f"{width}×{height} px."
        if found.root is not None
        else "In the stretched proportions of the table: it does not tell the radiograph's own."
    )
    st.caption(
        f"{size} Drag: move; wheel, + and −: zoom; right drag: window and level; double click, 0: all of it; i: invert."
    )
    _everything(found, image_id)


def _everything(found: Dataset, image_id: str) -> None:
    with st.expander("Everything known of this image"):
        rows = found.rows.filter(pl.col("image_id") == image_id)
        st.dataframe(rows, hide_index=True, key="rows-of-image")
        came = found.incoming.filter(pl.col("image_id") == image_id)
        if came.height:
            st.dataframe(came.drop("thumbnail", "patient"), hide_index=True, key="arrival-of-image")
        if "group" in rows.columns:
            own = found.images.filter(pl.col("image_id") == image_id)
            group = found.images.join(own, on="group", how="semi")["image_id"].unique()
            others = [other for other in group.sort() if other != image_id]
            st.caption(f"Must share its split with: {layout.plain(', '.join(others[:20])) or 'no other image'}.")
        if found.manifest is not None:
            st.dataframe(found.manifest.filter(pl.col("image_id") == image_id), hide_index=True, key="files-of-image")
        st.code(f"radloop explain {image_id}", language="bash")


def _gallery(
    inputs: Dashboard, found: Dataset, said: Feedback | None, asked: Filters, listed: pl.DataFrame, bar: Sequence[Any]
) -> None:
    number = _page(bar[1], (listed.height - 1) // GALLERY + 1)
    layers = [name for name in tiles.LAYERS if name != tiles.AI or said is not None]
    usual = [name for name in layers if name != tiles.READERS]
    drawn = bar[2].pills("Boxes of", layers, selection_mode="multi", default=usual, key="gallery-layers")
    part = listed.slice((number - 1) * GALLERY, GALLERY)
    known = None if said is None else selection.boxes(found, said, asked).join(part, on="image_id", how="semi")
    small = tiles.of(inputs, found, said, asked, part, drawn)
    whose = "" if said is None else f" · AI: {layout.plain(judging.name(*selection.detector(asked, said)))}"
    bar[3].caption(f"{several(listed.height, 'image')}{whose}")
    chosen = gallery.show(small, tiles.legend(drawn, known), key="gallery")
    if chosen is not None:
        _go(chosen)
        st.rerun()


def _page(column: Any, pages: int) -> int:
    told = st.query_params.get("page", "1")
    st.session_state["gallery-page"] = min(max(int(told), 1), pages) if told.isdecimal() and len(told) < 9 else 1
    return int(column.number_input(f"Page of {pages:,}", 1, pages, step=1, key="gallery-page", on_change=_turn))


def _turn() -> None:
    number = st.session_state["gallery-page"]
    filter_bar.change(page=str(number) if number > 1 else None)
