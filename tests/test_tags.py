"""Text and tags taken off a picture: nothing of them stays, no pixel changes, and no byte of the pixels."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from radloop.errors import SourceError
from radloop.tags import without_tags

NAME = "DOE^JOHN"
GRAY = np.random.default_rng(0).integers(0, 255, (40, 30), dtype=np.uint8)


def saved(form: str, gray: np.ndarray = GRAY, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(gray)
    (picture.convert(mode) if mode else picture).save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation: int | None = None) -> Image.Exif:
    tags = Image.Exif()
    tags[0x010E] = NAME
    if orientation is not None:
        tags[0x0112] = orientation
    return tags


def text(compressed: bool = False, international: bool = False) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if international:
        info.add_itxt("PatientName", NAME)
    else:
        info.add_text("PatientName", NAME, zip=compressed)
    return info


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2) + data


PNG, JPEG = saved("PNG"), saved("JPEG")
END = len(PNG) - 12
THUMBNAIL = b"JFIF\0\1\1\0\0\1\0\1\1\1abc"
TAGGED = {
    "PNG: text": saved("PNG", pnginfo=text()),
    "PNG: compressed text": saved("PNG", pnginfo=text(compressed=True)),
    "PNG: international text": saved("PNG", pnginfo=text(international=True)),
    "PNG: EXIF": saved("PNG", exif=exif()),
    "PNG: a time": PNG[:33] + chunk(b"tIME", b"\x07\xea\1\1\1\1\1") + PNG[33:],
    "PNG: a private chunk": PNG[:33] + chunk(b"prVt", NAME.encode()) + PNG[33:],
    "PNG: a profile": saved("PNG", icc_profile=NAME.encode()),
    "PNG: behind the end": PNG + NAME.encode(),
    "PNG: before the end": PNG[:END] + chunk(b"tEXt", b"a\0" + NAME.encode()) + PNG[END:],
    "PNG: of 16 bits": saved("PNG", GRAY.astype(np.uint16) * 257, pnginfo=text()),
    "PNG: of a palette": saved("PNG", mode="P", pnginfo=text()),
    "PNG: with alpha": saved("PNG", mode="LA", pnginfo=text()),
    "JPEG: EXIF": saved("JPEG", exif=exif()),
    "JPEG: a comment": saved("JPEG", comment=NAME.encode()),
    "JPEG: a profile": saved("JPEG", icc_profile=NAME.encode()),
    "JPEG: progressive": saved("JPEG", progressive=True, exif=exif(), comment=NAME.encode()),
    "JPEG: in colour": saved("JPEG", mode="RGB", exif=exif()),
    "JPEG: CMYK": saved("JPEG", mode="CMYK", exif=exif()),
    "JPEG: with restarts": saved("JPEG", restart_marker_rows=1, exif=exif()),
    "JPEG: XMP": JPEG[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + NAME.encode()) + JPEG[2:],
    "JPEG: Photoshop's": JPEG[:2] + segment(0xED, b"Photoshop 3.0\0" + NAME.encode()) + JPEG[2:],
    "JPEG: a thumbnail": JPEG[:2] + segment(0xE0, THUMBNAIL) + JPEG[20:],
    "JPEG: fill bytes": JPEG[:2] + b"\xff\xff" + segment(0xFE, NAME.encode()) + JPEG[2:],
    "JPEG: before its end": JPEG[:-2] + segment(0xFE, NAME.encode()) + JPEG[-2:],
    "JPEG: a second picture": saved("MPO", save_all=True, append_images=[Image.fromarray(GRAY)]),
}


NUMBERS = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "adobe", "adobe_transform", "dpi"}
NUMBERS |= {"progressive", "progression", "transparency"}


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def compressed(data: bytes) -> bytes:
    """The bytes of the pixels: all of IDAT, or what follows the first scan's header."""
    if data.startswith(b"\xff"):
        start = data.rindex(b"\xff\xda") if b"\xff\xc2" not in data else data.index(b"\xff\xda")
        return data[start : data.index(b"\xff\xd9", start)]
    at, found = 8, b""
    while at < len(data) and data[at + 4 : at + 8] != b"IEND":
        length = int.from_bytes(data[at : at + 4])
        found += data[at + 8 : at + 8 + length] if data[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + length
    return found


@pytest.mark.parametrize("data", TAGGED.values(), ids=TAGGED)
def test_tags_go_and_pixels_stay(data: bytes) -> None:
    bare = without_tags(data)
    assert len(bare) < len(data)
    assert NAME.encode() not in bare
    assert np.array_equal(pixels(bare), pixels(data))
    with Image.open(io.BytesIO(bare)) as picture:
        picture.load()
        assert picture.info.keys() <= NUMBERS
        assert not picture.getexif()
    assert without_tags(bare) is bare


@pytest.mark.parametrize("name", ["PNG: text", "PNG: behind the end", "JPEG: EXIF", "JPEG: in colour"])
def test_compressed_pixels_stay_byte_for_byte(name: str) -> None:
    assert compressed(without_tags(TAGGED[name])) == compressed(TAGGED[name]) != b""


@pytest.mark.parametrize("data", [PNG, JPEG, saved("PNG", dpi=(72, 72)), saved("JPEG", mode="CMYK"), b"other"])
def test_what_has_no_tag_is_the_same_file(data: bytes) -> None:
    assert without_tags(data) is data


@pytest.mark.parametrize("length", [b"\0\0", b"\0\1"])
def test_jpeg_with_a_part_shorter_than_its_length_is_refused(length: bytes) -> None:
    with pytest.raises(SourceError, match="shorter than its own length"):
        without_tags(JPEG[:2] + b"\xff\xdc" + length + JPEG[2:])


@pytest.mark.parametrize("data", [b"\xff\xd8", b"\xff\xd8\xff\xe1", JPEG[:200], JPEG[:-2]])
def test_jpeg_without_an_end_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match="no end"):
        without_tags(data)


@settings(max_examples=200)
@given(
    data=st.binary(max_size=80), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", JPEG[:100], PNG[:60]])
)
def test_no_bytes_end_in_anything_but_a_sentence(data: bytes, start: bytes) -> None:
    try:
        bare = without_tags(start + data)
    except SourceError:
        return
    assert len(bare) <= len(start + data)
