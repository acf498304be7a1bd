"""--dry-run of every command that writes looks, says what would be done, and leaves no trace."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import attested_loop
import made_up
import small_loop
from radloop import cli, options, tree

SIZES = "training=20,validation=4,test=4,staging=4,canary=4,production=4"
DRY = [
    step.__name__.lower()
    for step in options.STEPS
    if issubclass(step, options.DryRun)
    and step not in (options.Watch, options.Restore)  # a PACS, and an empty OUT: test_watching, test_backups
]
OTHERWISE = {  # what a command needs beyond --out
    "extract": ["--source", "FILMS"],
    "export": ["--format", "coco"],
    "import": ["--format", "label-studio", "TASKS"],
    "transform": ["--sizes", SIZES],
    "etl": ["--source", "FILMS", "--sizes", SIZES],
    "simulate": ["--detector", "random", "--stage-seconds", "0.1"],
    "review": ["--simulated"],
    "demo": ["--images", "12"],
    "forget": ["IMAGE"],
    "backup": ["ELSEWHERE"],
    "ingest": ["--from", "FILMS"],
    "rollback": ["--data", "VERSION"],
    "compare": ["oracle:1", "oracle:2"],
    "attest": ["--key", "KEY"],
    "audit": ["export"],
    "promote": ["oracle:1", "--force", "--reason", "the first"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("loop")
    small_loop.run(place)
    attested_loop.keys(place)
    (place / "tasks.json").write_text('[{"data": {"image": "a.png"}, "annotations": []}]')
    return place


def traces(place: Path) -> dict[str, Any]:
    """Everything below a folder: what it is, and when it was last written."""
    return {
        str(path.relative_to(place)): (path.lstat().st_mtime_ns, path.lstat().st_size, path.lstat().st_ino)
        for path in [place, *place.rglob("*")]
    }


def run(place: Path, command: str, out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    image = next((place / "films" / "train").glob("*.png")).stem
    files = {"FILMS": str(place / "films"), "TASKS": str(place / "tasks.json"), "IMAGE": image}
    files["KEY"] = str(place / "key.pem")
    files["ELSEWHERE"] = str(place / "elsewhere")
    files["VERSION"] = json.loads((place / "organized" / tree.SUMMARY).read_bytes())["version"]
    more = [files.get(word, word) for word in OTHERWISE.get(command, [])]
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--out", str(out), *more, "--dry-run", "--json"])
    printed = capsys.readouterr()
    assert stopped.value.code in (0, None), printed.err
    return json.loads(printed.out)


@pytest.mark.parametrize("command", DRY)
def test_dry_run_writes_nothing(command, place, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(place, out, ignore=shutil.ignore_patterns("cache", ".radloop.lock", "films"))
    before = traces(tmp_path)
    run(place, command, out, capsys)
    assert traces(tmp_path) == before


@pytest.mark.parametrize("command", ["extract", "etl", "demo"])
def test_dry_run_makes_no_folder(command, place, tmp_path, capsys):
    run(place, command, tmp_path / "new" / "out", capsys)
    assert list(tmp_path.iterdir()) == []


def test_etl_says_the_version_it_would_publish_and_the_one_there_is(place, tmp_path, capsys):
    told = run(place, "etl", tmp_path, capsys)
    assert told["held"] is None
    with pytest.raises(SystemExit):
        cli.main(["etl", "--out", str(tmp_path), "--source", str(place / "films"), "--sizes", SIZES, "--json"])
    done = json.loads(capsys.readouterr().out)
    assert told["transformed"]["version"] == done["published"]["version"]
    assert told["transformed"]["images"] == done["transformed"]["images"]
    assert run(place, "etl", tmp_path, capsys)["held"] == done["published"]["version"]


def test_etl_of_what_has_to_be_drawn_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["etl", "--out", str(tmp_path / "out"), "--source", "synthetic:600", "--dry-run"])
    printed = " ".join(capsys.readouterr().out.split())  # a long path wraps the line
    assert "nothing was written" in printed
    assert "cannot be foreseen before synthetic:600 is extracted" in printed
    assert not (tmp_path / "out").exists()


def test_etl_finds_a_wrong_source_or_store_without_writing(place, tmp_path, capsys):
    for wrong in (
        ["--source", "/nowhere"],
        ["--source", str(place / "films"), "--store", str(place / "films/train.csv")],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["etl", "--out", str(tmp_path / "out"), *wrong, "--dry-run"])
        assert stopped.value.code == 1
        assert wrong[-1] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pull_says_what_would_travel_as_pull_says_what_did(place, tmp_path, capsys):
    store = ["--store", str(place / "store"), "--out", str(tmp_path / "out")]
    for splits in (["--splits", "test"], [], []):  # the second time the test split is there, the third time all
        told = asked(["pull", *store, *splits, "--dry-run", "--json"], capsys)
        done = asked(["pull", *store, *splits, "--json"], capsys)
        assert told | {"done": True} == done
    assert told["received_files"] == 0


def asked(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.raises(SystemExit):
        cli.main(arguments)
    return json.loads(capsys.readouterr().out)


def test_films_are_what_the_loop_was_made_of(place):
    assert len(made_up.rows(place / "films")) > 0
