"""ONNX Runtime in a process of its own: a model is a program, and what it takes of time and memory ends here.

Run as a script by `radloop.detectors.apart`, and so imports nothing of radloop. A file whose other end its parent holds
ends it where the parent ends, also in the middle of a model that never answers.
"""

import fcntl
import hashlib
import json
import math
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np

ASKED: Final = struct.Struct("<q4q")  # the number of a request, the shape of its picture
STOPPED: Final = struct.Struct("<qq")  # the slot, and the number of the request that is to end
ANSWER_BYTES: Final = 64 << 20  # of an answer, which stands before the picture; 80 classes for 1280 x 1280: 11
PICTURE_BYTES: Final = 4 * 3 * 4096 * 4096
_MOST_TEXT: Final = 1000  # characters of an error
_MOST_METADATA: Final = 4_000_000  # characters of all that is told of a model
_ELSEWHERE: Final = "AzureExecutionProvider"  # asks a server for operators of its own, and runs no model here
_MOST_DIMENSIONS: Final = 8
_OURS: Final = "CPUExecutionProvider"
_F_SETSIG: Final = 10


def main() -> None:
    """Load the model, tell of it, and answer until the parent is gone."""
    told = json.loads(sys.argv[1])
    _follow_parent(told["life"])
    control = socket.socket(fileno=told["control"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file with somebody's picture
    slots = [
        _Slot(socket.socket(fileno=asked), mmap.mmap(memory, ANSWER_BYTES + PICTURE_BYTES))
        for asked, memory in told["slots"]
    ]
    for slot in slots:
        threading.Thread(target=slot.serve, daemon=True).start()
    try:
        session, about = _loaded(Path(told["path"]), told["memory"])
    except BaseException as broken:  # noqa: BLE001  told to the parent
        control.sendall(_line({"error": _kind(broken), "text": _text(broken)}))
        return
    taken = session.get_inputs()[0].name
    for slot in slots:
        slot.session, slot.taken = session, taken
    control.sendall(_line(about))  # nobody asks before this
    while message := control.recv(STOPPED.size):
        at, number = STOPPED.unpack(message)
        slots[at].stop(number)


def _follow_parent(life: int) -> None:
    """Die as soon as the other end of this pipe closes, whatever runs at that moment."""
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    try:
        gone = os.read(life, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:  # before it was told to follow
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _loaded(path: Path, most_bytes: int) -> tuple[Any, dict[str, Any]]:
    import onnxruntime

    _bound(most_bytes)
    if path.stat().st_size > most_bytes:
        raise MemoryError(f"the file has {path.stat().st_size:,} bytes")
    data = path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # all callers share these threads; spinning ones would take the cores from those who decode pictures
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [name for name in onnxruntime.get_available_providers() if name != _ELSEWHERE]
    if providers == [_OURS]:  # a graphics card's driver opens files
        _close_the_door()
    session = onnxruntime.InferenceSession(data, options, providers=providers)
    about = {
        "md5": hashlib.md5(data).hexdigest(),
        "inputs": [(one.name, one.type, one.shape) for one in session.get_inputs()],
        "outputs": [(one.name, one.type, one.shape) for one in session.get_outputs()],
        "metadata": session.get_modelmeta().custom_metadata_map,
        "provider": session.get_providers()[0],
        "runtime": onnxruntime.__version__,
    }
    if len(_line(about)) > _MOST_METADATA:
        raise ValueError(f"what it tells of itself has over {_MOST_METADATA:,} characters")
    return session, about


def _bound(most_bytes: int) -> None:
    """Take that much more memory and no more; threads and libraries, which are ours, have theirs."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    most_bytes += 1024 * int(lines["VmData"].split()[0])
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))


def _close_the_door() -> None:
    """Open no file and write none from here on: a model may name others as parts of itself."""
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, highest + 1))
    for number in range(3, highest + 1):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(0, number)  # a gap would be a place
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class _Slot:
    """One request at a time: its picture and its answer stand in memory that the parent sees, too."""

    session: Any  # the model, once it is loaded,
    taken: str  # and what its picture is called

    def __init__(self, asked: socket.socket, shared: mmap.mmap) -> None:
        self._asked, self._shared = asked, shared
        self._number, self._running = 0, None
        self._lock = threading.Lock()

    def stop(self, number: int) -> None:
        """End this request at its next operator, where it runs still."""
        with self._lock:
            if self._running is not None and self._number == number:
                self._running.terminate = True

    def serve(self) -> None:
        """Answer, one request after the other."""
        while message := self._asked.recv(ASKED.size):
            number, *shape = ASKED.unpack(message)
            try:
                told = self._answer(number, shape)
            except BaseException as broken:  # noqa: BLE001  told to the parent
                told = {"error": _kind(broken), "text": _text(broken)}
            self._asked.send(json.dumps(told).encode())

    def _answer(self, number: int, shape: list[int]) -> dict[str, Any]:
        import onnxruntime

        picture = np.frombuffer(self._shared, np.float32, math.prod(shape), ANSWER_BYTES).reshape(shape)
        running = onnxruntime.RunOptions()
        running.log_severity_level = 4
        with self._lock:
            self._number, self._running = number, running
        try:
            (output,) = self.session.run(None, {self.taken: picture}, running)
        finally:
            with self._lock:
                self._running = None
        values = np.asarray(output)
        if values.dtype.kind != "f" or values.ndim > _MOST_DIMENSIONS:
            raise TypeError(f"it answers numbers of the type {values.dtype}, in {values.ndim} dimensions")
        if values.nbytes > ANSWER_BYTES:
            return {"error": "too large", "text": f"{values.nbytes:,} bytes"}
        np.frombuffer(self._shared, values.dtype, values.size)[:] = values.ravel()
        return {"shape": values.shape, "dtype": values.dtype.str}


def _kind(broken: BaseException) -> str:
    text = str(broken).lower()
    if isinstance(broken, OSError):
        return "unreadable"
    wants = ("bad_alloc", "allocate memory", "out of memory", "memoryerror", "cannot allocate")
    return "memory" if isinstance(broken, MemoryError) or any(one in text for one in wants) else "failed"


def _text(broken: BaseException) -> str:
    if isinstance(broken, OSError) and broken.strerror:
        return broken.strerror
    return (str(broken) or type(broken).__name__)[:_MOST_TEXT]


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"


if __name__ == "__main__":
    try:
        main()
    finally:
        os._exit(0)  # a model that still runs is not waited for
