"""One reader's look at one image, as an annotation tool exports it: what Label Studio and CVAT have in common."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import polars as pl

from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle
from radloop.sources.columns import OPTIONAL
from radloop.sources.formats import labels
from radloop.sources.formats.labels import Labels
from radloop.tables import SINGLE_READER
from radloop.taxonomy import NOTHING, Taxonomy, is_nothing, normal
from radloop.words import UNREADABLE, Boxes, several

_READER: Final = re.compile(r"[A-Za-z0-9-]{1,50}")
_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")
_TEXTS: Final = ("place", "file", "rad_id", "class_name", "patient_id", "study_id", "split")
_SCHEMA: Final = {"line": pl.Int64} | dict.fromkeys(_TEXTS, pl.String)
_ROWS: Final = _SCHEMA | dict.fromkeys(_SIDES, pl.Float64) | {"width": pl.Int64, "height": pl.Int64}
_REFUSED: Final = _SCHEMA | {"code": pl.String, "reason": pl.String}

# found: there are boxes. normal: the reader says that there is nothing. unreadable: rejected. void: nobody can tell.
Verdict = Literal["found", "normal", "unreadable", "void"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One box as it was drawn, in the tool's own frame."""

    class_name: str
    xyxy: tuple[float, float, float, float]
    place: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """What of a reading is no box that can be used."""

    code: str
    reason: str
    place: str
    line: int | None = None
    class_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one reader drew on one picture, and submitted."""

    place: str
    file: str  # the picture, as the tool names it
    reader: str
    verdict: Verdict
    boxes: Sequence[Drawn] = ()
    refused: Sequence[Refused] = ()
    line: int | None = None
    width: int | None = None
    height: int | None = None
    timestamp: str | None = None  # when it was last changed, as the tool writes it
    seconds: float | None = None
    comment: str | None = None
    shown: Sequence[Drawn] | None = None  # the boxes that the reader began from; None: the tool does not tell
    within: float = 0.0  # of the picture: by how much the tool's digits may move a box
    is_submitted: bool = True  # whether the tool tells that a person is done with it
    is_of_program: bool = False  # whether a program put all boxes there
    image_id: str | None = None  # of a task that radloop made
    feedback_id: str | None = None
    patient_id: str | None = None
    study_id: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Export:
    """Everything that people submitted, as one export of a tool has it."""

    readings: Sequence[Reading]
    unread: int  # images on which nobody submitted anything
    boxes: Boxes  # the frame of what was drawn
    classes: Taxonomy | None = None  # the tool's own list
    notes: tuple[str, ...] = ()


def pseudonym(person: object) -> str:
    """The Reader ID of somebody as a tool names them.

    A number stays, and a name of letters, digits and hyphens; anything else, as an address, becomes "reader-" and ten
    digits of its SHA-256: the same for the same person in every export and tool.

    >>> pseudonym(7), pseudonym("R12"), pseudonym("Jo@Example.org "), pseudonym(None)
    ('7', 'R12', 'reader-b6be3cb544', 'R0')
    """
    text = "" if person is None else str(person).strip()
    if not text:
        return SINGLE_READER
    if _READER.fullmatch(text):
        return text
    return f"reader-{hashlib.sha256(text.casefold().encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"


def says_unreadable(name: str) -> bool:
    """Whether a choice rejects the picture."""
    return normal(name) == normal(UNREADABLE)


def verdict(
    said: Sequence[str], called: str, drawn: Sequence[Drawn], refused: list[Refused], *, empty: bool, otherwise: Refused
) -> Verdict:
    """What a reading is; puts among the `refused` why nobody can tell.

    said: the words for the image as a whole, which the tool calls so (`called`). empty: a reading without a box and
    without "No finding" or "Not readable" is normal; else it is refused as `otherwise`, which stands at its place.
    """
    normal, unreadable = any(map(is_nothing, said)), any(map(says_unreadable, said))
    if refused:
        return "void"
    if drawn and not (normal or unreadable):
        return "found"
    if unreadable and not drawn:
        return "unreadable"
    if not drawn and (normal or empty):
        return "normal"
    if drawn:
        reason = f"boxes, and the {called} {said[0]!r}"
        otherwise = replace(otherwise, code="verdict-contradicts-boxes", reason=reason)
    refused.append(otherwise)
    return "void"


def files(bundle: Bundle, found: Sequence[str], ending: str, called: str) -> Sequence[str]:
    """The files to read where somebody says that they are a tool's: those that look so, else all that may be.

    Raises AnnotationError where there is none.
    """
    alone = bundle.names if bundle.path.is_file() and not bundle.is_zip else ()
    names = found or bundle.ending(ending) or alone
    if not names:
        raise AnnotationError(f"{bundle.path} does not hold {called}.")
    return names


def newest(readings: Iterable[Reading]) -> tuple[list[Reading], int]:
    """The last reading of each reader on each picture, in order, and how many others there were."""
    last: dict[tuple[str, str], Reading] = {}
    count = 0
    for reading in readings:
        count += 1
        key = (reading.file or reading.place, reading.reader or reading.place)
        if key not in last or (last[key].timestamp or "") <= (reading.timestamp or ""):
            last[key] = reading
    return list(last.values()), count - len(last)


def to_labels(export: Export) -> Labels:
    """Labels of what was drawn; a reading that lost a box is void, by its refused rows.

    Raises AnnotationError where nobody has submitted anything.
    """
    by_people = [one for one in export.readings if one.is_submitted or not one.is_of_program]
    usable = [one for one in by_people if one.verdict != "unreadable"]
    if not usable:
        raise AnnotationError(
            f"nobody has submitted anything on any of {several(export.unread + len(export.readings), 'image')}: there "
            "is no label to build from. Export again when people have read."
        )
    kept, others = newest(usable)
    counted = (
        (export.unread, "image", "on which nobody submitted anything: unlabelled"),
        (len(export.readings) - len(by_people), "image", "with a program's boxes alone: nobody's reading, unlabelled"),
        (len(by_people) - len(usable), "reading", f"said {UNREADABLE!r} and give no label"),
        (others, "reading", "that the same reader gave anew: the newest counts"),
    )
    notes = (*export.notes, *(f"{several(count, what)} {why}" for count, what, why in counted if count))
    rows = pl.DataFrame((row for one in kept for row in _rows(one)), schema=_ROWS, orient="row")
    rows = rows.drop(name for name in OPTIONAL if rows[name].null_count() == rows.height)
    refused = pl.DataFrame((row for one in kept for row in _refused(one)), schema=_REFUSED, orient="row")
    return labels.of_table(rows, refused, boxes=export.boxes, classes=export.classes, notes=notes)


def _rows(one: Reading) -> Iterator[dict[str, Any]]:
    told = _told(one) | {"width": one.width, "height": one.height}
    for box in one.boxes:
        yield (
            told
            | {"line": box.line, "place": box.place, "class_name": box.class_name}
            | dict(zip(_SIDES, box.xyxy, strict=True))
        )
    if one.verdict == "normal":
        yield told | {"line": one.line, "place": one.place, "class_name": NOTHING}


def _refused(one: Reading) -> Iterator[dict[str, Any]]:
    for lost in one.refused:
        yield _told(one) | {
            "line": lost.line,
            "place": lost.place,
            "code": lost.code,
            "reason": lost.reason,
            "class_name": lost.class_name,
        }


def _told(one: Reading) -> dict[str, Any]:
    return {
        "file": one.file or None,
        "rad_id": one.reader or None,
        "patient_id": one.patient_id,
        "study_id": one.study_id,
        "split": one.split,
    }
