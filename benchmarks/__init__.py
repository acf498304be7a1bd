"""What radloop costs, beside others and beside the least that it could cost: `python -m benchmarks` (make bench)."""

from contextlib import suppress

with suppress(ImportError):  # opponents run without it
    import radloop  # noqa: F401 - first, as in its own command: polars is set up by it
