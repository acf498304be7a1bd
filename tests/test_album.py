"""Pictures by MD5, by pixels, by likeness, and by hash where there is no more."""

import numpy as np
import polars as pl

from dicom_files import gray
from incoming_unit import png, row
from radloop.dataset import album
from radloop.dataset.album import SEEN, Album


def seen(**pictures: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame([row(name, png(values)) for name, values in pictures.items()]).select(SEEN.names())


FILM = gray(64, 64, seed=1, bits=8)


def test_picture_is_found_by_whatever_is_known_of_it():
    known = seen(film=FILM, other=gray(64, 64, seed=2, bits=8))
    new = seen(same=FILM, mirrored=FILM[:, ::-1], paler=FILM // 2 + 60, different=gray(64, 64, seed=3, bits=8))
    one = Album()
    assert one.like(new).is_empty()
    for part in known.iter_slices(1):
        one.add(part)
    assert one.like(new).rows() == [("mirrored", "film"), ("paler", "film"), ("same", "film")]
    hashes = Album()
    hashes.add(known.with_columns(thumbnail=pl.lit(None, pl.Binary), pixels_md5=pl.lit(None, pl.String)))
    assert hashes.like(new).filter(image_id="same").rows() == [("same", "film")]
    assert hashes.sums_of(pl.Series(["film", "nobody"])) == {"film": (known["md5"][0],)}


def test_picture_of_its_own_name_is_no_news():
    one = Album()
    one.add(seen(film=FILM))
    assert one.like(seen(film=FILM)).is_empty()


def test_links_join_both_ways():
    pairs = pl.DataFrame({"image_id": ["a"], "other": ["b"]})
    assert set(album.links(pairs).rows()) == {("a", "b"), ("b", "b")}
