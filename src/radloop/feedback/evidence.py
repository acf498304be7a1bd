"""The feedback of other programs as a whole, before any of it is believed: is it written as it was declared?

Boxes as corners, confidences in percent, numbers of classes from 1 and times as numbers look right in many a single
file. Together they do not: boxes reach out of the picture that another format keeps inside, or lie beside what the
readers of the same images drew. Where nothing tells, what was declared holds; nothing is decided file by file.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple, get_args

import numpy as np
import polars as pl

from radloop import boxes
from radloop.boxes import Floats
from radloop.errors import FeedbackError
from radloop.feedback.conventions import FIRST_YEAR, MOST_AHEAD, OWN, PERCENT, Convention, Format, epoch
from radloop.feedback.records import TOLERANCE
from radloop.feedback.rows import Records
from radloop.tables import EDGES, SCALED_SIDE_PX
from radloop.taxonomy import Taxonomy, is_nothing

ENOUGH: Final = 8  # files or boxes: fewer do not speak against a convention
MOST: Final = 0.9  # of those that tell have to say the same
_SAME_PLACE_IOU: Final = 0.5
_COINCIDE: Final = 0.3  # of the boxes on images that have readers' boxes, at least, in the convention that is right,
_TIMES_AS_MANY: Final = 3  # and so many times as many as in the one declared
_EXPLAINED: Final = 0.99  # of all boxes lie in the picture, in a format that explains them,
_OUTSIDE: Final[dict[Format, tuple[int, float]]] = {  # and at least so many and such a share do not as declared
    "xyxy": (2, 0.1),  # that x_max > x_min and y_max > y_min in every box says much already
    "xywh": (3, 0.05),
    "cxcywh": (2, 0.05),
}
_MOST_LOOKED_AT: Final = 20_000  # boxes
_MOST_MATCHED: Final = 5_000  # boxes: compared with the readers'
_SLACK: Final = 1.02
_FRACTIONS: Final = 1.5  # no coordinate of a box in fractions is above it
_CALLED: Final[dict[str, str]] = {
    "cxcywh": "centre and size",
    "xyxy": "corners (x_min, y_min, x_max, y_max)",
    "xywh": "top-left corner and size",
}


class _Box(NamedTuple):
    """Boxes of other programs as they stand in their files."""

    raw: Floats  # n×4
    images: list[str]
    classes: list[int | None]  # as declared
    files: list[str]  # of those in a refused file


class _Found(NamedTuple):
    """One thing that is not as declared."""

    sentence: str
    flag: str


def check(
    found: Records,
    classes: Taxonomy,
    declared: Convention = OWN,
    *,
    readings: pl.DataFrame | None = None,
    now: datetime | None = None,
    name: str = "the feedback",
) -> None:
    """Raise FeedbackError where the files of other programs, taken together, are in another convention than declared.

    `readings` has the boxes that readers drew (image_id, class_id, EDGES). What radloop wrote is never looked at.
    """
    needed = found.feedback.select("feedback_id", "confidence", "schema_version")  # a filter copies what it keeps
    foreign = needed.filter(pl.col("schema_version").is_null())
    files = foreign.height + len(found.doubts)
    if files < ENOUGH:
        return
    boxed = _boxes(found, foreign, declared)
    wrong = [
        *_of_boxes(boxed, declared, readings),
        *_of_classes(found, boxed, classes, declared, readings),
        *_of_confidences(found, foreign, declared),
        *_of_times(found, files, declared, now),
    ]
    if wrong:
        raise FeedbackError(
            f"{name}: {'; '.join(one.sentence for one in wrong)}. Nothing of it was used. If that is so, pass "
            f"{' '.join(one.flag for one in wrong)}; else mend the files, or take them out of the folder.",
            code="other-convention",
        )


def _boxes(found: Records, foreign: pl.DataFrame, declared: Convention) -> _Box:
    """Those of other programs; every so manieth where there are very many."""
    ours = found.detections.select("feedback_id", "image_id", "class_id", *EDGES)
    told = [(raw, class_id, one) for one in found.doubts for raw, class_id in zip(one.boxes, one.numbers, strict=True)]
    if foreign.height < found.feedback.height:
        ours = ours.join(foreign, on="feedback_id", how="semi", maintain_order="left")
    step = -(-(ours.height + len(told)) // _MOST_LOOKED_AT) or 1
    ours, told = ours.gather_every(step), told[::step]
    doubtful = np.array([raw for raw, _, _ in told], np.float64).reshape(-1, 4)
    return _Box(
        np.concatenate([declared.of_corners(ours.select(EDGES).to_numpy()), doubtful]),
        [*ours["image_id"].to_list(), *(one.image_id for _, _, one in told)],
        [*ours["class_id"].to_list(), *(None if one is None else one - declared.class_base for _, one, _ in told)],
        [*([""] * ours.height), *(one.file for _, _, one in told)],
    )


def _of_boxes(boxed: _Box, declared: Convention, readings: pl.DataFrame | None) -> list[_Found]:
    count = len(boxed.raw)
    if count < ENOUGH:
        return []
    units = _units(boxed.raw, declared)
    sentences = []
    if units is not None:
        unit, frame, many = units
        sentences.append(f"{many} of {count} boxes are in {unit}, not in {_unit(declared.bbox_frame)}")
        declared = replace(declared, bbox_frame=frame)
    better = _format(boxed, declared, readings)
    if better is not None:
        shape, why = better
        sentences.append(f"the boxes are {_CALLED[shape]}, not {_CALLED[declared.bbox_format]}: {why}")
        declared = replace(declared, bbox_format=shape)
    if not sentences:
        return []
    place = int(np.argmax(np.abs(boxed.raw).max(axis=1))) if units else 0
    where = boxed.files[place] or f"image {boxed.images[place]}"
    example = f"for example {where} {[round(float(value), 4) for value in boxed.raw[place]]}"
    return [_Found(f"{'; '.join(sentences)} ({example})", _flag(declared, boxed.raw))]


def _units(raw: Floats, declared: Convention) -> tuple[str, tuple[float, float], int] | None:
    """The unit that the boxes are in, its frame and how many say so, where it is not the one declared."""
    largest = np.abs(raw).max(axis=1)
    if max(declared.bbox_frame) > 1:
        if (largest > _FRACTIONS).mean() <= 1 - MOST:
            return "fractions of the picture", (1.0, 1.0), int((largest <= _FRACTIONS).sum())
        if largest.max() > max(declared.bbox_frame) * _SLACK or max(declared.bbox_frame) > PERCENT >= largest.max():
            return _large(largest, declared)
        return None
    return _large(largest, declared) if (largest > _FRACTIONS).mean() >= MOST else None


def _large(largest: Floats, declared: Convention) -> tuple[str, tuple[float, float], int] | None:
    side = PERCENT if largest.max() <= PERCENT * _SLACK else float(SCALED_SIDE_PX)
    fits = largest <= side * _SLACK
    if declared.bbox_frame == (side, side) or (largest > _FRACTIONS).mean() < MOST:
        return None
    unit = "percent of the picture" if side == PERCENT else "pixels"
    return unit, (side, side), int((fits if side == PERCENT else largest > _FRACTIONS).sum())


def _unit(frame: tuple[float, float]) -> str:
    if frame == (1.0, 1.0):
        return "fractions"
    return "percent" if frame == (PERCENT, PERCENT) else f"pixels of {frame[0]:g}×{frame[1]:g}"


def _flag(convention: Convention, raw: Floats) -> str:
    width, height = convention.bbox_frame
    unit = {1.0: "", PERCENT: ":percent", float(SCALED_SIDE_PX): ":pixel"}.get(width, f":{width:g}x{height:g}")
    if width == SCALED_SIDE_PX and np.abs(raw).max() > width * _SLACK:
        unit = ":WIDTHxHEIGHT (of the pictures that the model was shown)"
    return f"--bbox-format {convention.bbox_format}{unit}"


def _format(boxed: _Box, declared: Convention, readings: pl.DataFrame | None) -> tuple[Format, str] | None:
    """The format that explains the boxes decisively better than the one declared, and why; None where none does."""
    others = [shape for shape in get_args(Format) if shape != declared.bbox_format]
    corners: dict[Format, Floats] = {
        shape: replace(declared, bbox_format=shape).to_corners(boxed.raw) for shape in get_args(Format)
    }
    compared, hits = _coinciding(corners, boxed.images, readings)
    as_declared = hits[declared.bbox_format]
    best = max(others, key=lambda shape: hits[shape])
    if hits[best] >= max(ENOUGH, _COINCIDE * compared, _TIMES_AS_MANY * as_declared):
        return (
            best,
            f"{hits[best]} of {compared} coincide so with a reader's box of the image, {as_declared} as declared",
        )
    if as_declared >= max(ENOUGH, _COINCIDE * compared):
        return None
    count = len(boxed.raw)
    inside = {shape: int(_inside(one).sum()) for shape, one in corners.items()}
    outside = count - inside[declared.bbox_format]
    for shape in others:
        fewest, share = _OUTSIDE[shape]
        if inside[shape] >= _EXPLAINED * count and outside >= max(fewest, share * count):
            return (
                shape,
                f"{inside[shape]} of {count} lie in the picture so, {inside[declared.bbox_format]} as declared",
            )
    return None


def _inside(corners: Floats) -> np.ndarray:
    low, high = -TOLERANCE, 1 + TOLERANCE
    proper = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    return np.asarray(proper & (corners >= low).all(axis=1) & (corners <= high).all(axis=1))


def _coinciding(
    corners: dict[Format, Floats], images: list[str], readings: pl.DataFrame | None
) -> tuple[int, dict[Format, int]]:
    """How many boxes lie on images that readers drew boxes on, and how many coincide with one, in each format."""
    if readings is None:
        return 0, dict.fromkeys(corners, 0)
    pairs = _pairs(images, readings)
    theirs = pairs.select(EDGES).to_numpy()
    places = pairs["place"].to_numpy()
    hits = {}
    for shape, one in corners.items():
        same = boxes.iou_of_pairs(one[places], theirs) >= _SAME_PLACE_IOU
        hits[shape] = len(np.unique(places[same]))
    return len(np.unique(places)), hits


def _pairs(images: list[str], readings: pl.DataFrame) -> pl.DataFrame:
    """place (of the box), class_id and EDGES of each reader's box of its image; of some of the boxes, if many."""
    told = pl.DataFrame({"image_id": images}, schema={"image_id": pl.String}).with_row_index("place")
    drawn = readings.filter(pl.col("class_id").is_not_null()).select("image_id", "class_id", *EDGES).unique()
    known = told.join(drawn, on="image_id", how="semi", maintain_order="left")
    some = known.gather_every(-(-known.height // _MOST_MATCHED) or 1)
    return some.join(drawn, on="image_id").sort("place", "class_id", *EDGES)


def _of_classes(
    found: Records, boxed: _Box, classes: Taxonomy, declared: Convention, readings: pl.DataFrame | None
) -> list[_Found]:
    """Numbers beside the names of other classes; and, where there are no names, beside the readers' classes."""
    other = 1 - declared.class_base
    flag = f"--class-base {other}"
    named = [
        (one.file, class_id, name, class_id - number)
        for one in found.doubts
        for class_id, name in one.classes[:1]
        if name is not None
        and (number := classes.nothing if is_nothing(name) else classes.number(name)) is not None
        and class_id - number != declared.class_base
    ]
    shifted = [one for one in named if one[3] == other]
    if len(shifted) >= max(ENOUGH, MOST * len(named)):
        file, class_id, name, _ = shifted[0]
        return [
            _Found(
                f"the class numbers count from {other}, not from {declared.class_base}: in {len(shifted)} files "
                f"class_id is one {'more' if other else 'less'} than the number of class_name (for example {file}: "
                f"{class_id}, {name!r})",
                flag,
            )
        ]
    if readings is None:
        return []
    pairs = _pairs(boxed.images, readings)
    corners = declared.to_corners(boxed.raw)
    same_place = (
        boxes.iou_of_pairs(corners[pairs["place"].to_numpy()], pairs.select(EDGES).to_numpy()) >= _SAME_PLACE_IOU
    )
    class_of = pl.Series([boxed.classes[place] for place in pairs["place"]], dtype=pl.Int64)
    by_box = (
        pairs.select("place", theirs=pl.col("class_id").cast(pl.Int64))
        .with_columns(ours=class_of)
        .filter(pl.Series(same_place), pl.col("ours").is_not_null())
        .with_columns(less=pl.col("ours") - pl.col("theirs"))
        .group_by("place")
        .agg(same=(pl.col("less") == 0).any(), shifted=(pl.col("less") == other - declared.class_base).any())
    )
    many = int(by_box["shifted"].sum())
    if many < max(ENOUGH, MOST * by_box.height) or by_box["same"].sum() > (1 - MOST) * by_box.height:
        return []
    return [
        _Found(
            f"the class numbers count from {other}, not from {declared.class_base}: so {many} of {by_box.height} boxes "
            f"that coincide with a reader's have its class, {int(by_box['same'].sum())} as declared",
            flag,
        )
    ]


def _of_confidences(found: Records, foreign: pl.DataFrame, declared: Convention) -> list[_Found]:
    told = [(max(one.confidences), one.file) for one in found.doubts if one.confidences]
    known = foreign["confidence"].to_numpy() * (PERCENT if declared.confidence_unit == "percent" else 1)
    count = len(told) + len(known)
    over = [(value, file) for value, file in told if 1 < value <= PERCENT]
    if declared.confidence_unit == "fraction":
        if len(over) < max(ENOUGH, MOST * count):
            return []
        value, file = over[0]
        return [
            _Found(
                f"{len(over)} of {count} confidences are above 1 and at most 100, so in percent (for example {file}: "
                f"{value:g})",
                "--confidence-unit percent",
            )
        ]
    low = int((known <= 1).sum()) + sum(value <= 1 for value, _ in told)
    if low < max(ENOUGH, count):
        return []
    return [_Found(f"all {count} confidences are at most 1, so fractions", "--confidence-unit fraction")]


def _of_times(found: Records, files: int, declared: Convention, now: datetime | None) -> list[_Found]:
    numbers = [(number, one) for one in found.doubts if (number := epoch(one.timestamp)) is not None]
    for unit, per_second in (("seconds", 1), ("milliseconds", 1000)):
        plausible = _plausible(now)
        right = [one for number, one in numbers if plausible(number / per_second)]
        if unit != declared.time_unit and len(right) >= max(ENOUGH, MOST * files):
            return [
                _Found(
                    f"{len(right)} of {files} times are {unit} since 1970 (for example {right[0].file}: "
                    f"{str(right[0].timestamp)[:20]})",
                    f"--time-unit {unit}",
                )
            ]
    return []


def _plausible(now: datetime | None) -> Callable[[float], bool]:
    first = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()
    last = (now + MOST_AHEAD).timestamp() if now else datetime(2100, 1, 1, tzinfo=UTC).timestamp()
    return lambda seconds: first <= seconds <= last
