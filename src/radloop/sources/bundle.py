"""Where label files lie: a folder, one file, or a zip. All are read in place; nothing is unpacked to the disk."""

import lzma
import struct
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Final

from radloop import files
from radloop.errors import SourceError
from radloop.manifest import is_safe_key

LARGEST_BYTES: Final = 2**31  # of one label file
HEAD_BYTES: Final = 2**16  # what is looked at to tell a format
_PACKED_LIMIT: Final = 2**26  # a packed file may always unpack to as much,
_PACKED_TIMES: Final = 100  # and to so many times its packed size: text packs ten to forty times
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, RuntimeError)


class Bundle:
    """The label files at `path`, by their names in it: relative, "/"-separated. Pictures have names, too."""

    def __init__(self, path: Path) -> None:
        """Raise SourceError where there is neither a folder nor a file."""
        self.path = path.absolute()
        if not self.path.exists():
            raise SourceError(f"{path} does not exist. Pass the folder, the file or the zip that holds the labels.")
        self._members = self._zipped() if self.path.is_file() and zipfile.is_zipfile(self.path) else None

    @property
    def is_zip(self) -> bool:
        """Whether the files lie in a zip."""
        return self._members is not None

    @property
    def around(self) -> "Bundle":
        """The folder that a single file lies in, for what the file names beside it; else the same."""
        return self if self.is_zip or self.path.is_dir() else Bundle(self.path.parent)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every file, sorted; hidden ones are passed over. Raises SourceError where the folder cannot be listed."""
        if self._members is not None:
            return tuple(sorted(self._members))
        if self.path.is_file():
            return (self.path.name,)
        try:
            found = [Path(entry.path).relative_to(self.path).as_posix() for entry in files.walk_visible(self.path)]
        except OSError as refused:
            raise SourceError(f"{self.path} cannot be read: {refused.strerror}.") from refused
        return tuple(sorted(found))

    def ending(self, *suffixes: str) -> tuple[str, ...]:
        """The names that end so, in any case of letters."""
        return tuple(name for name in self.names if name.lower().endswith(suffixes))

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises SourceError where it is gone, damaged, or too large to be one of labels."""
        return self._read(name, LARGEST_BYTES)

    def head(self, name: str) -> bytes:
        """The first bytes of a file: enough to tell its format."""
        return self._read(name, HEAD_BYTES, head=True)

    def shown(self, name: str) -> str:
        """A file's name for a message."""
        inside = name if self.path.is_dir() or self.is_zip else ""
        return f"{self.path.name}/{inside}".rstrip("/")

    def _read(self, name: str, limit: int, *, head: bool = False) -> bytes:
        try:
            if self._members is not None:
                return self._unpacked(self._members[name], limit, head=head)
            path = self.path / name if self.path.is_dir() else self.path.with_name(name)
            with path.open("rb") as file:
                data = file.read(limit + (not head))
        except (OSError, KeyError) as refused:
            why = getattr(refused, "strerror", None) or "it is not there"
            raise SourceError(f"{self.shown(name)} cannot be read: {why}.") from refused
        if len(data) > limit:
            raise SourceError(f"{self.shown(name)} has over {limit:,} bytes: no file of labels is as large.")
        return data

    def _unpacked(self, member: zipfile.ZipInfo, limit: int, *, head: bool) -> bytes:
        most = min(limit, max(_PACKED_LIMIT, _PACKED_TIMES * member.compress_size))
        if member.file_size > most and not head:
            raise SourceError(
                f"{self.shown(member.filename)} unpacks to {member.file_size:,} bytes from {member.compress_size:,}: "
                "no file of labels does. Unpack the zip yourself if you trust it, and pass the folder."
            )
        try:
            with zipfile.ZipFile(self.path) as opened, opened.open(member) as file:
                return file.read(most)
        except _DAMAGE as damage:
            raise SourceError(f"{self.shown(member.filename)} cannot be unpacked: {damage}. Get it again.") from damage

    def _zipped(self) -> dict[str, zipfile.ZipInfo]:
        """The members of the zip by name. Raises SourceError for a damaged zip, or a name that leads out of it."""
        try:
            with zipfile.ZipFile(self.path) as opened:
                members = [member for member in opened.infolist() if not member.is_dir()]
        except (*_DAMAGE, OSError) as damage:
            raise SourceError(f"{self.path.name} is no sound zip: {damage}. Get it again.") from damage
        named: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name = member.filename.replace("\\", "/")
            if any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.split("/")):
                continue
            if not is_safe_key(name) or name in named:
                why = "twice" if name in named else "with an unsafe name"
                raise SourceError(f"{self.path.name} holds {name[:80]!r} {why}. Pack it anew.")
            named[name] = member
        return named
