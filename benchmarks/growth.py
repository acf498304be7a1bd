"""How the cost grows: images through `radloop extract` and `transform`, annotations alone, and feedback.

    python -m benchmarks.growth [IMAGES …]     annotations alone, of 15,000, 150,000 and 1,500,000 images by default

The pictures are small and distinct (benchmarks/many.py). A step's seconds and processor time are those of its function
in the pipeline; its memory is the peak of that process; a limit stands on what all processes have together at one time.
The rows of more than 15,000 images are those of 15,000 with other names and boxes that are a little smaller.
"""

import contextlib
import functools
import io
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl

from benchmarks import feedback, many, page, turn
from benchmarks.harness import Bench, Contestant, Growth, Point, Section, Turn, Verdict, machine, verdict

LARGEST_MB = 2_048
ANNOTATIONS_MB = 4_096  # of any step, of the largest number of annotations
STEEPEST = 1.1  # slope of a step's processor time, from the smallest number of annotations to the largest
ROWS = (15_000, 150_000, 1_500_000)
DEARER = 1.3  # what an image may cost of 150,000, times its cost of 15,000
DRAWN = 15_000  # images whose rows are made up; more are these again
OUTSIDE = 0.5  # seconds between two looks at the memory of all processes

REASONS = {
    "extract and transform": "the sum of its steps",
    "near-duplicates": "up to 200,000 each picture is compared with each other, so that no index decides",
    **dict.fromkeys(("validate", "group", "assign", "proof", "plan"), "tables larger than the processor's caches"),
    "write": "folders of many files: the file system's, see the floor",
    "the same files by the floor in C": "folders of many files: the file system's",
    "open and read, Python": "more files than the file system keeps in memory",
    "everything is new": "the file system's, see open and read",
    "nothing is new": "the file system lists a larger folder; tables larger than the processor's caches",
}


def run(bench: Bench) -> Section:
    """All three."""
    images = (150, 300) if bench.quick else (1_500, 15_000, 150_000)
    rows = (150, 300) if bench.quick else ROWS
    files = (100,) if bench.quick else (1_000, 10_000, 100_000, 1_000_000)
    points, largest_mb = of_images(bench, images)
    by_rows = of_annotations(bench, rows)
    whole = points["extract and transform"]
    dearer = {
        of: getattr(whole[-1], of) / whole[-1].number / (getattr(whole[-2], of) / whole[-2].number) for of in COSTS
    }
    return Section(
        "growth",
        "How it grows",
        f"Distinct pictures of {many.SIDE_PX}×{many.SIDE_PX} pixels, so that decoding hides nothing; "
        "two processes look at them.",
        growths=[
            Growth("Images, through extract and transform", "images", points, REASONS),
            Growth("Images, annotations alone", "images", by_rows, REASONS),
            Growth("Feedback files, through retrain", "files", of_feedback(bench, files), REASONS),
        ],
        verdicts=[
            verdict(f"memory of all processes, {images[-1]:,} images", [largest_mb], most=LARGEST_MB, unit="MB"),
            *(
                verdict(
                    f"cost per image, {images[-1]:,} / {images[-2]:,}: {COSTS[of]}",
                    [ratio],
                    most=DEARER,
                    otherwise=REASONS["near-duplicates"],
                )
                for of, ratio in dearer.items()
            ),
            *straight(by_rows),
        ],
    )


def straight(points: dict[str, list[Point]]) -> list[Verdict]:
    """Whether annotations alone need no more memory and time than they may."""
    first, last = (next(iter(points.values()))[at].number for at in (0, -1))
    largest = max(points, key=lambda step: points[step][-1].peak_mb)
    steepest = max(points, key=lambda step: page.slope_of([points[step][0], points[step][-1]]))
    slope = page.slope_of([points[steepest][0], points[steepest][-1]])
    return [
        verdict(
            f"memory, annotations of {last:,} images ({largest})",
            [points[largest][-1].peak_mb],
            most=ANNOTATIONS_MB,
            unit="MB",
        ),
        verdict(
            f"slope, annotations of {first:,} to {last:,} images ({steepest})",
            [slope],
            most=STEEPEST,
            unit="",
            otherwise=REASONS.get(steepest, ""),
        ),
    ]


COSTS = {"wall_s": "time", "cpu_s": "processor time"}


def of_images(bench: Bench, sizes: tuple[int, ...]) -> tuple[dict[str, list[Point]], float]:
    """Each size from nothing: extracted, transformed twice; the memory of all processes together at the last."""
    points: dict[str, list[Point]] = {}
    for images in sizes:
        given = bench.fresh("given")
        made = {"images": images, "base": min(images, DRAWN)}
        bench.turn(Contestant("made", "benchmarks.growth:make_folder"), given, **made)
        told(f"{images:,} images")
        options = {"again": images < sizes[-1]}  # of the largest it would say nothing that the others do not
        taken = bench.turn(Contestant("transform", "benchmarks.growth:transform"), given, **options)
        largest_mb = taken.figures.pop("together_mb")
        add(points, images, taken)
    return points, largest_mb


def of_annotations(bench: Bench, sizes: tuple[int, ...]) -> dict[str, list[Point]]:
    """The steps that see no picture."""
    points: dict[str, list[Point]] = {}
    for images in sizes:
        given = bench.fresh("given")
        bench.turn(
            Contestant("made", "benchmarks.growth:make_annotations"), given, images=images, base=min(images, DRAWN)
        )
        told(f"annotations of {images:,} images")
        add(points, images, bench.turn(Contestant("annotations", "benchmarks.growth:annotations"), given))
    return points


def of_feedback(bench: Bench, sizes: tuple[int, ...]) -> dict[str, list[Point]]:
    """One folder that fills."""
    given = bench.fresh("given")
    points: dict[str, list[Point]] = {}
    for before, files in zip((0, *sizes), sizes, strict=False):
        feedback.write(given / "feedback", range(before, files))
        told(f"{files:,} feedback files")
        for name, work, options in (
            ("open and read, Python", "benchmarks.opponents:only_open", {}),
            ("everything is new", "benchmarks.retrain:everything", {"jobs": 2}),
            ("nothing is new", "benchmarks.retrain:again", {}),
        ):
            taken = bench.turn(Contestant(name, work, options=options), given)
            points.setdefault(name, []).append(Point(files, taken.wall_s, taken.cpu_s, taken.peak_mb))
    return points


def told(what: str) -> None:
    print(f"  growth: {what} …", file=sys.stderr, flush=True)


def add(points: dict[str, list[Point]], number: int, taken: Turn) -> None:
    """The figures `step|of` of a turn."""
    for step in dict.fromkeys(name.partition("|")[0] for name in taken.figures):
        points.setdefault(step, []).append(Point(number, *(taken.figures[f"{step}|{of}"] for of in STEP)))


STEP = ("wall_s", "cpu_s", "peak_mb")


class Steps:
    """What each step took. Steps do not lie within each other."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.plan: Any = None

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        turn.forget_peak()
        wall, cpu = time.perf_counter(), turn.cpu_s()
        yield
        before = [self.figures.get(f"{name}|{of}", 0.0) for of in STEP]
        taken = before[0] + time.perf_counter() - wall, before[1] + turn.cpu_s() - cpu, max(before[2], own_peak_mb())
        self.figures |= {f"{name}|{of}": value for of, value in zip(STEP, taken, strict=True)}

    @contextlib.contextmanager
    def patched(self, functions: dict[str, tuple[Any, str]]) -> Iterator[None]:
        """Measure functions of radloop wherever they are called by their module's name; the plan is kept."""
        with contextlib.ExitStack() as stack:
            for name, (module, function) in functions.items():
                stack.enter_context(
                    mock.patch.object(module, function, self._measured(name, getattr(module, function)))
                )
            yield

    def _measured(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*given: Any, **options: Any) -> Any:
            with self.step(name):
                returned = function(*given, **options)
            if name == "plan":
                self.plan = returned
            return returned

        return measured


def own_peak_mb() -> float:
    """Of this process alone since `turn.forget_peak`."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Together:
    """The peak memory of this process and all below it at one time, pages that they share counted once."""

    def __init__(self, every_s: float = OUTSIDE) -> None:
        self.peak_mb, self._every_s = 0.0, every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Together":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(self._every_s):
            self.peak_mb = max(self.peak_mb, sum(map(_share_mb, _family(os.getpid()))))


def _family(process: int) -> Iterator[int]:
    yield process
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                yield from _family(int(child))


def _share_mb(process: int) -> float:
    try:
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M)
    except OSError:  # it has ended
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def make_folder(given: Path, fresh: Path, *, images: int, base: int) -> Callable[[], int]:
    """A folder as a user has it: train.csv, train_meta.csv and train/."""
    tables = make_annotations(given, fresh, images=images, base=base)

    def work() -> int:
        tables()
        many.write(given / "train", pl.read_csv(given / "train_meta.csv")["image_id"].to_list())
        return images

    return work


def transform(given: Path, fresh: Path, *, again: bool) -> Callable[[], dict[str, float]]:
    """The two commands, in this process, so that their steps can be told apart; then perhaps the second again."""
    from benchmarks import labels, opponents
    from radloop import cli, similarity
    from radloop.dataset import findings, pictures, plan, proof, splits, yolo
    from radloop.sources import formats, raw

    steps = Steps()
    functions = {
        "read train.csv (twice)": (formats, "read"),
        "read train_meta.csv": (raw, "read_sizes"),
        "list the pictures": (pictures, "find"),
        "validate": (findings, "validate"),
        "inspect the pictures": (pictures, "inspect"),
        "near-duplicates": (similarity, "near_duplicates"),
        "group": (splits, "group"),
        "assign": (splits, "assign"),
        "proof": (proof, "of"),
        "plan": (plan, "build"),
        "write": (yolo, "write"),
    }

    labels.compile_floor(given)
    (given / "pictures").symlink_to(given / "train")
    (given / "count").write_text("0")
    floor = opponents.floor(given, fresh.with_name(f"{fresh.name}-floor"))

    def command(*arguments: object) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                cli.main([*map(str, arguments), "--out", str(fresh), "--json"])
            except SystemExit as end:
                if end.code:
                    raise

    def work() -> dict[str, float]:
        with Together() as together:
            wall, cpu = time.perf_counter(), turn.cpu_s()
            with steps.patched(functions):
                command("extract", "--source", given)
                command("transform", "--jobs", 2)
            whole = {"wall_s": time.perf_counter() - wall, "cpu_s": turn.cpu_s() - cpu}
            labels.write_list(steps.plan, given / "list")
            steps.plan = None
            with steps.step("the same files by the floor in C"):
                floor()
            if again:
                with steps.step("transform again, nothing to do"):
                    command("transform", "--jobs", 2)
        whole["peak_mb"] = max(value for name, value in steps.figures.items() if name.endswith("|peak_mb"))
        pictures_of = len(os.listdir(given / "train"))
        flat = {f"extract and transform|{of}": value for of, value in whole.items()}
        return {"done": pictures_of, "together_mb": together.peak_mb, **flat, **steps.figures}

    return work


def make_annotations(given: Path, fresh: Path, *, images: int, base: int) -> Callable[[], int]:
    """The rows of `base` made-up images, again and again under other names."""
    from radloop.sources import synthetic

    def work() -> int:
        given.mkdir()
        rows, sizes = synthetic.annotations(base, seed=0)
        sides = [f"{axis}_{end}" for axis in "xy" for end in ("min", "max")]
        for name, table in (("train.csv", rows), ("train_meta.csv", sizes)):
            with (given / name).open("wb") as file:
                for copy in range(images // base):
                    other = pl.format("{}{}", pl.lit(f"{copy:04x}"), pl.col("image_id").str.tail(28)).alias("image_id")
                    smaller = [(pl.col(side) * (1 - copy / 5_000)).round() for side in sides if side in table.columns]
                    table.with_columns(other, *smaller).write_csv(file, include_header=not copy, float_precision=1)
        return images

    return work


def annotations(given: Path, fresh: Path) -> Callable[[], dict[str, float]]:
    """The steps of the pipeline, pictures made up."""
    from benchmarks.labels import build
    from radloop.catalog import classes
    from radloop.dataset import findings, proof, splits
    from radloop.sources import raw
    from radloop.sources.formats.csv import read_annotations
    from radloop.split_sizes import SplitSizes
    from radloop.tables import GROUPS

    steps = Steps()

    def work() -> dict[str, float]:
        with steps.step("read train.csv"):
            rows, _ = read_annotations(given / "train.csv")
        with steps.step("read train_meta.csv"):
            sizes = raw.read_sizes(given / "train_meta.csv")
        with steps.step("validate"):
            resolved = classes.resolve(rows)
            valid = findings.validate(rows, resolved, sizes=sizes, boxes="auto")
            valid = valid.without_origins  # as the pipeline does when the pictures have been looked at
        del rows, sizes
        with steps.step("group"):
            nothing = pl.DataFrame(schema=GROUPS)
            grouping = splits.group(valid.findings["image_id"], patients=valid.patients, duplicates=nothing)
        with steps.step("assign"):
            wanted, listed = SplitSizes(), resolved.taxonomy
            assignment = splits.assign(valid.findings, grouping.groups, wanted, listed, seed=0)
        with steps.step("proof"):
            proof.of(valid.findings, assignment, wanted, listed, seed=0)
        pictures = imagined(assignment["image_id"])
        with steps.step("plan"):
            build(valid.findings, pictures, assignment)
        return {"done": assignment.height, **steps.figures}

    return work


def imagined(image_ids: pl.Series) -> pl.DataFrame:
    """PICTURES that nobody made."""
    from radloop.tables import PICTURES

    image_id = pl.col("image_id")
    return (
        pl.DataFrame({"image_id": image_ids})
        .with_columns(
            path=image_id + ".png",
            bytes=4_000,
            md5=image_id,
            sha256=image_id + image_id,
            pixels_md5=image_id,
            phash=image_id.str.head(16),
            width=1024,
            height=1024,
            mean=120.0,
            std=60.0,
            sharpness=1.0,
            problem=pl.lit(None, pl.String),
        )
        .select(pl.col(name).cast(kind) for name, kind in PICTURES.items())
    )


def main() -> int:
    """Annotations alone."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        points = of_annotations(bench, tuple(map(int, sys.argv[1:])) or ROWS)
        section = Section(
            "growth",
            "How it grows",
            "Annotations alone.",
            growths=[Growth("Images, annotations alone", "images", points, REASONS)],
            verdicts=straight(points),
            command="python -m benchmarks.growth",
            machine=machine(bench.folder),
        )
    print("\n".join([*page.section_lines(section), *page.verdict_lines(section)]))
    return 0 if all(one.held for one in section.verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
