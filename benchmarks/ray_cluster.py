"""A Ray cluster beside one machine: `python benchmarks/ray_cluster.py [--pictures 300] [--names 3000] [--rounds 3]`.

With `--many 20000` as many small, distinct pictures as well: their version id by one machine and by two workers, and
the search for near-duplicates among them by one thread of this process, one worker and two.


The nodes are processes of this machine, on 127.0.0.1: a head without CPUs, and one or two workers of one CPU each. So
two workers need two cores to themselves, and what is told of networks is nothing. Printed are

- the version ids of one machine, of the cluster, and of the cluster with a node killed among the pictures;
- the picture pass over 1024×1024 pictures in this process, by one worker and by two, the rounds in turns;
- what a shard costs beside its work: by the clock with two workers, and of the one who deals them out.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from math import sqrt
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import polars as pl

import ray_cluster
from benchmarks import copies, growth
from radloop import engines, neighbors
from radloop.dataset import pictures
from radloop.engines import HERE, Engine
from radloop.options import Extract, Transform
from radloop.pipelines import offline
from radloop.progress import silent

EMPTY_SHARDS = 5000


def names_of(folder: Path, count: int, into: Path) -> Path:
    """`count` names of the pictures in `folder`: as much work as so many pictures."""
    files = sorted(folder.iterdir())
    into.mkdir()
    for number in range(count):
        os.link(files[number % len(files)], into / f"{number:06}{files[0].suffix}")
    return into


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def version(out: Path, extracted: Path, **running: object) -> str:
    """The version id of a transform that begins anew."""
    offline.extract(Extract(source=str(extracted), out=out))
    return offline.transform(Transform(out=out), **running).version


def look(folder: Path, engine: Engine) -> None:
    pictures.inspect(folder, pictures.find(folder), engine=engine)


def show_versions(cluster: ray_cluster.Cluster, extracted: Path, scratch: Path) -> bool:
    """Print the three version ids; whether they are one."""
    killed: list[float] = []

    def kill(what: str, done: int, total: int, unit: str = "files") -> None:
        if what == "pictures" and 0 < done < total and not killed:
            killed.append(time.perf_counter())
            cluster.kill()

    found = {"one machine": version(scratch / "local", extracted)}
    pictures._SHARD, pictures._FEW = 8, 0  # so that a killed node has something to lose
    for name, progress in (("two workers", silent), ("one of them killed", kill)):
        with engines.opened("ray", address=cluster.address) as engine:
            found[name] = version(scratch / name.replace(" ", "-"), extracted, engine=engine, progress=progress)
    ended = time.perf_counter()
    pictures._SHARD, pictures._FEW = SHARD, FEW
    for name, told in found.items():
        print(f"version id, {name:20} {told}")
    print(f"done {ended - killed[0]:.1f} s after the node was killed (it is missed after some 2 s)")
    return len(set(found.values())) == 1


def show_speed(cluster: ray_cluster.Cluster, folder: Path, count: int, rounds: int) -> None:
    """Print the picture pass by this process, one worker and two, and what a shard costs."""
    walls: dict[str, list[float]] = {"this process": [], "one worker": [], "two workers": []}
    own_ms, empty_ms = [], []
    start = time.process_time()
    look(folder, HERE)
    cpu_ms = (time.process_time() - start) * 1000 / count
    for _ in range(rounds):
        walls["this process"].append(seconds(partial(look, folder, HERE)))
        cluster.kill()
        for name in ("one worker", "two workers"):
            if name == "two workers":
                cluster.restore()
            with engines.opened("ray", address=cluster.address) as engine:
                list(engine.map(partial(pictures.inspect_shard, folder), [[path.name] for path in few_of(folder)]))
                walls[name].append(seconds(partial(look, folder, engine)))
                if name == "two workers":
                    start = time.process_time()
                    empty_ms.append(seconds(lambda: list(engine.map(sqrt, range(EMPTY_SHARDS)))) * 1000 / EMPTY_SHARDS)
                    own_ms.append((time.process_time() - start) * 1000 / EMPTY_SHARDS)
    print(f"\nthe picture pass over {count} names of 1024×1024 pictures: {cpu_ms:.2f} ms of CPU a picture")
    for name, values in walls.items():
        print(
            f"{name:14} {statistics.median(values):6.2f} s ({min(values):.2f} to {max(values):.2f}), "
            f"{count / statistics.median(values):.0f} pictures a second"
        )
    for slow, fast in (("one worker", "two workers"), ("this process", "two workers"), ("this process", "one worker")):
        ratios = [a / b for a, b in zip(walls[slow], walls[fast], strict=True)]
        print(f"{slow} / {fast}: {statistics.median(ratios):.2f}× ({min(ratios):.2f} to {max(ratios):.2f})")
    print(
        f"an empty shard, {EMPTY_SHARDS} of them: {statistics.median(empty_ms):.2f} ms by the clock, "
        f"{statistics.median(own_ms):.2f} ms of CPU of the one who deals them out"
    )


def show_many(cluster: ray_cluster.Cluster, scratch: Path, count: int, rounds: int) -> bool:
    """Print version ids of many small pictures, and the search among them; whether both are the same everywhere."""
    growth.make_folder(given := scratch / "given", scratch, images=count, base=min(count, growth.DRAWN))()
    versions, walls = {}, {}
    for name in ("one machine", "two workers"):
        with engines.opened("local" if name == "one machine" else "ray", address=cluster.address) as engine:
            start = time.perf_counter()
            versions[name] = version(scratch / f"many-{name}", given, engine=engine)
            print(f"\n{count:,} pictures, {name}: {versions[name]}, {time.perf_counter() - start:.1f} s", end="")
    small = copies.mixed(count)
    small[-count // 10 :] = small[: count // 10, :, ::-1]  # a tenth are mirrored copies
    found = {}

    def search(name: str, engine: Engine) -> None:
        start = time.perf_counter()
        found[name] = {(min(pair), max(pair)) for pair in neighbors.pairs(small, engine=engine).tolist()}
        walls.setdefault(name, []).append(time.perf_counter() - start)

    for _ in range(rounds):
        with mock.patch.object(pl, "thread_pool_size", return_value=1):
            search("this process", HERE)
        for name in ("two workers", "one worker"):
            if name == "one worker":
                cluster.kill()
            with engines.opened("ray", address=cluster.address) as engine:
                list(engine.map(sqrt, range(8)))
                search(name, engine)
        cluster.restore()
    print(f"\nnear-duplicates among {count:,}: {len(found['this process']):,} pairs")
    for name, values in walls.items():
        print(f"{name:14} {statistics.median(values):6.2f} s ({min(values):.2f} to {max(values):.2f})")
    ratio = statistics.median(walls["one worker"]) / statistics.median(walls["two workers"])
    print(f"one worker / two workers: {ratio:.2f}×")
    return len(set(versions.values())) == 1 and len(set(map(frozenset, found.values()))) == 1


def few_of(folder: Path) -> list[Path]:
    """What starts Python on every worker and imports what it needs."""
    return sorted(folder.iterdir())[:8]


SHARD, FEW = pictures._SHARD, pictures._FEW


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--names", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=0, help="small pictures, for version id and near-duplicates")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        raw = offline.extract(Extract(source=f"synthetic:{given.pictures}", out=made / "made"))
        (made / "made" / "raw" / "synthetic.json").unlink()
        names = names_of(raw.pictures, given.names, made / "names")
        with ray_cluster.running() as cluster:
            same = show_versions(cluster, made / "made" / "raw", made)
            cluster.restore()
            show_speed(cluster, names, given.names, given.rounds)
            if given.many:
                cluster.restore()
                same = show_many(cluster, made, given.many, given.rounds) and same
    print(f"\nversion ids equal: {'yes' if same else 'NO'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
