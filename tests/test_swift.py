"""Load and pull against a real OpenStack Swift through a real rclone."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from radloop.errors import DatasetError, StoreError
from radloop.storage import layout, publish, pull, quickest, verify
from radloop.storage.rclone import RcloneStore
from tiny_unit import contents, picture, version, write_unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_proxy import SwiftProxy
    from swift_server import Swift

pytest_plugins = ("swift_server",)
pytestmark = [pytest.mark.swift, pytest.mark.slow]

LOAD = """
import sys
from pathlib import Path
from radloop.errors import RadloopError
from radloop.storage import publish, quickest
from radloop.storage.rclone import RcloneStore
print("ready", flush=True)
input()
store = RcloneStore(sys.argv[2])
store.settle_seconds = float(sys.argv[3])
quickest.FEWEST = int(sys.argv[4])
try:
    publish.publish(Path(sys.argv[1]), store)
except RadloopError as error:
    sys.exit(str(error))
"""


class Load:
    """`radloop load` in a process of its own, held until it is told to begin."""

    def __init__(self, root: Path, container: str, *, settle_seconds: float = 10, fewest: int = 16) -> None:
        arguments = [str(root), f"chi_tacc:{container}", str(settle_seconds), str(fewest)]
        command = [sys.executable, "-c", LOAD, *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    @property
    def pid(self) -> int:
        return self.process.pid

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        _, error = self.process.communicate(timeout=300)
        return self.process.returncode, error


def run(root: Path, container: str) -> None:
    load = Load(root, container)
    load.begin()
    assert load.end() == (0, "")


def as_listed(root: Path) -> dict[str, str]:
    """What Swift must list once the unit in `root` is published to an empty container."""
    return {f"organized/{key}": hashlib.md5(data).hexdigest() for key, data in contents(root).items()}


@pytest.fixture
def store(swift: Swift, container: str) -> RcloneStore:
    return RcloneStore(f"chi_tacc:{container}")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_unit(tmp_path / "small", version(5))


# Two versions that differ in every way: new, changed, moved and removed keys.
FIRST = version(6) | {"test/images/m_R1.png": picture("m"), "test/labels/m_R1.txt": b""}
SECOND = version(8, changed="1 0.2 0.2 0.1 0.1\n") | {
    "training/images/m_R1.png": picture("m"),
    "training/labels/m_R1.txt": b"",
    "training/images/i000_R1.png": picture("another"),
}


def test_each_distinct_picture_travels_once_and_nothing_is_asked_about_it(
    swift: Swift, store: RcloneStore, container: str, tmp_path: Path
) -> None:
    files = {key: data for key, data in version(10, size=50_000).items() if "/images/" in key}
    root = write_unit(tmp_path / "organized", files)
    publish.publish(root, store)
    asked = swift.requests(container)
    pictures = Counter(method for method, path, _, _ in asked if "/images/" in path)
    assert pictures["PUT"] == 10
    assert pictures["COPY"] == 20
    assert pictures["HEAD"] <= 2 * pictures["COPY"]  # rclone's own, around each copy
    sent = sum(size for method, _, _, size in asked if method == "PUT")
    assert sent <= 1.05 * sum({picture: len(picture) for picture in files.values()}.values())


def test_run_with_nothing_to_do_asks_for_one_listing_and_writes_nothing(
    swift: Swift, store: RcloneStore, container: str, small: Path
) -> None:
    publish.publish(small, store)
    before = len(swift.requests(container))
    assert publish.publish(small, store).sent_files == 0
    asked = Counter(method for method, *_ in swift.requests(container)[before:])
    assert set(asked) <= {"GET", "HEAD"}
    assert asked["GET"] + asked["HEAD"] <= 6


def test_interrupted_load_sends_only_what_is_missing(
    swift: Swift, store: RcloneStore, container: str, small: Path
) -> None:
    load = Load(small, container)
    swift.faults({"method": "PUT", "path": f"{container}/.*labels", "skip": 10, "kill": load.pid})
    load.begin()
    assert load.end()[0] == -9
    there = swift.objects(container)
    before = len(swift.requests(container))
    publish.publish(small, store)
    sent = [
        path.split(container + "/")[1] for method, path, _, _ in swift.requests(container)[before:] if method == "PUT"
    ]
    assert not set(sent) & (there.keys() - {f"organized/{layout.JOURNAL}"})
    assert swift.objects(container) == as_listed(small)


@pytest.mark.slow
def test_three_hundred_images_go_up_and_come_back(
    swift: Swift, store: RcloneStore, container: str, tmp_path: Path
) -> None:
    root = write_unit(tmp_path / "organized", version(300, readers=1))
    publish.publish(root, store)
    assert verify.verify(store) == []
    pull.pull(store, tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(root)


@pytest.mark.slow
def test_kill_at_twenty_random_moments_and_a_second_run_end_in_the_same_bytes(
    swift: Swift, container: str, tmp_path: Path
) -> None:
    roots = [write_unit(tmp_path / "first", FIRST), write_unit(tmp_path / "second", SECOND)]
    run(roots[0], container)
    before = len(swift.requests(container))
    run(roots[1], container)
    undisturbed = swift.objects(container)
    assert undisturbed == as_listed(roots[1])
    requests = len(swift.requests(container)) - before

    moments = random.Random(0).sample(range(requests), 20)
    for turn, moment in enumerate(moments):  # to the first version, back to the second, and so on
        root = roots[turn % 2]
        load = Load(root, container)
        swift.faults({"path": container, "skip": moment, "kill": load.pid})
        load.begin()
        code, error = load.end()
        assert code in (0, -9), error  # the number of requests varies a little
        swift.faults()
        run(root, container)
        assert swift.objects(container) == as_listed(root)


@pytest.mark.slow
@pytest.mark.parametrize("copies", [True, False], ids=["copied", "sent"])
def test_objects_are_the_same_whichever_way_was_quicker(
    swift: Swift, store: RcloneStore, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: bool
) -> None:
    monkeypatch.setattr(quickest, "FEWEST", 2)
    root = write_unit(tmp_path / "organized", version(24))
    store.clock = iter([0.0, 1.0, 1.0, 9.0] if copies else [0.0, 9.0, 9.0, 10.0]).__next__
    done = publish.publish(root, store)
    assert swift.objects(container) == as_listed(root)
    asked = Counter(method for method, path, _, _ in swift.requests(container) if "/images/" in path)
    assert (asked["COPY"], asked["PUT"]) == ((46, 26) if copies else (4, 68))
    assert done.copied == asked["COPY"]


@pytest.mark.slow
def test_load_killed_while_it_finds_out_the_quickest_way_goes_on(swift: Swift, container: str, tmp_path: Path) -> None:
    root = write_unit(tmp_path / "organized", version(24))
    for moment in (4, 12, 24):
        load = Load(root, container, fewest=2)
        swift.faults({"path": f"{container}/.*images", "skip": moment, "kill": load.pid})
        load.begin()
        assert load.end()[0] == -9
        swift.faults()
    run(root, container)
    assert swift.objects(container) == as_listed(root)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["object", "container"])
@pytest.mark.parametrize("method", ["PUT", "COPY"])
def test_server_killed_in_the_middle_and_started_again_ends_in_the_same_bytes(
    swift: Swift, container: str, tmp_path: Path, role: str, method: str
) -> None:
    root = write_unit(tmp_path / "organized", version(8))
    load = Load(root, container)
    swift.faults({"method": method, "path": f"{container}/.*images", "skip": 5, "kill": swift.pid(role)})
    load.begin()
    swift.wait_killed(role)
    swift.faults()
    swift.start(role)
    code, error = load.end()
    assert code == 0 or (error.startswith(f"chi_tacc:{container}: ") and error.count("\n") == 1), error
    run(root, container)
    swift.settle()
    assert swift.objects(container) == as_listed(root)


@pytest.mark.slow
def test_server_that_stays_dead_is_one_line_and_a_later_run_goes_on(
    swift: Swift, container: str, tmp_path: Path
) -> None:
    root = write_unit(tmp_path / "organized", version(8))
    load = Load(root, container)
    swift.faults({"method": "PUT", "path": f"{container}/.*images", "skip": 5, "kill": swift.pid("object")})
    load.begin()
    swift.wait_killed("object")
    code, error = load.end()
    swift.start("object")
    assert code == 1
    assert error.startswith((f"chi_tacc:{container}: ", f"chi_tacc:{container}/organized/"))
    assert error.count("\n") == 1
    run(root, container)
    assert swift.objects(container) == as_listed(root)


def test_passing_errors_of_the_server_are_survived(
    swift: Swift, store: RcloneStore, container: str, small: Path
) -> None:
    swift.faults(
        {"method": "PUT", "path": f"{container}/.*labels", "status": 503, "times": 2},
        {"method": "PUT", "path": f"{container}/.*labels", "skip": 2, "status": 502, "times": 2},
        {"method": "COPY", "path": container, "status": 503, "times": 2},
    )
    publish.publish(small, store)
    assert swift.objects(container) == as_listed(small)


def test_quota_that_is_used_up_is_said_and_the_old_dataset_stays(
    swift: Swift, store: RcloneStore, container: str, tmp_path: Path, small: Path
) -> None:
    publish.publish(small, store)
    swift.request("POST", container, X_Container_Meta_Quota_Bytes="40000")
    larger = write_unit(tmp_path / "larger", version(30))
    with pytest.raises(StoreError, match="the quota is used up"):
        publish.publish(larger, store)
    pull.pull(store, tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(small)
    swift.request("POST", container, X_Container_Meta_Quota_Bytes="4000000")
    publish.publish(larger, store)
    assert swift.objects(container) == as_listed(larger)


def test_server_that_returns_short_pages_is_listed_to_its_end(
    swift: Swift, proxied: Callable[..., SwiftProxy], container: str, tmp_path: Path
) -> None:
    """Ceph's RADOSGW was seen to do so, and rclone stopped after the first (ncw/swift#167)."""
    proxy = proxied(shortened_by=993)  # of 1,000
    roots = [write_unit(tmp_path / "first", FIRST), write_unit(tmp_path / "second", SECOND)]
    store = RcloneStore(f"chi_tacc:{container}")
    for root in roots:
        assert publish.publish(root, store).sent_files <= len(contents(root))
        assert swift.objects(container) == as_listed(root)
        assert verify.verify(store) == []
    assert proxy.pages > 2 * len(SECOND) / 7
    done = publish.publish(roots[1], store)
    assert (done.sent_files, done.copied, done.removed) == (0, 0, 0)
    pull.pull(store, tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(roots[1])
    store.close()


@pytest.mark.parametrize("requests", [25, 30, 40])  # of the 85 or so that it takes
def test_token_that_expires_in_the_middle_is_renewed_where_the_server_says_403(
    swift: Swift, proxied: Callable[..., SwiftProxy], container: str, tmp_path: Path, requests: int
) -> None:
    """Ceph's RADOSGW says 403 then (tracker.ceph.com/issues/22223); rclone logs in anew after a 401 only."""
    proxy = proxied(token_requests=requests)
    root = write_unit(tmp_path / "first", FIRST)
    store = RcloneStore(f"chi_tacc:{container}")
    publish.publish(root, store)
    assert proxy.forbidden > 0
    assert proxy.logins > 1
    assert swift.objects(container) == as_listed(root)
    pull.pull(store, tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(root)
    store.close()


@pytest.mark.parametrize("method", ["PUT", "COPY", "GET", "DELETE"])
def test_one_403_in_the_middle_of_a_load_is_outlasted(
    swift: Swift, container: str, tmp_path: Path, small: Path, method: str
) -> None:
    store = RcloneStore(f"chi_tacc:{container}")
    publish.publish(write_unit(tmp_path / "one", version(1)), store)
    swift.faults({"method": method, "path": f"/{container}", "skip": 1, "status": 403})
    publish.publish(small, store)
    assert swift.objects(container) == as_listed(small)
    store.close()


def test_what_stays_forbidden_names_the_object_and_says_who_can_help(
    swift: Swift, container: str, small: Path, tmp_path: Path
) -> None:
    store = RcloneStore(f"chi_tacc:{container}")
    store.settle_seconds = 0.3
    publish.publish(write_unit(tmp_path / "one", version(1)), store)
    swift.faults({"method": "PUT", "path": f"{container}/organized/publishing", "status": 403, "times": 99})
    place = f"chi_tacc:{container}/organized/publishing.parquet"
    with pytest.raises(
        StoreError, match=rf"^{place}: the server forbids it, also to a new login: .* Ask for the right"
    ):
        publish.publish(small, store)
    swift.faults({"method": "PUT", "path": f"{container}/organized/training", "status": 403, "times": 9999})
    with pytest.raises(StoreError, match=r"did not arrive, first training/.*forbids it, also to a new login"):
        publish.publish(small, store)
    swift.faults()
    publish.publish(small, store)
    assert swift.objects(container) == as_listed(small)
    store.close()


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_large_object_in_the_place_of_a_plain_one_is_named_and_replaced(
    swift: Swift, store: RcloneStore, container: str, small: Path, tmp_path: Path, kind: str
) -> None:
    publish.publish(small, store)
    key = "training/images/i001_R1.png"

    def put_in_parts(key: str, data: bytes) -> None:
        swift.request("PUT", f"{container}-parts")
        parts = [f"{container}-parts/{key}/{number}" for number in (1, 2)]
        for part, half in zip(parts, (data[:1000], data[1000:]), strict=True):
            swift.request("PUT", part, half)
        if kind == "dynamic":
            swift.request("PUT", f"{container}/organized/{key}", b"", X_Object_Manifest=f"{container}-parts/{key}/")
        else:
            listed = json.dumps([{"path": part} for part in parts]).encode()
            swift.request("PUT", f"{container}/organized/{key}?multipart-manifest=put", listed)

    # with the right bytes in it a pull takes it, with others it names it, and a load writes a plain one
    put_in_parts(key, (small / key).read_bytes())
    assert [(problem.rule, problem.key) for problem in verify.verify(store)] == [("changed", key)]
    pull.pull(store, tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(small)
    put_in_parts(key, (small / key).read_bytes()[::-1])
    with pytest.raises(StoreError, match=rf"1 objects are .*first organized/{key}\. .*`radloop load` repairs them"):
        pull.pull(store, tmp_path / "another")
    publish.publish(small, store)
    assert swift.objects(container) == as_listed(small)

    # the manifest itself, with the right bytes and with others
    data = (small / "manifest.parquet").read_bytes()
    put_in_parts("manifest.parquet", data)
    assert verify.verify(store) == []
    put_in_parts("manifest.parquet", data[::-1])
    with pytest.raises(DatasetError, match=rf"^chi_tacc:{container}/organized/manifest\.parquet is not a manifest"):
        pull.pull(store, tmp_path / "another")
    assert "It is replaced" in publish.publish(small, store).notes[0]
    assert swift.objects(container) == as_listed(small)
    assert verify.verify(store) == []


def test_wrong_password_is_one_line_without_it(
    swift: Swift, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(swift.config.read_text().replace(swift.state["key"], "wrong-password"))
    monkeypatch.setenv("RCLONE_CONFIG", str(config))
    with pytest.raises(StoreError, match="refused user or password") as caught:
        RcloneStore(f"chi_tacc:{container}").preflight()
    assert "wrong-password" not in str(caught.value)


def test_missing_container_is_made_by_load_and_an_address_without_one_is_refused(
    swift: Swift, store: RcloneStore, container: str, small: Path
) -> None:
    with pytest.raises(StoreError, match="names no container"):
        RcloneStore("chi_tacc:").preflight()
    publish.publish(small, store)
    assert swift.objects(container) == as_listed(small)


def test_name_that_is_too_long_for_the_server_is_an_error(
    swift: Swift, store: RcloneStore, container: str, tmp_path: Path
) -> None:
    long = "/".join(["n" * 200] * 5) + ".txt"
    root = write_unit(tmp_path / "organized", {"data.yaml": b"", f"training/labels/{long}": b"x"})
    store.settle_seconds = 0.3
    with pytest.raises(StoreError, match="1 of 2 objects did not arrive, first training/labels/nnn"):
        publish.publish(root, store)


def test_listing_that_lags_is_told_from_an_object_that_is_missing(
    swift: Swift, store: RcloneStore, container: str, small: Path
) -> None:
    swift.request("PUT", container)
    publish.publish(small, store)
    key = "organized/training/labels/i001_R1.txt"
    swift.kill("container")
    swift.request("DELETE", f"{container}/{key}")
    swift.start("container")
    assert key in swift.objects(container)  # the listing still shows it
    swift.settle()
    assert key not in swift.objects(container)
    assert [problem.rule for problem in verify.verify(store)] == ["missing"]
    publish.publish(small, store)
    assert swift.objects(container) == as_listed(small)


@pytest.mark.slow
def test_application_credential_of_keystone_loads_and_pulls(
    chameleon: Swift, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_unit(tmp_path / "organized", version(10))
    store = RcloneStore(f"chi_tacc:{container}")
    store.preflight()
    publish.publish(root, store)
    assert verify.verify(store) == []
    pull.pull(store, tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(root)

    config = tmp_path / "rclone.conf"
    config.write_text(chameleon.config.read_text().replace("rclone-secret", "wrong-secret"))
    monkeypatch.setenv("RCLONE_CONFIG", str(config))
    with pytest.raises(StoreError, match="refused user or password") as caught:
        RcloneStore(f"chi_tacc:{container}").preflight()
    assert "wrong-secret" not in str(caught.value)


@pytest.fixture(autouse=True, scope="module")
def rclone_on_path() -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
