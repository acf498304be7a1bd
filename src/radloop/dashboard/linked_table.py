"""A table whose numbers are links to the images that they count: a component of our own, by mouse and by keyboard."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import streamlit as st

from radloop.dashboard import links

Look = Literal["", "first", "quiet", "first few"]  # classes of the style sheet

_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True)
class Cell:
    """A text, where it leads (the filters of `links.address`; empty: nowhere), and what it says in full."""

    text: str
    address: str = ""
    says: str = ""
    span: int = 1  # columns, of a head
    look: Look = ""


@dataclass(frozen=True)
class Row:
    """A row of cells under its name."""

    name: Cell
    cells: tuple[Cell, ...]


def show(caption: str, heads: Sequence[Sequence[Cell]], rows: Sequence[Row], *, key: str) -> None:
    """Draw it; the choice of a number goes to its images."""
    draw = st.components.v2.component(
        "radloop.linked_table",
        js=(_FOLDER / "linked_table.js").read_text(),
        css=(_FOLDER / "linked_table.css").read_text(),
    )
    told = {
        "caption": caption,
        "heads": [[asdict(cell) for cell in row] for row in heads],
        "rows": [asdict(row) for row in rows],
    }
    chosen = draw(key=key, data=told, on_open_change=_chosen).open
    if chosen is not None and chosen in set(_addresses(rows)):
        links.follow(chosen)


def _addresses(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        yield row.name.address
        yield from (cell.address for cell in row.cells)


def _chosen() -> None:
    """Streamlit asks for a function of each trigger; what it tells is returned by the component."""
