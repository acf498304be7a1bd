"""By which recipe the pictures were made that a model was trained on, beside that of those it is shown."""

import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from radloop.errors import UsageError
from radloop.predictions import Detector
from radloop.recipe import Recipe

KEY: Final = "radloop_recipe"  # in an ONNX file's metadata, and among the parameters of Triton's model configuration

_LOG: Final = logging.getLogger("radloop")
_LONGEST: Final = 100
_UNPRINTABLE: Final = re.compile(r"[^!-~]")


def read(text: object) -> str | None:
    """The name of the recipe that a model tells under `KEY`; None where it tells none.

    >>> read("vinbigdata"), read(" another "), read(None)
    ('vinbigdata@1,size=1024,ratio=stretched', 'another', None)
    """
    name = _UNPRINTABLE.sub("", str(text or ""))[:_LONGEST]
    with suppress(UsageError):
        return str(Recipe.parse(name))
    return name or None


def say(detector: Detector, shown: Iterable[str | None], *, said: Recipe | None = None) -> tuple[str, ...]:
    """Log what is to be said before the first prediction, and return it for the summary.

    shown: the recipes of the pictures; None: it came as a picture. said: what the user says of the model. Raises
    UsageError where the model itself says otherwise.
    """
    told: str | None = getattr(detector, "recipe", None)
    if told and said and told != str(said):
        raise UsageError(f"--model-recipe {said}: {detector.name} itself tells {told}. Omit it, or use another model.")
    trained, recipes = told or (str(said) if said else None), set(shown)
    others = sorted(recipe for recipe in recipes if recipe and recipe != trained)
    if trained and others:
        notes = (
            f"{detector.name} was trained on pictures made by the recipe {trained}, and is shown pictures made by "
            f"{' and '.join(others)}: their gray values differ, and so may what it finds",
        )
        _LOG.warning(notes[0])
        return notes
    if trained and None in recipes:
        notes = (
            f"{detector.name} was trained on pictures made by the recipe {trained}; how those that it is shown were "
            "made is not known: they came as pictures",
        )
    elif others and hasattr(detector, "recipe"):
        notes = (
            f"{detector.name} does not tell by which recipe its training pictures were made; it is shown pictures made "
            f"by {' and '.join(others)}. --model-recipe says it",
        )
    else:
        return ()
    _LOG.info(notes[0])
    return notes
