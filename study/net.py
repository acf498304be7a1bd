"""A small detector that learns in seconds: boxes and class scores on two grids, with weights and ignored regions."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from study.patients import SIDE
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from training.small_net import Pyramid, exposed, ious

from radloop import boxes
from radloop.sources import synthetic
from radloop.taxonomy import Taxonomy
from radloop.vindr.classes import TAXONOMY

CLASSES: Final = len(TAXONOMY)
STRIDES: Final = (8, 16)
LARGE: Final = 0.16  # boxes with a longer side are the coarse grid's
REACH: Final = 1.5  # cells from a box's middle that learn to find it
WIDTHS: Final = (12, 24, 40, 64, 80, 40)  # of the pyramid
TYPICAL: Final = 3.0  # cells: the size of a box that the untrained net proposes
BATCH: Final = 16
ILL_SHARE: Final = 0.75  # of a batch, as far as there are pictures with a box
RATE: Final = 4e-3
EMA: Final = 0.97  # of the average of the weights, a step
MAX_IOU: Final = 0.5  # of two boxes of one class; the better one stays
CANDIDATES: Final = 12  # cells of one class on one picture that are looked at, the best

Floats = npt.NDArray[np.float32]
Pictures = npt.NDArray[np.uint8]  # (n, SIDE, SIDE)


class Targets(NamedTuple):
    """What each cell of each picture is to say: (pictures, cells, …)."""

    boxes: Floats  # cxcywh in fractions, where a cell learns one
    labels: Floats  # 0 or 1, by class
    weights: Floats  # of the loss, by class: 0 where it is ignored


class Found(NamedTuple):
    """Boxes (m): picture and class (m, 2), logit (m,), xyxy in fractions (m, 4)."""

    places: npt.NDArray[np.int64]
    logits: Floats
    corners: Floats


class Detector(Pyramid):
    """The pyramid with its boxes in fractions of the picture."""

    def __init__(self) -> None:
        super().__init__(WIDTHS, side=SIDE, classes=CLASSES)
        middles, strides = cells()
        self.register_buffer("middles", torch.from_numpy(middles.T[None]))
        self.register_buffer("strides", torch.from_numpy(strides[None, None]))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (n, cells, 4) as cxcywh in fractions and logits (n, cells, classes) of pictures in [0, 1]."""
        raw = self.numbers(pictures)
        centres = self.middles + raw[:, :2] * self.strides
        sizes = TYPICAL * self.strides * raw[:, 2:4].clamp(-4, 3).exp()
        return torch.cat([centres, sizes], dim=1).transpose(1, 2), raw[:, 4:].transpose(1, 2)


def cells() -> tuple[Floats, Floats]:
    """The middle of each cell, (cells, 2), and its stride, (cells,), in fractions of the picture."""
    middles, strides = [], []
    for stride in STRIDES:
        line = (np.arange(SIDE // stride) + 0.5) * stride / SIDE
        middles.append(np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2))
        strides.append(np.full(len(middles[-1]), stride / SIDE))
    return np.concatenate(middles).astype(np.float32), np.concatenate(strides).astype(np.float32)


def targets(
    count: int,
    owner: npt.NDArray[np.int64],
    corners: npt.NDArray[np.float64],
    class_id: npt.NDArray[np.int64],
    weight: npt.NDArray[np.float64],
    ignored: npt.NDArray[np.bool_],
) -> Targets:
    """Of `count` pictures with boxes: (m,) on which, (m, 4) xyxy in fractions, (m,) class, weight, whether ignored."""
    middles, strides = cells()
    wanted = Targets(
        np.zeros((count, len(strides), 4), np.float32),
        np.zeros((count, len(strides), CLASSES), np.float32),
        np.ones((count, len(strides), CLASSES), np.float32),
    )
    known = boxes.xyxy_to_cxcywh(corners).astype(np.float32).reshape(-1, 4)
    level = np.where(known[:, 2:].max(axis=1, initial=0) > LARGE, STRIDES[1], STRIDES[0]) / SIDE
    area = known[:, 2] * known[:, 3]
    for at in np.flatnonzero(ignored):
        inside = (np.abs(middles - known[at, :2]) < np.maximum(known[at, 2:] / 2, strides[:, None])).all(axis=1)
        wanted.weights[owner[at], inside, class_id[at]] = 0
    for at in np.argsort(-area, kind="stable"):  # where two meet the smaller one has the cell
        if ignored[at]:
            continue
        mine = (np.abs(middles - known[at, :2]).max(axis=1) < REACH * strides) & (np.abs(strides - level[at]) < 1e-6)
        same = (wanted.boxes[owner[at]] == known[at]).all(axis=1)
        wanted.labels[owner[at], mine & ~same] = 0
        wanted.boxes[owner[at], mine] = known[at]
        wanted.labels[owner[at], mine, class_id[at]] = 1
        wanted.weights[owner[at], mine, class_id[at]] = weight[at]
    return wanted


def loss(found: Tensor, logits: Tensor, box: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Generalised IoU on the boxes (Rezatofighi et al. 2019) and quality focal loss on the scores (Li et al. 2020)."""
    learning = labels.any(dim=2)
    overlap, generalised = ious(found[learning], box[learning])
    quality = torch.zeros_like(logits)
    quality[learning] = labels[learning] * overlap.detach()[:, None].clamp(min=0.1)
    focal = (quality - logits.sigmoid()).square() * functional.binary_cross_entropy_with_logits(
        logits, quality, reduction="none"
    )
    of_box = (labels * weights)[learning].amax(dim=1)
    number = of_box.sum().clamp(min=1)
    return (focal * weights).sum() / number * 2 + ((1 - generalised) * of_box).sum() / number


def fit(detector: Detector, pictures: Pictures, wanted: Targets, *, steps: int, rate: float, seed: int) -> None:
    """Train in place: `steps` batches of BATCH pictures, ILL_SHARE of them with a box.

    What is left is the moving average of the weights (Polyak and Juditsky 1992): one training hangs less on chance.
    """
    rng = np.random.default_rng(seed)
    has = wanted.labels.any(axis=(1, 2))
    ill, normal = np.flatnonzero(has), np.flatnonzero(~has)
    ill_places = BATCH if not len(normal) else int(BATCH * ILL_SHARE)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=rate, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    detector.train()
    averaged = AveragedModel(detector, multi_avg_fn=get_ema_multi_avg_fn(EMA), use_buffers=True)
    for _ in range(steps):
        chosen = np.concatenate([rng.choice(ill, ill_places), rng.choice(normal, BATCH - ill_places)])
        shown = exposed(pictures[chosen], rng)
        found, logits = detector(shown.to(memory_format=torch.channels_last))
        value = loss(found, logits, *(torch.from_numpy(part[chosen]) for part in wanted))
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(detector)
    detector.load_state_dict(averaged.module.state_dict())


@torch.no_grad()
def predict(detector: Detector, pictures: Pictures, *, keep: int) -> Found:
    """The `keep` best boxes of each class on each picture, without duplicates."""
    detector.eval()
    places, logits, corners = [], [], []
    for start in range(0, len(pictures), 64):
        shown = torch.from_numpy(pictures[start : start + 64])[:, None].float() / 255
        found, scores = detector(shown.to(memory_format=torch.channels_last))
        xyxy = torch.cat([found[..., :2] - found[..., 2:] / 2, found[..., :2] + found[..., 2:] / 2], dim=2).clamp(0, 1)
        best, cell = scores.transpose(1, 2).topk(CANDIDATES)  # (n, classes, CANDIDATES), the best first
        chosen = xyxy[torch.arange(len(shown))[:, None, None], cell]
        kept = _first_of_each_place(chosen)
        kept &= kept.cumsum(dim=2) <= keep
        picture, class_id, _ = (part.numpy() for part in kept.nonzero(as_tuple=True))
        places.append(np.stack([picture + start, class_id], axis=1))
        logits.append(best[kept].numpy())
        corners.append(chosen[kept].numpy())
    return Found(np.concatenate(places), np.concatenate(logits), np.concatenate(corners))


def _first_of_each_place(corners: Tensor) -> Tensor:
    """Greedy suppression of boxes (…, k, 4), the best first: which of them stay, (…, k)."""
    low = torch.maximum(corners[..., :, None, :2], corners[..., None, :, :2])
    high = torch.minimum(corners[..., :, None, 2:], corners[..., None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    area = (corners[..., 2:] - corners[..., :2]).prod(dim=-1)
    same = shared > MAX_IOU * (area[..., :, None] + area[..., None, :] - shared)
    kept = torch.ones(corners.shape[:-1], dtype=torch.bool)
    for at in range(1, corners.shape[-2]):
        kept[..., at] = ~(same[..., at, :at] & kept[..., :at]).any(dim=-1)
    return kept


def pretrained(count: int, *, steps: int, seed: int) -> dict[str, Tensor]:
    """Weights that know chests and shapes, but no finding: of a net that learned stamps of 14 kinds.

    As detectors begin with weights that learned everyday photographs.
    """
    stamps = Taxonomy(tuple(f"stamp {number}" for number in range(CLASSES)))
    known = [synthetic.patient(index, seed=seed, classes=stamps) for index in range(count)]
    pictures = np.stack([synthetic.picture(one, classes=stamps, side_px=SIDE) for one in known])
    owner = np.repeat(np.arange(count), [len(one.classes) for one in known])
    corners = np.concatenate([one.boxes for one in known]).clip(0, 1)
    class_id = np.concatenate([one.classes for one in known])
    wanted = targets(count, owner, corners, class_id, np.ones(len(owner)), np.zeros(len(owner), dtype=bool))
    torch.manual_seed(seed)
    learned = Detector().to(memory_format=torch.channels_last)
    fit(learned, pictures, wanted, steps=steps, rate=RATE, seed=seed)
    return {name: value for name, value in learned.state_dict().items() if "heads" not in name}


def started(weights: dict[str, Tensor], *, seed: int) -> Detector:
    """A detector with pretrained weights, its heads new."""
    torch.manual_seed(seed)
    fresh = Detector()
    fresh.load_state_dict(weights, strict=False)
    return fresh.to(memory_format=torch.channels_last)
