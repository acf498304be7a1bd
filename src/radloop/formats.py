"""The format number of every file that radloop writes, and how a file tells its own.

A JSON document tells it in the field `schema_version`, a Parquet table in the metadata of its schema
(`radloop.format`); where neither is there, as in what was written before there were numbers, it is 1. CSV, label, YAML
and text files have no number: a header or a contract outside of radloop says what they hold. A file of a higher number
than this table has is refused as a whole.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, NamedTuple

import msgspec

from radloop.errors import UNDECODABLE, NewerFormatError

FIELD: Final = "schema_version"
METADATA: Final = "radloop.format"


class Format(NamedTuple):
    """How a file tells its format, and the number that is written; every number below it is read, too."""

    tells: Literal["field", "metadata", "nothing"]
    number: int = 1


_JSON: Final = Format("field")
_PARQUET: Final = Format("metadata")
_PLAIN: Final = Format("nothing")

FEEDBACK: Final = Format("field", 2)
MANIFEST: Final = Format("metadata", 2)
PICTURE_CACHE: Final = Format("metadata", 2)

# By the path in OUT or in a store; the first that fits. Of a pattern `*` stands for anything, "/" included.
FILES: Final[Mapping[str, Format]] = {
    # 2: sha256 beside md5
    "*/manifest.parquet": MANIFEST,
    "organized/versions/*/manifest-*.parquet": MANIFEST,
    "organized/versions/*/documents-*.parquet": _PARQUET,
    "organized/versions/history.json": _JSON,
    "organized/annotations.parquet": _PARQUET,
    "organized/consensus.parquet": _PARQUET,
    "organized/heldout.parquet": _PARQUET,
    "organized/radiographs.parquet": _PARQUET,
    "*tombstones.parquet": _PARQUET,
    "organized/incoming/incoming.parquet": _PARQUET,
    "organized/incoming/arriving.parquet": MANIFEST,
    "*publishing.parquet": MANIFEST,
    "*publishing": _PLAIN,
    "organized/summary.json": _JSON,
    "organized/splits.json": _JSON,
    "organized/retrain/*report.json": _JSON,
    "organized/retrain/rounds/*.json": _JSON,  # reviews, as they were
    "organized/*.csv": _PLAIN,
    "organized/*.yaml": _PLAIN,
    "organized/*.txt": _PLAIN,
    # 2: feedback_id is the hash of the file's content
    "feedback/*.json": FEEDBACK,
    "reviews/.audit/*": _PLAIN,  # as audit/
    "reviews/*.json": _JSON,
    "reviews/*.parquet": _PARQUET,
    "audit/*.parquet": _PARQUET,
    "audit/*": _PLAIN,  # each line tells its own
    "models/aliases.json": _JSON,
    "models/comparisons/*.json": _JSON,
    "models/*/model.json": _JSON,
    "models/*": _PLAIN,  # a model's own files, and pages
    "monitor/report.json": _JSON,
    "attestations/*": _PLAIN,  # in-toto names the kind of a statement itself (predicateType)
    "raw/source.json": _JSON,
    "raw/*.parquet": _PARQUET,
    "raw/*": _PLAIN,  # what was downloaded or drawn, and how far that has come
    # 2: sha256 beside md5
    "cache/pictures*.parquet": PICTURE_CACHE,
    "cache/*.parquet": _PARQUET,
    "private/*": _PLAIN,
    "*.radloop.lock": _PLAIN,
    "logs/*": _PLAIN,
}


def of(path: str) -> Format | None:
    """The format of a file by its path in OUT or in a store; None where radloop writes no such file.

    >>> of("organized/manifest.parquet")
    Format(tells='metadata', number=2)
    """
    return next((known for pattern, known in FILES.items() if fnmatchcase(path, pattern)), None)


def numbered(document: Mapping[str, Any], number: int = 1) -> dict[str, Any]:
    """A JSON document that tells its format, after all else that it tells."""
    return {key: value for key, value in document.items() if key != FIELD} | {FIELD: number}


class _Told(msgspec.Struct):
    schema_version: int = 1


_TOLD: Final = msgspec.json.Decoder(_Told)


def require(number: int, *, name: str, up_to: int = 1) -> None:
    """Raise NewerFormatError for a file of a format that this radloop does not know."""
    if number > up_to:
        raise NewerFormatError(
            f"{name} was written by a newer radloop (format {number}, this one reads up to {up_to}): upgrade radloop. "
            "Nothing of it was read."
        )


def require_json(data: bytes | None, *, name: str, up_to: int = 1) -> None:
    """The same of a JSON document by its bytes; what is damaged is another's to refuse."""
    try:
        told = _TOLD.decode(data or b"")
    except UNDECODABLE:
        return
    require(told.schema_version, name=name, up_to=up_to)
