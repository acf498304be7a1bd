"""`radloop monitor --serve`: what Prometheus is told of a loop, sound or broken; a real one raises an alarm."""

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import small_loop
from radloop.errors import UsageError
from radloop.options import Backup, Monitor, Review
from radloop.pipelines import backing_up, exposing, reviewing
from radloop.pipelines.exposing import Collector
from radloop.pipelines.metrics import server
from radloop.pipelines.metrics.lines import BUCKETS_S, MOST_WORDS, Log
from radloop.progress import silent
from radloop.simulation.journal import Journal
from test_monitoring import stream

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deployment" / "monitoring"
PLANTED = "oracle-noise-1"  # the model of `stream`

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="tests/prometheus/install.sh brings promtool")


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> Path:
    """A loop that radloop made and played, and forty days of planted feedback, brighter from the 25th on."""
    out = tmp_path_factory.mktemp("loop")
    small_loop.run(out)
    stream(out / "feedback", 40, brighter=25)
    return out


@pytest.fixture
def out(loop, tmp_path) -> Path:
    return shutil.copytree(loop, tmp_path / "out", symlinks=True)


class Looked:
    """A collector that has looked once, and what it tells."""

    def __init__(self, out: Path, **changes: Any) -> None:
        self.collector = Collector(Monitor(out=out, jobs=1, model=PLANTED, **changes))
        self.log = out / "logs" / "monitor.log"

    def look(self) -> dict[str, float]:
        with Journal(self.log, "a-run") as journal:
            self.collector.look(journal, silent)
        return self.told()

    def told(self) -> dict[str, float]:
        return {
            f"{sample.name}{sorted(sample.labels.items()) if sample.labels else ''}": sample.value
            for family in self.collector.collect()
            for sample in family.samples
        }

    def text(self) -> bytes:
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self.collector)
        return generate_latest(registry)


def test_a_sound_loop_is_told_with_its_queue_its_times_its_drift_and_its_requests(out):
    told = Looked(out).look()
    lines = (out / "logs" / "online_data.log").read_text().splitlines()
    requests = sum(json.loads(line)["event"] == "request" for line in lines)
    assert told["radloop_up"] == 1
    waits = reviewing.order(Review(out=out, queue=True, jobs=1, read_twice=0.0)).queue
    assert told["radloop_queue_images[('state', 'unread')]"] == waits.filter(state="unread").height > 0
    assert told["radloop_figure_alarm[('figure', 'mean gray value'), ('kind', 'picture')]"] == 1
    assert told["radloop_due[('rule', 'drift')]"] == 1
    assert told["radloop_requests_total[('outcome', 'answered'), ('program', 'simulate')]"] == requests
    assert told["radloop_request_latency_seconds_count[('program', 'simulate')]"] == requests
    assert told["radloop_newest_round_timestamp_seconds"] > told["radloop_newest_feedback_timestamp_seconds"] > 0


def test_nothing_that_is_told_names_an_image_or_a_path(out):
    looked = Looked(out)
    looked.look()
    text = looked.text().decode()
    named = {path.name.partition(".")[0] for path in (out / "feedback").glob("*.json")}
    assert named
    assert not [name for name in named if name in text]
    assert str(out) not in text


@needs_promtool
def test_promtool_finds_nothing_wrong_with_names_and_help_texts(out):
    looked = Looked(out)
    looked.look()
    checked = subprocess.run(["promtool", "check", "metrics"], input=looked.text(), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_loop_that_cannot_be_read_is_down_tells_nothing_of_before_and_its_log_says_why(out):
    looked = Looked(out)
    before = looked.look()
    table = out / "organized" / "annotations.parquet"
    sound = table.read_bytes()
    table.write_bytes(sound[:-9])
    broken = looked.look()
    assert broken["radloop_up"] == 0
    assert broken["radloop_look_failures_total"] == 1
    assert broken["radloop_look_success_timestamp_seconds"] == before["radloop_look_success_timestamp_seconds"]
    state = ("radloop_queue", "radloop_newest", "radloop_figure", "radloop_feedback", "radloop_dataset")
    assert not [name for name in broken if name.startswith(state)]
    last = json.loads(looked.log.read_text().splitlines()[-1])
    assert last["event"] == "look-failed"
    assert "annotations.parquet" in last["message"]
    table.write_bytes(sound)
    assert looked.look()["radloop_up"] == 1


def test_what_was_seen_too_long_ago_is_told_no_more(out, monkeypatch):
    looked = Looked(out)
    assert looked.look()["radloop_up"] == 1
    later = time.monotonic() + 3600
    monkeypatch.setattr(exposing.time, "monotonic", lambda: later)
    told = looked.told()
    assert told["radloop_up"] == 0
    assert "radloop_feedback_documents" not in told


def test_a_second_look_opens_only_feedback_that_is_new(out, monkeypatch):
    looked = Looked(out)
    looked.look()
    opened: list[list[str]] = []
    from radloop.feedback import reading

    read = reading.parts
    monkeypatch.setattr(
        reading, "parts", lambda folder, names, *a, **k: (opened.append(names), read(folder, names, *a, **k))[1]
    )
    looked.look()
    assert [name for names in opened for name in names if name.endswith(".json")] == []


def line(event: str, **fields: Any) -> bytes:
    return json.dumps({"event": event, **fields}).encode() + b"\n"


def test_a_log_is_read_on_and_a_line_that_is_being_written_waits(tmp_path):
    path = tmp_path / "a.log"
    log = Log(path)
    assert log.read().answered == 0
    path.write_bytes(
        line("request", latency_ms=7.0) + line("error", kind="timeout") + line("request", latency_ms=9)[:9]
    )
    assert (log.read().answered, log.read().failures) == (1, {"timeout": 1})
    with path.open("ab") as file:
        file.write(line("request", latency_ms=9)[9:] + b"not ours\n" + line("study", refused={"held": 2}))
    counts = log.read()
    assert (counts.answered, sum(counts.seconds), counts.refused) == (2, 2, {"held": 2})
    assert counts.seconds[BUCKETS_S.index(0.01)] == 2


def test_another_log_in_its_place_is_counted_from_its_beginning(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes(line("request") * 5)
    log = Log(path)
    assert log.read().answered == 5
    path.unlink()
    path.write_bytes(line("request") * 7)
    assert log.read().answered == 7
    path.write_bytes(line("request"))
    assert log.read().answered == 1


def test_words_of_a_log_are_few(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(line("error", kind=f"kind {number}" * 20) for number in range(1000)))
    failures = Log(path).read().failures
    assert failures.total() == 1000
    assert len(failures) == MOST_WORDS + 1
    assert max(map(len, failures)) <= 60


def test_log_that_nobody_may_read_ends_no_scrape(tmp_path):
    """A folder in its place stands for rights that are missing, for tests run as root, too."""
    (tmp_path / "x.log").mkdir()
    assert Log(tmp_path / "x.log").read().answered == 0


def test_feedback_of_the_future_does_not_hide_that_none_comes(out):
    before = Looked(out).look()["radloop_newest_feedback_timestamp_seconds"]
    (out / "feedback" / "late.json").write_text(
        '{"image_id": "late", "class_id": 14, "confidence": 0.9, "bbox": null, "timestamp": "2099-01-01T00:00:00Z"}'
    )
    assert Looked(out).look()["radloop_newest_feedback_timestamp_seconds"] == before


def test_cut_audit_log_and_the_time_of_the_last_backup_are_told(out, tmp_path):
    backing_up.backup(Backup(out=out, to=str(tmp_path / "vault")), now=datetime(2026, 11, 30, tzinfo=UTC))
    looked = Looked(out)
    told = looked.look()
    assert told["radloop_newest_backup_timestamp_seconds"] == datetime(2026, 11, 30, tzinfo=UTC).timestamp()
    assert told["radloop_audit_log_sound[('log', 'deeds')]"] == 1
    (log,) = (out / "audit").glob("*.jsonl")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-2]))
    assert looked.look()["radloop_audit_log_sound[('log', 'deeds')]"] == 0


def test_client_that_drips_is_cut_off_and_one_that_leaves_prints_nothing(monkeypatch, capfd):
    from prometheus_client import CollectorRegistry

    monkeypatch.setattr(server, "_WHOLE_SECONDS", 0.0)
    with server.serving("127.0.0.1", 0, CollectorRegistry(), lambda: True) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as dripping:
            dripping.sendall(b"GET /metr")
            assert dripping.recv(1) == b""  # not after the ten seconds that silence may last
        with socket.create_connection(("127.0.0.1", port)) as leaving:
            leaving.sendall(b"GET /metr")
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert "Traceback" not in capfd.readouterr().err


def test_an_address_that_is_taken_is_a_sentence(out):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port} cannot be listened on"):
            exposing.expose(Monitor(out=out, port=port, serve=True))


@needs_promtool
def test_alert_rules_fire_where_they_should_and_only_there():
    tests = sorted(map(str, (ROOT / "tests" / "prometheus").glob("*-test.yaml")))
    for command in (
        ["check", "config", str(RULES / "prometheus.yaml")],
        ["check", "rules", str(RULES / "radloop-alerts.yaml")],
        ["test", "rules", *tests],
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_of_the_rules_is_one_that_is_told_and_every_rule_is_documented(out):
    rules = yaml.safe_load((RULES / "radloop-alerts.yaml").read_text())["groups"][0]["rules"]
    looked = Looked(out)
    looked.look()
    text = looked.text().decode()
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for rule in rules:
        names = {word for word in _words(rule["expr"]) if word.startswith("radloop_")}
        assert not [name for name in names if f"# HELP {name.removesuffix('_bucket')} " not in text], rule
        assert f"`{rule['alert']}`" in page
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP radloop_")}
    assert not [name for name in told if f"`{name}`" not in page]


def _words(expression: str) -> list[str]:
    return "".join(one if one.isalnum() or one == "_" else " " for one in expression).split()


def until(what: Callable[[], Any], process: subprocess.Popen[bytes], seconds: float = 60) -> Any:
    """Ask until there is an answer: the condition is awaited, not a time."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, KeyError, IndexError, ValueError):
            if found := what():
                return found
        assert process.poll() is None, process.stderr.read() if process.stderr else process.returncode
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.05)


def asked(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=5) as answer:  # of a server of this test
        return json.load(answer)


@contextlib.contextmanager
def running(command: list[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="tests/prometheus/install.sh brings Prometheus")
def test_a_real_prometheus_scrapes_a_real_run_and_an_alarm_fires_on_planted_drift(out, tmp_path):
    command = [sys.executable, "-m", "radloop.cli", "monitor", "--serve", "--port", "0", "--every", "1s"]
    command += ["--out", str(out), "--model", PLANTED, "--jobs", "1"]
    with running(command, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}) as radloop:
        log = out / "logs" / "monitor.log"
        address = until(lambda: json.loads(log.read_text().splitlines()[0])["address"], radloop)
        place = address.removeprefix("http://").removesuffix("/metrics")
        shutil.copy(RULES / "radloop-alerts.yaml", tmp_path)
        config = yaml.safe_load((RULES / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0] |= {"scrape_interval": "1s", "static_configs": [{"targets": [place]}]}
        (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
        port = free_port()
        server = ["prometheus", "--config.file=prometheus.yaml", f"--web.listen-address=127.0.0.1:{port}"]
        with running([*server, "--storage.tsdb.path=tsdb", "--log.level=error"], cwd=tmp_path) as prometheus:
            api = f"http://127.0.0.1:{port}/api/v1"

            def value(query: str) -> float:
                return float(asked(f"{api}/query?query={query}")["data"]["result"][0]["value"][1])

            def firing() -> list[str]:
                told = asked(f"{api}/alerts")["data"]["alerts"]
                return [one["labels"]["figure"] for one in told if one["labels"]["alertname"] == "RadloopDrift"]

            assert "mean gray value" in until(firing, prometheus)
            assert until(lambda: value("radloop_up"), prometheus) == 1
            assert value("radloop_requests_total%7Boutcome=%22answered%22,program=%22simulate%22%7D") > 0
            (out / "organized" / "manifest.parquet").unlink()
            assert until(lambda: value("radloop_up") == 0, prometheus)
            with pytest.raises(urllib.error.HTTPError, match="503"):
                asked(f"http://{place}/healthz")
    assert radloop.returncode == 0
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "end"
