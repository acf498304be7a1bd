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

from benchmarks.harness import Bench, Contestant, Section, verdict
from radloop.vindr.classes import TAXONOMY

PAGES = (
    "overview",
    "labels",
    "readers",
    "drift",
    "heatmaps",
    "images",
    "feedback",
    "detector",
    "review",
    "retraining",
    "versions",
)


def run(bench: Bench) -> Section:
    """Every page over a dataset with feedback; one feedback file more."""
    images, files = (150, 200) if bench.quick else (15_000, 200_000)
    given, out = bench.fresh("given"), bench.fresh("out")
    annotations = str(bench.annotations) if bench.annotations else None
    bench.turn(Contestant("made", "benchmarks.labels:make"), given, images=images, annotations=annotations)
    bench.turn(Contestant("made", "benchmarks.dashboard:make"), out, tables=str(given), files=files)
    rows: list[list[object]] = []
    for page in ("overview",) if bench.quick else PAGES:
        turn = bench.turn(Contestant(page, "benchmarks.dashboard:look"), out, page=page)
        for view in dict.fromkeys(name.partition("|")[0] for name in turn.figures):
            seconds = [turn.figures[f"{view}|{of}"] for of in FIGURES]
            rows += [[f"{page} · {view}" if view else page, *seconds]]
    more = bench.turn(Contestant("one more", "benchmarks.dashboard:one_more"), out)
    cold, warm = (max(rows, key=lambda row: row[place]) for place in (1, 3))
    return Section(
        "dashboard",
        "dashboard: the pages",
        f"{images:,} images, {files:,} feedback files, seconds until all is sent; the imports, once for a server, are "
        "not in it. Views after a page's first are asked of the same process.",
        verdicts=[
            verdict("slowest page, cold", [cold[1]], most=3, unit="s"),
            verdict("slowest page, warm", [warm[3]], most=1, unit="s"),
            verdict("one feedback file more, read again", [more.wall_s], unit="s"),
        ],
        tables={"": [["page · view", *FIGURES], *rows]},
    )


FIGURES = ("cold", "processor, cold", "warm")


def make(given: Path, fresh: Path, *, tables: str, files: int) -> Callable[[], int]:
    """The dataset of benchmarks.labels, feedback on its images, and what `radloop retrain` keeps of it."""
    from benchmarks import labels
    from radloop.feedback import cache

    def work() -> int:
        labels.write(Path(tables), given / "organized")()
        names = labels.load(Path(tables))[1][1]["image_id"].to_list()
        folder = given / "feedback"
        folder.mkdir()
        for number in range(files):
            image_id = names[number % len(names)]
            (folder / f"{image_id}.{number}.json").write_text(json.dumps(bare(image_id, number), indent=2))
        cache.read(folder, TAXONOMY, cache.path(given, folder, TAXONOMY))
        return files

    return work


def bare(image_id: str, number: int) -> dict[str, object]:
    """A feedback in its five-key form."""
    minute, second = divmod(number % 86_400, 60)
    hour, minute = divmod(minute, 60)
    return {
        "image_id": image_id,
        "class_id": number % len(TAXONOMY),
        "confidence": (number * 37 % 100) / 100,
        "bbox": [0.3 + number % 40 / 100, 0.5, 0.2, 0.2],
        "timestamp": f"2026-01-{1 + number % 28:02}T{hour:02}:{minute:02}:{second:02}+00:00",
    }


def look(given: Path, fresh: Path, *, page: str) -> Callable[[], dict[str, float]]:
    """Seconds of each view of a page, as `view|cold` and the like."""
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
    (given / "feedback" / "one-more.json").write_text(json.dumps(bare("one-more", 0)))

    def work() -> int:
        loading.feedback(given / "feedback", classes)
        return 1

    return work
