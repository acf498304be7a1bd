import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hostile_models
from made_up_model import answer, write
from radloop.detectors.apart import Limits
from radloop.detectors.onnx import TINY, Onnx
from radloop.errors import DetectorError, TransientDetectorError
from radloop.predictions import Picture
from taxonomies import VINDR

FEW = Limits(seconds=1.0, memory_gb=1.0)
HEART = (3, 0.93, (16.0, 20.0, 8.0, 4.0))


def picture():
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 64), 128, dtype=np.uint8)).save(buffer, "PNG")
    return Picture("a1", buffer.getvalue())


def process_of(detector):
    return detector._session._worker._process


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param("looping", r"looping did not answer within 1 s \(--request-timeout\) on image a1\.", id="loop"),
        pytest.param(
            "one_long_operator", r"did not answer within 1 s .*, and its process was ended\.", id="one long operator"
        ),
        pytest.param("demanding", r"wants more memory than the 1 GB .*--detector-memory", id="10^12 numbers"),
        pytest.param("demanding_at_load", r"wants more memory than the 1 GB .*--detector-memory", id="while it loads"),
        pytest.param("no_numbers", r"scores outside 0\.\.1 or numbers that are none", id="NaN"),
        pytest.param("many_boxes", r"with 720,000,000 bytes, and 67,108,864 are taken", id="10^7 boxes"),
        pytest.param("header_of_two_gigabytes", r"is no model that ONNX Runtime can run", id="2 GB by its header"),
        pytest.param("shape_of_two_gigabytes", r"is no model that ONNX Runtime can run", id="4 TB by its shape"),
        pytest.param("nested", r"is no model that ONNX Runtime can run", id="2,000 loops within each other"),
        pytest.param("other_shape_at_run_time", r"gives \[1, 9, 7\], not \[1, 18 or 19, anchors\]", id="shape"),
        pytest.param("talkative", r"what it tells of itself has over 4,000,000 characters", id="50 MB of names"),
    ],
)
def test_hostile_model_ends_in_one_sentence_and_its_caller_goes_on(tmp_path, make, sentence):
    path, begin = getattr(hostile_models, make)(tmp_path / f"{make}.onnx"), time.monotonic()
    memory = 4.0 if make == "many_boxes" else 1.0  # whose answer is too large only where it has room
    limits = FEW if make in ("looping", "one_long_operator") else Limits(seconds=30.0, memory_gb=memory)
    with pytest.raises(DetectorError, match=sentence) as raised:
        Onnx(path, VINDR, limits=limits).predict(picture())
    assert time.monotonic() - begin < 60
    assert len(str(raised.value)) < 1500
    assert Onnx(TINY, VINDR).predict(picture()) is not None


def test_graph_of_twenty_thousand_operators_is_run(tmp_path):
    detector = Onnx(hostile_models.deep(tmp_path / "deep.onnx"), VINDR, limits=Limits(seconds=60.0))
    assert detector.predict(picture()).class_ids.tolist() == []


def test_weights_in_another_file_are_not_read_wherever_it_lies(tmp_path, monkeypatch):
    there = tmp_path / "there"
    there.mkdir()
    for folder in (tmp_path, there):
        (folder / "secret.bin").write_bytes(bytes(4 * 18 * 7))
    monkeypatch.chdir(there)
    for number, location in enumerate(("../secret.bin", "secret.bin", str(tmp_path / "secret.bin"))):
        path = hostile_models.outside(there / f"m{number}.onnx", location)
        with pytest.raises(DetectorError, match="keeps its weights in other files, which are not read"):
            Onnx(path, VINDR)


def test_model_that_takes_pictures_of_any_size_is_refused(tmp_path):
    path = write(tmp_path / "m.onnx", answer(HEART), takes=(1, 1, 1_000_000, 1_000_000))
    with pytest.raises(DetectorError, match=r"takes pictures of 1,000,000,000,000 pixels, and 16,777,216 are the most"):
        Onnx(path, VINDR)


def test_requests_beside_one_that_ends_the_process_get_their_answers(tmp_path):
    detector = Onnx(hostile_models.stuck_on_bright(tmp_path / "m.onnx"), VINDR, limits=Limits(seconds=4.0))
    buffer = io.BytesIO()
    Image.fromarray(np.full((64, 64), 255, dtype=np.uint8)).save(buffer, "PNG")
    bright, before = Picture("bright", buffer.getvalue()), process_of(detector).pid

    def ask(one):
        try:
            return detector.predict(one).class_ids.tolist()
        except TransientDetectorError as late:
            return str(late)

    with ThreadPoolExecutor(3) as threads:
        stuck = threads.submit(ask, bright)
        others = []
        while not stuck.done():
            others += threads.map(ask, [picture(), picture()])
    assert "its process was ended" in stuck.result()
    assert others
    assert all(found == [] for found in others)
    assert detector.predict(picture()).class_ids.tolist() == []
    assert process_of(detector).pid != before


def test_process_that_died_is_followed_by_another(tmp_path):
    detector = Onnx(write(tmp_path / "m.onnx", answer(HEART)), VINDR)
    os.kill(process_of(detector).pid, signal.SIGKILL)
    with pytest.raises(DetectorError, match=r"ended the process that runs it on image a1 \(status -9\)"):
        detector.predict(picture())
    assert detector.predict(picture()).class_ids.tolist() == [3]


def test_file_that_was_replaced_is_not_taken_for_the_model(tmp_path):
    path = write(tmp_path / "m.onnx", answer(HEART))
    detector = Onnx(path, VINDR)
    os.kill(process_of(detector).pid, signal.SIGKILL)
    with pytest.raises(DetectorError, match="ended the process"):
        detector.predict(picture())
    write(path, answer())
    with pytest.raises(DetectorError, match="was replaced while it was in use"):
        detector.predict(picture())


def test_who_gives_up_ends_what_runs_at_once(tmp_path):
    detector = Onnx(hostile_models.one_long_operator(tmp_path / "m.onnx"), VINDR, limits=Limits(seconds=600.0))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(detector.predict, picture())
        while not asked.done():
            detector.give_up()
        with pytest.raises(TransientDetectorError, match="was given up"):
            asked.result(timeout=60)
    with pytest.raises(TransientDetectorError, match="was given up"):
        detector.predict(picture())


def test_process_ends_with_its_detector_and_with_a_parent_that_is_killed(tmp_path):
    detector = Onnx(write(tmp_path / "m.onnx", answer(HEART)), VINDR)
    process = process_of(detector)
    del detector
    assert process.poll() == -signal.SIGKILL

    path = hostile_models.one_long_operator(tmp_path / "long.onnx")
    code = (
        "import sys, threading; sys.path.insert(0, sys.argv[2])\n"
        "from test_detectors_apart import *\n"
        "detector = Onnx(Path(sys.argv[1]), VINDR, limits=Limits(seconds=600.0))\n"
        "threading.Thread(target=detector.predict, args=(picture(),)).start()\n"
        "print(process_of(detector).pid, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 30
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < end


def test_file_that_is_larger_than_the_memory_is_not_read(tmp_path):
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(DetectorError, match="wants more memory than the 1 GB"):
        Onnx(path, VINDR, limits=FEW)
