"""dashboard: how long each page and each of its views takes, cold (a new server) and warm (a click later).

Streamlit's own test driver runs the page's script in this process and gathers all that would be sent; the browser's
drawing comes on top. Each page is asked of a new process, for which the rows of the feedback are kept on disk, as every
`radloop retrain` and `review` leaves them.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import desk
from benchmarks.harness import Bench, Contestant, Section, verdict
from benchmarks.stopwatch import Hand
from radloop.feedback.reviews import Finding, Review
from radloop.vindr.classes import TAXONOMY

READER = "reader-7"


def run(bench: Bench) -> Section:
    """Every page over a dataset with feedback; one feedback file more."""
    images, files = (150, 200) if bench.quick else (15_000, 200_000)
    given, out = bench.fresh("given"), bench.fresh("out")
    annotations = str(bench.annotations) if bench.annotations else None
    bench.turn(Contestant("made", "benchmarks.labels:make"), given, images=images, annotations=annotations)
    bench.turn(Contestant("made", "benchmarks.dashboard:make"), out, tables=str(given), files=files)
    rows: list[list[Any]] = []
    for page in ("overview", "review") if bench.quick else pages():
        turn = bench.turn(Contestant(page, "benchmarks.dashboard:look"), out, page=page)
        for view in dict.fromkeys(name.partition("|")[0] for name in turn.figures):
            seconds = [turn.figures[f"{view}|{of}"] for of in FIGURES]
            rows += [[f"{page} · {view}" if view else page, *seconds]]
    next_s = next_picture(out, bench.fresh("log"), 2 if bench.quick else 10)
    more = bench.turn(Contestant("one more", "benchmarks.dashboard:one_more"), out)
    cold, processor, warm = (max(row[place] for row in rows) for place in (1, 2, 3))
    return Section(
        "dashboard",
        "dashboard: the pages",
        f"{images:,} images, {files:,} feedback files, seconds until all is sent. Cold: a new process, for which "
        "earlier commands have kept the rows of the feedback; the imports are not in it. (A server does both when it "
        "starts.) Views after a page's first are asked of the same process.",
        verdicts=[
            verdict("slowest page, cold", [cold], most=3, unit="s"),
            verdict("slowest page, cold: processor time", [processor], most=3, unit="s"),
            verdict("slowest page, warm", [warm], most=1, unit="s"),
            verdict("next radiograph on the desk, after a verdict", next_s, most=0.3, unit="s"),
            verdict("one feedback file more, read again", [more.wall_s], unit="s"),
        ],
        tables={"": [["page · view", *FIGURES], *rows]},
    )


def pages() -> list[str]:
    """The modules of the pages, in the order of the menu."""
    from radloop.dashboard import app

    return [module.__name__.rpartition(".")[2] for part in app.PAGES.values() for module in part.values()]


FIGURES = ("cold", "processor, cold", "warm")


def make(given: Path, fresh: Path, *, tables: str, files: int) -> Callable[[], int]:
    """The dataset of benchmarks.labels, feedback on its images, and what `radloop retrain` keeps of it."""
    from benchmarks import labels
    from radloop.feedback import cache, reviews

    def work() -> int:
        labels.write(Path(tables), given / "organized")()
        names = labels.load(Path(tables))[1][1]["image_id"].to_list()
        folder = given / "feedback"
        write(folder, names, range(files))
        cache.read(folder, TAXONOMY, cache.path(given, folder, TAXONOMY))
        for number in range(files // 100):
            image_id = names[number % len(names)]
            reviews.write(given / "reviews", review(said(image_id, number), f"reader-{number % 3 + 6}"), TAXONOMY)
        return files

    return work


def write(folder: Path, names: list[str], numbers: range) -> None:
    """Feedback files under the names that `records.write` gives them, in turn on the images of these names."""
    folder.mkdir(exist_ok=True)
    directory = os.open(folder, os.O_RDONLY)
    for number in numbers:
        image_id = names[number % len(names)]
        name = f"{image_id}.json" if number < len(names) else f"{image_id}.{number:032x}.json"
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=directory)
        os.write(descriptor, json.dumps(said(image_id, number), indent=2).encode())
        os.close(descriptor)
    os.close(directory)


def said(image_id: str, number: int) -> dict[str, Any]:
    """A feedback as radloop's simulator writes it, of one of two detectors; every seventh found nothing."""
    minute, second = divmod(number % 86_400, 60)
    hour, minute = divmod(minute, 60)
    detections = [
        {
            "class_id": (number + 5 * place) % len(TAXONOMY),
            "confidence": 0.3 + (number * 37 % 70) / 100 * (1 - place / 4),
            "bbox": [0.3 + number % 40 / 100, 0.4 + place / 5, 0.2, 0.15],
        }
        for place in range(number % 7 and 2)
    ]
    first = detections[0] if detections else {"class_id": TAXONOMY.nothing, "confidence": 0.8, "bbox": None}
    return {
        "image_id": image_id,
        **first,
        "timestamp": f"2026-01-{1 + number % 28:02}T{hour:02}:{minute:02}:{second:02}+00:00",
        "detections": detections,
        "kept_from": 0.05,
        "picture": {"mean": 120.0 + number % 9, "std": 60.0 + number % 7, "sharpness": 1.0 + number % 5},
        "model": {"name": "oracle", "version": f"noise-0.{3 + number % 2}"},
        "latency_ms": 90 + number % 50,
        "stage": number % 7,
        "feedback_id": f"{number:032x}",
        "run_id": f"run-{number // 100_000}",
        "simulated": {"site": f"site-{number % 3}", "view": "PA", "device": "CR"},
        "schema_version": 1,
    }


def review(feedback: dict[str, Any], reader: str) -> Review:
    """A correction that keeps what the model found, and no more than that."""
    found = [Finding(class_id=box["class_id"], bbox=tuple(box["bbox"])) for box in feedback["detections"]]
    return Review(
        feedback_id=feedback["feedback_id"],
        image_id=feedback["image_id"],
        reviewer=reader,
        verdict="accept" if found else "normal",
        findings=found,
        timestamp=feedback["timestamp"].replace("2026-01", "2026-02"),
        blind_findings=found[:1],
        revealed=True,
        seconds_blind=20.0,
        seconds_total=31.0,
    )


def test_of(given: Path, page: str) -> Any:
    """Streamlit's test of a page."""
    os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"
    logging.disable(logging.CRITICAL)
    from streamlit.testing.v1 import AppTest

    from radloop.options import Dashboard

    import_module(f"radloop.dashboard.pages.{page}")

    def script(page, inputs):
        import importlib

        importlib.import_module(f"radloop.dashboard.pages.{page}").page(inputs)

    inputs = Dashboard(dataset=given, feedback=given / "feedback", reviews=given / "reviews")
    test = AppTest.from_function(script, args=(page, inputs), default_timeout=600)
    test.session_state["reader"] = READER
    return test


def opened(given: Path, page: str) -> None:
    """Let each view of a page be shown once."""
    test = test_of(given, page)
    test.run()
    for view in list(test.segmented_control[0].options)[1:] if test.segmented_control else []:
        test.segmented_control[0].set_value(view).run()
    if test.exception:
        raise SystemExit(f"{page}: {test.exception[0].message}")


def look(given: Path, fresh: Path, *, page: str) -> Callable[[], dict[str, float]]:
    """Seconds of each view of a page, as `view|cold` and the like."""
    test = test_of(given, page)

    def work() -> dict[str, float]:
        cold = timed(test.run)
        views = list(test.segmented_control[0].options) if test.segmented_control else [""]
        figures: dict[str, float] = {"done": len(views)}
        for number, view in enumerate(views):
            if number:
                cold = timed(test.segmented_control[0].set_value(view).run)
            warm = min(timed(test.run)[0] for _ in range(3))
            figures |= {f"{view}|cold": cold[0], f"{view}|processor, cold": cold[1], f"{view}|warm": warm}
        if test.exception:
            raise SystemExit(f"{page}: {test.exception[0].message}")
        return figures

    return work


def next_picture(out: Path, log: Path, count: int) -> list[float]:
    """Seconds from a verdict until the next radiograph is painted, in Chromium; each is looked at for a second."""
    with desk.served(out, log) as radloop, desk.chromium() as browser:
        hand = Hand(browser.new_context(viewport=desk.WINDOW), radloop)
        radloop.reviews = out / "none"  # those that are there stay
        radloop.begin(hand, [])
        seconds = []
        for _ in range(count):
            hand.page.wait_for_timeout(desk.LOOK_MS)
            radloop.reveal(hand)
            seconds.append(hand.timed(radloop.picture, lambda: radloop.accept(hand)).machine_ms / 1000)
    return seconds


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of the processor: on a busy machine the first says little."""
    began = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def one_more(given: Path, fresh: Path) -> Callable[[], int]:
    """A page that has read all the feedback looks again when there is one file more."""
    logging.disable(logging.CRITICAL)
    from radloop.dashboard import loading

    classes = loading.default_classes()
    loading.feedback(given / "feedback", classes)
    (given / "feedback" / "one-more.json").write_text(json.dumps(said("one-more", 10**9)))

    def work() -> int:
        loading.feedback(given / "feedback", classes)
        return 1

    return work
