"""Which version the next one continues, and what it must not forget of it."""

import json
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from radloop import manifest, storage, tree
from radloop.catalog import heldout, tombstones, version
from radloop.catalog.version import Earlier
from radloop.dataset import recognition, splits
from radloop.dataset.plan import Ancestry
from radloop.dataset.recognition import Thumbnails
from radloop.errors import DatasetError, SplitError, UsageError
from radloop.storage import Store, layout
from radloop.tables import ASSIGNMENT, HELD_OUT

Get = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Continued:
    """What a new version follows on; with nothing in it, it begins a lineage."""

    earlier: Earlier | None = None
    place: str = ""  # where that version stands
    standing: str | None = None  # the id of what lies where the new version goes, when --fresh sets it aside
    standing_replaces: str | None = None  # and what that one set aside itself
    stones: pl.DataFrame = field(default_factory=tombstones.NOTHING.clone)  # TOMBSTONES: what never comes in again

    @property
    def described(self) -> str:
        """The version and its place, for people."""
        if self.earlier is None:
            return "no version: it begins a lineage" + (f" in the place of {self.standing}" if self.standing else "")
        count = self.memory["image_id"].n_unique()
        return f"version {self.earlier.id} in {self.place}, with {count:,} images held out so far"

    @property
    def memory(self) -> pl.DataFrame:
        """HELDOUT: all that was ever held out."""
        return self.earlier.memory if self.earlier else heldout.NOTHING

    @property
    def assignment(self) -> pl.DataFrame | None:
        """ASSIGNMENT of the version before; None where there is none."""
        return self.earlier.assignment if self.earlier else None

    @property
    def proof(self) -> Mapping[str, Any]:
        """splits.json of the version before."""
        return self.earlier.proof if self.earlier else {}

    @property
    def settled(self) -> pl.DataFrame | None:
        """ASSIGNMENT of the version before and of all that is remembered: no later version assigns it otherwise."""
        if self.earlier is None:
            return None
        return pl.concat([self.earlier.assignment, recognition.settled(self.memory)]).unique().sort(ASSIGNMENT.names())


def find(out: Path, store: str, *, previous: str | None = None, fresh: bool = False) -> Continued:
    """The version to continue: that of `previous` where it is given, else the store's, else the one in OUT/organized.

    `fresh` begins a lineage of its own; what was forgotten is left out of either. Raises StoreError where the store
    does not answer, DatasetError where the version is damaged or was changed.
    """
    found = _found(out, store, previous, fresh=fresh)
    stones = tombstones.union(tombstones.read(out), *(_stones_in(one) for one in (store, previous) if one))
    if found.earlier is None or stones.is_empty():
        return replace(found, stones=stones)
    told, memory = (tombstones.remain(table, stones) for table in (found.earlier.annotations, found.earlier.memory))
    return replace(found, stones=stones, earlier=replace(found.earlier, annotations=told, memory=memory))


def _found(out: Path, store: str, previous: str | None, *, fresh: bool) -> Continued:
    if fresh and previous is not None:
        raise UsageError("--previous names the version to continue, and --fresh continues none. Give one of them.")
    if fresh:
        return _set_aside(store)
    if previous is not None:
        earlier = _in_store(previous)
        if earlier is None:
            raise DatasetError(f"--previous {previous} holds no {manifest.NAME}: it was not written by radloop.")
        return Continued(earlier, previous)
    try:
        return _standing_in(store, out / manifest.UNIT)
    except DatasetError as damaged:
        raise DatasetError(
            f"{damaged} The next version would continue it: mend it, name a sound one with --previous, or begin anew "
            "with --fresh."
        ) from damaged


def _stones_in(address: str) -> pl.DataFrame:
    """TOMBSTONES of a store."""
    with closing(storage.open_store(address)) as opened:
        key = layout.key_in(layout.resolve_prefix(opened), tree.TOMBSTONES)
        return tombstones.decode(opened.get(key), name=f"{address}/{key}")


def _standing_in(store: str, root: Path) -> Continued:
    """The version in the store, else the one in the folder `root`."""
    with closing(storage.open_store(store)) as opened:
        prefix = manifest.UNIT  # where `load` will publish
        get = _getting(opened, prefix)
        if get(layout.MARKER) is not None:
            local = _in_folder(root)
            if local is not None and _is_being_published(local, _id_in(get)):
                return Continued(local, str(root))
            layout.require_quiet(opened, prefix)
        begun = get(manifest.NAME) is None and get(layout.JOURNAL) is not None  # a first publish that did not end
        earlier = None if begun else version.earlier(get, name=store)
    if earlier is not None:
        return Continued(earlier, store)
    local = _in_folder(root)
    return Continued(local, str(root)) if local else Continued()


def require_recipe(continued: Continued, recipe: str | None) -> None:
    """Raise SplitError where the version before has pictures that were made otherwise than by `recipe`."""
    earlier = continued.earlier
    if earlier is None or earlier.recipe == recipe:
        return
    raise SplitError(
        f"The pictures of version {earlier.id} ({continued.place}), which this one would continue, were "
        f"{_made(earlier.recipe)}, and these were {_made(recipe)}: the same images would have other gray values. "
        f"{f'Extract them with --recipe {earlier.recipe}' if earlier.recipe else 'Use pictures as those are'}, give "
        "this one another --out and --store, or begin anew in this place with --fresh."
    )


def _made(recipe: str | None) -> str:
    return f"made of DICOM files by the recipe {recipe}" if recipe else "taken as they came"


def recognize(
    continued: Continued, inspected: pl.DataFrame, thumbnails: Thumbnails, incoming: pl.DataFrame = heldout.NOTHING
) -> pl.DataFrame:
    """What of the pictures (PICTURES) was held out before, or came in from production (`incoming`, HELDOUT).

    Raises SplitError where the pictures have nothing in common with the version before.
    """
    if continued.earlier is None:
        return recognition.RECOGNIZED.to_frame()
    known = continued.earlier.annotations.select("image_id", "md5").unique()
    recognized = recognition.recognize(inspected, pl.concat([continued.memory, incoming]), thumbnails, known)
    shared = inspected.filter(
        pl.col("image_id").is_in(known["image_id"].implode())
        | pl.col("image_id").is_in(continued.memory["image_id"].implode())
        | pl.col("md5").is_in(known["md5"].implode())
    )
    if shared.is_empty() and recognized.is_empty():
        raise SplitError(
            f"None of the {inspected.height} pictures is in version {continued.earlier.id} ({continued.place}), which "
            "this one would continue. Is it another dataset? Then give it another --out and --store, or begin anew in "
            "this place with --fresh: what was held out before is then forgotten."
        )
    return recognized


def links(continued: Continued, recognized: pl.DataFrame, patients: pl.DataFrame) -> list[pl.DataFrame]:
    """What joins the images with those that are remembered (for `splits.assign`)."""
    if continued.earlier is None:
        return []
    now = heldout.patients_of(patients, continued.earlier.lineage)
    return [recognition.links(recognized), pl.concat([now, heldout.of_patients(continued.memory)])]


def ancestry(
    continued: Continued,
    inspected: pl.DataFrame,
    assignment: pl.DataFrame,
    patients: pl.DataFrame,
    proof: Mapping[str, Any],
    thumbnails: Thumbnails,
) -> tuple[Ancestry, dict[str, Ancestry]]:
    """Where the new version comes from; and by id what is to be told if it turns out to be one that stands already."""
    earlier = continued.earlier
    lineage = earlier.lineage if earlier else heldout.lineage_of(inspected.join(assignment, on="image_id", how="semi"))
    held_out = splits.held_out(assignment)
    images = thumbnails(pl.Series(held_out)) if held_out else ()
    small = pl.DataFrame(
        {"image_id": held_out, "thumbnail": [one.tobytes() for one in images]},
        schema={"image_id": pl.String, "thumbnail": pl.Binary},
    )
    grown = heldout.grow(continued.memory, assignment, inspected, small, heldout.patients_of(patients, lineage))
    stones = continued.stones
    own = Ancestry(lineage, grown, earlier.id if earlier else None, continued.standing, stones=stones)
    if earlier is None:
        if continued.standing is None:
            return own, {}
        return own, {continued.standing: Ancestry(lineage, grown, None, continued.standing_replaces, stones=stones)}
    told, before = earlier.summary, earlier.proof
    again = Ancestry(
        lineage,
        grown,
        told.get("previous"),
        told.get("replaces"),
        {
            "continues": bool(before.get("continues")) or before.get("wanted") != proof["wanted"],
            "moves": before.get("moves", []),
            "moved_before": before.get("moved_before", []),
        },
        stones,
    )
    return own, {earlier.id: again}


def said(recognized: pl.DataFrame) -> tuple[str, ...]:
    """Sentences for the summary."""
    kinds = (
        (True, "were held out before, under another name, and stay so"),
        (False, "came in from production, too, under another name, and stay with those"),
    )
    notes = []
    for held_out, what in kinds:
        own = recognized.filter(pl.col("split").is_in(HELD_OUT) == held_out)
        if own.height:
            first = own.sort("image_id", "remembered").row(0, named=True)
            notes.append(
                f"{own['image_id'].n_unique()} pictures {what} (such as {first['image_id']}: "
                f"{first['remembered']} of {first['split']}, by {first['by']})"
            )
    return tuple(notes)


def _in_store(address: str) -> Earlier | None:
    with closing(storage.open_store(address)) as opened:
        prefix = layout.resolve_prefix(opened)
        layout.require_quiet(opened, prefix)
        return version.earlier(_getting(opened, prefix), name=address)


def _in_folder(root: Path) -> Earlier | None:
    def get(key: str) -> bytes | None:
        path = root / key
        return path.read_bytes() if path.is_file() else None

    return version.earlier(get, name=str(root))


def _getting(store: Store, prefix: str) -> Get:
    return lambda key: store.get(layout.key_in(prefix, key))


def _is_being_published(local: Earlier, standing: str | None) -> bool:
    """Whether it is OUT's version whose publish was cut off: the store may then hold half of it."""
    return standing in (None, local.id, local.summary.get("previous"), local.summary.get("replaces"))


def _id_in(get: Get) -> str | None:
    """The id of the version that a manifest tells; None where it is missing or damaged."""
    data = get(manifest.NAME)
    with suppress(DatasetError):
        return None if data is None else manifest.version(manifest.decode(data, name=manifest.NAME))
    return None


def _set_aside(address: str) -> Continued:
    """What --fresh finds in the store: its id alone, however damaged the rest is."""
    with closing(storage.open_store(address)) as opened:
        get = _getting(opened, manifest.UNIT)
        standing, told = _id_in(get), {}
        with suppress(ValueError, TypeError, RecursionError):
            told = dict(json.loads(get(tree.SUMMARY) or b"{}"))
        return Continued(standing=standing, standing_replaces=told.get("replaces"))
