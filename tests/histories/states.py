"""What lies on a machine, and what steps made of it before: a step is a function of that and of the store's answers.

A history repeats what others did. A step that begins with the same files and is answered the same way ends the same
way, so it is run for real once, and then only its requests are made again, in the same order and with the same bytes.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from radloop.errors import RadloopError

from .shared import FAILED, Ask, KilledError, Request, Wire

# what is measured again where it is missing: it tells times and numbers of files
_PASSING: Final = ("cache", "logs")

_BLOBS: dict[bytes, bytes] = {}


@dataclass(frozen=True, eq=False)
class State:
    """The files of a machine's OUT."""

    files: dict[str, bytes]
    id: frozenset[tuple[str, bytes]]


_STATES: dict[frozenset[tuple[str, bytes]], State] = {}


def state(files: dict[str, bytes]) -> State:
    """The same object for the same files."""
    one = frozenset(files.items())
    if one not in _STATES:
        _STATES[one] = State({name: _BLOBS.setdefault(data, data) for name, data in files.items()}, one)
    return _STATES[one]


def snapshot(root: Path) -> State:
    """What lies in a folder, but for what passes."""
    files, cut = {}, len(str(root)) + 1
    for folder, inner, names in os.walk(root):
        if folder == str(root):
            inner[:] = [one for one in inner if one not in _PASSING]
        for name in names:
            if not name.endswith(".lock"):
                with open(f"{folder}/{name}", "rb") as file:
                    files[f"{folder}/{name}"[cut:]] = file.read()
    return state(files)


def write(one: State, root: Path) -> None:
    """Make a folder hold it and nothing else."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    made = set()
    for name, data in one.files.items():
        path = f"{root}/{name}"
        folder = path.rpartition("/")[0]
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        with open(path, "wb") as file:
            file.write(data)


@dataclass(frozen=True)
class Ending:
    """How a step ended. kind: done, refused (a sentence of radloop's), killed or crashed."""

    kind: str
    told: Any  # what it says that it did; the sentence
    after: State


@dataclass
class _Node:
    """What a step does after it was answered so far: the next request, or its end."""

    request: Request | None = None
    data: bytes | None = None
    then: dict[Any, "_Node"] = field(default_factory=dict)
    end: Ending | None = None
    killed: Ending | None = None  # if it is killed at this request

    def next(self, answer: Any) -> "_Node":
        return self.then.setdefault(answer, _Node())


_KNOWN: dict[tuple[State, Any], _Node] = {}
_MOST: Final = 600_000  # nodes and states that are kept
counts = {"run": 0, "known": 0, "nodes": 0}

Do = Callable[[Path, Wire], Any]


def perform(before: State, name: Any, do: Do, root: Path, ask: Ask, *, can_copy: bool) -> Ending:
    """Do a step, in the folder `root` where it was never seen to go this way."""
    if len(_STATES) > _MOST // 10:
        _STATES.clear(), _KNOWN.clear(), _BLOBS.clear()
    node, answers = _KNOWN.setdefault((before, name), _Node()), []
    try:
        while node.request is not None:
            answer = ask(node.request, node.data)
            answers.append((node.request, answer))
            node = node.next(answer)
    except KilledError:
        if node.killed is None:
            node.killed = _run(before, do, root, _Replay(answers, ask, node, kill=True), can_copy=can_copy)
        else:
            counts["known"] += 1
        return node.killed
    if node.end is not None:
        counts["known"] += 1
        return node.end
    replay = _Replay(answers, ask, node)
    ending = _run(before, do, root, replay, can_copy=can_copy)
    if ending.kind == "killed":
        replay.node.killed = ending
    else:
        replay.node.end = ending
    return ending


class _Replay:
    """Answers as before as far as it goes, and asks for the rest."""

    def __init__(self, answers: list[tuple[Request, Any]], ask: Ask, node: _Node, *, kill: bool = False) -> None:
        self._answers, self._ask, self._kill = answers, ask, kill
        self.node = node
        self._dead = False

    def __call__(self, request: Request, data: bytes | None) -> Any:
        if self._answers:
            asked, answer = self._answers.pop(0)
            if asked != request:
                raise RuntimeError(f"not the same twice: {request} where it was {asked}")
            return answer
        if self._kill or self._dead:
            self._dead = True
            raise KilledError
        self.node.request, self.node.data = request, None if data is None else _BLOBS.setdefault(data, data)
        try:
            answer = self._ask(request, data)
        except KilledError:
            self._dead = True
            raise
        self.node = self.node.next(answer)
        return answer


def _run(before: State, do: Do, root: Path, ask: Ask, *, can_copy: bool) -> Ending:
    counts["run"] += 1
    write(before, root)
    try:
        kind, told = "done", do(root, Wire(ask, can_copy=can_copy))
    except KilledError:
        kind, told = "killed", ""
    except RadloopError as refused:
        kind, told = "refused", f"{type(refused).__name__}: {refused}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        import traceback

        kind, told = "crashed", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    return Ending(kind, told, snapshot(root))


__all__ = ["FAILED", "Ending", "State", "counts", "perform", "snapshot", "state", "write"]
