"""The files that tests of DICOM are made of: pydicom reads what went in, and equal wishes give equal bytes."""

import io

import numpy as np
import pydicom
import pytest
from pydicom import uid

from dicom_files import LOSSLESS, dicom, gray, uid_of, with_file, write


def read(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(data))


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [8, 12])
def test_pixels_come_back(syntax, bits):
    pixels = gray(31, 17, bits=bits)

    assert np.array_equal(read(dicom(pixels, syntax=syntax)).pixel_array, pixels)


def test_signed_values_and_colours_come_back():
    signed = gray().astype(np.int16) - 1000
    colours = np.stack([gray(seed=seed, bits=8) for seed in range(3)], axis=-1)

    assert np.array_equal(read(dicom(signed)).pixel_array, signed)
    assert np.array_equal(read(dicom(colours)).pixel_array, colours)


def test_baseline_jpeg_comes_back_nearly():
    pixels = gray(bits=8)

    back = read(dicom(pixels, syntax=uid.JPEGBaseline8Bit)).pixel_array

    assert np.abs(back.astype(int) - pixels).max() <= 4


def test_equal_wishes_give_equal_bytes_and_every_tag_may_be_named_or_left_out():
    data = dicom(gray(), PatientID="4711", ViewPosition=None)

    assert data == dicom(gray(), PatientID="4711", ViewPosition=None)
    assert read(data).PatientID == "4711"
    assert "ViewPosition" not in read(data)
    assert read(dicom(gray(), number=7)).SOPInstanceUID == uid_of(7)


def test_a_file_may_be_changed_in_any_way(tmp_path):
    data = with_file(dicom(gray()), lambda dataset: dataset.add_new((0x0009, 0x0010), "LO", "VENDOR"))

    assert read(write(tmp_path, "deep/a.dcm", data).read_bytes())[0x0009, 0x0010].value == "VENDOR"
