"""The documentation says what the code does."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from radloop import tables

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["api.md", "commands.md", "settings.md", "../src/radloop/api/keywords.py"])
def test_generated_page_is_up_to_date(page):
    generator = _generator()
    assert page in generator.PAGES
    assert (DOCS / page).read_text(encoding="utf-8") == generator.PAGES[page](), "run `make docs`"


@pytest.mark.parametrize(
    "schema",
    [
        "FINDINGS",
        "REJECTED",
        "PICTURES",
        "ASSIGNMENT",
        "ANNOTATIONS",
        "HELDOUT",
        "RADIOGRAPHS",
        "TOMBSTONES",
        "MANIFEST",
        "FEEDBACK",
        "DETECTIONS",
        "REFUSED_FILES",
        "REVIEWS",
        "REVIEW_FINDINGS",
        "REVIEW_SHOWN",
        "QUEUE",
        "WORKLIST",
        "FATES",
        "RETRAINING",
    ],
)
def test_every_table_column_is_documented(schema):
    text = (DOCS / "files.md").read_text(encoding="utf-8")
    missing = [name for name in getattr(tables, schema) if f"`{name}`" not in text]
    assert not missing


def test_every_key_of_the_desk_is_documented_and_no_other():
    source = (ROOT / "src/radloop/dashboard/desk/keys.js").read_text(encoding="utf-8")
    actions = re.findall(r'\{ id: "[^"]+", keys: \[([^\]]+)\], title: "([^"]+)" \}', source)
    assert len(actions) == source.count('title: "')
    words = {"ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓", "Escape": "Esc", "Delete": "Del"}
    words |= {"Backspace": "⌫"}

    def shown(key: str) -> str:
        parts = [key] if key == "+" else key.split("+")
        return "+".join(words.get(part, part.upper() if len(part) == 1 else part) for part in parts)

    keys = [" or ".join(f"`{shown(key)}`" for key in re.findall(r'"([^"]+)"', named)) for named, _ in actions]
    rows = [f"| {title} | {key} |" for (_, title), key in zip(actions, keys, strict=True)]
    text = (DOCS / "dashboard.md").read_text(encoding="utf-8")
    table = text.split("| what it does | key |\n|---|---|\n")[1].split("\n\n")[0]
    assert table.splitlines() == rows


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets
    assert {"demo", "test"} <= named


@pytest.mark.parametrize(
    "page", sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *DOCS.rglob("*.md")])
)
def test_links_between_pages_lead_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


HOSTILE = re.findall(
    r"`pytest -n0 tests/(\w+\.py)(?: -k \"?([\w ]+?)\"?)?`", (DOCS / "hostile.md").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("file", "words"), HOSTILE)
def test_what_shows_that_an_attack_is_bounded_exists(file, words):
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert [word for word in words.split(" or ") if not re.search(rf"(def test_|id=\")[^(]*{word}", text)] == []


def test_every_decision_is_dated():
    pages = [path.name for path in (DOCS / "decisions").glob("*.md")]
    assert pages
    assert [name for name in pages if not re.match(r"\d{4}-\d{2}-\d{2}-[a-z0-9-]+\.md$", name)] == []


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"\bradloop ([a-z]+)\b", (ROOT / "README.md").read_text(encoding="utf-8"))))
)
def test_every_command_of_the_readme_exists(command):
    names = {
        line.removeprefix("### radloop ") for line in (DOCS / "commands.md").read_text(encoding="utf-8").splitlines()
    }
    assert command in names
