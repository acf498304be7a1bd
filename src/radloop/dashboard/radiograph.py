"""A radiograph in its true proportions with whoever's boxes on it, to look at: the desk's modules without the desk."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from radloop.dashboard import addresses, gallery
from radloop.dashboard.layout import shortened
from radloop.dashboard.samples import CONSENSUS, MODEL, Layer
from radloop.taxonomy import Taxonomy

MOST_BOXES: Final = 2_000  # drawn; the page says how many there are
_READERS: Final = (  # as desk/boxes.js draws them: told apart by colour and by dash, each 3:1 from its dark halo
    ("#b6f09c", "14 4"),
    ("#ffb3e6", "4 4"),
    ("#5ad1ff", "none"),
    ("#d3c4ff", "7 3"),
    ("#8df0d2", "3 3 9 3"),
    ("#ffffff", "1 4"),
)
_LOADER: Final = """
export default function ({ data, parentElement }) {
  const part = (name) => new URL(`${data.parts}/${name}`, document.baseURI).href;
  let viewer = null;
  if (!parentElement.querySelector("link")) {
    const link = { rel: "stylesheet", href: part("viewer.css") };
    parentElement.append(Object.assign(document.createElement("link"), link));
  }
  import(part("viewer.js")).then(
    ({ mount }) => { viewer = mount({ data, parentElement }); },
    (error) => { parentElement.append(`The picture cannot be shown: ${error.message}. Reload the page.`); },
  );
  return () => setTimeout(() => parentElement.isConnected || viewer?.stop());
}
"""


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component("radloop.viewer", js=_LOADER)


def show(item: Mapping[str, Any], layers: Sequence[Layer], classes: Taxonomy, *, says: str) -> None:
    """The picture of `item` under the boxes of `layers`, and the legend of these; zoom is kept for the same image.

    item: image_id; png and jpg, addresses (`pictures.url`), empty where there is no picture; the true width and height.
    """
    styles = [_style(layer.name, place) for place, layer in enumerate(layers)]
    marks = [
        {
            "name": f"{place} {number}",
            "edges": edges,
            "style": styles[place],
            "text": "" if layer.name == CONSENSUS else _text(classes.name(class_id), confidence),
        }
        for place, layer in enumerate(layers)
        for number, (class_id, confidence, *edges) in enumerate(layer.boxes.iter_rows())
    ]
    parts = addresses.desk()
    legend = [
        {"name": f"{layer.name} ({layer.boxes.height:,})", "style": style}
        for layer, style in zip(layers, styles, strict=True)
    ]
    told = {"parts": parts, "item": dict(item), "marks": marks[:MOST_BOXES], "legend": legend, "says": says}
    _component()(key="radiograph", data=told)
    if len(marks) > MOST_BOXES:
        st.caption(f"The first {MOST_BOXES:,} of {len(marks):,} boxes are drawn.")


def _text(name: str, confidence: float | None) -> str:
    return shortened(name) + ("" if confidence is None else f" {confidence:.2f}")


def _style(name: str, place: int) -> dict[str, str]:
    if name.startswith(MODEL):
        colour, dash = gallery.AI.colour, gallery.AI.dash
    elif name == CONSENSUS:
        colour, dash = gallery.CONSENSUS.colour, gallery.CONSENSUS.dash
    else:
        colour, dash = _READERS[place % len(_READERS)]
    return {"colour": colour, "dash": dash}
