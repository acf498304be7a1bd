"""Reviews are written, and the log beside them tells of each: whose it is, which one, and what its bytes are."""

import hashlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from radloop import files
from radloop.catalog import audit_lines
from radloop.catalog.audit_lines import Line
from radloop.catalog.audit_log import AuditLog
from radloop.feedback import chaining, listing, reviews
from radloop.feedback.reviews import Review
from radloop.taxonomy import Taxonomy

FOLDER: Final = ".audit"  # in the folder of reviews, which is all that a dashboard may write
NAMES: Final = {"deeds": audit_lines.FOLDER, "reviews": f"reviews/{FOLDER}"}  # of both logs, as people are told


def folders(out: Path, reviews_folder: Path) -> dict[str, Path]:
    """Where both logs are, by the keys of NAMES."""
    return {"deeds": out / audit_lines.FOLDER, "reviews": reviews_folder / FOLDER}


def log(folder: Path, command: str, *, durable: bool = False) -> AuditLog:
    """The audit log of a folder of reviews."""
    return AuditLog(folder / FOLDER, command, durable=durable)


class Writer:
    """Writes to a folder of reviews, each as a deed of its audit log."""

    def __init__(self, folder: Path, classes: Taxonomy, command: str, *, durable: bool = False) -> None:
        """What a killed run has left open in the log is settled first. Raises AuditError."""
        folder.mkdir(mode=files.OWN_FOLDER, parents=True, exist_ok=True)
        self._folder, self._classes, self._durable = folder, classes, durable
        self._log = log(folder, command, durable=durable)
        if not (folder / FOLDER).is_dir():
            self._log.begin({"reviews": len(listing.names(folder))})
        elif audit_lines.open_deeds(folder / FOLDER):
            there = {_own_id(name) for name in listing.names(folder)}
            self._log.settle(lambda line: _is_there(line, there))

    def write(self, review: Review, *, who: str = "", client: str | None = None) -> Path:
        """Write a review, as `reviews.write`. who: at the desk the reader; else the account that the command has.

        Raises AuditError, with nothing written, where the log cannot be.
        """
        data, name = reviews.encode(review), reviews.file_name(review)
        reviews.decode(data, self._classes, name=name)
        with self._logged(name, data, review.reviewer, old=review.previous, who=who, client=client):
            return reviews.write(self._folder, review, self._classes, durable=self._durable)

    def write_unusable(self, *, feedback_id: str, image_id: str, reviewer: str, why: str) -> Path:
        """Write what no review can hold, as `reviews.write_unusable`."""
        told = {"feedback_id": feedback_id, "image_id": image_id, "reviewer": reviewer, "why": why}
        data = reviews.encode_unusable(**told)
        with self._logged(chaining.file_name(feedback_id, reviewer, data), data, reviewer):
            return reviews.write_unusable(self._folder, **told, durable=self._durable)

    def _logged(self, name: str, data: bytes, reviewer: str, **told: Any) -> AbstractContextManager[object]:
        """The deed of writing such a file; none where it is there already."""
        if (self._folder / name).exists():
            return nullcontext()
        new = {"reviewer": reviewer, "sha256": hashlib.sha256(data).hexdigest()}
        return self._log.deed("review", _own_id(name), new=new, **told)


def _own_id(name: str) -> str:
    parts = name.rpartition("/")[2].split(".")
    return parts[2] if len(parts) > 2 else name


def _is_there(line: Line, there: set[str]) -> bool | None:
    return line.subject in there if line.what == "review" else None
