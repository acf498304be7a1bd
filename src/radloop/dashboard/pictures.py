"""Radiographs for the screen: found inside their folder only, decoded strictly, windowed, and made small."""

import hashlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import numpy as np
import numpy.typing as npt
import polars as pl
import streamlit as st
from PIL import Image

from radloop import manifest, pixels
from radloop.dashboard import addresses
from radloop.dashboard.loading import Dataset, Stamp, measured, stamp
from radloop.errors import SourceError
from radloop.tables import SCALED_SIDE_PX

QUALITY: Final = 85  # of the JPEG that is sent: a third of the PNG's bytes
LONGEST_SIDE_PX: Final = 1600
THUMBNAIL_PX: Final = 256
FULL_WINDOW: Final = (0, 255)
_FOLDERS: Final = ("", "images", "train")
_SUFFIXES: Final = (".png", ".jpg", ".jpeg")
_AVERAGED: Final = 40  # pictures that a mean picture is made of

Gray = npt.NDArray[np.uint8]


def find(dataset: Dataset | None, folder: Path | None, image_id: str) -> Path:
    """The picture of an image, in `folder` where that is given, else in the dataset.

    Raises SourceError where there is none, and where the way to it leaves the folder.
    """
    if not manifest.is_safe_key(image_id) or "/" in image_id:
        raise SourceError(f"{image_id!r} is no image id; no file is looked for.")
    if folder is not None:
        names = [f"{sub}/{image_id}{suffix}" for sub in _FOLDERS for suffix in _SUFFIXES]
        return _inside(folder, [name.lstrip("/") for name in names], image_id)
    if dataset is None or dataset.root is None:
        raise SourceError("A table alone has no pictures. Name their folder with --images.")
    if image_id not in dataset.places:
        raise SourceError(f"The dataset lists no picture of image {image_id}.")
    return _inside(dataset.root, [dataset.places[image_id]], image_id)


def _inside(folder: Path, names: Sequence[str], image_id: str) -> Path:
    root = folder.resolve()
    for name in names:
        path = folder / name
        if path.is_symlink() or path.exists():
            try:
                target = path.resolve()
            except (OSError, RuntimeError) as circle:  # which of them, says the version of Python
                raise SourceError(f"The picture of image {image_id} is a link that leads nowhere.") from circle
            if not target.is_relative_to(root):
                raise SourceError(f"The picture of image {image_id} is a link out of its folder and was refused.")
            if target.is_file():
                return target
    raise SourceError(f"{folder} holds no picture of image {image_id}.")


@st.cache_data(show_spinner=False, max_entries=32)
def _gray(key: Stamp) -> Gray:
    try:
        return pixels.decode(Path(key[0]).read_bytes())
    except OSError as unreadable:
        raise SourceError(f"it cannot be read: {unreadable.strerror}") from unreadable


def gray(path: Path) -> Gray:
    """The gray values. Raises SourceError with the reason where the picture is damaged."""
    try:
        return _gray(stamp(path))
    except OSError as unreadable:
        raise SourceError(f"{path.name} cannot be read: {unreadable.strerror}.") from unreadable
    except SourceError as damaged:
        raise SourceError(f"The picture {path.name} was refused: {damaged}.") from damaged


@st.cache_data(show_spinner=False, max_entries=200)
def _jpeg(key: Stamp, window: tuple[int, int], longest_px: int) -> bytes:
    picture = Image.fromarray(windowed(gray(Path(key[0])), window))
    picture.thumbnail((longest_px, longest_px))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def jpeg(path: Path, *, window: tuple[int, int] = FULL_WINDOW, longest_px: int = LONGEST_SIDE_PX) -> bytes:
    """The picture as a JPEG: what is darker than the window is black, what is brighter is white."""
    gray(path)  # which says what is wrong with it, and is kept
    return _jpeg(stamp(path), window, longest_px)


def windowed(values: Gray, window: tuple[int, int]) -> Gray:
    """Stretch the gray values of the window, lowest to highest, over black to white."""
    low, high = window
    if (low, high) == FULL_WINDOW:
        return values
    ramp = (np.arange(256) - low) * 255 / max(high - low, 1)
    stretched: Gray = np.clip(ramp, 0, 255).astype(np.uint8)[values]
    return stretched


def url(
    dataset: Dataset | None,
    folder: Path | None,
    image_id: str,
    px: int | None = None,
    *,
    window: tuple[int, int] = FULL_WINDOW,
) -> str:
    """The address of a picture on this server: a JPEG of `px` (256 in the image's proportions, or 1600) on its longer
    side, or without loss (None). The same address is the same picture for ever.

    Raises SourceError as `find` does.
    """
    found = prepare(dataset, folder, image_id, px=px, window=window)
    asked = {} if px is None else {"px": px}
    if window != FULL_WINDOW:
        asked |= {"low": window[0], "high": window[1]}
    name = f"{quote(image_id, safe='')}.{'png' if px is None else 'jpg'}"
    return f"{addresses.base()}{addresses.ROOM}/picture/{name}?{urlencode(asked | {'v': found.version})}"


@dataclass(frozen=True)
class Prepared:
    """A picture that was found, and how it is asked for."""

    path: Path
    version: str  # another content has another one
    frame: tuple[int, int] | None
    px: int | None
    window: tuple[int, int]

    def render(self) -> tuple[bytes, dict[str, str]]:
        """Its bytes, and headers that tell what they are. Raises SourceError where the picture is damaged."""
        if self.px is None:
            data, bits = lossless(self.path)
            return data, {"X-Radloop-Bits": str(bits)}
        if self.px == THUMBNAIL_PX:
            return proportions(self.path, self.frame, self.px), {}
        return jpeg(self.path, window=self.window, longest_px=self.px), {}


def prepare(
    dataset: Dataset | None, folder: Path | None, image_id: str, *, px: int | None, window: tuple[int, int]
) -> Prepared:
    """Raises SourceError as `find` does, ValueError for a size that is not served."""
    if px not in (None, THUMBNAIL_PX, LONGEST_SIDE_PX):
        raise ValueError(px)
    path = find(dataset, folder, image_id)
    shape = frame(dataset, image_id) if dataset is not None and px == THUMBNAIL_PX else None
    try:
        _, changed_ns, size = stamp(path)
    except OSError as unreadable:
        raise SourceError(f"{path.name} cannot be read: {unreadable.strerror}.") from unreadable
    version = hashlib.md5(f"{changed_ns} {size} {shape} {px} {window}".encode()).hexdigest()[:12]
    return Prepared(path, version, shape, px, window)


def lossless(path: Path) -> tuple[bytes, int]:
    """The gray values as a PNG, and their bits: 16 stand as RGB with the high byte in red, the low one in green."""
    gray(path)  # which says what is wrong with it
    return _png(stamp(path))


@st.cache_data(show_spinner=False, max_entries=16)
def _png(key: Stamp) -> tuple[bytes, int]:
    data = Path(key[0]).read_bytes()
    if (bare := pixels.bare_png(data)) is not None:
        return bare, 8
    values = pixels.decode_deep(data)
    bits = values.dtype.itemsize * 8
    if bits == 16:
        values = np.stack([values >> 8, values & 255, np.zeros_like(values)], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(
        buffer, "PNG", compress_level=1, compress_type=zlib.Z_RLE
    )  # fast; noise has no repeats
    return buffer.getvalue(), bits


def proportions(path: Path, frame: tuple[int, int] | None, longest_px: int) -> bytes:
    """A small JPEG in the true proportions of the image: width and height of `frame`."""
    picture = Image.fromarray(gray(path))
    width, height = frame or picture.size
    scale = longest_px / max(width, height)
    picture = picture.resize((max(round(width * scale), 1), max(round(height * scale), 1)), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


@measured
def frames(dataset: Dataset) -> dict[str, tuple[int, int]]:
    """The true width and height of every image: the frame that the annotations were given in."""
    sizes = dataset.rows.unique("image_id", keep="first").select("image_id", "width", "height")
    came = dataset.incoming.select(sizes.columns)
    return {image_id: (width, height) for image_id, width, height in (*came.iter_rows(), *sizes.iter_rows())}


def frame(dataset: Dataset, image_id: str) -> tuple[int, int]:
    """The true width and height of one image."""
    own = pl.col("image_id") == image_id
    rows = dataset.rows.filter(own).select("width", "height")
    rows = dataset.incoming.filter(own).select("width", "height") if rows.is_empty() else rows
    if rows.is_empty():
        return SCALED_SIDE_PX, SCALED_SIDE_PX
    return int(rows["width"][0]), int(rows["height"][0])


@measured
def mean(dataset: Dataset, folder: Path | None, split: str | None, side_px: int = 256) -> bytes | None:
    """The mean of some pictures of a split as a square JPEG; None where not one can be read."""
    rows = dataset.rows.filter(pl.col("split") == split) if split else dataset.rows
    total, count = np.zeros((side_px, side_px)), 0
    for image_id in rows["image_id"].unique().sort().gather_every(max(rows["image_id"].n_unique() // _AVERAGED, 1)):
        try:
            values = pixels.decode(find(dataset, folder, image_id).read_bytes())
        except (SourceError, OSError):
            continue
        total += np.asarray(Image.fromarray(values).resize((side_px, side_px), Image.Resampling.BILINEAR))
        count += 1
        if count == _AVERAGED:
            break
    if not count:
        return None
    buffer = io.BytesIO()
    Image.fromarray((total / count).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def mean_url(dataset: Dataset, folder: Path | None, split: str | None) -> str | None:
    """The address of the mean picture on this server, another one for another content; None where there is none."""
    data = mean(dataset, folder, split)
    if data is None:
        return None
    asked = {"split": split or "", "v": hashlib.md5(data).hexdigest()[:16]}
    return f"{addresses.base()}{addresses.ROOM}/mean.jpg?{urlencode(asked)}"
