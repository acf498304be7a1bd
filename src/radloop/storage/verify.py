"""Comparing what a store holds with its manifest, from one listing."""

from dataclasses import dataclass

from radloop import manifest, tree
from radloop.errors import DatasetError, StoreError
from radloop.progress import Progress, silent
from radloop.storage import Store
from radloop.storage.layout import JOURNAL, MARKER, UNFINISHED, key_in, rows_of, summary_version, within


@dataclass(frozen=True)
class Problem:
    """One thing that `verify` found. rule: publishing, manifest, missing, changed, unverified or unlisted."""

    rule: str
    key: str
    detail: str


def verify(store: Store, *, prefix: str = manifest.UNIT, progress: Progress = silent) -> list[Problem]:
    """Compare what the store holds with its manifest, from one listing; and the manifest with the summary's version.

    Every problem but `unverified` and `unlisted` means that a pull would fail or bring something else. Raises
    StoreError where the store cannot be read, or holds neither a manifest nor a sign of a first publish.
    """
    data = store.get(key_in(prefix, manifest.NAME))
    if data is None:
        for name in (MARKER, JOURNAL):
            if store.get(key_in(prefix, name)) is not None:
                return [Problem("publishing", name, UNFINISHED)]
        raise StoreError(f"{store.address}/{prefix} holds no {manifest.NAME}: nothing says what should be there.")
    problems = []
    if store.get(key_in(prefix, MARKER)) is not None:
        problems.append(Problem("publishing", MARKER, "a publish is in progress, or unfinished: it was cut off"))
    try:
        table = manifest.decode(data, name=manifest.NAME)
    except DatasetError as damaged:
        return [*problems, Problem("manifest", manifest.NAME, str(damaged))]
    summary = store.get(key_in(prefix, tree.SUMMARY))
    version = summary_version(summary) if summary is not None else None
    if version not in (None, manifest.version(table)):
        problems.append(Problem("manifest", manifest.NAME, f"it lists another version than the summary's {version}"))

    listing = within(store.list(prefix))
    for row in rows_of(table):
        stored = listing.pop(row.key, None)
        if stored is None:
            problems.append(Problem("missing", row.key, "listed in the manifest, not in the store"))
        elif stored.bytes != row.bytes:
            problems.append(Problem("changed", row.key, f"{stored.bytes} bytes, not {row.bytes}"))
        elif stored.md5 is None:
            problems.append(Problem("unverified", row.key, "the store keeps no MD5; the size is right"))
        elif stored.md5 != row.md5:
            problems.append(Problem("changed", row.key, f"MD5 {stored.md5 or 'unknown'}, not {row.md5}"))
    problems += [Problem("unlisted", key, "no manifest lists it; left alone") for key in sorted(listing)]
    return problems
