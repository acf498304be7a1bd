"""Five rounds of versions in a real OpenStack Swift: each pulled back, one rolled back to, kills in the middle."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import made_up
from radloop import manifest
from radloop.options import Extract, Load, Pull, Rollback, Transform, Versions
from radloop.pipelines import checking, offline, versioning
from radloop.split_sizes import SplitSizes
from radloop.storage import pull, versions
from radloop.storage.rclone import RcloneStore
from test_keeping import id_of, load, rounds
from tiny_unit import contents, write_unit

if TYPE_CHECKING:
    from swift_server import Swift

pytest_plugins = ("swift_server",)
pytestmark = [pytest.mark.swift, pytest.mark.slow]
SIZES = SplitSizes.parse("training=12,validation=3,test=3,staging=2,canary=2,production=4")

LOAD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from radloop.storage import publish
from radloop.storage.keeping import Keep
from radloop.storage.rclone import RcloneStore
store = RcloneStore(sys.argv[2])
store.settle_seconds = 10
publish.publish(Path(sys.argv[1]), store, versions=Keep(datetime(2026, 1, 1, tzinfo=UTC)), allow_shrink=True)
"""


def own(root: Path) -> dict[str, bytes]:
    """The files of a dataset without those of the units inside it."""
    return {key: data for key, data in contents(root).items() if not manifest.is_inner(key)}


def five_rounds(out: Path, films: Path, address: str) -> list[dict[str, bytes]]:
    """Five versions of a dataset, published one after the other; two images go each time. What each was."""
    offline.extract(Extract(out=out, source=str(films), jobs=1))
    built = []
    for number in range(5):
        offline.transform(Transform(out=out, store=address, sizes=SIZES, labels="consensus", jobs=1))
        built.append(own(out / "organized"))
        offline.load(Load(out=out, store=address, allow_shrink=True))
        rows = made_up.rows(films)
        gone = sorted({row["image_id"] for row in rows})[number::17][:2]
        made_up.write_rows(films, [row for row in rows if row["image_id"] not in gone])
    return built


def test_five_rounds_come_back_byte_for_byte_and_one_is_current_again(
    swift: Swift, container: str, tmp_path: Path
) -> None:
    address, out = f"chi_tacc:{container}", tmp_path / "data"
    built = five_rounds(out, made_up.films(tmp_path / "films", 26), address)
    told = versioning.versions(Versions(out=out, store=address))
    ids = told.history["version"].to_list()
    assert len(set(ids)) == 5
    for one, files in zip(ids, built, strict=True):
        into = tmp_path / one
        offline.pull(Pull(out=into, store=address, version=one))
        assert own(into / "organized") == files
    asked = len(swift.requests(container))
    done = versioning.rollback(Rollback(out=out, store=address, data=ids[1]))
    sent = [path for method, path, _, _ in swift.requests(container)[asked:] if method == "PUT" and "/images/" in path]
    assert sent == []  # the server copies what it has
    assert done.published is not None
    versioned = {key for key in built[1] if "/images/" in key or "/labels/" in key or key.endswith(".yaml")}
    there = {key.removeprefix("organized/"): md5 for key, md5 in swift.objects(container).items()}
    assert {key: there[key] for key in versioned} == {key: hashlib.md5(built[1][key]).hexdigest() for key in versioned}
    assert {key: own(out / "organized")[key] for key in versioned} == {key: built[1][key] for key in versioned}
    assert checking.check(address).violations.rows() == []
    assert versioning.versions(Versions(out=out, store=address)).history["action"].to_list() == [
        *["load"] * 5,
        "rollback",
    ]


def test_load_killed_at_random_moments_leaves_every_version_whole(swift: Swift, container: str, tmp_path: Path) -> None:
    roots = [write_unit(tmp_path / str(number), files) for number, files in enumerate(rounds(1))]
    address, chance = f"chi_tacc:{container}", random.Random(19)
    store = RcloneStore(address)
    for number, root in enumerate(roots):
        if number:
            command = [sys.executable, "-c", LOAD, str(root), address]
            with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
                written = {"method": chance.choice(["PUT", "COPY", "DELETE"]), "path": f"{container}/.*"}
                swift.faults({**written, "skip": chance.randrange(8), "kill": process.pid})
                process.communicate(timeout=120)
            swift.faults()
        load(store, root)
        assert list(versions.verify(store, manifest.UNIT)) == []
    for earlier in roots:
        pull.pull_parts(store, tmp_path / "pulled" / earlier.name, version=id_of(earlier))
        assert contents(tmp_path / "pulled" / earlier.name) == contents(earlier)
    store.close()


@pytest.fixture(autouse=True, scope="module")
def rclone_on_path() -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
