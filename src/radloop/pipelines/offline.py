"""Raw data -> a verified, leak-free YOLO dataset in a store: extract, transform, load."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from radloop import files, manifest, similarity, storage, tree
from radloop.catalog import classes, version
from radloop.catalog.classes import Resolved, Wishes
from radloop.catalog.version import Difference
from radloop.dataset import additions, findings, pictures, plan, proof, splits, yolo
from radloop.dataset.findings import Validated
from radloop.dataset.plan import Account, Labelling, Plan
from radloop.dataset.splits import SplitSizes
from radloop.engines import HERE, Engine
from radloop.errors import DatasetError, SourceError
from radloop.progress import Progress, silent
from radloop.sources import folder, kaggle, raw, synthetic
from radloop.sources.raw import Boxes, RawData
from radloop.storage import layout, publish
from radloop.storage.publish import Published
from radloop.storage.pull import Pulled
from radloop.tables import SPLITS, Split
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
    rows_in: int
    rows_out: int
    rows_refused: int
    refused: pl.DataFrame  # code, rows, example (a sentence); the most frequent first
    lost_readings: int  # readings that kept no row: no label was written for them
    unlabelled_pictures: int  # pictures without any row: never normal
    worst: Mapping[str, Any]  # the class (class_name, too) and split furthest from their share, from splits.json
    difference: Difference | None  # from the version that --previous names
    written: bool  # False where this very version was there already, and with --dry-run
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """All three steps of one run."""

    extracted: Extracted
    transformed: Transformed
    published: Published


def etl(
    source: str,
    out: Path,
    store: str,
    *,
    extracting: Mapping[str, Any],
    transforming: Mapping[str, Any],
    keep_old: bool = False,
    engine: Engine = HERE,
    progress: Progress = silent,
) -> Loaded:
    """Extract, transform, load. The store is asked first: a wrong password costs seconds then, not an hour."""
    with closing(storage.open_store(store)) as target:
        target.preflight()
    return Loaded(
        extract(source, out, **extracting, progress=progress),
        transform(out, **transforming, engine=engine, progress=progress),
        load(out, store, keep_old=keep_old, engine=engine, progress=progress),
    )


def extract(
    source: str,
    out: Path,
    *,
    annotations: Path | None = None,
    boxes: Boxes = "auto",
    classes: Taxonomy | None = None,
    annotations_only: bool = False,
    seed: int = 0,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Extracted:
    """Bring annotations and pictures to OUT/raw. A folder is not copied: it is read where it lies.

    `classes` are those of a synthetic source; other sources have their own.
    """
    if dry_run:
        _preflight(source, annotations, boxes)
        return Extracted(source, None, None, None, None)
    with files.locked(out):
        data: RawData
        if source == "kaggle":
            data = kaggle.download(out / "raw", annotations=annotations, boxes=boxes, progress=progress)
        elif source.startswith("synthetic:"):
            data = synthetic.generate(
                out / "raw",
                synthetic.parse_count(source),
                seed=seed,
                jobs=jobs,
                classes=classes,
                annotations_only=annotations_only,
                progress=progress,
            )
        else:
            data = folder.find(Path(source), annotations=annotations, boxes=boxes)
        rows, _ = raw.read_annotations(data.annotations)
        raw.write(data, out)
        return Extracted(data.name, data.annotations, data.pictures, len(rows), rows["image_id"].n_unique())


def transform(
    out: Path,
    *,
    labels: Literal["per-reader", "consensus"] = "per-reader",
    min_readers: int = 1,
    no_finding: Literal["background", "class"] = "background",
    seed: int = 0,
    sizes: SplitSizes | None = None,
    previous: str | None = None,
    add: Path | None = None,
    wishes: Wishes | None = None,
    engine: Engine = HERE,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Transformed:
    """Build one version of the dataset in OUT/organized from what `extract` left in OUT/raw.

    Raises what the steps raise; nothing of a dataset is left where one of them does.
    """
    labelling, wishes, wanted = Labelling(labels, min_readers, no_finding), wishes or Wishes(), sizes or SplitSizes()
    with files.locked(out):
        data = raw.read(out)
        folder_of_pictures = _require_pictures(data)
        earlier, before = _earlier(previous)
        cache = None if dry_run else out / "cache" / "pictures.parquet"

        found = pictures.find(folder_of_pictures)
        rows = _rows(data, found, wishes, earlier, add)
        labelled = found.join(rows.valid.findings, on="image_id", how="semi")
        inspected = pictures.inspect(folder_of_pictures, labelled, engine=engine, cache=cache, progress=progress)
        valid = _require_any(findings.require_pictures(rows.valid, inspected))

        thumbnails = partial(pictures.thumbnails, folder_of_pictures, inspected, engine=engine, cache=cache)
        duplicates = similarity.near_duplicates(inspected, thumbnails)
        grouping = splits.group(valid.findings["image_id"], patients=valid.patients, duplicates=duplicates)
        assignment = splits.assign(
            valid.findings, grouping.groups, wanted, rows.taxonomy, seed=seed, previous=before, move=rows.moved
        )
        proven = proof.of(valid.findings, assignment, wanted, rows.taxonomy, seed=seed, previous=before)
        asked_for = _settings(labelling, wishes, wanted, seed, valid)
        account = Account(data.name, asked_for, proven, valid.rejected, valid.lost)
        built = plan.build(valid.findings, inspected, assignment, rows.taxonomy, labelling, account)

        organized = out / manifest.UNIT
        return Transformed(
            organized=organized,
            version=built.version,
            images={split: int((assignment["split"] == split).sum()) for split in SPLITS},
            labels=built.labels.height,
            rows_in=rows.number,
            rows_out=valid.findings.height,
            rows_refused=valid.rejected.height,
            refused=_by_code(valid.rejected),
            lost_readings=valid.lost.height,
            unlabelled_pictures=found.join(valid.findings, on="image_id", how="anti").height,
            worst=proven["worst"] | {"class_name": rows.taxonomy.name(proven["worst"]["class_id"])},
            difference=_difference(earlier, built, rows.taxonomy),
            written=not dry_run and yolo.write(built, organized, pictures=folder_of_pictures, progress=progress),
            notes=(*rows.notes, *valid.notes, *grouping.warnings),
        )


def load(
    out: Path,
    address: str,
    *,
    keep_old: bool = False,
    engine: Engine = HERE,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Published:
    """Publish OUT/organized to STORE/organized and verify it there."""
    with files.locked(out), closing(storage.open_store(address, engine=engine)) as store:
        return publish.publish(manifest.unit_root(out), store, keep_old=keep_old, dry_run=dry_run, progress=progress)


def pull(address: str, out: Path, *, wanted: Sequence[Split] | None = None, progress: Progress = silent) -> Pulled:
    """Bring a published dataset back to OUT/organized: distinct bytes once, links for the rest, verified."""
    with files.locked(out), closing(storage.open_store(address)) as store:
        prefix = layout.resolve_prefix(store)
        return storage.pull.pull(store, out / manifest.UNIT, prefix=prefix, splits=wanted, progress=progress)


def _preflight(source: str, annotations: Path | None, boxes: Boxes) -> None:
    """Raise now what would make an extract fail: no credentials, no folder, no number."""
    if source == "kaggle":
        kaggle.preflight(anonymous=annotations is not None)
    elif source.startswith("synthetic:"):
        synthetic.parse_count(source)
    else:
        folder.find(Path(source), annotations=annotations, boxes=boxes)


def _require_pictures(data: RawData) -> Path:
    if data.pictures is None:
        raise SourceError(f"{data.name} was extracted without pictures. Run `radloop extract` with them.")
    return data.pictures


def _sizes(data: RawData, rows: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame | None:
    """The frame of each image for where its rows do not say: train_meta.csv, else the pictures' headers.

    Headers never fill the gaps of columns or of train_meta.csv: they are of the stretched pictures, and a small box in
    original pixels would pass with the wrong scale.
    """
    if data.sizes:
        return raw.read_sizes(data.sizes)
    if {"width", "height"} <= set(rows.columns):
        return None
    return pictures.read_headers(_require_pictures(data), found)


@dataclass(frozen=True)
class _Earlier:
    """The version that the next one continues."""

    taxonomy: Taxonomy
    annotations: pl.DataFrame  # ANNOTATIONS

    @property
    def assignment(self) -> pl.DataFrame:
        return self.annotations.select("image_id", "group", "split").unique().sort("image_id")


@dataclass(frozen=True)
class _Rows:
    """All rows of a run, the added ones too, with the classes that they speak of."""

    valid: Validated
    taxonomy: Taxonomy
    number: int  # rows in
    moved: frozenset[str]  # images that have to be in training now
    notes: tuple[str, ...]


def _rows(data: RawData, found: pl.DataFrame, wishes: Wishes, earlier: _Earlier | None, add: Path | None) -> _Rows:
    """The rows of the source and, where there is one, of the retrain.csv to add, validated."""
    rows, ragged = raw.read_annotations(data.annotations)
    resolved = classes.resolve(rows, wishes, previous=earlier.taxonomy if earlier else None, own=data.classes)
    valid = findings.validate(
        rows, resolved, sizes=_sizes(data, rows, found), boxes=data.boxes, source=data.name, name=data.annotations.name
    )
    valid = replace(valid, rejected=pl.concat([ragged, valid.rejected]))
    number, moved = _number(valid), frozenset[str]()
    if add:
        added = _retraining(add, resolved, wishes)
        number += _number(added)
        valid, moved = additions.merge(valid, added, earlier.assignment if earlier else None)
    return _Rows(valid, resolved.taxonomy, number, moved, resolved.notes)


def _retraining(add: Path, resolved: Resolved, wishes: Wishes) -> Validated:
    """The rows of a retrain.csv, boxes in 1024×1024 pixels; what is refused names that file."""
    rows, ragged = raw.read_annotations(add, source=additions.SOURCE)
    meant = classes.of_taxonomy(rows, resolved.taxonomy, renamed=wishes.renamed, left_out=resolved.left_out)
    valid = findings.validate(rows, meant, sizes=None, boxes="scaled", source=additions.SOURCE, name=add.name)
    return replace(valid, rejected=pl.concat([ragged, valid.rejected]))


def _earlier(address: str | None) -> tuple[_Earlier | None, pl.DataFrame | None]:
    """An earlier version in a folder or a store, and its ASSIGNMENT; None where none is named."""
    if not address:
        return None, None
    with closing(storage.open_store(address)) as store:
        prefix = layout.resolve_prefix(store)
        known = version.published(lambda key: store.get(layout.key_in(prefix, key)), name=address)
    if known is None:
        raise DatasetError(f"--previous {address} holds no {tree.ANNOTATIONS}: it was not written by radloop.")
    earlier = _Earlier(*known)
    return earlier, earlier.assignment


def _settings(labelling: Labelling, wishes: Wishes, wanted: SplitSizes, seed: int, valid: Validated) -> dict[str, Any]:
    """What the run was asked for, as summary.json holds it."""
    return {
        "labels": labelling.labels,
        "min_readers": labelling.min_readers,
        "no_finding": labelling.no_finding,
        "seed": seed,
        "sizes": asdict(wanted),
        "boxes": valid.frame,
        "map": dict(wishes.renamed),
        "keep_classes": list(wishes.kept),
        "drop_classes": list(wishes.dropped),
    }


def _difference(earlier: _Earlier | None, built: Plan, taxonomy: Taxonomy) -> Difference | None:
    if earlier is None:
        return None
    after = version.decode(built.documents[tree.ANNOTATIONS], taxonomy, name=tree.ANNOTATIONS)
    return version.compare(earlier.annotations, after)


def _number(valid: Validated) -> int:
    return valid.findings.height + valid.rejected.height


def _require_any(valid: Validated) -> Validated:
    """The same; raise SourceError with the most frequent reasons where no row has passed."""
    if valid.findings.is_empty():
        most = _by_code(valid.rejected).head(3)
        reasons = ", ".join(f"{rows}x {example}" for _, rows, example in most.iter_rows())
        raise SourceError(f"None of {_number(valid)} rows can be used: {reasons or 'the table is empty'}.")
    return valid


def _by_code(rejected: pl.DataFrame) -> pl.DataFrame:
    """How many rows were refused for each kind of reason, with the sentence of one."""
    kinds = rejected.group_by("code").agg(rows=pl.len(), example=pl.col("reason").min())
    return kinds.sort("rows", "code", descending=[True, False])
