"""docs/benchmarks.md and docs/speed.svg from docs/benchmarks.json: what was measured last, and the run before."""

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import speed
from benchmarks.harness import BUSY, ROOT, Growth, Point, Result, Section, Verdict, as_json, from_json
from benchmarks.speed import Stage, number, table

DATA = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"
CHART = ROOT / "docs" / "speed.svg"
STRAIGHT = 1.1  # the slope in log-log from which on a cost is said to bend

HEAD = """\
# What it costs

Made by `make bench`; `python -m benchmarks STAGE --write` measures one stage again and `--annotations train.csv` takes
the real rows. Contestants do the same work in turns (A B A B …), each turn in a process and a folder of its own. Times
are medians with the lowest and highest round in brackets; ratios are taken within each round. *Processor* is the time
of a process and of all that it started, *memory* the peak of its largest process. The opponents come from
`benchmarks/requirements.txt`; *script* is a plain program that does the stage as such pipelines are usually described;
the *floor* is the least that any program must do.
"""


def read(path: Path = DATA) -> dict[str, list[Section]]:
    """The last two sections of each stage, the newest first."""
    if not path.exists():
        return {}
    return {stage: [from_json(one) for one in kept] for stage, kept in json.loads(path.read_text()).items()}


def write(measured: list[Section], *, stages: Mapping[str, Stage], folder: Path = DATA.parent) -> None:
    """Put what was measured before what was there, and make the page and its chart of it."""
    kept = read(folder / DATA.name)
    for section in measured:
        kept[section.stage] = [section, *kept.get(section.stage, [])][:2]
    kept = {stage: kept[stage] for stage in stages if stage in kept}
    content = {stage: [as_json(section) for section in sections] for stage, sections in kept.items()}
    (folder / DATA.name).write_text(json.dumps(content, indent=1) + "\n")
    (folder / PAGE.name).write_text(render(kept, stages))
    (folder / CHART.name).write_text(speed.chart(speed.lines(stages, kept)))


def render(kept: dict[str, list[Section]], stages: Mapping[str, Stage]) -> str:
    """The whole page."""
    rows = [row for sections in kept.values() for row in _limits(sections)]
    limits = ["## The limits", "", *table(["stage", "what", "measured", "limit", "", "run before"], rows)]
    each = (line for sections in kept.values() for line in section_lines(sections[0]))
    return "\n".join([HEAD, *speed.section_lines(stages, kept), *limits, *each])


def section_lines(section: Section) -> list[str]:
    """One stage: its tables and what it was measured on."""
    lines = ["", f"## {section.title}", "", section.text, ""]
    for result in section.results:
        lines += [f"**{result.title}**", "", *_contest(result), ""]
    for growth in section.growths:
        lines += [f"**{growth.title}**", "", *_growth(growth), ""]
    for title, (header, *rows) in section.tables.items():
        named = [f"**{title}**", ""] if title else []
        lines += [*named, *table(header, [[_shown(cell) for cell in row] for row in rows]), ""]
    return [*lines, f"{_machine(section.machine)} `{section.command}`"]


def verdict_lines(section: Section) -> list[str]:
    """The limits of one stage, for the terminal."""
    return table(["what", "measured", "limit", ""], [row[1:-1] for row in _limits([section])])


def _limits(sections: list[Section]) -> list[list[str]]:
    before = {one.what: one for one in verdicts(sections[1])} if len(sections) > 1 else {}
    busy = sections[0].machine.get("load", 0) > BUSY
    rows = []
    for one in verdicts(sections[0]):
        earlier = before.get(one.what)
        reason = one.reason or ("the machine was busy" if busy else "not explained yet")
        verdict = ("held" if one.held else f"**not held**: {reason}") if one.limit else ""
        limit = f"{one.limit} {one.unit}".strip() if one.limit else ""
        rows.append([sections[0].stage, one.what, _spread(one), limit, verdict, _spread(earlier) if earlier else ""])
    return rows


def verdicts(section: Section) -> list[Verdict]:
    """All limits of a stage."""
    return [verdict for result in section.results for verdict in result.verdicts] + section.verdicts


def _spread(one: Verdict) -> str:
    spread = "" if one.low == one.high else f" ({number(one.low)}–{number(one.high)})"
    return f"{number(one.measured)} {one.unit}{spread}"


def _contest(result: Result) -> list[str]:
    header = [
        "",
        f"µs per {result.unit.removesuffix('s')}",
        "seconds",
        "× wall",
        "processor s",
        "× processor",
        "memory MB",
    ]
    base = result.turns[result.base]
    rows = []
    for name, turns in result.turns.items():
        walls, cpus = ([getattr(turn, of) for turn in turns] for of in ("wall_s", "cpu_s"))
        ratios = [
            number(statistics.median(a.per_unit(of) / b.per_unit(of) for a, b in zip(turns, base, strict=False)))
            for of in ("wall_s", "cpu_s")
        ]
        each = statistics.median(1e6 * turn.per_unit("wall_s") for turn in turns)
        peak = max(turn.peak_mb for turn in turns)
        rows.append([name, number(each), _middle(walls), ratios[0], _middle(cpus), ratios[1], number(peak)])
    return table(header, rows)


def _growth(growth: Growth) -> list[str]:
    sizes = sorted({point.number for points in growth.points.values() for point in points})
    header = ["step", *(f"µs at {size:,}" for size in sizes), "slope", "seconds", "memory MB", ""]
    rows = []
    for name, points in growth.points.items():
        at = {point.number: point for point in points}
        each = [number(1e6 * at[size].cpu_s / size) if size in at else "" for size in sizes]
        slope = slope_of(points)
        bends = growth.reasons.get(name, "not explained yet") if slope > STRAIGHT and at[max(at)].cpu_s >= 1 else ""
        last = points[-1]
        rows.append([name, *each, f"{slope:.2f}", number(last.wall_s), number(last.peak_mb), bends])
    unit = growth.unit.removesuffix("s")
    return [
        f"Processor µs per {unit}; slope in log-log between the two largest, 1 is linear; seconds and memory of the "
        "largest.",
        "",
        *table(header, rows),
    ]


def slope_of(points: list[Point]) -> float:
    """Of the processor time between the two largest, in log-log: 1 is linear, 2 quadratic."""
    if len(points) < 2:
        return math.nan
    small, large = sorted(points, key=lambda point: point.number)[-2:]
    return math.log(max(large.cpu_s, 1e-3) / max(small.cpu_s, 1e-3)) / math.log(large.number / small.number)


def _machine(machine: dict[str, Any]) -> str:
    if not machine:
        return ""
    busy = " **The machine was busy**: trust the processor's columns." if machine["load"] > BUSY else ""
    return (
        f"*{machine['date']}: {machine['cores']} × {machine['processor']}, {machine['memory_gb']:g} GB, Linux "
        f"{machine['kernel']}, {machine['file_system']}, Python {machine['python']}, "
        f"{machine['load']:g} cores busy with other work.*{busy}"
    )


def _middle(values: list[float]) -> str:
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


def _shown(cell: Any) -> str:
    return number(cell) if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)
