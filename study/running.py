"""All seeds of the study, in processes of their own; each is kept when it is done."""

import multiprocessing
import pickle
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from study import arms, figures, net, reading
from study.arms import ARMS, QUICK, Sizes

FIRST_SEED: Final = 1_101
PRETRAINING_SEED: Final = 7_077


def run(*, seeds: int, quick: bool, only: Sequence[str] | None, jobs: int, folder: Path) -> dict[str, Any]:
    """The results as study/results.json holds them. Raises ValueError for an arm that there is not."""
    sizes = QUICK if quick else Sizes()
    names = [arm.name for arm in ARMS if only is None or arm.name in {*only, figures.NOTHING}]
    if unknown := set(only or ()) - set(names):
        raise ValueError(f"unknown arm {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in ARMS)}")
    folder = folder / ("quick" if quick else "whole")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    weights = folder / "pretrained.pt"
    if not weights.exists():
        torch.set_num_threads(1)  # on a busy machine two threads wait for each other more than they work
        torch.save(net.pretrained(sizes.pretraining, steps=sizes.pretraining_steps, seed=PRETRAINING_SEED), weights)
    own = time.process_time() - began
    numbers = range(FIRST_SEED, FIRST_SEED + seeds)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as workers:
        done = list(workers.map(_seed, numbers, *([one] * seeds for one in (sizes, names, folder))))
    found = figures.summary([one["arms"] for one in done])
    return {
        "sizes": asdict(sizes) | {"seeds": seeds},
        "seconds": {"normal": reading.NORMAL_S, "abnormal": reading.ABNORMAL_S, "box": reading.BOX_S},
        "cpu_minutes": round((own + sum(one["cpu_seconds"] for one in done)) / 60),
        "arms": {
            arm.name: {
                "says": arm.says,
                "order": arm.order,
                "compared": arm.rule == arms.REVIEWED,
                **found[arm.name],
            }
            for arm in ARMS
            if arm.name in found
        },
    }


def _seed(number: int, sizes: Sizes, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """One seed; arms that are kept are not played again."""
    torch.set_num_threads(1)
    path = folder / f"seed-{number}.pickle"
    kept: dict[str, Any] = pickle.loads(path.read_bytes()) if path.exists() else {"arms": {}, "cpu_seconds": 0.0}
    missing = [arm for arm in ARMS if arm.name in names and arm.name not in kept["arms"]]
    if not missing:
        return kept
    began = time.process_time() - kept["cpu_seconds"]
    prepared = folder / f"seed-{number}.prepared.pickle"
    if not prepared.exists():
        prepared.write_bytes(pickle.dumps(arms.prepare(number, sizes, torch.load(folder / "pretrained.pt"))))
    seed: arms.Seed = pickle.loads(prepared.read_bytes())
    for arm in missing:
        kept["arms"][arm.name] = arms.play(arm, seed)
        kept["cpu_seconds"] = time.process_time() - began
        path.write_bytes(pickle.dumps(kept))
        last = kept["arms"][arm.name][-1]
        print(f"seed {number}, {arm.name}: mAP {last['map'][0]:.3f} ({kept['cpu_seconds']:.0f} s of CPU)", flush=True)
    return kept
