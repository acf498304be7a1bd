"""retrain: feedback to rows of re-training data, beside only opening the files and beside pandas with json.

Bare five-key files, indented, on 15,000 images of which a third is held out (benchmarks/feedback.py makes them, and
also says how good the labels are). A turn of radloop is everything but the tree and publishing: listing, reading,
guard, rule, retrain.csv, and writing the cache.
"""

import atexit
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks import feedback
from benchmarks.harness import Bench, Contestant, Limit, Section
from radloop.feedback import cache, guard, retraining, reviews
from radloop.vindr.classes import TAXONOMY

NEW = 1_000
PANDAS = (
    "the least that Python can do in one process, os.open and os.read with nothing parsed, takes a quarter of what "
    "pandas takes; there is nothing left to parse, judge and keep rows in"
)


def run(bench: Bench) -> Section:
    """Everything new; then nothing new, and a little."""
    files = 2_000 if bench.quick else 200_000
    given = bench.fresh("given")
    bench.turn(Contestant("made", "benchmarks.retrain:make"), given, files=files)
    full = bench.contest(
        "Everything is new",
        [
            Contestant("open and read, Python", "benchmarks.opponents:only_open"),
            Contestant("os.open and os.read", "benchmarks.opponents:only_open_low"),
            Contestant("open and read, C", "benchmarks.opponents:floor_read"),
            Contestant("pandas + json.load", "benchmarks.opponents:pandas_json", opponent=True),
            Contestant("radloop", "benchmarks.retrain:everything", options={"jobs": 2}),
            Contestant("radloop, one process", "benchmarks.retrain:everything", options={"jobs": 1}),
        ],
        given=given,
        unit="files",
        limits=[
            Limit("radloop", "wall_s", "open and read, Python", most=1.6),
            Limit("radloop, one process", "wall_s", "open and read, Python"),
            Limit("pandas + json.load", "wall_s", "radloop", least=4, otherwise=PANDAS),
            Limit("pandas + json.load", "wall_s", "radloop, one process"),
            Limit("pandas + json.load", "wall_s", "os.open and os.read"),
            Limit("radloop, one process", "peak_mb", most=250, unit="MB"),
        ],
    )
    again = bench.contest(
        "After a first run",
        [
            Contestant("everything is new", "benchmarks.retrain:everything", options={"jobs": 1}),
            Contestant("everything is new, two processes", "benchmarks.retrain:everything", options={"jobs": 2}),
            Contestant("nothing is new", "benchmarks.retrain:again"),
            Contestant(f"{NEW:,} are new", "benchmarks.retrain:again", options={"new": NEW}),
        ],
        given=given,
        unit="files",
        same=False,
        limits=[  # a thousand files are read in one process
            Limit(f"{NEW:,} are new", "wall_s", "everything is new", most=0.2),
            Limit(f"{NEW:,} are new", "wall_s", "everything is new, two processes"),
        ],
    )
    return Section("retrain", "retrain", f"{files:,} feedback files, bare and indented.", results=[full, again])


def make(given: Path, fresh: Path, *, files: int) -> Callable[[], int]:
    """The feedback, and the program in C."""
    from benchmarks import labels  # not above: what is measured shall not pay for it

    def work() -> int:
        feedback.write(given / "feedback", range(files))
        labels.compile_floor(given)
        return files

    return work


def known_images() -> pl.DataFrame:
    """A dataset of which a third is held out."""
    splits = ("training", "test", "production")
    return pl.DataFrame(
        {
            "image_id": [f"{number:032x}" for number in range(feedback.IMAGES)],
            "split": [splits[number % 3] for number in range(feedback.IMAGES)],
        }
    ).with_columns(pl.lit("0" * 16).alias("phash"), group=pl.col("image_id"), md5=pl.col("image_id"))


def everything(given: Path, fresh: Path, *, jobs: int) -> Callable[[], int]:
    """With an empty cache."""
    images = known_images()

    def work() -> int:
        found = cache.read(given / "feedback", TAXONOMY, fresh / "kept", jobs=jobs)
        decided = retraining.decide(found, guard.judge(found.feedback, images), reviews.NONE)
        retraining.csv(decided.rows, TAXONOMY)
        return sum(retraining.count(decided.fates).values())

    return work


def again(given: Path, fresh: Path, *, new: int = 0) -> Callable[[], int]:
    """With the cache of a run over all but the new files."""
    work = everything(given, fresh, jobs=2)
    files = work()
    feedback.write(given / "feedback", range(files, files + new))
    atexit.register(lambda: [(given / "feedback" / f"{n:032x}.json").unlink() for n in range(files, files + new)])
    return work
