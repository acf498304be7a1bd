"""Keyed pseudonyms: what leaves the house in the place of UIDs and patients' ids, and the table that leads back."""

import hashlib
import hmac
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from radloop import files
from radloop.errors import SourceError

FOLDER: Final = "private"  # under OUT; never published
KEY: Final = "key"
TABLE: Final = "origins.jsonl"

_KEY_BYTES: Final = 32
_MOST_DAYS: Final = 3650  # a shift of dates


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

    def __init__(self, folder: Path, key: bytes) -> None:
        self.folder = folder
        self._key = key
        self._origins: dict[str, Origin] | None = None

    @classmethod
    def open(cls, out: Path) -> Self:
        """Those of OUT; the key is made where there is none. Raises SourceError for a key that cannot be used."""
        folder = out / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / KEY
        if not path.exists():
            whole = folder / f"{KEY}.{os.getpid()}.tmp"
            files.write_atomic(whole, secrets.token_hex(_KEY_BYTES).encode(), durable=True, mode=0o600)
            try:
                os.link(whole, path)  # of two who make one, the first
            except FileExistsError:
                pass
            finally:
                whole.unlink()
        try:
            key = bytes.fromhex(path.read_text())
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise SourceError(f"{path} is damaged: without that key no pseudonym is the one it was. Bring it back.")
        return cls(folder, key)

    def image_id(self, sop_instance_uid: str) -> str:
        """The pseudonym of an image, 32 hex digits."""
        return self._hash("image", sop_instance_uid)

    def patient(self, patient_id: str, issuer: str = "") -> str | None:
        """The pseudonym of a patient; None where no one is named."""
        return self._hash("patient", f"{issuer}\0{patient_id}") if patient_id else None

    def shift_days(self, patient: str | None) -> int:
        """By how many days the dates of a patient (a pseudonym) are moved back, at least one."""
        return 1 + int(self._hash("days", patient or ""), 16) % _MOST_DAYS

    def keyed(self, kind: str, text: str) -> str:
        """A pseudonym of anything else, such as a site."""
        return self._hash(kind, text)

    def remember(self, origin: Origin) -> None:
        """Add to the table that leads back, once."""
        known = self._read()
        if known.get(origin.image_id) != origin:
            table = os.open(self.folder / TABLE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                files.write_all(table, msgspec.json.encode(asdict(origin)) + b"\n")
            finally:
                os.close(table)
            known[origin.image_id] = origin

    def back(self, image_id: str) -> Origin | None:
        """Where an image comes from; None where that is not known."""
        return self._read().get(image_id)

    def _read(self) -> dict[str, Origin]:
        if self._origins is None:
            path = self.folder / TABLE
            lines = path.read_bytes().splitlines() if path.exists() else []
            self._origins = {one.image_id: one for one in map(_decode, lines) if one is not None}
        return self._origins

    def _hash(self, kind: str, text: str) -> str:
        return hmac.new(self._key, f"radloop {kind}\0{text}".encode(), hashlib.sha256).hexdigest()[:32]


def _decode(line: bytes) -> Origin | None:
    try:
        return msgspec.json.decode(line, type=Origin)
    except msgspec.DecodeError:  # the last line of a run that was killed
        return None
