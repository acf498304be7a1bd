"""million: a million feedbacks in one folder, through `radloop retrain` and what else looks at all of them.

Files as radloop's simulator writes them (benchmarks/dashboard.py), on 15,000 images. Memory is that of all processes
together, pages that they share counted once; each command runs in a process of its own, in which every page of the
dashboard is opened, one after the other, as a server opens them. The floor is a C program that lists the folder and
opens, reads and closes every file.
"""

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import dashboard, labels, page, turn
from benchmarks.growth import Together
from benchmarks.harness import Bench, Contestant, Point, Section, Turn, verdict

LARGEST_MB = 1024
SLOPE = 1.1
FLOOR = "list, open and read, C"
COMMANDS = {
    "retrain, everything is new": ("retrain", "--allow-simulated", "--jobs", "2"),
    "retrain, nothing is new": ("retrain", "--allow-simulated"),
    "evaluate": ("evaluate",),
    "review --queue": ("review", "--queue"),
}
PAGES = "every page of the dashboard"


def run(bench: Bench) -> Section:
    """One folder that fills: a tenth of the files, then all."""
    sizes, images = ((200, 400), 150) if bench.quick else ((100_000, 1_000_000), 15_000)
    names, shown = (list(COMMANDS)[:2], ["overview"]) if bench.quick else (list(COMMANDS), dashboard.pages())
    tables, out = bench.fresh("tables"), bench.fresh("out")
    bench.turn(Contestant("made", "benchmarks.labels:make"), tables, images=images, annotations=None)
    taken: dict[str, list[Turn]] = {}
    for before, files in zip((0, *sizes), sizes, strict=False):
        numbers = {"tables": str(tables), "before": before, "files": files}
        bench.turn(Contestant("made", "benchmarks.million:make"), out, **numbers)
        for name in (FLOOR, *names, *([PAGES] if files == sizes[-1] else [])):
            print(f"  million: {files:,} files, {name} …", flush=True)
            work = "benchmarks.opponents:floor_read" if name == FLOOR else "benchmarks.million:command"
            options: dict[str, Any] = {} if name == FLOOR else {"name": name, "pages": shown}
            taken.setdefault(name, []).append(bench.turn(Contestant(name, work), out, **options))
    first = names[0]
    grows = {name: page.slope_of(_points(taken[name], sizes)) for name in (FLOOR, *names)}
    largest = {name: taken[name][-1].figures["together_mb"] for name in (*names, PAGES)}
    table: list[list[Any]] = [["", *(f"processor s of {files:,}" for files in sizes), "slope", "memory MB"]]
    for name, turns in taken.items():
        seconds = [turn.cpu_s for turn in turns]
        table.append([name, *[None] * (len(sizes) - len(turns)), *seconds, grows.get(name), largest.get(name)])
    return Section(
        "million",
        "A million feedbacks",
        f"{sizes[-1]:,} files as the simulator writes them in one folder, on {images:,} images. Slope in log-log of "
        "the processor time, 1 is linear; memory of all processes.",
        verdicts=[
            *(
                verdict(f"{name}: memory of all processes, {sizes[-1]:,} feedbacks", [mb], most=LARGEST_MB, unit="MB")
                for name, mb in largest.items()
            ),
            verdict(f"{first}: slope of the processor time", [grows[first]], most=max(SLOPE, grows[FLOOR]), unit=""),
            verdict(f"{FLOOR}: slope of the processor time", [grows[FLOOR]], unit=""),
            verdict(f"{first} / {FLOOR}: processor time", [taken[first][-1].cpu_s / taken[FLOOR][-1].cpu_s]),
        ],
        tables={"": table},
    )


def _points(turns: list[Turn], sizes: tuple[int, ...]) -> list[Point]:
    both = zip(sizes, turns, strict=True)
    return [Point(files, taken.wall_s, taken.cpu_s, taken.peak_mb) for files, taken in both]


def make(given: Path, fresh: Path, *, tables: str, before: int, files: int) -> Callable[[], int]:
    """Files more; at first the dataset, too, and what is kept of feedback is dropped."""

    def work() -> int:
        import shutil

        names = labels.load(Path(tables))[1][1]["image_id"].to_list()
        if not before:
            labels.write(Path(tables), given / "organized")()
            labels.compile_floor(given)
        dashboard.write(given / "feedback", names, range(before, files))
        shutil.rmtree(given / "cache", ignore_errors=True)
        return files

    return work


def command(given: Path, fresh: Path, *, name: str, pages: list[str]) -> Callable[[], dict[str, float]]:
    """One command as a user runs it, or these pages in one process."""

    def work() -> dict[str, float]:
        with Together(every_s=0.1) as together:
            if name == PAGES:
                for page in pages:
                    dashboard.opened(given, page)
            else:
                _run(*COMMANDS[name], "--out", given)
        return {"done": len(os.listdir(given / "feedback")), "together_mb": max(together.peak_mb, turn.peak_mb())}

    return work


def _run(*arguments: object) -> None:
    from radloop import cli

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main([*map(str, arguments), "--json"])
        except SystemExit as end:
            if end.code:
                raise
