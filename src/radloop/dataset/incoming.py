"""Pictures without labels, decided: which are refused, with whom each is grouped, and what never trains.

Nothing is written here (`incoming_files` does), and nothing is forgotten: a row's audit and held-out split stay.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import manifest, pixels, similarity
from radloop.dataset import splits
from radloop.errors import SourceError
from radloop.tables import HELD_OUT, INCOMING

# Images that a version has or remembers, or that trained: group, and the split that they are or were in.
PLACES: Final = pl.Schema({"image_id": pl.String, "group": pl.String, "split": pl.String})
# Two images with one value belong together.
LINKS: Final = pl.Schema({"image_id": pl.String, "value": pl.String})
# code: the kind of reason; place: the file below the folder that was read, or the image: it may name a person.
REFUSED: Final = pl.Schema({"place": pl.String, "code": pl.String, "reason": pl.String})

_TRAINS: Final = ("training", "production")
_LONGEST_ID: Final = 200  # bytes: `<image_id>.<feedback_id>.json` is a file's name, too
_PALE: Final = 16  # of 256 gray values, as for the pictures of a dataset (`pictures`)


@dataclass(frozen=True)
class Arrival:
    """One picture that came in. Patients are named by pseudonyms; `known_as` stays in memory."""

    image_id: str
    picture: bytes  # PNG or JPEG, without text and tags
    arrived_at: datetime
    patient: str | None = None
    known_as: tuple[str, ...] = ()  # the same patient as a dataset hashes them (`patients.hashes`)
    width: int | None = None  # of the source, where it is not the picture itself
    height: int | None = None
    spacing_mm: tuple[float, float] | None = None  # between rows, between columns
    site: str | None = None
    view: str | None = None
    recipe: str | None = None
    place: str = ""  # where it was read; it may name a person

    looked: "Looked | None" = None  # as `look` sees it; None: nobody has looked yet

    @property
    def md5(self) -> str:
        """Of the picture."""
        return hashlib.md5(self.picture).hexdigest()

    @property
    def key(self) -> str:
        """Its file, relative to the unit."""
        return f"images/{self.image_id}.{'jpg' if self.picture.startswith(_JPEG) else 'png'}"


class Looked(NamedTuple):
    """What a picture measures."""

    md5: str
    pixels_md5: str
    phash: str
    thumbnail: bytes
    width: int
    height: int


_JPEG: Final = b"\xff\xd8"


class Refusal(NamedTuple):
    """A row of REFUSED."""

    place: str
    code: str
    reason: str


def look(picture: bytes) -> Looked:
    """Decode a picture once. Raises SourceError where it is damaged, or shows next to nothing."""
    return measure(picture, pixels.decode(picture))


def measure(picture: bytes, gray: npt.NDArray[np.uint8]) -> Looked:
    """The same of a picture that is decoded already."""
    if pixels.spread(gray) <= _PALE:
        raise SourceError("its values use a sixteenth of the gray values or less: next to nothing is to be seen")
    small = similarity.thumbnail(gray)
    height, width = gray.shape
    md5 = hashlib.md5(picture).hexdigest()
    return Looked(md5, pixels.fingerprint(gray), similarity.phash(small), small.tobytes(), width, height)


def row(arrival: Arrival, looked: Looked) -> dict[str, Any]:
    """The row (INCOMING) of a picture; its group is not decided yet."""
    spacing_row, spacing_column = arrival.spacing_mm or (None, None)
    return dict.fromkeys(INCOMING.names()) | {
        **looked._asdict(),
        "image_id": arrival.image_id,
        "patient": arrival.patient,
        "width": arrival.width or looked.width,
        "height": arrival.height or looked.height,
        "recipe": arrival.recipe,
        "arrived_at": arrival.arrived_at,
        "site": arrival.site,
        "view": arrival.view,
        "spacing_mm_row": spacing_row,
        "spacing_mm_column": spacing_column,
    }


def problem(image_id: str) -> str | None:
    """Why an image cannot have this id."""
    if not manifest.is_safe_key(image_id) or "/" in image_id or image_id.startswith("."):
        return "the name cannot be an image_id: no slash, no control character, and no dot in front"
    try:
        long = len(image_id.encode()) > _LONGEST_ID
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    return f"the name is longer than {_LONGEST_ID} bytes" if long else None


def already_there(
    arrival: Arrival, looked: Looked, incoming: Mapping[str, str], dataset: Mapping[str, Collection[str]]
) -> str | None:
    """ "known" where the image is there with this picture, a code of REASONS where with another; else None.

    incoming: MD5 by image_id; dataset: the MD5s of file and of pixels by image_id.
    """
    if arrival.image_id in incoming:
        return "known" if incoming[arrival.image_id] == looked.md5 else "image-changed"
    if arrival.image_id in dataset:
        return "known" if {looked.md5, looked.pixels_md5} & set(dataset[arrival.image_id]) else "image-id-taken"
    return None


REASONS: Final = {
    "forgotten": "it was taken away for good by `radloop forget`, and does not come in again",
    "image-changed": "an incoming image of this id has another picture, which stays: give the new one another id",
    "image-id-taken": "an image of the dataset has this id and another picture: give it another id",
}


def decide(
    rows: pl.DataFrame, places: pl.DataFrame, links: Sequence[pl.DataFrame], *, audit_share: float, lineage: str
) -> pl.DataFrame:
    """Give every row (INCOMING) its group, and say what never trains. Rows that had come before have a group already.

    places: PLACES; links: LINKS, of any images, each table with values of its own kind.

    A group with a held-out image is held out with it. One with an image that trains or may (training, production), or
    that was there already, is no audit; else a lot decides, drawn by the lineage and the patient (the image, where none
    is named), so that the order in which pictures come is nothing to it. Once audit, always audit: where groups turn
    out to be one, all of it becomes audit, but for images that are in a dataset. Does not depend on the order of rows.
    """
    names = pl.concat([rows.select("image_id", "group"), places.select("image_id", "group")]).drop_nulls("group")
    named = pl.concat([names, names.select(image_id="group", group="group")]).unique()
    ids = pl.concat([rows["image_id"], places["image_id"]]).unique().sort()
    whole = splits.join(ids, [named, *links]).rename({"group": "whole"})

    rank = {split: number for number, split in enumerate(HELD_OUT)}
    placed = (
        places.join(whole, on="image_id")
        .with_columns(rank=pl.col("split").replace_strict(rank, default=None, return_dtype=pl.Int64))
        .sort("rank", "group", nulls_last=True)
        .group_by("whole", maintain_order=True)
        .agg(name=pl.col("group").first(), placed=pl.col("rank").min(), trains=pl.col("split").is_in(_TRAINS).any())
    )
    known = rows.join(whole, on="image_id").join(placed, on="whole", how="left").sort("image_id")
    known = known.with_columns(
        rank=pl.min_horizontal(
            "placed", pl.col("held_out").replace_strict(rank, default=None, return_dtype=pl.Int64).min().over("whole")
        ),
        was_there=pl.col("group").is_not_null().any().over("whole"),
        was_audit=pl.col("audit").fill_null(value=False).any().over("whole"),
        lot=pl.coalesce(pl.col("patient").min(), pl.col("image_id").min()).over("whole"),
        # of a group that became audit as a whole, what is not audit had a place then: it has trained
        has_place=pl.col("image_id").is_in(places["image_id"].implode())
        | (~pl.col("audit") & pl.col("audit").any().over("group")),
    )
    lots = {lot: _drawn(lot, lineage) for lot in known["lot"].unique()}
    drawn = pl.col("lot").replace_strict(lots, return_dtype=pl.Float64) < audit_share
    own = pl.col("audit").fill_null(value=False)
    free = ~pl.col("was_there") & pl.col("rank").is_null() & ~pl.col("trains").fill_null(value=False)
    return known.with_columns(
        group=pl.coalesce("name", pl.col("image_id").min().over("whole")),
        audit=pl.when("has_place").then(own).otherwise(pl.col("was_audit") | (free & drawn)),
        held_out=pl.coalesce(
            "held_out", pl.col("rank").replace_strict(dict(enumerate(HELD_OUT)), default=None, return_dtype=pl.String)
        ),
    ).select(INCOMING.names())


def _drawn(lot: str, lineage: str) -> float:
    """The same number in [0, 1) for ever."""
    return int.from_bytes(hashlib.sha256(f"radloop audit\0{lineage}\0{lot}".encode()).digest()[:8]) / 2**64


def verify(
    table: pl.DataFrame, listed: pl.DataFrame, annotations: pl.DataFrame
) -> Iterator[tuple[Literal["incoming-table", "incoming-leak"], str, str]]:
    """What is wrong with INCOMING beside its manifest and the ANNOTATIONS of its dataset: rule, image, sentence."""
    files = listed.filter(kind="image").select("image_id", listed="md5")
    both = table.select("image_id", "md5").join(files, on="image_id", how="full", coalesce=True).sort("image_id")
    for image_id, md5, other in both.filter(~pl.col("md5").eq_missing(pl.col("listed"))).iter_rows():
        why = "it is in no row" if md5 is None else "it has no picture" if other is None else "it has another picture"
        yield "incoming-table", image_id, why
    held_out = annotations.filter(pl.col("split").is_in(HELD_OUT)).select("group", split="split").unique()
    freed = table.filter(pl.col("held_out").is_null()).join(held_out, on="group").sort("image_id")
    for image_id, split in freed.select("image_id", "split").iter_rows():
        yield "incoming-leak", image_id, f"its group is held out in {split}, and it is not"
    trained = annotations.filter(split="training").select("image_id").unique()
    for image_id in table.filter("audit").join(trained, on="image_id", how="semi")["image_id"].sort():
        yield "incoming-leak", image_id, "it is audit, which never trains, and is in training"
