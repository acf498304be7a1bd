"""A day of a hospital around a real Orthanc: a modality, the watcher, a reader, and what kills them.

    python tests/hospital_day.py [--studies 200] [--kills 10] [--per-second 0.5] [--out FOLDER]     prints what it found

`--kills` is of each: the watcher (SIGKILL), Orthanc (SIGKILL) and the network (every connection reset, none let in).
Nothing here waits for a clock: a kill comes when so many studies have a report, and is undone when the watcher says
that it waits.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import made_up
from radloop import domain
from radloop.catalog import incoming, truth, version
from radloop.dicom import quarantine, report, wrapping
from radloop.dicom.pseudonyms import FOLDER
from radloop.dicom.report import Box, Observed, Person
from radloop.options import Etl, Load, Retrain, Transform, Watch
from radloop.pacs import Instance
from radloop.pacs.client import Client
from radloop.pipelines import offline, retraining, watching
from radloop.split_sizes import SplitSizes
from radloop.tables import EDGES
from structured_reports import keyed
from taxonomies import VINDR

if TYPE_CHECKING:
    from pacs_server import Pacs  # pytest has to be the first that imports it

SMALLER = 16  # so many times smaller than real radiographs are the originals here
HOME_SIZES = SplitSizes.parse("training=18,validation=4,test=6,staging=4,canary=2,production=6")
CORNERS = ("x_min", "y_min", "x_max", "y_max")
READER = Person("Reader^One")
MOST_SECONDS = 900


def films(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Made-up films whose originals were a little larger than their pictures."""
    made_up.films(folder, count, seed=seed)
    rows = made_up.rows(folder)
    for row in rows:
        row.update({name: str(float(row[name]) / SMALLER) for name in CORNERS if row[name]})
    made_up.write_rows(folder, rows)
    with (folder / "train_meta.csv").open(newline="") as file:
        sizes = list(csv.DictReader(file))
    with (folder / "train_meta.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(sizes[0]))
        writer.writeheader()
        for row in sizes:
            writer.writerow(row | {name: -(-int(row[name]) // SMALLER) for name in ("dim0", "dim1")})
    return folder


@dataclass
class Hospital:
    """One PACS, one OUT with a small dataset, and a store of other patients, whom the modality images."""

    pacs: "Pacs"
    out: Path
    patients: Path
    studies: int

    @classmethod
    def build(cls, pacs: "Pacs", folder: Path, studies: int) -> "Hospital":
        home, away = films(folder / "home-films", 40), films(folder / "away-films", studies + 5, seed=7)
        offline.etl(Etl(out=folder / "home", source=str(home), sizes=HOME_SIZES, jobs=1))
        sizes = SplitSizes.parse(f"training=1,validation=1,test=1,staging=1,canary=1,production={studies}")
        offline.etl(Etl(out=folder / "away", source=str(away), sizes=sizes, jobs=1))
        return cls(pacs, folder / "home", folder / "away", studies)

    def start(self, command: str, *words: object) -> "subprocess.Popen[bytes]":
        told = [sys.executable, "-m", "radloop.cli", command, "--pacs", f"dicomweb:{self.pacs.url}", *map(str, words)]
        with (self.out / f"{command}.err").open("ab") as log:
            return subprocess.Popen(told, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def image(self, per_second: float) -> "subprocess.Popen[bytes]":
        """The modality: every patient once, at random moments."""
        load = ("--arrival", f"poisson:{per_second:.3f}", "--load-pattern", "1", "--stage-seconds", MOST_SECONDS)
        return self.start("simulate", "--out", self.patients, "--splits", "production", *load)

    def watch(self) -> "subprocess.Popen[bytes]":
        waits = ("--poll-seconds", "0.2", "--settle-seconds", "0")
        return self.start("watch", "--out", self.out, "--detector", "random", "--jobs", 2, *waits)

    def watch_once(self) -> watching.Watched:
        return watching.watch(
            Watch(out=self.out, pacs=self.pacs.url, detector="random", once=True, jobs=2, audit_share=0.1)
        )

    def events(self, event: str) -> int:
        """How often the watcher has logged it."""
        log = self.out / "logs" / "watch.log"
        return log.read_bytes().count(b'"event": "%s"' % event.encode()) if log.exists() else 0

    def objects(self) -> Iterator[tuple[str, list[Instance]]]:
        asking = Client.of(self.pacs.url)
        for study in asking.studies():
            yield study.study_uid, list(asking.instances(study.study_uid))

    def release(self) -> int:
        """A person looks at the pictures that may have text in them, and finds none."""
        folder = self.out / FOLDER / quarantine.QUARANTINE
        held = list((folder / quarantine.WAITING).glob("*.png"))
        for path in held:
            path.rename(folder / quarantine.RELEASED / path.name)
        return len(held)

    def reported(self) -> int:
        """Studies with a report."""
        return len({uid for uid, found in self.objects() if any(one.modality == "SR" for one in found)})


def until(what: str, condition: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > MOST_SECONDS:
            raise TimeoutError(what)
        time.sleep(0.05)


def day(hospital: Hospital, kills: int, *, per_second: float, say: Callable[[str], None]) -> None:
    """The modality sends, the watcher reports; each of the three is ended `kills` times in between."""
    modality, watcher = hospital.image(per_second), hospital.watch()
    try:
        for number in range(3 * kills):
            threshold = (number + 1) * hospital.studies // (3 * kills + 2)
            until(f"{threshold} reports", lambda threshold=threshold: hospital.reported() >= threshold)
            hospital.release()
            waits, kind = hospital.events("wait"), ("watcher", "orthanc", "network")[number % 3]
            say(f"kill {number + 1}: the {kind}, at {hospital.reported()} of {hospital.studies} studies with a report")
            if kind == "watcher":
                watcher.kill()
                watcher.wait()
                watcher = hospital.watch()
                continue
            hospital.pacs.kill() if kind == "orthanc" else hospital.pacs.cut()
            until(f"a wait for the {kind}", lambda waits=waits: hospital.events("wait") > waits)
            hospital.pacs.start() if kind == "orthanc" else hospital.pacs.open()
        until("the modality", lambda: modality.poll() is not None)
        until("all reports", lambda: hospital.release() == 0 and hospital.reported() == hospital.studies)
        watcher.terminate()
        if (modality.wait(), watcher.wait(120)) != (0, 0):
            raise RuntimeError((hospital.out / "watch.err").read_text()[-2000:])
    finally:
        for process in (modality, watcher):
            process.kill()
            process.wait()


def counted(hospital: Hospital) -> dict[str, Counter[int]]:
    """Of all studies, how many images and how many reports each has; of all images, how many feedback files."""
    found = [Counter(one.modality for one in objects) for _, objects in hospital.objects()]
    written = Counter(json.loads(path.read_bytes())["image_id"] for path in hospital.out.glob("feedback/*.json"))
    return {
        "images": Counter(one["DX"] for one in found),
        "reports": Counter(one["SR"] for one in found),
        "feedback": Counter(written.values()),
    }


def read_all(hospital: Hospital) -> int:
    """A reader looks at every study in the PACS and reports in it what is truly there; returns how many boxes."""
    known = version.read(hospital.patients / "organized")
    drawn = truth.of(version.readings(known.annotations))
    ids = {wrapping.uid("SOPInstanceUID", name, 0): name for name in known.annotations["image_id"].unique()}
    codes, asking, count = domain.codes_of(VINDR), Client.of(hospital.pacs.url), 0
    for _, objects in hospital.objects():
        (image,) = (one for one in objects if one.modality == "DX")
        header = report.header(asking.retrieve(image))
        rows = drawn.filter(image_id=ids[image.sop_instance_uid])
        frame = np.array([header.Columns, header.Rows] * 2)
        found = tuple(
            Box(codes[class_id], tuple((np.array(edges) * frame).tolist()))
            for class_id, *edges in rows.select("class_id", *EDGES).iter_rows()
        )
        count += len(found)
        observed = [(header, Observed(image.sop_instance_uid, found))]
        at = datetime.now(UTC)
        asking.store([report.make(observed, READER, written_at=at, keyed=keyed)])
    return count


def next_version(hospital: Hospital) -> dict[str, object]:
    """Re-train by what the reader said, make the version after that, and tell what became of what came in."""
    before = version.read(hospital.out)
    retrained = retraining.retrain(Retrain(out=hospital.out))
    table = hospital.out / "organized" / "retrain" / "retrain.csv"
    offline.transform(Transform(out=hospital.out, add=table, sizes=HOME_SIZES, jobs=1))
    offline.load(Load(out=hospital.out, jobs=1))
    after = version.read(hospital.out)
    splits = dict(after.images.select("image_id", "split").iter_rows())
    came_in = incoming.images(incoming.read(hospital.out / "organized"))
    return {
        "version": (before.id, after.id),
        "withheld": retrained.report["withheld"],
        "came in as": Counter(came_in["split"]),
        "are now": Counter(splits[image_id] for image_id in came_in["image_id"]),
        "training": (before.images.filter(split="training").height, Counter(splits.values())["training"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--per-second", type=float, default=0.5, help="images that the modality sends")
    parser.add_argument("--out", type=Path, default=None)
    told = parser.parse_args()
    from pacs_server import Pacs

    folder = told.out or Path(tempfile.mkdtemp(prefix="hospital-day-"))
    pacs = Pacs(folder / "pacs")
    try:
        begin = time.monotonic()
        hospital = Hospital.build(pacs, folder, told.studies)

        def say(line: str) -> None:
            print(f"{time.monotonic() - begin:6.1f} s  {line}", flush=True)

        day(hospital, told.kills, per_second=told.per_second, say=say)
        print("watched once more:", hospital.watch_once().studies, "studies with something new")
        for name, count in counted(hospital).items():
            print(f"{name}: {dict(count)}  (how many: of so many)")
        print("boxes that the reader reported:", read_all(hospital))
        print("reviews of these reports:", hospital.watch_once().reviews)
        for name, value in next_version(hospital).items():
            print(f"{name}: {value}")
        print(f"in all {time.monotonic() - begin:.0f} s")
    finally:
        pacs.stop()


if __name__ == "__main__":
    main()
