"""Judge a dataset from its files alone: what the trainer would drop, what is damaged, what leaks."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from radloop import manifest, storage, sums, tree
from radloop.catalog import heldout, history
from radloop.dataset import (
    doubles,
    naming,
    trainer_labels,
    trainer_pictures,
    trainer_rules,
    trainer_tree,
    trainer_yaml,
    yolo,
)
from radloop.dataset.trainer_pictures import Looked
from radloop.dataset.trainer_rules import DROPPING, TRAINER, Violation
from radloop.dataset.trainer_tree import Found
from radloop.errors import DatasetError
from radloop.pipelines.checks import documents, earlier, incoming
from radloop.progress import Progress, silent
from radloop.storage import Store, layout, verify

# What may be wrong that the trainer does not see, and what follows from it.
RULES: Final = trainer_rules.RULES | {
    "manifest-unreadable": "nothing can be verified",
    "publish-unfinished": "readers are turned away",
    "file-missing": "not the dataset that was written",
    "file-changed": "not the dataset that was written",
    "file-unlisted": "not the dataset that was written",
    "leak-group": "figures on held-out splits flatter",
    "leak-picture": "figures on held-out splits flatter",
    "leak-memory": "figures on held-out splits flatter",
    "split-proof": "split not proven",
    "split-annotations": "files and annotations disagree",
    "forgotten-there": "what was forgotten has come in again",
    "summary-wrong": "files and summary disagree",
    "classes-differ": "a number means another finding",
    "incoming-table": "nobody knows what may train of what came in",
    "incoming-leak": "figures on held-out splits or audit images flatter",
    "version-incomplete": "it cannot be brought back",
    "ingest-unfinished": "the table may be ahead of its files",
}

VIOLATIONS: Final = pl.Schema(
    {"rule": pl.String, "key": pl.String, "line": pl.Int64, "detail": pl.String, "consequence": pl.String}
)

# How publishing calls what it finds in a store.
_STORE_RULES: Final = {
    "publishing": "publish-unfinished",
    "manifest": "manifest-unreadable",
    "missing": "file-missing",
    "changed": "file-changed",
    "unlisted": "file-unlisted",
}
_DOCUMENTS_CHECKED: Final = "no group in two splits; the proof of the splits; the summary; the names of the classes"
_YAML: Final = (".yaml", ".yml")
_TRAINERS_OWN: Final = (".cache", ".npy")  # what training leaves in a dataset's folders


@dataclass(frozen=True)
class Report:
    """What a check found. `violations`: rule, key (relative to `root`), line, detail, consequence."""

    place: str  # the dataset's folder, or the store's address
    version: str | None  # None where there is no manifest
    checked: tuple[str, ...]  # a sentence for each thing that was looked at, or could not be
    counts: Mapping[str, int]
    violations: pl.DataFrame

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return self.violations.is_empty()


@dataclass(frozen=True)
class _Unit:
    violations: list[Violation]
    version: str | None
    checked: list[str]
    counts: dict[str, int]


def check(place: Path | str, *, jobs: int = 1, progress: Progress = silent) -> Report:
    """Judge the dataset in a folder or in a store (`name:container`), and the re-training data in it as its own unit.

    A dataset that radloop did not make has no manifest: in a folder it is judged by the trainer's rules and by pictures
    that training shares with a held-out split, and `checked` says so. In a remote store every file is compared with
    the manifest by the store's own MD5s. Nothing is written. Raises DatasetError or StoreError where there is no
    dataset at all.
    """
    if storage.is_remote(str(place)):
        return _check_store(str(place), progress=progress)
    root = yolo.dataset_root(Path(place))
    units = {"": _with_earlier(_check_unit(root, jobs=jobs, progress=progress), earlier.judge_folder(root))}
    for inner in manifest.INNER:
        if (root / inner / manifest.NAME).is_file():
            unit = _check_unit(root / inner, jobs=jobs, judged_elsewhere=root, progress=progress)
            units[f"{inner}/"] = _with_incoming(inner, unit, partial(_content, root))
    return _report(str(root), units)


def _with_earlier(unit: _Unit, found: list[Violation] | None) -> _Unit:
    """With what the versions that are kept beside it lack; None: there are none."""
    if found is None:
        return unit
    return replace(unit, violations=[*unit.violations, *found], checked=[*unit.checked, earlier.CHECKED])


def _with_incoming(inner: str, unit: _Unit, get: Callable[[str], bytes | None]) -> _Unit:
    """With what only the incoming unit can have wrong; `get` brings a file of the dataset."""
    if inner != manifest.INCOMING:
        return unit
    found = [*unit.violations, *incoming.judge(get)]
    return replace(unit, violations=found, checked=[*unit.checked, incoming.CHECKED])


def _content(root: Path, key: str) -> bytes | None:
    path = root / key
    return path.read_bytes() if path.is_file() else None


def _report(place: str, units: Mapping[str, _Unit]) -> Report:
    rows = [
        (rule, prefix + key, line, detail, RULES[rule])
        for prefix, unit in units.items()
        for rule, key, line, detail in unit.violations
    ]
    return Report(
        place,
        units[""].version,
        tuple(prefix + sentence for prefix, unit in units.items() for sentence in unit.checked),
        {prefix + name: count for prefix, unit in units.items() for name, count in unit.counts.items()},
        pl.DataFrame(rows, schema=VIOLATIONS, orient="row").sort("rule", "key", "line", maintain_order=True),
    )


def _check_store(address: str, *, progress: Progress) -> Report:
    with closing(storage.open_store(address)) as store:
        prefix = layout.resolve_prefix(store)
        found = _check_published(store, prefix, progress=progress)
        kept = store.get(layout.key_in(prefix, history.NAME)) is not None
        units = {"": _with_earlier(found, list(earlier.judge(store, prefix)) if kept else None)}
        for inner in manifest.INNER:
            place = layout.key_in(prefix, inner)
            if any(store.get(f"{place}/{name}") is not None for name in sorted(layout.OURS)):
                unit = _check_published(store, place, progress=progress)
                units[f"{inner}/"] = _with_incoming(inner, unit, lambda key: store.get(layout.key_in(prefix, key)))
    return _report(address, units)


def _check_published(store: Store, prefix: str, *, progress: Progress) -> _Unit:
    problems = verify.verify(store, prefix=prefix, progress=progress)
    violations = [
        Violation(_STORE_RULES[problem.rule], problem.key, None, problem.detail)
        for problem in problems
        if problem.rule != "unverified"
    ]
    unverified = sum(problem.rule == "unverified" for problem in problems)
    data = store.get(layout.key_in(prefix, manifest.NAME))
    try:
        listed = manifest.decode(data or b"", name=manifest.NAME)
    except DatasetError:  # verify has said so
        return _Unit(violations, None, [f"the {manifest.NAME}, which cannot be read"], {})
    checked = [f"size and MD5 of {listed.height - unverified:,} files, as the store tells them"]
    if unverified:
        checked.append(f"the size alone of {unverified:,} files: the store keeps no MD5 of them")
    yamls = [key for key in listed["key"] if key.endswith(_YAML)]
    keys = (tree.ANNOTATIONS, tree.PROOF, tree.SUMMARY, tree.HELDOUT, tree.TOMBSTONES, *naming.FILES, *yamls)
    texts = {key: text for key in keys if (text := store.get(layout.key_in(prefix, key))) is not None}
    for key in yamls:
        violations += _judge_yaml(key, texts.get(key, b""))
    checked.append(f"the rules of {TRAINER} for {', '.join(yamls) or 'no yaml'}")
    checked += filter(None, [doubles.note(listed)])
    if tree.ANNOTATIONS in texts:
        violations += documents.judge(listed, texts)
        violations += documents.judge_summary(listed, texts)
        checked.append(_DOCUMENTS_CHECKED)
    with suppress(DatasetError):  # which is said of the documents
        memory = heldout.decode(texts.get(tree.HELDOUT, b""), name=tree.HELDOUT)
        violations += trainer_pictures.judge_thumbnails(listed, memory)
        checked.append("that no picture is nearly black, by the thumbnails of those that are held out")
    checked.append("not the pictures nor the lines of the labels: `radloop pull` it and check the folder for those")
    counts = {f"{kind}s": number for kind, number in listed.group_by("kind").len().sort("kind").iter_rows()}
    return _Unit(violations, manifest.version(listed), checked, counts)


def _judge_yaml(key: str, data: bytes) -> list[Violation]:
    try:
        return trainer_yaml.judge_yaml(key, tree.read_data_yaml(data))
    except Exception as broken:  # noqa: BLE001 - PyYAML raises anything
        return [Violation("yaml-unreadable", key, None, " ".join(str(broken).split())[:200])]


def _check_unit(root: Path, *, jobs: int, judged_elsewhere: Path | None = None, progress: Progress) -> _Unit:
    found = trainer_tree.judge_tree(yolo.read(root), judged_elsewhere=judged_elsewhere)
    violations = list(found.violations)
    try:
        listed = manifest.read(root)
    except DatasetError as broken:
        violations.append(Violation("manifest-unreadable", manifest.NAME, None, str(broken)))
        listed = None

    # re-training data of which none trains, and incoming pictures
    if listed is not None and judged_elsewhere and not listed["kind"].is_in(["label", "yaml"]).any():
        violations = [one for one in violations if one.rule != "yaml-missing"]

    if listed is not None:
        found = trainer_tree.with_listed(found, listed.filter(kind="image")["key"], root)
    image_keys = set(found.pictures["key"])
    other_keys = set(found.pictures["label"])
    if listed is not None:
        other_keys |= set(listed.filter(pl.col("kind") != "image")["key"])
    pictures = trainer_pictures.look_at_all(root, sorted(image_keys), jobs=jobs, progress=progress)
    texts = dict(_read(root, sorted(other_keys), violations))

    violations += _judge_contents(found, pictures, texts)
    checked = [f"the rules of {TRAINER}: {found.pictures['key'].n_unique():,} pictures with their labels"]
    checked += _notes(pictures, texts)
    unfinished = [name for name in (layout.MARKER, layout.JOURNAL) if listed is None and (root / name).exists()]
    violations += [Violation("publish-unfinished", name, None, layout.UNFINISHED) for name in unfinished]
    if listed is None:
        shows = {key: picture.shows for key, picture in pictures.items()}
        violations += doubles.judge_leaks(found.pictures, shows)
        violations += doubles.judge_contradictions(found.pictures, shows, texts)
        checked.append(f"no {manifest.NAME}: checksums, groups and splits could not be checked; same pictures were")
    else:
        violations += _judge_files(root, listed, pictures, texts)
        checked.append(_sums_checked(listed))
        checked += filter(None, [doubles.note(listed)])
        if tree.ANNOTATIONS in texts:
            violations += documents.judge(listed, texts)
            checked.append(_DOCUMENTS_CHECKED)
            if absent := _splits_left_out(listed, texts):
                checked.append(f"a part of the dataset, pulled without {', '.join(absent)}")
                violations = [violation for violation in violations if not _is_of(violation, absent)]
            else:
                violations += documents.judge_summary(listed, texts)
    version = None if listed is None else manifest.version(listed)
    return _Unit(violations, version, checked, _count(found, texts))


def _notes(pictures: Mapping[str, Looked], texts: Mapping[str, bytes]) -> Iterator[str]:
    """What the trainer takes, but perhaps otherwise than was meant."""
    labels = [text for key, text in texts.items() if key.endswith(".txt")]
    if outlined := len(trainer_labels.with_polygons(labels)):
        yield f"{outlined:,} labels hold outlines (more than 6 columns): the trainer takes their bounds for the boxes"
    if turned := sum(picture.turned for picture in pictures.values()):
        yield f"{turned:,} pictures are turned by the trainer, as their EXIF data say: their boxes have to fit that"
    if unjudged := sum(not picture.judged for picture in pictures.values()):
        yield f"not {unjudged:,} HEIC pictures, which the trainer opens with pi-heif"


def _read(root: Path, keys: list[str], violations: list[Violation]) -> Iterator[tuple[str, bytes]]:
    for key in keys:
        try:
            with open(f"{root}/{key}", "rb") as file:
                yield key, file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue  # to the trainer, a label that is no file is an empty one
        except OSError as error:
            violations.append(Violation("label-unreadable", key, None, error.strerror or str(error)))


def _judge_contents(found: Found, pictures: Mapping[str, Looked], texts: Mapping[str, bytes]) -> Iterator[Violation]:
    judged = []
    for key in found.pictures["key"].unique().sort():
        if key in pictures:
            judged += [violation._replace(key=key) for violation in pictures[key].violations]
        else:
            judged.append(Violation("picture-unreadable", key, None, "it is not there, or not to be read"))
    labels = [key for key in found.pictures["label"].unique().sort() if key in texts]
    judged += trainer_labels.judge_labels(
        labels, [texts[key] for key in labels], found.classes, keypoints=found.keypoints
    )
    yield from judged
    yield from _judge_lost_splits(found, {violation.key for violation in judged if violation.rule in DROPPING})


def _judge_lost_splits(found: Found, dropped: set[str]) -> Iterator[Violation]:
    """A split of which the trainer drops every picture: it refuses the dataset."""
    is_dropped = pl.col("key").is_in(dropped) | pl.col("label").is_in(dropped)
    uses = found.pictures.filter(pl.col("config").is_not_null())
    splits = uses.group_by("config", "split").agg(lost=is_dropped.all(), count=pl.len())
    for config, split, lost, count in splits.sort("config", "split").iter_rows():
        if lost:
            rule = "test-refused" if split == "test" else "split-dropped"
            yield Violation(rule, config, None, f"`{split}`: the trainer would drop each of its {count} pictures")


def _judge_files(
    root: Path, listed: pl.DataFrame, pictures: Mapping[str, Looked], texts: Mapping[str, bytes]
) -> Iterator[Violation]:
    """Every listed file is there with its size and sums, every picture has its label, and nothing else lies there."""
    for key, kind, size, *told in listed.select("key", "kind", "bytes", *sums.Sums._fields).iter_rows():
        if kind == "image" and key in pictures:
            found_size, found = pictures[key].size, pictures[key].sums
        elif kind != "image" and key in texts:
            found_size, found = len(texts[key]), sums.of(texts[key])
        else:
            yield Violation("file-missing", key, None, "the manifest lists it; it is not there, or not to be read")
            continue
        if found_size != size:
            yield Violation("file-changed", key, None, f"{found_size} bytes instead of {size}")
        else:
            for name, is_so, should_be in zip(("MD5", "SHA-256"), found, told, strict=True):
                if should_be is not None and is_so != should_be:
                    yield Violation("file-changed", key, None, f"{name} {is_so} instead of {should_be}")
                    break

    keys = {*listed["key"], manifest.NAME}
    for key in yolo.walk(root):
        if key not in keys and not manifest.is_inner(key) and not key.endswith(_TRAINERS_OWN):
            yield Violation("file-unlisted", key, None, "the manifest does not list it")
    for key in listed["key"]:
        if key.endswith(".cache"):
            yield Violation("cache-listed", key, None, "the trainer's cache is part of the dataset")


def _sums_checked(listed: pl.DataFrame) -> str:
    """By which sums the files were compared.

    >>> _sums_checked(pl.DataFrame({"sha256": ["0" * 64, None]}))
    'size and MD5 of 2 files, SHA-256 of 1: the others were listed by an earlier radloop'
    """
    whole, strong = listed.height, listed.height - listed["sha256"].null_count()
    if strong == whole:
        return f"size, MD5 and SHA-256 of {whole:,} files"
    return f"size and MD5 of {whole:,} files, SHA-256 of {strong:,}: the others were listed by an earlier radloop"


def _splits_left_out(listed: pl.DataFrame, texts: Mapping[str, bytes]) -> list[str]:
    """The splits that were not pulled: the summary counts images in them, the manifest lists none at all."""
    try:
        said = dict(json.loads(texts.get(tree.SUMMARY, b"")).get("splits", {}))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []  # `_judge_summary` says so
    here = set(listed["split"])
    return [split for split, count in said.items() if count and split not in here]


def _is_of(violation: Violation, absent: list[str]) -> bool:
    """Whether a data yaml only misses the folder of a split that was not pulled."""
    misses = violation.rule in ("place-missing", "test-refused")
    folders = [tree.folder(split, consensus=consensus) for split in absent for consensus in (False, True)]
    return misses and any(f"{folder}/images" in violation.detail for folder in folders)


def _count(found: Found, texts: Mapping[str, bytes]) -> dict[str, int]:
    labels = [texts[key] for key in found.pictures["label"].unique() if key in texts]
    lines = sum(len(text.splitlines()) for text in labels)
    return {
        "pictures": found.pictures["key"].n_unique(),
        "labels": len(labels),
        "boxes": lines,
        "empty labels": sum(not text.strip() for text in labels),
    }
