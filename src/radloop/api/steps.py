"""The steps as functions: each takes the options of its command, and gives the record that the command prints.

Give a dataclass of `radloop.options`, keywords of the same names, or both: a keyword wins. Values are checked as those
of flags; a wrong one raises `radloop.errors.UsageError`. Settings stop at the command line: no `RADLOOP_` variable is
read here. `progress` is silent; True draws bars, or lines in a log; a function is called with
`(what, done, total, unit)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from radloop import options as of
from radloop.api import given

if TYPE_CHECKING:
    from os import PathLike

    from radloop.api.keywords import (
        EtlKeywords,
        EvaluateKeywords,
        ExportKeywords,
        ExtractKeywords,
        ForgetKeywords,
        ImportKeywords,
        IngestKeywords,
        LoadKeywords,
        PruneKeywords,
        PullKeywords,
        RetrainKeywords,
        ReviewKeywords,
        RollbackKeywords,
        SimulateKeywords,
        TransformKeywords,
        VersionsKeywords,
        WatchKeywords,
    )
    from radloop.pipelines.evaluating import Evaluation
    from radloop.pipelines.exporting import Exported
    from radloop.pipelines.forgetting import Forgot
    from radloop.pipelines.importing import Imported
    from radloop.pipelines.ingesting import Ingested
    from radloop.pipelines.offline import EtlPreview, Extracted, Loaded, Transformed
    from radloop.pipelines.online import Simulation
    from radloop.pipelines.promoting import Moved
    from radloop.pipelines.retraining import Retrained
    from radloop.pipelines.reviewing import Queued, Reviewed
    from radloop.pipelines.versioning import Listed, RolledBack
    from radloop.pipelines.watching import Watched
    from radloop.progress import Progress
    from radloop.storage.publish import Pruned, Published
    from radloop.storage.pull import Pulled
    from radloop.words import ExportFormat, ReviewFormat


@overload
def etl(options: of.Etl, /, *, progress: Progress | bool = ..., **told: Unpack[EtlKeywords]) -> Loaded | EtlPreview: ...
@overload
def etl(
    *,
    source: str | PathLike[str],
    dry_run: Literal[True],
    progress: Progress | bool = ...,
    **told: Unpack[EtlKeywords],
) -> EtlPreview: ...
@overload
def etl(
    *,
    source: str | PathLike[str],
    dry_run: Literal[False] = ...,
    progress: Progress | bool = ...,
    **told: Unpack[EtlKeywords],
) -> Loaded: ...
@overload
def etl(
    *,
    source: str | PathLike[str],
    dry_run: bool,
    progress: Progress | bool = ...,
    **told: Unpack[EtlKeywords],
) -> Loaded | EtlPreview: ...
@given.named(of.Etl)
def etl(options: of.Etl | None = None, /, *, progress: Progress | bool = False, **told: Any) -> Loaded | EtlPreview:
    """Build a dataset from a source and publish it: `extract`, `transform` and `load` in one.

    >>> done = radloop.etl(source="my-xrays", out="data")
    >>> done.transformed.images["training"], done.transformed.rows_refused
    (18, 0)
    >>> done.published.version == done.transformed.version
    True
    >>> radloop.etl(source="my-xrays", min_readers=99)
    Traceback (most recent call last):
    radloop.errors.UsageError: min_readers: '99' cannot be used: it has to be a whole number from 1 to 17.
    """
    from radloop.pipelines import offline

    with given.running(of.Etl, options, told, progress) as run:
        return offline.etl(run.options, engine=run.engine, progress=run.progress)


@overload
def extract(
    options: of.Extract, /, *, progress: Progress | bool = ..., **told: Unpack[ExtractKeywords]
) -> Extracted: ...
@overload
def extract(
    *, source: str | PathLike[str], progress: Progress | bool = ..., **told: Unpack[ExtractKeywords]
) -> Extracted: ...
@given.named(of.Extract)
def extract(options: of.Extract | None = None, /, *, progress: Progress | bool = False, **told: Any) -> Extracted:
    """Bring annotations and pictures to `out`/raw; a folder is read where it lies.

    >>> radloop.extract(source="my-xrays", out="data").images
    40
    """
    from radloop.pipelines import offline

    with given.running(of.Extract, options, told, progress) as run:
        return offline.extract(run.options, progress=run.progress)


@given.named(of.Transform)
def transform(
    options: of.Transform | None = None, /, *, progress: Progress | bool = False, **told: Unpack[TransformKeywords]
) -> Transformed:
    """Build the dataset `out`/organized from `out`/raw: validate, inspect the pictures, split, write.

    >>> foreseen = radloop.transform(out="data", labels="consensus", dry_run=True)
    >>> foreseen.labels, foreseen.written
    (40, False)
    """
    from radloop.pipelines import offline

    with given.running(of.Transform, options, told, progress) as run:
        return offline.transform(run.options, engine=run.engine, progress=run.progress)


@given.named(of.Load)
def load(
    options: of.Load | None = None, /, *, progress: Progress | bool = False, **told: Unpack[LoadKeywords]
) -> Published:
    """Publish `out`/organized to a store, a folder or a remote of rclone, and verify it there.

    >>> radloop.load(out="data", store="data/store").sent_files
    0
    """
    from radloop.pipelines import offline

    with given.running(of.Load, options, told, progress) as run:
        return offline.load(run.options, engine=run.engine, progress=run.progress)


@given.named(of.Pull)
def pull(
    options: of.Pull | None = None, /, *, progress: Progress | bool = False, **told: Unpack[PullKeywords]
) -> Pulled:
    """Bring a published dataset back to `out`/organized, verified; distinct bytes travel once.

    >>> radloop.pull(store="data/store", out="pulled", splits=["training", "validation"]).notes
    ('only training, validation: this folder cannot be published again',)
    """
    from radloop.pipelines import offline

    with given.running(of.Pull, options, told, progress) as run:
        return offline.pull(run.options, progress=run.progress)


@given.named(of.Versions)
def versions(
    options: of.Versions | None = None, /, *, progress: Progress | bool = False, **told: Unpack[VersionsKeywords]
) -> Listed:
    """List the versions that a store has published; with `compare` also how two differ.

    >>> listed = radloop.versions(store="data/store")
    >>> listed.history["version"].to_list() == [listed.current], listed.history["images"].to_list()
    (True, [40])
    """
    from radloop.pipelines import versioning

    with given.running(of.Versions, options, told, progress) as run:
        return versioning.versions(run.options)


@given.named(of.Rollback)
def rollback(
    options: of.Rollback | None = None, /, *, progress: Progress | bool = False, **told: Unpack[RollbackKeywords]
) -> RolledBack | Moved:
    """Make an earlier version the current one again, in the store and in `out`; or with `model` an earlier model.

    >>> current = radloop.versions(store="data/store").current
    >>> radloop.rollback(data=current, out="data", dry_run=True).version == current
    True
    """
    from radloop.pipelines import promoting, versioning

    with given.running(of.Rollback, options, told, progress) as run:
        if run.options.model is not None:
            return promoting.rollback(run.options, progress=run.progress)
        return versioning.rollback(run.options, progress=run.progress)


@given.named(of.Prune)
def prune(
    options: of.Prune | None = None, /, *, progress: Progress | bool = False, **told: Unpack[PruneKeywords]
) -> Pruned:
    """Keep only the newest versions in a store, the current one in any case.

    >>> radloop.prune(keep=5, store="data/store", dry_run=True).pruned
    ()
    """
    from radloop.pipelines import versioning

    with given.running(of.Prune, options, told, progress) as run:
        return versioning.prune(run.options, progress=run.progress)


@given.named(of.Simulate)
def simulate(
    options: of.Simulate | None = None, /, *, progress: Progress | bool = False, **told: Unpack[SimulateKeywords]
) -> Simulation:
    """Play a hospital: show the store's pictures to a detector under a staged load, and keep its feedback.

    >>> run = radloop.simulate(out="data", detector="oracle:0.1", load_pattern="1,1", stage_seconds=0.2)
    >>> run.ran, run.errors
    (True, {})
    """
    from radloop.pipelines import online

    with given.running(of.Simulate, options, told, progress) as run:
        return online.simulate(run.options, engine=run.engine, progress=run.progress)


@overload
def review(*, queue: Literal[True], progress: Progress | bool = ..., **told: Unpack[ReviewKeywords]) -> Queued: ...
@overload
def review(
    *, simulated: Literal[True], progress: Progress | bool = ..., **told: Unpack[ReviewKeywords]
) -> Reviewed: ...
@overload
def review(
    options: of.Review, /, *, progress: Progress | bool = ..., **told: Unpack[ReviewKeywords]
) -> Queued | Reviewed: ...
@given.named(of.Review)
def review(options: of.Review | None = None, /, *, progress: Progress | bool = False, **told: Any) -> Queued | Reviewed:
    """Order the feedback by what deserves a radiologist's look (`queue`), or let simulated ones review it.

    >>> radloop.review(out="data", queue=True).queue.columns[:4]
    ['place', 'feedback_id', 'image_id', 'kind']
    """
    from radloop.pipelines import reviewing

    with given.running(of.Review, options, told, progress) as run:
        return reviewing.review(run.options, progress=run.progress)


@given.named(of.Ingest)
def ingest(
    options: of.Ingest | None = None, /, *, progress: Progress | bool = False, **told: Unpack[IngestKeywords]
) -> Ingested:
    """Take in pictures that nobody has labelled yet, and publish them to the store's organized/incoming.

    >>> done = radloop.ingest(from_="my-xrays/train", out="data", audit_share=0.2)
    >>> done.new, done.known + done.refused.height  # they are the dataset's own; some wait, as if with text in them
    (0, 40)
    """
    from radloop.pipelines import ingesting

    with given.running(of.Ingest, options, told, progress) as run:
        return ingesting.ingest(run.options, progress=run.progress)


@given.named(of.Watch)
def watch(
    options: of.Watch | None = None, /, *, progress: Progress | bool = False, **told: Unpack[WatchKeywords]
) -> Watched:
    """Watch a PACS: new studies become pictures, feedback and a report in the study. With `once` it ends.

    done = radloop.watch(pacs="dicomweb:http://127.0.0.1:8042/dicom-web", detector="onnx:best.onnx", once=True)
    """
    from radloop.pipelines import watching

    with given.running(of.Watch, options, told, progress) as run:
        return watching.watch(run.options, progress=run.progress)


@given.named(of.Retrain)
def retrain(
    options: of.Retrain | None = None, /, *, progress: Progress | bool = False, **told: Unpack[RetrainKeywords]
) -> Retrained:
    """Turn feedback and reviews into re-training data, and publish them to the store's organized/retrain.

    >>> done = radloop.retrain(out="data")
    >>> done.folder, done.done
    (PosixPath('data/organized/retrain'), True)
    """
    from radloop.pipelines import retraining

    with given.running(of.Retrain, options, told, progress) as run:
        return retraining.retrain(run.options, progress=run.progress)


@given.named(of.Evaluate)
def evaluate(
    options: of.Evaluate | None = None, /, *, progress: Progress | bool = False, **told: Unpack[EvaluateKeywords]
) -> Evaluation:
    """Judge the detectors on images whose truth is known.

    >>> radloop.evaluate(out="data").version == radloop.open("data").version
    True
    """
    from radloop.pipelines import evaluating

    with given.running(of.Evaluate, options, told, progress) as run:
        return evaluating.evaluate(run.options, progress=run.progress)


@overload
def export(options: of.Export, /, *, progress: Progress | bool = ..., **told: Unpack[ExportKeywords]) -> Exported: ...
@overload
def export(*, format: ExportFormat, progress: Progress | bool = ..., **told: Unpack[ExportKeywords]) -> Exported: ...
@given.named(of.Export)
def export(options: of.Export | None = None, /, *, progress: Progress | bool = False, **told: Any) -> Exported:
    """Write the dataset in the format of another tool, to `out`/export.

    >>> done = radloop.export(format="coco", out="data", splits=["test"], labels="consensus")
    >>> done.folder, done.images
    (PosixPath('data/export/coco'), {'test': 6})
    """
    from radloop.pipelines import exporting

    with given.running(of.Export, options, told, progress) as run:
        return exporting.export(run.options, progress=run.progress)


@overload
def import_reviews(
    options: of.Import, /, *, progress: Progress | bool = ..., **told: Unpack[ImportKeywords]
) -> Imported: ...
@overload
def import_reviews(
    *,
    file: str | PathLike[str],
    format: ReviewFormat,
    progress: Progress | bool = ...,
    **told: Unpack[ImportKeywords],
) -> Imported: ...
@given.named(of.Import)
def import_reviews(options: of.Import | None = None, /, *, progress: Progress | bool = False, **told: Any) -> Imported:
    """Bring what people drew in another tool back as reviews: what `radloop import` does.

    >>> done = radloop.import_reviews(file="from-label-studio.json", format="label-studio", out="data")
    >>> done.written == done.readings, done.refused.height
    (True, 0)
    """
    from radloop.pipelines import importing

    with given.running(of.Import, options, told, progress) as run:
        return importing.import_reviews(run.options, progress=run.progress)


@overload
def forget(options: of.Forget, /, *, progress: Progress | bool = ..., **told: Unpack[ForgetKeywords]) -> Forgot: ...
@overload
def forget(*, asked: str, progress: Progress | bool = ..., **told: Unpack[ForgetKeywords]) -> Forgot: ...
@given.named(of.Forget)
def forget(options: of.Forget | None = None, /, *, progress: Progress | bool = False, **told: Any) -> Forgot:
    """Take an image, or all of a person, away from `out` and the store; a tombstone stays.

    >>> one = radloop.open("data").images["image_id"][0]
    >>> foreseen = radloop.forget(asked=one, out="data", reason="consent withdrawn", dry_run=True)
    >>> foreseen.images, foreseen.done
    (1, False)
    """
    from radloop.pipelines import forgetting

    with given.running(of.Forget, options, told, progress) as run:
        return forgetting.forget(run.options, progress=run.progress)
