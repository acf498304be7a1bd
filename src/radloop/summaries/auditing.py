"""How it reads whether anything was changed that people said or programs did."""

from radloop.display import Grid, Summary
from radloop.pipelines.auditing import Exported, Verified
from radloop.summaries.registry import of, status
from radloop.words import Exit, several

_MOST: int = 20


@of.register
def _verified(record: Verified) -> Summary:
    wrong = record.faults
    rows = [
        (row["file"] if row["line"] is None else f"{row['file']}:{row['line']}", row["code"], row["reason"])
        for row in wrong.head(_MOST).iter_rows(named=True)
    ]
    more = [(f"… and {wrong.height - _MOST:,} more", "", "")] if wrong.height > _MOST else []
    signed, others = record.feedback["signed"], record.feedback["others"]
    return Summary(
        f"{several(wrong.height, 'thing')} changed" if wrong.height else "nothing was changed",
        facts=(
            ("log", several(record.lines, "line")),
            *(("head", f"{name}: line {end.seq}, {end.sha256}") for name, end in record.ends.items()),
            ("reviews", f"{record.reviews:,} in {several(record.heads.height, 'chain')}"),
            ("forks", f"{record.forks.height:,} reviews go on from one that another goes on from, too"),
            ("pinned", f"{several(record.pinned, 'head')} by earlier rounds"),
            ("feedback", f"{signed:,} with ids of their content, {others:,} without"),
        ),
        grids=(Grid("what is wrong", (("where", "code", "why"), *rows, *more)),) if rows else (),
        notes=tuple(f"begun, and not ended: {one}" for one in record.open),
    )


@status.register
def _ended(record: Verified) -> Exit:
    return Exit.FAILED if record.faults.height else Exit.DONE


@of.register
def _exported(record: Exported) -> Summary:
    return Summary(
        f"{several(record.lines, 'line')} of the audit log {'written' if record.done else 'would be written'}",
        facts=(("folder", str(record.folder)),),
    )
