"""A model in a process of its own, within bounds of time and memory: whatever it does, this one goes on.

Pictures and answers stand in memory that both see; each request waits on a socket of its own, so that nobody has to
hand answers round. A request that is late is ended at its next operator; where that does not help within
`_GRACE_SECONDS` the process is, and those who asked beside it ask its successor.
docs/decisions/2026-11-30-a-model-runs-apart.md has why, and what it costs.
"""

import importlib.util
import json
import mmap
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from radloop.detectors import onnx_worker
from radloop.detectors.onnx_worker import ANSWER_BYTES, ASKED, PICTURE_BYTES, STOPPED
from radloop.errors import DetectorError, TransientDetectorError

Tensor = npt.NDArray[np.float32]

_LOADING_SECONDS: Final = 120.0
_GRACE_SECONDS: Final = 2.0  # from the end of a request's time to that of the process
_LOOK_SECONDS: Final = 0.2  # how often somebody who loads a model looks whether it is still wanted
_MOST_TOLD: Final = 5_000_000  # bytes that a model tells of itself
_MESSAGE_BYTES: Final = 1 << 16
_LIVES: Final = 3  # processes that a request may see end for what others did
_GIGABYTE: Final = 1_000_000_000
_ELSEWHERE: Final = re.compile(r"external.data|SystemError : 24", re.IGNORECASE)  # 24: it may open no file


@dataclass(frozen=True)
class Limits:
    """What a model may take: seconds a request, and gigabytes."""

    seconds: float = 5.0
    memory_gb: float = 4.0


class Apart:
    """A model that a process of its own runs, ready to be asked from many threads."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Start the process and load the model. Raises DetectorError where that fails, or takes too much."""
        if importlib.util.find_spec("onnxruntime") is None:
            raise DetectorError("--detector onnx needs ONNX Runtime: pip install 'radloop[onnx]'.")
        self._path, self._limits, self._name = path, limits, path.stem
        self._lock = threading.Lock()
        self._ended = False
        self._worker: _Worker | None = self._started()
        self.about = self._worker.about

    def run(self, tensor: Tensor, *, image_id: str) -> npt.NDArray[np.floating[Any]]:
        """The answer to a picture, shape (1, channels, height, width).

        Raises TransientDetectorError where it comes too late, DetectorError where the model fails or takes too much.
        """
        deadline = time.monotonic() + self._limits.seconds
        for _ in range(_LIVES):
            worker = self._living()
            try:
                told = worker.ask(tensor, deadline)
            except _LateError as late:
                if late.process_ended:
                    self._leave(worker)
                raise TransientDetectorError(
                    f"{self._name} did not answer within {self._limits.seconds:g} s (--request-timeout) on image "
                    f"{image_id}{', and its process was ended' if late.process_ended else ''}.",
                    kind="timeout",
                ) from None
            except _GoneError:
                self._leave(worker)
                if worker.was_ended and not self._ended:
                    continue  # for what another request did
                if self._ended:
                    raise TransientDetectorError(f"{self._name} was given up.", kind="timeout") from None
                raise DetectorError(self._died(f"on image {image_id}", worker)) from None
            if isinstance(told, dict):
                raise self._failure(told, image_id)
            return told
        raise TransientDetectorError(
            f"{self._name}: its process was ended {_LIVES} times while image {image_id} waited.", kind="timeout"
        )

    def give_up(self) -> None:
        """End all requests that wait for an answer: they are late."""
        self._ended = True  # before the lock: who loads a model holds it
        with self._lock:
            if self._worker is not None:
                self._worker.end()

    def _living(self) -> "_Worker":
        with self._lock:
            if self._ended:
                raise TransientDetectorError(f"{self._name} was given up.", kind="timeout")
            if self._worker is None:
                self._worker = self._started()
                if self._worker.about["md5"] != self.about["md5"]:
                    self._worker.end()
                    self._worker = None
                    raise DetectorError(f"{self._path} was replaced while it was in use. Start again.")
            return self._worker

    def _leave(self, worker: "_Worker") -> None:
        with self._lock:
            if self._worker is worker:
                self._worker = None
        worker.reap()

    def _started(self) -> "_Worker":
        if not self._path.is_file():
            why = os.strerror(21) if self._path.is_dir() else os.strerror(2)
            raise DetectorError(f"The model {self._path} cannot be read: {why}.")
        worker = _Worker(self._path, round(self._limits.memory_gb * _GIGABYTE))
        try:
            worker.load(lambda: self._ended)
        except _LateError:
            worker.reap()
            raise DetectorError(
                f"{self._path} was not loaded within {_LOADING_SECONDS:g} s: it is no model for a detector."
            ) from None
        except _GoneError:
            worker.reap()
            raise DetectorError(self._died("while it was loaded", worker)) from None
        if "error" in worker.about:
            worker.end()
            worker.reap()
            raise self._not_loaded(worker.about)
        return worker

    def _not_loaded(self, told: dict[str, Any]) -> DetectorError:
        if told["error"] == "memory":
            return DetectorError(self._too_much(f"{self._path} cannot be loaded"), kind="memory")
        if told["error"] == "unreadable":
            return DetectorError(f"The model {self._path} cannot be read: {told['text']}.")
        if _ELSEWHERE.search(told["text"]):
            return DetectorError(
                f"{self._path} keeps its weights in other files, which are not read. Save it as one file "
                "(onnx.save without save_as_external_data)."
            )
        return DetectorError(f"{self._path} is no model that ONNX Runtime can run: {told['text']}")

    def _failure(self, told: dict[str, Any], image_id: str) -> DetectorError:
        if told["error"] == "memory":
            return DetectorError(self._too_much(f"{self._name} failed on image {image_id}"), kind="memory")
        if told["error"] == "too large":
            return DetectorError(
                f"{self._name} answered image {image_id} with {told['text']}, and {ANSWER_BYTES:,} are taken.",
                kind="too large",
            )
        return DetectorError(f"{self._name} failed on image {image_id}: {told['text']}")

    def _too_much(self, what: str) -> str:
        return (
            f"{what}: it wants more memory than the {self._limits.memory_gb:g} GB that it may take. Raise "
            "--detector-memory if it is to be trusted."
        )

    def _died(self, when: str, worker: "_Worker") -> str:
        return (
            f"{self._path} ended the process that runs it {when} (status {worker.status}). If it needs more than "
            f"{self._limits.memory_gb:g} GB of memory, raise --detector-memory."
        )


class _LateError(Exception):
    def __init__(self, *, process_ended: bool = True) -> None:
        super().__init__()
        self.process_ended = process_ended


class _GoneError(Exception):
    """The process has ended."""


class _Slot:
    """Where one request at a time is asked: a socket, and memory for picture and answer."""

    def __init__(self, at: int) -> None:
        self.at, self.number = at, 0
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.memory = os.memfd_create("radloop-onnx")
        os.ftruncate(self.memory, ANSWER_BYTES + PICTURE_BYTES)  # of which what is written takes memory
        self.shared = mmap.mmap(self.memory, ANSWER_BYTES + PICTURE_BYTES)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()
        os.close(self.memory)  # the mapping ends with who looks at it


class _Worker:
    """One process, from its start to its end."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        self.about: dict[str, Any] = {}
        self.was_ended = False
        self.status: int | None = None
        self._slots = [_Slot(at) for at in range(max(4, 2 * len(os.sched_getaffinity(0))))]
        self._free: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        self._control, control = socket.socketpair()
        life, self._life = os.pipe()
        passed = [control.fileno(), life, *(fd for slot in self._slots for fd in (slot.theirs.fileno(), slot.memory))]
        told = {
            "path": str(path.absolute()),
            "memory": memory_bytes,
            "control": control.fileno(),
            "life": life,
            "slots": [(slot.theirs.fileno(), slot.memory) for slot in self._slots],
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", onnx_worker.__file__, json.dumps(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=passed,
        )
        os.close(life)
        control.close()
        for slot in self._slots:
            slot.theirs.close()
        self._closing = weakref.finalize(self, _close, self._process, self._life, self._control, self._slots)

    def load(self, is_given_up: Callable[[], bool]) -> None:
        """Wait for what the model tells of itself, or for the error."""
        deadline, told = time.monotonic() + _LOADING_SECONDS, bytearray()
        self._control.settimeout(_LOOK_SECONDS)
        while not told.endswith(b"\n"):
            try:
                piece = self._control.recv(_MESSAGE_BYTES)
            except TimeoutError:
                if time.monotonic() < deadline and not is_given_up():
                    continue
                self.end()
                raise _LateError from None
            except OSError:
                piece = b""
            if not piece or len(told) > _MOST_TOLD:
                raise _GoneError
            told += piece
        self.about = json.loads(told)
        for slot in self._slots:
            self._free.put(slot)

    def ask(self, tensor: Tensor, deadline: float) -> npt.NDArray[np.floating[Any]] | dict[str, Any]:
        """An answer, or what failed. Raises _LateError, and _GoneError where the process has ended."""
        try:
            slot = self._free.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            if self.was_ended:
                raise _GoneError from None
            raise _LateError(process_ended=False) from None
        try:
            np.frombuffer(slot.shared, np.float32, tensor.size, ANSWER_BYTES)[:] = tensor.ravel()
            slot.number += 1
            try:
                slot.ours.send(ASKED.pack(slot.number, *tensor.shape))
                told = self._answer(slot, deadline)
            except ConnectionError:
                raise _GoneError from None
            if "error" in told:
                return told
            kept = np.frombuffer(slot.shared, np.dtype(told["dtype"]), int(np.prod(told["shape"])))
            return kept.reshape(told["shape"]).copy()
        finally:
            self._free.put(slot)

    def _answer(self, slot: _Slot, deadline: float) -> dict[str, Any]:
        try:
            return self._received(slot, deadline)
        except TimeoutError:
            pass
        with suppress(OSError):
            self._control.send(STOPPED.pack(slot.at, slot.number))
        try:
            self._received(slot, time.monotonic() + _GRACE_SECONDS)
        except (TimeoutError, _GoneError):
            self.end()
            raise _LateError from None
        raise _LateError(process_ended=False)

    def _received(self, slot: _Slot, deadline: float) -> dict[str, Any]:
        slot.ours.settimeout(max(deadline - time.monotonic(), 0.001))
        message = slot.ours.recv(_MESSAGE_BYTES)
        if not message:
            raise _GoneError
        told: dict[str, Any] = json.loads(message)
        return told

    def end(self) -> None:
        """End the process, and so whoever waits for it."""
        self.was_ended = True
        self._process.kill()

    def reap(self) -> None:
        """Wait for the process that has ended."""
        self._process.kill()
        self.status = self._process.wait()


def _close(process: "subprocess.Popen[bytes]", life: int, control: socket.socket, slots: list[_Slot]) -> None:
    with ExitStack() as all_of_it:
        for slot in slots:
            all_of_it.callback(slot.close)
        all_of_it.callback(control.close)
        all_of_it.callback(os.close, life)
        process.kill()
        process.wait()
