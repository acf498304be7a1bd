"""watch: beside a bare loop over the same Orthanc that searches, retrieves each image and stores a report a study.

The loop decodes nothing and predicts nothing; it has radloop's own client, and once more dicomweb-client. `watch` also
makes the picture, looks for text in it, compares it with the dataset, writes feedback, and keeps what survives a kill.
The detector answers at once.
"""

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
from dicomweb_client.api import DICOMwebClient

from benchmarks.harness import ROOT, Bench, Contestant, Limit, Section
from radloop.dicom import report, wrapping
from radloop.dicom.report import Device, Observed
from radloop.dicom.wrapping import Room
from radloop.options import Etl, Watch
from radloop.pacs.client import Client
from radloop.pipelines import offline, watching
from radloop.predictions import Picture, Predictions
from radloop.sources import synthetic
from radloop.split_sizes import SplitSizes

sys.path.append(str(ROOT / "tests"))

COLUMNS, ROWS, STUDIES = 2500, 3000, 24
SIZES = SplitSizes.parse("training=18,validation=4,test=6,staging=4,canary=2,production=6")
REASON = "the loop moves bytes alone, in a tenth of the processor time that a picture and a look at it take"
ANSWER = Predictions.sorted([3, 0], [0.6, 0.9], [[0.5, 0.6, 0.3, 0.2], [0.5, 0.4, 0.1, 0.1]])


def run(bench: Bench) -> Section:
    """Studies per second."""
    import made_up  # of tests/
    from pacs_server import Pacs

    frame, studies = ((1100, 1200), 2) if bench.quick else ((COLUMNS, ROWS), STUDIES)
    given = bench.fresh("given")
    offline.etl(Etl(out=given, source=str(made_up.films(given / "films")), sizes=SIZES, jobs=2))
    pacs = Pacs(bench.fresh("pacs"))
    try:
        fill(Client.of(pacs.url), frame, studies)
        result = bench.contest(
            "One image a study",
            [
                Contestant("bare loop", "benchmarks.watch:bare_loop"),
                Contestant("dicomweb-client", "benchmarks.watch:other_client", rounds=1),
                Contestant("watch", "benchmarks.watch:watch"),
            ],
            given=given,
            unit="studies",
            limits=[
                Limit("dicomweb-client", "wall_s", "watch", least=0.8),
                Limit("bare loop", "wall_s", "watch", least=0.8, otherwise=REASON),
                Limit("watch", "peak_mb", unit="MB"),
            ],
            root=pacs.root,
        )
    finally:
        pacs.stop()
    return Section(
        "watch",
        "watch",
        f"{studies} studies of one radiograph of {frame[0]}×{frame[1]} px, stored in 16 bits, in an Orthanc on the "
        "same cores; each gets a report. The limit is that of the rate: watch has at least 0.8 of the bare loop's.",
        results=[result],
    )


def fill(pacs: Client, frame: tuple[int, int], studies: int) -> None:
    """Studies of synthetic patients whom the dataset does not know, of two bytes a pixel."""
    room, number = Room("North", "PA", "Flat detector", datetime(2026, 1, 1, tzinfo=UTC)), 0
    stored = 0
    while stored < studies:
        number += 1
        image_id = synthetic.image_id(number, seed=1)
        blank = wrapping.wrap(np.zeros((10, 10), np.uint8), image_id, patient=image_id, room=room, seed=0)
        if pydicom.dcmread(io.BytesIO(blank)).BitsAllocated == 16:
            gray = synthetic.picture(synthetic.patient(number, seed=1))
            pacs.store([wrapping.wrap(gray, image_id, patient=image_id, room=room, seed=0, frame=frame)])
            stored += 1


def other_client(given: Path, fresh: Path, *, root: str) -> Callable[[], int]:
    """The loop as one would write it with dicomweb-client."""
    reports = {uid: pydicom.dcmread(io.BytesIO(data)) for uid, data in made_before(root).items()}
    client = DICOMwebClient(f"{root}/dicom-web")

    def work() -> int:
        done = 0
        for study in client.search_for_studies(limit=1000):
            study_uid = study["0020000D"]["Value"][0]
            for instance in client.search_for_instances(study_uid):
                series_uid, uid = instance["0020000E"]["Value"][0], instance["00080018"]["Value"][0]
                client.retrieve_instance(study_uid, series_uid, uid)
            client.store_instances([reports[study_uid]])
            done += 1
        return done

    return work


def bare_loop(given: Path, fresh: Path, *, root: str) -> Callable[[], int]:
    """With the client that `watch` has: the fastest that there is here."""
    reports, client = made_before(root), Client.of(f"{root}/dicom-web")

    def work() -> int:
        done = 0
        for study in client.studies():
            for instance in client.instances(study.study_uid):
                client.retrieve(instance)
            client.store([reports[study.study_uid]])
            done += 1
        return done

    return work


class AtOnce:
    """A detector that finds the same in every picture."""

    name, version = "at-once", "1"

    def predict(self, picture: Picture) -> Predictions:
        return ANSWER


def watch(given: Path, fresh: Path, *, root: str) -> Callable[[], int]:
    """radloop, over a dataset of its own."""
    remove_reports(root)
    shutil.copytree(given, fresh)
    told = Watch(out=fresh, pacs=f"{root}/dicom-web", detector="random", once=True, jobs=2)

    def work() -> int:
        done = watching.watch(told, detector=AtOnce())
        if done.reports != done.studies:
            raise SystemExit(f"{done.reports} reports in {done.studies} studies")
        return done.studies + done.held  # which wait for a person, without a report

    return work


def made_before(root: str) -> dict[str, bytes]:
    """{study: a report for it}, none of which is in the PACS."""
    remove_reports(root)
    client, reports = Client.of(f"{root}/dicom-web"), {}
    for study in client.studies():
        (image,) = client.instances(study.study_uid)
        header = report.header(client.retrieve(image))
        reports[study.study_uid] = report.make(
            [(header, Observed(image.sop_instance_uid))],
            Device("bare 1"),
            written_at=datetime(2026, 1, 1, tzinfo=UTC),
            keyed=lambda kind, text: hashlib.md5(f"{kind} {text}".encode()).hexdigest(),
        )
    return reports


def remove_reports(root: str) -> None:
    """Of the turns before."""
    from urllib.request import Request, urlopen

    def ask(path: str, method: str, data: bytes | None = None) -> bytes:
        with urlopen(Request(root + path, data=data, method=method)) as answer:
            return bytes(answer.read())

    query = json.dumps({"Level": "Instance", "Query": {"Modality": "SR"}}).encode()
    for one in json.loads(ask("/tools/find", "POST", query)):
        ask(f"/instances/{one}", "DELETE")
