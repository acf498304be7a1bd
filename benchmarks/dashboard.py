"""How long each page and each of its views takes: cold (a new process) and warm (a click later).

    python benchmarks/dashboard.py organized/ [--feedback DIR] [--make 200000]

Streamlit's own test driver runs the page's script in this process and gathers all that would be sent; the browser's
drawing comes on top. `--make N` first fills an empty folder of feedback with N bare files on the dataset's images.
"""

import argparse
import json
import logging
import time
from pathlib import Path

PAGES = ("overview", "labels", "readers", "drift", "heatmaps", "images", "feedback", "review", "retraining")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--feedback", type=Path)
    parser.add_argument("--make", type=int, default=0)
    parser.add_argument("--page", choices=PAGES)
    options = parser.parse_args()
    if options.make:
        make(options.dataset, options.feedback, options.make)
    logging.disable(logging.CRITICAL)
    began = time.perf_counter()
    import streamlit.testing.v1  # noqa: F401

    from radloop.dashboard.inputs import Inputs

    print(f"imports{time.perf_counter() - began:38.2f} s   (once, when the server starts)")
    inputs = Inputs(dataset=options.dataset, feedback=options.feedback, reviews=options.dataset.parent / "reviews")
    print(f"{'':28} {'cold':>8} {'cpu':>8} {'warm':>8}   seconds until all is sent")
    for page in [options.page] if options.page else PAGES:
        measure(page, inputs)
    if options.feedback:
        one_more(options.feedback)


def measure(page: str, inputs: object) -> None:
    from streamlit.testing.v1 import AppTest

    def script(page, inputs):
        import importlib

        importlib.import_module(f"radloop.dashboard.pages.{page}").page(inputs)

    test = AppTest.from_function(script, args=(page, inputs), default_timeout=600)
    views = [None]
    cold = timed(test.run)
    views = list(test.segmented_control[0].options) if test.segmented_control else [""]
    for number, view in enumerate(views):
        if number:
            cold = timed(test.segmented_control[0].set_value(view).run)
        warm = min(timed(test.run)[0] for _ in range(3))
        print(f"{page + ' · ' + view if view else page:28.28} {cold[0]:8.2f} {cold[1]:8.2f} {warm:8.2f}")
    for error in test.exception:
        print("  ", error.message)


def timed(work) -> tuple[float, float]:
    """By the clock, and of the processor: on a busy machine the first says little."""
    began = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def one_more(folder: Path) -> None:
    """Add one file, and look again."""
    from radloop.dashboard import loading

    loading.feedback(folder)
    path = folder / f"benchmark-{time.time_ns()}.json"
    path.write_text(json.dumps(bare("benchmark", 0)))
    print(f"one feedback file more: {timed(lambda: loading.feedback(folder))[0]:.2f} s")
    path.unlink()


def make(dataset: Path, folder: Path, count: int) -> None:
    import polars as pl

    images = pl.read_parquet(dataset / "annotations.parquet")["image_id"].unique().sort().to_list()
    folder.mkdir(parents=True)
    for number in range(count):
        image_id = images[number % len(images)]
        (folder / f"{image_id}.{number}.json").write_text(json.dumps(bare(image_id, number), indent=2))


def bare(image_id: str, number: int) -> dict[str, object]:
    minute, second = divmod(number % 86_400, 60)
    hour, minute = divmod(minute, 60)
    return {
        "image_id": image_id,
        "class_id": number % 14,
        "confidence": (number * 37 % 100) / 100,
        "bbox": [0.3 + number % 40 / 100, 0.5, 0.2, 0.2],
        "timestamp": f"2026-01-{1 + number % 28:02}T{hour:02}:{minute:02}:{second:02}+00:00",
    }


if __name__ == "__main__":
    main()
