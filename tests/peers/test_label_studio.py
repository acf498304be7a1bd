"""There and back through a real Label Studio: exported, read by its API, exported by it, imported, and trained on."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import exports
from browser_session import free_port
from radloop.feedback import reviews
from radloop.options import Export, Import, Retrain
from radloop.pipelines import exporting, importing, retraining
from radloop.sources.bundle import Bundle
from radloop.sources.formats import label_studio as format_of_label_studio
from radloop.taxonomy import NOTHING
from taxonomies import VINDR

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import label_studio

pytestmark = pytest.mark.peers

COMMENT = '<TextArea name="comment" toName="image"/></View>'
TEXT = {"id": "t", "type": "textarea", "from_name": "comment", "to_name": "image", "value": {"text": ["rotated"]}}
REJECT = {"id": "c", "type": "choices", "from_name": "picture", "to_name": "image"}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and what Label Studio exports after its images were read in every way there is."""
    out = tmp_path_factory.mktemp("loop")
    exports.organized(out, images=96)
    for name in ("reviews", "organized/retrain"):
        shutil.rmtree(out / name)
    folder = exporting.export(Export(out=out, format="label-studio")).folder
    tasks = json.loads((folder / "tasks.json").read_bytes())
    label_studio.install()
    served = out.parent / "served"
    with label_studio.served(served, free_port()) as server:
        interface = (folder / "label-config.xml").read_text(encoding="utf-8").replace("</View>", COMMENT)
        project = server.ask("/api/projects", {"title": "radloop", "label_config": interface})["id"]
        server.ask(f"/api/projects/{project}/import", tasks)
        there = server.ask(f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
        for number, task in enumerate(sorted(there, key=lambda one: one["id"])):
            read(server, number, task["id"], [item for one in tasks[number]["predictions"] for item in one["result"]])
        exported = {
            name: server.read(f"/api/projects/{project}/export?exportType={name}&download_all_tasks=true")
            for name in ("JSON", "JSON_MIN", "CSV")
        }
    for name, data in exported.items():
        (out / f"back-{name}.{'csv' if name == 'CSV' else 'json'}").write_bytes(data)
    return out


def read(server: label_studio.LabelStudio, number: int, task: int, shown: list[dict[str, Any]]) -> None:
    """What the one user does with a task: accept, change, empty, reject, skip, leave it, or say it twice."""
    address = f"/api/tasks/{task}/annotations"
    accepted = [{name: item[name] for name in item if name != "score"} for item in shown]
    match number:
        case 0:
            server.ask(address, {"result": accepted, "lead_time": 7.25})
        case 1:
            server.ask(address, {"result": [moved(accepted[0])], "lead_time": 40.5})
        case 2:
            server.ask(address, {"result": [], "lead_time": 3.0})
        case 3:
            server.ask(address, {"result": [REJECT | {"value": {"choices": ["Not readable"]}}, TEXT]})
        case 4:
            server.ask(address, {"result": accepted, "was_cancelled": True})
        case 5:
            server.ask(address, {"result": []})
            server.ask(address, {"result": [moved(accepted[0]), TEXT]})


def moved(item: dict[str, Any]) -> dict[str, Any]:
    return item | {"value": item["value"] | {"x": 10.123456789, "y": 1 / 3, "width": 20.2, "height": 30.3}}


def tasks(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "export" / "label-studio" / "tasks.json").read_bytes())


def test_what_people_did_in_label_studio_comes_back_as_reviews_and_trains(out: Path) -> None:
    done = importing.import_reviews(Import(out=out, file=out / "back-JSON.json", format="label-studio"))
    of = tasks(out)
    print(done)
    assert (done.readings, done.written, done.refused.height, done.unread) == (6, 6, 0, len(of) - 5)
    told = reviews.read(out / "reviews", VINDR)
    assert told.refused.is_empty()
    table = told.reviews.sort("image_id", "timestamp")
    assert table.select("image_id", "feedback_id", "verdict", "comment", "seconds_total").rows() == [
        (*(of[place]["data"][name] for name in ("image_id", "feedback_id")), *said)
        for place, *said in (
            (0, "accept", None, 7.25),
            (1, "correct", None, 40.5),
            (2, "normal", None, 3.0),
            (3, "reject", "rotated", None),
            (5, "normal", None, None),
            (5, "correct", "rotated", None),
        )
    ]
    assert table["reviewer"].n_unique() == 1
    assert table["previous"].to_list()[5] == table["review_id"].to_list()[4]
    drawn = told.findings.join(table.select("file", "image_id", "verdict"), on="file")
    (found,) = drawn.filter(image_id=of[1]["data"]["image_id"]).select("^.*_norm$").rows()
    assert found == pytest.approx((0.10123456789, 1 / 300, 0.30323456789, 1 / 300 + 0.303), abs=1e-6)
    accepted = drawn.filter(verdict="accept").select("^.*_norm$").sort("x_min_norm").rows()
    boxes = sorted(
        (value["x"] / 100, value["y"] / 100, (value["x"] + value["width"]) / 100, (value["y"] + value["height"]) / 100)
        for value in (item["value"] for item in of[0]["predictions"][0]["result"])
    )
    assert [edge for box in accepted for edge in box] == pytest.approx(
        [edge for box in boxes for edge in box], abs=1e-6
    )
    print(
        "largest difference",
        max(abs(a - b) for one, two in zip(accepted, boxes, strict=True) for a, b in zip(one, two, strict=True)),
    )

    again = importing.import_reviews(Import(out=out, file=out / "back-JSON.json", format="label-studio"))
    assert (again.written, again.known) == (0, 6)
    trained = retraining.retrain(Retrain(out=out, store=str(out / "store"), require_review=True))
    assert trained.report["reviews_used"] == 5
    rows = pl.read_csv(out / "organized" / "retrain" / "retrain.csv").filter(image_id=of[2]["data"]["image_id"])
    assert rows["class_name"].to_list() == [NOTHING]


def test_the_same_export_is_a_source_of_labels(out: Path) -> None:
    labels = format_of_label_studio.read(Bundle(out / "back-JSON.json"))
    of = tasks(out)
    assert labels.rejected.is_empty()
    by_image = dict(labels.rows.group_by("image_id").agg("class_name").iter_rows())
    assert by_image == {
        of[0]["data"]["image_id"]: [item["value"]["rectanglelabels"][0] for item in of[0]["predictions"][0]["result"]],
        of[1]["data"]["image_id"]: of[1]["predictions"][0]["result"][0]["value"]["rectanglelabels"],
        of[2]["data"]["image_id"]: [NOTHING],
        of[5]["data"]["image_id"]: of[5]["predictions"][0]["result"][0]["value"]["rectanglelabels"],
    }


@pytest.mark.parametrize("name", ["back-JSON_MIN.json", "back-CSV.csv"])
def test_the_exports_that_cannot_tell_are_refused(out: Path, name: str) -> None:
    with pytest.raises(Exception, match="Export the project as JSON"):
        format_of_label_studio.read(Bundle(out / name))
