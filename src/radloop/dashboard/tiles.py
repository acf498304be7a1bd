"""The small pictures of the gallery: what is drawn on each of them, and what is written under it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

import polars as pl

from radloop.catalog import truth
from radloop.dashboard import gallery, pictures, selection
from radloop.dashboard.filters import Filters
from radloop.dashboard.gallery import Box, Style, Tile
from radloop.dashboard.layout import shortened
from radloop.dashboard.loading import Dataset, Feedback
from radloop.errors import RadloopError
from radloop.options import Dashboard
from radloop.tables import EDGES
from radloop.taxonomy import NOTHING, Taxonomy

READERS: Final = "readers"
CONSENSUS: Final = "consensus"
AI: Final = "AI findings"
UNREAD: Final = "not read"
LAYERS: Final = (READERS, CONSENSUS, AI)
_OUTCOMES: Final[Mapping[str | None, tuple[Style, str]]] = {
    None: (gallery.AI, ""),
    "true": (gallery.TRUE, "✓ "),
    "false": (gallery.FALSE, "✗ "),
    "missed": (gallery.MISSED, "○ missed: "),
}
_LONGEST: Final = 24  # of a class's name at a box on a small picture


def of(
    inputs: Dashboard, found: Dataset, said: Feedback | None, asked: Filters, listed: pl.DataFrame, drawn: Sequence[str]
) -> list[Tile]:
    """A tile for each row of `listed` (`samples.images`) with the boxes of `drawn` (LAYERS)."""
    ids = listed["image_id"]
    boxes = _boxes(found, said, asked, ids, drawn)
    query = asked.query()
    frames = pictures.frames(found)
    tiles = []
    for row in listed.iter_rows(named=True):
        image_id = row["image_id"]
        own = boxes.get(image_id, [])
        source, refused = _source(inputs, found, image_id)
        width, height = frames[image_id]
        names = row["classes"] or (NOTHING if row["readers"] else UNREAD)
        count = f", {len(own):,} boxes" if own else ""
        split = f"{row['split']} · " if row.get("split") else ""
        more = f" ({gallery.MOST_BOXES} of {len(own):,} drawn)" if len(own) > gallery.MOST_BOXES else ""
        tiles.append(
            Tile(
                image_id=image_id,
                href="?" + urlencode({**query, "image": image_id}, doseq=True),
                source=source,
                refused=refused,
                width=width,
                height=height,
                alt=f"Radiograph {image_id}: {shortened(names, 200)}{count}{more}",
                texts=(
                    shortened(image_id, 32),
                    split + shortened(names, 80) + more,
                ),
                boxes=tuple(own[: gallery.MOST_BOXES]),
            )
        )
    return tiles


def legend(drawn: Sequence[str], boxes: pl.DataFrame | None) -> list[Style]:
    """What the kinds of boxes look like; of a detector (BOXES), true, false and missed ones where they are told."""
    styles = [gallery.READER] if READERS in drawn else []
    styles += [gallery.CONSENSUS] if CONSENSUS in drawn else []
    if AI in drawn and boxes is not None:
        styles += [style for outcome, (style, _) in _OUTCOMES.items() if outcome in boxes["outcome"].unique().to_list()]
    return styles


def _source(inputs: Dashboard, found: Dataset, image_id: str) -> tuple[str | None, str]:
    try:
        return pictures.url(found, inputs.images, image_id, pictures.THUMBNAIL_PX), ""
    except RadloopError as refused:
        return None, str(refused)


def _boxes(
    found: Dataset, said: Feedback | None, asked: Filters, ids: pl.Series, drawn: Sequence[str]
) -> dict[str, list[Box]]:
    """By image, the boxes to draw: the readers' below, the detector's on top."""
    here = pl.col("image_id").is_in(ids.implode())
    rows = found.readings.filter(here)
    told: dict[str, list[Box]] = {}
    if READERS in drawn:
        _add(told, rows.filter(pl.col("class_id").is_not_null()), found.taxonomy, gallery.READER)
    if CONSENSUS in drawn:
        _add(told, truth.of(rows), found.taxonomy, gallery.CONSENSUS)
    if AI in drawn and said is not None:
        known = selection.boxes(found, said, asked).filter(here)
        judged = set(known.drop_nulls("outcome")["image_id"])  # what is found and what is missed names the truth there
        told = {one: [replace(box, text="") for box in own] if one in judged else own for one, own in told.items()}
        for outcome, (style, mark) in _OUTCOMES.items():
            _add(told, known.filter(pl.col("outcome").eq_missing(outcome)), found.taxonomy, style, mark)
    return told


def _add(told: dict[str, list[Box]], rows: pl.DataFrame, classes: Taxonomy, style: Style, mark: str = "") -> None:
    sure = pl.col("confidence") if "confidence" in rows.columns else pl.lit(None, pl.Float64).alias("confidence")
    for image_id, class_id, confidence, *edges in rows.select("image_id", "class_id", sure, *EDGES).iter_rows():
        name = shortened(classes.name(class_id), _LONGEST)
        below = style is not gallery.READER and not mark and confidence is None
        text = mark + name + ("" if confidence is None else f" {confidence:.2f}")
        left, top, right, bottom = edges
        told.setdefault(image_id, []).append(Box((left, top, right, bottom), style.colour, style.dash, text, below))
