"""`radloop check` against what the trainer was recorded to say (`make test-peers RECORD=--record` asks it anew)."""

import json
from pathlib import Path

import pytest

import trainer_cases
import trainer_verdicts
from radloop.dataset.trainer_rules import TRAINER
from radloop.pipelines import checking

CASES = trainer_cases.every()
RECORD = json.loads(trainer_verdicts.RECORDED.read_text())


def test_the_record_is_of_the_named_trainer_and_of_every_case() -> None:
    assert RECORD["trainer"] == TRAINER
    assert RECORD["verdicts"].keys() == CASES.keys()


def test_the_page_shows_every_case() -> None:
    page = (Path(__file__).parent.parent / "docs/trainer-verdicts.md").read_text()
    assert [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines()[8:]] == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_check_foretells_what_the_trainer_did(tmp_path: Path, name: str) -> None:
    report = checking.check(trainer_cases.write(CASES[name], tmp_path))
    assert trainer_verdicts.of_report(report, tmp_path) == RECORD["verdicts"][name]
    if not RECORD["verdicts"][name]:
        assert set(report.violations["rule"]) <= trainer_verdicts.BESIDE
    assert any(TRAINER in sentence for sentence in report.checked)
