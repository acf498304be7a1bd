"""Runs a function in a process of its own and stops at every call of the system that changes a file of a folder.

The process, and every other that it starts, is traced (ptrace), and a filter in the kernel (seccomp) lets all other
calls pass at full speed. So nothing is missed, whoever makes the call: Python, polars, or rclone, which asks no C
library. At a stop the call can be let through, cut in half, refused with an error, or never be made, because all is
killed there. Linux on x86-64.
"""

import atexit
import ctypes
import errno
import os
import platform
import signal
import struct
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

USABLE = sys.platform == "linux" and platform.machine() == "x86_64"

# What changes a file: {number on x86-64: (name, which argument is a descriptor, which a path; the path's folder)}.
# A path without a descriptor of its folder is relative to the working directory.
CALLS = {
    1: ("write", 0, None),
    18: ("write", 0, None),  # pwrite64
    20: ("write", 0, None),  # writev
    296: ("write", 0, None),  # pwritev
    328: ("write", 0, None),  # pwritev2
    40: ("copy", 0, None),  # sendfile
    326: ("copy", 2, None),  # copy_file_range
    275: ("copy", 2, None),  # splice
    74: ("flush", 0, None),  # fsync
    75: ("flush", 0, None),  # fdatasync
    162: ("flush", None, None),  # sync
    306: ("flush", 0, None),  # syncfs
    76: ("truncate", None, 0),
    77: ("truncate", 0, None),
    285: ("truncate", 0, None),  # fallocate
    2: ("open", None, 0),
    85: ("open", None, 0),  # creat
    257: ("open", 0, 1),  # openat
    133: ("open", None, 0),  # mknod: an empty file
    259: ("open", 0, 1),  # mknodat
    82: ("rename", None, 1),
    264: ("rename", 2, 3),
    316: ("rename", 2, 3),  # renameat2: an exchange, too
    86: ("link", None, 1),
    265: ("link", 2, 3),
    88: ("link", None, 1),  # symlink
    266: ("link", 1, 2),
    87: ("remove", None, 0),
    263: ("remove", 0, 1),
    84: ("remove", None, 0),  # rmdir
    83: ("mkdir", None, 0),
    258: ("mkdir", 0, 1),
    44: ("ask rclone", 0, None),  # sendto on the socket of `rclone rcd`
}
_FROM = {82: (None, 0), 264: (0, 1), 316: (0, 1)}  # of a rename: the same of the name before
_EVERYTHING = (162, 306)  # flushes that are of no one file
_FLAGS_OF_OPEN = {2: 1, 257: 2}  # which argument; only what creates or cuts a file is stopped at
_CREATING = os.O_CREAT | os.O_TRUNC
_CUTTABLE = (1, 18)
_LENGTH = 2  # the argument of those
_POLLS = (b"POST /job/status", b"POST /core/stats")  # as many as there is time for

TAKES_SPACE = {"write", "copy", "open", "mkdir", "link", "truncate"}
CHANGES = TAKES_SPACE | {"rename", "remove", "flush"}

_CONT, _GETREGS, _SETREGS, _SYSCALL, _SEIZE = 7, 12, 13, 24, 0x4206
_EVENT_SECCOMP, _EVENT_STOP = 7, 128
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000  # exits of calls, children, exec, seccomp; die with us
_OF_THIS_THREAD = 0x40000000 | 0x20000000  # whatever signal they end with
_ORIG_RAX, _RAX, _ARGUMENTS = 15, 10, (14, 13, 12, 7, 9, 8)  # places in the registers

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


@dataclass(frozen=True)
class Call:
    """One call that would change something."""

    name: str
    path: str  # relative to the folder that is watched; of `ask rclone` the command
    program: str
    size: int = 0  # of a write that can be cut
    everything: bool = False  # of a flush: of the whole file system

    def __str__(self) -> str:
        return f"{self.program}: {self.name} {self.path}"


class Watcher(Protocol):
    """Looks at what a call has done, when it has ended."""

    def after(self, number: int, call: Call, descriptor: Path | None, paths: Iterable[Path], ok: bool) -> None:
        """The call `number`, from 1: the file that it was made on or has opened, the names that it was given."""


@dataclass(frozen=True)
class Fault:
    """What happens at the call number `at`, from 1."""

    at: int
    kind: str  # kill, kill rclone, half (written, then killed), an error, full (half is written, then no more), hold
    program: str | None = None  # only calls of this one are counted
    error: int = 0
    lasting: bool = False  # and so does every later call of its kind


@dataclass
class Run:
    """What came of a run."""

    calls: list[Call] = field(default_factory=list)
    status: int | None = None  # of the function's own process; negative: the signal that ended it
    struck: Call | None = None  # the call at which the fault was
    hung: bool = False


def run(
    function: Callable[[], int],
    folder: Path,
    *,
    output: Path,
    fault: Fault | None = None,
    meanwhile: Callable[[], None] | None = None,
    watcher: Watcher | None = None,
    seconds: int = 120,
) -> Run:
    """Run `function` (its value is the exit status) and count the calls below `folder`; `output` gets what it says.

    `meanwhile` is called at a fault of the kind "hold", while everything stands still; `watcher` after every call that
    was let through. A thread of its own starts and follows it: it waits for its own children only, and neither waits
    for nor reaps those of whoever asks.
    """

    came: list[Run | BaseException] = []

    def follow() -> None:
        try:
            pid, release = _fork(function, output, traced=True)
            _ptrace(_SEIZE, pid, 0, _OPTIONS)
            os.close(release)
            came.append(_Tracer(pid, os.fsencode(folder), fault, meanwhile, watcher).follow(seconds))
        except BaseException as broken:  # noqa: BLE001  raised by whoever asked
            came.append(broken)

    thread = threading.Thread(target=follow)
    thread.start()
    thread.join()
    if isinstance(came[0], BaseException):
        raise came[0]
    return came[0]


def plainly(function: Callable[[], int], *, output: Path) -> int:
    """Run `function` in a process of its own, untraced; its exit status."""
    pid, _ = _fork(function, output, traced=False)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class _Tracer:
    def __init__(
        self,
        pid: int,
        folder: bytes,
        fault: Fault | None,
        meanwhile: Callable[[], None] | None,
        watcher: Watcher | None,
    ) -> None:
        self._main, self._folder, self._fault, self._meanwhile = pid, folder, fault, meanwhile
        self._watcher = watcher
        self._under_way: dict[int, tuple[int, Call, Path | None, list[Path]]] = {}  # by thread: what is watched
        self._alive = {pid}
        self._cut: set[int] = set()  # threads that are inside a call after which all is to be killed
        self._count = 0
        self._run = Run()

    def follow(self, seconds: int) -> Run:
        watch = threading.Timer(seconds, self._give_up)
        watch.start()
        try:
            while True:
                try:
                    pid, status = os.waitpid(-1, _OF_THIS_THREAD)
                except ChildProcessError:
                    return self._run
                if os.WIFSTOPPED(status):
                    self._alive.add(pid)
                    self._stopped(pid, os.WSTOPSIG(status), status >> 16)
                    continue
                self._alive.discard(pid)
                if pid == self._main:
                    self._run.status = os.waitstatus_to_exitcode(status)
        finally:
            watch.cancel()

    def _give_up(self) -> None:
        self._run.hung = True
        self._kill(self._alive)

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if number == signal.SIGTRAP | 0x80:  # the end of a call that was cut in half, or is watched
            if pid in self._cut:
                self._cut.discard(pid)
                self._kill(self._alive)
            if pid in self._under_way:
                self._ended(pid, *self._under_way.pop(pid))
            _ptrace(_CONT, pid, 0, 0)
        elif event == _EVENT_SECCOMP:
            self._called(pid)
        else:
            _ptrace(_CONT, pid, 0, 0 if event or number == signal.SIGTRAP else number)

    def _called(self, pid: int) -> None:
        registers = (ctypes.c_ulonglong * 27)()
        _ptrace(_GETREGS, pid, 0, ctypes.addressof(registers))
        call = self._understood(pid, registers)
        fault = self._fault
        if call is None or (fault and fault.program not in (None, call.program)):
            _ptrace(_CONT, pid, 0, 0)
            return
        self._run.calls.append(call)
        self._count += 1
        go_on = _CONT
        if fault and (self._count == fault.at or (fault.lasting and self._count > fault.at)):
            if self._count == fault.at:
                self._run.struck = call
            go_on = self._strike(fault, pid, call, registers)
        elif self._watcher is not None:
            self._under_way[pid] = (self._count, call, *self._concerned(pid, registers))
            go_on = _SYSCALL
        _ptrace(go_on, pid, 0, 0)

    def _concerned(self, pid: int, registers: "ctypes.Array[ctypes.c_ulonglong]") -> tuple[Path | None, list[Path]]:
        """The descriptor that a call is made on, and the names that it is given."""
        number = registers[_ORIG_RAX]
        arguments = [registers[place] for place in _ARGUMENTS]
        _, descriptor, path = CALLS[number]
        if path is None:
            return None if descriptor is None else Path(f"/proc/{pid}/fd/{arguments[descriptor]}"), []
        named = [(descriptor, path), *([_FROM[number]] if number in _FROM else [])]
        return None, [Path(os.fsdecode(self._place(pid, arguments, *one))) for one in named]

    def _ended(self, pid: int, number: int, call: Call, descriptor: Path | None, paths: list[Path]) -> None:
        registers = (ctypes.c_ulonglong * 27)()
        _ptrace(_GETREGS, pid, 0, ctypes.addressof(registers))
        came = ctypes.c_longlong(registers[_RAX]).value
        if call.name == "open" and came >= 0 and registers[_ORIG_RAX] not in (133, 259):
            descriptor = Path(f"/proc/{pid}/fd/{came}")
        if self._watcher is not None and call.name != "ask rclone":
            self._watcher.after(number, call, descriptor, paths, came >= 0)

    def _strike(self, fault: Fault, pid: int, call: Call, registers: "ctypes.Array[ctypes.c_ulonglong]") -> int:
        first = self._count == fault.at
        if fault.kind == "kill":
            self._kill(self._alive)
        elif fault.kind == "kill radloop":
            self._kill({self._main})
        elif fault.kind == "kill rclone":
            self._kill({other for other in self._alive if _program(other) == "rclone"})
        elif fault.kind == "hold" and self._meanwhile is not None:
            self._meanwhile()
        elif fault.kind in ("half", "full") and first and call.size > 1:
            registers[_ARGUMENTS[_LENGTH]] = call.size // 2
            _ptrace(_SETREGS, pid, 0, ctypes.addressof(registers))
            if fault.kind == "half":
                self._cut.add(pid)
                return _SYSCALL
        elif fault.error and call.name in (TAKES_SPACE if fault.error == errno.ENOSPC else CHANGES):
            registers[_ORIG_RAX] = 2**64 - 1  # no call at all
            registers[_RAX] = 2**64 - fault.error
            _ptrace(_SETREGS, pid, 0, ctypes.addressof(registers))
        return _CONT

    def _kill(self, pids: Iterable[int]) -> None:
        for pid in list(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _understood(self, pid: int, registers: "ctypes.Array[ctypes.c_ulonglong]") -> Call | None:
        """The call that this is, if it changes something in the folder."""
        number = registers[_ORIG_RAX]
        arguments = [registers[place] for place in _ARGUMENTS]
        program = _program(pid)
        if program not in ("radloop", "rclone"):
            return None  # the shell that tidies up
        name, descriptor, path = CALLS[number]
        if name == "ask rclone":
            asked = _memory(pid, arguments[1], min(arguments[2], 64))
            if not asked.startswith(b"POST /") or asked.startswith(_POLLS):
                return None
            return Call(name, asked.split(b" ")[1].decode(), program)
        if number == 162:
            return Call(name, "everything", program, everything=True)
        at = self._place(pid, arguments, descriptor, path)
        if not (at + b"/").startswith(self._folder + b"/"):
            return None
        size = arguments[_LENGTH] if number in _CUTTABLE else 0
        return Call(name, os.fsdecode(at[len(self._folder) + 1 :]), program, size, number in _EVERYTHING)

    def _place(self, pid: int, arguments: list[int], descriptor: int | None, path: int | None) -> bytes:
        named = b"" if path is None or not arguments[path] else _memory(pid, arguments[path], 4096).split(b"\0")[0]
        if named.startswith(b"/"):
            return os.path.normpath(named)
        number = -100 if descriptor is None else ctypes.c_int(arguments[descriptor] & 0xFFFFFFFF).value
        folder = _link(pid, "cwd" if number == -100 else f"fd/{number}")
        return os.path.normpath(os.path.join(folder, named)) if named else folder


def _program(pid: int) -> str:
    name = os.path.basename(_link(pid, "exe"))
    return "radloop" if name.startswith(b"python") else name.decode()


def _link(pid: int, name: str) -> bytes:
    try:
        return os.readlink(f"/proc/{pid}/{name}".encode())
    except OSError:
        return b""


def _memory(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        try:
            return os.pread(memory.fileno(), size, address)
        except OSError:
            return b""


def _ptrace(request: int, pid: int, address: int, data: int) -> None:
    if _libc.ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        if number != errno.ESRCH:  # killed meanwhile
            raise OSError(number, f"ptrace {request}: {os.strerror(number)}")


def _fork(function: Callable[[], int], output: Path, *, traced: bool) -> tuple[int, int]:
    """The new process, and for a traced one the end of a pipe that it waits for."""
    reader, writer = os.pipe() if traced else (-1, -1)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        _become(function, output, (reader, writer))
    if traced:
        os.close(reader)
    return pid, writer


def _become(function: Callable[[], int], output: Path, pipe: tuple[int, int]) -> NoReturn:
    """End as an interpreter ends that has run nothing but `function`: what others here leave to the end is theirs."""
    atexit._clear()
    weakref.finalize._registry.clear()
    weakref.finalize._registered_with_atexit = False
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    reader, writer = pipe
    if reader >= 0:
        os.close(writer)
        os.read(reader, 1)  # until the tracer holds us
        os.close(reader)
        _filter_calls()
    status = 1
    try:
        status = function()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _filter_calls() -> None:
    """Let the kernel stop this process, and all that it starts, at the calls of CALLS only (a program for BPF)."""
    load, equal, any_of, end = 0x20, 0x15, 0x45, 0x06
    pass_on, stop = 0x7FFF0000, 0x7FF00000
    program = [(load, 0, 0, 0)]
    for number in CALLS:
        if number in _FLAGS_OF_OPEN:
            flags = 16 + 8 * _FLAGS_OF_OPEN[number]
            program += [(equal, 0, 4, number), (load, 0, 0, flags), (any_of, 0, 1, _CREATING)]
            program += [(end, 0, 0, stop), (end, 0, 0, pass_on)]
        else:
            program += [(equal, 0, 1, number), (end, 0, 0, stop)]
    program += [(end, 0, 0, pass_on)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    no_new_privileges, seccomp, by_filter = 38, 22, 2
    for request in ((no_new_privileges, 1, 0, 0, 0), (seccomp, by_filter, ctypes.addressof(header), 0, 0)):
        if _libc.prctl(*(ctypes.c_ulong(value) for value in request)) != 0:
            raise OSError(ctypes.get_errno(), "the kernel takes no filter of calls")
