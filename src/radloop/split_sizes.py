"""How many images each split should hold."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from radloop.errors import UsageError
from radloop.words import SPLITS


@dataclass(frozen=True)
class SplitSizes:
    """How many images each split should hold, out of their sum."""

    training: int = 11_500
    validation: int = 750
    test: int = 750
    staging: int = 1_000
    canary: int = 500
    production: int = 500

    @classmethod
    def parse(cls, text: str) -> "SplitSizes":
        """Read "training=300,validation=60,…": all six, in any order, 0 allowed.

        Raises UsageError for a split that is unknown, named twice or missing, and for what is no count.
        """
        counts: dict[str, int] = {}
        for part in text.split(","):
            name, _, count = (piece.strip() for piece in part.partition("="))
            if name not in SPLITS:
                raise UsageError(f"{name[:60]!r} is no split. The splits are {', '.join(SPLITS)}.")
            if name in counts:
                raise UsageError(f"{name} is named twice.")
            if not re.fullmatch("[0-9]{1,9}", count):
                raise UsageError(
                    f"{name}={count[:60]!r} is no count of images. Give a whole number, from 0 to 999999999."
                )
            counts[name] = int(count)
        missing = [name for name in SPLITS if name not in counts]
        if missing:
            raise UsageError(f"{text[:60]!r} lacks {', '.join(missing)}. Name all six; 0 leaves a split empty.")
        if not any(counts.values()):
            raise UsageError("every split is 0. At least one has to hold images.")
        return cls(**counts)

    def __str__(self) -> str:
        """As `parse` reads it."""
        return ",".join(f"{name}={count}" for name, count in asdict(self).items())

    def scaled(self, total: int) -> "SplitSizes":
        """The same shares of `total` images, by largest remainder: the sum is always `total`.

        >>> SplitSizes().scaled(600)
        SplitSizes(training=460, validation=30, test=30, staging=40, canary=20, production=20)
        """
        return SplitSizes(*apportion(list(asdict(self).values()), total))


def apportion(weights: Sequence[int], total: int) -> list[int]:
    """Whole numbers in proportion to `weights` that sum to `total` (largest remainder; of equal ones the first)."""
    whole = max(sum(weights), 1)  # nothing to share out needs no weight
    parts = [weight * total // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(weights[i] * total % whole))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts
