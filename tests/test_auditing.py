"""`radloop audit`: nothing that people said or programs did is changed, removed or brought back unseen."""

import csv
import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import small_loop
from radloop import cli
from radloop.catalog import audit_lines
from radloop.errors import AuditError
from radloop.feedback import logged, reviews
from radloop.options import Audit, Forget, Load, Pull, Retrain, Review
from radloop.pipelines import auditing, deeds, forgetting, offline, retraining, reviewing
from taxonomies import VINDR

SEEDS = 20  # of each manipulation; 1,000 in all were tried once


Manipulation = Callable[[list[Path], random.Random], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("audited")
    small_loop.run(out)
    return whole(out)


def whole(out: Path) -> Path:
    """The loop with the reviews that it took away written again, and a round after them."""
    shutil.rmtree(out / "reviews")
    reviewing.simulate(Review(out=out, simulated=True))
    retraining.retrain(Retrain(out=out))
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "out", ignore=shutil.ignore_patterns("cache", "films"))


def verify(out: Path) -> auditing.Verified:
    return auditing.verify(Audit(out=out, action="verify"))


def codes(out: Path) -> list[str]:
    return sorted(set(verify(out).faults["code"]))


def said(out: Path) -> list[Path]:
    """Every file that a manipulation may be of."""
    logs = [*(out / "audit").glob("*.jsonl"), *(out / "reviews" / logged.FOLDER).glob("*.jsonl")]
    return sorted([*(out / "feedback").glob("*.json"), *(out / "reviews").glob("*.json"), *logs])


@contextmanager
def kept(paths: list[Path]) -> Iterator[None]:
    before = {path: path.read_bytes() for path in paths}
    try:
        yield
    finally:
        folders = {path.parent for path in paths}
        for one in [one for folder in folders for one in folder.glob("[!.]*.json*")]:
            if one not in before:
                one.unlink()
        for path, data in before.items():
            path.write_bytes(data)


def flip(paths: list[Path], rng: random.Random) -> None:
    path = rng.choice(paths)
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    path.write_bytes(data)


def delete(paths: list[Path], rng: random.Random) -> None:
    rng.choice(paths).unlink()


def swap(paths: list[Path], rng: random.Random) -> None:
    path = rng.choice(paths)
    other = rng.choice([one for one in paths if one.parent == path.parent and one != path] or [path])
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second if other != path else first[:-2])
    other.write_bytes(first if other != path else first[:-2])


def replay(paths: list[Path], rng: random.Random) -> None:
    """An earlier file under another's name, or a line of a log once more."""
    path = rng.choice(paths)
    if path.suffix == ".jsonl":
        line = rng.choice(path.read_bytes().splitlines(keepends=True))
        path.write_bytes(path.read_bytes() + line)
    else:
        name = path.name.replace(path.name.split(".")[0], "f" * 40, 1)
        path.with_name(name).write_bytes(path.read_bytes())


def cut(paths: list[Path], rng: random.Random) -> None:
    """The end of a log, or of a chain of reviews."""
    path = rng.choice([one for one in paths if one.parent.name != "feedback"])
    if path.suffix == ".jsonl":
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: rng.randrange(len(lines))]))
        return
    reviewer = path.name.split(".")[1]
    theirs = [one for one in paths if one.parent == path.parent and one.name.split(".")[1] == reviewer]
    named = {json.loads(one.read_bytes()).get("previous") for one in theirs}
    next(one for one in theirs if one.name.split(".")[2] not in named).unlink()


@pytest.mark.parametrize("how", [flip, delete, swap, replay, cut])
def test_no_manipulation_of_log_reviews_or_feedback_is_missed(
    out: Path, how: Callable[[list[Path], random.Random], None]
):
    paths = said(out)
    assert codes(out) == []
    for seed in range(SEEDS):
        with kept(paths):
            how(paths, random.Random(f"{how.__name__} {seed}"))
            assert codes(out), f"{how.__name__} by seed {seed}"
    assert codes(out) == []


def test_chain_that_was_rewritten_whole_is_found_by_what_a_round_has_pinned(out: Path):
    shutil.rmtree(out / "reviews")
    reviewing.simulate(Review(out=out, simulated=True, seed=1))
    assert codes(out) == ["review-deleted"]
    assert any("not as an earlier round has pinned" in note for note in retraining.retrain(Retrain(out=out)).notes)


def test_what_is_forgotten_leaves_no_gap_and_is_named_if_it_comes_back(out: Path):
    path = max((out / "reviews").glob("*.json"), key=lambda one: b'"previous"' not in one.read_bytes())
    image_id, data = json.loads(path.read_bytes())["image_id"], path.read_bytes()
    feedback = next(one for one in (out / "feedback").glob(f"{image_id}*.json"))
    words = feedback.read_bytes()
    forgetting.forget(Forget(out=out, asked=image_id, reason="asked for"))
    assert not path.exists()
    assert codes(out) == []
    logs = b"".join(one.read_bytes() for one in said(out) if one.suffix == ".jsonl")
    assert image_id.encode() not in logs
    path.write_bytes(data)
    assert codes(out) == ["review-returned"]
    path.unlink()
    feedback.write_bytes(words)
    assert codes(out) == ["feedback-returned"]


def test_review_that_lies_there_under_a_second_name_is_named(out: Path):
    for path in sorted((out / "reviews").glob("*.json")):
        copy = path.with_name(f"other.{path.name.partition('.')[2]}")
        shutil.copy(path, copy)
        assert "review-copied" in codes(out)
        copy.unlink()


def test_review_that_no_log_tells_of_is_named(out: Path):
    known = json.loads(next((out / "reviews").glob("*.json")).read_bytes())
    told = reviews.Review(
        feedback_id=known["feedback_id"],
        image_id=known["image_id"],
        reviewer="eve",
        verdict="normal",
        findings=[],
        timestamp="2026-01-01T00:00:00+00:00",
    )
    reviews.write(out / "reviews", told, VINDR)
    assert codes(out) == ["review-unlogged"]


def test_deed_is_stopped_before_it_is_done_where_the_log_cannot_be_written(out: Path):
    shutil.rmtree(out / "audit")
    (out / "audit").write_text("in the way")
    before = sorted(path for path in (out / "store").rglob("*"))
    with pytest.raises(AuditError, match="nothing was changed"):
        offline.load(Load(out=out))
    assert sorted(path for path in (out / "store").rglob("*")) == before


def test_deed_that_was_cut_off_is_settled_by_the_next(out: Path):
    current = deeds.version_of(out / "organized")
    with pytest.raises(KeyboardInterrupt), deeds.deed(out, "load", "organized", current=current, new=current()):
        raise KeyboardInterrupt
    assert verify(out).open
    assert codes(out) == []
    offline.load(Load(out=out))
    told = audit_lines.verify(out / "audit")
    assert [(line.what, line.state, line.later) for line in told.lines[-3:]] == [
        ("load", "done", True),
        ("load", "begun", False),
        ("load", "done", False),
    ]
    assert verify(out).open == ()


def test_export_is_csv_and_json_and_no_cell_is_a_formula(out: Path, capsys: pytest.CaptureFixture[str]):
    with deeds.deed(out, "load", "=HYPERLINK(1)", current=lambda: None):
        pass
    exported = auditing.audit(Audit(out=out, action="export"))
    rows = list(csv.DictReader((out / "export/audit/audit.csv").read_text().splitlines()))
    assert len(rows) == len(json.loads((out / "export/audit/audit.json").read_bytes())) == exported.lines
    assert rows[-1]["subject"] != "=HYPERLINK(1)" or rows[-1]["log"] == "reviews"
    assert not any(cell.startswith("=") for row in rows for cell in row.values())
    with pytest.raises(SystemExit) as ended:
        cli.main(["audit", "verify", "--out", str(out), "--json"])
    assert ended.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["audit", "verify", "--out", str(out)])
    printed = "".join(capsys.readouterr().out.split())
    for folder in (out / "audit", out / "reviews" / logged.FOLDER):
        assert json.loads((folder / audit_lines.HEAD).read_bytes())["sha256"] in printed
    next((out / "reviews").glob("*.json")).unlink()
    with pytest.raises(SystemExit) as ended:
        cli.main(["audit", "verify", "--out", str(out)])
    assert ended.value.code == 1
    assert "review-deleted" in capsys.readouterr().out


def feedback_of(out: Path) -> list[Path]:
    return sorted((out / "feedback").glob("*.json"))


def test_feedback_that_was_deleted_is_named_also_after_the_next_round_and_after_forgetting(out: Path):
    gone, *_, other = feedback_of(out)
    gone.unlink()
    notes = retraining.retrain(Retrain(out=out)).notes
    assert any("1 feedback that an earlier round knew is not in" in note for note in notes)
    assert codes(out) == ["feedback-deleted"]
    forgetting.forget(Forget(out=out, asked=json.loads(other.read_bytes())["image_id"], reason="asked for"))
    assert codes(out) == ["feedback-deleted"]


def test_round_that_is_gone_or_pins_other_chains_is_named(out: Path):
    reports = sorted((out / "organized/retrain/rounds").glob("*/report.json"))
    with kept(reports):
        for path in reports:
            path.write_bytes(json.dumps({**json.loads(path.read_bytes()), "chains": []}).encode())
        assert codes(out) == ["round-changed"]
        for path in reports:
            path.write_bytes(json.dumps({**json.loads(path.read_bytes()), "chains": [{"reviews": 2**70}]}).encode())
        assert codes(out) == ["round-changed"]
    shutil.rmtree(out / "organized/retrain")
    assert codes(out) == ["round-changed"]


def test_log_that_was_taken_away_is_missed_also_after_the_next_deed(out: Path):
    shutil.rmtree(out / "audit")
    assert codes(out) == ["log-missing"]
    offline.load(Load(out=out))
    assert codes(out) == ["log-missing"]


def test_round_of_another_machine_pins_nothing_here(out: Path, tmp_path: Path):
    other = tmp_path / "other"
    pulled = offline.pull(Pull(out=other, store=str(out / "store")))
    assert pulled.version
    shutil.copytree(out / "feedback", other / "feedback")
    told = retraining.retrain(Retrain(out=other, store=str(out / "store")))
    assert {one.name for one in (out / "organized/retrain/rounds").iterdir()} < {
        one.name for one in (other / "organized/retrain/rounds").iterdir()
    }
    again = retraining.retrain(Retrain(out=other, store=str(out / "store")))
    assert not any("pinned" in note for note in (*told.notes, *again.notes))
    assert codes(other) == []


def test_feedback_in_lines_is_held_against_what_was_known_and_against_its_ids(out: Path):
    one, other, *_ = feedback_of(out)
    plain = {**json.loads(other.read_bytes()), "schema_version": 1, "feedback_id": "ab" * 16}
    lines = [json.dumps(json.loads(one.read_bytes())), json.dumps(plain)]
    one.unlink()
    path = out / "feedback/site.jsonl"
    path.write_text("\n".join(lines))
    retraining.retrain(Retrain(out=out))
    assert set(verify(out).faults["file"]) == {one.name}
    path.write_text(lines[1])
    assert {(row["file"], row["code"]) for row in verify(out).faults.to_dicts()} == {
        (one.name, "feedback-deleted"),
        (path.name, "feedback-deleted"),
    }
    changed = json.dumps({**json.loads(lines[0]), "arrived_at": "2026-01-01T00:00:00+00:00"})
    path.write_text("\n".join([changed, lines[1]]))
    assert (f"{path.name}:1", "feedback-changed") in verify(out).faults.select("file", "code").rows()


def test_feedback_that_lies_there_twice_is_named(out: Path):
    path = feedback_of(out)[0]
    told = json.loads(path.read_bytes())
    (out / "feedback/inner").mkdir()
    shutil.copy(path, out / f"feedback/inner/{told['image_id']}.json")
    assert codes(out) == ["feedback-copied"]


def test_review_under_the_name_of_other_feedback_is_named(out: Path):
    path = next(one for one in (out / "reviews").glob("*.json") if b'"previous"' in one.read_bytes())
    path.rename(path.with_name(f"other.{path.name.partition('.')[2]}"))
    assert codes(out) == ["review-swapped"]


def test_log_of_reviews_that_was_taken_away_is_missed_also_after_the_next_review(out: Path):
    shutil.rmtree(out / "reviews" / logged.FOLDER)
    assert codes(out) == ["log-missing"]
    reviewing.simulate(Review(out=out, simulated=True, seed=1))
    assert "log-missing" in codes(out)


def test_chained_reviews_of_before_there_were_logs_need_none(out: Path, tmp_path: Path):
    old = tmp_path / "old"
    (old / "reviews").mkdir(parents=True)
    previous = None
    for number in range(2):
        told = reviews.Review(
            feedback_id=f"{number}" * 32,
            image_id="a",
            reviewer="eve",
            verdict="normal",
            findings=[],
            timestamp=f"2026-01-01T00:00:0{number}+00:00",
            previous=previous,
        )
        previous = reviews.write(old / "reviews", told, VINDR).name.split(".")[2]
    assert verify(old).reviews == 2
    assert codes(old) == []
