"""`radloop check` beside the trainer itself, dataset by dataset. `make test-peers` runs this; `make test` does not."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import made_up
import trainer_cases
import trainer_verdicts
from radloop.dataset.trainer_rules import DROPPING, TRAINER
from radloop.options import Etl
from radloop.pipelines import checking, offline
from radloop.split_sizes import SplitSizes

pytestmark = pytest.mark.peers

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs/trainer-verdicts.md"
PYTHON = HERE.parent.parent / ".venv-peers/bin/python"
SIZES = SplitSizes.parse("training=16,validation=4,test=4,staging=4,canary=4,production=8")


def ask(folder: Path) -> dict[str, Any]:
    """What the trainer makes of each dataset in a folder; it may change them."""
    command = [PYTHON, HERE / "trainer.py", folder]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    assert answer["trainer"] == TRAINER
    return answer["told"]


def test_check_says_what_the_trainer_does(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    cases = trainer_cases.every()
    folders = {name: f"{number:03}" for number, name in enumerate(cases)}
    for name, folder in folders.items():
        for side in ("theirs", "ours"):
            trainer_cases.write(cases[name], tmp_path / side / folder)
    told = ask(tmp_path / "theirs")

    lines, verdicts, found, wrong = [], {}, {}, []
    for name, folder in folders.items():
        ours = tmp_path / "ours" / folder
        report = checking.check(ours)
        foretold = trainer_verdicts.of_report(report, ours)
        verdicts[name] = trainer_verdicts.of_trainer(told[folder])
        found[name] = sorted(set(report.violations["rule"]))
        rules = ", ".join(found[name]) or "sound"
        differs = verdicts[name] != foretold
        lines.append(f"{'DIFFERS  ' if differs else ''}{name} | {verdicts[name] or 'takes all'} | {rules}")
        wrong += [name] if differs else []
    print(f"\n{TRAINER} beside radloop check: {len(cases)} datasets, {len(wrong)} differ", *lines, sep="\n")
    assert wrong == []
    assert "run" in told[folders["yaml: download that is run"]]["printed"].split()
    if request.config.getoption("--record"):
        record = {"trainer": TRAINER, "verdicts": verdicts}
        trainer_verdicts.RECORDED.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        PAGE.write_text(trainer_verdicts.page(TRAINER, verdicts, found))


def test_trainer_validates_on_each_image_once_where_the_consensus_judges(tmp_path: Path) -> None:
    films = made_up.films(tmp_path / "films")
    for name, judge in (("per-reader", None), ("judged", "consensus")):
        out = tmp_path / "made" / name
        offline.etl(Etl(source=str(films), out=out, sizes=SIZES, judge=judge, min_readers=2))
        shutil.copytree(out / "organized", tmp_path / "theirs" / name)
    told = ask(tmp_path / "theirs")

    taken = {}
    for name, fate in told.items():
        assert fate["refused"] is None
        for split, files in fate["splits"].items():
            troubles = ("refused", "elsewhere", "dropped", "missing", "saved anew", "stops at", "repeated")
            assert not any(files[trouble] for trouble in troubles)
            taken[name, split] = len(files["boxes"]), sum(files["boxes"].values())
    print(f"\n{TRAINER}, pictures and boxes of each split:", *taken.items(), sep="\n")
    assert {key: pictures for key, (pictures, _) in taken.items()} == {
        ("judged", "train"): 48,
        ("judged", "val"): 4,
        ("judged", "test"): 4,
        ("per-reader", "train"): 48,
        ("per-reader", "val"): 12,
        ("per-reader", "test"): 12,
    }
    assert taken["judged", "train"] == taken["per-reader", "train"]


WORDS = ["0", "1", "2", "-1", "1.0", "0.5", ".25", "1e-3", "nan", "inf", "-0.005", "-0.0", "1.01", "1.0101", "-0.01"]
WORDS += ["-0.0101", "0.1", "0.9", "x", "\ufeff0"]


def random_label(rng: np.random.Generator) -> bytes:
    """A few lines, most of them nearly right."""
    lines = []
    for _ in range(rng.integers(1, 4)):
        columns = rng.choice([5, 5, 5, 5, 7, 7, 9, 3, 4, 6, 8])
        words = [str(rng.integers(2)), *(f"{value:.2f}" for value in rng.random(columns - 1))]
        if rng.random() < 0.4:
            words[rng.integers(columns)] = str(rng.choice(WORDS))
        lines += [" ".join(words)] * rng.choice([1, 1, 1, 2])
    return str(rng.choice(["\n", "\r\n", "\n \n"])).join(lines).encode()


def test_labels_made_at_random_fare_as_foretold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {f"train/labels/{number:04}.txt": random_label(rng) for number in range(2000)}
    pictures = {key.replace("labels", "images").replace("txt", "png"): trainer_cases.picture() for key in labels}
    root = trainer_cases.write(trainer_cases.sound() | labels | pictures, tmp_path / "theirs/one")
    train = ask(tmp_path / "theirs")["one"]["splits"]["train"]
    violations = checking.check(root).violations
    dropping = violations.filter(pl.col("rule").is_in(DROPPING))["key"].unique().sort()
    assert [key.replace("labels", "images").replace("txt", "png") for key in dropping] == train["dropped"]
    assert violations.filter(rule="label-duplicate").height == train["repeated"]
    assert 500 < len(train["dropped"]) < 1800
