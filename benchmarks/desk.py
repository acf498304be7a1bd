"""desk: what a radiologist's work takes on radloop's desk and in Label Studio, on the same ten images, in one Chromium.

Both are driven as a person would who knows their keys: `Hand` counts each key, click and drag, and a stopwatch in the
page runs from the last input until the frame that shows what it did. Rounds are interleaved.
"""

import json
import socket
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from playwright.sync_api import Browser, sync_playwright

from benchmarks import harness, label_studio
from benchmarks.harness import Bench, Contestant, Section, verdict
from benchmarks.opponents import DETECTIONS
from benchmarks.stopwatch import Area, Desk, Hand, Place, Taken, Work
from radloop.options import Dashboard
from radloop.vindr.classes import TAXONOMY

sys.path.append(str(harness.ROOT / "tests"))
import browser_session

IMAGES = 10
DRAWN = "Consolidation", (0.15, 0.3), (0.25, 0.42)
MOVED = 0.03, 0.02
REVEAL = "show the AI findings"
FRAME_MS = 16
LOOK_MS = 1_000  # a person looks at an image; what a page prepares meanwhile is prepared
COLUMNS = ("actions", "ms", "work, ms")
WINDOW: Any = {"width": 1440, "height": 900}
TEXT = """\
Ten radiographs with the same two boxes of a model each, in one Chromium of {width}×{height}, rounds in turn; Label
Studio {version} with its label stream, the model's boxes shown at once, and a key for every class. Actions are keys (a
chord is one), clicks and drags; milliseconds run from the last input until the frame that shows what it did (the next
radiograph with its boxes; the box in its list; the window), medians; work is what the page's main
thread did meanwhile. Every image is looked at for a second, and what a
page prepares meanwhile is prepared. radloop's desk is read blind first: to show the AI findings is a key more than in
Label Studio, which shows them at once.
"""


def run(bench: Bench) -> Section:
    """Rounds of both in turn; with --quick only radloop's desk, once."""
    given = bench.fresh("given")
    bench.turn(Contestant("made", "benchmarks.desk:make"), given)
    if not bench.quick:
        label_studio.install()
    with ExitStack() as stack:
        desks: list[Desk] = [stack.enter_context(served(given, bench.fresh("log")))]
        if not bench.quick:
            desks += [stack.enter_context(label_studio.served(bench.fresh("label-studio"), _port()))]
        browser = stack.enter_context(chromium())
        taken: dict[str, dict[str, list[Taken]]] = {desk.name: {} for desk in desks}
        for number in range(bench.rounds):
            for desk in desks:
                print(f"  desk, round {number + 1}: {desk.name} …", file=sys.stderr, flush=True)
                for title, one in work(browser, desk, listed(given)):
                    taken[desk.name].setdefault(title, []).append(one)
    return section(taken)


def make(given: Path, fresh: Path) -> Callable[[], int]:
    """A dataset with ten images in production, and a feedback with two boxes on each."""
    from radloop.options import Etl
    from radloop.pipelines import offline
    from radloop.split_sizes import SplitSizes

    def work() -> int:
        sizes = SplitSizes.parse(f"training=4,validation=2,test=2,staging=2,canary=2,production={IMAGES}")
        offline.etl(Etl(out=given, source=f"synthetic:{IMAGES + 12}", sizes=sizes))
        (given / "feedback").mkdir()
        (given / "reviews").mkdir()
        rows = pl.read_parquet(given / "organized" / "annotations.parquet").filter(split="production")
        for number, image_id in enumerate(rows["image_id"].unique().sort()):
            first = {name: DETECTIONS[0][name] for name in ("class_id", "confidence", "bbox")}
            feedback = {
                "image_id": image_id,
                **first,
                "timestamp": f"2026-01-02T03:04:{number:02}+00:00",
                "feedback_id": f"{number:032x}",
                "detections": DETECTIONS,
            }
            (given / "feedback" / f"{image_id}.{number:032x}.json").write_text(json.dumps(feedback))
        return IMAGES

    return work


def listed(given: Path) -> Work:
    """Each picture with the detections on it."""
    found = []
    for path in sorted((given / "feedback").iterdir()):
        image_id = path.name.partition(".")[0]
        pictures = (given / "organized" / "production" / "images").glob(f"{image_id}*")
        found.append((min(pictures), json.loads(path.read_text())["detections"]))
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A real one, which asks no other host for anything of its own."""
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(
            executable_path=browser_session.chromium(), args=list(browser_session.QUIET)
        )
        try:
            yield program
        finally:
            program.close()


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def work(browser: Browser, desk: Desk, given: Work) -> Iterator[tuple[str, Taken]]:
    """Each row of the table, on nine of the ten images: the last one is what the ninth leads to."""
    context = browser.new_context(viewport=WINDOW)
    try:
        hand = Hand(context, desk)
        desk.begin(hand, given)
        hand.page.wait_for_timeout(LOOK_MS)
        yield "next", hand.timed(desk.picture, lambda: desk.next(hand))
        for act in (_accept, _correct, _move, _draw_and_undo, _level, _no_finding, _accept, _correct):
            hand.page.wait_for_timeout(LOOK_MS)
            if desk.is_blind:
                yield REVEAL, hand.timed(desk.boxes, lambda: desk.reveal(hand))
            yield from act(desk, hand)
        desk.end(hand)
        check(desk, hand)
    finally:
        context.close()


def check(desk: Desk, hand: Hand) -> None:
    """All that was decided has been kept. Raises SystemExit where it has not."""
    for _ in range(200):
        if (kept := desk.kept()) == (IMAGES if desk.is_blind else IMAGES - 2):
            return
        hand.page.wait_for_timeout(50)
    raise SystemExit(f"{desk.name} kept {kept} verdicts")


def _accept(desk: Desk, hand: Hand) -> Iterator[tuple[str, Taken]]:
    yield "accept", hand.timed(desk.picture, lambda: desk.accept(hand))


def _correct(desk: Desk, hand: Hand) -> Iterator[tuple[str, Taken]]:
    def act() -> None:
        desk.draw(hand, *DRAWN)
        desk.correct(hand)

    yield "correct with one box", hand.timed(desk.picture, act)


def _move(desk: Desk, hand: Hand) -> Iterator[tuple[str, Taken]]:
    x, y, w, h = DETECTIONS[1]["bbox"]
    for by in (MOVED, (-MOVED[0], -MOVED[1])) * 2:
        yield "move a box", hand.dragged(desk.boxes, "move", partial(desk.move, hand, (x, y, w, h), by))
        x, y = x + by[0], y + by[1]
    hand.timed(desk.picture, lambda: desk.correct(hand))


def _draw_and_undo(desk: Desk, hand: Hand) -> Iterator[tuple[str, Taken]]:
    for _ in range(4):
        yield "draw a box of a class", hand.dragged(desk.boxes, "release", lambda: desk.draw(hand, *DRAWN))
        yield "undo", hand.timed(desk.boxes, lambda: desk.undo(hand))
    hand.timed(desk.picture, lambda: desk.accept(hand))


def _level(desk: Desk, hand: Hand) -> Iterator[tuple[str, Taken]]:
    for _ in range(4):
        yield "window/level", hand.dragged(desk.window, "move", lambda: desk.level(hand))
    hand.timed(desk.picture, lambda: desk.accept(hand))


def _no_finding(desk: Desk, hand: Hand) -> Iterator[tuple[str, Taken]]:
    yield "no finding", hand.timed(desk.picture, lambda: desk.no_finding(hand))


@contextmanager
def served(given: Path, log: Path) -> Iterator["Radloop"]:
    """radloop's dashboard."""
    inputs = Dashboard(
        out=given, dataset=given / "organized", feedback=given / "feedback", reviews=given / "reviews", read_twice=0
    )
    with browser_session.served(inputs, log) as address:
        yield Radloop(address, given / "reviews")


class Radloop:
    """The desk of this dashboard."""

    name = "radloop"
    is_ahead = False  # the desk puts all of it right when it paints
    is_blind = True
    picture = """() => desk()?.querySelector(".stage").dataset.painted || null"""
    boxes = """() => JSON.stringify([...desk().querySelectorAll("[data-box^=box] rect:nth-of-type(2)")]
      .map((line) => ["x", "y", "width", "height"].map((side) => Number(line.getAttribute(side)))))"""
    window = """() => desk().querySelector(".window").textContent"""
    frames = """() => desk().desk.frames.splice(0)"""

    def __init__(self, address: str, reviews: Path) -> None:
        self.address, self.reviews = address, reviews
        self._area: Area | None = None
        self.keys = dict(zip(TAXONOMY.names, "1234567890qwty", strict=True))

    def begin(self, hand: Hand, given: Work) -> None:
        """No reviews yet, a reader, the first radiograph."""
        for path in self.reviews.glob("*.json"):
            path.unlink()
        hand.page.add_init_script(_FIND)
        hand.page.goto(f"{self.address}/review?token={browser_session.TOKEN}")
        hand.page.get_by_label("Reader ID").fill("reader-7")
        hand.page.keyboard.press("Enter")
        hand.page.wait_for_function(self.picture)

    def area(self, hand: Hand) -> Area:
        """Where the radiograph is on the screen: the model's wider box tells, as long as nobody has moved it."""
        if self._area is None:
            stage = hand.page.evaluate("() => desk().querySelector('.stage').getBoundingClientRect().toJSON()")
            x, y, width, height = max(json.loads(hand.page.evaluate(self.boxes)), key=lambda box: box[2])
            xc, yc, w, h = DETECTIONS[1]["bbox"]
            whole = width / w, height / h
            left, top = stage["x"] + x - (xc - w / 2) * whole[0], stage["y"] + y - (yc - h / 2) * whole[1]
            self._area = Area(left, top, *whole)
        return self._area

    def reveal(self, hand: Hand) -> None:
        self._area = None
        hand.press("v")

    def draw(self, hand: Hand, name: str, *corners: Place) -> None:
        """A box of a class: its key, then a drag."""
        area = self.area(hand)
        hand.press(self.keys[name])
        hand.drag(*(area.at(*corner) for corner in corners))

    def move(self, hand: Hand, box: Sequence[float], by: Place) -> None:
        """A box that is taken by its rim: inside it one can draw."""
        area, (x, y, w, _) = self.area(hand), box
        hand.drag(area.at(x - w / 2, y), area.at(x - w / 2 + by[0], y + by[1]))

    def level(self, hand: Hand) -> None:
        """Window and level in one drag with the right button."""
        area = self.area(hand)
        hand.drag(area.at(0.7, 0.2), area.at(0.8, 0.25), button="right")

    def undo(self, hand: Hand) -> None:
        hand.press("Control+z")

    def accept(self, hand: Hand) -> None:
        hand.press("a")

    def correct(self, hand: Hand) -> None:
        hand.press("e")

    def no_finding(self, hand: Hand) -> None:
        hand.press("n")

    def next(self, hand: Hand) -> None:
        hand.press("s")

    def end(self, hand: Hand) -> None:
        """Read the two that are left, so that nobody has them on the desk in the next round."""
        for last in (False, True):
            hand.press("v")
            if last:
                hand.press("a")
            else:
                hand.timed(self.picture, lambda: hand.press("a"))

    def kept(self) -> int:
        return len(list(self.reviews.glob("*.json")))


# Streamlit puts the desk into a shadow of its own.
_FIND = """let found = null;
window.desk = () => {
  const look = (root) => root.querySelector(".desk")
    ?? [...root.querySelectorAll("*")].filter((one) => one.shadowRoot).map((one) => look(one.shadowRoot)).find(Boolean);
  if (!found?.isConnected) found = look(document);
  return found;
};"""


def section(taken: dict[str, dict[str, list[Taken]]]) -> Section:
    """The table, and ratios against Label Studio where it took part."""
    ours, theirs = taken["radloop"], taken.get(label_studio.LabelStudio.name, {})
    rows: list[list[Any]] = []
    times, actions = [], []
    for title, mine in ours.items():
        others = theirs.get(title, [])
        row = [title, *_cells(mine), *_cells(others), "–"]
        if others:
            ratio = row[-1] = _middle(mine) / _middle(others)
            times.append(verdict(f"{title}: time, radloop / Label Studio", [ratio], most=1))
            actions.append(mine[0].actions / others[0].actions)
        rows.append(row)
    drags = [one for several in ours.values() for one in several if one.frames_ms]
    frames = sorted(ms for one in drags for ms in one.frames_ms)
    verdicts = [
        *([verdict("actions of the worst row, radloop / Label Studio", [max(actions)], most=1)] if actions else []),
        *times,
        verdict("work for a frame of a drag, of 95 %", [frames[int(0.95 * len(frames))]], most=FRAME_MS, unit="ms"),
        verdict("messages to the server during drags", [sum(one.sent for one in drags)], most=0, unit=""),
    ]
    header = ["", *(f"{name}: {what}" for name in ("radloop", "Label Studio") for what in COLUMNS), "× ms"]
    text = " ".join(TEXT.split()).format(**WINDOW, version=label_studio.version())
    return Section("desk", "the desk", text, verdicts=verdicts, tables={"": [header, *rows]})


def _cells(taken: list[Taken]) -> list[Any]:
    if not taken:
        return ["–"] * len(COLUMNS)
    return [taken[0].actions, _middle(taken), statistics.median(one.work_ms for one in taken)]


def _middle(taken: list[Taken]) -> float:
    return statistics.median(one.machine_ms for one in taken)
