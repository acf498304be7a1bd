import io

import numpy as np
import pytest
import supervision as sv
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from made_up_model import answer
from radloop import boxes
from radloop.detectors.yolo import Frame, Shape, check_shapes, decode, letterbox, prepare
from radloop.errors import DetectorError
from radloop.predictions import Picture

WHOLE = Frame(left=0, top=0, width=100, height=100)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def found(values, *, frame=WHOLE, min_confidence=0.25, **changes):
    said = decode(values, frame, min_confidence=min_confidence, **changes)
    return [
        (class_id, round(confidence, 3), *np.round(box, 3).tolist())
        for class_id, confidence, box in zip(
            said.class_ids.tolist(), said.confidences.tolist(), said.cxcywh_norm, strict=True
        )
    ]


@pytest.mark.parametrize(
    ("taken", "given", "expected"),
    [
        pytest.param([1, 1, 256, 256], [1, 18, 1280], Shape(1, 256, 256), id="tiny"),
        pytest.param([1, 3, 640, 480], [1, 18, 8400], Shape(3, 640, 480), id="color, not square"),
        pytest.param([1, 3, 640, 640], [1, 19, 8400], Shape(3, 640, 640), id="with a fifteenth class"),
        pytest.param(
            ["batch", 3, "height", "width"], ["batch", 18, "anchors"], Shape(3, 640, 640), id="free, as ONNX writes it"
        ),
        pytest.param([-1, 3, -1, -1], [-1, -1, -1], Shape(3, 640, 640), id="free, as Triton writes it"),
    ],
)
def test_a_yolo_head_of_14_or_15_classes_is_taken(taken, given, expected):
    assert check_shapes("m.onnx", taken, given) == expected


@pytest.mark.parametrize(
    ("taken", "given", "way_out"),
    [
        pytest.param([1, 3, 640, 640], [1, 84, 8400], "data.yaml", id="another number of classes"),
        pytest.param([1, 3, 640, 640], [1, 300, 6], "nms=False", id="suppression in the model"),
        pytest.param([1, 3, 640, 640], [1, 18], "nms=False", id="no anchors"),
        pytest.param([8, 3, 640, 640], [8, 18, 8400], "batch=1", id="a fixed batch"),
        pytest.param([1, 640, 640, 3], [1, 18, 8400], "one picture", id="channels last"),
        pytest.param([3, 640, 640], [18, 8400], "one picture", id="no batch"),
        pytest.param([], [], "one picture", id="nothing"),
    ],
)
def test_another_head_is_refused_with_the_way_out(taken, given, way_out):
    with pytest.raises(DetectorError, match=rf"^m\.onnx .*\[.*\].*{way_out}"):
        check_shapes("m.onnx", taken, given)


def test_letterbox_keeps_the_ratio_and_pads_the_rest():
    wide = np.full((100, 200), 255, dtype=np.uint8)
    canvas, frame = letterbox(wide, width=64, height=64)
    assert frame == Frame(left=0, top=16, width=64, height=32)
    assert canvas.shape == (64, 64)
    assert np.unique(canvas[16:48]).tolist() == [255]
    assert np.unique(np.delete(canvas, range(16, 48), axis=0)).tolist() == [114]


def test_picture_of_the_models_size_is_not_touched():
    gray = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    canvas, frame = letterbox(gray, width=64, height=64)
    assert (canvas == gray).all()
    assert frame == Frame(0, 0, 64, 64)


def test_tensor_is_the_picture_in_0_to_1_once_for_each_channel():
    gray = np.array([[0, 51], [102, 255]], dtype=np.uint8)
    tensor, _ = prepare(Picture("a1", png(gray)), Shape(3, 2, 2))
    assert tensor.dtype == np.float32
    assert tensor.shape == (1, 3, 2, 2)
    assert np.allclose(tensor, gray / 255)


@pytest.mark.parametrize("data", [b"", b"not a picture", png(np.zeros((64, 64), dtype=np.uint8))[:60]])
def test_picture_that_cannot_be_decoded_is_an_error_that_names_it(data):
    with pytest.raises(DetectorError, match=r"image a1: .*decoded") as failed:
        prepare(Picture("a1", data), Shape(1, 64, 64))
    assert failed.value.kind == "picture"


@given(
    width=st.integers(10, 300),
    height=st.integers(10, 300),
    box=st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.floats(0.05, 0.2), st.floats(0.05, 0.2)),
)
def test_box_in_the_input_becomes_the_same_box_in_the_picture(width, height, box):
    frame = letterbox(np.zeros((height, width), dtype=np.uint8), width=64, height=48)[1]
    x, y, w, h = box
    in_input = (frame.left + x * frame.width, frame.top + y * frame.height, w * frame.width, h * frame.height)
    (said,) = decode(answer((3, 0.9, in_input)), frame, min_confidence=0.25).cxcywh_norm
    assert np.abs(said - box).max() < 1e-9


def test_detections_come_with_the_most_confident_first():
    values = answer((3, 0.6, (55, 65, 40, 16)), (0, 0.95, (56, 35, 12, 14)), (8, 0.2, (30, 50, 5, 5)))
    assert found(values) == [(0, 0.95, 0.56, 0.35, 0.12, 0.14), (3, 0.6, 0.55, 0.65, 0.4, 0.16)]


def test_one_box_may_have_two_classes():
    values = answer((10, 0.8, (20, 70, 10, 10)))
    values[0, 4 + 11, 0] = 0.7
    assert [row[:2] for row in found(values)] == [(10, 0.8), (11, 0.7)]


def test_suppression_is_within_a_class_only():
    box, beside = (50, 50, 20, 20), (51, 50, 20, 20)
    assert [row[:2] for row in found(answer((3, 0.9, box), (3, 0.8, beside), (4, 0.7, beside)))] == [(3, 0.9), (4, 0.7)]


def test_fifteenth_class_is_no_detection_and_no_doubt():
    said = decode(answer((14, 0.9, (50, 50, 20, 20)), classes=15), WHOLE, min_confidence=0.25)
    assert len(said.class_ids) == 0
    assert said.highest_score == 0


def test_highest_score_is_that_of_all_candidates_also_below_the_threshold():
    said = decode(answer((3, 0.2, (50, 50, 20, 20)), (4, 0.1, (50, 50, 20, 20))), WHOLE, min_confidence=0.25)
    assert len(said.class_ids) == 0
    assert said.highest_score == pytest.approx(0.2)


def test_boxes_are_cut_at_the_pictures_edge_and_dropped_in_the_padding():
    frame = Frame(left=0, top=20, width=100, height=60)
    values = answer((3, 0.9, (0, 50, 20, 12)), (4, 0.9, (50, 8, 10, 10)))
    assert found(values, frame=frame) == [(3, 0.9, 0.05, 0.5, 0.1, 0.2)]


def test_a_model_that_sees_everything_everywhere_is_answered_in_bounded_time():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(0, 100, (4, 20_000)), rng.uniform(0.5, 1, (14, 20_000))])[None]
    assert len(found(values)) == 300


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(np.zeros((1, 9, 10)), id="rows"),
        pytest.param(np.zeros((18, 10)), id="no batch"),
        pytest.param(np.zeros((2, 18, 10)), id="two pictures"),
        pytest.param(np.full((1, 18, 10), np.nan), id="nan"),
        pytest.param(answer((3, np.inf, (1, 1, 1, 1))), id="infinite score"),
        pytest.param(answer((3, 0.5, (np.inf, 1, 1, 1))), id="infinite box"),
        pytest.param(answer((3, 4.2, (1, 1, 1, 1))), id="logits"),
        pytest.param(answer((3, -4.2, (1, 1, 1, 1))), id="negative logits"),
    ],
)
def test_answer_that_is_none_is_an_error(broken):
    with pytest.raises(DetectorError, match="answer") as failed:
        decode(broken, WHOLE, min_confidence=0.25)
    assert failed.value.kind == "answer"


def test_model_without_anchors_finds_nothing():
    assert found(np.zeros((1, 18, 0))) == []


@given(data=st.data(), count=st.integers(0, 40), max_iou=st.sampled_from([0.31, 0.47, 0.63]))
def test_suppression_is_that_of_supervision(data, count, max_iou):
    side, place = st.integers(5, 40), st.integers(0, 60)
    rows = data.draw(st.lists(st.tuples(place, place, side, side, st.integers(0, 3)), min_size=count, max_size=count))
    scores = data.draw(st.permutations([0.3 + 0.6 * rank / 40 for rank in range(count)]))
    corners = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], dtype=float).reshape(-1, 4)
    classes = np.array([row[4] for row in rows], dtype=float)
    values = np.zeros((1, 18, count))
    values[0, :4] = boxes.xyxy_to_cxcywh(corners).T
    values[0, 4 + classes.astype(int), np.arange(count)] = scores

    kept = sv.detection.utils.iou_and_nms.box_non_max_suppression(
        np.column_stack([corners, scores, classes]), iou_threshold=max_iou
    ) if count else np.zeros(0, dtype=bool)  # fmt: skip
    expected = sorted(zip(np.array(scores)[kept], classes[kept], strict=True), reverse=True)
    assert [row[:2] for row in found(values, max_iou=max_iou)] == [(c, round(s, 3)) for s, c in expected]
