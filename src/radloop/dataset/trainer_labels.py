"""What the trainer makes of the bytes of label files: which lines become boxes, which lines drop the picture."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from radloop.dataset.trainer_rules import Violation

_LOWEST, _HIGHEST = np.float32(-0.01), np.float32(1.01)  # the trainer compares in float32

# A line as radloop writes it: sure to be right but for its class and its repetition. Six decimals, so that two
# lines are the same box in float32 only where they are the same text.
_PLAIN_LINE: Final = r"^(?:0|[1-9][0-9]{0,5})(?: (?:0\.[0-9]{6}|1\.000000)){4}$"


class _Row(NamedTuple):
    """A line that the trainer takes; `same` is equal for lines that are one to it."""

    same: object


def judge_labels(
    keys: Sequence[str], texts: Sequence[bytes], classes: int | None, *, keypoints: int = 0
) -> list[Violation]:
    """What the trainer says of the bytes of label files. With `classes` None any class will do.

    keypoints: the columns behind the box that the yaml's `kpt_shape` declares; a detector is trained without them.
    """
    return [
        violation
        for file in _doubtful(texts, classes)
        for violation in judge_label(keys[file], texts[file], classes, keypoints=keypoints)
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


def judge_label(key: str, data: bytes, classes: int | None, *, keypoints: int = 0) -> list[Violation]:
    """What the trainer says of one label file's bytes."""
    try:
        lines = list(_lines(data, keypoints))
    except UnicodeDecodeError as broken:
        line = data.count(b"\n", 0, broken.start) + 1
        return [Violation("label-encoding", key, line, f"byte 0x{data[broken.start]:02x} is no UTF-8")]
    polygons = _are_polygons(lines)
    found: list[Violation] = []
    repeated: list[Violation] = []
    rows: dict[object, int] = {}
    for number, words in lines:
        row = _read_line(words, classes, polygons=polygons)
        if not isinstance(row, _Row):
            found.append(Violation(row.rule, key, number, row.detail))
        elif rows.setdefault(row.same, number) != number:
            repeated.append(Violation("label-duplicate", key, number, f"the same as line {rows[row.same]}"))
    # The trainer looks for repetitions only in a file that it has not dropped.
    return found or repeated


def with_polygons(texts: Sequence[bytes]) -> list[int]:
    """The numbers of the files whose lines the trainer reads as outlines: the bounds of each become its box."""
    found = []
    for file in _doubtful(texts, None):
        try:
            lines = list(_lines(texts[file], 0))
        except UnicodeDecodeError:
            continue
        if _are_polygons(lines):
            found.append(file)
    return found


def _are_polygons(lines: Iterable[tuple[int, list[str]]]) -> bool:
    return any(len(words) > 6 for _, words in lines)


def _lines(data: bytes, keypoints: int) -> Iterator[tuple[int, list[str]]]:
    """The lines that the trainer reads, with their numbers: a byte order mark and lines of spaces do not count."""
    text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    skipped = text[: len(text) - len(text.lstrip())]
    first = len(f"{skipped}.".splitlines())
    for number, line in enumerate(text.strip().splitlines(), first):
        if words := line.split():
            yield number, words[:5] if keypoints and len(words) == 5 + keypoints else words


class _Problem(NamedTuple):
    rule: str
    detail: str


def _read_line(words: list[str], classes: int | None, *, polygons: bool) -> _Row | _Problem:
    """The row that the trainer makes of a line's words; or why it drops the picture."""
    if polygons and len(words) == 5:
        return _Problem("label-mixed", "a box among outlines of more than 6 columns")
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

    box = values[1:]
    if polygons:
        points = box.reshape(-1, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            box = np.concatenate([(low + high) / 2, high - low])
    outside = box[~((box >= _LOWEST) & (box <= _HIGHEST))]
    if outside.size:
        return _Problem("label-range", f"{outside[0]:g} is outside -0.01..1.01, the whole picture")
    if box[2:].min() < 0:
        return _Problem("label-negative", f"a width or height of {box[2:].min():g}")
    if problem := _class_problem(float(values[0]), words[0], classes):
        return _Problem("label-class", problem)
    # two outlines of one box are two to the trainer, but it counts a box once
    return _Row(values.tobytes() if polygons else tuple(values.tolist()))


def _class_problem(number: float, word: str, classes: int | None) -> str | None:
    if number % 1 != 0:  # also infinity
        return f"class {word} is no whole number"
    if number < 0:
        return f"class {word}: classes begin at 0"
    if classes is not None and number >= classes:
        return f"class {word}: classes are 0..{classes - 1}"
    return None
