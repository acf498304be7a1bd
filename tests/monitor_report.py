"""A report of `radloop monitor`, as it is written."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from radloop.catalog import monitor
from radloop.catalog.monitor import Alarm, Due, Figure, Reference, Report

START = datetime(2026, 6, 1, 8, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def report(*, alarm: str | None = "mean gray value: higher", due: bool = True) -> Report:
    """Two figures, of which one alarmed, and one for which there is too little."""
    at = None if alarm is None else day(68)
    bright = Figure(
        figure="picture mean",
        kind="picture",
        n=900,
        statistic=50_000.0 if alarm else 3.0,
        threshold=41_000.0,
        alarm_at=at,
        direction=None if alarm is None else "up",
        says=alarm or "no change",
    )
    missed = Figure(
        figure="missed", kind="review", n=3, statistic=None, threshold=41_000.0, alarm_at=None, direction=None, says=""
    )
    return Report(
        looked_at=day(72),
        reference=Reference(since=day(52), why="new-2 came into use", model="new 2", images=300),
        figures=(bright, missed),
        alarms=() if at is None else (Alarm(at=at, figure="picture mean", says=str(alarm)),),
        due=(Due(rule="reviews", value=210 if due else 12, limit=200, due=due, says="reviews since the last round"),),
        rate=1,
    )


def watched(folder: Path, told: Report) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / monitor.NAME).write_bytes(monitor.encode(told))
