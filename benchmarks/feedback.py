"""How good the labels are that feedback becomes: `python benchmarks/feedback.py [--images N] [--detector onnx:tiny]`.

Made-up patients; every production image is shown to the detector once; then the labels against what two of three
readers agree on: every box above 0.9, by the rule, and after a simulated review of all of them.

`write` makes feedback files for other benchmarks, bare and indented, on IMAGES images.
"""

import argparse
import json
import os
import random
import tempfile
from pathlib import Path

import polars as pl

from radloop.catalog.rule import Rule
from radloop.engines import Local
from radloop.feedback import reading, records, retraining
from radloop.vindr.classes import TAXONOMY

IMAGES = 15_000


def write(folder: Path, names: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    directory = os.open(folder, os.O_RDONLY)
    for number in names:
        rng = random.Random(number)
        class_id = min(rng.randrange(20), 14)
        feedback = {
            "image_id": f"{number % IMAGES:032x}",
            "class_id": class_id,
            "confidence": round(rng.random(), 4),
            "bbox": None if class_id == 14 else [round(rng.uniform(0.3, 0.7), 6), 0.5, 0.2, 0.3],
            "timestamp": f"2026-01-{1 + number % 28:02}T12:{number // 28 % 60:02}:{number % 60:02}.{number:06}+00:00",
        }
        descriptor = os.open(f"{number:032x}.json", os.O_WRONLY | os.O_CREAT, dir_fd=directory)
        os.write(descriptor, json.dumps(feedback, indent=2).encode())
        os.close(descriptor)


def quality(count: int, spec: str, jobs: int) -> None:
    from radloop import detectors, options  # not above: who only makes files shall not pay for these
    from radloop.catalog import truth, version
    from radloop.pipelines import offline, reviewing
    from radloop.pipelines import retraining as pipeline
    from radloop.split_sizes import SplitSizes

    sizes = SplitSizes(training=40, validation=10, test=10, staging=10, canary=10, production=count)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        etl = options.Etl(source=f"synthetic:{count + 80}", out=out, sizes=sizes, seed=1, jobs=jobs)
        offline.etl(etl, engine=Local(jobs))
        retrain = options.Retrain(out=out, jobs=jobs)
        known = version.read(out)
        boxes, images = truth.of(known.readings.filter(split="production")), known.images.filter(split="production")
        ask(detectors.create(spec, known.taxonomy, truth=boxes), known, retrain.feedback_folder)
        print(f"{count:,} production images, {boxes.height:,} boxes that two readers agree on; detector {spec}")
        print(f"{'labels':28}{'images':>8}{'boxes':>7}{'right':>7}{'precision':>22}{'recall':>22}")

        confident = pl.col("confidence") > Rule().min_confidence
        sure = reading.read(retrain.feedback_folder, known.taxonomy).detections.filter(confident)
        tell("every box above 0.9", sure, boxes, images)
        tell("the rule", trained(pipeline.retrain(retrain)), boxes, images)
        for _ in range(2):  # the second time a third reader adjudicates
            reviewing.simulate(options.Review(out=out, simulated=True, jobs=jobs))
        tell("after a simulated review", trained(pipeline.retrain(retrain)), boxes, images)


def ask(detector, known, folder: Path) -> None:
    """One feedback on every production image."""
    from radloop.feedback.records import Detection, Feedback, Model
    from radloop.predictions import Picture

    folder.mkdir()
    shown = known.files.filter(kind="image", split="production").sort("key").unique("image_id", keep="first")
    for image_id, key in shown.select("image_id", "key").iter_rows():
        said = detector.predict(Picture(image_id, (known.root / key).read_bytes()))
        boxes = zip(said.class_ids.tolist(), said.confidences.tolist(), said.cxcywh_norm.tolist(), strict=True)
        found = [Detection(class_id=class_id, confidence=p, bbox=tuple(box)) for class_id, p, box in boxes]
        feedback = Feedback(
            image_id=image_id,
            class_id=found[0].class_id if found else TAXONOMY.nothing,
            confidence=found[0].confidence if found else 1 - said.highest_score,
            bbox=found[0].bbox if found else None,
            detections=found,
            timestamp="2026-01-02T12:00:00+00:00",
            model=Model(name=detector.name, version=detector.version),
            feedback_id=f"f-{image_id}",
        )
        records.write(folder, feedback)


def trained(done) -> pl.DataFrame:
    return retraining.from_csv((done.folder / "retrain.csv").read_bytes(), TAXONOMY)


def tell(name: str, rows: pl.DataFrame, truth: pl.DataFrame, images: pl.DataFrame) -> None:
    from radloop.catalog import judging

    figures = judging.labels(rows, truth, images, TAXONOMY)
    counts = f"{figures['labelled']:8,}{figures['labels']:7,}{figures['correct']:7,}"
    shares = [
        f"{figures[each]:.2f} ({figures[f'{each}_low']:.2f} to {figures[f'{each}_high']:.2f})"
        for each in ("precision", "recall")
        if figures[each] is not None
    ]
    print(f"{name:28}{counts}{''.join(f'{share:>22}' for share in shares)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--detector", default="onnx:tiny")
    options = parser.parse_args()
    quality(options.images, options.detector, len(os.sched_getaffinity(0)))
