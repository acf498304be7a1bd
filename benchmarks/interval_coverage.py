"""How often does a 95 % interval cover the truth, by how many boxes a class has?

    python -m benchmarks.interval_coverage [--datasets 1000]

Each dataset has three classes of 5 to 500 boxes, one to three images a patient, and a detector of its own: how much it
finds, how that differs between images (so that the boxes of an image go together), how often it is wrong, how sure. The
truth of each figure is that of the same detector on 28,000 boxes of a class as frequent. Where a measure says "too
few", it makes no claim; how often it does stands beside the coverage.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop.measures import bootstrap, compared, curves, evaluation
from radloop.measures.compared import Side
from radloop.tables import DETECTIONS, TRUTH
from radloop.taxonomy import Taxonomy

CLASSES: Final = Taxonomy(("common", "less common", "rare"))
SHARES: Final = (1.0, 0.4, 0.15)  # of the most common class's boxes
BANDS: Final = ((5, 20), (20, 50), (50, 150), (150, 501))  # boxes of a class
THRESHOLD: Final = 0.5
RATE: Final = 1 / 8  # false boxes an image, of the sensitivity
LARGE: Final = 20_000  # images with the class: their figures are taken as the truth
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Detector:
    """How a made-up detector answers."""

    finds: float  # the share of boxes
    spread: float  # of the log odds of that between images
    wrong: float  # boxes a normal class of an image
    sure: tuple[float, float]  # first parameters of the Beta distributions of its confidence, right and wrong


@dataclass(frozen=True)
class Drawn:
    """Boxes of one class: their image, and of the predictions the confidence and whether they are right."""

    truth: npt.NDArray[np.int64]
    image: npt.NDArray[np.int64]
    confidence: Floats
    found: npt.NDArray[np.bool_]


def a_detector(rng: np.random.Generator) -> Detector:
    return Detector(
        rng.uniform(0.3, 0.95), rng.uniform(0, 1.5), rng.uniform(0.02, 0.3), (rng.uniform(2, 5), rng.uniform(1, 2.5))
    )


def draw(rng: np.random.Generator, detector: Detector, images: int, positive: int) -> Drawn:
    """One class on `images` images, `positive` of which have it."""
    held = np.zeros(images, dtype=np.int64)
    held[rng.permutation(images)[:positive]] = 1 + rng.poisson(0.4, positive)
    return answer(rng, detector, images, np.repeat(np.arange(images), held))


def answer(rng: np.random.Generator, detector: Detector, images: int, truth: npt.NDArray[np.int64]) -> Drawn:
    """What the detector says where each box of the truth lies on one of `images` images."""
    odds = np.log(detector.finds / (1 - detector.finds)) + rng.normal(0, detector.spread, images)[truth]
    right = truth[rng.random(len(truth)) < 1 / (1 + np.exp(-odds))]
    wrong = np.repeat(np.arange(images), rng.poisson(detector.wrong, images))
    confidence = np.concatenate([rng.beta(detector.sure[0], 2, len(right)), rng.beta(detector.sure[1], 4, len(wrong))])
    return Drawn(truth, np.concatenate([right, wrong]), confidence, np.arange(len(confidence)) < len(right))


def figures_of(drawn: Drawn, images: int) -> dict[str, float]:
    """The figures without intervals, straight from the counts."""
    order = np.argsort(-drawn.confidence, kind="stable")
    right, wrong = (np.cumsum(each[order]) for each in (drawn.found, ~drawn.found))
    above = drawn.confidence > THRESHOLD
    seen, known = np.ones((len(order), 1)), np.array([float(len(drawn.truth))])
    return {
        "ap": float(evaluation._precision(seen, drawn.found[order], known)[0]),
        "precision": float(drawn.found[above].mean()),
        "recall": float((drawn.found & above).sum() / len(drawn.truth)),
        "sensitivity": float(right[wrong <= RATE * images][-1] / len(drawn.truth)),
    }


def tables(classes: list[Drawn]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Predictions and truth. Every box of an image has a place of its own; a right one lies on its box of the truth."""
    truth, predictions = [], []
    for class_id, drawn in enumerate(classes):
        place = _numbered(drawn.truth)
        truth.append(_boxes(class_id, drawn.truth, place).select(TRUTH.names()))
        found = drawn.found
        # which of an image's boxes was found makes no difference: the first ones
        at = np.where(found, _numbered(drawn.image, found), 60 + _numbered(drawn.image, ~found))
        predictions.append(
            _boxes(class_id, drawn.image, at).with_columns(
                feedback_id=pl.lit("f"), confidence=pl.Series(drawn.confidence)
            )
        )
    return pl.concat(predictions).select(DETECTIONS.names()).cast(dict(DETECTIONS)), pl.concat(truth).cast(dict(TRUTH))


def _numbered(image: npt.NDArray[np.int64], among: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
    """0, 1, … for the rows of each image, or for those that are `among` them."""
    table = pl.DataFrame({"image": image, "among": True if among is None else among}).with_columns(
        pl.col("among").cum_sum().over("image") - 1
    )
    return table["among"].cast(pl.Int64).to_numpy()


def _boxes(class_id: int, image: npt.NDArray[np.int64], place: npt.NDArray[np.int64]) -> pl.DataFrame:
    left, top = place % 12 / 12, place // 12 / 12
    edges = {"x_min_norm": left, "y_min_norm": top, "x_max_norm": left + 0.07, "y_max_norm": top + 0.07}
    return pl.DataFrame({"image_id": image, "class_id": [class_id] * len(image)} | edges).with_columns(
        pl.col("image_id").cast(pl.String)
    )


def one(rng: np.random.Generator, counts: dict[tuple[str, tuple[int, int]], list[str]]) -> None:
    """Judge one dataset, and note of each figure whether its interval covers the truth."""
    detector = a_detector(rng)
    most = int(np.exp(rng.uniform(np.log(5), np.log(360))))
    positive = [max(round(share * most), 4) for share in SHARES]
    images = 4 * most + 20
    large = [LARGE * images // each for each in positive]
    truths = [figures_of(draw(rng, detector, number, LARGE), number) for number in large]
    classes = [draw(rng, detector, images, each) for each in positive]
    sizes = rng.choice([1, 1, 2, 3], images)
    group = np.searchsorted(np.cumsum(sizes), rng.permutation(images), side="right")
    looked = pl.DataFrame({"image_id": np.arange(images), "group": group}).cast(pl.String)
    predictions, known = tables(classes)
    precision = evaluation.average_precision(predictions, known, looked, CLASSES)
    matched = evaluation.match(predictions, known)
    labels = evaluation.pseudo_labels(matched, known, looked, CLASSES, min_confidence=THRESHOLD)
    froc = curves.froc(matched, known, looked, CLASSES, cut=0.0).sensitivity.filter(rate=RATE)
    for name, table in (("ap", precision), ("precision", labels), ("recall", labels), ("sensitivity", froc)):
        for row in table.filter(pl.col("class_id").is_not_null()).iter_rows(named=True):
            counts[name, _band(row["truth"])].append(_covers(row, name, truths[row["class_id"]][name]))
    mean = float(np.mean([truth["ap"] for truth in truths]))
    counts["mAP", _band(known.height)].append(_covers(precision.row(-1, named=True), "ap", mean))
    beside(rng, classes, truths, looked, counts)


def beside(
    rng: np.random.Generator,
    classes: list[Drawn],
    truths: list[dict[str, float]],
    looked: pl.DataFrame,
    counts: dict[tuple[str, tuple[int, int]], list[str]],
) -> None:
    """The same of the difference to another detector on the same images; `classes` is what the first one said."""
    other, images = a_detector(rng), looked.height
    positive = [len(np.unique(drawn.truth)) for drawn in classes]
    large = [LARGE * images // each for each in positive]
    others = [figures_of(draw(rng, other, number, LARGE), number) for number in large]
    said = tables(classes), tables([answer(rng, other, images, drawn.truth) for drawn in classes])
    sides = [Side(predictions, evaluation.match(predictions, known), known, 0.0) for predictions, known in said]
    found = compared.compare(*sides, looked, CLASSES, min_confidence=THRESHOLD)
    asked = pl.col("class_id").is_not_null(), pl.col("figure").is_in(["ap", "recall"])
    for row in found.filter(*asked).iter_rows(named=True):
        name = str(row["figure"])
        truth = others[row["class_id"]][name] - truths[row["class_id"]][name]
        counts[f"difference of {name}", _band(row["truth_first"])].append(_covers(row, "difference", truth))


def _band(boxes: int) -> tuple[int, int]:
    return next((band for band in BANDS if boxes < band[1]), BANDS[-1])


def _covers(row: dict[str, float | None], name: str, truth: float) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None:
        return "too few"
    return "below" if truth < low else "above" if truth > high else "covers"


def coverage(datasets: int, seed: int = 0) -> pl.DataFrame:
    """figure, boxes, intervals and too_few (how many); covers, below, above: the shares of where the truth lies."""
    counts: dict[tuple[str, tuple[int, int]], list[str]] = defaultdict(list)
    rng = np.random.default_rng(seed)
    for _ in range(datasets):
        one(rng, counts)
    rows = []
    for (name, (least, most)), said in sorted(counts.items()):
        told = [each for each in said if each != "too few"]
        shares = [told.count(each) / len(told) if told else None for each in ("covers", "below", "above")]
        rows.append((name, f"{least} to {most - 1}", len(told), len(said) - len(told), *shares))
    return pl.DataFrame(rows, ["figure", "boxes", "intervals", "too_few", "covers", "below", "above"], orient="row")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, default=1000)
    given = parser.parse_args()
    print(f"{given.datasets} datasets, {bootstrap.RESAMPLES} draws")
    for name, boxes, told, few, *shares in coverage(given.datasets).iter_rows():
        said = "  ".join("" if share is None else f"{share:6.1%}" for share in shares)
        print(f"{name:20} {boxes:>10} boxes {told:6} intervals, {few:6} too few; covers, truth below, above: {said}")


if __name__ == "__main__":
    main()
