"""When this machine has made a backup last: one line beside what it knows of each vault."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from radloop import files
from radloop.dicom import pseudonyms
from radloop.pipelines.keeping.scanning import KNOWN_FOLDER

_SUFFIX: Final = ".newest"


def note(known: Path, at: datetime) -> None:
    """Write it beside the file in which it is kept what is known of a vault, once the head of the backup is there."""
    files.write_atomic(known.with_name(known.name.partition(".")[0] + _SUFFIX), f"{at.isoformat()}\n".encode())


def newest(out: Path) -> datetime | None:
    """When the newest backup of OUT was made, to whatever vault; None where that is not known."""
    told = []
    for path in (out / pseudonyms.FOLDER / KNOWN_FOLDER).glob(f"*{_SUFFIX}"):
        try:
            at = datetime.fromisoformat(path.read_text("ascii").strip())
        except (OSError, ValueError):  # it is a note, which the next backup writes again
            continue
        told.append(at if at.tzinfo else at.replace(tzinfo=UTC))
    return max(told, default=None)
