"""pytest fixtures: the real Orthanc of tests/pacs, one for each test process, and an empty one for each test.

A test module asks for them by `pytest_plugins = ("pacs_server",)`.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "pacs"
PARTS = ("/usr/sbin/Orthanc", "/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HOW_TO = f"no Orthanc to test against: run {HERE.relative_to(HERE.parents[1])}/install.sh"


class Pacs:
    """One Orthanc in a network namespace of its own; `url` is its DICOMweb, by a port of this machine."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._log = (home / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, HERE / "server.py", home],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        port = self._process.stdout.readline().strip()
        if not port:
            pytest.fail((home / "server.log").read_text()[-2000:])
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/dicom-web"

    def start(self) -> None:
        """Start it again over what it has stored; returns once it answers."""
        self._tell("start")

    def kill(self) -> None:
        """By SIGKILL."""
        self._tell("kill")

    def cut(self) -> None:
        """End all connections by a reset, and refuse new ones."""
        self._tell("cut")

    def stall(self) -> None:
        """Let no byte through, and end nothing."""
        self._tell("stall")

    def open(self) -> None:
        """Undo `cut` and `stall`."""
        self._tell("open")

    def stop(self) -> None:
        """End Orthanc and its namespace."""
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._log.close()

    def ask(self, path: str, method: str = "GET", data: bytes | None = None) -> object:
        """Orthanc's own REST API, beside DICOMweb: its JSON."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.root + path, data=data, method=method), timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def empty(self) -> None:
        """Remove all that it has stored."""
        for patient in self.ask("/patients"):
            self.ask(f"/patients/{patient}", "DELETE")

    def _tell(self, act: str) -> None:
        self._process.stdin.write(f"{act}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the server of tests/pacs has ended at {act!r}"


def require() -> None:
    """Skip where Orthanc is not installed, and fail in CI, where it has to be."""
    if not all(map(os.path.exists, PARTS)):
        pytest.fail(HOW_TO) if os.environ.get("CI") == "true" else pytest.skip(HOW_TO)


@pytest.fixture(scope="session")
def pacs_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    require()
    pacs = Pacs(tmp_path_factory.mktemp("pacs"))
    yield pacs
    pacs.stop()


@pytest.fixture
def pacs(pacs_process: Pacs) -> Pacs:
    """An empty Orthanc that answers."""
    pacs_process.open()
    try:
        pacs_process.empty()
    except OSError:  # a test before this one has killed it
        pacs_process.start()
        pacs_process.empty()
    return pacs_process
