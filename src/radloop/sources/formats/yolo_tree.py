"""Which pictures and labels a YOLO data set means: its data yamls, Darknet's `.data` file, or two plain folders.

Paths were often written on another machine. What is not there as it is written is looked for by its tail.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from posixpath import basename, dirname, join, normpath
from typing import Final

import yaml

from radloop import taxonomy, tree
from radloop.errors import AnnotationError, SourceError, TaxonomyError
from radloop.sources.bundle import Bundle, printable
from radloop.sources.formats.labels import PICTURES
from radloop.tables import SPLITS

PLAIN_NAMES: Final = ("classes.txt", "obj.names", "_darknet.labels")
_DATA_YAMLS: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_PLACES: Final = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_NO_PLACES: Final = ("classes", "names", "backup", "eval", "results")  # what else a .data file holds
_PICTURES: Final = re.compile(rf"\.({PICTURES}|heic|heif|dng|mpo)", re.IGNORECASE)
_LISTS: Final = re.compile(r"(train|trainval|valid|val|test|autosplit_\w+)\.txt|readme.*\.txt", re.IGNORECASE)
_NAMES_LINE: Final = re.compile(r"""^\ufeff?["']?(names|nc)["']?\s*:""", re.MULTILINE)
_PLACE_LINE: Final = re.compile(r"""^\ufeff?["']?(train|val|validation|test)["']?\s*:""", re.MULTILINE)
_MODEL_LINE: Final = re.compile(r"^backbone\s*:", re.MULTILINE)
_BOX_LINE: Final = re.compile(r"\s*[0-9]+(\s+[0-9.eE+-]+){4}")
_LONGEST_YAML: Final = 2**20
_LOOKED_AT: Final = 5  # label files, to tell whether they are such


@dataclass(frozen=True)
class Tree:
    """The pictures and labels of a data set."""

    splits: dict[str, set[str]]  # of each picture, by its name: the source's own; empty where it has none
    labels: dict[str, str]  # the label file of a picture; a picture without one is unlabelled
    names: list[str] | None  # of the classes
    notes: list[str] = field(default_factory=list)


def find(bundle: Bundle) -> tuple[str, ...]:
    """The files that tell where pictures and labels lie, else what names the classes, else a few label files."""
    configs = [name for name in bundle.ending(".yaml", ".yml", ".data") if _is_config(bundle, name)]
    if configs:
        return tuple(configs)
    labels = [name for name in bundle.ending(".txt") if not _is_other(name)]
    near = [name for name in labels if _in_labels(name)]
    names = [name for name in bundle.names if basename(name) in PLAIN_NAMES]
    if not near and names:
        near = labels
    head = near[:_LOOKED_AT]
    texts = [bundle.head(name).decode("utf-8", "replace") for name in head]
    if not any(_BOX_LINE.match(text) for text in texts) and not (names and head and not any(texts)):
        return ()
    return tuple(names or head)


def read(bundle: Bundle) -> Tree:
    """The pictures and labels that the files of `find` tell of. Raises AnnotationError where they lead nowhere."""
    found = find(bundle)
    around = bundle.around
    files = _Files(around)
    configs = [name for name in found or bundle.names if name.lower().endswith((".yaml", ".yml", ".data"))]
    if not configs:
        return _plain(around, files, found)
    read = [_read(around, files, name) for name in configs]
    for config in read:
        if config.names != read[0].names:
            raise AnnotationError(
                f"{around.shown(configs[0])} and {around.shown(config.name)} name other classes. Pass the one that is "
                "meant with --annotations."
            )
    splits: dict[str, set[str]] = defaultdict(set)
    labels: dict[str, str] = {}
    notes: list[str] = []
    for config in read:
        for split, where in config.places:
            for picture, label in _of_place(around, files, config, split, where, notes):
                splits[picture].update([split] if split else [])
                if label:
                    labels[picture] = label
    return Tree(splits, labels, read[0].names, notes)


def is_picture(name: str) -> bool:
    """Whether a file is a picture, by its ending."""
    stem, dot, ending = name.rpartition(".")
    return bool(stem) and _PICTURES.fullmatch(dot + ending) is not None


@dataclass(frozen=True)
class _Config:
    name: str
    base: str  # the folder that its places start from
    names: list[str] | None
    places: list[tuple[str | None, str]]  # split, and a folder or a list of pictures


class _Files:
    """What lies in a bundle, to be found by paths that may be of another machine."""

    def __init__(self, bundle: Bundle) -> None:
        self.names = bundle.names
        self.there = frozenset(bundle.names)
        self.folders = {""}
        for name in {dirname(name) for name in bundle.names}:
            while name not in self.folders:
                self.folders.add(name)
                name = dirname(name)
        self._by_last: dict[str, list[str]] = defaultdict(list)
        for name in bundle.names:
            self._by_last[basename(name)].append(name)

    def below(self, folder: str) -> Iterator[str]:
        """The files in a folder and the folders in it."""
        start = f"{folder}/" if folder else ""
        for at in range(bisect_left(self.names, start), len(self.names)):
            if not self.names[at].startswith(start):
                return
            yield self.names[at]

    def file(self, base: str, named: str) -> str | None:
        """The one file that a path means: as it is written from `base`, else the one whose path ends most alike."""
        path = _cleaned(named)
        for start in (base, ""):
            if (exact := _joined(start, path)) in self.there:
                return exact
        parts = path.split("/")
        found = ((_alike(name.split("/"), parts), name) for name in self._by_last[parts[-1]])
        # a name alone is that of many files: only beside the base it is enough
        near = (one for one in found if one[0] > 1 or len(parts) == 1 or dirname(one[1]) in (base, ""))
        alike = sorted(near, reverse=True)
        if not alike or (len(alike) > 1 and alike[0][0] == alike[1][0]):
            return None
        return alike[0][1]

    def folder(self, base: str, named: str) -> str | None:
        """The folder that a path means, which may have labels only: as it is written, else by its tail.

        One name alone is the tail of a path of another machine only.
        """
        path = normpath(_cleaned(named))
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        elsewhere = path.startswith(("/", "../")) or ":" in parts[0] if parts else False
        tails = ["/".join(parts[at:]) for at in range(len(parts) - (0 if elsewhere else 1))]
        for tail in [path, *tails]:
            for start in dict.fromkeys((base, "")):
                place = _joined(start, tail)
                if place is not None and (place in self.folders or _of_labels(place) in self.folders):
                    return place
        return None


def _cleaned(path: str) -> str:
    return path.strip().replace("\\", "/")


def _joined(base: str, path: str) -> str | None:
    """The path in the bundle; None for one that leads out of it."""
    whole = normpath(join(base, path))
    return None if whole.startswith(("/", "../")) or whole == ".." else "" if whole == "." else whole


def _alike(one: list[str], other: list[str]) -> int:
    """How many last parts two paths have in common."""
    same = 0
    for mine, its in zip(reversed(one), reversed(other), strict=False):
        if mine != its:
            break
        same += 1
    return same


def _of_labels(folder: str) -> str:
    """The folder of the labels of the pictures in a folder."""
    return dirname(tree.label_path(f"/{join(folder, 'x.png')}"))[1:]


def _is_other(name: str) -> bool:
    """Whether a text file is no label, by its name."""
    return basename(name) in PLAIN_NAMES or _LISTS.fullmatch(basename(name)) is not None


def _is_config(bundle: Bundle, name: str) -> bool:
    head = bundle.head(name).decode("utf-8", "replace")
    if name.lower().endswith(".data"):
        return all(re.search(rf"^\s*{key}\s*=", head, re.MULTILINE) for key in ("names", "train|valid|test"))
    if not _NAMES_LINE.search(head) or _MODEL_LINE.search(head):
        return False
    return _PLACE_LINE.search(head) is not None or basename(name) in _DATA_YAMLS


def _read(bundle: Bundle, files: _Files, name: str) -> _Config:
    """A data yaml, or Darknet's file. Raises AnnotationError with its name."""
    shown = bundle.shown(name)
    if tree.ANNOTATIONS in {basename(one) for one in files.below(dirname(name))}:
        raise AnnotationError(
            f"{shown} is of a dataset that radloop built, whose pictures stand there once a reader. Pass its "
            f"{tree.BOXES} with --annotations beside the original pictures, or the dataset with --previous."
        )
    try:
        data = bundle.read(name)
        if len(data) > _LONGEST_YAML:
            raise TaxonomyError("it is too long for a list of places and names")
        return (_of_darknet if name.lower().endswith(".data") else _of_yaml)(bundle, files, name, data)
    except (TaxonomyError, SourceError) as wrong:
        raise AnnotationError(f"{shown}: {wrong}") from wrong


def _of_yaml(bundle: Bundle, files: _Files, name: str, data: bytes) -> _Config:
    """A data yaml: all text, so that a class called `no` keeps its name."""
    text = yaml.reader.Reader.NON_PRINTABLE.sub("", data.decode("utf-8-sig", errors="ignore"))
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes nothing but text
    except Exception as broken:  # PyYAML raises anything
        raise TaxonomyError(f"it is not YAML ({' '.join(str(broken).split())[:200]}).") from broken
    if not isinstance(content, dict):
        raise TaxonomyError("it holds no keys. A data yaml has `names`, `train` and `val`.")
    beside = dirname(name)
    path = content.get("path")
    base = (files.folder(beside, path) if isinstance(path, str) and path else None) or beside
    places: list[tuple[str | None, str]] = []
    for key, split in _PLACES.items():
        if key == "validation" and "val" in content:
            continue
        named = content.get(key) or []
        listed = named if isinstance(named, list) else [named]
        if not all(isinstance(one, str) for one in listed):
            raise TaxonomyError(f"`{key}` is no path and no list of paths.")
        places += [(_split(name, split), one) for one in listed if one.strip() and one not in ("null", "None")]
    return _Config(name, base, _names_of_yaml(content), places or [(None, ".")])


def _split(name: str, split: str) -> str:
    """Of a yaml such as data-staging.yaml, whose `val` is that split, since a trainer knows no other key for it."""
    named = re.split(r"[-_.]", basename(name))[-2]
    return named if split == "val" and named in SPLITS and named not in tree.TRAINERS_OWN else split


def _names_of_yaml(content: dict[str, object]) -> list[str] | None:
    names, count = content.get("names"), content.get("nc")
    if names not in (None, "", "null", "None", [], {}):
        return taxonomy.of_numbered(names)
    if count in (None, ""):
        return None
    if not isinstance(count, str) or not re.fullmatch(r"[0-9]{1,4}(\.0)?", count):
        shown = repr(count[:60]) if isinstance(count, str) else "a list"
        raise TaxonomyError(f"`nc` is {shown}, not a number of classes.")
    return [f"class_{number}" for number in range(int(float(count)))]  # as Ultralytics calls them


def _of_darknet(bundle: Bundle, files: _Files, name: str, data: bytes) -> _Config:
    """Lines `key = value`; CVAT calls it YOLO 1.1."""
    pairs = [line.partition("=") for line in data.decode("utf-8-sig", "replace").splitlines() if "=" in line]
    said = {key.strip(): value.strip() for key, _, value in pairs}
    beside = dirname(name)
    listed = files.file(beside, said.get("names") or "obj.names")
    places: list[tuple[str | None, str]] = [
        (key, value) for key, value in said.items() if key not in _NO_PLACES and value.lower().endswith(".txt")
    ]
    if listed is None:
        raise TaxonomyError(f"`names` leads to {said.get('names', '')[:80]!r}, which is not there.")
    return _Config(name, beside, _lines(bundle, listed), places)


def _lines(bundle: Bundle, name: str) -> list[str]:
    text = bundle.read(name).decode("utf-8-sig", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _of_place(
    bundle: Bundle, files: _Files, config: _Config, split: str | None, where: str, notes: list[str]
) -> Iterator[tuple[str, str | None]]:
    """The pictures of a place of a config, and their labels. Raises AnnotationError for one that is not there."""
    if where.strip().lower().endswith(".txt"):
        listed = files.file(config.base, where)
        if listed is not None:
            yield from _of_list(files, config, listed, _lines(bundle, listed))
            return
    elif (folder := files.folder(config.base, where)) is not None:
        if folder != _joined(config.base, _cleaned(where)):
            taken = printable(folder) or "the folder itself"
            notes.append(f"{bundle.shown(config.name)} names {where[:200]!r}: {taken} was read")
        yield from _of_folder(files, folder)
        return
    sentence = f"{bundle.shown(config.name)} names {where[:200]!r} as {split}, which is not there"
    if split != "test":
        raise AnnotationError(f"{sentence}. Pass the folder that holds it with --annotations, or correct the file.")
    notes.append(sentence)  # many name a test set that they do not have


def _of_list(files: _Files, config: _Config, listed: str, lines: list[str]) -> Iterator[tuple[str, str | None]]:
    """The pictures of a list: its paths lie beside it, or where the config says, or were written on another machine."""
    for line in lines:
        path = _cleaned(line)
        if not is_picture(path):
            continue
        picture = files.file(dirname(listed), path) or files.file(config.base, path)
        if picture is not None:
            yield picture, _label(files, picture)
            continue
        beside = f"{path.rpartition('.')[0]}.txt"  # the labels may be there without the pictures
        moved = tree.label_path(f"/{path.lstrip('/')}")[1:]
        yield path.lstrip("/"), files.file(config.base, moved) or files.file(config.base, beside)


def _of_folder(files: _Files, folder: str) -> Iterator[tuple[str, str | None]]:
    """The pictures of a folder, and the labels there that have no picture."""
    taken = set()
    homes = {_of_labels(folder)}
    for picture in filter(is_picture, files.below(folder)):
        label = _label(files, picture)
        homes.add(dirname(label) if label else dirname(tree.label_path(f"/{picture}"))[1:])
        taken.add(label)
        yield picture, label
    if folder in files.folders and (own := join(folder, "labels")) in files.folders:
        homes.add(own)
    alone = {name for home in homes for name in files.below(home) if name.lower().endswith(".txt")} - taken
    for name in sorted(name for name in alone if not _is_other(name)):
        yield name[:-4], name


def _label(files: _Files, picture: str) -> str | None:
    """The label of a picture, as the trainer looks for it, else beside it."""
    ours = tree.label_path(f"/{picture}")[1:], f"{picture.rpartition('.')[0]}.txt"
    return next((name for name in ours if name in files.there), None)


def _plain(bundle: Bundle, files: _Files, found: tuple[str, ...]) -> Tree:
    """Pictures and labels without a word about where they lie."""
    lists = [name for name in found if basename(name) in PLAIN_NAMES]
    several = {tuple(_lines(bundle, name)) for name in lists}
    if len(several) > 1:
        raise AnnotationError(
            f"{bundle.shown(lists[0])} and {bundle.shown(lists[1])} name other classes. Pass one of their folders."
        )
    try:
        names = taxonomy.of_lines(bundle.read(lists[0]).decode("utf-8-sig", "replace")) if lists else None
    except TaxonomyError as wrong:
        raise AnnotationError(f"{bundle.shown(lists[0])}: {wrong}") from wrong
    pairs = dict(_of_folder(files, ""))
    if any(label and _in_labels(label) for label in pairs.values()):  # then other texts are none
        pairs = {name: label for name, label in pairs.items() if is_picture(name) or _in_labels(label or "")}
    return Tree({name: set() for name in pairs}, {name: label for name, label in pairs.items() if label}, names)


def _in_labels(name: str) -> bool:
    return "labels" in name.split("/")[:-1]
