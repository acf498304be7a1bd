"""One picture of speed: radloop beside the best of its peers and the floor, as a table and as a chart (docs/speed.svg).

A `Row` says which contestants of a contest are set side by side, a `Cells` which columns of a stage's own table.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from benchmarks.harness import Result, Section, Turn


@dataclass(frozen=True)
class Row:
    """One contest's radloop, its peers and its floor, compared within each round."""

    what: str
    contest: str  # its title
    ours: str
    peers: tuple[str, ...]
    floor: str = ""
    measure: Literal["wall_s", "cpu_s"] = "wall_s"
    reason: str = ""  # why a peer may be ahead


@dataclass(frozen=True)
class Cells:
    """Two columns of a table: of the row `only`, or of the one where radloop is worst."""

    what: str
    table: str  # its title
    ours: str
    peer: str
    unit: Literal["s", "ms"]
    name: str = ""  # of the peer, where the column has another
    only: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Stage:
    """A stage, its minutes on two cores, and what of it stands in the one picture."""

    minutes: float
    rows: tuple[Row | Cells, ...] = ()
    without: str = ""  # why nobody is set beside it
    opponents: bool = True  # it needs .venv-bench


@dataclass(frozen=True)
class Line:
    """What a row comes to. Seconds are per unit of work; ratios are medians of the rounds, radloop over the other."""

    stage: str
    what: str
    ours_s: float
    peer: str
    peer_s: float
    ratios: list[float]
    floor_s: float | None = None
    over_floor: list[float] = field(default_factory=list)
    reason: str = ""

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def ahead(self) -> str:
        """Who is: nobody where the rounds do not agree."""
        if min(self.ratios) < 1 < max(self.ratios):
            return "level"
        return "radloop" if self.ratio <= 1 else self.peer


def lines(stages: Mapping[str, Stage], kept: Mapping[str, list[Section]]) -> list[Line]:
    """Every row that has been measured."""
    each = (_line(stage, row, kept[stage][0]) for stage in stages if stage in kept for row in stages[stage].rows)
    return [line for line in each if line is not None]


def _line(stage: str, row: Row | Cells, section: Section) -> Line | None:
    if isinstance(row, Cells):
        return _of_table(stage, row, section.tables.get(row.table))
    result = next((one for one in section.results if one.title == row.contest and row.ours in one.turns), None)
    return result and _of_contest(stage, row, result)


def _of_contest(stage: str, row: Row, result: Result) -> Line | None:
    mine = result.turns[row.ours]

    def ratios(other: str) -> list[float]:
        both = zip(mine, result.turns[other], strict=False)
        return [our.per_unit(row.measure) / their.per_unit(row.measure) for our, their in both]

    peers = [name for name in row.peers if name in result.turns]
    if not peers:
        return None
    best = max(peers, key=lambda name: statistics.median(ratios(name)))
    floor = result.turns.get(row.floor)
    return Line(
        stage,
        f"{row.what}, per {result.unit.removesuffix('s')}" + (", processor" if row.measure == "cpu_s" else ""),
        _seconds(mine, row.measure),
        best,
        _seconds(result.turns[best], row.measure),
        ratios(best),
        floor and _seconds(floor, row.measure),
        ratios(row.floor) if floor else [],
        row.reason,
    )


def _seconds(turns: list[Turn], measure: str) -> float:
    return statistics.median(turn.per_unit(measure) for turn in turns)


def _of_table(stage: str, row: Cells, table: list[list[object]] | None) -> Line | None:
    if not table:
        return None
    header, *body = table
    ours, peer = header.index(row.ours), header.index(row.peer)
    found = {
        str(cells[0]): (mine, theirs)
        for cells in body
        if isinstance(mine := cells[ours], float) and isinstance(theirs := cells[peer], float)
    }
    name = row.only or max(found, key=lambda one: found[one][0] / found[one][1])
    mine, theirs = found[name]
    scale = 1e-3 if row.unit == "ms" else 1
    what = row.what if row.only else f"{row.what}: {name}"
    return Line(stage, what, mine * scale, row.name or row.peer, theirs * scale, [mine / theirs], reason=row.reason)


def section_lines(stages: Mapping[str, Stage], kept: Mapping[str, list[Section]]) -> list[str]:
    """The table and the chart, as Markdown."""
    found = lines(stages, kept)
    rows = [
        [
            line.stage,
            line.what,
            _time(line.ours_s),
            f"{_time(line.peer_s)} · {line.peer}",
            "–" if line.floor_s is None else _time(line.floor_s),
            f"{number(line.ratio)} ×",
            f"{number(statistics.median(line.over_floor))} ×" if line.over_floor else "–",
            _verdict(line),
        ]
        for line in found
    ]
    header = ["stage", "what", "radloop", "best peer", "floor", "radloop / peer", "radloop / floor", "ahead"]
    alone = [f"{name}, {stage.without}" for name, stage in stages.items() if stage.without]
    missing = [name for name, stage in stages.items() if stage.rows and name not in {line.stage for line in found}]
    return [
        "## radloop beside its peers",
        "",
        "Each row is of one run: of all peers the best, the floor where there is one, and how many times as long",
        "radloop takes (below 1 it is ahead; *level* where the rounds do not agree on it).",
        "",
        *table(header, rows),
        "",
        "![How many times as long radloop takes as its best peer, a bar a row](speed.svg)",
        "",
        *([f"Nobody is set beside: {'; '.join(alone)}."] if alone else []),
        *([f"Not measured yet: {', '.join(missing)}."] if missing else []),
        "",
    ]


def _verdict(line: Line) -> str:
    if line.ahead in ("radloop", "level"):
        return line.ahead
    return f"**{line.ahead}**: {line.reason or 'not explained yet'}"


_WIDTH, _LEFT, _RIGHT, _STEP, _TOP = 1000, 300, 230, 22, 52
_COLOURS = {"radloop": "#15803d", "level": "#777777"}
_BEHIND = "#d97706"


def chart(found: list[Line]) -> str:
    """A bar a row on a logarithmic axis, from the peer's time to radloop's; a tick where the floor is.

    An SVG without a font or link of its own.
    """
    ends = [line.ratio for line in found] + [
        line.ratio / statistics.median(line.over_floor) for line in found if line.over_floor
    ]
    low, high = math.floor(math.log10(min([0.1, *ends]))), math.log10(max([3.0, *ends]) * 1.2)
    height = _TOP + _STEP * len(found) + 14

    def x(ratio: float) -> float:
        return round(_LEFT + (math.log10(ratio) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">',
        "<title>How many times as long radloop takes as its best peer</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="8" y="16">radloop\'s time as a multiple of its best peer\'s: green is ahead, orange behind, gray '
        "level; the black tick is the floor</text>",
    ]
    for power in range(low, math.floor(high) + 1):
        at = x(10.0**power)
        colour = "#000000" if power == 0 else "#dddddd"
        parts.append(f'<line x1="{at}" x2="{at}" y1="{_TOP - 8}" y2="{height - 8}" stroke="{colour}"/>')
        parts.append(f'<text x="{at}" y="{_TOP - 14}" text-anchor="middle">{10.0**power:g} ×</text>')
    for i, line in enumerate(found):
        parts += _bar(line, _TOP + _STEP * i, x(line.ratio), x(1))
        if line.over_floor:
            at = x(line.ratio / statistics.median(line.over_floor))
            parts.append(f'<rect x="{at - 1:.1f}" y="{_TOP + _STEP * i}" width="2" height="16" fill="#000000"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(line: Line, top: int, end: float, peer: float) -> list[str]:
    colour = _COLOURS.get(line.ahead, _BEHIND)
    left, width = min(end, peer), max(1.0, abs(end - peer))
    return [
        f'<text x="{_LEFT - 8}" y="{top + 12}" text-anchor="end">{escape(f"{line.stage}: {line.what}")}</text>',
        f'<rect x="{left}" y="{top + 2}" width="{width:.1f}" height="12" fill="{colour}"/>',
        f'<text x="{max(end, peer) + 8}" y="{top + 12}">{number(line.ratio)} × {escape(line.peer)}</text>',
    ]


def _time(seconds: float) -> str:
    for unit, least in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= least:
            return f"{number(seconds / least)} {unit}"
    return f"{number(seconds * 1e6)} µs"


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """In Markdown; columns of numbers stand to the right."""
    right = [i > 0 and all(row[i][:1].isdigit() or not row[i] for row in rows) for i in range(len(header))]
    rule = ["--:" if each else "---" for each in right]
    return [f"| {' | '.join(line)} |" for line in (header, rule, *rows)]
