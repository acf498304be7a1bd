"""`make faults`: strike every step at every call with every fault, and write the table into docs/faults.md.

With --every K only every K-th call is struck, another one for each fault, and nothing is written; so `make test` does.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}  # a thread does not survive a fork
sys.path.append(str(Path(__file__).parent.parent))

from campaign import KINDS, Campaign, Tally, steps


def main() -> int:
    asked = argparse.ArgumentParser(prog="faults", description=__doc__)
    asked.add_argument("--every", type=int, default=1, metavar="K")
    asked.add_argument("--seed", type=int, default=0, help="which of K calls is the first")
    asked.add_argument("--step", help="only this one")
    asked.add_argument("--fault", help="only this one")
    asked.add_argument("--json", action="store_true")
    chosen = asked.parse_args()

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk would take half of the time
    base = Path(tempfile.mkdtemp(prefix="radloop-faults-", dir=memory)).resolve()
    told = {}
    try:
        campaign = Campaign(base)
        for step in steps(campaign.place):
            if chosen.step not in (None, step.name):
                continue
            calls = campaign.undisturbed(step)
            told[step.name] = {"calls": len(calls), "faults": {}}
            for number, kind in enumerate(KINDS):
                if chosen.fault not in (None, kind.name) or (kind.remote_only and not step.remote):
                    continue
                tally = Tally()
                points = [at for at, call in enumerate(calls, 1) if kind.strikes(call)]
                apart = chosen.every * kind.every
                for at in points[(chosen.seed + number) % apart :: apart]:
                    wrong = list(campaign.trial(step, kind, at))
                    tally.points += 1
                    tally.same += not wrong
                    tally.failures += wrong[:1]
                told[step.name]["faults"][kind.name] = vars(tally)
                print(f"{step.name}, {kind.name}: {tally.same} of {tally.points}", file=sys.stderr, flush=True)
                for failure in tally.failures:
                    print(f"  {failure}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(base)
    if chosen.json:
        print(json.dumps(told))
    return any(tally["failures"] for step in told.values() for tally in step["faults"].values())


if __name__ == "__main__":
    sys.exit(main())
