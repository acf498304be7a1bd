"""The two sums of a file: MD5, which stores tell and versions are named by, and SHA-256, which nobody can forge."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_AT_ONCE: Final = 2**20  # bytes


class Sums(NamedTuple):
    """Both as hex digits."""

    md5: str
    sha256: str

    def agree(self, md5: str | None, sha256: str | None) -> bool:
        """Whether a manifest that tells these speaks of the same bytes; None: of that sum it tells nothing."""
        return md5 in (None, self.md5) and sha256 in (None, self.sha256)


def of(data: bytes) -> Sums:
    """Those of some bytes.

    >>> [len(digits) for digits in of(b"radloop")]
    [32, 64]
    """
    return Sums(hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest())


def of_parts(parts: Iterable[bytes]) -> tuple[int, Sums]:
    """How many bytes all of them are, and the sums over them."""
    size, md5, sha256 = 0, hashlib.md5(), hashlib.sha256()
    for part in parts:
        size += len(part)
        md5.update(part)
        sha256.update(part)
    return size, Sums(md5.hexdigest(), sha256.hexdigest())


def of_file(path: Path) -> Sums:
    """Those of a file, read once. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        return of_parts(iter(lambda: file.read(_AT_ONCE), b""))[1]
