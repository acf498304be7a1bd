"""What the places of the queue go by, as one value; light, for the command line reads it."""

from dataclasses import dataclass

from radloop.words import Order


@dataclass(frozen=True)
class Places:
    """An order, and the shares of the places that go by something else whatever the order is."""

    order: Order = "queue"
    audit_share: float = 0.1  # images that the lot has drawn (`audit.lots`)
    nothing_share: float = 0.2  # images where nothing was found
    suspect_share: float = 0.05  # images whose labels are suspected (`feedback.suspects`)
