"""A real Ray cluster does what one machine does, also when a node is lost in the middle."""

import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import made_up
import ray_cluster
from radloop import cli, engines, neighbors
from radloop.dataset import pictures
from radloop.engines import Engine
from radloop.errors import EngineError
from radloop.feedback import reading
from radloop.options import Extract, Load, Pull, Simulate, Transform
from radloop.pipelines import offline, online
from radloop.split_sizes import SplitSizes
from radloop.storage import spread
from radloop.vindr.classes import TAXONOMY as VINDR
from test_neighbors import varied, with_copies

pytest_plugins = ("swift_server",)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SIZES = SplitSizes.parse("training=40,validation=10,test=10,staging=10,canary=10,production=20")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of rclone that the nodes have: a remote `shelf`."""
    config = tmp_path_factory.mktemp("rclone") / "rclone.conf"
    config.write_text("[shelf]\ntype = local\n")
    return config


@pytest.fixture(scope="module")
def started(shelf: Path) -> Iterator[ray_cluster.Cluster]:
    with ray_cluster.running(RCLONE_CONFIG=str(shelf)) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: ray_cluster.Cluster) -> ray_cluster.Cluster:
    started.restore()
    return started


@pytest.fixture
def engine(cluster: ray_cluster.Cluster) -> Iterator[Engine]:
    with engines.opened("ray", address=cluster.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that one machine made of a hundred pictures; nothing changes it."""
    out = tmp_path_factory.mktemp("local")
    offline.extract(Extract(source=str(made_up.films(out / "films", 100)), out=out))
    offline.transform(Transform(out=out, sizes=SIZES))
    return out


def tree(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and "versions" not in path.relative_to(root).parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def killing(cluster: ray_cluster.Cluster, what: str):
    """A progress that kills a node as soon as the first of `what` came back."""
    killed = []

    def progress(name: str, done: int, total: int, unit: str = "files") -> None:
        if name == what and 0 < done < total and not killed:
            killed.append(done)
            cluster.kill()

    progress.killed = killed
    return progress


def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_FEW", 0)
    monkeypatch.setattr(pictures, "_SHARD", 2)
    monkeypatch.setattr(spread, "_SHARD", 60)


def test_version_and_bytes_are_those_of_one_machine(local, cluster, tmp_path, monkeypatch, capsys):
    small_shards(monkeypatch)
    sizes = ",".join(f"{split}={count}" for split, count in SIZES.__dict__.items())
    cli.app(
        [
            *("etl", "--source", str(local / "films"), "--out", str(tmp_path), "--sizes", sizes, "--json"),
            *("--engine", "ray", "--ray-address", cluster.address),
        ],
        standalone_mode=False,
    )
    summary = json.loads((local / "organized" / "summary.json").read_text())
    assert json.loads(capsys.readouterr().out)["published"]["version"] == summary["version"]
    assert tree(tmp_path / "organized") == tree(local / "organized")


def test_two_nodes_find_the_near_duplicates_that_one_machine_finds(engine, monkeypatch):
    small = with_copies(varied(600))
    here = sorted({tuple(sorted(pair)) for pair in neighbors.pairs(small).tolist()})
    assert len(here) >= 32
    for exact in (neighbors.EXACT, 10):  # each with each, and by an index
        monkeypatch.setattr(neighbors, "EXACT", exact)
        there = neighbors.pairs(small, engine=engine)
        assert sorted({tuple(sorted(pair)) for pair in there.tolist()}) == here


def test_node_killed_among_the_pictures_changes_nothing(local, cluster, tmp_path, monkeypatch, capsys):
    small_shards(monkeypatch)
    offline.extract(Extract(source=str(local / "films"), out=tmp_path))
    progress = killing(cluster, "pictures")
    with engines.opened("ray", address=cluster.address) as engine:
        offline.transform(Transform(out=tmp_path, sizes=SIZES), engine=engine, progress=progress)
    assert progress.killed
    assert capsys.readouterr().out == ""  # what Ray tells of the lost node is no output of a command
    assert tree(tmp_path / "organized") == tree(local / "organized")


def test_node_killed_in_the_upload_changes_nothing(local, cluster, engine, shelf, tmp_path, monkeypatch):
    small_shards(monkeypatch)
    monkeypatch.setenv("RCLONE_CONFIG", str(shelf))
    progress = killing(cluster, "uploaded files")
    store = f"shelf:{tmp_path / 'store'}"
    published = offline.load(Load(out=local, store=store), engine=engine, progress=progress)
    assert progress.killed
    assert published.sent_files
    unchanged = offline.load(Load(out=local, store=store)).unchanged
    assert unchanged == pl.read_parquet(local / "organized" / "manifest.parquet").height
    offline.pull(Pull(out=tmp_path / "pulled", store=store))
    assert tree(tmp_path / "pulled" / "organized") == tree(local / "organized")


@pytest.mark.swift
def test_real_swift_is_sent_to_and_asked_for_copies_by_all_nodes(
    local, engine, shelf, swift, container, tmp_path, monkeypatch
):
    small_shards(monkeypatch)
    shelf.write_text(f"{shelf.read_text()}\n{swift.config.read_text()}")
    published = offline.load(Load(out=local, store=f"chi_tacc:{container}"), engine=engine)
    assert published.sent_files
    assert published.copied == 200  # each picture once, for three readers
    again = offline.load(Load(out=local, store=f"chi_tacc:{container}"))
    assert again.unchanged == published.sent_files + published.copied - 2  # the two objects of the kept version
    offline.pull(Pull(out=tmp_path, store=f"chi_tacc:{container}"))
    assert tree(tmp_path / "organized") == tree(local / "organized")


def test_node_that_does_not_know_the_remote_is_named(local, engine, tmp_path, monkeypatch):
    small_shards(monkeypatch)
    config = tmp_path / "rclone.conf"
    config.write_text("[attic]\ntype = local\n")
    monkeypatch.setenv("RCLONE_CONFIG", str(config))
    with pytest.raises(EngineError, match=r"Ray node 127.0.0.1 .* cannot reach the store: .*attic"):
        offline.load(Load(out=local, store=f"attic:{tmp_path / 'store'}"), engine=engine)
    assert not list((tmp_path / "store").rglob("*.png"))


def test_node_that_does_not_see_the_pictures_is_named(local, engine, monkeypatch):
    small_shards(monkeypatch)
    monkeypatch.chdir(local / "films")
    here = Path("/proc/self/cwd/train")  # another folder for every process
    with pytest.raises(EngineError, match=r"Ray node 127.0.0.1 .* cannot see /proc/self/cwd/train/.* shared"):
        pictures.inspect(here, pictures.find(here), engine=engine)


def test_what_a_node_cannot_read_is_looked_at_here(local, engine, monkeypatch):
    small_shards(monkeypatch)
    monkeypatch.setattr(engines.Ray, "require", lambda self, check: None)  # it lost the folder after the check
    monkeypatch.chdir(local / "films")
    here = Path("/proc/self/cwd/train")
    seen = pictures.inspect(here, pictures.find(here), engine=engine)
    assert seen.equals(pictures.inspect(here, pictures.find(here)))
    assert seen["problem"].null_count() == 100


def test_what_a_shard_raises_is_raised_here(engine):
    with pytest.raises(ValueError, match="math domain error"):
        list(engine.map(math.sqrt, [4.0, -1.0, 9.0]))


def test_work_that_nobody_waits_for_any_more_is_cancelled(cluster, engine):
    results = engine.map(time.sleep, [0, 3600, 3600, 3600])
    next(results)
    results.close()
    assert list(engine.map(math.sqrt, [4.0, 4.0])) == [2.0, 2.0]


def test_interrupted_work_leaves_ray_ended(cluster):
    left = []

    def work() -> None:
        with engines.opened("ray", address=cluster.address) as engine:
            left.append(engine.map(time.sleep, [0, 3600, 3600]))
            next(left[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    left.clear()  # what still held the iterator lets it go, after Ray has ended
    assert not sys.modules["ray"].is_initialized()
    with engines.opened("ray", address=cluster.address) as engine:
        assert list(engine.map(math.sqrt, [4.0])) == [2.0]


def test_node_that_was_just_lost_is_not_asked_what_it_lacks(cluster, engine, monkeypatch):
    nodes = engine._nodes
    listed = iter([nodes()])
    cluster.kill()
    monkeypatch.setattr(engine, "_nodes", lambda: next(listed, None) or nodes())  # at first as before
    engine.require(lambda: None)
    assert len(nodes()) == 1


def test_node_that_does_not_answer_and_stays_is_named(engine, monkeypatch):
    monkeypatch.setattr(engines, "_CHECK_SECONDS", 1)
    monkeypatch.setattr(engines, "_LEAVE_SECONDS", 1)
    with pytest.raises(EngineError, match=r"Ray node 127.0.0.1 \(.*\) did not answer within 1 s"):
        engine.require(lambda: time.sleep(3600))
    assert list(engine.map(math.sqrt, [4.0, 4.0])) == [2.0, 2.0]


def test_cluster_without_a_node_left_is_one_error(cluster, engine, monkeypatch):
    monkeypatch.setattr(engines, "_PATIENCE_SECONDS", 0)
    results = engine.map(math.sqrt, range(10_000))
    next(results)
    cluster.kill()
    cluster.kill()
    with pytest.raises(EngineError, match="no node with CPUs left"):
        list(results)
    with pytest.raises(EngineError, match=r"no node with CPUs\. Start a worker"):
        engine.require(lambda: None)


def test_node_killed_in_a_simulation_loses_no_reported_feedback(local, cluster, engine, tmp_path):
    attempts = set()

    def progress(what: str, done: int, total: int, unit: str = "files") -> None:
        """Kill a node once both have answered, and stop once its share goes on elsewhere."""
        before = len(attempts)
        attempts.update(log for log in tmp_path.rglob("online_data.log.*/*.log") if b'"request"' in log.read_bytes())
        if before < 2 <= len(attempts):
            cluster.kill()
        if before < 3 <= len(attempts):
            os.kill(os.getpid(), signal.SIGTERM)

    told = Simulate(
        out=tmp_path, store=str(local), splits=("production",), load_pattern="4,4", stage_seconds=100, inference_ms=20
    )
    done = online.simulate(told, engine=engine, progress=progress)

    lines = [json.loads(line) for line in done.log.read_text().splitlines()]
    reported = [line["file"] for line in lines if line["event"] == "request"]
    found = reading.read(done.feedback, VINDR)
    assert done.stopped
    assert len(attempts) == 3
    assert found.refused.is_empty()
    assert set(reported) <= set(found.feedback["file"])
    assert done.total["feedback"] == len(reported) == len(set(reported))
    # the lost node may have written feedback that it did not come to report, one for each of its two workers at most
    assert found.feedback.height - len(reported) <= 2
    assert [path.name for path in done.log.parent.iterdir()] == ["online_data.log"]
    assert {line["event"] for line in lines} >= {"start", "stage", "end"}


def test_simulation_by_two_nodes_is_one_report(local, engine, tmp_path):
    told = Simulate(
        out=tmp_path,
        store=str(local),
        splits=("production",),
        load_pattern="1,3",
        stage_seconds=2,
        arrival="poisson:20",
        inference_ms=20,
    )
    done = online.simulate(told, engine=engine)
    found = reading.read(done.feedback, VINDR).feedback
    assert found.height == done.total["feedback"] == done.stages["feedback"].sum()
    assert done.stages["load"].to_list() == [1, 3]
    assert done.stages["seconds"].to_list() == [2.0, 2.0]
    assert not done.stopped
    assert found["feedback_id"].is_unique().all()
    assert found["image_id"].n_unique() == 20
