"""Feedback to re-training data: time and memory beside only opening the files, and how good the labels are.

    python benchmarks/feedback.py [--files 200000] [--rounds 3] [--quality 1000] [--detector onnx:tiny]

Speed: bare five-key files, indented, on 15,000 images of which a third is held out; each measure in a process of its
own, the rounds in turns, ratios of medians. "open" opens and reads every file from Python and nothing else. "pandas" is
json.load for each file and a DataFrame of all. "read" is our reading. "retrain" is everything but the tree and
publishing: listing, reading, guard, rule, retrain.csv, and writing the cache; "again" is the same with nothing new,
"increment" with 1,000 new files.

Quality: made-up patients; every production image is shown to the detector once; then how good the labels are against
what two of three readers agree on: every box above 0.9, by the rule, and after a simulated review of all of them.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from radloop.engines import Local
from radloop.feedback import cache, guard, records, retraining, reviews

MEASURES = ("open", "pandas", "read", "retrain", "again", "increment")
IMAGES = 15_000
NEW = 1_000


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


def only_open(folder: Path) -> int:
    count = 0
    for entry in os.scandir(folder):
        with open(entry.path, "rb") as file:
            count += len(file.read()) > 0
    return count


def as_pandas(folder: Path) -> int:
    import pandas

    rows = []
    for entry in os.scandir(folder):
        with open(entry.path) as file:
            rows.append(json.load(file))
    return len(pandas.DataFrame(rows))


def retrain(folder: Path, kept: Path, images: pl.DataFrame) -> int:
    found = cache.read(folder, kept)
    decided = retraining.decide(found, guard.judge(found.feedback, images), reviews.NONE)
    retraining.csv(decided.rows)
    return sum(retraining.count(decided.fates).values())


def measure(name: str, folder: Path, kept: Path) -> None:
    """Print seconds, MB, and how many files came in."""
    splits = ("training", "test", "production")
    images = pl.DataFrame({"image_id": [f"{number:032x}" for number in range(IMAGES)]}).with_columns(
        pl.lit("0" * 16).alias("phash"),
        split=pl.Series([splits[number % 3] for number in range(IMAGES)]),
        group=pl.col("image_id"),
        md5=pl.col("image_id"),
    )
    if name == "retrain":
        kept.unlink(missing_ok=True)
    start = time.perf_counter()
    if name == "open":
        count = only_open(folder)
    elif name == "pandas":
        count = as_pandas(folder)
    elif name == "read":
        count = records.read(folder).feedback.height
    else:
        count = retrain(folder, kept, images)
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, count)


def speed(files: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, kept = Path(place) / "feedback", Path(place) / "kept.parquet"
        write(folder, range(files))
        seconds: dict[str, list[float]] = {name: [] for name in MEASURES}
        megabytes: dict[str, float] = {}
        for _ in range(rounds):
            for name in MEASURES:
                new = NEW if name == "increment" else 0
                write(folder, range(files, files + new))
                command = [sys.executable, __file__, "--measure", name, "--folder", folder, "--kept", kept]
                printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                assert int(printed[2]) == files + new, (name, printed)
                seconds[name].append(float(printed[0]))
                megabytes[name] = float(printed[1])
            for number in range(files, files + NEW):
                (folder / f"{number:032x}.json").unlink()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{files:,} files, medians of {rounds}\n{'':12}{'seconds':>9}{'/open':>8}{'/retrain':>10}{'peak MB':>9}")
    for name, value in median.items():
        shares = f"{value / median['open']:8.2f}{value / median['retrain']:10.2f}"
        print(f"{name:12}{value:9.2f}{shares}{megabytes[name]:9.0f}")


def quality(count: int, spec: str, jobs: int) -> None:
    from radloop import detectors  # not above: what is measured there shall not pay for these
    from radloop.dataset import version
    from radloop.dataset.splits import SplitSizes
    from radloop.measures import evaluation
    from radloop.pipelines import offline, reviewing
    from radloop.pipelines import retraining as pipeline

    sizes = SplitSizes(training=40, validation=10, test=10, staging=10, canary=10, production=count)
    with tempfile.TemporaryDirectory() as place:
        out, store = Path(place) / "out", str(Path(place) / "store")
        parts = {"feedback": out / "feedback", "reviewed": out / "reviews", "dataset": out}
        offline.etl(
            f"synthetic:{count + 80}",
            out,
            store,
            extracting={"seed": 1, "jobs": jobs},
            transforming={"sizes": sizes},
            engine=Local(jobs),
        )
        known = version.read(out)
        truth = evaluation.consensus(known.readings.filter(split="production"))
        ask(detectors.create(spec, truth=truth), known, parts["feedback"])
        print(f"{count:,} production images, {truth.height:,} boxes that two readers agree on; detector {spec}")
        print(f"{'labels':28}{'images':>8}{'boxes':>7}{'right':>7}{'precision':>22}{'recall':>22}")

        sure = records.read(parts["feedback"]).detections.filter(pl.col("confidence") > retraining.MIN_CONFIDENCE)
        tell("every box above 0.9", sure, truth)
        tell("the rule", trained(pipeline.retrain(out, store, **parts)), truth)
        for _ in range(2):  # the second time a third reader adjudicates
            reviewing.simulate(out, **parts)
        tell("after a simulated review", trained(pipeline.retrain(out, store, **parts)), truth)


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
            class_id=found[0].class_id if found else 14,
            confidence=found[0].confidence if found else 1 - said.highest_score,
            bbox=found[0].bbox if found else None,
            detections=found,
            timestamp="2026-01-02T12:00:00+00:00",
            model=Model(name=detector.name, version=detector.version),
            feedback_id=f"f-{image_id}",
        )
        records.write(folder, feedback)


def trained(done) -> pl.DataFrame:
    return retraining.from_csv((done.folder / "retrain.csv").read_bytes())


def tell(name: str, rows: pl.DataFrame, truth: pl.DataFrame) -> None:
    from radloop.pipelines import evaluating

    figures = evaluating.labels(rows, truth)
    counts = f"{figures['images']:8,}{figures['labels']:7,}{figures['correct']:7,}"
    shares = [
        f"{figures[each]:.2f} ({figures[f'{each}_low']:.2f} to {figures[f'{each}_high']:.2f})"
        for each in ("precision", "recall")
        if figures[each] is not None
    ]
    print(f"{name:28}{counts}{''.join(f'{share:>22}' for share in shares)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quality", type=int, default=1_000)
    parser.add_argument("--detector", default="onnx:tiny")
    parser.add_argument("--measure", choices=MEASURES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.folder, options.kept)
    else:
        if options.files:
            speed(options.files, options.rounds)
        if options.quality:
            quality(options.quality, options.detector, len(os.sched_getaffinity(0)))
