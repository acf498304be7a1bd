"""load: to a folder remote of rclone and to a local OpenStack Swift, beside rclone alone.

Four baselines: "rclone copy, every file", which sends each reader's copy of a picture; the same and `rclone check`,
which compares MD5s as a load does at its end; and `rclone copy` of the
distinct pictures and then the server's own copies for the other readers, "by name", a bare loop of
`operations/copyfile`, by which alone rclone gives a copy a new name (as it comes: HEAD, HEAD, COPY, HEAD; radloop saves
the second), and "by folder", `rclone copy` from one folder of the container to another, which gives no new names.
"""

import atexit
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from benchmarks.harness import ROOT, Bench, Contestant, Limit, Result, Section
from radloop import manifest, sums
from radloop.storage import publish
from radloop.storage.rclone import RcloneStore
from radloop.tables import MANIFEST

READERS = 3
FLAGS = ("--checksum", "--low-level-retries=3")
SWIFT = Path(os.environ.get("SWIFT_VENV", ROOT / ".venv-swift"))


def run(bench: Bench) -> Section:
    """To a folder; to Swift where it is installed (`make machine`)."""
    pictures, kib = (10, 20) if bench.quick else (2_000, 500)

    def contest(title: str, pictures: int, names: tuple[str, ...], limits: list[Limit], *, swift: bool) -> Result:
        given = bench.fresh("given")
        bench.turn(Contestant("made", "benchmarks.load:make"), given, pictures=pictures, kib=kib)
        contestants = [
            Contestant(name, f"benchmarks.load:{WAYS[name].__name__}", rounds=1 if name in ONCE else None)
            for name in names
        ]
        return bench.contest(title, contestants, given=given, unit="pictures", limits=limits, swift=swift)

    to_a_folder = ("rclone copy + check", "rclone copy, every file", "load", "nothing to do")
    as_quick = [Limit("load", of, "rclone copy + check", most=1.1) for of in ("wall_s", "cpu_s")]
    results = [contest("A folder, as a remote of rclone", -(-pictures // 4), to_a_folder, as_quick, swift=False)]
    if SWIFT.exists():
        limits = [
            *as_quick,
            Limit("load", "wall_s", "rclone, by name", most=1.1),
            Limit("load", "bytes sent / distinct bytes"),
            Limit("nothing to do", "wall_s", most=2, unit="s"),
            Limit("load", "wall_s", "rclone, by folder"),
        ]
        results.append(contest("OpenStack Swift on this machine", pictures, tuple(WAYS), limits, swift=True))
    return Section(
        "load",
        "load",
        f"{pictures:,} distinct pictures of {kib} KiB under the names of {READERS} readers each; a fresh store for "
        "each turn; to the folder, where every reader's picture is a copy, a quarter of them. The "
        "processor time of the store itself is not counted."
        + ("" if SWIFT.exists() else " No Swift was installed here (`make machine` does): that contest is left out."),
        results=results,
    )


def make(given: Path, fresh: Path, *, pictures: int, kib: int) -> Callable[[], int]:
    """Distinct pictures under the names of three readers each, as links."""

    def work() -> int:
        rows = []
        folder = given / "training" / "images"
        folder.mkdir(parents=True)
        for number in range(pictures):
            data = random.Random(number).randbytes(kib * 1024)
            both = sums.of(data)
            first = folder / f"i{number:05d}_R1.png"
            first.write_bytes(data)
            for reader in range(1, READERS + 1):
                name = f"i{number:05d}_R{reader}.png"
                if reader > 1:
                    os.link(first, folder / name)
                rows.append(
                    (f"training/images/{name}", "image", f"i{number:05d}", f"R{reader}", "training", len(data), *both)
                )
        table = pl.DataFrame(rows, schema=MANIFEST, orient="row")
        (given / manifest.NAME).write_bytes(manifest.encode(table))
        return pictures

    return work


class Target:
    """A fresh store under the name of a remote."""

    def __init__(self, given: Path, fresh: Path, *, swift: bool) -> None:
        fresh.mkdir()
        self.given, self.pictures = given, len(list((given / "training" / "images").glob("*_R1.png")))
        self._swift = _start_swift(fresh) if swift else None
        if self._swift is None:
            atexit.register(shutil.rmtree, fresh)
            config = fresh / "rclone.conf"
            config.write_text(f"[chi_tacc]\ntype = alias\nremote = {fresh}\n")
            os.environ["RCLONE_CONFIG"] = str(config)
        self.flags = (*FLAGS, "--swift-no-large-objects") if swift else FLAGS
        self.address = "chi_tacc:ours"

    def done(self) -> dict[str, float]:
        """What the turn did; of Swift also what it received."""
        figures: dict[str, float] = {"done": self.pictures}
        if self._swift is not None:
            sent = sum(size for method, _, _, size in self._swift.requests("ours") if method == "PUT")
            distinct = sum(path.stat().st_size for path in (self.given / "training" / "images").glob("*_R1.png"))
            figures["bytes sent / distinct bytes"] = sent / distinct
            figures["processor s of the server"] = self._swift.cpu_s()
        return figures


def _start_swift(fresh: Path):
    sys.path.insert(0, str(ROOT / "tests"))
    from swift_server import Swift

    server = Swift(fresh)
    atexit.register(shutil.rmtree, fresh)  # its objects are large and few
    atexit.register(server.stop)  # before that
    os.environ["RCLONE_CONFIG"] = str(server.config)
    return server


def load(given: Path, fresh: Path, *, swift: bool) -> Callable[[], dict[str, float]]:
    """radloop's publishing."""
    target = Target(given, fresh, swift=swift)

    def work() -> dict[str, float]:
        _publish(target)
        return target.done()

    return work


def again(given: Path, fresh: Path, *, swift: bool) -> Callable[[], dict[str, float]]:
    """A second run."""
    target = Target(given, fresh, swift=swift)
    _publish(target)

    def work() -> dict[str, float]:
        _publish(target)
        return {"done": target.pictures}

    return work


def _publish(target: Target) -> None:
    store = RcloneStore(target.address)
    publish.publish(target.given, store)
    store.close()


def every_file(given: Path, fresh: Path, *, swift: bool) -> Callable[[], dict[str, float]]:
    """As the description reads: all of it goes up."""
    target = Target(given, fresh, swift=swift)

    def work() -> dict[str, float]:
        subprocess.run(["rclone", "copy", given, target.address, "--transfers=8", *target.flags], check=True)
        return target.done()

    return work


def and_check(given: Path, fresh: Path, *, swift: bool) -> Callable[[], dict[str, float]]:
    """All of it goes up and is compared, by MD5, as radloop does."""
    target = Target(given, fresh, swift=swift)

    def work() -> dict[str, float]:
        subprocess.run(["rclone", "copy", given, target.address, "--transfers=8", *target.flags], check=True)
        command = ["rclone", "check", given, target.address, "--fast-list", *target.flags]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return target.done()

    return work


def by_folder(given: Path, fresh: Path, *, swift: bool) -> Callable[[], dict[str, float]]:
    """The other readers' pictures keep their names, in folders of their own."""
    target = Target(given, fresh, swift=swift)

    def work() -> dict[str, float]:
        _distinct_up(target, f"{target.address}/R1")
        for reader in range(2, READERS + 1):
            there, here = f"{target.address}/R1", f"{target.address}/R{reader}"
            subprocess.run(["rclone", "copy", there, here, "--transfers=16", *target.flags], check=True)
        return target.done()

    return work


def by_name(given: Path, fresh: Path, *, swift: bool) -> Callable[[], dict[str, float]]:
    """The same names as radloop's."""
    target = Target(given, fresh, swift=swift)

    def work() -> dict[str, float]:
        _distinct_up(target, target.address)
        store = RcloneStore(target.address)
        firsts = [path.relative_to(given).as_posix() for path in (given / "training" / "images").glob("*_R1.png")]
        pairs = [(key, key.replace("_R1", f"_R{reader}")) for key in firsts for reader in range(2, READERS + 1)]

        def copy(pair: tuple[str, str]) -> None:
            here = store.address
            store._rc("operations/copyfile", srcFs=here, srcRemote=pair[0], dstFs=here, dstRemote=pair[1])

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(copy, pairs))
        store.close()
        return target.done()

    return work


def _distinct_up(target: Target, address: str) -> None:
    command = ["rclone", "copy", target.given, address, "--include=*_R1.png", "--transfers=8", *target.flags]
    subprocess.run(command, check=True)


WAYS = {
    "rclone copy + check": and_check,
    "rclone, by name": by_name,
    "rclone, by folder": by_folder,
    "rclone copy, every file": every_file,
    "load": load,
    "nothing to do": again,
}
ONCE = ("rclone, by name", "rclone, by folder", "rclone copy, every file", "nothing to do")  # the others decide
