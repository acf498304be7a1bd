"""What `radloop monitor` can be told (`radloop.options`)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from radloop.durations import Duration
from radloop.errors import UsageError
from radloop.option import About, option, switch
from radloop.parts import DatasetFolder, DryRun, Jobs, Json, LogFile, ReadFeedback, ReviewsFolder, Seeded, Step

_EVENTS = ("promotion", "round", "first")


def _since(text: str) -> str:
    if text in _EVENTS or re.fullmatch(r"\d{4}-\d{2}-\d{2}.*", text):
        if text not in _EVENTS:
            moment(text)
        return text
    raise UsageError(f"{text[:60]!r} is neither a date such as 2026-11-30 nor one of {', '.join(_EVENTS)}.")


def moment(text: str) -> datetime:
    """The time that a date tells, in UTC where it names no zone. Raises UsageError."""
    try:
        told = datetime.fromisoformat(text)
        return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text[:60]!r} is not a date. Give one such as 2026-11-30 or 2026-11-30T12:00.") from None


def _block(text: str) -> Duration:
    told = Duration.parse(text)
    if not told.seconds:
        raise UsageError(f"{text[:60]!r} holds no image. Give a time such as 24h.")
    return told


def _every(text: str) -> Duration:
    told = Duration.parse(text)
    if told.seconds < 1:
        raise UsageError(f"{text[:60]!r} is too often. Give a time such as 60s, one second at the least.")
    return told


@dataclass(frozen=True, kw_only=True)
class Served(Step):
    """A command that may answer Prometheus."""

    serve: bool = switch("Look again and again, and answer Prometheus at http://HOST:PORT/metrics until it is stopped.")
    host: str = option("127.0.0.1", About("With --serve: the address that is listened on.", ours=False))
    port: int = option(9469, About("With --serve: the port; 0: any that is free.", ours=False, ge=0, le=65_535))
    every: Duration = option(
        Duration(60),
        About("With --serve: time between two looks at the files.", shown="60s", parse=_every, ours=False),
    )


@dataclass(frozen=True, kw_only=True)
class Monitor(Json, DryRun, Jobs, Seeded, Served, LogFile, DatasetFolder, ReviewsFolder, ReadFeedback):
    """Say whether anything has changed, or a round is due. Exit 5 where it is."""

    since: str = option(
        "promotion",
        About(
            "What the figures are held against begins here: the last promotion of the champion, the last round, the "
            "first feedback of the model, or a date. A later one acknowledges an alarm.",
            parse=_since,
            ours=False,
        ),
    )
    model: str | None = option(
        None,
        About(
            "The model that is watched, NAME-VERSION.",
            shown="the champion, else that of the newest feedback",
            ours=False,
        ),
    )
    block: Duration = option(
        Duration(86_400),
        About(
            "The least time whose images are taken together, for they resemble each other.",
            shown="24h",
            parse=_block,
            ours=False,
        ),
    )
    false_alarms: int = option(
        1, About("False alarms accepted in a year, over all figures: 95 of 100 years have no more.", ge=0, le=365)
    )
    due_reviews: int = option(200, About("Reviewed images since the last round that make the next one due.", ge=1))
    due_days: float = option(
        90.0, About("Days since the last round that make the next one due, if there is new feedback.", gt=0, le=36_500)
    )

    @property
    def monitor_folder(self) -> Path:
        """Where the report lies."""
        return self.out / "monitor"

    @property
    def logs(self) -> tuple[Path, ...]:
        """The logs of whatever asks a detector: the simulator's, and the watcher's."""
        return self.log_file, self.watch_log
