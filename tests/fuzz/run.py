"""One target fuzzed in a process of its own, and what came of it in one line."""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOUND = Path(__file__).with_name("found")
HEADER = f"{'target':<14} {'executions':>10} {'a second':>8} {'edges':>6} {'inputs':>6}  ends"
_ROOT = Path(__file__).parent.parent.parent
_LIMITS = ("-max_len=4096", "-timeout=20")  # an input takes milliseconds
_MOST_MB = 2048  # and next to no memory
_STATE = re.compile(r"^#(\d+)\t.*?cov: (\d+) ft: \d+ corp: (\d+)", re.MULTILINE)
_LAST_LINES = 40


def fuzz(name: str, seconds: int, *, runs: int = -1, seed: int = 0, found: Path = FOUND) -> bool:
    """Fuzz one target; whether it kept its promises. The input that broke one is put into `found`.

    It ends after `seconds`, or after `runs` inputs. With another seed than 0 the same runs try the same inputs.
    """
    kept = found / name
    kept.mkdir(parents=True, exist_ok=True)
    # what the system tells of a process begins with the most that the one that started it ever had
    had_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    limits = (*_LIMITS, f"-rss_limit_mb={had_mb + _MOST_MB}")
    options = [*limits, f"-max_total_time={seconds}", f"-runs={runs}", f"-seed={seed}", f"-artifact_prefix={kept}/"]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as scratch:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", name, scratch, *options],
            cwd=_ROOT,
            env=os.environ | {"TMPDIR": scratch, "POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    took = time.monotonic() - begun
    said = ended.stdout.decode("utf-8", "replace")
    executions, edges, inputs = map(int, (_STATE.findall(said) or [(0, 0, 0)])[-1])
    ends = f"FAILED ({ended.returncode})" if ended.returncode else "kept its promises"
    print(f"{name:<14} {executions:>10} {executions / took:>8.0f} {edges:>6} {inputs:>6}  {ends}", flush=True)
    if ended.returncode:
        print("\n".join(said.splitlines()[-_LAST_LINES:]), file=sys.stderr)
    elif not any(kept.iterdir()):
        kept.rmdir()
    return ended.returncode == 0
