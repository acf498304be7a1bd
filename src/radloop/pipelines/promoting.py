"""An alias comes to mean another model: one that has passed its gates, or the one that it meant before."""

import hashlib
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from radloop import manifest, storage, tree
from radloop.catalog import cards, models, version
from radloop.catalog.cards import Card
from radloop.catalog.version import Version
from radloop.errors import UsageError
from radloop.options import Promote, Rollback, Simulate, Watch
from radloop.pipelines import deeds, registry
from radloop.pipelines.comparisons import contestants
from radloop.pipelines.comparisons.contestants import Contestant
from radloop.pipelines.registry import Registry
from radloop.progress import Progress, silent
from radloop.storage import Store
from radloop.taxonomy import Taxonomy

S = TypeVar("S", Simulate, Watch)

_ALIAS: Final = re.compile(r"\w[\w.-]*", re.ASCII)
PREVIOUS: Final = "previous"
FORCED: Final = "forced"  # in a verdict: why a model was promoted without one


@dataclass(frozen=True)
class Moved:
    """What an alias means now, or with `dry_run` would mean."""

    alias: str
    model: str
    previous: str | None
    action: Literal["promote", "rollback"]
    verdict: Mapping[str, Any]  # by split: the comparison that the model has passed; why it was forced
    folder: Path  # OUT/models
    address: str
    notes: tuple[str, ...] = ()
    done: bool = True


def promote(options: Promote, *, progress: Progress = silent) -> Moved:
    """Let an alias mean `model`, which has passed staging and canary of this version against what the alias means now.

    The first model of an alias has nobody to be compared with: it needs --force and a reason, as one that has not
    passed. Raises UsageError where the model may not be promoted, BusyError or StoreError where somebody else is at it:
    then nothing has changed.
    """
    del progress
    if options.force and not options.reason.strip():
        raise UsageError("--force needs --reason TEXT: why the model is promoted without a passed comparison.")
    if cards.is_detector(options.alias) or not _ALIAS.fullmatch(options.alias):
        raise UsageError(
            f"--alias {options.alias[:60]!r} cannot name a model: it takes letters, digits and ._- and is no kind of "
            "detector (random, oracle, onnx, triton)."
        )
    dataset = version.read(options.dataset_folder)
    with closing(storage.open_store(options.store_address, durable=True)) as store:
        store.preflight()
        with registry.opened(options.out, store, writing=not options.dry_run) as kept:
            return _promote(options, dataset, kept, store)


def rollback(options: Rollback, *, progress: Progress = silent) -> Moved:
    """Let an alias mean a model again that it meant before: `model`, or with "previous" the last one.

    Raises UsageError where there is none, BusyError or StoreError where somebody else is at it.
    """
    del progress
    if options.data is not None:
        raise UsageError("rollback takes --data or --model, one at a time: name one.")
    with closing(storage.open_store(options.store_address, durable=True)) as store:
        store.preflight()
        with registry.opened(options.out, store, writing=not options.dry_run) as kept:
            asked = None if options.model in (None, PREVIOUS) else options.model
            model, current = models.before(kept.models, options.alias, asked), kept.models.aliases.get(options.alias)
            if model is None or model == current:
                meant = kept.models.history.filter(alias=options.alias)["model"].unique().sort().to_list()
                others = ", ".join(name for name in meant if name != current)
                raise UsageError(
                    f"{options.alias} means {current or 'no model'}, and "
                    + (f"did not mean {asked[:60]!r} before" if asked else "meant none before")
                    + (f": name one of {others}." if others else ": there is nothing to go back to.")
                )
            card = cards.read(kept.folder, model)
            verdict = {} if card is None else card.verdict
            moved = Moved(
                options.alias, model, current, "rollback", verdict, _folder(options), store.address, done=False
            )
            return moved if options.dry_run else _move(moved, kept, {}, {}, options.reason)


def _folder(options: Promote | Rollback) -> Path:
    """Where the models lie; with --dry-run also if they do not yet."""
    return options.out / manifest.MODELS


def _promote(options: Promote, dataset: Version, kept: Registry, store: Store) -> Moved:
    text, told = contestants.known_as(options, options.model, kept.models, kept.folder)
    if not cards.is_detector(text):
        raise UsageError(
            f"{options.model[:80]}: nothing is kept of it that could run. Promote it by its file, onnx:MODEL.onnx, or "
            "by its server, triton:http://HOST:8000/MODEL."
        )
    model = contestants.make(told, text, dataset)
    whole = dataset.whole_id
    previous = kept.models.aliases.get(options.alias)
    if previous == model.model:
        raise UsageError(f"{options.alias} means {model.model} already.")
    verdict = _verdict(options, kept, model, whole)
    moved = Moved(
        options.alias,
        model.model,
        previous,
        "promote",
        verdict,
        _folder(options),
        store.address,
        model.notes,
        done=False,
    )
    if options.dry_run:
        return moved
    return _move(moved, kept, *_files(model, text, told, dataset.taxonomy, whole, verdict), options.reason)


def _verdict(options: Promote, kept: Registry, model: Contestant, dataset: str) -> Mapping[str, Any]:
    """What the model has passed. Raises UsageError where that is not enough."""
    current = kept.models.aliases.get(options.alias)
    found = {
        split: kept.models.passed(split, dataset, challenger=model.model, champion=current)
        for split in ("staging", "canary")
    }
    if options.force:
        return found | {FORCED: options.reason}
    lacking = [split for split, comparison in found.items() if comparison is None]
    if current is None:
        raise UsageError(
            f"{options.alias} means no model yet, so that there is nothing to compare {model.model} with: "
            "--force --reason TEXT makes it the first."
        )
    if lacking:
        raise UsageError(
            f"{model.model} has not passed {' and '.join(lacking)} of version {dataset} against {current}, which "
            f"{options.alias} means: run `radloop compare {options.alias} {options.model} --splits staging,canary`, or "
            "say --force --reason TEXT, which is kept."
        )
    return found


def _files(
    model: Contestant, text: str, options: Promote, classes: Taxonomy, dataset: str, verdict: Mapping[str, Any]
) -> tuple[dict[str, bytes], dict[str, Path]]:
    """What is kept of the model, by key: what is written, and what is copied."""
    kind, _, where = text.partition(":")
    path = Path(where) if kind == "onnx" and where != "tiny" else None
    if text == "onnx:tiny":
        from radloop.detectors.onnx import TINY

        path = TINY
    card = Card(
        model=model.model,
        name=model.name,
        version=model.version,
        detector=text if path is None else f"onnx:{path.name}",
        md5=None if path is None else hashlib.md5(path.read_bytes()).hexdigest(),
        classes=list(classes.names),
        has_own_classes=options.model_classes is not None,
        map=list(options.map),
        recipe=model.recipe,
        dataset=dataset,
        verdict=verdict,
    )
    written = {cards.NAME: card.document, cards.CLASSES: tree.classes_txt(classes.names)}
    copied = {} if path is None else {path.name: path}
    if options.model_classes is not None:
        copied[cards.MODEL_CLASSES] = options.model_classes
    here = f"{model.model}/"
    return {here + name: data for name, data in written.items()}, {here + name: at for name, at in copied.items()}


def named(options: S, store: Store) -> S:
    """The options of a run with the detector that an alias or the id of a kept model means, and what is known of it.

    A detector that is named itself stays as it is; the store is asked for the models only where it is not.
    """
    if cards.is_detector(options.detector):
        return options
    with registry.opened(options.out, store) as kept:
        text, told = contestants.known_as(options, options.detector, kept.models, kept.folder)
    return replace(told, detector=text)


def _move(moved: Moved, kept: Registry, written: Mapping[str, bytes], copied: Mapping[str, Path], reason: str) -> Moved:
    passed = [moved.verdict.get(split) for split in ("canary", "staging")]
    aliases = models.moved(
        kept.models,
        moved.alias,
        moved.model,
        at=datetime.now(UTC),
        action=moved.action,
        comparison=next((str(one) for one in passed if one), None),
        reason=reason or None,
    )
    out, current = moved.folder.parent, lambda: kept.models.aliases.get(moved.alias)
    with deeds.deed(out, moved.action, f"models/{moved.alias}", current=current, new=moved.model, durable=True) as deed:
        deed.old = moved.previous
        kept.change({**written, models.ALIASES: aliases}, copied)
    return replace(moved, done=True)
