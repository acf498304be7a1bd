"""What Ultralytics would refuse, drop or misread in a YOLO dataset, told without torch.

The rules are those of its `data/utils.py` and `data/base.py`. The trainer drops a whole picture for one bad line
and says so in a log only; here each bad line is a row.
"""

import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from PIL import Image, UnidentifiedImageError

from radloop.dataset import yolo

# Every rule, and what the trainer makes of a violation.
RULES: Final = {
    "yaml-missing": "dataset refused",
    "yaml-unreadable": "dataset refused",
    "yaml-keys": "dataset refused",
    "yaml-names": "dataset refused",
    "yaml-path": "dataset looked for elsewhere",
    "yaml-download": "text executed",
    "yaml-split": "split ignored",
    "place-missing": "dataset refused",
    "place-empty": "dataset refused",
    "place-unlabelled": "every picture taken for background",
    "picture-unreadable": "image dropped",
    "picture-small": "image dropped",
    "picture-format": "image dropped",
    "picture-truncated": "file rewritten in place",
    "picture-ignored": "file ignored",
    "label-unreadable": "image dropped",
    "label-encoding": "image dropped",
    "label-blank": "image dropped",
    "label-columns": "image dropped",
    "label-number": "image dropped",
    "label-range": "image dropped",
    "label-class": "image dropped",
    "label-fraction": "class cut to a whole number",
    "label-polygon": "line read as a polygon",
    "label-duplicate": "line dropped with a warning",
    "label-orphan": "file ignored",
    "label-outside": "label looked for outside the dataset",
    "cache-stale": "old labels used",
    "cache-listed": "old labels used",
}

_UNREAD_PICTURES: Final = frozenset({"avif", "dcm", "dicom", "gif", "heif", "jfif", "jp2", "pgm", "ppm", "tga"})
_SMALLEST_SIDE_PX: Final = 10
_LOWEST, _HIGHEST = np.float32(-0.01), np.float32(1.01)  # the trainer compares in float32

# A line as radloop writes it: sure to be right but for its class and its repetition. Six decimals, so that two
# lines are the same box in float32 only where they are the same text.
_PLAIN_LINE: Final = r"^(?:0|[1-9][0-9]{0,5})(?: (?:0\.[0-9]{6}|1\.000000)){4}$"


class Violation(NamedTuple):
    """One rule that one file breaks; `line` counts from 1, None where a line has no meaning."""

    rule: str
    key: str
    line: int | None
    detail: str


@dataclass(frozen=True)
class Found:
    """What the trainer would find in a tree, before it opens a picture or a label."""

    violations: list[Violation]
    pictures: pl.DataFrame  # key, label (its key), split (train, val or test); one row for each use of a picture
    classes: int | None  # of the yaml that names the fewest


def judge_tree(tree: yolo.Tree) -> Found:
    """Find every picture as the trainer does; say what it refuses, passes over or takes from elsewhere.

    Only pictures inside the tree are returned: a unit may validate on another's pictures.
    """
    violations: dict[Violation, None] = {}
    pictures: list[tuple[str, str, str]] = []
    counts = []
    if not tree.configs:
        violations[Violation("yaml-missing", "data.yaml", None, "no yaml says where train and val are")] = None
    for config in tree.configs:
        if config.problem is not None:
            violations[Violation("yaml-unreadable", config.key, None, config.problem)] = None
            continue
        violations |= dict.fromkeys(judge_yaml(config.key, config.content))
        violations |= dict.fromkeys(_judge_other_keys(tree.root, config))
        counts += [count for count in [class_count(config.content)] if count is not None]
        for split, places in config.splits.items():
            for place in places:
                paths = yolo.find_pictures(place)
                violations |= dict.fromkeys(_judge_place(tree.root, config.key, split, place, paths))
                if place.is_relative_to(tree.root):
                    pictures += [
                        (_key(path, tree.root), _key(yolo.label_path(path), tree.root), split) for path in paths
                    ]
    table = pl.DataFrame(pictures, schema=dict.fromkeys(("key", "label", "split"), pl.String), orient="row").unique()
    return Found(list(violations), table.sort("key", "split"), min(counts, default=None))


def _key(path: str | Path, root: Path) -> str:
    return os.path.relpath(path, root)


def _judge_other_keys(root: Path, config: yolo.Config) -> Iterator[Violation]:
    for name, value in config.content.items() if isinstance(config.content, dict) else ():
        known = name in ("path", "train", "val", "validation", "test", "minival")
        if not known and isinstance(value, str) and "/" in value and (root / value).is_dir():
            detail = f"`{name}` is no split to the trainer: give it a yaml of its own, with {value} as `val`"
            yield Violation("yaml-split", config.key, None, detail)


def _judge_place(root: Path, config: str, split: str, place: Path, pictures: list[str]) -> Iterator[Violation]:
    """Judge one folder of pictures (or file that lists them) with the labels and caches beside it."""
    if not place.exists():
        yield Violation("place-missing", config, None, f"`{split}`: {_key(place, root)} does not exist")
    elif not pictures:
        yield Violation("place-empty", config, None, f"`{split}`: no picture in {_key(place, root)}")
    if not pictures or not place.is_relative_to(root):
        return

    labels = {yolo.label_path(picture) for picture in pictures}
    outside = [label for label in labels if not Path(label).is_relative_to(root)]
    if outside:
        yield Violation("label-outside", _key(place, root), None, f"{len(outside)} labels, the first {min(outside)}")
    elif not any(map(os.path.isfile, labels)):
        detail = f"none of {len(labels)} labels is there; the first would be {_key(min(labels), root)}"
        yield Violation("place-unlabelled", _key(place, root), None, detail)
    if place.is_dir():
        for name in yolo.walk(place):
            if name.rpartition(".")[2].lower() in _UNREAD_PICTURES:
                yield Violation("picture-ignored", _key(place / name, root), None, "not an ending that is looked for")
    for folder in {Path(label).parent for label in labels if label not in outside}:
        if folder.is_dir():
            if "labels" in folder.relative_to(root).parts:
                for path in folder.glob("*.txt"):
                    if str(path) not in labels:
                        yield Violation("label-orphan", _key(path, root), None, "there is no picture for it")
            yield from _judge_caches(root, folder)


def _judge_caches(root: Path, labels: Path) -> Iterator[Violation]:
    """A cache is known by the paths and the sum of sizes: it survives an edit that keeps the length."""
    caches = [*labels.glob("*.cache"), *labels.parent.glob(f"{labels.name}.cache")]
    if caches:
        newest = max((path.stat().st_mtime_ns for path in labels.glob("*.txt")), default=0)
        for cache in caches:
            if cache.stat().st_mtime_ns < newest:
                yield Violation("cache-stale", _key(cache, root), None, "older than a label: delete it")


def judge_yaml(key: str, content: object) -> list[Violation]:
    """What the trainer says of a parsed data yaml, before it looks for a picture."""
    if not isinstance(content, dict):
        return [Violation("yaml-unreadable", key, None, f"it holds {_kind(content)}, not keys with values")]
    found = []
    for split in ("train", "val"):
        if split not in content and not (split == "val" and "validation" in content):
            found.append(Violation("yaml-keys", key, None, f"`{split}` is missing"))
        elif not content.get(split) and not (split == "val" and content.get("validation")):
            found.append(Violation("yaml-keys", key, None, f"`{split}` is empty"))
        elif not _are_paths(content.get(split, "")):
            found.append(Violation("yaml-keys", key, None, f"`{split}` is no path and no list of paths"))
    found += [Violation("yaml-names", key, None, detail) for detail in _names_problems(content)]
    path = content.get("path")
    if path and not isinstance(path, str):
        found.append(Violation("yaml-keys", key, None, f"`path` is {_kind(path)}, not a path"))
    elif path and not path.startswith("/"):
        named = " ".join(path.split())[:200]
        detail = f"`path: {named}` is looked for in the working directory, then in a global folder: leave it out"
        found.append(Violation("yaml-path", key, None, detail))
    if content.get("download"):
        found.append(Violation("yaml-download", key, None, "`download` is run as a program where val is missing"))
    return found


def _are_paths(value: object) -> bool:
    return all(isinstance(path, str) for path in (value if isinstance(value, list) else [value]))


def _names_problems(content: dict[object, object]) -> Iterator[str]:
    names, count = content.get("names"), content.get("nc")
    if "names" not in content:
        if "nc" not in content:
            yield "`names` (or `nc`) is missing"
        elif not isinstance(count, int) or count < 1:
            yield f"`nc` is {count!r}, not a number of classes"
        return
    if not isinstance(names, list | dict) or not names:
        yield f"`names` holds {_kind(names)}, not a list or numbered names"
        return
    if isinstance(names, dict):
        try:
            numbers = sorted(int(number) for number in names)
        except (TypeError, ValueError, OverflowError):
            yield "`names` has a key that is no number"
            return
        if numbers != list(range(len(numbers))):
            yield f"`names` are numbered {numbers[0]}..{numbers[-1]}: {len(numbers)} names need 0..{len(numbers) - 1}"
    if "nc" in content and count != len(names):
        yield f"`nc` is {count!r}, but there are {len(names)} names"


def _kind(content: object) -> str:
    return "nothing" if content in (None, "", [], {}) else f"a {type(content).__name__}"


def class_count(content: object) -> int | None:
    """The number of classes that a parsed data yaml names; None where it names none."""
    if not isinstance(content, dict):
        return None
    names, count = content.get("names"), content.get("nc")
    if isinstance(names, list | dict) and names:
        return len(names)
    return count if isinstance(count, int) else None


def judge_picture(key: str, data: bytes) -> list[Violation]:
    """What the trainer says of a picture's bytes."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.verify()
            form, (width, height) = (picture.format or "").lower(), picture.size
    except UnidentifiedImageError:
        return [Violation("picture-unreadable", key, None, "no picture of a kind that Pillow knows")]
    except Exception as broken:  # noqa: BLE001 - Pillow's readers raise anything; the trainer takes it the same way
        return [Violation("picture-unreadable", key, None, " ".join(str(broken).split())[:200])]
    if form not in yolo.PICTURE_SUFFIXES:
        return [Violation("picture-format", key, None, f"it is a {form.upper()}, whatever its name says")]
    if min(width, height) < _SMALLEST_SIDE_PX:
        return [Violation("picture-small", key, None, f"{width}×{height} px; {_SMALLEST_SIDE_PX} is the least")]
    if form == "jpeg" and not data.endswith(b"\xff\xd9"):
        return [Violation("picture-truncated", key, None, "a JPEG without its end: the trainer writes it anew")]
    return []


def judge_labels(keys: Sequence[str], texts: Sequence[bytes], classes: int | None) -> list[Violation]:
    """What the trainer says of the bytes of label files. With `classes` None any class will do."""
    return [
        violation for file in _doubtful(texts, classes) for violation in judge_label(keys[file], texts[file], classes)
    ]


def _doubtful(texts: Sequence[bytes], classes: int | None) -> list[int]:
    """The numbers of the files that are worth a careful look: all but those made of distinct plain lines."""
    # As Latin-1 every byte is a character: what is not ASCII cannot be plain.
    table = pl.DataFrame({"text": pl.Series([text.decode("latin-1") for text in texts], dtype=pl.String)})
    lines = (
        table.with_row_index("file")
        .filter(pl.col("text") != "")
        .select("file", line=pl.col("text").str.strip_suffix("\n").str.split("\n"))
        .explode("line")
    )
    plain = pl.col("line").str.contains(_PLAIN_LINE)
    if classes is not None:
        number = pl.col("line").str.extract(r"^([0-9]{1,6}) ").cast(pl.Int64)
        plain = plain & (number < classes)
    doubtful = lines.filter(~plain | pl.struct("file", "line").is_duplicated())
    return doubtful["file"].unique().sort().to_list()


def judge_label(key: str, data: bytes, classes: int | None) -> list[Violation]:
    """What the trainer says of one label file's bytes."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as broken:
        line = data.count(b"\n", 0, broken.start) + 1
        return [Violation("label-encoding", key, line, f"byte 0x{data[broken.start]:02x} is no UTF-8")]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    skipped = text[: len(text) - len(text.lstrip())]
    first = len(f"{skipped}.".splitlines())
    lines = [(number, line.split()) for number, line in enumerate(text.strip().splitlines(), first) if line]

    found = []
    polygons = any(len(words) > 6 for _, words in lines)
    rows: dict[tuple[float, ...], int] = {}
    repeated = []
    for number, words in lines:
        row = _read_line(words, classes, polygons=polygons)
        if not isinstance(row, _Problem):
            if rows.setdefault(row, number) != number:
                repeated.append(Violation("label-duplicate", key, number, f"the same as line {rows[row]}"))
            if polygons:
                detail = f"{len(words)} columns: the outline's bounds become the box"
                repeated.append(Violation("label-polygon", key, number, detail))
            if row[0] != int(row[0]):
                repeated.append(Violation("label-fraction", key, number, f"class {words[0]}"))
        else:
            found.append(Violation(row.rule, key, number, row.detail))
    # The trainer looks for repetitions only in a file that it has not dropped.
    return found or repeated


@dataclass(frozen=True)
class _Problem:
    rule: str
    detail: str


def _read_line(words: list[str], classes: int | None, *, polygons: bool) -> tuple[float, ...] | _Problem:
    """The row that the trainer makes of a line's words: class, xc, yc, w, h in float32; or why it cannot."""
    if not words:
        return _Problem("label-blank", "only spaces")
    if not polygons and len(words) != 5:
        return _Problem("label-columns", f"{len(words)} columns instead of 5")
    if polygons and (len(words) < 3 or len(words) % 2 == 0):
        return _Problem("label-columns", f"{len(words)} columns, in a file of polygons: not a class and pairs")
    if words[0].startswith("\ufeff"):
        return _Problem("label-number", "a byte order mark stands before the class")
    try:
        with np.errstate(over="ignore"):
            values = np.array([float(word) for word in words]).astype(np.float32)
    except ValueError as broken:
        return _Problem("label-number", str(broken).replace("could not convert string to float:", "no number:"))
    if np.isnan(values).any():
        return _Problem("label-number", "a number is NaN")

    number, box = float(values[0]), values[1:]
    if polygons:
        points = box.reshape(-1, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            box = np.concatenate([(low + high) / 2, high - low])
    outside = box[~((box >= _LOWEST) & (box <= _HIGHEST))]
    if outside.size:
        return _Problem("label-range", f"{outside[0]:g} is outside -0.01..1.01, the whole picture")
    if not _LOWEST <= number < (math.inf if classes is None else classes):
        known = "classes begin at 0" if classes is None else f"classes are 0..{classes - 1}"
        return _Problem("label-class", f"class {words[0]}: {known}")
    return (number, *box.tolist())
