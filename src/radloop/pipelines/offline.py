"""Raw data -> a verified, leak-free YOLO dataset in a store: extract, transform, load."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from radloop import files, manifest, similarity, storage
from radloop.dataset import additions, findings, pictures, plan, splits, version, yolo
from radloop.dataset.findings import Validated
from radloop.dataset.plan import Plan
from radloop.dataset.splits import SplitSizes
from radloop.dataset.version import Difference
from radloop.engines import HERE, Engine
from radloop.errors import DatasetError, SourceError
from radloop.progress import Progress, silent
from radloop.sources import folder, kaggle, raw, synthetic
from radloop.sources.raw import Boxes, RawData
from radloop.storage import layout, publish
from radloop.storage.publish import Published
from radloop.storage.pull import Pulled
from radloop.tables import SPLITS, Split


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
    refused: pl.DataFrame  # reason, rows; the most frequent first
    lost_readings: int  # readings that kept no row: no label was written for them
    unlabelled_pictures: int  # pictures without any row: never normal
    worst: Mapping[str, Any]  # the class and split that lie furthest from their share, from splits.json
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
    annotations_only: bool = False,
    seed: int = 0,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Extracted:
    """Bring annotations and pictures to OUT/raw. A folder is not copied: it is read where it lies."""
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
    engine: Engine = HERE,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Transformed:
    """Build one version of the dataset in OUT/organized from what `extract` left in OUT/raw.

    Raises what the steps raise; nothing of a dataset is left where one of them does.
    """
    with files.locked(out):
        data = raw.read(out)
        folder_of_pictures = _require_pictures(data)
        earlier = _earlier_annotations(previous) if previous else None
        before = None if earlier is None else earlier.select("image_id", "group", "split").unique().sort("image_id")
        cache = None if dry_run else out / "cache" / "pictures.parquet"

        found = pictures.find(folder_of_pictures)
        rows, ragged = raw.read_annotations(data.annotations)
        valid = findings.validate(
            rows, sizes=_sizes(data, rows, found), boxes=data.boxes, source=data.name, name=data.annotations.name
        )
        valid = replace(valid, rejected=pl.concat([ragged, valid.rejected]))
        rows_in, moved = _rows(valid), frozenset[str]()
        if add:
            added = _retraining(add)
            rows_in += _rows(added)
            valid, moved = additions.merge(valid, added, before)
        labelled = found.join(valid.findings, on="image_id", how="semi")
        inspected = pictures.inspect(folder_of_pictures, labelled, engine=engine, cache=cache, progress=progress)
        valid = findings.require_pictures(valid, inspected)
        _require_any(valid)

        wanted = sizes or SplitSizes()
        thumbnails = partial(pictures.thumbnails, folder_of_pictures, inspected, engine=engine, cache=cache)
        duplicates = similarity.near_duplicates(inspected, thumbnails)
        grouping = splits.group(valid.findings["image_id"], patients=valid.patients, duplicates=duplicates)
        assignment = splits.assign(valid.findings, grouping.groups, wanted, seed=seed, previous=before, move=moved)
        proof = splits.proof(valid.findings, assignment, wanted, seed=seed, previous=before)
        built = plan.build(
            valid.findings,
            inspected,
            assignment,
            labels=labels,
            min_readers=min_readers,
            no_finding=no_finding,
            rejected=valid.rejected,
            lost=valid.lost,
            proof=proof,
            source=data.name,
            settings={
                "labels": labels,
                "min_readers": min_readers,
                "no_finding": no_finding,
                "seed": seed,
                "sizes": asdict(wanted),
                "boxes": valid.frame,
            },
        )

        organized = out / manifest.UNIT
        written = not dry_run and yolo.write(built, organized, pictures=folder_of_pictures, progress=progress)
        return Transformed(
            organized=organized,
            version=built.version,
            images={split: int((assignment["split"] == split).sum()) for split in SPLITS},
            labels=built.labels.height,
            rows_in=rows_in,
            rows_out=valid.findings.height,
            rows_refused=valid.rejected.height,
            refused=_by_reason(valid.rejected),
            lost_readings=valid.lost.height,
            unlabelled_pictures=found.join(valid.findings, on="image_id", how="anti").height,
            worst=proof["worst"],
            difference=None if earlier is None else _difference(earlier, built),
            written=written,
            notes=(*valid.notes, *grouping.warnings),
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


def _retraining(add: Path) -> Validated:
    """The rows of a retrain.csv, boxes in 1024×1024 pixels; what is refused names that file."""
    rows, ragged = raw.read_annotations(add, source=additions.SOURCE)
    valid = findings.validate(rows, sizes=None, boxes="scaled", source=additions.SOURCE, name=add.name)
    return replace(valid, rejected=pl.concat([ragged, valid.rejected]))


def _earlier_annotations(address: str) -> pl.DataFrame:
    """The annotations.parquet of an earlier version, in a folder or a store."""
    key = "annotations.parquet"
    with closing(storage.open_store(address)) as store:
        prefix = layout.resolve_prefix(store)
        data = store.get(layout.key_in(prefix, key))
    if data is None:
        raise DatasetError(f"--previous {address} holds no {key}: it was not written by radloop.")
    return version.decode(data, name=f"{address}: {key}")


def _difference(earlier: pl.DataFrame, built: Plan) -> Difference:
    key = "annotations.parquet"
    return version.compare(earlier, version.decode(built.documents[key], name=key))


def _rows(valid: Validated) -> int:
    return valid.findings.height + valid.rejected.height


def _require_any(valid: Validated) -> None:
    """Raise SourceError with the most frequent reasons where no row has passed."""
    if valid.findings.is_empty():
        reasons = ", ".join(f"{rows}x {reason}" for reason, rows in _by_reason(valid.rejected).head(3).iter_rows())
        raise SourceError(f"None of {_rows(valid)} rows can be used: {reasons or 'the table is empty'}.")


def _by_reason(rejected: pl.DataFrame) -> pl.DataFrame:
    """How many rows were refused for each kind of reason, what stands before the value."""
    kind = pl.col("reason").str.split(": ").list.first()
    return rejected.group_by(kind).agg(rows=pl.len()).sort("rows", "reason", descending=[True, False])
