"""`make faults`: strike every step at every call with every fault, and write what came of it into docs/faults.md.

With --every K it is every K-th call, another one for each fault, and nothing is written: so does `make test`.
With --power the power goes, in the place of all other faults.
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
from dataclasses import replace
from pathlib import Path

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}  # a thread does not survive a fork
sys.path.append(str(Path(__file__).parent.parent))

from campaign import KINDS, OUTCOMES, STEPS, Campaign, Step, Tally

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- written by `make faults` -->\n", "<!-- to here -->\n"
BEGIN_POWER = "<!-- written by `make faults`: power -->\n"

Told = dict[str, dict]  # by step: calls, and by fault a Tally


def main() -> int:
    asked = argparse.ArgumentParser(prog="faults", description=__doc__)
    asked.add_argument("--every", type=int, default=1, metavar="K")
    asked.add_argument("--seed", type=int, default=0, help="which of K calls is the first")
    asked.add_argument("--step", action="append", help="only this one; may be given again")
    asked.add_argument("--fault", help="only this one")
    asked.add_argument("--power", action="store_true", help="loss of power, in the place of all other faults")
    asked.add_argument("--by-lot", type=int, default=2, metavar="N", help="states drawn by lot for each call and order")
    asked.add_argument("--durable", action="store_true", help="with --power: only runs with --durable")
    asked.add_argument("--json", action="store_true", help="in this process, and what came of it on stdout")
    chosen = asked.parse_args()

    if chosen.json:
        told = cut_power(chosen) if chosen.power else strike(chosen)
        print(json.dumps(told))
    else:
        told = strike_in_processes(chosen)
        made, begin = (power_table(told), BEGIN_POWER) if chosen.power else (table(told), BEGIN)
        if (chosen.every, chosen.step, chosen.fault, chosen.durable) == (1, None, None, False):
            before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
            PAGE.write_text(before + begin + made + END + rest.partition(END)[2], encoding="utf-8")
        print(made)
    return any(tally["failures"] for step in told.values() for tally in step["faults"].values())


def strike(chosen: argparse.Namespace) -> Told:
    base, told = _place(), Told()
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
    return _with_seconds(told)


def cut_power(chosen: argparse.Namespace) -> Told:
    base, told = _place(), Told()
    try:
        campaign = Campaign(base)
        for step in STEPS:
            if not step.loses_power or (chosen.step and step.name not in chosen.step):
                continue
            told[step.name] = {"faults": {}, "outcomes": dict.fromkeys(OUTCOMES, 0), "calls": 0, "careless_calls": 0}
            _cut_durably(campaign, step, chosen, told[step.name])
            if not chosen.durable:
                _cut_carelessly(campaign, replace(step, durable=False), chosen, told[step.name])
    finally:
        shutil.rmtree(base)
    return _with_seconds(told)


def _cut_durably(campaign: Campaign, step: Step, chosen: argparse.Namespace, told: dict) -> None:
    outage, tally = campaign.outage(step), Tally()
    for point, state in outage.states(chosen.every, chosen.seed, chosen.by_lot):
        tally.add(
            [f"power lost after {point}, {state.how}: {what}" for what in campaign.after_outage(outage, point, state)]
        )
    told["calls"], told["faults"]["power"] = outage.calls, vars(tally)
    print(f"{step.name}, power lost, --durable: {tally.right} of {tally.points}", file=sys.stderr, flush=True)
    for failure in tally.failures:
        print(f"  {failure}", file=sys.stderr, flush=True)


def _cut_carelessly(campaign: Campaign, step: Step, chosen: argparse.Namespace, told: dict) -> None:
    outage, shown = campaign.outage(step), set()
    for point, state in outage.states(chosen.every, chosen.seed, chosen.by_lot):
        outcome, why = campaign.after_careless_outage(outage, point, state)
        told["outcomes"][outcome] += 1
        if outcome not in shown and why:
            print(f"  {step.name}, {outcome}: after {point}, {state.how}: {why}", file=sys.stderr, flush=True)
            shown.add(outcome)
    told["careless_calls"] = outage.calls
    print(f"{step.name}, power lost: {told['outcomes']}", file=sys.stderr, flush=True)


def _place() -> Path:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk would take half of the time
    return Path(tempfile.mkdtemp(prefix="radloop-faults-", dir=memory)).resolve()


def _with_seconds(told: Told) -> Told:
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
        command += ["--power", "--by-lot", str(chosen.by_lot)] if chosen.power else []
        command += ["--durable"] if chosen.durable else []
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)

    told: Told = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        names = [step.name for step in STEPS if step.loses_power or not chosen.power]
        for part in pool.map(one, chosen.step or names):
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


def power_table(told: Told) -> str:
    """What came of the losses of power, for the page."""
    heads = ["step", "calls with `--durable`", "states of the disk", "as promised", "without: states", *OUTCOMES]
    lines = [
        f"| {' | '.join(heads)} |",
        "|---|--:|--:|--:|--:|" + "--:|" * len(OUTCOMES),
    ]
    for name, step in told.items():
        tally, outcomes = step["faults"]["power"], step["outcomes"]
        counts = [step["calls"], tally["points"], tally["right"], sum(outcomes.values()), *outcomes.values()]
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    tallies = [step["faults"]["power"] for step in told.values()]
    points, lost = (sum(tally[key] for tally in tallies) for key in ("points", "lost"))
    careless = sum(sum(step["outcomes"].values()) for step in told.values())
    minutes = sum(step["cpu_seconds"] for step in told.values()) / 60
    today, kernel = time.strftime("%Y-%m-%d", time.gmtime()), platform.release().split("-")[0]
    lines += [
        "",
        f"{points:,} states with `--durable`, {lost} lost anything; {careless:,} without. {today}, Linux {kernel}, "
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
