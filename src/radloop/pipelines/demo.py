"""The whole loop on embedded defaults: synthetic patients, a folder as the store, no account and no network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from radloop import tree
from radloop.catalog import judging, truth, version
from radloop.catalog.rule import Rule
from radloop.engines import Engine, Local
from radloop.errors import DatasetError
from radloop.feedback import arrivals, cache
from radloop.feedback.retraining import from_csv
from radloop.options import Demo, Etl, Evaluate, Ingest, Retrain, Review, Simulate
from radloop.pipelines import checking, evaluating, ingesting, offline, online, retraining, reviewing
from radloop.pipelines.checking import Report
from radloop.pipelines.evaluating import Evaluation
from radloop.pipelines.ingesting import Ingested
from radloop.pipelines.offline import EtlPreview, Loaded
from radloop.pipelines.online import Simulation
from radloop.pipelines.retraining import Retrained
from radloop.pipelines.reviewing import Reviewed
from radloop.progress import Progress, silent
from radloop.sources import synthetic
from radloop.taxonomy import Taxonomy

# the tiny network where onnxruntime is installed, else an oracle that errs like a radiologist
DETECTOR: Final = "onnx:tiny" if find_spec("onnxruntime") else "oracle:1"
RULE: Final = Rule()
# 360 pictures in 12 seconds: each of 180 twice
ARRIVAL: Final = "poisson:15"
LOAD_PATTERN: Final = "1,2,3,2"
STAGE_SECONDS: Final = 3.0
# so much of the images simulated radiologists read, and so much of these disputes a third one settles: the rest is left
# to whoever opens the dashboard
READ: Final = 0.67
ADJUDICATED: Final = 0.2
# patients who come in from production without labels, drawn by another seed
NEW_PATIENTS: Final = 60


@dataclass(frozen=True)
class Demonstration:
    """What the demo made, step by step, and that it is sound."""

    out: Path
    store: Path
    offline: Loaded
    ingested: Ingested  # new patients, whose truth only the simulated radiologists are told
    simulated: Simulation
    evaluated: Evaluation
    reviewed: tuple[Reviewed, ...]  # the second time a third reader settles some of what two disputed
    retrained: Retrained
    # how good labels are that were made so, on all images of production (`judging.labels`)
    labels: Mapping[str, Mapping[str, Any]]
    following: Loaded | None  # the next dataset version; None where nothing trains
    arrived: Mapping[str, int]  # `arrivals.count` after it
    waiting: Mapping[str, int]  # state of a worklist -> images that are left for whoever opens the dashboard
    checked: Report


def run(options: Demo, *, progress: Progress = silent) -> Demonstration | EtlPreview:
    """Build and publish a dataset of synthetic patients under OUT, play the hospital, and close the loop.

    With --dry-run only what its first step would do. Raises DatasetError where the check finds anything: then radloop
    is broken, and the demo must not look well.
    """
    seed, jobs = options.seed, options.jobs
    etl = Etl(out=options.out, source=f"synthetic:{options.images}", sizes=options.sizes, seed=seed, jobs=jobs)
    store, engine = Path(etl.store_address), Local(jobs)
    if options.dry_run:
        return offline.foresee(etl, engine=engine, progress=progress)
    loaded = offline.run(etl, engine=engine, progress=progress)
    loop = _closed(options, loaded, engine, progress)
    following = None
    if loop.retrained.version:
        etl = replace(etl, previous=str(store), add=loop.retrained.folder / tree.RETRAIN_TABLE)
        following = offline.run(etl, engine=engine, progress=progress)
    return Demonstration(
        out=options.out,
        store=store,
        offline=loaded,
        **loop._asdict(),
        following=following,
        arrived=_arrived(options.out),
        waiting=_waiting(options, progress),
        checked=_checked(store, progress),
    )


class _Loop(NamedTuple):
    """What came of the hospital and its feedback."""

    ingested: Ingested
    simulated: Simulation
    evaluated: Evaluation
    reviewed: tuple[Reviewed, ...]
    retrained: Retrained
    labels: Mapping[str, Mapping[str, Any]]


def come_in(
    out: Path, number: int, *, seed: int, jobs: int, progress: Progress = silent
) -> tuple[Ingested, pl.DataFrame]:
    """Take in `number` generated patients without labels; and what readers would have drawn on them."""
    folder = out / f"new-patients-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    synthetic.generate(folder, number, seed=seed, jobs=jobs, progress=progress)
    ingested = ingesting.ingest(Ingest(out=out, from_=str(folder / "train"), jobs=jobs), progress=progress)
    return ingested, synthetic.readings(number, seed=seed)


def _closed(options: Demo, loaded: Loaded, engine: Engine, progress: Progress) -> _Loop:
    """Play the hospital, and turn its feedback and two rounds of simulated reviews into re-training data."""
    out, seed, jobs = options.out, options.seed, options.jobs
    known = version.read(loaded.transformed.organized)
    ingested, told = come_in(out, NEW_PATIENTS, seed=seed + 1, jobs=jobs, progress=progress)
    hospital = Simulate(
        out=out,
        splits=("test", "production", "incoming"),
        detector=DETECTOR,
        arrival=ARRIVAL,
        load_pattern=LOAD_PATTERN,
        stage_seconds=STAGE_SECONDS,
        seed=seed,
    )
    simulated = online.simulate(hospital, engine=engine, progress=progress)
    asked = Evaluate(out=out, min_confidence=RULE.min_confidence, seed=seed, jobs=jobs)
    made = {f"every box above {RULE.min_confidence:g}": _sure(out, asked.feedback_folder, known.taxonomy)}
    learning, reading = Retrain(out=out, jobs=jobs), Review(out=out, simulated=True, seed=seed, jobs=jobs)
    made["by the rule"] = _trained(retraining.retrain(learning, progress=progress), known.taxonomy)
    reviewed = tuple(
        reviewing.simulate(reading, share=share, readings=told, progress=progress) for share in (READ, ADJUDICATED)
    )
    evaluated = evaluating.evaluate(asked, progress=progress)
    retrained = retraining.retrain(learning, progress=progress)
    made["after a simulated review"] = _trained(retrained, known.taxonomy)
    given = truth.of(known.readings), known.images.filter(split="production"), known.taxonomy
    labels = {name: judging.labels(rows, *given) for name, rows in made.items() if rows.height}
    return _Loop(ingested, simulated, evaluated, reviewed, retrained, labels)


def _arrived(out: Path) -> Mapping[str, int]:
    nobody = pl.Series(dtype=pl.String)
    return arrivals.count(version.read(out), nobody, nobody)


def _waiting(options: Demo, progress: Progress) -> Mapping[str, int]:
    queued = reviewing.order(
        Review(out=options.out, queue=True, seed=options.seed, jobs=options.jobs), progress=progress
    )
    return dict(queued.queue["state"].value_counts().sort("state").iter_rows())


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
