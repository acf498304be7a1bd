"""The report of the last `radloop monitor`: OUT/monitor/report.json, as it is written and read."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from radloop import formats
from radloop.errors import UNDECODABLE, DatasetError

NAME: Final = "report.json"

Kind = Literal["picture", "prediction", "review"]
Direction = Literal["up", "down"]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure that is watched."""

    figure: str
    kind: Kind
    n: int  # images, or reviewed images, since the reference began
    statistic: float | None  # the e-detector (`measures.sequential`), where it alarmed as it was then; None: too few
    threshold: float  # it alarms where the statistic reaches it
    alarm_at: Time | None
    direction: Direction | None
    says: str


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """When a figure alarmed."""

    at: Time
    figure: str
    says: str


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """One reason to train again, and whether it holds."""

    rule: str
    value: float | None  # None: it cannot be said
    limit: float | None  # None: there is none
    due: bool
    says: str


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures are held against."""

    since: Time | None  # None: there is no feedback
    why: str  # what began then
    model: str  # whose feedback it is
    images: int  # the first so many of each figure only teach what is usual


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one look at all feedback and reviews since the reference began."""

    schema_version: Literal[1] = 1
    looked_at: Time
    reference: Reference
    figures: tuple[Figure, ...]
    alarms: tuple[Alarm, ...]  # by time
    due: tuple[Due, ...]
    rate: int  # false alarms accepted in a year, over all figures together


_decode: Final = msgspec.json.Decoder(Report).decode


def encode(report: Report) -> bytes:
    """The bytes of report.json: the same for the same report."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def read(folder: Path) -> Report | None:
    """The report in the folder OUT/monitor; None where there is none. Raises DatasetError for a damaged one."""
    path = folder / NAME
    try:
        formats.require_json(data := path.read_bytes(), name=str(path))
        return _decode(data)
    except FileNotFoundError:
        return None
    except (OSError, *UNDECODABLE) as broken:
        raise DatasetError(f"{path} is not radloop's, or damaged ({broken}). Run `radloop monitor` again.") from broken
