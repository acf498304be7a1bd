"""What the models unit tells: which model is in use, which was before, and what was compared how often."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from models_unit import comparison, unit
from radloop.catalog import models
from radloop.errors import DatasetError

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def moved(*moves):
    """What is known after (action, model) moves of the champion, and the bytes of its aliases.json."""
    known, data = models.NONE, b""
    for hour, (action, model) in enumerate(moves):
        at = NOON + timedelta(hours=hour)
        data = models.moved(known, "champion", model, at=at, action=action, comparison="c1", reason=None)
        aliases, history = models._aliases(data, name="it")
        known = models.Models(
            aliases, models.pl.DataFrame(history, schema=models.HISTORY, orient="row"), known.comparisons
        )
    return known, data


def test_folder_without_a_unit_tells_nothing(tmp_path):
    assert models.read(tmp_path / "none") is models.NONE


def test_alias_leads_to_the_model_that_it_was_moved_to_last(tmp_path):
    _, data = moved(("promote", "a-1"), ("promote", "b-2"))
    told = models.read(unit(tmp_path, aliases=data))
    assert told.aliases == {"champion": "b-2"}
    assert told.history.select("action", "model", "previous").rows() == [
        ("promote", "a-1", None),
        ("promote", "b-2", "a-1"),
    ]
    assert json.loads(data)["aliases"]["champion"] == {
        "model": "b-2",
        "since": "2026-11-30T13:00:00+00:00",
        "comparison": "c1",
    }


def test_the_model_before_is_found_again_after_every_step_back():
    known, _ = moved(("promote", "a-1"), ("promote", "b-2"), ("promote", "c-3"))
    assert models.before(known, "champion") == "b-2"
    known, _ = moved(("promote", "a-1"), ("promote", "b-2"), ("promote", "c-3"), ("rollback", "b-2"))
    assert models.before(known, "champion") == "a-1"
    assert models.before(known, "champion", "c-3") == "c-3"
    assert models.before(known, "champion", "d-4") is None
    known, _ = moved(("promote", "a-1"), ("promote", "b-2"), ("rollback", "a-1"))
    assert models.before(known, "champion") is None


def test_every_distinct_comparison_of_a_split_is_counted(tmp_path):
    told = models.read(
        unit(tmp_path, comparison("c1"), comparison("c2", passed=False), comparison("c3", split="canary"))
    )
    assert told.uses.rows() == [("canary", "d1", 1), ("staging", "d1", 2)]
    assert (told.asked("staging", "d1"), told.asked("staging", "d2")) == (2, 0)
    assert told.comparisons.filter(comparison="c2")["reasons"].to_list() == ["mAP falls by up to 0.05"]


def test_a_pair_has_passed_where_its_newest_comparison_has(tmp_path):
    later = {"at": "2026-11-30T13:00:00+00:00"}
    told = models.read(unit(tmp_path, comparison("c1"), comparison("c2", passed=False, **later)))
    assert told.passed("staging", "d1", challenger="new-2") is None
    told = models.read(unit(tmp_path, comparison("c1", passed=False), comparison("c2", **later)))
    assert told.passed("staging", "d1", challenger="new-2", champion="old-1") == "c2"
    assert told.passed("staging", "d1", challenger="new-2", champion="other-1") is None


def test_comparison_that_was_changed_is_refused_and_the_rest_stays(tmp_path):
    folder = unit(tmp_path, comparison("c1"), comparison("c2"), **{"comparisons/c3.json": b"[]"})
    (folder / "comparisons/c2.json").write_text(json.dumps(comparison("c2", passed=False)))
    told = models.read(folder)
    assert told.comparisons["comparison"].to_list() == ["c1"]
    assert told.refused == ("comparisons/c2.json", "comparisons/c3.json")


SURROGATE = b'{"aliases": {"champion": {"model": "\\ud800"}}, "history": []}'


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"aliases": {"champion": 3}, "history": []}', SURROGATE], ids=str)
def test_damaged_aliases_stop_the_reader_and_name_the_way_out(data, tmp_path):
    with pytest.raises(DatasetError, match="Move the folder away"):
        models.read(unit(tmp_path, aliases=data))
