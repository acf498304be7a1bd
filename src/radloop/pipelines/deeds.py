"""What changes a dataset, a store or a model is a deed of the audit log of OUT."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from radloop import manifest
from radloop.catalog import audit_lines, audit_log, rounds
from radloop.catalog.audit_lines import Line, Value, What
from radloop.catalog.audit_log import Deed
from radloop.errors import DatasetError, RadloopError
from radloop.storage import Store, layout


@contextmanager
def deed(
    out: Path,
    what: What,
    subject: str,
    *,
    current: Callable[[], Value],
    new: Value = None,
    writing: bool = True,
    durable: bool = False,
) -> Iterator[Deed]:
    """Tell the log that something is begun, and how it ended; with not `writing` nothing is told.

    current: tells what the subject is just now, and so what became of the last such deed, if that was cut off. Raises
    AuditError, before anything is done, where the log cannot be written.
    """
    if not writing:
        yield Deed(0, None, new)
        return
    log = audit_log.of(out, f"radloop {what}", durable=durable)
    if not audit_lines.paths(log.folder) and (earlier := rounds.pinned(out / manifest.RETRAIN_UNIT)):
        log.begin({rounds.BEFORE_LOG: len(earlier)})

    def happened(line: Line) -> bool | None:
        return _plain(line.new) == current() if (line.what, line.subject) == (what, subject) else None

    log.settle(happened)
    with log.deed(what, subject, new=new) as told:
        yield told


def _plain(new: Value) -> Value:
    return new.get("version") if isinstance(new, Mapping) else new


def place(address: str) -> str:
    """An address as the log tells it: without the parameters of a remote that is named in full, which have secrets."""
    return address.partition(",")[0] if address.startswith(":") else address


def version_of(folder: Path) -> Callable[[], str | None]:
    """Tells the version of the unit in a folder; None where there is none that can be read."""

    def version() -> str | None:
        try:
            listed = manifest.read(folder)
        except DatasetError:
            return None
        return None if listed is None else manifest.version(listed)

    return version


def published(store: Store) -> Callable[[], str | None]:
    """Tells the version of the dataset in a store; None where there is none that can be read."""

    def version() -> str | None:
        with suppress(RadloopError):
            table = layout.read_manifest(store, prefix=manifest.UNIT)
            return None if table is None else manifest.version(table)
        return None

    return version
