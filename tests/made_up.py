"""A folder of made-up films, as a user has one: train.csv, train_meta.csv, train/*.png; small, so that it is fast."""

import csv
from pathlib import Path

from radloop.sources import synthetic
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR

SIDE_PX = 64


def films(folder: Path, count: int = 40, *, seed: int = 0, classes: Taxonomy = VINDR) -> Path:
    """`count` patients in `folder`."""
    synthetic.generate(folder, count, seed=seed, jobs=1, classes=classes, side_px=SIDE_PX)
    (folder / "synthetic.json").unlink()
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of train.csv."""
    with (folder / "train.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(folder: Path, changed: list[dict[str, str]]) -> None:
    """Put other rows in the place of train.csv's."""
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(changed[0]))
        writer.writeheader()
        writer.writerows(changed)
