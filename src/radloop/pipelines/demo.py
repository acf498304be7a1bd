"""The whole loop on embedded defaults: made-up patients, a folder as the store, no account and no network."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop.dataset import version
from radloop.dataset.splits import SplitSizes
from radloop.engines import Local
from radloop.errors import DatasetError
from radloop.feedback import cache, retraining
from radloop.measures import evaluation
from radloop.pipelines import checking, evaluating, offline, online, reviewing
from radloop.pipelines import retraining as feeding_back
from radloop.pipelines.checking import Report
from radloop.pipelines.evaluating import Evaluation
from radloop.pipelines.offline import Loaded
from radloop.pipelines.online import Simulation
from radloop.pipelines.retraining import Retrained
from radloop.pipelines.reviewing import Reviewed
from radloop.progress import Progress, silent

# the tiny network where onnxruntime is installed, else an oracle that errs like a radiologist
DETECTOR: Final = "onnx:tiny" if find_spec("onnxruntime") else "oracle:1"
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
    store = out / "store"
    source, engine = f"synthetic:{images}", Local(jobs)
    making: dict[str, Any] = {"seed": seed, "jobs": jobs}
    splitting: dict[str, Any] = {"seed": seed, "sizes": sizes}
    loaded = offline.etl(
        source, out, str(store), extracting=making, transforming=splitting, engine=engine, progress=progress
    )

    feedback = out / "feedback"
    simulated = online.simulate(
        out, str(store), feedback=feedback, detector=DETECTOR, **ARRIVALS, seed=seed, engine=engine, progress=progress
    )
    judging: dict[str, Any] = {"feedback": feedback, "dataset": loaded.transformed.organized}
    parts: dict[str, Any] = {**judging, "reviewed": out / "reviews"}
    evaluated = evaluating.evaluate(out, **judging, seed=seed, progress=progress)
    labels = {"every box above 0.9": _sure(out, feedback)}
    labels["by the rule"] = _trained(feeding_back.retrain(out, str(store), **parts, progress=progress))
    reviewed = tuple(reviewing.simulate(out, **parts, seed=seed, progress=progress) for _ in range(2))
    retrained = feeding_back.retrain(out, str(store), **parts, progress=progress)
    labels["after a simulated review"] = _trained(retrained)

    truth = evaluation.consensus(version.read(out).readings)
    following = None
    if retrained.version:
        added = {**splitting, "previous": str(store), "add": retrained.folder / feeding_back.TABLE}
        following = offline.etl(
            source, out, str(store), extracting=making, transforming=added, engine=engine, progress=progress
        )
    report = checking.check(store, progress=progress)
    if not report.sound:
        raise DatasetError(
            f"{store}: the demo's own dataset is not sound. Please report it with `radloop check {store}`."
        )
    return Demonstration(
        out=out,
        store=store,
        offline=loaded,
        simulated=simulated,
        evaluated=evaluated,
        reviewed=reviewed,
        retrained=retrained,
        labels={name: evaluating.labels(rows, truth) for name, rows in labels.items() if rows.height},
        following=following,
        checked=report,
    )


def _sure(out: Path, feedback: Path) -> pl.DataFrame:
    """Every box above the threshold on images that may train, whatever else was seen there."""
    found = cache.read(feedback, cache.path(out, feedback))
    production = found.feedback.filter(split="production").unique("image_id", keep="last", maintain_order=True)
    return found.detections.filter(pl.col("confidence") > retraining.MIN_CONFIDENCE).join(
        production, on="feedback_id", how="semi"
    )


def _trained(retrained: Retrained) -> pl.DataFrame:
    if retrained.version is None:
        return pl.DataFrame()
    return retraining.from_csv((retrained.folder / feeding_back.TABLE).read_bytes())
