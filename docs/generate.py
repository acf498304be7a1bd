"""Write docs/commands.md and docs/settings.md from the code: `make docs`. tests/test_docs.py says when they are old."""

import os
from pathlib import Path

from typer.testing import CliRunner

from radloop import cli, options
from radloop.settings import Setting, of

HERE = Path(__file__).parent
WIDTH = "100"


def commands() -> str:
    """Every command's own help text."""
    runner = CliRunner(env={"COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH, "NO_COLOR": "1", "TERM": "dumb"})
    parts = ["# Commands\n\nMade from the help texts by `make docs`; do not edit.\n"]
    for command in cli.app.registered_commands:
        result = runner.invoke(cli.app, [str(command.name), "--help"], prog_name="radloop")
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts.append(f"## radloop {command.name}\n\n```\n{text}\n```\n")
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


PAGES = {"commands.md": commands, "settings.md": settings}

if __name__ == "__main__":
    os.environ.pop("RADLOOP_OUT", None)
    for page, text in PAGES.items():
        (HERE / page).write_text(text(), encoding="utf-8")
