"""What the trainer finds in a tree, before it opens a picture or a label: its yamls, lists, folders and names."""

import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from radloop import tree
from radloop.dataset import trainer_yaml, yolo
from radloop.dataset.trainer_rules import Violation

# Endings of pictures that the trainer passes over without a word.
_UNREAD_PICTURES: Final = frozenset({"dcm", "dicom", "gif", "jfif", "pfm", "pgm", "ppm", "tga"})


@dataclass(frozen=True)
class Found:
    """What the trainer would find in a tree, before it opens a picture or a label."""

    violations: list[Violation]
    pictures: (
        pl.DataFrame
    )  # key, label (its key), split (train, val or test), config; one row for each use of a picture
    classes: int | None  # of the yaml that names the fewest
    keypoints: int  # columns behind the box that a yaml declares


def judge_tree(dataset: yolo.Tree, *, judged_elsewhere: Path | None = None) -> Found:
    """Find every picture as the trainer does; say what it refuses, passes over or takes from elsewhere.

    judged_elsewhere: a folder around the tree whose other places are left out, for a unit may validate on another's
    pictures.
    """
    root = dataset.root
    violations: dict[Violation, None] = {}
    pictures: list[tuple[str, str, str, str]] = []
    if not dataset.configs:
        violations[Violation("yaml-missing", "data.yaml", None, "no yaml says where train and val are")] = None
    for config in dataset.configs:
        if config.problem is not None:
            violations[Violation("yaml-unreadable", config.key, None, config.problem)] = None
            continue
        violations |= dict.fromkeys(trainer_yaml.judge_yaml(config.key, config.content))
        violations |= dict.fromkeys(_judge_other_keys(root, config))
        for split, places in config.splits.items():
            paths = []
            for place in places:
                found, problems = _find_pictures(root, config.key, split, place)
                violations |= dict.fromkeys(problems)
                if place.is_relative_to(root) or not (judged_elsewhere and place.is_relative_to(judged_elsewhere)):
                    paths += found
                    violations |= dict.fromkeys(_judge_folder(root, place))
            violations |= dict.fromkeys(_judge_labels_there(root, split, paths))
            pictures += [(_key(path, root), _key(tree.label_path(path), root), split, config.key) for path in paths]
    columns = ("key", "label", "split", "config")
    table = pl.DataFrame(pictures, schema=dict.fromkeys(columns, pl.String), orient="row").unique()
    violations |= dict.fromkeys(_judge_shared_labels(table))
    violations |= dict.fromkeys(_judge_orphans(root, table))
    contents = [config.content for config in dataset.configs]
    return Found(
        list(violations),
        table.sort("key", "split", "config"),
        min((count for count in map(trainer_yaml.class_count, contents) if count is not None), default=None),
        max(map(trainer_yaml.keypoint_columns, contents), default=0),
    )


def with_listed(found: Found, listed: Iterable[str], root: Path) -> Found:
    """What was found, and the pictures of a manifest that are there and no yaml leads to (split and config null).

    Such are the readers' files of a split that is judged by its consensus: what moves to training is trained on.
    """
    others = sorted(set(listed) - set(found.pictures["key"]))
    there = [key for key in others if os.path.isfile(f"{root}/{key}")]
    rows = [(key, _key(tree.label_path(f"{root}/{key}"), root), None, None) for key in there]
    more = pl.DataFrame(rows, schema=found.pictures.schema, orient="row")
    return replace(found, pictures=pl.concat([found.pictures, more]))


def _key(path: str | Path, root: Path) -> str:
    return os.path.relpath(path, root)


def _judge_other_keys(root: Path, config: yolo.Config) -> Iterator[Violation]:
    for name, value in config.content.items() if isinstance(config.content, dict) else ():
        if not trainer_yaml.is_place(name) and isinstance(value, str) and "/" in value and (root / value).is_dir():
            detail = f"`{name}` is no split to the trainer: give it a yaml of its own, with {value} as `val`"
            yield Violation("yaml-split", config.key, None, detail)


def _find_pictures(root: Path, config: str, split: str, place: Path) -> tuple[list[str], list[Violation]]:
    """The pictures of a folder, or of a file that lists them; and what the trainer says of the place."""

    def refused(rule: str, detail: str) -> list[Violation]:
        return [Violation("test-refused" if split == "test" else rule, config, None, f"`{split}`: {detail}")]

    problems: list[Violation] = []
    if place.is_dir():
        paths = find_pictures(place)
    elif place.is_file():
        try:
            paths, problems = _read_list(root, place)
        except (UnicodeDecodeError, OSError) as broken:
            return [], refused("list-unreadable", f"{_key(place, root)} is no list of pictures: {broken}")
    else:
        return [], refused("place-missing", f"{_key(place, root)} does not exist")
    if not paths and not problems:
        return [], refused("place-empty", f"no picture in {_key(place, root)}")
    return paths, problems


def find_pictures(folder: Path) -> list[str]:
    """The absolute path of every picture that the trainer finds in a folder and the folders in it; nothing hidden."""
    names = glob.iglob("**/*.*", root_dir=folder, recursive=True)
    return sorted(f"{folder}/{name}" for name in names if is_picture(name))


def is_picture(path: str) -> bool:
    """Whether the trainer takes a file for a picture, by its ending."""
    return path.rpartition(".")[2].lower() in yolo.PICTURE_SUFFIXES


def read_list(file: Path) -> list[str]:
    """The lines of a list of pictures, as the trainer reads them: only what begins with `./` lies beside the list.

    Raises UnicodeDecodeError for a list that is not UTF-8, OSError for one that cannot be read.
    """
    lines = file.read_text(encoding="utf-8-sig").strip().splitlines()
    return [line.replace("./", f"{file.parent}/", 1) if line.startswith("./") else line for line in lines]


def _read_list(root: Path, place: Path) -> tuple[list[str], list[Violation]]:
    """The pictures of a list, those also that the trainer looks for in its working directory where they lie here."""
    paths, adrift, ignored = [], [], []
    for number, path in enumerate(read_list(place), 1):
        if not is_picture(path):
            ignored += [(number, path)] if path.strip() else []
        elif os.path.isabs(path):
            paths.append(path)
        else:
            adrift.append((number, path))
            paths += [there for base in (place.parent, root) if os.path.isfile(there := f"{base}/{path.strip()}")][:1]
    key = _key(place, root)
    problems = []
    if adrift:
        detail = f"{len(adrift)} paths without `./` or `/` before them, the first {_short(adrift[0][1])}"
        problems.append(Violation("list-path", key, adrift[0][0], detail))
    if ignored:
        detail = f"{len(ignored)} lines do not end as a picture's name does, the first {_short(ignored[0][1])}"
        problems.append(Violation("list-ignored", key, ignored[0][0], detail))
    return paths, problems


def _short(text: str) -> str:
    return " ".join(text.split())[:200]


def _judge_folder(root: Path, place: Path) -> Iterator[Violation]:
    if place.is_dir():
        for name in yolo.walk(place):
            if name.rpartition(".")[2].lower() in _UNREAD_PICTURES:
                yield Violation("picture-ignored", _key(place / name, root), None, "not an ending that is looked for")


def _judge_labels_there(root: Path, split: str, pictures: list[str]) -> Iterator[Violation]:
    """Say which pictures of a split have no label, and what lies in its stead."""
    lacking = [(picture, label) for picture in pictures if not os.path.isfile(label := tree.label_path(picture))]
    if not lacking:
        return
    if len(lacking) == len(pictures):
        rule = "train-unlabelled" if split == "train" else "place-unlabelled"
        first_picture, first_label = min(lacking)
        detail = f"none of {len(lacking)} labels is there; the first would be {_key(first_label, root)}"
        yield Violation(rule, _key(os.path.dirname(first_picture), root), None, detail)
        return
    listings: dict[str, dict[str, str]] = {}
    for picture, label in lacking:
        if not os.path.isfile(picture):
            continue  # which is said when it is looked at
        folder, name = os.path.split(label)
        if folder not in listings:
            names = os.listdir(folder) if os.path.isdir(folder) else []
            listings[folder] = {name.lower(): name for name in names}
        alike = listings[folder].get(name.lower())
        in_its_stead = f"; {alike} is there, which the trainer does not look for" if alike else ""
        detail = f"{_key(label, root)} is not there{in_its_stead}; an empty file says that nothing was found"
        yield Violation("label-missing", _key(picture, root), None, detail)


def _judge_shared_labels(pictures: pl.DataFrame) -> Iterator[Violation]:
    """`a.png` and `a.jpg` have one label between them."""
    sharing = pictures.group_by("label").agg(pl.col("key").unique().sort()).filter(pl.col("key").list.len() > 1)
    for label, keys in sharing.sort("label").iter_rows():
        more = f" and {len(keys) - 2} more" if len(keys) > 2 else ""
        yield Violation("label-shared", label, None, f"{keys[0]} and {keys[1]}{more} both take it")


def _judge_orphans(root: Path, pictures: pl.DataFrame) -> Iterator[Violation]:
    labels: dict[str, set[str]] = defaultdict(set)
    for key in pictures["label"].unique():
        folder, _, name = key.rpartition("/")
        labels[folder].add(name)
    for folder, names in sorted(labels.items()):
        if "labels" in folder.split("/") and (root / folder).is_dir():
            for name in sorted(os.listdir(root / folder)):
                if name.endswith(".txt") and name not in names and name != tree.CLASSES:  # which labelling tools leave
                    yield Violation("label-orphan", f"{folder}/{name}", None, "there is no picture for it")
