"""A record's summary and exit status, by its class; each module beside this one tells those of its pipelines."""

from functools import singledispatch

from radloop.display import Summary
from radloop.words import Exit


@singledispatch
def of(record: object) -> Summary:
    """The summary of what a pipeline returned."""
    raise TypeError(f"no summary for {type(record).__name__}")


@singledispatch
def status(record: object) -> Exit:
    """How a command ends that printed this record."""
    return Exit.DONE
