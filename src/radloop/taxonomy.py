"""The classes of one dataset: what its detector is taught, by name and by number.

A class is a name; its number is its place among the names, 0..n-1. What is found nowhere is "No finding": null in
every table, and the number n in files (14 for VinBigData's fourteen classes).
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from radloop.errors import TaxonomyError
from radloop.tables import CLASS_ID

NOTHING: Final = "No finding"
MOST_CLASSES: Final = 1_000
LONGEST_NAME: Final = 200
_NUMBERED: Final = re.compile(r"([0-9]{1,6})[ \t]+(.*)")
_OTHER_FORM: Final = re.compile(r"names:|[\[{]|class_id\b|[0-9]+:")  # YAML, JSON, CSV: at the first line's start


@dataclass(frozen=True)
class Taxonomy:
    """Names in the order of their numbers; distinct also without regard to case. Raises TaxonomyError."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what no dataset can be written with."""
        if not 1 <= len(self.names) <= MOST_CLASSES:
            raise TaxonomyError(f"{len(self.names)} classes: a dataset has 1 to {MOST_CLASSES}.")
        seen: dict[str, str] = {}
        for name in self.names:
            _require_usable(name)
            if seen.setdefault(normal(name), name) != name or list(self.names).count(name) > 1:
                raise TaxonomyError(
                    f"the classes {seen[normal(name)]!r} and {name!r} are one name but for case and spaces: rename one "
                    "with --map."
                )

    def __len__(self) -> int:
        """How many classes there are, "No finding" not among them."""
        return len(self.names)

    @property
    def nothing(self) -> int:
        """The number of "No finding" in files."""
        return len(self.names)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {normal(name): number for number, name in enumerate(self.names)}

    def number(self, name: str) -> int | None:
        """The number of a name, written in any case; None where it is not one of the classes."""
        return self._numbers.get(normal(name))

    def name(self, class_id: int | None) -> str:
        """The name of a class; of None, and of n as files have it, "No finding"."""
        return NOTHING if class_id is None or class_id == self.nothing else self.names[class_id]

    def file_names(self, *, with_nothing: bool) -> tuple[str, ...]:
        """What a trainer's file lists: the names, and "No finding" as the last where it is a class of the detector."""
        return (*self.names, NOTHING) if with_nothing else self.names

    def named(self, class_id: pl.Expr) -> pl.Expr:
        """The name of each class_id, null or n being "No finding"."""
        numbers = dict(enumerate(self.file_names(with_nothing=True)))
        return class_id.fill_null(self.nothing).replace_strict(numbers, return_dtype=pl.String)

    def to_file(self, class_id: pl.Expr) -> pl.Expr:
        """Null as n."""
        return class_id.fill_null(self.nothing)

    def from_file(self, class_id: pl.Expr) -> pl.Expr:
        """N as null."""
        return pl.when(class_id != self.nothing).then(class_id).cast(CLASS_ID)

    def table(self, *, with_nothing: bool = False) -> pl.DataFrame:
        """class_id as files have it, class_name: a row for each class."""
        names = self.file_names(with_nothing=with_nothing)
        return pl.DataFrame(
            {"class_id": range(len(names)), "class_name": names}, schema={"class_id": CLASS_ID, "class_name": pl.String}
        )


def of_summary(summary: Mapping[str, Any], *, default: Taxonomy) -> Taxonomy:
    """The classes that a summary.json names; `default` for one of before it named any. Raises TaxonomyError."""
    return of_list(summary["classes"]) if summary.get("classes") is not None else default


def of_list(names: object) -> Taxonomy:
    """The classes in a document of radloop's own. Raises TaxonomyError for anything but a list of names."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TaxonomyError("`classes` is not a list of names.")
    return Taxonomy(tuple(names))


def normal(name: str) -> str:
    """What two spellings of one name have in common: no case, no double spaces, one form of each letter."""
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def is_nothing(name: str) -> bool:
    """Whether a name says that nothing was found."""
    return normal(name) == normal(NOTHING)


def _require_usable(name: str) -> None:
    if not name or name != name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise TaxonomyError(
            f"the class {name[:60]!r} cannot be used: a name has 1 to {LONGEST_NAME} printable characters, "
            "none of them a blank at its ends."
        )
    if is_nothing(name):
        raise TaxonomyError(f"{name!r} is not a class but what is written where nothing was found: leave it out.")


def read(path: Path) -> Taxonomy:
    """The classes in a file: a name or `number name` a line, as in classes.txt, or a YAML or JSON file with `names`.

    A last "No finding" is left out. Raises TaxonomyError.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as missing:
        raise TaxonomyError(f"--classes {path} cannot be read: {missing.strerror}.") from missing
    except UnicodeDecodeError as broken:
        raise TaxonomyError(f"--classes {path} is not UTF-8.") from broken
    try:
        names = _of_yaml(text) if path.suffix.lower() in (".yaml", ".yml", ".json") else of_lines(text)
        return Taxonomy(tuple(names[:-1] if names and is_nothing(names[-1]) else names))
    except TaxonomyError as wrong:
        raise TaxonomyError(f"--classes {path}: {wrong}") from wrong


def of_lines(text: str) -> list[str]:
    """The names in a text: one a line, or `number name` where each line has its number. Raises TaxonomyError."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and _OTHER_FORM.match(lines[0]):
        raise TaxonomyError(f"the line {lines[0][:60]!r} is no name: give a name a line, or a file .yaml or .json.")
    numbered = [found for found in map(_NUMBERED.fullmatch, lines) if found]
    if not numbered or len(numbered) < len(lines):
        return lines
    for place, found in enumerate(numbered):
        if int(found[1]) != place:
            raise TaxonomyError(f"the numbers are 0..n-1 in order, and {found[0][:60]!r} is the line of {place}.")
    return [found[2] for found in numbered]


def _of_yaml(text: str) -> list[str]:
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes nothing but text of `no` and 012
        names = content["names"] if isinstance(content, dict) and "names" in content else content
    except Exception as broken:  # PyYAML raises anything
        raise TaxonomyError(f"it is not YAML ({' '.join(str(broken).split())[:200]}).") from broken
    return of_numbered(names)


def of_numbered(names: object) -> list[str]:
    """The names in a list, or in a mapping from 0..n-1, as trainers write them. Raises TaxonomyError."""
    if isinstance(names, dict):
        names = [names.get(place, names.get(str(place))) for place in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        raise TaxonomyError("`names` is neither a list of names nor names numbered 0..n-1.")
    return [str(name) for name in names]


def differences(ours: Iterable[str], theirs: Iterable[str]) -> str:
    """Two lists of names in one sentence, for where they should be the same."""
    here, there = ({normal(name): name for name in names} for names in (ours, theirs))
    parts = [
        f"{who} alone has {', '.join(map(repr, sorted(names)))}"
        for who, names in (
            ("the dataset", [name for key, name in here.items() if key not in there]),
            ("the model", [name for key, name in there.items() if key not in here]),
        )
        if names
    ]
    return "; ".join(parts)
