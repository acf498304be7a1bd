"""Ids of a table and names of pictures: matched one to one, or not at all."""

import polars as pl
import pytest

from radloop.dataset import ids
from radloop.errors import AnnotationError


def pictures(*paths):
    return pl.DataFrame({"image_id": [path.rsplit(".", 1)[0] for path in paths], "path": paths})


def matched(table, *paths):
    return ids.match(table, pictures(*paths), name="train.csv")


@pytest.mark.parametrize(
    ("table", "paths"),
    [
        pytest.param(["a.png", "b.png"], ["a.png", "b.png"], id="ending"),
        pytest.param(["a.PNG", "b.Png"], ["a.png", "b.png"], id="ending in capitals"),
        pytest.param(["a.jpg", "b.png"], ["a.jpg", "b.png"], id="two endings"),
        pytest.param(["A", "b"], ["a.png", "B.png"], id="case"),
        pytest.param([" a", "b\t"], ["a.png", "b.png"], id="blanks"),
        pytest.param(["7", "12"], ["0007.png", "0012.png"], id="lost zeros"),
        pytest.param(["007", "012"], ["7.png", "12.png"], id="zeros too many"),
        pytest.param(["7.0", "12.0"], ["7.png", "12.png"], id="numbers with a fraction"),
        pytest.param(["7.0", "12.0"], ["0007.png", "0012.png"], id="a fraction and lost zeros"),
        pytest.param([" 7.PNG", "a.png "], ["0007.png", "A.png"], id="several at once"),
        pytest.param(["u\u0308a", "b"], ["\u00fca.png", "b.png"], id="accents in two parts"),
        pytest.param(["a", "b.png"], ["a.png", "b.png"], id="one of two"),
    ],
)
def test_ids_are_matched_one_to_one_and_it_is_said(table, paths):
    found = matched(table, *paths)
    rows = found.apply(pl.DataFrame({"image_id": table}))
    assert rows["image_id"].to_list() == [path.rsplit(".", 1)[0] for path in paths]
    assert rows["image_id_came"].to_list() == table
    assert "matched one to one" in found.note
    assert ids.as_came(rows)["image_id"].to_list() == table


@pytest.mark.parametrize("table", [["a", "b"], ["a.png.png", "b"], ["0012", "12"]])
def test_ids_that_are_names_of_pictures_stay_as_they_are(table):
    found = matched(table, *(f"{one}.png" for one in table), "other.png")
    assert (found.renamed, found.note) == ({}, "")


@pytest.mark.parametrize(
    ("table", "paths"),
    [
        pytest.param(["a", "A"], ["a.png"], id="two ids, one picture"),
        pytest.param(["a.png", "a"], ["a.png"], id="with an ending and without"),
        pytest.param(["12", "12.0"], ["0012.png"], id="a number twice"),
        pytest.param(["Ab"], ["ab.png", "AB.png"], id="one id, two pictures"),
        pytest.param(["12"], ["012.png", "0012.png"], id="two pictures of one number"),
    ],
)
def test_ids_that_may_mean_two_pictures_stop(table, paths):
    with pytest.raises(AnnotationError, match="cannot be told which picture"):
        matched(table, *paths)


def test_ids_without_any_picture_are_shown_beside_names_of_pictures():
    with pytest.raises(AnnotationError, match=r"none of the 3 image ids, such as 'a' and 'b',.*'x.png' and 'y.png'"):
        matched(["a", "b", "c"], "x.png", "y.png", "z.png")


def test_missing_pictures_are_hinted_at():
    assert matched(["a", "b", "c"], "a.png", "x.png").hint == (
        "Ids without a picture: 'b' and 'c'; pictures without a row: 'x.png'."
    )
    assert matched(["a", "b"], "a.png").hint == ""


def sizes(*names):
    return pl.DataFrame({"image_id": names, "width": range(100, 100 + len(names)), "height": [100] * len(names)})


def test_sizes_are_matched_in_the_same_way_and_an_exact_name_goes_first():
    found = ids.of_sizes(sizes("a.png", "B", "b", "c"), pictures("a.png", "b.png"), name="train_meta.csv")
    assert dict(found.select("image_id", "width").iter_rows()) == {"a": 100, "B": 101, "b": 102, "c": 103}


def test_sizes_of_other_pictures_are_shown_beside_names_of_pictures():
    with pytest.raises(AnnotationError, match=r"none of its 2 image ids, such as 'x' and 'y',.*'a\.png' and 'b\.png'"):
        ids.of_sizes(sizes("x", "y"), pictures("a.png", "b.png"), name="train_meta.csv")


def test_two_sizes_of_one_picture_stop():
    with pytest.raises(AnnotationError, match=r"train_meta\.csv: image 'a' has two sizes"):
        ids.of_sizes(sizes("a.png", "A"), pictures("a.png"), name="train_meta.csv")
