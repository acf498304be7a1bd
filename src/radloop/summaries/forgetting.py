"""How it reads what was forgotten: counts alone, never whose it was."""

from radloop.display import Summary
from radloop.pipelines.forgetting import Forgot
from radloop.summaries.registry import of
from radloop.words import several


@of.register
def _forgot(record: Forgot) -> Summary:
    version = "none" if record.version is None else record.version
    if record.previous not in (None, record.version):
        version += f", which follows {record.previous}"
    return Summary(
        f"{'forgot' if record.done else 'would forget'} {several(record.images, 'image')}",
        facts=(
            *((name, f"{count:,}") for name, count in record.removed.items() if count),
            ("dataset", version),
            ("fewer images", ", ".join(f"{count:,} in {split}" for split, count in record.splits.items()) or "none"),
            ("tombstones", f"{record.tombstones:,}"),
        ),
        notes=record.notes,
    )
