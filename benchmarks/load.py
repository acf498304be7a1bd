"""Loading to a local OpenStack Swift: bytes sent, time beside `rclone copy` and the server's own copies, and a run
with nothing to do.

    python benchmarks/load.py [--pictures 2000] [--kib 500] [--rounds 3]

The baseline is two `rclone copy` of the same rclone with as many transfers: the distinct pictures up, and, for each
further reader, the same pictures from one folder of the container to another, which the server does by itself. Both
ways run in turns on fresh containers; ratios are of medians.
"""

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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


def rclone_alone(root: Path, container: str) -> float:
    """Seconds for the distinct pictures up and the server's copies of them, by plain `rclone copy`."""
    flags = ["--swift-no-large-objects", "--checksum", "--low-level-retries=3"]
    begin = time.perf_counter()
    subprocess.run(
        ["rclone", "copy", root, f"chi_tacc:{container}/R1", "--include=*_R1.png", "--transfers=8", *flags], check=True
    )
    for reader in range(2, READERS + 1):
        there, here = f"chi_tacc:{container}/R1", f"chi_tacc:{container}/R{reader}"
        subprocess.run(["rclone", "copy", there, here, "--transfers=16", *flags], check=True)
    return time.perf_counter() - begin


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
    ours, theirs, idle = [], [], []
    with tempfile.TemporaryDirectory(prefix="radloop-bench-") as folder:
        root = make_unit(Path(folder) / "organized", asked.pictures, asked.kib * 1024)
        for turn in range(asked.rounds):
            home = Path(folder) / f"swift-{turn}"
            home.mkdir()
            swift = Swift(home)
            os.environ["RCLONE_CONFIG"] = str(swift.config)
            try:
                for name in ("theirs", "ours") if turn % 2 else ("ours", "theirs"):
                    if name == "theirs":
                        theirs.append(rclone_alone(root, name))
                        continue
                    store = RcloneStore(f"chi_tacc:{name}")
                    ours.append(timed(lambda store=store: publish.publish(root, store)))
                    store.close()
                    sent = sum(size for method, _, _, size in swift.requests(name) if method == "PUT")
                    idle.append(timed(lambda: publish.publish(root, RcloneStore("chi_tacc:ours"))))
            finally:
                swift.stop()
            subprocess.run(["rm", "-rf", str(home)], check=True)
    distinct = asked.pictures * asked.kib * 1024
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"{asked.pictures} distinct pictures of {asked.kib} KiB x {READERS} readers, {asked.rounds} rounds in turns")
    print(f"bytes sent / distinct bytes           {sent / distinct:6.3f}   (limit 1.05)")
    print(f"wall / rclone copy + server's copies  {ratio:6.3f}   (limit 1.1)   {spread(ours)} against {spread(theirs)}")
    print(f"nothing to do, {asked.pictures * READERS} objects           {spread(idle)}   (limit 2 s)")


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
