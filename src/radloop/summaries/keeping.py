"""How it reads what was backed up and restored."""

from radloop.display import Summary, size
from radloop.pipelines.backing_up import BackedUp
from radloop.pipelines.restoring import Restored
from radloop.summaries.registry import of, status
from radloop.words import Exit, several


@of.register
def _backed_up(record: BackedUp) -> Summary:
    done = "backed up" if record.done else "would back up"
    return Summary(
        f"{done} {several(record.files, 'file')}, {size(record.bytes)}, to {record.address}",
        facts=(
            ("backup", record.backup or "none"),
            (
                "new",
                f"{several(record.new_files, 'file')}, {size(record.new_bytes)}, in {several(record.parts, 'part')}",
            ),
            ("encrypted", "yes" if record.encrypted else "no"),
            ("backups there", f"{record.kept:,}"),
            *((("removed", several(record.removed, "part")),) if record.removed else ()),
            ("left out", "; ".join(record.left_out) or "nothing"),
        ),
        notes=record.notes,
    )


@of.register
def _restored(record: Restored) -> Summary:
    done = "restored" if record.done else "verified, and would restore"
    return Summary(
        f"{done} {several(record.files, 'file')}, {size(record.bytes)}, to {record.out}",
        facts=(
            ("backup", f"{record.backup}, made {record.created_at:%Y-%m-%d %H:%M} UTC: what came later is not in it"),
            ("forgotten since", several(record.forgotten, "image")),
        ),
        notes=record.notes,
        following=(f"radloop check {record.out}",) if record.done else (),
    )


@status.register
def _ended(record: Restored) -> Exit:
    return Exit.FAILED if record.lost else Exit.DONE
