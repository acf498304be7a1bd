"""How often does a challenger pass whose true difference is known, and how often was it said that it would?

    python -m benchmarks.gates [--pairs 400] [--images 300,1000] [--agreement 0.9] [--rows FILE]

Two models answer on the same images: what is hard about an image or a box, or looks like a finding and is none, is so
for both, to `agreement` (the correlation of their evidence for one box). The true mAP of each is that of the same model
on 150,000 images. Of each set of images the power is computed from the champion's boxes alone, as `radloop compare`
does, and then an equal challenger, one that is worse by 0.03 and one that is better by 0.03 take the test. FILE keeps
every answer: a run that was stopped goes on from it.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop.catalog.gates import ALPHA
from radloop.measures import evaluation, intervals, power
from radloop.measures.bootstrap import RESAMPLES
from radloop.measures.evaluation import DrawnPrecision
from radloop.tables import CLASS_ID
from radloop.taxonomy import Taxonomy

Floats = npt.NDArray[np.float64]

RATES: Final = (0.3, 0.22, 0.15, 0.12, 0.1, 0.08, 0.05, 0.04, 0.03, 0.02)  # boxes an image of each class
SICK: Final = 0.3  # the share of images with a finding, in data like VinDr-CXR
FALSE: Final = 0.25  # what looks like a finding of a class and is none, an image
HARD: Final = 0.3  # the share of the evidence's variance that the boxes of an image have in common
SEPARATION: Final = np.linspace(0.7, 1.1, len(RATES))  # of the evidence for true boxes, by class
SHOWN: Final = -0.5  # evidence below it makes no box
CLASSES: Final = Taxonomy(tuple(f"class {number}" for number in range(len(RATES))))
KINDS: Final = {"equal": 0.0, "worse": -0.03, "better": 0.03}
LARGE: Final = 150_000


@dataclass(frozen=True)
class Case:
    """What there is to answer to on some images: each box's image, class and whether it is true."""

    images: int
    image: npt.NDArray[np.int64]
    class_id: npt.NDArray[np.int64]
    true: npt.NDArray[np.bool_]
    shared: Floats  # evidence that every model sees, of variance 1

    @classmethod
    def draw(cls, rng: np.random.Generator, images: int) -> "Case":
        sick, hard = rng.random(images) < SICK, rng.standard_normal(images)
        image, class_id, true = [], [], []
        for number, rate in enumerate(RATES):
            counts = rng.poisson(rate / SICK * sick), rng.poisson(FALSE, images)
            for is_true, count in zip((True, False), counts, strict=True):
                image.append(np.repeat(np.arange(images), count))
                class_id.append(np.full(count.sum(), number))
                true.append(np.full(count.sum(), is_true))
        place, is_true = np.concatenate(image), np.concatenate(true)
        own = rng.standard_normal(len(place))
        common = np.where(is_true, np.sqrt(HARD) * hard[place] + np.sqrt(1 - HARD) * own, own)
        return cls(images, place, np.concatenate(class_id), is_true, common)

    def evidence(self, rng: np.random.Generator, agreement: float, lift: float) -> Floats:
        """What one model sees in each box; `lift`: how much more of the true ones than the champion does."""
        seen = np.sqrt(agreement) * self.shared + np.sqrt(1 - agreement) * rng.standard_normal(len(self.true))
        return np.asarray(seen + np.where(self.true, SEPARATION[self.class_id] + lift, 0.0))

    def boxes(self, evidence: Floats) -> pl.DataFrame:
        """As `evaluation.match` gives them."""
        rows = np.flatnonzero(evidence > SHOWN)
        rows = rows[np.argsort(-evidence[rows])]
        table = {
            "image_id": self.names[self.image[rows]],
            "class_id": pl.Series(self.class_id[rows], dtype=CLASS_ID),
            "confidence": 1 / (1 + np.exp(-evidence[rows])),
            "correct": self.true[rows],
        }
        return pl.DataFrame(table)

    @property
    def names(self) -> pl.Series:
        return pl.Series([f"{number:06d}" for number in range(self.images)])

    @property
    def looked(self) -> pl.DataFrame:
        return pl.DataFrame({"image_id": self.names, "group": self.names})

    @property
    def truth(self) -> pl.DataFrame:
        rows = np.flatnonzero(self.true)
        return pl.DataFrame(
            {"image_id": self.names[self.image[rows]], "class_id": pl.Series(self.class_id[rows], dtype=CLASS_ID)}
        )

    def precision(self, evidence: Floats) -> float:
        """mAP without draws."""
        found = []
        for number in range(len(RATES)):
            rows = np.flatnonzero((self.class_id == number) & (evidence > SHOWN))
            correct = self.true[rows[np.argsort(-evidence[rows])]]
            known = np.array([(self.true & (self.class_id == number)).sum()], dtype=np.float64)
            found.append(evaluation.precision_at(np.ones((len(rows), 1)), correct, known).mean())
        return float(np.mean(found))


def lifts(*, images: int = LARGE, seed: int = 0) -> dict[str, float]:
    """How much more a challenger has to see of true boxes for its true mAP to differ as KINDS say."""
    rng = np.random.default_rng(seed)
    case = Case.draw(rng, images)
    evidence = case.evidence(rng, 0.5, 0.0)
    usual = case.precision(evidence)
    found = {}
    for kind, wanted in KINDS.items():
        low, high = (-0.5, 0.5) if wanted else (0.0, 0.0)
        for _ in range(14 if wanted else 0):
            middle = (low + high) / 2
            differs = case.precision(evidence + np.where(case.true, middle, 0.0)) - usual
            low, high = (middle, high) if differs < wanted else (low, middle)
        found[kind] = (low + high) / 2
    return found


def play(
    rng: np.random.Generator,
    images: int,
    lifted: Mapping[str, float],
    *,
    agreement: float,
    alpha: float,
    resamples: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """One set of images: a row for each kind of challenger."""
    case = Case.draw(rng, images)
    champion, asked = case.boxes(case.evidence(rng, agreement, 0.0)), {"resamples": resamples}
    given = (case.truth, case.looked, CLASSES)
    plan = power.plan(champion, *given, alpha=alpha, **asked)
    own = DrawnPrecision.of_matched(champion, *given, **asked)
    rows = []
    for kind, lift in lifted.items():
        other = DrawnPrecision.of_matched(case.boxes(case.evidence(rng, agreement, lift)), *given, **asked)
        drawn = other.ap[-1:] - own.ap[-1:]
        difference, spread = float(drawn[0, 0]), float(intervals.spread(drawn)[0])
        told = {
            "said": plan.passing(KINDS[kind]),
            "margin": plan.margin,
            "needed": plan.images_needed,
            "planned": plan.spread,
            "spread": spread,
            "difference": difference,
            "bound": power.lower_bound(difference, spread, plan.groups, alpha),
            "percentile": float(np.nanquantile(drawn[0, 1:], alpha)),
            "basic": 2 * difference - float(np.nanquantile(drawn[0, 1:], 1 - alpha)),
        }
        rows.append({"images": images, "kind": kind, "mAP": float(own.ap[-1, 0]), **told})
    return rows


def summary(rows: pl.DataFrame) -> pl.DataFrame:
    """By number of images and kind: the share that passes, the power that was said, and by which bound how many."""
    bounds = ("bound", "percentile", "basic")
    passes = {bound: (pl.col(bound) > -pl.col("margin")).mean().alias(f"passed_{bound}") for bound in bounds}
    wrong = {
        bound: (pl.col(bound) > pl.col("kind").replace_strict(KINDS)).mean().alias(f"above_{bound}") for bound in bounds
    }
    return rows.group_by("images", "kind", maintain_order=True).agg(
        pl.len().alias("pairs"),
        pl.col("mAP", "margin", "said", "planned", "spread").mean(),
        pl.col("difference").mean(),
        pl.col("difference").std().alias("error"),
        pl.col("needed").median(),
        *passes.values(),
        *wrong.values(),
    )


def run(
    pairs: int,
    images: Sequence[int],
    *,
    agreement: float,
    alpha: float = ALPHA,
    rows: Path | None = None,
    large: int = LARGE,
) -> pl.DataFrame:
    """`play` as often as asked; the seed of a set of images is its number. rows: what was played before lies there."""
    lifted = lifts(images=large)
    told = [json.loads(line) for line in rows.read_text().splitlines()] if rows and rows.exists() else []
    done = {(row["images"], row["seed"]) for row in told}
    for seed, count in ((seed, count) for seed in range(pairs) for count in images):
        if (count, seed) not in done:
            rng = np.random.default_rng([seed, count])
            new = [row | {"seed": seed} for row in play(rng, count, lifted, agreement=agreement, alpha=alpha)]
            told += new
            if rows:
                with rows.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in new)
    return pl.DataFrame(told).sort("images", maintain_order=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--images", default="300,1000")
    parser.add_argument("--agreement", type=float, default=power.AGREEMENT)
    parser.add_argument("--alpha", type=float, default=ALPHA)
    parser.add_argument("--rows", type=Path)
    chosen = parser.parse_args()
    images = [int(count) for count in chosen.images.split(",")]
    found = summary(run(chosen.pairs, images, agreement=chosen.agreement, alpha=chosen.alpha, rows=chosen.rows))
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=300, float_precision=4, tbl_hide_dataframe_shape=True):
        print(found)


if __name__ == "__main__":
    main()
