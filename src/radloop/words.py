"""The field's fixed words. Nothing heavy is imported here: the command line reads them before it knows its command."""

from typing import Final, Literal, get_args

Split = Literal["training", "validation", "test", "staging", "canary", "production"]

SPLITS: Final[tuple[Split, ...]] = get_args(Split)
HELD_OUT: Final[tuple[Split, ...]] = ("validation", "test", "staging", "canary")

ConfidenceUnit = Literal["fraction", "percent"]
TimeUnit = Literal["iso", "seconds", "milliseconds"]  # since 1970, where it is a number

# What the user says of the frame that the boxes are in; auto: nothing.
Boxes = Literal["auto", "original", "picture", "scaled", "fraction", "percent"]
