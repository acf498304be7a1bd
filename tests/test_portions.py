"""Some images at a time, in the order of their ids."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.dataset import portions
from radloop.dataset.portions import Portions

ROWS = st.lists(st.tuples(st.none() | st.sampled_from("abcdefg"), st.integers(0, 3)), max_size=25)


@given(ROWS, st.integers(1, 5), st.booleans())
def test_every_row_is_in_one_portion_and_no_image_in_two(rows: list, number: int, sorted_: bool) -> None:
    table = pl.DataFrame(rows, schema={"image_id": pl.String, "n": pl.Int64}, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "IMAGES_AT_ONCE", number)
        made = Portions(table, by=("n",) if sorted_ else ())
        several = list(made)
    assert len(made) == len(several)
    assert [one.equals(again) for one, again in zip(several, made, strict=True)] == [True] * len(several)
    images = [set(one["image_id"]) for one in several]
    assert len(set().union(*images)) == sum(map(len, images))
    whole = pl.concat(several)
    assert whole["image_id"].is_sorted()
    assert whole.sort("image_id", "n").equals(table.sort("image_id", "n"))
    if sorted_:
        assert whole.equals(table.sort("image_id", "n"))


@given(st.lists(st.sampled_from("abcdef"), min_size=1), st.lists(st.sampled_from("abcdef"), max_size=4))
def test_rows_of_some_images_are_found_in_a_sorted_table(there: list[str], wanted: list[str]) -> None:
    table = portions.by_image(pl.DataFrame({"image_id": there}))
    found = portions.of_images(table, pl.Series(sorted(wanted), dtype=pl.String))
    between = [one for one in sorted(there) if wanted and min(wanted) <= one <= max(wanted)]
    assert found["image_id"].to_list() == between


@given(st.lists(st.integers(0, 9), max_size=9), st.integers(1, 4))
def test_slices_of_a_lazy_table_are_its_rows_in_order_and_only_the_last_is_smaller(rows: list[int], size: int) -> None:
    table = pl.DataFrame({"n": rows}, schema={"n": pl.Int64})
    heights = [some.height for some in portions.slices(table.lazy(), size)]
    assert portions.height(table.lazy()) == len(rows) == sum(heights)
    assert set(heights[:-1]) <= {size}
    assert pl.concat([table.clear(), *portions.slices(table.lazy(), size)]).equals(table)
