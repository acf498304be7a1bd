"""How it reads what was attested."""

from radloop.display import Summary
from radloop.pipelines.attesting import Attested
from radloop.summaries.registry import of
from radloop.words import several


@of.register
def _attested(record: Attested) -> Summary:
    files = ", ".join(f"{count:,} of {part}" for part, count in record.counts.items())
    where = str(record.folder) + (f", and in {record.address}" if record.address else "")
    return Summary(
        f"attested version {record.version}" if record.done else f"would attest {record.version}; nothing was written",
        facts=(
            *((("attestation", record.attestation),) if record.attestation else ()),
            ("key", record.key),
            ("follows", record.previous or "none: it is the first"),
            ("files", files),
            ("reviewers", f"{several(record.heads, 'chain')} pinned"),
            *((("where", where),) if record.done else ()),
        ),
        notes=record.notes,
        following=(f"radloop check --attestation {record.folder} --key PUBLIC_KEY {record.folder.parent.parent}",)
        if record.done
        else (),
    )
