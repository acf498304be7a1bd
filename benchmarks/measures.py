"""dashboard: its measures against the pandas loops that such dashboards are written with; the answers must be equal."""

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from scipy.optimize import linear_sum_assignment

from benchmarks import annotations_csv
from benchmarks.harness import Bench, Contestant, Section, verdict
from radloop.measures import agreement, counts, drift
from radloop.sources import synthetic
from radloop.tables import EDGES
from radloop.vindr.classes import TAXONOMY

SIDE = 128  # cells of the heatmap
BOX = [*EDGES]


def run(bench: Bench) -> Section:
    """Each question by both, and all measures of the pages."""
    given = bench.fresh("given")
    annotations = str(bench.annotations) if bench.annotations else None
    images = 300 if bench.quick else 15_000
    bench.turn(Contestant("made", "benchmarks.measures:make"), given, images=images, annotations=annotations)
    turn = bench.turn(Contestant("measures", "benchmarks.measures:compare"), given)
    questions = [
        (title, turn.figures[f"{title}: loops"], turn.figures[f"{title}: radloop"]) for title, _, _ in QUESTIONS
    ]
    loops = sum(slow for _, slow, _ in questions)
    questions += [("these questions", loops, sum(fast for *_, fast in questions))]
    questions += [("all measures of the pages", loops, turn.figures["all measures of the pages"])]
    return Section(
        "measures",
        "dashboard: the measures",
        f"{turn.done:,.0f} rows in memory; pandas loops as such dashboards are written with, and radloop's measures "
        "answer the same questions, and equally (this is checked). The last line sets all measures of the pages, "
        "intervals and drift tests included, against those loops, which have neither. Processor seconds, of radloop "
        "the best of three.",
        verdicts=[
            verdict("pandas loops / all measures of the pages: processor time", [loops / questions[-1][2]], least=25)
        ],
        tables={"": [["question", "loops", "radloop", "×"], *([*row, row[1] / row[2]] for row in questions)]},
    )


def make(given: Path, fresh: Path, *, images: int, annotations: str | None) -> Callable[[], int]:
    """A train.csv, real or made up."""

    def work() -> int:
        given.mkdir()
        if annotations:
            shutil.copy(annotations, given / "train.csv")
        else:
            synthetic.annotations(images, seed=0)[0].write_csv(given / "train.csv")
        return images

    return work


def compare(given: Path, fresh: Path) -> Callable[[], dict[str, float]]:
    """Processor seconds of both sides for each question; stops where the answers differ."""
    table = annotations_csv.read(given / "train.csv")
    frame = table.with_columns(TAXONOMY.to_file(pl.col("class_id"))).to_pandas()  # as such dashboards read train.csv
    all_pages(table)  # imports and caches of both sides are warm

    def work() -> dict[str, float]:
        figures: dict[str, float] = {"done": table.height}
        for title, loop, measure in QUESTIONS:
            figures[f"{title}: loops"], expected = timed(lambda: loop(frame), 1)  # noqa: B023 - called at once
            figures[f"{title}: radloop"], found = timed(lambda: measure(table), 3)  # noqa: B023
            if not same(expected, found):
                raise SystemExit(f"{title}: the answers differ")
        figures["all measures of the pages"], _ = timed(lambda: all_pages(table), 3)
        return figures

    return work


def timed(work: Callable[[], object], times: int) -> tuple[float, object]:
    """The processor's time, of all threads: a busy machine then does not tilt the comparison."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        answer = work()
        best = min(best, time.process_time() - start)
    return best, answer


def same(expected: object, found: object) -> bool:
    if isinstance(expected, np.ndarray):
        return bool(np.allclose(expected, np.asarray(found), equal_nan=True))
    return expected == found


def all_pages(table: pl.DataFrame) -> None:
    for measure in (counts.totals, counts.split_sizes, counts.readers, counts.reader_splits):
        measure(table)
    for measure in (
        counts.classes, counts.class_shares, counts.together, counts.box_shapes, counts.reader_classes, counts.heatmaps,
    ):  # fmt: skip
        measure(table, TAXONOMY)
    counts.labels_per(table, "image")
    counts.labels_per(table, "reading")
    looked = agreement.readings(table, TAXONOMY)
    agreement.one_class(looked)
    agreement.by_class(looked)
    agreement.by_pair(looked)
    matched = agreement.match(table)
    agreement.boxes_by_class(matched, TAXONOMY)
    agreement.boxes_by_pair(matched, TAXONOMY)
    agreement.most_disputed(matched)
    images = drift.of_annotations(table, TAXONOMY)
    drift.compare(images.filter(split="training"), images.filter(split="production"))


def labels_loop(frame: pd.DataFrame) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    for _, group in frame.groupby(["image_id", "rad_id"]):
        key = group["split"].iloc[0], int((group["class_id"] != TAXONOMY.nothing).sum())
        found[key] = found.get(key, 0) + 1
    return found


def labels(table: pl.DataFrame) -> dict[tuple[str, int], int]:
    return {(split, number): count for split, number, count in counts.labels_per(table, "reading").iter_rows()}


def heatmaps_loop(frame: pd.DataFrame) -> np.ndarray:
    splits = list(annotations_csv.SHARES)
    painted = np.zeros((len(splits), len(TAXONOMY), SIDE, SIDE), dtype=np.int64)
    for _, row in frame[frame["class_id"] != TAXONOMY.nothing].iterrows():
        left, top = (int(np.floor(SIDE * row[name])) for name in BOX[:2])
        right, bottom = (int(np.ceil(SIDE * row[name])) for name in BOX[2:])
        painted[splits.index(row["split"]), row["class_id"], top:bottom, left:right] += 1
    return painted


def agreement_loop(frame: pd.DataFrame) -> np.ndarray:
    agreeing, agreeing_with_finding, with_finding, images = 0, 0, 0, 0
    for _, group in frame.groupby("image_id"):
        said = set(group["class_id"])
        images += 1
        agreeing += len(said) == 1
        if said != {TAXONOMY.nothing}:
            with_finding += 1
            agreeing_with_finding += len(said) == 1
    return np.array([agreeing / images, agreeing_with_finding / with_finding])


def classes_loop(frame: pd.DataFrame) -> list[tuple[int, int, int]]:
    found = []
    for class_id in range(len(TAXONOMY) + 1):
        rows = frame[frame["class_id"] == class_id]
        by_readers = [group["rad_id"].nunique() for _, group in rows.groupby("image_id")]
        found.append((len(rows), sum(number >= 2 for number in by_readers), sum(number >= 3 for number in by_readers)))
    return found


def shapes_loop(frame: pd.DataFrame) -> np.ndarray:
    boxes = frame[frame["class_id"] != TAXONOMY.nothing]
    area = boxes.apply(lambda row: (row[BOX[2]] - row[BOX[0]]) * (row[BOX[3]] - row[BOX[1]]), axis=1)
    return np.array([area[boxes["class_id"] == class_id].median() for class_id in range(len(TAXONOMY))])


def pairs_loop(frame: pd.DataFrame) -> dict[tuple[str, str, int], list[int]]:
    """both, only a, only b of each pair of readers and class."""
    found: dict[tuple[str, str, int], list[int]] = {}
    for _, group in frame.groupby("image_id"):
        seen = {reader: set(rows["class_id"]) for reader, rows in group.groupby("rad_id")}
        for a, b in itertools.combinations(sorted(seen, key=number), 2):
            for class_id in seen[a] | seen[b]:
                cells = found.setdefault((a, b, class_id), [0, 0, 0])
                cells[0 if class_id in seen[a] & seen[b] else 1 if class_id in seen[a] else 2] += 1
    return found


def pairs(table: pl.DataFrame) -> dict[tuple[str, str, int], list[int]]:
    figures = agreement.by_pair(agreement.readings(table, TAXONOMY), resamples=1)
    figures = figures.filter(pl.col("population") == "all", pl.sum_horizontal("both", "only_a", "only_b") > 0)
    rows = figures.drop_nulls("class_id").select("reader_a", "reader_b", "class_id", "both", "only_a", "only_b")
    return {(a, b, class_id): cells for a, b, class_id, *cells in rows.iter_rows()}


def boxes_loop(frame: pd.DataFrame) -> np.ndarray:
    """F1 of the boxes of each class at an IoU of 0.4."""
    matches, asked = np.zeros(len(TAXONOMY)), np.zeros(len(TAXONOMY))
    readers_of = frame.groupby("image_id")["rad_id"].unique()
    for (image_id, class_id), group in frame[frame["class_id"] != TAXONOMY.nothing].groupby(["image_id", "class_id"]):
        for a, b in itertools.combinations(readers_of[image_id], 2):
            drawn_a, drawn_b = (group.loc[group["rad_id"] == reader, BOX].to_numpy() for reader in (a, b))
            asked[class_id] += len(drawn_a) + len(drawn_b)
            worth = np.zeros((len(drawn_a), len(drawn_b)))
            for i, j in itertools.product(range(len(drawn_a)), range(len(drawn_b))):
                overlap = iou(drawn_a[i], drawn_b[j])
                worth[i, j] = 100 + overlap if overlap >= 0.4 else 0
            matches[class_id] += (worth[linear_sum_assignment(worth, maximize=True)] > 0).sum()
    return 2 * matches / asked


def iou(a: np.ndarray, b: np.ndarray) -> float:
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(tall, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def boxes(table: pl.DataFrame) -> np.ndarray:
    return agreement.boxes_by_class(agreement.match(table), TAXONOMY, resamples=1)["f1"].to_numpy()[: len(TAXONOMY)]


def number(reader: str) -> int:
    return int(reader[1:])


QUESTIONS: tuple[tuple[str, Callable[[pd.DataFrame], object], Callable[[pl.DataFrame], object]], ...] = (
    ("labels per sample", labels_loop, labels),
    ("heatmaps by split and class", heatmaps_loop, lambda table: counts.heatmaps(table, TAXONOMY, side=SIDE).counts),
    (
        "agreement, one class per image",
        agreement_loop,
        lambda table: agreement.one_class(agreement.readings(table, TAXONOMY))["share"].to_numpy(),
    ),
    (
        "classes seen by 2 and 3 readers",
        classes_loop,
        lambda table: counts.classes(table, TAXONOMY).select("rows", "seen_by_2", "seen_by_3").rows(),
    ),
    ("agreement of each pair and class", pairs_loop, pairs),
    ("boxes matched, F1 per class", boxes_loop, boxes),
    ("median box area per class", shapes_loop, lambda table: counts.box_shapes(table, TAXONOMY)["area_p50"].to_numpy()),
)
