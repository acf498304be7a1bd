"""Write docs/commands.md and docs/settings.md from the code: `make docs`. tests/test_docs.py says when they are old."""

import os
from pathlib import Path

from typer.testing import CliRunner

from radloop import cli
from radloop.settings import Settings, environment_name

HERE = Path(__file__).parent
WIDTH = "100"


def commands() -> str:
    """Every command's own help text."""
    runner = CliRunner(env={"COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH, "NO_COLOR": "1", "TERM": "dumb"})
    names = [command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback]
    parts = ["# Commands\n\nMade from the help texts by `make docs`; do not edit.\n"]
    for name in names:
        result = runner.invoke(cli.app, [name, "--help"], prog_name="radloop")
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts.append(f"## radloop {name}\n\n```\n{text}\n```\n")
    return "\n".join(parts)


def settings() -> str:
    """Every setting with its flag, environment variable and default."""
    rows = ["| flag | environment | default | what it is |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        shown = "the cores there are" if field.default_factory else f"`{field.default}`" if field.default else ""
        flag = "" if isinstance(field.validation_alias, str) else f"`--{name.replace('_', '-')}`"
        description = (field.description or "").replace("|", "\\|")
        rows.append(f"| {flag} | `{environment_name(name)}` | {shown} | {description} |")
    return (
        "# Settings\n\nMade from the settings class by `make docs`; do not edit. A flag wins over the environment, the "
        "environment over the default.\n\n" + "\n".join(rows) + "\n"
    )


PAGES = {"commands.md": commands, "settings.md": settings}

if __name__ == "__main__":
    os.environ.pop("RADLOOP_OUT", None)
    for page, text in PAGES.items():
        (HERE / page).write_text(text(), encoding="utf-8")
