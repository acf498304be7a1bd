"""What differs between an attestation and the files that are there now, and what only came since."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import polars as pl

from radloop import manifest, tree
from radloop.catalog import attestations, models, tombstones
from radloop.catalog.attestations import Moves
from radloop.errors import DatasetError

# What may be wrong, and what follows from it.
RULES: Final = {
    "file-changed": "not what was attested",
    "file-swapped": "another file stands under this name",
    "file-missing": "what was attested is not there any more",
    "file-back": "what had gone or was replaced stands there again",
    "file-copied": "one thing that was said counts twice",
    "file-unlisted": "it was not there when this was attested",
    "version-other": "this attestation says nothing of the version there",
    "chain-broken": "reviews were cut off or put in the place of others",
    "audit-broken": "the log is not the one that was attested",
    "attestations-unlisted": "attestations may have been taken away",
}

_OPEN: Final = ("feedback", "reviews", "audit", "attestations")  # parts where files are only ever added
_GROWING: Final = (".jsonl", ".ndjson")  # files where lines are only ever added
_UNITS: Final = {  # what may grow as a whole, and what of it never goes: all else is replaced then
    f"{manifest.RETRAIN_UNIT}/": (f"{manifest.RETRAIN_UNIT}/{tree.ROUNDS}",),
    f"{manifest.INCOMING_UNIT}/": (f"{manifest.INCOMING_UNIT}/images/",),
    f"{manifest.MODELS}/": (f"{manifest.MODELS}/",),
}
_REPLACED: Final = (manifest.NAME, models.ALIASES)  # but for these
_KEPT_BY_FORGETTING: Final = (".yaml", ".txt", ".png", ".jpg", ".jpeg")  # files that no forgetting rewrites


class Seen(NamedTuple):
    """A file as it is now."""

    bytes: int
    sha256: str
    md5: str


class Wrong(NamedTuple):
    """One thing that is not as it was attested."""

    rule: str
    name: str
    detail: str


@dataclass(frozen=True)
class Earlier:
    """What once lay under each name, by earlier attestations and kept versions: {name: {digest: where it is from}}."""

    sha256s: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    md5s: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def source(self, name: str, seen: Seen) -> str | None:
        """Where these bytes were under this name before; None where that is not known."""
        return self.sha256s.get(name, {}).get(seen.sha256) or self.md5s.get(name, {}).get(seen.md5)

    def knows(self, name: str) -> str | None:
        """Where the name is from, if it is known at all."""
        known = self.sha256s.get(name) or self.md5s.get(name)
        return next(iter(known.values())) if known else None


@dataclass(frozen=True)
class Standing:
    """What is there now."""

    seen: Mapping[str, Seen]
    start: Callable[[str, int], str | None]  # the SHA-256 of the first bytes of a file
    get: Callable[[str], bytes | None]
    image_of: Callable[[str], str | None]  # the image that a file which is not attested is of


@dataclass(frozen=True)
class Verdict:
    """What is wrong, what came since, and what forgetting took away."""

    wrong: tuple[Wrong, ...]
    new: Mapping[str, int]  # by part
    grown: tuple[str, ...]  # units that hold something newer in the place of what was attested
    superseded: int  # files of theirs that were replaced
    forgotten: int  # files that went with a tombstone
    rewritten: tuple[str, ...]  # files that forgetting has written anew, which are not proven


def judge(
    expected: pl.DataFrame, standing: Standing, earlier: Earlier, *, moves: Moves, strict: frozenset[str] = frozenset()
) -> Verdict:
    """Compare LISTING of one place with what is there.

    moves: those of the aliases that were attested. strict: names that count as attested although they are not listed.
    """
    listed = {name: (size, sha256, image_id) for name, _, size, sha256, image_id in expected.iter_rows()}
    stones = _stones(standing)
    gone_images = tombstones.forgotten(stones, {image_id for *_, image_id in listed.values()})
    rewrites = any(name in listed or name in standing.seen for name in _STONES) and _has_new_stones(listed, standing)
    grown = {unit: manifests for unit in _UNITS if (manifests := _grown(unit, listed, standing, moves)) is not None}
    owners = _owners(listed)

    wrong: list[Wrong] = []
    superseded = forgotten = 0
    rewritten: list[str] = []
    for name, (size, sha256, image_id) in listed.items():
        seen = standing.seen.get(name)
        if seen is not None and seen.sha256 == sha256:
            continue
        if seen is not None and name.endswith(_GROWING) and seen.bytes > size and standing.start(name, size) == sha256:
            continue
        if (unit := _unit(name)) in grown and not _stays(name, unit):
            superseded += 1
            wrong += _newer(name, unit, seen, grown[unit])
        elif seen is None and image_id in gone_images:
            forgotten += 1
        elif rewrites and _may_be_rewritten(name):
            rewritten.append(name)
        else:
            wrong.append(_differs(name, seen, sha256, owners, earlier))
    new = [name for name in standing.seen if name not in listed and name not in strict]
    wrong += _unlisted(new, standing, earlier, owners=owners, grown=grown, stones=stones, rewrites=rewrites)
    unlisted = {one.name for one in wrong}
    added = Counter[str](attestations.part_of(name) for name in new if name not in unlisted)
    return Verdict(tuple(wrong), dict(added), tuple(grown), superseded, forgotten, tuple(rewritten))


_STONES: Final = (tree.TOMBSTONES, f"{manifest.UNIT}/{tree.TOMBSTONES}")


def _stones(standing: Standing) -> pl.DataFrame:
    found = []
    for name in _STONES:
        try:
            found.append(tombstones.decode(standing.get(name), name=name))
        except DatasetError:
            continue  # it differs, and is named
    return tombstones.union(*found)


def _has_new_stones(listed: Mapping[str, tuple[int, str, str | None]], standing: Standing) -> bool:
    """Whether tombstones stand that can be read and were not attested."""
    for name in _STONES:
        seen, told = standing.seen.get(name), listed.get(name)
        if seen is not None and (told is None or told[1] != seen.sha256):
            try:
                return tombstones.decode(standing.get(name), name=name).height > 0
            except DatasetError:
                continue
    return False


def _may_be_rewritten(name: str) -> bool:
    return name in _STONES or (name.startswith(f"{manifest.UNIT}/") and not name.endswith(_KEPT_BY_FORGETTING))


def _owners(listed: Mapping[str, tuple[int, str, str | None]]) -> Mapping[str, list[str]]:
    """The names that had these bytes, of bytes that are any."""
    owners: dict[str, list[str]] = defaultdict(list)
    for name, (size, sha256, _) in listed.items():
        if size:
            owners[sha256].append(name)
    return owners


def _unit(name: str) -> str:
    return next((unit for unit in _UNITS if name.startswith(unit)), "")


def _stays(name: str, unit: str) -> bool:
    """Whether a file of a unit outlives what comes after it."""
    return name.startswith(_UNITS[unit]) and name.removeprefix(unit) not in _REPLACED


def _grown(
    unit: str, listed: Mapping[str, tuple[int, str, str | None]], standing: Standing, moves: Moves
) -> dict[str, str] | None:
    """{key: MD5} of the newer manifest of a unit that has rightly grown since; None where it has not."""
    name = unit + manifest.NAME
    seen = standing.seen.get(name)
    if name not in listed or seen is None or seen.sha256 == listed[name][1]:
        return None
    data = standing.get(name)
    try:
        table = manifest.decode(data or b"", name=name)
    except DatasetError:
        return None
    md5s = dict(table.select("key", "md5").iter_rows())
    moved = _moved_since(table, standing, moves) if unit == f"{manifest.MODELS}/" else 0
    if moved is None:
        return None
    for key, md5 in md5s.items():
        whole = unit + key
        there = standing.seen.get(whole)
        if whole not in listed and _stays(whole, unit) and there is not None and there.md5 == md5:
            return md5s
    return md5s if moved else None


def _moved_since(table: pl.DataFrame, standing: Standing, moves: Moves) -> int | None:
    """How often aliases were moved after the moves that were attested; None where these are others now."""
    try:
        now = models.of(table, lambda key: standing.get(f"{manifest.MODELS}/{key}"), name=manifest.MODELS)
    except DatasetError:
        return None
    is_same = attestations.moves(now.history, moves.number) == moves
    return now.history.height - moves.number if is_same else None


def _newer(name: str, unit: str, seen: Seen | None, md5s: Mapping[str, str]) -> Iterator[Wrong]:
    """What is wrong with a file of what came in the place of what was attested."""
    key = name.removeprefix(unit)
    if key == manifest.NAME:
        return
    if seen is None and key in md5s:
        yield Wrong("file-missing", name, f"the newer {unit}{manifest.NAME} lists it")
    elif seen is not None and md5s.get(key) != seen.md5:
        yield Wrong("file-changed", name, f"neither as attested nor as the newer {unit}{manifest.NAME} lists it")


def _differs(name: str, seen: Seen | None, sha256: str, owners: Mapping[str, list[str]], earlier: Earlier) -> Wrong:
    if seen is None:
        return Wrong("file-missing", name, f"SHA-256 {sha256[:16]}… was attested; it is not there, or not to be read")
    if others := owners.get(seen.sha256):
        return Wrong("file-swapped", name, f"its bytes are those that {others[0]} had")
    if source := earlier.source(name, seen):
        return Wrong("file-back", name, f"its bytes are those of {source}")
    return Wrong("file-changed", name, f"SHA-256 {seen.sha256[:16]}… in the place of {sha256[:16]}…")


def _unlisted(
    new: Iterable[str],
    standing: Standing,
    earlier: Earlier,
    *,
    owners: Mapping[str, list[str]],
    grown: Mapping[str, Mapping[str, str]],
    stones: pl.DataFrame,
    rewrites: bool,
) -> Iterator[Wrong]:
    """What is wrong with files that are not attested."""
    new = sorted(new)
    images = {name: standing.image_of(name) for name in new}
    forgotten = tombstones.forgotten(stones, images.values())
    for name in new:
        part, seen, unit = attestations.part_of(name), standing.seen[name], _unit(name)
        if images[name] in forgotten:
            yield Wrong("file-back", name, "its image was forgotten")
        elif source := earlier.source(name, seen) or earlier.knows(name):
            yield Wrong("file-back", name, f"it was there in {source}, and not when this was attested")
        elif part in _OPEN:
            if part in ("feedback", "reviews") and (others := owners.get(seen.sha256)):
                yield Wrong("file-copied", name, f"its bytes are those of {others[0]}")
        elif unit in grown:
            if grown[unit].get(name.removeprefix(unit)) != seen.md5:
                yield Wrong("file-unlisted", name, f"the newer {unit}{manifest.NAME} does not list it as it is")
        elif not (rewrites and _may_be_rewritten(name)):
            yield Wrong("file-unlisted", name, "the attestation does not list it")


def judge_unit_manifest(data: bytes | None, seen: Mapping[str, Seen]) -> Iterator[Wrong]:
    """Of the attestations' own manifest, which no attestation lists: whether it lists what lies there."""
    name = f"{manifest.ATTESTATIONS}/{manifest.NAME}"
    if data is None:
        return
    try:
        md5s = dict(manifest.decode(data, name=name).select("key", "md5").iter_rows())
    except DatasetError as broken:
        yield Wrong("file-changed", name, str(broken))
        return
    here = {key.partition("/")[2]: one.md5 for key, one in seen.items() if key.startswith(f"{manifest.ATTESTATIONS}/")}
    here.pop(manifest.NAME, None)
    for key in sorted(md5s.keys() | here.keys()):
        if md5s.get(key) != here.get(key):
            yield Wrong("attestations-unlisted", f"{manifest.ATTESTATIONS}/{key}", f"{name} does not list it as it is")


def sha256(data: bytes) -> str:
    """As hex digits."""
    return hashlib.sha256(data).hexdigest()
