"""What a caller gives a step: its options or their names, checked as the command line checks its flags.

Nothing here reads the environment: what is not given has its default.
"""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from radloop import engines, parts, settings
from radloop.engines import HERE, Engine
from radloop.errors import UsageError
from radloop.progress import Progress, silent
from radloop.settings import Setting

S = TypeVar("S", bound=parts.Step)
F = TypeVar("F", bound=Callable[..., object])


class Running(NamedTuple, Generic[S]):
    """What a pipeline is called with."""

    options: S
    engine: Engine
    progress: Progress


def keywords(step: type[parts.Step]) -> dict[str, Setting]:
    """What a caller may name: all options but those that the environment alone sets, or that only print."""
    return {setting.name: setting for setting in settings.of(step) if setting.about.flag and setting.name != "json"}


def named(step: type[parts.Step]) -> Callable[[F], F]:
    """Let help() and completion show every keyword of a function that takes the options of `step`."""

    def signed(function: F) -> F:
        own = [one for one in inspect.signature(function).parameters.values() if one.kind is not one.VAR_KEYWORD]
        theirs = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(setting))
            for name, setting in keywords(step).items()
        ]
        function.__signature__ = inspect.Signature([*own, *theirs])  # type: ignore[attr-defined]
        return function

    return signed


def _default(setting: Setting) -> object:
    return inspect.Parameter.empty if setting.required else Shown(setting.about.shown or repr(setting.default))


class Shown(str):
    """A default in words, shown without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def checked(step: type[S], options: S | None, told: Mapping[str, object]) -> S:
    """The options of one run of `step`; a keyword beside `options` wins. Raises UsageError, which names the option."""
    if options is not None and not isinstance(options, step):
        raise UsageError(f"{options!r:.60} cannot be used: give a radloop.options.{step.__name__}, or keywords.")
    known = {setting.name: setting for setting in settings.of(step)}
    for name in told:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"they are {', '.join(keywords(step))}."
            raise UsageError(f"unknown option {name!r} of {step.__name__.lower()}: {hint}")
    values = {name: getattr(options, name) for name in known} if options is not None else {}
    values |= told
    for name, setting in known.items():
        if setting.required and name not in values:
            raise UsageError(f"{name} is missing: {setting.about.help}")
    return step(**{name: known[name].accept(value, name) for name, value in values.items()})


@contextmanager
def running(
    step: type[S], options: S | None, told: Mapping[str, object], progress: Progress | bool
) -> Iterator[Running[S]]:
    """The options, checked, the engine that they name, and where progress goes."""
    chosen: Any = checked(step, options, told)
    with ExitStack() as until_done:
        engine: Engine = HERE
        if isinstance(chosen, parts.Parallel):
            engine = until_done.enter_context(
                engines.opened(chosen.engine, jobs=chosen.jobs, address=chosen.ray_address)
            )
        yield Running(chosen, engine, until_done.enter_context(shown(progress)))


@contextmanager
def shown(progress: Progress | bool) -> Iterator[Progress]:
    """Where progress goes: nowhere, to bars on the terminal (True), or to whom the caller names."""
    if isinstance(progress, bool):
        if progress:
            from radloop.display import Display

            with Display() as display:
                yield display
        else:
            yield silent
    else:
        yield progress
