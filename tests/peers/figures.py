"""The figures of a finished demo, computed again from its files by other people's packages. Run in .venv-peers.

    python figures.py OUT TRUTH

OUT is the demo's folder, TRUTH a Parquet of what the readers agree on. Prints one JSON object {figure: value}. Nothing
of radloop is imported: files are read with pandas and json, average precision is pycocotools', agreement and intervals
are statsmodels' and scikit-learn's.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

EDGES = ["x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm"]
ABOVE = 0.9  # a label of the re-training rule
SEEN = 0.25  # below, feedback keeps boxes for the average precision alone
IOU = 0.4


def main() -> None:
    out, truth = Path(sys.argv[1]), pd.read_parquet(sys.argv[2])
    rows = pd.read_parquet(out / "organized" / "annotations.parquet")
    nothing = len(json.loads((out / "organized" / "summary.json").read_text())["classes"])
    readers = rows[rows.source == "reader"]
    said = newest(out / "feedback", rows)
    figures = counted(out, rows, nothing) | agreed(readers, nothing)
    for split in ("test", "production"):
        shown = said[said.split == split]
        figures |= judged(split, shown, truth, readers, nothing)
    print(json.dumps(figures))


def newest(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """The newest feedback on each image outside training, with all boxes that it keeps."""
    found = []
    for path in sorted(folder.glob("*.json")):
        one = json.loads(path.read_text())
        boxes = one.get("detections", []) + one.get("low_detections", [])
        found.append((one["image_id"], one["timestamp"], one["feedback_id"], boxes))
    table = pd.DataFrame(found, columns=["image_id", "timestamp", "feedback_id", "boxes"])
    table = table.sort_values(["timestamp", "feedback_id"]).drop_duplicates("image_id", keep="last")
    return table.merge(rows[["image_id", "split", "group"]].drop_duplicates("image_id"), on="image_id").query(
        "split != 'training'"
    )


def counted(out: Path, rows: pd.DataFrame, nothing: int) -> dict[str, float]:
    """What stands in the tables, counted."""
    used = rows[rows.used]
    images = rows.groupby("split").image_id.nunique()
    named = json.loads((out / "organized" / "summary.json").read_text())["splits"]
    figures = {f"images of {split}": int(images.get(split, 0)) for split in named}
    boxes = used[used.class_id != nothing].groupby(["split", "class_id"]).size()
    figures |= {f"boxes of class {c} in {split}": int(n) for (split, c), n in boxes.items()}
    table = pd.read_csv(out / "organized" / "retrain" / "retrain.csv")
    figures["rows of retrain.csv"], figures["images of retrain.csv"] = len(table), int(table.image_id.nunique())
    figures["rows that train"] = int(table.trains.sum())
    figures["feedback files"] = len(list((out / "feedback").glob("*.json")))
    return figures


def agreed(readers: pd.DataFrame, nothing: int) -> dict[str, float]:
    """Fleiss' kappa of each class, over all images; each has three readers."""
    figures = {}
    looks = readers[["image_id", "rad_id"]].drop_duplicates().sort_values(["image_id", "rad_id"])
    assert (looks.groupby("image_id").size() == 3).all()
    for class_id in sorted(set(readers.class_id) - {nothing}):
        seen = readers[readers.class_id == class_id][["image_id", "rad_id"]].drop_duplicates().assign(seen=1)
        votes = looks.merge(seen, how="left", on=["image_id", "rad_id"]).seen.fillna(0).to_numpy().reshape(-1, 3)
        if 0 < votes.sum() < votes.size:
            figures[f"kappa of class {class_id}"] = float(fleiss_kappa(aggregate_raters(votes.astype(int))[0]))
    return figures | paired(looks, readers, nothing)


def paired(looks: pd.DataFrame, readers: pd.DataFrame, nothing: int) -> dict[str, float]:
    """Cohen's kappa of each class, of the two readers who read the most images together."""
    numbered = looks.assign(number=looks.rad_id.str.extract(r"(\d+)$")[0].astype(int))  # R2 before R10
    both = numbered.merge(numbered, on="image_id").query("number_x < number_y")
    first, second = both.groupby(["rad_id_x", "rad_id_y"]).size().idxmax()
    images = both[(both.rad_id_x == first) & (both.rad_id_y == second)].image_id
    figures = {}
    for class_id in sorted(set(readers.class_id) - {nothing}):
        seen = [
            images.isin(readers[(readers.class_id == class_id) & (readers.rad_id == name)].image_id)
            for name in (first, second)
        ]
        if seen[0].any() or seen[1].any():
            figures[f"kappa of {first} and {second}, class {class_id}"] = float(cohen_kappa_score(*seen))
    return figures


def judged(
    split: str, shown: pd.DataFrame, truth: pd.DataFrame, readers: pd.DataFrame, nothing: int
) -> dict[str, float]:
    """mAP, precision, recall, calibration and their intervals on one split."""
    predictions = pd.DataFrame(
        [
            (image_id, group, one["class_id"], one["confidence"], *corners(one["bbox"]))
            for image_id, group, boxes in zip(shown.image_id, shown.group, shown.boxes, strict=True)
            for one in boxes
        ],
        columns=["image_id", "group", "class_id", "confidence", *EDGES],
    )
    known = truth[truth.image_id.isin(shown.image_id)].merge(shown[["image_id", "group"]], on="image_id")
    figures: dict[str, float] = {f"{split}: images": len(shown), f"{split}: boxes of the truth": len(known)}
    for iou in (IOU, 0.5):
        if len(known):
            figures[f"{split}: mAP@{iou}"] = mean_precision(predictions, known, sorted(shown.image_id), iou)
    predictions = match(predictions, known)
    labels = predictions[predictions.confidence > ABOVE]
    if len(labels):
        figures |= share(f"{split}: precision", labels.correct, labels.group)
    if len(known):
        found = known.assign(correct=0.0)
        found_at = labels[labels.correct == 1].found.astype(int)
        found.loc[found.index[found_at], "correct"] = 1.0
        figures |= share(f"{split}: recall", found.correct, found.group)
    predictions = predictions[predictions.confidence > SEEN]
    if len(predictions):
        bins = pd.cut(predictions.confidence, np.arange(11) / 10, include_lowest=True)
        gaps = predictions.groupby(bins, observed=True).apply(
            lambda part: abs(part.confidence.sum() - part.correct.sum()), include_groups=False
        )
        figures[f"{split}: calibration error"] = float(gaps.sum() / len(predictions))
    return figures


def corners(box: list[float]) -> tuple[float, float, float, float]:
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def match(predictions: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """correct (1 or 0) and found (the place of the box of the truth), the most confident first, one box at a time."""
    predictions = predictions.sort_values("confidence", ascending=False, kind="stable")
    known = known.reset_index(drop=True)
    taken: set[int] = set()
    correct, found = [], []
    for row in predictions.itertuples():
        best, place = 0.0, -1
        for other in known[(known.image_id == row.image_id) & (known.class_id == row.class_id)].itertuples():
            w = min(row.x_max_norm, other.x_max_norm) - max(row.x_min_norm, other.x_min_norm)
            h = min(row.y_max_norm, other.y_max_norm) - max(row.y_min_norm, other.y_min_norm)
            shared = max(w, 0) * max(h, 0)
            both = area(row) + area(other) - shared
            if other.Index not in taken and shared / both >= IOU and shared / both > best:
                best, place = shared / both, other.Index
        taken.add(place)
        correct.append(float(place >= 0))
        found.append(place)
    return predictions.assign(correct=correct, found=found)


def area(box: object) -> float:
    return (box.x_max_norm - box.x_min_norm) * (box.y_max_norm - box.y_min_norm)


def share(name: str, correct: pd.Series, group: pd.Series) -> dict[str, float]:
    """A share and Jeffreys' interval, for as many boxes as a regression with clustered errors says they are worth."""
    part, boxes, groups = correct.mean(), len(correct), group.nunique()
    figures = {name: float(part)}
    if groups < 4:
        return figures
    fit = sm.OLS(correct.to_numpy(), np.ones(boxes)).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(group)[0], "use_correction": True}
    )
    variance = float(fit.cov_params()[0, 0])
    worth = min(part * (1 - part) / variance, boxes) if 0 < part < 1 and variance > 0 else min(groups, boxes)
    low, high = stats.beta.interval(0.95, part * worth + 0.5, (1 - part) * worth + 0.5)
    return figures | {f"{name}, low": float(low) if part else 0.0, f"{name}, high": float(high) if part < 1 else 1.0}


def mean_precision(predictions: pd.DataFrame, known: pd.DataFrame, images: list[str], iou: float) -> float:
    number = {image_id: place for place, image_id in enumerate(images, 1)}

    def boxes(table: pd.DataFrame) -> list[dict]:
        return [
            {"id": place, "image_id": number[row.image_id], "category_id": int(row.class_id) + 1, "iscrowd": 0,
             "bbox": [row.x_min_norm, row.y_min_norm, row.x_max_norm - row.x_min_norm, row.y_max_norm - row.y_min_norm],
             "area": area(row), "score": getattr(row, "confidence", 1.0)}
            for place, row in enumerate(table.itertuples(), 1)
        ]  # fmt: skip

    coco = COCO()
    coco.dataset = {
        "images": [{"id": place} for place in number.values()],
        "categories": [{"id": c + 1} for c in sorted(set(known.class_id))],
        "annotations": boxes(known),
    }
    here = predictions[predictions.class_id.isin(set(known.class_id))]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        if here.empty:
            return 0.0
        judge = COCOeval(coco, coco.loadRes(boxes(here)), "bbox")
        judge.params.iouThrs, judge.params.maxDets = np.array([iou]), [1000]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][0, :, :, 0, 0]
    return float(precision.mean())


if __name__ == "__main__":
    main()
