"""The models: which is in use and what let it through, every comparison, and how often a held-out split was asked."""

from pathlib import Path
from typing import Final

import polars as pl
import streamlit as st

from radloop.catalog import cards, gates
from radloop.catalog.cards import Card
from radloop.catalog.models import Models
from radloop.dashboard import layout
from radloop.dashboard.course import Course, Row
from radloop.errors import RadloopError
from radloop.words import several

COMMAND: Final = "radloop compare CHAMPION CHALLENGER --splits staging"
_HOW: Final = {"promote": "promoted", "rollback": "brought back"}
_TIME: Final = "%Y-%m-%d %H:%M"


def show(read: Course, folder: Path) -> None:
    """The model in use, the comparisons, the use of held-out splits. folder: of the models."""
    models = read.models
    if models is None:
        return
    if models.comparisons.is_empty() and models.history.is_empty():
        layout.missing("No model was compared or promoted yet.", COMMAND)
        return
    _champion(models, read.champion, folder)
    _comparisons(models)
    _uses(models)


def _champion(models: Models, row: Row | None, folder: Path) -> None:
    """The model in use: since when, by which comparison, in the place of which; its dataset and recipe."""
    st.markdown("**The model in use**")
    if row is None:
        layout.missing("No model is named as the one in use.", "radloop promote MODEL")
        return
    card = _card(folder, row["model"])
    told = {
        "model": row["model"],
        "since (UTC)": f"{row['at']:{_TIME}}",
        "how": _HOW.get(row["action"], row["action"]),
        "in the place of": row["previous"],
        "why": row["reason"],
    }
    if card is not None:
        told |= {"dataset version": card.dataset, "recipe of its pictures": card.recipe or "nobody said"}
    passed = _let_through(models, row, card)
    told |= {f"verdict on {one['split']}": f"{_verdict(one)} ({one['comparison']})" for one in passed}
    rows = [(name, str(value)) for name, value in told.items() if value is not None]
    st.dataframe(pl.DataFrame(rows, schema=["what", "value"], orient="row"), hide_index=True, key="champion")
    if not passed:
        layout.cannot_tell("whether it is better than the one before: no comparison let it through.")


def _card(folder: Path, model: str) -> Card | None:
    try:
        return cards.read(folder, model)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return None


def _let_through(models: Models, row: Row, card: Card | None) -> list[Row]:
    """The comparisons that let the model through, by its card and by the move (rows of COMPARISONS)."""
    known = {row["comparison"]} | (set() if card is None else {str(one) for one in card.verdict.values()})
    asked = models.comparisons.filter(pl.col("comparison").is_in([one for one in known if one is not None]))
    return list(asked.filter(challenger=row["model"]).iter_rows(named=True))


def _verdict(row: Row) -> str:
    """What came of a comparison (a row of COMPARISONS).

    >>> _verdict({"passed": False, "reasons": "mAP@0.4: may fall by 0.08\\nlatency: 90 ms"})
    'missed: mAP@0.4: may fall by 0.08; latency: 90 ms'
    """
    return "passed every gate" if row["passed"] else f"missed: {'; '.join(row['reasons'].splitlines())}"


def _comparisons(models: Models) -> None:
    table = models.comparisons.reverse()
    st.markdown("**Every comparison**")
    if table.is_empty():
        layout.missing("No two models were compared yet.", COMMAND)
        return
    verdicts = [_verdict(row) for row in table.iter_rows(named=True)]
    shown = table.select(
        pl.col("at").dt.strftime(_TIME).alias("time (UTC)"),
        "split",
        "challenger",
        pl.col("champion").alias("against"),
        pl.Series("verdict", verdicts, dtype=pl.String()),
        pl.col("dataset").alias("dataset version"),
        "comparison",
    )
    passed = int(table["passed"].sum())
    st.caption(
        f"{several(table.height, 'comparison')}, {passed:,} passed. The gate of mAP is to be proven: it is missed "
        "where the challenger is worse, and where the images are too few to say. The others are missed where it is "
        "worse by more than chance (docs/gates.md)."
    )
    st.dataframe(shown.head(layout.MOST_SHOWN), hide_index=True, key="comparisons")
    layout.download(shown, key="comparisons")


def _uses(models: Models) -> None:
    """How often each held-out split was asked, and whether it is worn as the gates say."""
    st.markdown("**How often each held-out split was asked**")
    told = models.uses.iter_rows(named=True)
    wear = [gates.wear(row["comparisons"], gates.ALPHA) for row in told]
    shown = models.uses.select(
        "split", pl.col("dataset").alias("dataset version"), pl.col("comparisons").alias("comparisons that asked it")
    ).with_columns(
        pl.Series("chance that a bad one passed, up to", [f"{one:.0%}" for one in wear], dtype=pl.String),
        pl.Series("worn", [one > gates.WORN for one in wear], dtype=pl.Boolean),
    )
    st.caption(
        "Each comparison lets a challenger that is worse by the margin through with "
        f"{gates.ALPHA:.1%} at most; over all that asked a split this adds up. Worn: more than {gates.WORN:.0%}. "
        "Then believe the audit images, or hold out new patients in a next version."
    )
    st.dataframe(shown, hide_index=True, key="uses")
