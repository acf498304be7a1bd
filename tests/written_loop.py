"""A whole loop in one folder, its tables and files written directly: for any classes, also many, in a second."""

import json
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from radloop import manifest, sums, tree
from radloop.catalog import version
from radloop.catalog.rule import KEY, Rule
from radloop.feedback import reading, records, retraining, reviews
from radloop.feedback.guard import judge
from radloop.options import Dashboard
from radloop.tables import ANNOTATIONS, EDGES, MANIFEST
from radloop.taxonomy import Taxonomy

READERS = ("R1", "R2", "R10")
SPLITS = ("training",) * 5 + ("validation", "test", "staging", "canary", "production", "production", "production")
SIDE_PX = 64


def run(out: Path, classes: Taxonomy, *, images: int = 48, rule: Rule | None = None) -> Dashboard:
    """`images` radiographs of noise, read by two of three readers each; feedback on those outside training."""
    rng = np.random.default_rng(0)
    root = out / "organized"
    rows, files = [], []
    for number in range(images):
        image_id, split = f"image{number:03}", SPLITS[number % len(SPLITS)]
        picture = _picture(root / split / "images" / f"{image_id}.png", rng)
        files.append((f"{split}/images/{image_id}.png", "image", image_id, None, split, *picture))
        boxes = [] if number % 6 == 0 else [(_class(classes, number, k), _box(rng)) for k in range(1 + number % 3)]
        for rad_id in (READERS[number % 3], READERS[(number + 1) % 3]):
            known = (SIDE_PX, SIDE_PX)
            rest = (split, image_id, f"{number:016x}", picture[1], True, "reader", False)
            drawn = [(class_id, *(box + rng.normal(0, 0.01, 4)).clip(0, 1)) for class_id, box in boxes]
            for class_id, *edges in drawn or [(None, None, None, None, None)]:
                rows.append((image_id, rad_id, class_id, *edges, *known, classes.name(class_id), *rest))
    annotations = pl.DataFrame(rows, schema=ANNOTATIONS, orient="row")
    _documents(root, classes, annotations, files)
    _feedback(out / "feedback", classes, annotations, rng)
    rule = rule or Rule()
    _round(out, classes, annotations, rule)
    _log(out / "logs" / "online_data.log")
    return Dashboard(
        out=out,
        dataset=root,
        feedback=out / "feedback",
        reviews=out / "reviews",
        retrain=root / manifest.RETRAIN / tree.RETRAIN_TABLE,
        log=out / "logs" / "online_data.log",
    )


def _class(classes: Taxonomy, number: int, place: int) -> int:
    return (number + place * 3) % len(classes)


def _box(rng: np.random.Generator) -> np.ndarray:
    left, top = rng.uniform(0.1, 0.6, 2)
    width, height = rng.uniform(0.1, 0.3, 2)
    return np.array([left, top, left + width, top + height])


def _picture(path: Path, rng: np.random.Generator) -> tuple[int, str, str]:
    """Bytes and sums."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (SIDE_PX, SIDE_PX), np.uint8)).save(path)
    data = path.read_bytes()
    return len(data), *sums.of(data)


def _documents(root: Path, classes: Taxonomy, annotations: pl.DataFrame, files: list) -> None:
    (root / tree.ANNOTATIONS).write_bytes(version.encode(annotations, classes))
    listed = version.images(annotations).group_by("split").len()
    proof = {"wanted": dict(listed.iter_rows())}
    (root / tree.PROOF).write_bytes(tree.json_file(proof))
    kept = ("image_id", "class_name", "rad_id", "split")
    corners = [(pl.col(edge) * 1024).alias(edge.removesuffix("_norm")) for edge in EDGES]
    table = annotations.select(*kept, classes.to_file(pl.col("class_id")), *corners)
    table.write_csv(root / tree.BOXES)
    told = {
        "classes": list(classes.names),
        "version": manifest.version(pl.DataFrame(files, schema=MANIFEST, orient="row")),
        "source": "synthetic:48",
        "settings": {"seed": 0},
    }
    (root / tree.SUMMARY).write_bytes(tree.json_file(told))
    for name in (tree.ANNOTATIONS, tree.PROOF, tree.BOXES, tree.SUMMARY):
        data = (root / name).read_bytes()
        files.append((name, "table", None, None, None, len(data), *sums.of(data)))
    (root / manifest.NAME).write_bytes(manifest.encode(pl.DataFrame(files, schema=MANIFEST, orient="row")))


def _feedback(folder: Path, classes: Taxonomy, annotations: pl.DataFrame, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for number, ((image_id,), rows) in enumerate(annotations.group_by("image_id", maintain_order=True)):
        split, rad_id, md5 = rows.row(0, named=True)["split"], rows["rad_id"][0], rows["md5"][0]
        if split == "training":
            continue
        drawn = rows.filter(pl.col("rad_id") == rad_id, pl.col("class_id").is_not_null())
        detections = [
            records.Detection(
                class_id=class_id,
                class_name=classes.name(class_id),
                confidence=round(float(rng.uniform(0.2, 1)), 3),
                bbox=((left + right) / 2, (top + bottom) / 2, right - left, bottom - top),
            )
            for class_id, left, top, right, bottom in drawn.select("class_id", *EDGES).iter_rows()
        ]
        top = max(detections, key=lambda one: one.confidence, default=None)
        records.write(
            folder,
            records.Feedback(
                image_id=image_id,
                class_id=top.class_id if top else classes.nothing,
                confidence=top.confidence if top else 0.8,
                bbox=top.bbox if top else None,
                timestamp=f"2026-01-02T12:{number % 60:02}:00+00:00",
                detections=detections,
                split=split,
                image_md5=md5,
                picture=records.PictureMeasures(mean=100.0 + number, std=40.0, sharpness=300.0),
                model=records.Model(name="oracle", version="1"),
                latency_ms=12.5,
                feedback_id=f"f{number:03}",
                simulated=records.Simulated(site="s", view="PA", device="d"),
            ),
        )


def _round(out: Path, classes: Taxonomy, annotations: pl.DataFrame, rule: Rule) -> None:
    (out / "reviews").mkdir()
    known = reading.read(out / "feedback", classes)
    production = known.feedback.filter(split="production").sort("image_id").head(3)
    for feedback_id, image_id in production.select("feedback_id", "image_id").iter_rows():
        review = reviews.Review(
            feedback_id=feedback_id,
            image_id=image_id,
            reviewer="reader-1",
            verdict="correct",
            findings=[reviews.Finding(class_id=len(classes) - 1, bbox=(0.5, 0.5, 0.2, 0.2))],
            timestamp="2026-01-03T12:00:00+00:00",
            simulated=True,
        )
        reviews.write(out / "reviews", review, classes)
    told = reviews.read(out / "reviews", classes)
    decided = retraining.decide(known, judge(known.feedback, version.images(annotations)), told, rule)
    folder = out / "organized" / manifest.RETRAIN
    folder.mkdir()
    (folder / tree.RETRAIN_TABLE).write_bytes(retraining.csv(decided.rows, classes))
    report = {KEY: rule.document(), "fates": retraining.count(decided.fates)}
    (folder / tree.REPORT).write_bytes(tree.json_file(report))


def _log(path: Path) -> None:
    path.parent.mkdir()
    stage = {"requests": 9, "feedback": 8, "errors": 1, "retries": 0, "late": 0, "dropped": 0, "seconds": 1.0}
    median = {"p50_ms": 5.0, "p50_low_ms": 2.0, "p50_high_ms": 8.0}  # nine requests say nothing of the others
    times = {"per_second": 9.0, **median, "p95_ms": None, "p99_ms": None, "max_ms": 10.0}
    lines = [
        {"event": "start", "time": "2026-01-02T12:00:00Z", "detector": "oracle:0.5", "arrival": "workers", "drift": ""},
        {"event": "error", "stage": 1, "kind": "timeout", "message": "it took too long"},
        {"event": "stage", "stage": 1, "load": 1, **stage, **times},
        {"event": "stage", "stage": 2, "load": 2, **stage, **times},
        {"event": "end", "seconds": 2.0},
    ]
    path.write_text("".join(json.dumps(line | {"run_id": "run-1"}) + "\n" for line in lines))
