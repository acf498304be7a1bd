"""What a run is told: the options of its step, each from its flag, else from the environment, else its default.

A person's words are read here and nowhere else; behind this border an option has its type. Its variable is `RADLOOP_`
and its name in capitals, or a name that users of this system know; an empty variable is one that was not set.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from radloop.errors import UsageError
from radloop.option import ABOUT, About
from radloop.parts import Step

S = TypeVar("S", bound=Step)
Given = str | bool | Sequence[str]  # a value's text, whether a flag without a value stands there, a flag's texts

PREFIX: Final = "RADLOOP_"
_LONGEST: Final = 60  # characters of a value that an error shows
_REPEATABLE: Final = "repeatable; in the environment one a line"
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
# what many commands share stands behind what is a command's own
_LAST: Final = ("seed", "durable", "jobs", "engine", "ray_address", "dry_run", "strict", "json")


@dataclass(frozen=True)
class Kind:
    """How one value is read from its text; `read` raises ValueError, or UsageError where it can say more."""

    read: Callable[[str], object]
    expected: str  # behind "it has to be"
    placeholder: str  # behind the flag
    choices: tuple[str, ...] = ()  # where it is one of a few words


@dataclass(frozen=True)
class Setting:
    """One option of a step, as a person names it."""

    name: str
    about: About
    kind: Kind
    default: Any  # MISSING: it has to be given
    boolean: bool = False
    optional: bool = False  # it may be None
    several: bool = False

    @property
    def flag(self) -> str | None:
        """`--keep-old`; None for an argument without a flag, and for what the environment alone sets."""
        name = self.name.rstrip("_").replace("_", "-")  # from is a word of Python
        return None if self.about.argument or not self.about.flag else f"--{name}"

    @property
    def counterpart(self) -> str | None:
        """`--no-keep-old`: what a variable switches on a flag has to be able to switch off."""
        return f"--no-{self.name.replace('_', '-')}" if self.flag and self.boolean and self.variables else None

    @property
    def declared(self) -> str | None:
        """The flag as the shell declares it, with its counterpart."""
        return f"{self.flag}/{self.counterpart}" if self.counterpart else self.flag

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that it is read from; of two that are set the first wins."""
        ours = self.about.ours and not self.about.argument
        return (*((PREFIX + self.name.upper(),) if ours else ()), *self.about.also)

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING

    @property
    def expected(self) -> str:
        """What it may be, in words; empty where its help alone says it."""
        if self.several and not self.about.commas:
            return _REPEATABLE
        if self.kind.read is str or (self.boolean and not self.variables):
            return ""
        return self.kind.expected

    @property
    def described(self) -> str:
        """Its help, with its variables and its default."""
        notes = [f"env: {', '.join(self.variables)}"] if self.variables else []
        notes += [_REPEATABLE] if self.several and not self.about.commas else []
        notes += ["required"] if self.required else [f"default: {self.shown}"] if self.shown else []
        return f"{self.about.help} [{'; '.join(notes)}]" if notes else self.about.help

    @property
    def shown(self) -> str:
        """The default as a person would write it; empty where there is none to show."""
        if self.about.shown or self.default is False or self.default in (None, "", (), MISSING):
            return self.about.shown
        return self.text(self.default)

    def text(self, value: object) -> str:
        """The text that a variable holds for `value`."""
        if isinstance(value, tuple):
            return self._separator.join(self.text(item) for item in value)
        if isinstance(value, bool):
            return str(value).lower()
        return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)

    def words(self, value: Any) -> list[str]:
        """The flags that mean `value`; none where there is no flag."""
        if self.flag is None:
            return []
        if self.boolean:
            return [flag for flag in (self.flag if value else self.counterpart,) if flag]
        texts = [""] if value is None else value if self.several and not self.about.commas else [value]
        return [f"{self.flag}={self.text(text)}" for text in texts or [""]]

    def read(self, given: Given, named: str) -> object:
        """The value of what was given under the name `named`. Raises UsageError, which names it."""
        if isinstance(given, bool):
            return given
        if not self.several:
            return None if self.optional and not given else self._one(str(given), named)
        texts = [given] if isinstance(given, str) else given
        parts = [part.strip() for text in texts for part in text.split(self._separator) if part.strip()]
        if parts or not (self.optional or self.default):
            return tuple(self._one(part, named) for part in parts)
        return None if self.optional else self._one("", named)

    def accept(self, value: object, named: str) -> object:
        """The value that a program gave under the name `named`, held to what its text may be. Raises UsageError."""
        if value is None and self.optional:
            return None
        if self.several and not isinstance(value, str):
            if not isinstance(value, Iterable) or isinstance(value, Mapping):
                raise UsageError(f"{named}: {str(value)[:_LONGEST]!r} cannot be used: it has to be a list of texts.")
            texts = [self._text_of(item, named) for item in value]
            if self.optional and not texts:
                raise UsageError(f"{named}: an empty list cannot be used: name some, or None for the default.")
            return self.read(texts, named)
        if self.boolean and isinstance(value, bool):
            return value
        return self.read(self._text_of(value, named), named)

    def _text_of(self, value: object, named: str) -> str:
        """The text of one value that a program gave; where a text is asked for, only a text or a path has one."""
        if value is None or (self.kind.read in (str, _path) and not isinstance(value, str | os.PathLike)):
            expected = self.kind.expected or "another value"
            raise UsageError(f"{named}: {str(value)[:_LONGEST]!r} cannot be used: it has to be {expected}.")
        return self.text(value)

    @property
    def _separator(self) -> str:
        return "," if self.about.commas else "\n"

    def _one(self, text: str, named: str) -> object:
        try:
            return self.kind.read(text)
        except UsageError as wrong:
            raise UsageError(f"{named}: {wrong}") from wrong
        except ValueError:
            raise UsageError(
                f"{named}: {text[:_LONGEST]!r} cannot be used: it has to be {self.kind.expected}."
            ) from None


def load(step: type[S], flags: Mapping[str, Given | None] | None = None) -> S:
    """The options of one run of `step`; a flag that is None was not given.

    Raises UsageError naming the flag or the variable, its value and what it may be.
    """
    values: dict[str, Any] = {}
    for setting in of(step):
        given = (flags or {}).get(setting.name)
        named = setting.flag or setting.about.argument
        if given is None or given == []:  # the shell's own way to say that a flag was not given
            named = next((name for name in setting.variables if os.environ.get(name)), "")
            given = os.environ[named] if named else None
        if given is not None:
            values[setting.name] = setting.read(given, named)
        elif setting.required:
            also = f" or {setting.variables[0]}" if setting.variables else ""
            raise UsageError(f"{setting.flag or setting.about.argument}{also} is missing: {setting.about.help}")
    return step(**values)


def parse(step: type[S], arguments: Sequence[str]) -> S:
    """The options of a script that is not a command of radloop, from its `--flag VALUE …` and the environment."""
    from argparse import ArgumentParser, BooleanOptionalAction

    parser = ArgumentParser(prog=f"radloop {step.__name__.lower()}", allow_abbrev=False)
    for setting in of(step):
        if setting.flag and setting.boolean:
            parser.add_argument(setting.flag, dest=setting.name, action=BooleanOptionalAction)
        elif setting.flag:
            parser.add_argument(setting.flag, dest=setting.name, action="append" if setting.several else "store")
    return load(step, vars(parser.parse_args(arguments)))


def words(chosen: Step) -> list[str]:
    """The command line that means `chosen`, whatever the environment says."""
    told = [(setting, getattr(chosen, setting.name)) for setting in of(type(chosen))]
    flags = [word for setting, value in told for word in setting.words(value)]
    arguments = [setting.text(value) for setting, value in told if setting.about.argument]
    return [*flags, *(("--", *arguments) if arguments else ())]


def of(step: type[Step]) -> tuple[Setting, ...]:
    """The options of a step, in the order of its help."""
    hints = get_type_hints(step, include_extras=True)
    found = [_setting(field, hints[field.name]) for field in dataclasses.fields(step) if field.init]
    ranks = {name: rank for rank, name in enumerate(_LAST, 2)} | {"out": 0}
    return tuple(sorted(found, key=lambda setting: 0 if setting.about.argument else ranks.get(setting.name, 1)))


def _setting(field: "dataclasses.Field[Any]", hint: Any) -> Setting:
    about = field.metadata.get(ABOUT)
    if get_origin(hint) is Annotated:
        hint, about = get_args(hint)
    optional = get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)  # a Literal | None is a Union
    if optional:
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    several = get_origin(hint) is tuple
    if several:
        hint, _ = get_args(hint)
    factory = field.default_factory
    default = field.default if factory is MISSING else factory()
    if not isinstance(about, About):
        raise TypeError(f"{field.name} is no option: make it by radloop.option.option")
    return Setting(field.name, about, _kind(hint, about), default, hint is bool, optional, several)


def _kind(hint: Any, about: About) -> Kind:
    if about.parse:
        return Kind(about.parse, "", "TEXT")
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        chosen = _alternatives(choices)
        return Kind(lambda text: choices[choices.index(text.strip())], chosen, "|".join(choices), choices)
    if hint is bool:
        return Kind(_truth, "true or false", "")
    if hint is int or hint is float:
        whole = hint is int
        expected = f"a {'whole ' if whole else ''}number{_range(about)}"
        return Kind(lambda text: _number(text, hint, about), expected, "N" if whole else "X")
    if hint is Path:
        return Kind(_path, "a path", "PATH")
    if hint is str:
        return Kind(str, "a text", "TEXT")
    raise TypeError(f"an option cannot be a {hint}")


def _alternatives(choices: Sequence[str]) -> str:
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last


def _path(text: str) -> Path:
    if not text:
        raise ValueError  # the folder where one stands is "."
    return Path(text)


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError
    return word in _TRUE


def _number(text: str, kind: type[int] | type[float], about: About) -> float:
    value = kind(text)
    inside = (
        (kind is int or math.isfinite(value))
        and (about.ge is None or value >= about.ge)
        and (about.gt is None or value > about.gt)
        and (about.le is None or value <= about.le)
        and (about.lt is None or value < about.lt)
    )
    if not inside:
        raise ValueError
    return value


def _range(about: About) -> str:
    """
    >>> _range(About("", ge=1, le=17)), _range(About("", ge=0, lt=1)), _range(About("", gt=0))
    (' from 1 to 17', ' of at least 0 and below 1', ' above 0')
    """
    if about.ge is not None and about.le is not None:
        return f" from {about.ge:.17g} to {about.le:.17g}"
    bounds = (("of at least", about.ge), ("above", about.gt), ("at most", about.le), ("below", about.lt))
    words = [f"{word} {bound:.17g}" for word, bound in bounds if bound is not None]
    return f" {' and '.join(words)}" if words else ""
