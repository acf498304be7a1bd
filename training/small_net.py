"""Shared by the small detectors of the project: the net, exposures, overlaps, and scores that mean what they say.

`training/train.py` makes the tiny detector of it, `study/net.py` one that learns in seconds. Neither is in the package.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional

GRIDS: Final = 2  # a fine and a coarse one

Floats = npt.NDArray[np.float64]
_OWN_COST: Final = 10.0  # of a class that wants a slope and a shift of its own


class Block(nn.Module):
    """A residual block with a narrow waist."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = convolution(channels, channels // 2, size=1)
        self.wide = convolution(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.wide(self.narrow(x))


class Pyramid(nn.Module):
    """A pyramid that knows where in the picture it is: four numbers and a score of each class for each cell.

    The cells are those of two grids.

    widths: channels of the stem's two steps, of the three levels, and of the heads. side: of the pictures, pixels.
    """

    def __init__(self, widths: tuple[int, int, int, int, int, int], *, side: int, classes: int) -> None:
        super().__init__()
        first, second, fine, coarse, whole, head_width = widths
        self.stem = nn.Sequential(convolution(1, first, stride=2), convolution(first, second, stride=2))
        self.fine = nn.Sequential(convolution(second + 2, fine, stride=2), Block(fine), Block(fine))
        self.coarse = nn.Sequential(convolution(fine, coarse, stride=2), Block(coarse), Block(coarse))
        self.whole = nn.Sequential(convolution(coarse, whole, stride=2), Block(whole))
        self.lateral = nn.ModuleList(convolution(channels, head_width, size=1) for channels in (fine, coarse, whole))
        self.smooth = nn.ModuleList(convolution(head_width, head_width) for _ in range(GRIDS))
        self.heads = nn.ModuleList(nn.Conv2d(head_width, 4 + classes, 1) for _ in range(GRIDS))
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
            nn.init.constant_(head.bias[4:], -4.6)  # one cell in a hundred, as focal losses like it
        across = (torch.arange(side // 4) + 0.5) / (side // 4) * 2 - 1
        self.register_buffer("where", torch.stack(torch.meshgrid(across, across, indexing="xy"))[None])

    def numbers(self, pictures: Tensor) -> Tensor:
        """The raw numbers, (n, 4 + classes, cells), of pictures in [0, 1]."""
        middle = pictures.mean(dim=(2, 3), keepdim=True)
        spread = (pictures - middle).square().mean(dim=(2, 3), keepdim=True).sqrt() + 0.02
        x = self.stem((pictures - middle) / spread)
        fine = self.fine(torch.cat([x, self.where.expand(len(pictures), -1, -1, -1)], dim=1))
        coarse = self.coarse(fine)
        whole = self.whole(coarse)
        top = self.lateral[1](coarse) + functional.interpolate(self.lateral[2](whole), scale_factor=2.0)
        low = self.lateral[0](fine) + functional.interpolate(top, scale_factor=2.0)
        answers = [
            head(smooth(level)).flatten(2)
            for head, smooth, level in zip(self.heads, self.smooth, (low, top), strict=True)
        ]
        return torch.cat(answers, dim=2)


def convolution(channels: int, out: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, size, stride, size // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


def exposed(pictures: npt.NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """How the pictures (n, side, side) look in another exposure: (n, 1, side, side) in [0, 1]."""
    shown = torch.from_numpy(pictures)[:, None].float() / 255
    gamma, gain, lift, grain = torch.from_numpy(
        rng.uniform([0.8, 0.85, -0.08, 0.0], [1.25, 1.1, 0.08, 0.02], (len(pictures), 4)).astype(np.float32)
    ).T[:, :, None, None, None]
    noise = torch.from_numpy(rng.standard_normal(shown.shape, dtype=np.float32))
    return (shown**gamma * gain + lift + grain * noise).clamp(0, 1)


def ious(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes (n, 4) cxcywh, pairwise."""
    a_low, a_high = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b_low, b_high = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(dim=1)
    union = a[:, 2:].prod(dim=1) + b[:, 2:].prod(dim=1) - shared
    hull = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).prod(dim=1)
    return shared / union, shared / union - (hull - union) / hull


def platt(
    logits: Floats,
    right: npt.NDArray[np.bool_],
    classes: npt.NDArray[np.int64],
    count: int,
    weights: Floats | float = 1.0,
) -> Floats:
    """Slope and shift of each of `count` classes, (2, count): a score is then the share of such boxes that are right.

    Platt 1999; rare classes lean on the slope and shift of all.
    """
    sign = np.where(right, 1.0, -1.0)

    def of_classes(numbers: Floats) -> Floats:
        return numbers[:2, None] + numbers[2:].reshape(2, count)

    def cost(numbers: Floats) -> tuple[float, Floats]:
        slope, shift = of_classes(numbers)
        margin = sign * (slope[classes] * logits + shift[classes])
        pull = -weights * sign * expit(-margin)
        own = np.concatenate([np.bincount(classes, each, minlength=count) for each in (pull * logits, pull)])
        lean = _OWN_COST * numbers[2:]
        value = (weights * np.logaddexp(0, -margin)).sum() + (lean * numbers[2:]).sum() / 2
        return value, np.concatenate([[own[:count].sum(), own[count:].sum()], own + lean])

    return of_classes(minimize(cost, np.r_[1.0, np.zeros(1 + 2 * count)], jac=True, method="L-BFGS-B").x)
