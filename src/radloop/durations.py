"""How long something may take, as people write it: 30m, 90s, 2h."""

import re
from dataclasses import dataclass

from radloop.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Duration:
    """A number of seconds."""

    seconds: float

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Read "30m", "90s", "2h" or a number of seconds. Raises UsageError."""
        found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh]?)", text.strip())
        if found is None:
            raise UsageError(f"{text[:60]!r} is not a duration. Give 30m, 90s, 2h or a number of seconds.")
        return cls(float(found[1]) * _SECONDS.get(found[2], 1))

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.seconds:g}s"
