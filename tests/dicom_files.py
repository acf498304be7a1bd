"""DICOM files for tests: an array of gray values or colours, and any tags, as the bytes of a file.

    dicom(pixels)                                                    a plain radiograph, 16 bit, MONOCHROME2
    dicom(pixels, PatientID="4711", PhotometricInterpretation="MONOCHROME1", WindowCenter=None)     None: not there
    dicom(pixels, syntax=uid.RLELossless)
    with_file(dicom(pixels), change)                                 whatever else: `change` gets pydicom's Dataset

Equal arguments give equal bytes.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

ROOT = "1.2.826.0.1.3680043.10.1546"  # of every UID in here; pydicom's own is 1.2.826.0.1.3680043.8.498
LOSSLESS = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEG2000Lossless,
    uid.JPEGLSLossless,
)


def gray(rows: int = 60, columns: int = 48, *, seed: int = 0, bits: int = 12, ends: bool = True) -> np.ndarray:
    """Smooth gray values that no other seed gives; with `ends` the lowest and the highest value are among them."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 6), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((columns, rows), Image.Resampling.BICUBIC), dtype=np.float64)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    top = 2**bits - 1
    values = np.rint(smooth * top if ends else (0.1 + 0.8 * smooth) * top)
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def uid_of(number: int, kind: int = 1) -> str:
    """A UID of tests. kind: 1 image, 2 series, 3 study."""
    return f"{ROOT}.{kind}.{number}"


def dicom(pixels: np.ndarray, *, number: int = 1, syntax: str = uid.ExplicitVRLittleEndian, **tags: Any) -> bytes:
    """The file of an image whose UIDs end in `number`: (rows, columns) gray values or (rows, columns, 3) RGB.

    `tags` are pydicom's keywords; one that is None is left out.
    """
    dataset = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    for keyword, value in {**_image(pixels), **_context(number), **tags}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = _little_endian(pixels)
    dataset["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    meta = dataset.file_meta
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", uid.DigitalXRayImageStorageForPresentation)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", uid_of(number))
    meta.TransferSyntaxUID = uid.UID(syntax)
    meta.ImplementationClassUID = uid.UID(f"{ROOT}.9")
    _encode(dataset, pixels, uid.UID(syntax))
    return written(dataset)


def written(dataset: Dataset) -> bytes:
    """The bytes of a dataset as a file."""
    into = io.BytesIO()
    pydicom.dcmwrite(into, dataset, enforce_file_format=True)
    return into.getvalue()


def with_file(data: bytes, change: Callable[[Dataset], Any]) -> bytes:
    """A DICOM file after `change`, whatever it did to the tags; the pixel data stay as they are encoded."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    change(dataset)
    return written(dataset)


def write(folder: Path, name: str, data: bytes) -> Path:
    """Put a file into a folder, which is made where there is none."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _image(pixels: np.ndarray) -> dict[str, Any]:
    """What describes the pixels."""
    bits = pixels.dtype.itemsize * 8
    signed = int(np.issubdtype(pixels.dtype, np.signedinteger))
    top = int(pixels.max()) if pixels.size else 0
    stored = bits if signed or pixels.ndim == 3 else max(8, top.bit_length())
    colour: dict[str, Any] = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    if pixels.ndim == 3:
        colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return {
        **colour,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "PixelRepresentation": signed,
    }


def _context(number: int) -> dict[str, Any]:
    """Who, when and what: a frontal radiograph of a synthetic patient."""
    return {
        "SOPClassUID": uid.DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": uid_of(number, 1),
        "SeriesInstanceUID": uid_of(number, 2),
        "StudyInstanceUID": uid_of(number, 3),
        "PatientID": f"P{number:05}",
        "PatientName": f"Synthetic^Patient{number}",
        "Modality": "DX",
        "ViewPosition": "PA",
        "StudyDate": "20260105",
        "StudyTime": "101500",
        "InstanceNumber": 1,
        "SeriesNumber": 1,
        "PixelSpacing": [0.15, 0.15],
        "BurnedInAnnotation": "NO",
    }


def _little_endian(pixels: np.ndarray) -> bytes:
    data = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"))).tobytes()
    return data + b"\0" * (len(data) % 2)


def _encode(dataset: FileDataset, pixels: np.ndarray, syntax: uid.UID) -> None:
    """Pack the pixel data in place where the transfer syntax wants that."""
    if syntax == uid.ExplicitVRBigEndian:
        dataset.PixelData = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">"))).tobytes()
    elif syntax == uid.JPEGBaseline8Bit:  # eight bits, lossy
        _encapsulate(dataset, pixels, "JPEG", quality=95, subsampling=0)
        if pixels.ndim == 3:
            dataset.PhotometricInterpretation = "YBR_FULL_422"
    elif syntax == uid.JPEG2000Lossless:
        _encapsulate(dataset, pixels, "JPEG2000", irreversible=False, mct=0, no_jp2=True)
    elif syntax.is_encapsulated:  # RLE, JPEG-LS; gdcm's own encoder of RLE ends the process
        plugin = "pydicom" if syntax == uid.RLELossless else "pyjpegls"
        dataset.compress(syntax, pixels, encoding_plugin=plugin, generate_instance_uid=False)


def _encapsulate(dataset: FileDataset, pixels: np.ndarray, form: str, **wishes: Any) -> None:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, form, **wishes)
    dataset.PixelData = encapsulate([packed.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
