"""`radloop simulate --pacs`: the pictures of a store become studies in a real Orthanc, each once."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

import hospital_day
import made_up
from radloop import cli, options, pixels
from radloop.dicom import gray, radiograph
from radloop.errors import PacsError, StoreError, TransientDetectorError, UsageError
from radloop.pacs.client import Client
from radloop.pipelines import offline, online
from radloop.recipe import Recipe
from radloop.split_sizes import SplitSizes

pytest_plugins = ("pacs_server",)
SIZES = SplitSizes.parse("training=4,validation=2,test=6,staging=2,canary=2,production=8")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published dataset whose originals were a little larger than its pictures."""
    folder = tmp_path_factory.mktemp("published")
    source = hospital_day.films(folder / "films", 24)
    offline.etl(options.Etl(out=folder / "out", store=str(folder / "store"), source=str(source), sizes=SIZES))
    return folder / "store"


def told(store, out, **changes):
    sensible = {"out": out, "store": str(store), "stage_seconds": 20.0, "load_pattern": "2", "jobs": 1}
    return options.Simulate(**sensible | changes)


def log(done, event):
    return [line for line in map(json.loads, done.log.read_text().splitlines()) if line["event"] == event]


def there(pacs):
    """What the PACS holds, by study."""
    asking = Client.of(pacs.url)
    return {
        study.study_uid: [asking.retrieve(one) for one in asking.instances(study.study_uid)]
        for study in asking.studies()
    }


def test_every_picture_becomes_a_study_of_one_image_that_a_recipe_makes_again(pacs, store, tmp_path):
    done = online.simulate(told(store, tmp_path / "out", pacs=f"dicomweb:{pacs.url}"))
    assert (done.ran, done.stopped, done.pictures, done.total["feedback"]) == (True, False, 14, 14)
    assert done.pacs == pacs.url
    assert not (tmp_path / "out" / "feedback").exists()
    sent = {line["image_id"] for line in log(done, "sent")}
    assert len(sent) == 14
    files = [file for files in there(pacs).values() for file in files]
    assert len(files) == 14
    pictures = [pixels.decode(path.read_bytes()).astype(int) for path in (store / "organized").rglob("*.png")]
    for file in files:
        read = radiograph.read(file)
        assert (read.modality, read.view in ("PA", "AP")) == ("DX", True)
        assert read.columns > made_up.SIDE_PX
        again = gray.make(read, Recipe(size_px=made_up.SIDE_PX))
        assert min(np.abs(again - picture).mean() for picture in pictures) < 2.5  # tiny pictures are all edges


@pytest.mark.slow
def test_second_run_sends_the_same_studies_and_another_seed_others(pacs, store, tmp_path):
    test_only = {"splits": ("test",), "pacs": pacs.url}
    online.simulate(told(store, tmp_path / "first", **test_only))
    first = there(pacs)
    online.simulate(told(store, tmp_path / "second", **test_only))
    assert there(pacs).keys() == first.keys()
    online.simulate(told(store, tmp_path / "third", **test_only, seed=1))
    assert len(there(pacs)) == 2 * len(first) == 12


def test_line_that_is_cut_in_the_middle_loses_no_picture_and_doubles_none(pacs, store, tmp_path, monkeypatch):
    stored = threading.Semaphore(0)
    plain = Client.store

    def counted(client, objects):
        plain(client, objects)
        stored.release()

    monkeypatch.setattr(Client, "store", counted)

    def cut():
        for _ in range(5):
            stored.acquire(timeout=30)
        pacs.cut()
        failed.wait(30)
        pacs.open()

    failed = threading.Event()
    before = online.sending.Modality.predict

    def watched(modality, picture):
        try:
            return before(modality, picture)
        except TransientDetectorError:
            failed.set()
            raise

    monkeypatch.setattr(online.sending.Modality, "predict", watched)
    cutting = threading.Thread(target=cut, daemon=True)
    cutting.start()
    done = online.simulate(told(store, tmp_path / "out", pacs=pacs.url))
    cutting.join()
    assert done.total["retries"] + done.total["errors"] > 0
    assert [len(files) for files in there(pacs).values()] == [1] * 14


def test_load_that_ends_too_soon_is_said(pacs, store, tmp_path):
    done = online.simulate(told(store, tmp_path / "out", pacs=pacs.url, stage_seconds=0.01, load_pattern="1"))
    count = len(there(pacs))
    assert count < 14
    assert f"the load ended before {14 - count} pictures could be sent" in done.notes


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"pacs": "dicomweb:http://127.0.0.1:9/dicom-web"}, TransientDetectorError, "cannot be reached"),
        ({"pacs": "dicomweb:http://user:word@127.0.0.1/"}, UsageError, "credentials"),
        ({"pacs": "dicomweb:http://pacs/", "engine": "ray"}, UsageError, "this machine alone"),
        ({"pacs": "x", "store": "absent"}, StoreError, "absent"),
    ],
)
def test_what_cannot_be_sent_says_so_before_anything_is(store, tmp_path, changes, error, sentence):
    with pytest.raises(error, match=sentence):
        online.simulate(told(**{"store": store, "out": tmp_path / "out", "stage_seconds": 0.2} | changes))
    assert not (tmp_path / "out" / "logs").exists()


def test_address_that_is_no_dicomweb_is_said(pacs, store, tmp_path):
    with pytest.raises(PacsError, match="root of its DICOMweb"):
        online.simulate(told(store, tmp_path / "out", pacs=f"{pacs.root}/wrong"))


@pytest.mark.slow
def test_command_says_what_it_would_send_and_what_it_sent(pacs, store, tmp_path, capsys):
    command = ["simulate", "--out", str(tmp_path), "--store", str(store), "--pacs", pacs.url, "--load-pattern", "2"]
    for more, sentence in (
        (["--dry-run"], f"would send 14 pictures of {store} to {pacs.url}; nothing was sent"),
        ([], f"sent 14 pictures of {store} to {pacs.url}"),
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*command, *more])
        assert not stopped.value.code
        assert sentence in " ".join(capsys.readouterr().out.split())
    assert len(there(pacs)) == 14
