"""The packages that `pip install radloop[…]` brings on Linux, as installed here and pinned by the lock file."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release import licences

ROOT: Final = Path(__file__).parent.parent
LOCK: Final = ROOT / "requirements/dev.txt"
NOT_SHIPPED: Final = ("all", "dev")  # extras: the sum of others, and what only developers install


@dataclass(frozen=True)
class Component:
    """One installed package."""

    name: str
    version: str
    licence: str  # an SPDX expression
    extras: tuple[str, ...]  # that bring it; none where a plain `pip install radloop` does
    needs: tuple[str, ...]  # names of other components
    native: tuple[str, ...]  # shared libraries that its wheel carries


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def components() -> list[Component]:
    """Every package that some extra, or none, brings; sorted by name. Raises LookupError for one not installed."""
    about = project()
    brought = {"": _closure(about["dependencies"])}
    for extra, asked in about["optional-dependencies"].items():
        if extra not in NOT_SHIPPED:
            brought[extra] = _closure(asked)
    return [
        Component(
            name,
            importlib.metadata.version(name),
            licences.of(importlib.metadata.metadata(name)),
            () if name in brought[""] else tuple(extra for extra, found in brought.items() if name in found),
            needs,
            _native(name),
        )
        for name, needs in sorted({name: needs for found in brought.values() for name, needs in found.items()}.items())
    ]


def locked() -> set[tuple[str, str]]:
    """Name and version of every package in the lock file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCK.read_text(), re.MULTILINE)
    return {(canonicalize_name(name), version) for name, version in found}


def _closure(asked: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """All that the requirements bring, and what each of these needs."""
    found: dict[str, set[str]] = {}
    left = [requirement for line in asked if _applies(requirement := Requirement(line), "")]
    seen: set[tuple[str, str]] = set()
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            needed = [one for one in map(Requirement, importlib.metadata.requires(name) or ()) if _applies(one, extra)]
            found.setdefault(name, set()).update(canonicalize_name(one.name) for one in needed)
            left += needed
    return {name: tuple(sorted(needs)) for name, needs in found.items()}


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _native(name: str) -> tuple[str, ...]:
    files = importlib.metadata.files(name) or ()
    return tuple(sorted({file.name.partition(".so")[0] for file in files if re.search(r"\.so\.|\.libs/", str(file))}))
