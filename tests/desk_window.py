"""A radiologist's window on the desk in a real Chromium: mouse, keys and what stands there."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from browser_session import TOKEN
from radloop.feedback import reviews
from radloop.taxonomy import Taxonomy

_readers = count(1)
PATIENCE_MS = 60_000


class Window:
    """One page on the desk, opened by one reader."""

    def __init__(self, page: Page, address: str, reader: str | None = None) -> None:
        self.page, self.address = page, address
        self.reader = reader or f"person-{next(_readers)}"
        page.set_default_timeout(PATIENCE_MS)

    def open(self, feedback: str | None = None) -> None:
        """Go to the desk, say who reads, and wait for the picture."""
        self.page.goto(f"{self.address}/review" + (f"?feedback={feedback}" if feedback else ""))
        field = self.page.get_by_label("Reader ID", exact=True)
        field.fill(self.reader)
        self.page.get_by_role("button", name="Begin").click()
        self.await_picture()

    def next(self) -> None:
        """Skip to the next image, and wait for it."""
        before = self.state("read.item.feedback_id")
        self.press("Escape", "Escape", "s")
        self.page.wait_for_function(
            """(before) => { const {read} = [...document.querySelectorAll('*')]
            .map((one) => one.shadowRoot?.querySelector('.desk')).find(Boolean).desk;
            return read && read.item.feedback_id !== before; }""",
            arg=before,
        )
        self.await_picture()

    def await_picture(self) -> None:
        """Wait until the lossless picture is there."""
        expect(self.page.locator(".stage[data-quality=full]")).to_be_visible(timeout=PATIENCE_MS)

    @property
    def desk(self) -> Locator:
        """The whole desk."""
        return self.page.locator(".desk")

    @property
    def rows(self) -> Locator:
        """The list of findings."""
        return self.page.locator(".findings li")

    @property
    def says(self) -> Locator:
        """What the desk says to what was done last."""
        return self.page.locator(".panel .says")

    @property
    def image(self) -> str:
        """Which image is on the desk."""
        return self.page.locator(".stage .image").inner_text()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the film, in fractions of it, is on the screen."""
        area = self.page.locator(".stage").bounding_box()
        view, film = self.state("view"), self.state("film")
        assert area is not None
        return area["x"] + view["x"] + x * film["w"] * view["s"], area["y"] + view["y"] + y * film["h"] * view["s"]

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: str = "left", steps: int = 8) -> None:
        """Drag from one place of the film to another, in fractions of it."""
        begin, finish = self.at(*start), self.at(*end)
        self.page.mouse.move(*begin)
        self.page.mouse.down(button=button)
        self.page.mouse.move(*finish, steps=steps)
        self.page.mouse.up(button=button)

    def click(self, x: float, y: float) -> None:
        """Click on a place of the film."""
        self.page.mouse.click(*self.at(x, y))

    def state(self, name: str) -> Any:
        """What the desk holds under a name."""
        return json.loads(self.desk.evaluate(f"(root) => JSON.stringify(root.desk.{name} ?? null)"))

    def await_state(self, name: str, value: Any) -> None:
        """Wait until the desk holds this under a name."""
        until = time.monotonic() + PATIENCE_MS / 1000
        while self.state(name) != value and time.monotonic() < until:
            self.page.wait_for_timeout(50)
        assert self.state(name) == value

    def boxes(self) -> list[dict[str, Any]]:
        """The boxes of the read, corners in fractions of the film."""
        film = self.state("film")
        return [
            {
                "class_id": box["class_id"],
                "by": box["by"],
                "left": box["x"] / film["w"],
                "top": box["y"] / film["h"],
                "right": (box["x"] + box["w"]) / film["w"],
                "bottom": (box["y"] + box["h"]) / film["h"],
            }
            for box in self.state("read.boxes")
        ]

    def focused(self) -> str:
        """The tag of what has the focus, in the desk's own shadow."""
        return str(
            self.page.evaluate(
                """() => { let one = document.activeElement;
                while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
                return one ? one.tagName + (one.className ? '.' + one.className : '') : ''; }"""
            )
        )

    def kept(self) -> Mapping[str, Any]:
        """What the browser keeps of radloop's, by name."""
        text = self.page.evaluate("JSON.stringify(localStorage)")
        return {name: value for name, value in json.loads(text).items() if name.startswith("radloop.")}

    def await_written(self, folder: Path, number: int) -> None:
        """Wait until there are so many reviews of this reader."""
        until = time.monotonic() + PATIENCE_MS / 1000
        while time.monotonic() < until:
            if sum(name.split(".")[1:2] == [self.reader] for name in os.listdir(folder)) >= number:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"there are fewer than {number} reviews of {self.reader}")

    def await_saved(self) -> None:
        """Wait until the server has said that all is saved, and what was pressed before this is drawn."""
        self.page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        expect(self.page.locator(".unsaved")).to_have_text("", timeout=PATIENCE_MS)


@contextmanager
def opened(program: Browser, address: str, reader: str | None = None, **context: Any) -> Iterator[Window]:
    """A window with a memory of its own, on no image yet."""
    place = program.new_context(**({"viewport": {"width": 1280, "height": 800}} | context))
    try:
        place.request.get(f"{address}/?token={TOKEN}")
        yield Window(place.new_page(), address, reader)
    finally:
        place.close()


def written(folder: Path, classes: Taxonomy, reader: str) -> list[reviews.Review]:
    """The reviews of one reader, the oldest first."""
    names = [name for name in os.listdir(folder) if name.split(".")[1:2] == [reader] and name.endswith(".json")]
    found = [reviews.decode((folder / name).read_bytes(), classes, name=name) for name in names]
    return sorted(found, key=lambda review: review.timestamp)
