"""All pictures that a new one is compared with: it grows, and what it took to compare is kept between two looks."""

from typing import Final

import polars as pl

from radloop import similarity

# pixels_md5 and thumbnail are null where the picture itself is not at hand: then its hash alone is compared.
SEEN: Final = pl.Schema(
    {
        "image_id": pl.String,
        "md5": pl.String,
        "pixels_md5": pl.String,
        "phash": pl.String,
        "thumbnail": pl.Binary,
    }
)


class Album:
    """Pictures by MD5, by pixels and by likeness."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._all = SEEN.to_frame()
        self._unseen = SEEN.to_frame()  # without a thumbnail
        self._ids: list[str] = []  # with one
        self._known = similarity.Known()

    def add(self, pictures: pl.DataFrame) -> None:
        """Take pictures in (SEEN, other columns are passed over)."""
        new = pictures.select(SEEN.names())
        seen = new.filter(pl.col("thumbnail").is_not_null())
        self._all = pl.concat([self._all, new])
        self._unseen = pl.concat([self._unseen, new.filter(pl.col("thumbnail").is_null())])
        self._ids += seen["image_id"].to_list()
        self._known.add(similarity.unpacked(seen["thumbnail"]))

    def like(self, pictures: pl.DataFrame) -> pl.DataFrame:
        """Which pictures (SEEN) are one radiograph with which in the album: image_id, other; none of its own name."""
        seen = pictures.filter(pl.col("thumbnail").is_not_null())
        ids, small = seen["image_id"].to_list(), similarity.unpacked(seen["thumbnail"])
        pairs = [(ids[new], self._ids[known]) for known, new in self._known.find(small).tolist()]
        for image_id, phash in pictures.select("image_id", "phash").drop_nulls().iter_rows():
            if self._unseen.height:
                pairs += [(image_id, other) for other in similarity.matches(phash, self._unseen)["image_id"]]
        equal = [
            pictures.select("image_id", column).join(self._all.select(column, other="image_id").drop_nulls(), on=column)
            for column in ("md5", "pixels_md5")
        ]
        found = pl.DataFrame(pairs, schema={"image_id": pl.String, "other": pl.String}, orient="row")
        return (
            pl.concat([found, *(one.select("image_id", "other") for one in equal)])
            .filter(pl.col("image_id") != pl.col("other"))
            .unique()
            .sort("image_id", "other")
        )

    def sums_of(self, image_ids: pl.Series) -> dict[str, tuple[str, ...]]:
        """{image_id: the MD5s of file and of pixels that it is known by}, of those that are there."""
        there = self._all.filter(pl.col("image_id").is_in(image_ids.implode()))
        both = pl.concat([there.select("image_id", sum=name) for name in ("md5", "pixels_md5")]).drop_nulls()
        return {image_id: tuple(sums) for image_id, sums in both.group_by("image_id").agg("sum").iter_rows()}


def links(pairs: pl.DataFrame) -> pl.DataFrame:
    """LINKS that join the images of pairs (image_id, other)."""
    both = pl.concat([pairs["image_id"], pairs["other"]])
    return pl.DataFrame({"image_id": both, "value": pl.concat([pairs["other"], pairs["other"]])}).unique()
