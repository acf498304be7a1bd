"""Boxes: overlap, suppression, fusion. Corners are `xyxy`, centre and size `cxcywh`; any unit, but one at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FUSION_IOU: Final = 0.4  # the competition's own threshold for "the same box"


def xyxy_to_cxcywh(xyxy: ArrayLike) -> Floats:
    """Corners (…, 4) to centre and size (…, 4)."""
    corners = np.asarray(xyxy, dtype=np.float64)
    low, high = corners[..., :2], corners[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)


def cxcywh_to_xyxy(cxcywh: ArrayLike) -> Floats:
    """Centre and size (…, 4) to corners (…, 4)."""
    box = np.asarray(cxcywh, dtype=np.float64)
    centre, half = box[..., :2], box[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def iou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4), as xyxy: (n, m) in [0, 1].

    A box without area overlaps nothing, not even itself.
    """
    first = np.asarray(a, dtype=np.float64).reshape(-1, 1, 4)
    second = np.asarray(b, dtype=np.float64).reshape(1, -1, 4)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = _area(first) + _area(second) - shared
    overlap: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def iou_of_pairs(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union of each box of `a` (n, 4) with the one in the same place of `b` (n, 4), as xyxy: (n,)."""
    first, second = (np.asarray(one, dtype=np.float64).reshape(-1, 4) for one in (a, b))
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = _area(first) + _area(second) - shared
    overlap: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def once_each(pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Which pairs stay, the best first, so that nothing on either side is in two of them.

    >>> once_each([(0, 0), (0, 1), (1, 0), (1, 1)])
    [0, 3]
    """
    kept: list[int] = []
    first: set[int] = set()
    second: set[int] = set()
    for place, (one, other) in enumerate(pairs):
        if one not in first and other not in second:
            kept.append(place)
            first.add(one)
            second.add(other)
    return kept


def _area(xyxy: Floats) -> Floats:
    sides: Floats = np.maximum(xyxy[..., 2:] - xyxy[..., :2], 0)
    area: Floats = sides[..., 0] * sides[..., 1]
    return area


def nms(boxes: ArrayLike, scores: ArrayLike, iou_threshold: float) -> NDArray[np.intp]:
    """Indices of the boxes (n, 4) xyxy that stay, best score first: greedy non-maximum suppression within one class.

    A box goes when its IoU with a better one that stays is above the threshold. Of equal scores the earlier box wins.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[iou(corners[best], corners[rest])[0] <= iou_threshold]
    return np.array(kept, dtype=np.intp)


@dataclass(frozen=True)
class Fused:
    """One box made of the boxes that show the same thing."""

    xyxy: tuple[float, float, float, float]
    weight: float  # the members' mean
    members: tuple[int, ...]  # indices into the boxes given, ascending
    readers: tuple[str, ...]  # who drew them: distinct, sorted
    spread: float  # 1 - the lowest IoU of a member with the fused box: 0 where all agree to the pixel

    @property
    def support(self) -> int:
        """How many readers drew it: the k of "k of 3"."""
        return len(self.readers)


def fuse(
    boxes: ArrayLike,
    readers: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    iou_threshold: float = FUSION_IOU,
) -> list[Fused]:
    """Weighted boxes fusion (Solovyev et al. 2021, §3) of the boxes (n, 4) xyxy of ONE class on one image.

    Each box in turn joins the cluster whose fused box it overlaps most, if by more than `iou_threshold`, and moves that
    fused box to the members' weighted mean; otherwise it starts a cluster. The outcome depends on the turn, and the
    paper leaves ties open, as among readers who all weigh the same. Here the order is weight (heaviest first), then
    the coordinates, then the reader, so that no order of input changes the result; the result comes in that order too.
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).tolist()
    weight = [1.0] * len(corners) if weights is None else [float(value) for value in weights]
    turns = sorted(range(len(corners)), key=lambda i: (-weight[i], corners[i], readers[i]))

    clusters: list[list[int]] = []
    centres: list[list[float]] = []
    for i in turns:
        best, best_iou = -1, iou_threshold
        for k, centre in enumerate(centres):
            overlap = _iou(centre, corners[i])
            if overlap > best_iou:
                best, best_iou = k, overlap
        if best < 0:
            clusters.append([i])
            centres.append(corners[i])
        else:
            clusters[best].append(i)
            centres[best] = _weighted_mean(corners, weight, clusters[best])

    return [
        Fused(
            xyxy=(centre[0], centre[1], centre[2], centre[3]),
            weight=sum(weight[i] for i in members) / len(members),
            members=tuple(sorted(members)),
            readers=tuple(sorted({readers[i] for i in members})),
            spread=1 - min(_iou(centre, corners[i]) for i in members) if len(members) > 1 else 0.0,
        )
        for members, centre in zip(clusters, centres, strict=True)
    ]


def _weighted_mean(corners: list[list[float]], weight: list[float], members: list[int]) -> list[float]:
    total = sum(weight[i] for i in members)
    return [sum(weight[i] * corners[i][side] for i in members) / total for side in range(4)]


def _iou(a: list[float], b: list[float]) -> float:
    """`iou` of two boxes: ten times faster than numpy for the handful of boxes that a picture has."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0  # the area of a box 5e-324 high is 0
