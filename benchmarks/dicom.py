"""DICOM to PNG, beside pydicom and Pillow on the same files: the rule of VinBigData, 1024×1024.

20 generated radiographs, 2500 columns × 3000 rows of 16 bits, half of them MONOCHROME1, each with a window; every one
is read 25 times. Reading the file, decoding, the gray values, the resize and the written PNG are timed.
"""

import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import Bench, Contestant, Limit, Section
from radloop.dicom import gray, radiograph
from radloop.engines import Local
from radloop.recipe import Recipe

ROWS, COLUMNS = 3000, 2500
DISTINCT = 20
SHARD = 10


def run(bench: Bench) -> Section:
    """On two cores, then on one."""
    given = bench.fresh("given")
    given.mkdir()
    rows, columns, count = (300, 250, 20) if bench.quick else (ROWS, COLUMNS, 500)
    for number in range(min(DISTINCT, count)):
        (given / f"{number:02}.dcm").write_bytes(file(number, rows, columns))
    cores = bench.contest(
        "Two processes",
        [
            Contestant("pydicom + Pillow", "benchmarks.dicom:pydicom_and_pillow", options={"jobs": 2}),
            Contestant("radloop", "benchmarks.dicom:radloop", options={"jobs": 2}),
        ],
        given=given,
        unit="files",
        limits=[Limit("pydicom + Pillow", of, "radloop", least=3) for of in ("wall_s", "cpu_s")],
        count=count,
    )
    one = bench.contest(
        "One process",
        [
            Contestant("pydicom + Pillow", "benchmarks.dicom:pydicom_and_pillow", options={"jobs": 1}),
            Contestant("radloop", "benchmarks.dicom:radloop", options={"jobs": 1}),
        ],
        given=given,
        unit="files",
        limits=[
            Limit("pydicom + Pillow", "cpu_s", "radloop", least=3),
            Limit("radloop", "peak_mb", "pydicom + Pillow"),
        ],
        count=count // 5,
    )
    return Section(
        "dicom",
        "DICOM to PNG",
        f"{min(DISTINCT, count)} generated radiographs of {columns}×{rows} px and 16 bits ({count} reads in two "
        "processes, a fifth of that in one), by VinBigData's rule to PNG of 1024×1024. pydicom + Pillow: `dcmread`, "
        "`apply_modality_lut`, `apply_voi_lut`, numpy, `resize`, `save`. All pictures are equal within one gray value.",
        results=[cores, one],
    )


def file(number: int, rows: int, columns: int) -> bytes:
    """A radiograph of smooth shapes and noise."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    draw = np.random.default_rng(number)
    small = Image.fromarray(draw.integers(2000, 60000, (8, 7)).astype(np.float32))
    smooth = np.asarray(small.resize((columns, rows), Image.Resampling.BICUBIC))
    values = np.clip(smooth + draw.normal(0, 300, smooth.shape), 0, 65535).astype(np.uint16)
    dataset = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
    dataset.PhotometricInterpretation = f"MONOCHROME{1 + number % 2}"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 30000, 50000
    dataset.PixelData = values.tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    into = io.BytesIO()
    pydicom.dcmwrite(into, dataset, enforce_file_format=True)
    return into.getvalue()


def radloop(given: Path, fresh: Path, *, jobs: int, count: int) -> Callable[[], int]:
    """As the steps do it: shards over an engine."""
    fresh.mkdir()
    paths = turns(given, count)
    shards = [paths[at : at + SHARD] for at in range(0, count, SHARD)]
    return lambda: sum(Local(jobs).map(partial(make_all, into=fresh), shards))


def make_all(paths: list[tuple[int, Path]], *, into: Path) -> int:
    """A shard of it."""
    for number, path in paths:
        picture = gray.make(radiograph.read(path.read_bytes()), Recipe())
        (into / f"{number}.png").write_bytes(gray.png(picture))
    return len(paths)


def pydicom_and_pillow(given: Path, fresh: Path, *, jobs: int, count: int) -> Callable[[], int]:
    """A script over the same files, in a pool of processes where there are several."""
    fresh.mkdir()
    paths = turns(given, count)

    def work() -> int:
        if jobs == 1:
            return sum(map(partial(convert, into=fresh), paths))
        with ProcessPoolExecutor(jobs) as pool:
            return sum(pool.map(partial(convert, into=fresh), paths, chunksize=SHARD))

    return work


def convert(turn: tuple[int, Path], *, into: Path) -> int:
    """The script that VinBigData's pictures on Kaggle were made with."""
    import pydicom
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    number, path = turn
    dataset = pydicom.dcmread(path)
    data = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        data = np.amax(data) - data
    data = data - np.min(data)
    data = data / np.max(data)
    picture = Image.fromarray((data * 255).astype(np.uint8))
    picture.resize((1024, 1024), Image.Resampling.LANCZOS).save(into / f"{number}.png")
    return 1


def turns(given: Path, count: int) -> list[tuple[int, Path]]:
    """`count` reads of the files, one after the other."""
    files = sorted(given.iterdir())
    return [(number, files[number % len(files)]) for number in range(count)]
