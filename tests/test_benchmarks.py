"""The benchmarks run, judge and tell; what they measure is for `make bench`."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import annotations_csv, harness, labels, missed, page, policies, rounds, speed, suspects, thumbnails  # noqa: E402
from benchmarks.__main__ import STAGES  # noqa: E402
from benchmarks.harness import Growth, Limit, Point, Result, Section, Turn  # noqa: E402
from benchmarks.speed import Cells, Row, Stage  # noqa: E402

from radloop.catalog import truth  # noqa: E402
from radloop.sources import synthetic  # noqa: E402
from radloop.split_sizes import SplitSizes  # noqa: E402
from radloop.tables import EDGES  # noqa: E402

MACHINE = {
    "date": "2026-01-02 03:04 UTC",
    "cores": 2,
    "processor": "P",
    "memory_gb": 8.0,
    "kernel": "6.1",
    "python": "3.12",
    "file_system": "ext4",
    "load": 0.1,
}


def turns(*wall_s: float, done: float = 10) -> list[Turn]:
    return [Turn(wall_s=wall, cpu_s=wall, peak_mb=50, done=done, figures={"sent": 1.02}) for wall in wall_s]


def section(wall_s: float) -> Section:
    taken = {"floor": turns(1, 2, 1), "ours": turns(wall_s, 2 * wall_s, wall_s)}
    limit = Limit("ours", "wall_s", "floor", most=1.5, otherwise="the disk is slow")
    result = Result("Files", "files", "floor", taken, [harness.judge(limit, taken)])
    return Section("labels", "Labels", "What is done.", results=[result], machine=MACHINE, command="python -m x")


def test_a_ratio_is_taken_within_each_round():
    verdict = harness.judge(
        Limit("ours", "wall_s", "floor", most=1.5), {"ours": turns(1, 20, 4), "floor": turns(1, 10, 1)}
    )

    assert (verdict.measured, verdict.low, verdict.high) == (2, 1, 4)
    assert not verdict.held


def test_who_does_more_in_the_same_time_wins():
    taken = {"ours": turns(1, done=20), "theirs": turns(1, done=10)}

    assert harness.judge(Limit("theirs", "cpu_s", "ours"), taken, "requests").measured == 2


def test_a_figure_of_its_own_is_judged_by_itself():
    verdict = harness.judge(Limit("ours", "sent", most=1.05), {"ours": turns(1)})

    assert (verdict.what, verdict.measured, verdict.limit, verdict.held) == ("ours: sent", 1.02, "≤ 1.05", True)


def test_contestants_that_do_different_work_are_no_contest(tmp_path, monkeypatch):
    bench = harness.Bench(tmp_path, rounds=1)
    monkeypatch.setattr(bench, "turn", lambda contestant, given: turns(1, done=len(contestant.name))[0])
    contestants = [harness.Contestant("a", "m:f"), harness.Contestant("bb", "m:f")]

    with pytest.raises(SystemExit, match="did not do the same work"):
        bench.contest("Files", contestants, given=tmp_path, unit="files")


def test_the_page_tells_what_was_measured_now_and_the_run_before(tmp_path):
    for wall_s in (9, 1.2, 1.7):
        page.write([section(wall_s)], stages={"labels": Stage(1)}, folder=tmp_path)

    kept = page.read(tmp_path / "benchmarks.json")["labels"]
    assert [one.results[0].turns["ours"][0].wall_s for one in kept] == [1.7, 1.2]
    row = next(line for line in (tmp_path / "benchmarks.md").read_text().splitlines() if "ours / floor" in line)
    assert row == "| labels | ours / floor: time | 1.70 × | ≤ 1.5 × | **not held**: the disk is slow | 1.20 × |"


def test_page_and_chart_are_what_the_figures_give():
    kept = page.read()

    assert page.PAGE.read_text() == page.render(kept, STAGES)
    assert page.CHART.read_text() == speed.chart(speed.lines(STAGES, kept))


def test_whatever_is_missed_or_behind_has_its_reason():
    assert "not explained yet" not in page.PAGE.read_text()


def test_every_stage_stands_beside_its_peers_or_says_why_not():
    kept = page.read()
    shown = {line.stage for line in speed.lines(STAGES, kept)}

    assert shown == {name for name in kept if STAGES[name].rows}
    assert [name for name, stage in STAGES.items() if bool(stage.rows) == bool(stage.without)] == []
    for name, stage in STAGES.items():
        code = (ROOT / "benchmarks" / f"{name}.py").read_text()
        for row in (row for row in stage.rows if isinstance(row, Row)):  # of `Cells` the table is asked above
            named = [row.contest, row.ours, *row.peers, row.floor]
            assert [one for one in named if one not in code] == [], f"{name}.py has no such contest or contestant"


def processor_s(stage: str, contest: str, name: str) -> float:
    """Of one unit of work, as docs/benchmarks.json has it."""
    result = next(one for one in page.read()[stage][0].results if one.title == contest)
    return float(np.median([turn.per_unit("cpu_s") for turn in result.turns[name]]))


def seconds_of_measures(question: str, column: str) -> float:
    header, *rows = page.read()["measures"][0].tables[""]
    return next(row[header.index(column)] for row in rows if row[0] == question)


@pytest.mark.parametrize(
    ("written", "quoted", "measured"),
    [
        (
            "scaling.md",
            r"picture pass.*?\| ([\d.]+) ms a picture",
            lambda: 1e3 * processor_s("pictures", "One process", "radloop, all"),
        ),
        (
            "scaling.md",
            r"`retrain`.*?\| ([\d.]+) µs a feedback file",
            lambda: 1e6 * processor_s("retrain", "Everything is new", "radloop, one process"),
        ),
        (
            "measures.md",
            r"([\d.]+) s of processor time in loops",
            lambda: seconds_of_measures("these questions", "loops"),
        ),
        ("measures.md", r"in loops, ([\d.]+) s here", lambda: seconds_of_measures("these questions", "radloop")),
        (
            "measures.md",
            r"drift tests: ([\d.]+) s",
            lambda: seconds_of_measures("all measures of the pages", "radloop"),
        ),
    ],
    ids=["picture pass", "feedback", "loops", "the same questions", "all measures"],
)
def test_a_figure_that_other_pages_quote_is_about_what_was_measured_last(written, quoted, measured):
    text = " ".join((ROOT / "docs" / written).read_text().split())
    assert float(re.search(quoted, text)[1]) == pytest.approx(measured(), rel=0.5)


def beside(*ours: float, reason: str = "") -> str:
    """The table's row of one contest beside a peer that takes 2, 2, 2 and a slower one."""
    taken = {"floor": turns(0.5, 0.5), "slow": turns(9), "peer": turns(2, 2, 2), "ours": turns(*ours)}
    one = Section("labels", "Labels", "", results=[Result("Files", "files", "floor", taken, [])])
    stage = Stage(1, (Row("files", "Files", "ours", ("slow", "peer", "absent"), "floor", reason=reason),))
    return next(line for line in speed.section_lines({"labels": stage}, {"labels": [one]}) if "files, per file" in line)


def test_the_best_of_the_peers_is_shown_with_the_floor_and_who_is_ahead():
    assert beside(1, 1, 3) == (
        "| labels | files, per file | 100 ms | 200 ms · peer | 50.0 ms | 0.500 × | 2.00 × | level |"
    )
    assert beside(1, 1, 1).endswith("| 0.500 × | 2.00 × | radloop |")
    assert beside(4, 4, 4).endswith("| **peer**: not explained yet |")
    assert beside(4, 4, 4, reason="it may").endswith("| **peer**: it may |")


def test_reason_of_a_missed_limit_holds_in_its_own_run():
    def judged(floor: float) -> str:
        taken = {labels.DATUMARO: turns(4), "yolo.write": turns(1), "floor in C": turns(floor)}
        limit = harness.judge(Limit(labels.DATUMARO, "wall_s", "yolo.write", least=labels.FIFTH), taken)
        (verdict,) = labels.explained(Result("Labels", "images", "yolo.write", taken, [limit])).verdicts
        return verdict.reason

    assert "takes 4.0 times the floor" in judged(floor=1)
    assert judged(floor=0.5) == ""


def test_of_a_table_the_worst_row_is_shown():
    rows = [["", "ours", "theirs"], ["a", 1.0, 9.0], ["b", 3.0, 4.0], ["c", 1.0, "–"]]
    one = Section("desk", "Desk", "", tables={"": rows})

    (line,) = speed.lines({"desk": Stage(1, (Cells("slowest", "", "ours", "theirs", "ms"),))}, {"desk": [one]})
    assert (line.what, line.ratio, line.ours_s, line.ahead) == ("slowest: b", 0.75, 0.003, "radloop")


def test_a_slope_of_two_is_quadratic_and_has_to_be_explained():
    points = [Point(1_000, 1, 1, 50), Point(10_000, 100, 100, 50)]
    growth = Growth("Files", "files", {"compare": points}, {"compare": "each with each"})

    assert page.slope_of(points) == 2
    assert "| compare | 1,000 | 10,000 | 2.00 | 100 | 50.0 | each with each |" in page.section_lines(
        Section("growth", "Growth", "", growths=[growth])
    )


def test_a_run_says_how_long_it_takes_and_one_that_is_ended_how_to_go_on(monkeypatch, capsys):
    def ended(*_given):
        raise KeyboardInterrupt

    assert "This takes about 5 minutes" in command.told_before(["labels", "pictures"])
    monkeypatch.setattr(command, "measure", ended)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "pictures", "labels", "--quick"])
    assert command.main() == 130
    assert "python -m benchmarks labels pictures --write" in capsys.readouterr().err


def test_a_busy_machine_is_told():
    busy = Section("labels", "Labels", "", machine=MACHINE | {"load": 2.5})

    assert "The machine was busy" in page.section_lines(busy)[-1]


@pytest.mark.parametrize("spec", ["oracle:1", "plain:2"])
def test_each_order_of_the_queue_holds_every_image_once(spec, tmp_path):
    synthetic.annotations(200, seed=0)[0].write_csv(tmp_path / "train.csv")
    said = missed.played(spec, annotations_csv.read(tmp_path / "train.csv"))
    outcome = said.outcome()
    lost = set(said.known["image_id"]) - set(said.detections["image_id"])

    assert set(outcome.filter("lost")["image_id"]) == lost
    assert 0 < len(lost) < outcome["wrong"].sum() < 200
    orders = dict(missed.orders(said))
    assert all(sorted(queued["image_id"]) == sorted(outcome["image_id"]) for queued in orders.values())
    nothing = [queued.head(40).filter(kind="nothing found").height for queued in orders.values()]
    assert nothing[0] < nothing[1] < nothing[2]


@pytest.mark.slow
def test_most_of_the_first_suspects_have_an_error_that_was_planted(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["suspects", "--images", "600", "--detector", "oracle:0.6"])
    suspects.main()

    told = capsys.readouterr().out
    assert "400 images" in told
    assert float(re.search(r"first  50: precision (0\.\d+|1\.00)", told)[1]) > 0.5  # by chance 0.14


@pytest.mark.slow
def test_planted_errors_are_of_the_kinds_that_they_are_said_to_be():
    readings = synthetic.readings(300, seed=1)
    known, image_ids = truth.of(readings), readings["image_id"].unique().sort()
    planted = suspects.plant(known, image_ids, np.random.default_rng(0))

    drawn = planted.labels.drop_nulls("class_id")
    each = round(0.05 * known.height)
    assert planted.errors["suspicion"].value_counts()["count"].to_list() == [each] * 4
    assert drawn.height == known.height  # as many were added as left out
    same = drawn.join(known, on=["image_id", "class_id", *EDGES], how="semi").height
    assert same == known.height - 3 * each
    assert set(planted.labels["image_id"]) == set(image_ids)


@pytest.mark.slow
def test_memory_of_each_step_that_sees_pictures_is_told(tmp_path):
    assert thumbnails.make(tmp_path, tmp_path, images=64)() == 64
    figures = thumbnails.look(tmp_path, tmp_path, images=64)()
    assert figures["done"] == 64
    assert sum(name.endswith("|peak_mb") and peak > 0 for name, peak in figures.items()) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["pictures.parquet"]  # the parts are one file


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_still_runs_and_leaves_nothing(stage, tmp_path):
    command = [sys.executable, "-m", "benchmarks", stage, "--quick", "--folder", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "Failed: none" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_production_is_not_used_up_over_rounds_of_new_patients(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "SECONDS", 1.0)
    sizes = SplitSizes.parse("training=12,validation=2,test=4,staging=2,canary=2,production=8")
    played = list(rounds.play(tmp_path, rounds=3, new=10, images=30, sizes=sizes, detector="oracle:0.5"))
    assert all(8 <= one.came <= 10 for one in played)  # the check for text in the pixels may hold one of them
    for one in played:
        assert one.trained == one.of_production + one.of_incoming
        assert one.of_incoming > 0
        assert one.left > 0
    assert played[-1].training == 12 + sum(one.trained for one in played)
    assert "| number | came |" in rounds.table(played)


@pytest.mark.slow
def test_thresholds_below_the_wish_are_as_rare_as_said():
    found = policies.coverage(60)
    assert found["with a threshold"] > 0.3
    assert found["with one below the wish"] <= 0.05


@pytest.mark.slow
def test_policies_are_judged_over_the_same_feedback_and_a_wish_is_a_floor():
    rows = policies.judged(policies.told(1000, noise=0.3))
    assert [one["images"] for one in rows] == [750] * len(rows)
    (first, *_), calibrated = rows, [one for one in rows if one["proven"]]
    assert first["policy"] == "threshold"
    assert first["labels"] > 50
    assert calibrated
    assert all(one["precision"] > float(one["policy"].rpartition(" ")[2]) for one in calibrated)
    assert policies.table(rows).count("\n") == len(rows) + 1
