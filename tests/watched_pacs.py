"""A folder with a small dataset and a PACS in memory, watched."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import made_up
from dicom_files import dicom, gray, uid_of
from memory_pacs import MemoryPacs
from radloop import detectors
from radloop.dicom import report_reader
from radloop.options import Etl, Watch
from radloop.pipelines import offline, watching
from radloop.predictions import Predictions
from radloop.recipe import Recipe
from radloop.split_sizes import SplitSizes
from taxonomies import VINDR

SMALL = Recipe(size_px=128)
SIZES = SplitSizes.parse("training=18,validation=4,test=6,staging=4,canary=2,production=6")


class Sure:
    """A detector that finds the same two boxes in every picture."""

    name, version = "sure", "1"

    def __init__(self, before=lambda picture: None):
        self.asked: Counter[str] = Counter()
        self._before = before

    def predict(self, picture):
        self.asked[picture.image_id] += 1
        self._before(picture)
        return Predictions.sorted([0, 12], [0.95, 0.5], [(0.5, 0.5, 0.2, 0.1), (0.25, 0.75, 0.1, 0.3)])


def build(folder: Path) -> Path:
    """OUT with a dataset, made once and linked by `linked`."""
    films = made_up.films(folder / "films")
    offline.etl(Etl(out=folder / "out", source=str(films), sizes=SIZES, jobs=1))
    return folder / "out"


def linked(built: Path, out: Path) -> Path:
    shutil.copytree(built, out, copy_function=os.link)
    return out


def radiograph(number: int, **tags) -> bytes:
    """An image of a study of its own, unless `tags` say otherwise."""
    return dicom(gray(64, 48, seed=number), number=number, **tags)


def same_study(number: int, study: int, **tags) -> bytes:
    return radiograph(number, StudyInstanceUID=uid_of(study, 3), PatientID=f"P{study:05}", **tags)


def options(out: Path, **told) -> Watch:
    told = {"pacs": "memory", "detector": "random", "once": True, "jobs": 1, "recipe": SMALL, **told}
    return Watch(out=out, **told)


def watch(out: Path, pacs: MemoryPacs, *, detector=None, **told) -> watching.Watched:
    made = detector or detectors.create("random", VINDR)
    return watching.watch(options(out, **told), pacs=pacs, detector=made)


def feedback(out: Path) -> dict[str, list[dict]]:
    """{image_id: every feedback on it}."""
    found: dict[str, list[dict]] = {}
    for path in sorted((out / "feedback").glob("*.json")):
        told = json.loads(path.read_bytes())
        found.setdefault(told["image_id"], []).append(told)
    return found


def reviews(out: Path) -> list[dict]:
    return [json.loads(path.read_bytes()) for path in sorted((out / "reviews").glob("*.json"))]


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "logs/watch.log").read_text().splitlines()]


def reports(pacs: MemoryPacs) -> list[report_reader.Report]:
    return [report_reader.read(data) for data in pacs.reports]
