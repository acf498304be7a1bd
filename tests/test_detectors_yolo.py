import io

import numpy as np
import pytest
import supervision as sv
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from made_up_model import answer, ended
from radloop import boxes, pixels, taxonomy
from radloop.detectors.names import Scores, Wishes, match
from radloop.detectors.yolo import Frame, Shape, check_shapes, decode, letterbox, prepare
from radloop.errors import DetectorError
from radloop.predictions import LOW_CONFIDENCE, Picture
from taxonomies import SPINE, VINDR


def scores_of(classes):
    """A model that tells no names."""
    return match(classes, None, Wishes(), model="m.onnx")


SCORES = scores_of(VINDR)
WHOLE = Frame(left=0, top=0, width=100, height=100)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def found(values, *, frame=WHOLE, scores=SCORES, min_confidence=0.25, **changes):
    said = decode(values, frame, scores, min_confidence=min_confidence, **changes)
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
    assert check_shapes("m.onnx", taken, given, SCORES) == expected


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([1, 11, 8400], id="anchors"),
        pytest.param([1, 12, 8400], id="anchors, with No finding"),
        pytest.param([1, 300, 6], id="end to end"),
        pytest.param(["batch", 300, 6], id="end to end, free batch"),
        pytest.param([-1, -1, 6], id="end to end, free boxes"),
        pytest.param([-1, -1, -1], id="free"),
        pytest.param(["batch", "rows", "anchors"], id="free, as ONNX writes it"),
    ],
)
def test_both_heads_of_seven_classes_are_taken(given):
    assert check_shapes("m.onnx", [1, 3, 640, 640], given, scores_of(SPINE)) == Shape(3, 640, 640)


def test_heads_are_refused_with_what_is_given_and_what_is_needed():
    with pytest.raises(DetectorError) as refused:
        check_shapes("m.onnx", [1, 3, 640, 640], [1, 84, 8400], scores_of(SPINE))
    assert str(refused.value).startswith("m.onnx gives [1, 84, 8400], not [1, 11 or 12, anchors]")
    for words in ("scores of 7 or 8 classes", "[1, N, 6] (x1 y1 x2 y2 confidence class)", "data.yaml"):
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("taken", "given", "way_out"),
    [
        pytest.param([1, 3, 640, 640], [1, 84, 8400], "data.yaml", id="another number of classes"),
        pytest.param([1, 3, 640, 640], [1, 300, 7], "N, 6", id="suppression, of another form"),
        pytest.param([1, 3, 640, 640], [1, 6, 300], "N, 6", id="suppression, turned"),
        pytest.param([1, 3, 640, 640], [1, 84, "anchors"], "data.yaml", id="another number, free anchors"),
        pytest.param([1, 3, 640, 640], [2, 300, 6], "N, 6", id="two pictures"),
        pytest.param([1, 3, 640, 640], [1, 18], "anchors", id="no anchors"),
        pytest.param([8, 3, 640, 640], [8, 18, 8400], "batch=1", id="a fixed batch"),
        pytest.param([1, 640, 640, 3], [1, 18, 8400], "one picture", id="channels last"),
        pytest.param([3, 640, 640], [18, 8400], "one picture", id="no batch"),
        pytest.param([], [], "one picture", id="nothing"),
    ],
)
def test_another_head_is_refused_with_the_way_out(taken, given, way_out):
    with pytest.raises(DetectorError, match=rf"^m\.onnx .*\[.*\].*{way_out}"):
        check_shapes("m.onnx", taken, given, SCORES)


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
    gray = np.repeat([[0, 51], [102, 255]], 6, axis=1).repeat(6, axis=0).astype(np.uint8)
    tensor, _ = prepare(Picture("a1", png(gray)), Shape(3, 12, 12))
    assert tensor.dtype == np.float32
    assert tensor.shape == (1, 3, 12, 12)
    assert np.allclose(tensor, gray / 255)


def test_sixteen_bits_are_shown_as_the_eight_that_they_are_of():
    """As in the case full-sixteen-bits: Pillow alone makes them white."""
    gray = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    eight, sixteen = Picture("a1", png(gray)), Picture("a1", png(gray.astype(np.uint16) * 257))
    assert (eight.gray == gray).all()
    assert (sixteen.gray == gray).all()
    assert (sixteen.gray == pixels.decode(sixteen.data)).all()  # which is what the picture pass measures
    shape = Shape(1, 40, 50)
    assert (prepare(eight, shape)[0] == prepare(sixteen, shape)[0]).all()


def test_low_values_of_sixteen_bits_do_not_wrap():
    rising = np.linspace(0, 65_535, 40 * 50).reshape(40, 50).astype(np.uint16)
    assert (Picture("a1", png(rising)).gray == rising >> 8).all()


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
    (said,) = decode(answer((3, 0.9, in_input)), frame, SCORES, min_confidence=0.25).cxcywh_norm
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
    said = decode(answer((14, 0.9, (50, 50, 20, 20)), classes=15), WHOLE, SCORES, min_confidence=0.25)
    assert len(said.class_ids) == 0
    assert said.highest_score == 0


def test_highest_score_is_that_of_all_candidates_also_below_the_threshold():
    said = decode(answer((3, 0.2, (50, 50, 20, 20)), (4, 0.1, (50, 50, 20, 20))), WHOLE, SCORES, min_confidence=0.25)
    assert len(said.class_ids) == 0
    assert said.highest_score == pytest.approx(0.2)


SIDES = st.integers(1, 40)
MANY = st.lists(
    st.tuples(
        st.integers(0, 13), st.floats(0, 1, width=16), st.tuples(st.integers(0, 99), st.integers(0, 99), SIDES, SIDES)
    ),
    min_size=7,
    max_size=40,
)


@given(MANY, st.sampled_from(["anchors", "rows"]))
def test_boxes_below_the_threshold_change_no_byte_of_the_detections(many, head):
    def decoded(least):
        told = [(class_id, score if score > least else 0.0, box) for class_id, score, box in many]
        if head == "anchors":
            return decode(answer(*told), WHOLE, SCORES, min_confidence=0.25)
        corners = [(class_id, score, boxes.cxcywh_to_xyxy(box)) for class_id, score, box in told]
        return decode(ended(*corners), WHOLE, SCORES, min_confidence=0.25)

    with_low, without, every = decoded(0.0), decoded(0.25), decoded(LOW_CONFIDENCE)
    for name in ("class_ids", "confidences", "cxcywh_norm"):
        assert getattr(with_low, name).tobytes() == getattr(without, name).tobytes()
        assert getattr(with_low.low, name).tobytes() == getattr(every.low, name).tobytes()
    assert len(without.low.class_ids) == 0
    assert ((with_low.low.confidences > LOW_CONFIDENCE) & (with_low.low.confidences <= 0.25)).all()
    assert with_low.kept_from == LOW_CONFIDENCE


def test_a_box_is_suppressed_by_a_better_one_on_either_side_of_the_threshold():
    box, beside, away = (50, 50, 20, 20), (51, 50, 20, 20), (20, 20, 9, 9)
    told = [
        (3, 0.9, box),
        (3, 0.2, beside),
        (4, 0.2, box),
        (4, 0.1, beside),
        (4, 0.06, away),
        (4, 0.05, (80, 80, 9, 9)),
    ]
    low = decode(answer(*told, *told), WHOLE, SCORES, min_confidence=0.25).low
    assert (low.class_ids.tolist(), low.confidences.tolist()) == ([4, 4], [0.2, 0.06])


def test_where_more_candidates_were_than_are_looked_at_the_list_is_whole_above_the_last_of_them():
    place = np.arange(2400)
    values = np.zeros((1, 18, 2400))
    values[0, :4] = place % 60 * 1.5 + 1, place // 60 * 2 + 1, np.ones(2400), np.ones(2400)
    values[0, 7] = np.linspace(0.06, 0.24, 2400)
    said = decode(values, WHOLE, SCORES, min_confidence=0.25)
    assert (len(said.class_ids), len(said.low.class_ids)) == (0, 100)
    assert said.kept_from == said.low.confidences[-1] == values[0, 7, -100]
    values[0, :2] = 50  # they suppress each other: one stays, and what it hides is not known
    said = decode(values, WHOLE, SCORES, min_confidence=0.25)
    assert len(said.low.class_ids) == 1
    assert said.kept_from == values[0, 7, -2000]


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
        decode(broken, WHOLE, SCORES, min_confidence=0.25)
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
    values = np.zeros((1, 18, max(count, 7)))  # six are a head of the other kind
    values[0, :4, :count] = boxes.xyxy_to_cxcywh(corners).T
    values[0, 4 + classes.astype(int), np.arange(count)] = scores

    kept = sv.detection.utils.iou_and_nms.box_non_max_suppression(
        np.column_stack([corners, scores, classes]), iou_threshold=max_iou
    ) if count else np.zeros(0, dtype=bool)  # fmt: skip
    expected = sorted(zip(np.array(scores)[kept], classes[kept], strict=True), reverse=True)
    assert [row[:2] for row in found(values, max_iou=max_iou)] == [(c, round(s, 3)) for s, c in expected]


def test_scores_go_to_the_classes_that_have_their_names():
    told = ["No finding", *reversed(SPINE.names)]
    scores = match(SPINE, told, Wishes(), model="m.onnx")
    box = (50, 50, 20, 20)
    values = answer((1, 0.9, box), (7, 0.8, box), (0, 0.95, box), classes=8)
    assert [row[:2] for row in found(values, scores=scores)] == [(6, 0.9), (0, 0.8)]
    assert decode(values, WHOLE, scores, min_confidence=0.25).highest_score == 0.9
    rows = ended((1, 0.9, (40, 40, 60, 60)), (7, 0.8, (40, 40, 60, 60)), (0, 0.95, (40, 40, 60, 60)))
    assert found(rows, scores=scores) == found(values, scores=scores)
    assert decode(rows, WHOLE, scores, min_confidence=0.25).highest_score == 0.9


def test_rows_of_a_model_that_suppresses_are_taken_as_they_are():
    box, beside = (40, 40, 60, 60), (41, 40, 61, 60)
    rows = ended((3, 0.6, box), (3, 0.9, beside), (0, 0.2, box))
    assert found(rows) == [(3, 0.9, 0.51, 0.5, 0.2, 0.2), (3, 0.6, 0.5, 0.5, 0.2, 0.2)]
    assert decode(rows, WHOLE, SCORES, min_confidence=0.95).highest_score == 0.9
    assert found(ended()) == []
    assert decode(ended(), WHOLE, SCORES, min_confidence=0.25).highest_score == 0


def test_both_heads_say_the_same_of_the_same_boxes():
    frame = Frame(left=10, top=20, width=80, height=60)
    corners = [
        (3, 0.9, (5, 30, 50, 50)),
        (8, 0.7, (60, 22, 80, 70)),
        (8, 0.5, (12, 25, 40, 44)),
        (4, 0.9, (40, 2, 60, 9)),
    ]
    centres = [(c, s, ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)) for c, s, (x1, y1, x2, y2) in corners]
    assert found(ended(*corners), frame=frame) == found(answer(*centres), frame=frame) != []


def test_as_many_rows_as_classes_do_not_confuse_the_heads():
    many = scores_of(taxonomy.Taxonomy(tuple(f"c{number}" for number in range(296))))
    assert found(ended((295, 0.9, (40, 40, 60, 60))), scores=many) == [(295, 0.9, 0.5, 0.5, 0.2, 0.2)]


@pytest.mark.parametrize("class_id", [15, -1, 2.5, np.nan, np.inf])
def test_row_of_a_class_that_the_model_cannot_have_is_an_error(class_id):
    with pytest.raises(DetectorError, match="classes other than 0 to 14") as failed:
        found(ended((class_id, 0.9, (40, 40, 60, 60))))
    assert failed.value.kind == "answer"


def test_rows_that_fill_the_tensor_up_may_name_any_class():
    rows = ended((3, 0.9, (40, 40, 60, 60)))
    rows[0, 1:, 5] = -1
    assert [row[:2] for row in found(rows)] == [(3, 0.9)]


@pytest.mark.parametrize(("score", "edge"), [(4.2, 1.0), (-0.5, 1.0), (np.nan, 1.0), (0.5, np.inf)])
def test_row_that_is_none_is_an_error(score, edge):
    with pytest.raises(DetectorError, match="scores outside 0"):
        found(ended((3, score, (0, 0, edge, 1))))


def test_row_outside_the_picture_or_turned_inside_out_is_no_detection():
    frame = Frame(left=0, top=20, width=100, height=60)
    assert found(ended((3, 0.9, (40, 0, 60, 15)), (3, 0.8, (60, 60, 40, 40))), frame=frame) == []


def test_answer_of_another_shape_says_what_is_given_and_needed():
    with pytest.raises(DetectorError, match=r"shape \[1, 84, 10\], not \[1, 11 or 12, anchors\]") as failed:
        found(np.zeros((1, 84, 10)), scores=scores_of(SPINE))
    assert failed.value.kind == "answer"


def test_model_that_names_its_classes_has_as_many():
    scores = Scores(tuple(range(7)), (7,))
    with pytest.raises(DetectorError, match=r"not \[1, 11, anchors\] .*scores of 7 classes"):
        found(np.zeros((1, 12, 10)), scores=scores)


@pytest.mark.parametrize(("shift", "kept"), [(9, 2), (7, 2), (5, 1), (2, 1)])
def test_an_overlap_of_more_than_half_is_suppressed(shift, kept):
    """Boxes of 18 px: shifted by 7 they have an IoU of 0.44, by 5 of 0.57."""
    assert len(found(answer((3, 0.9, (50, 50, 18, 18)), (3, 0.8, (50 + shift, 50, 18, 18))))) == kept


def test_what_is_exactly_at_the_threshold_is_not_told():
    assert found(answer((3, 0.25, (50, 50, 20, 20)))) == found(ended((3, 0.25, (40, 40, 60, 60)))) == []
