"""Who asks a PACS: a TOML file that only its owner can read, and the address that it may be sent to."""

import ipaddress
import os
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

from radloop.errors import UsageError
from radloop.files import OTHERS

PREFIX: Final = "dicomweb:"
_EXPECTED: Final = (
    "a TOML file with user and password, or token, or certificate and key (PEM files), and where it is needed ca (a "
    "PEM file) and plain_http = true"
)


@dataclass(frozen=True)
class Address:
    """Where a PACS answers: the root of its DICOMweb."""

    tls: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address of `https://HOST[:PORT]/PATH`, also behind `dicomweb:`. Raises UsageError."""
        expected = "it has to be the address of a DICOMweb server, such as dicomweb:https://pacs.hospital.org/dicom-web"
        try:
            parts = urlsplit(text.strip().removeprefix(PREFIX))
            port = parts.port
        except ValueError:
            raise UsageError(f"the address of the PACS cannot be read: {expected}.") from None
        if "@" in parts.netloc:  # no secret in an option: a process list and a log show it
            raise UsageError(
                "credentials in the address of a PACS are not taken: put them into the file of --pacs-auth."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"{text[:60]!r} cannot be used: {expected}.")
        tls = parts.scheme == "https"
        if not parts.path.isascii() or any(letter <= " " for letter in parts.path):
            raise UsageError(f"{text[:60]!r} cannot be used: {expected}.")
        return cls(tls, parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/"))

    def __str__(self) -> str:
        usual = self.port == (443 if self.tls else 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}{'' if usual else f':{self.port}'}{self.path}"

    @property
    def is_here(self) -> bool:
        """Whether what is sent there stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of --pacs-auth says; none of it is shown anywhere. Paths are as seen from the file's folder."""

    user: str | None = None
    password: str | None = None
    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    plain_http: bool = False

    def __repr__(self) -> str:
        return "Credentials(…)"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The credentials of a file. Raises UsageError, without a word of what stands in it."""
        _require_private(path)
        try:
            read = msgspec.toml.decode(path.read_bytes(), type=cls, dec_hook=lambda kind, text: kind(text))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UsageError(f"--pacs-auth {path} cannot be used: it has to be {_EXPECTED}.") from None
        files = {name: path.parent / file for name in ("certificate", "key", "ca") if (file := getattr(read, name))}
        read = msgspec.structs.replace(read, **files)
        if not read._is_sound:
            raise UsageError(f"--pacs-auth {path} cannot be used: it has to be {_EXPECTED}.")
        if read.certificate:
            _require_private(read.key or read.certificate)
        return read

    @property
    def authorization(self) -> str | None:
        """The value of the header `Authorization`."""
        if self.token is not None:
            return f"Bearer {self.token}"
        if self.user is not None:
            return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()
        return None

    def context(self, address: Address) -> ssl.SSLContext | None:
        """How the server is verified, and who we are; None without TLS.

        Raises UsageError where a secret would travel in clear, or where a PEM file cannot be used.
        """
        if not address.tls:
            if self.authorization and not (address.is_here or self.plain_http):
                raise UsageError(
                    f"{address} would be sent the credentials in clear: use https, or say plain_http = true in the "
                    "file of --pacs-auth."
                )
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key, password="")  # or it would ask on the terminal
        except (OSError, ValueError) as unusable:
            reason = (
                getattr(unusable, "strerror", None) or "no PEM files that belong together, or a key with a password"
            )
            raise UsageError(f"the certificates of --pacs-auth cannot be used: {reason}.") from None
        return context

    @property
    def _is_sound(self) -> bool:
        ways = (self.user is not None, self.token is not None, self.certificate is not None)
        secrets = "".join(text for text in (self.user, self.password, self.token) if text)
        return (
            (self.user is None) == (self.password is None)
            and (self.key is None or self.certificate is not None)
            and sum(ways) <= 1 + ways[2]  # a certificate may stand beside another way
            and (self.token is None or (self.token.isascii() and self.token != ""))
            and ":" not in (self.user or "")
            and secrets.isprintable()
        )


def _require_private(path: Path) -> None:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
    except OSError as missing:
        raise UsageError(f"--pacs-auth: {path} cannot be read: {missing.strerror}.") from None
    if mode & OTHERS:
        raise UsageError(f"--pacs-auth: {path} can be read by others than its owner: chmod 600 {path}")
