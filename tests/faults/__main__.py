"""`make faults`: strike every step at every call with every fault, and write what came of it into docs/faults.md.

With --every K it is every K-th call, another one for each fault, and nothing is written: so does `make test`.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}  # a thread does not survive a fork
sys.path.append(str(Path(__file__).parent.parent))

from campaign import KINDS, STEPS, Campaign, Tally

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- written by `make faults` -->\n", "<!-- to here -->\n"

Told = dict[str, dict]  # by step: calls, and by fault a Tally


def main() -> int:
    asked = argparse.ArgumentParser(prog="faults", description=__doc__)
    asked.add_argument("--every", type=int, default=1, metavar="K")
    asked.add_argument("--seed", type=int, default=0, help="which of K calls is the first")
    asked.add_argument("--step", action="append", help="only this one; may be given again")
    asked.add_argument("--fault", help="only this one")
    asked.add_argument("--json", action="store_true", help="in this process, and what came of it on stdout")
    chosen = asked.parse_args()

    if chosen.json:
        told = strike(chosen)
        print(json.dumps(told))
    else:
        told = strike_in_processes(chosen)
        if (chosen.every, chosen.step, chosen.fault) == (1, None, None):
            before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
            PAGE.write_text(before + BEGIN + table(told) + END + rest.partition(END)[2], encoding="utf-8")
        print(table(told))
    return any(tally["failures"] for step in told.values() for tally in step["faults"].values())


def strike(chosen: argparse.Namespace) -> Told:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk would take half of the time
    base = Path(tempfile.mkdtemp(prefix="radloop-faults-", dir=memory)).resolve()
    told: Told = {}
    try:
        campaign = Campaign(base)
        for step in STEPS:
            if chosen.step and step.name not in chosen.step:
                continue
            calls = campaign.undisturbed(step)
            told[step.name] = {"calls": len(calls), "faults": {}}
            for number, kind in enumerate(KINDS):
                if chosen.fault not in (None, kind.name) or (kind.remote_only and not step.remote):
                    continue
                tally, apart = Tally(), chosen.every * kind.every
                points = [at for at, call in enumerate(calls, 1) if kind.strikes(call)]
                for at in points[(chosen.seed + number) % apart :: apart]:
                    tally.add(list(campaign.trial(step, kind, at)))
                told[step.name]["faults"][kind.name] = vars(tally)
                print(f"{step.name}, {kind.name}: {tally.right} of {tally.points}", file=sys.stderr, flush=True)
                for failure in tally.failures:
                    print(f"  {failure}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(base)
    times = os.times()
    seconds = times.user + times.system + times.children_user + times.children_system
    for step_told in told.values():
        step_told["cpu_seconds"] = round(seconds / len(told))
    return told


def strike_in_processes(chosen: argparse.Namespace) -> Told:
    """Each step in a process of its own, as many at a time as there are processors."""

    def one(name: str) -> Told:
        command = [sys.executable, str(Path(__file__).parent), "--json", "--step", name]
        command += ["--every", str(chosen.every), "--seed", str(chosen.seed)]
        command += ["--fault", chosen.fault] if chosen.fault else []
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)

    told: Told = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(one, chosen.step or [step.name for step in STEPS]):
            told |= part
    return told


def table(told: Told) -> str:
    """What came of it, for the page."""
    kinds = [kind.name for kind in KINDS]
    lines = [f"| step | calls | {' | '.join(kinds)} |", "|---|--:|" + "--:|" * len(kinds)]
    for name, step in told.items():
        cells = [_cell(step["faults"].get(kind)) for kind in kinds]
        lines.append(f"| {name} | {step['calls']} | {' | '.join(cells)} |")
    tallies = [tally for step in told.values() for tally in step["faults"].values()]
    points, right = (sum(tally[key] for tally in tallies) for key in ("points", "right"))
    lost = sum(tally["lost"] for tally in tallies)
    minutes = sum(step["cpu_seconds"] for step in told.values()) / 60
    today, kernel = time.strftime("%Y-%m-%d", time.gmtime()), platform.release().split("-")[0]
    lines += [
        "",
        f"{points:,} trials, {right:,} ended as they must, {lost} lost anything. {today}, Linux {kernel}, "
        f"{minutes:.0f} minutes of processor time.",
        "",
    ]
    return "\n".join(lines)


def _cell(tally: dict | None) -> str:
    if not tally or not tally["points"]:
        return ""
    return str(tally["points"]) if tally["right"] == tally["points"] else f"{tally['right']} of {tally['points']}"


if __name__ == "__main__":
    sys.exit(main())
