"""Which column of an annotations table is which."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from radloop.errors import AnnotationError
from radloop.sources.records import clean
from radloop.tables import ANNOTATION_COLUMNS

PATIENT: Final = "patient_id"
STUDY: Final = "study_id"
SPLIT: Final = "split"
FILE_PATIENT: Final = "file_patient"  # of no table: whom the DICOM file names
OPTIONAL: Final = ("width", "height", PATIENT, STUDY, SPLIT)

_HARMLESS: Final = frozenset({*ANNOTATION_COLUMNS, "width", "height", SPLIT})
_SHOWN: Final = 20
_NEEDED: Final = 6  # columns without which nothing is read

# Names of columns without case, blanks and signs; the first form that one has goes before the others.
_ID: Final = "(id|ids|no|nr|num|number|uid|key|code|hash|identifier)"
_ANON: Final = "(anon|anonym|anonymi[sz]ed|pseudo|deid)?"
_FORMS: Final = {
    PATIENT: (f"{_ANON}patient{_ID}", "patient", f"{_ANON}(subject|subj|participant|person){_ID}?", "mrn|pid"),
    STUDY: ("study(instance)?uid", f"study{_ID}?", f"(exam|examination|accession){_ID}"),  # a study is of one patient
    SPLIT: ("split",),
}
_ABOUT_PEOPLE: Final = re.compile(r".*(patient|subject|participant|person|mrn).*")
_NO_IDENTITY: Final = re.compile(r".*(age|sex|gender|birth|position|orientation|weight|height|size|date|time|desc).*")


@dataclass(frozen=True)
class Columns:
    """The columns of a table."""

    header: list[str]
    positions: Mapping[str, int]  # of what is known, by the name that radloop calls it

    @property
    def harmless(self) -> bool:
        """Whether no column can hold a patient's id."""
        return _HARMLESS.issuperset(self.header)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which columns keep patients together, and which look as if they should."""
        used = [self.header[self.positions[name]] for name in (PATIENT, STUDY) if name in self.positions]
        notes = []
        if used:
            notes.append(f"images of one patient share a split: the column {' and '.join(map(repr, used))} tells whose")
        unused = [
            clean(name)
            for at, name in enumerate(self.header)
            if at not in self.positions.values()
            and _ABOUT_PEOPLE.fullmatch(_plain(name))
            and not _NO_IDENTITY.fullmatch(_plain(name))
        ]
        if unused:
            notes.append(
                f"the column {shown(unused)} is not used: where it tells patients apart, call it {PATIENT} "
                "(else one patient may be in two splits)"
            )
        return tuple(notes)


def find(path: Path, header: list[str] | None, also: Sequence[str] = ()) -> Columns:
    """The columns of a table with this `header`, and those asked for `also`.

    Raises AnnotationError where one is missing or twice there.
    """
    if header is None:
        raise AnnotationError(f"{path} is empty. Pass the file that has the annotations.")
    header = [name.strip() for name in header]
    missing = [name for name in ("image_id", "x_min", "y_min", "x_max", "y_max") if name not in header]
    if "class_name" not in header and "class_id" not in header:
        missing.append("class_name or class_id")
    if missing:
        none = len(missing) == _NEEDED and any(header)  # a row, perhaps, with somebody's name in it
        raise AnnotationError(
            f"{path} lacks the column {', '.join(missing)}; its first line "
            f"{'is not one of column names' if none else f'has {shown(header)}'}. "
            f"An annotations file is a comma-separated UTF-8 table with {','.join(ANNOTATION_COLUMNS)}."
        )
    called = {name: name for name in (*ANNOTATION_COLUMNS, "width", "height", *also)}
    for name in _FORMS:
        called |= _told(path, header, name)
    twice = [name for name in called.values() if header.count(name) > 1]
    if twice:
        raise AnnotationError(f"{path} has the column {', '.join(twice)} more than once: {shown(header)}. Remove one.")
    if ("width" in header) != ("height" in header):
        raise AnnotationError(
            f"{path} has only one of the columns width and height: {shown(header)}. Add the other, or remove it."
        )
    return Columns(header, {name: header.index(column) for name, column in called.items() if column in header})


def shown(header: Sequence[str]) -> str:
    """The names of columns, for an error."""
    return ", ".join(repr(clean(name))[:60] for name in header[:_SHOWN]) or "nothing"


def _told(path: Path, header: list[str], name: str) -> dict[str, str]:
    """The column that is called `name`, or in another way that means it."""
    found = ([one for one in dict.fromkeys(header) if re.fullmatch(form, _plain(one))] for form in _FORMS[name])
    alike = next(filter(None, found), [])
    if len(alike) > 1:
        raise AnnotationError(
            f"{path} has several columns that may be {name}: {shown(alike)}. Leave one, and call it {name}."
        )
    return {name: alike[0]} if alike else {}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()
