"""THE re-training rule as one value: `retrain` decides by it, report.json holds it, and all others read it there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from radloop.errors import DatasetError
from radloop.words import Policy

if TYPE_CHECKING:
    import polars as pl

KEY: Final = "rule"  # in report.json
_OF_BEFORE: Final = "settings"  # what an earlier radloop wrote there
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Threshold:
    """From which confidence on the boxes of a class are labels of one model, by held-out images (`catalog.proven`)."""

    model: str
    model_version: str
    class_id: int
    above: float | None  # labels are strictly above it; None: no cutoff is proven, so that none is without a review
    boxes: int  # above it, and where it is None above `Rule.doubtful`,
    groups: int  # which lie in so many groups,
    precision: float | None  # so many of them right,
    low: float | None  # at least, with all other cutoffs in 95 of 100 cases
    too_few: bool  # no cutoff could have been proven, were all boxes right
    reach: float | None = None  # the highest precision that is proven of any cutoff


@dataclass(frozen=True)
class Calibration:
    """How often the boxes of one model are right, by their confidence: a line through points that never falls."""

    model: str
    model_version: str
    confidence: tuple[float, ...]
    right: tuple[float, ...]


@dataclass(frozen=True)
class Rule:
    """When feedback that nobody has reviewed trains."""

    min_confidence: float = 0.9  # only boxes strictly above it,
    doubtful: float = 0.25  # and only where none lies between this and it: neither a label nor background
    require_review: bool = False  # never without a review
    include_held_out: bool = False  # images of held-out splits, too
    allow_simulated: bool = False  # what was simulated trains on a dataset that is not synthetic itself, too
    policy: Policy = "threshold"  # calibrated: not `min_confidence` decides, but
    precision: float = 0.9  # the thresholds above which so many are right
    thresholds: tuple[Threshold, ...] = ()
    calibrations: tuple[Calibration, ...] = ()

    def document(self) -> dict[str, Any]:
        """As report.json holds it; no thresholds where there are none."""
        return {name: value for name, value in asdict(self).items() if value != ()}

    def sure(self, model: str, model_version: str) -> "pl.Expr":
        """Whether a box (`confidence`, `class_id`) of this model is a label."""
        import polars as pl  # which the command line's options must not wait for

        if self.policy == "threshold":
            return pl.col("confidence") > self.min_confidence
        own = [one for one in self.thresholds if (one.model, one.model_version) == (model, model_version)]
        above = {one.class_id: one.above for one in own}
        least = pl.col("class_id").replace_strict(above, default=None, return_dtype=pl.Float64)
        return (pl.col("confidence") > least).fill_null(value=False)

    def threshold(self, model: str, model_version: str, class_id: int) -> float | None:
        """Above which a box of this model and class is a label; None: no confidence is enough."""
        if self.policy == "threshold":
            return self.min_confidence
        own = (one for one in self.thresholds if (one.model, one.model_version) == (model, model_version))
        return next((one.above for one in own if one.class_id == class_id), None)

    @property
    def words(self) -> str:
        """What a label is by it, as people read it."""
        if self.policy == "threshold":
            return f"above {self.min_confidence:g}"
        return f"above its class's threshold (precision at least {self.precision:g})"


def of_report(report: Mapping[str, Any]) -> Rule | None:
    """The rule of the round that a report.json tells of; None where it tells none, or what cannot be one."""
    told = report.get(KEY, report.get(_OF_BEFORE))
    if not isinstance(told, Mapping):
        return None
    known = {one.name: told.get(one.name, one.default) for one in fields(Rule)}
    try:
        known["thresholds"] = tuple(_parts(Threshold, known["thresholds"]))
        known["calibrations"] = tuple(_parts(Calibration, known["calibrations"]))
    except (AttributeError, TypeError, ValueError):
        return None
    return Rule(**known) if all(_is_like(value, getattr(Rule(), name)) for name, value in known.items()) else None


def standing(unit: Path) -> Rule | None:
    """The rule of the round that stands in the folder of the re-training data; None where there was none.

    Raises DatasetError for a report that cannot be read or tells no rule.
    """
    from radloop import tree  # and with it polars, which the command line's options must not wait for

    path = unit / tree.REPORT
    try:
        report = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as broken:
        raise DatasetError(f"{path} is damaged ({broken}). Run `radloop retrain` again.") from broken
    found = of_report(report) if isinstance(report, dict) else None
    if found is None:
        raise DatasetError(f"{path} tells no re-training rule. Run `radloop retrain` again.")
    return found


def _parts(kind: type[_Part], told: Any) -> Iterator[_Part]:
    """The thresholds or calibrations that are told. Raises one of three errors for what cannot be such."""
    for one in told:
        made = kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in one.items()})
        if not all(_is_field(name, value) for name, value in vars(made).items()):
            raise ValueError(one)
        yield made


def _is_field(name: str, value: object) -> bool:
    """Whether a value may be what a threshold or a calibration has by this name."""
    if name in ("model", "model_version"):
        return isinstance(value, str)
    if name in ("class_id", "boxes", "groups", "too_few"):
        return isinstance(value, int)
    if name in ("confidence", "right"):
        return isinstance(value, tuple) and all(_is_like(one, 0.0) for one in value)
    return value is None or _is_like(value, 0.0)


def _is_like(value: object, default: object) -> bool:
    """Whether a value is a flag where the default is one, a policy where it is one, else a share."""
    if isinstance(default, tuple):
        return True  # looked at before
    if isinstance(default, str):
        return isinstance(value, str) and value in get_args(Policy)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float) and 0 <= value <= 1
