"""Put together what an attestation states, from what the tables of a dataset tell already."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

import radloop
from radloop import manifest, tree
from radloop.catalog import attestations, audit_log, models, rounds, tombstones
from radloop.catalog.attestations import Before, Predicate, Statement, Subject
from radloop.catalog.attested import sha256
from radloop.catalog.audit_lines import Head
from radloop.catalog.version import Version
from radloop.errors import UNDECODABLE
from radloop.feedback import logged, reviews
from radloop.pipelines.checking import Report
from radloop.pipelines.trust.places import Place

_MANIFESTS: Final = tuple(
    f"{unit}/{manifest.NAME}"
    for unit in (manifest.UNIT, manifest.RETRAIN_UNIT, manifest.INCOMING_UNIT, manifest.MODELS)
)
_SOURCE: Final = ("raw/source.json", "annotations")  # where extraction says what the annotations are called
_ROUND: Final = ("round", "dataset", "feedback", "images", "rows_that_train", "reviews_used")
_GATE: Final = ("comparison", "split", "dataset", "champion", "challenger", "passed")


class _OfImage(msgspec.Struct):
    """What feedback and reviews begin with."""

    image_id: str


@dataclass(frozen=True)
class Told:
    """What is known before the statement is put together."""

    dataset: Version
    checks: Mapping[str, Report]  # by place
    listing: pl.DataFrame  # LISTING
    before: Before | None


def state(out: Path, reviewed: Path, told: Told, files: bytes, *, now: datetime) -> Statement:
    """The statement over a listing (`files` are its bytes)."""
    digests = dict(told.listing.filter(pl.col("place") != "store").select("name", "sha256").iter_rows())
    subjects = [Subject(attestations.FILES, attestations.Digest(sha256(files)))]
    subjects += [Subject(name, attestations.Digest(digests[name])) for name in _MANIFESTS if name in digests]
    return Statement(subject=tuple(subjects), predicate=_predicate(out, reviewed, told, now))


def _predicate(out: Path, reviewed: Path, told: Told, now: datetime) -> Predicate:
    summary, dataset = told.dataset.summary, told.dataset
    known = models.read(out / manifest.MODELS)
    said, _ = rounds.read(out / manifest.RETRAIN_UNIT)
    reviews_there = reviews.read(reviewed, dataset.taxonomy)
    names = told.listing["name"].unique()
    splits = dict(dataset.images.group_by("split").len().sort("split").iter_rows())
    return Predicate(
        time=now,
        version={"id": dataset.whole_id, **{name: _text(summary.get(name)) for name in _VERSION}},
        inputs={"source": summary.get("source"), "annotations": _annotations(out)},
        recipe=dataset.recipe,
        settings=dict(dataset.settings),
        code={"radloop": radloop.__version__, "python": platform.python_version(), "sha256": code_sha256()},
        heads=attestations.heads(reviews_there.heads.iter_rows(named=True)),
        audit=_audit(out, reviewed),
        rounds=[row | {"newest": _time(row["newest"])} for row in said.select("newest", *_ROUND).to_dicts()],
        gates=[row | {"at": _time(row["at"])} for row in known.comparisons.select("at", *_GATE).to_dicts()],
        models=dict(known.aliases),
        moves=attestations.moves(known.history),
        counts={**{f"{split} images": count for split, count in splits.items()}, **attestations.counted(names)},
        tombstones=tombstones.read(out).height,
        check={place: _checked(report) for place, report in told.checks.items()},
        previous=told.before,
    )


def _audit(out: Path, reviewed: Path) -> dict[str, Head]:
    """The end of each audit log that has begun."""
    ends = {logged.NAMES[name]: audit_log.head(folder) for name, folder in logged.folders(out, reviewed).items()}
    return {name: end for name, end in ends.items() if end is not None}


_VERSION: Final = ("lineage", "previous", "replaces")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _checked(report: Report) -> dict[str, Any]:
    rules = dict(report.violations.group_by("rule").len().sort("rule").iter_rows())
    return {"version": report.version, "sound": report.sound, "violations": rules}


def _annotations(out: Path) -> dict[str, str] | None:
    """The name and the digest of the table of annotations in OUT/raw; None where it does not lie there."""
    try:
        source = msgspec.json.decode((out / _SOURCE[0]).read_bytes(), type=dict[str, Any])
        path = out / "raw" / str(source[_SOURCE[1]])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, LookupError, *UNDECODABLE):
        return None
    return {"name": path.name, "sha256": digest}


@cache
def code_sha256() -> str:
    """A hash over the source files of radloop as it is installed here: name and SHA-256 of each, by name."""
    root = Path(radloop.__file__).parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root).as_posix()}\0{sha256(path.read_bytes())}\n".encode())
    return found.hexdigest()


def images(place: Place, names: Mapping[str, int]) -> dict[str, str | None]:
    """The image that each file is of, by the manifests and by what feedback and reviews say of themselves."""
    found: dict[str, str | None] = dict.fromkeys(names)
    for name in _MANIFESTS:
        data = place.get(name)
        if data is not None:
            unit = name.removesuffix(manifest.NAME)
            listed = manifest.decode(data, name=name)
            found |= {unit + key: image for key, image in listed.select("key", "image_id").iter_rows() if image}
    for name in names:
        if found[name] is None and is_of_people(name):
            found[name] = image_of(place.get(name))
    return {name: image for name, image in found.items() if name in names}


def is_of_people(name: str) -> bool:
    """Whether a file may be a feedback or a review, which tells its image itself."""
    said = name.startswith(("feedback/", "reviews/", f"{manifest.RETRAIN_UNIT}/{tree.ROUNDS}"))
    return said and name.endswith(".json")


def image_of(data: bytes | None) -> str | None:
    """The image that a feedback or a review is of; None where it does not tell."""
    try:
        return msgspec.json.decode(data or b"", type=_OfImage).image_id
    except UNDECODABLE:
        return None
