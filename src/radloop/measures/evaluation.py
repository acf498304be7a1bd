"""How good is a detector on images whose truth is known, and how good would its pseudo-labels be?

Truth is a table of boxes (TRUTH): what the readers agree on (`catalog.truth`), or one reader's own. Predictions are
DETECTIONS. `images` are the ids of all images that were looked at, the normal ones among them: a box predicted there is
wrong. Intervals are those of `measures.bootstrap`.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from faster_coco_eval import COCO, COCOeval_faster

from radloop import boxes
from radloop.measures import bootstrap
from radloop.measures.bootstrap import RESAMPLES, Floats
from radloop.tables import CLASS_ID, EDGES, TRUTH
from radloop.taxonomy import Taxonomy

IOUS: Final = (0.4, 0.5)  # the competition's, and the usual one
_CLASS: Final = {"class_id": CLASS_ID, "class_name": pl.String}
_PILE: Final = ["image_id", "class_id"]
_RECALLS: Final = np.linspace(0, 1, 101)
_MOST_BOXES: Final = 1000  # of one class on one image


def of_reader(annotations: pl.DataFrame, rad_id: str) -> pl.DataFrame:
    """The boxes of one reader as TRUTH."""
    own = annotations.filter(pl.col("rad_id") == rad_id, pl.col("class_id").is_not_null())
    return own.select(TRUTH.names())


def match(predictions: pl.DataFrame, truth: pl.DataFrame, *, min_iou: float = IOUS[0]) -> pl.DataFrame:
    """Add `correct` to each prediction, the most confident first: whether it found a box that none before it found.

    COCO's rule: within image and class, in the order of confidence, each takes the free box of the truth that it
    overlaps most, if at all by `min_iou`. What is confident is matched the same with or without the rest.
    """
    ranked = predictions.sort(*_PILE, "confidence", descending=[False, False, True], maintain_order=True)
    known = truth.sort(_PILE, maintain_order=True)
    both = _piles(ranked).join(_piles(known), on=_PILE, suffix="_known").drop(_PILE)
    predicted, drawn = (table.select(EDGES).to_numpy() for table in (ranked, known))
    correct = np.zeros(ranked.height, dtype=bool)
    for first, end, first_known, end_known in both.iter_rows():
        correct[first:end] = _greedy(predicted[first:end], drawn[first_known:end_known], min_iou)
    marked = ranked.with_columns(correct=pl.Series(correct, dtype=pl.Boolean))
    return marked.sort("confidence", descending=True, maintain_order=True)


def average_precision(
    predictions: pl.DataFrame,
    truth: pl.DataFrame,
    images: Sequence[str],
    classes: Taxonomy,
    *,
    min_iou: float = IOUS[0],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """class_id, class_name, truth (boxes), predictions, ap with its interval; the last row (class_id null) is mAP.

    The average precision is faster-coco-eval's (101 recall points), over every size of box. A class without truth
    has none, and mAP is the mean over those that have one.
    """
    here = _sorted(images)
    predictions, truth = _of(here, predictions), _of(here, truth)
    drawn = _drawn_precision(match(predictions, truth, min_iou=min_iou), truth, here, classes, resamples, seed)
    drawn[:, 0] = _coco_precision(predictions, truth, classes, min_iou)
    known = ~np.isnan(drawn)
    mean = bootstrap.ratio(np.where(known, drawn, 0).sum(axis=0, keepdims=True), known.sum(axis=0, keepdims=True))
    counted = {
        name: [*np.bincount(each["class_id"].to_numpy(), minlength=len(classes)).tolist(), each.height]
        for name, each in (("truth", truth), ("predictions", predictions))
    }
    return _per_class(classes, counted | bootstrap.with_interval("ap", np.concatenate([drawn, mean])))


def pseudo_labels(
    matched: pl.DataFrame,
    truth: pl.DataFrame,
    images: Sequence[str],
    classes: Taxonomy,
    *,
    min_confidence: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """How good the predictions strictly above `min_confidence` would be as labels, by class and (null) in all.

    class_id, class_name; truth, labels and correct (boxes); precision, the share of the labels that are right, and
    recall, the share of the truth that they hold, with intervals. `matched` is what `match` returned for `truth`.
    """
    here = _sorted(images)
    weights = bootstrap.draw_images(len(here), resamples, seed)
    kept, truth = _of(here, matched).filter(pl.col("confidence") > min_confidence), _of(here, truth)
    labels, correct, known = (
        _class_sums(rows, here, classes, weights) for rows in (kept, kept.filter("correct"), truth)
    )  # [class or all, draw]
    counted = {"truth": known, "labels": labels, "correct": correct}
    return _per_class(
        classes,
        {name: drawn[:, 0].astype(np.int64) for name, drawn in counted.items()}
        | bootstrap.with_interval("precision", bootstrap.ratio(correct, labels))
        | bootstrap.with_interval("recall", bootstrap.ratio(correct, known)),
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
        "precision": bootstrap.ratio(right, labels),
        "recall": bootstrap.ratio(right, np.full(len(steps), truth.height)),
    }
    return pl.DataFrame(figures).with_columns(pl.col(pl.Float64).fill_nan(None))


def calibration(
    matched: pl.DataFrame, images: Sequence[str], *, bins: int = 10, resamples: int = RESAMPLES, seed: int = 0
) -> pl.DataFrame:
    """Is a confidence of 0.7 right in 70 % of the cases? One row per bin of confidence, empty ones included.

    low, high (a confidence of exactly `high` lies in it, so that the last bin is what is above 0.9), predictions,
    confidence (their mean), correct (the share that is right, with its interval).
    """
    here = _sorted(images)
    matched = _of(here, matched)
    weights = bootstrap.draw_images(len(here), resamples, seed)
    edges = np.arange(bins + 1) / bins
    confidence = matched["confidence"].to_numpy()
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    image = _places(matched["image_id"], here)
    ones, correct = np.ones(len(place)), matched["correct"].to_numpy()
    count, right = (bootstrap.sums(place, image, value, bins, weights) for value in (ones, correct))
    figures = {
        "low": edges[:-1],
        "high": edges[1:],
        "predictions": count[:, 0].astype(np.int64),
        "confidence": bootstrap.ratio(np.bincount(place, confidence, minlength=bins), count[:, 0]),
    }
    intervals = bootstrap.with_interval("correct", bootstrap.ratio(right, count))
    return pl.DataFrame(figures | intervals).with_columns(pl.col(pl.Float64).fill_nan(None))


def calibration_error(calibrated: pl.DataFrame) -> float | None:
    """The mean gap between confidence and share right, weighted by predictions (Guo et al. 2017); None without any."""
    predictions = int(calibrated["predictions"].sum())
    if not predictions:
        return None
    gaps = calibrated.select((pl.col("confidence") - pl.col("correct")).abs() * pl.col("predictions")).sum()
    return float(gaps.item()) / predictions


def by_reader(
    predictions: pl.DataFrame,
    annotations: pl.DataFrame,
    images: Sequence[str],
    classes: Taxonomy,
    *,
    min_iou: float = IOUS[0],
) -> pl.DataFrame:
    """mAP against each reader alone, over the images that this reader read: rad_id, images, truth, map (null: no box).

    The range says what the consensus hides: the detector is as good as the reader whom it is asked to resemble.
    """
    rows = []
    read = _of(_sorted(images), annotations)
    for rad_id in read["rad_id"].unique().sort():
        here = read.filter(pl.col("rad_id") == rad_id)["image_id"].unique().sort()
        truth = of_reader(read, rad_id)
        known = _coco_precision(_of(here, predictions), truth, classes, min_iou)
        mean = float(np.nanmean(known)) if not np.isnan(known).all() else None
        rows.append((rad_id, len(here), truth.height, mean))
    schema = {"rad_id": pl.String, "images": pl.Int64, "truth": pl.Int64, "map": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _piles(rows: pl.DataFrame) -> pl.DataFrame:
    """image_id, class_id, first, end: where the rows of each pile stand; they are sorted by it."""
    place = pl.col("place")
    placed = rows.select(*_PILE, place=pl.int_range(pl.len()))
    return placed.group_by(_PILE, maintain_order=True).agg(first=place.first(), end=place.last() + 1)


def _sorted(images: Sequence[str]) -> pl.Series:
    return pl.Series(images, dtype=pl.String).unique().sort()


def _of(images: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("image_id").is_in(images.implode()))


def _greedy(predicted: Floats, known: Floats, min_iou: float) -> npt.NDArray[np.bool_]:
    """Which of the predictions, the most confident first, finds a free box."""
    overlap = boxes.iou(predicted, known)
    correct = np.zeros(len(predicted), dtype=bool)
    for at, row in enumerate(overlap):
        best = int(row.argmax())
        if row[best] >= min_iou:
            correct[at] = True
            overlap[:, best] = -1
    return correct


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
    evaluator.params.recThrs = _RECALLS
    evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluator.params.maxDets = [_MOST_BOXES]
    evaluator.evaluate()
    evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])[0, :, :, 0, 0]  # [recall, class]
    # one after another: `mean` adds in another order where there is one class alone
    return np.asarray(precision.cumsum(axis=0)[-1] / len(_RECALLS))


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


def _drawn_precision(
    matched: pl.DataFrame, truth: pl.DataFrame, images: pl.Series, classes: Taxonomy, resamples: int, seed: int
) -> Floats:
    """The average precision of each class in each draw, as COCO computes it; an image drawn twice counts twice."""
    weights = bootstrap.draw_images(len(images), resamples, seed)
    known = _class_sums(truth, images, classes, weights)[: len(classes)]
    drawn = np.full((len(classes), 1 + resamples), np.nan)
    class_ids, image, correct = matched["class_id"].to_numpy(), _places(matched["image_id"], images), matched["correct"]
    for class_id in np.flatnonzero(known[:, 0]):
        rows = np.flatnonzero(class_ids == class_id)
        step = max(bootstrap.AT_ONCE // max(len(rows), 1), 1)  # draws at a time
        for start in range(0, 1 + resamples, step):
            part = slice(start, start + step)
            seen = weights[image[rows], part].astype(float)
            drawn[class_id, part] = _precision(seen, correct.to_numpy()[rows], known[class_id, part])
    return drawn


def _precision(seen: Floats, correct: npt.NDArray[np.bool_], known: Floats) -> Floats:
    """The average precision in each draw, NaN in one without a box of the class.

    seen: [prediction, draw], the most confident first, how often its image is drawn; known: [draw], boxes of the truth.
    """
    right = (seen * correct[:, np.newaxis]).cumsum(axis=0)
    precision = np.nan_to_num(bootstrap.ratio(right, seen.cumsum(axis=0)))
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    found = np.full(len(known), np.nan)
    for draw in np.flatnonzero(known > 0):
        at = np.searchsorted(right[:, draw] / known[draw], _RECALLS, side="left")
        reached = at < len(envelope)
        found[draw] = envelope[at[reached], draw].sum() / len(_RECALLS)
    return found


def _class_sums(rows: pl.DataFrame, images: pl.Series, classes: Taxonomy, weights: Floats) -> Floats:
    """How many rows each class has in each draw, and (last) all together: [class or all, draw]."""
    class_id = rows["class_id"].to_numpy().astype(np.int64)
    image = _places(rows["image_id"], images)
    counted = bootstrap.sums(class_id, image, np.ones(len(image)), len(classes), weights)
    return np.concatenate([counted, counted.sum(axis=0, keepdims=True)])


def _places(values: pl.Series, known: pl.Series) -> npt.NDArray[np.int64]:
    return values.cast(pl.Enum(known)).to_physical().to_numpy().astype(np.int64)


def _per_class(classes: Taxonomy, columns: dict[str, Any]) -> pl.DataFrame:
    """A row for each class and a last one for all, with class_id null."""
    everything = pl.DataFrame({"class_id": [None], "class_name": [None]}, schema=dict(_CLASS))
    return (
        pl.concat([classes.table(), everything])
        .hstack(pl.DataFrame(columns))
        .with_columns(pl.col(pl.Float64).fill_nan(None))
    )
