"""Bytes to gray values: what Pillow refuses is refused with a sentence, what it takes gives the same pixels."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from radloop import pixels
from radloop.errors import SourceError

GRAY = ((np.add.outer(np.arange(40) * 3, np.arange(60) * 2)) % 256).astype(np.uint8)
COLOUR = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)


def png(array, mode=None, **options):
    image = Image.fromarray(array)
    return saved(image.convert(mode) if mode else image, "PNG", **options)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width, height):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


KINDS = {
    "gray": png(GRAY),
    "gray as RGB": png(GRAY, "RGB"),
    "gray as RGBA": png(GRAY, "RGBA"),
    "gray and alpha": png(GRAY, "LA"),
    "palette": png(GRAY, "P"),
    "16-bit": png(GRAY.astype(np.uint16) * 257),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_gray_png_gives_the_same_pixels(kind):
    gray = pixels.decode(KINDS[kind])
    assert np.array_equal(gray, GRAY)
    assert pixels.fingerprint(gray) == pixels.fingerprint(GRAY)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_colour_becomes_the_luma_that_pillow_makes_of_it(kind):
    data = saved(Image.fromarray(COLOUR), kind)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("L")).astype(int)
    assert np.abs(pixels.decode(data) - expected).max() <= 1


def test_a_one_bit_png_and_a_cmyk_jpeg_are_decoded():
    assert pixels.decode(png(GRAY, "1")).shape == GRAY.shape
    assert pixels.decode(saved(Image.fromarray(GRAY).convert("CMYK"), "JPEG")).shape == GRAY.shape


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"", "empty", id="zero bytes"),
        pytest.param(b"image_id,class_name\n", "neither a PNG nor a JPEG", id="text"),
        pytest.param(saved(Image.fromarray(GRAY), "BMP"), "neither a PNG nor a JPEG", id="bitmap"),
        pytest.param(KINDS["gray"][:20], "no size in its header", id="header cut"),
        pytest.param(KINDS["gray"][:-12], "no end chunk", id="end chunk missing"),
        pytest.param(KINDS["gray"][:-40], "ends inside its chunk IDAT", id="data cut"),
        pytest.param(KINDS["gray"][:33] + KINDS["gray"][-12:], "damaged", id="no data"),
        pytest.param(saved(Image.fromarray(GRAY), "JPEG")[:-2], "would rewrite this JPEG", id="JPEG without end"),
        pytest.param(saved(Image.fromarray(GRAY), "JPEG") + b"\n", "would rewrite this JPEG", id="JPEG and more"),
        pytest.param(saved(Image.fromarray(GRAY), "JPEG")[:200] + b"\xff\xd9", "damaged", id="JPEG cut, with an end"),
        pytest.param(header(50_000, 50_000), "more than 89 million pixels", id="bomb"),
        pytest.param(header(2**31 - 1, 2**31 - 1), "more than 89 million pixels", id="huge bomb"),
        pytest.param(header(0, 0), "under 10 px", id="no pixels"),
        pytest.param(png(GRAY[:9]), "60×9 px: a trainer refuses a side under 10 px", id="too small"),
        pytest.param(saved(Image.fromarray(GRAY), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"
                     b"\0\x06\0\0\0\0\0\0"), "save it upright", id="turned by EXIF"),
    ],
)  # fmt: skip
def test_hostile_bytes_are_refused_with_a_sentence(data, sentence):
    with pytest.raises(SourceError, match=sentence):
        pixels.decode(data)


@pytest.mark.parametrize("kind", [b"IHDR", b"tEXt", b"IDAT", b"IEND"], ids=bytes.decode)
def test_a_wrong_checksum_of_any_chunk_is_refused(kind):
    whole = KINDS["gray"]
    data = bytearray(whole[:33] + chunk(b"tEXt", b"a\0b") + whole[33:])
    at = data.index(kind) - 4
    end = at + 8 + int.from_bytes(data[at : at + 4])
    data[end] ^= 1
    with pytest.raises(SourceError, match=f"wrong checksum of the PNG's chunk {kind.decode()}"):
        pixels.decode(bytes(data))


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_what_pillow_refuses_is_refused(kind, data):
    whole = KINDS[kind]
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start, len(whole)))
    damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[stop:]
    try:
        gray = pixels.decode(damaged)
    except SourceError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.open(io.BytesIO(damaged)).verify()
        image = Image.open(io.BytesIO(damaged))
        image.load()
    assert image.size == gray.shape[::-1]


def test_the_header_alone_gives_the_size():
    assert pixels.header_size(KINDS["gray"][:24]) == (60, 40)
    jpeg = saved(Image.fromarray(COLOUR), "JPEG", progressive=True, comment=b"x" * 5000)
    assert pixels.header_size(jpeg[:4096]) is None
    assert pixels.header_size(jpeg) == (60, 40)
    assert pixels.header_size(b"text") is None


@pytest.mark.parametrize("shape", [(10, 10), (11, 200), (200, 130)], ids=str)
def test_statistics_equal_those_of_numpy_and_scipy(shape):
    gray = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    mean, std, sharpness = pixels.statistics(gray)
    assert mean == pytest.approx(gray.mean())
    assert std == pytest.approx(gray.std())
    assert sharpness == pytest.approx(ndimage.laplace(gray.astype(float))[1:-1, 1:-1].var(), rel=1e-5)


def test_the_fingerprint_tells_pictures_apart():
    changed = GRAY.copy()
    changed[39, 59] ^= 1
    flat = np.zeros((20, 30), np.uint8)
    assert pixels.fingerprint(changed) != pixels.fingerprint(GRAY)
    assert pixels.fingerprint(flat) != pixels.fingerprint(flat.T)


def test_bare_png_has_the_pixels_and_no_text():
    marked = PngInfo()
    marked.add_text("PatientName", "Doe^Jane")
    data = png(GRAY, pnginfo=marked) + b"and more behind its end"
    bare = pixels.bare_png(data)
    assert b"Doe^Jane" in data
    assert b"Doe^Jane" not in bare
    assert bare.endswith(b"IEND\xaeB`\x82")
    assert np.array_equal(pixels.decode(bare), GRAY)


@pytest.mark.parametrize("mode", ["RGB", "I;16", "1", "LA", "P"])
def test_only_a_gray_png_of_eight_bits_can_be_bare(mode):
    assert pixels.bare_png(saved(Image.new(mode, (20, 20)), "PNG")) is None
    assert pixels.bare_png(saved(Image.new("L", (20, 20)), "JPEG")) is None


def test_deep_values_are_those_of_the_file():
    values = GRAY.astype(np.uint16) * 257 + 3
    assert np.array_equal(pixels.decode_deep(png(values)), values)
    assert np.array_equal(pixels.decode(png(values)), values >> 8)
    assert pixels.decode_deep(png(GRAY)).dtype == np.uint8
