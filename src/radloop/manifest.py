"""The list of every file of a dataset with its size, MD5 and SHA-256: what publishing, pulling and checking trust.

A unit is a folder of keys with its own manifest: the dataset (`organized/`), the re-training data
(`organized/retrain/`) and the pictures without labels (`organized/incoming/`), which lie inside it and which the
dataset's manifest never mentions. Nor does it mention what is kept of earlier versions (`organized/versions/`), which
has no manifest of its own but a history (`radloop.catalog.history`).
"""

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import polars as pl

from radloop import formats, sealed, sums
from radloop.errors import DatasetError
from radloop.tables import MANIFEST

NAME: Final = "manifest.parquet"
UNIT: Final = "organized"
RETRAIN: Final = "retrain"
INCOMING: Final = "incoming"
MODELS: Final = "models"  # beside the dataset
ATTESTATIONS: Final = "attestations"  # beside it, too
VERSIONS: Final = "versions"
INNER: Final = (RETRAIN, INCOMING, VERSIONS)  # the units inside the dataset
RETRAIN_UNIT: Final = f"{UNIT}/{RETRAIN}"  # in OUT, as in a store
INCOMING_UNIT: Final = f"{UNIT}/{INCOMING}"
VERSIONED: Final = ("image", "label", "yaml")  # the kinds that make the version id

_NUMBER: Final = formats.MANIFEST.number
_WITHOUT_SHA256: Final = {name: kind for name, kind in MANIFEST.items() if name != "sha256"}  # as in format 1
_PART: Final = r"(?!\.\.?(?:/|\Z))[^/\\\x00-\x1f]+"  # of a key: no `.` or `..`
_SAFE_KEY: Final = re.compile(f"{_PART}(?:/{_PART})*")
_EMPTY_PART: Final = r"(^|/)\.{0,2}(/|$)"  # or `.` or `..`
_FORBIDDEN: Final = r"[\\\x00-\x1f]"


def encode(table: pl.DataFrame | pl.LazyFrame) -> bytes:
    """The bytes of a manifest file: sorted by key, sealed, the same for the same rows.

    A LazyFrame is in that order already, and is never held as a whole.
    """
    if isinstance(table, pl.DataFrame):
        return sealed.encode(table.select(MANIFEST.names()).sort("key"), number=_NUMBER)
    rows = table.select(pl.len()).collect().item()
    return sealed.encode_parts(table.select(MANIFEST.names()).collect_batches(), rows, MANIFEST, number=_NUMBER)


def decode(data: bytes, *, name: str) -> pl.DataFrame:
    """The table in a manifest file's bytes; `name` is what an error calls it. `sha256` is null where it has none.

    Raises DatasetError for anything but a manifest with safe, distinct keys.
    """
    table = sealed.decode(data, name=name, up_to=_NUMBER)
    if table is None:
        raise DatasetError(f"{name} is not a manifest, or damaged ({len(data)} bytes). Write the dataset again.")
    if dict(table.schema) == _WITHOUT_SHA256:
        table = table.with_columns(sha256=pl.lit(None, pl.String))
    if dict(table.schema) != dict(MANIFEST):
        raise DatasetError(f"{name} is not a manifest of radloop: its columns are {', '.join(table.columns)}.")
    unsafe = table["key"].filter(unsafe_keys(table["key"]))
    if len(unsafe):
        raise DatasetError(f"{name} lists the unsafe key {unsafe[0]!r}: it was not written by radloop; do not use it.")
    if table["key"].is_duplicated().any():
        raise DatasetError(f"{name} lists a key twice: it was not written by radloop; do not use it.")
    return table


def filled(table: pl.DataFrame, root: Path) -> pl.DataFrame:
    """With the SHA-256 of what an earlier radloop listed without, as far as the file in `root` has the MD5 told."""
    taken: dict[str, str] = {}
    for key, md5 in table.filter(pl.col("sha256").is_null()).select("key", "md5").iter_rows():
        with suppress(OSError):
            found = sums.of_file(root / key)
            taken |= {key: found.sha256} if found.md5 == md5 else {}
    told = pl.col("key").replace_strict(taken, default=None, return_dtype=pl.String)
    return table.with_columns(sha256=pl.coalesce("sha256", told)) if taken else table


def is_inner(key: str) -> bool:
    """Whether a key of the dataset belongs to a unit inside it.

    >>> is_inner("retrain/retrain.csv"), is_inner("incoming/manifest.parquet"), is_inner("test/images/a.png")
    (True, True, False)
    """
    return key.partition("/")[0] in INNER and "/" in key


def is_safe_key(key: str | None) -> bool:
    """Whether a key stays inside its unit: relative, no `..`, no empty part, no control character."""
    return key is not None and _SAFE_KEY.fullmatch(key) is not None


def read(root: Path) -> pl.DataFrame | None:
    """The manifest of the unit in the folder `root`; None where there is none."""
    path = root / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return decode(data, name=str(path))


def unsafe_keys(keys: pl.Series) -> pl.Series:
    """Which keys `is_safe_key` refuses; ten times as fast for many."""
    return (keys.str.contains(_EMPTY_PART) | keys.str.contains(_FORBIDDEN)).fill_null(value=True)


def version(table: pl.DataFrame | pl.LazyFrame) -> str:
    """The version id: a hash over the sorted (key, md5) of images, labels and yaml; 16 hex digits.

    A LazyFrame is in that order already, and is never held as a whole.
    """
    listed = table.filter(pl.col("kind").is_in(VERSIONED)).select("key", "md5")
    parts = listed.collect_batches() if isinstance(listed, pl.LazyFrame) else [listed.sort("key")]
    found = hashlib.sha256()
    for part in parts:
        lines = part.select(pl.format("{}\0{}\n", "key", "md5")).to_series()
        found.update("".join(lines).encode())
    return found.hexdigest()[:16]


def unit_root(folder: Path) -> Path:
    """The dataset in `folder`: itself where a manifest or data.yaml lies in it, else its `organized/` child.

    Raises DatasetError where neither is there.
    """
    for candidate in (folder, folder / UNIT):
        if (candidate / NAME).is_file() or (candidate / "data.yaml").is_file():
            return candidate
    raise DatasetError(
        f"{folder} holds no dataset: no {NAME} or data.yaml in it or in its {UNIT}/. Run `radloop transform`."
    )
