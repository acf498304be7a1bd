"""How it reads whether a model may follow another, and what an alias means now."""

from collections.abc import Iterator, Mapping
from typing import Any

from radloop.display import Grid, Summary
from radloop.pipelines.comparing import Compared
from radloop.pipelines.comparisons import documents
from radloop.pipelines.promoting import FORCED, Moved
from radloop.summaries.registry import of, status
from radloop.words import Exit, several


@status.register
def _missed(record: Compared) -> Exit:
    return Exit.DONE if record.passed else Exit.GATE_MISSED


@of.register
def _compared(record: Compared) -> Summary:
    last = record.comparisons[-1]
    champion, challenger = (last[side]["name"] for side in ("champion", "challenger"))
    verdict = "has passed" if record.passed else f"has missed a gate on {last['split']}"
    title = f"{challenger} {verdict}, compared with {champion}" if record.done else f"what {last['split']} can tell"
    return Summary(
        title,
        facts=tuple(fact for one in record.comparisons for fact in _facts(record, one)),
        grids=tuple(_gates(one) for one in record.comparisons if record.done),
        notes=tuple(dict.fromkeys(note for one in record.comparisons for note in one["notes"])),
        following=_following(record, last),
    )


def _facts(record: Compared, one: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield (
        one["split"],
        f"{several(one['images'], 'image')} in {several(one['groups'], 'group')}, "
        f"{several(one['truth'], 'box')}, version {one['dataset']}",
    )
    for sentence in one["plan"]["says"]:
        yield "power", sentence
    if record.done:
        yield "asked", documents.wears(one)
        yield "page", str(record.folder / f"{one['comparison']}.md")


def _gates(one: Mapping[str, Any]) -> Grid:
    signs = {True: "passed", False: "missed", None: "unknown"}
    rows = [(gate["gate"], signs[gate["passed"]], gate["says"]) for gate in one["gates"]]
    return Grid(f"gates on {one['split']}", (("gate", "verdict", "why"), *rows))


def _following(record: Compared, last: Mapping[str, Any]) -> tuple[str, ...]:
    if not record.done or not record.passed:
        return ()
    if last["split"] == "staging":
        return ("the same command with --splits canary",)
    return (f"radloop promote {last['challenger']['model']} (or onnx:MODEL.onnx, where it is not kept yet)",)


@of.register
def _moved(record: Moved) -> Summary:
    verb = "means" if record.done else "would mean"
    passed = ", ".join(f"{split} ({one})" for split, one in record.verdict.items() if one and split != FORCED)
    return Summary(
        f"{record.alias} {verb} {record.model}{'' if record.done else '; nothing was written'}",
        facts=(
            ("before", record.previous or "none"),
            *((("passed", passed or "nothing"),) if record.action == "promote" else ()),
            *((("forced", str(record.verdict[FORCED])),) if FORCED in record.verdict else ()),
            ("kept in", f"{record.address}/models and {record.folder}"),
        ),
        notes=record.notes,
        following=(f"radloop simulate --detector {record.alias}",) if record.done else (),
    )
