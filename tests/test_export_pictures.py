"""Pictures on their way out: sizes by their headers, proven bytes, links, pieces of a size."""

import os

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exports import md5
from radloop.dataset.export import pictures
from radloop.errors import DatasetError


def listed(folder, **made):
    """key, split, file, bytes and md5 of pictures made by name."""
    rows = []
    for name, image in made.items():
        key = f"test/images/{name.replace('_', '.')}"
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / key)
        data = (folder / key).read_bytes()
        rows.append({"key": key, "split": "test", "file": key.rpartition("/")[2], "bytes": len(data), "md5": md5(data)})
    return pl.DataFrame(rows)


def test_sizes_are_those_of_the_files_whatever_stands_before_them_in_a_jpeg(tmp_path):
    late = Image.new("L", (31, 17))
    late.info["icc_profile"] = bytes(40_000)  # so that the size stands far behind
    table = listed(tmp_path, a_png=Image.new("L", (40, 30)), b_jpg=Image.new("L", (12, 90)))
    late.save(tmp_path / "test/images/late.jpg", icc_profile=bytes(40_000))
    size = (tmp_path / "test/images/late.jpg").stat().st_size
    table = pl.concat(
        [table, pl.DataFrame([{**table.row(0, named=True), "key": "test/images/late.jpg", "bytes": size}])]
    )
    assert pictures.sizes(tmp_path, table).rows() == [(40, 30), (12, 90), (31, 17)]


def test_links_are_the_dataset_s_own_files_in_the_place_that_was_asked_for(tmp_path):
    table = listed(tmp_path, a_png=Image.new("L", (12, 12)))
    pictures.link(tmp_path, table, tmp_path / "out", pictures.by_split)
    pictures.link(tmp_path, table, tmp_path / "out", pictures.flat)
    for place in ("images/test/a.png", "images/a.png"):
        assert os.path.samefile(tmp_path / "out" / place, tmp_path / "test/images/a.png")


def test_bytes_are_read_only_where_they_are_those_of_the_manifest(tmp_path):
    (row,) = listed(tmp_path, a_png=Image.new("L", (12, 12))).to_dicts()
    assert md5(pictures.read(tmp_path, row["key"], row["md5"])) == row["md5"]
    with pytest.raises(DatasetError, match="its MD5 is another"):
        pictures.read(tmp_path, row["key"], md5(b""))
    with pytest.raises(DatasetError, match="No such file"):
        pictures.read(tmp_path, "test/images/gone.png", row["md5"])


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=40), st.integers(1, 60_000))
def test_pieces_are_the_whole_in_its_order_and_none_is_empty(sizes, most):
    images = pl.DataFrame({"bytes": sizes})
    pieces = pictures.shards(images, most)
    assert pl.concat(pieces)["bytes"].to_list() == sizes
    assert all(piece.height for piece in pieces)
    assert all(piece.height == 1 or piece["bytes"].sum() <= most for piece in pieces)
