"""DICOM files made pictures, and looked at: in this process, or in as many others as there are cores."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, Self

from radloop import pixels, processes
from radloop.dataset import incoming
from radloop.dataset.incoming import Looked
from radloop.dicom import intake
from radloop.dicom.intake import Taken
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import EngineError
from radloop.pixels import Statistics
from radloop.recipe import Recipe


class Made(NamedTuple):
    """A picture, and what it measures."""

    taken: Taken
    looked: Looked
    measures: Statistics


class Maker:
    """Makes pictures; may be asked from many threads."""

    def __init__(self, out: Path, recipe: Recipe, *, frontal_only: bool, jobs: int) -> None:
        """With one job in this process."""
        self._make = partial(make, out, recipe, frontal_only)
        self._pool: ProcessPoolExecutor | None = processes.pool(jobs) if jobs > 1 else None

    def __call__(self, data: bytes) -> Made:
        """The picture of a file. Raises DicomError, with the code HELD where a person has to look first."""
        if self._pool is None:
            return self._make(data)
        try:
            return self._pool.submit(self._make, data).result()
        except BrokenProcessPool as died:
            raise EngineError(
                "a process that makes pictures has died: is there too little memory? Start again."
            ) from died

    def __enter__(self) -> Self:
        """Nothing more is started."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        if self._pool is not None:
            with suppress(BrokenProcessPool):
                self._pool.shutdown(cancel_futures=True)


def make(out: Path, recipe: Recipe, frontal_only: bool, data: bytes) -> Made:
    """`Maker`, in whatever process."""
    taken = intake.take(data, recipe, _pseudonyms(out), frontal_only=frontal_only)
    taken.require_released()
    gray = pixels.decode(taken.png)
    return Made(taken, incoming.measure(taken.png, gray), pixels.statistics(gray))


@cache
def _pseudonyms(out: Path) -> Pseudonyms:
    return Pseudonyms.open(out)
