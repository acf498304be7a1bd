"""Dataset -> the format of another tool, in OUT/export/<format>."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from radloop import files, tree
from radloop.catalog import version
from radloop.dataset.export import coco, contents, parquet, webdataset
from radloop.dataset.export.contents import Contents
from radloop.errors import DatasetError
from radloop.options import Export
from radloop.progress import Progress, silent

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

    Raises DatasetError where the dataset is not whole, and where the folder holds what is not an export.
    """
    with files.locked(options.out, writing=not options.dry_run):
        known = version.read(options.dataset_folder)
        chosen = contents.read(
            known, labels=options.labels, splits=options.splits, license=options.license, progress=progress
        )
        if not options.dry_run:
            _write(options, chosen, progress)
    return Exported(
        format=options.format,
        folder=options.export_folder,
        version=chosen.version,
        labels={split: chosen.labels[split] for split in chosen.splits},
        images=_counted(chosen),
        boxes=chosen.boxes.height,
        done=not options.dry_run,
    )


def _counted(chosen: Contents) -> dict[str, int]:
    return {split: chosen.images.filter(split=split).height for split in chosen.splits}


def _write(options: Export, chosen: Contents, progress: Progress) -> None:
    folder = options.export_folder
    new = folder.with_name(f".{folder.name}.new")
    files.recover_tree(folder)
    if folder.exists() and not (folder / STAMP).is_file():
        raise DatasetError(
            f"{folder} is not an export of radloop: it has no {STAMP}. Move it away, or use another --out."
        )
    shutil.rmtree(new, ignore_errors=True)  # a killed run left it
    try:
        new.mkdir(parents=True)
        _write_format(options, chosen, new, progress)
        (new / STAMP).write_bytes(_stamp(options, chosen))
        files.replace_tree(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _write_format(options: Export, chosen: Contents, folder: Path, progress: Progress) -> None:
    match options.format:
        case "coco":
            coco.write(chosen, folder, progress)
        case "webdataset":
            webdataset.write(chosen, folder, most_bytes=options.shard_mb * _MB, progress=progress)
        case "parquet":
            parquet.write(chosen, folder, most_bytes=options.shard_mb * _MB, progress=progress)


def _stamp(options: Export, chosen: Contents) -> bytes:
    return tree.json_file(
        {
            "format": options.format,
            "version": chosen.version,
            "source": chosen.source,
            "labels": {split: chosen.labels[split] for split in chosen.splits},
            "images": _counted(chosen),
            "boxes": chosen.boxes.height,
        }
    )
