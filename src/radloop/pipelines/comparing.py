"""Two models on the same held-out images -> their paired differences, and whether the second may follow the first."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import manifest, storage
from radloop.catalog import cards, gates, judging, truth, version
from radloop.catalog.gates import Figures, Gates
from radloop.catalog.rule import Rule, standing
from radloop.catalog.version import Version
from radloop.errors import DatasetError, FeedbackError, UsageError
from radloop.feedback import guard, months, reviews
from radloop.feedback.rows import Records
from radloop.measures import bootstrap, calibration, compared, evaluation, intervals, latency, power
from radloop.measures.compared import Side
from radloop.measures.power import Plan
from radloop.options import Compare
from radloop.pipelines import coming_back, registry
from radloop.pipelines.comparisons import answers, contestants, documents
from radloop.pipelines.comparisons.answers import Answers
from radloop.pipelines.comparisons.contestants import Contestant
from radloop.pipelines.registry import Registry
from radloop.predictions import Picture
from radloop.progress import Progress, silent
from radloop.storage import Store, layout, pull
from radloop.words import Gated, several

ORDER: Final[tuple[Gated, ...]] = ("staging", "canary")


@dataclass(frozen=True)
class Compared:
    """What came of it: the document of each split, as models/comparisons/<id>.json holds it."""

    comparisons: tuple[Mapping[str, Any], ...]
    folder: Path  # where they lie, each with its page
    passed: bool
    done: bool = True  # False with --dry-run: only what these images can tell, from the champion alone


@dataclass(frozen=True)
class _Ring:
    """What both models meet."""

    options: Compare
    dataset: Version
    gates: Gates
    rule: Rule
    records: Records | None  # where a side is read from feedback
    newest: pl.DataFrame  # judging.newest of them
    audited: pl.DataFrame  # what people read on audit images, as readings
    store: Store
    progress: Progress


def compare(options: Compare, *, progress: Progress = silent) -> Compared:
    """Compare both models split by split; canary is not asked where staging is missed.

    Raises UsageError for invalid models or gates, and for canary before staging has passed; DatasetError
    where there is no dataset, TaxonomyError where a model has other classes than the dataset, StoreError where what
    was asked cannot be kept.
    """
    asked = tuple(split for split in ORDER if split in options.splits)
    wanted = gates.read(options.gates)
    dataset = version.read(options.dataset_folder)
    with closing(storage.open_store(options.store_address)) as store:
        store.preflight()
        with registry.opened(options.out, store, writing=not options.dry_run) as kept:
            ring = _ring(options, dataset, wanted, store, progress)
            first, second = (_contestant(ring, text, kept) for text in (options.champion, options.challenger))
            if first.model == second.model:
                raise UsageError(f"CHAMPION and CHALLENGER are one model, {first.full_name}: name two.")
            if asked[0] == "canary":
                _require_staged(kept, ring, first, second)
            audit = cache(lambda: _audit(ring, first, second))  # the same for every split
            told: list[Mapping[str, Any]] = []
            for split in asked:
                if told and not (told[-1]["passed"] or options.dry_run):
                    break
                told.append(_on_split(ring, kept, split, (first, second), audit))
            return Compared(
                tuple(told),
                options.out / manifest.MODELS / "comparisons",
                all(one["passed"] for one in told),
                done=not options.dry_run,
            )


def _ring(options: Compare, dataset: Version, wanted: Gates, store: Store, progress: Progress) -> _Ring:
    records, newest, audited = None, pl.DataFrame(), dataset.readings.clear()
    if options.feedback_folder.is_dir():
        records = coming_back.feedback(options, dataset, keep=not options.dry_run, jobs=options.jobs, progress=progress)
        judged = guard.judge(records.feedback, dataset.images)
        newest = judging.newest(judged)
        now = datetime.now(UTC)
        said = reviews.read(options.reviews_folder, dataset.taxonomy, convention=options.convention, now=now)
        audited = months.readings(records, judged, said, dataset.images, simulated=dataset.synthetic)
    return _Ring(
        options=options,
        dataset=dataset,
        gates=wanted,
        rule=standing(dataset.root / manifest.RETRAIN) or Rule(),
        records=records,
        newest=newest,
        audited=audited,
        store=store,
        progress=progress,
    )


def _contestant(ring: _Ring, text: str, kept: Registry) -> Contestant:
    named, options = text, ring.options
    if not cards.is_detector(text):
        named, options = contestants.known_as(options, text, kept.models, kept.folder)
    if cards.is_detector(named):
        return contestants.make(options, named, ring.dataset, seed=options.seed)
    if ring.records is None:
        raise UsageError(
            f"unknown model {text[:80]!r}: no detector, alias or id of STORE/models, and there is no feedback in "
            f"{options.feedback_folder}. Name it as onnx:MODEL.onnx, triton:… or oracle:NOISE."
        )
    return contestants.of_feedback(named, ring.newest)


def _require_staged(kept: Registry, ring: _Ring, first: Contestant, second: Contestant) -> None:
    pair = {"champion": first.model, "challenger": second.model}
    if kept.models.passed("staging", ring.dataset.whole_id, **pair) is None:
        raise UsageError(
            f"canary is asked once {second.full_name} has passed staging against {first.full_name} on version "
            f"{ring.dataset.whole_id}, and it has not: run `radloop compare '{ring.options.champion}' "
            f"'{ring.options.challenger}' --splits staging` first."
        )


def _on_split(
    ring: _Ring,
    kept: Registry,
    split: Gated,
    pair: tuple[Contestant, Contestant],
    audit_of_both: Callable[[], Mapping[str, Any] | None],
) -> Mapping[str, Any]:
    """The document of one comparison, kept in the store before anybody sees a figure of it."""
    first, second = pair
    images = ring.dataset.own_images.filter(split=split).join(ring.dataset.readings, on="image_id", how="semi")
    if images.is_empty():
        raise DatasetError(f"{ring.dataset.root} has no image of {split} that anybody has read. Choose other --splits.")
    asked = (first,) if ring.options.dry_run else pair
    paths = _paths(ring, split)
    said, lost = _answers(ring, asked, images["image_id"].to_list(), paths)
    common = _common(said, images)
    if common.is_empty():
        raise FeedbackError(
            "there is no image of the split that both have answered: `radloop simulate --splits staging` with each of "
            "them, or name both as detectors (onnx:MODEL.onnx, triton:…)."
        )
    readings = ring.dataset.readings.join(common, on="image_id", how="semi")
    sides = _sides(said, readings)
    plan = _plan(ring, sides[0], readings)
    base = documents.Base(
        split=split,
        dataset=ring.dataset.whole_id,
        gates=ring.gates,
        plan=plan,
        cut=sides[0].cut,
        confidence=_working_point(ring),
        images=common.height,
        groups=common["group"].n_unique(),
        truth=sides[0].truth.height,
        champion=first,
        challenger=second,
        notes=(*first.notes, *second.notes, *_notes(said, images.height - common.height, lost, split)),
    )
    if ring.options.dry_run:
        return documents.planned(base)
    figures = _figures(ring, sides, said, common)
    audit = audit_of_both()
    verdicts = gates.judge(ring.gates, plan, figures, None if audit is None else audit["compared"])
    name = _id(base, ring.options.seed)
    before = kept.models.comparisons.filter(split=split, dataset=ring.dataset.whole_id)["comparison"].to_list()
    document = documents.whole(base, name, figures, audit, verdicts, uses=len({*before, name}), at=datetime.now(UTC))
    kept.change(documents.files(document))
    return document


def _answers(
    ring: _Ring, asked: Sequence[Contestant], image_ids: Sequence[str], paths: Mapping[str, Path]
) -> tuple[list[Answers], int]:
    """Of each model, in order: those that run are asked together."""
    running = [one for one in asked if one.detector is not None]
    pictures = (Picture(image_id, paths[image_id].read_bytes()) for image_id in image_ids)
    now, lost = answers.ask(running, pictures, len(image_ids), progress=ring.progress) if running else ([], 0)
    ran = {one.model: answer for one, answer in zip(running, now, strict=True)}
    return [ran.get(one.model) or _read(ring, one) for one in asked], lost


def _read(ring: _Ring, one: Contestant) -> Answers:
    if ring.records is None:
        raise FeedbackError(f"{ring.options.feedback_folder} holds no feedback. Run `radloop simulate` first.")
    return answers.of_feedback(one, ring.newest, ring.records)


def _paths(ring: _Ring, split: str) -> Mapping[str, Path]:
    """Where the pictures of a split lie: in the dataset's folder, and else brought from the store."""
    root, listed = ring.dataset.root, ring.dataset.files.filter(kind="image", split=split)
    rows = list(layout.rows_of(listed.sort("key").unique("image_id", keep="first", maintain_order=True)))
    named = dict(listed.select("key", "image_id").iter_rows())
    missing = [row for row in rows if not (root / row.key).is_file()]
    cache = ring.options.out / "cache" / "pictures"
    brought = pull.fetch(ring.store, missing, cache, progress=ring.progress) if missing else {}
    return {named[row.key]: brought.get(row.key, root / row.key) for row in rows}


def _common(said: Sequence[Answers], images: pl.DataFrame) -> pl.DataFrame:
    """image_id, group: the images that all have answered."""
    for one in said:
        images = images.join(one.latencies, on="image_id", how="semi")
    return images.select("image_id", "group").sort("image_id")


def _sides(said: Sequence[Answers], readings: pl.DataFrame) -> list[Side]:
    """Each on the images of `readings`, all cut at the highest of their cuts."""
    known, cut = truth.of(readings), max((one.cut for one in said if one.cut is not None), default=None)
    sides = []
    for one in said:
        boxes = one.from_confidence(cut).join(readings, on="image_id", how="semi")
        sides.append(Side(boxes, evaluation.match(boxes, known), known, cut))
    return sides


def _working_point(ring: _Ring) -> float:
    asked = None if ring.gates.recall is None else ring.gates.recall.confidence
    return ring.rule.min_confidence if asked is None else asked


def _plan(ring: _Ring, champion: Side, readings: pl.DataFrame) -> Plan:
    """What the gate of mAP can tell, from the champion's answers alone."""
    gate = ring.gates.map or gates.Precision()
    return power.plan(
        champion.boxes,
        champion.truth,
        readings.select("image_id", "group").unique(),
        ring.dataset.taxonomy,
        alpha=gate.alpha,
        chosen=None if gate.margin == "auto" else gate.margin,
        agreement=gate.agreement,
        seed=ring.options.seed,
    )


def _figures(ring: _Ring, sides: Sequence[Side], said: Sequence[Answers], images: pl.DataFrame) -> Figures:
    seed, point = ring.options.seed, _working_point(ring)
    one, other = (side.boxes.filter(pl.col("confidence") > ring.rule.doubtful) for side in sides)
    errors = [calibration.drawn_error(boxes, images, seed=seed) for boxes in (one, other)]
    groups = pl.Series([images["group"].n_unique()]).to_numpy()
    told = {
        name: column[0] for name, column in intervals.of_difference("difference", errors[0], errors[1], groups).items()
    }
    drawn = {"first": float(errors[0][0, 0]), "second": float(errors[1][0, 0]), **told}
    known = {name: None if value is None or value != value else float(value) for name, value in drawn.items()}
    return Figures(
        compared.compare(sides[0], sides[1], images, ring.dataset.taxonomy, min_confidence=point, seed=seed),
        known,
        _latencies(said, images, seed),
    )


def _latencies(said: Sequence[Answers], images: pl.DataFrame, seed: int) -> Mapping[str, Mapping[str, Any]] | None:
    """Of the images that have one of both; None where there is none."""
    first, second = (one.latencies.rename({"latency_ms": name}) for one, name in zip(said, ("a", "b"), strict=True))
    both = images.join(first, on="image_id").join(second, on="image_id").drop_nulls().sort("image_id")
    if both.is_empty():
        return None
    return latency.compare(both["a"].to_numpy(), both["b"].to_numpy(), resamples=bootstrap.RESAMPLES, seed=seed)


def _audit(ring: _Ring, first: Contestant, second: Contestant) -> Mapping[str, Any] | None:
    """The same on the audit images that people have read and both models have seen; None where there is none."""
    if ring.audited.is_empty():
        return None
    image_ids = ring.audited["image_id"].unique().sort().to_list()
    unit = ring.dataset.root / manifest.INCOMING
    listed = manifest.read(unit)
    rows = [] if listed is None else listed.filter(kind="image").select("image_id", "key").rows()
    paths = {image_id: unit / key for image_id, key in rows}
    there = [image_id for image_id in image_ids if image_id in paths and paths[image_id].is_file()]
    said, _ = _answers(ring, (first, second), there, paths)
    images = _common(said, ring.audited.select("image_id", "group").unique())
    if images.is_empty():
        return None
    sides = _sides(said, ring.audited.join(images, on="image_id", how="semi"))
    point, classes = _working_point(ring), ring.dataset.taxonomy
    found = compared.compare(sides[0], sides[1], images, classes, min_confidence=point, seed=ring.options.seed)
    return {"images": images.height, "truth": sides[0].truth.height, "compared": found}


def _notes(said: Sequence[Answers], missing: int, lost: int, split: str) -> Iterator[str]:
    if any(not one.measured_now for one in said):
        yield (
            "what feedback holds was read: mAP is of the boxes that it keeps, of both models cut alike, and latencies "
            "are those of its run, not of one machine at one time"
        )
    if missing - lost:
        yield f"{several(missing - lost, 'image')} of {split} were left out: one of the two has no feedback on them"
    if lost:
        yield f"{several(lost, 'picture')} cannot be decoded and were left out"


def _id(base: documents.Base, seed: int) -> str:
    """The same for the same question: another pair, version, split or set of gates asks the images once more."""
    pair = base.champion.model, base.challenger.model
    asked = repr((base.split, base.dataset, *pair, sorted(base.gates.document().items()), seed))
    return hashlib.sha256(asked.encode()).hexdigest()[:12]
