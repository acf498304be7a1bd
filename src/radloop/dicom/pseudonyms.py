"""Keyed pseudonyms: what leaves the house in the place of UIDs and patients' ids, and the table that leads back."""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
import threading
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from radloop import files, values
from radloop.errors import SourceError

FOLDER: Final = "private"  # under OUT; never published
KEY: Final = "key"
TABLE: Final = "origins.jsonl"
FORGOTTEN: Final = "forgotten"

_KEY_BYTES: Final = 32
_WRITTEN_KEY: Final = re.compile(r"([0-9a-f]{64}) ([0-9a-f]{16})\n?")  # and its check, which tells damage
_MOST_DAYS: Final = 3650  # a shift of dates
_READING: Final = threading.Lock()  # of none of them: they travel to other processes


@dataclass(frozen=True)
class Origin:
    """Where a picture comes from, in clear."""

    image_id: str
    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    patient_id: str
    issuer: str
    rows: int
    columns: int


class Pseudonyms:
    """The pseudonyms of one house, by its key in OUT/private."""

    def __init__(self, folder: Path, key: bytes, *, writing: bool = True) -> None:
        self.folder = folder
        self.writing = writing
        self._key = key
        self._origins: dict[str, Origin] = {}
        self._seen = 0  # bytes of the table
        self._table: int | None = None  # its inode

    @classmethod
    def open(cls, out: Path, *, writing: bool = True) -> Self:
        """Those of OUT; the key is made where there is none.

        Who only looks (not `writing`) leaves nothing: where there is no key, the pseudonyms are those of no house.
        Raises SourceError for a key that others can read, that is damaged, lost or not the table's.
        """
        folder = out / FOLDER
        path, table = folder / KEY, folder / TABLE
        if writing:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not (path.exists() or table.exists()):
            return cls(folder, hashlib.sha256(b"of no house").digest(), writing=False)
        _require_own(folder, "700")
        if not path.exists():
            if table.exists() and table.stat().st_size:
                raise SourceError(
                    f"{path} is missing, and {table} was made with it: with a new key every image and patient would "
                    "get another pseudonym. Bring the key back from your backup, or begin anew in another --out."
                )
            key = secrets.token_hex(_KEY_BYTES)
            files.write_new(path, f"{key} {_check(key)}\n".encode(), mode=0o600)
        _require_own(path, "600")
        opened = cls(folder, _read_key(path), writing=writing)
        first = next(iter(opened._read().values()), None)
        if first is not None and opened.image_id(first.sop_instance_uid) != first.image_id:
            raise SourceError(
                f"{path} is not the key that {table} was made with: bring that one back from your backup, or begin "
                "anew in another --out."
            )
        return opened

    def image_id(self, sop_instance_uid: str) -> str:
        """The pseudonym of an image, 32 hex digits."""
        return self.keyed("image", sop_instance_uid)

    def patient(self, patient_id: str, issuer: str = "") -> str | None:
        """The pseudonym of a patient, one for all ways to write the id (`values.plain_id`); None where it names none.

        The same id of two issuers is two patients.
        """
        plain, by = (values.plain_id(unicodedata.normalize("NFKC", text).strip()) for text in (patient_id, issuer))
        return None if plain in values.NO_VALUE else self.keyed("patient", f"{by}\0{plain}")

    def shift_days(self, whose: str) -> int:
        """By how many days the dates of a patient (a pseudonym) are moved back, at least one.

        The same for all dates of the patient, so that the days between them stay. Where no patient is named, the
        pseudonym of the study.
        """
        return 1 + int(self.keyed("days", whose), 16) % _MOST_DAYS

    def keyed(self, kind: str, text: str) -> str:
        """A pseudonym of anything, such as a site: HMAC-SHA-256, the first 32 hex digits."""
        return hmac.new(self._key, f"radloop {kind}\0{text}".encode(), hashlib.sha256).hexdigest()[:32]

    def remember(self, origin: Origin) -> None:
        """Add to the table that leads back, once.

        Lines are only ever added. What a killed writer left of one is closed by the next, which then adds its own.
        """
        if self._read().get(origin.image_id) == origin:
            return
        if self.writing:
            self._append(msgspec.json.encode(asdict(origin)))
        self._origins[origin.image_id] = origin

    def _append(self, line: bytes) -> None:
        table = self._opened_alone()
        try:
            size = os.fstat(table).st_size
            torn = size > 0 and os.pread(table, 1, size - 1) != b"\n"
            files.write_all(table, b"\n" * torn + line + b"\n")
        finally:
            os.close(table)

    def _opened_alone(self) -> int:
        """A descriptor of the table, held against others who add to it; not of one that `forget` has just replaced."""
        while True:
            table = os.open(self.folder / TABLE, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(OSError):  # not every file system has locks
                fcntl.flock(table, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self.folder / TABLE), os.fstat(table)):
                    return table
            os.close(table)

    def back(self, image_id: str) -> Origin | None:
        """Where an image comes from; None where that is not known."""
        return self._read().get(image_id)

    def origins(self) -> list[Origin]:
        """All of the table that leads back."""
        return list(self._read().values())

    def forget(self, image_ids: Collection[str]) -> None:
        """Take images out of the table that leads back, and never take them in again (`is_forgotten`).

        A kill leaves the old table or the new, and another call ends the same.
        """
        known = self._forgotten()
        new = sorted({self.keyed(FORGOTTEN, one) for one in image_ids} - known)
        if new:
            lines = "".join(f"{one}\n" for one in sorted(known | set(new)))
            files.write_atomic(self.folder / FORGOTTEN, lines.encode(), durable=True, mode=0o600)
        if not {one.image_id for one in self.origins()} & {*image_ids}:
            return
        table = self._opened_alone()
        try:
            self._origins, self._seen = {}, 0
            kept = [one for one in self.origins() if one.image_id not in image_ids]
            rows = b"".join(msgspec.json.encode(asdict(one)) + b"\n" for one in kept)
            files.write_atomic(self.folder / TABLE, rows, durable=True, mode=0o600)
        finally:
            os.close(table)
        self._origins, self._seen = {}, 0

    def is_forgotten(self, image_id: str) -> bool:
        """Whether `forget` has taken it away."""
        forgotten = self._forgotten()
        return bool(forgotten) and self.keyed(FORGOTTEN, image_id) in forgotten

    def _forgotten(self) -> frozenset[str]:
        """Keyed hashes of what was taken away: they lead back to nobody, not even with the key alone."""
        with suppress(FileNotFoundError):
            return frozenset((self.folder / FORGOTTEN).read_text("ascii").split())
        return frozenset()

    def _read(self) -> dict[str, Origin]:
        """The table, with what was added to it since the last look, by others too."""
        path = self.folder / TABLE
        with _READING:
            if path.exists() and (path.stat().st_ino, path.stat().st_size) != (self._table, self._seen):
                with path.open("rb") as table:
                    inode = os.fstat(table.fileno()).st_ino
                    if inode != self._table:  # the first look, or `forget` of another process has replaced it
                        self._origins, self._seen, self._table = {}, 0, inode
                    table.seek(self._seen)
                    whole, newline, _ = table.read().rpartition(b"\n")
                self._seen += len(whole) + len(newline)
                self._origins |= {one.image_id: one for one in map(_decode, whole.split(b"\n")) if one is not None}
        return self._origins


def _read_key(path: Path) -> bytes:
    found = _WRITTEN_KEY.fullmatch(path.read_bytes().decode("ascii", "replace"))
    if found is None or _check(found[1]) != found[2]:
        raise SourceError(
            f"{path} is damaged: without that key no pseudonym is the one it was. Bring it back from your backup, or "
            "begin anew in another --out."
        )
    return bytes.fromhex(found[1])


def _check(key: str) -> str:
    return hashlib.sha256(f"radloop key {key}".encode()).hexdigest()[:16]


def _require_own(path: Path, mode: str) -> None:
    """Raise SourceError where others than its owner may open `path`."""
    allowed = stat.S_IMODE(path.stat().st_mode)
    if allowed & files.OTHERS:
        raise SourceError(
            f"{path} is open to other users of this machine (mode {allowed:o}): who reads it can tell which patient is "
            f"whose. Run: chmod {mode} {path}"
        )


def _decode(line: bytes) -> Origin | None:
    try:
        return msgspec.json.decode(line, type=Origin)
    except msgspec.DecodeError:  # what a killed writer left
        return None
