"""Store -> pictures -> detector under a staged load -> feedback: a hospital in a box."""

import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from PIL import Image

from radloop import detectors, files, pixels, storage, tree
from radloop.catalog import truth, version
from radloop.catalog.classes import wishes
from radloop.dataset import pictures
from radloop.detectors import names, recipes
from radloop.engines import HERE, Engine
from radloop.errors import StoreError, UsageError
from radloop.feedback import records
from radloop.feedback.records import PictureMeasures
from radloop.measures import latency
from radloop.options import Simulate
from radloop.pipelines import promoting
from radloop.pipelines.simulator import measuring, playing, sending, showing
from radloop.pipelines.simulator.measuring import Measured
from radloop.pipelines.simulator.playing import Making, Run, Share, Shown
from radloop.pipelines.simulator.sending import Modality, Original
from radloop.pipelines.simulator.showing import Chosen
from radloop.predictions import Detector
from radloop.progress import Progress, silent
from radloop.simulation import drifting, hospital, load, stopping
from radloop.simulation.drifting import Drift
from radloop.simulation.hospital import Tally
from radloop.simulation.journal import Journal
from radloop.storage import Store, layout, pull
from radloop.storage.change import Row
from radloop.taxonomy import Taxonomy
from radloop.words import Seen, several

# One stage: requests are those that were sent and ended, feedback those that were answered and written.
# per_second: answers. Latencies: of answers and errors, from the intended moment, tries and waiting included; a
# percentile has its interval, and is null where there is too little to say.
STAGES: Final = pl.Schema(
    {
        "stage": pl.Int32,
        "load": pl.Int32,
        "seconds": pl.Float64,
        "requests": pl.Int64,
        "feedback": pl.Int64,
        "errors": pl.Int64,
        "retries": pl.Int64,
        "late": pl.Int64,
        "dropped": pl.Int64,
        "per_second": pl.Float64,
        **latency.PERCENTILES,
        "max_ms": pl.Float64,
    }
)


_WAYS_OUT: Final = {
    "timeout": "Is it overloaded? Give it longer (--request-timeout) or less to do (--load-pattern).",
    "connection": "Is it running, and is its address right (--detector)?",
    "unavailable": "Is it running, and is its address right (--pacs)?",
    "answer": "Does it serve a detection model (docs/detectors.md)?",
    "picture": "Can the pictures be decoded? `radloop check` tells.",
}


@dataclass(frozen=True)
class Simulation:
    """What a run did, or with --dry-run would do."""

    run_id: str
    address: str
    detector: str
    pictures: int
    feedback: Path
    log: Path
    stages: pl.DataFrame  # STAGES
    total: Mapping[str, Any]  # the same over all stages
    errors: Mapping[str, int]  # by kind
    stopped: bool  # by a signal
    ran: bool
    notes: tuple[str, ...]
    pacs: str | None = None  # where the pictures were sent, in the place of a detector
    failure: str | None = None  # why nothing came of it: every request failed
    capacity: Measured | None = None  # with --find-capacity, in the place of stages


class _Known(NamedTuple):
    """What the dataset in a store says of its pictures."""

    classes: Taxonomy
    truth: pl.DataFrame | None  # TRUTH; None: unknown
    recipe: str | None  # that its pictures were made by
    notes: tuple[str, ...]
    originals: Mapping[str, Original]


def simulate(
    options: Simulate, *, detector: Detector | None = None, engine: Engine = HERE, progress: Progress = silent
) -> Simulation:
    """Show the pictures of a store to a detector, stage by stage, and write a feedback file for each answer.

    With `options.pacs` each picture is sent there once, as a DICOM file, and nothing else is written but the log.

    `detector` is one that was made already, in the place of the one that the options name. SIGTERM and Ctrl-C finish
    and write what is in flight, and the run ends as usual; a second signal ends it hard. A detector that is not ready
    yet is waited for, for as long as a stage lasts.

    Raises UsageError, StoreError, DetectorError or TaxonomyError before anything is sent.
    """
    plan, drifts = _plan(options)
    stop, stages, cache = threading.Event(), len(plan.loads), options.out / "cache"

    with ExitStack() as until_the_end:
        with closing(storage.open_store(options.store_address)) as store:
            options = promoting.named(options, store)
            chosen = showing.choose(store, options.splits)
            rows, known = chosen.rows, _known(store, chosen.prefix, chosen.rows["image_id"])
            make = partial(_made, detector) if detector else _making(options, known)
            ready = hospital.when_ready(partial(make, stop=stop), seconds=options.stage_seconds, progress=progress)
            run = Run.new(
                ready,
                classes=known.classes,
                feedback=options.feedback_folder,
                log=options.log_file,
                seed=options.seed,
                durable=options.durable,
            )
            made_by = dict.fromkeys(rows["image_id"], known.recipe) | chosen.recipes
            heard = recipes.say(ready, made_by.values(), said=options.model_recipe)
            notes = (*heard, *chosen.notes, *known.notes, *_without_truth(options, chosen), *detectors.notes(ready))
            summary = partial(_summary, run, options.store_address, notes=notes)
            if options.dry_run:
                notes = (*notes, *measuring.notes(options))
                summary = partial(summary, notes=notes)
                nothing = [Tally(stage, loaded) for stage, loaded in enumerate(plan.loads, 1)]
                return summary(rows.height, nothing, ran=False, stopped=False)
            until_the_end.enter_context(files.flushed(options.out, durable=run.durable))
            journal = until_the_end.enter_context(Journal(run.log, run.id))
            start = {"load": plan.loads, "arrival": options.arrival, "drift": options.drift, "pictures": rows.height}
            provider = detectors.provider(ready)
            # before all that takes long: somebody may wait
            journal.write("start", detector=run.model.full_name, provider=provider, notes=list(heard), **start)
            with files.locked(cache / "shown"):
                plain, lost = _fetch(store, chosen.prefix, rows, cache, engine=engine, progress=progress)
                plain = [picture._replace(recipe=made_by[picture.image_id]) for picture in plain]
                shown = _drifted(plain, drifts, stages, cache / "shown", engine=engine, progress=progress)

        found = set() if known.truth is None else set(known.truth["image_id"])
        share = Share(run, plan, make, shown, [picture.image_id in found for picture in plain], drifts)
        if lost:
            notes = (*notes, f"{lost} pictures cannot be decoded and were left out")
        summary = partial(summary, len(plain), notes=notes)
        if options.find_capacity:
            measured = measuring.find(options, share, ready, journal, stop=stop, progress=progress)
            return replace(summary([], ran=True, stopped=stop.is_set()), capacity=measured)
        return _play(share, ready, summary, engine, journal, stop=stop, progress=progress)


def _plan(options: Simulate) -> tuple[hospital.Plan, tuple[Drift, ...]]:
    """What the hospital does, and what changes about its pictures. Raises UsageError."""
    measuring.require(options)
    loads, per_second = load.parse_pattern(options.load_pattern), load.parse_arrival(options.arrival)
    drifts = drifting.parse(options.drift)
    _require_stages(drifts, len(loads))
    patience = options.request_timeout
    return hospital.Plan(loads, options.stage_seconds, per_second, patience_seconds=patience, seed=options.seed), drifts


def _play(
    share: Share,
    detector: Detector,
    summary: Callable[..., Simulation],
    engine: Engine,
    journal: Journal,
    *,
    stop: threading.Event,
    progress: Progress,
) -> Simulation:
    """Play the run here or on many machines, with its stages and end in the log."""
    run = share.run
    modality = detector if isinstance(detector, Modality) else None
    if modality is None:
        files.make_folder(run.feedback, durable=run.durable, mode=files.OWN_FOLDER)
        records.reclaim(run.feedback)
    with stopping.by_signals(stop):
        if modality is not None:
            tallies = sending.play(share, modality, journal, stop=stop, progress=progress)
        elif engine.many_machines:
            tallies = playing.spread(share, journal, engine, stop=stop, progress=progress)
        else:
            tallies = playing.play(share, detector, journal, stop=stop, progress=progress)
        stopped = stop.is_set() and not (modality is not None and modality.is_done)
        done = summary(tallies, ran=True, stopped=stopped)
        if modality is not None:
            done = replace(done, notes=(*done.notes, *modality.notes))
        for row in done.stages.iter_rows(named=True):
            journal.write("stage", **row)
        journal.write("end", **done.total, stopped=done.stopped)
    return done


def _making(options: Simulate, known: _Known) -> Making:
    """How any process gets the detector that the options name."""
    if options.pacs is not None:
        return partial(Modality, options, known.originals)
    return partial(
        detectors.create,
        options.detector,
        classes=known.classes,
        seed=options.seed,
        inference_ms=options.inference_ms,
        timeout_s=options.request_timeout,
        memory_gb=options.detector_memory,
        truth=known.truth,
        wishes=names.wishes(options.model_classes, wishes(None, options.map).renamed),
        triton_url=options.triton_url,
    )


def _made(detector: Detector, *, stop: threading.Event) -> Detector:
    return detector


def _summary(
    run: Run,
    address: str,
    count: int,
    tallies: Sequence[Tally],
    *,
    ran: bool,
    stopped: bool,
    notes: tuple[str, ...],
) -> Simulation:
    whole = hospital.total(tallies)
    independent = sum(latency.worth(np.array(tally.latencies_ms)) for tally in tallies)
    total = _row(whole, independent=independent)
    return Simulation(
        run_id=run.id,
        address=address,
        pacs=run.model.version if run.model.name == Modality.name else None,
        detector=run.model.full_name,
        pictures=count,
        feedback=run.feedback,
        log=run.log,
        stages=pl.DataFrame([_row(tally) for tally in tallies], schema=STAGES),
        total={name: value for name, value in total.items() if name not in ("stage", "load")},
        errors=dict(whole.errors.most_common()),
        stopped=stopped,
        ran=ran,
        notes=notes,
        failure=_failure(run, whole),
    )


def _failure(run: Run, whole: Tally) -> str | None:
    """The sentence about a run whose every request failed; None where there was an answer, or no request."""
    if whole.answered or not whole.errors:
        return None
    (kind, times), *_ = whole.errors.most_common(1)
    way = _WAYS_OUT.get(kind, "Its own log may say why.")
    return (
        f"{run.model.full_name} answered none of {several(whole.requests, 'request')}; the most frequent error is "
        f"{kind} ({times:,}×). {way} Every error is in {run.log}."
    )


def _row(tally: Tally, *, independent: float | None = None) -> dict[str, Any]:
    return {
        "stage": tally.stage,
        "load": tally.load,
        "seconds": round(tally.seconds, 3),
        "requests": tally.requests,
        "feedback": tally.answered,
        "errors": tally.errors.total(),
        "retries": tally.retries,
        "late": tally.late,
        "dropped": tally.dropped,
        "per_second": round(tally.answered / tally.seconds, 3) if tally.seconds else 0.0,
        **latency.percentiles(tally.latencies_ms, independent=independent),
        "max_ms": round(max(tally.latencies_ms), 3) if tally.latencies_ms else None,
    }


def _require_stages(drifts: Sequence[Drift], count: int) -> None:
    for drift in drifts:
        if not 1 <= drift.stage <= count:
            raise UsageError(f"--drift {drift}: the load pattern has the stages 1 to {count}.")


def _without_truth(options: Simulate, chosen: Chosen) -> Iterator[str]:
    if options.detector.startswith("oracle") and chosen.recipes:
        yield f"the oracle knows no truth of {several(len(chosen.recipes), 'incoming image')}: it takes them for normal"


def _known(store: Store, prefix: str, image_ids: pl.Series) -> _Known:
    """The classes of the dataset, and the truth of its images. Of a store that tells no classes: VinBigData's."""
    known = version.published(lambda key: store.get(layout.key_in(prefix, key)), name=store.address)
    summary = store.get(layout.key_in(prefix, tree.SUMMARY))
    recipe = version.recipe_of(version.summary_of(summary, name=store.address))
    if known is not None:
        classes, annotations = known
        rows = version.readings(annotations).filter(pl.col("image_id").is_in(image_ids.implode()))
        return _Known(classes, truth.of(rows), recipe, (), sending.originals(annotations))
    notes = () if summary else (f"{store.address} tells no classes: VinBigData's were taken",)
    return _Known(version.taxonomy_of(summary, name=store.address), None, recipe, notes, {})


def _fetch(
    store: Store, prefix: str, rows: pl.DataFrame, cache: Path, *, engine: Engine, progress: Progress
) -> tuple[list[Shown], int]:
    """The pictures on this machine, each distinct one once and verified; and how many cannot be decoded."""
    wanted = [Row(**row) for row in rows.select(Row._fields).iter_rows(named=True)]
    paths = pull.fetch(store, wanted, cache / "pictures", prefix=prefix, progress=progress)
    named = [(row["image_id"], row["split"], paths[row["key"]].absolute()) for row in rows.iter_rows(named=True)]
    shown = _measured(named, cache / "shown" / "pictures.parquet", engine=engine, progress=progress)
    lost = len(named) - len(shown)
    if not shown:
        raise StoreError(f"{store.address}: none of its {lost} pictures can be decoded.")
    return shown, lost


def _measured(
    named: Sequence[tuple[str, Seen | None, Path]], cache: Path, *, engine: Engine, progress: Progress
) -> list[Shown]:
    folder = Path(os.path.commonpath([path.parent for _, _, path in named])).absolute()
    relative = {path: os.path.relpath(path, folder) for _, _, path in named}
    found = pl.DataFrame(
        {"image_id": list(relative.values()), "path": list(relative.values()), "problem": [None] * len(relative)},
        schema_overrides={"problem": pl.String},
    )
    table = pictures.inspect(folder, found, engine=engine, cache=cache, to_publish=False, progress=progress)
    sound = {row["path"]: row for row in table.filter(pl.col("problem").is_null()).iter_rows(named=True)}
    return [
        Shown(
            image_id,
            split,
            path,
            row["md5"],
            row["phash"],
            PictureMeasures(mean=row["mean"], std=row["std"], sharpness=row["sharpness"]),
        )
        for image_id, split, path in named
        if (row := sound.get(relative[path])) is not None
    ]


def _drifted(
    plain: list[Shown], drifts: Sequence[Drift], stages: int, folder: Path, *, engine: Engine, progress: Progress
) -> list[list[Shown]]:
    """The pictures of each stage; those that a drift changes are made once and kept."""
    made: dict[tuple[Drift, ...], list[Shown]] = {(): plain}
    by_stage = []
    for stage in range(1, stages + 1):
        changes = drifting.of_pixels(drifts, stage)
        if changes not in made:
            made[changes] = _changed(plain, changes, folder, engine=engine, progress=progress)
        by_stage.append(made[changes])
    return by_stage


def _changed(
    plain: list[Shown], changes: tuple[Drift, ...], folder: Path, *, engine: Engine, progress: Progress
) -> list[Shown]:
    name = "-".join(f"{drift.kind}{drift.amount:g}" for drift in changes)
    distinct = {picture.md5: picture.path for picture in plain}
    paths = {md5: folder.absolute() / name / f"{md5}.png" for md5 in distinct}
    named = [(picture.image_id, picture.split, paths[picture.md5]) for picture in plain]
    made = {picture.image_id: picture.recipe for picture in plain}

    def make(md5: str) -> None:
        if not paths[md5].exists():
            changed = drifting.apply(pixels.decode(distinct[md5].read_bytes()), changes)
            buffer = io.BytesIO()
            Image.fromarray(changed).save(buffer, "PNG", compress_level=1)
            files.write_atomic(paths[md5], buffer.getvalue())

    def drawn() -> list[Shown]:
        with ThreadPoolExecutor(min(engine.places, os.cpu_count() or 1)) as pool:
            for done, _ in enumerate(pool.map(make, distinct), 1):
                progress(f"drift {name}", done, len(distinct))
        return _measured(named, folder / f"{name}.parquet", engine=engine, progress=progress)

    measured = drawn()
    if len(measured) < len(plain):  # a loss of power has left some of those of an earlier run empty
        for path in {*paths.values()} - {picture.path for picture in measured}:
            path.unlink()
        measured = drawn()
    return [picture._replace(recipe=made[picture.image_id]) for picture in measured]
