"""Which way names get into a store is found out on a line whose times are known, and never changes what lies there."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from memory_store import KilledError, MemoryStore
from radloop.errors import StoreError
from radloop.storage import publish, quickest
from radloop.storage.change import EndedError, Outcome
from radloop.storage.quickest import Arrived, Sender
from tiny_unit import version, write_unit

PICTURES = [f"i{number:04}" for number in range(400)]
UPLOADS = [*(f"{picture}_R1.png" for picture in PICTURES), "data.yaml"]
COPIES = {f"{picture}_R{reader}.png": f"{picture}_R1.png" for picture in PICTURES for reader in (2, 3)}


class Line:
    """A line on which sending a file, and copying one, takes a known time; the two after each other."""

    def __init__(self, *, sending_s: float, copying_s: float) -> None:
        self.sending_s, self.copying_s = sending_s, copying_s
        self.now = 0.0
        self.uploads: list[list[str]] = []
        self.copied: dict[str, str] = {}
        self.fails_at = ""  # the upload with this file

    def upload(self, keys: Sequence[str], arrived: Arrived) -> Outcome:
        self.uploads.append(list(keys))
        self.now += self.sending_s * len(keys)
        return Outcome("503" if self.fails_at in keys else None)

    def copy(self, sources: Mapping[str, str]) -> Outcome:
        assert set(sources.values()) <= {key for batch in self.uploads for key in batch}
        assert sources
        self.now += self.copying_s * len(sources)
        self.copied |= sources
        return Outcome()

    def sender(self, *, tries: bool = True) -> Sender:
        return Sender(self.upload, self.copy, tries=tries, clock=lambda: self.now)

    @property
    def sent(self) -> list[str]:
        return [key for batch in self.uploads for key in batch]


@pytest.mark.parametrize(
    ("sending_s", "copying_s", "copies"),
    [
        pytest.param(0.04, 0.01, True, id="slow line"),
        pytest.param(0.01, 0.02, False, id="slow server"),
        pytest.param(0.01, 0.01, True, id="as quick: the fewer bytes"),
    ],
)
def test_the_rest_goes_the_way_that_was_quicker(sending_s: float, copying_s: float, copies: bool) -> None:
    line = Line(sending_s=sending_s, copying_s=copying_s)
    sender = line.sender()
    assert sender.send(UPLOADS, COPIES) == Outcome()
    assert sender.copies is copies
    assert sorted([*line.sent, *line.copied]) == sorted([*UPLOADS, *COPIES])
    assert (sorted(sender.uploaded), sender.copied) == (sorted(line.sent), len(line.copied))
    most = 0.1 * len(COPIES)  # went the other way, to find out
    assert (len(line.sent) - len(UPLOADS) if copies else len(line.copied)) <= most


def test_what_was_found_out_is_not_tried_again() -> None:
    line = Line(sending_s=0.01, copying_s=0.02)
    sender = line.sender()
    sender.send(UPLOADS, COPIES)
    copied = len(line.copied)
    sender.send(UPLOADS, COPIES)
    assert len(line.copied) == copied


@pytest.mark.parametrize(("pictures", "tries"), [(100, True), (400, False)], ids=["few", "many machines"])
def test_each_picture_is_sent_once_where_nothing_is_tried(pictures: int, tries: bool) -> None:
    line = Line(sending_s=0.01, copying_s=9.0)
    copies = {target: source for target, source in COPIES.items() if source in UPLOADS[:pictures]}
    line.sender(tries=tries).send(UPLOADS[:pictures], copies)
    assert (line.uploads, line.copied) == ([UPLOADS[:pictures]], copies)


@pytest.mark.parametrize("number", [0, 20, 40, 399], ids=["first", "second", "third", "last"])
def test_an_upload_that_fails_is_the_last_and_nothing_of_it_is_copied(number: int) -> None:
    line = Line(sending_s=0.04, copying_s=0.01)
    line.fails_at = f"{PICTURES[number]}_R1.png"
    assert line.sender().send(UPLOADS, COPIES).error == "503"
    assert line.fails_at in line.uploads[-1]
    assert not set(line.copied.values()) & set(line.uploads[-1])


def test_copies_are_made_while_their_sources_upload_goes_on() -> None:
    line = Line(sending_s=0.04, copying_s=0.01)
    copied = threading.Event()

    def copy(sources: Mapping[str, str]) -> Outcome:
        if f"{PICTURES[399]}_R1.png" in sources.values():
            copied.set()
        return line.copy(sources)

    def upload(keys: Sequence[str], arrived: Arrived) -> Outcome:
        outcome = line.upload(keys, arrived)
        if f"{PICTURES[399]}_R1.png" in keys:
            arrived(["data.yaml", f"{PICTURES[399]}_R1.png"])
            assert copied.wait(60)
        return outcome

    sender = Sender(upload, copy, clock=lambda: line.now)
    assert sender.send(UPLOADS, COPIES) == Outcome()
    assert sorted([*line.sent, *line.copied]) == sorted([*UPLOADS, *COPIES])
    assert sender.copied == len(line.copied)


def test_pictures_that_the_store_has_already_are_copied_or_sent() -> None:
    for copying_s, sent in ((0.001, 8 * 2), (1.0, len(COPIES) - 16 * 2)):
        line = Line(sending_s=0.01, copying_s=copying_s)
        line.uploads = [[*COPIES.values()]]  # an earlier load's
        line.sender().send([], COPIES)
        assert sum(map(len, line.uploads[1:])) == sent
        assert sorted([*line.copied, *(key for batch in line.uploads[1:] for key in batch)]) == sorted(COPIES)


def test_the_one_who_failed_is_told_and_not_that_the_program_ended_for_the_other() -> None:
    def ended(*_: object) -> Outcome:
        raise EndedError("rclone ended")

    def refused(*_: object) -> Outcome:
        raise StoreError("the quota is used up")

    def failed(*_: object) -> Outcome:
        return Outcome("503")

    with pytest.raises(StoreError, match="quota"):
        Sender(lambda *_: Outcome(), refused).send(UPLOADS, COPIES)
    with pytest.raises(EndedError):
        Sender(lambda *_: Outcome(), ended).send(UPLOADS, COPIES)
    assert Sender(lambda *_: Outcome(), failed).send(UPLOADS, COPIES).error == "503"
    in_the_store = dict.fromkeys(COPIES, "elsewhere")
    assert Sender(failed, ended).send(UPLOADS, in_the_store).error == "503"


class TimedStore(MemoryStore):
    """An object store in memory that takes a known time."""

    finds_quickest = True

    def __init__(self, *, sending_s: float, copying_s: float) -> None:
        super().__init__()
        self.seconds = {"PUT": sending_s, "COPY": copying_s}
        self.clock = lambda: sum(self.seconds.get(what.split()[0], 0.0) for what in self.trace)


LINES = [
    pytest.param({"sending_s": 0.04, "copying_s": 0.01}, id="slow line"),
    pytest.param({"sending_s": 0.01, "copying_s": 0.04}, id="slow server"),
]


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A unit of pictures that are enough to find out."""
    monkeypatch.setattr(quickest, "FEWEST", 2)
    return write_unit(tmp_path / "shared", version(24))


@pytest.mark.parametrize("line", LINES)
def test_objects_are_the_same_whichever_way_they_came(line: dict[str, float], shared: Path) -> None:
    plain, store = MemoryStore(), TimedStore(**line)
    publish.publish(shared, plain)
    done = publish.publish(shared, store)
    assert store.objects == plain.objects
    assert done.sent_files == len(store.uploaded)
    assert done.sent_files + done.copied == len(plain.objects) - 1  # the manifest
    assert (done.copied < 10) == (line["copying_s"] == 0.04)


@pytest.mark.parametrize("line", LINES)
def test_load_killed_while_it_finds_out_goes_on(line: dict[str, float], shared: Path) -> None:
    undisturbed = TimedStore(**line)
    publish.publish(shared, undisturbed)
    for moment in range(0, len(undisturbed.trace), 7):
        store = TimedStore(**line)
        store.requests_left = moment
        with pytest.raises(KilledError):
            publish.publish(shared, store)
        store.requests_left = 10_000
        publish.publish(shared, store)
        assert store.objects == undisturbed.objects
