"""Write the pages that are made from the code, and the types of the API's keywords: `make docs`.

tests/test_docs.py says when they are old.
"""

import dataclasses
import importlib
import inspect
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.testing import CliRunner

import radloop
from radloop import cli, options, words
from radloop.api import dataset, given, steps
from radloop.durations import Duration
from radloop.recipe import Recipe
from radloop.settings import Setting, of
from radloop.split_sizes import SplitSizes

HERE = Path(__file__).parent
WIDTH = "100"
MOST = 120  # characters in a line of code, as the formatter has it


def commands() -> str:
    """Every command's own help text, in the groups of `radloop --help`."""
    runner = CliRunner(env={"COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH, "NO_COLOR": "1", "TERM": "dumb"})
    parts = [
        "# Commands\n\nMade from the help texts by `make docs`; do not edit.\n",
        "`radloop --install-completion` teaches the shell (bash, zsh, fish or PowerShell) the commands, their flags "
        "and the words that a flag may have; `--show-completion` prints what it would add.\n",
    ]
    for group in get_args(cli.Group):
        named = [command for command in cli.app.registered_commands if cli.group_of(command) == group]
        parts.append(f"## {group}\n")
        parts += [f"- [{command.name}](#radloop-{command.name}): {command.short_help}" for command in named]
        parts.append("")
        for command in named:
            result = runner.invoke(cli.app, [str(command.name), "--help"], prog_name="radloop")
            text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
            parts.append(f"### radloop {command.name}\n\n```\n{text}\n```\n")
    return "\n".join(parts)


def settings() -> str:
    """Every option with its flag, its variables, its values, its default and the commands that take it."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for step in options.STEPS:
        for setting in of(step):
            rows.setdefault(_row(setting), []).append(step.__name__.lower())
    table = [
        "| flag | environment | what it is | it may be | default | commands |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(row)} | {', '.join(steps)} |" for row, steps in rows.items()),
    ]
    head = (
        "# Settings\n\nMade from `src/radloop/options.py` by `make docs`; do not edit. A flag wins over the "
        "environment, the environment over the default; of two variables that are set the first wins, and an empty "
        "one was not set."
    )
    return head + "\n\n" + "\n".join(table) + "\n"


def _row(setting: Setting) -> tuple[str, ...]:
    flag = setting.declared or setting.about.argument
    default = "required" if setting.required else setting.about.shown or (f"`{setting.shown}`" if setting.shown else "")
    variables = ", ".join(f"`{name}`" for name in setting.variables)
    cells = (f"`{flag}`" if flag else "", variables, setting.about.help, setting.expected, default)
    return tuple(cell.replace("|", "\\|") for cell in cells)


STEPS = (
    options.Extract,
    options.Transform,
    options.Load,
    options.Etl,
    options.Pull,
    options.Versions,
    options.Rollback,
    options.Prune,
    options.Ingest,
    options.Simulate,
    options.Watch,
    options.Review,
    options.Retrain,
    options.Evaluate,
    options.Export,
    options.Forget,
)
API = {step.__name__.lower(): step for step in STEPS} | {"import_reviews": options.Import}  # by the function's name
# what decides which record is returned is a keyword of the function's own
DECIDING = {options.Etl: {"dry_run"}, options.Review: {"queue", "simulated"}}


def keywords() -> str:
    """A TypedDict for each step of the API: the keywords that its function takes, and their types."""
    classes, used = [], set()
    for function, step in API.items():
        hints = get_type_hints(step, include_extras=True)
        rows = []
        for name, setting in given.keywords(step).items():
            if setting.required or name in DECIDING.get(step, ()):
                continue
            kind = _kind(hints[name], setting)
            used |= {word for word in (*WORDS, *OWN) if word in re.findall(r"\w+", kind)}
            rows.append(f"    {name}: {kind}")
        title = f'    """Keywords of `radloop.{function}`."""'
        classes.append("\n".join([f"class {step.__name__}Keywords(TypedDict, total=False):", title, "", *rows]))
    imports = [f"from {kind.__module__} import {name}" for name, kind in sorted(OWN.items()) if name in used]
    named = sorted(used & set(WORDS))
    line, many = f"from radloop.words import {', '.join(named)}", ",\n    ".join(named)
    imports.append(line if len(line) <= MOST else f"from radloop.words import (\n    {many},\n)")
    head = (
        '"""The keywords of the API\'s functions. Made from `radloop.options` by `make docs`; do not edit."""\n\n'
        "from collections.abc import Sequence\nfrom os import PathLike\nfrom typing import Literal, TypedDict\n\n"
    )
    text = "Text = str | PathLike[str]  # a path is taken as its text"
    return head + "\n".join(imports) + "\n\n" + "\n\n\n".join([text, *classes]) + "\n"


OWN = {kind.__name__: kind for kind in (Duration, Recipe, SplitSizes)}
WORDS = {name: kind for name, kind in vars(words).items() if get_origin(kind) is Literal}


def _kind(hint: Any, setting: Setting) -> str:
    """The type of a keyword: what the option may be, and the texts that mean it."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
        return f"{_kind(hint, setting)} | None"
    if get_origin(hint) is tuple:
        return f"Sequence[{_kind(get_args(hint)[0], setting)}]"
    if get_origin(hint) is Literal:
        named = [name for name, kind in WORDS.items() if kind == hint]
        return named[0] if named else "Literal[{}]".format(", ".join(f'"{choice}"' for choice in get_args(hint)))
    if hint in OWN.values():
        return f"{hint.__name__} | str"
    return "Text" if hint is Path or (hint is str and not setting.about.parse) else str(hint.__name__)


def api() -> str:
    """The names of `import radloop`, from their docstrings; the examples in these are tests."""
    parts = [
        "# Python\n\nMade from the docstrings by `make docs`; do not edit. Every example is a test. "
        "[A notebook](notebooks/loop.ipynb) goes through the loop.\n",
        _markdown(radloop),
        "## A dataset\n",
        *_function("radloop.open", dataset.open_dataset),
        *_record("radloop.Dataset", dataset.Dataset),
        *(part for name, member in _members(dataset.Dataset) for part in _function(f"Dataset.{name}", member)),
        *_record("radloop.Image", dataset.Image),
        *_record("radloop.Box", dataset.Box),
        "## The steps\n",
        _markdown(steps),
    ]
    for name, step in API.items():
        function = getattr(steps, name)
        parts += _function(f"radloop.{name}", function, given.keywords(step))
        parts.append(f"Keywords ([what each is](settings.md)): {_code(given.keywords(step))}.\n")
        parts += [
            f"`{record.__name__}`: {_first(record)} {_code(field.name for field in dataclasses.fields(record))}.\n"
            for record in _returned(function)
        ]
    return "\n".join(parts)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """The public properties and methods of a class, as they stand in it."""
    for name, member in vars(kind).items():
        if not name.startswith("_") and isinstance(member, property | cached_property | FunctionType):
            yield name, member


def _function(name: str, member: Any, keywords: Collection[str] = ()) -> list[str]:
    """The heading, the signature and the docstring of a function, a method or a property; keywords as one."""
    function = getattr(member, "fget", getattr(member, "func", member))
    arguments = ""
    if function is member:
        parameters = inspect.signature(function).parameters.values()
        shown = [one.replace(annotation=one.empty) for one in parameters if one.name not in ("self", *keywords)]
        arguments = str(inspect.Signature([*shown, *([_KEYWORDS] if keywords else [])]))
    returned = re.findall(r"\) -> \"?(.+?)\"?:\n", inspect.getsource(function))[-1]
    return [f"### {name}\n\n```python\n{name}{arguments} -> {returned}\n```\n", _markdown(function)]


_KEYWORDS = inspect.Parameter("keywords", inspect.Parameter.VAR_KEYWORD)


def _record(name: str, record: type) -> list[str]:
    """The heading, the fields and the docstring of a dataclass, with the comments behind the fields."""
    lines = [line.strip() for line in inspect.getsource(record).splitlines()]
    fields = [line for line in lines if re.match(rf"({'|'.join(f.name for f in dataclasses.fields(record))}): ", line)]
    code = re.sub(r" = field\(.*?\)", "", "\n".join(fields))
    return [f"### {name}\n", _markdown(record), f"```python\n{code}\n```\n"]


def _returned(function: Callable[..., object]) -> list[type]:
    """The records that a step may return."""
    names = function.__annotations__["return"].strip("\"'").split(" | ")
    room = inspect.getsource(steps)
    modules = [re.search(rf"from (\S+) import .*\b{name}\b", room) for name in names]
    return [
        getattr(importlib.import_module(found[1]), name) for found, name in zip(modules, names, strict=True) if found
    ]


def _first(record: type) -> str:
    return " ".join((inspect.getdoc(record) or "").partition("\n\n")[0].split())


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _markdown(documented: Any) -> str:
    """A docstring as Markdown: an example in a fence of its own."""
    lines = []
    for block in re.split(r"\n\s*\n", inspect.getdoc(documented) or ""):
        code = block.startswith((">>>", "    "))
        text = re.sub(r"  # doctest: .*", "", inspect.cleandoc(block))
        lines.append(f"```python\n{text}\n```\n" if code else f"{text}\n")
    return "\n".join(lines).replace("\n```\n\n```python\n", "\n\n")


PAGES = {
    "api.md": api,
    "commands.md": commands,
    "settings.md": settings,
    "../src/radloop/api/keywords.py": keywords,
}

if __name__ == "__main__":
    os.environ.pop("RADLOOP_OUT", None)
    for page, text in PAGES.items():
        (HERE / page).write_text(text(), encoding="utf-8")
