"""Which images: the filters of the page Images, as its address tells them and as the pages that lead there ask."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final, Literal, get_args

import polars as pl

from radloop.dashboard import samples
from radloop.dashboard.links import written
from radloop.dashboard.loading import Dataset, Feedback, measured
from radloop.tables import DETECTOR, SPLITS
from radloop.words import AUDIT, INCOMING

Outcome = Literal["true", "false", "missed"]
Order = Literal["disagreement", "boxes", "id"]
Query = Mapping[str, str | Sequence[str]]

OUTCOMES: Final = get_args(Outcome)
ORDERS: Final = get_args(Order)
_LONGEST: Final = 200  # of a value in an address that is said back
_CLASS: Final = "class"  # in an address; a word of Python's own


@dataclass(frozen=True)
class Filters:
    """What the images have in common; what is None or empty asks for nothing.

    The names are those of the address; `classes` and `readers` are `class` and `reader` there, one for each.
    """

    split: str | None = None
    classes: tuple[str, ...] = ()  # all of them on the image, with readers drawn by one of them; "No finding": no box
    readers: tuple[str, ...] = ()  # rad_ids, all of them readers of the image
    outcome: Outcome | None = None  # of a box of the detector (model, version) against the truth
    model: str | None = None
    version: str | None = None
    min_confidence: float | None = None  # above it,
    max_confidence: float | None = None  # up to it
    site: str | None = None
    device: str | None = None
    since: datetime | None = None  # of the feedback; UTC
    until: datetime | None = None
    group: str | None = None
    finding: Literal["yes", "no"] | None = None  # whether anybody drew a box; with readers, one of them
    seen_by: int | None = None  # persons, at least, who drew the class
    at: tuple[float, float] | None = None  # in a box of the class; fractions of the picture
    boxes: int | None = None  # in the labels of the image
    measure: str | None = None  # a column of `measures.drift`,
    low: float | None = None  # at least,
    high: float | None = None  # and below
    contains: str | None = None  # a part of the image's id
    order: Order | None = None

    @property
    def of_feedback(self) -> bool:
        """Whether any of it asks for what feedback tells."""
        told = (self.outcome, self.model, self.min_confidence, self.max_confidence, self.site, self.device)
        return any(one is not None for one in (*told, self.since, self.until))

    @property
    def of_boxes(self) -> bool:
        """Whether a class is that of a detector's box, not of a label."""
        return any(one is not None for one in (self.outcome, self.min_confidence, self.max_confidence))

    def query(self) -> dict[str, str | list[str]]:
        """As an address tells it."""
        told = {_ADDRESS.get(one.name, one.name): getattr(self, one.name) for one in fields(self)}
        told["at"] = None if self.at is None else f"{self.at[0]},{self.at[1]}"
        return {name: _written(value) for name, value in told.items() if value not in (None, ())}


_ADDRESS: Final = {"classes": _CLASS, "readers": "reader"}
NAMES: Final = tuple(_ADDRESS.get(one.name, one.name) for one in fields(Filters))


@dataclass(frozen=True)
class Choices:
    """What there is to choose from."""

    splits: tuple[str, ...]
    classes: tuple[str, ...]
    readers: Mapping[str, str]  # by rad_id, the name on the page
    detectors: tuple[tuple[str, str], ...]  # of the newest feedback first
    sites: tuple[str, ...]
    devices: tuple[str, ...]
    time: tuple[datetime, datetime] | None  # of the first feedback and of the last


def choices(found: Dataset, said: Feedback | None) -> Choices:
    """What dataset and feedback leave to choose."""
    here = set(samples.images(found)["split"].unique()) if found.has_splits else set()
    return Choices(
        splits=tuple(split for split in (*SPLITS, INCOMING, AUDIT) if split in here),
        classes=found.taxonomy.file_names(with_nothing=True),
        readers={rad_id: name for name, rad_id in samples.readers(found).items()},
        detectors=() if said is None else detectors(said),
        sites=() if said is None else _values(said, "site"),
        devices=() if said is None else _values(said, "device"),
        time=None if said is None else _time(said),
    )


@measured
def detectors(said: Feedback) -> tuple[tuple[str, str], ...]:
    """Model and version of every detector, that of the newest feedback first."""
    newest = said.records.feedback.select(pl.col(DETECTOR).fill_null("").reverse())  # the table is by time
    return tuple(newest.unique(maintain_order=True).rows())


@measured
def _values(said: Feedback, column: str) -> tuple[str, ...]:
    return tuple(said.records.feedback[column].drop_nulls().unique().sort())


@measured
def _time(said: Feedback) -> tuple[datetime, datetime] | None:
    times = said.records.feedback["timestamp"]
    first, last = times.min(), times.max()
    return (first, last) if isinstance(first, datetime) and isinstance(last, datetime) else None


def read(query: Mapping[str, Sequence[str]], known: Choices) -> tuple[Filters, list[str]]:
    """The filters that an address tells, and a sentence for each part of it that cannot be used and is left out."""
    problems: list[str] = []
    told: dict[str, object] = {}
    for name, values in _parts(query):
        try:
            told[name] = _READ[name](values, known)
        except ValueError as wrong:
            problems.append(str(wrong))
    found = Filters(**told)  # type: ignore[arg-type]  # each is read as its own kind
    if found.outcome is not None and not known.detectors:
        problems.append(f"There is no feedback, so no outcome {found.outcome!r}.")
        found = replace(found, outcome=None)
    if found.model is None and found.version is None:
        return found, problems
    own = [one for one in known.detectors if found.model in (None, one[0]) and found.version in (None, one[1])]
    if not own:
        problems.append(
            f"There is no feedback of a model {_short(f'{found.model or str()} {found.version or str()}')}."
        )
        return replace(found, model=None, version=None), problems
    found = replace(found, model=own[0][0], version=own[0][1])
    return found, problems


def _parts(query: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Sequence[str]]]:
    inside = {address: name for name, address in _ADDRESS.items()}
    for address in NAMES:
        values = [value for value in query.get(address, ()) if value or address in ("model", "version")]
        if values:
            yield inside.get(address, address), values


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _one_of(what: str, values: Sequence[str], known: Sequence[str]) -> str:
    if values[-1] not in known:
        raise ValueError(f"There is no {what} {_short(values[-1])}.")
    return values[-1]


def _all_of(what: str, values: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_one_of(what, [value], known) for value in values))


def _number(what: str, value: str, low: float = -math.inf, high: float = math.inf) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not low <= number <= high or math.isinf(number):
        raise ValueError(f"{_short(value)} is no {what}.")
    return number


def _moment(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter of a year before 1 or after 9999 in UTC
        raise ValueError(f"{_short(value)} is no time. Write it as 2026-01-31 or 2026-01-31T12:00:00.") from None


def _point(value: str) -> tuple[float, float]:
    x, _, y = value.partition(",")
    return _number("place", x, 0, 1), _number("place", y, 0, 1)


def _confidence(values: Sequence[str], _: Choices) -> float:
    return _number("confidence from 0 to 1", values[-1], 0, 1)


def _text(values: Sequence[str], _: Choices) -> str:
    return values[-1]


_READ: Final[Mapping[str, Callable[[Sequence[str], Choices], object]]] = {
    "split": lambda values, known: _one_of("split", values, known.splits),
    "classes": lambda values, known: _all_of("class", values, known.classes),
    "readers": lambda values, known: _all_of("reader", values, tuple(known.readers)),
    "outcome": lambda values, _: _one_of("outcome", values, OUTCOMES),
    "model": _text,
    "version": _text,
    "min_confidence": _confidence,
    "max_confidence": _confidence,
    "site": lambda values, known: _one_of("site", values, known.sites),
    "device": lambda values, known: _one_of("device", values, known.devices),
    "since": lambda values, _: _moment(values[-1]),
    "until": lambda values, _: _moment(values[-1]),
    "group": _text,
    "finding": lambda values, _: _one_of("finding", values, ("yes", "no")),
    "seen_by": lambda values, _: int(_number("number of persons", values[-1], 1, 1e6)),
    "at": lambda values, _: _point(values[-1]),
    "boxes": lambda values, _: int(_number("number of boxes", values[-1], 0, 1e6)),
    "measure": _text,
    "low": lambda values, _: _number("number", values[-1]),
    "high": lambda values, _: _number("number", values[-1]),
    "contains": _text,
    "order": lambda values, _: _one_of("order", values, ORDERS),
}


def _written(value: object) -> str | list[str]:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat()
    return written(value)
