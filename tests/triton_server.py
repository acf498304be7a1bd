"""pytest fixture: the real Triton of tests/triton, which tests start and stop.

A test module asks for it by `pytest_plugins = ("triton_server",)`.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

HERE = Path(__file__).parent / "triton"
PYTHON = Path(os.environ.get("TRITON_VENV", HERE.parents[1] / ".venv-triton")) / "bin" / "python"
HOW_TO = f"no Triton to test against: run {HERE.relative_to(HERE.parents[1])}/install.sh"


class Triton:
    """One server on a port of its own, which it keeps when it is started again."""

    def __init__(self, model: Path, folder: Path, *names: str) -> None:
        self._model, self._folder, self._names = model, folder, names or ("chest_xray_detector",)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def start(self) -> None:
        """Returns when all models are ready."""
        self._starts += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / f"triton-{self._starts}.log"
        workspace = self._folder / f"workspace-{self._starts}"
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [PYTHON, HERE / "server.py", self._model, str(self._port), workspace, *self._names],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        if not any(line == b"ready\n" for line in _lines(self._process.stdout)):
            pytest.fail(f"Triton did not start: {log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Ends it as an operator does: requests in flight are answered, then the port is closed."""
        if self._process is not None:
            self._process.communicate(timeout=120)
            with suppress(ProcessLookupError):  # Triton leaves its model processes behind now and then
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None


def _lines(stream: IO[bytes] | None) -> Iterator[bytes]:
    return iter(()) if stream is None else iter(stream.readline, b"")


def require() -> None:
    """Skip where Triton is not installed, and fail in CI, where it has to be."""
    if not PYTHON.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(HOW_TO)
        pytest.skip(HOW_TO)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A server of the tiny detector, plain and batched, and of a model that fails; one for each test module."""
    require()
    from radloop.detectors.onnx import TINY

    server = Triton(TINY, tmp_path_factory.mktemp("triton"), "chest_xray_detector", "batched", "fails")
    try:
        server.start()
        yield server
    finally:
        server.stop()
