"""What do the policies of re-training make of one feedback, against what was truly drawn?

    python -m benchmarks.policies OUT [--images 600] [--detector onnx:tiny] [--oracle 3000] [--coverage 1000]

One dataset of generated patients, a third of them in validation and a half in production; the detector is shown both
once. Then every policy decides over the same feedback, and its labels on production are judged against the boxes that
the generator drew: no reader's, so that a label is right or wrong. With --oracle: the same without pictures, of many
more patients, by a detector that knows the truth and errs like a radiologist. With --coverage: how often a
threshold's labels are truly worse than the wish, over so many drawn sets of validation boxes.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from radloop.boxes import cxcywh_to_xyxy
from radloop.catalog import judging, proven, version
from radloop.catalog.rule import Rule
from radloop.detectors.oracle import Oracle
from radloop.feedback import guard, reading, retraining, reviews
from radloop.feedback.rows import Records
from radloop.options import Etl, Simulate
from radloop.pipelines import demo, offline, online
from radloop.predictions import Picture
from radloop.sources import synthetic
from radloop.split_sizes import SplitSizes
from radloop.tables import DETECTIONS, FEEDBACK, REFUSED_FILES, TRUTH
from radloop.taxonomy import Taxonomy
from radloop.vindr.classes import TAXONOMY as VINDR

RULES: Final = {
    "threshold": Rule(),
    **{f"calibrated, wish {wish:g}": Rule(policy="calibrated", precision=wish) for wish in (0.9, 0.8, 0.7, 0.6)},
}
SECONDS: Final = 20.0
NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """Feedback, and what is known of its images."""

    found: Records
    said: pl.DataFrame  # the same with JUDGED
    readings: pl.DataFrame
    images: pl.DataFrame
    truth: pl.DataFrame  # as it was drawn
    classes: Taxonomy


def loop(out: Path, images: int, detector: str, *, seed: int = 0) -> None:
    """Build the dataset under `out`, and show validation and production to the detector."""
    rest = images // 20
    sizes = {"validation": images // 3, "test": rest, "staging": rest, "canary": rest, "production": images // 2}
    sizes["training"] = images - sum(sizes.values())
    told = SplitSizes.parse(",".join(f"{split}={count}" for split, count in sizes.items()))
    offline.run(Etl(out=out, source=f"synthetic:{images}", sizes=told, seed=seed, jobs=2))
    rate = round(1.5 * (sizes["validation"] + sizes["production"]) / SECONDS)
    hospital = Simulate(out=out, splits=("validation", "production"), detector=detector, seed=seed, jobs=2)
    online.simulate(replace(hospital, arrival=f"poisson:{rate}", load_pattern="1", stage_seconds=SECONDS))


def drawn(images: int, *, seed: int = 0) -> pl.DataFrame:
    """TRUTH: what the generator drew."""
    rows = [
        (known.image_id, int(class_id), *np.clip(box, 0, 1).tolist())
        for known in (synthetic.patient(index, seed=seed) for index in range(images))
        for class_id, box in zip(known.classes, known.boxes, strict=True)
    ]
    return pl.DataFrame(rows, schema=TRUTH, orient="row")


def played(out: Path, *, seed: int = 0) -> Case:
    """What came of `loop`."""
    known = version.read(out)
    found = reading.read(out / "feedback", known.taxonomy)
    truth = drawn(known.own_images.height, seed=seed)
    return Case(found, guard.judge(found.feedback, known.guarded), known.readings, known.images, truth, known.taxonomy)


def told(patients: int, *, noise: float, seed: int = 0) -> Case:
    """The same of an oracle that errs like a radiologist, without pictures: a quarter of them validate."""
    truth, readings = drawn(patients, seed=seed), synthetic.readings(patients, seed=seed)
    oracle = Oracle(truth, VINDR, noise=noise, seed=seed, min_confidence=0.25)
    ids = [synthetic.image_id(index, seed=seed) for index in range(patients)]
    splits = ["validation" if index < patients // 4 else "production" for index in range(patients)]
    images = pl.DataFrame({"image_id": ids, "split": splits, "group": ids, "md5": ids}).with_columns(
        phash=pl.lit(None, pl.String)
    )
    known = {"model": oracle.name, "model_version": oracle.version, "complete": True, "timestamp": NOON}
    feedback = [{"feedback_id": one, "image_id": one, "file": one, **known} for one in ids]
    boxes = []
    for one in ids:
        said = oracle.predict(Picture(one, b""))
        corners = cxcywh_to_xyxy(said.cxcywh_norm).tolist()
        boxes += [
            (one, one, *box, *edges)
            for box, edges in zip(
                zip(said.class_ids.tolist(), said.confidences.tolist(), strict=True), corners, strict=True
            )
        ]
    found = Records(
        pl.DataFrame(feedback, schema=FEEDBACK),
        pl.DataFrame(boxes, schema=DETECTIONS, orient="row"),
        REFUSED_FILES.to_frame(),
    )
    grouped = readings.with_columns(group="image_id")
    return Case(found, guard.judge(found.feedback, images), grouped, images, truth, VINDR)


def judged(case: Case) -> list[dict[str, Any]]:
    """By policy: what it made of the feedback, and how good that is on the images of production."""
    here = case.images.filter(split="production").join(case.found.feedback, on="image_id", how="semi")
    rows = []
    for name, asked in RULES.items():
        rule = proven.by(asked, case.said, case.found.every_box, case.readings)
        learned = retraining.decide(case.found, case.said, reviews.NONE, rule, synthetic=True).rows
        parts = {"YOLO, --add": learned.filter("trains")}
        if rule.policy == "calibrated":
            parts["COCO"] = learned.filter(~pl.col("ignore"))
        for kind, labels in parts.items():
            row = {
                "policy": name,
                "for": kind,
                "proven": len({one.class_id for one in rule.thresholds if one.above is not None}),
                "regions": learned.filter("ignore").height if kind == "COCO" else 0,
            }
            rows.append(row | judging.labels(labels, case.truth, here, case.classes))
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    head = (
        "policy",
        "for",
        "classes with a threshold",
        "images labelled",
        "labels",
        "right",
        "precision",
        "recall",
        "regions",
    )
    lines = [head, ("---", "---", *["--:"] * 7)]
    for one in rows:
        every = f"{one['proven']}" if one["policy"] != "threshold" else "all"
        counted = (f"{one[name]:,}" for name in ("labelled", "labels", "correct"))
        shares = (_share(one, name) for name in ("precision", "recall"))
        lines.append((one["policy"], one["for"], every, *counted, *shares, f"{one['regions']:,}"))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _share(row: dict[str, Any], name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return "–"
    return f"{value:.2f} ({low:.2f}–{high:.2f})" if low is not None else f"{value:.2f} (too few)"


def coverage(sets: int, *, boxes: int = 400, wish: float = 0.875, seed: int = 0) -> dict[str, float]:
    """Of drawn sets of one class: the share with a threshold, and with one whose labels are truly worse than the wish.

    A box of confidence c, evenly between 0.25 and 1, is right with probability (1 + c) / 2, so that of those above a
    threshold t a share of (3 + t) / 4 is: the wish holds from 4 * wish - 3 on.
    """
    rng, found, wrong = np.random.default_rng(seed), 0, 0
    for _ in range(sets):
        confidence = rng.uniform(0.25, 1, boxes)
        correct = rng.random(boxes) < (1 + confidence) / 2
        ids = [f"i{number}" for number in range(boxes)]
        matched = pl.DataFrame({"image_id": ids, "class_id": 0, "confidence": confidence, "correct": correct})
        images = pl.DataFrame({"image_id": ids, "group": ids, "readers": 2})
        none = DETECTIONS.to_frame()
        here = judging.Matched(none, images, none, TRUTH.to_frame(), matched, None)
        (one,) = proven.thresholds(("drawn", "1"), here, Rule(policy="calibrated", precision=wish))
        found += one.above is not None
        wrong += one.above is not None and (3 + one.above) / 4 < wish
    return {"with a threshold": found / sets, "with one below the wish": wrong / sets}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies", description=__doc__)
    parser.add_argument("out", type=Path, help="an empty folder, or one of an earlier run")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--detector", default=demo.DETECTOR)
    parser.add_argument("--oracle", type=int, default=0, metavar="PATIENTS")
    parser.add_argument("--coverage", type=int, default=0, metavar="SETS")
    given = parser.parse_args()
    if not (given.out / "feedback").is_dir():
        loop(given.out, given.images, given.detector)
    print(table(judged(played(given.out))))
    if given.oracle:
        print(f"\nan oracle with a radiologist's errors, {given.oracle:,} patients, a quarter of them in validation\n")
        print(table(judged(told(given.oracle, noise=1.0))))
    if given.coverage:
        print({name: f"{share:.1%}" for name, share in coverage(given.coverage).items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
