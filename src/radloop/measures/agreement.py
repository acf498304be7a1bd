"""How far the readers agree: on the image (did both see the class?) and on the box (did both draw it there?).

Two views of the same readings stand side by side. Over all images, agreement is flattered by the normal ones, on
which these readers never differ; over the images with a finding (that any reader saw) it is not.

Every figure comes with a 95 % interval (columns `_low` and `_high`; `measures.intervals`) for which images are the
units, because the readings and boxes of one image are not independent. It is null where there are too few of them, and
the figure itself where it has no meaning, such as the agreement on a class that nobody saw.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from radloop.measures import bootstrap, intervals
from radloop.measures.bootstrap import RESAMPLES
from radloop.measures.intervals import Floats, Ints, ratio
from radloop.tables import CLASS_ID
from radloop.taxonomy import Taxonomy

Bools = npt.NDArray[np.bool_]

POPULATIONS: Final = ("all", "with finding")


@dataclass(frozen=True)
class Readings:
    """Every look of one reader at one image, and which classes this reader saw there."""

    images: pl.Series  # image ids, sorted
    readers: pl.Series  # reader ids, R2 before R10
    image: Ints  # of each reading, the place in `images`
    reader: Ints  # of each reading, the place in `readers`; within an image ascending
    seen: Bools  # [reading, class 0..n]; n: "No finding"
    classes: Taxonomy

    def population(self, name: str) -> Bools:
        """For each image, whether it belongs to one of POPULATIONS."""
        if name == "all":
            return np.ones(len(self.images), dtype=bool)
        found = self.image[self.seen[:, : self.classes.nothing].any(axis=1)]
        return np.bincount(found, minlength=len(self.images)) > 0


def readings(annotations: pl.DataFrame, classes: Taxonomy) -> Readings:
    """Turn rows (image_id, rad_id, class_id; null: nothing found) into readings."""
    images, readers = annotations["image_id"].unique().sort(), _readers(annotations)
    place = _places(annotations["image_id"], images) * len(readers) + _places(annotations["rad_id"], readers)
    places, reading = np.unique(place, return_inverse=True)
    seen = np.zeros((len(places), len(classes) + 1), dtype=bool)
    seen[reading, annotations.select(classes.to_file(pl.col("class_id"))).to_series().to_numpy()] = True
    return Readings(images, readers, *np.divmod(places, max(len(readers), 1)), seen, classes)


def one_class(looked: Readings) -> pl.DataFrame:
    """Raw agreement: on how many images all readers together name one class id and no other.

    population, images, agreeing, share with its interval. It is the figure that flatters most; shown to compare.
    """
    agreeing = (_votes(looked) > 0).sum(axis=1) == 1
    inside = np.array([looked.population(population) for population in POPULATIONS])
    counted = {"population": POPULATIONS, "images": inside.sum(axis=1), "agreeing": (agreeing & inside).sum(axis=1)}
    share = intervals.of_share("share", *(csr_array(each.astype(float)) for each in (agreeing & inside, inside)))
    return pl.DataFrame(counted | share).with_columns(pl.col(pl.Float64).fill_nan(None))


def by_class(looked: Readings, *, resamples: int = RESAMPLES, seed: int = 0) -> pl.DataFrame:
    """Did the readers of an image see the class? One row per population and class, n ("No finding") included.

    population, class_id, class_name; images (with at least two readers); positive_images (any of them saw it);
    alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", nominal, missing readings allowed) and
    kappa (Fleiss 1971; where the number of readers differs, each image's own agreement is averaged).
    """
    votes = _votes(looked)
    readers = np.bincount(looked.image, minlength=len(looked.images))
    width, kinds_of_class = votes.max(initial=0) + 1, votes.shape[1]
    rng = np.random.default_rng(seed)
    tables = []
    for population in POPULATIONS:
        inside = looked.population(population) & (readers >= 2)
        alphas, kappas, positive = [], [], []
        for class_id in range(kinds_of_class):
            kinds, images = np.unique((readers * width + votes[:, class_id])[inside], return_counts=True)
            asked, yes = np.divmod(kinds, width)
            alpha, kappa = _chance_corrected(asked, yes, bootstrap.draw_kinds(rng, images, resamples))
            alphas.append(alpha)
            kappas.append(kappa)
            positive.append(images[yes > 0].sum())
        columns = {
            "population": [population] * kinds_of_class,
            "class_id": pl.Series(range(kinds_of_class), dtype=CLASS_ID),
            "images": [int(inside.sum())] * kinds_of_class,
            "positive_images": positive,
        }
        corrected = [
            intervals.of_draws(name, np.array(drawn), np.array(positive))
            for name, drawn in (("alpha", alphas), ("kappa", kappas))
        ]
        tables.append(pl.DataFrame(columns).with_columns(**corrected[0], **corrected[1]))
    return _named(pl.concat(tables), looked.classes)


def by_pair(looked: Readings, *, resamples: int = RESAMPLES, seed: int = 0) -> pl.DataFrame:
    """Did both readers of a pair see the class? One row per population, pair that read a common image, and class.

    population, reader_a, reader_b, class_id (null: all findings pooled), class_name; images read by both; of
    them both, only_a, only_b saw it; positive, 2 both / (2 both + only_a + only_b); kappa (Cohen 1960).
    """
    first, second = _reading_pairs(looked)
    pairs, pair = np.unique(looked.reader[first] * len(looked.readers) + looked.reader[second], return_inverse=True)
    a, b = looked.seen[first], looked.seen[second]
    width = looked.seen.shape[1] + 1  # behind the single classes stand the findings together
    reader_a, reader_b = np.divmod(np.repeat(pairs, width), max(len(looked.readers), 1))
    class_ids = pl.Series([*range(width - 1), None], dtype=CLASS_ID)
    every = pl.DataFrame(
        {
            "reader_a": looked.readers.gather(reader_a),
            "reader_b": looked.readers.gather(reader_b),
            "class_id": class_ids.gather(np.tile(np.arange(width), len(pairs))),
            "key": np.arange(len(pairs) * width),
        }
    )
    tables = []
    for population in POPULATIONS:
        inside = looked.population(population)
        kept = inside[looked.image[first]]
        image = (np.cumsum(inside) - 1)[looked.image[first[kept]]]
        weights = bootstrap.draw_images(int(inside.sum()), resamples, seed)
        read = bootstrap.sums(pair[kept], image, np.ones(len(image)), len(pairs), weights)
        marked = [_marks(pair[kept], image, marks[kept]) for marks in (a & b, a & ~b, ~a & b)]
        figures = _marked_figures(marked, read, weights, width)
        tables.append(
            every.with_columns(images=np.repeat(read[:, 0].astype(np.int64), width))
            .join(figures, on="key", how="left", maintain_order="left")
            .filter(pl.col("images") > 0)
            .with_columns(pl.col("both", "only_a", "only_b").fill_null(0))
            .select(pl.lit(population).alias("population"), pl.exclude("key"))
        )
    return _named(pl.concat(tables), looked.classes)


def match(annotations: pl.DataFrame, *, min_iou: float = 0.4) -> pl.DataFrame:
    """Pair the boxes that two readers drew for one class on one image.

    Two boxes may be paired where their IoU is at least `min_iou`, in (0, 1]; each box with one other at most. As
    many pairs as possible are made, and of the ways to do so the one with the largest sum of IoU: the number of
    pairs is symmetric, and never grows with `min_iou`. One row per image, class and pair of the image's readers
    of whom at least one drew a box: image_id, class_id, reader_a, reader_b, boxes_a, boxes_b, matches, iou_sum.
    """
    if not 0 < min_iou <= 1:
        raise ValueError(f"min_iou must lie in (0, 1], not {min_iou}")
    in_order = pl.Enum(_readers(annotations))
    table = annotations.with_columns(reader=pl.col("rad_id").cast(in_order))
    boxes = table.filter(pl.col("class_id").is_not_null()).with_row_index("box")
    readers = table.select("image_id", "reader").unique()
    drawn = boxes.group_by("image_id", "class_id", "reader").agg(boxes=pl.len().cast(pl.Int64))
    topic = ["image_id", "class_id"]
    pair = [*topic, "reader", "reader_b"]

    asked = (
        drawn.select(topic)
        .unique()
        .join(readers, on="image_id")
        .join(readers, on="image_id", suffix="_b")
        .filter(pl.col("reader") < pl.col("reader_b"))
        .join(drawn, on=[*topic, "reader"], how="left")
        .join(drawn.rename({"reader": "reader_b", "boxes": "boxes_b"}), on=[*topic, "reader_b"], how="left")
        .with_columns(pl.col("boxes", "boxes_b").fill_null(0))
        .filter(pl.col("boxes") + pl.col("boxes_b") > 0)
    )
    overlaps = (
        boxes.join(boxes, on=topic, suffix="_b")
        .filter(pl.col("reader") < pl.col("reader_b"))
        .select(*pair, "box", "box_b", iou=_iou())
        .filter(pl.col("iou") >= min_iou)
    )
    found = _assign(overlaps, pair).group_by(pair).agg(matches=pl.len().cast(pl.Int64), iou_sum=pl.col("iou").sum())
    return (
        asked.join(found, on=pair, how="left")
        .with_columns(pl.col("matches", "iou_sum").fill_null(0))
        .sort(pair)
        .select(
            *topic,
            pl.col("reader").cast(pl.String).alias("reader_a"),
            pl.col("reader_b").cast(pl.String),
            pl.col("boxes").alias("boxes_a"),
            "boxes_b",
            "matches",
            "iou_sum",
        )
    )


def boxes_by_class(
    matched: pl.DataFrame, classes: Taxonomy, *, resamples: int = RESAMPLES, seed: int = 0
) -> pl.DataFrame:
    """Box agreement of each class over all pairs of readers, and of all classes (class_id null, last).

    class_id, class_name, boxes_a, boxes_b, matches; f1, 2 matches / (boxes_a + boxes_b); iou, the mean of the
    matched pairs; both with intervals. An image on which neither drew a box adds nothing to either: they are the
    same over all images and over those with a finding.
    """
    return _box_figures(matched, classes, ["class_id"], resamples, seed).sort("class_id", nulls_last=True)


def boxes_by_pair(
    matched: pl.DataFrame, classes: Taxonomy, *, resamples: int = RESAMPLES, seed: int = 0
) -> pl.DataFrame:
    """The columns of `boxes_by_class` for each pair of readers: reader_a, reader_b, class_id (null: all), …"""
    keys = ["reader_a", "reader_b", "class_id"]
    numbers = (_number(pl.col(reader)) for reader in keys[:2])
    return _box_figures(matched, classes, keys, resamples, seed).sort(*numbers, *keys, nulls_last=True)


def most_disputed(matched: pl.DataFrame) -> pl.DataFrame:
    """The images with a box, the most disagreed on first: image_id, boxes, f1, disagreement (1 − f1).

    f1 is over all classes and all pairs of the image's readers; boxes are all that they drew. Among equals the
    image with more boxes comes first, then the one with the smaller id. An image of one reader is not listed.
    """
    every_box = pl.concat(
        matched.select("image_id", "class_id", rad_id=f"reader_{side}", boxes=f"boxes_{side}") for side in "ab"
    )
    boxes = every_box.unique().group_by("image_id").agg(pl.col("boxes").sum())
    return (
        matched.group_by("image_id")
        .agg(f1=2 * pl.col("matches").sum() / (pl.col("boxes_a") + pl.col("boxes_b")).sum())
        .join(boxes, on="image_id")
        .select("image_id", "boxes", "f1", disagreement=1 - pl.col("f1"))
        .sort("disagreement", "boxes", "image_id", descending=[True, True, False])
    )


def _votes(looked: Readings) -> Ints:
    """How many readers of each image saw each class: [image, class 0..n]."""
    width = looked.seen.shape[1]
    reading, class_id = np.nonzero(looked.seen)
    flat = looked.image[reading] * width + class_id
    return np.bincount(flat, minlength=len(looked.images) * width).reshape(-1, width)


def _chance_corrected(readers: Ints, yes: Ints, images: Ints) -> tuple[Floats, Floats]:
    """Krippendorff's alpha and Fleiss' kappa of a yes-no question, for each draw.

    readers, yes: [kind], how many readers a kind of image has and how many of them say yes; images: [draw, kind].
    """
    no = readers - yes
    disagreeing = 2 * yes * no / (readers - 1)
    every, all_yes, all_no = (images @ each for each in (readers, yes, no))
    by_chance = 2.0 * all_yes * all_no
    alpha = 1 - ratio((every - 1) * (images @ disagreeing), by_chance)
    kappa = 1 - ratio((images @ (disagreeing / readers)) * every**2, images.sum(axis=1) * by_chance)
    return alpha, kappa


def _marked_figures(marked: list[tuple[Ints, Ints]], read: Floats, weights: Floats, width: int) -> pl.DataFrame:
    """The figures of each pair and class that either reader saw; of the others there is nothing but agreed absence.

    marked: the `_marks` of both, of a alone, of b alone; read: [pair, draw], how many images both have read.
    """
    keys = np.unique(np.concatenate([key for key, _ in marked]))
    pair, class_id = np.divmod(keys, width)
    questions = np.where(class_id == width - 1, width - 2, 1)  # to the findings together, each class is one
    summed = [(np.searchsorted(keys, key), image, np.ones(len(key))) for key, image in marked]
    seen = [intervals.per_group(*each, len(keys), len(weights)) for each in summed]
    tables = []
    for part, (both, only_a, only_b) in bootstrap.sums_by_part(summed, len(keys), weights):
        asked = read[pair[part]] * questions[part, np.newaxis]
        counted = {"both": both, "only_a": only_a, "only_b": only_b}
        a_and_b, a, b = (each[part] for each in seen)
        either = 2 * a_and_b + a + b
        tables.append(
            pl.DataFrame(
                {"key": keys[part]}
                | {name: sums[:, 0].astype(np.int64) for name, sums in counted.items()}
                | intervals.of_share("positive", 2 * a_and_b, either)
                | intervals.of_draws("kappa", _kappa(asked, both, only_a, only_b), intervals.groups_with(either))
            )
        )
    return pl.concat(tables)


def _kappa(asked: Floats, both: Floats, only_a: Floats, only_b: Floats) -> Floats:
    """Cohen's kappa."""
    yes_a, yes_b = both + only_a, both + only_b
    differing = ratio(only_a + only_b, asked)
    by_chance = ratio(yes_a * (asked - yes_b) + yes_b * (asked - yes_a), asked**2)
    return 1 - ratio(differing, by_chance)


def _reading_pairs(looked: Readings) -> tuple[Ints, Ints]:
    """Every two readings of one image, in the order of `readers`."""
    table = pl.DataFrame({"image": looked.image, "reading": np.arange(len(looked.image))})
    pairs = table.join(table, on="image", suffix="_b").filter(pl.col("reading") < pl.col("reading_b"))
    return pairs["reading"].to_numpy(), pairs["reading_b"].to_numpy()


def _iou() -> pl.Expr:
    """IoU of a box and the box whose columns end in _b; the same however the picture is stretched."""

    def side(axis: str, suffix: str) -> tuple[pl.Expr, pl.Expr]:
        return pl.col(f"{axis}_min_norm{suffix}"), pl.col(f"{axis}_max_norm{suffix}")

    def shared(axis: str) -> pl.Expr:
        (low, high), (low_b, high_b) = side(axis, ""), side(axis, "_b")
        return (pl.min_horizontal(high, high_b) - pl.max_horizontal(low, low_b)).clip(0)

    def area(suffix: str) -> pl.Expr:
        (left, right), (top, bottom) = side("x", suffix), side("y", suffix)
        return (right - left) * (bottom - top)

    overlap = shared("x") * shared("y")
    return overlap / (area("") + area("_b") - overlap)


def _assign(overlaps: pl.DataFrame, pair: list[str]) -> pl.DataFrame:
    """The chosen rows of `overlaps`. Most boxes overlap only one other and need no solver."""
    choices = pl.max_horizontal(pl.len().over(*pair, "box"), pl.len().over(*pair, "box_b"))
    overlaps = overlaps.with_columns(contested=choices > 1)
    chosen = [overlaps.filter(~pl.col("contested"))]
    for group in overlaps.filter("contested").partition_by(pair, maintain_order=True):
        boxes_a, row = np.unique(group["box"].to_numpy(), return_inverse=True)
        boxes_b, column = np.unique(group["box_b"].to_numpy(), return_inverse=True)
        edge = np.full((len(boxes_a), len(boxes_b)), -1)
        edge[row, column] = np.arange(group.height)
        one_more = min(edge.shape)  # outweighs every sum of IoU
        worth = np.where(edge >= 0, group["iou"].to_numpy()[edge] + one_more, 0.0)
        picked = edge[linear_sum_assignment(worth, maximize=True)]
        chosen.append(group[picked[picked >= 0]])
    return pl.concat(chosen)


def _box_figures(matched: pl.DataFrame, classes: Taxonomy, keys: list[str], resamples: int, seed: int) -> pl.DataFrame:
    """Sums, F1 and mean IoU for each value of `keys`, and once more with class_id null for all classes."""
    rows = pl.concat([matched, matched.with_columns(class_id=pl.lit(None, CLASS_ID))])
    groups = rows.select(keys).unique().sort(keys).with_row_index("key")
    key = rows.join(groups, on=keys, nulls_equal=True, maintain_order="left")["key"].to_numpy()
    images = matched["image_id"].unique().sort()
    image = _places(rows["image_id"], images)
    weights = bootstrap.draw_images(len(images), resamples, seed)
    summed = [(key, image, rows[name].to_numpy()) for name in ("boxes_a", "boxes_b", "matches", "iou_sum")]
    held = [intervals.per_group(*each, groups.height, len(images)) for each in summed]
    tables = []
    for part, (boxes_a, boxes_b, matches, iou_sum) in bootstrap.sums_by_part(summed, groups.height, weights):
        counted = {"boxes_a": boxes_a, "boxes_b": boxes_b, "matches": matches}
        of_a, of_b, matched_boxes = (each[part] for each in held[:3])
        tables.append(
            groups[part].select(
                *keys,
                **{name: pl.Series(sums[:, 0].astype(np.int64)) for name, sums in counted.items()},
                **intervals.of_share("f1", 2 * matched_boxes, of_a + of_b),
                **intervals.of_draws("iou", ratio(iou_sum, matches), intervals.groups_with(matched_boxes)),
            )
        )
    return _named(pl.concat(tables), classes)


def _marks(pair: Ints, image: Ints, marks: Bools) -> tuple[Ints, Ints]:
    """The key (pair of readers and class) and image of each mark in [reading pair, class]; findings also pooled."""
    nothing, pooled = marks.shape[1] - 1, marks.shape[1]
    row, class_id = np.nonzero(marks)
    finding = class_id != nothing
    rows = np.concatenate([row, row[finding]])
    columns = np.concatenate([class_id, np.full(finding.sum(), pooled)])
    return pair[rows] * (pooled + 1) + columns, image[rows]


def _readers(annotations: pl.DataFrame) -> pl.Series:
    """The readers, R2 before R10."""
    return annotations["rad_id"].unique().to_frame().sort(_number(pl.col("rad_id")), "rad_id")["rad_id"]


def _number(reader: pl.Expr) -> pl.Expr:
    return reader.str.extract(r"(\d+)$").cast(pl.Int64, strict=False)


def _places(values: pl.Series, known: pl.Series) -> Ints:
    return values.cast(pl.Enum(known)).to_physical().to_numpy().astype(np.int64)


def _named(figures: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """Put class_name behind class_id (null: all classes together, without a name), and null for what is no number."""
    at = figures.get_column_index("class_id") + 1
    class_id = pl.col("class_id")
    names = figures.select(class_name=pl.when(class_id.is_not_null()).then(classes.named(class_id)))["class_name"]
    return figures.insert_column(at, names).with_columns(pl.col(pl.Float64).fill_nan(None))
