"""What a message in a container says to type."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from radloop import cli, typed

ROOT = Path(__file__).parent.parent
HERE = {typed.VARIABLE: "docker-compose"}
ETL = "deployment/docker/docker-compose-etl.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Run `radloop load` again.", f"Run `docker-compose -f {ETL} up` again."),
        (
            "Run `radloop check /store`.",
            f"Run `docker-compose -f {ETL} run --rm --no-deps load-data radloop check /store`.",
        ),
        ("`radloop etl --source … --add /a.csv` it", f"`RADLOOP_ADD=/a.csv docker-compose -f {ETL} up` it"),
        ("`radloop dashboard` shows it", "`radloop dashboard` shows it"),
        ("radloop load, without marks", "radloop load, without marks"),
    ],
    ids=["a step", "another command", "settings", "a server", "prose"],
)
def test_command_is_that_of_compose(text, said):
    assert typed.typed(text, HERE) == said
    assert typed.typed(text, {}) == text


def test_every_command_names_a_service_that_its_file_has():
    for command in (one.name for one in cli.app.registered_commands):
        said = typed.typed(f"`radloop {command} X`", HERE)
        found = re.match(r"`docker-compose -f (\S+) (?:up|run --rm --no-deps (\S+) radloop)", said)
        if command in ("dashboard", "demo"):
            assert found is None
            continue
        services = yaml.safe_load((ROOT / found[1]).read_text(encoding="utf-8"))["services"]
        assert found[2] is None or found[2] in services


def test_error_of_a_command_in_a_container_names_what_to_type_there(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "radloop.cli", "transform", "--out", str(tmp_path)],
        env=os.environ | HERE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"`docker-compose -f {ETL} up`" in done.stderr
    assert "`radloop" not in done.stderr
