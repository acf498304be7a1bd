"""No name leaves the house: 500 identifiers in 100 files, none of them in anything that is not OUT/private."""

import gzip
import io
import zipfile

import numpy as np
import polars as pl
import pytest
from PIL import Image

import planted_identifiers
from planted_identifiers import ALL, FILES, found, identifiers
from radloop import sealed

NAME, BORN, NUMBER, UID, STUDIED = identifiers(7).values()


def zipped(data):
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.txt", data)
    return into.getvalue()


def as_npz(data):
    into = io.BytesIO()
    np.savez_compressed(into, told=np.frombuffer(data, np.uint8))
    return into.getvalue()


@pytest.mark.parametrize("one", [NAME, BORN, NUMBER, UID, STUDIED], ids=planted_identifiers.KINDS)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "packed",
    [bytes, gzip.compress, zipped, as_npz, lambda data: b"\0" + data.upper(), lambda data: b"{" + data.lower() + b"}"],
    ids=["plain", "gzip", "zip", "npz", "upper case", "lower case"],
)
def test_the_search_finds_every_kind_in_every_encoding(tmp_path, one, encoding, packed):
    (tmp_path / "file").write_bytes(packed(one.encode(encoding)))
    assert one in found(tmp_path)


@pytest.mark.parametrize("one", [NAME, BORN, NUMBER, UID, STUDIED], ids=planted_identifiers.KINDS)
def test_the_search_looks_into_tables_and_names_of_files(tmp_path, one):
    (tmp_path / "sealed.parquet").write_bytes(sealed.encode(pl.DataFrame({"a": [f"x {one}"]})))
    assert one in found(tmp_path)
    (tmp_path / "sealed.parquet").write_bytes(sealed.encode(pl.DataFrame({"a": [[{"b": one}]]})))
    assert one in found(tmp_path)
    (tmp_path / "sealed.parquet").rename(tmp_path / f"{one}.txt").write_bytes(b"")
    assert one in found(tmp_path)
    assert f"{NUMBER} (unkeyed hash)" in found(
        "radloop: e28f 5ec1bd65ae0d0fbc".replace("5ec1bd65ae0d0fbc", digest(NUMBER))
    )


def digest(text):
    import hashlib

    return hashlib.sha256(f"radloop patient\0{text}".encode()).hexdigest()[:16]


def test_the_search_looks_into_the_chunks_of_a_png(tmp_path):
    path, *_ = planted_identifiers.pictures(tmp_path, [7])
    clean = path.rename(tmp_path / "clean.png")
    assert {NAME, BORN, NUMBER, UID, STUDIED} <= found(tmp_path).keys()
    Image.open(clean).convert("L").resize((64, 64)).save(clean, pnginfo=None, exif=b"")
    assert found(tmp_path) == {}


def test_five_hundred_identifiers_stand_in_a_hundred_files(tmp_path):
    paths = planted_identifiers.plant(tmp_path)
    assert len(paths) == FILES
    assert len(set(ALL)) == 500
    assert set(ALL) <= found(tmp_path).keys()
