"""How good is a detector on images whose truth is known, and how good would its pseudo-labels be?

Truth is a table of boxes (TRUTH): what the readers agree on (`catalog.truth`), or one reader's own. Predictions are
DETECTIONS. `images` (image_id, group) are all images that were looked at, the normal ones among them: a box predicted
there is wrong. Intervals are those of `measures.intervals`, with the groups as their units.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from faster_coco_eval import COCO, COCOeval_faster
from scipy.sparse import csr_array

from radloop import boxes
from radloop.measures import bootstrap, intervals
from radloop.measures.bootstrap import RESAMPLES
from radloop.measures.intervals import Floats, Ints, ratio
from radloop.tables import CLASS_ID, EDGES, TRUTH
from radloop.taxonomy import Taxonomy

IOUS: Final = (0.4, 0.5)  # the competition's, and the usual one
_CLASS: Final = {"class_id": CLASS_ID, "class_name": pl.String}
_PILE: Final = ["image_id", "class_id"]
RECALLS: Final = np.linspace(0, 1, 101)  # COCO's
# A box of a detector ("true", "false") or of the truth ("truth"), and the confidence that it has, or was found with.
OUTCOMES: Final = pl.Schema({**TRUTH, "confidence": pl.Float64(), "outcome": pl.String()})
_MOST_BOXES: Final = 1000  # of one class on one image


class Looked:
    """The images that were looked at, and their groups."""

    def __init__(self, images: pl.DataFrame) -> None:
        """Read `images`: image_id, group."""
        known = images.select("image_id", "group").unique("image_id").sort("image_id")
        self.ids = known["image_id"]
        self._group: Ints = known["group"].rank("dense").to_numpy().astype(np.int64) - 1
        self.groups = int(self._group.max(initial=-1)) + 1

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that lie on these images."""
        return rows.filter(pl.col("image_id").is_in(self.ids.implode()))

    def group(self, rows: pl.DataFrame) -> Ints:
        """The number of the group of each row."""
        place: Ints = rows["image_id"].cast(pl.Enum(self.ids)).to_physical().to_numpy().astype(np.int64)
        return self._group[place]

    def counts(self, rows: pl.DataFrame, classes: Taxonomy) -> csr_array:
        """How many rows each class has in each group, and (last) all together: [class or all, group]."""
        class_id, group = rows["class_id"].to_numpy().astype(np.int64), self.group(rows)
        both = np.concatenate([class_id, np.full(len(class_id), len(classes))]), np.tile(group, 2)
        return intervals.per_group(*both, np.ones(2 * len(group)), len(classes) + 1, self.groups)


def of_reader(annotations: pl.DataFrame, rad_id: str) -> pl.DataFrame:
    """The boxes of one reader as TRUTH."""
    own = annotations.filter(pl.col("rad_id") == rad_id, pl.col("class_id").is_not_null())
    return own.select(TRUTH.names())


def match(predictions: pl.DataFrame, truth: pl.DataFrame, *, min_iou: float = IOUS[0]) -> pl.DataFrame:
    """Add `correct` to each prediction, the most confident first: whether it found a box that none before it found.

    COCO's rule: within image and class, in the order of confidence, each takes the free box of the truth that it
    overlaps most, if at all by `min_iou`. What is confident is matched the same with or without the rest.
    """
    ranked, _, found = _matched(predictions, truth, min_iou)
    marked = ranked.with_columns(correct=pl.Series(found >= 0, dtype=pl.Boolean))
    return marked.sort("confidence", descending=True, maintain_order=True)


def outcomes(predictions: pl.DataFrame, truth: pl.DataFrame, *, min_iou: float = IOUS[0]) -> pl.DataFrame:
    """OUTCOMES: every prediction, true or false, and every box of the truth, as `match` finds them.

    At a threshold those of the truth are missed whose `confidence`, that of the prediction which found it, does not
    reach it, or is null. An image may have the same box in both parts.
    """
    ranked, known, found = _matched(predictions, truth, min_iou)
    confidence = np.full(known.height, np.nan)
    confidence[found[found >= 0]] = ranked["confidence"].to_numpy()[found >= 0]
    said = ranked.with_columns(outcome=pl.Series(np.where(found >= 0, "true", "false"), dtype=pl.String))
    drawn = known.with_columns(confidence=pl.Series(confidence).fill_nan(None), outcome=pl.lit("truth", pl.String))
    return pl.concat([part.select(OUTCOMES.names()) for part in (said, drawn)])


def _matched(
    predictions: pl.DataFrame, truth: pl.DataFrame, min_iou: float
) -> tuple[pl.DataFrame, pl.DataFrame, npt.NDArray[np.int64]]:
    """The predictions by image, class and confidence, the truth by image and class, and which box each one found.

    -1 where a prediction found none.
    """
    ranked = predictions.sort(*_PILE, "confidence", descending=[False, False, True], maintain_order=True)
    known = truth.sort(_PILE, maintain_order=True)
    both = _piles(ranked).join(_piles(known), on=_PILE, suffix="_known").drop(_PILE)
    predicted, drawn = (table.select(EDGES).to_numpy() for table in (ranked, known))
    found = np.full(ranked.height, -1, dtype=np.int64)
    for first, end, first_known, end_known in both.iter_rows():
        own = _greedy(predicted[first:end], drawn[first_known:end_known], min_iou)
        found[first:end] = np.where(own >= 0, own + first_known, -1)
    return ranked, known, found


def average_precision(
    predictions: pl.DataFrame,
    truth: pl.DataFrame,
    images: pl.DataFrame,
    classes: Taxonomy,
    *,
    min_iou: float = IOUS[0],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """class_id, class_name, truth (boxes), predictions, ap with its interval; the last row (class_id null) is mAP.

    The average precision is faster-coco-eval's (101 recall points), over every size of box. A class without truth
    has none, and mAP is the mean over those that have one; with an interval where these have enough groups on average.
    """
    drawn = DrawnPrecision.of(predictions, truth, images, classes, min_iou=min_iou, resamples=resamples, seed=seed)
    here = Looked(images)
    counted = {
        "truth": drawn.known,
        "predictions": here.counts(here.of(predictions), classes).sum(axis=1).astype(np.int64),
    }
    return _per_class(classes, counted | intervals.of_draws("ap", drawn.ap, drawn.groups))


@dataclass(frozen=True)
class DrawnPrecision:
    """Average precision in each draw of groups; the last row is mAP. Draw 0 is the figure."""

    known: Ints  # [class or all]: boxes of the truth
    groups: Ints  # [class or mean]: groups with such; of mAP those of a class, on average
    ap: Floats  # [class or mean, draw]

    @classmethod
    def of(
        cls,
        predictions: pl.DataFrame,
        truth: pl.DataFrame,
        images: pl.DataFrame,
        classes: Taxonomy,
        *,
        min_iou: float = IOUS[0],
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> "DrawnPrecision":
        """Arguments as of `average_precision`."""
        here = Looked(images)
        predictions, truth = here.of(predictions), here.of(truth)
        drawn = cls.of_matched(
            match(predictions, truth, min_iou=min_iou), truth, images, classes, resamples=resamples, seed=seed
        )
        drawn.ap[:-1, 0] = _coco_precision(predictions, truth, classes, min_iou)
        drawn.ap[-1:, :1] = _mean(drawn.ap[:-1, :1])
        return drawn

    @classmethod
    def of_matched(
        cls,
        matched: pl.DataFrame,
        truth: pl.DataFrame,
        images: pl.DataFrame,
        classes: Taxonomy,
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> "DrawnPrecision":
        """The same of boxes that were matched already (image_id, class_id, correct; the most confident first)."""
        here = Looked(images)
        known = here.counts(here.of(truth), classes)
        drawn = _drawn_precision(here.of(matched), known, here, resamples, seed)
        groups = intervals.groups_with(known)[:-1]
        groups_of_mean = groups.sum() // max(np.count_nonzero(groups), 1)  # of few, the mean leans upwards as they do
        return cls(
            known=known.sum(axis=1).astype(np.int64),
            groups=np.append(groups, groups_of_mean),
            ap=np.concatenate([drawn, _mean(drawn)]),
        )


def _mean(drawn: Floats) -> Floats:
    """mAP of each draw, [1, draw], from the classes that have a meaning in it."""
    held = ~np.isnan(drawn)
    return ratio(np.where(held, drawn, 0).sum(axis=0, keepdims=True), held.sum(axis=0, keepdims=True))


def pseudo_labels(
    matched: pl.DataFrame, truth: pl.DataFrame, images: pl.DataFrame, classes: Taxonomy, *, min_confidence: float
) -> pl.DataFrame:
    """How good the predictions strictly above `min_confidence` would be as labels, by class and (null) in all.

    class_id, class_name; truth, labels and correct (boxes); precision, the share of the labels that are right, and
    recall, the share of the truth that they hold, with intervals. `matched` is what `match` returned for `truth`.
    """
    here = Looked(images)
    kept = here.of(matched).filter(pl.col("confidence") > min_confidence)
    labels, correct, known = (here.counts(rows, classes) for rows in (kept, kept.filter("correct"), here.of(truth)))
    counted = {"truth": known, "labels": labels, "correct": correct}
    return _per_class(
        classes,
        {name: each.sum(axis=1).astype(np.int64) for name, each in counted.items()}
        | intervals.of_share("precision", correct, labels)
        | intervals.of_share("recall", correct, known),
    )


def thresholds(matched: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Of all classes, above each confidence 0.00 … 0.99: confidence, labels, precision, recall."""
    steps = np.arange(100) / 100
    confidence, correct = matched["confidence"].to_numpy(), matched["correct"].to_numpy()
    above = confidence[np.newaxis] > steps[:, np.newaxis]
    labels, right = above.sum(axis=1), (above & correct).sum(axis=1)
    figures = {
        "confidence": steps,
        "labels": labels,
        "precision": ratio(right, labels),
        "recall": ratio(right, np.full(len(steps), truth.height)),
    }
    return pl.DataFrame(figures).with_columns(pl.col(pl.Float64).fill_nan(None))


def by_reader(
    predictions: pl.DataFrame,
    annotations: pl.DataFrame,
    images: pl.DataFrame,
    classes: Taxonomy,
    *,
    min_iou: float = IOUS[0],
) -> pl.DataFrame:
    """mAP against each reader alone, over the images that this reader read.

    rad_id, images, truth (boxes), map (null: no box), few: whether fewer groups than an interval asks for hold a box of
    this reader. The range says what the consensus hides: the detector is as good as the reader whom it is asked to
    resemble.
    """
    rows = []
    read = Looked(images).of(annotations)
    for rad_id in read["rad_id"].unique().sort():
        own = read.filter(pl.col("rad_id") == rad_id)
        here = Looked(images.join(own, on="image_id", how="semi"))
        truth = of_reader(read, rad_id)
        known = _coco_precision(here.of(predictions), truth, classes, min_iou)
        mean = float(np.nanmean(known)) if not np.isnan(known).all() else None
        groups = int(intervals.groups_with(here.counts(truth, classes))[-1])
        rows.append((rad_id, len(here.ids), truth.height, mean, groups < intervals.LEAST_FOR_DRAWS))
    schema = {"rad_id": pl.String, "images": pl.Int64, "truth": pl.Int64, "map": pl.Float64, "few": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _piles(rows: pl.DataFrame) -> pl.DataFrame:
    """image_id, class_id, first, end: where the rows of each pile stand; they are sorted by it."""
    place = pl.col("place")
    placed = rows.select(*_PILE, place=pl.int_range(pl.len()))
    return placed.group_by(_PILE, maintain_order=True).agg(first=place.first(), end=place.last() + 1)


def _greedy(predicted: Floats, known: Floats, min_iou: float) -> npt.NDArray[np.int64]:
    """Which free box each of the predictions finds, the most confident first; -1: none."""
    overlap = boxes.iou(predicted, known)
    found = np.full(len(predicted), -1, dtype=np.int64)
    for at, row in enumerate(overlap):
        best = int(row.argmax())
        if row[best] >= min_iou:
            found[at] = best
            overlap[:, best] = -1
    return found


def _coco_precision(predictions: pl.DataFrame, truth: pl.DataFrame, classes: Taxonomy, min_iou: float) -> Floats:
    """The average precision of each class by faster-coco-eval, NaN without truth."""
    precision = np.full(len(classes), np.nan)
    held = truth["class_id"].unique()
    rows = pl.concat(
        [
            truth.with_columns(confidence=pl.lit(None, pl.Float64)),
            predictions.filter(pl.col("class_id").is_in(held.implode())),
        ],
        how="diagonal",
    )
    # COCO looks at every class on every image. Classes do not meet, so each counts the images that have it, and those
    # on about as many images are evaluated together: of 1,000 rare classes, seconds instead of minutes.
    number = pl.col("image_id").rank("dense").over("class_id").cast(pl.Int64).alias("image")
    rows = rows.with_columns(number).with_columns(size=pl.col("image").max().over("class_id").log(2).floor())
    for part in rows.partition_by("size"):
        ids = part["class_id"].unique().sort()
        precision[ids.to_numpy()] = _coco_precision_of(part, ids.to_list(), classes, min_iou)
    return precision


def _coco_precision_of(rows: pl.DataFrame, class_ids: list[int], classes: Taxonomy, min_iou: float) -> Floats:
    """The same of some classes. rows: the truth's (confidence null) and predictions; `image`: the image's number."""
    truth, predictions = (rows.filter(pl.col("confidence").is_null() == known) for known in (True, False))
    if predictions.is_empty():
        return np.zeros(len(class_ids))
    images = rows["image"].unique().sort().to_list()
    known = COCO(
        {
            "info": {},
            "images": [{"id": number, "width": 1, "height": 1} for number in images],
            "categories": [{"id": class_id, "name": classes.names[class_id]} for class_id in class_ids],
            "annotations": [box | {"id": number, "iscrowd": 0} for number, box in enumerate(_coco(truth), 1)],
        }
    )
    scores = predictions["confidence"].to_list()
    found = known.loadRes([box | {"score": score} for box, score in zip(_coco(predictions), scores, strict=True)])
    evaluator = COCOeval_faster(known, found, iouType="bbox")
    evaluator.params.iouThrs = np.array([min_iou])
    evaluator.params.recThrs = RECALLS
    evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluator.params.maxDets = [_MOST_BOXES]
    evaluator.evaluate()
    evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])[0, :, :, 0, 0]  # [recall, class]
    # one after another: `mean` adds in another order where there is one class alone
    return np.asarray(precision.cumsum(axis=0)[-1] / len(RECALLS))


def _coco(table: pl.DataFrame) -> list[dict[str, Any]]:
    """COCO's boxes: x, y, width and height."""
    return [
        {
            "image_id": number,
            "category_id": class_id,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
        }
        for number, class_id, left, top, right, bottom in table.select("image", "class_id", *EDGES).iter_rows()
    ]


def _drawn_precision(matched: pl.DataFrame, truth: csr_array, here: Looked, resamples: int, seed: int) -> Floats:
    """The average precision of each class in each draw, as COCO computes it; an image drawn twice counts twice.

    truth: how many boxes each class has in each group, as `Looked.counts` says.
    """
    weights = bootstrap.draw_images(here.groups, resamples, seed)
    known = truth[:-1] @ weights
    drawn = np.full(known.shape, np.nan)
    class_ids, group, correct = matched["class_id"].to_numpy(), here.group(matched), matched["correct"].to_numpy()
    for class_id in np.flatnonzero(known[:, 0]):
        rows = np.flatnonzero(class_ids == class_id)
        step = max(bootstrap.AT_ONCE // max(len(rows), 1), 1)  # draws at a time
        for start in range(0, 1 + resamples, step):
            part = slice(start, start + step)
            seen = weights[group[rows], part].astype(float)
            drawn[class_id, part] = _precision(seen, correct[rows], known[class_id, part])
    return drawn


def _precision(seen: Floats, correct: npt.NDArray[np.bool_], known: Floats) -> Floats:
    """The mean of `precision_at` in each draw, NaN in one without a box of the class; arguments as there.

    A box that is right is the first to reach some of RECALLS: so many times its precision counts.
    """
    right, envelope = _envelope(seen, correct)
    first = np.flatnonzero(correct | (np.arange(len(correct)) == 0))
    reached = np.searchsorted(RECALLS, ratio(right[first], np.broadcast_to(known, right[first].shape)), side="right")
    counts = np.diff(reached, axis=0, prepend=0)
    mean = (envelope[first] * counts).sum(axis=0) / len(RECALLS)
    return np.where(known > 0, mean, np.nan)


def precision_at(seen: Floats, correct: npt.NDArray[np.bool_], known: Floats) -> Floats:
    """The precision at each of RECALLS in each draw: [recall, draw]; 0 where that much is not found.

    COCO's: the best of any threshold that finds as much. NaN in a draw without a box of the truth.
    seen: [prediction, draw], the most confident first, how often its image is drawn; known: [draw], boxes of the truth.
    """
    right, envelope = _envelope(seen, correct)
    found = np.full((len(RECALLS), len(known)), np.nan)
    for draw in np.flatnonzero(known > 0):
        at = np.searchsorted(right[:, draw] / known[draw], RECALLS, side="left")
        reached = at < len(envelope)
        found[:, draw] = 0
        found[reached, draw] = envelope[at[reached], draw]
    return found


def _envelope(seen: Floats, correct: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Down to each prediction and in each draw: how many are right, and the best precision from there on."""
    right = (seen * correct[:, np.newaxis]).cumsum(axis=0)
    precision = np.nan_to_num(ratio(right, seen.cumsum(axis=0)))
    return right, np.maximum.accumulate(precision[::-1], axis=0)[::-1]


def _per_class(classes: Taxonomy, columns: dict[str, Any]) -> pl.DataFrame:
    """A row for each class and a last one for all, with class_id null."""
    everything = pl.DataFrame({"class_id": [None], "class_name": [None]}, schema=dict(_CLASS))
    return (
        pl.concat([classes.table(), everything])
        .hstack(pl.DataFrame(columns))
        .with_columns(pl.col(pl.Float64).fill_nan(None))
    )
