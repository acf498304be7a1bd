"""Fuzz the readers, guided by the coverage of their code: `make fuzz`, or `python -m tests.fuzz [TARGET ...]`.

Each target runs for --seconds (600) in a process of its own, one after the other. The input that makes one fail ends
its run and is kept in `tests/fuzz/found/TARGET/`, where `tests/test_fuzz.py` tries it again in every run of the tests.
"""

import argparse
import logging
import sys

logging.disable(logging.WARNING)  # streamlit's, that it runs without a server

from . import run  # noqa: E402
from .targets import TARGETS  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    chosen = parser.parse_args()

    print(run.HEADER, flush=True)
    failed = [name for name in chosen.targets or TARGETS if not run.fuzz(name, chosen.seconds)]
    if failed:
        print(f"failed: {', '.join(failed)}; the inputs lie in tests/fuzz/found/", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
