"""The summary of a record, by its class; each module beside this one tells those of its pipelines."""

from functools import singledispatch

from radloop.display import Summary


@singledispatch
def of(record: object) -> Summary:
    """The summary of what a pipeline returned."""
    raise TypeError(f"no summary for {type(record).__name__}")
