"""How a figure with its interval reads."""

from collections.abc import Mapping
from typing import Any


def interval(row: Mapping[str, Any], name: str) -> str:
    """The figure and its interval; "too few" where there is none, "–" where nothing is there to count."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if row[name] is None:
        return "–"
    return f"{row[name]:.2f} (too few)" if low is None else f"{row[name]:.2f} ({low:.2f}–{high:.2f})"
