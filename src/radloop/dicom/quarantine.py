"""Pictures that may have text burnt into them: held in OUT/private/quarantine until a person has looked.

waiting/<image_id>.png    what nobody has looked at yet, and <image_id>.txt: why it is held
released/                 a person moves a picture here: the next run takes it in
kept-out/                 or here: it stays out
"""

from pathlib import Path
from typing import Final

import numpy as np

from radloop import files, pixels
from radloop.dicom.pseudonyms import FOLDER
from radloop.errors import DicomError, SourceError

QUARANTINE: Final = "quarantine"
WAITING: Final = "waiting"
RELEASED: Final = "released"
KEPT_OUT: Final = "kept-out"
HELD: Final = "held"  # the code of a picture that waits here


def waiting(out: Path) -> int:
    """How many pictures of OUT wait for a person."""
    return sum(1 for _ in (out / FOLDER / QUARANTINE / WAITING).glob("*.png"))


def admit(private: Path, image_id: str, png: bytes, why: str, *, writing: bool = True) -> str | None:
    """None for a picture that a person has released; else it is held, and a sentence says why and what to do.

    private: OUT/private; who only looks (not `writing`) changes nothing in it. A picture is released as it was looked
    at: with other gray values (another recipe) it waits again. Raises DicomError for one that a person keeps out.
    """
    folder = private / QUARANTINE
    held = folder / WAITING / f"{image_id}.png"
    if (folder / KEPT_OUT / held.name).exists():
        _let_go(held, writing=writing)
        raise DicomError("text is burnt into its pixels: a person keeps it out", code="kept-out")
    if _same(folder / RELEASED / held.name, png):
        _let_go(held, writing=writing)
        return None
    if writing:
        for made in (private, folder, *(folder / name for name in (WAITING, RELEASED, KEPT_OUT))):
            made.mkdir(mode=0o700, exist_ok=True)  # with `parents` they would be open to others
        files.write_atomic(held.with_suffix(".txt"), f"{why}\n".encode(), mode=0o600)
        files.write_atomic(held, png, mode=0o600)
    return f"{why}. It waits in {FOLDER}/{QUARANTINE}/{WAITING}: look, then move it to {RELEASED} or {KEPT_OUT}"


def _same(path: Path, png: bytes) -> bool:
    """Whether a file is the same picture, however it is packed."""
    if not path.exists():
        return False
    try:
        return path.read_bytes() == png or np.array_equal(pixels.decode(path.read_bytes()), pixels.decode(png))
    except SourceError:
        return False


def _let_go(held: Path, *, writing: bool) -> None:
    if writing:
        held.unlink(missing_ok=True)
        held.with_suffix(".txt").unlink(missing_ok=True)
