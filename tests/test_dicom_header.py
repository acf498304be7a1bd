"""Values of a header are numbers and text, or nothing, whatever somebody wrote there."""

import pytest
from pydicom.dataset import Dataset

from radloop.dicom import header
from radloop.errors import DicomError


def of(**values) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_text_has_no_padding_and_is_empty_where_there_is_none():
    assert header.text({"Modality": "DX \0"}, "Modality") == "DX"
    assert header.text(of(), "Modality") == ""


def test_numbers_are_all_or_none():
    assert header.numbers(of(WindowCenter=[40, "400.5"]), "WindowCenter") == [40, 400.5]
    assert header.numbers(of(WindowCenter=7), "WindowCenter") == [7]
    assert header.numbers({"WindowCenter": ["1", "x"]}, "WindowCenter") == []
    assert header.numbers({"WindowCenter": b"\x01\x02"}, "WindowCenter") == []
    assert header.numbers(of(WindowCenter=None), "WindowCenter") == []


def test_a_whole_number_that_is_missing_or_none_is_refused():
    assert header.whole(of(Rows=5), "Rows") == 5
    assert header.whole(of(), "Rows", 1) == 1
    with pytest.raises(DicomError, match="does not say its Rows"):
        header.whole(of(), "Rows")
    with pytest.raises(DicomError, match="Rows is not a whole number"):
        header.whole({"Rows": "1A"}, "Rows")
