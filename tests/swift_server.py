"""pytest fixtures: the real OpenStack Swift of tests/swift, one server per test process, and what tests do to it.

A test module asks for them by `pytest_plugins = ("swift_server",)`. Each test has a container of its own.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from swift_proxy import SwiftProxy, through

HERE = Path(__file__).parent / "swift"
PYTHON = Path(os.environ.get("SWIFT_VENV", HERE.parents[1] / ".venv-swift")) / "bin" / "python"
HOW_TO = f"no Swift to test against: run {HERE.relative_to(HERE.parents[1])}/install.sh"


class Swift:
    """One server, its four roles in processes of their own so that each can be killed."""

    def __init__(self, home: Path, *, auth: str = "tempauth") -> None:
        self.home = home
        self.config = home / "rclone.conf"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._run("setup", "--auth", auth)
        self.state = json.loads((home / "state.json").read_text())
        if auth == "keystone":
            port = self.state["keystone_port"]
            self._processes["keystone"] = self._popen(HERE / "keystone_server.py", "serve", home, str(port))
            self._await_port("keystone", port)
        for role in ("account", "container", "object", "proxy"):
            self.start(role)

    def start(self, role: str) -> None:
        self._processes[role] = self._popen(HERE / "server.py", "serve", self.home, role)
        self._await_port(role, self.state["ports"][role])

    def kill(self, role: str) -> None:
        self._processes[role].kill()
        self._processes[role].wait()

    def pid(self, role: str) -> int:
        return self._processes[role].pid

    def wait_killed(self, role: str) -> None:
        self._processes[role].wait(120)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def settle(self) -> None:
        """Let the listings catch up with what a dead server missed."""
        self._run("settle")

    def faults(self, *rules: dict[str, object]) -> None:
        """From the next request on (see server.py); none takes all away."""
        temporary = self.home / "faults.tmp"
        temporary.write_text(json.dumps(rules))
        temporary.replace(self.home / "faults.json")

    def requests(self, container: str) -> list[tuple[str, str, int, int]]:
        """(method, path, status, bytes received) of the requests on `container` that are answered."""
        log = self.home / "log" / "access.log"
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [
            (words[3], words[4], int(words[6]), int(words[10]) if words[10].isdigit() else 0)
            for words in lines
            if f"/{container}" in words[4]
        ]

    def cpu_s(self) -> float:
        """Processor time of its processes so far."""
        return sum(map(processor_s, self._processes.values()))

    def request(self, method: str, path: str, data: bytes | None = None, **headers: str) -> bytes:
        """What a user could do beside radloop; by tempauth."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        root = f"http://127.0.0.1:{self.state['ports']['proxy']}"
        login = {"X-Auth-User": self.state["user"], "X-Auth-Key": self.state["key"]}
        with opener.open(urllib.request.Request(f"{root}/auth/v1.0", headers=login)) as answer:
            token, url = answer.headers["X-Auth-Token"], answer.headers["X-Storage-Url"]
        given = {name.replace("_", "-"): value for name, value in headers.items()} | {"X-Auth-Token": token}
        request = urllib.request.Request(f"{url}/{path}", data=data, headers=given, method=method)
        with opener.open(request, timeout=30) as answer:
            return bytes(answer.read())

    def objects(self, container: str) -> dict[str, str]:
        """{name: MD5} of everything in a container, as Swift itself lists it."""
        try:
            listed = json.loads(self.request("GET", f"{container}?format=json&limit=10000"))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise
        return {entry["name"]: entry["hash"] for entry in listed}

    def _popen(self, *command: object) -> subprocess.Popen[bytes]:
        with (self.home / "out.log").open("ab") as log:
            return subprocess.Popen(
                [str(PYTHON), *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment()
            )

    def _run(self, command: str, *arguments: str) -> None:
        done = subprocess.run(
            [PYTHON, HERE / "server.py", command, self.home, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=_environment(),
            timeout=120,
        )
        assert done.returncode == 0, done.stderr

    def _await_port(self, role: str, port: int) -> None:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert self._processes[role].poll() is None, (self.home / "out.log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"{role} does not listen"
            time.sleep(0.02)


def processor_s(process: subprocess.Popen) -> float:
    """Processor time of a process so far."""
    words = Path(f"/proc/{process.pid}/stat").read_text().split()
    return (int(words[13]) + int(words[14])) / os.sysconf("SC_CLK_TCK")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE), "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


def _server(home: Path, auth: str) -> Iterator[Swift]:
    if not PYTHON.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(HOW_TO)
        pytest.skip(HOW_TO)
    swift = Swift(home, auth=auth)
    yield swift
    swift.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    yield from _server(tmp_path_factory.mktemp("swift"), "tempauth")


@pytest.fixture
def swift(swift_server: Swift, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swift]:
    """Swift as `chi_tacc:`, by user and key."""
    monkeypatch.setenv("RCLONE_CONFIG", str(swift_server.config))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    swift_server.faults()
    yield swift_server
    swift_server.faults()


@pytest.fixture
def proxied(swift: Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SwiftProxy]]:
    """Puts a proxy in front of `chi_tacc:`."""
    with ExitStack() as stack:

        def put(**options: int) -> SwiftProxy:
            folder = tmp_path / f"proxy-{uuid.uuid4().hex}"
            folder.mkdir()
            monkeypatch.setenv("RCLONE_CONFIG", str(folder / "rclone.conf"))
            return stack.enter_context(through(swift, folder, **options))

        yield put


@pytest.fixture(scope="session")
def keystone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    yield from _server(tmp_path_factory.mktemp("keystone"), "keystone")


@pytest.fixture
def chameleon(keystone_server: Swift, monkeypatch: pytest.MonkeyPatch) -> Swift:
    """Swift as `chi_tacc:`, by a Keystone application credential."""
    monkeypatch.setenv("RCLONE_CONFIG", str(keystone_server.config))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return keystone_server


@pytest.fixture
def container() -> str:
    return f"t{uuid.uuid4().hex[:12]}"
