"""A detector that is shown pictures of another recipe than it was trained on is told of before its first prediction."""

import json
import logging

import pytest

import dicom_folder
from made_up_model import answer, write
from radloop.detectors import recipes
from radloop.detectors.chance import Chance
from radloop.detectors.onnx import Onnx
from radloop.errors import UsageError
from radloop.options import Etl, Simulate
from radloop.pipelines import offline, online
from radloop.recipe import Recipe
from radloop.split_sizes import SplitSizes
from taxonomies import VINDR

HEART = (3, 0.93, (16.0, 20.0, 8.0, 4.0))
OWN, OTHER = str(Recipe()), str(Recipe("window:40/400", 512))


class Model:
    """A detector that tells a recipe, or none."""

    name, version = "mine", "1"

    def __init__(self, recipe):
        self.recipe = recipe


@pytest.mark.parametrize(
    ("told", "shown", "level", "words"),
    [
        pytest.param(OWN, [OWN, OWN], None, None, id="the same"),
        pytest.param(OWN, [OWN, OTHER], "WARNING", (OWN, OTHER, "differ"), id="another"),
        pytest.param(OWN, [OTHER, None], "WARNING", (OWN, OTHER), id="another, and some that came as pictures"),
        pytest.param(OWN, [None], "INFO", (OWN, "not known"), id="pictures of none"),
        pytest.param(None, [OWN, OWN], "INFO", (OWN, "does not tell", "--model-recipe"), id="a model of none"),
        pytest.param(None, [None], None, None, id="neither tells one"),
    ],
)
def test_what_is_said_names_both_recipes_and_is_said_once(told, shown, level, words, caplog):
    with caplog.at_level(logging.INFO, "radloop"):
        said = recipes.say(Model(told), shown)
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [(level, text) for text in said]
    assert len(said) == (words is not None)
    assert all(word in said[0] for word in words or ())


def test_user_says_the_recipe_of_a_model_that_tells_none(caplog):
    said = Recipe.parse(OTHER)
    assert recipes.say(Model(None), [OTHER], said=said) == ()
    assert OWN in recipes.say(Model(None), [OWN], said=said)[0]
    with pytest.raises(UsageError, match="mine itself tells"):
        recipes.say(Model(OWN), [OWN], said=said)


def test_detector_that_looks_at_no_picture_has_no_recipe():
    assert recipes.say(Chance(VINDR, seed=0, inference_ms=0), [OWN]) == ()


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("vinbigdata,size=512", str(Recipe("vinbigdata", 512))),
        (OTHER, OTHER),
        ("of another program", "ofanotherprogram"),
    ],
)
def test_onnx_file_tells_its_recipe(tmp_path, text, recipe):
    assert Onnx(write(tmp_path / "m.onnx", answer(HEART), recipe=text), VINDR).recipe == recipe
    assert Onnx(write(tmp_path / "n.onnx", answer(HEART)), VINDR).recipe is None


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A dataset of DICOM files, published."""
    place = tmp_path_factory.mktemp("hospital")
    dicom_folder.labelled(place, 12)
    sizes = SplitSizes(training=7, validation=1, test=1, staging=1, canary=1, production=1)
    out = dicom_folder.keyed(place / "out")
    offline.run(Etl(source=f"dicom:{place}", out=out, sizes=sizes, jobs=1, recipe=Recipe("minmax", 64)))
    return place / "out" / "store"


def simulate(store, out, model, **more):
    asked = {"detector": f"onnx:{model}", "splits": ("test", "production"), "load_pattern": "1", "stage_seconds": 0.3}
    return online.simulate(Simulate(store=str(store), out=out, **asked, **more))


def test_simulator_warns_before_the_first_prediction_and_feedback_says_the_recipe(store, tmp_path, caplog, monkeypatch):
    model = write(tmp_path / "m.onnx", answer(HEART), recipe=OWN)
    before = []
    real = Onnx.predict
    monkeypatch.setattr(Onnx, "predict", lambda *given: before.append(len(caplog.records)) or real(*given))

    done = simulate(store, tmp_path / "out", model)

    shown = str(Recipe("minmax", 64))
    assert before[:1] == [1]
    assert {OWN, shown} <= set(done.notes[0].replace(":", "").replace(", and", "").split())
    first = json.loads(done.log.read_text().splitlines()[0])
    assert (first["event"], first["notes"]) == ("start", [done.notes[0]])
    told = [json.loads(path.read_text())["recipe"] for path in done.feedback.glob("*.json")]
    assert set(told) == {shown}


def test_dry_run_warns_too_and_the_same_recipe_is_nothing_to_say(store, tmp_path):
    model = write(tmp_path / "m.onnx", answer(HEART))
    same = simulate(store, tmp_path / "out", model, dry_run=True, model_recipe=Recipe("minmax", 64))
    assert not [note for note in same.notes if "recipe" in note]
    other = simulate(store, tmp_path / "out", model, dry_run=True, model_recipe=Recipe())
    assert "was trained on pictures made by the recipe" in other.notes[0]
