"""How it reads what came back from another tool."""

from typing import Final

from radloop.display import Grid, Summary
from radloop.pipelines.importing import Imported
from radloop.summaries.registry import of
from radloop.words import several

MOST_REFUSED: Final = 10


@of.register
def _imported(record: Imported) -> Summary:
    verdicts = ", ".join(f"{times:,} {verdict}" for verdict, times in record.verdicts.items())
    head = ("place", "code", "reason")
    rows = [tuple(map(str, row)) for row in record.refused.select(head).head(MOST_REFUSED).iter_rows()]
    more = record.refused.height - len(rows)
    return Summary(
        f"{'wrote' if record.done else 'would write'} {several(record.written, 'review')} of {record.file}",
        facts=(
            ("annotations", f"{record.readings:,} submitted, {record.known:,} of them not new"),
            ("verdicts", verdicts or "none"),
            ("reviewers", f"{record.reviewers:,}"),
            ("unread", several(record.unread, "image")),
            ("refused", f"{record.refused.height:,}"),
            ("folder", str(record.folder)),
        ),
        grids=(Grid("refused" + (f", and {more:,} more" if more else ""), (head, *rows)),) if rows else (),
        notes=record.notes,
        following=("radloop retrain",) if record.written and record.done else (),
    )
