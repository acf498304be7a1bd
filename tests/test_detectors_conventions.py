import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_model import answer, ended, write
from radloop import boxes
from radloop.detectors import conventions
from radloop.detectors.conventions import Conventions
from radloop.detectors.names import Wishes, match
from radloop.detectors.onnx import TINY, Onnx
from radloop.detectors.yolo import Shape, prepare
from radloop.errors import MisreadDetectorError
from radloop.predictions import Picture
from radloop.sources import synthetic
from radloop.vindr import canvas
from taxonomies import SPINE, VINDR

SIDE = 640
SHAPE = Shape(3, SIDE, SIDE)
SCORES = match(SPINE, None, Wishes(), model="m.onnx")
GRID = conventions._grid(SHAPE, 8400)


def head(cxcywh, *, sure=None):
    """The output (1, 4 + 7, n) of a model that is `sure` (a mask; None: of all) of one class of each box."""
    values = np.zeros((1, 11, len(cxcywh)))
    values[0, :4] = np.asarray(cxcywh, dtype=float).T
    values[0, 6] = np.where(np.ones(len(cxcywh), bool) if sure is None else sure, 0.95, 0.01)
    return values


def rows(xyxy):
    return ended(*((2, 0.95, tuple(box)) for box in np.asarray(xyxy, dtype=float)))


def look(outputs, shape=SHAPE):
    """The sentence with which the run stops, and after how many answers; None where it goes on."""
    asked = Conventions("m.onnx", shape, SCORES)
    for number, output in enumerate(outputs, 1):
        try:
            asked.require(output, min_confidence=0.25)
        except MisreadDetectorError as wrong:
            return str(wrong), number
    return None


def findings(rng, count, *, low=20, high=250):
    """Boxes as centre and size that lie in the input, of the sizes of findings."""
    size = rng.uniform(low, high, (count, 2))
    return np.column_stack([size / 2 + rng.uniform(0, 1, (count, 2)) * (SIDE - size), size])


def on_grid(rng, found):
    """What a YOLO net answers: at every point of its grid a box about it, and `found` at those that lie in them."""
    size = np.exp(rng.normal(4.0, 0.7, (len(GRID), 2)))
    dense = np.column_stack([GRID + rng.normal(0, 4, GRID.shape), size])
    nearest = [int(np.abs(GRID - box[:2]).sum(axis=1).argmin()) for box in found]
    dense[nearest] = np.reshape(found, (-1, 4))
    sure = np.zeros(len(GRID), bool)
    sure[nearest] = True
    return dense, sure


def as_corners(found):
    return boxes.cxcywh_to_xyxy(np.asarray(found, dtype=float))


def as_upper_left(found):
    return np.column_stack([found[:, :2] - found[:, 2:] / 2, found[:, 2:]])


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize(
    ("form", "words"),
    [
        pytest.param(lambda found: found, None, id="right"),
        pytest.param(
            lambda found: found / SIDE, "as fractions from 0 to 1, not in pixels of its input of 640", id="0..1"
        ),
        pytest.param(as_corners, "as corners (x1 y1 x2 y2), not as centre and size", id="corners"),
        pytest.param(as_upper_left, "as upper left corner and size", id="upper left"),
    ],
)
def test_dense_head_is_judged_by_its_first_answer_with_a_detection(count, form, words):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        empty = on_grid(rng, [])
        dense, sure = on_grid(rng, findings(rng, count))
        said = look([head(form(empty[0]), sure=empty[1]), head(form(dense), sure=sure)])
        if words is None or count == 0:
            assert said is None
        else:
            sentence, number = said
            assert words in sentence
            assert number == 2


def test_heart_alone_as_corners_is_found_on_the_grid():
    """As centre and size it lies in the input, and no edge gives it away."""
    heart = np.array([[350.0, 415, 140, 130]])
    dense, sure = on_grid(np.random.default_rng(0), heart)
    assert "as corners" in look([head(as_corners(dense), sure=sure)])[0]
    assert look([head(as_corners(heart))] * 30) is None


def test_corners_of_a_net_of_another_grid_are_found_by_the_edges_of_the_boxes():
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        said = look([head(as_corners(findings(rng, 3))) for _ in range(20)])
        found += said is not None and "as corners" in said[0]
    assert found >= 190


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param(rows([[0.2, 0.3, 0.4, 0.5]]), "as fractions", id="0..1"),
        pytest.param(rows([[300, 300, 80, 90]]), "are not corners", id="centre and size"),
        pytest.param(rows([[300, 300, 380, 390]]), None, id="right"),
        pytest.param(rows([[300, 300, 300, 299.5]]), None, id="right, rounded"),
        pytest.param(np.zeros((1, 300, 6)), None, id="nothing found"),
    ],
)
def test_rows_of_a_model_that_suppresses_by_itself_are_judged_at_once(values, words):
    said = look([values])
    assert (said is None) if words is None else (words in said[0])


def test_refusal_stays_and_names_the_model():
    asked = Conventions("lungs.onnx", SHAPE, SCORES)
    for values in (rows([[0.2, 0.3, 0.4, 0.5]]), rows([[300, 300, 380, 390]]), np.zeros((1, 300, 6))):
        with pytest.raises(MisreadDetectorError, match=r"^lungs\.onnx answers boxes as fractions"):
            asked.require(values, min_confidence=0.25)


def test_model_is_believed_after_twenty_answers_with_a_detection():
    right, wrong = rows([[300, 300, 380, 390]]), rows([[300, 300, 80, 90]])
    assert look([right] * 20 + [wrong]) is None
    assert look([right] * 19 + [np.zeros((1, 300, 6))] * 30 + [wrong]) is not None


@st.composite
def right_boxes(draw):
    """Boxes as centre and size of a model that writes pixels: in the input, and up to a fiftieth beyond its edges."""
    kind = draw(st.sampled_from(["any", "tiny", "huge", "one"]))
    low, high = {"tiny": (1, 6), "huge": (SIDE * 0.7, SIDE)}.get(kind, (1, SIDE))
    count = draw(st.integers(1, 12).filter(lambda count: count != 6))  # six anchors would be the other head
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = findings(rng, count, low=low, high=high)
    if kind == "one":
        found[:] = found[0]
    return found + rng.uniform(-1, 1, found.shape) * [SIDE / 50, SIDE / 50, 0, 0] * (kind != "tiny")


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(answers=st.lists(right_boxes(), min_size=1, max_size=25), suppresses=st.booleans(), grid=st.booleans())
def test_model_that_writes_what_is_read_is_never_stopped(answers, suppresses, grid):
    if suppresses:
        outputs = [rows(as_corners(found)) for found in answers]
    elif grid:
        # as many boxes as a net with that grid has, wherever they lie
        outputs = [head(np.resize(found, (8400, 4)), sure=np.arange(8400) < len(found)) for found in answers[:3]]
    else:
        outputs = [head(found) for found in answers]
    assert look(outputs) is None


def film(index):
    known = synthetic.patient(index, seed=77)
    return Picture(known.image_id, canvas.encode(synthetic.picture(known, side_px=320)))


def test_tiny_detector_is_believed_and_would_be_stopped_as_corners():
    detector = Onnx(TINY, VINDR)
    asked = Conventions("corners", detector._shape, detector._scores)
    session, wrong = detector._session, []
    for index in range(12):
        detector.predict(film(index))
        tensor, _ = prepare(film(index), detector._shape)
        output = session.run(tensor, image_id="a1")
        output[0, :4] = as_corners(output[0, :4].T).T
        try:
            asked.require(output, min_confidence=0.25)
        except MisreadDetectorError as error:
            wrong.append(str(error))
    assert wrong
    assert "as corners" in wrong[0]


def test_onnx_model_in_fractions_stops_at_its_first_answer(tmp_path):
    path = write(tmp_path / "m.onnx", answer((3, 0.95, (0.5, 0.6, 0.2, 0.1))))
    with pytest.raises(MisreadDetectorError, match=r"m\.onnx answers boxes as fractions .* input of 32 × 32"):
        Onnx(path, VINDR).predict(film(0))
