"""THE gates: what must hold before a challenger follows the champion, and whether it does.

The gate of mAP is to be proven: it is missed unless the lower bound of the difference lies above -margin. The others
guard: each is missed where the challenger is beyond its limit by more than chance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import polars as pl
import yaml

from radloop.errors import UsageError
from radloop.measures import intervals, power
from radloop.measures.power import Plan

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Some = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Limit = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Gate = Literal["map", "recall", "calibration", "latency_p95", "audit"]

ALPHA: Final = 0.025  # one-sided: the lower end of a 95 % interval
WORN: Final = 0.2  # a split is worn where a challenger that is worse by the margin has so likely got through
FAMILY: Final = 0.05  # of recall: how often any class of an equal challenger seems worse by chance


class Precision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """map: the difference of mAP@0.4."""

    margin: Literal["auto"] | Some = "auto"  # auto: chosen by power
    alpha: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = ALPHA
    agreement: Some = power.AGREEMENT  # of a challenger with the champion, for the power


class Recall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """recall: that of each class at the working point."""

    loss: Share = 0.1
    least_boxes: Annotated[int, msgspec.Meta(ge=1)] = 20
    confidence: Share | None = None  # the working point; null: the re-training rule's


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """calibration: the calibration error."""

    growth: Share = 0.05


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """latency_p95: at most so many times the champion's, at most so many milliseconds."""

    ratio: Limit | None = None
    ms: Limit | None = None


class Audit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """audit: mAP@0.4 on this hospital's audit images."""

    loss: Share = 0.03


class Gates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must hold; None: that is not asked."""

    map: Precision | None = None
    recall: Recall | None = None
    calibration: Calibration | None = None
    latency_p95: Latency | None = None
    audit: Audit | None = None

    def document(self) -> dict[str, Any]:
        """As a comparison keeps it."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        return {name: gate for name, gate in told.items() if gate is not None}


DEFAULT: Final = Gates(Precision(), Recall(), Calibration(), Latency(ratio=1.5), Audit())


@dataclass(frozen=True)
class Figures:
    """What was measured of two models on the same images; second is the challenger."""

    compared: pl.DataFrame  # `measures.compared.compare`
    calibration: Mapping[str, float | None]  # first, second, difference, its interval (_low, _high)
    latency: Mapping[str, Mapping[str, float | None]] | None  # `measures.latency.compare`; None: not measured


@dataclass(frozen=True)
class Verdict:
    """One gate. passed: None where there is too little to tell and the gate only guards."""

    gate: Gate
    passed: bool | None
    says: str


def read(path: Path | None) -> Gates:
    """The gates in a YAML file; without one, DEFAULT. Raises UsageError for invalid ones."""
    if path is None:
        return DEFAULT
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as missing:
        raise UsageError(f"--gates {path} cannot be read: {missing.strerror}.") from missing
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as broken:
        raise UsageError(f"--gates {path} is no YAML: {' '.join(str(broken).split())}.") from broken
    try:
        gates = msgspec.convert({name: {} if gate is None else gate for name, gate in (told or {}).items()}, Gates)
    except (msgspec.ValidationError, AttributeError) as wrong:
        raise UsageError(f"--gates {path}: {wrong}. {_known()}") from wrong
    if not gates.document():
        raise UsageError(f"--gates {path} asks for nothing: every challenger would pass. {_known()}")
    if gates.latency_p95 is not None and gates.latency_p95.ratio is None and gates.latency_p95.ms is None:
        raise UsageError(f"--gates {path}: latency_p95 needs `ratio` or `ms`.")
    return gates


def _known() -> str:
    return f"There are {', '.join(_keys())}: docs/gates.md."


def _keys() -> Iterator[str]:
    for gate, kind in zip(Gates.__struct_fields__, (Precision, Recall, Calibration, Latency, Audit), strict=True):
        yield f"{gate} ({', '.join(kind.__struct_fields__)})"


def judge(gates: Gates, plan: Plan, figures: Figures, audit: pl.DataFrame | None) -> tuple[Verdict, ...]:
    """A verdict for each gate that is asked, of recall one for each class that loses too much.

    audit: `compared.compare` on the audit images that both models have seen and people have read; None: there are none.
    """
    told: list[Verdict] = []
    if gates.map is not None:
        told.append(_precision(plan, _mean(figures.compared)))
    if gates.recall is not None:
        told += _recall(gates.recall, figures.compared)
    if gates.calibration is not None:
        told.append(_calibration(gates.calibration, figures.calibration))
    if gates.latency_p95 is not None:
        told += _latency(gates.latency_p95, None if figures.latency is None else figures.latency["p95"])
    if gates.audit is not None:
        told.append(_audit(gates.audit, audit))
    return tuple(told)


def _mean(compared: pl.DataFrame) -> Mapping[str, Any] | None:
    found = compared.filter(pl.col("class_id").is_null(), figure="ap")
    return None if found.is_empty() else found.row(0, named=True)


def _precision(plan: Plan, row: Mapping[str, Any] | None) -> Verdict:
    few = row is None or row["difference"] is None or row["groups"] < intervals.LEAST_FOR_DRAWS
    if row is None or few:
        return Verdict("map", False, "too few images with boxes to say anything of mAP: nothing is proven")
    difference, spread = row["difference"], row["difference_spread"]
    bound = power.lower_bound(difference, spread, row["groups"], plan.alpha)
    passed = bound > -plan.margin
    sure = f"{1 - plan.alpha:.1%}".replace(".0%", "%")
    says = f"mAP@0.4 differs by {difference:+.3f}, at least {bound:+.3f} (one-sided {sure})"
    if passed:
        return Verdict("map", True, f"{says}: above -{plan.margin:.3f}")
    return Verdict("map", False, f"{says}: {-plan.margin - bound:.3f} below what must hold, -{plan.margin:.3f}")


def _recall(gate: Recall, compared: pl.DataFrame) -> list[Verdict]:
    """By class, at a level that all classes that are looked at share (Bonferroni)."""
    classes = compared.filter(pl.col("class_id").is_not_null(), figure="recall")
    enough = classes.filter(
        pl.col("truth_second") >= gate.least_boxes, pl.col("groups") >= intervals.LEAST_FOR_DRAWS
    ).drop_nulls("difference")
    few = classes.height - enough.height
    missed = []
    for row in enough.iter_rows(named=True):
        upper = -power.lower_bound(-row["difference"], row["difference_spread"], row["groups"], FAMILY / enough.height)
        if -row["difference"] > gate.loss and upper < 0:
            says = f"recall of {row['class_name']} falls from {row['first']:.2f} to {row['second']:.2f}"
            missed.append(Verdict("recall", False, f"{says}: {_beyond(-row['difference'], gate.loss)}"))
    rest = f"; of {few} there are too few boxes to say" if few else ""
    if missed or enough.is_empty():
        return missed or [Verdict("recall", None, f"no class has {gate.least_boxes} boxes: too few to say")]
    says = f"no class of at least {gate.least_boxes} boxes is shown to lose more than {gate.loss:g}"
    return [Verdict("recall", True, f"{says} ({enough.height} looked at{rest})")]


def _calibration(gate: Calibration, told: Mapping[str, float | None]) -> Verdict:
    difference, low = told["difference"], told["difference_low"]
    if difference is None or low is None:
        return Verdict("calibration", None, "too few boxes to say anything of the calibration error")
    says = f"the calibration error goes from {told['first']:.3f} to {told['second']:.3f}"
    if difference > gate.growth and low > 0:
        return Verdict("calibration", False, f"{says}: {_beyond(difference, gate.growth)}")
    return Verdict("calibration", True, f"{says}: not shown to grow by more than {gate.growth:g}")


def _latency(gate: Latency, p95: Mapping[str, float | None] | None) -> Iterator[Verdict]:
    if p95 is None or p95["ratio"] is None or p95["second"] is None:
        yield Verdict("latency_p95", None, "not measured: the feedback of one of the two tells no latency")
        return
    says = f"latency p95 goes from {p95['first']:.1f} to {p95['second']:.1f} ms"
    if gate.ratio is not None:
        slow = p95["ratio"] > gate.ratio and (p95["ratio_low"] is None or p95["ratio_low"] > 1)
        over = f"{p95['ratio']:.2f} times the champion's, {p95['ratio'] - gate.ratio:.2f} more than the {gate.ratio:g}"
        held = f"{p95['ratio']:.2f} times the champion's, limit {gate.ratio:g}"
        yield Verdict("latency_p95", not slow, f"{says}: {over if slow else held}")
    if gate.ms is not None:
        slow = p95["second"] > gate.ms
        over = f"{p95['second'] - gate.ms:.1f} ms more than the {gate.ms:g} ms"
        yield Verdict("latency_p95", not slow, f"{says}: {over if slow else f'limit {gate.ms:g} ms'}")


def _audit(gate: Audit, audit: pl.DataFrame | None) -> Verdict:
    row = None if audit is None else _mean(audit)
    if row is None or row["difference"] is None or row["groups"] < intervals.LEAST_FOR_DRAWS:
        return Verdict("audit", None, "too few audit images were read to say anything of this hospital")
    difference = row["difference"]
    upper = -power.lower_bound(-difference, row["difference_spread"], row["groups"], ALPHA)
    says = f"on this hospital's audit images mAP@0.4 differs by {difference:+.3f}"
    if -difference > gate.loss and upper < 0:
        return Verdict("audit", False, f"{says}: {_beyond(-difference, gate.loss)}")
    return Verdict("audit", True, f"{says}: not shown to lose more than {gate.loss:g}")


def _beyond(change: float, limit: float) -> str:
    return f"{change - limit:.3f} more than the limit of {limit:g}, and it is not chance"


def passed(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether a gate holds and none was missed; one that guards and has too little to tell holds nobody back."""
    told = [verdict.passed for verdict in verdicts]
    return True in told and False not in told


def wear(uses: int, alpha: float) -> float:
    """How likely at least one of `uses` challengers that are worse by the margin has passed.

    Each passes with alpha at most, whatever the answers before were, as long as all of those were "missed" (the path
    argument of the ladder: Blum and Hardt 2015, "The Ladder: a reliable leaderboard", section 3).
    """
    return float(1 - (1 - alpha) ** uses)
