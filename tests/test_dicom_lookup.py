"""Every stored value is shown as the header's tables and windows say."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from radloop.dicom import lookup
from radloop.dicom.frames import Decoded
from radloop.errors import DicomError
from radloop.recipe import Recipe

VINBIGDATA, MINMAX = Recipe("vinbigdata", None), Recipe("minmax", None)


def header(**tags) -> Dataset:
    dataset = Dataset()
    for keyword, value in {"PhotometricInterpretation": "MONOCHROME2", **tags}.items():
        setattr(dataset, keyword, value)
    return dataset


def table(descriptor, data) -> Dataset:
    return header(LUTDescriptor=descriptor, LUTData=data)


def words(*, bits: int = 12, low_bit: int = 0, signed: bool = False) -> Decoded:
    return Decoded(np.zeros((1, 1), np.uint16 if bits > 8 else np.uint8), low_bit, bits, signed)


def shown(dataset: Dataset, decoded: Decoded | None = None, recipe: Recipe = VINBIGDATA) -> np.ndarray:
    return lookup.shown(dataset, decoded or words(), recipe)


def refused(dataset: Dataset, **wishes) -> str:
    with pytest.raises(DicomError) as told:
        shown(dataset, **wishes)
    return told.value.code


def test_without_tables_values_are_shown_as_they_are():
    assert np.array_equal(shown(header())[:4096], np.arange(4096))
    assert np.array_equal(shown(header(), words(bits=8)), np.arange(256))


def test_bits_beside_the_value_do_not_count():
    found = shown(header(), words(bits=12, low_bit=2))
    assert found[0b1100_0000_0000_0111] == 0b0001
    signed = shown(header(), words(bits=12, signed=True))
    assert (signed[0x0FFF], signed[0x07FF], signed[0xF800]) == (-1, 2047, -2048)


def test_slope_and_intercept_come_before_a_window():
    dataset = header(RescaleSlope=2, RescaleIntercept=-100, WindowCenter=0.5, WindowWidth=101)
    found = shown(dataset)
    assert (found[0], found[50], found[100]) == (0, 4095 / 2, 4095)
    assert shown(dataset, recipe=MINMAX)[100] == 100


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_pydicom(function):
    tags = {"WindowCenter": 1000.5, "WindowWidth": 600, "VOILUTFunction": function}
    dataset = header(**tags, BitsStored=12, PixelRepresentation=0)
    expected = apply_windowing(np.arange(4096, dtype=np.uint16), dataset)

    assert np.abs(shown(dataset)[:4096] - expected).max() < 1e-9


def test_of_several_windows_the_first_counts_and_a_table_before_any_window():
    several = header(WindowCenter=[100, 2000], WindowWidth=[50, 4000])
    assert np.array_equal(shown(several), shown(header(WindowCenter=100, WindowWidth=50)))
    with_table = header(WindowCenter=100, WindowWidth=50, VOILUTSequence=[table([3, 10, 16], [7, 8, 900])])
    assert shown(with_table)[[0, 10, 11, 12, 4000]].tolist() == [7, 7, 8, 900, 900]


def test_a_window_of_the_recipe_takes_the_place_of_the_files():
    dataset = header(WindowCenter=100, WindowWidth=50)
    found = shown(dataset, recipe=Recipe("window:1000/401", None))
    assert (found[799], found[1000], found[1200]) == (0, 0.50125, 1)


def test_tables_come_as_numbers_or_as_bytes():
    numbers = header(ModalityLUTSequence=[table([4, 0, 16], [9, 7, 5, 300])])
    expected = [9, 7, 5, 300]
    assert shown(numbers)[:4].tolist() == expected
    as_bytes = header(ModalityLUTSequence=[table([4, 0, 16], np.array(expected, "<u2").tobytes())])
    assert shown(as_bytes)[:4].tolist() == expected
    small = header(ModalityLUTSequence=[table([4, 0, 8], b"\x09\x07\x05\x01")])
    assert shown(small)[:4].tolist() == [9, 7, 5, 1]


def test_a_table_may_begin_below_zero_and_have_all_65536_entries():
    dataset = header(ModalityLUTSequence=[table([3, 0xFFFF, 16], [5, 6, 7])])
    found = shown(dataset, words(bits=16, signed=True))
    assert (found[0xFFF0], found[0xFFFF], found[0], found[1], found[9]) == (5, 5, 6, 7, 7)
    whole = header(ModalityLUTSequence=[table([0, 0, 16], np.arange(0x10000)[::-1].astype("<u2").tobytes())])
    assert shown(whole, words(bits=16))[[0, 0xFFFF]].tolist() == [0xFFFF, 0]


def test_monochrome1_is_turned_round():
    assert np.array_equal(shown(header(PhotometricInterpretation="MONOCHROME1")), -shown(header()))
    window = Recipe("window:1000/401", None)
    turned = shown(header(PhotometricInterpretation="MONOCHROME1"), recipe=window)
    assert np.array_equal(turned, 1 - shown(header(), recipe=window))


@pytest.mark.parametrize(
    ("tags", "signed", "padding"),
    [
        ({"PixelPaddingValue": 7}, False, {7}),
        ({"PixelPaddingValue": 5, "PixelPaddingRangeLimit": 3}, False, {3, 4, 5}),
        ({"PixelPaddingValue": 63536}, True, {63536}),
        ({"PixelPaddingValue": 65535}, False, {65535}),
        ({}, False, set()),
    ],
    ids=str,
)
def test_padding_is_no_part_of_the_radiograph(tags, signed, padding):
    found = shown(header(**tags), words(bits=16, signed=signed))
    assert set(np.flatnonzero(np.isnan(found)).tolist()) == padding


def test_a_palette_becomes_the_luma_of_its_colours():
    dataset = header(PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, PixelRepresentation=0)
    for colour, first in (("Red", 0), ("Green", 1000), ("Blue", 2000)):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        entries = (np.arange(256) * 100 + first).astype("<u2").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", entries)
    found = shown(dataset, words(bits=8))
    assert np.abs(found - (np.arange(256) * 100 + 587 + 228)).max() < 1e-6
    del dataset.RedPaletteColorLookupTableData
    assert refused(dataset, decoded=words(bits=8)) == "bad-table"


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"WindowCenter": 10, "WindowWidth": 0}, "bad-window"),
        ({"WindowCenter": 10, "WindowWidth": -5}, "bad-window"),
        ({"WindowCenter": 10, "WindowWidth": 0.5}, "bad-window"),
        ({"WindowCenter": 10}, "bad-window"),
        ({"WindowCenter": 10, "WindowWidth": 50, "VOILUTFunction": "CUBIC"}, "bad-window"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "bad-table"),
        ({"ModalityLUTSequence": [table([4, 0, 16], [1, 2])]}, "bad-table"),
        ({"VOILUTSequence": [table([4, 0], [1, 2, 3, 4])]}, "bad-table"),
        ({"VOILUTSequence": [Dataset()]}, "bad-table"),
    ],
    ids=str,
)
def test_what_says_nothing_is_refused(tags, code):
    assert refused(header(**tags)) == code


def test_a_window_of_no_number_is_refused():
    with pytest.raises(DicomError, match="nan wide"):
        lookup.windowed(np.arange(3.0), 1, float("nan"))
