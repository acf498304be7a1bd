"""Contestants do one piece of work in turns, each in a process and a folder of its own; what each took, as data.

A folder is never used twice and all are deleted at the end, because deleting many files makes later creates dearer.
Ratios are taken within a round, so that a machine that slows down slows both sides.
"""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OPPONENTS = ROOT / ".venv-bench"
BUSY = 0.5  # cores that others keep at work: above it, ratios by the clock say little


@dataclass(frozen=True)
class Contestant:
    """Who does the work: `work` is a module:function as benchmarks/turn.py calls it."""

    name: str
    work: str
    opponent: bool = False  # runs in the opponents' environment
    rounds: int | None = None  # fewer than the others, where one turn takes very long
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """What the project demands of itself: of a ratio of two contestants, or of a figure of one."""

    name: str
    of: str  # wall_s, cpu_s, peak_mb or a figure that the work returns
    against: str | None = None
    most: float | None = None
    least: float | None = None
    unit: str = "×"
    otherwise: str = ""  # why it is missed, where that is known


@dataclass(frozen=True)
class Verdict:
    """A limit and what was measured: median, lowest and highest round."""

    what: str
    measured: float
    low: float
    high: float
    unit: str
    limit: str  # "≤ 1.5"; empty where there is none, and the figure is only told
    held: bool
    reason: str = ""


@dataclass(frozen=True)
class Turn:
    wall_s: float
    cpu_s: float  # of the process and all that it started and waited for
    peak_mb: float
    done: float
    figures: dict[str, float] = field(default_factory=dict)

    def per_unit(self, of: str) -> float:
        """Times are per unit of work, so that who does more in the same time wins."""
        if of in ("wall_s", "cpu_s"):
            return float(getattr(self, of)) / self.done
        return self.peak_mb if of == "peak_mb" else self.figures[of]


@dataclass(frozen=True)
class Result:
    """All turns of one contest."""

    title: str
    unit: str  # of the work done: "files"
    base: str
    turns: dict[str, list[Turn]]
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Point:
    """One size of a growing piece of work."""

    number: int
    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Growth:
    """How the cost of each step grows with the number of `unit`."""

    title: str
    unit: str
    points: dict[str, list[Point]]
    reasons: dict[str, str] = field(default_factory=dict)  # of steps that bend


@dataclass(frozen=True)
class Section:
    """One stage, as it is kept in docs/benchmarks.json."""

    stage: str
    title: str
    text: str
    results: list[Result] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    tables: dict[str, list[list[Any]]] = field(default_factory=dict)  # by title: the header, then rows
    command: str = ""
    machine: dict[str, Any] = field(default_factory=dict)


@dataclass
class Bench:
    """The place where contests are held, and how large they are."""

    folder: Path
    quick: bool = False  # tiny, and opponents in radloop's own environment: the test tools are most of them
    rounds: int = 3
    annotations: Path | None = None  # a real train.csv; None: made up
    count: int = 0

    def fresh(self, name: str) -> Path:
        """A path that nobody used before."""
        self.count += 1
        return self.folder / f"{self.count:03}-{''.join(c if c.isalnum() else '-' for c in name)}"

    def turn(self, contestant: Contestant, given: Path, **options: Any) -> Turn:
        """Let a contestant do the work once."""
        python = OPPONENTS / "bin" / "python" if contestant.opponent and not self.quick else Path(sys.executable)
        fresh = self.fresh(contestant.name)
        answer = fresh.with_suffix(".json")
        if not self.quick:
            os.sync()  # what others wrote before is not written to disk in this turn
        options = {**options, **contestant.options}
        command = [python, "-m", "benchmarks.turn", contestant.work, given, fresh, json.dumps(options), answer]
        done = subprocess.run(
            [str(part) for part in command], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{contestant.name} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        figures = json.loads(answer.read_text())
        known = {name: figures.pop(name) for name in ("wall_s", "cpu_s", "peak_mb", "done")}
        return Turn(**known, figures=figures)

    def contest(
        self,
        title: str,
        contestants: list[Contestant],
        *,
        given: Path,
        unit: str,
        limits: list[Limit] = [],  # noqa: B006 - never changed
        base: str | None = None,
        same: bool = True,
        rounds: int | None = None,
        **options: Any,
    ) -> Result:
        """Hold the rounds. With `same`, all have to say that they did as much."""
        turns: dict[str, list[Turn]] = {contestant.name: [] for contestant in contestants}
        for number in range(rounds or self.rounds):
            for contestant in contestants:
                if number < (contestant.rounds or number + 1):
                    print(f"  {title}, round {number + 1}: {contestant.name} …", file=sys.stderr, flush=True)
                    turns[contestant.name].append(self.turn(contestant, given, **options))
        told = {name: taken[0].done for name, taken in turns.items()}
        if same and len(set(told.values())) > 1:
            raise SystemExit(f"{title}: they did not do the same work: {told}")
        return Result(
            title,
            unit,
            base or contestants[0].name,
            turns,
            [judge(limit, turns, "" if same else unit) for limit in limits],
        )


def judge(limit: Limit, turns: dict[str, list[Turn]], unit: str = "") -> Verdict:
    """Set a limit beside what was measured; `unit` of the work, where they did not do the same number."""
    mine = [turn.per_unit(limit.of) for turn in turns[limit.name]]
    if limit.against:
        mine = [own / turn.per_unit(limit.of) for own, turn in zip(mine, turns[limit.against], strict=False)]
    elif limit.of in ("wall_s", "cpu_s"):
        mine = [getattr(turn, limit.of) for turn in turns[limit.name]]
    what = {"wall_s": "time", "cpu_s": "processor time", "peak_mb": "peak memory"}.get(limit.of, limit.of)
    if limit.against and unit:
        what += f" per {unit.removesuffix('s')}"
    title = f"{limit.name} / {limit.against}: {what}" if limit.against else f"{limit.name}: {what}"
    return verdict(title, mine, most=limit.most, least=limit.least, unit=limit.unit, otherwise=limit.otherwise)


def verdict(
    what: str,
    measured: list[float],
    *,
    most: float | None = None,
    least: float | None = None,
    unit: str = "×",
    otherwise: str = "",
) -> Verdict:
    """One figure of several rounds against its limit."""
    middle = statistics.median(measured)
    held = (most is None or middle <= most) and (least is None or middle >= least)
    limit = f"≤ {most:g}" if most is not None else f"≥ {least:g}" if least is not None else ""
    return Verdict(what, middle, min(measured), max(measured), unit, limit, held, "" if held else otherwise)


def environment() -> dict[str, str]:
    """With the programs of radloop's own environment (rclone, radloop) on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def install_opponents() -> None:
    """Into .venv-bench: their versions shall not meet radloop's."""
    install(OPPONENTS, ROOT / "benchmarks" / "requirements.txt")


def install(into: Path, wanted: Path) -> None:
    """An environment with the packages of a list, once for each list."""
    installed = into / "installed.txt"
    if installed.exists() and installed.read_bytes() == wanted.read_bytes():
        return
    print(f"installing {wanted.name} into {into.name} …", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", into], check=True)
    pip = [into / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", wanted], check=True)
    installed.write_bytes(wanted.read_bytes())


def machine(folder: Path) -> dict[str, Any]:
    """What the figures were measured on."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": model or platform.machine(),
        "memory_gb": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": _file_system(folder),
        "load": round(_busy_cores(), 2),
    }


def _busy_cores() -> float:
    """How many cores are at work while this process is not: unlike the load it forgets the stage before at once."""
    idle, start = _idle_s(), time.perf_counter()
    time.sleep(1)
    return max(0.0, (os.cpu_count() or 1) - (_idle_s() - idle) / (time.perf_counter() - start))


def _idle_s() -> float:
    """Of all cores since the machine was started, waiting for disks included."""
    _, _, _, _, idle, waiting, *_ = _lines("/proc/stat")[0].split()
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _file_system(folder: Path) -> str:
    """The type of the mount that holds `folder`."""
    place, best = folder.resolve(), (0, "unknown")
    for line in _lines("/proc/self/mountinfo"):
        mount, kind = line.split()[4], line.partition(" - ")[2].split()[0]
        if place.is_relative_to(mount):
            best = max(best, (len(mount), kind))
    return best[1]


def as_json(section: Section) -> dict[str, Any]:
    return asdict(section)


def from_json(content: dict[str, Any]) -> Section:
    """What `as_json` made."""
    results = [
        Result(
            **{
                **result,
                "turns": {name: [Turn(**turn) for turn in turns] for name, turns in result["turns"].items()},
                "verdicts": [Verdict(**verdict) for verdict in result["verdicts"]],
            }
        )
        for result in content["results"]
    ]
    growths = [
        Growth(
            **{**growth, "points": {name: [Point(**p) for p in points] for name, points in growth["points"].items()}}
        )
        for growth in content["growths"]
    ]
    verdicts = [Verdict(**verdict) for verdict in content["verdicts"]]
    return Section(**{**content, "results": results, "growths": growths, "verdicts": verdicts})
