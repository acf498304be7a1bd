"""Which feedback is on a held-out picture, by whatever name and in whatever file it came: it must never train.

An audit image of the incoming unit is held out like them: it measures the model, so it must not teach it.

An image is held out by its id, also written otherwise; with its group; with its picture's bytes (MD5); and, where the
picture that was seen is not the dataset's own, with whatever looks like it (perceptual hash, no picture to confirm by).
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import slices
from radloop.similarity import HASH_ONLY_RADIUS
from radloop.words import AUDIT, WITHHELD

# The columns that `judge` adds: the split of the image in the dataset, null where it knows none; the held-out split
# that the feedback belongs to, null where there is none; and how that is known, or why the image is not: the kind of
# evidence, to be counted, and its sentence; whether it was given on another picture than the dataset has of the image.
JUDGED: Final = ("split", "held_out", "code", "evidence", "other_picture")
UNKNOWN: Final = ("image-unknown", "the dataset has no image of this id")

# What an id that is written otherwise may have behind it: a reader's id, and endings of files.
READER: Final = r"_[a-z0-9-]{1,50}$"
ENDINGS: Final = r"(\.(png|jpe?g|dcm|dicom|tiff?|bmp|webp|gz|nii|json|txt))+$"

_AT_ONCE: Final = 2**22  # pairs of hashes


def judge(feedback: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """FEEDBACK with JUDGED in the place of `split`, in the same order.

    `images` has one row an image of the dataset or the incoming unit: image_id, split, group, md5, phash. What the
    feedback itself says of its split never clears it, but it can hold it out: it may have been given on another
    version.
    """
    told = feedback.select("image_id", "image_md5", "image_phash", said="split")
    images = images.unique("image_id", keep="first", maintain_order=True).sort("image_id")
    judged = [_judged(some, images) for some in slices.of(told)]  # the joins take ten times the memory of these
    return feedback.drop("split").hstack(pl.concat(judged))


def _judged(told: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """JUDGED of each row of `told`: image_id, image_md5, image_phash and said, the split that the feedback names."""
    held = images.filter(pl.col("split").is_in(WITHHELD))
    own = images.select("image_id", "group", own_split="split", own_md5="md5")
    table = (
        told.unique()
        .join(own, on="image_id", how="left", maintain_order="left")
        .with_columns(plain=pl.when(pl.col("own_split").is_null()).then(_plain(pl.col("image_id"))))
    )
    table = table.with_columns(unreadered=pl.col("plain").str.replace(READER, ""))
    by_name = held.with_columns(plain=_plain(pl.col("image_id")))
    for name, left, known, right in (
        ("grouped", "group", held, "group"),
        ("named", "plain", by_name, "plain"),
        ("named_with_reader", "unreadered", by_name, "plain"),
        ("pictured", "image_md5", held, "md5"),
    ):
        match = known.select(pl.col(right).alias(left), pl.col("split").alias(name)).drop_nulls(left)
        match = match.unique(left, keep="first", maintain_order=True)
        table = table.join(match, on=left, how="left", maintain_order="left")
    table = table.with_columns(_alike(table, held))

    told_so = pl.col("said").is_in(WITHHELD)
    reasons = [
        (pl.col("own_split") == AUDIT, "own_split", "held-out-audit", "an audit image: it measures, and never trains"),
        (pl.col("own_split").is_in(WITHHELD), "own_split", "held-out-image", "the image is held out"),
        (pl.col("grouped").is_not_null(), "grouped", "held-out-group", "an image of its group is held out"),
        (pl.col("named").is_not_null(), "named", "held-out-id", "a held-out image's id, written otherwise"),
        (
            pl.col("named_with_reader").is_not_null(),
            "named_with_reader",
            "held-out-reading",
            "a held-out image's id with a reader's",
        ),
        (pl.col("pictured").is_not_null(), "pictured", "held-out-picture", "the picture is a held-out image's"),
        (pl.col("alike").is_not_null(), "alike", "held-out-likeness", "the picture looks like a held-out image's"),
        (told_so, "said", "held-out-elsewhere", "the feedback says that its image is held out"),
    ]
    known_by = [(holds, code, sentence) for holds, _, code, sentence in reasons]
    known_by.append((pl.col("own_split").is_null(), *UNKNOWN))
    judged = table.select(
        *told.columns,
        split="own_split",
        held_out=pl.coalesce(pl.when(holds).then(pl.col(split)) for holds, split, *_ in reasons),
        code=pl.coalesce(pl.when(holds).then(pl.lit(code)) for holds, code, _ in known_by),
        evidence=pl.coalesce(pl.when(holds).then(pl.lit(sentence)) for holds, _, sentence in known_by),
        other_picture=(pl.col("image_md5") != pl.col("own_md5")).fill_null(value=False),
    )
    return told.join(judged, on=told.columns, how="left", nulls_equal=True, maintain_order="left").select(JUDGED)


def _plain(image_id: pl.Expr) -> pl.Expr:
    """What is left of an id without case, blanks and endings of files."""
    return image_id.str.to_lowercase().str.strip_chars().str.replace(ENDINGS, "")


def _alike(table: pl.DataFrame, held: pl.DataFrame) -> pl.Series:
    """The split of the held-out picture nearest to each one that is not the dataset's own, if it is near enough.

    The dataset's own pictures were compared with each other as pictures when it was split, which says more.
    """
    strange = pl.col("image_phash").is_not_null() & ~pl.col("image_md5").eq_missing(pl.col("own_md5"))
    seen = table.filter(strange)["image_phash"].unique().sort()
    known = held.drop_nulls("phash").unique("phash", maintain_order=True)
    found: dict[str, str] = {}
    if len(seen) and known.height:
        hashes, splits = _bits(known["phash"]), known["split"].to_list()
        step = max(1, _AT_ONCE // len(hashes))
        for part in seen.to_frame().iter_slices(step):
            digits = part.to_series()
            distance = np.bitwise_count(_bits(digits)[:, None] ^ hashes)
            nearest = distance.argmin(axis=1)
            near = distance[np.arange(len(nearest)), nearest] <= HASH_ONLY_RADIUS
            found |= {digits[int(row)]: splits[nearest[row]] for row in np.flatnonzero(near)}
    alike = pl.when(strange).then(pl.col("image_phash").replace_strict(found, default=None, return_dtype=pl.String))
    return table.select(alike.alias("alike")).to_series()


def _bits(digits: pl.Series) -> npt.NDArray[np.uint64]:
    return np.array([int(text, 16) for text in digits.to_list()], dtype=np.uint64)
