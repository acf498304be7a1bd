"""The whole loop on embedded defaults: made-up patients, a folder as the store, no account and no network."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from radloop import tree
from radloop.catalog import truth, version
from radloop.catalog.rule import Rule
from radloop.dataset.splits import SplitSizes
from radloop.engines import Local
from radloop.errors import DatasetError
from radloop.feedback import cache
from radloop.feedback.retraining import from_csv
from radloop.pipelines import checking, evaluating, offline, online, retraining, reviewing
from radloop.pipelines.checking import Report
from radloop.pipelines.evaluating import Evaluation
from radloop.pipelines.offline import Loaded
from radloop.pipelines.online import Simulation
from radloop.pipelines.retraining import Retrained
from radloop.pipelines.reviewing import Reviewed
from radloop.progress import Progress, silent
from radloop.taxonomy import Taxonomy

# the tiny network where onnxruntime is installed, else an oracle that errs like a radiologist
DETECTOR: Final = "onnx:tiny" if find_spec("onnxruntime") else "oracle:1"
RULE: Final = Rule()
# 360 pictures in 12 seconds: each of 180 twice
ARRIVALS: Final[dict[str, Any]] = {"arrival": "poisson:15", "load_pattern": "1,2,3,2", "stage_seconds": 3.0}


@dataclass(frozen=True)
class Demonstration:
    """What the demo made, step by step, and that it is sound."""

    out: Path
    store: Path
    offline: Loaded
    simulated: Simulation
    evaluated: Evaluation
    reviewed: tuple[Reviewed, ...]  # the second time a third reader settles what two disputed
    retrained: Retrained
    labels: Mapping[str, Mapping[str, Any]]  # how good labels are that were made so (`evaluating.labels`)
    following: Loaded | None  # the next dataset version; None where nothing trains
    checked: Report


def run(
    out: Path, *, images: int, sizes: SplitSizes, seed: int = 0, jobs: int = 1, progress: Progress = silent
) -> Demonstration:
    """Build and publish a dataset of made-up patients under `out`, play the hospital, and close the loop.

    Raises DatasetError where the check finds anything: then radloop is broken, and the demo must not look well.
    """
    store, source = out / "store", f"synthetic:{images}"
    building: dict[str, Any] = {
        "extracting": {"seed": seed, "jobs": jobs},
        "engine": Local(jobs),
        "progress": progress,
    }
    splitting: dict[str, Any] = {"seed": seed, "sizes": sizes}
    loaded = offline.etl(source, out, str(store), transforming=splitting, **building)
    loop = _closed(out, store, loaded, seed, jobs, progress)
    following = None
    if loop.retrained.version:
        added = {**splitting, "previous": str(store), "add": loop.retrained.folder / tree.RETRAIN_TABLE}
        following = offline.etl(source, out, str(store), transforming=added, **building)
    return Demonstration(
        out=out,
        store=store,
        offline=loaded,
        **loop._asdict(),
        following=following,
        checked=_checked(store, progress),
    )


class _Loop(NamedTuple):
    """What came of the hospital and its feedback."""

    simulated: Simulation
    evaluated: Evaluation
    reviewed: tuple[Reviewed, ...]
    retrained: Retrained
    labels: Mapping[str, Mapping[str, Any]]


def _closed(out: Path, store: Path, loaded: Loaded, seed: int, jobs: int, progress: Progress) -> _Loop:
    """Play the hospital, and turn its feedback and two rounds of simulated reviews into re-training data."""
    feedback, known = out / "feedback", version.read(loaded.transformed.organized)
    simulated = online.simulate(
        out,
        str(store),
        feedback=feedback,
        detector=DETECTOR,
        **ARRIVALS,
        seed=seed,
        engine=Local(jobs),
        progress=progress,
    )
    judging: dict[str, Any] = {"feedback": feedback, "dataset": known.root}
    parts: dict[str, Any] = {**judging, "reviewed": out / "reviews", "progress": progress}
    evaluated = evaluating.evaluate(out, **judging, min_confidence=RULE.min_confidence, seed=seed, progress=progress)
    made = {f"every box above {RULE.min_confidence:g}": _sure(out, feedback, known.taxonomy)}
    made["by the rule"] = _trained(retraining.retrain(out, str(store), **parts, rule=RULE), known.taxonomy)
    reviewed = tuple(reviewing.simulate(out, **parts, seed=seed) for _ in range(2))
    retrained = retraining.retrain(out, str(store), **parts, rule=RULE)
    made["after a simulated review"] = _trained(retrained, known.taxonomy)
    agreed = truth.of(known.readings)
    labels = {name: evaluating.labels(rows, agreed, known.taxonomy) for name, rows in made.items() if rows.height}
    return _Loop(simulated, evaluated, reviewed, retrained, labels)


def _checked(store: Path, progress: Progress) -> Report:
    report = checking.check(store, progress=progress)
    if not report.sound:
        raise DatasetError(
            f"{store}: the demo's own dataset is not sound. Please report it with `radloop check {store}`."
        )
    return report


def _sure(out: Path, feedback: Path, classes: Taxonomy) -> pl.DataFrame:
    """Every box above the threshold on images that may train, whatever else was seen there."""
    found = cache.read(feedback, classes, cache.path(out, feedback, classes))
    production = found.feedback.filter(split="production").unique("image_id", keep="last", maintain_order=True)
    return found.detections.filter(pl.col("confidence") > RULE.min_confidence).join(
        production, on="feedback_id", how="semi"
    )


def _trained(retrained: Retrained, classes: Taxonomy) -> pl.DataFrame:
    if retrained.version is None:
        return pl.DataFrame()
    return from_csv((retrained.folder / tree.RETRAIN_TABLE).read_bytes(), classes)
