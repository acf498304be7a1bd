"""How often does each drift test alarm where there is no drift, and does it find what is there?

    python -m benchmarks.drift_calibration train.csv [--splits 2000]

Draws random pairs of sets from the images, so that nothing differs but by chance, and counts the alarms: of each
test at p ≤ 0.05, and of any after false-discovery control. Beside it the test that dashboards make, a
Kolmogorov-Smirnov test on the pooled boxes. Then the same for sets of the same images, which are tested in pairs: what
two readers of an image said, in random order. Then injects drifts into random pairs. Picture statistics are made up
(the annotations have none).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from benchmarks import annotations_csv
from radloop.measures import drift
from radloop.vindr.classes import TAXONOMY

PAIRS = ((1_000, 750), (11_500, 500))
TWICE = (100, 500)  # images in both sets
ANY = "any after false-discovery control"
Images = pl.DataFrame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--splits", type=int, default=2_000)
    options = parser.parse_args()
    table = annotations_csv.read(options.annotations).drop("split")
    images = with_pictures(drift.of_annotations(table, TAXONOMY), seed=1)
    for sizes in PAIRS:
        no_drift(table, images, sizes, options.splits)
    for count in TWICE:
        same_images(table, count, options.splits)
    for sizes in PAIRS:
        injected(images, sizes, max(options.splits // 10, 1))


def with_pictures(images: Images, *, seed: int) -> Images:
    """Add picture statistics that resemble radiographs'."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(130, 20, images.height)
    return images.with_columns(
        picture_mean=mean,
        picture_std=rng.normal(60, 8, images.height) - 0.1 * (mean - 130),
        picture_sharpness=rng.lognormal(4, 0.6, images.height),
    )


def draw(images: Images, sizes: tuple[int, int], seed: int) -> tuple[Images, Images]:
    """Two sets without a common image."""
    order = np.random.default_rng(seed).permutation(images.height)
    return images[order[: sizes[0]]], images[order[sizes[0] : sum(sizes)]]


def no_drift(table: pl.DataFrame, images: Images, sizes: tuple[int, int], splits: int) -> None:
    boxes = table.drop_nulls("x_min_norm").select("image_id", centre=(pl.col("x_min_norm") + pl.col("x_max_norm")) / 2)
    counted, pooled = Alarms(), 0
    for seed in range(splits):
        pair = draw(images, sizes, seed)
        counted.add(drift.compare(*pair))
        x = [boxes.join(part.select("image_id"), on="image_id", how="semi")["centre"].to_numpy() for part in pair]
        pooled += stats.ks_2samp(*x, method="asymp").pvalue <= 0.05
    print(f"\n{sizes[0]:,} against {sizes[1]:,} images, {splits:,} random pairs without drift: share of alarms")
    counted.show(splits)
    print(f"  {'for comparison: KS of x on pooled boxes':40} {pooled / splits:6.2%}")


def same_images(table: pl.DataFrame, count: int, splits: int) -> None:
    """Two readers of each of some abnormal images, who of them first by lot: nothing differs but by chance."""
    abnormal = table.join(table.drop_nulls("class_id"), on="image_id", how="semi")
    readings = drift.of_annotations(
        abnormal.with_columns(image_id=pl.format("{} {}", "image_id", "rad_id")), TAXONOMY
    ).with_columns(pl.col("image_id").str.split(" ").list.first())
    counted = Alarms()
    for seed in range(splits):
        images = readings["image_id"].unique().sort().sample(count, seed=seed)
        drawn = readings.filter(pl.col("image_id").is_in(images.implode())).sample(fraction=1, shuffle=True, seed=seed)
        place = pl.int_range(pl.len()).over("image_id")
        counted.add(drift.compare(*(drawn.filter(place == at).drop("readers") for at in (0, 1))))
    print(f"\nthe same {count:,} images twice, {splits:,} pairs without drift, tested in pairs: share of alarms")
    counted.show(splits)


class Alarms:
    """How often each test was made, and alarmed at p ≤ 0.05; and any of them after false-discovery control."""

    def __init__(self) -> None:
        self.tested: dict[str, int] = {}
        self.alarms: dict[str, int] = {}

    def add(self, figures: pl.DataFrame) -> None:
        any_alarm = bool((figures["q_value"] <= drift.FALSE_DISCOVERIES).any())
        for name, p_value in [*figures.select("summary", "p_value").iter_rows(), (ANY, 0 if any_alarm else 1)]:
            self.tested[name] = self.tested.get(name, 0) + (p_value is not None)
            self.alarms[name] = self.alarms.get(name, 0) + (p_value is not None and p_value <= 0.05)

    def show(self, splits: int) -> None:
        for name in sorted(filter(self.tested.get, self.tested), key=lambda name: name == ANY):
            note = f"   tested in {self.tested[name] / splits:.1%} of the pairs" if self.tested[name] < splits else ""
            print(f"  {name:40} {self.alarms[name] / self.tested[name]:6.2%}{note}")


def injected(images: Images, sizes: tuple[int, int], splits: int) -> None:
    lost = np.random.default_rng(5).random(images.height) < 0.5
    forget = pl.col("class_3") & ~pl.Series(lost)
    changes: dict[str, tuple[str, Callable[[Images], Images]]] = {
        "boxes 8 % of the height lower": ("y", lambda part: part.with_columns(pl.col("y") + 0.08)),
        "pictures 5 % brighter": ("picture_mean", lambda part: part.with_columns(pl.col("picture_mean") * 1.05)),
        "half of the cardiomegaly missed": ("class_3", lambda part: part.with_columns(class_3=pl.col("forgotten"))),
    }
    images = images.with_columns(forgotten=forget)
    print(f"\n{sizes[0]:,} against {sizes[1]:,} images, {splits} pairs each: share of pairs with the verdict")
    for title, (summary, change) in changes.items():
        found = []
        for seed in range(splits):
            first, second = draw(images, sizes, seed)
            figures = drift.compare(first.drop("forgotten"), change(second).drop("forgotten"))
            found += figures.filter(pl.col("summary") == summary)["verdict"].to_list()
        print(f"  {title:36} {summary:14} drift {found.count('drift') / splits:6.1%}")
    found = []
    for seed in range(splits):
        first, second = other_readers(images.drop("forgotten"), sizes, seed)
        found += drift.compare(first, second).filter(pl.col("summary") == "finding")["verdict"].to_list()
    shares = "  ".join(f"{verdict} {found.count(verdict) / splits:.1%}" for verdict in ("readers", "unclear", "drift"))
    print(f"  {'R8, R9 and R10 read 40 % less':36} {'finding':14} {shares}")


def other_readers(images: Images, sizes: tuple[int, int], seed: int) -> tuple[Images, Images]:
    """Two sets, in the second of which three readers (who see nearly all findings) read fewer of the images."""
    rng = np.random.default_rng(seed)
    weight = np.where((images["readers"] == "R10+R8+R9").to_numpy(), 0.6, 1.0)
    second = rng.choice(images.height, sizes[1], replace=False, p=weight / weight.sum())
    rest = np.setdiff1d(np.arange(images.height), second)
    return images[rng.choice(rest, sizes[0], replace=False)], images[second]


if __name__ == "__main__":
    main()
