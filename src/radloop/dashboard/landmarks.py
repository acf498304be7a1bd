"""What happened in the loop, as rows in time: rounds of re-training, dataset versions, models and alarms."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import polars as pl

from radloop.catalog import models
from radloop.catalog.monitor import Alarm
from radloop.dashboard.links import address
from radloop.tables import TIME
from radloop.words import several

Lane = Literal["Rounds of re-training", "Dataset versions", "Models", "Alarms"]
Kind = Literal["round", "published", "promoted", "gates passed", "gate missed", "rolled back", "alarm"]

ROUNDS: Final[Lane] = "Rounds of re-training"
VERSIONS: Final[Lane] = "Dataset versions"
MODELS: Final[Lane] = "Models"
ALARMS: Final[Lane] = "Alarms"
LANES: Final[tuple[Lane, ...]] = (ROUNDS, VERSIONS, MODELS, ALARMS)

EVENTS: Final = pl.Schema(
    {
        "at": TIME,  # null: nothing tells it
        "lane": pl.String(),
        "kind": pl.String(),
        "what": pl.String(),
        "why": pl.String(),
        "opens": pl.String(),  # the page, and what its address asks for
    }
)
# What was in use from when until when; `until` is null for what is in use now.
REIGNS: Final = pl.Schema({"lane": pl.String(), "name": pl.String(), "at": TIME, "until": TIME})

GATES_VIEW: Final = "Models and gates"  # of the page Time line
OPENS_GATES: Final = f"time-line?{address({'view': GATES_VIEW})}"
_ROLLBACK: Final = "rollback"
_SHORT: Final = 8  # characters of an id that tell it from others


def _table(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=EVENTS, orient="row")


def of_rounds(rounds: pl.DataFrame) -> pl.DataFrame:
    """EVENTS of ROUNDS; the time of a round is that of the newest feedback or review that it knew."""
    return _table(_round(row) for row in rounds.iter_rows(named=True))


def _round(row: Mapping[str, Any]) -> dict[str, Any]:
    learned = "" if row["dataset"] is None else f" beside version {row['dataset'][:_SHORT]}"
    fates = ", ".join(f"{row[fate]:,} {fate}" for fate in ("kept", "withheld", "disputed", "unused", "refused"))
    feedback, reviews = several(row["feedback"] or 0, "feedback file"), several(row["reviews_used"] or 0, "review")
    return {
        "at": row["newest"],
        "lane": ROUNDS,
        "kind": "round",
        "what": f"round {row['round'][:_SHORT]}: {several(row['rows_that_train'] or 0, 'row')} that train{learned}",
        "why": f"of {feedback} {fates}; {reviews} used",
        "opens": f"versions?{address({'view': 'Over the rounds'})}",
    }


def of_history(history: pl.DataFrame) -> pl.DataFrame:
    """EVENTS of HISTORY."""
    return _table(_version(row) for row in history.iter_rows(named=True))


def _version(row: Mapping[str, Any]) -> dict[str, Any]:
    back = row["action"] == _ROLLBACK
    after = "" if row["previous"] is None else f", after {row['previous'][:_SHORT]}"
    return {
        "at": row["published_at"],
        "lane": VERSIONS,
        "kind": "rolled back" if back else "published",
        "what": f"version {row['version'][:_SHORT]}{' brought back' if back else ''}",
        "why": f"{row['action']}{after}: {holds(row)}; {changed(row)}",
        "opens": f"versions?{address({'view': 'All versions'})}",
    }


def holds(row: Mapping[str, Any]) -> str:
    """How much is in a version (a row of HISTORY)."""
    told = ((row["images"], "image"), (row["labels"], "label"), (row["boxes"], "box"))
    return ", ".join(several(number, what) for number, what in told if number is not None)


def changed(row: Mapping[str, Any]) -> str:
    """What a version (a row of HISTORY) has otherwise than the one before.

    >>> changed({"previous": "a", "changes": {"images_added": 80, "images_removed": 0, "labels_moved": 1}})
    '80 images added; 1 label moved'
    """
    if row["previous"] is None:
        return "the first"
    changes = row["changes"]
    if changes is None:
        return "nothing is known of what changed"
    told = []
    for name, number in changes.items():
        what, _, how = name.partition("_")
        if number:
            told.append(f"{several(number, what.removesuffix('s'))} {how}")
    return "; ".join(told) or "the same images and labels as before"


def of_models(history: pl.DataFrame, comparisons: pl.DataFrame) -> pl.DataFrame:
    """EVENTS of `catalog.models`: HISTORY, the moves of an alias, and COMPARISONS."""
    moves = (_move(row) for row in history.iter_rows(named=True))
    return _table((*moves, *(_comparison(row) for row in comparisons.iter_rows(named=True))))


def _move(row: Mapping[str, Any]) -> dict[str, Any]:
    back = row["action"] == _ROLLBACK
    alias = "" if row["alias"] == models.CHAMPION else f" as {row['alias']}"
    before = "" if row["previous"] is None else f" in the place of {row['previous']}"
    by = "without a comparison" if row["comparison"] is None else f"by comparison {row['comparison'][:_SHORT]}"
    return {
        "at": row["at"],
        "lane": MODELS,
        "kind": "rolled back" if back else "promoted",
        "what": f"{row['model']} {'brought back' if back else 'promoted'}{alias}{before}",
        "why": f"{by}; {row['reason']}" if row["reason"] else by,
        "opens": OPENS_GATES,
    }


def _comparison(row: Mapping[str, Any]) -> dict[str, Any]:
    verdict = "passed the gates" if row["passed"] else "missed a gate"
    return {
        "at": row["at"],
        "lane": MODELS,
        "kind": "gates passed" if row["passed"] else "gate missed",
        "what": f"{row['challenger']} {verdict} against {row['champion']} on {row['split']}",
        "why": "; ".join(row["reasons"].splitlines()) or "every gate",
        "opens": OPENS_GATES,
    }


def of_alarms(alarms: Iterable[Alarm]) -> pl.DataFrame:
    """EVENTS of the alarms of `radloop monitor`."""
    opens = f"drift?{address({'compare': 'Alarms over time'})}"
    return _table(
        {"at": alarm.at, "lane": ALARMS, "kind": "alarm", "what": alarm.figure, "why": alarm.says, "opens": opens}
        for alarm in alarms
    )


def reigns(rows: pl.DataFrame, *, lane: Lane, name: str, at: str) -> pl.DataFrame:
    """REIGNS: each row from its time until that of the next. Rows without a time are left out."""
    dated = rows.filter(pl.col(at).is_not_null()).sort(at, maintain_order=True)
    return dated.select(lane=pl.lit(lane), name=pl.col(name), at=pl.col(at), until=pl.col(at).shift(-1)).cast(REIGNS)


def newest_first(*events: pl.DataFrame) -> pl.DataFrame:
    """All EVENTS in one table, those without a time last."""
    order = pl.col("lane").cast(pl.Enum(list(LANES)))
    return pl.concat(events).sort("at", order, descending=[True, False], nulls_last=True, maintain_order=True)


def span(events: pl.DataFrame) -> tuple[datetime, datetime] | None:
    """The first and the last time; None where nothing has one."""
    first, last = events["at"].min(), events["at"].max()
    return (first, last) if isinstance(first, datetime) and isinstance(last, datetime) else None
