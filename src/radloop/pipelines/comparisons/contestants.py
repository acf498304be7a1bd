"""A model that takes part in a comparison: a detector that runs now, or what feedback tells of one."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl

from radloop import detectors
from radloop.catalog import cards, judging, models, truth
from radloop.catalog.cards import Card
from radloop.catalog.classes import wishes
from radloop.catalog.models import Models
from radloop.catalog.version import Version
from radloop.detectors import names, recipes
from radloop.errors import UsageError
from radloop.model_options import Asking
from radloop.predictions import Detector
from radloop.recipe import Recipe

S = TypeVar("S", bound=Asking)

LEAST: Final = 0.01  # boxes above it are kept of a detector that runs for a comparison


@dataclass(frozen=True)
class Contestant:
    """One of the two."""

    name: str  # as feedback tells them
    version: str
    detector: Detector | None = None  # None: what feedback holds is read
    recipe: str | None = None  # of the pictures that it was trained on, as far as anybody said
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Its id."""
        return models.model_id(self.name, self.version)

    @property
    def full_name(self) -> str:
        """How people read it."""
        return judging.name(self.name, self.version)


def known_as(options: S, text: str, known: Models, folder: Path) -> tuple[str, S]:
    """The detector that an alias or the id of a kept model means, and the options with what is known of it.

    What the options themselves say of its classes and recipe goes first. Another text stays as it is. Raises UsageError
    for an unknown alias, and for a model that is known by its name alone; DatasetError where a file of it is damaged.
    """
    model = cards.model_of(known, text)
    cards.require_whole(folder, text if model is None else model)
    card = cards.read(folder, text if model is None else model)
    if card is None:
        if model is None:
            return text, options
        raise UsageError(f"{text}: nothing is kept of the model {model} that could run. Promote its ONNX file.")
    return card.detector_in(folder), replace(options, **_told(card, options, folder))


def _told(card: Card, options: Asking, folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if options.model_classes is None and card.has_own_classes:
        told["model_classes"] = folder / card.model / cards.MODEL_CLASSES
    if not options.map and card.map:
        told["map"] = tuple(card.map)
    if options.model_recipe is None and card.recipe:
        told["model_recipe"] = Recipe.parse(card.recipe)
    return told


def make(options: Asking, text: str, dataset: Version, *, seed: int = 0) -> Contestant:
    """A detector that runs, looked at: its classes are the dataset's, and what is to be said of its recipe.

    Raises what `detectors.create` raises.
    """
    detector = detectors.create(
        text,
        dataset.taxonomy,
        wishes=names.wishes(options.model_classes, wishes(None, options.map).renamed),
        seed=seed,
        timeout_s=options.request_timeout,
        memory_gb=options.detector_memory,
        min_confidence=LEAST,
        truth=truth.of(dataset.readings) if text.startswith("oracle") else None,
        triton_url=options.triton_url,
    )
    heard = recipes.say(detector, [dataset.recipe], said=options.model_recipe)
    said = None if options.model_recipe is None else str(options.model_recipe)
    return Contestant(
        detector.name,
        detector.version,
        detector,
        getattr(detector, "recipe", None) or said,
        (*heard, *detectors.notes(detector)),
    )


def of_feedback(text: str, newest: pl.DataFrame) -> Contestant:
    """The model that feedback tells of under this name. newest: `judging.newest`. Raises UsageError for another."""
    told = newest.select("model", "model_version").unique().sort(pl.all()).rows()
    for name, version in told:
        if text in (judging.name(name, version), models.model_id(name, version)):
            return Contestant(name, version)
    there = ", ".join(repr(judging.name(*one)) for one in told) or "none"
    raise UsageError(
        f"unknown model {text[:80]!r}. Name a detector (onnx:MODEL.onnx, triton:…, oracle:NOISE), an alias or id of "
        f"STORE/models, or a model of the feedback: there is {there}."
    )
