"""docs/benchmarks.md from docs/benchmarks.json: what was measured last, and how the run before judged."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

from benchmarks.harness import BUSY, ROOT, Growth, Point, Result, Section, Verdict, as_json, from_json

DATA = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"
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


def write(measured: list[Section], *, order: list[str], data: Path = DATA, page: Path = PAGE) -> None:
    """Put what was measured before what was there, and write the page."""
    kept = read(data)
    for section in measured:
        kept[section.stage] = [section, *kept.get(section.stage, [])][:2]
    kept = {stage: kept[stage] for stage in order if stage in kept}
    content = {stage: [as_json(section) for section in sections] for stage, sections in kept.items()}
    data.write_text(json.dumps(content, indent=1) + "\n")
    page.write_text(render(kept))


def render(kept: dict[str, list[Section]]) -> str:
    """The whole page."""
    rows = [row for sections in kept.values() for row in _limits(sections)]
    limits = ["## The limits", "", *_table(["stage", "what", "measured", "limit", "", "run before"], rows)]
    return "\n".join([HEAD, *limits, *(line for sections in kept.values() for line in section_lines(sections[0]))])


def section_lines(section: Section) -> list[str]:
    """One stage: its tables and what it was measured on."""
    lines = ["", f"## {section.title}", "", section.text, ""]
    for result in section.results:
        lines += [f"**{result.title}**", "", *_contest(result), ""]
    for growth in section.growths:
        lines += [f"**{growth.title}**", "", *_growth(growth), ""]
    for title, (header, *rows) in section.tables.items():
        named = [f"**{title}**", ""] if title else []
        lines += [*named, *_table(header, [[_shown(cell) for cell in row] for row in rows]), ""]
    return [*lines, f"{_machine(section.machine)} `{section.command}`"]


def verdict_lines(section: Section) -> list[str]:
    """The limits of one stage, for the terminal."""
    return _table(["what", "measured", "limit", ""], [row[1:-1] for row in _limits([section])])


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
    spread = "" if one.low == one.high else f" ({_number(one.low)}–{_number(one.high)})"
    return f"{_number(one.measured)} {one.unit}{spread}"


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
            _number(statistics.median(a.per_unit(of) / b.per_unit(of) for a, b in zip(turns, base, strict=False)))
            for of in ("wall_s", "cpu_s")
        ]
        each = statistics.median(1e6 * turn.per_unit("wall_s") for turn in turns)
        peak = max(turn.peak_mb for turn in turns)
        rows.append([name, _number(each), _middle(walls), ratios[0], _middle(cpus), ratios[1], _number(peak)])
    return _table(header, rows)


def _growth(growth: Growth) -> list[str]:
    sizes = sorted({point.number for points in growth.points.values() for point in points})
    header = ["step", *(f"µs at {size:,}" for size in sizes), "slope", "seconds", "memory MB", ""]
    rows = []
    for name, points in growth.points.items():
        at = {point.number: point for point in points}
        each = [_number(1e6 * at[size].cpu_s / size) if size in at else "" for size in sizes]
        slope = slope_of(points)
        bends = growth.reasons.get(name, "not explained yet") if slope > STRAIGHT and at[max(at)].cpu_s >= 1 else ""
        last = points[-1]
        rows.append([name, *each, f"{slope:.2f}", _number(last.wall_s), _number(last.peak_mb), bends])
    unit = growth.unit.removesuffix("s")
    return [
        f"Processor µs per {unit}; slope in log-log between the two largest, 1 is linear; seconds and memory of the "
        "largest.",
        "",
        *_table(header, rows),
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
    middle = _number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_number(min(values))}–{_number(max(values))})"


def _shown(cell: Any) -> str:
    return _number(cell) if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else str(cell)


def _number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    right = [i > 0 and all(row[i][:1].isdigit() or not row[i] for row in rows) for i in range(len(header))]
    rule = ["--:" if each else "---" for each in right]
    return [f"| {' | '.join(line)} |" for line in (header, rule, *rows)]
