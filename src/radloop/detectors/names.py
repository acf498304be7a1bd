"""Which of a model's classes is which of the dataset's: by their names, where the model tells them."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from radloop import taxonomy
from radloop.errors import DetectorError, TaxonomyError
from radloop.taxonomy import Taxonomy, is_nothing, normal

_LONGEST: Final = 1_000_000  # characters: a thousand names are shorter


@dataclass(frozen=True)
class Wishes:
    """What the user says of the classes of a model."""

    declared: Taxonomy | None = None  # --model-classes
    renamed: Mapping[str, str] = field(default_factory=dict)  # --map: the dataset's name by the model's


@dataclass(frozen=True)
class Scores:
    """Where a model's scores of the dataset's classes stand."""

    columns: tuple[int, ...]  # by class of the dataset: its place among the model's
    counts: tuple[int, ...]  # how many classes the model may have
    note: str | None = None  # what is to be said of it


def wishes(declared: Path | None, renamed: Mapping[str, str]) -> Wishes:
    """What --model-classes (a file) and --map ask. Raises TaxonomyError for a file that cannot be used."""
    if declared is None:
        return Wishes(renamed=renamed)
    try:
        return Wishes(taxonomy.read(declared), renamed)
    except TaxonomyError as wrong:
        raise TaxonomyError(str(wrong).replace("--classes", "--model-classes", 1)) from wrong


def match(classes: Taxonomy, told: Sequence[str] | None, asked: Wishes, *, model: str) -> Scores:
    """The scores of a model whose own file says `told`; None: it tells no names.

    Names that the user declares go before those of the file. "No finding" may be among them, and is no class. Raises
    TaxonomyError where the names are not the dataset's.
    """
    declared = asked.declared
    names = list(declared.names) if declared is not None else None if told is None else list(told)
    if names is None:
        note = f"{model} tells no names of its classes: they were taken in the dataset's order ({classes.names[0]}, …)"
        return Scores(tuple(range(len(classes))), (len(classes), len(classes) + 1), note)
    new_names = {normal(old): new for old, new in asked.renamed.items()}
    columns = _columns(classes, [new_names.get(normal(name), name) for name in names], model=model)
    # a list of classes leaves "No finding" out
    return Scores(columns, (len(names), len(names) + 1) if declared is not None else (len(names),))


def parse(text: str, *, model: str) -> list[str]:
    """The names that an ONNX file has in its metadata: a Python dict or list, written as text.

    >>> parse("{0: 'Osteophytes', 1: 'Other lesions'}", model="spine.onnx")
    ['Osteophytes', 'Other lesions']
    """
    try:
        if len(text) > _LONGEST:
            raise ValueError("too long")
        return taxonomy.of_numbered(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, TaxonomyError) as broken:
        raise DetectorError(
            f"{model}: the names in its metadata cannot be read: {text[:60]!r}. Name its classes with "
            "--model-classes FILE."
        ) from broken


def _columns(classes: Taxonomy, names: Sequence[str], *, model: str) -> tuple[int, ...]:
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if not is_nothing(name) and places.setdefault(normal(name), place) != place:
            raise TaxonomyError(f"{model} has the class {name!r} twice. Rename one with --map OLD=NEW.")
    ours = {normal(name) for name in classes.names}
    if places.keys() != ours:
        theirs = [names[place] for place in places.values()]
        raise TaxonomyError(
            f"{model} has other classes than the dataset: {taxonomy.differences(classes.names, theirs)}. Rename those "
            "that are the same with --map OLD=NEW (OLD is the model's name), or use a model that was trained on the "
            "dataset's data.yaml."
        )
    return tuple(places[normal(name)] for name in classes.names)
