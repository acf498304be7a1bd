"""The models: which is in use and what let it through, every comparison, and how often a held-out split was asked."""

from typing import Final

import polars as pl
import streamlit as st

from radloop.catalog.models import Models
from radloop.dashboard import layout
from radloop.dashboard.course import Course, Row
from radloop.words import several

COMMAND: Final = "radloop compare CHAMPION CHALLENGER --splits staging"
_HOW: Final = {"promote": "promoted", "rollback": "brought back"}
_TIME: Final = "%Y-%m-%d %H:%M"


def show(read: Course) -> None:
    """The model in use, the comparisons, the use of held-out splits."""
    models = read.models
    if models is None:
        return
    if models.comparisons.is_empty() and models.history.is_empty():
        layout.missing("No model was compared or promoted yet.", COMMAND)
        return
    _champion(models, read.champion)
    _comparisons(models)
    _uses(models)


def _champion(models: Models, row: Row | None) -> None:
    """The model in use: since when, by which comparison, in the place of which."""
    st.markdown("**The model in use**")
    if row is None:
        layout.missing("No model is named as the one in use.", "radloop promote MODEL")
        return
    told = {
        "model": row["model"],
        "since (UTC)": f"{row['at']:{_TIME}}",
        "how": _HOW.get(row["action"], row["action"]),
        "in the place of": row["previous"],
        "why": row["reason"],
    }
    passed = _let_through(models, row)
    told |= {f"verdict on {one['split']}": f"{_verdict(one)} ({one['comparison']})" for one in passed}
    rows = [(name, str(value)) for name, value in told.items() if value is not None]
    st.dataframe(pl.DataFrame(rows, schema=["what", "value"], orient="row"), hide_index=True, key="champion")
    if not passed:
        layout.cannot_tell("whether it is better than the one before: no comparison let it through.")


def _let_through(models: Models, row: Row) -> list[Row]:
    """The comparison that let the model through, if one did (rows of COMPARISONS)."""
    return list(models.comparisons.filter(comparison=row["comparison"] or "").iter_rows(named=True))


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
        f"{several(table.height, 'comparison')}, {passed:,} passed. Passed: every gate was proven to hold. Missed: at "
        "least one was not, because the challenger is worse or because the images are too few to say."
    )
    st.dataframe(shown.head(layout.MOST_SHOWN), hide_index=True, key="comparisons")
    layout.download(shown, key="comparisons")


def _uses(models: Models) -> None:
    st.markdown("**How often each held-out split was asked**")
    st.caption(
        "A split that is asked often is worn: models are chosen by what it says, so that it flatters those that are "
        "chosen. A new version of the dataset keeps its held-out images."
    )
    uses = models.uses.rename({"dataset": "dataset version", "comparisons": "comparisons that asked it"})
    st.dataframe(uses, hide_index=True, key="uses")
