"""How an option is declared: a field of a dataclass, with what its type and its default do not say."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

T = TypeVar("T")

ABOUT: Final = "about"  # the key of an option in a field's metadata


@dataclass(frozen=True)
class About:
    """What is to be known of an option beyond its name, its type and its default."""

    help: str
    shown: str = ""  # how the default reads where its value does not say it, such as OUT/organized
    argument: str = ""  # the name of an argument without a flag, such as IMAGE_ID
    flag: bool = True  # False: the environment alone
    ours: bool = True  # whether RADLOOP_ and its name is a variable
    also: tuple[str, ...] = ()  # further variables, which users know
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    parse: Callable[[str], object] | None = None  # for a type of our own: raises UsageError without naming the option
    secret: bool = False  # shown in no representation
    commas: bool = False  # of several values: one text with commas. Else the flag several times, or a value a line


def option(default: T, about: About | str) -> T:
    """A field with a default; a text is its help."""
    described = about if isinstance(about, About) else About(about)
    made: T = field(default=default, repr=not described.secret, metadata={ABOUT: described})
    return made


def switch(about: str) -> bool:
    """A field that is false unless its flag is given: it speaks of one call, so that no variable sets it."""
    return option(False, About(about, ours=False))
