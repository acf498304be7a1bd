"""radloop: a closed-loop data pipeline for radiology detection.

    import radloop

    radloop.etl(source="my-xrays", out="data")  # what `radloop etl --source my-xrays --out data` does
    dataset = radloop.open("data")  # or a store: radloop.open("chi_tacc:my-container")
    dataset.annotations.filter(split="test")  # a polars data frame; to_pandas() where pandas is installed

Nothing is loaded before it is used.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from radloop import errors as errors
    from radloop import options as options
    from radloop.api.dataset import Box as Box
    from radloop.api.dataset import Dataset as Dataset
    from radloop.api.dataset import Image as Image
    from radloop.api.dataset import open_dataset as open  # noqa: A004  as gzip.open and Image.open are called
    from radloop.api.steps import etl as etl
    from radloop.api.steps import evaluate as evaluate
    from radloop.api.steps import export as export
    from radloop.api.steps import extract as extract
    from radloop.api.steps import forget as forget
    from radloop.api.steps import import_reviews as import_reviews
    from radloop.api.steps import ingest as ingest
    from radloop.api.steps import load as load
    from radloop.api.steps import prune as prune
    from radloop.api.steps import pull as pull
    from radloop.api.steps import retrain as retrain
    from radloop.api.steps import review as review
    from radloop.api.steps import rollback as rollback
    from radloop.api.steps import simulate as simulate
    from radloop.api.steps import transform as transform
    from radloop.api.steps import versions as versions
    from radloop.api.steps import watch as watch
    from radloop.split_sizes import SplitSizes as SplitSizes

# Polars keeps the memory that it has freed for a while; giving it back sooner takes a fifth off the peak, and giving it
# back at once would cost more time than it is worth. It looks when it is first imported.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:20,muzzy_decay_ms:0")

__version__: str

__all__ = [
    "Box",
    "Dataset",
    "Image",
    "SplitSizes",
    "errors",
    "etl",
    "evaluate",
    "export",
    "extract",
    "forget",
    "import_reviews",
    "ingest",
    "load",
    "open",
    "options",
    "prune",
    "pull",
    "retrain",
    "review",
    "rollback",
    "simulate",
    "transform",
    "versions",
    "watch",
]

_ROOMS = {"errors": "radloop", "options": "radloop", "SplitSizes": "radloop.split_sizes"}
_ROOMS |= dict.fromkeys(("Box", "Dataset", "Image", "open"), "radloop.api.dataset")


if not TYPE_CHECKING:  # a type checker would take every name for one of radloop's

    def __getattr__(name: str) -> object:
        """Load a name of `__all__`, or look up `__version__`, when it is first asked for."""
        import importlib

        if name == "__version__":
            from importlib.metadata import version

            return version("radloop")
        if name not in __all__:
            raise AttributeError(f"module 'radloop' has no attribute {name!r}")
        room = _ROOMS.get(name, "radloop.api.steps")
        if room == "radloop":
            return importlib.import_module(f"radloop.{name}")
        found = getattr(importlib.import_module(room), "open_dataset" if name == "open" else name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    """What is for a caller, loaded or not."""
    return [*__all__, "__version__", "__doc__"]
