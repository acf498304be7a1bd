"""Train the tiny detector on pictures of patients who never were, and write it as ONNX.

    python training/train.py src/radloop/detectors/tiny.onnx        (docs/detectors.md says what it needs)

The same machine gives the same file. The output is a YOLO head's: [1, 4 + 14, anchors], boxes as cxcywh in pixels; the
file's metadata names the classes.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import onnx
import torch
from small_net import Pyramid, exposed, ious, platt
from torch import Tensor, nn
from torch.nn import functional

from radloop import boxes
from radloop.detectors.yolo import MAX_IOU, letterbox
from radloop.sources import synthetic
from radloop.vindr.classes import TAXONOMY

SIDE: Final = 256
DRAWN_SIDE: Final = 320  # then scaled down, as a full picture is: the grain averages out alike
CLASSES: Final = len(TAXONOMY)
STRIDES: Final = (8, 16)
LARGE: Final = 0.16  # boxes with a longer side are the coarse grid's
REACH: Final = 1.5  # cells from a box's middle that learn to find it
WIDTHS: Final = (16, 32, 48, 80, 112, 56)  # of the pyramid
TYPICAL: Final = 4.0  # cells: the size of a box that the untrained net proposes

# No seed of the demo (0), the tests or measure.py.
TRAINING_SEED, CALIBRATION_SEED = 7_001, 7_002
ILL, NORMAL = 3000, 500
CALIBRATION_ILL, CALIBRATION_NORMAL = 500, 500
NORMAL_WEIGHT: Final = (1 - 4394 / 15_000) / (4394 / 15_000)  # of a normal picture, where half the pictures are ill
CANDIDATES: Final = 60  # of a class on one picture that calibration looks at, the best
EPOCHS, BATCH, RATE = 6, 16, 4e-3


class Drawings(NamedTuple):
    """Pictures (n, SIDE, SIDE) and the findings on them: boxes (m, 4) xyxy in fractions, with class and picture."""

    pictures: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    owners: np.ndarray


class Detector(Pyramid):
    """The pyramid with its boxes in pixels, and a slope and a shift of each class's score."""

    def __init__(self) -> None:
        super().__init__(WIDTHS, side=SIDE, classes=CLASSES)
        middles, strides = cells()
        self.register_buffer("middles", middles.T[None])
        self.register_buffer("strides", strides[None, None])
        self.register_buffer("slope", torch.ones(CLASSES, 1))
        self.register_buffer("shift", torch.zeros(CLASSES, 1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (n, 4, anchors) as cxcywh in pixels and logits (n, classes, anchors) of pictures in [0, 1]."""
        raw, logits = self.numbers(pictures).split([4, CLASSES], dim=1)
        centres = self.middles + raw[:, :2] * self.strides
        sizes = TYPICAL * self.strides * raw[:, 2:].clamp(-4, 3).exp()
        return torch.cat([centres, sizes], dim=1), logits


class Exported(nn.Module):
    """The detector as others run it: calibrated scores below the boxes."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        found, logits = self.detector(images)
        return torch.cat([found, (self.detector.slope * logits + self.detector.shift).sigmoid()], dim=1)


def cells() -> tuple[Tensor, Tensor]:
    """The middle of each cell in pixels, (anchors, 2), and its stride, (anchors,)."""
    middles, strides = [], []
    for stride in STRIDES:
        line = (torch.arange(SIDE // stride) + 0.5) * stride
        middles.append(torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(-1, 2))
        strides.append(torch.full((len(middles[-1]),), float(stride)))
    return torch.cat(middles), torch.cat(strides)


def draw(seed: int, *, ill: int, normal: int) -> Drawings:
    """The first so many ill and normal patients of a seed."""
    pictures, found, classes, owners = [], [], [], []
    wanted = {True: ill, False: normal}
    index = -1
    while any(wanted.values()):
        index += 1
        known = synthetic.patient(index, seed=seed)
        if not wanted[bool(len(known.classes))]:
            continue
        wanted[bool(len(known.classes))] -= 1
        drawn = synthetic.picture(known, side_px=DRAWN_SIDE)
        found.append(known.boxes)
        classes.append(known.classes)
        owners.append(np.full(len(known.classes), len(pictures)))
        pictures.append(letterbox(drawn, width=SIDE, height=SIDE)[0])
    return Drawings(np.stack(pictures), np.concatenate(found), np.concatenate(classes), np.concatenate(owners))


def targets(drawings: Drawings) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each picture the cells that learn (k,), the box of each in pixels (k, 4) cxcywh, its classes (k, 14)."""
    middles, strides = (tensor.numpy() for tensor in cells())
    wanted = []
    for number in range(len(drawings.pictures)):
        mine = drawings.owners == number
        rectangles, which = np.unique(drawings.boxes[mine], axis=0, return_inverse=True)
        labels = np.zeros((len(rectangles), CLASSES), dtype=np.float32)
        labels[which.ravel(), drawings.classes[mine]] = 1
        known = boxes.xyxy_to_cxcywh(rectangles * SIDE).astype(np.float32)
        level = np.where(known[:, 2:].max(axis=1, initial=0) > LARGE * SIDE, STRIDES[1], STRIDES[0])
        away = np.abs(middles[:, None] - known[None, :, :2]).max(axis=2) / strides[:, None]
        taken = (away < REACH) & (strides[:, None] == level[None])
        area = np.where(taken, known[:, 2] * known[:, 3], np.inf)
        learning = np.flatnonzero(taken.any(axis=1))
        owner = area[learning].argmin(axis=1) if len(rectangles) else np.zeros(0, dtype=np.int64)
        wanted.append((learning, known[owner], labels[owner]))
    return wanted


def loss(found: Tensor, logits: Tensor, wanted: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Tensor:
    """Generalised IoU on the boxes (Rezatofighi et al. 2019) and quality focal loss on the scores (Li et al. 2020)."""
    picture = torch.cat([torch.full((len(cell),), number) for number, (cell, _, _) in enumerate(wanted)])
    cell = torch.cat([torch.from_numpy(cell) for cell, _, _ in wanted])
    known = torch.cat([torch.from_numpy(box) for _, box, _ in wanted])
    labels = torch.cat([torch.from_numpy(label) for _, _, label in wanted])
    overlap, generalised = ious(found[picture, :, cell], known)
    quality = torch.zeros_like(logits)
    quality[picture, :, cell] = labels * overlap.detach()[:, None].clamp(min=0.1)
    focal = (quality - logits.sigmoid()).square() * functional.binary_cross_entropy_with_logits(
        logits, quality, reduction="none"
    )
    number = max(len(cell), 1)
    return focal.sum() / number * 2 + (1 - generalised).sum() / number


def batches(drawings: Drawings, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, Tensor]]:
    """One epoch: which pictures, and how they look in another exposure."""
    order = rng.permutation(len(drawings.pictures))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        yield chosen, exposed(drawings.pictures[chosen], rng)


def train(detector: Detector, drawings: Drawings, *, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = targets(drawings)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=RATE, weight_decay=0.02)
    steps = EPOCHS * (len(drawings.pictures) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.15)
    detector.train()
    began = time.monotonic()
    for epoch in range(EPOCHS):
        total = 0.0
        for chosen, pictures in batches(drawings, rng):
            found, logits = detector(pictures.to(memory_format=torch.channels_last))
            value = loss(found, logits, [wanted[number] for number in chosen])
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            total += value.item()
        mean = total / (len(drawings.pictures) // BATCH)
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {mean:.3f} after {time.monotonic() - began:.0f} s", flush=True)


@torch.no_grad()
def calibrate(detector: Detector, drawings: Drawings) -> None:
    """Make a score the share of detections that are right, by IoU > 0.4 (Platt 1999; one slope for all classes)."""
    detector.eval()
    logits, right, classes, weights = [], [], [], []
    for number in range(len(drawings.pictures)):
        picture = torch.from_numpy(drawings.pictures[number])[None, None].float() / 255
        found, scores = (tensor[0].numpy() for tensor in detector(picture))
        corners = boxes.cxcywh_to_xyxy(found.T) / SIDE
        mine = drawings.owners == number
        weight = 1.0 if mine.any() else NORMAL_WEIGHT * CALIBRATION_ILL / CALIBRATION_NORMAL
        for class_id in range(CLASSES):
            candidates = np.argsort(-scores[class_id])[:CANDIDATES]
            candidates = candidates[boxes.nms(corners[candidates], scores[class_id, candidates], MAX_IOU)]
            truth = drawings.boxes[mine & (drawings.classes == class_id)]
            overlap = boxes.iou(corners[candidates], truth)
            free = np.ones(len(truth), dtype=bool)
            for candidate, row in zip(candidates, overlap, strict=True):
                best = int((row * free).argmax()) if len(truth) else 0
                hit = bool(len(truth)) and bool(free[best]) and row[best] > boxes.FUSION_IOU
                if hit:
                    free[best] = False
                logits.append(float(scores[class_id, candidate]))
                right.append(hit)
                classes.append(class_id)
                weights.append(weight)
    slope, shift = platt(np.array(logits), np.array(right), np.array(classes), CLASSES, np.array(weights)).astype("f4")
    detector.slope.copy_(torch.from_numpy(slope[:, None]))
    detector.shift.copy_(torch.from_numpy(shift[:, None]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the ONNX file to write")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--drawings", type=Path, help="keep the drawings here, for the next run")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)

    pictures = drawn(arguments.drawings, "training", TRAINING_SEED, ill=ILL, normal=NORMAL)
    held_out = drawn(
        arguments.drawings, "calibration", CALIBRATION_SEED, ill=CALIBRATION_ILL, normal=CALIBRATION_NORMAL
    )
    detector = Detector().to(memory_format=torch.channels_last)
    print(f"{sum(parameter.numel() for parameter in detector.parameters()):,} numbers to learn")
    train(detector, pictures, seed=0)
    calibrate(detector, held_out)

    torch.onnx.export(
        Exported(detector).to(memory_format=torch.contiguous_format).eval(),
        (torch.zeros(1, 1, SIDE, SIDE),),
        arguments.model,
        input_names=["images"],
        output_names=["output0"],
        opset_version=17,
        dynamo=False,
    )
    name_classes(arguments.model)
    print(f"{arguments.model}: {arguments.model.stat().st_size:,} bytes")


def name_classes(path: Path) -> None:
    """Write the names of the classes into the model's metadata, as Ultralytics does."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"names": repr(dict(enumerate(TAXONOMY.names)))})
    onnx.save(model, path)


def drawn(folder: Path | None, name: str, seed: int, *, ill: int, normal: int) -> Drawings:
    path = folder and folder / f"{name}-{seed}-{ill}-{normal}.npz"
    if path and path.exists():
        return Drawings(**np.load(path))
    began = time.monotonic()
    drawings = draw(seed, ill=ill, normal=normal)
    print(f"{name}: drew {ill + normal} pictures in {time.monotonic() - began:.0f} s", flush=True)
    if path:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **drawings._asdict())
    return drawings


if __name__ == "__main__":
    main()
