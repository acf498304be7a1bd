"""What a loss of power may leave, as the fault campaign draws it (tests/faults/power.py), and what --durable keeps."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "faults"))

import tracer
from power import Record

from radloop import files
from radloop.feedback import records, reviews
from radloop.feedback.reviews import Review
from radloop.vindr.classes import TAXONOMY
from test_records import rich

pytestmark = pytest.mark.skipif(not tracer.USABLE and not os.environ.get("CI"), reason="Linux on x86-64 only")

ACKNOWLEDGED = "acknowledged"
Disk = dict[str, bytes]


def disks(place: Path, work: Callable[[], None]) -> Iterator[tuple[int, Disk, list[str]]]:
    """The call, what the disk may hold when the power goes after it, and what the work had acknowledged by then."""

    def run() -> int:
        work()
        return 0

    record = Record(place)
    output = place.with_name("output")
    done = tracer.run(run, place, output=output, watcher=record)
    assert done.status == 0, output.read_text()
    for point in range(1, len(done.calls) + 1):
        said = record.holds(ACKNOWLEDGED, point).decode().split()
        for order in ("ordered", "any order"):
            for state in record.states(point, order, random.Random(point), 4):
                yield point, {key: content for key, node, content in state.found if not node.is_folder}, said


def acknowledge(place: Path, name: str) -> None:
    with (place / ACKNOWLEDGED).open("a") as file:
        file.write(f"{name}\n")


def test_whoever_watches_a_run_neither_waits_for_its_own_children_nor_reaps_them(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    with subprocess.Popen(["sleep", "600"]) as stays, subprocess.Popen(["false"]) as ends:
        os.waitid(os.P_PID, ends.pid, os.WEXITED | os.WNOWAIT)
        try:
            assert [disk for _, disk, _ in disks(place, lambda: acknowledge(place, "one"))]
            assert (stays.poll(), ends.wait()) == (None, 1)
        finally:
            stays.kill()


def test_feedback_and_reviews_that_were_answered_survive_every_loss_of_power_whole(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    said = [rich(image_id=f"a{number}", feedback_id=f"f{number}") for number in range(2)]
    review = Review(feedback_id="f0", image_id="a0", reviewer="R1", verdict="normal", timestamp="2026-01-01T00:00:00Z")

    def work() -> None:
        feedback, out = place / "out" / "feedback", place / "out" / "reviews"
        files.make_folder(feedback, durable=True)
        writer = records.Writer(feedback, durable=True)
        for one in said:
            acknowledge(place, f"out/feedback/{writer.write(one)}")
        path = reviews.write(out, review, TAXONOMY, durable=True)  # as the desk does
        acknowledge(place, path.relative_to(place).as_posix())

    whole = {f"out/feedback/a{number}.json": records.encode(one) for number, one in enumerate(said)}
    whole[f"out/reviews/{reviews.file_name(review)}"] = reviews.encode(review)
    most = 0
    for point, disk, acknowledged in disks(place, work):
        most = max(most, len(acknowledged))
        assert all(disk.get(name) == whole[name] for name in acknowledged), (point, acknowledged, disk)
        assert all(disk[name] == data for name, data in whole.items() if name in disk), (point, disk)
    assert most == 3


def test_file_that_is_replaced_without_a_flush_may_be_empty_and_with_one_never_is(tmp_path):
    found = {}
    for durable in (False, True):
        place = tmp_path / str(durable)
        place.mkdir()
        (place / "table").write_bytes(b"old")
        states = disks(
            place, lambda place=place, durable=durable: files.write_atomic(place / "table", b"new", durable=durable)
        )
        found[durable] = {disk["table"] for _, disk, _ in states}
    assert found[True] == {b"old", b"new"}
    assert {b"", b"old"} < found[False]


@pytest.mark.parametrize(
    ("exchanges", "fuse"),
    [
        pytest.param(True, False, id="exchange"),
        pytest.param(False, False, id="two-renames"),
        pytest.param(False, True, id="fuse"),
    ],
)
def test_tree_that_takes_anothers_place_durably_is_the_old_one_or_the_new_one(tmp_path, monkeypatch, exchanges, fuse):
    found = {}
    monkeypatch.setattr(files, "_is_fuse", lambda folder: fuse)
    if not exchanges:
        monkeypatch.setattr(files, "exchange", _refuse)
    for durable in (False, True):
        place = tmp_path / str(durable)
        (place / "unit").mkdir(parents=True)
        (place / "unit" / "a").write_bytes(b"old")
        (place / "unit" / "b").write_bytes(b"old")

        def work(place: Path = place, durable: bool = durable) -> None:
            (place / "new").mkdir()
            for name in "ab":
                (place / "new" / name).write_bytes(b"new")
            files.replace_tree(place / "new", place / "unit", durable=durable)

        found[durable] = set()
        for _, disk, _ in disks(place, work):
            unit = "unit" if "unit/a" in disk or ".unit.old/a" not in disk else ".unit.old"  # `recover_tree`
            found[durable].add((disk.get(f"{unit}/a"), disk.get(f"{unit}/b")))
    assert found[True] == {(b"old", b"old"), (b"new", b"new")}
    assert len(found[False]) > 2


def _refuse(first: Path, second: Path) -> None:
    raise OSError(22, "not here")


def test_name_that_was_linked_before_its_folder_was_flushed_may_be_gone(tmp_path):
    place = tmp_path / "place"
    place.mkdir()

    def work() -> None:
        with (place / "a").open("wb") as file:
            file.write(b"data")
            file.flush()
            os.fsync(file.fileno())
        os.link(place / "a", place / "b")
        files.flush_folder(place)
        acknowledge(place, "b")

    before = {frozenset(disk) for _, disk, said in disks(place, work) if not said}
    assert {frozenset(), frozenset("a"), frozenset("ab")} <= before
    # the data were flushed, and so is either name whole
    assert frozenset("b") not in before, "names of one folder keep their order"
