"""How a figure with its interval reads."""

from collections.abc import Mapping
from typing import Any, Final

LARGE: Final = 100  # from here on a measure is shown without decimals


def interval(row: Mapping[str, Any], name: str) -> str:
    """The figure and its interval; "too few" where there is none, "–" where nothing is there to count."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if row[name] is None:
        return "–"
    return f"{row[name]:.2f} (too few)" if low is None else f"{row[name]:.2f} ({low:.2f}–{high:.2f})"


def short(value: float | None) -> str:
    """A count, or a measure as far as a person reads it."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if value < LARGE else f"{value:,.0f}"


def percentile(row: Mapping[str, Any], name: str) -> str:
    """A percentile of `measures.latency.PERCENTILES` and its interval; "too few" where there is too little to say."""
    value, low, high = (row[name.replace("_ms", f"{end}_ms")] for end in ("", "_low", "_high"))
    return "too few" if value is None else f"{short(value)} ({short(low)}–{short(high)})"
