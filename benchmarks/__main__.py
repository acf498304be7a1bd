"""Every stage beside its peers and the floor: `python -m benchmarks [STAGE …]`, `make bench`.

A new stage is a module of this folder with `run(bench) -> Section`, and one entry in `STAGES`, under the module's name:
about how many minutes it takes, and a `Row` for each contest that belongs into the one picture of speed: its title,
radloop's contestant, all peers (the best of them is shown), the floor if it has one, and the reason where a peer is
ahead (`Cells` where the section holds a table and no contest). A stage with nobody to stand beside says so (`without`).
What is not measured yet is named below the table; `--page` makes page and chart anew from docs/benchmarks.json.
"""

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks import harness, page
from benchmarks.speed import Cells, Row, Stage

UNCHECKED = "it does not look whether all arrived whole; with `rclone check` it takes longer"
STAGES = {
    "labels": Stage(
        minutes=3,
        rows=(
            Row(
                "labels and links",
                "Labels and links",
                "plan.build + yolo.write",
                peers=("script, a copy per reader",),
                floor="floor in C",
            ),
            Row(
                "labels alone",
                "Labels alone",
                "yolo.write",
                peers=("Datumaro, told the sizes", "Datumaro", "supervision"),
                floor="floor in C",
            ),
        ),
    ),
    "pictures": Stage(
        minutes=2,
        rows=(
            Row("picture pass", "One process", "radloop, basic", peers=("Pillow, basic",), measure="cpu_s"),
            Row("all of a picture", "One process", "radloop, all", peers=("Pillow, all",), measure="cpu_s"),
        ),
    ),
    "export": Stage(
        minutes=6,
        rows=(
            Row(
                "COCO",
                "From the tree to COCO",
                "radloop, annotations alone",
                peers=("supervision, annotations alone",),
            ),
        ),
    ),
    "imports": Stage(
        minutes=3, rows=(Row("COCO", "COCO", "radloop", peers=("Datumaro",), floor="json.loads + Parquet"),)
    ),
    "load": Stage(
        minutes=18,
        rows=(
            Row(
                "to a folder",
                "A folder, as a remote of rclone",
                "load",
                peers=("rclone copy, every file", "rclone copy + check"),
                reason=UNCHECKED,
            ),
            Row(
                "to Swift",
                "OpenStack Swift on this machine",
                "load",
                peers=("rclone copy, every file", "rclone copy + check", "rclone, by name", "rclone, by folder"),
                reason=UNCHECKED,
            ),
        ),
    ),
    "simulator": Stage(
        minutes=3,
        rows=(
            Row(
                "a request",
                "A detector that answers at once",
                "radloop",
                peers=("Locust", "script, threads"),
                measure="cpu_s",
            ),
        ),
    ),
    "retrain": Stage(
        minutes=2,
        rows=(
            Row("feedback", "Everything is new", "radloop", peers=("pandas + json.load",), floor="open and read, C"),
        ),
    ),
    "measures": Stage(
        minutes=2,
        rows=(
            Cells(
                "of the dashboard", "", "radloop", "loops", "s", name="pandas loops", only="all measures of the pages"
            ),
        ),
    ),
    "dashboard": Stage(minutes=10, opponents=False, without="whose pages have limits of their own"),
    "million": Stage(minutes=6, opponents=False, without="which is set beside the file system"),
    "desk": Stage(
        minutes=8,
        opponents=False,
        rows=(Cells("slowest beside it", "", "radloop: ms", "Label Studio: ms", "ms", name="Label Studio"),),
    ),
    "growth": Stage(minutes=25, without="which is set beside itself at a tenth of the size"),
    "dicom": Stage(
        minutes=3,
        opponents=False,
        rows=(Row("DICOM to PNG", "One process", "radloop", peers=("pydicom + Pillow",), measure="cpu_s"),),
    ),
    "watch": Stage(
        minutes=3,
        opponents=False,
        rows=(Row("a study", "One image a study", "watch", peers=("dicomweb-client",), floor="bare loop"),),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; all by default")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.{json,md}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: does everything run?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--annotations", type=Path, help="a real train.csv instead of made-up rows")
    parser.add_argument("--folder", type=Path, help="where to work; the file system that is measured")
    parser.add_argument("--page", action="store_true", help="measure nothing: make page and chart anew")
    given = parser.parse_args()
    if unknown := set(given.stages) - set(STAGES):
        parser.error(f"no stage: {', '.join(sorted(unknown))}")
    if given.quick and given.write:
        parser.error("--quick says nothing that is worth writing down")
    if given.page:
        page.write([], stages=STAGES)
        return 0
    stages = [stage for stage in STAGES if stage in given.stages or not given.stages]

    if not given.quick:
        print(told_before(stages), file=sys.stderr, flush=True)
        if any(STAGES[stage].opponents for stage in stages):
            harness.install_opponents()
    measured, failed = [], []
    for stage in stages:
        try:
            section = measure(stage, given)
        except KeyboardInterrupt:
            left = " ".join([*failed, *stages[stages.index(stage) :]])
            print(f"\nGo on with `python -m benchmarks {left} --write`.", file=sys.stderr)
            return 130
        except (Exception, SystemExit):  # noqa: BLE001 - the other stages still have something to say
            traceback.print_exc()
            failed.append(stage)
            continue
        measured.append(section)
        print("\n".join([*page.section_lines(section), "", *page.verdict_lines(section)]), flush=True)
        if given.write:  # after each, so that a run that is ended keeps what it had
            page.write([section], stages=STAGES)
    missed = sum(not one.held for section in measured for one in page.verdicts(section))
    print(f"\n{missed} limits were not held. Failed: {', '.join(failed) or 'none'}.", file=sys.stderr)
    return len(failed)


def told_before(stages: list[str]) -> str:
    """How long it will take, and how to go on where it is ended before."""
    each = ", ".join(f"{stage} {STAGES[stage].minutes:g}" for stage in stages)
    return (
        f"This takes about {sum(STAGES[stage].minutes for stage in stages):g} minutes on two quiet cores ({each}). "
        "With --write each stage is kept when it is done: if this is ended, go on with the names of the others, "
        "`python -m benchmarks STAGE … --write`."
    )


def measure(stage: str, given: argparse.Namespace) -> harness.Section:
    """One stage in a folder of its own, which is deleted at its end."""
    folder = Path(tempfile.mkdtemp(dir=given.folder, prefix=f"radloop-bench-{stage}-"))
    bench = harness.Bench(
        folder,
        quick=given.quick,
        rounds=1 if given.quick else given.rounds,
        annotations=given.annotations and given.annotations.resolve(),
    )
    machine = harness.machine(folder)
    if machine["load"] > harness.BUSY:
        print(f"{stage}: the machine is busy ({machine['load']} cores): wall times will say little", file=sys.stderr)
    began = time.perf_counter()
    try:
        section = import_module(f"benchmarks.{stage}").run(bench)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{stage}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    command = f"python -m benchmarks {stage}" + (" --annotations train.csv" if given.annotations else "")
    return dataclasses.replace(section, command=command, machine=machine)


if __name__ == "__main__":
    sys.exit(main())
