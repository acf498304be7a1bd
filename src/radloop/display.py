"""What a person sees: bars on a terminal or plain lines in a log while a command runs (stderr), then its summary."""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import polars as pl
from rich import box
from rich.console import Console, OverflowMethod
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from radloop import visible
from radloop.typed import typed, typed_line

_LINE_EVERY_SECONDS = 10.0


class Display:
    """A `radloop.progress.Progress` that draws: rich bars where stderr is a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._next_line: dict[str, float] = {}
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<24}"),
                BarColumn(),
                _Amount(),
                TimeRemainingColumn(),
                console=self._console,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, what: str, done: int, total: int, unit: str = "files") -> None:
        what = visible.line(what)
        if self._bars:
            self._bars.start()  # not before there is something to show: a server takes the terminal over
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total, unit=unit)
            self._bars.update(self._tasks[what], completed=done, total=total)
            return
        now = time.monotonic()
        begins = unit == "seconds" and what not in self._next_line  # of waiting a person hears at once
        if begins or done >= total or now >= self._next_line.get(what, now + _LINE_EVERY_SECONDS):
            print(f"{what}: {amount(done, total, unit)}", file=sys.stderr, flush=True)  # noqa: T201  the log's line
            self._next_line[what] = now + _LINE_EVERY_SECONDS
        self._next_line.setdefault(what, now + _LINE_EVERY_SECONDS)


class _Amount(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(amount(int(task.completed), int(task.total or 0), str(task.fields["unit"])))


def amount(done: int, total: int, unit: str) -> str:
    """`12 of 600 files`, and bytes in the unit a person reads.

    >>> amount(12, 600, "files")
    '12 of 600 files'
    >>> amount(1_500_000, 3_000_000_000, "bytes")
    '1.5 MB of 3.0 GB'
    >>> amount(8, 0, "studies")
    '8 studies'
    """
    if unit == "bytes":
        return f"{size(done)} of {size(total)}"
    if not total:  # nobody knows how many there will be
        return f"{done:,} {unit}"
    return f"{done:,} of {total:,} {unit}"


def size(count: int) -> str:
    """A number of bytes as a person reads it.

    >>> size(999), size(1_234_567)
    ('999 B', '1.2 MB')
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


@dataclasses.dataclass(frozen=True)
class Grid:
    """A small table: the first row is the head; numbers stand right."""

    title: str
    rows: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a command did: facts, then lines as they are, tables, what deserves a look, where to go on."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    notes: tuple[str, ...] = ()
    following: tuple[str, ...] = ()


def print_summary(summary: Summary) -> None:
    """The summary on stdout."""
    console = Console(highlight=False, markup=False)
    console.print(_text(summary.title, style="bold"))
    if summary.facts:
        facts = Table.grid(padding=(0, 2))
        for name, value in summary.facts:
            facts.add_row(_text(f"  {name}", style="dim"), _text(value, overflow="fold"))
        console.print(facts)
    for line in summary.lines:
        console.print(_text(line, overflow="ignore"), no_wrap=True, soft_wrap=True)
    for grid in summary.grids:
        console.print(_drawn(grid))
    for note in summary.notes:
        console.print(_text(f"! {note}", style="yellow"))
    for line in summary.following:
        console.print(_text(f"→ {typed_line(line)}"))


def _text(text: str, *, style: str = "", overflow: OverflowMethod | None = None) -> Text:
    return Text(typed(visible.line(text)), style=style, overflow=overflow)


def _drawn(grid: Grid) -> Table:
    head, *rows = grid.rows
    table = Table(title=_text(grid.title), title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for number, name in enumerate(head):
        numeric = bool(rows) and number > 0 and all(row[number][:1].isdigit() or not row[number] for row in rows)
        table.add_column(_text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def print_json(record: Any) -> None:
    """One JSON object on stdout: a record's own fields by their own names."""
    print(visible.in_json(json.dumps(_plain(record), indent=2, ensure_ascii=False)))  # noqa: T201  the command's output


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, pl.DataFrame):
        return _plain(value.to_dicts())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value
