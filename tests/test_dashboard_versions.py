"""The page Versions: two versions side by side, what it did to the figures, and the rounds."""

import json
from dataclasses import replace

import polars as pl
import pytest

import course_files
import small_loop
import written_loop
from app_pages import choose, opened, said
from radloop import manifest, sums
from radloop.catalog import history, version
from radloop.options import Dashboard
from radloop.vindr.classes import TAXONOMY as VINDR
from test_dashboard_detector import table

FIGURES = "What it did to the figures"


def another(inputs, folder, change, **summary):
    """The dataset of a written loop with other annotations and summary, in a folder of its own."""
    known = version.read(inputs.dataset)
    root = folder / "organized"
    root.mkdir(parents=True)
    files = known.files.filter(kind="image").rows()
    written_loop._documents(root, VINDR, change(known.annotations), files)
    for name, told in (("summary.json", summary),):
        path = root / name
        path.write_text(json.dumps(json.loads(path.read_text()) | told))
    listed = manifest.read(root)
    size = pl.when(pl.col("key") == "summary.json").then((root / "summary.json").stat().st_size).otherwise("bytes")
    (root / manifest.NAME).write_bytes(manifest.encode(listed.with_columns(bytes=size)))
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return written_loop.run(tmp_path_factory.mktemp("loop"), VINDR, images=120)


def moved(annotations):
    """An image of production to training, one of test to validation, one gone, and every box of one class elsewhere."""
    split = (
        pl.when(image_id="image009").then(pl.lit("training"))
        .when(image_id="image018").then(pl.lit("validation"))
        .otherwise("split")
    )  # fmt: skip
    far = pl.when(class_id=3).then(pl.lit(0.02)).otherwise("x_min_norm")
    changed = annotations.with_columns(split=split, x_min_norm=far).filter(pl.col("image_id") != "image010")
    return changed.with_columns(x_max_norm=pl.when(class_id=3).then(pl.lit(0.05)).otherwise("x_max_norm"))


def test_what_moved_and_changed_is_counted_and_a_wrong_move_is_red(made, tmp_path):
    line = json.loads((made.dataset / "summary.json").read_text())
    other = another(made, tmp_path, moved, version="old", lineage="l")
    after = replace(made, compare=other)
    assert version.read(made.dataset).annotations.filter(image_id="image018", split="test").height
    page = opened("versions", after)
    told = {metric.label: metric.value for metric in page.metric}
    assert (told["Images before"], told["Images after"]) == ("119", "120")
    assert (told["Moved to another split"], told["Came"], told["Gone"]) == ("2", "1", "0")
    assert f"old → {line['version']}" in said(page)
    assert "not of one lineage" in said(page)  # the dataset tells none
    both = another(made, tmp_path / "both", lambda same: same, version="new", lineage="l", previous="old")
    page = opened("versions", replace(made, dataset=both, compare=other))
    assert "2 images left a split that an image keeps for ever" in page.error[0].value  # training → production, too
    back = opened("versions", replace(made, dataset=other, compare=both))  # the one that continues the other is later
    assert "old → new" in said(page)
    assert "old → new" in said(back)
    moves = table(page, "before", "after", "images", "allowed")
    assert moves.filter(~pl.col("allowed")).sort("before").rows() == [
        ("training", "production", 1, False),
        ("validation", "test", 1, False),
    ]
    boxes = version.read(made.dataset).annotations.filter(pl.col("image_id") != "image010", class_id=3).height
    changed = table(page, "class_name", "change", "labels").filter(class_name=VINDR.names[3])
    assert dict(changed.select("change", "labels").rows()) == {"added": boxes, "gone": boxes}


def test_same_version_has_nothing_to_tell(made):
    page = opened("versions", replace(made, compare=made.dataset))
    assert "Both are the same version" in said(page)


def test_without_another_version_the_page_begins_with_the_rounds_and_names_the_option(made, tmp_path):
    assert opened("versions", made).segmented_control(key="view").value == "Over the rounds"
    assert "radloop dashboard --compare OTHER" in said(opened("versions", made, view="Two versions"))
    assert "There is no other version at" in said(opened("versions", replace(made, compare=tmp_path / "nowhere")))


def store(made, out, *changes):
    """A store beside a copy of the dataset, which keeps a version for each change of the annotations; their ids."""
    kept, entries = {}, []
    unit = out / "store" / "organized"
    for number, change in enumerate(changes):
        root = another(made, out / f"made{number}", change)
        listed = manifest.read(root).filter(pl.col("image_id").is_null() | (pl.col("image_id") != f"image{number:03}"))
        name = manifest.version(listed)
        summary = json.loads((root / "summary.json").read_text()) | {"version": name, "lineage": "l"}
        files = {key: (root / key).read_bytes() for key in listed.filter(kind="table")["key"]}
        files["summary.json"] = json.dumps(summary).encode()
        taken = [sums.of(files[key]) if key in files else (None, None) for key in listed["key"]]
        both = pl.DataFrame(taken, schema=dict.fromkeys(sums.Sums._fields, pl.String), orient="row")
        objects = history.objects(listed.with_columns(pl.coalesce(both[name], name) for name in both.columns), files)
        for key, data in objects.by_key(name).items():
            (unit / key).parent.mkdir(parents=True, exist_ok=True)
            (unit / key).write_bytes(data)
        kept[name] = objects.kept
        entries.append(course_files.entry(name, number, kept=True))
    (unit / history.NAME).write_bytes(history.encode(history.History(entries=tuple(entries), kept=kept)))
    return list(kept)


def test_two_versions_that_the_store_keeps_are_set_beside_each_other(made, tmp_path):
    first, second = store(made, tmp_path, lambda same: same.filter(pl.col("image_id") != "image010"), moved)
    inputs = Dashboard(out=tmp_path, dataset=made.dataset)
    page = opened("versions", inputs, view="Two versions")
    assert [box.options for box in page.selectbox[:2]] == [
        ["the dataset shown here", second, first],
        [second, first],
    ]
    assert f"{second} → " in said(page)
    page = opened("versions", inputs, view="Two versions", of_version=second, beside=first)
    assert f"{first} → {second}" in said(page)
    told = {metric.label: metric.value for metric in page.metric}
    assert (told["Images before"], told["Moved to another split"], told["Gone"]) == ("119", "2", "0")


def test_store_that_keeps_the_dataset_alone_has_nothing_to_set_beside_it(made, tmp_path):
    own = json.loads((made.dataset / "summary.json").read_text())["version"]
    unit = tmp_path / "store" / "organized"
    (unit / "versions").mkdir(parents=True)
    kept = {own: history.Kept(manifest="0" * 32, documents="0" * 32)}
    (unit / history.NAME).write_bytes(
        history.encode(history.History(entries=(course_files.entry(own),), kept=kept).keeping(kept))
    )
    page = opened("versions", Dashboard(out=tmp_path, dataset=made.dataset), view="Two versions")
    assert "There is no other version on this machine" in said(page)
    assert not page.error


def test_kept_version_that_is_damaged_is_refused_and_the_page_stays_up(made, tmp_path):
    (name,) = store(made, tmp_path, moved)
    path = next((tmp_path / "store" / "organized" / "versions" / name).glob("documents-*"))
    path.write_bytes(path.read_bytes() + b"x")
    page = opened("versions", Dashboard(out=tmp_path, dataset=made.dataset), view="Two versions")
    assert "is not what its name says" in page.error[0].value.replace("\\", "")
    path.unlink()
    page = opened("versions", Dashboard(out=tmp_path, dataset=made.dataset), view="Two versions")
    assert "is not there" in page.error[0].value.replace("\\", "")


def test_every_version_is_listed_with_what_changed(made, tmp_path):
    course_files.published(tmp_path / "organized", *course_files.two_versions())
    page = opened("versions", Dashboard(out=tmp_path))
    first, second = course_files.VERSIONS
    rows = table(page, "version", "what changed").select("version", "action", "kept", "what changed").rows()
    assert rows == [
        (first, "rollback", True, "nothing is known of what changed"),
        (second, "load", True, "10 images added; 4 images moved; 30 labels added; 1 label removed"),
        (first, "load", False, "the first"),
    ]
    assert "2 versions, published 3 times; 2 versions can be brought back (kept)." in said(page)
    assert "radloop pull --version ID" in said(page)
    beside = opened("versions", Dashboard(out=tmp_path, dataset=made.dataset), view="Two versions")
    assert "radloop pull --version ID --out OTHER" in said(beside)


def test_damaged_history_is_refused_and_the_rounds_stay(tmp_path):
    course_files.published(tmp_path / "organized", course_files.entry())
    (tmp_path / "organized" / history.NAME).write_text("{}}")
    page = opened("versions", Dashboard(out=tmp_path))
    assert "history.json is not radloop's, or damaged" in page.error[0].value.replace("\\", "")
    assert "radloop retrain" in said(page)


def test_a_table_alone_can_be_set_beside(made, tmp_path):
    rows = pl.read_csv(made.dataset / "scaled_bounding_boxes.csv")
    path = tmp_path / "older.csv"
    rows.filter(pl.col("image_id") != "image001").write_csv(path)
    page = opened("versions", replace(made, compare=path))
    told = {metric.label: metric.value for metric in page.metric}
    assert (told["Images before"], told["Came"]) == ("119", "1")
    choose(page, 0, FIGURES)
    assert "A table alone does not tell which picture an image is." in said(page)


def test_figures_by_either_truth(made, tmp_path):
    """Boxes of one class lie elsewhere in the older version: by its truth that class is not found."""
    other = another(made, tmp_path, moved, version="old")
    page = opened("versions", replace(made, compare=other), view=FIGURES, of_split="production")
    text = said(page)
    assert "The model is the same; what differs is the truth." in text
    assert "on 28 images" in text  # of 30, without the one that is gone and the one that moved
    told = table(page, "first", "second", "second is")
    heart = told.filter(class_name=VINDR.names[3])
    assert (heart["first"].item(), heart["second"].item()) == (0.0, 1.0)
    rest = told.filter(pl.col("class_id").is_not_null(), pl.col("class_name") != VINDR.names[3])
    assert set(rest["difference"].drop_nulls()) == {0.0}


@pytest.mark.slow
def test_rounds_and_detectors_over_time(tmp_path):
    inputs = small_loop.run(tmp_path)
    page = choose(opened("versions", inputs), 0, "Over the rounds")
    assert "1 round, in the order of the newest feedback or review" in said(page)
    rounds = table(page, "round", "newest", "kept")
    report = json.loads(inputs.retrain.with_name("report.json").read_text())
    assert rounds.select("kept", "withheld", "images").row(0) == (
        report["fates"]["kept"], report["fates"]["withheld"], report["images"]
    )  # fmt: skip
    over_time = table(page, "detector", "ap", "cut")
    assert over_time["detector"].str.starts_with("oracle").all()
    report_of_round = next(inputs.retrain.parent.glob("rounds/*/report.json"))
    report_of_round.write_text("{}")
    page = choose(opened("versions", inputs), 0, "Over the rounds")
    assert "1 report that the manifest does not vouch for" in page.error[0].value


def test_without_rounds_the_page_names_the_command(tmp_path):
    assert "radloop retrain" in said(choose(opened("versions", Dashboard(out=tmp_path)), 0, "Over the rounds"))
