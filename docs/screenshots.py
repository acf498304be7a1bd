"""Take the pictures of the dashboard anew: `python docs/screenshots.py OUT`, where OUT holds a whole loop.

radloop etl --source synthetic:300 --out OUT
radloop simulate --out OUT --detector oracle:0.6 --arrival poisson:12 --stage-seconds 4 --drift brightness:0.2@4
radloop review --out OUT --simulated
radloop retrain --out OUT
"""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser_session import Browser, served, window  # noqa: E402
from radloop.options import Dashboard  # noqa: E402


def main(out: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(Dashboard(out=out), Path(scratch) / "log") as address,
        window(address) as browser,
    ):
        for page in (
            "",
            "labels",
            "readers",
            "drift",
            "heatmaps",
            "images",
            "feedback",
            "detector",
            "re-training",
            "versions",
        ):
            browser.open(page)
            if page == "drift":
                view(browser, "Feedback of two time windows")
            if page == "images":
                browser.page.mouse.wheel(0, 260)
            take(browser, page or "overview")
    with (
        tempfile.TemporaryDirectory() as scratch,  # nobody has reviewed anything yet
        served(Dashboard(out=out, reviews=Path(scratch)), Path(scratch) / "log") as address,
        window(address) as browser,
    ):
        browser.open("review")
        browser.page.get_by_placeholder("reader-7").fill("reader-7")
        browser.page.locator("h1").click()
        browser.page.get_by_text("Give a pseudonym").wait_for(state="hidden")
        browser.page.keyboard.press("v")
        browser.page.get_by_text("2. Compare.").wait_for()
        browser.page.get_by_role("button", name="Reject").scroll_into_view_if_needed()
        take(browser, "review")


def view(browser: Browser, name: str) -> None:
    browser.page.get_by_role("radio", name=name).click(force=True)
    browser.page.wait_for_timeout(1500)
    browser.settle()


def take(browser: Browser, name: str) -> None:
    browser.settle()
    browser.page.wait_for_timeout(1500)
    browser.shot(HERE / "screenshots" / f"{name}.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
