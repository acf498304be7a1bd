"""`--policy calibrated` in a whole loop: one rule for the command, the report, explain, evaluate and the dashboard."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

import exports
import written_loop
from app_pages import opened, said
from radloop import manifest, tree
from radloop.catalog import proven, rule
from radloop.dashboard import loading
from radloop.dataset import additions
from radloop.errors import FeedbackError
from radloop.options import Evaluate, Explain, Export, Retrain
from radloop.pipelines import evaluating, explaining, exporting, retraining
from radloop.pipelines.explaining import Node
from radloop.taxonomy import Taxonomy

pytestmark = pytest.mark.slow

SPOT = Taxonomy(("Spot",))
WISH = {"policy": "calibrated", "precision": 0.5}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A loop of one class, after a round by the policy."""
    inputs = written_loop.run(tmp_path_factory.mktemp("loop") / "out", SPOT, images=144)
    _mistake(inputs.feedback)
    shutil.rmtree(inputs.retrain.parent)  # what stands there is no unit
    retraining.retrain(Retrain(out=inputs.out, **WISH))
    return inputs


def _mistake(feedback: Path) -> None:
    """Move the boxes of validation images that are not above 0.5 to where nothing is."""
    for path in feedback.iterdir():
        told = json.loads(path.read_bytes())
        if told["split"] == proven.SPLIT and told["detections"]:
            for box in (*told["detections"], told):
                if box["confidence"] <= 0.5:
                    box["bbox"] = [0.01, 0.01, 0.02, 0.02]
            path.write_text(json.dumps(told))


def unit(inputs) -> Path:
    return inputs.dataset / manifest.RETRAIN


def rows(inputs) -> pl.DataFrame:
    return pl.read_csv(inputs.retrain)


def test_round_has_labels_regions_and_weights_by_thresholds_that_its_report_tells(inputs):
    (spot,) = rule.standing(unit(inputs)).thresholds
    assert (spot.model, spot.model_version, spot.class_id, spot.above, spot.too_few) == ("oracle", "1", 0, 0.5, False)
    said = rows(inputs).filter(source="prediction")
    assert (said.filter(~pl.col("ignore"))["confidence"] > spot.above).all()
    assert said.filter("ignore")["confidence"].is_between(0.25, spot.above).all()
    assert said.filter("ignore").height > 2
    assert said.filter(~pl.col("ignore"))["weight"].is_between(0.01, 1).all()
    report = json.loads((unit(inputs) / tree.REPORT).read_bytes())
    assert report["rows_to_ignore"] == said.filter("ignore").height
    assert report["kept_without_training"]["doubtful-regions"] == said.filter("ignore")["image_id"].n_unique()


def test_image_with_a_region_is_in_no_label_and_is_not_added_and_coco_has_it(inputs, tmp_path):
    table = rows(inputs)
    regions = set(table.filter("ignore")["image_id"])
    labels = {path.name.partition("_")[0] for path in (unit(inputs) / "labels").iterdir()}
    assert labels == set(table.filter("trains")["image_id"])
    assert not labels & regions
    text = pl.read_csv(inputs.retrain, infer_schema=False)
    assert set(additions.training(text)["image_id"]) == labels
    exporting.export(Export(out=inputs.out, format="coco", splits=("retrain",)))
    document = exports.document(inputs.out / "export/coco", "retrain")
    assert {one["image_id"] for one in document["images"]} == labels | regions
    assert sum(one["iscrowd"] for one in document["annotations"]) == table.filter("ignore").height


def test_explain_tells_the_threshold_that_decided(inputs):
    def texts(node: Node) -> list[str]:
        return [node.text, *(text for part in node.parts for text in texts(part))]

    region = rows(inputs).filter("ignore")["image_id"][0]
    told = "\n".join(texts(explaining.explain(Explain(out=inputs.out, asked=region)).tree))
    assert "not above its class's threshold 0.5" in told
    assert "(to ignore)" in told
    label = rows(inputs).filter("trains", source="prediction")["image_id"][0]
    told = "\n".join(texts(explaining.explain(Explain(out=inputs.out, asked=label)).tree))
    assert "; above its class's threshold 0.5" in told
    assert "(prediction, weight " in told


def test_evaluation_takes_the_same_boxes_for_labels(inputs):
    on = {one.split: one for one in evaluating.evaluate(Evaluate(out=inputs.out)).models}
    (spot,) = rule.standing(unit(inputs)).thresholds
    told = on["validation"].pseudo_labels
    assert (told["labels"], told["precision"]) == (spot.boxes, spot.precision)
    assert on["validation"].label_words == "above its class's threshold (precision at least 0.5)"
    (asked,) = (
        one for one in evaluating.evaluate(Evaluate(out=inputs.out, min_confidence=0.9)).models if one.split == "test"
    )
    assert asked.label_words == "above 0.9"


def test_pages_take_the_rule_of_the_round(inputs):
    assert loading.last_rule(inputs.retrain) == rule.standing(unit(inputs))
    page = opened("retraining", inputs)
    assert "radloop retrain --policy calibrated --precision 0.5" in said(page)
    assert "knew nothing" not in said(page)
    assert any("Right above its class's threshold" in one.label for one in opened("detector", inputs).metric)


def test_model_without_held_out_feedback_stops_the_run_and_what_was_there_stays(inputs, tmp_path):
    shutil.copytree(inputs.feedback, tmp_path / "feedback")
    for path in (tmp_path / "feedback").iterdir():
        if json.loads(path.read_bytes())["split"] == proven.SPLIT:
            path.unlink()
    before = exports.tree(unit(inputs))
    with pytest.raises(FeedbackError, match=r"oracle 1 on the split validation.*radloop simulate --splits validation"):
        retraining.retrain(Retrain(out=inputs.out, feedback=tmp_path / "feedback", **WISH))
    assert exports.tree(unit(inputs)) == before
