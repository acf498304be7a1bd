"""How many planted label errors are among the first suspects: `python -m benchmarks.suspects [--images 3000]`.

Made-up patients; the labels are what two of three readers agree on. In every label 5 % of the boxes are left out, 5 %
get another class, 5 % another place (IoU 0.1 to 0.4 with the old one), and 5 % as many are added where nothing is. A
third of the images is held out, with the same errors: by these a detector is known. The others are ranked, an image by
the most suspected place.

Of the first 50 and 100 images: on how many there is an error (precision), how many of all images with one these are
(recall), and how often the kind of the suspicion is that of an error there; beside a chance order, and beside
cleanlab's label quality for object detection (Tkachenko et al. 2023) where it is installed.
"""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl

from radloop import boxes, detectors
from radloop.catalog import truth
from radloop.catalog.rule import Rule
from radloop.detectors.oracle import Oracle
from radloop.feedback import reliability, suspects
from radloop.predictions import Detector, Picture
from radloop.sources import synthetic
from radloop.tables import DETECTIONS, EDGES, FEEDBACK, TRUTH
from radloop.vindr import anatomy, canvas
from radloop.vindr.classes import TAXONOMY

SEED: Final = 19
DETECTORS: Final = ("oracle:0.3", "oracle:0.6", "oracle:1", "onnx:tiny")
FIRST: Final = (50, 100)
SHARE: Final = 0.05
HELD_OUT: Final = 1 / 3
DROPPED, ADDED, SWAPPED, SHIFTED = suspects.MISSED, suspects.ALONE, suspects.CLASS, suspects.PLACED  # as they should be
KINDS: Final = (DROPPED, ADDED, SWAPPED, SHIFTED)
NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Planted:
    """Labels with errors, and where they are."""

    labels: pl.DataFrame  # one reader's rows (image_id, rad_id, class_id, EDGES); class null: nothing found
    errors: pl.DataFrame  # image_id, suspicion: the kind that it should be suspected of


def plant(known: pl.DataFrame, image_ids: pl.Series, rng: np.random.Generator) -> Planted:
    """The labels `known` (TRUTH) of `image_ids` with errors."""
    known = known.sort(TRUTH.names())
    each = max(1, round(SHARE * known.height))
    chosen = rng.permutation(known.height)[: 3 * each].reshape(3, each)
    kind = np.full(known.height, "", dtype=object)
    kind[chosen[0]], kind[chosen[1]], kind[chosen[2]] = DROPPED, SWAPPED, SHIFTED
    rows, errors = [], []
    for row, what in zip(known.iter_rows(), kind, strict=True):
        image_id, class_id, *box = row
        if what:
            errors.append((image_id, what))
        if what == SWAPPED:
            class_id = int(rng.choice([other for other in range(len(TAXONOMY)) if other != class_id]))
        if what == SHIFTED:
            box = shifted(np.array(box), rng)
        if what != DROPPED:
            rows.append((image_id, class_id, *box))
    for image_id in rng.choice(image_ids.to_list(), each, replace=False):
        class_id = int(rng.integers(len(TAXONOMY)))
        rows.append((image_id, class_id, *anatomy.place(anatomy.anatomy(image_id), class_id, rng)))
        errors.append((image_id, ADDED))
    drawn = pl.DataFrame(rows, schema=TRUTH, orient="row")
    normal = (
        image_ids.to_frame().join(drawn, on="image_id", how="anti").match_to_schema(TRUTH, missing_columns="insert")
    )
    labels = pl.concat([drawn, normal]).with_columns(rad_id=pl.lit("R0"))
    return Planted(labels, pl.DataFrame(errors, schema=["image_id", "suspicion"], orient="row"))


def shifted(box: np.ndarray, rng: np.random.Generator) -> list[float]:
    """The box elsewhere, so that it overlaps itself by 0.1 to 0.4."""
    sides = np.tile(box[2:] - box[:2], 2)
    while True:
        moved = box + np.tile(rng.uniform(-1, 1, 2), 2) * sides
        if 0.1 <= boxes.iou(box, moved)[0, 0] < 0.4:
            return moved.tolist()


def said(spec: str, known: pl.DataFrame, image_ids: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """FEEDBACK of a detector that knows the truth `known`, or is shown the pictures, and every box of it."""
    kind, _, noise = spec.partition(":")
    if kind == "oracle":
        detector: Detector = Oracle(known, TAXONOMY, noise=float(noise), min_confidence=Rule.doubtful)
    else:
        detector = detectors.create(spec, TAXONOMY)
    found, tops = [], []
    for index, image_id in enumerate(image_ids):
        drawn = b"" if kind == "oracle" else canvas.encode(synthetic.picture(synthetic.patient(index, seed=SEED)))
        answer = detector.predict(Picture(image_id, drawn))
        for part in (answer, answer.low):
            corners = boxes.cxcywh_to_xyxy(part.cxcywh_norm).reshape(-1, 4).tolist()
            told = zip(part.class_ids.tolist(), part.confidences.tolist(), corners, strict=True)
            found += [(image_id, image_id, class_id, sure, *box) for class_id, sure, box in told]
        tops.append({"feedback_id": image_id, "image_id": image_id, "model": "m", "model_version": "1"})
    feedback = pl.DataFrame(tops, schema=FEEDBACK).with_columns(complete=pl.lit(value=True), timestamp=pl.lit(NOON))
    return feedback, pl.DataFrame(found, schema=DETECTIONS, orient="row")


def ranked(planted: Planted, feedback: pl.DataFrame, found: pl.DataFrame, test: pl.Series) -> pl.DataFrame:
    """SUSPECTS of the images that are not held out, the first of each image."""
    split = pl.when(pl.col("image_id").is_in(test.implode())).then(pl.lit("test")).otherwise(pl.lit("training"))
    judged = feedback.with_columns(split=split, other_picture=pl.lit(value=False))
    known = reliability.of(judged, found, planted.labels)
    rest = judged.filter(split="training")
    listed = suspects.find(rest, found, planted.labels, known)
    return listed.unique("image_id", keep="first", maintain_order=True)


def by_cleanlab(planted: Planted, found: pl.DataFrame, image_ids: pl.Series) -> pl.Series | None:
    """The images by cleanlab's label quality, the worst first; those without a label, which it cannot take, are last.

    None where it is not installed.
    """
    try:
        from cleanlab.object_detection.rank import get_label_quality_scores
    except ImportError:
        return None
    drawn = planted.labels.filter(pl.col("class_id").is_not_null())
    own = [image_id for image_id in image_ids if image_id in set(drawn["image_id"])]
    of_image = {str(image_id): rows for (image_id,), rows in drawn.group_by("image_id")}
    said_of = {str(image_id): rows for (image_id,), rows in found.group_by("image_id")}
    labels, answers = [], []
    for image_id in own:
        rows, told = of_image[image_id], said_of.get(image_id, found.clear())
        labels.append({"bboxes": rows.select(EDGES).to_numpy() * 1024, "labels": rows["class_id"].to_numpy()})
        corners = np.column_stack([told.select(EDGES).to_numpy() * 1024, told["confidence"].to_numpy()])
        answers.append(
            np.array([corners[told["class_id"].to_numpy() == one] for one in range(len(TAXONOMY))], dtype=object)
        )
    quality = get_label_quality_scores(labels, answers, verbose=False)
    order = [own[place] for place in np.argsort(quality, kind="stable")]
    return pl.Series("image_id", order, dtype=pl.String)


def tell(spec: str, planted: Planted, listed: pl.DataFrame, peer: pl.Series | None, image_ids: pl.Series) -> None:
    """Print what is among the first places."""
    errors = planted.errors.filter(pl.col("image_id").is_in(image_ids.implode()))
    wrong = set(errors["image_id"])
    print(f"\n{spec}: {len(image_ids):,} images, {len(wrong):,} with an error; {listed.height:,} suspected at all")
    for first in FIRST:
        head = listed.head(first)
        hits = head.filter(pl.col("image_id").is_in(list(wrong)))
        kinds = hits.join(errors, on=["image_id", "suspicion"], how="semi")
        chance = len(wrong) / len(image_ids)
        shares = f"precision {hits.height / first:.2f}, recall {hits.height / len(wrong):.2f}"
        line = f"{shares}, of the right kind {kinds.height} of {hits.height}"
        by_peer = "not installed" if peer is None else f"{len(wrong & set(peer.head(first))) / first:.2f}"
        print(f"  first {first:3}: {line}; by chance {chance:.2f}; cleanlab {by_peer}")
    for kind in KINDS:
        own = set(errors.filter(suspicion=kind)["image_id"])
        found = len(own & set(listed.head(FIRST[-1])["image_id"]))
        by_peer = "" if peer is None else f"; cleanlab {len(own & set(peer.head(FIRST[-1])))}"
        print(f"    {kind:24} {len(own):3} images, {found:3} among the first {FIRST[-1]}{by_peer}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--detector", action="append", help="another than the usual four; repeatable")
    options = parser.parse_args()
    readings = synthetic.readings(options.images, seed=SEED)
    image_ids = pl.Series("image_id", [synthetic.image_id(index, seed=SEED) for index in range(options.images)])
    known = truth.of(readings)
    planted = plant(known, image_ids, np.random.default_rng(SEED))
    test = image_ids.head(round(HELD_OUT * options.images))
    rest = image_ids.tail(options.images - len(test))
    for spec in options.detector or DETECTORS:
        feedback, found = said(spec, known, image_ids)
        tell(spec, planted, ranked(planted, feedback, found, test), by_cleanlab(planted, found, rest), rest)


if __name__ == "__main__":
    main()
