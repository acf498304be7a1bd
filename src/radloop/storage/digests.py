"""MD5s of files on this machine, each file read once."""

import hashlib
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from radloop.progress import Progress, silent

_NO_CONTENT: Final = ""  # the "MD5" of what is no regular file: equal to none
_SMALL: Final = 64 * 1024  # below this a thread costs more than the hash


class Digests:
    """MD5s of files, each inode read once as long as it does not change."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._known: dict[tuple[int, ...], str] = {}

    def of(self, paths: Iterable[Path], *, progress: Progress = silent) -> dict[Path, str]:
        """The MD5 of each path as 32 hex digits; what is no regular file has an empty one.

        Raises FileNotFoundError.
        """
        identities = {path: self._identity(os.lstat(path)) for path in paths}
        unread = {identity: path for path, identity in identities.items() if identity not in self._known}
        large = [(identity, path) for identity, path in unread.items() if identity[2] >= _SMALL]
        self._known |= {identity: _md5(path) for identity, path in unread.items() if identity[2] < _SMALL}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            hashed = pool.map(_md5, (path for _, path in large))
            for done, ((identity, _), md5) in enumerate(zip(large, hashed, strict=True), 1):
                self._known[identity] = md5
                if done % 64 == 0 or done == len(large):
                    progress("verify", done, len(large))
        return {path: self._known[identity] for path, identity in identities.items()}

    def _identity(self, entry: os.stat_result) -> tuple[int, ...]:
        identity = (entry.st_dev, entry.st_ino, entry.st_size, entry.st_mtime_ns)
        if not stat.S_ISREG(entry.st_mode):
            self._known[identity] = _NO_CONTENT
        return identity


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
