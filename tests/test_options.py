"""An option is said once: what else has to know it is derived, or named here when it is forgotten."""

import ast
import dataclasses
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import FunctionType

import pytest

from radloop import cli, options, settings

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "radloop"
PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
CLASSES = {
    name: kind for name, kind in vars(options).items() if isinstance(kind, type) and issubclass(kind, options.Step)
}
EVERY = [(step, setting) for step in options.STEPS for setting in settings.of(step)]


def test_every_step_is_a_command_and_every_command_a_step():
    parts = {base for kind in CLASSES.values() for base in kind.__bases__}
    steps = {kind for kind in CLASSES.values() if kind not in parts} | {
        options.Extract,
        options.Transform,
        options.Load,
    }
    assert set(options.STEPS) == steps
    assert [step.__name__.lower() for step in options.STEPS] == [one.name for one in cli.app.registered_commands]


def test_option_has_a_help_of_whole_sentences_and_is_in_the_settings_page():
    rows = [row.split(" | ") for row in PAGE.replace("\\|", "¦").splitlines() if row.startswith("| ")]
    for step, setting in EVERY:
        assert re.fullmatch(r".+[^.]\.", setting.about.help, re.DOTALL), (step, setting.name)
        flag, command = setting.declared or setting.about.argument, step.__name__.lower()
        mine = [row for row in rows if setting.about.help.replace("|", "¦") in row]
        assert [row for row in mine if command in row[-1].strip(" |").split(", ")], (step, setting.name)
        for row in mine:
            assert not flag or flag.replace("|", "¦") in row[0]
            assert all(variable in row[1] for variable in setting.variables)


@pytest.mark.parametrize("step", options.STEPS, ids=lambda step: step.__name__.lower())
def test_step_is_frozen_and_taken_by_keyword(step):
    assert step.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(step))


@pytest.mark.parametrize("step", options.STEPS, ids=lambda step: step.__name__.lower())
def test_command_that_writes_can_be_asked_what_it_would_do(step):
    reading = {options.Evaluate, options.Explain, options.Check, options.Dashboard, options.Versions}
    assert issubclass(step, options.DryRun) == (step not in reading)


def test_option_is_read_by_what_its_step_is_given_to():
    """Read of a parameter or field of this step's class or of a part of it, or by a property or method that is."""
    read = _read()
    unread = [
        f"{step.__name__}.{setting.name}"
        for step, setting in EVERY
        if not any(setting.name in read[kind.__name__] for kind in step.__mro__)
    ]
    assert unread == [], "nothing in src reads these of options"


def _read() -> dict[str, set[str]]:
    """{class of options: the attributes that are read of a parameter or of a field of that class}."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SRC.rglob("*.py"):
        if path.name == "options.py":
            continue
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef):
                for name, kind in _parameters(node):
                    found[kind] |= _attributes(node, name)
            elif isinstance(node, ast.AnnAssign) and (kind := ast.unparse(node.annotation)) in CLASSES:
                found[kind] |= _attributes(module, ast.unparse(node.target))
    for kind in CLASSES.values():
        for base in kind.__mro__:
            for name, member in vars(base).items():
                body = member.fget if isinstance(member, property) else member
                if isinstance(body, FunctionType) and any(name in found[one.__name__] for one in kind.__mro__):
                    found[kind.__name__] |= set(body.__code__.co_names)
    return found


def _parameters(function: ast.FunctionDef) -> list[tuple[str, str]]:
    told = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    kinds = [(one.arg, ast.unparse(one.annotation).split(".")[-1]) for one in told if one.annotation]
    return [(name, kind) for name, kind in kinds if kind in CLASSES]


def _attributes(tree: ast.AST, name: str) -> set[str]:
    """What is read of a variable or of a field of this name."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if f".{ast.unparse(node.value)}".endswith(f".{name}")}


def test_start_of_a_command_imports_nothing_heavy():
    heavy = ("polars", "numpy", "scipy", "pydantic", "rich", "PIL", "importlib.metadata", "radloop.pipelines")
    code = f"import radloop.cli, sys; print(*[name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []


@pytest.mark.slow
def test_type_checker_names_a_wrong_option(tmp_path):
    (tmp_path / "wrong.py").write_text(
        "from radloop.options import Explain, Load\n"
        'Load(keepold=True), Load(keep_old="yes"), Explain()\n'
        "Load().keepold\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(tmp_path / "wrong.py")]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env={"MYPYPATH": str(SRC.parent)})
    assert re.findall(r"\[([a-z-]+)\]", told.stdout) == ["call-arg", "arg-type", "call-arg", "attr-defined"]
