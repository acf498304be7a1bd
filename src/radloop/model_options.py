"""What the commands about models can be told (`radloop.options`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from radloop.option import About, option, switch
from radloop.parts import (
    DatasetFolder,
    Detecting,
    DryRun,
    Jobs,
    Json,
    ReadFeedback,
    Renamed,
    ReviewsFolder,
    Seeded,
    Stored,
)
from radloop.words import Gated

_MODEL = (
    "onnx:MODEL.onnx, triton:…, oracle:NOISE, an alias or id of STORE/models, or a model of feedback, 'NAME VERSION'"
)


@dataclass(frozen=True, kw_only=True)
class Asking(Detecting, Renamed):
    """A command that asks a model which may be kept in STORE/models."""


@dataclass(frozen=True, kw_only=True)
class Compare(Json, DryRun, Jobs, Seeded, Asking, DatasetFolder, ReviewsFolder, ReadFeedback, Stored):
    """Say by gates whether a model may follow the one in use. Exit 4 where one is missed; --dry-run tells the power."""

    champion: Annotated[str, About(f"The model in use: {_MODEL}.", argument="CHAMPION")]
    challenger: Annotated[str, About("The model that may follow it, named alike.", argument="CHALLENGER")]
    splits: tuple[Gated, ...] = option(
        ("staging",),
        About("staging, canary or both; canary only for a pair that has passed staging.", ours=False, commas=True),
    )
    gates: Path | None = option(
        None, About("What must hold, a YAML file.", shown="the gates of docs/gates.md", ours=False)
    )


@dataclass(frozen=True, kw_only=True)
class Promote(Json, DryRun, Asking, DatasetFolder, Stored):
    """Let an alias mean a model that has passed its gates. Its ONNX file goes to STORE/models with it."""

    model: Annotated[str, About("onnx:MODEL.onnx, triton:…, or the id of a model in STORE/models.", argument="MODEL")]
    alias: str = option("champion", About("The alias that is moved.", ours=False))
    force: bool = switch("Move it without a passed comparison; needs --reason.")
    reason: str = option("", About("Why, in a few words; it is kept with the move.", ours=False))
