"""Fuzz the readers, guided by the coverage of their code: `make fuzz`, or `python -m tests.fuzz [TARGET ...]`.

Each target runs for --seconds (600) in a process of its own, one after the other. The input that makes one fail ends
its run and is kept in `tests/fuzz/found/TARGET/`, where `tests/test_fuzz.py` tries it again in every run of the tests.
"""

import argparse
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

logging.disable(logging.WARNING)  # streamlit's, that it runs without a server

from . import seeds, targets  # noqa: E402

FOUND = Path(__file__).with_name("found")
_ROOT = Path(__file__).parent.parent.parent
_LIMITS = ("-max_len=4096", "-timeout=20", "-rss_limit_mb=2048")  # an input takes milliseconds and next to no memory
_STATE = re.compile(r"^#(\d+)\t.*?cov: (\d+) ft: \d+ corp: (\d+)", re.MULTILINE)
_LAST_LINES = 40


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(targets.TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    chosen = parser.parse_args()

    print(f"{'target':<14} {'executions':>10} {'a second':>8} {'edges':>6} {'inputs':>6}  ends", flush=True)
    failed = [name for name in chosen.targets or targets.TARGETS if not fuzz(name, chosen.seconds)]
    if failed:
        print(f"failed: {', '.join(failed)}; the inputs lie in {FOUND.relative_to(_ROOT)}/", file=sys.stderr)
    return len(failed)


def fuzz(name: str, seconds: int, *, found: Path = FOUND) -> bool:
    """Fuzz one target; whether it kept its promises."""
    kept = found / name
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as scratch:
        corpus, words = Path(scratch, "corpus"), Path(scratch, "words")
        corpus.mkdir()
        for number, seed in enumerate(seeds.SEEDS[name]()):
            (corpus / f"seed-{number}").write_bytes(seed)
        words.write_text("".join(f'"{word}"\n' for word in seeds.WORDS.get(name, ["radloop"])))
        begun = time.monotonic()
        ended = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "tests.fuzz.guided",
                    name,
                    *_LIMITS,
                    f"-max_total_time={seconds}",
                    f"-dict={words}",
                ),
                *(f"-artifact_prefix={kept}/", str(corpus)),
            ],
            cwd=_ROOT,
            env=os.environ | {"TMPDIR": scratch, "POLARS_MAX_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        took = time.monotonic() - begun
    said = ended.stdout.decode("utf-8", "replace")
    executions, edges, inputs = map(int, (_STATE.findall(said) or [(0, 0, 0)])[-1])
    ends = "kept its promises" if ended.returncode == 0 else f"FAILED ({ended.returncode})"
    print(f"{name:<14} {executions:>10} {executions / took:>8.0f} {edges:>6} {inputs:>6}  {ends}", flush=True)
    if ended.returncode:
        print("\n".join(said.splitlines()[-_LAST_LINES:]), file=sys.stderr)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
