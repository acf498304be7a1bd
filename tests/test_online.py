"""The simulator as a user runs it: a store, a detector, a load; every feedback that was reported is there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

import made_up
import taxonomies
from made_up_model import answer, write
from radloop import cli, options, pixels, tree
from radloop.catalog import truth, version
from radloop.errors import DatasetError, DetectorError, StoreError, TaxonomyError, TransientDetectorError, UsageError
from radloop.feedback import reading
from radloop.pipelines import offline, online
from radloop.predictions import Detector, Picture, Predictions
from radloop.simulation.hospital import Tally
from radloop.split_sizes import SplitSizes
from radloop.tables import EDGES
from taxonomies import SPINE, VINDR

if TYPE_CHECKING:
    from collections.abc import Callable

    from radloop.taxonomy import Taxonomy
    from swift_server import Swift

pytest_plugins = ("swift_server",)
ROOT = Path(__file__).parent.parent
SIZES = SplitSizes.parse("training=16,validation=4,test=6,staging=2,canary=2,production=10")
PATTERN = "1,2,3,5,3,2,1"


class Finder:
    """A detector that finds the same in every picture, at once."""

    name, version = "finder", "1"

    def predict(self, picture: Picture) -> Predictions:
        return Predictions.sorted([3, 0], [0.6, 0.9], [[0.5, 0.6, 0.3, 0.2], [0.5, 0.4, 0.1, 0.1]])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Taxonomy], Path]:
    """A published dataset of any classes, made once; nothing in these tests changes it."""

    @cache
    def publish(classes: Taxonomy) -> Path:
        folder = tmp_path_factory.mktemp("published")
        films = made_up.films(folder / "films", classes=classes)
        told = {"source": str(films), "classes": taxonomies.named(classes, films), "sizes": SIZES}
        offline.etl(options.Etl(out=folder / "out", store=str(folder / "store"), **told))
        return folder / "store"

    return publish


@pytest.fixture(scope="module")
def store(published: Callable[[Taxonomy], Path]) -> Path:
    return published(VINDR)


@pytest.fixture
def any_store(published: Callable[[Taxonomy], Path], classes: Taxonomy) -> Path:
    """One of each list of classes, in turn."""
    return published(classes)


def play(
    store: Path | str, out: Path, *, detector: Detector | str | None = None, **changes: object
) -> online.Simulation:
    """A run of the pattern, or of one stage that is long enough for an answer also on a busy machine.

    It asks a Finder, any detector, or the one that a text names.
    """
    named = {"detector": detector} if isinstance(detector, str) else {}
    made = None if named else detector or Finder()
    seconds = 0.3 if len(str(changes.get("load_pattern", PATTERN))) == 1 else 0.05
    told = options.Simulate(**{"out": out, "store": str(store), "stage_seconds": seconds} | named | changes)
    return online.simulate(told, detector=made)


def log(done: online.Simulation, event: str) -> list[dict]:
    lines = [json.loads(line) for line in done.log.read_text().splitlines()]
    return [line for line in lines if line["event"] == event and line["run_id"] == done.run_id]


def annotations(store: Path) -> pl.DataFrame:
    """With class_id null where nothing was found."""
    return version.read(store).annotations


@pytest.mark.parametrize("pattern", ["1", "5", "50", PATTERN])
def test_there_are_as_many_feedback_files_as_successful_requests(store, tmp_path, pattern):
    done = play(store, tmp_path, load_pattern=pattern)

    found = reading.read(done.feedback, VINDR)
    assert found.refused.is_empty()
    assert found.feedback.height == done.total["feedback"] == done.stages["feedback"].sum()
    assert done.stages.height == len(pattern.split(","))
    assert {path.suffix for path in done.feedback.iterdir()} == {".json"}
    assert sorted(line["file"] for line in log(done, "request")) == sorted(found.feedback["file"])
    assert done.feedback == tmp_path / "feedback"
    assert oct(done.feedback.stat().st_mode & 0o777) == "0o750"
    assert done.log == tmp_path / "logs" / "online_data.log"


def test_feedback_says_what_was_shown_and_what_was_found(any_store, classes, tmp_path):
    done = play(any_store, tmp_path, load_pattern="2")

    found = reading.read(done.feedback, classes)
    truth = annotations(any_store).unique("image_id")
    known = found.feedback.join(truth, on="image_id", suffix="_true")
    assert known.height == found.feedback.height
    assert (known["split"] == known["split_true"]).all()
    assert (known["image_md5"] == known["md5"]).all()
    assert (known["image_phash"] == known["phash"]).all()
    assert set(found.feedback["split"]) == {"test", "production"}
    assert found.feedback["simulated"].all()
    assert set(found.feedback["class_id"]) == {0}
    assert found.detections.height == 2 * found.feedback.height
    one = found.feedback.row(0, named=True)
    gray = pixels.decode(
        next((any_store / "organized" / one["split"] / "images").glob(f"{one['image_id']}_*")).read_bytes()
    )
    assert (one["mean"], one["std"], one["sharpness"]) == pytest.approx(pixels.statistics(gray))
    assert (one["model"], one["model_version"], one["run_id"], one["stage"]) == ("finder", "1", done.run_id, 1)
    written = json.loads((done.feedback / one["file"]).read_text())
    assert written["arrived_at"] <= written["timestamp"]
    assert [box["class_name"] for box in written["detections"]] == [classes.names[0], classes.names[3]]
    assert (written["class_id"], written["class_name"]) == (0, classes.names[0])


def test_nothing_found_is_the_number_of_classes_in_files_and_says_how_sure(any_store, classes, tmp_path):
    class Blind(Finder):
        def predict(self, picture: Picture) -> Predictions:
            return Predictions.sorted([], [], [], highest_score=0.2)

    done = play(any_store, tmp_path, detector=Blind(), load_pattern="1")
    found = reading.read(done.feedback, classes).feedback
    assert set(found["class_id"]) == {None}
    written = json.loads(next(done.feedback.iterdir()).read_text())
    assert (written["class_id"], written["class_name"], written["bbox"]) == (len(classes), "No finding", None)
    assert found["confidence"].to_list() == pytest.approx([0.8] * found.height)


def test_a_second_run_adds_and_never_overwrites(store, tmp_path):
    first = play(store, tmp_path)
    before = {path.name: path.read_bytes() for path in first.feedback.iterdir()}
    second = play(store, tmp_path)
    after = {path.name: path.read_bytes() for path in second.feedback.iterdir()}
    assert before.items() <= after.items()
    assert len(after) == first.total["feedback"] + second.total["feedback"]
    assert first.run_id != second.run_id


def test_errors_are_counted_logged_and_write_nothing(store, tmp_path):
    class Moody(Finder):
        def predict(self, picture: Picture) -> Predictions:
            if picture.image_id < "8":
                raise DetectorError("http://user:secret@host answered 404.", kind="status 404")
            return super().predict(picture)

    done = play(store, tmp_path, detector=Moody(), load_pattern="4", stage_seconds=0.5)
    assert done.errors == {"status 404": done.total["errors"]}
    assert done.total["requests"] == done.total["feedback"] + done.total["errors"]
    assert done.total["errors"] == len(log(done, "error")) > 0
    assert {line["kind"] for line in log(done, "error")} == {"status 404"}
    assert "secret" not in done.log.read_text()
    assert reading.read(done.feedback, VINDR).feedback["image_id"].min() >= "8"


def test_a_row_of_the_summary_is_what_its_columns_say():
    """Percentiles by the nearest rank, of answers and errors, as far as they are known; per second the answers."""
    latencies = [float(number) for number in np.random.default_rng(0).permutation(200) + 1]
    row = online._row(
        Tally(2, 5, seconds=10.0, answered=150, errors=Counter(timeout=30, connection=20), latencies_ms=latencies)
    )
    assert (row["stage"], row["load"], row["seconds"]) == (2, 5, 10.0)
    assert (row["requests"], row["feedback"], row["errors"]) == (200, 150, 50)
    assert row["per_second"] == 15.0
    assert (row["p50_ms"], row["p95_ms"], row["p99_ms"], row["max_ms"]) == (100.0, 190.0, None, 200.0)
    assert row["p95_low_ms"] < 190 < row["p95_high_ms"]
    empty = online._row(Tally(1, 0))
    assert (empty["per_second"], empty["p50_ms"], empty["max_ms"]) == (0.0, None, None)


def test_each_stage_and_the_end_are_in_the_log(store, tmp_path):
    done = play(store, tmp_path)
    assert [line["stage"] for line in log(done, "stage")] == [1, 2, 3, 4, 5, 6, 7]
    assert log(done, "start")[0]["detector"] == "finder 1"
    assert log(done, "end")[0]["feedback"] == done.total["feedback"]


def test_arrivals_on_a_clock_are_as_many_as_the_seed_says(store, tmp_path):
    runs = [
        play(store, tmp_path, arrival="poisson:40", load_pattern="1,3", stage_seconds=0.15, seed=seed)
        for seed in (1, 1, 2)
    ]
    counts = [run.total["requests"] + run.total["dropped"] for run in runs]
    assert counts[0] == counts[1] > 0
    shown = [[line["image_id"] for line in sorted(log(run, "request"), key=lambda x: x["number"])] for run in runs]
    assert shown[0] == shown[1] != shown[2]


def test_drift_changes_what_arrives_from_its_stage_on(store, tmp_path):
    seen: dict[str, float] = {}

    class Looking(Finder):
        def predict(self, picture: Picture) -> Predictions:
            seen[hashlib.md5(picture.data).hexdigest()] = float(pixels.decode(picture.data).mean())
            return super().predict(picture)

    done = play(
        store, tmp_path, detector=Looking(), load_pattern="1,1", stage_seconds=0.4, drift="brightness:0.3@2,mix:1@2"
    )
    table = reading.read(done.feedback, VINDR).feedback
    before, after = (table.filter(pl.col("stage") == stage) for stage in (1, 2))
    both = before.unique("image_id").join(after.unique("image_id"), on="image_id")
    assert both.height > 0
    assert (both["mean_right"] > both["mean"] + 20).all()
    assert not (both["image_md5"] == both["image_md5_right"]).any()
    for md5, mean in table.select("image_md5", "mean").iter_rows():
        assert seen[md5] == pytest.approx(mean)  # the feedback speaks of what the detector got
    with_finding = annotations(store).filter(pl.col("class_id").is_not_null())["image_id"].unique()
    assert after["image_id"].is_in(with_finding.implode()).all()
    assert len(list((tmp_path / "cache" / "shown").rglob("*.png"))) <= 16


def test_oracle_knows_the_truth_of_the_store(any_store, classes, tmp_path):
    done = play(any_store, tmp_path, detector="oracle:0", load_pattern="2", stage_seconds=0.5)
    found = reading.read(done.feedback, classes)
    rows = annotations(any_store).filter(pl.col("split").is_in(["test", "production"]))
    agreed = (
        rows.filter(pl.col("class_id").is_not_null())
        .group_by("image_id", "class_id")
        .agg(readers=pl.col("rad_id").n_unique())
        .filter(pl.col("readers") >= 2)
    )
    shown = set(found.feedback["image_id"])
    told = set(found.detections.select("image_id", "class_id").iter_rows())
    assert told <= {(image, class_id) for image, class_id, _ in agreed.iter_rows()}
    assert {image for image, _ in told} <= shown
    assert told


def test_truth_of_each_image_is_that_of_its_own_readers(store, tmp_path):
    """Two readers, one, or three: an image with a single reader loses nothing because others have more."""
    root, rows = copied(store, tmp_path), annotations(store)
    abnormal = rows.filter(pl.col("class_id").is_not_null(), pl.col("split").is_in(["test", "production"]))
    alone, pair, *_ = abnormal["image_id"].unique().sort()
    first = rows.filter(pl.col("image_id").is_in([alone, pair]))
    readers = first.group_by("image_id").agg(pl.col("rad_id").unique().sort())
    kept = {(image, name) for image, names in readers.iter_rows() for name in names[: 1 if image == alone else 2]}
    thinned = pl.concat(
        [
            rows.filter(~pl.col("image_id").is_in([alone, pair])),
            first.join(
                pl.DataFrame(list(kept), schema=["image_id", "rad_id"], orient="row"), on=["image_id", "rad_id"]
            ),
        ]
    )
    (root / "organized" / tree.ANNOTATIONS).write_bytes(version.encode(thinned, VINDR))

    done = play(root, tmp_path / "out", detector="oracle:0", load_pattern="5", stage_seconds=1.0)
    found = reading.read(done.feedback, VINDR)
    newest = found.feedback.unique("image_id", keep="last", maintain_order=True)
    told = found.detections.join(newest, on="feedback_id", how="semi").select("image_id", "class_id", *EDGES)
    assert newest.height == 16
    expected = truth.of(thinned).join(newest, on="image_id", how="semi").sort("image_id", "class_id", *EDGES)
    told = told.sort("image_id", "class_id", *EDGES)
    assert told.select("image_id", "class_id").equals(expected.select("image_id", "class_id"))
    assert alone in told["image_id"].unique().to_list()
    drawn = thinned.filter(pl.col("image_id") == alone, pl.col("class_id").is_not_null()).height
    assert told.filter(image_id=alone).height == drawn


def copied(store: Path, folder: Path) -> Path:
    """The dataset as somebody left it whose pictures have no manifest: a store that may be changed."""
    for kind in ("test", "production"):
        (folder / "copy" / "organized" / kind / "images").mkdir(parents=True)
        for path in (store / "organized" / kind / "images").iterdir():
            (folder / "copy" / "organized" / kind / "images" / path.name).write_bytes(path.read_bytes())
    (folder / "copy" / "organized" / "data.yaml").write_bytes((store / "organized" / "data.yaml").read_bytes())
    return folder / "copy"


def test_store_that_tells_no_classes_is_taken_to_be_vindrs_and_that_is_said(store, tmp_path):
    root = copied(store, tmp_path)
    done = play(root, tmp_path / "out", load_pattern="1")
    assert any("tells no classes" in note for note in done.notes)
    names = {"classes": list(SPINE.names)}
    (root / "organized" / tree.SUMMARY).write_text(json.dumps(names))
    done = play(root, tmp_path / "out", load_pattern="1")
    assert not any("tells no classes" in note for note in done.notes)
    written = json.loads((done.feedback / log(done, "request")[0]["file"]).read_text())
    assert written["class_name"] == SPINE.names[0]
    (root / "organized" / tree.SUMMARY).write_text("{")
    with pytest.raises(DatasetError, match=r"summary\.json is damaged"):
        play(root, tmp_path / "out", load_pattern="1")


def test_model_without_names_is_noted_in_the_summary_and_others_are_refused(published, tmp_path):
    model = write(tmp_path / "mine.onnx", answer((6, 0.9, (16, 16, 8, 8)), classes=7))
    done = play(published(SPINE), tmp_path, detector=f"onnx:{model}", load_pattern="1")
    assert any("mine.onnx tells no names" in note for note in done.notes)
    assert set(reading.read(done.feedback, SPINE).feedback["class_id"]) == {6}
    with pytest.raises(TaxonomyError, match=r"tiny\.onnx has other classes.*'Osteophytes'"):
        play(published(SPINE), tmp_path / "refused", detector="onnx:tiny")
    assert not (tmp_path / "refused").exists()


def test_command_takes_the_classes_of_a_model_from_a_file_and_renames_them(published, tmp_path, capsys):
    model = write(tmp_path / "mine.onnx", answer((0, 0.9, (16, 16, 8, 8)), classes=7))
    (tmp_path / "own.txt").write_text("\n".join(["implant", *(name for name in SPINE.names if "implant" not in name)]))
    command = ["simulate", "--out", str(tmp_path), "--store", str(published(SPINE)), "--stage-seconds", "0.1"]
    command += ["--detector", f"onnx:{model}", "--model-classes", str(tmp_path / "own.txt"), "--load-pattern", "1"]
    with pytest.raises(SystemExit) as refused:
        cli.main(command)
    assert refused.value.code == 1
    assert "the model alone has 'implant'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as done:
        cli.main([*command, "--map", "implant=Surgical implant"])
    assert not done.value.code
    found = reading.read(tmp_path / "feedback", SPINE).feedback
    assert set(found["class_id"]) == {SPINE.number("Surgical implant")}


def test_store_without_a_manifest_is_said_to_be_unverified(store, tmp_path):
    root = tmp_path / "store"
    for split in ("test", "production"):
        (root / split / "images").mkdir(parents=True)
        for path in (store / "organized" / split / "images").iterdir():
            (root / split / "images" / path.name).write_bytes(path.read_bytes())
    done = play(root, tmp_path / "out", load_pattern="1")
    assert done.pictures == 16
    assert any("unverified" in note for note in done.notes)
    with pytest.raises(UsageError, match="truth"):
        play(root, tmp_path / "out", detector="oracle:1")


def test_picture_that_cannot_be_decoded_is_left_out_and_said(store, tmp_path):
    root = tmp_path / "store"
    (root / "test" / "images").mkdir(parents=True)
    for number, path in enumerate(sorted((store / "organized" / "test" / "images").iterdir())[:6]):
        data = path.read_bytes()
        (root / "test" / "images" / path.name).write_bytes(data if number >= 3 else data[:-20])
    done = play(root, tmp_path / "out", load_pattern="1")
    assert done.pictures == 1
    assert any("1 pictures cannot be decoded" in note for note in done.notes)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"load_pattern": "many"}, UsageError),
        ({"arrival": "often"}, UsageError),
        ({"drift": "brightness:0.2@8"}, UsageError),
        ({"detector": "guess"}, UsageError),
        ({"splits": ["canary"]}, StoreError),
        ({"detector": "triton:http://127.0.0.1:9/m", "request_timeout": 0.5}, TransientDetectorError),
    ],
)
def test_what_cannot_run_says_so_before_anything_is_sent(tmp_path, store, changes, error):
    if changes.get("splits"):
        (tmp_path / "store" / "test" / "images").mkdir(parents=True)
        (tmp_path / "store" / "test" / "images" / "a_R1.png").write_bytes(b"")
        store = tmp_path / "store"
    with pytest.raises(error):
        play(store, tmp_path / "out", **changes)
    assert not (tmp_path / "out" / "feedback").exists()


def test_dry_run_writes_nothing(store, tmp_path):
    done = play(store, tmp_path / "out", dry_run=True)
    assert (done.ran, done.pictures, done.total["requests"]) == (False, 16, 0)
    assert not (tmp_path / "out").exists()


def test_command_prints_one_table_or_one_object(store, tmp_path, capsys):
    command = ["simulate", "--out", str(tmp_path), "--store", str(store), "--stage-seconds", "0.1"]
    for more in ([], ["--json"], ["--dry-run"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*command, "--inference-ms", "5", *more])
        assert not stopped.value.code
        printed = capsys.readouterr().out
        if not more:
            assert all(word in printed for word in ("p99", "7 × 1", "all", "feedback"))
        elif more == ["--json"]:
            assert len(json.loads(printed)["stages"]) == 7


@pytest.mark.slow
def test_known_names_of_the_environment_are_enough(store, tmp_path):
    environment = {
        **os.environ,
        "RADLOOP_STORE": str(store),
        "LOAD_PATTERN": "[2,1]",
        "DELAY_BETWEEN_STEPS": "0.1",
        "REQUEST_TIMEOUT": "2",
        "FEEDBACK_DIR": str(tmp_path / "fb"),
        "LOG_FILE": str(tmp_path / "sim.log"),
        "TRITON_URL": "http://127.0.0.1:9",  # does not switch the detector
    }
    script = ROOT / "data-pipeline" / "data-simulation" / "data_simulation.py"
    ended = subprocess.run([sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "2 × 1" in ended.stdout
    assert len(list((tmp_path / "fb").iterdir())) > 0
    assert (tmp_path / "sim.log").exists()


# `radloop simulate` with 20 workers that gets a signal at the n-th call of a function: before it, after it, or, of a
# write, with half of the data written.
CHILD = """
import itertools, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_online import Finder
from radloop import options
from radloop.feedback import reading
from radloop.pipelines import online

store, out, place, number, sent = sys.argv[2:7]
calls = itertools.count(1)

def die():
    os.kill(os.getpid(), getattr(signal, sent))

def hit(function, before=False):
    def wrapped(*arguments, **options):
        last = next(calls) == int(number)
        if last and before:
            die()
        try:
            return function(*arguments, **options)
        finally:
            if last:
                die()
    return wrapped

def half(write):
    def wrapped(descriptor, data):
        if data.startswith(b"{\\n") and next(calls) == int(number):
            write(descriptor, data[: len(data) // 2])
            die()
        return write(descriptor, data)
    return wrapped

if place == "detector":
    Finder.predict = hit(Finder.predict)
elif place == "before link":
    os.link = hit(os.link, before=True)
elif place == "after link":
    os.link = hit(os.link)
elif place == "half a file":
    os.write = half(os.write)
elif place == "log":
    online.Journal.write = hit(online.Journal.write)

told = options.Simulate(out=Path(out), store=store, load_pattern="20", stage_seconds=600)
done = online.simulate(told, detector=Finder())
print(done.stopped, done.total["feedback"])
"""


def child(store: Path, out: Path, place: str, number: int, sent: str = "SIGKILL") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, Path(__file__).parent, store, out, place, number, sent]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)


def reported(path: Path) -> list[str]:
    """The files that the log says were written; a kill leaves no half line."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["file"] for line in lines if line["event"] == "request"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["detector", "half a file", "before link", "after link", "log"])
def test_kill_leaves_no_half_file_and_loses_none_that_was_reported(place, store, tmp_path):
    for number in (1, 7, 60, 300):
        ended = child(store, tmp_path, place, number)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        found = reading.read(tmp_path / "feedback", VINDR)
        assert found.refused.is_empty()
        assert set(reported(tmp_path / "logs" / "online_data.log")) <= set(found.feedback["file"])

    done = play(store, tmp_path)
    after = reading.read(done.feedback, VINDR)
    assert after.refused.is_empty()
    assert after.feedback.height == found.feedback.height + done.total["feedback"]
    assert not list(done.feedback.glob("*.tmp"))
    assert not list(done.feedback.glob(".*.tmp"))


def test_sigterm_finishes_what_is_in_flight_and_ends_as_usual(store, tmp_path):
    ended = child(store, tmp_path, "log", 50, "SIGTERM")
    assert ended.returncode == 0, ended.stderr
    stopped, written = ended.stdout.split()
    assert stopped == "True"
    assert int(written) == len(list((tmp_path / "feedback").iterdir())) >= 49
    lines = [json.loads(line) for line in (tmp_path / "logs" / "online_data.log").read_text().splitlines()]
    assert lines[-1]["event"] == "end"


@pytest.mark.slow
@pytest.mark.swift
@pytest.mark.parametrize("workers", ["1", "5", "50", PATTERN])
def test_real_swift(store: Path, tmp_path: Path, swift: Swift, container: str, workers: str) -> None:
    offline.load(options.Load(out=store, store=f"chi_tacc:{container}"))
    published = asked(swift, container)
    done = play(f"chi_tacc:{container}", tmp_path, load_pattern=workers, stage_seconds=1.0 if "," in workers else 0.2)
    found = reading.read(done.feedback, VINDR)
    assert found.refused.is_empty()
    assert found.feedback.height == done.total["feedback"] > 0
    fetched = asked(swift, container) - published
    assert set(fetched.values()) == {1}
    assert fetched.total() == 16  # each picture once

    play(f"chi_tacc:{container}", tmp_path, load_pattern="1")
    assert asked(swift, container) == published + fetched  # the cache is used again


def asked(swift: Swift, container: str) -> Counter[str]:
    """How often each picture was asked for; while publishing the server reads its own for copies."""
    requests = swift.requests(container)
    return Counter(path for method, path, _, _ in requests if method == "GET" and "/images/" in path)
