"""What the trainer makes of the bytes of a picture, and what a picture shows: nothing, or the same as another."""

import io
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from PIL import Image, ImageOps, UnidentifiedImageError

from radloop import pixels, similarity, sums
from radloop.dataset import yolo
from radloop.dataset.trainer_rules import Violation
from radloop.errors import SourceError
from radloop.progress import Progress
from radloop.sums import Sums

_SMALLEST_SIDE_PX: Final = 10
_FORMATS: Final = yolo.PICTURE_SUFFIXES | {"jpeg2000"}
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_PNG_END: Final = b"IEND\xaeB\x60\x82"  # with its checksum
_READ_LENIENTLY: Final = ("JPEG", "MPO")  # the trainer's decoder takes what Pillow calls broken


@dataclass(frozen=True)
class Looked:
    """What one look at the bytes of a picture told. shows: equal for the same gray values in another file."""

    size: int
    sums: Sums
    shows: str
    violations: list[Violation]
    judged: bool = True  # False for a HEIC, which the trainer reads with a package of its own
    turned: bool = False  # before the trainer lays boxes on it, for its EXIF data say so


def look_at_all(root: Path, keys: Sequence[str], *, jobs: int, progress: Progress) -> dict[str, Looked]:
    """Read, sum and judge each distinct file once, however many links it has; what is missing is left out."""
    inodes: dict[str, tuple[int, int]] = {}
    for key in keys:
        try:
            file = os.stat(f"{root}/{key}")
        except OSError:
            continue
        inodes[key] = (file.st_dev, file.st_ino)
    first = {inode: key for key, inode in reversed(inodes.items())}
    looked: dict[tuple[int, int], Looked | None] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(jobs) as pool:
        warnings.simplefilter("ignore")  # of a decompression bomb, of odd metadata: the trainer takes them, too
        results = pool.map(lambda key: _look_at_file(root / key), first.values())
        for done, (inode, picture) in enumerate(zip(first, results, strict=True), 1):
            looked[inode] = picture
            if done % 256 == 0 or done == len(first):
                progress("pictures checked", done, len(first))
    return {key: picture for key, inode in inodes.items() if (picture := looked[inode]) is not None}


def _look_at_file(path: Path) -> Looked | None:
    try:
        return look("", path.read_bytes())
    except OSError:
        return None


def look(key: str, data: bytes) -> Looked:
    """Judge a picture's bytes as the trainer does, and say what they show."""
    taken = sums.of(data)
    problem, gray = _judge(data)
    if problem and problem[0] == "picture-unreadable" and data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return Looked(len(data), taken, taken.md5, [], judged=False)
    violations = [] if problem is None else [Violation(problem[0], key, None, problem[1])]
    shows = taken.md5 if gray is None else pixels.fingerprint(gray)
    return Looked(len(data), taken, shows, violations, turned=problem is None and _is_turned(data))


def judge_thumbnails(listed: pl.DataFrame, memory: pl.DataFrame) -> Iterator[Violation]:
    """Pictures of a MANIFEST that are nearly black, as far as the memory of what is held out (HELDOUT) shows them."""
    keys = dict(listed.filter(kind="image").group_by("md5").agg(pl.col("key").min()).iter_rows())
    for md5, thumbnail in memory.sort("image_id").select("md5", "thumbnail").drop_nulls().iter_rows():
        gray = np.frombuffer(thumbnail, np.uint8).reshape(similarity.SIDE_PX, similarity.SIDE_PX)
        if md5 in keys and pixels.is_nearly_black(gray):
            yield Violation("picture-black", keys[md5], None, "nearly all values of its thumbnail are under 16 of 255")


def judge_picture(key: str, data: bytes) -> list[Violation]:
    """What the trainer says of a picture's bytes."""
    return look(key, data).violations


def _judge(data: bytes) -> tuple[tuple[str, str] | None, pixels.Gray | None]:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.verify()
            form, (width, height) = picture.format or "", picture.size
    except UnidentifiedImageError:
        return ("picture-unreadable", "no picture of a kind that Pillow knows"), None
    except Exception as broken:  # noqa: BLE001 - Pillow's readers raise anything; the trainer takes it the same way
        return ("picture-unreadable", _sentence(broken)), None
    if min(width, height) < _SMALLEST_SIDE_PX:
        return ("picture-small", f"{width}×{height} px; {_SMALLEST_SIDE_PX} is the least"), None
    if form.lower() not in _FORMATS:
        return ("picture-format", f"it is a {form}, whatever its name says"), None
    problem = None
    if form == "JPEG" and not data.endswith(b"\xff\xd9"):
        try:
            with Image.open(io.BytesIO(data)) as picture:
                ImageOps.exif_transpose(picture)
        except Exception as broken:  # noqa: BLE001 - as above
            return ("picture-truncated", f"a JPEG without its end: {_sentence(broken)}"), None
        problem = "picture-tail", "a JPEG with bytes behind its end: the trainer saves it anew, at quality 100"
    try:
        gray = _gray_values(data)
    except Exception as broken:  # noqa: BLE001 - as above
        if form in _READ_LENIENTLY:
            return problem, None
        return ("picture-undecodable", _sentence(broken)), None
    if problem is None and pixels.is_nearly_black(gray):
        problem = "picture-black", "nearly all its values, as the trainer reads them, are under 16 of 255"
    return problem, gray


def _is_turned(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as picture:
        # `getexif` alone would decode a PNG without any
        return "exif" in picture.info and pixels.is_turned(picture)


def _gray_values(data: bytes) -> pixels.Gray:
    """The gray values as the trainer reads them: of 16 bits the upper 8."""
    if data.startswith(b"\x89PNG"):
        with suppress(SourceError):  # which Pillow knows more of
            gray = pixels.decode(data)  # in a third of Pillow's time
            _require_right_sum(data)
            return gray
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        if picture.format == "PNG" and _PNG_END not in data:
            raise ValueError("the PNG's last bytes are missing")
        if picture.format == "TIFF" and picture.mode in ("I", "F"):
            raise ValueError("a TIFF of 32 bits a value, which OpenCV does not read")
        if picture.mode.startswith("I"):
            return (np.asarray(picture) >> 8).astype(np.uint8)
        return np.asarray(picture.convert("L"))


def _require_right_sum(png: bytes) -> None:
    """Raise zlib.error where the sum over the pixels is wrong, for which the trainer's decoder gives up."""
    inflated, at = zlib.decompressobj(), 8
    while at < len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            inflated.decompress(png[at + 8 : end])
        at = end + 4


def _sentence(broken: Exception) -> str:
    return " ".join(str(broken).split())[:200] or type(broken).__name__
