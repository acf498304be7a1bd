"""load and pull over a line: a real OpenStack Swift behind a delay and a rate, beside `rclone copy` with its defaults.

    python -m benchmarks.wire --pictures 2000 --kib 500 [--round-trip-ms 40] [--mbit 100]

Each picture has the names of three readers. The line is a TCP proxy (tests/slow_line.py) in a process of its own; all
connections share its rate, in each direction. No program can be quicker than the *bound*:

    distinct bytes / rate + round trips that have to follow each other * round trip

Server, line and program share the cores of this machine, and a Swift takes its time for every name, in whatever way it
comes by it. So beside it stands a second bound, *of this machine*: the longer of the bytes' time and the processor time
of all of them on all cores, of whichever of the two programs it was less. rclone sends every name; it is given a tenth
of the pictures, and its times count ten times.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import ROOT, environment
from benchmarks.load import READERS, make
from benchmarks.turn import cpu_s

# TCP's handshake, the login; what is there (all at once), the journal, the pictures, the listing, the marker, the
# manifest, the journal's and the marker's removal, each after the one before
LOAD_TRIPS = 10
# TCP's handshake, the login; the marker and the manifest (at once), the pictures
PULL_TRIPS = 4
LEAST = 0.85  # of the bound's speed
PEER = 10  # of so many pictures rclone gets one


@dataclass(frozen=True)
class Wire:
    """What the line carries, and the server behind it."""

    pictures: int
    kib: int
    round_trip_s: float
    bytes_per_s: float

    def bound_s(self, trips: int, machine_s: float = 0.0) -> float:
        """The least time for the distinct pictures, where this machine is at work for `machine_s`."""
        return max(self.pictures * self.kib * 1024 / self.bytes_per_s, machine_s) + trips * self.round_trip_s


@dataclass(frozen=True)
class Run:
    """What one program took."""

    wall_s: float
    cpu_s: float  # its own and its rclone's
    server_s: float  # processor time of the server and the line


def main(words: list[str] | None = None) -> int:
    """Measure, print a table and the verdicts; 1 where one is not held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--kib", type=int, default=50)
    parser.add_argument("--round-trip-ms", type=float, default=40)
    parser.add_argument("--mbit", type=float, default=100)
    parser.add_argument("--folder", type=Path, help="where to work")
    given = parser.parse_args(words)
    wire = Wire(given.pictures, given.kib, given.round_trip_ms / 1000, given.mbit * 1e6 / 8)
    folder = Path(tempfile.mkdtemp(dir=given.folder, prefix="radloop-wire-"))
    try:
        runs = measure(wire, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    lines, held = report(wire, runs)
    print("\n".join(lines))
    return 0 if held else 1


def measure(wire: Wire, folder: Path) -> dict[str, Run]:
    """Every program once, each with a container or a folder of its own."""
    sys.path.insert(0, str(ROOT / "tests"))
    from radloop.storage import publish, pull
    from radloop.storage.rclone import RcloneStore
    from swift_server import Swift, processor_s

    make(folder / "given", folder, pictures=wire.pictures, kib=wire.kib)()
    make(folder / "tenth", folder, pictures=_tenth(wire), kib=wire.kib)()
    runs: dict[str, Run] = {}

    def load() -> None:
        with closing(RcloneStore("chi_tacc:ours")) as store:
            publish.publish(folder / "given", store)

    def bring() -> None:
        with closing(RcloneStore("chi_tacc:ours")) as store:
            pull.pull(store, folder / "pulled")

    server = Swift(folder / "swift")
    direct = server.state["ports"]["proxy"]
    try:
        with _line(direct, wire) as (port, line):
            (folder / "rclone.conf").write_text(server.config.read_text().replace(f":{direct}/", f":{port}/"))
            os.environ["RCLONE_CONFIG"] = str(folder / "rclone.conf")
            work: dict[str, Callable[[], object]] = {
                "rclone copy": lambda: _rclone(folder / "tenth", "chi_tacc:theirs"),
                "load": load,
                "rclone copy, back": lambda: _rclone("chi_tacc:theirs", folder / "theirs"),
                "pull": bring,
            }
            for name, act in work.items():
                print(f"  {name} …", file=sys.stderr, flush=True)
                begin = time.perf_counter(), cpu_s(), server.cpu_s() + processor_s(line)
                act()
                end = time.perf_counter(), cpu_s(), server.cpu_s() + processor_s(line)
                runs[name] = Run(*(after - before for before, after in zip(begin, end, strict=True)))
    finally:
        server.stop()
    return runs


def report(wire: Wire, runs: dict[str, Run]) -> tuple[list[str], bool]:
    """The table and the verdicts, and whether all are held."""
    names = wire.pictures * READERS
    peers = {"load": "rclone copy", "pull": "rclone copy, back"}
    trips = {"load": LOAD_TRIPS, "pull": PULL_TRIPS}
    scale, cores = wire.pictures / _tenth(wire), len(os.sched_getaffinity(0))
    lines = [
        f"{wire.pictures:,} pictures of {wire.kib} KiB, {READERS} readers; {wire.round_trip_s * 1000:g} ms, "
        f"{wire.bytes_per_s * 8e-6:g} Mbit/s; {cores} cores",
        "| | seconds | processor s | of server and line |",
        "| --- | --: | --: | --: |",
    ]
    for name, run in runs.items():
        times = scale if name in peers.values() else 1
        lines.append(f"| {name} | {run.wall_s * times:.1f} | {run.cpu_s * times:.2f} | {run.server_s * times:.1f} |")
    held = True
    for name, peer in peers.items():
        took, files = runs[name].wall_s, names if name == "load" else wire.pictures
        machine_s = [
            runs[who].cpu_s * times + runs[who].server_s * times
            for who, times in ((name, 1), (peer, scale * files / names))
        ]
        bound, machine = wire.bound_s(trips[name]), wire.bound_s(trips[name], min(machine_s) / cores)
        is_held = machine / took >= LEAST
        held &= is_held
        lines.append(
            f"{name}: {bound / took:.2f} of the bound ({bound:.1f} s), {machine / took:.2f} of that of this machine "
            f"({machine:.1f} s; ≥ {LEAST}: {'held' if is_held else 'NOT HELD'}), "
            f"{runs[peer].wall_s * scale / took:.2f} times as fast as {peer}"
        )
    return lines, held


def _tenth(wire: Wire) -> int:
    return max(wire.pictures // PEER, 1)


def _rclone(source: Path | str, target: Path | str) -> None:
    subprocess.run(["rclone", "copy", source, target], check=True, env=environment())


@contextmanager
def _line(port: int, wire: Wire) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The port of a line to `port` of this machine, and its process, which ends with the block."""
    command = [sys.executable, "-c", LINE, str(port), str(wire.round_trip_s), str(wire.bytes_per_s)]
    proxied = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    piped = subprocess.PIPE
    with subprocess.Popen(command, stdin=piped, stdout=piped, text=True, env=proxied) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.stdin.close()


LINE = """
import sys
from slow_line import Line
port, round_trip_s, bytes_per_s = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
with Line("127.0.0.1", port, round_trip_s=round_trip_s, bytes_per_s=bytes_per_s).open() as line:
    print(line.address.rpartition(":")[2], flush=True)
    sys.stdin.read()
"""

if __name__ == "__main__":
    sys.exit(main())
