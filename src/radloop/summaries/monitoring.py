"""How it reads whether anything has changed, and whether a round is due."""

from radloop.display import Grid, Summary
from radloop.pipelines.exposing import Exposed
from radloop.pipelines.monitoring import Monitored
from radloop.summaries.registry import of, status
from radloop.words import Exit


@of.register
def _monitored(record: Monitored) -> Summary:
    report = record.report
    due = [one for one in report.due if one.due]
    tested = [one for one in report.figures if one.statistic is not None]
    reference = report.reference
    since = "no feedback" if reference.since is None else f"{reference.since:%Y-%m-%d %H:%M} UTC: {reference.why}"
    figures = [
        (one.figure, f"{one.n:,}", f"{one.statistic:,.1f}", f"{one.threshold:,.0f}", one.says)
        for one in tested
        if one.statistic is not None
    ]
    few = [one.figure for one in report.figures if one.statistic is None]
    return Summary(
        f"due: {', '.join(one.rule for one in due)}" if due else "nothing is due",
        facts=(
            ("model", reference.model or "none"),
            ("since", since),
            ("figures", f"{len(tested)} of {len(report.figures)} tested"),
            *((("too few to say", ", ".join(few)),) if few else ()),
            ("alarms", ", ".join(f"{one.figure} ({one.at:%Y-%m-%d})" for one in report.alarms) or "none"),
            ("report", str(record.path) if record.done else f"{record.path} would be written"),
        ),
        grids=(
            Grid(
                "due",
                (("rule", "due", "says"), *((one.rule, "yes" if one.due else "no", one.says) for one in report.due)),
            ),
            *((Grid("figures", (("figure", "images", "evidence", "alarm at", "says"), *figures)),) if figures else ()),
        ),
        notes=record.notes,
        following=("radloop retrain",) if due else (),
    )


@status.register
def _ended(record: Monitored) -> Exit:
    return Exit.DUE if record.is_due else Exit.DONE


@of.register
def _exposed(record: Exposed) -> Summary:
    return Summary(
        f"Prometheus was answered at {record.address}",
        facts=(("looks", f"{record.looks:,}"), ("failed", f"{record.failures:,}"), ("log", str(record.log))),
        notes=record.notes,
    )
