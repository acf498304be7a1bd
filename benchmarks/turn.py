"""One turn of a contestant, in a process of its own: what it took, as JSON in the file ANSWER.

    python -m benchmarks.turn MODULE:FUNCTION GIVEN FRESH OPTIONS ANSWER

FUNCTION(given, fresh, **options) gets ready and returns the work that is timed; the work returns how much it did, or a
dictionary with `done` and other figures. Only the standard library is imported here: opponents run it too.
"""

import json
import re
import resource
import sys
import time
from importlib import import_module
from pathlib import Path


def main() -> None:
    work, given, fresh, options, answer = sys.argv[1:]
    module, _, function = work.partition(":")
    timed = getattr(import_module(module), function)(Path(given), Path(fresh), **json.loads(options))
    forget_peak()
    wall, cpu = time.perf_counter(), cpu_s()
    done = timed()
    wall, cpu = time.perf_counter() - wall, cpu_s() - cpu
    figures = done if isinstance(done, dict) else {"done": done}
    figures = {"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb()} | figures
    Path(answer).write_text(json.dumps(figures))


def cpu_s() -> float:
    """Processor time of this process and of those that it started and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def forget_peak() -> None:
    """Let the peak of this process's memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Of this process since `forget_peak`, or of the largest program that it started."""
    own = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(int(own[1]) if own else 0, children) / 1024


if __name__ == "__main__":
    main()
