"""What becomes of a run that would refuse too much: nothing is written but the list of what was refused."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from radloop import files, tree
from radloop.dataset import findings, refusal
from radloop.dataset.findings import Validated
from radloop.dataset.refusal import Limit
from radloop.errors import RefusedError, StrictError
from radloop.options import Transform


def limit(options: Transform) -> Limit:
    """How many rows may be refused."""
    return Limit(options.max_refused, options.strict)


def with_pictures(
    options: Transform, valid: Validated, pictures: pl.DataFrame, *, name: str, hint: str = ""
) -> Validated:
    """The rows whose picture is there and sound (`findings.require_pictures`).

    Raises RefusedError or StrictError, with the table's `name`, where more rows or readings are refused than may be;
    `hint` says why pictures may be missing.
    """
    valid = findings.require_pictures(valid, pictures)
    kept, lost = valid.findings.select("image_id", "rad_id").n_unique(), valid.lost.height
    missing = (valid.rejected["code"] == "picture-missing").any()
    limit(options).require(
        valid.rejected,
        rows=valid.findings.height + valid.rejected.height,
        lost=lost,
        readings=kept + lost,
        name=name,
        hint=hint if missing else "",
    )
    return valid


@contextmanager
def kept_beside(options: Transform) -> Iterator[None]:
    """Where too many rows are refused, OUT/rejected.csv holds them; the next success removes it."""
    path = options.out / tree.REJECTED
    try:
        yield
    except (RefusedError, StrictError) as stopped:
        if options.dry_run or stopped.rejected is None:
            raise
        files.write_atomic(path, refusal.file(stopped.rejected))
        raise type(stopped)(f"{stopped} {path} has all of them.", rejected=stopped.rejected) from stopped
    if not options.dry_run:
        path.unlink(missing_ok=True)
