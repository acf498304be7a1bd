"""transform: the picture pass, beside Pillow + imagehash + numpy on the same PNG files.

Both take size, MD5, a whole decode, mean and standard deviation, and the perceptual hash. radloop's pass also measures
the sharpness and a fingerprint of the pixels: once both sides do that ("all"), once neither does ("basic").
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from benchmarks.harness import Bench, Contestant, Limit, Section
from radloop import pixels
from radloop.dataset import pictures
from radloop.engines import Local


def run(bench: Bench) -> Section:
    """One process beside Pillow's; then one and two processes, and a second run."""
    few, many = (8, 8) if bench.quick else (40, 400)
    given, more = bench.fresh("given"), bench.fresh("more")
    for folder, count in ((given, few), (more, many)):
        command = [
            Path(sys.executable).with_name("radloop"),
            "extract",
            "--source",
            f"synthetic:{count}",
            "--out",
            folder,
        ]
        subprocess.run(command, check=True, capture_output=True)
    one_core = bench.contest(
        "One process",
        [
            Contestant("Pillow, basic", "benchmarks.opponents:pillow", opponent=True, options={"all_columns": False}),
            Contestant("radloop, basic", "benchmarks.pictures:one_process", options={"all_columns": False}),
            Contestant("Pillow, all", "benchmarks.opponents:pillow", opponent=True, options={"all_columns": True}),
            Contestant("radloop, all", "benchmarks.pictures:one_process", options={"all_columns": True}),
        ],
        given=given / "raw" / "train",
        unit="pictures",
        rounds=1 if bench.quick else 5,
        limits=[
            Limit("Pillow, basic", "cpu_s", "radloop, basic", least=3),
            Limit("Pillow, all", "cpu_s", "radloop, all", least=3),
        ],
    )
    cores = bench.contest(
        "More processes",
        [
            Contestant("one process", "benchmarks.pictures:processes", options={"jobs": 1}),
            Contestant("two processes", "benchmarks.pictures:processes", options={"jobs": 2}),
            Contestant("nothing to do", "benchmarks.pictures:again"),
        ],
        given=more / "raw" / "train",
        unit="pictures",
        limits=[Limit("one process", "wall_s", "two processes"), Limit("two processes", "wall_s", "nothing to do")],
    )
    return Section(
        "pictures",
        "transform: the picture pass",
        f"Drawn radiographs, 1024×1024 pixels, some 450 kB each: {few} in one process, then {many} with one "
        "process and two. Basic: size, MD5, whole decode, mean, deviation, perceptual hash. All: also sharpness and a "
        "fingerprint.",
        results=[one_core, cores],
    )


def one_process(given: Path, fresh: Path, *, all_columns: bool) -> Callable[[], int]:
    """The pass over all pictures in this process."""
    names = pictures.find(given)["path"].to_list()
    pictures.inspect_shard(given, names[:1])  # what is loaded on first use

    def work() -> int:
        if all_columns:
            return pictures.inspect_shard(given, names).height
        with mock.patch.multiple(pixels, fingerprint=lambda gray: "", _laplacian_variance=lambda gray: 0.0):
            return pictures.inspect_shard(given, names).height

    return work


def processes(given: Path, fresh: Path, *, jobs: int) -> Callable[[], int]:
    """The whole pass, the start of its processes included."""
    found = pictures.find(given)
    return lambda: pictures.inspect(given, found, engine=Local(jobs)).height


def again(given: Path, fresh: Path) -> Callable[[], int]:
    """A second run, which finds everything in the cache."""
    found = pictures.find(given)
    cache = fresh / "pictures.parquet"
    pictures.inspect(given, found, engine=Local(2), cache=cache)
    return lambda: pictures.inspect(given, found, engine=Local(2), cache=cache).height
