import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import UsageError
from radloop.recipe import Recipe

WINDOWS = st.builds("window:{}/{}".format, st.integers(-2000, 4000), st.integers(1, 4000))
SIZES = st.sampled_from(["", ",size=original", ",size=512", ",size=1024"])
RATIOS = st.sampled_from(["", ",ratio=kept", ",ratio=stretched"])


@given(st.one_of(st.sampled_from(["vinbigdata", "minmax"]), WINDOWS), SIZES, RATIOS)
def test_a_recipe_is_read_back_from_its_name(gray, size, ratio):
    recipe = Recipe.parse(gray + size + ratio)
    assert Recipe.parse(str(recipe)) == recipe
    assert recipe.gray == gray


@pytest.mark.parametrize(
    "text",
    ["", "jet", "window:40", "window:40/0", "vinbigdata,size=0", "vinbigdata,colour=red", "minmax,ratio=odd"],
)
def test_an_unknown_recipe_is_refused_with_the_way_out(text):
    with pytest.raises(UsageError, match=r"unknown recipe .*window:CENTER/WIDTH"):
        Recipe.parse(text)


def test_a_recipe_of_another_version_is_refused():
    with pytest.raises(UsageError, match="version 7"):
        Recipe.parse("vinbigdata@7,size=1024,ratio=stretched")


def test_a_recipe_tells_its_window():
    assert Recipe.parse("window:-600/1500").window == (-600, 1500)
    assert Recipe().window is None
