"""THE re-training rule as one value: `retrain` decides by it, report.json holds it, and all others read it there."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

KEY: Final = "rule"  # in report.json


@dataclass(frozen=True)
class Rule:
    """When feedback that nobody has reviewed trains."""

    min_confidence: float = 0.9  # only boxes strictly above it,
    doubtful: float = 0.25  # and only where none lies between this and it: neither a label nor background
    require_review: bool = False  # never without a review
    include_held_out: bool = False  # images of held-out splits, too

    def document(self) -> dict[str, Any]:
        """As report.json holds it."""
        return asdict(self)


def of_report(report: Mapping[str, Any]) -> Rule | None:
    """The rule of the round that a report.json tells of; None where it tells none."""
    told = report.get(KEY)
    if not isinstance(told, Mapping):
        return None
    known: dict[str, Any] = {}
    for one in fields(Rule):
        value, kind = told.get(one.name, one.default), type(one.default)
        if not isinstance(value, bool if kind is bool else int | float) or (
            kind is not bool and isinstance(value, bool)
        ):
            return None
        known[one.name] = value
    return Rule(**known)
