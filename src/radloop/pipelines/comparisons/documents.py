"""A comparison as it is kept: one JSON document, and the same as a page for people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from radloop import tree
from radloop.catalog import gates, models
from radloop.catalog.gates import Figures, Gates, Verdict
from radloop.measures import power
from radloop.measures.power import Plan
from radloop.pipelines.comparisons.contestants import Contestant
from radloop.words import several

_SIGNS: Final = {True: "passed", False: "**missed**", None: "unknown"}
_FIGURES: Final = ("ap", "recall")  # of `compared.FIGURES`, what a comparison keeps


@dataclass(frozen=True)
class Base:
    """What is known before the challenger is looked at."""

    split: str
    dataset: str  # the version
    gates: Gates
    plan: Plan
    cut: float | None  # both models' boxes count from this confidence on
    confidence: float  # the working point: recall is of boxes above it
    images: int
    groups: int
    truth: int  # boxes
    champion: Contestant
    challenger: Contestant
    notes: tuple[str, ...]


def planned(base: Base) -> dict[str, Any]:
    """The document of a dry run: what these images can tell; nothing of the challenger."""
    plan = base.plan
    return {
        "schema_version": models.SCHEMA_VERSION,
        "comparison": None,
        "split": base.split,
        "dataset": base.dataset,
        "champion": _named(base.champion),
        "challenger": _named(base.challenger),
        "images": base.images,
        "groups": base.groups,
        "truth": base.truth,
        "cut": base.cut,
        "confidence": base.confidence,
        "asked": base.gates.document(),
        "plan": {
            "margin": plan.margin,
            "alpha": plan.alpha,
            "agreement": plan.agreement,
            "spread": plan.spread,
            "equal_passes": plan.passing(0.0),
            "worse_passes": plan.passing(-power.WORST),
            "better_passes": plan.passing(power.WORST),
            "worse_by": power.WORST,
            "images_needed": plan.images_needed,
            "says": list(says(plan)),
        },
        "gates": [],
        "passed": True,
        "notes": list(base.notes),
    }


def whole(
    base: Base,
    name: str,
    figures: Figures,
    audit: Mapping[str, Any] | None,
    verdicts: Sequence[Verdict],
    *,
    uses: int,
    at: datetime,
) -> dict[str, Any]:
    """The document of a comparison. uses: how many distinct ones have asked the split of this version, with this."""
    alpha = base.plan.alpha
    return planned(base) | {
        "comparison": name,
        "at": at.isoformat(),
        "gates": [{"gate": one.gate, "passed": one.passed, "says": one.says} for one in verdicts],
        "passed": gates.passed(tuple(verdicts)),
        "uses": uses,
        "wear": gates.wear(uses, alpha),
        "worn": gates.wear(uses, alpha) > gates.WORN,
        "figures": _rows(figures.compared),
        "calibration": dict(figures.calibration),
        "latency_ms": None if figures.latency is None else {name: dict(one) for name, one in figures.latency.items()},
        "audit": None if audit is None else dict(audit) | {"compared": _rows(audit["compared"])},
    }


def files(document: Mapping[str, Any]) -> dict[str, bytes]:
    """What is written of it, by key of the models unit."""
    key = f"{models.COMPARISONS_FOLDER}{document['comparison']}"
    return {f"{key}.json": tree.json_file(document), f"{key}.md": page(document).encode()}


def says(plan: Plan) -> Iterator[str]:
    """What the test can tell on these images, in sentences."""
    equal, worse = plan.passing(0.0), plan.passing(-power.WORST)
    if equal is None or worse is None:
        yield "these images hold too few boxes to say how likely a challenger passes: none will"
        return
    yield (
        f"margin {plan.margin:.3f}: an equal challenger passes with {equal:.0%}, one that is worse by "
        f"{power.WORST:g} with {worse:.1%}"
    )
    needed = plan.images_needed or 0
    if needed > plan.images and plan.margin <= power.WORST:
        yield (
            f"these {plan.images:,} images are too few to tell {power.WORST:g} apart: for {power.WISH:.0%} it takes "
            f"about {needed:,}"
        )
    if plan.margin > power.WORST:
        yield f"the margin lets a challenger through that is worse by more than {power.WORST:g}: gates.yaml says so"


def wears(document: Mapping[str, Any]) -> str:
    """How often the split was asked, and what follows."""
    split, uses = document["split"], document["uses"]
    times = f"{split} of version {document['dataset']} was asked by {several(uses, 'comparison')}"
    chance = f"{document['wear']:.0%} that a challenger as bad as the margin has got through by now"
    if document["worn"]:
        return (
            f"{times}: the chance is up to {chance}. It is worn: believe the audit images, or hold out new "
            "patients in a next version"
        )
    return f"{times}: up to {chance}"


def page(document: Mapping[str, Any]) -> str:
    """The document as Markdown."""
    champion, challenger = (document[side]["name"] for side in ("champion", "challenger"))
    verdict = "passed" if document["passed"] else "missed a gate"
    return "\n".join(
        [
            f"# {challenger} after {champion}: {verdict} on {document['split']}",
            "",
            f"Comparison `{document['comparison']}`, {document['at'][:16].replace('T', ' ')} UTC, dataset version "
            f"`{document['dataset']}`: {several(document['images'], 'image')} in "
            f"{several(document['groups'], 'group')} with {several(document['truth'], 'box')} of the truth. "
            f"{_cut(document)}",
            "",
            "## Gates",
            "",
            *_table(
                ("gate", "verdict", "why"), [(g["gate"], _SIGNS[g["passed"]], g["says"]) for g in document["gates"]]
            ),
            "",
            "## What these images can tell",
            "",
            *(f"- {sentence}" for sentence in document["plan"]["says"]),
            f"- {wears(document)}",
            *(f"- {note}" for note in document["notes"]),
            "",
            "## Figures",
            "",
            "Each difference is challenger minus champion on the same images, with its 95 % interval over groups.",
            "",
            *_table(("figure", "class", "boxes", champion, challenger, "difference"), _figures(document)),
            "",
            *_audited(document),
        ]
    )


def _named(one: Contestant) -> dict[str, Any]:
    told = {"model": one.model, "name": one.full_name, "recipe": one.recipe}
    return told | {"from": "feedback" if one.detector is None else "asked now"}


def _rows(compared: pl.DataFrame) -> list[dict[str, Any]]:
    return compared.filter(pl.col("figure").is_in(_FIGURES)).to_dicts()


def _cut(document: Mapping[str, Any]) -> str:
    if document["cut"] is None:
        return "Neither kept a box."
    return f"Both models' boxes count from a confidence of {document['cut']:g} on."


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    names = {"ap": "AP@0.4", "recall": f"recall above {document['confidence']:g}"}
    for row in document["figures"]:
        mean = "mAP@0.4" if row["figure"] == "ap" else names["recall"]
        name = mean if row["class_id"] is None else names[row["figure"]]
        yield (name, row["class_name"] or "all", f"{row['truth_second']:,}", *_sides(row), _difference(row))
    error = document["calibration"]
    yield ("calibration error", "all", "", *_sides(error), _difference(error))
    for name, one in (document["latency_ms"] or {}).items():
        times = "–" if one["ratio"] is None else f"× {one['ratio']:.2f}{_interval(one, 'ratio', '.2f')}"
        yield (f"latency {name}", "", "", f"{one['first']:.1f} ms", f"{one['second']:.1f} ms", times)


def _audited(document: Mapping[str, Any]) -> Iterator[str]:
    audit = document["audit"]
    if audit is None:
        return
    yield "## This hospital's audit images"
    yield ""
    yield f"{several(audit['images'], 'image')} that people have read, with {several(audit['truth'], 'box')}."
    yield ""
    mean = [row for row in audit["compared"] if row["figure"] == "ap"]
    rows = [
        (row["class_name"] or "all (mAP)", f"{row['truth_second']:,}", *_sides(row), _difference(row)) for row in mean
    ]
    yield from _table(("class", "boxes", "champion", "challenger", "difference of AP@0.4"), rows)


def _sides(row: Mapping[str, Any]) -> tuple[str, str]:
    first, second = ("–" if row[side] is None else f"{row[side]:.3f}" for side in ("first", "second"))
    return first, second


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "–"
    return f"{row['difference']:+.3f}{_interval(row, 'difference', '+.3f') or ' (too few to say more)'}"


def _interval(row: Mapping[str, Any], name: str, form: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_cell, head))} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
