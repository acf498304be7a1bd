"""Why a row is refused: every rule with its code and its sentence."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from radloop import values
from radloop.dataset.frame_candidates import SLACK_PX
from radloop.tables import LARGEST_SIDE_PX

SIDES: Final = ("x_min", "y_min", "x_max", "y_max")
BOX_PX: Final = tuple(f"{side}_px" for side in SIDES)
READING: Final = ("image_id", "reader")
_SMALLEST_BOX_PX: Final = 0.1  # below, the six decimals of a label make it a line
_LONGEST_ID_BYTES: Final = 200  # with reader and ending it has to stay a file name (255 bytes)
_CONTROL: Final = r"[\p{Cc}\p{Zl}\p{Zp}]"
_LONGEST_VALUE_SHOWN: Final = 60
_REPEATS: Final = "row-repeats"

FINDING: Final = pl.col("kind") == "finding"
SOUND: Final = pl.col("code").is_null()
_DROPPED: Final = pl.col("kind") == "dropped"

Rule = tuple[pl.Expr, pl.Expr | str, pl.Expr]  # whether it refuses a row, the code, the sentence


def _row_rules() -> Iterable[Rule]:
    """What can be said of a row without its picture's edges."""
    no_image = pl.col("image_id").fill_null("") == ""
    yield no_image, "image-missing", pl.lit("the row names no image")
    yield ~_safe_image_id(), "image-unsafe", _sentence("image_id is no safe file name", "image_id")
    reader = _sentence("rad_id is not made of letters, digits and hyphens", "rad_id")
    yield ~_safe_reader(), "reader-unsafe", reader

    yield pl.col("kind") == "refused", pl.col("class_code"), pl.col("class_reason")

    nothing = pl.col("kind") == "nothing"
    placeholder = values.stands_for_no_box(*(pl.col(f"{side}_said") for side in SIDES)).fill_null(False)
    for side in SIDES:
        given = (values.text(side) != "") & ~placeholder
        yield nothing & given, "normal-with-box", _sentence("'No finding' has a box", side)
    empty = pl.all_horizontal(values.text(side) == "" for side in SIDES)
    yield FINDING & empty, "box-missing", pl.lit("the finding has no box")
    for side in SIDES:
        value = pl.col(f"{side}_px")
        number = value.is_finite().fill_null(False)
        yield FINDING & ~number, "coordinate-no-number", _sentence("a coordinate is not a number", side)
        huge = value.abs() > LARGEST_SIDE_PX
        yield FINDING & huge, "coordinate-huge", _sentence("a coordinate is larger than any image", side)
    for axis in "xy":
        ends = f"{axis}_min", f"{axis}_max"
        low, high = (pl.col(f"{end}_px") for end in ends)
        yield FINDING & (low > high), "box-inverted", _sentence("the box is inverted", *ends)
        flat = high - low < _SMALLEST_BOX_PX
        yield FINDING & flat, "box-without-area", _sentence("the box has no area", *ends)
    yield FINDING & placeholder, "box-placeholder", pl.lit("the box is 0, 0, 1, 1, which stands for no box")

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
        unseen = FINDING & (seen < _SMALLEST_BOX_PX)
        ends = f"{axis}_min", f"{axis}_max"
        yield unseen, "box-outside", _sentence("nothing of the box is in the picture", *ends)


def _repeats() -> Iterable[Rule]:
    """All but one of the sound rows that say the same."""
    same = pl.struct(SOUND.alias("sound"), *READING, "kind", "class", *BOX_PX)
    yield ~_DROPPED & ~same.is_first_distinct(), _REPEATS, pl.lit("the row repeats another")


def _contradiction() -> Iterable[Rule]:
    """Another row of the reading, even a refused one, says that its reader saw something."""
    normal = (pl.col("kind") == "nothing") & (SOUND | (pl.col("code") == _REPEATS))
    contradicts = normal & ~normal.all().over(READING)
    sentence = pl.lit("'No finding' contradicts another row of the same reading")
    yield contradicts, "normal-contradicted", sentence


def stands_in() -> pl.Expr:
    """One row of each reading that has nothing but findings of classes that are left out: it says "nothing found"."""
    only_dropped = (_DROPPED & SOUND).all().over(READING)
    return only_dropped & (pl.int_range(pl.len()).over(READING) == 0)


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


def refuse(table: pl.DataFrame, refusal: pl.Expr) -> pl.DataFrame:
    """The table with code and reason of what `refusal` says of its sound rows."""
    found = table.select(refusal).unnest("refusal")
    return table.with_columns(pl.when(SOUND).then(found[name]).otherwise(name).alias(name) for name in found.columns)


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


def identified() -> pl.Expr:
    """Whether the row tells which reading it belongs to."""
    return _safe_image_id() & _safe_reader()


ROW_REASON: Final = _reason(_row_rules())
FRAME_REASON: Final = _reason(_frame_rules())
REPEATED: Final = _reason(_repeats())
CONTRADICTION: Final = _reason(_contradiction())
LEFT_OUT: Final = _reason(_left_out())
