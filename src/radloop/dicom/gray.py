"""The gray values of a radiograph by a recipe, and their PNG."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from radloop.dicom.radiograph import Radiograph
from radloop.errors import DicomError
from radloop.pixels import Gray
from radloop.recipe import Recipe


def make(radiograph: Radiograph, recipe: Recipe) -> Gray:
    """Gray values (height × width) of a radiograph as the recipe makes them. Raises DicomError."""
    try:
        values = _values(radiograph.dataset, recipe)
    except Exception as broken:  # decoders promise no particular one
        raise DicomError("its pixels cannot be decoded", code="undecodable") from broken
    return _resized(_stretched(values, recipe), recipe)


def png(gray: Gray) -> bytes:
    """A gray PNG of 8 bits without any text: the same bytes for the same values."""
    buffer = io.BytesIO()
    Image.fromarray(gray).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _values(dataset: Any, recipe: Recipe) -> npt.NDArray[np.float64]:
    """What the display would show, dark to light."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    values = dataset.pixel_array
    if values.ndim == 3:
        return np.asarray(Image.fromarray(values.astype(np.uint8)).convert("L"), np.float64)
    values = apply_modality_lut(values, dataset)
    if recipe.gray == "vinbigdata":
        values = apply_voi_lut(values, dataset)
    values = np.asarray(values, np.float64)
    if recipe.window:
        centre, width = recipe.window
        values = np.clip((values - (centre - 0.5)) / max(width - 1, 1) + 0.5, 0, 1)
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    return (1 - values if recipe.window else values.max() - values) if inverted else values


def _stretched(values: npt.NDArray[np.float64], recipe: Recipe) -> Gray:
    low, high = (0.0, 1.0) if recipe.window else (float(values.min()), float(values.max()))
    return np.asarray(np.rint((values - low) * (255 / ((high - low) or 1))), np.uint8)


def _resized(gray: Gray, recipe: Recipe) -> Gray:
    height, width = gray.shape
    if recipe.size_px is None:
        return gray
    size = (recipe.size_px, recipe.size_px)
    if recipe.keeps_ratio:
        share = recipe.size_px / max(height, width)
        size = (max(round(width * share), 1), max(round(height * share), 1))
    return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.LANCZOS))
