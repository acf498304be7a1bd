"""How each pipeline's result reads on a terminal, and whether it is one to be glad of."""

from radloop.summaries import (
    attesting,
    auditing,
    comparing,
    dataset,
    demo,
    forgetting,
    history,
    importing,
    incoming,
    keeping,
    loop,
    monitoring,
    watching,
)
from radloop.summaries.registry import of, status

__all__ = [
    "attesting",
    "auditing",
    "comparing",
    "dataset",
    "demo",
    "forgetting",
    "history",
    "importing",
    "incoming",
    "keeping",
    "loop",
    "monitoring",
    "of",
    "status",
    "watching",
]
