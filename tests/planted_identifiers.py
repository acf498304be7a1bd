"""500 identifiers of people planted into 100 files, and a search that finds any of them in whatever radloop wrote.

    plant(folder)     100 DICOM files in folders: five identifiers each, in every tag of the standard that is not needed
                      for the picture, in private ones, in sequences, in the file's name and folder
    pictures(folder)  PNGs with the same identifiers in their text chunks
    found(paths)      {identifier: where} of files, folders, and texts

An identifier is found in UTF-8, Latin-1 and UTF-16, in any case of letters, in names of files, within zip, gzip, PNG
chunks, Parquet and npz, and as its unkeyed MD5, SHA-1 or SHA-256, which whoever lists all numbers undoes.
"""

import gzip
import hashlib
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pydicom
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import config, datadict
from pydicom.dataset import Dataset

from dicom_files import dicom, gray, write
from radloop.dicom import kept

FILES = 100
ROOT = "1.2.826.0.1.3680043.10.1546.7777"  # of every planted UID
NAME, NUMBER = "Qzxv", "7300481"  # what every planted name and number begins with
KINDS = ("name", "birth date", "number", "UID", "study date")
_LONGEST = {"AE": 16, "CS": 16, "DA": 8, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "PN": 64, "SH": 16, "TM": 16}
_TEXTS = {*_LONGEST, "LT", "ST", "UT", "UC", "UR", "UI", "UN", "OB"}
_NEEDED = {tag for tag in map(datadict.tag_for_keyword, kept.TAGS) if tag is not None}


def identifiers(index: int) -> dict[str, str]:
    """The five of a file, each unlike any other's.

    The years begin with 0, as no count does, and lie so far apart that no date that was moved back meets another.
    """
    letters = "".join("abcdefghij"[int(digit)] for digit in f"{index:03}")
    return {
        "name": f"{NAME}{letters}mann^Ju{letters}",
        "birth date": f"099{6 + index // 28}05{index % 28 + 1:02}",
        "number": f"{NUMBER}{index:03}",
        "UID": f"{ROOT}.{index}.1",
        "study date": f"{5 + 10 * index:04}1107",
    }


ALL = tuple(one for index in range(FILES) for one in identifiers(index).values())


def plant(folder: Path, shapes: Sequence[tuple[int, int]] = ((60, 48),)) -> list[Path]:
    """Write the files; `shapes`: rows and columns of the first ones, then again from the beginning."""
    tags = [tag for tag in datadict.DicomDictionary if tag not in _NEEDED and 0x0008 <= tag >> 16 < 0x6000]
    paths = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(FILES):
            file = pydicom.dcmread(io.BytesIO(dicom(gray(*shapes[index % len(shapes)], seed=index), number=index)))
            _fill(file, identifiers(index), tags[index::FILES])
            name = identifiers(index)["name"].partition("^")[0]
            into = io.BytesIO()
            with _unchecked():
                pydicom.dcmwrite(into, file, enforce_file_format=True)
            paths.append(write(folder, f"{name}/{identifiers(index)['number']} {name}.dcm", into.getvalue()))
    return paths


def _fill(file: Dataset, own: dict[str, str], tags: Iterable[int]) -> None:
    told = list(own.values())
    with _unchecked():
        for place, tag in enumerate(tags):
            vr = str(datadict.dictionary_VR(tag)).split(" or ")[0]
            if vr in _TEXTS:
                file.add_new(tag, vr, _value(told[2 if vr in ("DS", "IS") else place % len(told)], vr))
            elif vr == "SQ":
                item = Dataset()
                item.PatientName, item.PatientID, item.PatientBirthDate = told[:3]
                inner = Dataset()
                inner.TextValue, inner.UID = " ".join(told), told[3]
                item.ContentSequence = [inner]
                file.add_new(tag, vr, [item])
        for group in (0x0009, 0x0029, 0x7FDF):
            block = file.private_block(group, own["name"], create=True)
            block.add_new(1, "LO", own["number"])
            block.add_new(2, "UN", " ".join(told).encode("utf-16-le"))
        file.PatientName, file.PatientID, file.PatientBirthDate = own["name"], own["number"], own["birth date"]
        file.IssuerOfPatientID, file.InstitutionName = own["name"], own["name"]
        file.StudyDate, file.SeriesDate, file.ContentDate = own["study date"], own["study date"], own["birth date"]
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = own["UID"]
        file.StudyInstanceUID, file.SeriesInstanceUID = f"{own['UID']}.1", f"{own['UID']}.2"
        file.ViewPosition = own["name"][:16] if int(own["number"]) % 2 else "PA"
        file.Modality = own["name"][:16] if int(own["number"]) % 2 else "DX"
        file.PixelSpacing = [0.14, 0.14] if int(own["number"]) % 2 else [own["number"], own["number"]]
        file.BurnedInAnnotation = own["name"][:16]
        file.preamble = own["name"].encode().ljust(128, b"\0")


def _value(text: str, vr: str) -> str | bytes:
    return text.encode() if vr in ("OB", "UN") else text[: _LONGEST.get(vr)]


@contextmanager
def _unchecked() -> Iterator[None]:
    """pydicom writes any value in here."""
    modes = config.settings.reading_validation_mode, config.settings.writing_validation_mode
    config.settings.reading_validation_mode = config.settings.writing_validation_mode = config.IGNORE
    try:
        yield
    finally:
        config.settings.reading_validation_mode, config.settings.writing_validation_mode = modes


def pictures(folder: Path, indices: Iterable[int]) -> list[Path]:
    """PNGs, which name whom they show in every way a PNG can."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in indices:
        own, info = identifiers(index), PngInfo()
        info.add_text("Author", own["name"])
        info.add_text("Comment", " ".join(own.values()), zip=True)
        info.add_itxt("Title", own["name"], zip=True)
        exif = Image.Exif()
        exif[0x010E] = " ".join(own.values())
        shown = Image.fromarray(gray(64, 64, seed=500 + index, bits=8))
        paths.append(folder / f"{own['number']} {own['name'].partition('^')[0]}.png")
        shown.save(paths[-1], pnginfo=info, exif=exif)
    return paths


def of_nobody_else(report: Dataset, image: Dataset) -> str:
    """Every word of a report, but for UIDs, and for what it has of the image it stands beside: patient and study."""
    words = []
    for element in report:
        if element.VR == "SQ":
            words += [of_nobody_else(item, Dataset()) for item in element.value]
        elif element.VR != "UI" and (element.tag not in image or image[element.tag].value != element.value):
            words.append(str(element.value))
    return "\n".join(words)


def found(*places: Path | str) -> dict[str, str]:
    """Each identifier that stands in one of the files, folders or texts, and where."""
    there: dict[str, str] = {}
    for place in places:
        for where, data in _of(place):
            for one in _in(data):
                there.setdefault(one, where)
    return there


def files_of(*places: Path) -> list[Path]:
    """The files that `found` looks at."""
    return [path for place in places for path in _walk(place)]


def _of(place: Path | str) -> Iterator[tuple[str, bytes]]:
    if isinstance(place, str):
        yield "a text", place.encode("utf-8", "surrogateescape")
        return
    for path in _walk(place):
        yield f"the name {path}", str(path.relative_to(place.parent)).encode("utf-8", "surrogateescape")
        for how, data in _opened(path.read_bytes()):
            yield f"{path} {how}", data


def _walk(place: Path) -> Iterator[Path]:
    """All files of a folder, but for those of OUT/private."""
    if not place.is_dir():
        yield place
        return
    for path in sorted(place.rglob("*")):
        if path.is_file() and path.relative_to(place).parts[0] != "private":
            yield path


def _opened(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes as they are, and what is packed in them."""
    yield "as it is", data
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for name in packed.namelist():
                yield "as a name in it", name.encode()
                for how, inner in _opened(packed.read(name)):
                    yield f"in {name} {how}", inner
    elif data.startswith(b"\x1f\x8b"):
        for how, inner in _opened(gzip.decompress(data)):
            yield f"unpacked {how}", inner
    elif data.startswith(b"\x89PNG"):
        yield from (("in a chunk", chunk) for chunk in _chunks(data))
    elif data.startswith(b"PAR1"):
        yield "in a row", "\n".join(_cells(pl.read_parquet(io.BytesIO(data)))).encode()


def _chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind != b"IDAT":
            yield body
            for packed in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", body):
                try:
                    yield zlib.decompressobj().decompress(body[packed.start() :])
                except zlib.error:
                    continue
        at += 12 + length
    yield data[at:]


def _cells(table: pl.DataFrame) -> Iterator[str]:
    yield from table.columns
    for column in table:
        for value in column.to_list():
            yield value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _forms(text: str) -> set[str]:
    """The ways to write an identifier that are looked for."""
    forms = {text, text.partition("^")[0], text.replace("^", " "), text.replace("^", "=")}
    if re.fullmatch(r"0\d{7}", text):
        year, month, day = text[:4], text[4:6], text[6:]
        forms |= {f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{month}/{day}/{year}", f"{year}/{month}/{day}"}
    return forms


def _hashes(text: str) -> Iterator[str]:
    for said in (text, text.casefold(), f"radloop patient\0{text}", f"radloop study\0{text}"):
        for kind in (hashlib.md5, hashlib.sha1, hashlib.sha256):
            yield kind(said.encode()).hexdigest()[:16]


_LOOKED_FOR = {form.casefold(): one for one in ALL for form in _forms(one)}
_HASHED = {digest: one for one in ALL for digest in _hashes(one)}
# Every way to write any of them has one of these in it: a text without them is done with.
_TEXT = re.compile(
    rf"{NAME}[a-j]{{3}}mann|{NUMBER}\d{{3}}|{re.escape(ROOT)}\.\d+\.1|(?<![\d.])0\d{{7}}(?!\d)"
    rf"|(?<!\d)0\d{{3}}[-/]\d\d[-/]\d\d(?!\d)|(?<!\d)\d\d[./]\d\d[./]0\d{{3}}(?!\d)",
    re.IGNORECASE,
)
_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{16,64}(?![0-9a-f])", re.IGNORECASE)


def _in(data: bytes) -> Iterator[str]:
    for text in (data, data.replace(b"\0", b"")):  # the second is UTF-16 as letters of one byte
        for form in _TEXT.findall(text.decode("latin-1")):
            if one := _LOOKED_FOR.get(form.casefold()):
                yield one
    for digest in _DIGEST.findall(data.decode("latin-1")):
        if one := _HASHED.get(digest[:16].casefold()):
            yield f"{one} (unkeyed hash)"
