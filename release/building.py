"""Wheel and sdist of a commit: the same bytes wherever and whenever they are built."""

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from release import licences, sbom, shipped

_HEAD: Final = "## Unreleased\n"
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:(?:a|b|rc)[0-9]+)?")
_BACKEND: Final = "requirements/build.txt"


class Unfit(Exception):  # noqa: N818
    """Why there is no release."""


def prepare(root: Path, version: str, *, today: date) -> None:
    """Write `version` into pyproject.toml, and make what the changelog has under Unreleased its section.

    Raises Unfit where it is no version, there is nothing new, or the version stands there already.
    """
    if not _VERSION.fullmatch(version):
        raise Unfit(f"{version[:60]!r} is no version: give one such as 0.2.0 or 0.2.0rc1.")
    changelog, project = root / "CHANGELOG.md", root / "pyproject.toml"
    before, head, after = changelog.read_text().partition(_HEAD)
    if not after.partition("\n## ")[0].strip():
        raise Unfit("CHANGELOG.md has nothing under Unreleased: there is nothing to release.")
    if f"\n## {version} " in after:
        raise Unfit(f"CHANGELOG.md has a section {version} already: name another version.")
    changelog.write_text(f"{before}{head}\n## {version} ({today})\n{after}")
    project.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', project.read_text(), count=1))


def release(root: Path, into: Path) -> list[Path]:
    """Build the commit that is checked out: wheel, sdist, bill of materials and SHA256SUMS, in the folder `into`.

    Raises Unfit where files are changed or unknown to git, a licence is not accepted, another version is installed than
    the locked one, or a second build in another folder differs.
    """
    if changed := _git(root, "status", "--porcelain").decode().splitlines():
        raise Unfit(f"{len(changed)} files are not as committed ({changed[0].strip()}): commit or remove them first.")
    components = shipped.components()
    if wrong := licences.refused(components):
        raise Unfit(f"{len(wrong)} licences are not accepted: {'; '.join(wrong)}")
    if other := [one.name for one in components if (one.name, one.version) not in shipped.locked()]:
        raise Unfit(f"not the locked version is installed of {', '.join(other)}: run `make clean test-fast`.")
    when = datetime.fromtimestamp(committed(root), UTC)
    with tempfile.TemporaryDirectory() as work:
        python = _backend(root, Path(work) / "backend")
        first, second = (build(root, Path(work) / name, python=python) for name in ("a", "another-folder"))
        different = [one.name for one, two in zip(first, second, strict=True) if one.read_bytes() != two.read_bytes()]
        if different:
            raise Unfit(f"two builds of the same commit differ in {', '.join(different)}.")
        built = {one.name: one.read_bytes() for one in first}
    wheel = next(name for name in built if name.endswith(".whl"))
    name = f"radloop-{shipped.project()['version']}.cdx.json"
    built[name] = sbom.encode(components, wheel_sha256=_sha256(built[wheel]), when=when)
    built["SHA256SUMS"] = "".join(f"{_sha256(data)}  {name}\n" for name, data in sorted(built.items())).encode()
    into.mkdir(exist_ok=True)
    for name, data in built.items():
        (into / name).write_bytes(data)
    return [into / name for name in built]


def build(root: Path, work: Path, *, python: str = sys.executable) -> list[Path]:
    """Sdist and wheel of the commit that is checked out in `root`, built in `work`; `python` has the build backend."""
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", "HEAD"))) as archive:
        archive.extractall(work / "source", filter="data")
    return build_source(work / "source", work / "dist", epoch=committed(root), python=python)


def build_source(source: Path, into: Path, *, epoch: int, python: str = sys.executable) -> list[Path]:
    """Sdist and wheel of the folder `source`, all of whose files count as written at `epoch` (seconds since 1970)."""
    command = [python, "-m", "hatchling", "build", "--directory", str(into)]
    told = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(command, cwd=source, env=told, check=True, stdout=subprocess.DEVNULL)
    return sorted(into.iterdir(), key=lambda path: path.suffix)


def committed(root: Path) -> int:
    """When the commit that is checked out was made, in seconds since 1970."""
    return int(_git(root, "log", "-1", "--format=%ct"))


def _backend(root: Path, folder: Path) -> str:
    """A Python of its own with the locked build backend and nothing else."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin/python")
    asked = ["--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(root / _BACKEND)]
    subprocess.run([python, "-m", "pip", "install", *asked], check=True)
    return python


def _git(root: Path, *asked: str) -> bytes:
    return subprocess.run(["git", *asked], cwd=root, check=True, stdout=subprocess.PIPE).stdout


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
