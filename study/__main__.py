"""Does a round of the loop make a better model, and which order of the worklist is worth a radiologist's minute?

    python -m study                 all of it; writes study/results.json, docs/loop.svg and docs/loop.md's table
    python -m study --quick         tiny sizes, two seeds: does everything run?
    python -m study --page          figure and table anew, from study/results.json alone

`make study` installs what it needs (torch for CPUs) into .venv-study. What a seed gave is kept in --folder, so that a
run that was ended goes on.
"""

import argparse
import os
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, two seeds; writes no page")
    parser.add_argument("--page", action="store_true", help="write figure and table from study/results.json")
    parser.add_argument("--seeds", type=int, default=7, help="how many (7)")
    parser.add_argument("--arms", help="only these, by name, with commas; writes no page")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (2)")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "study" / "runs", help="where seeds are kept (study/runs)"
    )
    given = parser.parse_args()
    from study import page

    if not given.page:
        from study import running  # and with it torch

        began = time.monotonic()
        results = running.run(
            seeds=2 if given.quick else given.seeds,
            quick=given.quick,
            only=given.arms.split(",") if given.arms else None,
            jobs=given.jobs,
            folder=given.folder,
        )
        print("\n".join(page.table(results)))
        print(f"{(time.monotonic() - began) / 60:.0f} minutes")
        if given.quick or given.arms:
            return
        page.keep(results)
    page.write()


if __name__ == "__main__":
    main()
