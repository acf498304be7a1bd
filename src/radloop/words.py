"""The field's fixed words. Nothing heavy is imported here: the command line reads them before it knows its command."""

from typing import Final, Literal, get_args

Split = Literal["training", "validation", "test", "staging", "canary", "production"]

SPLITS: Final[tuple[Split, ...]] = get_args(Split)
HELD_OUT: Final[tuple[Split, ...]] = ("validation", "test", "staging", "canary")

Boxes = Literal["auto", "original", "scaled"]  # what the user says of the boxes' pixels; auto: nothing
