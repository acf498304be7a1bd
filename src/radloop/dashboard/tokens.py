"""The token that opens the dashboard: kept in a file of its own beside the reviews, for its owner's eyes alone."""

import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

from radloop import files, visible
from radloop.errors import UsageError
from radloop.options import TOKEN, Dashboard

NAME: Final = ".dashboard-token"  # hidden, so that nobody takes it for a review
_LONGEST: Final = 4096


def of(chosen: Dashboard) -> tuple[str | None, str]:
    """The token of a dashboard (None: it asks nobody), and where it is kept; what has to be said of it is said.

    Raises RadloopError where it cannot be kept.
    """
    if chosen.auth == "none":
        return None, ""
    if chosen.token:
        return chosen.token, "RADLOOP_TOKEN"
    try:
        token, note = keep(chosen.reviews_folder)
    except OSError as error:
        path = chosen.reviews_folder / NAME
        raise UsageError(f"{path}: {error.strerror}. Make the folder writable, or set RADLOOP_TOKEN.") from error
    if note:
        say(note)
    if chosen.reviews_folder.stat().st_mode & stat.S_IWOTH:
        say(f"every user of this machine can write reviews into {chosen.reviews_folder}: chmod o-w it")
    return token, f"{NAME} in the folder of the reviews"


def say(sentence: str) -> None:
    """Tell whoever started the dashboard."""
    print(f"radloop: {visible.line(sentence)}", file=sys.stderr, flush=True)  # noqa: T201  where to look


def keep(folder: Path) -> tuple[str, str | None]:
    """The token in `folder`, made where there is none, and a sentence where it had to be replaced by another.

    It is replaced where somebody else could have read it. Raises UsageError where the file is another user's or a link,
    so that somebody else may have written it, and OSError where it cannot be read or written.
    """
    path = folder / NAME
    try:
        token, exposed = _read(path)
    except FileNotFoundError:
        return _make(path), None
    if not exposed:
        return token, None
    path.unlink()
    return _make(path), f"{path} could be read by others: it holds a new token now, and the old one opens nothing."


def _read(path: Path) -> tuple[str, bool]:
    """The token, and whether others could have read it, too."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise UsageError(f"{path} is a link and was refused: remove it.") from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is no file and was refused: remove it.")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_uid != os.geteuid():
            raise UsageError(f"{path} belongs to user {status.st_uid} and was refused: remove it, or run as that user.")
        token = file.read(_LONGEST).decode("ascii", "replace").strip()
    if not TOKEN.fullmatch(token):
        raise UsageError(f"{path} holds no token and was refused: remove it, and another is made.")
    return token, bool(status.st_mode & files.OTHERS)


def _make(path: Path) -> str:
    """Of two that make it at once both return the same: a link fails where the name is taken."""
    path.parent.mkdir(mode=files.OWN_FOLDER, parents=True, exist_ok=True)
    files.write_new(path, f"{secrets.token_urlsafe(32)}\n".encode(), mode=0o600)
    return _read(path)[0]
