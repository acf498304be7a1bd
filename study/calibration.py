"""A score that means what it says: the share of such boxes that are right, by class (Platt 1999)."""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

Floats = npt.NDArray[np.float64]
_OWN_COST: Final = 10.0  # of a class that wants a slope and a shift of its own


def platt(logits: Floats, right: npt.NDArray[np.bool_], classes: npt.NDArray[np.int64], count: int) -> Floats:
    """Slope and shift of each of `count` classes, (2, count); rare classes lean on those of all."""
    sign = np.where(right, 1.0, -1.0)

    def of_classes(numbers: Floats) -> Floats:
        return numbers[:2, None] + numbers[2:].reshape(2, count)

    def cost(numbers: Floats) -> tuple[float, Floats]:
        slope, shift = of_classes(numbers)
        margin = sign * (slope[classes] * logits + shift[classes])
        pull = -sign * expit(-margin)
        own = np.concatenate([np.bincount(classes, each, minlength=count) for each in (pull * logits, pull)])
        lean = _OWN_COST * numbers[2:]
        value = np.logaddexp(0, -margin).sum() + (lean * numbers[2:]).sum() / 2
        return value, np.concatenate([[own[:count].sum(), own[count:].sum()], own + lean])

    return of_classes(minimize(cost, np.r_[1.0, np.zeros(1 + 2 * count)], jac=True, method="L-BFGS-B").x)
