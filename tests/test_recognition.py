"""Pictures that were held out before, recognized under any name."""

import numpy as np
import polars as pl
import pytest

from radloop import similarity
from radloop.dataset import recognition
from radloop.sources import synthetic
from radloop.tables import HELDOUT, PICTURES
from taxonomies import VINDR


@pytest.fixture(scope="module")
def grays(tmp_path_factory):
    """The gray values of eight generated radiographs."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("films")
    synthetic.generate(folder, 8, seed=0, jobs=1, classes=VINDR, side_px=128)
    return [np.asarray(Image.open(path).convert("L")) for path in sorted((folder / "train").iterdir())]


class Seen:
    """Pictures by name, with what is looked at of them."""

    def __init__(self, **grays: np.ndarray) -> None:
        self.small = {name: similarity.thumbnail(gray) for name, gray in grays.items()}
        rows = [
            {
                "image_id": name,
                "md5": f"file of {name}",
                "pixels_md5": f"pixels of {name}",
                "phash": similarity.phash(self.small[name]),
            }
            for name in grays
        ]
        self.pictures = pl.DataFrame(rows, schema=PICTURES)

    def thumbnails(self, ids: list[str]) -> np.ndarray:
        return np.stack([self.small[one] for one in ids])

    def memory(self, split: str = "test", **changes) -> pl.DataFrame:
        small = [self.small[one].tobytes() for one in self.pictures["image_id"]]
        told = self.pictures.with_columns(split=pl.lit(split), group="image_id", thumbnail=pl.Series(small))
        return told.with_columns(**changes).match_to_schema(HELDOUT, missing_columns="insert", extra_columns="ignore")


def recognize(now: Seen, memory: pl.DataFrame, known=None) -> list[tuple[str, str, str]]:
    found = recognition.recognize(now.pictures, memory, now.thumbnails, known)
    return found.select("image_id", "remembered", "by").rows()


def brighter(gray: np.ndarray) -> np.ndarray:
    return (gray * 0.9 + 12).astype(np.uint8)


def test_a_copy_is_seen_by_file_then_by_pixels_then_by_likeness(grays):
    old = Seen(a=grays[0])
    now = Seen(b=grays[0], c=grays[0], d=brighter(grays[0]), e=grays[1])
    now.pictures = now.pictures.with_columns(
        md5=pl.when(pl.col("image_id") == "b").then(pl.lit("file of a")).otherwise("md5"),
        pixels_md5=pl.when(pl.col("image_id") == "c").then(pl.lit("pixels of a")).otherwise("pixels_md5"),
    )
    assert recognize(now, old.memory()) == [("b", "a", "file"), ("c", "a", "pixels"), ("d", "a", "likeness")]


def test_different_pictures_are_nobodys(grays):
    old, now = Seen(a=grays[0], b=grays[1]), Seen(c=grays[2], d=grays[3])
    assert recognize(now, old.memory()) == []


def test_without_a_thumbnail_the_hash_decides_and_only_of_what_is_new(grays):
    old, now = Seen(a=grays[0]), Seen(b=grays[0], c=grays[1])
    memory = old.memory(thumbnail=pl.lit(None, pl.Binary))
    assert recognize(now, memory) == [("b", "a", "hash")]
    assert recognize(now, memory, now.pictures.select("image_id", "md5")) == []


def test_an_image_that_is_still_there_is_itself(grays):
    old = Seen(a=grays[0], b=grays[1])
    assert recognize(old, old.memory()) == []


def test_what_is_new_is_compared_with_what_is_still_there_too(grays):
    now = Seen(a=grays[0], b=brighter(grays[0]))
    memory = Seen(a=grays[0]).memory()
    known = now.pictures.filter(image_id="a").select("image_id", "md5")
    assert recognize(now, memory, known) == [("b", "a", "likeness")]


def test_what_both_have_was_compared_when_it_came(grays):
    now = Seen(a=grays[0], b=brighter(grays[0]))
    assert recognize(now, Seen(a=grays[0]).memory(), now.pictures.select("image_id", "md5")) == []


def test_a_picture_that_cannot_be_used_is_nobodys(grays):
    now = Seen(b=grays[0])
    now.pictures = now.pictures.with_columns(problem=pl.lit("damaged"))
    assert recognize(now, Seen(a=grays[0]).memory()) == []


def test_links_join_both_names():
    rows = [("b", "a", "test", "file"), ("c", "a", "test", "pixels")]
    found = pl.DataFrame(rows, schema=recognition.RECOGNIZED, orient="row")
    assert recognition.links(found).rows() == [("a", "a"), ("b", "a"), ("c", "a")]
