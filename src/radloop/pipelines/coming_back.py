"""What comes back to a dataset, read as the options declare it."""

from collections.abc import Collection
from datetime import UTC, datetime

from radloop import parts
from radloop.catalog.version import Version
from radloop.feedback import cache
from radloop.feedback.rows import Records
from radloop.progress import Progress
from radloop.simulation import journal
from radloop.tables import FEEDBACK


def feedback(
    options: parts.ReadFeedback,
    known: Version,
    *,
    keep: bool,
    columns: Collection[str] = FEEDBACK,
    jobs: int,
    progress: Progress,
) -> Records:
    """Every feedback, with `columns` of FEEDBACK; with `keep` what was read is kept under OUT.

    Raises FeedbackError where the folder as a whole is in another convention than the options declare.
    """
    folder, convention = options.feedback_folder, options.convention
    return cache.read(
        folder,
        known.taxonomy,
        cache.path(options.out, folder, known.taxonomy, convention) if keep else None,
        convention=convention,
        readings=known.readings,
        now=datetime.now(UTC),
        columns=columns,
        jobs=jobs,
        progress=progress,
    )


def wait(options: parts.Waiting, progress: Progress) -> tuple[str, ...]:
    """Wait for the runs of the simulator that still play; what still does at the end, as a note."""
    seconds = options.wait.seconds
    return tuple(
        f"run {run} of the simulator still plays ({options.log_file}): only what it had written by now was read. "
        f"--wait {'30m waits for its end' if not seconds else 'can be longer'}"
        for run in journal.wait(options.log_file, seconds, progress=progress)
    )


def zoneless(found: Records, reviews: int, time_zone: str) -> tuple[str, ...]:
    """How many times told no zone, as a note; none where all did."""
    count = int((~found.feedback["zoned"].fill_null(value=True)).sum()) + reviews
    if not count:
        return ()
    times = "1 time" if count == 1 else f"{count:,} times"
    other = "" if time_zone != "UTC" else ": --time-zone names another"
    return (f"{times} without a zone were read as {time_zone}{other}",)
