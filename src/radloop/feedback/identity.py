"""The id of feedback that radloop writes: a hash of its own bytes, so that whoever reads it sees whether they changed.

It is 40 hexadecimal digits: the beginning of the SHA-256 of the file in which the id is left empty. Earlier ids (32
digits, of format 1) and those of other programs say nothing of the content.
"""

import hashlib
import re
from typing import Final

from radloop.errors import FeedbackError

SINCE: Final = 2  # the format whose ids are such
_OWN: Final = re.compile(r"[0-9a-f]{40}")
_EMPTY: Final = b'"feedback_id": ""'
_DIGITS: Final = 40


def of(data: bytes) -> str:
    """The id for the bytes of a feedback whose id is empty."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def is_own(feedback_id: str | None, schema_version: int | None) -> bool:
    """Whether the id has to be that of the content: by either, so that no one change lets another pass."""
    return (schema_version or 0) >= SINCE or bool(feedback_id and _OWN.fullmatch(feedback_id))


def require(data: bytes, canonical: bytes, feedback_id: str | None) -> None:
    """Raise FeedbackError where the bytes of a file are not those that the id is of.

    canonical: as radloop writes what they say. In a file of many lines each stands on one, and is not so written.
    """
    written = canonical if b"\n" not in data.strip() else data
    told = (feedback_id or "").encode()
    found = of(written.replace(b'"feedback_id": "%b"' % told, _EMPTY, 1))
    if found != feedback_id:
        raise FeedbackError(
            f"it was changed after it was written: its id is {feedback_id or 'missing'}, and its bytes have {found}",
            code="feedback-changed",
        )
