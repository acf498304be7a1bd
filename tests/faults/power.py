"""What a disk may hold after a loss of power: made from every call that changed a file, and from what was flushed.

A `Record` watches a run through the tracer: after each call it looks at what that call can have changed, whoever made
it. From it `states` draws what may be left when the power goes after any of them:

- Of a file that was not flushed since it was written: nothing, what it held at its last flush, zeros of its length, a
  prefix, or all.
- A name (made, linked, renamed, removed) is safe once its folder was flushed, not before: flushing the file does not
  make its name safe. A rename, an exchange and a link are whole or not there.
- "ordered": what was done to names is kept in the order of the calls, over all folders, up to some call (the journals
  of ext4 and xfs). "any order": in one folder in order, of two folders one may be ahead of the other.

The model is that of ALICE (Pillai et al. 2014) and CrashMonkey (Mohan et al. 2018), without reordering in one folder.
"""

import hashlib
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tracer import Call

Order = Literal["ordered", "any order"]


@dataclass(eq=False)
class Node:
    """A file, a link or a folder, under whatever names."""

    number: int
    mode: int
    content: bytes = b""  # as the disk has it before the run; of a link where it leads
    times: tuple[int, int] | None = None  # of what was there before the run
    entries: "dict[str, Node]" = field(default_factory=dict)  # of a folder, before the run

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


@dataclass(frozen=True)
class Written:
    """The file holds this from now on."""

    node: Node
    content: bytes


@dataclass(frozen=True)
class Named:
    """What names lead to from now on, all at once: {(folder, name): what, or None}."""

    names: Mapping[tuple[Node, str], Node | None]

    @property
    def folders(self) -> set[Node]:
        return {folder for folder, _ in self.names}


@dataclass(frozen=True)
class Flushed:
    """This has reached the disk; None: everything has."""

    node: Node | None


@dataclass(frozen=True)
class At:
    """What happened at the call of this number, from 1."""

    call: int
    what: Written | Named | Flushed


class Record:
    """Everything that a run changed below a folder, in order."""

    def __init__(self, folder: Path) -> None:
        """Look at what is there before the run."""
        self.events: list[At] = []
        self._made = 0
        self._nodes: dict[int, Node] = {}
        self._seen: dict[Node, dict[str, Node]] = {}  # folders as they are now
        self._holds: dict[Node, bytes] = {}  # files as they are now
        self.root = self._before(folder)

    def _before(self, path: Path) -> Node:
        status = path.lstat()
        known = self._nodes.get(status.st_ino)
        if known is not None:
            return known
        node = self._nodes[status.st_ino] = Node(
            self._number(), status.st_mode, times=(status.st_atime_ns, status.st_mtime_ns)
        )
        if node.is_folder:
            node.entries = {name: self._before(path / name) for name in sorted(os.listdir(path))}
            self._seen[node] = dict(node.entries)
        else:
            node.content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
            self._holds[node] = node.content
        return node

    def _number(self) -> int:
        self._made += 1
        return self._made

    def after(self, number: int, call: Call, descriptor: Path | None, paths: Iterable[Path], ok: bool) -> None:
        """Look at what the call may have changed: the file of a `descriptor`, the folders of `paths`."""
        if call.name == "flush":
            if not ok:
                return
            with suppress(OSError):  # closed meanwhile
                node = None if descriptor is None or call.everything else self._of(descriptor)
                self.events.append(At(number, Flushed(node)))
            return
        paths = list(paths)
        changed: dict[tuple[Node, str], Node | None] = {}
        fresh: list[tuple[Node, bytes]] = []
        for folder in dict.fromkeys(path.parent for path in paths):
            self._look(folder, call.name, changed, fresh)
        for node, content in fresh:
            self._hold(number, node, content)
        if changed:
            self.events.append(At(number, Named(changed)))
        for path in [*([descriptor] if descriptor else []), *(paths if call.name == "truncate" else [])]:
            with suppress(OSError):
                node = self._of(path)
                if node is not None and node.is_file:
                    self._hold(number, node, path.read_bytes())

    def _of(self, path: Path) -> Node | None:
        """What a descriptor or a name leads to; a file that has no name yet is new."""
        status = os.stat(path)
        if status.st_ino not in self._nodes and stat.S_ISREG(status.st_mode):
            self._new(status)
        return self._nodes.get(status.st_ino)

    def _new(self, status: os.stat_result) -> Node:
        node = Node(self._number(), status.st_mode)
        self._nodes[status.st_ino] = node
        return node

    def _hold(self, number: int, node: Node, content: bytes) -> None:
        if self._holds.get(node) != content:
            self._holds[node] = content
            self.events.append(At(number, Written(node, content)))

    def _look(
        self,
        folder: Path,
        name_of_call: str,
        changed: dict[tuple[Node, str], Node | None],
        fresh: list[tuple[Node, bytes]],
    ) -> None:
        try:
            node = self._nodes[os.stat(folder).st_ino]
        except (FileNotFoundError, KeyError):
            return
        before, now = self._seen.setdefault(node, {}), dict[str, Node]()
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):  # gone meanwhile
                path = folder / name
                status = path.lstat()
                known = self._nodes.get(status.st_ino)
                reused = name_of_call in ("open", "mkdir") and name not in before and not self._is_named(known)
                if known is None or (reused and (known.is_folder or known in self._holds)):
                    known = self._new(status)
                    if not known.is_folder:
                        content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
                        fresh.append((known, content))
                now[name] = known
        for name in before.keys() | now.keys():
            if before.get(name) is not now.get(name):
                changed[node, name] = now.get(name)
        self._seen[node] = now

    def _is_named(self, node: Node | None) -> bool:
        return any(node is one for entries in self._seen.values() for one in entries.values())

    def holds(self, key: str, call: int) -> bytes:
        """What the file `key` held after the call of this number, whether it had reached the disk or not."""
        state = _state(self.root, [one for one in self.events if one.call <= call], None)
        return next((node_content for path, _, node_content in state if path == key), b"")

    def states(self, call: int, order: Order, chance: random.Random, number: int) -> "Iterator[State]":
        """What the disk may hold when the power goes after this call: the extremes, then `number` by lot."""
        past = [one for one in self.events if one.call <= call]
        last_all = max((at for at, one in enumerate(past) if one.what == Flushed(None)), default=-1)
        for names, data in [
            ("none", "old"),
            ("all", "old"),
            ("all", "zeros"),
            *[("some", "some")] * number,
        ]:
            kept = _kept_names(past, last_all, order, chance, names)
            yield State(_state(self.root, kept, _drawn(past, chance, data)), f"{names} names, {data} data")


@dataclass(frozen=True)
class State:
    """What a disk holds: (key, node, content) of everything, and how it was drawn."""

    found: list[tuple[str, Node, bytes]]
    how: str

    @property
    def digest(self) -> str:
        told = hashlib.md5()
        for key, node, content in sorted(self.found, key=lambda one: one[0]):
            told.update(f"{key}\0{node.mode}\0{len(content)}\0".encode() + content)
        return told.hexdigest()

    def put(self, place: Path) -> None:
        """Make the folder hold this."""
        shutil.rmtree(place)
        place.mkdir()
        made: dict[Node, Path] = {}
        folders: list[tuple[Path, Node]] = []
        for key, node, content in self.found:
            path = place / key
            if node.is_folder:
                path.mkdir()
                folders.append((path, node))
            elif node in made:
                os.link(made[node], path, follow_symlinks=False)
            elif node.is_file:
                path.write_bytes(content)
                path.chmod(stat.S_IMODE(node.mode))
                if node.times and content == node.content:
                    os.utime(path, ns=node.times)
                made[node] = path
            elif stat.S_ISLNK(node.mode):
                path.symlink_to(os.fsdecode(content))
                made[node] = path
        for path, node in reversed(folders):
            path.chmod(stat.S_IMODE(node.mode))
            if node.times:
                os.utime(path, ns=node.times)


def _kept_names(past: list[At], last_all: int, order: Order, chance: random.Random, how: str) -> list[At]:
    """The changes of names that have reached the disk, in order; and every `Written`, for its content."""
    named = [at for at, one in enumerate(past) if isinstance(one.what, Named)]
    required = {at for at in named if at <= last_all}
    for at, one in enumerate(past):
        if isinstance(one.what, Flushed) and one.what.node is not None and one.what.node.is_folder:
            required |= {earlier for earlier in named if earlier < at and one.what.node in past[earlier].what.folders}
    if how == "all":
        return [past[at] for at in named]
    if order == "ordered":
        least = named.index(max(required)) + 1 if required else 0
        most = least if how == "none" else chance.randint(least, len(named))
        return [past[at] for at in named[:most]]
    required = _closed_upwards(past, named, required)
    kept = set(named)
    ends: dict[Node, int] = {}
    for folder in sorted({one for at in named for one in past[at].what.folders}, key=lambda one: one.number):
        own = [at for at in named if folder in past[at].what.folders]
        least = max((place + 1 for place, at in enumerate(own) if at in required), default=0)
        most = least if how == "none" else chance.choice((least, len(own), chance.randint(least, len(own))))
        ends[folder] = own[most] if most < len(own) else len(past)
    while True:  # what touches two folders is whole or not there
        kept = {at for at in kept if all(at < ends[folder] for folder in past[at].what.folders)}
        cut = {
            folder: min([end, *(at for at in named if at not in kept and folder in past[at].what.folders)])
            for folder, end in ends.items()
        }
        if cut == ends:
            return [past[at] for at in named if at in kept]
        ends = cut


def _closed_upwards(past: list[At], named: list[int], required: set[int]) -> set[int]:
    """And what came before any of them in a folder of theirs."""
    while True:
        last: dict[Node, int] = {}
        for at in required:
            for folder in past[at].what.folders:
                last[folder] = max(at, last.get(folder, -1))
        more = {at for at in named if any(at <= last.get(folder, -1) for folder in past[at].what.folders)}
        if more <= required:
            return required
        required |= more


def _drawn(past: list[At], chance: random.Random, how: str) -> Callable[[Node], bytes]:
    """A function that says what of each file has reached the disk."""
    safe: dict[Node, bytes] = {}  # at its last flush
    held: dict[Node, bytes] = {}
    dirty: set[Node] = set()
    for one in past:
        if isinstance(one.what, Written):
            held[one.what.node] = one.what.content
            dirty.add(one.what.node)
        elif isinstance(one.what, Flushed):
            for node in [one.what.node] if one.what.node is not None else list(dirty):
                if node in held:
                    safe[node] = held[node]
                dirty.discard(node)
    made: dict[Node, bytes] = {}

    def content(node: Node) -> bytes:
        if node not in made:
            made[node] = held.get(node, node.content) if node not in dirty else one_of(node)
        return made[node]

    def one_of(node: Node) -> bytes:
        old, new = safe.get(node, node.content), held[node]
        way = chance.choice(("old", "zeros", "prefix", "whole")) if how == "some" else how
        if way == "old":
            return old
        if way == "zeros":
            return old[: len(new)] + bytes(max(0, len(new) - len(old))) if new.startswith(old) else bytes(len(new))
        if way == "prefix":
            return new[: chance.randint(min(len(old), len(new)) if new.startswith(old) else 0, len(new))]
        return new

    return content


def _state(root: Node, kept: list[At], content: Callable[[Node], bytes] | None) -> list[tuple[str, Node, bytes]]:
    entries: dict[Node, dict[str, Node]] = {}
    held: dict[Node, bytes] = {}
    for one in kept:
        if isinstance(one.what, Written):
            held[one.what.node] = one.what.content
        elif isinstance(one.what, Named):
            for (folder, name), node in one.what.names.items():
                there = entries.setdefault(folder, dict(folder.entries))
                if node is None:
                    there.pop(name, None)
                else:
                    there[name] = node
    found: list[tuple[str, Node, bytes]] = []
    pending = [("", root)]
    while pending:
        prefix, folder = pending.pop()
        for name, node in entries.get(folder, folder.entries).items():
            if node.is_folder:
                found.append((prefix + name, node, b""))
                pending.append((f"{prefix}{name}/", node))
            else:
                drawn = content(node) if node.is_file and content else None
                found.append((prefix + name, node, held.get(node, node.content) if drawn is None else drawn))
    return found
