"""Is `radloop simulate --find-capacity` right? Against servers whose largest rate is known.

    python -m benchmarks.capacity [--runs 100] [--real MINUTES]

On a virtual clock: so many seeded searches against each queue of benchmarks.queues, how many of which come within 5 %
of the largest rate that theory gives. With --real: three searches, so many minutes each, against a KServe server on
127.0.0.1 that sleeps for each request; it says at least and below what.
"""

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from benchmarks import queues
from benchmarks.queues import SERVERS, SERVICE_MS, Server
from radloop.errors import DetectorError
from radloop.options import Simulate
from radloop.pipelines import online
from radloop.simulation import capacity

NEAR: Final = 0.05
# name, workers, seconds of a request, bound in ms
REAL: Final = (("M/D/1, 20 ms", 1, 0.020, 200.0), ("M/D/4, 50 ms", 4, 0.050, 300.0), ("M/D/2, 40 ms", 2, 0.040, 500.0))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--real", type=float, metavar="MINUTES", help="three searches on the clock, so long each")
    given = parser.parse_args()
    return real(given.real) if given.real else virtual(given.runs)


def virtual(runs: int) -> int:
    """Print a line for each server; 1 where fewer than 95 % of the searches are right."""
    print("| server | largest rate | right within 5 % | furthest off | requests a search | CPU s |")
    print("|---|---|---|---|---|---|")
    enough = True
    for name, (stays, bound, largest) in SERVERS.items():
        begin, off, sent = time.process_time(), [], 0
        for seed in range(runs):
            server = Server(stays, seed=seed)
            kept = capacity.search(server, bound_ms=bound * SERVICE_MS, start=0.5).kept
            off.append(1.0 if kept is None else abs(kept.rate / largest - 1))
            sent += server.sent
        right = sum(one <= NEAR for one in off)
        enough &= right >= 0.95 * runs
        taken = time.process_time() - begin
        print(
            f"| {name} | {largest:.3f} | {right} of {runs} | {max(off):.1%} | {sent // runs:,} | {taken:.0f} |",
            flush=True,
        )
    return 0 if enough else 1


def real(minutes: float) -> int:
    """Print what each search says beside the truth; 1 where the truth is not between its ends."""
    print("| server | largest rate | at least | below | found | valid | rates | requests |")
    print("|---|---|---|---|---|---|---|---|")
    held = True
    for name, workers, seconds, bound_ms in REAL:
        largest = queues.largest_mdc(workers, bound_ms / 1000 / seconds) / seconds
        with tempfile.TemporaryDirectory() as folder, kserve(workers, seconds) as address:
            root = Path(folder)
            _pictures(root / "store")
            options = Simulate(
                out=root / "out",
                store=str(root / "store"),
                splits=("test",),
                detector=f"triton:{address}/mine",
                find_capacity=True,
                p99_ms=bound_ms,
                max_minutes=minutes,
            )
            try:
                found = online.simulate(options).capacity
            except DetectorError as nothing:
                print(f"| {name}, p99 {bound_ms:g} ms | {largest:.1f} | {nothing} |", flush=True)
                continue
        if found is None:
            raise SystemExit("the search ended without a result")
        held &= (found.rate or 0) <= largest * (1 + NEAR) and (found.missed or largest) >= largest * (1 - NEAR)
        print(
            f"| {name}, p99 {bound_ms:g} ms | {largest:.1f} | {found.rate or 0:.1f} | {found.missed or np.inf:.1f} "
            f"| {found.is_found} | {found.is_valid} | {found.trials.height} | {found.trials['requests'].sum():,} |",
            flush=True,
        )
    return 0 if held else 1


def _pictures(store: Path) -> None:
    images = store / "test" / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(images / f"{number:032x}_R1.png")


@contextmanager
def kserve(workers: int, seconds: float) -> Iterator[str]:
    """The address of a server, in a process of its own."""
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=serve, args=(workers, seconds, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def serve(workers: int, seconds: float, told: Connection) -> None:
    """Answer each request after `seconds`, as many at a time as there are workers; the port is told."""
    tensor = {"name": "output0", "datatype": "FP32", "shape": [1, 18, 2], "data": [0.0] * 36}
    model = {
        "name": "mine",
        "versions": ["1"],
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 64, 64]}],
        "outputs": [{"name": "output0", "datatype": "FP32", "shape": [-1, 18, -1]}],
    }
    answers = {
        "/v2/health/ready": b"",
        "/v2/models/mine/ready": b"",
        "/v2/models/mine": json.dumps(model).encode(),
        "/v2/models/mine/infer": json.dumps({"model_name": "mine", "outputs": [tensor]}).encode(),
    }
    free = threading.Semaphore(workers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = answers.get(self.path)
            if self.path.endswith("/infer"):
                with free:
                    time.sleep(seconds)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Let go of who gave up waiting."""

    server = Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.send(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    raise SystemExit(main())
