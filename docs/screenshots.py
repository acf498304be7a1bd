"""Take the pictures of the dashboard anew: `python docs/screenshots.py OUT`, where OUT holds a whole loop.

radloop demo --out OUT

Every page at 1440×900, and the desk at four sizes. A page that shows a path of this machine stops it.
"""

import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser_session import Browser, served, window  # noqa: E402
from radloop.dashboard import app  # noqa: E402
from radloop.options import Dashboard  # noqa: E402

SIZE = (1440, 900)
DESK_SIZES = ((1280, 720), (1440, 900), (1920, 1080), (1024, 768))
VIEWS = {"Drift": "Feedback of two time windows", "Detector": "Curves", "Versions": "Over the rounds"}  # not the first
MACHINE = re.compile(r"/(?:tmp|work|root|home|usr|opt|var|mnt|srv|Users)/\S*")
_TEXTS = """() => {
  const inside = (root) => [...root.querySelectorAll('*')].flatMap((one) => [
    ...[...one.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent),
    ...['alt', 'title', 'aria-label', 'value', 'placeholder'].map((name) => one.getAttribute(name) ?? ''),
    ...(one.shadowRoot ? inside(one.shadowRoot) : []),
  ])
  return inside(document.body).join('\\n')
}"""


def main(out: Path) -> None:
    os.chdir(out.parent)  # so that the dashboard is told a path without this machine's folders
    inputs = Dashboard(out=Path(out.name))
    with opened(inputs, SIZE) as browser:
        for title in (title for pages in app.PAGES.values() for title in pages):
            if title == "Review":
                continue
            browser.page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
            look(browser, title, inputs)
            take(browser, title.lower().replace(" ", "-"))
        browser.open("images?split=production&outcome=true")
        browser.page.locator(".tiles a").last.click()  # which the readers agree on most
        browser.page.locator(".viewer .loading").wait_for(state="attached")
        take(browser, "image")
        for size in DESK_SIZES:
            desk(browser, size, telling(inputs))
            take(browser, "review" if size == SIZE else f"review-{size[0]}x{size[1]}")


@contextmanager
def opened(inputs: Dashboard, size: tuple[int, int]) -> Iterator[Browser]:
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(inputs, Path(scratch) / "log") as address,
        window(address, width=size[0], height=size[1]) as browser,
    ):
        yield browser


def look(browser: Browser, title: str, inputs: Dashboard) -> None:
    """A page as a person would show it."""
    path = "" if title == "Overview" else title.lower().replace(" ", "-")
    browser.open("images?split=test&outcome=missed" if title == "Images" else path)
    if title in VIEWS:
        browser.page.get_by_role("radio", name=VIEWS[title]).click(force=True)
        browser.settle()
    if title == "My reads":
        reader(browser, inputs.reviews_folder)


def reader(browser: Browser, folder: Path) -> None:
    """Say who looks, where a page asks: whoever has read most."""
    field = browser.page.get_by_label("Reader ID", exact=True)
    if field.count():
        readers = Counter(path.name.split(".")[1] for path in folder.glob("*.json"))
        field.fill(readers.most_common(1)[0][0])
        field.press("Enter")
        browser.settle()


def telling(inputs: Dashboard) -> str:
    """A feedback that nobody has read yet, with findings enough to see what the desk does with them."""
    read = {path.name.split(".")[0] for path in inputs.reviews_folder.glob("*.json")}
    told = [json.loads(path.read_bytes()) for path in sorted(inputs.feedback_folder.glob("*.json"))]
    fresh = [one for one in told if one["split"] == "production" and one["feedback_id"] not in read]
    return str(max(fresh, key=lambda one: min(len(one["detections"]), 4))["feedback_id"])


def desk(browser: Browser, size: tuple[int, int], feedback_id: str) -> None:
    """The desk with the AI findings shown."""
    browser.page.set_viewport_size({"width": size[0], "height": size[1]})
    browser.page.goto(f"{browser.address}/review?feedback={feedback_id}")
    field = browser.page.get_by_label("Reader ID", exact=True)
    begin = browser.page.get_by_role("button", name="Begin")
    browser.page.locator(".stage[data-quality=full]").or_(begin).first.wait_for()
    if begin.is_visible():
        field.fill("reader-7")
        begin.click()
    browser.page.locator(".stage[data-quality=full]").wait_for()
    show = browser.page.get_by_role("button", name="Show AI findings")
    if show.is_visible():
        show.click()


def take(browser: Browser, name: str) -> None:
    """Raises RuntimeError where the page shows a path of this machine."""
    browser.page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollTo(0, 0)")
    browser.page.mouse.move(700, 4)  # so that no table shows its tools
    if name.startswith("review"):
        browser.page.wait_for_timeout(700)
    else:
        browser.settle()
    shown = MACHINE.findall(browser.page.evaluate(_TEXTS))
    if shown:
        raise RuntimeError(f"the page {name} shows paths of this machine: {', '.join(sorted(set(shown)))}")
    browser.page.wait_for_timeout(1500)  # a chart grows into its place; nothing says when it is done
    browser.page.screenshot(path=HERE / "screenshots" / f"{name}.jpg", type="jpeg", quality=70)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
