"""Overview: green is what was proved, red what is wrong, gray what a glance cannot tell; a reader is a reader."""

import base64
import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import made_up
import taxonomies
import written_loop
from app_pages import OF_DATASET, choose, opened, said
from radloop import manifest, sums, tree
from radloop.catalog import heldout, version
from radloop.dashboard import layout, loading, soundness
from radloop.dashboard.loading import Dataset
from radloop.measures import counts
from radloop.options import Dashboard, Etl
from radloop.pipelines import offline
from radloop.split_sizes import SplitSizes
from radloop.tables import ANNOTATIONS, HELDOUT, MANIFEST
from taxonomies import VINDR

WANTED = {"training": 4, "test": 2, "production": 2}
EIGHT = "tttteepp"  # as WANTED has it
SPLIT = {"t": "training", "e": "test", "p": "production"}
HEART = (0.25, 0.5, 0.75, 0.75)


def row(image_id: str, rad_id: str = "R1", **changes: object) -> dict[str, object]:
    """One row of ANNOTATIONS: cardiomegaly that the reader saw."""
    edges = dict(zip(("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm"), HEART, strict=True))
    told = {
        "class_id": 3,
        "class_name": "Cardiomegaly",
        "width": 100,
        "height": 100,
        "md5": image_id,
        "phash": "0" * 16,
    }
    marks = {"split": "training", "group": image_id, "used": True, "source": "reader", "final": False}
    return {"image_id": image_id, "rad_id": rad_id, **edges, **told, **marks, **changes}


def dataset(root: Path, *rows: dict[str, object], proof: dict[str, object] | None = None, **changes: object) -> Dataset:
    """A dataset of these rows; `proof` is what its splits.json holds."""
    (root / tree.PROOF).write_bytes(tree.json_file(proof or {}))
    table = pl.DataFrame(rows, schema=ANNOTATIONS)
    kept = {"manifest": None, "wanted": WANTED, "summary": {}, "refused": pl.DataFrame({"reason": [], "rows": []})}
    key = ((str(root), hash(str(rows) + str(proof) + str(changes)), 0),)
    return Dataset(key=key, root=root, taxonomy=VINDR, rows=table, written=datetime.now(UTC), **{**kept, **changes})


def images(splits: str, groups: str | None = None) -> list[dict[str, object]]:
    """An image in each of the splits (by letter); its group is the letter in `groups`, else its own."""
    return [
        row(f"i{place}", split=SPLIT[letter], group=f"i{place}" if groups is None else groups[place])
        for place, letter in enumerate(splits)
    ]


def about(found: Dataset, word: str) -> list[tuple[str, str]]:
    return [(check.verdict, check.says) for check in soundness.checks(found) if word in check.says]


def moves(*image_ids: str) -> list[dict[str, str]]:
    return [{"image_id": one, "from": "production", "to": "training"} for one in image_ids]


def test_splits_as_wanted_are_proved(tmp_path):
    assert about(dataset(tmp_path, *images(EIGHT)), "split has") == [
        ("proved", "every split has the images it was to have")
    ]


def test_what_retraining_moved_is_what_was_meant(tmp_path):
    proof = {"continues": True, "moves": moves("i6")}
    ((verdict, says),) = about(dataset(tmp_path, *images("tttteetp"), proof=proof), "training")
    assert verdict == "proved"
    assert "training +1 from production by re-training, as was meant" in says


def test_moves_of_two_rounds_are_what_was_meant(tmp_path):
    proof = {"continues": True, "moves": moves("i6"), "moved_before": moves("i7")}
    ((verdict, says),) = about(dataset(tmp_path, *images("tttteett"), proof=proof), "training")
    assert (verdict, "training +2" in says) == ("proved", True)


def test_difference_that_no_move_explains_is_wrong(tmp_path):
    ((verdict, says),) = about(dataset(tmp_path, *images("tttteett"), proof={"moves": moves("i6")}), "differ")
    assert verdict == "wrong"
    assert "training +2, production -2, of which re-training moved 1 from production to training" in says


def test_difference_of_a_version_that_continues_another_is_as_it_is(tmp_path):
    ((verdict, says),) = about(dataset(tmp_path, *images("ttttteep"), proof={"continues": True}), "differ")
    assert verdict == "as it is"
    assert "training +1, production -1; this version continues another" in says


@pytest.mark.parametrize(("splits", "verdict"), [("ttttteep", "as it is"), ("tttttttp", "wrong")])
def test_difference_within_the_largest_group_is_as_it_is(splits, verdict, tmp_path):
    assert about(dataset(tmp_path, *images(splits, "aacdefgh")), "differ")[0][0] == verdict


def test_groups_of_one_image_prove_nothing_of_patients(tmp_path):
    assert about(dataset(tmp_path, *images(EIGHT)), "group") == [
        (
            "cannot tell",
            "every group is one image: the source names no patients, so that no patient is in two splits is not known; "
            "near-duplicates are the only groups, and there is none",
        )
    ]


def test_groups_of_several_images_are_proved_and_patients_are_not(tmp_path):
    found = about(dataset(tmp_path, *images(EIGHT, "aacdeegh")), "group")
    assert found[0] == ("proved", "2 groups of several images (4 images), none in two splits")
    assert found[1][0] == "cannot tell"
    assert found[1][1].startswith("the source names no patients")


@pytest.mark.parametrize(("patients", "verdict"), [(("p1", "p2"), "proved"), (("p1", None), "cannot tell")])
def test_patients_that_the_source_names_are_proved(patients, verdict, tmp_path):
    memory = pl.DataFrame(
        {
            "image_id": ["i4", "i5"],
            "split": ["test"] * 2,
            "group": ["i4", "i5"],
            "md5": ["i4", "i5"],
            "patients": patients,
        }
    ).match_to_schema(HELDOUT, missing_columns="insert")
    (tmp_path / tree.HELDOUT).write_bytes(heldout.encode(memory))
    ((found, says),) = about(dataset(tmp_path, *images(EIGHT)), "patient")
    assert found == verdict
    assert ("for 1 of 2 held-out images" in says) == (verdict == "cannot tell")


def test_group_in_two_splits_is_wrong(tmp_path):
    assert about(dataset(tmp_path, *images(EIGHT, "abcdadgh")), "group") == [
        ("wrong", "2 of 6 groups of images are in two splits")
    ]


def test_table_that_the_manifest_lists_and_that_is_missing_is_wrong(tmp_path):
    out = written_loop.run(tmp_path / "out", taxonomies.SPINE)
    (out.dataset / tree.ANNOTATIONS).unlink()
    checks = soundness.checks(loading.dataset(out.dataset))
    assert [check.says for check in checks if check.verdict == "wrong"] == [
        "annotations.parquet, which the manifest lists, is missing"
    ]


def test_three_verdicts_have_three_colours(tmp_path):
    out = written_loop.run(tmp_path / "out", taxonomies.SPINE)
    text = said(opened("overview", out))
    assert ":green[proved] — every split has the images it was to have" in text
    assert ":gray[cannot tell] — every group is one image" in text
    assert "WRONG" not in text


LOOP = (
    *(row(image_id, rad_id) for image_id in ("a", "b") for rad_id in ("R1", "R2", "R10")),
    row("a", "S-R1", source="simulated-review"),
    row("a", "reader-7", source="review"),
    row("b", "R2", source="review"),  # a reader who reviews, too
    row("b", "M-tiny", source="prediction", used=False),
    row("c", "M-tiny", source="prediction"),
)


def test_readers_are_the_source_s_and_reviewers_stand_apart(tmp_path):
    found = dataset(tmp_path, *LOOP)
    assert layout.readers(found) == counts.totals(found.labels)["readers"] == 3
    assert layout.who_read(found) == "3 readers and 1 reviewer (not counted: 1 simulated reviewer and 1 model)"


def test_labels_in_use_are_counted_by_who_made_them_and_what_is_set_aside_apart(tmp_path):
    found = dataset(tmp_path, *LOOP)
    assert counts.origins(found.rows).rows() == [
        ("reader", 6, 6, 0),
        ("reviewer", 2, 2, 0),
        ("simulated reviewer", 1, 1, 0),
        ("model", 1, 1, 1),
    ]
    assert counts.totals(found.labels)["boxes"] == 10


def test_only_persons_see_a_class(tmp_path):
    seen = counts.classes(pl.DataFrame(LOOP, schema=ANNOTATIONS), VINDR).filter(class_id=3).row(0, named=True)
    assert (seen["images"], seen["rows"], seen["seen_by_2"], seen["seen_by_3"]) == (3, 11, 2, 2)


def write(out: Path, rows: tuple[dict[str, object], ...]) -> Dashboard:
    """The rows as a dataset in a folder."""
    root = out / "organized"
    root.mkdir(parents=True)
    files = {
        tree.ANNOTATIONS: version.encode(pl.DataFrame(rows, schema=ANNOTATIONS), VINDR),
        tree.PROOF: tree.json_file({"wanted": {"training": 3}}),
    }
    summary = {"classes": list(VINDR.names), "version": manifest.version(MANIFEST.to_frame()), "source": "folder"}
    files[tree.SUMMARY] = tree.json_file(summary)
    listed = []
    for name, data in files.items():
        (root / name).write_bytes(data)
        listed.append((name, "table", None, None, None, len(data), *sums.of(data)))
    (root / manifest.NAME).write_bytes(manifest.encode(pl.DataFrame(listed, schema=MANIFEST, orient="row")))
    return Dashboard(out=out, dataset=root)


@pytest.mark.slow
def test_every_page_counts_the_same_readers_and_the_labels_in_use(tmp_path):
    out = write(tmp_path / "out", LOOP)
    in_use = (
        "Counted are the labels in use, 10 boxes: 6 boxes in 6 readings of readers, 2 boxes in 2 reviews, 1 box in "
        "1 simulated review, 1 box in 1 image labelled by a model. Set aside, in no label: 1 box."
    )
    people = "3 readers and 1 reviewer (not counted: 1 simulated reviewer and 1 model)"
    overview = opened("overview", out)
    assert {metric.label: metric.value for metric in overview.metric}["Readers"] == "3"
    assert people in said(overview)
    assert people in said(opened("readers", out))
    for page in ("overview", "labels", "images", "heatmaps"):
        assert in_use in said(opened(page, out)), page
    listed = opened("images", out).multiselect(key="filter-reader").options
    assert listed == ["R1", "R2", "R10", "M-tiny (model)", "S-R1 (simulated reviewer)", "reader-7 (reviewer)"]


def test_what_was_set_aside_lies_on_the_picture_as_such_and_is_not_shown_at_first(tmp_path):
    out = write(tmp_path / "out", LOOP)
    pills = opened("images", out, image="b").button_group[-1]
    assert pills.options == ["M-tiny (prediction, set aside)", "R1", "R2", "R2 (review)", "R10", "consensus"]
    assert "M-tiny (prediction, set aside)" not in pills.value


@pytest.mark.slow
def test_rounds_one_after_the_other_leave_nothing_red(tmp_path):
    films, out, store = made_up.films(tmp_path / "films"), tmp_path / "out", str(tmp_path / "store")
    sizes = SplitSizes.parse("training=12,validation=4,test=8,staging=4,canary=4,production=8")
    etl = Etl(out=out, source=str(films), sizes=sizes, store=store)
    offline.etl(etl)
    for number in (1, 2):
        rows = version.read(out).annotations
        image_id = rows.filter(split="production")["image_id"].sort()[0]
        table = tmp_path / f"retrain-{number}.csv"
        table.write_text(
            "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,width,height,split,source\n"
            f"{image_id},Cardiomegaly,3,reader-7,300,500,700,800,1024,1024,production,review\n"
        )
        offline.etl(dataclasses.replace(etl, add=table))
        checks = soundness.checks(loading.dataset(out))
        assert [check for check in checks if check.verdict == "wrong"] == []
        assert any(f"training +{number} from production by re-training" in check.says for check in checks)
    assert len(json.loads((out / "organized" / tree.PROOF).read_bytes())["moved_before"]) == 1


@pytest.mark.slow
def test_splits_of_two_images_are_named_and_not_compared(tmp_path):
    rows = [row(f"{split}{number}", rad_id, split=split) for split in ("training", "test") for number in (1, 2)
            for rad_id in ("R1", "R2")]  # fmt: skip
    out = write(tmp_path / "out", tuple(rows))
    few = "n, images: training 2, test 2; fewer than 10 say nothing and are not drawn."
    assert f"Cannot tell: whether the splits are alike. {few}" in said(opened("labels", out)).replace("*", "")
    readers = opened("readers", out)
    assert "Hollow: the class is on fewer than 20 of them, too few for an interval." in said(readers)
    readers.segmented_control[0].set_value("Who read what").run()
    assert f"Cannot tell: whether each split has the same readers. {few}" in said(readers).replace("*", "")
    drift = said(opened("drift", out)).replace("*", "")
    assert "Cannot tell: 2 images in training and 2 images in test answer none of the" in drift
    assert "Cannot tell: 2 images and 2 images with an answer are too few for a test." in drift
    assert "Fewer than 10 images are in training (2), test (2): figures on them say nothing." in said(
        opened("overview", out)
    )
    heat = said(opened("heatmaps", out)).replace("*", "")
    assert "n: 0 boxes on 0 of 2 images." in heat
    assert "Cannot tell: 0 boxes: too few for a pattern." in heat


@pytest.mark.parametrize(("images", "named"), [(8, True), (4, False)], ids=["too many for chance", "as by chance"])
def test_a_reader_who_drew_nothing_is_named_where_others_would_have_drawn(images, named, tmp_path):
    """R1 sees every one of the images, R2 none: in the mean half of them have a finding."""
    nothing = {"class_id": None, "class_name": "No finding"} | dict.fromkeys(
        ("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm")
    )
    rows = [one for n in range(images) for one in (row(f"i{n}", "R1"), row(f"i{n}", "R2", **nothing))]
    text = said(opened("overview", write(tmp_path / "out", tuple(rows))))
    assert (f"Readers who drew no box at all: R2 ({images} images)" in text) == named
    assert ("predicts its label" in text) == named


def test_a_pair_of_readers_with_too_few_common_images_has_no_colour(tmp_path):
    """R1 and R2 have four common images, R3 one with each: agreement on one image is 1 or nothing."""
    rows = [row(f"i{n}", rad_id, split=("training", "test")[n % 2]) for n in range(4) for rad_id in ("R1", "R2")]
    test = choose(opened("readers", write(tmp_path / "out", (*rows, row("i0", "R3")))), 0, "By pair of readers")
    told = said(test).replace("*", "")
    assert "Cannot tell: Cohen's kappa of a pair of readers, (all findings): 3 of 3 pairs have too few to say." in told
    test.selectbox[1].set_value("F1 of boxes").run()
    assert "too few for an interval: 2 of 3 pairs have too few to say." in said(test)
    (chart,) = test.get("plotly_chart")
    cells = json.loads(chart.proto.spec)["data"][0]["z"]
    assert np.isfinite(np.frombuffer(base64.b64decode(cells["bdata"]), cells["dtype"])).sum() == 1
    assert len(test.dataframe[0].value) == 3  # the data have all


def test_images_of_one_patient_are_said_to_count_for_themselves(tmp_path):
    rows = [row(f"i{n}", rad_id, group=f"g{n // 2}", split=("training", "test")[n // 2 % 2])
            for n in range(6) for rad_id in ("R1", "R2")]  # fmt: skip
    out = write(tmp_path / "out", tuple(rows))
    which = "also those in 3 groups of one patient or of near-duplicates (6 images): intervals are narrower"
    for page in ("readers", "drift"):
        assert which in said(opened(page, out)), page
    alone = write(tmp_path / "alone", (row("a"), row("b", split="test")))
    assert "near-duplicates" not in said(opened("drift", alone))


@pytest.mark.slow
@pytest.mark.parametrize("page", OF_DATASET)
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((row("a", split="test"),), id="one image"),
        pytest.param((row("a"), row("b", split="test"), row("c"), row("d", split="test")), id="two images a split"),
        pytest.param((row("a", class_id=None, class_name="No finding", **dict.fromkeys(
            ("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm"))),), id="no box at all"),
        pytest.param((row("a", source="prediction", rad_id="M-tiny"),), id="no reader"),
        pytest.param((row("a", used=False), row("b")), id="an image without a label"),
    ],
)  # fmt: skip
def test_pages_stay_up_and_true_on_next_to_nothing(page, rows, tmp_path):
    test = opened(page, write(tmp_path / "out", rows))
    assert test.error == [] or page == "images"  # which has no picture
    assert "nan" not in said(test).lower().replace("finan", "")
    for view in test.segmented_control[0].options if test.segmented_control else []:
        test.segmented_control[0].set_value(view).run()
        assert [error.message for error in test.exception] == []
