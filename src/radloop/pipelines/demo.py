"""The whole job on embedded defaults: made-up patients, a folder as the store, no account and no network."""

from dataclasses import dataclass
from pathlib import Path

from radloop.dataset.splits import SplitSizes
from radloop.errors import DatasetError
from radloop.pipelines import checking, offline
from radloop.pipelines.checking import Report
from radloop.pipelines.offline import Loaded
from radloop.progress import Progress, silent


@dataclass(frozen=True)
class Demonstration:
    """What the demo made, and that it is sound."""

    out: Path
    store: Path
    offline: Loaded
    checked: Report


def run(
    out: Path, *, images: int, sizes: SplitSizes, seed: int = 0, jobs: int = 1, progress: Progress = silent
) -> Demonstration:
    """Generate, build, publish and check a dataset of made-up patients under `out`.

    Raises DatasetError where the check finds anything: then radloop is broken, and the demo must not look well.
    """
    store = out / "store"
    loaded = offline.etl(
        f"synthetic:{images}",
        out,
        str(store),
        extracting={"seed": seed, "jobs": jobs},
        transforming={"seed": seed, "sizes": sizes, "jobs": jobs},
        progress=progress,
    )
    report = checking.check(store, progress=progress)
    if not report.sound:
        raise DatasetError(
            f"{store}: the demo's own dataset is not sound. Please report it with `radloop check {store}`."
        )
    return Demonstration(out, store, loaded, report)
