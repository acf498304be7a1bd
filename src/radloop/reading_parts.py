"""What the commands share that say which image is read next, and by whom (`radloop.options`)."""

import re
from dataclasses import dataclass
from typing import Final

from radloop.errors import UsageError
from radloop.feedback.places import Places
from radloop.option import About, option
from radloop.parts import Step
from radloop.words import Order

READER_ID: Final = re.compile(r"[A-Za-z0-9-]{1,50}")  # as in a review


def reader_id(text: str) -> str:
    """The text, where it may be a Reader ID. Raises UsageError where not."""
    if not READER_ID.fullmatch(text):
        raise UsageError(f"{text[:60]!r} is no Reader ID: letters, digits and hyphens, at most 50.")
    return text


@dataclass(frozen=True, kw_only=True)
class Ordered(Step):
    """A command that says in which order images wait."""

    order: Order = option(
        Places.order,
        "By what images wait: queue (readers differ, the model is unsure, the class is rare), random, uncertainty, "
        "yield (most findings in the reading time).",
    )
    suspect_share: float = option(Places.suspect_share, About("Share of places for labels in doubt.", ge=0, le=0.5))
    read_twice: float = option(0.1, About("Share of the images, drawn by lot, that two readers read.", ge=0, le=1))

    @property
    def places(self) -> Places:
        """What the places of the queue go by."""
        return Places(order=self.order, suspect_share=self.suspect_share)


@dataclass(frozen=True, kw_only=True)
class Reading(Ordered):
    """A command that says which images wait for which reader, too."""

    adjudicators: tuple[str, ...] = option(
        (), About("Reader IDs that may give a final read.", shown="everybody", commas=True, parse=reader_id)
    )

    def may_adjudicate(self, reader: str) -> bool:
        """Whether `reader` may give a final (adjudicated) read."""
        return not self.adjudicators or reader in self.adjudicators
