"""Files that only the holder of a key can read: age (https://age-encryption.org), by the library pyrage."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from radloop import files
from radloop.errors import StoreError, UsageError

SUFFIX: Final = ".age"


def recipients(told: Sequence[str]) -> list[Any]:
    """The public keys that are named, themselves or in files. Raises UsageError."""
    library = _library("--encrypt-to") if told else None
    found = []
    for text in told:
        named = text.strip()
        is_key = named.startswith(("age1", "ssh-"))
        lines = [named] if is_key else _lines(Path(named), "--encrypt-to")
        for line in lines:
            kind = library.ssh if line.startswith("ssh-") else library.x25519  # type: ignore[union-attr]
            try:
                found.append(kind.Recipient.from_str(line))
            except Exception as wrong:
                raise UsageError(
                    f"--encrypt-to: {line[:60]!r} is not a public key. Give the line that begins with age1."
                ) from wrong
    return found


def identities(path: Path | None) -> list[Any]:
    """The secret keys in a file; none where no file is named. Raises UsageError."""
    if path is None:
        return []
    library = _library("--identity")
    lines = _lines(path, "--identity")
    if path.stat().st_mode & files.OTHERS:
        raise UsageError(f"--identity: {path} can be read by others. `chmod 600 {path}` first.")
    try:
        if any("OPENSSH PRIVATE KEY" in line for line in lines):
            return [library.ssh.Identity.from_buffer(path.read_bytes())]
        return [library.x25519.Identity.from_str(line) for line in lines]
    except Exception as wrong:
        raise UsageError(f"--identity: {path} holds no secret key of age or ssh that can be read.") from wrong


def encrypt(source: Path, target: Path, keys: Sequence[Any]) -> None:
    """Write `target`, the file `source` for whoever has one of the keys."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    _library("--encrypt-to").encrypt_file(str(source), str(target), list(keys))


def decrypt(source: Path, target: Path, keys: Sequence[Any]) -> None:
    """Write `target`, what is in `source`. Raises StoreError where no key opens it, or it was changed."""
    if not keys:
        raise StoreError("the backup is encrypted: give the secret key's file by --identity.")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        _library("--identity").decrypt_file(str(source), str(target), list(keys))
    except Exception as wrong:
        raise StoreError(f"the key of --identity does not open {source.name} ({str(wrong)[:80]}).") from wrong


def _lines(path: Path, flag: str) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text("utf-8", "replace").splitlines()]
    except OSError as missing:
        raise UsageError(f"{flag}: {path} cannot be read ({missing.strerror}).") from missing
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UsageError(f"{flag}: {path} holds no key.")
    return found


def _library(flag: str) -> Any:
    if importlib.util.find_spec("pyrage") is None:
        raise UsageError(f"{flag} needs pyrage: pip install 'radloop[backup]'.")
    import pyrage

    return pyrage
