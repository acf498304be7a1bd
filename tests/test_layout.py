"""Rules of the code that no linter knows."""

import ast
import io
import re
import tokenize
from dataclasses import fields
from functools import cache
from pathlib import Path

from radloop.dashboard.figures import SPLIT_COLOURS
from radloop.split_sizes import SplitSizes
from radloop.tables import HELD_OUT, SPLITS
from radloop.vindr.classes import TAXONOMY as VINDR

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "radloop"
MODULES = sorted(SRC.rglob("*.py"))
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
MOST_PARAMETERS_OF_A_PIPELINE = 8

# The count of VinBigData's classes and of these with "No finding", however they are written.
COUNT_OF_CLASSES = re.compile(r"\b(class(es)?|ids?)\s*(of\s*)?1[345]\b|\b1[345] (class|finding)|0\s?\.\.\s?1[345]\b")
NAME_OF_A_CLASS = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in VINDR.names))


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_library_code_has_no_assert_and_a_docstring():
    assert [name(path) for path in MODULES if not ast.get_docstring(parsed(path))] == []
    asserted = [
        (name(path), node.lineno)
        for path in MODULES
        if "assert" in path.read_text(encoding="utf-8")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Assert)
    ]
    assert asserted == []


def test_no_committed_file_names_an_index_or_a_machine():
    suspicious = re.compile(r"index-url|trusted-host|registry *= *\"?https?:|(^|[^a-z])/(home|Users)/")
    lock_files = (ROOT / "requirements").glob("*.txt")
    texts = [*lock_files, *MODULES, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "Makefile"]
    assert [path.name for path in texts if suspicious.search(path.read_text(encoding="utf-8"))] == []


def test_every_locked_package_has_hashes():
    for path in (ROOT / "requirements").glob("*.txt"):
        requirements = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8"))
        assert [line for line in requirements if "==" in line and "--hash=sha256:" not in line] == []


def name(path):
    return path.relative_to(SRC).as_posix()


def functions(path):
    return [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_module_is_longer_than_a_person_reads():
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_no_function_is_longer_than_a_screen():
    long = [
        (name(path), function.name, lines)
        for path in MODULES
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_no_pipeline_asks_for_more_than_eight_things():
    many = [
        (name(path), function.name, count)
        for path in (SRC / "pipelines").rglob("*.py")
        for function in functions(path)
        if (count := len(function.args.args) + len(function.args.kwonlyargs)) > MOST_PARAMETERS_OF_A_PIPELINE
    ]
    assert many == []


def test_only_the_room_of_vindr_knows_its_classes():
    known = []
    for path in (path for path in MODULES if path.parent.name != "vindr"):
        text = path.read_text(encoding="utf-8")
        if path.name == "rsna.py":
            text = text.replace('"Lung Opacity"', "")  # RSNA's own class, which VinBigData has, too
        known += [(name(path), found.group()) for found in NAME_OF_A_CLASS.finditer(text)]
        known += [(name(path), found.group()) for found in COUNT_OF_CLASSES.finditer(text)]
        if re.search(r"1[45]", text):
            numbers = tokenize.generate_tokens(io.StringIO(text).readline)
            known += [
                (name(path), one) for one in numbers if one.type == tokenize.NUMBER and one.string in ("14", "15")
            ]
    assert known == []


def test_only_few_rooms_look_into_the_room_of_vindr():
    looking = {
        name(path)
        for path in MODULES
        if path.parent.name != "vindr"
        and re.search(r"from radloop\.?vindr|radloop\.vindr|import vindr", path.read_text())
    }
    assert looking <= {"domain.py", "catalog/classes.py", "catalog/version.py", "sources/synthetic.py"}


def test_every_split_has_a_size_and_a_colour_and_is_held_out_or_trains():
    assert tuple(field.name for field in fields(SplitSizes)) == SPLITS
    assert {*HELD_OUT, "training", "production"} == set(SPLITS)
    assert set(SPLIT_COLOURS) == {"all", *SPLITS}
