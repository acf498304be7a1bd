"""Every stage beside its peers and the floor: `python -m benchmarks [STAGE …]`, `make bench`."""

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

STAGES = (
    "labels",
    "pictures",
    "export",
    "imports",
    "load",
    "simulator",
    "retrain",
    "measures",
    "dashboard",
    "desk",
    "growth",
    "dicom",
    "watch",
)
APART = {"dashboard", "desk", "dicom", "watch"}  # stages without an opponent of .venv-bench


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; all by default")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.{json,md}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: does everything run?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--annotations", type=Path, help="a real train.csv instead of made-up rows")
    parser.add_argument("--folder", type=Path, help="where to work; the file system that is measured")
    given = parser.parse_args()
    if unknown := set(given.stages) - set(STAGES):
        parser.error(f"no stage: {', '.join(sorted(unknown))}")
    if given.quick and given.write:
        parser.error("--quick says nothing that is worth writing down")
    stages = [stage for stage in STAGES if stage in given.stages or not given.stages]

    if not given.quick and set(stages) - APART:
        harness.install_opponents()
    measured, failed = [], []
    for stage in stages:
        try:
            section = measure(stage, given)
        except (Exception, SystemExit):  # noqa: BLE001 - the other stages still have something to say
            traceback.print_exc()
            failed.append(stage)
            continue
        measured.append(section)
        print("\n".join([*page.section_lines(section), "", *page.verdict_lines(section)]), flush=True)
        if given.write:  # after each, so that a run that is ended keeps what it had
            page.write([section], order=list(STAGES))
    missed = sum(not one.held for section in measured for one in page.verdicts(section))
    print(f"\n{missed} limits were not held. Failed: {', '.join(failed) or 'none'}.", file=sys.stderr)
    return len(failed)


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
