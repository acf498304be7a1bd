"""The pictures beside programs that are not ours: dcmtk, pydicom's other decoders, a plain numpy script.

On the files that pydicom has in its wheel, and on some that dcmtk packs; what is not decoded stands in docs/dicom.md.
"""

import io
import subprocess
import warnings
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGExtended12Bit

from dicom_files import dicom, gray
from pacs_tools import tool
from radloop.dicom import frames, radiograph
from radloop.dicom import gray as making
from radloop.errors import DicomError
from radloop.recipe import Recipe

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
PAGE = Path(__file__).parents[1] / "docs" / "dicom.md"
ORIGINAL = Recipe("vinbigdata", None)

# By code, each of pydicom's files that gives no picture
REFUSED = {
    "bad-header": {"badVR.dcm"},
    "bits": {
        *("SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm", "liver_1frame.dcm", "liver_expb_1frame.dcm"),
        *("rtdose_1frame.dcm", "rtdose_expb_1frame.dcm", "rtdose_rle_1frame.dcm"),
    },
    "cut-off": {"MR_truncated.dcm"},
    "multi-frame": {
        *("SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_rle_32bit_2frame.dcm"),
        *("examples_ybr_color.dcm", "rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"),
    },
    "no-pixels": {
        *("DICOMDIR-empty.dcm", "UN_sequence.dcm", "empty_charset_LEI.dcm", "no_meta_group_length.dcm", "priv_SQ.dcm"),
        *("reportsi.dcm", "reportsi_with_empty_number_tags.dcm", "rtplan.dcm", "rtplan_truncated.dcm", "test-SR.dcm"),
        "waveform_ecg.dcm",
    },
    "no-uid": {"nested_priv_SQ.dcm"},
    "not-dicom": {"ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "no_meta.dcm", "rtstruct.dcm"},
    "too-small": {"SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd_jpeg.dcm"},
    "transfer-syntax": {"meta_missing_tsyntax.dcm"},
    "wrong-length": {"MR_small_padded.dcm"},
    "wrong-size": {"JPEG2000-embedded-sequence-delimiter.dcm"},
}
DECODED = sorted(path.name for path in FILES.glob("*.dcm") if path.name not in set().union(*REFUSED.values()))


@cache
def made(name: str) -> tuple[radiograph.Radiograph, np.ndarray]:
    found = radiograph.read((FILES / name).read_bytes())
    return found, making.make(found, ORIGINAL)


def is_colour(found: radiograph.Radiograph) -> bool:
    return found.frame.samples == 3 or found.frame.photometric == "PALETTE COLOR"


def by_dcmtk(path: Path, folder: Path, *wishes: str) -> np.ndarray | None:
    """What dcmtk shows, in 16 bits; None where none of its programs decodes it."""
    for program in ("dcm2pnm", "dcmj2pnm", "dcml2pnm"):
        out = folder / "out.pgm"
        command = [tool(program), "-q", "-O", "+opn", "16", *wishes, path, out]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            words = [word for line in out.read_text().splitlines() if line[0] != "#" for word in line.split()]
            return np.array(words[4:], float).reshape(int(words[2]), int(words[1]))
    return None


def stretched(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return ((values - low) / (high - low) * 255).astype(np.uint8).astype(int)


def test_of_pydicoms_files_the_same_are_refused_as_ever_and_nothing_else_is_raised():
    refused = defaultdict(set)
    for path in FILES.rglob("*.dcm"):
        try:
            made(path.relative_to(FILES).as_posix())
        except DicomError as error:
            refused[error.code].add(path.name)
    assert refused == REFUSED
    assert len(DECODED) == 41


def test_the_page_says_how_many_are_decoded_and_why_the_others_are_not():
    page = PAGE.read_text(encoding="utf-8")
    for code, names in REFUSED.items():
        listed = [line for line in page.splitlines() if line.startswith(f"| `{code}` | {len(names)} |")]
        assert len(listed) == 1, code
        assert all(f"`{name}`" in listed[0] for name in names)
    assert f"{len(DECODED)} of them become a picture" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", DECODED)
def test_gray_values_are_those_of_dcmtk(name, tmp_path):
    found, picture = made(name)
    if is_colour(found):
        expected = by_dcmtk(FILES / name, tmp_path, "+G")
        turned = name == "SC_ybr_full_422_uncompressed.dcm"  # dcmtk cuts its colours off to 8 bits, then their luma
        if (
            expected is not None and found.frame.samples == 3 and not turned
        ):  # and here the luma, before it is stretched
            assert np.abs(frames.decode(found.frame).words - expected).max() <= 256
        elif expected is not None:
            assert np.abs(picture - stretched(expected)).max() <= 1
    else:
        window = ["+Wi", "1"] if found.dataset.get("WindowCenter") else ["+Wm"]
        expected = by_dcmtk(FILES / name, tmp_path, *window)
        if expected is not None:
            assert np.abs(picture - stretched(expected)).max() <= 1
    of_jpeg_2000 = found.frame.syntax in frames._JPEG_2000
    assert (expected is None) == (of_jpeg_2000 or name == "SC_rgb_jpeg.dcm")  # which dcmtk does not decode


@pytest.mark.slow
@pytest.mark.parametrize(("centre", "width"), [(300, 501), (40, 400), (1000, 1)])
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "JPGExtended.dcm", "examples_overlay.dcm"])
def test_a_window_is_that_of_dcmtk(name, centre, width, tmp_path):
    found, _ = made(name)
    expected = by_dcmtk(FILES / name, tmp_path, "+Ww", str(centre), str(width))
    if expected.min() == expected.max():
        with pytest.raises(DicomError, match="alike"):
            making.make(found, Recipe(f"window:{centre}/{width}", None))
    else:
        picture = making.make(found, Recipe(f"window:{centre}/{width}", None))
        assert np.abs(picture - expected / 257).max() <= 1


def by_script(name: str, size: int) -> np.ndarray:
    """The rule of VinBigData as the script that made the pictures on Kaggle has it; pydicom decodes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(FILES / name)
        data = dataset.pixel_array.astype(np.float64)
        data = data * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
        if dataset.get("WindowCenter"):
            centre, width = (np.atleast_1d(dataset[tag].value)[0] for tag in ("WindowCenter", "WindowWidth"))
            data = np.clip((data - (float(centre) - 0.5)) / (float(width) - 1) + 0.5, 0, 1)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            data = np.amax(data) - data
    data = data - np.min(data)
    data = data / np.max(data)
    return np.asarray(Image.fromarray((data * 255).astype(np.uint8)).resize((size, size), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("name", DECODED)
def test_the_rule_of_vinbigdata_is_that_of_a_plain_script(name):
    found, _ = made(name)
    of_deep_jpeg = found.frame.syntax == JPEGExtended12Bit  # which pydicom does not decode
    if is_colour(found) or of_deep_jpeg or "PixelPaddingValue" in found.dataset:  # which the script does not know of
        return
    picture = making.make(found, Recipe("vinbigdata", 300)).astype(int)
    assert np.abs(picture - by_script(name, 300)).max() <= 1


@pytest.mark.parametrize("name", DECODED)
def test_decoders_do_not_differ(name):
    found, _ = made(name)
    if is_colour(found):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(FILES / name)
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
        decoded = frames.decode(found.frame)
        values = making.lookup._stored(decoded)[decoded.words]
        compared = 0
        for plugin in decoder.available_plugins or ("",):
            try:
                others, _ = decoder.as_array(dataset, decoding_plugin=plugin)
            except (RuntimeError, NotImplementedError):
                continue
            assert np.array_equal(others, values), plugin
            compared += 1
    assert compared or found.frame.syntax == JPEGExtended12Bit


def packed_by_dcmtk(values: np.ndarray, folder: Path, *wishes: str, **tags) -> tuple[bytes, np.ndarray]:
    """A file that dcmtk packs, and what dcmtk unpacks of it."""
    plain, packed, unpacked = (folder / name for name in ("plain.dcm", "packed.dcm", "unpacked.dcm"))
    plain.write_bytes(dicom(values, **tags))
    program, *others = wishes
    subprocess.run([tool(program), *others, plain, packed], check=True)
    back = {"dcmcjpeg": "dcmdjpeg", "dcmcjpls": "dcmdjpls", "dcmcrle": "dcmdrle"}[program]
    subprocess.run([tool(back), packed, unpacked], check=True, capture_output=True)
    return packed.read_bytes(), pydicom.dcmread(io.BytesIO(unpacked.read_bytes())).pixel_array


PACKED = [
    ("dcmcjpeg", "+e1"),
    ("dcmcjpeg", "+el", "+sv", "6"),
    ("dcmcjpeg", "+ee"),
    ("dcmcjpeg", "+ee", "+q", "30"),
    ("dcmcjpls", "+el"),
    ("dcmcjpls", "+en"),
    ("dcmcrle",),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wishes", "bits"),
    [
        pytest.param(wishes, bits, id=f"{' '.join(wishes)}, {bits} bits")
        for wishes in PACKED
        for bits in (8, 12, 16)
        if "+ee" not in wishes or bits < 16  # lossy JPEG has 8 or 12 bits
    ],
)
def test_what_dcmtk_packs_is_decoded_to_what_dcmtk_unpacks(wishes, bits, tmp_path):
    draw = np.random.default_rng(bits)
    values = gray(97, 61, bits=bits).astype(int)
    noisy = np.clip(values + draw.normal(0, 2**bits / 50, values.shape), 0, 2**bits - 1)
    noisy = noisy.astype(np.uint8 if bits == 8 else np.uint16)
    data, expected = packed_by_dcmtk(noisy, tmp_path, *wishes, BitsStored=bits, HighBit=bits - 1)

    assert np.array_equal(frames.decode(radiograph.read(data).frame).words, expected)


@pytest.mark.slow
@pytest.mark.parametrize("wishes", [("dcmcjpeg", "+e1"), ("dcmcjpls", "+el"), ("dcmcrle",)], ids=" ".join)
def test_signs_survive_packing(wishes, tmp_path):
    values = gray(bits=12).astype(np.int16) - 1000
    data, expected = packed_by_dcmtk(values, tmp_path, *wishes)
    decoded = frames.decode(radiograph.read(data).frame)

    assert np.array_equal(making.lookup._stored(decoded)[decoded.words], expected)
    assert np.array_equal(expected, values)


def table(first: int, bits: int, entries: np.ndarray) -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), first, bits], entries.astype("<u2").tobytes()
    return item


CURVE = np.rint(65535 * np.linspace(0, 1, 4096) ** 0.6)
HEADERS = {
    "window": ({"WindowCenter": 1500, "WindowWidth": 2000}, "+Wi"),
    "two windows": ({"WindowCenter": [2500, 100], "WindowWidth": [800, 20]}, "+Wi"),
    "sigmoid": ({"WindowCenter": 2000, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"}, "+Wi"),
    "table": ({"VOILUTSequence": [table(0, 16, CURVE)]}, "+Wl"),
    "short table": ({"VOILUTSequence": [table(700, 16, CURVE[:2000])]}, "+Wl"),
    "slope": ({"RescaleSlope": 2.5, "RescaleIntercept": -900, "WindowCenter": 2000, "WindowWidth": 3000}, "+Wi"),
    "falling slope": ({"RescaleSlope": -1, "RescaleIntercept": 0, "WindowCenter": -2000, "WindowWidth": 900}, "+Wi"),
    "modality table": ({"ModalityLUTSequence": [table(0, 16, CURVE)]}, "+Wm"),
    "modality table and window": (
        {"ModalityLUTSequence": [table(0, 16, CURVE)], "WindowCenter": 40000, "WindowWidth": 30000},
        "+Wi",
    ),
}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("header", HEADERS)
def test_tables_and_windows_of_a_header_are_those_of_dcmtk(header, photometric, tmp_path):
    tags, wish = HEADERS[header]
    data = dicom(gray(bits=12), PhotometricInterpretation=photometric, **tags)
    (tmp_path / "a.dcm").write_bytes(data)
    expected = by_dcmtk(tmp_path / "a.dcm", tmp_path, *([wish] if wish == "+Wm" else [wish, "1"]))

    assert np.abs(making.make(radiograph.read(data), ORIGINAL) - stretched(expected)).max() <= 1
