"""Raw data -> a verified, leak-free YOLO dataset in a store: extract, transform, load."""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from radloop import files, manifest, similarity, sources, spreadsheets, storage, tree
from radloop.catalog import classes, version
from radloop.catalog.classes import Wishes
from radloop.catalog.version import Difference, Earlier
from radloop.dataset import kept_splits, pictures, plan, portions, proof, refusal, splits, yolo
from radloop.dataset.findings import Validated
from radloop.dataset.plan import Plan
from radloop.engines import HERE, Engine
from radloop.errors import DatasetError, SourceError, StoreError, UsageError
from radloop.options import Etl, Extract, Load, Pull, Transform
from radloop.pipelines import deeds, versioning
from radloop.pipelines.versions import accounting, continuing, gathering, joining, refusing
from radloop.pipelines.versions.continuing import Continued
from radloop.pipelines.versions.gathering import Gathered
from radloop.pipelines.versions.joining import Joining
from radloop.progress import Progress, silent
from radloop.sources import Source, Wanted, formats, raw
from radloop.sources.raw import RawData
from radloop.split_sizes import SplitSizes
from radloop.storage import Store, layout, publish, shrinking
from radloop.storage.keeping import Keep
from radloop.storage.publish import Published
from radloop.storage.pull import Pulled
from radloop.storage.shrinking import Size
from radloop.tables import SPLITS
from radloop.taxonomy import Taxonomy


@dataclass(frozen=True)
class Extracted:
    """What `extract` found or made."""

    name: str
    annotations: Path | None
    pictures: Path | None
    rows: int | None  # None with --dry-run
    images: int | None


@dataclass(frozen=True)
class Transformed:
    """One dataset version on disk, and what became of every row and picture."""

    organized: Path
    version: str
    images: Mapping[str, int]  # by split
    labels: int
    judged: int  # of the labels: consensus of all but training, beside the readers' labels
    rows_in: int
    rows_out: int
    rows_refused: int
    refused: pl.DataFrame  # code, rows, example (a sentence); the most frequent first
    lost_readings: int  # readings that kept no row: no label was written for them
    unlabelled_pictures: int  # pictures without any row: never normal
    worst: Mapping[str, Any]  # the class (class_name, too) and split furthest from their share, from splits.json
    continues: str  # which version, and where that stands
    difference: Difference | None  # from that version
    written: bool  # False where this very version was there already, and with --dry-run
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """All three steps of one run."""

    extracted: Extracted
    transformed: Transformed
    published: Published


@dataclass(frozen=True)
class EtlPreview:
    """What `etl` would do."""

    extracted: Extracted
    transformed: Transformed | None  # None where the source has to be downloaded or drawn first
    store: str
    held: str | None  # the version that the store holds now
    notes: tuple[str, ...]


def etl(options: Etl, *, engine: Engine = HERE, progress: Progress = silent) -> Loaded | EtlPreview:
    """Extract, transform, load; with --dry-run what would come of it."""
    return (foresee if options.dry_run else run)(options, engine=engine, progress=progress)


def run(options: Etl, *, engine: Engine = HERE, progress: Progress = silent) -> Loaded:
    """Extract, transform, load. The store is asked first: a wrong password costs seconds then, not an hour."""
    with closing(storage.open_store(options.store_address)) as store:
        store.rehearse()
        held = None if options.allow_shrink else _size_held(store)
    _foresee(options)
    return Loaded(
        _extracted(options, progress),
        transform(options, held=held, engine=engine, progress=progress),
        load(options, engine=engine, progress=progress),
    )


def foresee(options: Etl, *, engine: Engine = HERE, progress: Progress = silent) -> EtlPreview:
    """What `etl` would do, as far as the source and the store tell without a download. Nothing is written."""
    options = replace(options, dry_run=True)
    with closing(storage.open_store(options.store_address)) as store:
        store.preflight()
        held, notes = _held(store)
        size = None if options.allow_shrink else _size_held(store)
    extracted, transformed = _extracted(options, progress), None
    data = _foresee(options)
    if data is not None:
        transformed = transform(options, data=data, held=size, engine=engine, progress=progress)
    else:
        notes += (f"the dataset cannot be foreseen before {options.source} is extracted",)
    return EtlPreview(extracted, transformed, options.store_address, held, notes)


def extract(options: Extract, *, progress: Progress = silent) -> Extracted:
    """Bring annotations and pictures to OUT/raw. A folder is not copied: it is read where it lies.

    The store, which nothing is written to yet, is asked first: hours of download are for nothing where it refuses.
    """
    with closing(storage.open_store(options.store_address)) as store:
        store.preflight() if options.dry_run else store.rehearse()
    return _extracted(options, progress)


def _extracted(options: Extract, progress: Progress) -> Extracted:
    source = _source(options)
    if options.dry_run:
        source.foresee()
        return Extracted(options.source, None, None, None, None)
    with files.locked(options.out):
        data = source.extract(options.out / "raw", progress=progress)
        rows = formats.read(data).rows
        raw.write(data, options.out)
        return Extracted(data.name, data.annotations, data.pictures, len(rows), rows["image_id"].n_unique())


def transform(
    options: Transform,
    *,
    data: RawData | None = None,
    held: Size | None = None,
    engine: Engine = HERE,
    progress: Progress = silent,
) -> Transformed:
    """Build one version of the dataset in OUT/organized from what `extract` left in OUT/raw, or from `data`.

    Raises what the steps raise, and StoreError where it has over a tenth less than what the store has (`held`); nothing
    of a dataset is left where one of them does.
    """
    labelling, wishes, writing = accounting.labelling(options), _wishes(options), not options.dry_run
    locked = files.locked(options.out, writing=writing, durable=options.durable)
    with locked, refusing.kept_beside(options), joining.opened(options) as incoming:
        data = data or raw.read(options.out)
        origin = _require_pictures(data)
        continued = _continued(options, data.recipe)
        organized, cache = options.out / manifest.UNIT, options.out / "cache" / "pictures.parquet" if writing else None
        gathered = gathering.gather(data, pictures.find(origin), wishes, continued, options, incoming)
        labelled = gathered.found.join(gathered.valid.findings, on="image_id", how="semi")
        inspected = pictures.inspect(origin, labelled, engine=engine, cache=cache, progress=progress)
        some = partial(pictures.thumbnails, origin, engine=engine, cache=cache)
        inspected = incoming.checked(pictures.require_upright(inspected), partial(some, inspected))
        gathered, inspected = gathering.without_forgotten(gathered, inspected, continued.stones)
        valid = refusing.with_pictures(options, gathered.valid, inspected, name=data.title).without_origins
        gathered = replace(gathered, valid=valid)  # nothing else is kept of the rows

        thumbnails = pictures.Thumbnails(inspected, some)
        duplicates = similarity.near_duplicates(inspected, thumbnails, engine=engine)
        patients = pl.concat([valid.patients, incoming.patients])
        grouping = splits.group(valid.findings["image_id"], patients=patients, duplicates=duplicates)
        recognized = continuing.recognize(continued, inspected, thumbnails, incoming.remembered)
        links = [grouping.groups, *continuing.links(continued, recognized, patients), incoming.groups]
        assignment = _assigned(options, valid.findings, links, gathered, incoming.assignment(continued))
        proven = _proven(options, valid, assignment, gathered.taxonomy, continued, incoming, inspected)
        ancestry = continuing.ancestry(continued, inspected, assignment, patients, proven, thumbnails)
        account = accounting.account(data, options, wishes, valid, proven, ancestry, incoming.table)
        built = plan.build(valid.findings, inspected, assignment, gathered.taxonomy, labelling, account)
        _refuse_shrunken(built, held, options.store_address)
        written = writing and yolo.write(built, organized, pictures=origin, progress=progress, durable=options.durable)
        return Transformed(
            organized=organized,
            version=built.version,
            images={split: int((assignment["split"] == split).sum()) for split in SPLITS},
            labels=portions.height(built.labels),
            judged=portions.height(built.labels.filter(pl.col("rad_id").is_null())) if labelling.judged_apart else 0,
            rows_in=gathered.number,
            rows_out=valid.findings.height,
            rows_refused=valid.rejected.height,
            refused=refusal.by_code(valid.rejected),
            lost_readings=valid.lost.height,
            unlabelled_pictures=gathered.found.join(valid.findings, on="image_id", how="anti").height,
            worst=proven["worst"] | {"class_name": gathered.taxonomy.name(proven["worst"]["class_id"])},
            continues=continued.described,
            difference=_difference(continued.earlier, built, gathered.taxonomy),
            written=written,
            notes=(*gathered.notes, *_notes(valid, gathered), *grouping.warnings, *continuing.said(recognized)),
        )


def _notes(valid: Validated, gathered: Gathered) -> tuple[str, ...]:
    """What is to be said of the rows."""
    ids = (valid.findings[name] for name in ("image_id", "rad_id"))
    return (*valid.notes, *spreadsheets.warning(tree.BOXES, *ids, pl.Series(gathered.taxonomy.names)))


def load(
    options: Load, *, engine: Engine = HERE, now: datetime | None = None, progress: Progress = silent
) -> Published:
    """Publish OUT/organized to STORE/organized and verify it there; the store keeps what versions were before."""
    root = manifest.unit_root(options.out)
    with (
        files.locked(options.out, writing=not options.dry_run, durable=options.durable),
        closing(storage.open_store(options.store_address, engine=engine, durable=options.durable)) as store,
        deeds.deed(
            options.out,
            "load",
            manifest.UNIT,
            current=deeds.published(store),
            new=deeds.version_of(root)(),
            writing=not options.dry_run,
            durable=options.durable,
        ) as deed,
    ):
        done = publish.publish(
            root,
            store,
            keep_old=options.keep_old,
            allow_shrink=options.allow_shrink,
            versions=Keep(now or datetime.now(UTC), options.keep_versions),
            dry_run=options.dry_run,
            progress=progress,
        )
        deed.old = done.previous_version
        if not options.dry_run:
            versioning.note(store, manifest.UNIT, root, durable=options.durable)
        return done


def pull(options: Pull, *, progress: Progress = silent) -> Pulled:
    """Bring a published dataset back to OUT/organized: distinct bytes once, links for the rest, verified."""
    into = options.out / manifest.UNIT
    writing = not options.dry_run
    with files.locked(options.out, writing=writing), closing(storage.open_store(options.store_address)) as store:
        prefix = layout.resolve_prefix(store)
        if not storage.is_remote(store.address) and (Path(store.address) / prefix).resolve() == into.resolve():
            raise UsageError(f"{into} is what the store {store.address} holds: it is here already. Give another --out.")
        done = storage.pull.pull_parts(
            store,
            into,
            prefix=prefix,
            parts=options.splits,
            version=options.version,
            dry_run=options.dry_run,
            progress=progress,
        )
        if writing:
            versioning.note(store, prefix, into)
        return done


def _foresee(options: Etl) -> RawData | None:
    """The source's data, where they lie on this machine already; what would fail after long work fails now."""
    source = _source(options)
    data = source.foresee()
    accounting.labelling(options)
    _wishes(options)
    if source.recipe is not None:
        _continued(options, source.recipe)
    return data


def _held(store: Store) -> tuple[str | None, tuple[str, ...]]:
    """The version in the store, and what is to be said where it cannot be told."""
    try:
        table = layout.read_manifest(store)
    except (DatasetError, StoreError) as trouble:
        return None, (str(trouble),)
    return None if table is None else manifest.version(table), ()


def _size_held(store: Store) -> Size | None:
    """How much the version in the store holds; None where there is none, or it cannot be told (`load` says so)."""
    with suppress(DatasetError, StoreError):
        table = layout.read_manifest(store)
        return None if table is None else shrinking.held(store, table)
    return None


def _wishes(options: Transform) -> Wishes:
    return classes.wishes(options.classes, options.map, keep=options.keep_classes, drop=options.drop_classes)


def _source(options: Extract) -> Source:
    return sources.named(
        Wanted(
            options.source,
            annotations=options.annotations,
            format=options.format,
            boxes=options.boxes,
            classes=None if options.classes is None else classes.declared(options.classes),
            seed=options.seed,
            jobs=options.jobs,
            annotations_only=options.annotations_only,
            recipe=options.recipe,
            frontal_only=options.frontal_only,
        )
    )


def _require_pictures(data: RawData) -> Path:
    if data.pictures is None:
        raise SourceError(f"{data.name} was extracted without pictures. Run `radloop extract` with them.")
    return data.pictures


def _continued(options: Transform, recipe: str | None) -> Continued:
    """The version to continue. Raises SplitError where its pictures were made otherwise."""
    found = continuing.find(options.out, options.store_address, previous=options.previous, fresh=options.fresh)
    continuing.require_recipe(found, recipe)
    return found


def _assigned(
    options: Transform,
    found: pl.DataFrame,
    links: Sequence[pl.DataFrame],
    gathered: Gathered,
    previous: pl.DataFrame | None,
) -> pl.DataFrame:
    """ASSIGNMENT of all images. Raises SplitError where no trainer would take it."""
    if gathered.kept_splits is not None:
        kept = gathered.kept_splits.join(found, on="image_id", how="semi")
        previous = kept_splits.settle(kept, links, previous)
    assignment = splits.assign(
        found,
        links[0],
        options.sizes,
        gathered.taxonomy,
        seed=options.seed,
        previous=previous,
        links=links[1:],
        move=gathered.moved,
    )
    splits.require_trainable(assignment, kept=options.keep_splits)
    return assignment


def _wanted(options: Transform, assignment: pl.DataFrame) -> SplitSizes:
    """The sizes that were asked for: with --keep-splits those that the source has."""
    counts = dict(assignment.group_by("split").len().iter_rows())
    return SplitSizes(*(counts.get(split, 0) for split in SPLITS)) if options.keep_splits else options.sizes


def _refuse_shrunken(built: Plan, held: Size | None, address: str) -> None:
    if held:
        counted = built.manifest.select("kind", "image_id").collect()
        shrinking.refuse(shrinking.size(counted, built.documents[tree.SUMMARY]), held, address=address)


def _proven(
    options: Transform,
    valid: Validated,
    assignment: pl.DataFrame,
    taxonomy: Taxonomy,
    continued: Continued,
    incoming: Joining,
    inspected: pl.DataFrame,
) -> dict[str, Any]:
    told = proof.of(
        valid.findings,
        assignment,
        _wanted(options, assignment),
        taxonomy,
        seed=options.seed,
        previous=incoming.before(continued),
        before=continued.proof,
    )
    return told | similarity.recorded(inspected)


def _difference(earlier: Earlier | None, built: Plan, taxonomy: Taxonomy) -> Difference | None:
    if earlier is None:
        return None
    after = version.decode(built.documents[tree.ANNOTATIONS], taxonomy, name=tree.ANNOTATIONS)
    return version.compare(earlier.annotations, after)
