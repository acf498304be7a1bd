"""Small radiographs with boxes on them, each a link: a component of our own, which is only ever given texts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import streamlit as st

MOST_BOXES: Final = 60  # drawn on one small picture; its text says how many there are
_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True)
class Style:
    """How boxes of one kind are drawn: told apart by colour and by dash."""

    name: str
    colour: str
    dash: str  # as SVG's stroke-dasharray has it


CONSENSUS: Final = Style("consensus of the readers", "#fff27a", "none")
READER: Final = Style("one reader", "#5ad1ff", "2 3")
AI: Final = Style("AI finding", "#ffb02e", "9 5")  # as on the desk
TRUE: Final = Style("✓ AI finding, true", "#8df0d2", "9 5")
FALSE: Final = Style("✗ AI finding, false", "#ff9d7a", "5 3")
MISSED: Final = Style("○ missed by the AI", "#ffb3e6", "2 4")


@dataclass(frozen=True)
class Box:
    """One box: left, top, right, bottom as fractions of the picture, and what is written at it."""

    edges: tuple[float, float, float, float]
    colour: str
    dash: str
    text: str
    below: bool = False  # where the text stands: two boxes on one place have theirs apart


@dataclass(frozen=True)
class Tile:
    """One small picture; without a source it says why. The size is the radiograph's: its proportions are kept."""

    image_id: str
    href: str
    source: str | None
    refused: str
    width: int
    height: int
    alt: str
    texts: tuple[str, ...]
    boxes: tuple[Box, ...]


def show(tiles: Sequence[Tile], legend: Sequence[Style], *, key: str) -> str | None:
    """Draw them; the id of the image that somebody has just chosen."""
    draw = st.components.v2.component(
        "radloop.gallery", js=(_FOLDER / "gallery.js").read_text(), css=(_FOLDER / "gallery.css").read_text()
    )
    told = {"tiles": [asdict(tile) for tile in tiles], "legend": [asdict(style) for style in legend]}
    chosen = draw(key=key, data=told, on_open_change=_chosen).open
    return chosen if chosen in {tile.image_id for tile in tiles} else None


def _chosen() -> None:
    """Streamlit asks for a function of each trigger; what it tells is returned by the component."""
