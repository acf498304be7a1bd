"""How each pipeline's result reads on a terminal, and whether it is one to be glad of."""

from radloop.pipelines.checking import Report
from radloop.pipelines.offline import EtlPreview, Loaded, Transformed
from radloop.pipelines.retraining import Retrained
from radloop.summaries import dataset, loop
from radloop.summaries.registry import of

__all__ = ["dataset", "failed", "loop", "of", "refused_rows"]


def failed(record: object) -> bool:
    """Whether a check found anything."""
    return isinstance(record, Report) and not record.sound


def refused_rows(record: object) -> int:
    """How many rows or files a run refused; 0 for what has none."""
    if isinstance(record, Retrained):
        return record.refused.height
    transformed = record.transformed if isinstance(record, Loaded | EtlPreview) else record
    return transformed.rows_refused if isinstance(transformed, Transformed) else 0
