"""The command line: parse, call one pipeline, print, exit.

Exit status: 0 done · 1 failed · 2 wrong usage · 3 done, but rows were refused and --strict was given.
"""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from radloop import __version__, settings
from radloop.display import Display, print_json, print_summary
from radloop.errors import RadloopError, UsageError

if TYPE_CHECKING:
    from radloop.catalog.rule import Rule
    from radloop.detectors import names
    from radloop.engines import Engine

DONE, FAILED, WRONG_USAGE, REFUSED_ROWS = 0, 1, 2, 3

app = typer.Typer(
    help="A closed-loop data pipeline for radiology detection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _option(name: str, *flags: str, default: str | None = None) -> Any:
    """The flag of one setting: its help is the setting's own description, its default stays in Settings."""
    field = settings.Settings.model_fields[name]
    if default is None and field.default is not None and not field.default_factory:
        default = str(field.default)
    shown = f"; default: {default}" if default else ""
    return typer.Option(
        *(flags or (f"--{name.replace('_', '-')}",)),
        help=f"{field.description} [env: {settings.environment_name(name)}{shown}]",
        show_default=False,
    )


Out = Annotated[Path | None, _option("out", default="./data")]
Jobs = Annotated[int | None, _option("jobs", default="the cores there are")]
EngineName = Annotated[str | None, _option("engine")]
RayAddress = Annotated[str | None, _option("ray_address")]
Seed = Annotated[int | None, _option("seed")]
Source = Annotated[str | None, _option("source")]
Annotations = Annotated[Path | None, _option("annotations")]
Boxes = Annotated[str | None, _option("boxes")]
Classes = Annotated[str | None, _option("classes")]
Map = Annotated[list[str] | None, _option("map")]
KeepClasses = Annotated[list[str] | None, _option("keep_classes")]
DropClasses = Annotated[list[str] | None, _option("drop_classes")]
Labels = Annotated[str | None, _option("labels")]
MinReaders = Annotated[int | None, _option("min_readers")]
NoFinding = Annotated[str | None, _option("no_finding")]
Sizes = Annotated[str | None, _option("sizes")]
Previous = Annotated[str | None, _option("previous")]
Add = Annotated[Path | None, _option("add")]
Store = Annotated[str | None, _option("store")]
KeepOld = Annotated[bool | None, _option("keep_old", "--keep-old")]
Splits = Annotated[str | None, _option("splits")]
DetectorSpec = Annotated[str | None, _option("detector")]
ModelClasses = Annotated[Path | None, _option("model_classes")]
LoadPattern = Annotated[str | None, _option("load_pattern")]
StageSeconds = Annotated[float | None, _option("stage_seconds")]
RequestTimeout = Annotated[float | None, _option("request_timeout")]
InferenceMs = Annotated[float | None, _option("inference_ms")]
Arrival = Annotated[str | None, _option("arrival")]
Drift = Annotated[str | None, _option("drift")]
Durable = Annotated[bool | None, _option("durable", "--durable")]
MinConfidence = Annotated[float | None, _option("min_confidence")]
RequireReview = Annotated[bool | None, _option("require_review", "--require-review")]
IncludeHeldOut = Annotated[bool | None, _option("include_held_out", "--include-held-out")]
AnnotationsOnly = Annotated[bool, typer.Option("--annotations-only", help="Only the tables of a synthetic source.")]
Dataset = Annotated[Path | None, _option("dataset")]
Feedback = Annotated[Path | None, _option("feedback")]
Reviews = Annotated[Path | None, _option("reviews")]
Retrain = Annotated[Path | None, _option("retrain")]
Images = Annotated[Path | None, _option("images")]
Log = Annotated[Path | None, _option("log")]
Host = Annotated[str | None, _option("host")]
Port = Annotated[int | None, _option("port")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Look and say what would be done; write nothing.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 3 where rows were refused.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the tables.")]


@app.command()
def extract(
    out: Out = None,
    source: Source = None,
    annotations: Annotations = None,
    boxes: Boxes = None,
    classes: Classes = None,
    annotations_only: AnnotationsOnly = False,
    seed: Seed = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Bring annotations and pictures to OUT/raw. A folder is read where it lies."""
    from radloop.pipelines import offline

    chosen = settings.load(
        out=out, source=source, annotations=annotations, boxes=boxes, classes=classes, seed=seed, jobs=jobs
    )
    with Display() as display:
        extracted = offline.extract(
            chosen.required_source,
            chosen.out,
            **_extract_options(chosen),
            annotations_only=annotations_only,
            dry_run=dry_run,
            progress=display,
        )
    _finish(extracted, json=json)


@app.command()
def transform(
    out: Out = None,
    classes: Classes = None,
    renamed: Map = None,
    keep_classes: KeepClasses = None,
    drop_classes: DropClasses = None,
    labels: Labels = None,
    min_readers: MinReaders = None,
    no_finding: NoFinding = None,
    seed: Seed = None,
    sizes: Sizes = None,
    previous: Previous = None,
    add: Add = None,
    jobs: Jobs = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Turn OUT/raw into the YOLO dataset OUT/organized: validate, inspect the pictures, split, write."""
    from radloop.pipelines import offline

    chosen = settings.load(
        out=out,
        classes=classes,
        map=renamed or None,
        keep_classes=keep_classes or None,
        drop_classes=drop_classes or None,
        labels=labels,
        min_readers=min_readers,
        no_finding=no_finding,
        seed=seed,
        sizes=sizes,
        previous=previous,
        add=add,
        jobs=jobs,
        engine=engine,
        ray_address=ray_address,
    )
    with Display() as display, _engine(chosen) as where:
        transformed = offline.transform(
            chosen.out, **_transform_options(chosen), engine=where, dry_run=dry_run, progress=display
        )
    _finish(transformed, json=json, strict=strict)


@app.command()
def load(
    out: Out = None,
    store: Store = None,
    keep_old: KeepOld = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Publish OUT/organized to STORE/organized and verify it there."""
    from radloop.pipelines import offline

    chosen = settings.load(out=out, store=store, keep_old=keep_old, engine=engine, ray_address=ray_address)
    with Display() as display, _engine(chosen) as where:
        published = offline.load(
            chosen.out, chosen.store_address, keep_old=chosen.keep_old, engine=where, dry_run=dry_run, progress=display
        )
    _finish(published, json=json)


@app.command()
def etl(
    out: Out = None,
    source: Source = None,
    annotations: Annotations = None,
    boxes: Boxes = None,
    classes: Classes = None,
    renamed: Map = None,
    keep_classes: KeepClasses = None,
    drop_classes: DropClasses = None,
    labels: Labels = None,
    min_readers: MinReaders = None,
    no_finding: NoFinding = None,
    seed: Seed = None,
    sizes: Sizes = None,
    previous: Previous = None,
    add: Add = None,
    store: Store = None,
    keep_old: KeepOld = None,
    jobs: Jobs = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """All three: extract, transform, load."""
    from radloop.pipelines import offline

    chosen = settings.load(
        out=out,
        source=source,
        annotations=annotations,
        boxes=boxes,
        classes=classes,
        map=renamed or None,
        keep_classes=keep_classes or None,
        drop_classes=drop_classes or None,
        labels=labels,
        min_readers=min_readers,
        no_finding=no_finding,
        seed=seed,
        sizes=sizes,
        previous=previous,
        add=add,
        store=store,
        keep_old=keep_old,
        jobs=jobs,
        engine=engine,
        ray_address=ray_address,
    )
    with Display() as display, _engine(chosen) as where:
        done = offline.etl(
            chosen.required_source,
            chosen.out,
            chosen.store_address,
            extracting=_extract_options(chosen),
            transforming=_transform_options(chosen),
            keep_old=chosen.keep_old,
            engine=where,
            progress=display,
        )
    _finish(done, json=json, strict=strict)


@app.command()
def pull(
    out: Out = None,
    store: Store = None,
    splits: Splits = None,
    json: Json = False,
) -> None:
    """Bring STORE/organized back to OUT/organized: distinct bytes once, links for the rest, verified."""
    from radloop.pipelines import offline

    chosen = settings.load(out=out, store=store, splits=splits)
    with Display() as display:
        pulled = offline.pull(chosen.store_address, chosen.out, wanted=chosen.splits, progress=display)
    _finish(pulled, json=json)


@app.command()
def simulate(
    out: Out = None,
    store: Store = None,
    feedback: Feedback = None,
    splits: Annotated[str | None, _option("splits", default="test,production")] = None,
    detector: DetectorSpec = None,
    model_classes: ModelClasses = None,
    renamed: Map = None,
    load_pattern: LoadPattern = None,
    stage_seconds: StageSeconds = None,
    request_timeout: RequestTimeout = None,
    inference_ms: InferenceMs = None,
    arrival: Arrival = None,
    drift: Drift = None,
    seed: Seed = None,
    durable: Durable = None,
    log: Log = None,
    jobs: Jobs = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Play a hospital: show the store's pictures to a detector under a staged load and keep its feedback."""
    from radloop.pipelines import online

    chosen = settings.load(
        out=out,
        store=store,
        feedback=feedback,
        splits=splits,
        detector=detector,
        model_classes=model_classes,
        map=renamed or None,
        load_pattern=load_pattern,
        stage_seconds=stage_seconds,
        request_timeout=request_timeout,
        inference_ms=inference_ms,
        arrival=arrival,
        drift=drift,
        seed=seed,
        durable=durable,
        log=log,
        jobs=jobs,
        engine=engine,
        ray_address=ray_address,
    )
    with Display() as display, _engine(chosen) as where:
        simulated = online.simulate(
            chosen.out,
            chosen.store_address,
            feedback=chosen.feedback,
            log=chosen.log,
            splits=chosen.splits,
            detector=chosen.detector,
            wishes=_model_wishes(chosen),
            load_pattern=chosen.load_pattern,
            stage_seconds=chosen.stage_seconds,
            request_timeout=chosen.request_timeout,
            inference_ms=chosen.inference_ms,
            arrival=chosen.arrival,
            drift=chosen.drift,
            triton_url=chosen.triton_url,
            seed=chosen.seed,
            durable=chosen.durable,
            engine=where,
            dry_run=dry_run,
            progress=display,
        )
    _finish(simulated, json=json)


@app.command()
def review(
    out: Out = None,
    feedback: Feedback = None,
    reviews: Reviews = None,
    dataset: Dataset = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="Let simulated radiologists write reviews.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Print what is most worth a look; write nothing.")] = False,
    seed: Seed = None,
    durable: Durable = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Order the feedback by what deserves a radiologist's look, or let simulated ones review it."""
    from radloop.pipelines import reviewing

    if simulated == queue:
        raise UsageError("radloop review takes --queue or --simulated. People review in the dashboard.")
    chosen = settings.load(
        out=out, feedback=feedback, reviews=reviews, dataset=dataset, seed=seed, durable=durable, jobs=jobs
    )
    options: dict[str, Any] = {**_loop_options(chosen), "seed": chosen.seed, "jobs": chosen.jobs}
    record: reviewing.Queued | reviewing.Reviewed
    with Display() as display:
        if queue:
            record = reviewing.order(chosen.out, **options, progress=display)
        else:
            record = reviewing.simulate(
                chosen.out, **options, durable=chosen.durable, dry_run=dry_run, progress=display
            )
    _finish(record, json=json)


@app.command()
def retrain(
    out: Out = None,
    feedback: Feedback = None,
    reviews: Reviews = None,
    dataset: Dataset = None,
    store: Store = None,
    min_confidence: MinConfidence = None,
    require_review: RequireReview = None,
    include_held_out: IncludeHeldOut = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Turn feedback and reviews into re-training data and publish them to STORE/organized/retrain."""
    from radloop.pipelines import retraining

    chosen = settings.load(
        out=out,
        feedback=feedback,
        reviews=reviews,
        dataset=dataset,
        store=store,
        min_confidence=min_confidence,
        require_review=require_review,
        include_held_out=include_held_out,
        jobs=jobs,
    )
    with Display() as display:
        retrained = retraining.retrain(
            chosen.out,
            chosen.store_address,
            **_loop_options(chosen),
            rule=_rule(chosen),
            jobs=chosen.jobs,
            dry_run=dry_run,
            progress=display,
        )
    _finish(retrained, json=json, strict=strict)


@app.command()
def evaluate(
    out: Out = None,
    feedback: Feedback = None,
    dataset: Dataset = None,
    min_confidence: MinConfidence = None,
    seed: Seed = None,
    jobs: Jobs = None,
    json: Json = False,
) -> None:
    """Judge the detectors on images whose truth is known, and how good their predictions would be as labels."""
    from radloop.pipelines import evaluating

    chosen = settings.load(
        out=out, feedback=feedback, dataset=dataset, min_confidence=min_confidence, seed=seed, jobs=jobs
    )
    parts = chosen.loop_parts
    asked = "min_confidence" in chosen.model_fields_set  # else the rule of the last round decides
    with Display() as display:
        evaluated = evaluating.evaluate(
            chosen.out,
            feedback=parts["feedback"],
            dataset=parts["dataset"],
            min_confidence=chosen.min_confidence if asked else None,
            seed=chosen.seed,
            jobs=chosen.jobs,
            progress=display,
        )
    _finish(evaluated, json=json)


@app.command()
def explain(
    asked: Annotated[str, typer.Argument(metavar="IMAGE_ID|FEEDBACK_ID", help="An image, or a feedback on it.")],
    out: Out = None,
    feedback: Feedback = None,
    reviews: Reviews = None,
    dataset: Dataset = None,
    store: Store = None,
    jobs: Jobs = None,
    json: Json = False,
) -> None:
    """Tell where every box of an image comes from and where it went, as a tree."""
    from radloop.pipelines import explaining

    chosen = settings.load(out=out, feedback=feedback, reviews=reviews, dataset=dataset, store=store, jobs=jobs)
    with Display() as display:
        explained = explaining.explain(
            asked,
            chosen.out,
            chosen.store_address,
            **_loop_options(chosen),
            rule=_rule(chosen),
            jobs=chosen.jobs,
            progress=display,
        )
    _finish(explained, json=json)


@app.command()
def check(
    place: Annotated[str, typer.Argument(metavar="DIR|STORE", help="A dataset's folder or a store (name:container).")],
    json: Json = False,
) -> None:
    """Say what the trainer would drop or refuse, and whether anything is missing, changed or leaking. Exit 1 if so."""
    from radloop.pipelines import checking

    with Display() as display:
        report = checking.check(place, jobs=settings.load().jobs, progress=display)
    _finish(report, json=json)
    if not report.sound:
        raise typer.Exit(FAILED)


@app.command()
def dashboard(
    out: Out = None,
    dataset: Dataset = None,
    feedback: Feedback = None,
    reviews: Reviews = None,
    retrain: Retrain = None,
    images: Images = None,
    log: Log = None,
    seed: Seed = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Show dataset, feedback and reviews in a browser, and review there. Any of the parts may be missing."""
    from radloop.dashboard import launch
    from radloop.dashboard.inputs import Inputs

    chosen = settings.load(
        out=out,
        dataset=dataset,
        feedback=feedback,
        reviews=reviews,
        retrain=retrain,
        images=images,
        log=log,
        seed=seed,
        host=host,
        port=port,
    )
    launch.serve(Inputs(**chosen.loop_parts, seed=chosen.seed), host=chosen.host, port=chosen.port)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of the demonstration.")] = Path("./radloop-demo"),
    images: Annotated[int, typer.Option("--images", min=6, help="Made-up patients.")] = 600,
    sizes: Annotated[str, typer.Option("--sizes", help="Images per split.")] = settings.DEMO_SIZES,
    seed: Seed = None,
    jobs: Jobs = None,
    json: Json = False,
) -> None:
    """The whole job on made-up data: no account, no server, no network."""
    from radloop.dataset.splits import SplitSizes
    from radloop.pipelines import demo as demonstration

    chosen = settings.load(seed=seed, jobs=jobs)
    with Display() as display:
        shown = demonstration.run(
            out, images=images, sizes=SplitSizes.parse(sizes), seed=chosen.seed, jobs=chosen.jobs, progress=display
        )
    _finish(shown, json=json)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"radloop {__version__}")
        raise typer.Exit


def _engine(chosen: settings.Settings) -> "AbstractContextManager[Engine]":
    from radloop import engines

    return engines.opened(chosen.engine, jobs=chosen.jobs, address=chosen.ray_address)


def _extract_options(chosen: settings.Settings) -> dict[str, Any]:
    from radloop.catalog.classes import declared

    return {
        "annotations": chosen.annotations,
        "boxes": chosen.boxes,
        "classes": declared(chosen.classes) if chosen.classes is not None else None,
        "seed": chosen.seed,
        "jobs": chosen.jobs,
    }


def _transform_options(chosen: settings.Settings) -> dict[str, Any]:
    from radloop.catalog import classes
    from radloop.dataset.splits import SplitSizes

    return {
        "labels": chosen.labels,
        "min_readers": chosen.min_readers,
        "no_finding": chosen.no_finding,
        "seed": chosen.seed,
        "sizes": SplitSizes.parse(chosen.sizes) if chosen.sizes else None,
        "previous": chosen.previous,
        "add": chosen.add,
        "wishes": classes.wishes(
            chosen.classes, chosen.map or (), keep=chosen.keep_classes or (), drop=chosen.drop_classes or ()
        ),
    }


def _model_wishes(chosen: settings.Settings) -> "names.Wishes":
    from radloop.catalog.classes import wishes
    from radloop.detectors import names

    return names.wishes(chosen.model_classes, wishes(None, chosen.map or ()).renamed)


def _loop_options(chosen: settings.Settings) -> dict[str, Path]:
    parts = chosen.loop_parts
    return {"feedback": parts["feedback"], "reviewed": parts["reviews"], "dataset": parts["dataset"]}


def _rule(chosen: settings.Settings) -> "Rule":
    from radloop.catalog.rule import Rule

    return Rule(
        min_confidence=chosen.min_confidence,
        require_review=chosen.require_review,
        include_held_out=chosen.include_held_out,
    )


def _finish(record: Any, *, json: bool, strict: bool = False) -> None:
    """Print what a pipeline returned; exit 3 where rows were refused and --strict was given."""
    from radloop import summaries

    if json:
        print_json(record)
    else:
        print_summary(summaries.of(record))
    if strict and summaries.refused_rows(record):
        raise typer.Exit(REFUSED_ROWS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error that radloop raises on purpose is one line on stderr."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="radloop")
    except UsageError as error:
        _stop(str(error), WRONG_USAGE)
    except RadloopError as error:
        _stop(str(error), FAILED)
    except OSError as error:
        _stop(f"{error.filename or 'the system'}: {error.strerror or error}.", FAILED)


def _stop(sentence: str, status: int) -> NoReturn:
    print(f"radloop: {sentence}", file=sys.stderr)  # noqa: T201  the one line
    sys.exit(status)


if __name__ == "__main__":
    main()
