import hashlib
import importlib.util
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from PIL import Image

from made_up_model import HALF, answer, ended, write
from radloop import boxes, detectors
from radloop.detectors.chance import Chance
from radloop.detectors.names import Wishes
from radloop.detectors.onnx import TINY, Onnx
from radloop.errors import DetectorError, TaxonomyError
from radloop.measures import evaluation
from radloop.predictions import Picture
from radloop.sources import synthetic
from radloop.tables import DETECTIONS
from radloop.taxonomy import Taxonomy
from radloop.vindr import canvas
from taxonomies import SPINE, VINDR

HEART = (3, 0.93, (16.0, 20.0, 8.0, 4.0))


def picture(width=64, height=64):
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width), 128, dtype=np.uint8)).save(buffer, "PNG")
    return Picture("a1", buffer.getvalue())


def film(index, *, seed=51):
    known = synthetic.patient(index, seed=seed)
    return Picture(known.image_id, canvas.encode(synthetic.picture(known, side_px=320))), known


@pytest.mark.parametrize(
    ("takes", "classes"),
    [
        pytest.param((1, 1, 32, 32), 14, id="gray"),
        pytest.param((1, 3, 32, 32), 15, id="color, fifteen classes"),
        pytest.param(("batch", 3, 32, 32), 14, id="free batch"),
    ],
)
def test_answer_of_the_model_is_told_in_fractions_of_the_picture(tmp_path, takes, classes):
    detector = Onnx(write(tmp_path / "m.onnx", answer(HEART, classes=classes), takes=takes), VINDR)
    said = detector.predict(picture())
    assert said.class_ids.tolist() == [3]
    assert said.confidences == pytest.approx([0.93])
    assert said.cxcywh_norm.tolist() == [pytest.approx([0.5, 0.625, 0.25, 0.125])]


def test_picture_that_is_not_square_is_letterboxed(tmp_path):
    detector = Onnx(write(tmp_path / "m.onnx", answer(HEART)), VINDR)
    (box,) = detector.predict(picture(width=200, height=100)).cxcywh_norm.tolist()
    assert box == pytest.approx([0.5, 0.75, 0.25, 0.25])


def test_threshold_hides_what_is_less_sure(tmp_path):
    path = write(tmp_path / "m.onnx", answer(HEART))
    said = Onnx(path, VINDR, min_confidence=0.95).predict(picture())
    assert len(said.class_ids) == 0
    assert said.highest_score == pytest.approx(0.93)


@pytest.mark.parametrize("head", ["anchors", "rows"])
def test_less_sure_boxes_are_kept_beside_the_detections(tmp_path, head):
    told = [HEART, (4, 0.25, (8.0, 8.0, 4.0, 4.0)), (5, 0.0625, (8.0, 8.0, 4.0, 4.0)), (6, 0.03, (8.0, 8.0, 4.0, 4.0))]
    rows = ended(*((class_id, score, boxes.cxcywh_to_xyxy(box)) for class_id, score, box in told))
    said = Onnx(write(tmp_path / "m.onnx", answer(*told) if head == "anchors" else rows), VINDR).predict(picture())
    assert said.class_ids.tolist() == [3]
    assert (said.low.class_ids.tolist(), said.low.confidences.tolist()) == ([4, 5], [0.25, 0.0625])
    assert said.low.cxcywh_norm.tolist() == [[0.25, 0.25, 0.125, 0.125]] * 2
    assert said.kept_from == 0.05


def test_boxes_in_another_form_are_told_by_the_detections_alone(tmp_path):
    """Low boxes of a few noisy pictures must not stop a run that has found nothing yet."""
    low = (3, 0.2, (0.5, 0.5, 0.25, 0.25))
    detector = Onnx(write(tmp_path / "m.onnx", answer(low)), VINDR)
    assert [len(detector.predict(picture()).low.class_ids) for _ in range(25)] == [1] * 25


def test_provider_that_runs_it_is_told():
    detector = Onnx(TINY, VINDR)
    assert detector.provider == "CPUExecutionProvider"
    assert detectors.notes(detector) == ("tiny was run by ONNX Runtime's CPUExecutionProvider",)
    assert (detectors.provider(Chance(VINDR)), detectors.notes(Chance(VINDR))) == (None, ())


def test_name_is_the_files_and_version_its_content(tmp_path):
    path = write(tmp_path / "lungs-v2.onnx", answer(HEART))
    detector = Onnx(path, VINDR)
    assert detector.name == "lungs-v2"
    assert detector.version == hashlib.md5(path.read_bytes()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("changes", "way_out"),
    [
        pytest.param({"answer": np.zeros((1, 84, 5))}, "data.yaml", id="eighty classes"),
        pytest.param({"answer": answer(), "takes": (1, 32, 32, 3)}, "one picture", id="channels last"),
        pytest.param({"answer": answer(), "element": HALF}, "without half", id="half precision"),
        pytest.param({"answer": answer(), "inputs": 2}, "2 inputs", id="two inputs"),
    ],
)
def test_model_of_another_shape_is_refused_at_the_start(tmp_path, changes, way_out):
    path = write(tmp_path / "m.onnx", **changes)
    with pytest.raises(DetectorError, match=rf"m\.onnx .*{way_out}"):
        Onnx(path, VINDR)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(DetectorError, match=r"nowhere\.onnx cannot be read: No such file"):
        Onnx(tmp_path / "nowhere.onnx", VINDR)
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(DetectorError, match=r"broken\.onnx is no model that ONNX Runtime"):
        Onnx(tmp_path / "broken.onnx", VINDR)


def test_without_onnx_runtime_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "m.onnx", answer(HEART))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DetectorError, match=r"pip install 'radloop\[onnx\]'"):
        Onnx(path, VINDR)


def test_threads_get_the_answers_that_one_caller_gets():
    detector = Onnx(TINY, VINDR, min_confidence=0.05)
    pictures = [film(index)[0] for index in range(12)]
    alone = [detector.predict(one) for one in pictures]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(detector.predict, pictures))
    for one, other in zip(alone, together, strict=True):
        assert one.class_ids.tolist() == other.class_ids.tolist()
        assert np.allclose(one.cxcywh_norm, other.cxcywh_norm, atol=1e-6)


@pytest.mark.slow
def test_tiny_model_is_clearly_better_than_chance():
    known = [film(index, seed=53) for index in range(150) if len(synthetic.patient(index, seed=53).classes)]
    images = pl.DataFrame({"image_id": [truth.image_id for _, truth in known]}).with_columns(group="image_id")
    truth = table(
        (truth.image_id, class_id, 1.0, box)
        for _, truth in known
        for class_id, box in zip(truth.classes.tolist(), truth.boxes.tolist(), strict=True)
    )

    def precision(detector):
        said = table(
            (one.image_id, class_id, confidence, box)
            for one, _ in known
            for class_id, confidence, box in zip(*told(detector.predict(one)), strict=True)
        )
        return said, evaluation.average_precision(said, truth, images, VINDR, resamples=2)["ap"][-1]

    said, tiny = precision(Onnx(TINY, VINDR, min_confidence=0.01))
    _, chance = precision(Chance(VINDR))
    assert tiny > 0.4
    assert chance < 0.05
    sure = evaluation.match(said, truth).filter(pl.col("confidence") > 0.9)
    assert len(sure) > 0.25 * len(truth)
    assert sure["correct"].mean() > 0.9


def told(said):
    return said.class_ids.tolist(), said.confidences.tolist(), boxes.cxcywh_to_xyxy(said.cxcywh_norm).tolist()


def table(found):
    """DETECTIONS of (image, class, confidence, corners)."""
    rows = [(image_id, image_id, class_id, confidence, *box) for image_id, class_id, confidence, box in found]
    return pl.DataFrame(rows, schema=DETECTIONS, orient="row")


def test_tiny_model_is_small():
    assert TINY.stat().st_size < 2_000_000


def test_names_in_the_file_decide_which_score_is_whose(tmp_path):
    told = dict(enumerate(["No finding", *reversed(SPINE.names)]))
    path = write(tmp_path / "spine.onnx", answer((1, 0.9, (16, 16, 8, 8)), classes=8), names=told)
    detector = Onnx(path, SPINE)
    assert detector.predict(picture()).class_ids.tolist() == [6]
    assert detector.notes == ()


def test_model_that_suppresses_by_itself_is_read(tmp_path):
    values = ended((6, 0.9, (12, 12, 20, 20)))
    for name, gives in (("fixed", None), ("free", ("batch", 300, 6)), ("all-free", ("batch", "boxes", "row"))):
        path = write(tmp_path / f"{name}.onnx", values, gives=gives, names=dict(enumerate(SPINE.names)))
        said = Onnx(path, SPINE).predict(picture(width=200, height=100))
        assert said.class_ids.tolist() == [6]
        assert said.cxcywh_norm.tolist() == [pytest.approx([0.5, 0.5, 0.25, 0.5])]
        assert said.highest_score == pytest.approx(0.9)


def test_other_names_are_refused_or_renamed(tmp_path):
    told = ["cat", "dog"]
    path = write(tmp_path / "pets.onnx", answer((1, 0.9, (16, 16, 8, 8)), classes=2), names=told)
    with pytest.raises(TaxonomyError, match=r"pets\.onnx has other classes.*'Katze'.*'cat'"):
        Onnx(path, Taxonomy(("Katze", "Hund")))
    renamed = Wishes(renamed={"cat": "Katze", "dog": "Hund"})
    assert Onnx(path, Taxonomy(("Hund", "Katze")), wishes=renamed).predict(picture()).class_ids.tolist() == [0]
    declared = Wishes(declared=Taxonomy(("Katze", "Hund")))
    assert Onnx(path, Taxonomy(("Hund", "Katze")), wishes=declared).predict(picture()).class_ids.tolist() == [0]


def test_names_that_cannot_be_read_stop_unless_others_are_declared(tmp_path, classes):
    path = write(tmp_path / "m.onnx", answer(classes=len(classes)), names="{0: ")
    with pytest.raises(DetectorError, match="--model-classes"):
        Onnx(path, classes)
    assert Onnx(path, classes, wishes=Wishes(declared=classes)).notes == ()


def test_model_without_names_is_taken_by_its_count_and_that_is_noted(tmp_path, classes):
    for count in (len(classes), len(classes) + 1):
        detector = Onnx(write(tmp_path / "m.onnx", answer(classes=count)), classes)
        assert "tells no names" in detector.notes[0]
    with pytest.raises(DetectorError, match=f"scores of {len(classes)} or {len(classes) + 1} classes"):
        Onnx(write(tmp_path / "m.onnx", answer(classes=len(classes) + 2)), classes)


def test_model_that_names_more_than_it_scores_is_refused(tmp_path, classes):
    path = write(tmp_path / "m.onnx", answer(classes=len(classes) + 1), names=list(classes.names))
    with pytest.raises(DetectorError, match=rf"m\.onnx gives .*scores of {len(classes)} classes"):
        Onnx(path, classes)


def test_tiny_model_names_its_classes():
    turned = Taxonomy(tuple(reversed(VINDR.names)))
    here, there = (Onnx(TINY, classes, min_confidence=0.05) for classes in (VINDR, turned))
    assert here.notes == there.notes == ()
    found = 0
    for one, _ in map(film, range(12)):
        said, again = here.predict(one), there.predict(one)
        assert said.confidences.tolist() == again.confidences.tolist()
        assert sorted(VINDR.names[number] for number in said.class_ids) == sorted(
            turned.names[number] for number in again.class_ids
        )
        found += len(said.class_ids)
    assert found > 5
