"""The simulator's own cost: with a detector that answers at once, beside the same loop in Locust.

    python benchmarks/simulator.py [--seconds 10] [--pictures 100] [--workers 50] [--rounds 3]

Both show the same pictures to the same detector and write a feedback file for each answer, with the same number of
workers; Locust as one would write it: a User without a pause, a request event fired by hand, `json.dump`. Locust is
installed into .venv-locust at the first run. What is compared are requests per second of CPU time (so "per core"), the
rounds in turns. Then radloop's own time per request: CPU time of its thread, and the time between two requests of a
worker with a detector that takes 100 ms, as the user's does.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from radloop.pipelines import online
from radloop.predictions import Picture, Predictions

LOCUST = Path(__file__).parents[1] / ".venv-locust"
ANSWER = Predictions.sorted([3, 0], [0.6, 0.9], [[0.5, 0.6, 0.3, 0.2], [0.5, 0.4, 0.1, 0.1]])

RADLOOP = """
import sys
sys.path.insert(0, sys.argv[1])
from simulator import play
play(*sys.argv[2:])
"""

LOCUSTFILE = """
import itertools, json, os, time, uuid
from datetime import UTC, datetime
from pathlib import Path
from locust import User, constant, task

pictures = sorted(Path(os.environ["PICTURES"]).iterdir())
folder = Path(os.environ["FEEDBACK"])
turns = itertools.cycle(pictures)
answer = [{"class_id": 0, "class_name": "Aortic enlargement", "confidence": 0.9, "bbox": [0.5, 0.4, 0.1, 0.1]},
          {"class_id": 3, "class_name": "Cardiomegaly", "confidence": 0.6, "bbox": [0.5, 0.6, 0.3, 0.2]}]

class Hospital(User):
    wait_time = constant(0)

    @task
    def show(self):
        path = next(turns)
        data = path.read_bytes()
        started = time.perf_counter()
        detections = answer
        elapsed_ms = (time.perf_counter() - started) * 1000
        feedback = {"image_id": path.stem, "class_id": 0, "confidence": 0.9, "bbox": [0.5, 0.4, 0.1, 0.1],
                    "timestamp": datetime.now(UTC).isoformat(), "detections": detections, "latency_ms": elapsed_ms,
                    "feedback_id": uuid.uuid4().hex}
        with open(folder / f"{path.stem}.{feedback['feedback_id']}.json", "w") as file:
            json.dump(feedback, file, indent=2)
        self.environment.events.request.fire(request_type="infer", name="detector", response_time=elapsed_ms,
                                             response_length=len(data), exception=None, context={})
"""


class AtOnce:
    """Answers after `seconds`, and keeps what each worker did between two of its requests."""

    name, version = "at-once", "1"

    def __init__(self, seconds: float = 0.0) -> None:
        self._pause, self._seconds = threading.Event(), seconds
        self._last = threading.local()
        self.cpu_ms: list[float] = []
        self.wall_ms: list[float] = []

    def predict(self, picture: Picture) -> Predictions:
        if hasattr(self._last, "cpu"):
            self.cpu_ms.append((time.thread_time() - self._last.cpu) * 1000)
            self.wall_ms.append((time.perf_counter() - self._last.wall) * 1000)
        if self._seconds:
            self._pause.wait(self._seconds)
        self._last.cpu, self._last.wall = time.thread_time(), time.perf_counter()
        return ANSWER


def play(store: str, out: str, seconds: str, workers: str, answer_seconds: str) -> None:
    """One run of radloop in this process; prints what it did as JSON."""
    detector = AtOnce(float(answer_seconds))
    begin = time.process_time()
    done = online.simulate(
        Path(out), store, detector=detector, splits=["test"], load_pattern=workers, stage_seconds=float(seconds)
    )
    cpu = time.process_time() - begin
    print(
        json.dumps(
            {
                "requests": done.total["feedback"],
                "cpu_seconds": cpu,
                "own_cpu_ms": statistics.median(detector.cpu_ms),
                "own_wall_ms": statistics.median(detector.wall_ms),
            }
        )
    )


def make_store(root: Path, count: int) -> None:
    """`count` pictures of noise, as large as radiographs on disk."""
    folder = root / "test" / "images"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        gray = rng.integers(0, 256, (1024, 700), dtype=np.uint8)
        Image.fromarray(gray).save(folder / f"{random.Random(number).randbytes(16).hex()}.png", compress_level=1)


def run_radloop(store: Path, out: Path, seconds: float, workers: int, answer_seconds: float = 0.0) -> dict:
    command = [sys.executable, "-c", RADLOOP, Path(__file__).parent, store, out, seconds, workers, answer_seconds]
    return json.loads(subprocess.run([str(part) for part in command], check=True, capture_output=True).stdout)


def run_locust(store: Path, out: Path, seconds: float, workers: int) -> dict:
    """Locust without its web page; the CPU time of its process, start included as it is for radloop."""
    out.mkdir(parents=True)
    script = out / "locustfile.py"
    script.write_text(LOCUSTFILE)
    feedback = out / "feedback"
    feedback.mkdir()
    command = [
        *(LOCUST / "bin" / "locust", "-f", script, "--headless", "--only-summary"),
        *("-u", workers, "-r", workers, "-t", f"{seconds:g}s"),
    ]
    environment = {**os.environ, "PICTURES": str(store / "test" / "images"), "FEEDBACK": str(feedback)}
    process = subprocess.Popen(
        [str(part) for part in command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return {"requests": len(list(feedback.iterdir())), "cpu_seconds": usage.ru_utime + usage.ru_stime}


def install_locust() -> None:
    """An environment of its own: Locust's gevent patches what it is imported beside."""
    if not (LOCUST / "bin" / "locust").exists():
        subprocess.run([sys.executable, "-m", "venv", LOCUST], check=True)
        subprocess.run([LOCUST / "bin" / "pip", "install", "--quiet", "locust>=2.30"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    install_locust()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        make_store(store, given.pictures)
        warm = Path(folder) / "radloop"
        run_radloop(store, warm, 0.1, 1)  # the pictures are measured once, and the cache is kept
        rates: dict[str, list[float]] = {"radloop": [], "locust": []}
        own = []
        for number in range(given.rounds):
            ours = run_radloop(store, warm, given.seconds, given.workers)
            theirs = run_locust(store, Path(folder) / f"locust{number}", given.seconds, given.workers)
            own.append(ours["own_cpu_ms"])
            for name, done in (("radloop", ours), ("locust", theirs)):
                rates[name].append(done["requests"] / done["cpu_seconds"])
        usual = run_radloop(store, warm, given.seconds, given.workers, 0.1)
    ours, theirs = (statistics.median(rates[name]) for name in ("radloop", "locust"))
    print(f"{given.workers} workers, {given.pictures} pictures of {1024 * 700 // 1000} kB, feedback written")
    print(f"requests per core and second: radloop {ours:,.0f}, locust {theirs:,.0f}: {ours / theirs:.2f}×")
    print(f"radloop's own CPU time per request: p50 {statistics.median(own):.2f} ms")
    print(f"with a detector of 100 ms, between two requests of a worker: p50 {usual['own_wall_ms']:.2f} ms")


if __name__ == "__main__":
    main()
