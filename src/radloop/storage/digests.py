"""Sums of files on this machine, each file read once."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from radloop import sums
from radloop.progress import Progress, silent

_T = TypeVar("_T", str, sums.Sums)
_NO_CONTENT: Final = ""  # the "MD5" of what is no regular file: equal to none
_SMALL: Final = 64 * 1024  # below this a thread costs more than the hash


class Digests:
    """Sums of files, each inode read once as long as it does not change."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._md5s: dict[tuple[int, ...], str] = {}
        self._both: dict[tuple[int, ...], sums.Sums] = {}

    def of(self, paths: Iterable[Path], *, progress: Progress = silent) -> dict[Path, str]:
        """The MD5 of each path as 32 hex digits; what is no regular file has an empty one.

        Raises FileNotFoundError.
        """
        return _each(paths, self._md5s, _md5, _NO_CONTENT, progress)

    def both(self, paths: Iterable[Path], *, progress: Progress = silent) -> dict[Path, sums.Sums]:
        """As `of`, with the SHA-256 of each beside its MD5."""
        return _each(paths, self._both, sums.of_file, sums.Sums(_NO_CONTENT, _NO_CONTENT), progress)


def _each(
    paths: Iterable[Path], known: dict[tuple[int, ...], _T], read: Callable[[Path], _T], nothing: _T, progress: Progress
) -> dict[Path, _T]:
    """What `read` tells of each path; `known` is asked first, by inode, and told."""
    identities = dict(_identified(paths, known, nothing))
    unread = {identity: path for path, identity in identities.items() if identity not in known}
    large = [(identity, path) for identity, path in unread.items() if identity[2] >= _SMALL]
    known |= {identity: read(path) for identity, path in unread.items() if identity[2] < _SMALL}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = pool.map(read, (path for _, path in large))
        for done, ((identity, _), one) in enumerate(zip(large, told, strict=True), 1):
            known[identity] = one
            if done % 64 == 0 or done == len(large):
                progress("verify", done, len(large))
    return {path: known[identity] for path, identity in identities.items()}


def _identified(
    paths: Iterable[Path], known: dict[tuple[int, ...], _T], nothing: _T
) -> Iterator[tuple[Path, tuple[int, ...]]]:
    for path in paths:
        entry = os.lstat(path)
        identity = (entry.st_dev, entry.st_ino, entry.st_size, entry.st_mtime_ns)
        if not stat.S_ISREG(entry.st_mode):
            known[identity] = nothing
        yield path, identity


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
