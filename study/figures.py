"""What the seeds say together: gains over no new label, areas under them, and intervals over patients and seeds."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BASELINE: Final = "random"  # that the other orders are compared with
NOTHING: Final = "nothing"
_ENDS: Final = (2.5, 97.5)


def summary(seeds: list[Mapping[str, list[Mapping[str, Any]]]]) -> dict[str, dict[str, Any]]:
    """Of each arm: its rounds, and where minutes are spent the area under gain against minutes, beside random's.

    A draw takes seeds and test patients with replacement, the same for every arm: differences are paired.
    """
    shared = [name for name in seeds[0] if all(name in one for one in seeds)]
    scores = {name: _scores(seeds, name) for name in shared}  # [seed, round, draw]
    chosen = _seeds(len(seeds), scores[NOTHING].shape[2])
    floor = scores[NOTHING][:, :1]
    gains = {name: _mean(score - floor, chosen) for name, score in scores.items()}  # [round, draw]
    levels = {name: _mean(score, chosen) for name, score in scores.items()}
    minutes = {
        name: np.array([[one["minutes"] for one in seed[name]] for seed in seeds]).mean(axis=0) for name in shared
    }
    areas = {name: area(minutes[name], gains[name]) for name in shared if minutes[name][-1] > 0}
    return {
        name: {
            "rounds": [
                {
                    "minutes": None if np.isnan(spent) else round(float(spent), 1),
                    "images": _of(seeds, name, number, "images"),
                    "boxes": _of(seeds, name, number, "boxes"),
                    "map": interval(levels[name][number]),
                    "gain": interval(gains[name][number]),
                }
                for number, spent in enumerate(minutes[name])
            ],
            "ap": [round(float(one), 4) for one in np.mean([seed[name][-1]["ap"] for seed in seeds], axis=0)],
            **_compared(name, areas, gains),
        }
        for name in shared
    }


def area(minutes: Floats, gains: Floats) -> Floats:
    """The mean gain over the minutes from none to the last, by trapezia: (draws,) of (rounds,) and (rounds, draws).

    >>> area(np.array([10.0, 20.0]), np.array([[0.2], [0.2]]))
    array([0.15])
    """
    x = np.concatenate([[0.0], minutes])
    y = np.concatenate([np.zeros((1, gains.shape[1])), gains])
    under: Floats = ((y[1:] + y[:-1]) / 2 * np.diff(x)[:, None]).sum(axis=0) / x[-1]
    return under


def interval(draws: Floats) -> list[float]:
    """The figure (draw 0) and the ends of its 95 % interval (the other draws)."""
    low, high = np.percentile(draws[1:], _ENDS)
    return [round(float(one), 4) for one in (draws[0], low, high)]


def _compared(name: str, areas: Mapping[str, Floats], gains: Mapping[str, Floats]) -> dict[str, Any]:
    if name not in areas or BASELINE not in areas:
        return {}
    own, other = areas[name], areas[BASELINE]
    return {
        "area": interval(own),
        "times_random": interval(own / other),
        "area_over": {one: interval(own - area) for one, area in areas.items() if one != name},
        "over_random": interval(gains[name][-1] - gains[BASELINE][-1]),
    }


def _scores(seeds: list[Mapping[str, list[Mapping[str, Any]]]], name: str) -> Floats:
    return np.array([[one["map"] for one in seed[name]] for seed in seeds], dtype=np.float64)


def _seeds(count: int, draws: int) -> npt.NDArray[np.int64]:
    """Which seeds each draw takes, [draw, place]; draw 0 takes each once."""
    drawn = np.random.default_rng(0).integers(count, size=(draws, count))
    drawn[0] = np.arange(count)
    return drawn


def _mean(scores: Floats, chosen: npt.NDArray[np.int64]) -> Floats:
    """[round, draw] of [seed, round, draw]."""
    return np.stack([scores[seeds, :, draw].mean(axis=0) for draw, seeds in enumerate(chosen)], axis=1)


def _of(seeds: list[Mapping[str, list[Mapping[str, Any]]]], name: str, number: int, what: str) -> float:
    return round(float(np.mean([np.sum(seed[name][number][what]) for seed in seeds])), 1)
