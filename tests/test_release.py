"""A release: what is in it, under which licences, the same bytes each time, and that it runs where nothing else is."""

import json
import os
import shutil
import subprocess
import tarfile
import venv
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from release import building, licences, sbom, shipped

ROOT = Path(__file__).parent.parent
IN_GIT = (ROOT / ".git").exists()


@pytest.fixture(scope="module")
def components() -> list[shipped.Component]:
    return shipped.components()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    if not IN_GIT:
        pytest.skip("no git repository: nothing to build a release of")
    wheel, sdist = sorted(
        building.build(ROOT, tmp_path_factory.mktemp("build")), key=lambda path: path.suffix, reverse=True
    )
    return {"wheel": wheel, "sdist": sdist}


def test_no_package_that_we_ship_is_copyleft_or_of_unknown_licence(components):
    assert len(components) > 50
    assert licences.refused(components) == []


@pytest.mark.parametrize(
    "licence",
    ["GPL-3.0-only", "MIT AND AGPL-3.0-or-later", "LGPL-3.0-only", "GPL-2.0-only OR SSPL-1.0", "CC-BY-NC-4.0"],
)
def test_package_under_a_licence_that_nobody_accepted_is_refused_by_name(components, licence):
    planted = replace(components[0], name="planted", licence=licence)
    assert licences.refused([planted, *components[1:]]) == [f"planted is under {licence}"]


def test_library_in_a_wheel_that_nobody_knows_is_an_error(components):
    with pytest.raises(LookupError, match="libsurprise"):
        licences.refused([replace(components[0], native=("libsurprise-12ab",))])


def test_the_page_of_licences_is_that_of_the_locked_packages(components):
    assert [one.name for one in components if (one.name, one.version) not in shipped.locked()] == []
    assert (ROOT / "docs/licences.md").read_text() == licences.page(components), "run `make docs`"


def test_bill_of_materials_is_valid_lists_every_package_once_and_never_changes(components):
    when = datetime(2026, 11, 30, tzinfo=UTC)
    data = sbom.encode(components, wheel_sha256="ab" * 32, when=when)
    assert data == sbom.encode(list(reversed(components)), wheel_sha256="ab" * 32, when=when)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    told = json.loads(data)
    assert [one["name"] for one in told["components"]] == [one.name for one in components]
    scopes = {one["name"]: one["scope"] for one in told["components"]}
    assert (scopes["polars"], scopes["streamlit"]) == ("required", "optional")
    needs = {one["ref"]: one.get("dependsOn", []) for one in told["dependencies"]}
    assert "polars-runtime-32" in needs["polars"]
    assert "streamlit" in needs["radloop"]


def test_a_prepared_release_has_its_version_and_its_section(tmp_path):
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    before = (tmp_path / "CHANGELOG.md").read_text()
    building.prepare(tmp_path, "9.8.7", today=date(2026, 12, 1))
    assert 'version = "9.8.7"' in (tmp_path / "pyproject.toml").read_text()
    after = (tmp_path / "CHANGELOG.md").read_text()
    assert after.replace("## 9.8.7 (2026-12-01)\n\n", "", 1) == before
    assert after.index("## Unreleased") < after.index("## 9.8.7")
    with pytest.raises(building.Unfit, match="nothing under Unreleased"):
        building.prepare(tmp_path, "9.8.8", today=date(2026, 12, 1))


@pytest.mark.parametrize("version", ["not a version", "../x", "1.0", "v1.0.0", "1.0.0\n", ""])
def test_what_is_no_version_changes_nothing(tmp_path, version):
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    with pytest.raises(building.Unfit, match="is no version"):
        building.prepare(tmp_path, version, today=date(2026, 12, 1))
    for name in ("pyproject.toml", "CHANGELOG.md"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()


def test_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = set(archive.namelist())
        data = b"".join(archive.read(name) for name in names)
    committed = _git("ls-files", "src/radloop").split()
    assert {name for name in names if ".dist-info/" not in name} == {name.removeprefix("src/") for name in committed}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert str(ROOT).encode() not in data


def test_sdist_holds_what_the_wheel_is_built_from_and_nothing_else(built):
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    beside = {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "SECURITY.md", "pyproject.toml", ".gitignore"}
    assert names == beside | set(_git("ls-files", "src/radloop").split())


@pytest.mark.slow
def test_two_builds_of_one_commit_are_the_same_bytes(built, tmp_path):
    again = building.build(ROOT, tmp_path / "a folder with another name")
    assert {path.name: path.read_bytes() for path in again} == {path.name: path.read_bytes() for path in built.values()}


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel(built, tmp_path):
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    wheel = building.build_source(source, tmp_path / "dist", epoch=building.committed(ROOT))[1]
    assert wheel.read_bytes() == built["wheel"].read_bytes()


@pytest.mark.slow
def test_demo_runs_from_the_wheel_alone_without_a_network(built, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    pip = [tmp_path / "venv/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--no-compile", "--require-hashes", "-r", ROOT / "requirements/base.txt"], check=True)
    subprocess.run([*pip, "--no-deps", "--no-index", built["wheel"]], check=True)
    alone = ["unshare", "--net"] if os.geteuid() == 0 else []
    told = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    command = [*alone, tmp_path / "venv/bin/radloop", "demo", "--images", "60"]
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "radloop-demo/organized/data.yaml").is_file()


def _git(*asked: str) -> str:
    return subprocess.run(["git", *asked], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
