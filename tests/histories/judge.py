"""What must hold of any history, read from the bytes alone, by nothing of radloop's."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import polars as pl

from .states import Ending, State
from .world import FOREIGN

UNITS = ("organized", "organized/incoming", "organized/retrain")
HELD_OUT = ("validation", "test", "staging", "canary")
PUBLISHERS_OWN = ("manifest.parquet", "publishing", "publishing.parquet")


@lru_cache(maxsize=100_000)
def _sum(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@lru_cache(maxsize=20_000)
def listed(data: bytes) -> dict[str, str]:
    """What a manifest lists: {key: MD5}."""
    return dict(pl.read_parquet(io.BytesIO(data)).select("key", "md5").iter_rows())


@lru_cache(maxsize=20_000)
def _images(data: bytes) -> tuple[tuple[str, str, str], ...]:
    """(image, split, MD5) of all pictures that a manifest lists."""
    table = pl.read_parquet(io.BytesIO(data)).filter(pl.col("kind") == "image", pl.col("split").is_not_null())
    return tuple(table.select("image_id", "split", "md5").unique().iter_rows())


@lru_cache(maxsize=20_000)
def _memory(data: bytes) -> frozenset[tuple[str, str]]:
    """(image, MD5) of all that is remembered as held out."""
    return frozenset(pl.read_parquet(io.BytesIO(data)).select("image_id", "md5").iter_rows())


@lru_cache(maxsize=20_000)
def _history(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data))


def held_out(manifest: bytes) -> set[tuple[str, str]]:
    """(image, MD5) of what a version holds out."""
    return {(image, md5) for image, split, md5 in _images(manifest) if split in HELD_OUT}


def training(manifest: bytes) -> set[tuple[str, str]]:
    """(image, MD5) of what a version trains on."""
    return {(image, md5) for image, split, md5 in _images(manifest) if split == "training"}


@dataclass
class Account:
    """What the machines were told, and what was ever written as a manifest."""

    manifests: dict[str, list[bytes]] = field(default_factory=lambda: {unit: [] for unit in UNITS})
    versions: dict[str, bytes] = field(
        default_factory=dict
    )  # by id: the manifest of each that was said to be published
    rounds: dict[str, dict[str, bytes]] = field(default_factory=dict)
    incoming: set[str] = field(default_factory=set)
    pruned: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    prune_cut_off: bool = False
    wrong: list[str] = field(default_factory=list)

    def written(self, key: str, data: bytes) -> None:
        """Note what is put under a key of the store."""
        unit, _, name = key.rpartition("/")
        if name == "manifest.parquet" and unit in self.manifests:
            self.manifests[unit].append(data)

    def ended(self, machine: int, name: str, given: Any, before: State, ending: Ending) -> None:
        """Note how a step ended, and what it said."""
        told, after = ending.told, ending.after
        if ending.kind == "crashed":
            self.wrong.append(f"{name} of machine {machine} crashed: {told}")
        self.wrong += [f"{name} of machine {machine}: {what}" for what in self._lost(name, before, after)]
        if name == "prune" and ending.kind != "done":  # a server that refuses a request cuts it off, too
            self.prune_cut_off = True
        if ending.kind != "done":
            return
        manifest = after.files.get("organized/manifest.parquet", b"")
        if name in ("load", "rollback"):
            self._published(machine, name, told["version"], manifest)
        elif name in ("pull", "transform") and manifest:
            self.wrong += [f"{name} of machine {machine}: {what}" for what in _whole(after.files, "organized")]
        if name == "pull" and given is None and manifest and manifest not in self.manifests["organized"]:
            self.wrong.append(f"pull of machine {machine} brought what was never published")
        if name == "simulate":
            self._shown(machine, told)
        if name == "retrain" and told["round"]:
            self.rounds[told["round"]] = told["files"]
        if name == "ingest":
            self.incoming |= set(told["images"])
        if name == "prune":
            self.pruned |= set(told["pruned"])

    def _published(self, machine: int, name: str, version: str, manifest: bytes) -> None:
        held = set().union(*(held_out(one) for one in self.versions.values()), set())
        own = training(manifest)
        ids, sums = {image for image, _ in held}, {md5 for _, md5 in held}
        leaks = sorted(image for image, md5 in own if image in ids or md5 in sums)
        if leaks:
            self.wrong.append(f"{name} of machine {machine} published {version}, which trains on held-out {leaks[0]}")
        self.versions[version] = manifest

    def _shown(self, machine: int, told: Mapping[str, Any]) -> None:
        known = [listed(one) for one in self.manifests["organized"]]
        came = [listed(one) for one in self.manifests["organized/incoming"]]
        own = {key: md5 for key, md5 in told["shown"].items() if not key.startswith("incoming/")}
        other = {key[9:]: md5 for key, md5 in told["shown"].items() if key.startswith("incoming/")}
        for shown, every, what in ((own, known, "versions"), (other, came, "incoming units")):
            if shown and not any(shown.items() <= one.items() for one in every):
                self.wrong.append(f"simulate of machine {machine} was shown a mixture of {what}")

    def _lost(self, name: str, before: State, after: State) -> Iterator[str]:
        """What people said, and what no program wrote, stays as it is."""
        for key, data in before.files.items():
            said = (key.startswith(("feedback/", "reviews/")) and key.endswith(".json")) or key == "notes.txt"
            if said and after.files.get(key) != data:
                yield f"{key} is lost or changed"

    def at_the_end(self, objects: Mapping[str, bytes], machines: list[State]) -> None:
        """What the store must hold after the calm."""
        told = [*self._of_units(objects), *self._of_history(objects), *self._of_rounds(objects)]
        told += [f"{key} of a person is gone" for key, data in FOREIGN.items() if objects.get(key) != data]
        self.wrong += told

    def _of_units(self, objects: Mapping[str, bytes]) -> Iterator[str]:
        known = {*FOREIGN}
        for unit in UNITS:
            manifest = objects.get(f"{unit}/manifest.parquet")
            known |= {f"{unit}/manifest.parquet"}
            for name in ("publishing", "publishing.parquet"):
                if f"{unit}/{name}" in objects:
                    yield f"{unit}/{name} still stands"
                    known.add(f"{unit}/{name}")
            if manifest is not None:
                yield from _whole(objects, unit)
                known |= {f"{unit}/{key}" for key in listed(manifest)}
        own = {key for key in objects if key.startswith("organized/") and not key.startswith("organized/versions/")}
        yield from (f"no manifest lists {key}, and nobody removes it" for key in sorted(own - known)[:1])
        if images := objects.get("organized/incoming/manifest.parquet"):
            have = {image for image, _, _ in _came(images)}
            yield from (f"incoming image {one} is lost" for one in sorted(self.incoming - have)[:1])
        elif self.incoming:
            yield "all incoming images are lost"

    def _of_history(self, objects: Mapping[str, bytes]) -> Iterator[str]:
        data, manifest = objects.get("organized/versions/history.json"), objects.get("organized/manifest.parquet")
        if data is None or manifest is None:
            if self.versions:
                yield "the history or the manifest is gone"
            return
        told = _history(data)
        entries = {entry["version"] for entry in told["entries"]}
        yield from (f"version {one} was published, and the history lacks it" for one in self.versions.keys() - entries)
        here, needed = {md5 for _, _, md5 in _images(manifest)}, {"organized/versions/history.json"}
        for one, kept in told["kept"].items():
            place = f"organized/versions/{one}"
            keys = [f"{place}/manifest-{kept['manifest']}.parquet", f"{place}/documents-{kept['documents']}.parquet"]
            needed |= set(keys)
            lacking = [key for key in keys if key not in objects or _sum(objects[key]) not in key]
            yield from (f"version {one} is kept, and {key} is missing or damaged" for key in lacking)
            if lacking:
                continue
            for _, _, md5 in _images(objects[keys[0]]):
                key = f"organized/versions/pictures/{md5}.png"
                if md5 not in here:
                    needed.add(key)
                    if key not in objects or _sum(objects[key]) != md5:
                        yield f"version {one} is kept, and its picture {md5} is missing or damaged"
                        break
        if self.prune_cut_off:  # what it would have told is not known
            self.pruned |= self.versions.keys()
        lost = self.versions.keys() - told["kept"].keys() - self.pruned
        yield from (f"version {one} is not kept, and nobody pruned it" for one in sorted(lost & entries))
        left = {key for key in objects if key.startswith("organized/versions/")} - needed - FOREIGN.keys()
        yield from (f"no kept version needs {key}" for key in sorted(left)[:1])
        yield from self._of_memory(objects, manifest)

    def _of_memory(self, objects: Mapping[str, bytes], manifest: bytes) -> Iterator[str]:
        held = set().union(*(held_out(one) for one in self.versions.values()), set())
        memory = (
            _memory(objects["organized/heldout.parquet"]) if "organized/heldout.parquet" in objects else frozenset()
        )
        yield from (f"that {one[0]} was held out is forgotten" for one in sorted(held - memory)[:1])
        ids, sums = {image for image, _ in held}, {md5 for _, md5 in held}
        leaks = sorted(image for image, md5 in training(manifest) if image in ids or md5 in sums)
        yield from (f"the store's version trains on held-out {one}" for one in leaks[:1])
        if retrain := objects.get("organized/retrain/manifest.parquet"):
            leaks = sorted(image for image, _, md5 in _trained(retrain) if image in ids or md5 in sums)
            yield from (f"the re-training data train on held-out {one}" for one in leaks[:1])

    def _of_rounds(self, objects: Mapping[str, bytes]) -> Iterator[str]:
        for one, files in self.rounds.items():
            for name, data in files.items():
                there = objects.get(f"organized/retrain/rounds/{one}/{name}")
                # the same round again may tell of more images that came in since
                if there is None or (name != "report.json" and there != data):
                    yield f"round {one} is said to be published, and its {name} is lost"
                    break


@lru_cache(maxsize=20_000)
def _came(manifest: bytes) -> tuple[tuple[str, str, str], ...]:
    table = pl.read_parquet(io.BytesIO(manifest)).filter(pl.col("kind") == "image")
    return tuple(table.select("image_id", "key", "md5").iter_rows())


_trained = _came


def _whole(objects: Mapping[str, bytes], unit: str) -> Iterator[str]:
    for key, md5 in listed(objects[f"{unit}/manifest.parquet"]).items():
        data = objects.get(f"{unit}/{key}")
        if data is None or _sum(data) != md5:
            yield f"{unit}/{key} is {'missing' if data is None else 'not'} what the manifest lists"
            return
