"""What a person types for a command: `radloop load`, or in compose what runs it there.

Messages name radloop's own commands. In the images `RADLOOP_TYPED_AS` says how compose is called, and whatever shows a
message to a person passes it through here.
"""

import os
import re
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "RADLOOP_TYPED_AS"  # such as docker-compose; unset: as it stands

_ETL: Final = "deployment/docker/docker-compose-etl.yaml"
_SIMULATION: Final = "data-pipeline/data-simulation/docker-compose-data-simulation.yaml"
_PRODUCTION: Final = "deployment/docker/docker-compose-production.yaml"
_PACS: Final = "deployment/docker/docker-compose-pacs.yaml"

# Which file's `up` is the command as it stands, without arguments; and in whose service it runs with arguments.
_STEPS: Final = {
    "etl": (_ETL, "load-data"),
    "extract": (_ETL, "extract-data"),
    "transform": (_ETL, "transform-data"),
    "load": (_ETL, "load-data"),
    "simulate": (_SIMULATION, "data-simulation"),
    "review": (_PRODUCTION, "review-feedback"),
    "retrain": (_PRODUCTION, "retrain-data"),
    "watch": (_PACS, "watch-pacs"),
}
_OF_DATASETS: Final = (_ETL, "load-data")  # has the data and the store
_OF_FEEDBACK: Final = (_PRODUCTION, "retrain-data")  # has feedback, reviews and logs, too
_NEEDS_FEEDBACK: Final = {"evaluate", "explain", "monitor", "compare", "import", "audit", "backup", "restore"}
_NOT_THERE: Final = {"dashboard", "demo"}

_COMMAND: Final = re.compile(r"`radloop ([a-z]+)((?: [^`]*)?)`")
_TOLD: Final = re.compile(r"--([a-z]+) ([^\s…-]\S*)")  # an option of one word, with a value and no placeholder


def typed(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """`text` with each command of radloop as a person types it.

    >>> typed("Run `radloop load` again.", {VARIABLE: "docker-compose"})
    'Run `docker-compose -f deployment/docker/docker-compose-etl.yaml up` again.'
    >>> typed("Run `radloop load` again.", {})
    'Run `radloop load` again.'
    """
    compose = environment.get(VARIABLE)
    if not compose:
        return text
    return _COMMAND.sub(lambda found: _in_compose(compose, found[0], found[1], found[2]), text)


def typed_line(command: str, environment: Mapping[str, str] = os.environ) -> str:
    """A line for a shell, without backticks.

    >>> typed_line("radloop simulate", {VARIABLE: "docker-compose"})
    'docker-compose -f data-pipeline/data-simulation/docker-compose-data-simulation.yaml up'
    """
    return typed(f"`{command}`", environment).strip("`")


def _in_compose(compose: str, whole: str, command: str, arguments: str) -> str:
    if command in _NOT_THERE:
        return whole
    if command == "etl":  # there all that it is told is settings
        told = " ".join(f"RADLOOP_{name.upper()}={value} " for name, value in _TOLD.findall(arguments))
        return f"`{told}{compose} -f {_ETL} up`"
    if command in _STEPS and not arguments:
        return f"`{compose} -f {_STEPS[command][0]} up`"
    file, service = _STEPS.get(command, _OF_FEEDBACK if command in _NEEDS_FEEDBACK else _OF_DATASETS)
    return f"`{compose} -f {file} run --rm --no-deps {service} radloop {command}{arguments}`"
