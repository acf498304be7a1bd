"""A downloaded zip, moved out of itself: zip and content are never on the disk twice.

Members are unpacked in the order in which they lie in the zip. What has been written, checked by its CRC and flushed
is given back from the zip's front by punching a hole (`fallocate`, Linux): the offsets of the rest and the central
directory at the end stay as they are, so that a killed run goes on with the same file.
"""

import ctypes
import errno
import lzma
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

from radloop import files
from radloop.errors import DownloadError, SourceError
from radloop.manifest import is_safe_key
from radloop.progress import Progress, silent

BATCH_BYTES: Final = 16 * 2**20  # unpacked between two flushes: as much may lie on the disk twice
MEMBER_LIMIT_BYTES: Final = 64 * 2**20  # a 1024×1024 picture holds 8 MiB at most (16-bit RGBA); more is a bomb

_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, RuntimeError)
_KEEP_SIZE_AND_PUNCH_HOLE: Final = 0x01 | 0x02  # linux/falloc.h


class _DamageError(Exception):
    """Why this zip cannot be used."""


def is_whole(path: Path) -> bool:
    """Whether a file begins and ends as a zip does: a page that stands in for it or a cut-off tail is found here."""
    return begins_as_zip(path) and zipfile.is_zipfile(path)


def begins_as_zip(path: Path) -> bool:
    """Whether the first bytes are those of a zip."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except FileNotFoundError:
        return False


def unpack(archive: Path, folder: Path, *, wanted: re.Pattern[str], progress: Progress = silent) -> None:
    """Move the members whose whole name matches `wanted` out of the zip into `folder`.

    A member that is already there with its size and CRC is not written again. The zip keeps its name, but is hollow
    afterwards: the caller removes it. Raises SourceError where the disk is full, and a second call goes on; raises
    DownloadError where the zip is damaged or holds an unsafe member, and removes the zip.
    """
    try:
        with archive.open("r+b") as file, _open(file) as opened:
            members = _choose(opened.infolist(), wanted)
            folder.mkdir(parents=True, exist_ok=True)
            _sweep({(folder / member.filename).parent for member in members})
            _require_space(members, archive, folder)
            _move(opened, members, file.fileno(), folder, progress)
    except _DamageError as damage:
        archive.unlink()
        raise DownloadError(
            f"The downloaded {archive.name} cannot be used: {damage}. It was removed; "
            "run the same command again to download it anew (what is unpacked stays)."
        ) from damage
    except OSError as error:
        raise SourceError(
            f"{error.filename or folder}: {error.strerror}. Mend that and run the same command again: "
            "it goes on from here."
        ) from error


def _open(file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _DAMAGE as broken:
        raise _DamageError("it is cut off or no zip") from broken


def _choose(members: Iterable[zipfile.ZipInfo], wanted: re.Pattern[str]) -> list[zipfile.ZipInfo]:
    """The wanted members, by their place in the zip. One unsafe name condemns the zip as a whole."""
    chosen: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = member.filename
        if not is_safe_key(name.removesuffix("/")) or ":" in name or len(os.fsencode(name)) > 200:
            raise _DamageError(f"it holds the unsafe name {name[:100]!r}")
        if not wanted.fullmatch(name):
            continue
        if name.casefold() in chosen:  # the disk may not tell upper from lower case
            raise _DamageError(f"it holds {name} twice")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise _DamageError(f"{name} is not a plain file")
        if member.file_size > MEMBER_LIMIT_BYTES:
            raise _DamageError(f"{name} would take {member.file_size:,} bytes")
        chosen[name.casefold()] = member
    return sorted(chosen.values(), key=lambda member: member.header_offset)


def _sweep(folders: Iterable[Path]) -> None:
    """Remove the temporary files of a killed run."""
    for folder in folders:
        for left in folder.glob(".*.tmp"):
            left.unlink()


def _require_space(members: list[zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    missing = sum(member.file_size for member in members if not _has_size(folder / member.filename, member))
    given_back = archive.stat().st_blocks * 512 if _can_free(folder) else 0
    needed = min(missing, max(0, missing - given_back) + BATCH_BYTES)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SourceError(
            f"{folder}: unpacking takes {needed / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free. "
            "Make room and run the same command again: it goes on from here."
        )


def _move(
    opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], descriptor: int, folder: Path, progress: Progress
) -> None:
    total = sum(member.file_size for member in members)
    done = flushed = 0
    batch: list[Path] = []
    for number, member in enumerate(members, start=1):
        target = folder / member.filename
        if not _is_unpacked(target, member):
            files.write_atomic(target, _read(opened, member))
        batch.append(target)
        done += member.file_size
        if done - flushed >= BATCH_BYTES or number == len(members):
            _flush(batch)
            if number < len(members):
                _free(descriptor, members[number].header_offset)
            batch.clear()
            flushed = done
            progress("unpack", done, total, "bytes")


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member's bytes. zipfile reads no more than the declared size and compares the CRC."""
    try:
        return opened.read(member)
    except (*_DAMAGE, OSError) as broken:
        raise _DamageError(f"{member.filename} is damaged in it") from broken


def _has_size(path: Path, member: zipfile.ZipInfo) -> bool:
    try:
        return path.stat().st_size == member.file_size
    except FileNotFoundError:
        return False


def _is_unpacked(path: Path, member: zipfile.ZipInfo) -> bool:
    return _has_size(path, member) and zlib.crc32(path.read_bytes()) == member.CRC


def _flush(paths: list[Path]) -> None:
    """Bring files to the disk before their only other copy is given up."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for folder in {path.parent for path in paths}:
        files.flush_folder(folder)


def _free(descriptor: int, end: int) -> bool:
    """Give a file's first `end` bytes back to the disk; the rest keeps its place. False where the system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fallocate = libc.fallocate
    except AttributeError:
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    if fallocate(descriptor, _KEEP_SIZE_AND_PUNCH_HOLE, 0, end) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number))


def _can_free(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"x")
        probe.flush()
        return _free(probe.fileno(), 1)
