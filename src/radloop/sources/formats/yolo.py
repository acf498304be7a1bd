"""YOLO: a text file a picture, a box a line, `class xc yc w h` as fractions. An empty file: nothing was found."""

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from radloop.errors import AnnotationError, TaxonomyError
from radloop.sources.bundle import Bundle
from radloop.sources.formats import yolo_tree
from radloop.sources.formats.labels import Labels, of_table
from radloop.taxonomy import NOTHING, Taxonomy, is_nothing

_COLUMNS: Final = ("xc", "yc", "w", "h")
_CHUNK_BYTES: Final = 2**22  # of label files, parsed at once
_LARGEST_LABEL: Final = 2**20
_LONGEST_SHOWN: Final = 60
_LINE: Final = pl.Schema(
    {
        "label": pl.String,
        "line": pl.Int64,
        "number": pl.Float64,  # of the class
        **dict.fromkeys(_COLUMNS, pl.Float64),
        "code": pl.String,
        "reason": pl.String,
    }
)

find = yolo_tree.find


def read(bundle: Bundle) -> Labels:
    """The lines of all label files. Raises AnnotationError where pictures, labels or names cannot be told."""
    found = yolo_tree.read(bundle)
    if not found.labels:
        raise AnnotationError(
            f"{bundle.path} holds no label file of a picture. Pass the folder that has pictures and labels, or "
            "--annotations with the folder or zip of the labels."
        )
    lines = _read(bundle.around, sorted({*found.labels.values()}), found.names)
    pictures = pl.DataFrame(
        [(file, label, " and ".join(sorted(found.splits[file])) or None) for file, label in found.labels.items()],
        schema={"file": pl.String, "label": pl.String, "split": pl.String},
        orient="row",
    )
    rows = pictures.join(lines, on="label", maintain_order="left").rename({"label": "place"})
    if not any(found.splits.values()):
        rows = rows.drop("split")
    good = rows.filter(pl.col("code").is_null()).select(
        pl.exclude("number", *_COLUMNS, "code", "reason"), *_named(found.names), *_corners()
    )
    bad = rows.filter(pl.col("code").is_not_null()).select("file", "place", "line", "code", "reason")
    return of_table(good, bad, boxes="fraction", classes=_classes(bundle, found.names), notes=_notes(found))


def _notes(found: yolo_tree.Tree) -> Iterator[str]:
    yield from found.notes
    without = [file for file in found.splits if file not in found.labels]
    if without:
        yield (
            f"{len(without):,} pictures have no label file, such as {without[0]}: they are unlabelled and left out (an "
            "empty file would say that nothing was found)"
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
            pl.col("number").cast(pl.Int64).alias("class_id"),
        ]
    numbers = {float(number): NOTHING if is_nothing(name) else name for number, name in enumerate(names)}
    named = pl.col("number").replace_strict(numbers, default=None, return_dtype=pl.String)
    return [pl.when(nothing).then(pl.lit(NOTHING)).otherwise(named).alias("class_name")]


def _corners() -> list[pl.Expr]:
    half = {"x": pl.col("w") / 2, "y": pl.col("h") / 2}
    low = [(pl.col(f"{axis}c") - half[axis]).alias(f"{axis}_min") for axis in "xy"]
    return [*low, *((pl.col(f"{axis}c") + half[axis]).alias(f"{axis}_max") for axis in "xy")]


def _read(bundle: Bundle, labels: Sequence[str], names: list[str] | None) -> pl.DataFrame:
    """_LINE: every line of the labels; one without a number and a code for a file that has none."""
    tables: list[pl.DataFrame] = []
    texts: dict[str, bytes] = {}
    size = 0
    for label in labels:
        data = bundle.read(label)
        texts[label] = data
        size += len(data)
        if size > _CHUNK_BYTES:
            tables.append(_parsed(texts, names))
            texts, size = {}, 0
    return pl.concat([*tables, _parsed(texts, names)])


def _parsed(files: dict[str, bytes], names: list[str] | None) -> pl.DataFrame:
    texts: dict[str, str] = {}
    refused: list[tuple[str, int | None, str, str]] = []
    for label, data in files.items():
        if len(data) > _LARGEST_LABEL:
            reason = f"the label has {len(data):,} bytes: {_LARGEST_LABEL:,} are the most"
            refused.append((label, None, "label-too-long", reason))
            continue
        try:
            texts[label] = data.decode("utf-8-sig")
        except UnicodeDecodeError as broken:
            line = data.count(b"\n", 0, broken.start) + 1
            refused.append((label, line, "not-utf-8", f"byte 0x{data[broken.start]:02x} is no UTF-8"))
    schema = {name: _LINE[name] for name in ("label", "line", "code", "reason")}
    broken_files = pl.DataFrame(refused, schema=schema, orient="row")
    return (
        pl.concat([_of_texts(texts, names), broken_files], how="diagonal").select(_LINE.names()).match_to_schema(_LINE)
    )


def _of_texts(texts: dict[str, str], names: list[str] | None) -> pl.DataFrame:
    table = pl.DataFrame({"label": [*texts], "text": [*texts.values()]}, schema={"label": pl.String, "text": pl.String})
    lines = table.select(
        "label",
        text=pl.col("text").str.replace_all("\r\n", "\n", literal=True).str.replace_all("\r", "\n").str.split("\n"),
    )
    lines = (
        lines.with_columns(line=pl.int_ranges(1, pl.col("text").list.len() + 1))
        .explode("text", "line")
        .with_columns(words=pl.col("text").str.extract_all(r"\S+"))
        .drop("text")
        .filter(pl.col("words").list.len() > 0)
    )
    empty = table.join(lines, on="label", how="anti").select("label")
    numbers = [pl.col("words").list.get(at, null_on_oob=True).cast(pl.Float64, strict=False) for at in range(5)]
    parsed = lines.with_columns(
        one.alias(name) for one, name in zip(numbers, ("number", *_COLUMNS), strict=True)
    ).with_columns(_refusal(names))
    return pl.concat([parsed.drop("words"), empty], how="diagonal")


def _refusal(names: list[str] | None) -> list[pl.Expr]:
    """code and reason of the first rule that a line breaks."""
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
        (~(number.is_finite() & (number == number.floor()) & (number >= 0)).fill_null(False), "class-unknown", unknown),
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
    return [
        pl.coalesce(pl.when(breaks).then(pl.lit(code)) for breaks, code, _ in rules).alias("code"),
        pl.coalesce(pl.when(breaks).then(reason) for breaks, _, reason in rules).alias("reason"),
    ]


def _word(at: int) -> pl.Expr:
    word = pl.col("words").list.get(at, null_on_oob=True).fill_null("")
    return word.str.head(_LONGEST_SHOWN).str.replace_all(r"[\p{Cc}\p{Zl}\p{Zp}]", "\ufffd")
