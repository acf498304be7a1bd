"""What radloop is measured against. Each function gets ready and returns the work that is timed (benchmarks/turn.py).

At the top only the standard library: this file also runs in the opponents' own environment, and the peak memory of a
program that is started from here is not that of a large Python process.
"""

import csv
import dataclasses
import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NO_FINDING = "14"


def floor(given: Path, fresh: Path) -> Callable[[], int]:
    """The C program that only makes the files, their bytes and the links."""
    fresh.mkdir()

    def work() -> int:
        subprocess.run([given / "floor", "write", given / "list", fresh, given / "pictures"], check=True)
        return int((given / "count").read_text())

    return work


def floor_read(given: Path, fresh: Path) -> Callable[[], int]:
    """The same program, which only opens, reads and closes every file of the folder `given`/feedback."""
    return lambda: int(
        subprocess.run([given / "floor", "read", given / "feedback"], check=True, capture_output=True).stdout
    )


def script(given: Path, fresh: Path) -> Callable[[], int]:
    """As the description reads: a loop over the rows, a search of the lists for the split, a copy for each reader."""
    split_lists: dict[str, list[str]] = json.loads((given / "splits.json").read_text())

    def work() -> int:
        for split in split_lists:
            (fresh / split / "images").mkdir(parents=True)
            (fresh / split / "labels").mkdir()
        grouped: dict[tuple[str, str], list[dict[str, str]]] = {}
        with (given / "annotations.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                grouped.setdefault((row["image_id"], row["rad_id"]), []).append(row)
        for (image_id, rad_id), rows in grouped.items():
            split = next(name for name, members in split_lists.items() if image_id in members)
            with (fresh / split / "labels" / f"{image_id}_{rad_id}.txt").open("w") as label:
                for row in rows:
                    if row["class_id"] != NO_FINDING:
                        width, height = float(row["width"]), float(row["height"])
                        x_min, x_max = float(row["x_min"]) / width, float(row["x_max"]) / width
                        y_min, y_max = float(row["y_min"]) / height, float(row["y_max"]) / height
                        label.write(f"{row['class_id']} {(x_min + x_max) / 2:.6f} {(y_min + y_max) / 2:.6f} ")
                        label.write(f"{x_max - x_min:.6f} {y_max - y_min:.6f}\n")
            picture = fresh / split / "images" / f"{image_id}_{rad_id}.png"
            shutil.copy(given / "pictures" / f"{image_id}.png", picture)
        return len({image_id for image_id, _ in grouped})

    return work


def supervision(given: Path, fresh: Path) -> Callable[[], int]:
    """supervision's export of the labels; its pictures must have distinct names, so each reading has a link."""
    import numpy as np
    import supervision as sv

    fresh.mkdir()
    annotations = {}
    for image_id, rad_id, classes, corners in _readings(given):
        link = fresh / f"{image_id}_{rad_id}.png"
        os.link(given / "pictures" / f"{image_id}.png", link)
        xyxy = np.array(corners, dtype=float).reshape(-1, 4) * 1024
        annotations[str(link)] = sv.Detections(xyxy=xyxy, class_id=np.array(classes, dtype=int))
    dataset = sv.DetectionDataset([str(number) for number in range(14)], list(annotations), annotations)

    def work() -> int:
        dataset.as_yolo(annotations_directory_path=str(fresh / "labels"))
        return int((given / "count").read_text())

    return work


def supervision_coco(given: Path, fresh: Path) -> Callable[[], int]:
    """supervision's way from the tree to COCO, a split at a time."""
    import supervision as sv

    organized = given / "organized"

    def work() -> int:
        for split in sorted(path.name for path in organized.iterdir() if path.is_dir()):
            folder = organized / split
            read = sv.DetectionDataset.from_yolo(
                str(folder / "images"), str(folder / "labels"), str(organized / "data.yaml")
            )
            read.as_coco(annotations_path=str(fresh / f"{split}.json"))
        return int((given / "count").read_text())

    return work


def datumaro(given: Path, fresh: Path, *, sized: bool = True) -> Callable[[], int]:
    """Datumaro's export without pictures. Where it is not told their sizes it opens each one."""
    import datumaro as dm
    from datumaro.components.media import Image

    items = [
        dm.DatasetItem(
            f"{image_id}_{rad_id}",
            subset="train",
            media=Image.from_file(str(given / "pictures" / f"{image_id}.png"), size=(1024, 1024) if sized else None),
            annotations=[
                dm.Bbox(1024 * x1, 1024 * y1, 1024 * (x2 - x1), 1024 * (y2 - y1), label=label)
                for label, (x1, y1, x2, y2) in zip(classes, corners, strict=True)
            ],
        )
        for image_id, rad_id, classes, corners in _readings(given)
    ]
    dataset = dm.Dataset.from_iterable(items, categories=[str(number) for number in range(14)])

    def work() -> int:
        dataset.export(str(fresh), "yolo", save_media=False)
        return int((given / "count").read_text())

    return work


def _readings(given: Path) -> list[Any]:
    readings: list[Any] = json.loads((given / "readings.json").read_text())
    return readings


def pillow(given: Path, fresh: Path, *, all_columns: bool) -> Callable[[], int]:
    """What a careful script does with Pillow, imagehash and numpy; with `all_columns` all that radloop's pass does."""
    import imagehash
    import numpy as np
    from PIL import Image
    from scipy import ndimage

    def look(path: Path) -> tuple[object, ...]:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
        with Image.open(io.BytesIO(data)) as image:
            gray = image.convert("L")
        pixels = np.asarray(gray)
        row = (len(data), hashlib.md5(data).hexdigest(), pixels.mean(), pixels.std(), imagehash.phash(gray))
        if all_columns:
            row += (hashlib.md5(pixels.tobytes()).hexdigest(), ndimage.laplace(pixels.astype(np.float32)).var())
        return row

    paths = sorted(given.glob("*.png"))
    look(paths[0])  # what is loaded on first use
    return lambda: len([look(path) for path in paths])


def only_open(given: Path, fresh: Path) -> Callable[[], int]:
    """Open and read every file from Python, and nothing else."""

    def work() -> int:
        count = 0
        for entry in os.scandir(given / "feedback"):
            with open(entry.path, "rb") as file:
                count += len(file.read()) > 0
        return count

    return work


def only_open_low(given: Path, fresh: Path) -> Callable[[], int]:
    """The least that Python can do: the system's calls, without the objects around them."""

    def work() -> int:
        folder = os.open(given / "feedback", os.O_RDONLY)
        count = 0
        for name in os.listdir(folder):
            file = os.open(name, os.O_RDONLY, dir_fd=folder)
            count += len(os.read(file, 16384)) > 0
            os.close(file)
        return count

    return work


def pandas_json(given: Path, fresh: Path) -> Callable[[], int]:
    """json.load for each file, and a DataFrame of all."""
    import pandas

    def work() -> int:
        rows = []
        for entry in os.scandir(given / "feedback"):
            with open(entry.path) as file:
                rows.append(json.load(file))
        return len(pandas.DataFrame(rows))

    return work


DETECTIONS = [
    {"class_id": 0, "class_name": "Aortic enlargement", "confidence": 0.9, "bbox": [0.5, 0.4, 0.1, 0.1]},
    {"class_id": 3, "class_name": "Cardiomegaly", "confidence": 0.6, "bbox": [0.5, 0.6, 0.3, 0.2]},
]


# What radloop's feedback says of each picture and of the run.
OF_A_PICTURE = {
    "split": "test",
    "image_md5": 32 * "0",
    "image_phash": 16 * "0",
    "picture": {"mean": 127.5, "std": 73.9, "sharpness": 54321.0},
    "model": {"name": "at-once", "version": "1"},
}
OF_A_RUN = {
    "run_id": "20261130T000000-00000000",
    "simulated": {"site": "north", "view": "PA", "device": "DX-1"},
    "schema_version": 1,
}


@dataclasses.dataclass(frozen=True)
class Ward:
    """Where the loops of Locust and of plain threads write: as a careful script would, with the standard library."""

    feedback: Path
    log: int  # a descriptor that appends: a line is one write
    pictures: dict[Path, bytes] = dataclasses.field(default_factory=dict)  # each is read once

    @classmethod
    def open(cls, fresh: Path) -> "Ward":
        """The folder of feedback, and the log beside it."""
        (fresh / "feedback").mkdir(parents=True)
        return cls(fresh / "feedback", os.open(fresh / "log.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT))

    def show(self, path: Path) -> tuple[float, int]:
        """One request: take a picture, ask the detector, write the feedback, then its line; milliseconds and bytes."""
        data = self.pictures.get(path) or self.pictures.setdefault(path, path.read_bytes())
        arrived, started = datetime.now(UTC), time.perf_counter()
        detections = DETECTIONS
        elapsed_ms = (time.perf_counter() - started) * 1000
        feedback = {
            "image_id": path.stem,
            **{name: detections[0][name] for name in ("class_id", "confidence", "bbox")},
            "timestamp": datetime.now(UTC).isoformat(),
            "class_name": detections[0]["class_name"],
            "detections": detections,
            **OF_A_PICTURE,
            "latency_ms": elapsed_ms,
            "stage": 1,
            "arrived_at": arrived.isoformat(),
            "feedback_id": uuid.uuid4().hex,
            **OF_A_RUN,
        }
        name = self.write(feedback)
        line = {
            "time": datetime.now(UTC).isoformat(),
            "event": "request",
            "stage": 1,
            **{name: feedback[name] for name in ("run_id", "image_id", "latency_ms", "class_id", "confidence")},
            "file": name,
        }
        os.write(self.log, json.dumps(line).encode() + b"\n")
        return elapsed_ms, len(data)

    def write(self, feedback: dict[str, Any]) -> str:
        """Write the feedback whole or not at all, and over no other: a temporary file, and a link to its name."""
        image_id, feedback_id = feedback["image_id"], feedback["feedback_id"]
        temporary = f"{self.feedback}/.{feedback_id}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(descriptor, json.dumps(feedback, indent=2).encode())
        finally:
            os.close(descriptor)
        try:
            for name in (f"{image_id}.json", f"{image_id}.{feedback_id}.json"):
                try:
                    os.link(temporary, f"{self.feedback}/{name}")
                except FileExistsError:
                    continue
                return name
            raise FileExistsError(feedback_id)
        finally:
            os.unlink(temporary)

    def count(self) -> int:
        """How many feedback files there are."""
        return len(os.listdir(self.feedback))


def threads(given: Path, fresh: Path, *, seconds: float, workers: int) -> Callable[[], int]:
    """A thread for each worker, which shows one picture after the other."""
    pictures = sorted((given / "store" / "test" / "images").iterdir())
    ward = Ward.open(fresh)

    def worker(end: float) -> None:
        for path in itertools.cycle(pictures):
            if time.perf_counter() >= end:
                break
            ward.show(path)

    def work() -> int:
        end = time.perf_counter() + seconds
        started = [threading.Thread(target=worker, args=(end,)) for _ in range(workers)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return ward.count()

    return work


def locust(given: Path, fresh: Path, *, seconds: float, workers: int) -> Callable[[], int]:
    """Locust as a library, without its web page: a User without a pause, a request event fired by hand."""
    import gevent
    from locust import User, constant, task
    from locust.env import Environment

    turns = itertools.cycle(sorted((given / "store" / "test" / "images").iterdir()))
    ward = Ward.open(fresh)

    class Hospital(User):
        wait_time = constant(0)

        @task
        def request(self) -> None:
            elapsed_ms, size = ward.show(next(turns))
            self.environment.events.request.fire(
                request_type="infer", name="detector", response_time=elapsed_ms, response_length=size, context={}
            )

    runner = Environment(user_classes=[Hospital]).create_local_runner()

    def work() -> int:
        gevent.get_hub().loop.update_now()  # its clock stood still since the imports
        runner.start(workers, spawn_rate=workers)
        gevent.spawn_later(seconds, runner.quit)
        runner.greenlet.join()
        return ward.count()

    return work


def json_to_tables(given: Path, fresh: Path) -> Callable[[], int]:
    """json.loads, and each list of the COCO file as a table on the disk."""
    import polars as pl

    fresh.mkdir()

    def work() -> int:
        document = json.loads(next(given.glob("annotations/*.json")).read_bytes())
        for name in ("images", "annotations", "categories"):
            pl.DataFrame(document[name]).write_parquet(fresh / f"{name}.parquet")
        return len(document["images"])

    return work


def datumaro_import(given: Path, fresh: Path) -> Callable[[], int]:
    """Datumaro's import of the COCO file."""
    import datumaro as dm

    def work() -> int:
        return len(dm.Dataset.import_from(str(given), "coco"))

    return work
