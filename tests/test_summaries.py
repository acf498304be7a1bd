"""What a person reads on the terminal is what the record says, each number under its own name."""

import dataclasses
import inspect
from pathlib import Path
from typing import get_args, get_type_hints

from radloop import parts, summaries
from radloop.pipelines import checking, demo, evaluating, explaining, exporting, offline, online, retraining, reviewing
from radloop.storage.publish import Published
from radloop.storage.pull import Pulled
from radloop.summaries import registry


def facts(record):
    return dict(summaries.of(record).facts)


def test_each_number_of_a_publish_stands_under_its_own_name():
    record = Published(
        address="remote:box/organized",
        version="aaaa",
        previous_version="bbbb",
        sent_files=1_001,
        sent_bytes=2_000_000,
        copied=3_003,
        unchanged=4_004,
        removed=5_005,
        notes=("a note",),
    )
    assert facts(record) == {
        "sent": "1,001 files, 2.0 MB",
        "copied there": "3,003 files, no bytes sent",
        "unchanged": "4,004 files",
        "removed": "5,005 files",
    }
    assert summaries.of(record).title == "published aaaa to remote:box/organized (was bbbb)"
    assert summaries.of(record).notes == ("a note",)


def test_each_number_of_a_pull_stands_under_its_own_name():
    record = Pulled(version="aaaa", files=7, received_files=3, received_bytes=1_500)
    assert facts(record) == {"files": "7", "received": "3 files, 1.5 kB"}


def test_each_number_of_an_export_stands_under_its_own_name():
    record = exporting.Exported(
        format="coco",
        folder=Path("out/export/coco"),
        version="aaaa",
        labels={"training": "per-reader", "test": "consensus"},
        images={"training": 1_001, "test": 22},
        boxes=3_003,
        notes=("a note",),
    )
    assert facts(record) == {"folder": "out/export/coco", "images": "1,023", "boxes": "3,003"}
    assert summaries.of(record).grids[0].rows[1:] == (("training", "1,001", "per-reader"), ("test", "22", "consensus"))
    assert summaries.of(record).title == "exported version aaaa for coco"
    looked = dataclasses.replace(record, done=False)
    assert summaries.of(looked).title == "would export version aaaa for coco; nothing was written"


def test_every_record_of_a_pipeline_has_a_summary():
    without = [
        (function.__qualname__, record.__name__)
        for module in (checking, demo, evaluating, explaining, exporting, offline, online, retraining, reviewing)
        for function in vars(module).values()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and _is_a_step(function)
        for record in _records(get_type_hints(function)["return"])
        if registry.of.dispatch(record) is registry.of.dispatch(object)
    ]
    assert without == []


def _is_a_step(function):
    first = next(iter(get_type_hints(function).values()))
    return not function.__name__.startswith("_") and isinstance(first, type) and issubclass(first, parts.Step)


def _records(told):
    return get_args(told) or (told,)
