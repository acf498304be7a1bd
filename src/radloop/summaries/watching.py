"""How it reads what a watcher of a PACS did."""

from radloop.display import Summary
from radloop.pipelines.watching import Watched
from radloop.summaries.registry import of
from radloop.words import several


@of.register
def _watched(record: Watched) -> Summary:
    if not record.done:
        return Summary(f"would look at studies of {record.address}: {record.studies:,}; nothing was written")
    splits = ", ".join(f"{count:,} {split}" for split, count in record.splits.items())
    refused = ", ".join(f"{count:,}× {code}" for code, count in record.refused.items())
    held = (f"{several(record.held, 'picture')} may have text in its pixels: look at {record.quarantine}",)
    return Summary(
        f"watched {record.address} with {record.detector}{', stopped by a signal' if record.stopped else ''}",
        facts=(
            ("run", record.run_id),
            ("studies", f"{record.studies:,} with an image"),
            ("images", f"{record.images:,} new; answered: {splits or 'none'}"),
            ("feedback", f"{record.written:,} files in {record.feedback}"),
            ("reports", f"{record.reports:,} stored"),
            ("reviews", f"{record.reviews:,} of people's reports"),
            ("refused", refused or "none"),
            ("waits", f"{record.waits:,}"),
            ("log", str(record.log)),
        ),
        notes=(*record.notes, *(held if record.held else ())),
    )
