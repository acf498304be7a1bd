"""A first load that was killed: no reader takes what it has brought for a dataset."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

import made_up
from memory_store import KilledError, MemoryStore
from radloop import manifest, options, storage
from radloop.errors import RadloopError, StoreError
from radloop.pipelines import checking, offline, online
from radloop.split_sizes import SplitSizes
from radloop.storage import publish, verify
from radloop.storage.rclone import RcloneStore
from test_swift import Load, as_listed, run
from tiny_unit import NEW, contents, version, write_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_proxy import SwiftProxy
    from swift_server import Swift

pytest_plugins = ("swift_server",)
UNFINISHED = "publish in progress, or unfinished"
NOTHING = "holds nothing"
SIZES = SplitSizes.parse("training=10,validation=4,test=4,staging=2,canary=2,production=4")


@pytest.fixture(autouse=True, scope="module")
def rclone_on_path() -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store that the pipelines open, whatever its address."""
    store = MemoryStore()
    monkeypatch.setattr(storage, "open_store", lambda address, **_: store)
    return store


def sentences(address: str, out: Path) -> list[str]:
    """What pull, check and simulate say of the store, and that none of them has brought anything."""
    said = []
    for act in (
        lambda: offline.pull(options.Pull(out=out, store=address)),
        lambda: checking.check(address),
        lambda: online.simulate(options.Simulate(out=out, store=address, splits=("training",), dry_run=True)),
    ):
        try:
            done = act()
        except RadloopError as error:
            said.append(str(error))
        else:
            assert isinstance(done, checking.Report), done
            said.append("; ".join(f"{rule}: {detail}" for rule, detail in done.violations["rule", "detail"].rows()))
    assert not (out / "organized").exists()
    return said


def test_first_load_killed_at_every_request_is_unfinished_to_every_reader(
    in_memory: MemoryStore, tmp_path: Path
) -> None:
    root = write_unit(tmp_path / "new", NEW)
    publish.publish(root, in_memory)
    whole, requests = dict(in_memory.objects), len(in_memory.trace)
    for moment in range(requests):
        in_memory.objects.clear()
        in_memory.requests_left = moment
        with pytest.raises(KilledError):
            publish.publish(root, in_memory)
        in_memory.requests_left = sys.maxsize
        pulled, checked, simulated = sentences("memory:store", tmp_path / "out")
        if moment == 0:  # the journal itself did not arrive
            assert NOTHING in pulled
            assert "no manifest.parquet" in checked
            assert NOTHING in simulated
        else:
            assert UNFINISHED in pulled
            assert "`radloop load` again completes it" in pulled
            assert "publish-unfinished" in checked
            assert UNFINISHED in simulated
        publish.publish(root, in_memory)
        assert in_memory.objects == whole


def test_journal_that_arrives_while_the_listing_is_read_is_seen(in_memory: MemoryStore, tmp_path: Path) -> None:
    """A first load that begins between the question for its journal and the listing."""

    class Begun(MemoryStore):
        def list(self, prefix: str = "", **options: object) -> dict[str, storage.Stored]:
            self.objects |= {"organized/publishing.parquet": b"", "organized/data.yaml": b"train"}
            return super().list(prefix)

    with pytest.raises(StoreError, match=UNFINISHED):
        storage.layout.listed(Begun())


def test_load_that_was_killed_over_a_standing_version_disturbs_no_reader(
    in_memory: MemoryStore, tmp_path: Path
) -> None:
    publish.publish(write_unit(tmp_path / "old", version(3)), in_memory)
    in_memory.requests_left = 5
    with pytest.raises(KilledError):
        publish.publish(write_unit(tmp_path / "new", version(6)), in_memory)
    in_memory.requests_left = sys.maxsize
    offline.pull(options.Pull(out=tmp_path / "out", store="memory:store"))
    assert contents(tmp_path / "out/organized") == contents(tmp_path / "old")


def test_unfinished_retraining_data_is_said_beside_a_sound_dataset(in_memory: MemoryStore, tmp_path: Path) -> None:
    publish.publish(write_unit(tmp_path / "old", version(3)), in_memory)
    in_memory.requests_left = 2
    retrain = write_unit(tmp_path / "retrain", {"retrain.csv": b"image_id\n", "images/a.png": b"a"})
    with pytest.raises(KilledError):
        publish.publish(retrain, in_memory, prefix="organized/retrain")
    in_memory.requests_left = sys.maxsize
    found = checking.check("memory:store").violations
    found = found.filter(pl.col("rule").str.starts_with("publish"))  # the unit is no dataset of a trainer's
    assert found["rule", "key"].rows() == [("publish-unfinished", "retrain/publishing.parquet")]


@pytest.mark.parametrize("mark", ["publishing", "publishing.parquet"])
def test_folder_to_which_a_first_load_was_killed_is_not_sound(tmp_path: Path, mark: str) -> None:
    """As rclone leaves it on a disk that is read here as a folder, too."""
    root = write_unit(tmp_path / "organized", version(3))
    (root / manifest.NAME).rename(root / mark)
    found = checking.check(tmp_path).violations
    assert ("publish-unfinished", mark) in found["rule", "key"].rows()


def test_unfinished_version_is_no_previous_one(in_memory: MemoryStore, tmp_path: Path) -> None:
    films = made_up.films(tmp_path / "films")
    offline.extract(options.Extract(out=tmp_path / "out", source=str(films)))
    told = options.Transform(out=tmp_path / "out", sizes=SIZES)
    offline.transform(told)
    publish.publish(tmp_path / "out/organized", in_memory)
    in_memory.objects["organized/publishing.parquet"] = in_memory.objects.pop("organized/manifest.parquet")
    with pytest.raises(StoreError, match=UNFINISHED):
        offline.transform(options.Transform(out=tmp_path / "out", sizes=SIZES, previous="memory:store"))


@pytest.mark.slow
@pytest.mark.swift
@pytest.mark.parametrize("pages", ["whole", "short"])
def test_first_load_to_swift_killed_at_ten_moments_is_unfinished_to_every_reader(
    swift: Swift, proxied: Callable[..., SwiftProxy], container: str, tmp_path: Path, pages: str
) -> None:
    if pages == "short":
        proxied(shortened_by=993)  # of 1,000
    root = write_unit(tmp_path / "new", version(8))
    run(root, container)
    # of the requests of a load those that write, from the one after the journal to the manifest
    requests = sum(
        method in ("PUT", "COPY") and "/organized/" in path for method, path, *_ in swift.requests(container)
    )
    for turn, moment in enumerate(sorted(random.Random(13).sample(range(1, requests), 10))):
        name = f"{container}k{turn}"
        load = Load(root, name)
        swift.faults({"method": "PUT|COPY", "path": f"{name}/organized/", "skip": moment, "kill": load.pid})
        load.begin()
        assert load.end()[0] == -9
        swift.faults()
        there = len(swift.objects(name))
        pulled, checked, simulated = sentences(f"chi_tacc:{name}", tmp_path / "out")
        print(f"killed at request {moment} of {requests} with {there} objects there: {pulled}")
        assert UNFINISHED in pulled
        assert "publish-unfinished" in checked
        assert UNFINISHED in simulated
        run(root, name)
        assert swift.objects(name) == as_listed(root)
        assert verify.verify(RcloneStore(f"chi_tacc:{name}")) == []
