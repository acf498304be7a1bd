"""Every round that stands beside a dataset: what its report tells, in the order of what it knew."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from radloop import manifest, sums, tree
from radloop.catalog import rounds, truth, version
from radloop.tables import MANIFEST, TIME
from test_closing import HEART, films, give, images, look, place, published, retrain  # noqa: F401  fixtures

OLD = {"dataset": "v1", "feedback": 3, "fates": {"kept": 2, "withheld": 1}, "rows": {"prediction": 2}, "images": 2}


def unit(folder: Path, **reports: object) -> Path:
    """A unit whose manifest lists these reports."""
    files = []
    for name, report in reports.items():
        key = f"{tree.ROUNDS}{name}/{tree.REPORT}"
        data = report if isinstance(report, bytes) else json.dumps(report).encode()
        (folder / key).parent.mkdir(parents=True)
        (folder / key).write_bytes(data)
        files.append((key, "document", None, None, None, len(data), *sums.of(data)))
    (folder / manifest.NAME).write_bytes(manifest.encode(pl.DataFrame(files, schema=MANIFEST, orient="row")))
    return folder


def test_rounds_come_in_the_order_of_what_they_knew(tmp_path):
    later, sooner = ({**OLD, rounds.SINCE: f"2026-01-0{day}T12:00:00+00:00"} for day in (3, 2))
    found, refused = rounds.read(unit(tmp_path, a=later, b=sooner, c=OLD))
    assert found["round"].to_list() == ["c", "b", "a"]  # the time of c is from before reports told it
    assert found["newest"].to_list() == [
        None,
        datetime(2026, 1, 2, 12, tzinfo=UTC),
        datetime(2026, 1, 3, 12, tzinfo=UTC),
    ]
    assert found.select("kept", "withheld", "disputed", "predictions", "images").row(0) == (2, 1, 0, 2, 2)
    assert found["known_labels"].null_count() == 3
    assert refused == ()


@pytest.mark.parametrize("report", [b"{", b"[]", b'{"fates": 3}', b'{"newest": "noon"}'], ids=str)
def test_report_that_cannot_be_read_is_refused_and_the_rest_stays(report, tmp_path):
    found, refused = rounds.read(unit(tmp_path, bad=report, good=OLD))
    assert found["round"].to_list() == ["good"]
    assert refused == ("rounds/bad/report.json",)


def test_report_that_was_changed_after_it_was_written_is_refused(tmp_path):
    folder = unit(tmp_path, one=OLD)
    (folder / "rounds/one/report.json").write_text(json.dumps(OLD | {"images": 99}))
    found, refused = rounds.read(folder)
    assert (found.height, refused) == (0, ("rounds/one/report.json",))


def test_where_there_was_no_round_there_is_none(tmp_path):
    found, refused = rounds.read(tmp_path)
    assert (found.height, refused) == (0, ())


def test_time_of_a_round_is_that_of_what_it_knew():
    times = [pl.DataFrame({"timestamp": [datetime(2026, 1, day, tzinfo=UTC)]}, {"timestamp": TIME}) for day in (1, 2)]
    nothing = times[0].clear()
    assert rounds.since(*times) == {rounds.SINCE: "2026-01-02T00:00:00+00:00"}
    assert rounds.since(times[0], nothing) == {rounds.SINCE: "2026-01-01T00:00:00+00:00"}
    assert rounds.since(nothing, nothing) == {rounds.SINCE: None}


def test_two_rounds_stand_side_by_side_and_a_second_run_writes_the_same(place):  # noqa: F811
    first, second = images(place, "production")[:2]
    give(place, first, (3, 0.95, HEART), number=1)
    one = retrain(place)
    give(place, second, (3, 0.95, HEART), number=2)
    other = retrain(place)
    folder = place / "out/organized/retrain"
    found = rounds.read(folder)[0]
    assert found["round"].to_list() == [one.round, other.round]
    assert [str(time) for time in found["newest"]] == ["2026-01-02 12:01:00+00:00", "2026-01-02 12:02:00+00:00"]
    assert found["rows_that_train"].to_list() == [1, 2]
    assert found["dataset"].to_list() == [version.read(place / "out").id] * 2
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert retrain(place).round == other.round
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before


def test_report_counts_a_models_rows_against_the_readers(place):  # noqa: F811
    """Of two production images one shows what its readers drew, the other what nobody did."""
    known = version.read(place / "out")
    drawn = truth.of(known.readings).join(known.images.filter(split="production"), on="image_id", how="semi")
    image_id, class_id, left, top, right, bottom = drawn.row(0)
    other = next(name for name in images(place, "production") if name != image_id)
    give(place, image_id, (class_id, 0.95, ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)))
    give(place, other, (class_id, 0.95, (0.05, 0.95, 0.02, 0.02)))
    report = retrain(place).report
    assert report[rounds.AGAINST_READERS] == {"images": 2, "labels": 2, "correct": 1}
    third = next(name for name in images(place, "production") if name not in (image_id, other))
    look(place, give(place, third, (3, 0.95, HEART)), "normal")
    assert retrain(place).report[rounds.AGAINST_READERS] == {
        "images": 2,
        "labels": 2,
        "correct": 1,
    }  # reviews are no rule
