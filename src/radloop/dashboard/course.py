"""What the time line is made of, as it lies on the disk now; a part that cannot be used is a sentence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl

from radloop.catalog import models, monitor, rounds
from radloop.catalog.models import Models
from radloop.catalog.monitor import Report
from radloop.dashboard import kept_versions, landmarks
from radloop.errors import RadloopError
from radloop.options import Dashboard
from radloop.words import several

T = TypeVar("T")
X = TypeVar("X")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Course:
    """Rounds, versions, models and alarms. None: there is none, or it is refused."""

    rounds: pl.DataFrame | None  # ROUNDS
    history: pl.DataFrame | None  # HISTORY
    models: Models | None
    report: Report | None  # of `radloop monitor`
    refused: Mapping[str, str]  # by lane, why it cannot be used

    @property
    def champion(self) -> Row | None:
        """The move by which the model in use came to be (a row of `models.HISTORY`)."""
        return None if self.models is None else _last(self.models.history.filter(alias=models.CHAMPION))

    @property
    def version(self) -> Row | None:
        """What was published, or brought back, last (a row of HISTORY)."""
        return _last(self.history)

    @property
    def round(self) -> Row | None:
        """The round that knew most (a row of ROUNDS)."""
        return _last(self.rounds)

    @property
    def events(self) -> pl.DataFrame:
        """EVENTS of all lanes, the newest first."""
        parts = [landmarks.EVENTS.to_frame()]
        if self.rounds is not None:
            parts.append(landmarks.of_rounds(self.rounds))
        if self.history is not None:
            parts.append(landmarks.of_history(self.history))
        if self.models is not None:
            parts.append(landmarks.of_models(self.models.history, self.models.comparisons))
        if self.report is not None:
            parts.append(landmarks.of_alarms(self.report.alarms))
        return landmarks.newest_first(*parts)

    @property
    def reigns(self) -> pl.DataFrame:
        """REIGNS of the dataset's versions and of the models in use."""
        parts = [landmarks.REIGNS.to_frame()]
        if self.history is not None:
            parts.append(landmarks.reigns(self.history, lane=landmarks.VERSIONS, name="version", at="published_at"))
        if self.models is not None:
            own = self.models.history.filter(alias=models.CHAMPION)
            parts.append(landmarks.reigns(own, lane=landmarks.MODELS, name="model", at="at"))
        return pl.concat(parts)


def _last(rows: pl.DataFrame | None) -> Row | None:
    return None if rows is None or rows.is_empty() else rows.row(-1, named=True)


def read(inputs: Dashboard) -> Course:
    """All of it; nothing here stops a page."""
    refused: dict[str, str] = {}

    def tried(lane: str, reader: Callable[[X], T], told: X) -> T | None:
        try:
            return reader(told)
        except RadloopError as error:
            refused[lane] = str(error)
        return None

    read_rounds = tried(landmarks.ROUNDS, rounds.read, inputs.retrain_table.parent)
    if read_rounds is not None and read_rounds[1]:
        refused[landmarks.ROUNDS] = f"{several(len(read_rounds[1]), 'report')} that the manifest does not vouch for."
    read_models = tried(landmarks.MODELS, models.read, inputs.models_folder)
    if read_models is not None and read_models.refused:
        number = several(len(read_models.refused), "comparison")
        refused[landmarks.MODELS] = f"{number} that the manifest does not vouch for, or that cannot be read."
    return Course(
        rounds=None if read_rounds is None else read_rounds[0],
        history=tried(landmarks.VERSIONS, kept_versions.published, inputs),
        models=read_models,
        report=tried(landmarks.ALARMS, monitor.read, inputs.monitor_folder),
        refused=refused,
    )
