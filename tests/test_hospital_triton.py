"""The hospital against a Triton that is stopped, hangs, or is not there yet: counted, waited for, nothing lost."""

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from radloop import summaries
from radloop.errors import MisreadDetectorError, TransientDetectorError
from radloop.feedback import reading
from radloop.measures import latency
from radloop.options import Simulate
from radloop.pipelines import online
from radloop.progress import silent
from radloop.words import Exit, several
from rude_server import drip, reply, rude_server
from taxonomies import VINDR
from test_detectors_triton import Server, heart, numbers, store_of_films

pytest_plugins = ("triton_server",)
ANSWER = 200, numbers(heart())
SILENCE = 200, None
MANY = 600  # stages: each test ends the run itself, once it has seen what it waits for
# What a real Triton says while it stops and starts; a model that it has not loaded yet is unknown to it.
PASSING = {"connection", "timeout", "status 400", "status 404", "status 503"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_of_films(tmp_path_factory.mktemp("store"), 8)


@pytest.fixture
def server():
    server = Server()
    server.infers(*ANSWER)
    # else each answer waits 40 ms for the acknowledgement of its head
    server._http.RequestHandlerClass.disable_nagle_algorithm = True
    yield server
    server.stop()


def stage_of(what):
    """The stage that a call of the progress tells of; 0 where it is not the run that is told of."""
    word, _, rest = what.partition(" ")
    return int(rest.split()[0]) if word == "stage" else 0


def journal(log: Path, event: str) -> list[dict]:
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [line for line in lines if line["event"] == event]


def play(store, out, detector, *, progress=silent, **changes):
    """A run that ends when a test has seen what it waits for."""
    told = {"out": out, "store": str(store), "stage_seconds": 1.0, "detector": detector} | changes
    return online.simulate(Simulate(**told), progress=progress)


def end_the_run():
    """As an operator does, once: the progress is told in the main thread, and once more after that."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        signal.raise_signal(signal.SIGTERM)


def p99(done):
    """Of all requests that ended, by the log: what their stages know of it is another question."""
    ended = (line for event in ("request", "error") for line in journal(done.log, event))
    return latency.percentile(sorted(line["latency_ms"] for line in ended), 0.99)


def assert_nothing_lost(done):
    found = reading.read(done.feedback, VINDR)
    assert found.refused.is_empty()
    assert found.feedback.height == done.total["feedback"] == done.stages["feedback"].sum()
    assert sorted(line["file"] for line in journal(done.log, "request")) == sorted(found.feedback["file"])
    assert done.total["errors"] == len(journal(done.log, "error")) == sum(done.errors.values())
    assert done.total["requests"] == done.total["feedback"] + done.total["errors"]


def test_feedback_tells_the_version_that_answered_when_triton_loads_another_in_mid_run(store, tmp_path, server):
    server.infers(200, numbers(heart(), model_version="10"))

    def look(what, done, total, unit="files"):
        if stage_of(what) == 2:
            server.infers(200, numbers(heart(), model_version="11"))
        elif stage_of(what) > 2:
            end_the_run()

    done = play(store, tmp_path, f"triton:{server.url}/mine", load_pattern="1,1,1,1", stage_seconds=0.5, progress=look)
    assert_nothing_lost(done)
    models = [json.loads(file.read_text())["model"] for file in (tmp_path / "feedback").iterdir()]
    assert {model["name"] for model in models} == {"mine"}
    assert {model["version"] for model in models} == {"10", "11"}
    (start,) = journal(done.log, "start")
    assert (start["detector"], start["provider"]) == ("mine 10", None)


def test_model_in_fractions_stops_the_run_before_any_feedback(store, tmp_path, server):
    fractions = heart()
    fractions[0, :4] /= 32
    server.infers(200, numbers(fractions))
    log = tmp_path / "sim.log"
    with pytest.raises(MisreadDetectorError, match=r"/mine answers boxes as fractions .* without normalising"):
        play(store, tmp_path, f"triton:{server.url}/mine", load_pattern="3,3", log=log)
    assert list((tmp_path / "feedback").iterdir()) == []
    (failed,) = journal(log, "failed")
    assert "boxes as fractions" in failed["message"]


def test_run_whose_every_request_failed_is_no_success(store, tmp_path, server):
    server.infers(503, b'{"error": "out of memory"}')
    done = play(store, tmp_path, f"triton:{server.url}/mine", load_pattern="2", stage_seconds=0.3)
    requests = done.total["requests"]
    assert summaries.status(done) == Exit.FAILED
    assert done.failure == (
        f"mine 10 answered none of {several(requests, 'request')}; the most frequent error is status 503 "
        f"({requests:,}×). Its own log may say why. Every error is in {done.log}."
    )
    assert summaries.of(done).notes[0] == done.failure
    assert len(journal(done.log, "error")) == requests
    assert journal(done.log, "end")

    server.infers(*ANSWER)
    again = play(store, tmp_path, f"triton:{server.url}/mine", load_pattern="2", stage_seconds=0.3)
    assert again.failure is None
    assert summaries.status(again) == Exit.DONE


@pytest.mark.slow
@pytest.mark.parametrize("arrival", ["workers", "poisson:20"])
def test_sigterm_ends_a_run_against_a_server_that_drips(store, tmp_path, server, arrival):
    def dripping(connection, request):
        path = request.split()[1].decode()
        if not path.endswith("/infer"):
            status, body = server.answers.get(path, (404, b""))
            connection.sendall(reply(body, status))
            return
        asked.release()
        drip(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")

    asked = threading.Semaphore(0)
    with rude_server(dripping) as rude:
        told = ("--out", tmp_path, "--store", store, "--detector", f"triton:http://127.0.0.1:{rude.port}/mine")
        load = ("--load-pattern", 5, "--arrival", arrival, "--stage-seconds", 600, "--request-timeout", 600)
        command = [sys.executable, "-m", "radloop.cli", "simulate", "--json", *map(str, (*told, *load))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
            for _ in range(5):
                assert asked.acquire(timeout=120)
            run.send_signal(signal.SIGTERM)
            stopped = datetime.now(UTC)
            said, _ = run.communicate(timeout=60)
    done = json.loads(said)
    (end,) = journal(Path(done["log"]), "end")
    assert datetime.fromisoformat(end["time"]) - stopped < timedelta(seconds=10)
    assert run.returncode == Exit.FAILED
    assert done["failure"].startswith("mine 10 answered none of ")
    assert done["errors"] == {"timeout": done["total"]["requests"]}
    assert done["total"]["requests"] >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("arrival", "load"), [("workers", "5"), ("poisson:2", "4")])
def test_real_triton_that_is_stopped_and_started_costs_errors_and_no_feedback(triton, store, tmp_path, arrival, load):
    log = tmp_path / "sim.log"
    steps: list[Future[None]] = []  # what the operator did, or does

    def look(what, done, total, unit="files"):
        if all(step.done() for step in steps):
            if not steps and stage_of(what) >= 3 and journal(log, "request"):
                steps.append(operator.submit(triton.stop))
            elif len(steps) == 1 and any(line["kind"] == "connection" for line in journal(log, "error")):
                steps.append(operator.submit(triton.start))
            elif len(steps) == 2:
                steps[1].result()
                lost = max(line["stage"] for line in journal(log, "error"))
                if any(line["stage"] > lost for line in journal(log, "request")):
                    end_the_run()

    with ThreadPoolExecutor(1) as operator:
        done = play(
            store,
            tmp_path,
            f"triton:{triton.url}",
            arrival=arrival,
            load_pattern=",".join([load] * MANY),
            request_timeout=10,
            log=log,
            progress=look,
        )

    assert done.stopped
    assert done.errors["connection"] > 0
    assert set(done.errors) <= PASSING
    assert min(line["stage"] for line in journal(log, "error")) >= 3
    assert_nothing_lost(done)


def hang_in_stage_2(store, out, server, arrival):
    """The same 600 answers, and in the second stage a server that accepts and never answers."""

    def look(what, done, total, unit="files"):
        if stage := stage_of(what):
            server.infers(*(SILENCE if stage == 2 else ANSWER))
            if stage > 2 and len(list((out / "feedback").iterdir())) >= 600:
                end_the_run()

    return play(
        store,
        out,
        f"triton:{server.url}/mine",
        arrival=arrival,
        load_pattern=",".join(["1"] * MANY),
        stage_seconds=2.0,
        request_timeout=0.5,
        progress=look,
    )


@pytest.mark.slow
def test_hung_triton_is_timed_out_and_shows_on_the_clock_and_not_with_workers(store, tmp_path, server):
    clock, workers = (hang_in_stage_2(store, tmp_path / mode, server, mode) for mode in ("poisson:30", "workers"))

    for done in (clock, workers):
        assert set(done.errors) == {"timeout"}
        assert done.stages["errors"][1] > 0
        assert done.stages["errors"][3:].sum() == 0
        assert_nothing_lost(done)
    # of 600 and more requests of one worker at most six are slow, unless the machine is; of those on the clock, all
    # that arrived in the second stage
    slow, quick = p99(clock), p99(workers)
    print(f"p99: {slow} ms on the clock, {quick} ms with a worker")
    assert quick < 500 < slow
    assert workers.total["max_ms"] > 500


def test_workers_pause_after_an_error_also_where_the_stage_ends_before_the_next_try(store, tmp_path, server):
    server.infers(503, b"")
    done = play(store, tmp_path, f"triton:{server.url}/mine", load_pattern="1,1,1,1,1,1", stage_seconds=0.2)
    # each is followed by a pause of at least 0.05 s or by the end of its stage
    assert 0 < done.errors["status 503"] == done.total["requests"] <= 6 * 5


def test_detector_that_is_not_ready_yet_is_waited_for(store, tmp_path, server):
    server.answers["/v2/models/mine/ready"] = 400, b'{"error": "Request for unknown model: no available versions"}'
    waits = []

    def look(what, done, total, unit="files"):
        if what == "wait for the detector":
            waits.append((done, total, unit))
            if len(waits) == 2:
                server.answers["/v2/models/mine/ready"] = 200, b""
        elif stage_of(what):
            end_the_run()

    done = play(store, tmp_path, f"triton:{server.url}/mine", load_pattern="1", stage_seconds=600, progress=look)
    assert waits == [(0, 600, "seconds")] * 2
    assert done.stopped
    assert_nothing_lost(done)


def test_detector_that_never_gets_ready_is_given_up_after_the_time_of_a_stage(store, tmp_path, server):
    server.answers["/v2/health/ready"] = 503, b""
    with pytest.raises(TransientDetectorError, match="answered 503"):
        play(store, tmp_path, f"triton:{server.url}/mine", load_pattern="1", stage_seconds=0.3)
    assert not (tmp_path / "feedback").exists()
