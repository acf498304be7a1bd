"""Dataset -> the format of another tool, in OUT/export/<format>."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, manifest, tree
from radloop.catalog import version
from radloop.catalog.version import Version
from radloop.dataset.export import coco, contents, croissant, cvat, label_studio, learned, parquet, tasks, webdataset
from radloop.dataset.export.contents import Contents
from radloop.dataset.export.tasks import Tasks
from radloop.errors import DatasetError, UsageError
from radloop.feedback import guard, retraining
from radloop.options import Export
from radloop.pipelines import coming_back
from radloop.progress import Progress, silent
from radloop.words import RETRAIN, several

STAMP: Final = "export.json"  # says what an export is of, and that the folder is radloop's to replace

_MB: Final = 1_000_000


@dataclass(frozen=True)
class Exported:
    """One export, or with --dry-run what it would be."""

    format: str
    folder: Path
    version: str
    labels: Mapping[str, str]  # of each split
    images: Mapping[str, int]  # of each split
    boxes: int
    notes: tuple[str, ...] = ()
    done: bool = True  # False with --dry-run


def export(options: Export, *, progress: Progress = silent) -> Exported:
    """Write the dataset as a whole for one tool: the export that was there before, or the new one, whenever killed.

    For people to read, the images of production with the boxes of their newest feedback; where there is none, with the
    fused ones of their readers. Raises DatasetError where the dataset is not whole, and where the folder holds what is
    not an export.
    """
    with files.locked(options.out, writing=not options.dry_run):
        known = version.read(options.dataset_folder)
        parts = _parts(options, known, progress)
        work = _tasks(options, known, parts[0], progress) if options.is_to_read else None
        if not options.dry_run:
            _write(options, parts, work, progress)
    return Exported(
        format=options.format,
        folder=options.export_folder,
        version=parts[0].version,
        labels=_labels(parts),
        images=_counted(parts),
        boxes=_boxes(parts, work),
        notes=_notes(parts[0], work),
        done=not options.dry_run,
    )


def _parts(options: Export, known: Version, progress: Progress) -> list[Contents]:
    """Of the dataset's splits, and of the re-training data."""
    reading, parts = options.is_to_read, list[Contents]()
    splits = options.splits or (("production",) if reading else None)
    own = None if splits is None else [split for split in splits if split != RETRAIN]
    if own is None or own:
        chosen = contents.read(
            known,
            labels=options.labels or ("consensus" if reading else None),
            splits=own,
            license=options.license,
            to_read=reading,
            progress=progress,
        )
        parts.append(chosen)
    if splits and RETRAIN in splits:
        if options.format != "coco":
            raise UsageError(f"--splits {RETRAIN} goes with --format coco, which knows boxes to ignore and weights.")
        rows = retraining.read(known.root / manifest.RETRAIN, known.taxonomy)
        parts.append(learned.read(known, rows, license=options.license, progress=progress))
    return parts


def _tasks(options: Export, known: Version, chosen: Contents, progress: Progress) -> Tasks:
    found = coming_back.feedback(options, known, keep=not options.dry_run, jobs=options.jobs, progress=progress)
    judged = guard.judge(found.feedback, known.images).filter(~pl.col("other_picture"))
    newest = judged.sort("timestamp", "feedback_id").unique("image_id", keep="last", maintain_order=True)
    return tasks.of(chosen, newest, found.detections)


def _notes(chosen: Contents, work: Tasks | None) -> tuple[str, ...]:
    notes = []
    without = 0 if work is None else work.images["feedback_id"].null_count()
    if without:
        notes.append(
            f"{several(without, 'image')} without feedback on the dataset's own picture: the readers' boxes stand "
            "there, and no review can be made of it"
        )
    if chosen.undecided:
        images = several(len(chosen.undecided), "image")
        how = "left out" if work is None else "with nothing of the readers to begin from"
        notes.append(f"{images} {how}: a reading was refused and the others found nothing, which is no consensus")
    return tuple(notes)


def _counted(parts: Sequence[Contents]) -> dict[str, int]:
    return {split: part.images.filter(split=split).height for part in parts for split in part.splits}


def _labels(parts: Sequence[Contents]) -> dict[str, str]:
    return {split: part.labels[split] for part in parts for split in part.splits}


def _boxes(parts: Sequence[Contents], work: Tasks | None) -> int:
    return sum(part.boxes.height for part in parts) if work is None else work.boxes.height


def _write(options: Export, parts: Sequence[Contents], work: Tasks | None, progress: Progress) -> None:
    folder = options.export_folder.resolve()  # where a link leads
    new = folder.with_name(f".{folder.name}.new")
    files.recover_tree(folder)
    if folder.exists() and not (folder / STAMP).is_file():
        raise DatasetError(
            f"{folder} is not an export of radloop: it has no {STAMP}. Move it away, or use another --out."
        )
    shutil.rmtree(new, ignore_errors=True)  # a killed run left it
    try:
        new.mkdir(parents=True)
        for part in parts:
            _write_format(options, part, work, new, progress)
        (new / STAMP).write_bytes(_stamp(options, parts, boxes=_boxes(parts, work)))
        files.replace_tree(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _write_format(options: Export, chosen: Contents, work: Tasks | None, folder: Path, progress: Progress) -> None:
    most_bytes = options.shard_mb * _MB
    match options.format, work:
        case "coco", _:
            coco.write(chosen, folder, progress)
        case "webdataset", _:
            webdataset.write(chosen, folder, most_bytes=most_bytes, progress=progress)
        case "parquet", _:
            parquet.write(chosen, folder, most_bytes=most_bytes, progress=progress)
        case "croissant", _:
            croissant.write(chosen, folder, progress)
        case "label-studio", Tasks():
            label_studio.write(chosen, work, folder, prefix=options.image_prefix, progress=progress)
        case "cvat", Tasks():
            cvat.write(chosen, work, folder, progress)


def _stamp(options: Export, parts: Sequence[Contents], *, boxes: int) -> bytes:
    return tree.json_file(
        {
            "format": options.format,
            "version": parts[0].version,
            "source": parts[0].source,
            "labels": _labels(parts),
            "images": _counted(parts),
            "boxes": boxes,
        }
    )
