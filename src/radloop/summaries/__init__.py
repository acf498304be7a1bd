"""How each pipeline's result reads on a terminal, and whether it is one to be glad of."""

from radloop.pipelines.checking import Report
from radloop.summaries import dataset, demo, forgetting, importing, incoming, loop, watching
from radloop.summaries.registry import of

__all__ = ["dataset", "demo", "failed", "forgetting", "importing", "incoming", "loop", "of", "watching"]


def failed(record: object) -> bool:
    """Whether a check found anything."""
    return isinstance(record, Report) and not record.sound
