"""One look at the loop: all that Prometheus is told of it, as numbers and few words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from radloop import manifest
from radloop.catalog import audit_lines, models, rounds
from radloop.catalog.monitor import Report
from radloop.feedback import logged, worklists
from radloop.options import Monitor
from radloop.pipelines import monitoring
from radloop.pipelines.keeping import noting
from radloop.pipelines.monitoring import Stream
from radloop.progress import Progress

_AHEAD: Final = timedelta(days=1)  # of clocks of other machines, and of simulated reviews


@dataclass(frozen=True)
class State:
    """What there was at one time; nothing in it names an image or a patient."""

    looked_at: datetime
    version: str
    champion: str  # empty where there is none
    champion_since: datetime | None
    feedback: int
    reviews: int
    rounds: int
    newest: Mapping[str, datetime | None]  # of feedback, review, round and backup
    refused: Mapping[str, Mapping[str, int]]  # files, by what they are and the code of the reason
    queue: Mapping[str, int]  # images that wait for a review, by state
    report: Report
    audit: Mapping[str, bool] = field(default_factory=dict)  # whether each log ends as its head says
    images: Mapping[str, int] = field(default_factory=dict)  # of the dataset, by split


def look(options: Monitor, now: datetime, progress: Progress) -> State:
    """Read what is new, and look at all of it as `radloop monitor` does. Raises RadloopError where it cannot."""
    there = monitoring.read(options, now, progress)
    known, found, reviewed = there.known, there.records.feedback, there.reviewed.reviews
    rows, _ = rounds.read(known.root / manifest.RETRAIN)
    waits = worklists.waiting(there.judged, there.reviewed, there.records.detections, seed=options.seed, read_twice=0.0)
    splits = known.own_images.group_by("split").agg(pl.len()).sort("split")
    logs = logged.folders(options.out, options.reviews_folder)
    ends = {name: audit_lines.is_end_sound(folder) for name, folder in logs.items()}
    return State(
        looked_at=now,
        version=known.whole_id,
        champion=there.models.aliases.get(models.CHAMPION, ""),
        champion_since=_since(there, now),
        feedback=found.height,
        reviews=reviewed.height,
        rounds=rows.height,
        newest={
            "feedback": _newest(found["timestamp"], now),
            "review": _newest(reviewed["timestamp"], now),
            "round": _newest(rows["newest"], now),
            "backup": noting.newest(options.out),
        },
        refused={"feedback": _codes(there.records.refused), "review": _codes(there.reviewed.refused)},
        queue=dict.fromkeys(("unread", "disputed"), 0) | _counted(waits, "state"),
        report=monitoring.of_stream(options, there, now).report,
        audit={name: sound for name, sound in ends.items() if sound is not None},
        images=dict(splits.drop_nulls().iter_rows()),
    )


def _since(there: Stream, now: datetime) -> datetime | None:
    moves = there.models.history.filter(alias=models.CHAMPION)
    return _newest(moves["at"], now)


def _newest(times: pl.Series, now: datetime) -> datetime | None:
    """The newest time, at most now; one that a wrong clock wrote far ahead would pass for new until then: left out."""
    newest: datetime | None = times.filter(times <= now + _AHEAD).max()  # type: ignore[assignment]
    return newest and min(newest, now)


def _codes(refused: pl.DataFrame) -> dict[str, int]:
    return _counted(refused, "code")


def _counted(table: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(table.group_by(column).agg(pl.len()).sort(column).iter_rows())
