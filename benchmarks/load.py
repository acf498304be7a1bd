"""Loading to a local OpenStack Swift: bytes sent, time beside plain rclone, and a run with nothing to do.

    python benchmarks/load.py [--pictures 2000] [--kib 500] [--rounds 3]

Two baselines, both `rclone copy` of the distinct pictures and then the server's own copies for the other readers:
"by name", a bare loop of `operations/copyfile`, by which alone rclone gives a copy a new name (as it comes: HEAD, HEAD,
COPY, HEAD; radloop saves the second); and "by folder", `rclone copy` from one folder of the container to another, which
gives no new names (COPY, HEAD).
All run in turns, each round on a fresh server; ratios are of medians.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from radloop import manifest
from radloop.storage import publish
from radloop.storage.rclone import RcloneStore
from radloop.tables import MANIFEST
from swift_server import Swift

READERS = 3


def make_unit(root: Path, pictures: int, size: int) -> Path:
    """`pictures` distinct pictures under the names of three readers each, as links."""
    rows = []
    folder = root / "training" / "images"
    folder.mkdir(parents=True)
    for number in range(pictures):
        data = os.urandom(size)
        md5 = hashlib.md5(data).hexdigest()
        first = folder / f"i{number:05d}_R1.png"
        first.write_bytes(data)
        for reader in range(1, READERS + 1):
            name = f"i{number:05d}_R{reader}.png"
            if reader > 1:
                os.link(first, folder / name)
            rows.append((f"training/images/{name}", "image", f"i{number:05d}", f"R{reader}", "training", size, md5))
    table = pl.DataFrame(rows, schema=MANIFEST, orient="row")
    (root / manifest.NAME).write_bytes(manifest.encode(table))
    return root


FLAGS = ("--swift-no-large-objects", "--checksum", "--low-level-retries=3")


def distinct_up(root: Path, target: str) -> None:
    subprocess.run(["rclone", "copy", root, target, "--include=*_R1.png", "--transfers=8", *FLAGS], check=True)


def by_folder(root: Path) -> None:
    distinct_up(root, "chi_tacc:folder/R1")
    for reader in range(2, READERS + 1):
        there, here = "chi_tacc:folder/R1", f"chi_tacc:folder/R{reader}"
        subprocess.run(["rclone", "copy", there, here, "--transfers=16", *FLAGS], check=True)


def by_name(root: Path) -> None:
    distinct_up(root, "chi_tacc:name")
    store = RcloneStore("chi_tacc:name")
    firsts = [path.relative_to(root).as_posix() for path in (root / "training" / "images").glob("*_R1.png")]
    pairs = [(key, key.replace("_R1", f"_R{reader}")) for key in firsts for reader in range(2, READERS + 1)]

    def copy(pair: tuple[str, str]) -> None:
        here = store.address
        store._rc("operations/copyfile", srcFs=here, srcRemote=pair[0], dstFs=here, dstRemote=pair[1])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(copy, pairs))
    store.close()


def load(root: Path) -> None:
    store = RcloneStore("chi_tacc:ours")
    publish.publish(root, store)
    store.close()


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--kib", type=int, default=500, help="size of a picture")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ways = {"load": load, "by name": by_name, "by folder": by_folder}
    seconds: dict[str, list[float]] = {name: [] for name in (*ways, "idle")}
    with tempfile.TemporaryDirectory(prefix="radloop-bench-") as folder:
        root = make_unit(Path(folder) / "organized", asked.pictures, asked.kib * 1024)
        for turn in range(asked.rounds):
            home = Path(folder) / f"swift-{turn}"
            home.mkdir()
            swift = Swift(home)
            os.environ["RCLONE_CONFIG"] = str(swift.config)
            try:
                names = list(ways)
                for name in names[turn % 3 :] + names[: turn % 3]:
                    seconds[name].append(timed(lambda way=ways[name]: way(root)))
                seconds["idle"].append(timed(lambda: load(root)))
                sent = sum(size for method, _, _, size in swift.requests("ours") if method == "PUT")
            finally:
                swift.stop()
            shutil.rmtree(home)
    ours = statistics.median(seconds["load"])
    print(f"{asked.pictures} distinct pictures of {asked.kib} KiB x {READERS} readers, {asked.rounds} rounds in turns")
    print(f"bytes sent / distinct bytes   {sent / (asked.pictures * asked.kib * 1024):6.3f}   (limit 1.05)")
    for name in ("by name", "by folder"):
        ratio = ours / statistics.median(seconds[name])
        print(f"wall / rclone {name:<15} {ratio:6.3f}   {spread(seconds['load'])} against {spread(seconds[name])}")
    print(f"nothing to do                 {spread(seconds['idle'])}, {asked.pictures * READERS} objects (limit 2 s)")


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
