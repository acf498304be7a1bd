"""Does the loop go on turning? Rounds of new patients, feedback, reviews and the next version, on generated data.

    python -m benchmarks.rounds OUT [--rounds 3] [--new 60] [--images 600]

Each round takes in so many patients whom the dataset has never seen, shows a detector all that waits in production,
lets simulated radiologists read two thirds of it, and makes the next version of what trains. How many images could each
round use, and is production used up?
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import polars as pl

from radloop import tree
from radloop.catalog import version
from radloop.feedback import arrivals
from radloop.options import Demo, Etl, Retrain, Review, Simulate
from radloop.pipelines import demo, offline, online, retraining, reviewing
from radloop.split_sizes import SplitSizes

USUAL = Demo()
NOBODY = pl.Series(dtype=pl.String)
SECONDS = 12.0


@dataclass(frozen=True)
class Round:
    """What one round made of what waited. Images everywhere."""

    number: int
    came: int  # new patients
    to_learn_from: int  # what waited at its beginning: production, and incoming images outside the audit
    shown: int  # that got feedback for the first time in this round
    trained: int  # that joined training in its next version
    of_production: int  # of these
    of_incoming: int
    audit: int  # that have come in so far for the audit
    audit_read: int  # of them
    training: int  # in the next version
    left: int  # what waits at its end


def play(
    out: Path, *, rounds: int, new: int, images: int, sizes: SplitSizes, detector: str, seed: int = 0, jobs: int = 2
) -> Iterator[Round]:
    """Build a first version under `out`, and play the rounds."""
    etl = Etl(out=out, source=f"synthetic:{images}", sizes=sizes, seed=seed, jobs=jobs)
    offline.run(etl)
    told = []
    for number in range(1, rounds + 1):
        ingested, readings = demo.come_in(out, new, seed=seed + number, jobs=jobs)
        told.append(readings)
        before, seen = version.read(out), _shown(out)
        hospital = Simulate(out=out, splits=("production", "incoming"), detector=detector, seed=seed, jobs=jobs)
        online.simulate(_once(hospital, before))
        for share in (demo.READ, demo.ADJUDICATED):
            reviewing.simulate(
                Review(out=out, simulated=True, seed=seed + number, jobs=jobs), share=share, readings=pl.concat(told)
            )
        retrained = retraining.retrain(Retrain(out=out, jobs=jobs))
        offline.run(replace(etl, add=retrained.folder / tree.RETRAIN_TABLE))
        after = version.read(out)
        joined = after.own_images.filter(split="training").join(
            before.own_images.filter(split="training"), on="image_id", how="anti"
        )
        of_incoming = joined.join(after.incoming, on="image_id", how="semi").height
        counts = retrained.report["incoming"]
        yield Round(
            number=number,
            came=ingested.new,
            to_learn_from=_waiting(before),
            shown=len(_shown(out) - seen),
            trained=joined.height,
            of_production=joined.height - of_incoming,
            of_incoming=of_incoming,
            audit=counts["audit"],
            audit_read=counts["audit_reviewed"],
            training=after.own_images.filter(split="training").height,
            left=_waiting(after),
        )


def _once(hospital: Simulate, known: version.Version) -> Simulate:
    """Fast enough that nearly every image is shown at least once."""
    waiting = known.images.filter(pl.col("split").is_in(["production", "incoming", "audit"])).height
    rate = max(round(1.5 * waiting / SECONDS), 1)
    return replace(hospital, arrival=f"poisson:{rate}", load_pattern="1", stage_seconds=SECONDS)


def _waiting(known: version.Version) -> int:
    counts = arrivals.count(known, NOBODY, NOBODY)
    return counts["waiting"] + known.own_images.filter(split="production").height


def _shown(out: Path) -> set[str]:
    folder = out / "feedback"
    return {path.name.split(".")[0] for path in folder.iterdir()} if folder.is_dir() else set()


def table(rounds: list[Round]) -> str:
    """As Markdown."""
    head = [one.name.replace("_", " ") for one in fields(Round)]
    rows = [[f"{value:,}" for value in asdict(one).values()] for one in rounds]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["--:"] * len(head), *rows))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounds", description=__doc__)
    parser.add_argument("out", type=Path, help="an empty folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new", type=int, default=demo.NEW_PATIENTS)
    parser.add_argument("--images", type=int, default=USUAL.images)
    given = parser.parse_args()
    played = play(
        given.out, rounds=given.rounds, new=given.new, images=given.images, sizes=USUAL.sizes, detector=demo.DETECTOR
    )
    rounds = []
    for one in played:
        rounds.append(one)
        print(one, file=sys.stderr, flush=True)
    print(table(rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
