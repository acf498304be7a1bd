"""The machines and what they do: the steps of radloop on a dataset of twelve small pictures."""

import hashlib
import json
import os
import secrets
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import local
from typing import Any, Final

from PIL import Image

import made_up
from radloop import manifest, storage
from radloop.catalog import history
from radloop.detectors import chance  # noqa: F401 - imported here, so that no step has to
from radloop.errors import UsageError
from radloop.feedback import records, reviews
from radloop.feedback.records import Detection, Feedback, Model
from radloop.feedback.reviews import Finding, Review
from radloop.options import Forget, Ingest, Load, Prune, Pull, Retrain, Rollback, Transform
from radloop.pipelines import forgetting, ingesting, offline, retraining, versioning
from radloop.pipelines.simulator import showing
from radloop.sources import raw
from radloop.split_sizes import SplitSizes
from radloop.storage import layout, objects, pull
from radloop.vindr.classes import TAXONOMY

from .shared import ADDRESS, Wire, md5
from .states import State, snapshot

SIZES: Final = SplitSizes.parse("training=4,validation=1,test=2,staging=1,canary=0,production=4")
SIDE_PX: Final = 16
COUNT: Final = 12
NOON: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)
SKEW: Final = (timedelta(), timedelta(hours=-1), timedelta(minutes=7))  # what the clocks of the machines say beside it
MACHINES: Final = len(SKEW)
FOREIGN: Final = {
    f"organized/{folder}notes.txt": b"of a person\n" for folder in ("", "incoming/", "retrain/", "versions/")
}

_HERE = local()  # the store as the machine has it that runs in this thread


class _Clock:
    """What waits for nothing: an answer of the store is there at once, or not at all."""

    @staticmethod
    def sleep(seconds: float) -> None: ...

    monotonic = staticmethod(time.monotonic)


def _open(address: str, **_: object) -> Wire:
    assert address == ADDRESS, address
    return _HERE.wire


def _token_hex(count: int = 32) -> str:
    """A token that is another each time, and the same when the step is run again."""
    _HERE.tokens += 1
    return hashlib.sha256(f"{_HERE.machine} {_HERE.tokens}".encode()).hexdigest()[: 2 * count]


class World:
    """Sources, pictures that arrive, and the states that histories begin with, all in one folder."""

    def __init__(self, base: Path) -> None:
        """Draw the pictures, and build and publish the first version."""
        self.base = base
        shutil.rmtree(base, ignore_errors=True)
        storage.open_store = _open
        objects.time = _Clock
        secrets.token_hex = _token_hex
        made_up.SIDE_PX = SIDE_PX
        self.sources = {name: base / f"films-{name}" for name in "abc"}
        self._draw()
        self.empty = [self._extracted(one) for one in range(MACHINES)]

    def _draw(self) -> None:
        """Three sources of the same patients: a has ten, b all twelve and other boxes, c eleven and other boxes."""
        every = made_up.films(self.base / "films", COUNT)
        rows = made_up.rows(every)
        ids = sorted({row["image_id"] for row in rows})
        for name, kept, shift in (("a", ids[:10], 0), ("b", ids, 3), ("c", ids[1:], 5)):
            folder = self.sources[name]
            shutil.copytree(every, folder)
            for image_id in set(ids) - set(kept):
                next((folder / "train").glob(f"{image_id}.*")).unlink()
            made_up.write_rows(folder, [_shifted(row, shift) for row in rows if row["image_id"] in kept])
        for number in range(4):
            folder = self.base / f"new-{number}"
            folder.mkdir()
            turned = Image.open(sorted((every / "train").iterdir())[number]).transpose(Image.Transpose.ROTATE_90)
            turned.save(folder / f"came-{number}.png")
            if number == 1:  # what came in as came-0, under another name
                shutil.copy(self.base / "new-0" / "came-0.png", folder / "same-as-0.png")
            if number == 3:  # one that is held out, under another name and turned over
                held = Image.open(sorted((every / "train").iterdir())[7]).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                held.save(folder / "mirrored.png")
            for path in folder.iterdir():
                os.utime(path, (NOON.timestamp(), NOON.timestamp()))  # when it was taken

    def _extracted(self, machine: int) -> State:
        root = self.out(machine)
        root.mkdir(parents=True, exist_ok=True)
        (root / "notes.txt").write_text("of a person\n")
        return snapshot(root)

    @staticmethod
    def seen(machine: int, name: str, given: Any, files: dict[str, bytes]) -> tuple[dict[str, bytes], tuple[Any, ...]]:
        """The files of OUT that a step looks at, and what else decides what it does."""
        wanted = _SEEN[name] + (("organized/retrain/retrain.csv",) if name == "transform" and "+" in given else ())
        if name == "pull" and given:
            wanted += ("organized/incoming/",)
        mine = name not in ("transform", "pull")
        kept = {
            key: data
            for key, data in files.items()
            if key.startswith(wanted)
            or ("dataset" in wanted and key.startswith("organized/") and not key.startswith(_INNER))
        }
        return kept, (name, given, machine if mine else None)

    def out(self, machine: int) -> Path:
        """Where a machine works."""
        return self.base / f"machine-{machine}" / "out"

    def step(self, machine: int, name: str, given: Any) -> Any:
        """What a step does: a function of OUT and the store as it has it there; what it returns is its word."""

        def do(out: Path, wire: Wire) -> Any:
            _HERE.wire, _HERE.machine, _HERE.tokens = wire, machine, 0
            return getattr(self, f"_{name}")(machine, out, given)

        return do

    def _transform(self, machine: int, out: Path, given: str) -> dict[str, Any]:
        source = self.sources[given[0]]
        raw.write(_raw(source), out)
        added = out / "organized/retrain/retrain.csv"
        add = added if given.endswith("+") and added.is_file() else None
        done = offline.transform(
            Transform(out=out, store=ADDRESS, sizes=SIZES, jobs=1, add=add, classes="vinbigdata", seed=1)
        )
        return {"version": done.version, "rows": (done.rows_in, done.rows_out, done.rows_refused)}

    def _load(self, machine: int, out: Path, given: Any) -> dict[str, Any]:
        done = offline.load(Load(out=out, store=ADDRESS, allow_shrink=True), now=NOON + SKEW[machine])
        return {"version": done.version, "previous": done.previous_version}

    def _pull(self, machine: int, out: Path, given: Any) -> dict[str, Any]:
        done = offline.pull(Pull(out=out, store=ADDRESS, splits=given))
        return {"version": done.version}

    def _simulate(self, machine: int, out: Path, given: int) -> dict[str, Any]:
        """Read the store's pictures as the simulator does, and write feedback on some of them."""
        wire = _HERE.wire
        chosen = showing.choose(wire, ("test", "production", "incoming") if given % 2 else ("test", "production"))
        rows = [layout.Row(**row) for row in chosen.rows.select(layout.Row._fields).iter_rows(named=True)]
        paths = pull.fetch(wire, rows, out / "cache" / "pictures", prefix=chosen.prefix)
        shown = {row.key: md5(paths[row.key].read_bytes()) for row in rows}
        (out / "feedback").mkdir(exist_ok=True)
        for row in chosen.rows.rows(named=True)[given % 3 :: 3]:
            feedback = Feedback(
                image_id=row["image_id"],
                class_id=3,
                confidence=0.95,
                bbox=(0.5, 0.5, 0.2, 0.4),
                detections=[Detection(class_id=3, confidence=0.95, bbox=(0.5, 0.5, 0.2, 0.4))],
                timestamp=f"2026-11-01T10:{machine:02}:{given:02}+00:00",
                feedback_id=f"f-{row['image_id'][:8]}-{machine}-{given}",
                split=row["split"],
                image_md5=shown[row["key"]],
                model=Model(name="tiny"),
            )
            records.write(out / "feedback", feedback)
        return {"shown": shown, "prefix": chosen.prefix}

    def _review(self, machine: int, out: Path, given: int) -> dict[str, Any]:
        """Review some of the feedback that is there."""
        written = []
        for path in sorted((out / "feedback").glob("*.json"))[given % 2 :: 2]:
            told = json.loads(path.read_bytes())
            one = Review(
                feedback_id=told["feedback_id"],
                image_id=told["image_id"],
                reviewer=f"r{machine}",
                verdict="correct" if given else "normal",
                findings=[Finding(class_id=given, bbox=(0.5, 0.5, 0.3, 0.3))] if given else [],
                timestamp=f"2026-11-01T11:{machine:02}:{given:02}+00:00",
            )
            written.append(reviews.write(out / "reviews", one, TAXONOMY).name)
        return {"reviews": tuple(written)}

    def _retrain(self, machine: int, out: Path, given: Any) -> dict[str, Any]:
        done = retraining.retrain(Retrain(out=out, store=ADDRESS, jobs=1))
        unit = out / "organized/retrain/rounds" / (done.round or "none")
        files = {path.name: path.read_bytes() for path in unit.iterdir()} if done.round else {}
        return {"round": done.round, "files": files}

    def _ingest(self, machine: int, out: Path, given: int) -> dict[str, Any]:
        ingesting.ingest(Ingest(out=out, store=ADDRESS, jobs=1, from_=str(self.base / f"new-{given}"), audit_share=0.3))
        names = [path.stem for path in sorted((self.base / f"new-{given}").iterdir())]
        return {"images": tuple(one for one in names if (out / f"organized/incoming/images/{one}.png").is_file())}

    def _rollback(self, machine: int, out: Path, given: Any) -> dict[str, Any]:
        told = history.decode(_HERE.wire.get(f"{manifest.UNIT}/{history.NAME}"), name="history")
        others = [one.version for one in told.entries if one.kept]
        if len(others) < 2:
            raise UsageError("there is nothing to go back to.")
        done = versioning.rollback(Rollback(out=out, store=ADDRESS, data=others[-2]), now=NOON + SKEW[machine])
        return {"version": done.version}

    def _prune(self, machine: int, out: Path, given: int) -> dict[str, Any]:
        done = versioning.prune(Prune(out=out, store=ADDRESS, keep=given))
        return {"pruned": done.pruned}

    def _forget(self, machine: int, out: Path, given: str) -> dict[str, Any]:
        done = forgetting.forget(Forget(given, out=out, store=ADDRESS, reason="asked"), now=NOON + SKEW[machine])
        return {"version": done.version, "forgotten": given}


_INNER: Final = ("organized/incoming/", "organized/retrain/", "organized/versions/")
_SEEN: Final[dict[str, tuple[str, ...]]] = {
    "transform": ("dataset", "organized/incoming/", "tombstones"),
    "load": ("dataset",),
    "pull": ("dataset",),
    "rollback": ("dataset",),
    "prune": ("organized/manifest.parquet",),
    "simulate": ("feedback/",),
    "review": ("feedback/", "reviews/"),
    "retrain": ("dataset", "organized/", "feedback/", "reviews/", "tombstones"),
    "ingest": ("dataset", "organized/incoming/", "organized/retrain/manifest", "private/", "tombstones"),
    "forget": ("",),
}


def _raw(source: Path) -> Any:
    from radloop.options import Extract

    if source not in _RAW:
        found = offline._source(Extract(out=source.parent, source=str(source), jobs=1))
        _RAW[source] = found.extract(source.parent / "raw")
    return _RAW[source]


_RAW: dict[Path, Any] = {}


def _shifted(row: dict[str, str], by: int) -> dict[str, str]:
    """The same row with its box elsewhere."""
    if not by or not row["x_min"]:
        return row
    return row | {"x_min": str(float(row["x_min"]) + by), "y_min": str(float(row["y_min"]) + by)}
