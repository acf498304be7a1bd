"""YOLO: a text file a picture, a box a line, `class xc yc w h` as fractions. An empty file: nothing was found."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import polars as pl

from radloop.errors import AnnotationError, TaxonomyError
from radloop.sources.bundle import Bundle, printable
from radloop.sources.formats import yolo_tree
from radloop.sources.formats.labels import Labels, cleaned, of_table
from radloop.taxonomy import NOTHING, Taxonomy, is_nothing

_COLUMNS: Final = ("xc", "yc", "w", "h")
_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")
_CHUNK_LINES: Final = 20_000  # of labels, parsed at once
_LARGEST_BYTES: Final = 2**20  # of a label,
_MOST_LINES: Final = 10_000
_MOST_REFUSED: Final = 100  # lines of a label; then it is refused as a whole
_MOST_CLASSES: Final = 10**6
_LONGEST_SHOWN: Final = 60
# A line that is a box; one without a class for a label that has none. at: which label.
_BOX: Final = pl.Schema({"at": pl.UInt32, "line": pl.Int32, "number": pl.Int32, **dict.fromkeys(_SIDES, pl.Float64)})
_BROKEN: Final = pl.Schema({"at": pl.UInt32, "line": pl.Int32, "code": pl.String, "reason": pl.String})

find = yolo_tree.find


def read(bundle: Bundle) -> Labels:
    """The lines of all label files. Raises AnnotationError where pictures, labels or names cannot be told."""
    found = yolo_tree.read(bundle)
    if not found.labels:
        raise AnnotationError(
            f"{bundle.path} holds no label file of a picture. Pass the folder that has pictures and labels, or "
            "--annotations with the folder or zip of the labels."
        )
    labels = sorted({*found.labels.values()})
    boxes, broken = _read(bundle.around, labels, found.names)
    pictures = _pictures(found, labels)
    boxes = boxes.select("at", "line", *_named(found.names), *_SIDES)
    return of_table(
        pictures.join(boxes, on="at", maintain_order="left_right").drop("at"),
        pictures.drop("split", strict=False).join(broken, on="at").drop("at"),
        boxes="fraction",
        classes=_classes(bundle, found.names),
        notes=_notes(found),
    )


def _pictures(found: yolo_tree.Tree, labels: Sequence[str]) -> pl.DataFrame:
    """file, place, at (the label's number) and, where there are any, split: a row each picture that has a label."""
    numbers = {label: at for at, label in enumerate(labels)}
    splits = (" and ".join(sorted(found.splits[file])) or None for file in found.labels)
    told = {"split": pl.Series(splits, dtype=pl.String)} if any(found.splits.values()) else {}
    at = pl.Series([numbers[label] for label in found.labels.values()], dtype=pl.UInt32)
    return pl.DataFrame({"file": [*found.labels], "place": [*found.labels.values()], "at": at, **told})


def _notes(found: yolo_tree.Tree) -> Iterator[str]:
    yield from found.notes
    without = [file for file in found.splits if file not in found.labels]
    if without:
        yield (
            f"{len(without):,} pictures have no label file, such as {printable(without[0])}: they are unlabelled "
            "and left out (an empty file would say that nothing was found)"
        )


def _classes(bundle: Bundle, names: list[str] | None) -> Taxonomy | None:
    try:
        return None if names is None else Taxonomy(tuple(name for name in names if not is_nothing(name)))
    except TaxonomyError as wrong:
        raise AnnotationError(f"{bundle.path.name}: {wrong}") from wrong


def _named(names: list[str] | None) -> list[pl.Expr]:
    """class_name, or class_id where numbers have no names; no box: "No finding"."""
    nothing = pl.col("number").is_null()
    if names is None:
        return [
            pl.when(nothing).then(pl.lit(NOTHING)).alias("class_name"),
            pl.col("number").alias("class_id"),
        ]
    numbers = {number: NOTHING if is_nothing(name) else name for number, name in enumerate(names)}
    named = pl.col("number").replace_strict(numbers, default=None, return_dtype=pl.String)
    return [pl.when(nothing).then(pl.lit(NOTHING)).otherwise(named).alias("class_name")]


def _corners() -> list[pl.Expr]:
    half = {"x": pl.col("w") / 2, "y": pl.col("h") / 2}
    low = [(pl.col(f"{axis}c") - half[axis]).alias(f"{axis}_min") for axis in "xy"]
    return [*low, *((pl.col(f"{axis}c") + half[axis]).alias(f"{axis}_max") for axis in "xy")]


def _read(bundle: Bundle, labels: Sequence[str], names: list[str] | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """_BOX and _BROKEN: the lines of all labels."""
    boxes, broken = [pl.DataFrame(schema=_BOX)], [pl.DataFrame(schema=_BROKEN)]
    texts: dict[int, str] = {}
    lines = 0

    def parse() -> None:
        for tables, table in zip((boxes, broken), _parsed(texts, names), strict=True):
            tables.append(table)
        texts.clear()

    for at, label in enumerate(labels):
        text = _text(bundle.read(label))
        if isinstance(text, _Refusal):
            broken.append(pl.DataFrame([(at, *text)], schema=_BROKEN, orient="row"))
            continue
        texts[at] = text
        lines += text.count("\n") + 1
        if lines > _CHUNK_LINES:
            parse()
            lines = 0
    parse()
    return pl.concat(boxes), pl.concat(broken)


class _Refusal(NamedTuple):
    """Why a label is refused as a whole."""

    line: int | None
    code: str
    reason: str


def _text(data: bytes) -> str | _Refusal:
    """The text of a label, with \\n between lines."""
    if len(data) > _LARGEST_BYTES:
        reason = f"the label has {len(data):,} bytes: {_LARGEST_BYTES:,} are the most"
        return _Refusal(None, "label-too-long", reason)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as broken:
        line = data.count(b"\n", 0, broken.start) + 1
        return _Refusal(line, "not-utf-8", f"byte 0x{data[broken.start]:02x} is no UTF-8")
    lines = text.count("\n")
    if lines > _MOST_LINES:
        return _Refusal(None, "label-too-long", f"the label has {lines:,} lines: {_MOST_LINES:,} are the most")
    return text


def _few(broken: pl.DataFrame) -> pl.DataFrame:
    """The refused lines; of a label that has very many only one, which says so."""
    lines = pl.len().over("at")
    first = pl.format("{} lines are no boxes; of the first: {}", lines, "reason")
    return broken.with_columns(reason=pl.when(lines > _MOST_REFUSED).then(first).otherwise("reason")).filter(
        (lines <= _MOST_REFUSED) | pl.col("at").is_first_distinct()
    )


def _parsed(texts: dict[int, str], names: list[str] | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    table = pl.DataFrame({"at": [*texts], "text": [*texts.values()]}, schema={"at": pl.UInt32, "text": pl.String})
    lines = (
        table.select("at", text=pl.col("text").str.split("\n"))
        .with_columns(line=pl.int_ranges(1, pl.col("text").list.len() + 1, dtype=pl.Int32))
        .explode("text", "line")
        .select("at", "line", words=pl.col("text").str.extract_all(r"\S+"))
        .filter(pl.col("words").list.len() > 0)
    )
    numbers = [pl.col("words").list.get(at, null_on_oob=True).cast(pl.Float64, strict=False) for at in range(5)]
    lines = lines.with_columns(one.alias(name) for one, name in zip(numbers, ("number", *_COLUMNS), strict=True))
    wrong = lines.select(breaks=pl.any_horizontal(breaks for breaks, _, _ in _rules(names)))["breaks"]
    boxes = lines.filter(~wrong).with_columns(_corners()).select(pl.col(name).cast(_BOX[name]) for name in _BOX.names())
    empty = table.join(lines, on="at", how="anti").select("at")
    broken = _few(lines.filter(wrong).select("at", "line", *_refusal(names)))
    alone = pl.DataFrame(broken.rows(), schema=_BROKEN, orient="row")  # without the texts of the others
    return pl.concat([boxes, empty], how="diagonal"), alone


def _refusal(names: list[str] | None) -> list[pl.Expr]:
    """code and reason of the first rule that a line breaks."""
    return [
        pl.coalesce(pl.when(breaks).then(pl.lit(code)) for breaks, code, _ in _rules(names)).alias("code"),
        pl.coalesce(pl.when(breaks).then(reason) for breaks, _, reason in _rules(names)).alias("reason"),
    ]


def _rules(names: list[str] | None) -> list[tuple[pl.Expr, str, pl.Expr]]:
    """What refuses a line, with code and sentence."""
    count, number = pl.col("words").list.len(), pl.col("number")
    unknown = pl.format("the class is unknown: '{}' is no whole number from 0", _word(0))
    rules: list[tuple[pl.Expr, str, pl.Expr]] = [
        (count == 6, "line-of-prediction", pl.lit("six columns: a prediction with its confidence, not a label")),
        (
            (count > 6) & (count % 2 == 1),
            "region-not-box",
            pl.format("{} columns: an outline or a turned box, not a box", count),
        ),
        (count != 5, "line-miscounted", pl.format("{} columns, not the five of a box", count)),
        (
            ~(number.is_finite() & (number == number.floor()) & number.is_between(0, _MOST_CLASSES)).fill_null(False),
            "class-unknown",
            unknown,
        ),
    ]
    if names is not None:
        reason = pl.format(
            "the class is unknown: {} names, and '{}' is none of 0..{}", len(names), _word(0), len(names) - 1
        )
        rules.append((number >= len(names), "class-unknown", reason))
    for at, name in enumerate(_COLUMNS, 1):
        finite = pl.col(name).is_finite().fill_null(False)
        rules.append(
            (~finite, "coordinate-no-number", pl.format(f"a coordinate is not a number: {name} '{{}}'", _word(at)))
        )
    for at, name in ((3, "w"), (4, "h")):
        rules.append(
            (pl.col(name) < 0, "box-inverted", pl.format(f"the box has a negative size: {name} '{{}}'", _word(at)))
        )
    return rules


def _word(at: int) -> pl.Expr:
    word = pl.col("words").list.get(at, null_on_oob=True).fill_null("")
    return cleaned(word.str.head(_LONGEST_SHOWN))
