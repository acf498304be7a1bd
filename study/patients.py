"""Synthetic patients: their pictures, what is truly in them, and what three readers drew of each."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop.catalog import truth
from radloop.sources import synthetic
from radloop.tables import EDGES, TRUTH

SIDE: Final = 128  # pixels of a picture


@dataclass(frozen=True)
class Cohort:
    """Patients in order, one picture each."""

    ids: list[str]
    pictures: npt.NDArray[np.uint8]  # (n, SIDE, SIDE)
    truth: pl.DataFrame  # TRUTH: what was drawn into the pictures
    readings: pl.DataFrame  # image_id, rad_id, class_id (null: nothing found), EDGES: of three readers

    @property
    def images(self) -> pl.DataFrame:
        """image_id, group: every patient is one."""
        return pl.DataFrame({"image_id": self.ids}).with_columns(group="image_id")

    def consensus(self) -> pl.DataFrame:
        """TRUTH: what at least two of the readers drew."""
        return truth.of(self.readings)

    def part(self, start: int, end: int) -> "Cohort":
        """The patients from one number to another."""
        ids = self.ids[start:end]
        here = pl.col("image_id").is_in(ids)
        return Cohort(ids, self.pictures[start:end], self.truth.filter(here), self.readings.filter(here))


def cohort(count: int, *, seed: int) -> Cohort:
    """The first `count` patients of a seed."""
    known = [synthetic.patient(index, seed=seed) for index in range(count)]
    rows = [
        (one.image_id, class_id, *box)
        for one in known
        for class_id, box in zip(one.classes.tolist(), np.clip(one.boxes, 0, 1).tolist(), strict=True)
    ]
    return Cohort(
        [one.image_id for one in known],
        np.stack([synthetic.picture(one, side_px=SIDE) for one in known]),
        pl.DataFrame(rows, schema=TRUTH, orient="row"),
        synthetic.readings(count, seed=seed).select("image_id", "rad_id", "class_id", *EDGES),
    )
