"""Annotation rows -> findings and refused rows: every row ends in one of the two, in any order they come."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from radloop import domain, values
from radloop.catalog.classes import Resolved
from radloop.dataset import frames, ids, patients, shapes, voiding
from radloop.dataset.frame_candidates import SLACK_PX, Frame
from radloop.dataset.refusal import Limit
from radloop.tables import (
    ANNOTATION_COLUMNS,
    CLASS_ID,
    FINDINGS,
    LARGEST_SIDE_PX,
    REJECTED,
    SMALLEST_SIDE_PX,
    Boxes,
)
from radloop.values import Decimal

_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")
_BOX_PX: Final = tuple(f"{side}_px" for side in _SIDES)
_READING: Final = ("image_id", "reader")
_SMALLEST_BOX_PX: Final = 0.1  # below, the six decimals of a label make it a line
_LONGEST_ID_BYTES: Final = 200  # with reader and ending it has to stay a file name (255 bytes)
_CONTROL: Final = r"[\p{Cc}\p{Zl}\p{Zp}]"
_LONGEST_VALUE_SHOWN: Final = 60
_REPEATS: Final = "row-repeats"

_FINDING: Final = pl.col("kind") == "finding"
_DROPPED: Final = pl.col("kind") == "dropped"
_SOUND: Final = pl.col("code").is_null()
_PLACEHOLDER: Final = pl.all_horizontal(
    pl.col(side) == value for side, value in zip(_BOX_PX, (0, 0, 1, 1), strict=True)
)

Rule = tuple[pl.Expr, pl.Expr | str, pl.Expr]  # whether it refuses a row, the code, the sentence


@dataclass(frozen=True)
class Validated:
    """What became of the rows: rows in = findings + rejected."""

    findings: pl.DataFrame  # FINDINGS, sorted by image_id, rad_id, class_id and box
    rejected: pl.DataFrame  # REJECTED
    patients: pl.DataFrame  # image_id, patient: hashed; empty where the source names none
    lost: pl.DataFrame  # image_id, rad_id of readings that had rows and kept none: they get no label
    frame: Frame  # what the boxes proved to be in
    notes: tuple[str, ...]  # sentences for the summary
    origins: pl.DataFrame  # REJECTED without code and reason: the row that each finding was, in the findings' order


def validate(
    rows: pl.DataFrame,
    resolved: Resolved,
    *,
    sizes: pl.DataFrame | None,
    pictures: pl.DataFrame | None = None,
    boxes: Boxes,
    boxes_why: str = "",
    decimal: Decimal | None = None,
    source: str = "annotations",
    name: str = "train.csv",
    own: bool = False,
    broken: pl.DataFrame | None = None,
    limit: Limit | None = None,
) -> Validated:
    """Sort rows into findings and refused ones; boxes become fractions of the frame that they are proved to be in.

    rows: as `sources.formats.Labels` has them, all text. resolved: what their classes mean. sizes: image_id,
    width, height of the originals; the rows' own columns go before it. pictures: the same of the pictures. boxes: what
    the user says of the frame, or the format, of which `boxes_why` is a sentence; name: the file's, which decides last.
    decimal: how numbers are written, where the table need not tell. own: radloop wrote the table, whose boxes may be a
    model's and lie anywhere.
    broken: the rows (REJECTED) that are none. limit: how many rows may be refused before the frame is looked at.
    A reading that lost a row loses all (`voiding.void`): what was refused may have been a finding. "No finding" is
    refused beside any other row. Only a reading of which nothing is left but findings of classes that the user leaves
    out is one that found nothing.
    Raises AnnotationError where the frame cannot be told, or is another than was said (see `frames.prove`), and where a
    picture has not the shape that its size says (see `shapes.require`); RefusedError where more rows are refused than
    may be.
    """
    own_sizes = [side for side in ("width", "height") if side in rows.columns]
    decimal = decimal or values.decimal_of(rows, _SIDES, own_sizes, name=name)
    table = _with_pictures(_with_sizes(_parsed(rows, resolved, decimal), sizes, decimal), pictures)
    if limit:
        limit.require(_refused_in_any_frame(table, source), broken, rows=table.height, name=name)
    shapes.require(table, name)
    middles = None if own else domain.of(resolved.taxonomy).middles
    proof = frames.prove(_boxes(table), said=boxes, why=boxes_why, name=name, middles=middles)
    table = frames.in_pixels(table, proof.frame)
    table = table.with_columns(_ROW_REASON).unnest("refusal")
    for refusal in (_FRAME_REASON, _REPEATED, _CONTRADICTION):
        table = _refuse(table, refusal)
    table = _refuse(table.with_columns(stands_in=_stands_in()), _LEFT_OUT)
    table = voiding.void(table, broken)

    kept = table.filter(_SOUND).sort(*_READING, "class", *_BOX_PX, nulls_last=True)
    refused = table.filter(~_SOUND)
    return Validated(
        findings=_findings(kept),
        rejected=_in_order(_as_came(refused, source)),
        patients=patients.hashed(rows, kept),
        lost=_lost(refused.filter("identified"), kept),
        frame=proof.frame,
        notes=(proof.note, *_note_of_stand_ins(kept), *patients.notes(rows)),
        origins=_as_came(kept, source),
    )


def require_pictures(validated: Validated, pictures: pl.DataFrame) -> Validated:
    """The same, but rows of an image whose picture is missing or has a `problem` are refused.

    pictures: image_id and problem, null for a sound picture.
    """
    problems = pictures.select("image_id", pl.col("problem").fill_null("")).unique("image_id", keep="any")
    problem = validated.findings.join(problems, on="image_id", how="left", maintain_order="left")["problem"]
    usable = (problem == "").fill_null(False)
    absent = pl.lit(problem).is_null()
    refused = validated.origins.with_columns(
        code=pl.when(absent).then(pl.lit("picture-missing")).otherwise(pl.lit("picture-unusable")),
        reason=pl.when(absent)
        .then(pl.lit("no picture of the image was found"))
        .otherwise(pl.format("the picture cannot be used: {}", pl.lit(problem))),
    ).filter(~usable)
    findings = validated.findings.filter(usable)
    return replace(
        validated,
        findings=findings,
        rejected=_in_order(pl.concat([validated.rejected, refused])),
        patients=validated.patients.join(findings, on="image_id", how="semi", maintain_order="left"),
        lost=pl.concat([validated.lost, validated.findings.filter(~usable).select("image_id", "rad_id")])
        .unique()
        .sort("image_id", "rad_id"),
        origins=validated.origins.filter(usable),
    )


def _parsed(rows: pl.DataFrame, resolved: Resolved, decimal: Decimal) -> pl.DataFrame:
    """The rows beside what their text says, sorted by that text, so that the order they came in says nothing."""
    meanings = resolved.meanings.rename({"code": "class_code", "reason": "class_reason"})
    place = [] if "place" in rows.columns else [pl.lit(None, pl.String).alias("place")]
    return (
        rows.with_columns(place)
        .join(meanings, on=["class_id", "class_name"], how="left", nulls_equal=True)
        .sort(*ANNOTATION_COLUMNS, "line", "place")
        .with_columns(
            values.text("rad_id").alias("reader"),
            pl.col("class").cast(CLASS_ID),
            *(values.number(side, decimal).alias(f"{side}_said") for side in _SIDES),
        )
        .with_columns(pl.when(_FINDING).then(f"{side}_said").alias(f"{side}_px") for side in _SIDES)
        .with_columns(identified=_identified())
    )


def _with_sizes(table: pl.DataFrame, sizes: pl.DataFrame | None, decimal: Decimal) -> pl.DataFrame:
    """Add width_px, height_px, null where unknown, and what is wrong with the rows' own columns."""
    for name in ("width", "height"):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, pl.String).alias(name))
    side = values.number("width", decimal), values.number("height", decimal)
    sane = pl.all_horizontal(one.is_between(SMALLEST_SIDE_PX, LARGEST_SIDE_PX) & (one == one.floor()) for one in side)
    table = table.with_columns(
        sane.fill_null(False).alias("sized"),
        ((values.text("width") != "") | (values.text("height") != "")).alias("says_size"),
    ).with_columns(
        pl.when("sized").then(one).cast(pl.Int32).alias(f"own_{name}")
        for one, name in zip(side, ("width", "height"), strict=True)
    )
    own = (
        table.filter("sized")
        .group_by("image_id")
        .agg(
            pl.col("own_width", "own_height").max(),
            ((pl.col("own_width").n_unique() > 1) | (pl.col("own_height").n_unique() > 1)).alias("sizes_differ"),
        )
    )
    table = table.drop("own_width", "own_height").join(own, on="image_id", how="left", maintain_order="left")
    if sizes is None:
        return table.rename({"own_width": "width_px", "own_height": "height_px"})
    known = sizes.select("image_id", pl.col("width").alias("w"), pl.col("height").alias("h")).unique("image_id")
    return table.join(known, on="image_id", how="left", maintain_order="left").with_columns(
        pl.coalesce("own_width", "w").cast(pl.Int32).alias("width_px"),
        pl.coalesce("own_height", "h").cast(pl.Int32).alias("height_px"),
    )


def _refused_in_any_frame(table: pl.DataFrame, source: str) -> pl.DataFrame:
    """The rows (REJECTED) that are refused in whichever frame: an error about the frame must not hide them.

    What has no area in pixels may have one as fractions.
    """
    judged = table.with_columns(_ROW_REASON).unnest("refusal")
    return _as_came(judged.filter(~_SOUND, pl.col("code") != "box-without-area"), source)


def _with_pictures(table: pl.DataFrame, pictures: pl.DataFrame | None) -> pl.DataFrame:
    """Add picture_width, picture_height, null where unknown."""
    if pictures is None:
        return table.with_columns(pl.lit(None, pl.Int32).alias(f"picture_{side}") for side in ("width", "height"))
    known = pictures.select("image_id", picture_width="width", picture_height="height").unique("image_id")
    return table.join(known, on="image_id", how="left", maintain_order="left")


def _row_rules() -> Iterable[Rule]:
    """What can be said of a row without its picture's edges."""
    no_image = pl.col("image_id").fill_null("") == ""
    yield no_image, "image-missing", pl.lit("the row names no image")
    yield ~_safe_image_id(), "image-unsafe", _sentence("image_id is no safe file name", "image_id")
    reader = _sentence("rad_id is not made of letters, digits and hyphens", "rad_id")
    yield ~_safe_reader(), "reader-unsafe", reader

    yield pl.col("kind") == "refused", pl.col("class_code"), pl.col("class_reason")

    nothing = pl.col("kind") == "nothing"
    placeholder = values.stands_for_no_box(*(pl.col(f"{side}_said") for side in _SIDES)).fill_null(False)
    for side in _SIDES:
        given = (values.text(side) != "") & ~placeholder
        yield nothing & given, "normal-with-box", _sentence("'No finding' has a box", side)
    empty = pl.all_horizontal(values.text(side) == "" for side in _SIDES)
    yield _FINDING & empty, "box-missing", pl.lit("the finding has no box")
    for side in _SIDES:
        value = pl.col(f"{side}_px")
        number = value.is_finite().fill_null(False)
        yield _FINDING & ~number, "coordinate-no-number", _sentence("a coordinate is not a number", side)
        huge = value.abs() > LARGEST_SIDE_PX
        yield _FINDING & huge, "coordinate-huge", _sentence("a coordinate is larger than any film", side)
    for axis in "xy":
        ends = f"{axis}_min", f"{axis}_max"
        low, high = (pl.col(f"{end}_px") for end in ends)
        yield _FINDING & (low > high), "box-inverted", _sentence("the box is inverted", *ends)
        flat = high - low < _SMALLEST_BOX_PX
        yield _FINDING & flat, "box-without-area", _sentence("the box has no area", *ends)
    yield _FINDING & placeholder, "box-placeholder", pl.lit("the box is 0, 0, 1, 1, which stands for no box")

    bad_size = pl.col("says_size") & ~pl.col("sized")
    yield bad_size, "size-unusable", _sentence("width and height are no size of a picture", "width", "height")
    yield pl.col("sizes_differ"), "sizes-differ", pl.lit("the rows of the image give it several sizes")


def _frame_rules() -> Iterable[Rule]:
    """What can be said of a row once width_px and height_px are those of the frame."""
    yield pl.col("width_px").is_null(), "size-unknown", pl.lit("no size of the image is known")
    for axis, limit in (("x", "width_px"), ("y", "height_px")):
        below = pl.col(f"{axis}_min_px") < -SLACK_PX
        beyond = pl.col(f"{axis}_max_px") > pl.col(limit) + SLACK_PX
        yield below, "box-outside", _sentence("the box lies outside the picture", f"{axis}_min")
        yield beyond, "box-outside", _sentence("the box lies outside the picture", f"{axis}_max", limit)
        seen = pl.min_horizontal(f"{axis}_max_px", limit) - pl.max_horizontal(f"{axis}_min_px", 0)
        unseen = _FINDING & (seen < _SMALLEST_BOX_PX)
        ends = f"{axis}_min", f"{axis}_max"
        yield unseen, "box-outside", _sentence("nothing of the box is in the picture", *ends)


def _repeats() -> Iterable[Rule]:
    """All but one of the sound rows that say the same."""
    same = pl.struct(_SOUND.alias("sound"), *_READING, "kind", "class", *_BOX_PX)
    yield ~_DROPPED & ~same.is_first_distinct(), _REPEATS, pl.lit("the row repeats another")


def _contradiction() -> Iterable[Rule]:
    """Another row of the reading, even a refused one, says that its reader saw something."""
    normal = (pl.col("kind") == "nothing") & (_SOUND | (pl.col("code") == _REPEATS))
    contradicts = normal & ~normal.all().over(_READING)
    sentence = pl.lit("'No finding' contradicts another row of the same reading")
    yield contradicts, "normal-contradicted", sentence


def _stands_in() -> pl.Expr:
    """One row of each reading that has nothing but findings of classes that are left out: it says "nothing found"."""
    only_dropped = (_DROPPED & _SOUND).all().over(_READING)
    return only_dropped & (pl.int_range(pl.len()).over(_READING) == 0)


def _note_of_stand_ins(kept: pl.DataFrame) -> Iterable[str]:
    readings = int(kept["stands_in"].sum())
    if readings:
        yield f"{readings} readings drew only classes that are left out: they count as having found nothing."


def _left_out() -> Iterable[Rule]:
    """Findings of classes that the user leaves out."""
    sentence = pl.concat_str(
        pl.lit("the class is left out: "),
        pl.when(values.text("class_name") == "")
        .then(pl.format("class_id {}", _shown("class_id")))
        .otherwise(pl.format("class_name {}", _shown("class_name"))),
    )
    yield _DROPPED & ~pl.col("stands_in"), "class-dropped", sentence


def _reason(rules: Iterable[Rule]) -> pl.Expr:
    """Code and sentence of the first rule that refuses a row, else nulls, as the struct `refusal`."""
    codes, sentences = [], []
    for refuses, code, sentence in rules:
        codes.append(pl.when(refuses).then(pl.lit(code) if isinstance(code, str) else code))
        sentences.append(pl.when(refuses).then(sentence))
    return pl.struct(code=pl.coalesce(codes), reason=pl.coalesce(sentences)).alias("refusal")


def _refuse(table: pl.DataFrame, refusal: pl.Expr) -> pl.DataFrame:
    """The table with code and reason of what `refusal` says of its sound rows."""
    found = table.select(refusal).unnest("refusal")
    return table.with_columns(pl.when(_SOUND).then(found[name]).otherwise(name).alias(name) for name in found.columns)


def _sentence(what: str, *columns: str) -> pl.Expr:
    """`what`, a colon, and the values of `columns`."""
    values = ", ".join(f"{column} {{}}" for column in columns)
    return pl.format(f"{what}: {values}", *map(_shown, columns))


def _shown(column: str) -> pl.Expr:
    """The value as it may be printed: short, in quotes, without control characters."""
    text = pl.col(column).cast(pl.String).fill_null("").str.head(_LONGEST_VALUE_SHOWN)
    return pl.format("'{}'", text.str.replace_all(_CONTROL, "\ufffd"))


def _safe_image_id() -> pl.Expr:
    image_id = pl.col("image_id").fill_null("")
    unsafe = image_id.str.contains(_CONTROL) | image_id.str.contains(r"[/\\]") | image_id.str.starts_with(".")
    return ~unsafe & image_id.str.len_bytes().is_between(1, _LONGEST_ID_BYTES)


def _safe_reader() -> pl.Expr:
    """Without an underscore in it, <image_id>_<rad_id> can be taken apart again."""
    return values.text("rad_id").str.contains(r"\A[A-Za-z0-9-]{1,50}\z")


def _identified() -> pl.Expr:
    """Whether the row tells which reading it belongs to."""
    return _safe_image_id() & _safe_reader()


def _boxes(table: pl.DataFrame) -> pl.DataFrame:
    """The boxes that can tell of the frame, in whichever it is."""
    low_x, low_y, high_x, high_y = (pl.col(side) for side in _BOX_PX)
    sound = pl.all_horizontal(pl.col(side).abs() <= LARGEST_SIDE_PX for side in _BOX_PX) & ~_PLACEHOLDER
    sound &= (low_x < high_x) & (low_y < high_y) & ~pl.col("sizes_differ").fill_null(False)
    return table.filter(_FINDING & sound).select(
        "image_id",
        pl.col("class").alias("class_id"),
        *(pl.col(f"{side}_px").alias(side) for side in _SIDES),
        pl.col("width_px").alias("width"),
        pl.col("height_px").alias("height"),
        "picture_width",
        "picture_height",
    )


def _findings(kept: pl.DataFrame) -> pl.DataFrame:
    limits = {"x": pl.col("width_px"), "y": pl.col("height_px")}
    norm = [(pl.col(f"{side}_px") / limits[side[0]]).alias(f"{side}_norm") for side in _SIDES]
    return kept.select(
        "image_id",
        pl.col("reader").alias("rad_id"),
        pl.col("class").alias("class_id"),
        *norm,
        pl.col("width_px").alias("width"),
        pl.col("height_px").alias("height"),
    ).match_to_schema(FINDINGS)


def _as_came(table: pl.DataFrame, source: str) -> pl.DataFrame:
    return ids.as_came(table).with_columns(pl.lit(source).alias("source")).select(REJECTED.names())


def _in_order(rejected: pl.DataFrame) -> pl.DataFrame:
    """By what the rows say, the line last: the order they came in shows in the lines only."""
    return rejected.sort(*ANNOTATION_COLUMNS, "reason", "source", "line", "place")


def _lost(refused: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    gone = refused.select(_READING).unique().join(kept.select(_READING), on=_READING, how="anti")
    return gone.rename({"reader": "rad_id"}).sort("image_id", "rad_id")


_ROW_REASON: Final = _reason(_row_rules())
_FRAME_REASON: Final = _reason(_frame_rules())
_REPEATED: Final = _reason(_repeats())
_CONTRADICTION: Final = _reason(_contradiction())
_LEFT_OUT: Final = _reason(_left_out())
