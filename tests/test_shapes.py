import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.dataset import shapes
from radloop.errors import AnnotationError

SIZES = ("width_px", "height_px", "picture_width", "picture_height")
SCHEMA = {"image_id": pl.String} | dict.fromkeys(SIZES, pl.Int32)


def require(*images):
    """Each as image_id, width and height of the original, width and height of the picture."""
    shapes.require(shapes.of(pl.DataFrame(images, schema=SCHEMA, orient="row")), "train.csv")


@given(
    width=st.integers(300, 5000),
    height=st.integers(300, 5000),
    factor=st.floats(0.04, 1.5),
)
def test_pictures_made_smaller_or_larger_are_never_an_alarm(width, height, factor):
    for rounded in (round, int):
        require(("a", width, height, max(10, rounded(width * factor)), max(10, rounded(height * factor))))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(("a", 800, 600, 512, 512), id="stretched to a square"),
        pytest.param(("a", 1024, 1024, 600, 800), id="sizes of the square that the boxes are in"),
        pytest.param(("a", None, None, 600, 800), id="no size known"),
        pytest.param(("a", 800, 600, None, None), id="no picture"),
    ],
)
def test_what_tells_nothing_of_the_shape_is_no_alarm(image):
    require(image)


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        pytest.param((600, 800), "1 of 2 pictures lie on their side", id="turned"),
        pytest.param((60, 80), "a is 60×80, not 800×600", id="turned and made smaller"),
        pytest.param((800, 500), "1 of 2 pictures have another shape", id="cropped"),
        pytest.param((768, 600), "1 of 2 pictures have another shape", id="cropped a little"),
    ],
)
def test_one_picture_of_another_shape_stops_and_is_named(picture, sentence):
    with pytest.raises(AnnotationError, match=sentence):
        require(("a", 800, 600, *picture), ("b", 800, 600, 400, 300))


def test_of_many_some_are_named_and_all_are_counted():
    with pytest.raises(AnnotationError, match=r"5 of 5 pictures lie on their side.*a0.*a1.*a2.* and 2 more"):
        require(*((f"a{n}", 800, 600, 600, 800) for n in range(5)))
