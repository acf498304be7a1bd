"""Play histories of two or three machines on one store: `make histories`, or `python -m tests.histories`.

python -m tests.histories --seeds 10000             # all of them
python -m tests.histories --seed 1027 --shrink      # one again, told step by step; the least of it that goes wrong
"""

import argparse
import json
import os
import sys
import time

os.environ |= {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before polars is imported

from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context

from .batch import Told, play_one, play_some, play_windows, together

_CHUNK = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone, told")
    parser.add_argument("--windows", type=int, metavar="EVERY", help="hold a machine at every EVERY-th request")
    parser.add_argument("--shrink", action="store_true", help="of what goes wrong, find the least that still does")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more after that")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return play_one(chosen.seed, shrink=chosen.shrink)
    if chosen.windows:
        wrong = play_windows(chosen.windows)
        print(json.dumps(wrong) if chosen.json else "\n".join(f"{name}: {what}" for name, what in wrong.items()))
        return 1 if wrong else 0
    told = _play(chosen.first, chosen.seeds, chosen.jobs, time.monotonic() + chosen.seconds)
    if chosen.json:
        print(json.dumps({"histories": told.histories, "endings": told.endings, "wrong": told.wrong}))
    else:
        print("\n".join(told.lines()))
    return 1 if told.wrong else 0


def _play(first: int, count: int, jobs: int, until: float) -> Told:
    """Every seed once, in as many processes as asked; what comes out is the same with any number of them."""
    told, chunks = Told(), iter(range(first, first + count, _CHUNK))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = set()
        while True:
            while len(running) < jobs and time.monotonic() < until and (begin := next(chunks, None)) is not None:
                running.add(pool.submit(play_some, begin, min(_CHUNK, first + count - begin)))
            if not running:
                return told
            done, running = wait(running, return_when=FIRST_COMPLETED)
            told = together([told, *(one.result() for one in done)])
            if sys.stderr.isatty() or os.environ.get("HISTORIES_PROGRESS"):
                print(f"{told.histories} histories, {len(told.wrong)} wrong", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
