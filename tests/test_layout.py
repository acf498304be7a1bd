"""Rules of the code that no linter knows."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "src").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT / "src" / "radloop").as_posix())
def test_library_code_has_no_assert_and_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)] == []


def test_no_committed_file_names_an_index_or_a_machine():
    suspicious = re.compile(r"index-url|trusted-host|registry *= *\"?https?:|(^|[^a-z])/(home|Users)/")
    lock_files = (ROOT / "requirements").glob("*.txt")
    texts = [*lock_files, *MODULES, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "Makefile"]
    assert [path.name for path in texts if suspicious.search(path.read_text(encoding="utf-8"))] == []


def test_every_locked_package_has_hashes():
    for path in (ROOT / "requirements").glob("*.txt"):
        requirements = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8"))
        assert [line for line in requirements if "==" in line and "--hash=sha256:" not in line] == []
