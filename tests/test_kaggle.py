"""The real kaggle command against a stand-in for Kaggle: what it fetches, what stops it, and how it goes on."""

import io
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from kaggle_stub.server import REFUSAL, SITE, Kaggle
from radloop.errors import SourceError
from radloop.sources import kaggle, kaggle_failures

MIB = 2**20
SECRET = "5e0c2e7f9a1b4c3d8e6f7a8b9c0d1e2f"
ANNOTATIONS = b"image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n000,No finding,14,R1,,,,\n"
META = b"image_id,dim0,dim1\n000,2336,2080\n"
PICTURES = {f"train/{number:03}.png": random.Random(number).randbytes(MIB) for number in range(4)}
HTML = (200, "text/html", b"<html>Please sign in to this network</html>")
FORBIDDEN = (403, "application/xml", REFUSAL)
ZIP = f"download/pictures/{kaggle.DATASET.partition('/')[2]}.zip"


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return buffer.getvalue()


DATASET = packed({**PICTURES, "test/900.png": b"unlabelled", "train_meta.csv": META})


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A Kaggle on this machine that the command is sent to, with credentials in the environment."""
    stub = Kaggle(dataset=DATASET, annotations=ANNOTATIONS)
    server = stub.serve()
    home = tmp_path / "home"
    home.mkdir()
    values = {"HOME": home, "PYTHONPATH": SITE, "KAGGLE_STUB": stub.address, "KAGGLE_USERNAME": "someone"}
    for name, value in {**values, "KAGGLE_KEY": SECRET, "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, str(value))
    yield stub
    server.shutdown()
    server.server_close()


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


@pytest.fixture
def own(tmp_path):
    """Annotations of the user's own, which spare the competition's."""
    path = tmp_path / "own.csv"
    path.write_bytes(ANNOTATIONS)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pictures_of(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if name.startswith("train/")}


def refused(folder: Path, **changes) -> str:
    """The one line of a download that fails; whatever it says, it gives no secret away."""
    with pytest.raises(SourceError) as failure:
        kaggle.download(folder, **changes)
    sentence = str(failure.value)
    assert "\n" not in sentence
    assert SECRET not in sentence
    assert "Signature" not in sentence
    return sentence


def test_annotations_and_pictures_are_fetched_once(stub, raw):
    seen = []
    data = kaggle.download(raw, progress=lambda *step: seen.append(step))
    receipt = {"dataset": kaggle.DATASET, "pictures": 4, "picture_bytes": 4 * MIB, "sizes_bytes": len(META)}
    files = content(raw)
    assert json.loads(files.pop("download.json")) == receipt
    assert files == {"train.csv": ANNOTATIONS, "train_meta.csv": META, **PICTURES}
    assert (data.name, data.annotations, data.boxes) == ("kaggle", raw / "train.csv", "auto")
    assert (data.sizes, data.pictures) == (raw / "train_meta.csv", raw / "train")
    calls = stub.calls()
    assert calls.index("DownloadDataFile") < calls.index("GetDatasetMetadata")
    assert seen[-1] == ("unpack", 4 * MIB + len(META), 4 * MIB + len(META), "bytes")

    assert kaggle.download(raw) == data
    assert stub.calls() == calls


def test_given_annotations_spare_the_competition_and_the_credentials(stub, raw, own, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    stub.redirects = False
    data = kaggle.download(raw, annotations=own, boxes="scaled")
    assert (data.annotations, data.boxes) == (own, "scaled")
    assert pictures_of(raw) == PICTURES
    assert stub.calls() == ["GetDatasetMetadata", "DownloadDataset"]


def test_missing_annotations_are_said_before_anything_is_asked(stub, raw, tmp_path):
    assert "no such file" in refused(raw, annotations=tmp_path / "none.csv")
    assert stub.asked == []


@pytest.mark.parametrize("name", ["train.csv.zip", "a1b2c3"])
def test_packed_annotations_are_unpacked_whatever_their_name(stub, raw, name):
    stub.annotations, stub.annotations_name = packed({"train.csv": ANNOTATIONS}), name
    stub.refusals["DownloadDataset"] = FORBIDDEN
    refused(raw)
    assert content(raw) == {"train.csv": ANNOTATIONS}


JSON = "application/json"
RULES = b'{"code": 403, "message": "You must accept this competition\'s rules before you can download files."}'


@pytest.mark.parametrize(
    ("call", "answer", "expected"),
    [
        pytest.param("DownloadDataFile", (401, "text/plain", b""), "does not accept the credentials (401)", id="401"),
        pytest.param("DownloadDataFile", (403, JSON, RULES), "/rules, or pass --annotations", id="rules in words"),
        pytest.param("DownloadDataFile", FORBIDDEN, f"competitions/{kaggle.COMPETITION}/rules", id="rules"),
        pytest.param("train.csv", FORBIDDEN, "The storage refuses the competition's train.csv (403)", id="storage"),
        pytest.param("train.csv", HTML, "something else than train.csv", id="page"),
        pytest.param(
            "DownloadDataFile", (500, JSON, b"{}"), "a fault of its own (5xx)", id="500", marks=pytest.mark.slow
        ),
    ],
)
def test_refused_annotations_are_one_clear_line(stub, raw, call, answer, expected):
    stub.refusals[call] = answer
    assert expected in refused(raw)
    assert "GetDatasetMetadata" not in stub.calls()
    assert not (raw / "train.csv").exists()


@pytest.mark.parametrize(
    ("call", "answer", "expected"),
    [
        pytest.param(
            "DownloadDataset", (404, "text/plain", b""), f"does not find the dataset {kaggle.DATASET} (404)", id="404"
        ),
        pytest.param("DownloadDataset", (429, "text/plain", b""), "asks to slow down (429)", id="429"),
        pytest.param("DownloadDataset", (401, "text/plain", b""), "(401)", id="401", marks=pytest.mark.slow),
        pytest.param("GetDatasetMetadata", FORBIDDEN, "refuses the dataset", id="403", marks=pytest.mark.slow),
        pytest.param("bundle.zip", FORBIDDEN, "The storage refuses", id="storage", marks=pytest.mark.slow),
        pytest.param("bundle.zip", HTML, "no whole zip", id="page"),
        pytest.param(
            "GetDatasetMetadata",
            (200, JSON, b'{"errorMessage": "token 5e0c2e7f9a1b4c3d8e6f7a8b9c0d1e2f"}'),
            "exit status 1",
            id="words",
        ),
    ],
)
def test_refused_pictures_are_one_clear_line_and_a_second_run_succeeds(stub, raw, own, call, answer, expected):
    stub.refusals[call] = answer
    assert expected in refused(raw, annotations=own)
    assert content(raw) == {}


def test_token_that_kaggle_does_not_know_is_one_clear_line(stub, raw, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", f"KGAT_{SECRET}")
    stub.refusals["IntrospectToken"] = (401, "text/plain", b"")
    assert "(401)" in refused(raw)


def test_nobody_listening_is_one_clear_line(stub, raw, own, monkeypatch):
    monkeypatch.setenv("KAGGLE_STUB", "http://127.0.0.1:1")
    assert "The connection to Kaggle broke, or there is none" in refused(raw, annotations=own)


@pytest.mark.slow
def test_cut_body_is_resumed_where_it_was_cut(stub, raw, own):
    stub.stops_at = 5 * MIB // 2
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES
    resumed = [headers for call, headers in stub.asked if "Range" in headers]
    assert [(headers["Range"], headers["If-Range"]) for headers in resumed] == [(f"bytes={2 * MIB}-", '"v1"')]


@pytest.mark.slow
def test_refusal_written_as_the_zip_is_removed_and_not_resumed(stub, raw, own):
    stub.stops_at, stub.after_stop = 5 * MIB // 2, FORBIDDEN
    assert "refused in the middle" in refused(raw, annotations=own)
    assert content(raw) == {}
    stub.refusals.clear()
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES


def test_refusal_that_a_killed_run_left_as_the_zip_is_not_resumed(stub, raw, own):
    left = raw / ZIP
    left.parent.mkdir(parents=True)
    left.write_bytes(REFUSAL)
    left.with_name(f"{left.name}.kaggle-partial").write_text(json.dumps({"validator": '"v1"', "size": len(DATASET)}))
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES


def test_zip_cut_off_without_a_sign_is_found_and_fetched_anew(stub, raw, own):
    stub.resumable = stub.tells_length = False
    stub.dataset = DATASET[: 5 * MIB // 2]
    assert "no whole zip" in refused(raw, annotations=own)
    assert content(raw) == {}
    stub.dataset = DATASET
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES


@pytest.mark.slow
def test_damaged_picture_is_found_and_the_zip_is_fetched_anew(stub, raw, own):
    stub.dataset = DATASET.replace(PICTURES["train/002.png"][:1000], bytes(1000))
    assert "train/002.png is damaged" in refused(raw, annotations=own)
    stub.dataset = DATASET
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES


@pytest.mark.slow
def test_dataset_without_pictures_is_refused(stub, raw, own):
    stub.dataset = packed({"test/a.png": b"x"})
    assert "holds no train/*.png" in refused(raw, annotations=own)
    assert content(raw) == {}


def test_hostile_zip_writes_nothing(stub, raw, own, tmp_path):
    stub.dataset = packed({"train/a.png": b"x", "../../escaped.png": b"x"})
    assert "unsafe name" in refused(raw, annotations=own)
    assert content(raw) == {}
    assert not list(tmp_path.rglob("escaped.png"))


def test_full_disk_ends_the_download_at_its_start(stub, raw, own, monkeypatch):
    stub.holds_at = MIB // 2
    monkeypatch.setattr(kaggle.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, MIB))
    assert "the download takes 0.0 GB more, 0.0 GB are free. Make room" in refused(raw, annotations=own)
    assert stub.client_gone.wait(30)


@pytest.mark.slow
def test_download_that_stands_still_is_ended(stub, raw, own):
    stub.holds_at = 0
    assert "sent nothing for 1 s" in refused(raw, annotations=own, patience_s=1)
    assert pictures_of(raw) == {}


def test_interrupted_download_tells_how_far_it_is_and_goes_on_from_there(stub, raw, own):
    stub.holds_at = 5 * MIB // 2

    def interrupt(what, done, total, unit):
        assert (what, total, unit) == ("download", len(DATASET), "bytes")
        if done == 2 * MIB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kaggle.download(raw, annotations=own, progress=interrupt)
    assert stub.client_gone.wait(30)
    stub.holds_at = None
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES
    assert stub.asked[-1][1]["Range"] == f"bytes={2 * MIB}-"


RUN = """
import sys
from pathlib import Path
from radloop.sources import kaggle, kaggle_failures

kaggle.download(Path(sys.argv[1]), annotations=Path(sys.argv[2]))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_killed_radloop_leaves_no_command_behind_and_a_second_run_goes_on(stub, raw, own, end):
    stub.holds_at = 5 * MIB // 2
    with subprocess.Popen([sys.executable, "-c", RUN, raw, own], stderr=subprocess.DEVNULL) as run:
        until(lambda: (raw / ZIP).exists() and (raw / ZIP).stat().st_size >= 2 * MIB)
        run.send_signal(end)
    assert stub.client_gone.wait(30)
    stub.holds_at = None
    arrived = (raw / ZIP).stat().st_size
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES
    assert stub.asked[-1][1]["Range"] == f"bytes={arrived}-"


def until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.02)


def test_zip_that_arrived_before_a_kill_is_unpacked_without_asking(stub, raw, own):
    (raw / ZIP).parent.mkdir(parents=True)
    (raw / ZIP).write_bytes(DATASET)
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES
    assert stub.asked == []


def test_zip_half_unpacked_is_unpacked_further_without_asking(stub, raw, own, monkeypatch):
    (raw / "download").mkdir(parents=True)
    (raw / "download" / "pictures.zip").write_bytes(DATASET)
    monkeypatch.setattr(kaggle.archive, "BATCH_BYTES", MIB)

    def stop(what, done, total, unit):
        if done >= 2 * MIB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kaggle.download(raw, annotations=own, progress=stop)
    assert len(pictures_of(raw)) == 2
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES
    assert stub.asked == []


@pytest.mark.slow
def test_lost_picture_is_fetched_again(stub, raw, own):
    kaggle.download(raw, annotations=own)
    (raw / "train/001.png").unlink()
    kaggle.download(raw, annotations=own)
    assert pictures_of(raw) == PICTURES


def test_missing_command_is_said_with_the_way_out(raw, own, monkeypatch, tmp_path):
    monkeypatch.setattr(kaggle.sys, "executable", str(tmp_path / "python"))
    assert "pip install kaggle six" in refused(raw, annotations=own, environment={"PATH": str(tmp_path)})


def test_command_on_the_path_is_taken_where_none_is_beside_python(monkeypatch, tmp_path):
    command = tmp_path / "kaggle"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setattr(kaggle.sys, "executable", str(tmp_path / "elsewhere" / "python"))
    assert kaggle.preflight({"PATH": str(tmp_path)}, anonymous=True) == command


def test_missing_credentials_are_said_before_anything_is_asked(stub, raw, monkeypatch):
    monkeypatch.delenv("KAGGLE_KEY")
    assert "No Kaggle credentials: set KAGGLE_API_TOKEN" in refused(raw)
    assert stub.asked == []


@pytest.mark.parametrize(
    ("environment", "files"),
    [
        pytest.param({"KAGGLE_USERNAME": "u", "KAGGLE_KEY": SECRET}, {}, id="user and key"),
        pytest.param({"KAGGLE_API_TOKEN": SECRET}, {}, id="token"),
        pytest.param({"KAGGLE_API_TOKEN": "HOME/token"}, {"token": f"{SECRET}\n"}, id="file of a token"),
        pytest.param({}, {".kaggle/access_token": SECRET}, id="access_token"),
        pytest.param({}, {".kaggle/kaggle.json": {"username": "u", "key": SECRET}}, id="kaggle.json"),
        pytest.param({}, {".config/kaggle/kaggle.json": {"username": "u", "key": SECRET}}, id="config"),
        pytest.param(
            {"XDG_CONFIG_HOME": "HOME/x"}, {"x/kaggle/kaggle.json": {"username": "u", "key": SECRET}}, id="XDG"
        ),
        pytest.param(
            {"KAGGLE_CONFIG_DIR": "HOME/c"}, {"c/kaggle.json": {"username": "u", "key": SECRET}}, id="config dir"
        ),
        pytest.param({"KAGGLE_CONFIG_DIR": "HOME/c"}, {"c/access_token": f"{SECRET}\n"}, id="token in the config dir"),
        pytest.param({"KAGGLE_USERNAME": "u"}, {".kaggle/kaggle.json": {"key": SECRET}}, id="half and half"),
        pytest.param({}, {".kaggle/credentials.json": {"refresh_token": SECRET}}, id="kaggle auth login"),
    ],
)
def test_credentials_are_found_where_the_command_finds_them(tmp_path, environment, files):
    place(tmp_path, files)
    values = {name: value.replace("HOME", str(tmp_path)) for name, value in environment.items()}
    assert kaggle.credentials({"HOME": str(tmp_path), **values}) == [SECRET]


@pytest.mark.parametrize(
    ("environment", "files"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({"KAGGLE_USERNAME": "", "KAGGLE_KEY": "", "KAGGLE_API_TOKEN": ""}, {}, id="empty"),
        pytest.param({"KAGGLE_KEY": SECRET}, {}, id="key of nobody"),
        pytest.param({}, {".kaggle/kaggle.json": "{not json"}, id="damaged"),
        pytest.param({}, {".kaggle/kaggle.json": ["a list"]}, id="list"),
        pytest.param(
            {}, {".kaggle/x": "", ".config/kaggle/kaggle.json": {"username": "u", "key": SECRET}}, id="hidden"
        ),
    ],
)
def test_no_credentials_where_the_command_finds_none(tmp_path, environment, files):
    place(tmp_path, files)
    assert kaggle.credentials({"HOME": str(tmp_path), **environment}) == []


def place(home: Path, files: dict[str, object]) -> None:
    for name, value in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.mark.slow
def test_empty_variables_do_not_hide_the_key_in_the_file(stub, raw, monkeypatch):
    place(Path(os.environ["HOME"]), {".kaggle/kaggle.json": {"username": "someone", "key": SECRET}})
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.setenv(name, "")
    kaggle.download(raw)
    assert all(headers["Authorization"].startswith("Basic ") for call, headers in stub.asked if "Download" in call)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Traceback:\n  x\nError: key secret-1\n\n", "Error: key ***"),
        ("for url: http://user:pass@host/x?X-Goog-Signature=abc&y=1 (x)", "for url: http://***@host/x?*** (x)"),
        (f"Authorization: Bearer KGAT_{SECRET}.", "Authorization: Bearer ***."),
        ("", "it said nothing."),
    ],
)
def test_what_the_command_says_is_quoted_without_secrets(output, expected):
    assert kaggle_failures.last_line(output, ["secret-1"]) == expected


def test_what_was_taken_away_on_purpose_is_not_fetched_again(stub, raw):
    kaggle.download(raw)
    before = len(stub.calls())
    gone = raw / "train" / "000.png"
    kaggle.settle(raw, without=[gone], sizes_bytes=len(META))
    gone.unlink()
    kaggle.settle(raw, without=[], sizes_bytes=len(META))
    kaggle.download(raw)
    assert len(stub.calls()) == before
    assert not gone.exists()
