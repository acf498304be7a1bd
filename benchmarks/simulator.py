"""simulate: its own cost, with a detector that answers at once, beside the same loop in Locust and in plain threads.

All show the same pictures, which stay in memory, to the same detector, and keep for each answer the same feedback, as
safely (a temporary file, and a link that overwrites nothing), and a line in a log, with as many workers: Locust as a
careful user writes it (a User without a pause, a request event fired by hand, `json.dumps`), the script a thread for
each worker. What is compared is the processor time of a request, so that it is "per core"; what comes before the first
(radloop verifies each picture by its MD5, the others list them) is not in it. Then radloop's own time per request: of
its thread, and between two requests of a worker with a detector that takes 100 ms, as the user's does.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import Bench, Contestant, Limit, Section
from benchmarks.turn import cpu_s
from radloop.options import Simulate
from radloop.pipelines import online
from radloop.predictions import Picture, Predictions

SAMPLE = 16  # the clock of a thread costs as much as half of a request
ANSWER = Predictions.sorted([3, 0], [0.6, 0.9], [[0.5, 0.6, 0.3, 0.2], [0.5, 0.4, 0.1, 0.1]])


def run(bench: Bench) -> Section:
    """Requests per second of processor time; the share of radloop in a request."""
    pictures, seconds, workers = (5, 1, 5) if bench.quick else (100, 6, 50)
    given = bench.fresh("given")
    bench.turn(Contestant("made", "benchmarks.simulator:make"), given, pictures=pictures)
    asked = {"seconds": seconds, "workers": workers}
    contestants = [
        Contestant("Locust", "benchmarks.opponents:locust", opponent=True),
        Contestant("script, threads", "benchmarks.opponents:threads"),
        Contestant("radloop", "benchmarks.simulator:play"),
    ]
    limits = [
        Limit("Locust", "cpu_s", "radloop", least=1),
        Limit("script, threads", "cpu_s", "radloop"),
        Limit("radloop", "own processor ms per request, p50", most=1, unit="ms"),
    ]
    alone = 1 if bench.quick else 0  # Locust is no test tool
    at_once = bench.contest(
        "A detector that answers at once",
        contestants[alone:],
        given=given,
        unit="requests",
        same=False,
        limits=limits[alone:],
        **asked,
    )
    usual = bench.contest(
        "A detector that takes 100 ms",
        [Contestant("radloop", "benchmarks.simulator:play", options={"answer_seconds": 0.1})],
        given=given,
        unit="requests",
        rounds=1,
        limits=[Limit("radloop", "ms between two requests of a worker, p50", unit="ms")],
        **asked,
    )
    return Section(
        "simulator",
        "simulate",
        f"{workers} workers, {seconds} s a turn, {pictures} pictures of 716 kB, a feedback file for each answer.",
        results=[at_once, usual],
    )


def make(given: Path, fresh: Path, *, pictures: int) -> Callable[[], int]:
    """Pictures of noise, as large as radiographs on disk; and a first run, which measures them for the cache."""

    def work() -> int:
        folder = given / "store" / "test" / "images"
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(pictures):
            gray = rng.integers(0, 256, (1024, 700), dtype=np.uint8)
            Image.fromarray(gray).save(folder / f"{random.Random(number).randbytes(16).hex()}.png", compress_level=1)
        return pictures

    return work


class AtOnce:
    """Answers after `seconds`, and keeps what each worker did between two of its requests, one time in SAMPLE."""

    name, version = "at-once", "1"

    def __init__(self, seconds: float = 0.0) -> None:
        self._pause, self._seconds = threading.Event(), seconds
        self._last = threading.local()
        self.before_s = 0.0  # processor time until the first request
        self.cpu_ms: list[float] = []
        self.wall_ms: list[float] = []

    def predict(self, picture: Picture) -> Predictions:
        self.before_s = self.before_s or cpu_s()
        number = self._last.number = getattr(self._last, "number", -1) + 1
        if number % SAMPLE == 1:
            self.cpu_ms.append((time.thread_time() - self._last.cpu) * 1000)
            self.wall_ms.append((time.perf_counter() - self._last.wall) * 1000)
        if self._seconds:
            self._pause.wait(self._seconds)
        if number % SAMPLE == 0:
            self._last.cpu, self._last.wall = time.thread_time(), time.perf_counter()
        return ANSWER


def play(
    given: Path, fresh: Path, *, seconds: float, workers: int, answer_seconds: float = 0.0
) -> Callable[[], dict[str, float]]:
    """radloop's simulator; the pictures are measured before, as in every run but the first."""
    store, detector = str(given / "store"), AtOnce(answer_seconds)

    def simulate(load_pattern: str, stage_seconds: float, detector: AtOnce) -> int:
        told = Simulate(
            out=fresh, store=store, splits=("test",), load_pattern=load_pattern, stage_seconds=stage_seconds
        )
        done = online.simulate(told, detector=detector)
        return done.total["feedback"]

    simulate("1", 0.1, AtOnce())

    def work() -> dict[str, float]:
        begun = cpu_s()
        done = simulate(str(workers), seconds, detector)
        return {
            "done": done,
            "cpu_s": cpu_s() - detector.before_s,
            "processor s before the first request": detector.before_s - begun,
            "own processor ms per request, p50": statistics.median(detector.cpu_ms),
            "ms between two requests of a worker, p50": statistics.median(detector.wall_ms),
        }

    return work
