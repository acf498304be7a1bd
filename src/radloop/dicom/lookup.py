"""What each word that a radiograph may store is shown as: its header's tables and windows, worked out once per value.

A word has 8 or 16 bits, so that a table of 256 or 65,536 entries stands for all the pixels (PS3.3, C.11.1, C.11.2).
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from radloop.dicom import frames
from radloop.dicom.frames import Decoded
from radloop.dicom.header import numbers, text
from radloop.errors import DicomError
from radloop.recipe import Recipe

Table = npt.NDArray[np.float64]  # by stored word

_HALF: Final = 0x8000


def shown(dataset: Any, decoded: Decoded, recipe: Recipe) -> Table:
    """By stored word what is shown, dark to light; NaN where the word is padding, and no part of the radiograph."""
    stored = _stored(decoded)
    photometric = text(dataset, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        if recipe.window:
            raise DicomError("it has colours: a window is of gray values", code="bad-window")
        return _palette(dataset, stored) if photometric == "PALETTE COLOR" else stored

    values = _modality(dataset, stored)
    if recipe.window:
        values = windowed(values, *recipe.window)
    elif recipe.gray == "vinbigdata":
        values = _voi(dataset, values, top=(1 << decoded.bits) - 1)
    if not np.isfinite(values).all():
        raise DicomError("its tables give values that are no numbers", code="bad-table")
    if photometric == "MONOCHROME1":
        values = (1 if recipe.window else 0) - values
    return np.where(_padding(dataset, stored, decoded.signed), np.nan, values)


def windowed(values: Table, centre: float, width: float, function: str = "LINEAR") -> Table:
    """From 0 to 1 through a window, as PS3.3 C.11.2.1.2 and C.11.2.1.3 define it."""
    if not (np.isfinite(centre) and np.isfinite(width) and width > 0 and (width >= 1 or function != "LINEAR")):
        raise DicomError(f"its window is {width:g} wide", code="bad-window")
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
        if width == 0:
            return np.where(values > centre, 1.0, 0.0)
    elif function != "LINEAR_EXACT":
        raise DicomError("its VOILUTFunction is none of DICOM's", code="bad-window")
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _stored(decoded: Decoded) -> Table:
    """The value that a word stores: some of its bits, perhaps with a sign."""
    words = np.arange(1 << 8 * decoded.words.dtype.itemsize)
    values = (words >> decoded.low_bit) & ((1 << decoded.bits) - 1)
    if decoded.signed:
        values = np.where(values >> (decoded.bits - 1), values - (1 << decoded.bits), values)
    return values.astype(np.float64)


def _padding(dataset: Any, stored: Table, signed: bool) -> npt.NDArray[np.bool_]:
    """Which words are padding (PS3.3, C.7.5.1.1.2)."""
    ends = numbers(dataset, "PixelPaddingValue")[:1]
    if not ends:
        return np.zeros(stored.size, np.bool_)
    ends += numbers(dataset, "PixelPaddingRangeLimit")[:1]
    ends = [_with_sign(end) if signed else end % (2 * _HALF) for end in ends]
    found: npt.NDArray[np.bool_] = (stored >= min(ends)) & (stored <= max(ends))
    return found


def _with_sign(value: float) -> float:
    """A number of 16 bits that was read without its sign."""
    return value - 2 * _HALF if _HALF <= value < 2 * _HALF else value


def _modality(dataset: Any, stored: Table) -> Table:
    if tables := dataset.get("ModalityLUTSequence"):
        return _looked_up(tables[0], stored)
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
    if slope == 0:
        raise DicomError("its RescaleSlope is 0", code="bad-table")
    return stored * slope + intercept


def _voi(dataset: Any, values: Table, *, top: int) -> Table:
    """Through the first table, else through the first window to 0 … `top`, else as they are."""
    if tables := dataset.get("VOILUTSequence"):
        return _looked_up(tables[0], values)
    if not text(dataset, "WindowCenter") and not text(dataset, "WindowWidth"):
        return values
    centre, width = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if not centre or not width:
        raise DicomError("its window is no pair of numbers", code="bad-window")
    return windowed(values, centre[0], width[0], text(dataset, "VOILUTFunction").upper() or "LINEAR") * top


def _number(dataset: Any, keyword: str, default: float) -> float:
    if not text(dataset, keyword):
        return default
    found = numbers(dataset, keyword)
    if len(found) != 1 or not np.isfinite(found[0]):
        raise DicomError(f"its {keyword} is no number", code="bad-table")
    return found[0]


def _looked_up(item: Any, values: Table) -> Table:
    """Through a table of the file; what lies before or behind it has its first or last entry."""
    descriptor = numbers(item, "LUTDescriptor")
    if len(descriptor) != 3:
        raise DicomError("a table of its gray values has no descriptor", code="bad-table")
    count = int(descriptor[0]) or 2 * _HALF
    first = _with_sign(descriptor[1]) if values.min() < 0 else descriptor[1]
    entries = _entries(item, count)
    return entries[np.clip(np.trunc(values) - first, 0, count - 1).astype(np.int64)]


def _entries(item: Any, count: int) -> Table:
    data = item.get("LUTData")
    if isinstance(data, bytes):
        kind = np.uint8 if len(data) in (count, count + 1) and count > 1 else _order(item)
        entries = np.frombuffer(data[: len(data) // 2 * 2] if kind != np.uint8 else data, kind)
    else:
        entries = np.array(numbers(item, "LUTData"))
    if not 0 < count <= len(entries):
        raise DicomError(f"a table of its gray values has {len(entries)} entries of {count}", code="bad-table")
    return entries[:count].astype(np.float64)


def _order(item: Any) -> str:
    _, is_little_endian = item.original_encoding
    return ">u2" if is_little_endian is False else "<u2"


def _palette(dataset: Any, stored: Table) -> Table:
    """The luma (ITU-R 601) of a palette's colours."""
    from pydicom.pixels.processing import apply_color_lut

    try:
        colours = apply_color_lut(stored.astype(np.uint16), dataset)
    except Exception as broken:  # pydicom promises no particular one
        raise DicomError("its palette is damaged", code="bad-table") from broken
    return np.asarray(colours[:, :3] @ np.array(frames.LUMA))
