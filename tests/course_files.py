"""What the time line reads, as the commands write it: history, models, rounds."""

import json
from pathlib import Path

import polars as pl

import models_unit
from monitor_report import day, report, watched
from radloop import manifest, sums, tree
from radloop.catalog import history, models
from radloop.catalog.history import Changed, Entry, History
from radloop.tables import MANIFEST

VERSIONS = tuple(f"{number:016x}" for number in (0xA1, 0xB2))


def published(root: Path, *entries: Entry) -> None:
    """The copy of the history beside a dataset."""
    (root / history.NAME).parent.mkdir(parents=True, exist_ok=True)
    (root / history.NAME).write_bytes(history.copied(History(entries=entries)))


def entry(version: str = VERSIONS[0], at: float = 0, **changes: object) -> Entry:
    told = {"previous": None, "action": "load", "images": 90, "labels": 270, "boxes": 180, "splits": {"training": 90}}
    return Entry(version=version, published_at=day(at), **{**told, **changes})


def two_versions() -> tuple[Entry, ...]:
    """One, the next with more images, and the first brought back."""
    more = Changed(images_added=10, images_removed=0, images_moved=4, labels_added=30, labels_removed=1, labels_moved=0)
    first, second = VERSIONS
    return (
        entry(first, 1),
        entry(second, 20, previous=first, images=100, changes=more, kept=True),
        entry(first, 70, previous=second, action="rollback", kept=True),
    )


def moves(*rows: tuple[float, str, str, str | None, str | None, str | None]) -> bytes:
    """aliases.json of moves of the champion: day, action, model, previous, comparison, reason."""
    told = [(day(at), action, models.CHAMPION, *rest) for at, action, *rest in rows]
    table = pl.DataFrame(told, schema=models.HISTORY, orient="row")
    return models.encode({models.CHAMPION: rows[-1][2]}, table)


def two_models(folder: Path, reason: str = "the first model") -> None:
    """One in use; one that misses a gate on staging; one that passes and takes its place; and the way back."""
    said = {"gate": "map", "passed": False, "says": "mAP@0.4: it may fall by 0.08, at most 0.05"}
    models_unit.unit(
        folder,
        models_unit.comparison("c1", passed=False, at=day(30).isoformat(), challenger={"model": "bad-1"}, gates=[said]),
        models_unit.comparison("c2", at=day(50).isoformat()),
        models_unit.comparison("c3", at=day(51).isoformat(), split="canary"),
        aliases=moves(
            (2, "promote", "old-1", None, None, reason),
            (52, "promote", "new-2", "old-1", "c3", None),
            (71, "rollback", "old-1", "new-2", None, "an alarm"),
        ),
    )


def rounds(unit: Path, *days: float | None) -> None:
    """A round of each of these days; None: its report does not tell when."""
    files = []
    for number, at in enumerate(days):
        key = f"{tree.ROUNDS}{number}a2b3c4d/{tree.REPORT}"
        told = {"dataset": VERSIONS[0], "feedback": 40, "fates": {"kept": 12}, "rows_that_train": 30, "reviews_used": 9}
        data = json.dumps(told | ({} if at is None else {"newest": day(at).isoformat()})).encode()
        (unit / key).parent.mkdir(parents=True)
        (unit / key).write_bytes(data)
        files.append((key, "document", None, None, None, len(data), *sums.of(data)))
    (unit / manifest.NAME).write_bytes(manifest.encode(pl.DataFrame(files, schema=MANIFEST, orient="row")))


def whole(out: Path) -> None:
    """All of it in the default places of OUT."""
    root = out / manifest.UNIT
    published(root, *two_versions())
    rounds(root / manifest.RETRAIN, 18, 40)
    two_models(out / manifest.MODELS)
    watched(out / "monitor", report())
