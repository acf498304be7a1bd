"""Where label files lie: a folder, one file, or a zip. All are read in place; nothing is unpacked to the disk."""

import os
import re
import stat
import struct
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Final, cast

from radloop import files
from radloop.errors import SourceError
from radloop.manifest import is_safe_key

LARGEST_BYTES: Final = 2**31  # of one label file
HEAD_BYTES: Final = 2**16  # what is looked at to tell a format
_UNPACKED_LIMIT: Final = 2**26  # a packed file, and a zip, may always unpack to as much,
_UNPACKED_TIMES: Final = 100  # and to so many times its size: text packs ten to forty times
_BESIDE: Final = re.compile(r"^(\./)+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CANNOT_BE_WRITTEN: Final = re.compile(r"[\ud800-\udfff]")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1  # the bit of a member's flags
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OSError)


class Bundle:
    """The label files at `path`, by their names in it: relative, "/"-separated. Pictures have names, too."""

    def __init__(self, path: Path) -> None:
        """Raise SourceError where there is neither a folder nor a file."""
        self.path = path.absolute()
        if not self.path.exists():
            raise SourceError(f"{path} does not exist. Pass the folder, the file or the zip that holds the labels.")
        self._zip = self._opened() if self.path.is_file() and zipfile.is_zipfile(self.path) else None
        self._members = self._named(self._zip) if self._zip else None

    @property
    def is_zip(self) -> bool:
        """Whether the files lie in a zip."""
        return self._members is not None

    @cached_property
    def around(self) -> "Bundle":
        """The folder that a single file lies in, for what the file names beside it; else the same."""
        return self if self.is_zip or self.path.is_dir() else Bundle(self.path.parent)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every file, sorted; not hidden ones, nor those whose name is not UTF-8.

        Raises SourceError where the folder cannot be listed.
        """
        return tuple(sorted(name for name in self._all if not _CANNOT_BE_WRITTEN.search(name)))

    def ending(self, *suffixes: str) -> tuple[str, ...]:
        """The names that end so, in any case of letters. Raises SourceError for one that is not UTF-8."""
        for name in filter(_CANNOT_BE_WRITTEN.search, self._all):
            if name.lower().endswith(suffixes):
                raise SourceError(f"{self.shown(name)}: the name of this file is not UTF-8. Rename it.")
        return tuple(name for name in self.names if name.lower().endswith(suffixes))

    @cached_property
    def _all(self) -> list[str]:
        if self._members is not None:
            return [*self._members]
        if self.path.is_file():
            return [self.path.name]
        try:
            return [entry.path.removeprefix(f"{self.path}/") for entry in files.walk_visible(self.path)]
        except OSError as refused:
            raise SourceError(f"{self.path} cannot be read: {refused.strerror}.") from refused

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises SourceError where it is gone, damaged, or too large to be one of labels."""
        return self._read(name, LARGEST_BYTES)

    def head(self, name: str) -> bytes:
        """The first bytes of a file: enough to tell its format."""
        return self._read(name, HEAD_BYTES, head=True)

    def shown(self, name: str) -> str:
        """A file's name for a message."""
        inside = name if self._is_folder or self.is_zip else ""
        return printable(f"{self.path.name}/{inside}".rstrip("/"))

    def _read(self, name: str, limit: int, *, head: bool = False) -> bytes:
        try:
            if self._members is not None:
                return self._unpacked(self._members[name], limit, head=head)
            path = f"{self.path}/{name}" if self._is_folder else self.path
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
                raise SourceError(f"{self.shown(name)} is no file: remove it, or what it leads to.")
            if status.st_size > limit and not head:
                raise SourceError(f"{self.shown(name)} has over {limit:,} bytes: no file of labels is as large.")
            with open(path, "rb") as file:
                return file.read(limit) if head else file.read()
        except (OSError, KeyError) as refused:
            why = getattr(refused, "strerror", None) or "it is not there"
            raise SourceError(f"{self.shown(name)} cannot be read: {why}.") from refused

    @cached_property
    def _is_folder(self) -> bool:
        return self.path.is_dir()

    def _unpacked(self, member: zipfile.ZipInfo, limit: int, *, head: bool) -> bytes:
        shown = self.shown(member.filename)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise SourceError(f"{shown} is a link: pack the file that it leads to in its place.")
        if member.flag_bits & _ENCRYPTED:
            raise SourceError(f"{shown} is encrypted. Unpack the zip, and pass the folder.")
        if member.compress_type not in _METHODS:
            raise SourceError(
                f"{shown} is packed by a method that is not read here. Unpack the zip, and pass the folder."
            )
        if not head:
            self._require_sane(shown, member.file_size, member.compress_size, limit)
        try:
            with cast(zipfile.ZipFile, self._zip).open(member) as file:
                return file.read(limit)
        except _DAMAGE as damage:
            raise SourceError(f"{shown} cannot be unpacked: {damage}. Get it again.") from damage

    def _require_sane(self, shown: str, unpacked: int, packed: int, limit: int) -> None:
        """Raise SourceError for what was made to fill the memory."""
        if unpacked > min(limit, max(_UNPACKED_LIMIT, _UNPACKED_TIMES * packed)):
            raise SourceError(
                f"{shown} unpacks to {unpacked:,} bytes from {packed:,}: no labels do. Unpack the zip yourself if you "
                "trust it, and pass the folder."
            )

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except _DAMAGE as damage:
            raise SourceError(f"{self.path.name} is no sound zip: {damage}. Get it again.") from damage

    def _named(self, packed: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """The members by name. Raises SourceError for a name that leads out of the zip, or stands there twice."""
        members = [member for member in packed.infolist() if not member.filename.endswith("/")]
        total = sum(member.file_size for member in members)
        self._require_sane(self.path.name, total, self.path.stat().st_size, total)
        named: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name = _BESIDE.sub("", member.filename.replace("\\", "/"))
            if any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.split("/")):
                continue
            if not is_safe_key(name) or name in named:
                why = "twice" if name in named else "with an unsafe name"
                raise SourceError(f"{self.path.name} holds {name[:80]!r} {why}. Pack it anew.")
            named[name] = member
        return named


def printable(text: str) -> str:
    """What may be shown of a text of somebody else's: on one line, without control characters."""
    return _CONTROL.sub("\ufffd", text)
