"""An export is written as a whole, is the same every time, and leaves the dataset as it was."""

import json
import re
import shutil
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import msgspec
import pytest
import yaml

import exports
from radloop.dataset.export import coco
from radloop.errors import DatasetError
from radloop.feedback import reading, records
from radloop.options import Export
from radloop.pipelines import exporting
from radloop.words import ExportFormat
from taxonomies import VINDR

PAGE = Path(__file__).parent.parent / "docs" / "exporting.md"
FORMATS = ("coco", "webdataset", "parquet", "croissant", "label-studio", "cvat")


@pytest.fixture
def out(tmp_path):
    exports.organized(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", FORMATS)
def test_same_dataset_gives_the_same_bytes_and_stays_as_it_was(out, kind):
    before = exports.tree(out / "organized")
    first = exporting.export(Export(out=out, format=kind))
    written = exports.tree(first.folder)
    assert exporting.export(Export(out=out, format=kind)) == first
    assert exports.tree(first.folder) == written
    assert exports.tree(out / "organized") == before
    assert [path.name for path in first.folder.parent.iterdir()] == [kind]


def test_looking_writes_nothing_and_says_the_same(out):
    before = exports.tree(out)
    looked = exporting.export(Export(out=out, format="coco", dry_run=True))
    assert exports.tree(out) == before
    assert not looked.done
    done = exporting.export(Export(out=out, format="coco"))
    assert (looked.images, looked.boxes, looked.labels) == (done.images, done.boxes, done.labels)


def test_what_is_cut_off_leaves_the_export_before_and_a_second_run_ends_as_an_undisturbed_one(out, monkeypatch):
    chosen = Export(out=out, format="coco")
    folder = exporting.export(chosen).folder
    before = exports.tree(folder)
    whole = exports.tree(exporting.export(Export(out=out, format="coco", labels="consensus")).folder)
    exporting.export(chosen)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(coco.pictures, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            exporting.export(Export(out=out, format="coco", labels="consensus"))
    assert exports.tree(folder) == before
    (folder.parent / ".coco.new" / "annotations").mkdir(parents=True)  # as a kill that nobody catches leaves it
    (folder.parent / ".coco.new" / "annotations" / "instances_test.json").write_text("{")
    exporting.export(Export(out=out, format="coco", labels="consensus"))
    assert exports.tree(folder) == whole


def test_folder_that_is_no_export_is_left_alone(out):
    own = out / "export" / "coco" / "mine.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(DatasetError, match="not an export of radloop"):
        exporting.export(Export(out=out, format="coco"))
    assert own.read_text() == "mine"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        pytest.param(lambda picture: picture.unlink(), "No such file", id="gone"),
        pytest.param(lambda picture: picture.write_bytes(b""), "0 bytes, and the manifest lists", id="emptied"),
        pytest.param(
            lambda picture: picture.write_bytes(bytes(picture.stat().st_size)), "no size in its header", id="zeros"
        ),
    ],
)
def test_picture_that_is_not_what_the_manifest_lists_stops_it(out, damage, sentence):
    damage(next((out / "organized" / "test" / "images").iterdir()))
    with pytest.raises(DatasetError, match=sentence):
        exporting.export(Export(out=out, format="coco"))
    assert not (out / "export" / "coco").exists()


def test_split_without_images_is_named(out):
    exports.organized(out / "few", images=6)
    with pytest.raises(
        DatasetError, match="no image of canary or production to export\\. Choose of training, validation"
    ):
        exporting.export(Export(out=out / "few", format="coco", splits=("training", "canary", "production")))


def test_every_format_is_documented():
    headings = re.findall(r"radloop export --format ([a-z-]+)", PAGE.read_text(encoding="utf-8"))
    assert sorted(set(headings)) == sorted(get_args(ExportFormat)) == sorted(FORMATS)


def test_what_the_page_says_of_coco_runs(out, monkeypatch):
    monkeypatch.chdir(out)
    (out / "data").symlink_to(out)
    exporting.export(Export(out=Path("data"), format="coco"))
    ran: dict = {}
    exec(code("COCO"), ran)
    assert ran["boxes"] == ran["index"].imgToAnns[next(iter(ran["index"].imgs))]


def code(heading: str) -> str:
    """The first Python of a section of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.mark.parametrize("kind", ["label-studio", "cvat"])
def test_people_are_given_what_waits_in_production_with_the_newest_feedback_on_that_picture(out, kind):
    told = reading.read(out / "feedback", VINDR).feedback.filter(split="production").sort("image_id")
    first, second, *_ = told["image_id"]
    for number, (image_id, changes) in enumerate(((first, {}), (second, {"image_md5": "0" * 32}))):
        newer = records.decode((out / "feedback" / f"{image_id}.json").read_bytes(), VINDR, name="")
        changes |= {"feedback_id": f"new{number}", "timestamp": "2026-02-01T00:00:00+00:00"}
        records.write(out / "feedback", msgspec.structs.replace(newer, **changes))
    done = exporting.export(Export(out=out, format=kind))
    assert (done.images, done.notes) == ({"production": 6}, ())
    speaking = exports.feedback_of(done.folder)
    assert speaking == dict(told.select("image_id", "feedback_id").iter_rows()) | {first: "new0"}


@pytest.mark.parametrize("kind", ["label-studio", "cvat"])
def test_image_without_feedback_is_counted(out, kind):
    shutil.rmtree(out / "feedback")
    done = exporting.export(Export(out=out, format=kind))
    assert done.notes[0].startswith("6 images without feedback")
    assert exports.feedback_of(done.folder) == dict.fromkeys(exports.feedback_of(done.folder))


def test_link_to_another_folder_is_followed(out, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "coco"
    (out / "export").mkdir()
    (out / "export" / "coco").symlink_to(elsewhere)
    for _ in range(2):
        done = exporting.export(Export(out=out, format="coco"))
        assert exports.tree(elsewhere) == exports.tree(done.folder)
    assert (out / "export" / "coco").is_symlink()
    assert [path.name for path in elsewhere.parent.iterdir()] == ["coco"]


def test_export_tells_in_its_folder_of_the_boxes_that_are_in_it(out):
    done = exporting.export(Export(out=out, format="cvat"))
    assert (done.folder / "annotations.xml").read_text().count("<box ") == done.boxes
    assert json.loads((done.folder / "export.json").read_bytes())["boxes"] == done.boxes


def test_names_of_any_classes_come_out_as_they_are(tmp_path, classes):
    exports.organized(tmp_path, classes, images=12)
    names = list(classes.names)
    folder = {kind: exporting.export(Export(out=tmp_path, format=kind)).folder for kind in FORMATS}
    assert [one["name"] for one in exports.document(folder["coco"], "test")["categories"]] == names
    card = yaml.safe_load((folder["parquet"] / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    objects = {one["name"]: one for one in card["dataset_info"]["features"][-1]["struct"]}
    assert list(objects["category"]["sequence"]["dtype"]["class_label"]["names"].values()) == names
    described = json.loads((folder["croissant"] / "metadata.json").read_bytes())
    (listed,) = (one["data"] for one in described["recordSet"] if one["name"] == "classes")
    assert [row["classes/class_name"] for row in listed] == [*names, "No finding"]
    interface = ElementTree.parse(folder["label-studio"] / "label-config.xml")
    assert [label.attrib["value"] for label in interface.iter("Label")] == names
    labels = ElementTree.parse(folder["cvat"] / "annotations.xml").iter("label")
    assert [label.findtext("name") for label in labels if label.findtext("type") == "rectangle"] == names
