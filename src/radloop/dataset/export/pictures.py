"""The pictures of a dataset on their way out: their sizes by their headers, links to them, and their proven bytes."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, pixels
from radloop.errors import DatasetError
from radloop.progress import Progress, silent

FOLDER: Final = "images"
_HEADER_BYTES: Final = 64  # enough for a PNG; a JPEG's size may stand far behind
_AT_ONCE: Final = 512  # pictures between two words to `progress`

Place = Callable[[str, str], str]  # where a picture of a split and a name lies in an export


def sizes(root: Path, pictures: pl.DataFrame, progress: Progress = silent) -> pl.DataFrame:
    """width and height of each picture (key, bytes), from its header, in the same order.

    Raises DatasetError for one that is missing, has another size than the manifest lists, or has no header.
    """
    found: list[tuple[int, int]] = []
    total = pictures.height
    with files.opened_folder(root) as folder:
        for key, size in pictures.select("key", "bytes").iter_rows():
            found.append(_size(root, folder, key, size))
            if len(found) % _AT_ONCE == 0 or len(found) == total:
                progress("sizes of pictures", len(found), total)
    return pl.DataFrame(found, schema={"width": pl.Int32, "height": pl.Int32}, orient="row")


def _size(root: Path, folder: int, key: str, size: int) -> tuple[int, int]:
    try:
        descriptor = os.open(key, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError as missing:
        raise changed(root, key, str(missing.strerror)) from missing
    try:
        there = os.fstat(descriptor).st_size
        if there != size:
            raise changed(root, key, f"{there:,} bytes, and the manifest lists {size:,}")
        pixel_sides = pixels.header_size(os.read(descriptor, _HEADER_BYTES))
        if pixel_sides is None:
            pixel_sides = pixels.header_size(os.pread(descriptor, size, 0))
    finally:
        os.close(descriptor)
    if pixel_sides is None:
        raise changed(root, key, "no size in its header")
    return pixel_sides


def changed(root: Path, key: str, how: str) -> DatasetError:
    """The error for a picture that is not what the manifest lists."""
    return DatasetError(f"{root / key} is not the picture that the manifest lists ({how}). Run `radloop check {root}`.")


def read(root: Path, key: str, md5: str) -> bytes:
    """The bytes of a picture. Raises DatasetError where they are not those that the manifest lists."""
    try:
        data = (root / key).read_bytes()
    except OSError as missing:
        raise changed(root, key, str(missing.strerror)) from missing
    if hashlib.md5(data).hexdigest() != md5:
        raise changed(root, key, "its MD5 is another")
    return data


def shards(images: pl.DataFrame, most_bytes: int) -> list[pl.DataFrame]:
    """The images in pieces, in their order, of at most so many bytes; a larger picture is alone."""
    pieces, start, filled = [], 0, 0
    for place, size in enumerate(images["bytes"].to_list()):
        if place > start and filled + size > most_bytes:
            pieces.append(images[start:place])
            start, filled = place, 0
        filled += size
    return [*pieces, images[start:]]


def link(root: Path, images: pl.DataFrame, folder: Path, place: Place, progress: Progress = silent) -> None:
    """Put each picture (split, file, key) under `folder` where `place` says: a link to the dataset's own, or a copy."""
    for split in images["split"].unique():
        (folder / place(split, "_")).parent.mkdir(parents=True, exist_ok=True)
    total = images.height
    with files.opened_folder(root) as origin, files.opened_folder(folder) as there:
        for done, (split, file, key) in enumerate(images.select("split", "file", "key").iter_rows(), 1):
            try:
                os.link(key, place(split, file), src_dir_fd=origin, dst_dir_fd=there)
            except OSError:
                files.link_or_copy(root / key, folder / place(split, file))
            if done % _AT_ONCE == 0 or done == total:
                progress("pictures", done, total)


def by_split(split: str, file: str) -> str:
    """`images/test/a.png`."""
    return f"{FOLDER}/{split}/{file}"


def flat(split: str, file: str) -> str:
    """`images/a.png`."""
    return f"{FOLDER}/{file}"
