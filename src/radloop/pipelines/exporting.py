"""Dataset -> the format of another tool, in OUT/export/<format>."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, tree
from radloop.catalog import version
from radloop.catalog.version import Version
from radloop.dataset.export import coco, contents, croissant, cvat, label_studio, parquet, tasks, webdataset
from radloop.dataset.export.contents import Contents
from radloop.dataset.export.tasks import Tasks
from radloop.errors import DatasetError
from radloop.feedback import guard
from radloop.options import Export
from radloop.pipelines import coming_back
from radloop.progress import Progress, silent
from radloop.words import several

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
    reading = options.is_to_read
    with files.locked(options.out, writing=not options.dry_run):
        known = version.read(options.dataset_folder)
        chosen = contents.read(
            known,
            labels=options.labels or ("consensus" if reading else None),
            splits=options.splits or (("production",) if reading else None),
            license=options.license,
            to_read=reading,
            progress=progress,
        )
        work = _tasks(options, known, chosen, progress) if reading else None
        if not options.dry_run:
            _write(options, chosen, work, progress)
    return Exported(
        format=options.format,
        folder=options.export_folder,
        version=chosen.version,
        labels={split: chosen.labels[split] for split in chosen.splits},
        images=_counted(chosen),
        boxes=chosen.boxes.height if work is None else work.boxes.height,
        notes=_notes(chosen, work),
        done=not options.dry_run,
    )


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


def _counted(chosen: Contents) -> dict[str, int]:
    return {split: chosen.images.filter(split=split).height for split in chosen.splits}


def _write(options: Export, chosen: Contents, work: Tasks | None, progress: Progress) -> None:
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
        _write_format(options, chosen, work, new, progress)
        (new / STAMP).write_bytes(_stamp(options, chosen, boxes=(work or chosen).boxes.height))
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


def _stamp(options: Export, chosen: Contents, *, boxes: int) -> bytes:
    return tree.json_file(
        {
            "format": options.format,
            "version": chosen.version,
            "source": chosen.source,
            "labels": {split: chosen.labels[split] for split in chosen.splits},
            "images": _counted(chosen),
            "boxes": boxes,
        }
    )
