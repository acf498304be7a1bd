"""How good is a detector on made-up pictures that it never saw? Beside it, the detector that never looks.

python training/measure.py [onnx:tiny …]        (no torch needed; docs/detectors.md holds the outcome)
"""

import argparse
from collections.abc import Iterator

import numpy as np
import polars as pl

from radloop import boxes, detectors
from radloop.catalog.rule import Rule
from radloop.measures import evaluation
from radloop.predictions import LOW_CONFIDENCE, Detector, Picture, Predictions
from radloop.sources import synthetic
from radloop.tables import DETECTIONS, EDGES, TRUTH
from radloop.vindr import film
from radloop.vindr.classes import TAXONOMY

SEED = 9_001  # not train.py's, the demo's or the tests'
SIDE = 1024  # as Kaggle's pictures
LEAST = 0.01  # the confidence above which boxes are looked at
SURE = Rule().min_confidence
FREQUENT = (0, 3, 10, 11, 13)  # on the most images: half of all findings


def films(count: int) -> Iterator[tuple[Picture, synthetic.Patient]]:
    for index in range(count):
        known = synthetic.patient(index, seed=SEED)
        yield Picture(known.image_id, film.encode(synthetic.picture(known, side_px=SIDE))), known


def rows(image_id: str, said: Predictions) -> pl.DataFrame:
    """What was said of one image, as DETECTIONS."""
    corners = boxes.cxcywh_to_xyxy(said.cxcywh_norm)
    named = zip(EDGES, corners.T, strict=True)
    columns = {"class_id": said.class_ids, "confidence": said.confidences, **dict(named)}
    same = {"feedback_id": pl.lit(image_id), "image_id": pl.lit(image_id)}
    return pl.DataFrame(columns).with_columns(**same).select(DETECTIONS.names()).cast(dict(DETECTIONS))


def report(detector: Detector, said: pl.DataFrame, truth: pl.DataFrame, images: list[str]) -> None:
    precision = evaluation.average_precision(said, truth, images, TAXONOMY)
    of_all = precision.filter(pl.col("class_id").is_null()).row(0, named=True)
    frequent = precision.filter(pl.col("class_id").is_in(FREQUENT))["ap"].mean()
    matched = evaluation.match(said, truth)
    shown = matched.filter(pl.col("confidence") > detectors.MIN_CONFIDENCE)
    sure = shown.filter(pl.col("confidence") > SURE)
    error = evaluation.calibration_error(evaluation.calibration(shown, images))
    print(f"\n{detector.name} {detector.version}: {len(images)} images, {truth.height} boxes")
    print(
        f"mAP@0.4 of the boxes above {LEAST}: {of_all['ap']:.3f} ({of_all['ap_low']:.3f} to {of_all['ap_high']:.3f}), "
        f"frequent {frequent:.3f}"
    )
    for cut in (LOW_CONFIDENCE, detectors.MIN_CONFIDENCE):
        kept = evaluation.average_precision(said.filter(pl.col("confidence") > cut), truth, images, TAXONOMY)
        print(f"of those above {cut}: {kept['ap'][-1]:.3f}")
    print(
        f"above {detectors.MIN_CONFIDENCE}: {shown.height} boxes, {shown['correct'].mean():.2f} right, recall "
        f"{shown['correct'].sum() / truth.height:.2f}, calibration error {error:.3f}"
    )
    print(f"above {SURE}: {sure.height} boxes, {sure['correct'].sum()} right")
    with pl.Config(tbl_rows=20, tbl_cols=8, tbl_hide_dataframe_shape=True):
        print(precision.select("class_name", "truth", "predictions", pl.col("ap").round(3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detectors", nargs="*", default=["onnx:tiny", "random"])
    parser.add_argument("--images", type=int, default=600)
    arguments = parser.parse_args()
    asked = [detectors.create(spec, TAXONOMY, min_confidence=LEAST) for spec in arguments.detectors]
    said: list[list[pl.DataFrame]] = [[] for _ in asked]
    known = []
    for picture, truth in films(arguments.images):
        known.append(truth)
        for detector, tables in zip(asked, said, strict=True):
            tables.append(rows(picture.image_id, detector.predict(picture)))
    boxes_of_all = [
        (each.image_id, class_id, *box)
        for each in known
        for class_id, box in zip(each.classes.tolist(), np.clip(each.boxes, 0, 1).tolist(), strict=True)
    ]
    truth_table = pl.DataFrame(boxes_of_all, schema=TRUTH, orient="row")
    for detector, tables in zip(asked, said, strict=True):
        report(detector, pl.concat(tables), truth_table, [each.image_id for each in known])


if __name__ == "__main__":
    main()
