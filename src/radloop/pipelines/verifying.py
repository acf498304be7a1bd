"""Hold what lies in a place against an attestation: offline, the signature first, then every file."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from radloop import manifest, storage, tree
from radloop.catalog import attestations, attested, audit_lines, chains, history, signatures, version
from radloop.catalog.attestations import Statement
from radloop.catalog.attested import RULES, Earlier, Standing, Verdict, Wrong
from radloop.errors import RadloopError, UsageError
from radloop.feedback import reviews
from radloop.options import Check
from radloop.pipelines import checking
from radloop.pipelines.checking import Report
from radloop.pipelines.trust import kept, stating
from radloop.pipelines.trust.kept import Signed
from radloop.pipelines.trust.places import FolderPlace, Place, StorePlace
from radloop.progress import Progress, silent
from radloop.storage import layout
from radloop.words import AttestedPart, several

_ONLY_OUT: Final = ("feedback", "reviews", "audit")
_SUMMARY: Final = f"{manifest.UNIT}/{tree.SUMMARY}"


@dataclass(frozen=True)
class _Scope:
    """What of an attestation is looked at."""

    kind: str  # out or store
    parts: tuple[AttestedPart, ...]
    missing: tuple[AttestedPart, ...]  # that were attested and are not looked at


def verify(options: Check, *, progress: Progress = silent) -> Report:
    """Name every file that differs from what was attested, was swapped, deleted or brought back, and count what came.

    Raises AttestationError where the signature does not hold: nothing of the attestation can be believed then.
    """
    if options.attestation is None or options.key is None:
        raise UsageError("--attestation needs --key, the public key of whoever signed it, and --key an --attestation.")
    key = signatures.public_key(options.key)
    signed = kept.read(options.attestation, key)
    with ExitStack() as held:
        place, is_store = _place(options.place, held)
        return judge(signed, place, str(options.place), is_store=is_store, parts=options.parts, progress=progress)


def judge(
    signed: Signed,
    place: Place,
    address: str,
    *,
    is_store: bool,
    parts: tuple[AttestedPart, ...] | None = None,
    progress: Progress = silent,
) -> Report:
    """The same of an attestation whose signature holds."""
    told = signed.statement.predicate
    scope = _scope(signed, is_store=is_store, parts=parts)
    expected = signed.listing.filter(
        pl.col("place").is_in(["both", scope.kind]),
        pl.col("name").map_elements(attestations.part_of, pl.String).is_in(scope.parts),
    )
    own = f"{manifest.ATTESTATIONS}/{manifest.NAME}"
    sizes = {name: size for name, size in place.names().items() if attestations.part_of(name) in scope.parts}
    seen = place.look(sizes, progress=progress)
    standing = Standing(seen, place.start, place.get, lambda name: _image(place, name))
    itself = {name: data for name, data in signed.files.items() if name in seen}
    verdict = attested.judge(
        expected, standing, _earlier(signed, place), moves=told.moves, strict=frozenset({*itself, own})
    )
    wrong = list(verdict.wrong)
    wrong += [
        Wrong("file-changed", name, "it is not the attestation that was given")
        for name, data in itself.items()
        if attested.sha256(data) != seen[name].sha256
    ]
    wrong += attested.judge_unit_manifest(place.get(own), seen) if own in seen else ()
    if "reviews" in scope.parts and isinstance(place, FolderPlace):
        wrong += _chains(signed.statement, place)
    if "audit" in scope.parts and isinstance(place, FolderPlace):
        wrong += _logs(signed.statement, place)
    if "dataset" in scope.parts:
        wrong += _version(signed.statement, place, verdict)
    return _report(signed, scope, address, expected, verdict, wrong)


def _place(asked: str, held: ExitStack) -> tuple[Place, bool]:
    if storage.is_remote(asked):
        return StorePlace(held.enter_context(closing(storage.open_store(asked)))), True
    root = Path(asked)
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder. Give the OUT or the store that was attested.")
    if root.name == manifest.UNIT and not (root / manifest.UNIT).exists():
        root = root.parent
    place = FolderPlace(root)
    return place, place.is_store


def _scope(signed: Signed, *, is_store: bool, parts: tuple[AttestedPart, ...] | None) -> _Scope:
    """By default all that such a place has."""
    every = [part for part in attestations.PARTS if not (is_store and part in _ONLY_OUT)]
    chosen = tuple(every if parts is None else [part for part in every if part in parts])
    there = attestations.counted(signed.listing["name"].unique())
    missing = tuple(part for part in attestations.PARTS if part in there and part not in chosen)
    return _Scope("store" if is_store else "out", chosen, missing)


def _image(place: Place, name: str) -> str | None:
    return stating.image_of(place.get(name)) if stating.is_of_people(name) else None


def _earlier(signed: Signed, place: Place) -> Earlier:
    """What earlier attestations by the same key say, and the versions that are kept in the place."""
    sha256s: dict[str, dict[str, str]] = {}
    for one in signed.earlier:
        source = f"attestation {one.id} of {one.statement.predicate.time:%Y-%m-%d %H:%M}"
        for name, digest in one.listing.select("name", "sha256").iter_rows():
            sha256s.setdefault(name, {}).setdefault(digest, source)
    return Earlier(sha256s, _kept_versions(place))


def _kept_versions(place: Place) -> dict[str, dict[str, str]]:
    md5s: dict[str, dict[str, str]] = {}
    try:
        told = history.decode(place.get(f"{manifest.UNIT}/{history.NAME}"), name=history.NAME)
        for name, one in told.kept.items():
            if name == told.entries[-1].version:
                continue
            table = manifest.decode(place.get(f"{manifest.UNIT}/{one.keys(name)[0]}") or b"", name=name)
            md5s.setdefault(f"{manifest.UNIT}/{manifest.NAME}", {}).setdefault(one.manifest, f"version {name}")
            for key, md5 in table.select("key", "md5").iter_rows():
                md5s.setdefault(f"{manifest.UNIT}/{key}", {}).setdefault(md5, f"version {name}")
    except RadloopError:
        return md5s  # what is damaged there is named as a file that differs
    return md5s


def _chains(statement: Statement, place: FolderPlace) -> list[Wrong]:
    """The heads of reviewers' chains that were pinned, held against the reviews."""
    pinned = pl.DataFrame(
        [(head.reviewer, head.review_id, head.sha256, head.reviews) for head in statement.predicate.heads],
        schema=chains.HEADS,
        orient="row",
    )
    try:
        classes = version.taxonomy_of(place.get(_SUMMARY), name=_SUMMARY)
        said = reviews.read(place.folder("reviews"), classes)
    except RadloopError as broken:
        return [Wrong("chain-broken", "reviews", f"the chains cannot be read: {broken}")]
    broken_chains = chains.unlike(pinned, said.links, said.forgotten)
    return [Wrong("chain-broken", f"reviews of {row['reviewer']}", row["reason"]) for row in broken_chains.to_dicts()]


def _logs(statement: Statement, place: FolderPlace) -> Iterator[Wrong]:
    """The audit logs: each line follows the one before it, and the line that was the last one is still there."""
    for name, head in (statement.predicate.audit or {}).items():
        top, _, rest = name.partition("/")
        log = audit_lines.verify(place.folder(top) / rest)
        for fault in log.faults:
            if fault.code != "torn-line":  # of a run that was cut off; the next one tells of it
                line = "" if fault.line is None else f":{fault.line}"
                yield Wrong("audit-broken", f"{name}/{fault.file}{line}", fault.reason)
        if log.hashes.get(head.seq) != head.sha256:
            yield Wrong("audit-broken", name, f"line number {head.seq:,}, its last one then, is not there as it was")


def _version(statement: Statement, place: Place, verdict: Verdict) -> list[Wrong]:
    """Whether another version stands there; one that forgetting made of this one is none."""
    here, told = layout.summary_version(place.get(_SUMMARY) or b""), statement.predicate.version["id"]
    if here in (None, told) or _SUMMARY in verdict.rewritten:
        return []
    return [Wrong("version-other", _SUMMARY, f"version {here} stands there, and {told} was attested")]


def _report(
    signed: Signed, scope: _Scope, address: str, expected: pl.DataFrame, verdict: Verdict, wrong: list[Wrong]
) -> Report:
    told = signed.statement.predicate
    checked = [
        f"the signature of attestation {signed.id} by key {signed.key[:16]}…, of {told.time:%Y-%m-%d %H:%M} UTC",
        f"size and SHA-256 of {several(expected.height, 'file')}: {', '.join(scope.parts)}",
    ]
    if scope.missing:
        checked.append(f"not {', '.join(scope.missing)}, which were attested, too")
    if "reviews" in scope.parts:
        checked.append(f"that {several(len(told.heads), 'pinned chain')} of reviews go on")
    since = [f"{count:,} of {part}" for part, count in verdict.new.items() if count]
    if since:
        checked.append(f"came since, and is not attested: {', '.join(since)}")
    checked += [
        f"{unit} has grown since: it is as its own manifest lists it, not as attested" for unit in verdict.grown
    ]
    if verdict.forgotten:
        checked.append(f"{several(verdict.forgotten, 'file')} went with a tombstone: `radloop forget` took them away")
    if verdict.rewritten:
        checked.append(
            f"not {several(len(verdict.rewritten), 'table')} that forgetting has written anew, such as "
            f"{verdict.rewritten[0]}: attest again"
        )
    rows = sorted({(one.rule, one.name, None, one.detail, RULES[one.rule]) for one in wrong}, key=lambda row: row[:2])
    counts = {"files attested": expected.height, "files that came since": sum(verdict.new.values())}
    table = pl.DataFrame(rows, schema=checking.VIOLATIONS, orient="row")
    return Report(address, told.version["id"], tuple(checked), counts, table)
