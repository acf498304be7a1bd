"""Pascal VOC: an XML file a picture. One without an object: nothing was found."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from posixpath import basename, dirname, join
from typing import Final

import polars as pl

from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle, printable
from radloop.sources.formats import labels, voc_xml
from radloop.sources.formats.labels import Labels
from radloop.taxonomy import NOTHING

_ROOT: Final = re.compile(
    rb"^(\xef\xbb\xbf)?\s*(<\?.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE.*?>\s*)*<annotation[\s>/]", re.DOTALL
)
_SETS: Final = re.compile(r"(^|.*/)ImageSets/Main/(train|val|valid|validation|test|testing)\.txt")
_MOST_REFUSED: Final = 100  # of a file; then it is refused as a whole
_MARKS: Final = ("difficult", "truncated")
_SIDES: Final = dict(zip(voc_xml.CORNERS, ("x_min", "y_min", "x_max", "y_max"), strict=True))
_OBJECT: Final = dict.fromkeys(
    ("file", "place", "class_name", *_SIDES.values(), "width", "height", "split", *_MARKS, "code", "reason"), pl.String
)
_ROW: Final = pl.Schema({"line": pl.Int64, "outlined": pl.Boolean, **_OBJECT})


def find(bundle: Bundle) -> tuple[str, ...]:
    """Every XML file, where one of them is an `<annotation>`."""
    files = bundle.ending(".xml")
    return files if any(_ROOT.match(bundle.head(name)) for name in files) else ()


def read(bundle: Bundle) -> Labels:
    """The objects of all files. Raises AnnotationError where there are none, or no file is of this format."""
    splits = _splits(bundle.around)
    rows = _rows(bundle, splits)
    if rows.is_empty():
        raise AnnotationError(
            f"{bundle.path} holds no XML file that begins with <annotation>. Pass the folder of them."
        )
    notes: list[str] = []
    strangers = rows.filter(pl.col("code") == "xml-no-voc")
    if strangers.height:
        first = printable(strangers["place"][0])
        notes.append(f"{strangers.height:,} XML files are none of VOC and were passed over, such as {first}")
    notes += _unlabelled(splits, rows["place"])
    rows = _of_one_file_each(rows.filter(pl.col("code").ne_missing("xml-no-voc")))
    rows, note = _counted_from_zero(_numbers(rows))
    notes += [note, *_marks(rows)]
    good = rows.filter(pl.col("code").is_null()).drop("code", "reason")
    for columns in (("width", "height"), ("split",)):
        if good.select(pl.all_horizontal(pl.col(columns).is_null().all())).item():
            good = good.drop(columns)
    return labels.of_table(
        good.drop(*_MARKS, "outlined"),
        rows.filter(pl.col("code").is_not_null()).drop("width", "height", "split", *_MARKS, "outlined"),
        boxes="original",
        notes=notes,
    )


def _rows(bundle: Bundle, splits: Mapping[str, str]) -> pl.DataFrame:
    """_ROW: a row each object, and each file without one."""
    files = bundle.ending(".xml")
    names = bundle.around.names
    pictures = {re.sub(r"\.[^./]*$", "", basename(name)) for name in names if not name.lower().endswith(".xml")}
    found: dict[str, list[object]] = {name: [] for name in _ROW.names()}
    for name in files:
        for row in _of_file(bundle.read(name), name, pictures):
            row["split"] = splits.get(_key(name)) or splits.get(basename(_key(name)))
            for column in _ROW.names():
                found[column].append(row.get(column))
    return pl.DataFrame(found, schema=_ROW)


def _of_file(data: bytes, name: str, pictures: set[str]) -> Iterator[dict[str, object]]:
    stem = name[:-4]
    try:
        file = voc_xml.parse(data)
    except voc_xml.XmlError as broken:
        yield {"file": stem, "place": name, "line": broken.line, "code": broken.code, "reason": str(broken)}
        return
    named = file.texts.get("filename", "").replace("\\", "/").rpartition("/")[2]
    if named and basename(stem) not in pictures:  # the name of the XML is the picture's, where there is such a one
        stem = join(dirname(name), named)
    said: dict[str, object] = {"file": stem, "place": name}
    said |= {side: _side(file.texts.get(side, "")) for side in ("width", "height")}
    refusals = [_refusal(one) for one in file.objects]
    wrong = [reason for code, reason in refusals if code]
    if len(wrong) > _MOST_REFUSED:
        many = f"{len(wrong):,} objects are no boxes; of the first: {wrong[0]}"
        yield {"file": stem, "place": name, "code": "xml-broken", "reason": many}
        return
    for one, (code, reason) in zip(file.objects, refusals, strict=True):
        yield said | {
            "line": one.line,
            "outlined": one.outlined,
            "class_name": one.texts.get("name"),
            "code": code,
            "reason": reason,
            **{mark: one.texts.get(mark) for mark in _MARKS},
            **{_SIDES[corner]: one.texts.get(corner) for corner in voc_xml.CORNERS},
        }
    if not file.objects:
        yield said | {"class_name": NOTHING}


def _side(text: str) -> str | None:
    """A width or height; 0 is written where it was not known."""
    return None if re.fullmatch(r"0*(\.0*)?", text) else text


def _refusal(one: voc_xml.Object) -> tuple[str | None, str | None]:
    """Code and sentence for an object that is no box."""
    lacking = [corner for corner in voc_xml.CORNERS if not one.texts.get(corner)]
    if len(lacking) == len(voc_xml.CORNERS) and one.outlined:
        return "region-not-box", "the object is an outline or a turned box, not a box"
    if one.twice:
        return "element-twice", f"the object has <{one.twice}> twice"
    if lacking:
        return "box-missing", f"the object has no <{lacking[0]}>"
    return None, None


def _key(name: str) -> str:
    """The file as ImageSets call it: without its ending, from Annotations on."""
    return name[:-4].rpartition("Annotations/")[2]


def _splits(bundle: Bundle) -> Mapping[str, str]:
    """The split of each key in ImageSets/Main; of several both, which no split is called."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in bundle.ending(".txt"):
        if listed := _SETS.fullmatch(name):
            for line in bundle.read(name).decode("utf-8-sig", "replace").splitlines():
                if key := line.strip().strip('"'):
                    found[key].add(listed[2])
    return {key: " and ".join(sorted(several)) for key, several in found.items()}


def _unlabelled(splits: Mapping[str, str], places: pl.Series) -> Iterator[str]:
    keys = {key for name in places.unique() for key in (_key(name), basename(_key(name)))}
    if without := sorted(key for key in splits if key not in keys):
        first = printable(without[0])
        yield f"{len(without):,} images of ImageSets have no XML file, such as {first}: they are unlabelled"


def _of_one_file_each(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, those refused whose picture several files speak of."""
    places = rows.group_by("file").agg(pl.col("place").unique().sort().head(2)).filter(pl.col("place").list.len() > 1)
    both = rows.join(
        places.select("file", both=pl.col("place").list.join(" and ")), on="file", how="left", maintain_order="left"
    )["both"]
    reason = pl.format("several files speak of this picture: {}", labels.cleaned(pl.lit(both)))
    return rows.with_columns(
        code=pl.when(both.is_not_null()).then(pl.lit("image-ambiguous")).otherwise("code"),
        reason=pl.when(both.is_not_null()).then(reason).otherwise("reason"),
    )


def _numbers(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with corners as numbers, those refused that have others."""
    sound = pl.col("code").is_null()
    for corner, side in _SIDES.items():
        number = pl.col(side).cast(pl.Float64, strict=False)
        wrong = sound & pl.col(side).is_not_null() & ~number.is_finite().fill_null(False)
        shown = labels.cleaned(pl.col(side).str.head(60))
        rows = rows.with_columns(
            code=pl.when(wrong).then(pl.lit("coordinate-no-number")).otherwise("code"),
            reason=pl.when(wrong)
            .then(pl.format(f"a coordinate is not a number: {corner} '{{}}'", shown))
            .otherwise("reason"),
        )
    return rows


def _counted_from_zero(rows: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The rows with x_min and y_min counted from 0, and a sentence about how the files count.

    VOC's corners are whole pixels, the first of which is 1. Where one is below, or all are written as fractions, the
    tool that wrote them counts from 0, as Datumaro and CVAT do.
    """
    sound = rows.filter(pl.col("code").is_null() & pl.col("x_min").is_not_null())
    low = sound.select("place", pl.min_horizontal(pl.col("x_min", "y_min").cast(pl.Float64))).filter(
        pl.col("x_min") < 1
    )
    fractions = sound.select(pl.all_horizontal(pl.col(*_SIDES.values()).str.contains(".", literal=True).all())).item()
    if low.height:
        return rows, f"corners are counted from 0: one is below 1, in {printable(low['place'][0])}"
    if sound.height and fractions:
        return rows, "corners are counted from 0: all are written as fractions of pixels, as Datumaro and CVAT do"
    shifted = [pl.col(side).cast(pl.Float64, strict=False) - 1 for side in ("x_min", "y_min")]
    exact = [pl.col(side).cast(pl.Float64, strict=False) for side in ("x_max", "y_max")]
    sentence = "corners are taken to be counted from 1, as VOC defines: none is below 1, and nothing else tells"
    moved = rows.with_columns(
        pl.when(pl.col("code").is_null()).then(one.cast(pl.String)).otherwise(one.meta.root_names()[0])
        for one in (*shifted, *exact)
    )
    return moved, sentence


def _marks(rows: pl.DataFrame) -> Iterator[str]:
    for mark in _MARKS:
        if count := rows.filter(pl.col("code").is_null() & pl.col(mark).is_in(["1", "true", "True"])).height:
            yield f"{count:,} boxes are marked {mark}: they stay"
    if count := rows.filter(pl.col("code").is_null() & pl.col("outlined")).height:
        yield f"{count:,} boxes have an outline beside them, which is not used"
