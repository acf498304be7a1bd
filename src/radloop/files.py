"""Writing so that a kill at any moment leaves the old file or the new one, never a part of one."""

import ctypes
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from radloop import manifest
from radloop.errors import BusyError

_WRITTEN = (manifest.UNIT, manifest.NAME)  # in a folder that is radloop's own
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_FUSE: Final = 0x65735546


OWN_FOLDER: Final = 0o750  # of what people said and what was said of patients: nothing for other users
OWN_FILE: Final = 0o640
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO  # bits of a mode: a secret has none of them


def write_atomic(path: Path, data: bytes, *, durable: bool = False, mode: int = 0o666) -> None:
    """Write `data` to `path` by a temporary name in the same folder and one rename; `mode` as far as the umask lets it.

    The temporary name ends in `.tmp`, and is the same every time: what a killed writer left is used again. Writers of
    one file wait for each other. With `durable`, file, name and new folders are on the disk before it returns.
    """
    with replaced(path, durable=durable, mode=mode) as descriptor:
        write_all(descriptor, data)


@contextmanager
def replaced(path: Path, *, durable: bool = False, mode: int = 0o666) -> Iterator[int]:
    """The descriptor of an empty file, to write and read, that takes the place of `path` at the end: `write_atomic`."""
    make_folder(path.parent, durable=durable)
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = _open_alone(temporary, mode)
    try:
        os.ftruncate(descriptor, 0)
        yield descriptor
        if durable:
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    if durable:
        flush_folder(path.parent)


def room(path: Path, needed: int) -> str:
    """What a full disk is asked for and what it has, such as "/data has 0.3 GB free, up to 1.2 GB are needed"."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    while not os.path.ismount(place):
        place = place.parent
    return f"{place} has {free / 1e9:.3g} GB free, up to {needed / 1e9:.3g} GB are needed"


def write_new(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write `data` to `path`, durably, where nothing is there yet; of several who do so at once, the first's stays."""
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}.tmp")
    write_atomic(temporary, data, durable=True, mode=mode)
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    flush_folder(path.parent)


def _open_alone(path: Path, mode: int) -> int:
    """A descriptor of the file `path`, held against other writers; what a killed one has written may be in it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)  # another writer has renamed it while we waited


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data` whole: a disk that gets full takes a part of it before it refuses."""
    while data:
        data = data[os.write(descriptor, data) :]


def make_folder(folder: Path, *, durable: bool = False, mode: int = 0o777) -> None:
    """Make `folder`, and what it lies in, where they are missing; with `durable` their names have reached the disk."""
    missing = [one for one in (folder, *folder.parents) if durable and not one.exists()]
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    for one in missing:
        flush_folder(one.parent)


def flush_file_system(folder: Path) -> None:
    """Make everything on the file system of `folder` survive a loss of power: one call for any number of files.

    Where the C library has no syncfs, of all file systems; under FUSE, whose server is told nothing of a syncfs, each
    file of `folder` by itself. Raises OSError where the disk refuses.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    if _is_fuse(folder):
        _flush_each(folder)
        return
    with opened_folder(folder) as descriptor:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))


def _is_fuse(folder: Path) -> bool:
    told = ctypes.create_string_buffer(256)  # struct statfs: 120 bytes, the kind of file system first
    if ctypes.CDLL(None).statfs(os.fsencode(folder), told) != 0:
        return False
    return ctypes.c_long.from_buffer(told).value == _FUSE


def _flush_each(folder: Path) -> None:
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            with suppress(FileNotFoundError):  # gone meanwhile
                if stat.S_ISREG(os.lstat(f"{place}/{name}").st_mode):
                    descriptor = os.open(f"{place}/{name}", os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        os.fsync(descriptor)
                    finally:
                        os.close(descriptor)
        flush_folder(Path(place))


@contextmanager
def flushed(folder: Path, *, durable: bool) -> Iterator[None]:
    """With `durable`, everything that is written to the file system of `folder` is on the disk when it is left."""
    if durable:
        make_folder(folder, durable=True)
    yield
    if durable:
        flush_file_system(folder)


def flush_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """A descriptor of the folder: names below it are then found without walking its path each time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def walk_visible(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Every file in a folder and in the folders in it, by name; nothing hidden, and nothing that radloop wrote there.

    A link is yielded as it is, and no folder behind one is entered. Raises OSError where a folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in visible:
        if not entry.is_dir(follow_symlinks=False):
            yield entry
        elif not any(os.path.exists(f"{entry.path}/{name}") for name in _WRITTEN) and not _is_kept(entry):
            yield from walk_visible(entry.path)


def _is_kept(entry: os.DirEntry[str]) -> bool:
    """Whether a folder has what is kept of earlier versions of the dataset it lies in."""
    return entry.name == manifest.VERSIONS and os.path.exists(f"{entry.path}/history.json")


def link_or_copy(source: Path, target: Path) -> bool:
    """Make `target` the same file as `source`; a copy where the file systems differ. True where it is a link."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        shutil.copyfile(source, target)
        return False
    return True


def exchange(first: Path, second: Path) -> None:
    """Swap two names on one file system in a single step (renameat2, RENAME_EXCHANGE).

    Raises OSError where the kernel or the file system cannot (ENOSYS, EINVAL).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        renameat2 = libc.renameat2
    except AttributeError as missing:
        raise OSError(errno.ENOSYS, "this C library has no renameat2") from missing
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(first), None, str(second))


def replace_tree(new: Path, current: Path, *, durable: bool = False) -> None:
    """Put the folder `new` in the place of `current` by one rename, then remove what `current` was.

    A kill leaves the old tree or the new one under `current`, and perhaps the other under `new`, which the next
    call of the same writer removes. Where the file system cannot swap two names, the old tree is moved aside
    first (`current` is then missing for an instant; `recover_tree` puts it back after a kill).

    With `durable` the new tree has reached the disk before it takes the name, and the name before the old tree goes;
    without, after a loss of power `current` may have files that are empty.
    """
    if durable:
        flush_file_system(new)
    if not current.exists():
        os.rename(new, current)
        if durable:
            flush_folder(current.parent)
        return
    try:
        exchange(new, current)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
            raise
        aside = _aside(current)
        os.rename(current, aside)
        os.rename(new, current)
        new = aside
    if durable:
        flush_folder(current.parent)
    shutil.rmtree(new)


def recover_tree(current: Path) -> None:
    """Undo a `replace_tree` that was killed between its two renames on a file system without exchange."""
    aside = _aside(current)
    if not aside.exists():
        return
    if current.exists():
        shutil.rmtree(aside)
    else:
        os.rename(aside, current)


def _aside(current: Path) -> Path:
    return current.with_name(f".{current.name}.old")


@contextmanager
def locked(folder: Path, *, writing: bool = True, durable: bool = False) -> Iterator[None]:
    """Hold `folder` against a second run of radloop. The lock ends with the process, however it ends.

    Who only looks (not `writing`) holds nothing and leaves nothing. With `durable` all that was written has reached the
    disk before the lock is given up after work that ended well. Raises BusyError at once where another process holds
    the folder.
    """
    if not writing:
        yield
        return
    make_folder(folder, durable=durable)
    path = folder / ".radloop.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise BusyError(
                f"{folder}: another radloop run (process {holder}) works here. Wait for it, or use another --out."
            ) from taken
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        with flushed(folder, durable=durable):
            yield
    finally:
        os.close(descriptor)
