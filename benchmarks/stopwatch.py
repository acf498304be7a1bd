"""A hand that counts what it does in a Chromium, and a stopwatch in the page: from the last input until a frame."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from playwright.sync_api import BrowserContext, WebSocket

# A watch ends after the first frame that shows that a probe says something else than before; null is nothing yet. Where
# a probe runs `ahead` of what is painted, it must have changed before the frame began.
STOPWATCH = """(() => {
  let last = 0;
  const note = (event) => { if (event.type !== "pointermove" || event.buttons) last = event.timeStamp; };
  for (const kind of ["keydown", "pointerdown", "pointermove", "pointerup"]) {
    window.addEventListener(kind, note, { capture: true, passive: true });
  }
  window.watch = (probe, ahead) => {
    const before = probe();
    const isOther = () => ![null, before].includes(probe());
    window.watched = new Promise((done, fail) => {
      const late = setTimeout(() => fail(new Error(`still ${before}: ${probe}`)), 60000);
      const painted = new MessageChannel();
      let early = false;
      painted.port1.onmessage = () => {
        if (ahead ? !early : !isOther()) return look();
        clearTimeout(late);
        done(performance.now() - last);
      };
      const look = () => requestAnimationFrame(() => {
        early = isOther();
        painted.port2.postMessage(null);
      });
      look();
    });
  };
})()"""
STEPS = 12  # of a drag
Work = Sequence[tuple[Path, Sequence[Mapping[str, Any]]]]  # a picture and the detections on it, each
Place = tuple[float, float]


@dataclass(frozen=True)
class Area:
    """Where a picture is on the screen, CSS pixels."""

    x: float
    y: float
    width: float
    height: float

    def at(self, x: float, y: float) -> Place:
        """The place of a fraction of the picture."""
        return self.x + x * self.width, self.y + y * self.height


@dataclass(frozen=True)
class Taken:
    """What one piece of work took."""

    actions: int
    machine_ms: float
    work_ms: float  # of the page's main thread, from the first input on
    frames_ms: tuple[float, ...] = ()  # what the page worked for each frame of a drag, where it tells
    sent: int = 0  # messages to the server while it was dragged


class Desk(Protocol):
    """What is measured: probes of the page (JavaScript functions) and what a person does with it."""

    name: str
    is_ahead: bool  # the probes change before what they tell of is painted
    is_blind: bool  # the model's boxes are shown when they are asked for
    picture: str  # a name of the picture that is painted, null while it is not
    boxes: str
    window: str
    frames: str  # milliseconds of work of each frame since it was asked last

    def begin(self, hand: "Hand", given: Work) -> None: ...
    def reveal(self, hand: "Hand") -> None: ...
    def draw(self, hand: "Hand", name: str, *corners: Place) -> None: ...
    def move(self, hand: "Hand", box: Sequence[float], by: Place) -> None: ...
    def level(self, hand: "Hand") -> None: ...
    def undo(self, hand: "Hand") -> None: ...
    def accept(self, hand: "Hand") -> None: ...
    def correct(self, hand: "Hand") -> None: ...
    def no_finding(self, hand: "Hand") -> None: ...
    def next(self, hand: "Hand") -> None: ...
    def end(self, hand: "Hand") -> None: ...
    def kept(self) -> int: ...


class Hand:
    """A person's hand in a window of its own: every press of a key (a chord is one), click and drag counts."""

    def __init__(self, context: BrowserContext, desk: Desk) -> None:
        context.add_init_script(STOPWATCH)
        self.page = context.new_page()
        self.page.on("websocket", self._connected)
        self.actions = self.sent = 0
        self._desk = desk
        self._metrics = context.new_cdp_session(self.page)
        self._metrics.send("Performance.enable")
        self._watched: tuple[str, Literal["move", "release"]] | None = None

    def _connected(self, line: WebSocket) -> None:
        def count(_: object) -> None:
            self.sent += 1

        line.on("framesent", count)

    def _worked_ms(self) -> float:
        metrics = {one["name"]: one["value"] for one in self._metrics.send("Performance.getMetrics")["metrics"]}
        return float(1000 * metrics["TaskDuration"])

    def _watch(self, probe: str) -> None:
        self.page.evaluate(f"watch({probe}, {json.dumps(self._desk.is_ahead)})")

    def timed(self, probe: str, act: Callable[[], None]) -> Taken:
        """What something takes whose last input changes what the probe says."""
        before, worked = self.actions, self._worked_ms()
        self._watch(probe)
        act()
        machine_ms = self.page.evaluate("watched")
        return Taken(self.actions - before, machine_ms, self._worked_ms() - worked)

    def dragged(self, probe: str, end: Literal["move", "release"], act: Callable[[], None]) -> Taken:
        """The same of something that ends with a drag: timed is its last step, or its end."""
        before, sent, worked = self.actions, self.sent, self._worked_ms()
        self.page.evaluate(self._desk.frames)
        self._watched = probe, end
        act()
        self._watched = None
        machine_ms = self.page.evaluate("watched")
        work_ms = self._worked_ms() - worked
        frames_ms = tuple(self.page.evaluate(self._desk.frames))
        return Taken(self.actions - before, machine_ms, work_ms, frames_ms, self.sent - sent)

    def count(self) -> None:
        """One action."""
        self.actions += 1

    def press(self, key: str) -> None:
        """A key, or several at once."""
        self.count()
        self.page.keyboard.press(key)

    def drag(self, begin: Place, end: Place, *, button: Literal["left", "right"] = "left") -> None:
        """One drag."""
        self.count()
        probe, when = self._watched or ("", None)
        mouse = self.page.mouse
        mouse.move(*begin)
        mouse.down(button=button)
        for step in range(1, STEPS + 1):
            if step == STEPS and when == "move":
                self._watch(probe)
            mouse.move(*(a + (b - a) * step / STEPS for a, b in zip(begin, end, strict=True)))
        if when == "move":
            self.page.evaluate("watched")
        if when == "release":
            self._watch(probe)
        mouse.up(button=button)
