"""THE re-training rule as one value: `retrain` decides by it, report.json holds it, and all others read it there."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from radloop.errors import DatasetError

KEY: Final = "rule"  # in report.json
_OF_BEFORE: Final = "settings"  # what an earlier radloop wrote there


@dataclass(frozen=True)
class Rule:
    """When feedback that nobody has reviewed trains."""

    min_confidence: float = 0.9  # only boxes strictly above it,
    doubtful: float = 0.25  # and only where none lies between this and it: neither a label nor background
    require_review: bool = False  # never without a review
    include_held_out: bool = False  # images of held-out splits, too
    allow_simulated: bool = False  # what was simulated trains on a dataset that is not synthetic itself, too

    def document(self) -> dict[str, Any]:
        """As report.json holds it."""
        return asdict(self)


def of_report(report: Mapping[str, Any]) -> Rule | None:
    """The rule of the round that a report.json tells of; None where it tells none, or what cannot be one."""
    told = report.get(KEY, report.get(_OF_BEFORE))
    if not isinstance(told, Mapping):
        return None
    known = {one.name: told.get(one.name, one.default) for one in fields(Rule)}
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


def _is_like(value: object, default: float | bool) -> bool:
    """Whether a value is a flag where the default is one, else a share."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float) and 0 <= value <= 1
