"""The gray values are those of the rule in a plain numpy script, and their PNG has nothing else in it."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dicom_files import dicom, gray
from radloop import pixels
from radloop.dicom import gray as making
from radloop.dicom import radiograph
from radloop.errors import DicomError
from radloop.recipe import Recipe

ORIGINAL = Recipe("vinbigdata", None)


def made(data: bytes, recipe: Recipe = ORIGINAL) -> np.ndarray:
    return making.make(radiograph.read(data), recipe)


def refused(data: bytes, recipe: Recipe = ORIGINAL) -> str:
    with pytest.raises(DicomError) as told:
        made(data, recipe)
    return told.value.code


def script(values: np.ndarray, bits: int, *, window=None, inverted=False, size=None) -> np.ndarray:
    """The script that VinBigData's pictures were made with, in plain numpy: written without a look at radloop's."""
    data = values.astype(np.float64)
    if window:
        centre, width = window
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        between = ((data - (centre - 0.5)) / (width - 1) + 0.5) * (2**bits - 1)
        data = np.where(data <= low, 0, np.where(data > high, 2**bits - 1, between))
    if inverted:
        data = np.amax(data) - data
    data = data - np.min(data)
    data = data / np.max(data)
    picture = Image.fromarray((data * 255).astype(np.uint8))
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS) if size else picture)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    bits=st.sampled_from([8, 10, 12, 16]),
    inverted=st.booleans(),
    window=st.none() | st.tuples(st.integers(20, 3000), st.integers(2, 4000)),
    size=st.sampled_from([None, 32, 100]),
)
def test_the_rule_of_vinbigdata_is_that_of_a_plain_script(seed, bits, inverted, window, size):
    values = gray(40, 30, seed=seed, bits=bits, ends=bool(seed % 2))
    tags = {"PhotometricInterpretation": "MONOCHROME1"} if inverted else {}
    if window:
        tags |= {"WindowCenter": window[0], "WindowWidth": window[1]}
        if values.max() <= window[0] - window[1] / 2 or values.min() > window[0] + window[1] / 2 - 1:
            return  # nothing but black, or white
    stored = max(8, int(values.max()).bit_length())
    found = made(dicom(values, **tags), Recipe("vinbigdata", size)).astype(int)

    assert np.abs(found - script(values, stored, window=window, inverted=inverted, size=size)).max() <= 1


def test_a_window_shows_the_same_value_alike_in_every_picture():
    recipe = Recipe("window:1000/1001", None)
    found = made(dicom(gray(bits=12)), recipe)
    expected = np.clip(np.rint((gray(bits=12) - 999.5 + 500) / 1000 * 255), 0, 255)
    assert np.abs(found - expected).max() <= 1
    assert np.array_equal(made(dicom(gray(bits=12), WindowCenter=5, WindowWidth=9), recipe), found)
    inverted = made(dicom(gray(bits=12), PhotometricInterpretation="MONOCHROME1"), recipe)
    assert np.abs(inverted + found.astype(int) - 255).max() <= 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("rule", ["vinbigdata", "minmax", "window:2000/3000"])
def test_padding_is_black_and_does_not_count(photometric, rule):
    values = gray(bits=12, ends=False)
    padded = values.copy()
    padded[:5] = 4095
    padded[5:9] = 4090
    tags = {"PhotometricInterpretation": photometric, "PixelPaddingValue": 4090, "PixelPaddingRangeLimit": 4095}
    found = made(dicom(padded, **tags, BitsStored=12), Recipe(rule, None))

    assert (found[:9] == 0).all()
    alone = made(dicom(values[9:], **tags), Recipe(rule, None))
    assert np.array_equal(found[9:], alone)


def test_signed_values_are_made_like_others():
    values = gray(bits=12)
    assert np.array_equal(made(dicom(values.astype(np.int16) - 2000)), made(dicom(values)))


def test_stray_bits_beside_the_values_change_nothing():
    values = gray(bits=12)
    stray = values | np.where(np.arange(values.shape[1]) % 7 == 0, 0xF000, 0).astype(np.uint16)
    assert np.array_equal(made(dicom(stray, BitsStored=12, HighBit=11)), made(dicom(values)))


@pytest.mark.parametrize(
    ("recipe", "tags", "size"),
    [
        (Recipe("minmax", None), {}, (60, 48)),
        (Recipe("minmax", 100), {}, (100, 100)),
        (Recipe("minmax", 100, keeps_ratio=True), {}, (100, 80)),
        (Recipe("minmax", None), {"PixelAspectRatio": [2, 1], "PixelSpacing": None}, (120, 48)),
        (Recipe("minmax", None), {"PixelAspectRatio": ["1", "2"], "PixelSpacing": None}, (60, 96)),
        (Recipe("minmax", None), {"PixelSpacing": [0.3, 0.15]}, (120, 48)),
        (Recipe("minmax", 100, keeps_ratio=True), {"PixelAspectRatio": [2, 1]}, (100, 40)),
        (Recipe("minmax", 100), {"PixelAspectRatio": [2, 1]}, (100, 100)),
    ],
    ids=str,
)
def test_a_picture_has_square_pixels_where_it_is_not_stretched(recipe, tags, size):
    assert made(dicom(gray(), **tags), recipe).shape == size


def test_colours_are_stretched_whatever_window_stands_beside_them_and_have_none_of_a_recipe():
    colours = np.stack([gray(seed=seed, bits=8) for seed in range(3)], axis=-1)
    luma = colours.astype(float) @ [0.299, 0.587, 0.114]
    found = made(dicom(colours, WindowCenter=5, WindowWidth=9, RescaleSlope=7, PixelPaddingValue=0))
    assert np.abs(found - script(luma, 8).astype(int)).max() <= 1
    assert refused(dicom(colours), Recipe("window:100/200", None)) == "bad-window"


def test_boxes_as_fractions_stay_where_they_are_when_pixels_become_square():
    values = np.full((60, 48), 100, np.uint16)
    values[20:40, 12:36] = 900  # a third to two thirds of the rows, a quarter to three of the columns
    found = made(dicom(values, PixelAspectRatio=[3, 1])) > 127
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert (rows[0], rows[-1] + 1) == (60, 120)
    assert (columns[0], columns[-1] + 1) == (12, 36)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (dicom(np.full((20, 20), 7, np.uint16)), "blank"),
        (dicom(np.full((20, 20), 7, np.uint16), PixelPaddingValue=7), "blank"),
        (dicom(gray(), WindowCenter=60000, WindowWidth=9), "blank"),
        (dicom(gray(9, 20)), "too-small"),
        (dicom(gray(), PixelAspectRatio=[1000, 1]), "bad-aspect"),
        (dicom(gray(), PixelAspectRatio=[0, 1]), "bad-aspect"),
    ],
    ids=["one value", "only padding", "beside the window", "small", "long pixels", "no pixels"],
)
def test_what_gives_no_picture_is_refused(data, code):
    assert refused(data) == code


def test_a_picture_whose_square_pixels_are_too_many_is_refused(monkeypatch):
    monkeypatch.setattr(making, "MAX_PIXELS", 10_000)
    assert refused(dicom(gray(), PixelAspectRatio=[5, 1])) == "too-large"


@given(st.integers(10, 40), st.integers(10, 40), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_png_has_the_values_and_nothing_else(rows, columns, seed):
    values = gray(rows, columns, seed=seed, bits=8)
    data = making.png(values)

    assert np.array_equal(pixels.decode(data), values)
    assert pixels.bare_png(data) == data
    assert making.png(values.copy()) == data
    with Image.open(io.BytesIO(data)) as image:
        assert (image.mode, image.info) == ("L", {})
        image.verify()
