"""How it reads what a detector was found to take (`radloop simulate --find-capacity`)."""

from collections.abc import Mapping
from typing import Any, Final

from radloop.display import Grid, Summary
from radloop.pipelines.online import Simulation
from radloop.pipelines.simulator.measuring import Measured
from radloop.simulation import capacity
from radloop.summaries.figures import percentile

_HEAD: Final = ("rate", "answered", "requests", "over, %", "late, %", "p99", "bound")


def summary(record: Simulation, measured: Measured) -> Summary:
    """What is known of the largest rate, then every rate that was tried."""
    trials = measured.trials
    best = trials.filter(verdict="kept", rate=measured.rate).row(0, named=True) if measured.rate else None
    return Summary(
        f"{_known(measured)}{', stopped by a signal' if record.stopped else ''}",
        facts=(
            ("run", record.run_id),
            ("detector", f"{record.detector}, {measured.alone_ms:,.1f} ms a request alone"),
            *(_at(best) if best else ()),
            ("valid", _validity(measured)),
            ("errors", ", ".join(f"{times:,}× {kind}" for kind, times in measured.errors.items()) or "none"),
            ("feedback", "none: nothing was written but the log"),
            ("log", str(record.log)),
        ),
        grids=(Grid("rates in requests a second, latencies in ms", (_HEAD, *map(_cells, trials.to_dicts()))),),
        notes=record.notes,
    )


def _known(measured: Measured) -> str:
    bound = f"99 % of requests within {measured.p99_ms:g} ms"
    if measured.is_found:
        return f"{bound}: up to {_rate(measured.rate)} requests a second, not {_rate(measured.missed)}"
    ends = [
        *([f"at least {_rate(measured.rate)}"] if measured.rate else []),
        *([f"below {_rate(measured.missed)}"] if measured.missed else []),
    ]
    why = "not enough requests to say more"
    if measured.late is not None:
        why = f"from {_rate(measured.late)} on this machine sent them late"
    return f"{bound}: {', '.join(ends)} requests a second; {why}"


def _at(best: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    said = "by their count" if best["by_count"] else "by early stopping"
    return (
        ("rate", f"{_rate(best['rate'])} intended, {_rate(best['per_second'])} answered a second"),
        ("p99", f"{percentile(best, 'p99_ms')} ms"),
        ("requests", f"{best['requests']:,}, enough {said}; {best['late']:,} late, {best['dropped']:,} dropped"),
    )


def _validity(measured: Measured) -> str:
    if measured.is_valid:
        return "yes"
    if measured.late is not None:
        return (
            f"no: over {capacity.LATE_SHARE:.0%} of the requests of a rate were sent late, so that another load was "
            "measured. Use a machine that has nothing else to do, or a longer --p99-ms"
        )
    return (
        f"no: too few requests. p99 is known from {capacity.ENOUGH:,} of a rate, or from fewer that leave no doubt: "
        "give more --max-minutes"
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    shares = (f"{100 * row[name] / row['requests']:.2f}" if row["requests"] else "" for name in ("over", "late"))
    answered, requests = _rate(row["per_second"]), f"{row['requests']:,}"
    return (_rate(row["rate"]), answered, requests, *shares, percentile(row, "p99_ms"), row["verdict"])


def _rate(value: float | None) -> str:
    """Requests a second, to three digits or more.

    >>> _rate(1.0449), _rate(1546.2)
    ('1.04', '1,546')
    """
    if value is None:
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
