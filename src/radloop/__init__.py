"""radloop: a closed-loop data pipeline for radiology detection."""

import os

# Polars keeps the memory that it has freed for a while; giving it back sooner takes a fifth off the peak, and giving it
# back at once would cost more time than it is worth. It looks when it is first imported.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:20,muzzy_decay_ms:0")

__version__: str


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: that takes longer than all else at the start of a command."""
    if name == "__version__":
        from importlib.metadata import version

        return version("radloop")
    raise AttributeError(name)
