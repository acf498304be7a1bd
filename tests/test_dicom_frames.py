"""Pixel data become the words that are stored, whatever packs them, or a refusal; never another picture."""

import io
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from dicom_files import LOSSLESS, dicom, gray, with_file
from radloop.dicom import frames, radiograph
from radloop.errors import DicomError, SourceError

COLOURS = np.stack([gray(seed=seed, bits=8) for seed in range(3)], axis=-1)


def frame(data: bytes) -> frames.Frame:
    return radiograph.read(data).frame


def decoded(data: bytes) -> frames.Decoded:
    return frames.decode(frame(data))


def refused(data: bytes) -> str:
    with pytest.raises(DicomError) as told:
        decoded(data)
    return told.value.code


def luma(colours: np.ndarray) -> np.ndarray:
    return np.rint(colours.astype(float) @ [0.299, 0.587, 0.114] * 256)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_words_come_back_as_they_were_stored(syntax, bits):
    values = gray(31, 17, bits=bits)
    found = decoded(dicom(values, syntax=syntax))

    assert np.array_equal(found.words, values)
    assert (found.low_bit, found.signed) == (0, False)
    assert found.bits in (bits, 16)  # Pillow packs 12 bits as 16


@pytest.mark.parametrize("syntax", LOSSLESS[:5], ids=lambda syntax: syntax.name)
def test_signs_stay_in_the_words(syntax):
    values = gray().astype(np.int16) - 1000
    found = decoded(dicom(values, syntax=syntax))

    assert found.signed
    assert np.array_equal(found.words.view(np.int16), values)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless])
def test_colours_become_their_luma(syntax):
    found = decoded(dicom(COLOURS, syntax=syntax))

    assert np.abs(found.words - luma(COLOURS)).max() <= 1
    assert (found.bits, found.signed) == (16, False)


def test_planes_of_colours_are_read_as_planes():
    planes = np.ascontiguousarray(COLOURS.transpose(2, 0, 1)).tobytes()
    data = with_file(dicom(COLOURS, PlanarConfiguration=1), lambda dataset: setattr(dataset, "PixelData", planes))

    assert np.array_equal(decoded(data).words, decoded(dicom(COLOURS)).words)


def test_colours_that_two_pixels_share_are_given_to_both():
    ybr = np.asarray(Image.fromarray(COLOURS).convert("YCbCr"))
    pairs = np.concatenate([ybr[:, ::2, :1], ybr[:, 1::2, :1], ybr[:, ::2, 1:]], axis=2)
    tags = {"PhotometricInterpretation": "YBR_FULL_422", "BitsAllocated": 8}

    def change(dataset):
        dataset.update(tags)
        dataset.PixelData = pairs.tobytes()

    shared = np.repeat(ybr[:, ::2, 1:], 2, axis=1)
    expected = np.asarray(Image.fromarray(np.concatenate([ybr[..., :1], shared], axis=2), "YCbCr").convert("RGB"))
    assert np.abs(decoded(with_file(dicom(COLOURS), change)).words - luma(expected)).max() <= 1


def test_eight_bits_in_words_of_a_big_endian_file_are_swapped():
    values = gray(12, 13, bits=8)
    swapped = np.frombuffer(values.tobytes(), "<u2").byteswap().tobytes()

    def change(dataset):
        dataset.PixelData = swapped
        dataset["PixelData"].VR = "OW"

    assert np.array_equal(decoded(with_file(dicom(values, syntax=uid.ExplicitVRBigEndian), change)).words, values)


@pytest.mark.parametrize("colour", [False, True], ids=["gray", "colour"])
def test_lossy_jpeg_comes_back_nearly(colour):
    values = COLOURS if colour else gray(bits=8)
    found = decoded(dicom(values, syntax=uid.JPEG2000Lossless if colour else uid.JPEGBaseline8Bit))

    assert np.abs(found.words - (luma(values) if colour else values.astype(float))).max() <= (1 if colour else 4)


def test_jpeg_whose_colours_were_not_turned_is_not_turned():
    packed = io.BytesIO()
    Image.fromarray(COLOURS).save(packed, "JPEG", quality=100, subsampling=0, keep_rgb=True)
    marked = packed.getvalue()
    jfif = with_file(
        dicom(COLOURS, syntax=uid.JPEGBaseline8Bit),
        lambda dataset: dataset.update({"PixelData": encapsulate([marked]), "PhotometricInterpretation": "RGB"}),
    )

    assert np.abs(decoded(jfif).words / 256 - luma(COLOURS) / 256).max() <= 4


@pytest.mark.parametrize("syntax", [*LOSSLESS[4:], uid.JPEGBaseline8Bit], ids=lambda syntax: syntax.name)
def test_packed_pixels_of_another_size_than_the_header_are_refused(syntax):
    data = with_file(dicom(gray(24, 20, bits=8), syntax=syntax), lambda dataset: setattr(dataset, "Rows", 30))
    assert refused(data) == ("short-pixels" if syntax == uid.RLELossless else "wrong-size")


def test_packed_and_plain_are_not_taken_for_each_other():
    plain = frame(dicom(gray()))
    with pytest.raises(DicomError) as told:
        frames.check(replace(plain, length=None))
    assert told.value.code == "wrong-length"
    with pytest.raises(DicomError) as told:
        frames.check(replace(plain, syntax=uid.RLELossless))
    assert told.value.code == "wrong-length"


def test_a_packed_picture_without_its_end_is_refused_though_decoders_fill_it_up():
    for syntax in (uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.JPEGLSLossless):
        packed = frames._single_fragment(frame(dicom(gray(bits=8), syntax=syntax)))
        cut = encapsulate([packed[: len(packed) // 2]])
        data = with_file(
            dicom(gray(bits=8), syntax=syntax), lambda dataset, cut=cut: setattr(dataset, "PixelData", cut)
        )
        assert refused(data) == "cut-off"


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless], ids=lambda syntax: syntax.name)
def test_a_decoder_that_is_not_installed_is_no_damage(syntax, monkeypatch):
    found = frame(dicom(gray(), syntax=syntax))
    monkeypatch.setitem(sys.modules, "openjpeg.utils", None)
    monkeypatch.setattr(frames.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"pip install 'radloop\[dicom\]'") as told:
        frames.decode(found)
    assert not isinstance(told.value, DicomError)


def test_progressive_jpeg_is_no_baseline():
    packed = io.BytesIO()
    Image.fromarray(gray(bits=8)).save(packed, "JPEG", progressive=True)
    data = with_file(
        dicom(gray(bits=8), syntax=uid.JPEGBaseline8Bit),
        lambda dataset: setattr(dataset, "PixelData", encapsulate([packed.getvalue()])),
    )
    assert refused(data) == "transfer-syntax"


def test_empty_pixel_data_are_refused():
    def empty(dataset):
        dataset.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"  # the table of offsets alone

    assert refused(with_file(dicom(gray(), syntax=uid.JPEG2000Lossless), empty)) == "short-pixels"


def test_runs_that_unpack_to_more_than_the_picture_stop_at_its_size():
    assert frames._unpack_runs(b"\x81\x07" * 10**6, 200) == b"\x07" * 200


@given(st.binary(max_size=400))
def test_runs_come_back(data):
    runs = b"".join(bytes([len(part) - 1]) + part for part in (data[at : at + 128] for at in range(0, len(data), 128)))
    assert frames._unpack_runs(runs, len(data)) == data
