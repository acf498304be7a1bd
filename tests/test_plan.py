"""The plan: every file of a dataset version, decided before anything is written."""

import csv
import hashlib
import io
import json

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop import manifest, sums
from radloop.boxes import xyxy_to_cxcywh
from radloop.dataset import plan, trainer_labels
from radloop.dataset.labelling import Labelling
from radloop.dataset.plan import Account
from radloop.errors import DatasetError, UsageError
from radloop.tables import (
    ANNOTATION_COLUMNS,
    ANNOTATIONS,
    ASSIGNMENT,
    CONSENSUS,
    FINDINGS,
    MANIFEST,
    PICTURES,
    REJECTED,
)
from taxonomies import EVERY, VINDR

HEART = (0.3, 0.5, 0.7, 0.9)
LUNG = (0.1, 0.1, 0.4, 0.6)
NOTHING_LOST = pl.DataFrame(schema={"image_id": pl.String, "rad_id": pl.String})
NOTHING_REJECTED = pl.DataFrame(schema=REJECTED)
WHOLE_PICTURE = "14 0.500000 0.500000 1.000000 1.000000\n"


def finding(image_id="a1", rad_id="R8", class_id=3, box=HEART):
    return (image_id, rad_id, class_id, *(box if class_id is not None else (None,) * 4), 2000, 2500)


def normal(image_id="a1", rad_id="R8"):
    return finding(image_id, rad_id, None)


def table(*rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FINDINGS, orient="row")


def picture_of(image_id: str, suffix=".png") -> dict:
    name = image_id + suffix
    return {"image_id": image_id, "path": f"train/{name}", "bytes": 700, "md5": hashlib.md5(name.encode()).hexdigest()}


def build(
    findings: pl.DataFrame,
    *,
    split="training",
    pictures=None,
    classes=VINDR,
    rejected=NOTHING_REJECTED,
    lost=NOTHING_LOST,
    **labelling,
) -> plan.Plan:
    """A plan of these findings, all of them in one split where `split` is no mapping."""
    image_ids = findings["image_id"].unique().sort().to_list()
    where = split if isinstance(split, dict) else dict.fromkeys(image_ids, split)
    rows = [picture_of(image_id) for image_id in image_ids] if pictures is None else pictures
    known = dict.fromkeys(PICTURES) | {"phash": "0" * 16}
    return plan.build(
        findings,
        pl.DataFrame([known | row for row in rows], schema=PICTURES),
        pl.DataFrame([(i, i, where[i]) for i in image_ids], schema=ASSIGNMENT, orient="row"),
        classes,
        Labelling(**labelling),
        Account(source="folder", settings={"seed": 0}, proof={"seed": 0}, rejected=rejected, lost=lost),
    )


def labels_of(built: plan.Plan) -> dict[str, str]:
    return dict(built.labels.select("key", "text").collect().iter_rows())


def summary_of(built: plan.Plan) -> dict:
    return json.loads(built.documents["summary.json"])


def scaled_rows(built: plan.Plan) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(built.large["scaled_bounding_boxes.csv"].parts()).decode())))


# labels and images


def test_each_reader_has_a_picture_and_a_label_of_the_same_name():
    built = build(table(finding(rad_id="R8"), normal(rad_id="R9")), split="test")
    assert labels_of(built) == {
        "test/labels/a1_R8.txt": "3 0.500000 0.700000 0.400000 0.400000\n",
        "test/labels/a1_R9.txt": "",
    }
    assert built.images.select("key", "source", "bytes").collect().rows() == [
        ("test/images/a1_R8.png", "train/a1.png", 700),
        ("test/images/a1_R9.png", "train/a1.png", 700),
    ]


def test_lines_are_sorted_by_class_and_box_and_none_is_there_twice():
    built = build(table(finding(class_id=10), finding(class_id=2), finding(class_id=2, box=LUNG), finding(class_id=2)))
    assert labels_of(built)["training/labels/a1_R8.txt"].splitlines() == [
        "2 0.250000 0.350000 0.300000 0.500000",
        "2 0.500000 0.700000 0.400000 0.400000",
        "10 0.500000 0.700000 0.400000 0.400000",
    ]


def test_a_jpeg_keeps_its_suffix():
    built = build(table(finding("a1"), finding("b2")), pictures=[picture_of("a1", ".JPEG"), picture_of("b2", ".jpg")])
    assert built.images.collect()["key"].to_list() == ["training/images/a1_R8.jpeg", "training/images/b2_R8.jpg"]


def test_a_name_with_dots_keeps_all_of_them():
    built = build(table(finding("1.2.840")), pictures=[picture_of("1.2.840")])
    assert (
        built.manifest.collect()["key"]
        .str.contains(r"training/(images/1\.2\.840_R8\.png|labels/1\.2\.840_R8\.txt)")
        .sum()
        == 2
    )


def test_a_box_that_overhangs_by_a_pixel_ends_at_the_edge_and_is_counted():
    built = build(table(finding(box=(-0.02, 0.5, 1.02, 1.02)), finding(rad_id="R9")))
    assert labels_of(built)["training/labels/a1_R8.txt"] == "3 0.500000 0.750000 1.000000 0.500000\n"
    assert summary_of(built)["boxes_cut_at_the_edge"] == 1
    annotations = pl.read_parquet(io.BytesIO(built.documents["annotations.parquet"]))
    assert annotations["x_min_norm"][0] == -0.02


def test_no_finding_as_a_class_is_one_box_around_the_whole_picture():
    built = build(table(finding(rad_id="R8"), normal(rad_id="R9")), no_finding="class")
    assert labels_of(built)["training/labels/a1_R9.txt"] == WHOLE_PICTURE
    assert built.documents["classes.txt"].decode().splitlines()[14] == "14 No finding"
    assert len(yaml.safe_load(built.documents["data.yaml"])["names"]) == 15


@pytest.mark.parametrize("no_finding", ["background", "class"])
def test_every_file_names_the_classes_of_the_dataset(classes, no_finding):
    rows = table(finding(class_id=len(classes) - 1), normal(rad_id="R9"))
    built = build(rows, classes=classes, no_finding=no_finding)
    names = list(classes.file_names(with_nothing=no_finding == "class"))
    assert list(yaml.safe_load(built.documents["data.yaml"])["names"].values()) == names
    assert built.documents["classes.txt"].decode().splitlines() == [f"{n} {name}" for n, name in enumerate(names)]
    assert summary_of(built)["classes"] == list(classes.names)
    assert [(int(row["class_id"]), row["class_name"]) for row in scaled_rows(built)] == [
        (len(classes) - 1, classes.names[-1]),
        (len(classes), "No finding"),
    ]
    annotations = pl.read_parquet(io.BytesIO(built.documents["annotations.parquet"]))
    assert annotations["class_id"].to_list() == [len(classes) - 1, len(classes)]
    assert annotations["class_name"].to_list() == [classes.names[-1], "No finding"]
    whole = f"{len(classes)} 0.500000 0.500000 1.000000 1.000000\n"
    assert labels_of(built)["training/labels/a1_R9.txt"] == (whole if no_finding == "class" else "")


def test_two_readings_of_one_file_name_are_an_error():
    with pytest.raises(DatasetError, match=r"would both be the file a_R1_R2"):
        build(table(finding("a", "R1_R2"), finding("a_R1", "R2")))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a1", "b 2", "ü.3"]),
            st.sampled_from(["R8", "R9"]),
            st.none() | st.integers(0, 6),
            st.lists(st.floats(0, 1), min_size=4, max_size=4),
        ),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([{"labels": "per-reader"}, {"labels": "consensus"}, {"judge": "consensus"}]),
    st.sampled_from(["background", "class"]),
    st.sampled_from(list(EVERY.values())),
    st.randoms(use_true_random=False),
)
def test_labels_pass_the_trainers_rules_and_do_not_depend_on_the_order_of_rows(
    rows, kind, no_finding, classes, shuffler
):
    split = {"a1": "training", "b 2": "validation", "ü.3": "test"}
    findings = [
        finding(image_id, rad_id, class_id, (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
        for image_id, rad_id, class_id, (x1, y1, x2, y2) in rows
    ]
    built = build(table(*findings), split=split, classes=classes, **kind, no_finding=no_finding)
    texts = [text.encode() for text in built.labels.collect()["text"]]
    number = len(classes) + (no_finding == "class")
    assert trainer_labels.judge_labels(built.labels.collect()["key"].to_list(), texts, number) == []
    assert built.labels.collect()["md5"].to_list() == [hashlib.md5(text).hexdigest() for text in texts]
    assert built.labels.collect()["bytes"].to_list() == [len(text) for text in texts]

    shuffler.shuffle(findings)
    again = build(table(*findings), split=split, classes=classes, **kind, no_finding=no_finding)
    assert again.version == built.version
    assert again.documents == built.documents
    assert manifest.encode(again.manifest) == manifest.encode(built.manifest)


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=10))
def test_every_number_of_a_label_is_rounded_exactly(corners):
    boxes = [(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)) for x1, y1, x2, y2 in corners]
    built = build(table(*(finding(box=box) for box in boxes)))
    expected = {"3 " + " ".join(f"{number:.6f}" for number in xyxy_to_cxcywh(box)) for box in boxes}
    assert built.labels.collect()["text"][0].splitlines() == sorted(expected)


# re-training data


def test_rows_that_are_not_used_make_no_label_and_stay_in_the_annotations():
    rows = table(finding(rad_id="R8"), finding(rad_id="M-net", class_id=7)).with_columns(used=pl.Series([False, True]))
    built = build(rows)
    assert list(labels_of(built)) == ["training/labels/a1_M-net.txt"]
    annotations = pl.read_parquet(io.BytesIO(built.documents["annotations.parquet"]))
    assert annotations.select("rad_id", "used").rows() == [("M-net", True), ("R8", False)]
    assert [row["rad_id"] for row in scaled_rows(built)] == ["M-net"]
    assert summary_of(built)["total_image_radiologist_combinations"] == 1


# consensus


def three_readers(*classes) -> pl.DataFrame:
    return table(*(finding(rad_id=rad_id, class_id=c) for rad_id, c in zip(("R10", "R8", "R9"), classes, strict=True)))


def consensus_of(built: plan.Plan) -> list[dict]:
    return pl.read_parquet(io.BytesIO(built.documents["consensus.parquet"])).to_dicts()


def test_a_consensus_has_one_label_for_each_image_and_no_reader():
    built = build(three_readers(3, 3, 3), labels="consensus", min_readers=2)
    assert labels_of(built) == {"training/labels/a1.txt": "3 0.500000 0.700000 0.400000 0.400000\n"}
    assert built.images.collect()["key"].to_list() == ["training/images/a1.png"]
    assert built.labels.collect()["rad_id"].to_list() == [None]
    assert summary_of(built)["total_image_radiologist_combinations"] == 3


def test_a_fused_box_keeps_its_readers_support_and_spread():
    built = build(three_readers(3, None, 3), labels="consensus", min_readers=2)
    (box,) = consensus_of(built)
    assert (box["support"], box["readers"], box["rad_ids"], box["kept"]) == (2, 3, ["R10", "R9"], True)
    assert box["spread"] == pytest.approx(0)


def test_classes_are_never_fused_and_a_box_of_too_few_readers_is_told_but_not_written():
    built = build(three_readers(3, 0, None), labels="consensus", min_readers=2)
    assert labels_of(built) == {"training/labels/a1.txt": ""}
    assert [(box["class_id"], box["support"], box["kept"]) for box in consensus_of(built)] == [
        (0, 1, False),
        (3, 1, False),
    ]


def test_a_box_needs_no_more_readers_than_have_read_its_image():
    """Most images are read once, one is read twice: the truth of the others does not hang on that one."""
    rows = table(finding("once"), finding("twice", "R8"), normal("twice", "R9"), finding("both"), finding("both", "R9"))
    built = build(rows, labels="consensus", min_readers=2)
    assert {key: text.count("\n") for key, text in labels_of(built).items()} == {
        "training/labels/once.txt": 1,
        "training/labels/twice.txt": 0,
        "training/labels/both.txt": 1,
    }
    assert {box["image_id"]: box["kept"] for box in consensus_of(built)} == {"once": True, "twice": False, "both": True}


def test_the_consensus_of_normal_readings_is_an_empty_label():
    built = build(three_readers(None, None, None), labels="consensus")
    assert labels_of(built) == {"training/labels/a1.txt": ""}
    assert pl.read_parquet(io.BytesIO(built.documents["consensus.parquet"])).schema == CONSENSUS


def test_a_lost_reading_never_makes_a_normal_consensus():
    lost = pl.DataFrame({"image_id": ["a1", "b2"], "rad_id": ["R9", "R9"]})
    built = build(table(normal("a1"), finding("b2"), normal("c3")), labels="consensus", lost=lost)
    assert list(labels_of(built)) == ["training/labels/b2.txt", "training/labels/c3.txt"]
    assert built.images.collect()["image_id"].to_list() == ["b2", "c3"]
    assert summary_of(built)["readings_lost"] == 2


# judged by another kind of labels than those that train

SIX = {
    "a": "training", "b": "validation", "c": "test", "d": "staging", "e": "canary", "f": "production",
}  # fmt: skip


def read_by_three() -> pl.DataFrame:
    """Two of three see the heart enlarged, one of them something in the lung: of an image in each split."""
    drawn = [(("R8", 3, HEART), ("R9", 3, HEART), ("R9", 7, LUNG), ("R10", None, None)) for _ in SIX]
    return table(*(finding(i, *row) for i, rows in zip(SIX, drawn, strict=True) for row in rows))


def test_training_is_per_reader_and_every_other_split_is_judged_by_its_consensus():
    built = build(read_by_three(), split=SIX, judge="consensus", min_readers=2)
    yamls = {key: yaml.safe_load(data) for key, data in built.documents.items() if key.endswith(".yaml")}
    assert {key: (content["train"], content["val"], content["test"]) for key, content in yamls.items()} == {
        "data.yaml": ("training/images", "validation-consensus/images", "test-consensus/images"),
        "data-staging.yaml": ("training/images", "staging-consensus/images", "test-consensus/images"),
        "data-canary.yaml": ("training/images", "canary-consensus/images", "test-consensus/images"),
        "data-production.yaml": ("training/images", "production-consensus/images", "test-consensus/images"),
    }
    keys = [key for key in labels_of(built) if key.startswith(("training", "validation"))]
    assert keys == [
        "training/labels/a_R10.txt",
        "training/labels/a_R8.txt",
        "training/labels/a_R9.txt",
        "validation-consensus/labels/b.txt",
        "validation/labels/b_R10.txt",
        "validation/labels/b_R8.txt",
        "validation/labels/b_R9.txt",
    ]
    assert labels_of(built)["validation-consensus/labels/b.txt"] == "3 0.500000 0.700000 0.400000 0.400000\n"


def test_consensus_beside_the_readers_files_is_counted_as_what_it_is():
    summary = summary_of(build(read_by_three(), split=SIX, judge="consensus", min_readers=2))
    counted = {name: summary[name] for name in ("total_unique_images", "labels_created", "images_copied")}
    assert counted == {"total_unique_images": 6, "labels_created": 6 * 3 + 5, "images_copied": 6 * 3 + 5}
    assert summary["boxes_written"] == 6 * 3 + 5
    assert summary["judged"] == {"images": 5, "labels": 5, "boxes": 5}
    assert summary["splits"] == dict.fromkeys(summary["splits"], 1)


@pytest.mark.parametrize("labels", ["per-reader", "consensus"])
def test_judging_by_what_trains_changes_no_byte(labels):
    one = build(read_by_three(), split=SIX, labels=labels)
    other = build(read_by_three(), split=SIX, labels=labels, judge=labels)
    assert (one.version, one.documents) == (other.version, other.documents)
    assert one.manifest.collect().equals(other.manifest.collect())


def test_version_without_a_judge_is_the_one_that_it_was_before_there_was_any():
    built = build(
        table(*(row for i in SIX for row in (finding(i), finding(i, "R9", 7, LUNG), normal(i, "R10")))), split=SIX
    )
    assert built.version == "c2002ab2580dc427"
    assert "judged" not in summary_of(built)


def test_consensus_is_not_judged_by_single_readers():
    with pytest.raises(UsageError, match="Leave --judge out"):
        Labelling("consensus", "per-reader")


def test_image_with_a_lost_reading_and_no_box_is_judged_by_nobody():
    """The lost reader may have seen something: no empty consensus, though the readers' files are there."""
    lost = pl.DataFrame({"image_id": ["c"], "rad_id": ["R1"]})
    rows = table(*(normal(image_id) for image_id in SIX))
    built = build(rows, split=SIX, judge="consensus", lost=lost)
    assert "test/labels/c_R8.txt" in labels_of(built)
    assert "test-consensus/labels/c.txt" not in labels_of(built)
    assert "test" not in yaml.safe_load(built.documents["data.yaml"])


@pytest.mark.parametrize(("labelling", "image_id"), [({"judge": "consensus"}, "b"), ({"labels": "consensus"}, "a")])
def test_split_that_no_trainer_would_take_stops_the_run(labelling, image_id):
    lost = pl.DataFrame({"image_id": [image_id], "rad_id": ["R1"]})
    with pytest.raises(DatasetError, match=f"No image of {SIX[image_id]} has a consensus"):
        build(table(*(normal(one) for one in SIX)), split=SIX, lost=lost, **labelling)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(SIX)),
            st.sampled_from(["R8", "R9", "R10"]),
            st.none() | st.integers(0, 2),
            st.sampled_from([HEART, LUNG, (0.12, 0.1, 0.4, 0.62), (0.0, 0.0, 0.05, 0.05)]),
        ),
        max_size=25,
    ),
    st.integers(1, 3),
    st.sampled_from(["background", "class"]),
    st.sets(st.tuples(st.sampled_from(["c", "d", "e", "f"]), st.just("R11"))),
)
def test_each_kind_of_files_is_what_it_is_alone(rows, min_readers, no_finding, gone):
    """Per reader byte for byte what there is without a judge, and of each split the consensus that it would have."""
    own = [finding(*row) for row in rows] + [finding("a", "R8", 1, LUNG), finding("b", "R8", 1, LUNG)]
    lost = pl.DataFrame(sorted(gone), schema=NOTHING_LOST.schema, orient="row")
    told = {"split": SIX, "min_readers": min_readers, "no_finding": no_finding, "lost": lost}
    own_readers, consensus, both = (
        build(table(*own), **told, **kind) for kind in ({}, {"labels": "consensus"}, {"judge": "consensus"})
    )

    def files(built: plan.Plan) -> dict:
        texts = {key: (md5, text) for key, md5, text in built.labels.select("key", "md5", "text").collect().iter_rows()}
        return texts | {
            key: (md5, source) for key, md5, source in built.images.select("key", "md5", "source").collect().rows()
        }

    judged = {key.replace("/", "-consensus/", 1): told for key, told in files(consensus).items()}
    judged = {key: told for key, told in judged.items() if not key.startswith("training")}
    assert files(both) == files(own_readers) | judged
    every = pl.read_parquet(io.BytesIO(consensus.documents["consensus.parquet"]))
    kept = pl.read_parquet(io.BytesIO(both.documents["consensus.parquet"]))
    assert kept.equals(every.filter(pl.col("image_id") != "a"))
    for name in ("annotations.parquet", "classes.txt", "splits.json"):
        assert both.documents[name] == own_readers.documents[name]
    assert scaled_rows(both) == scaled_rows(own_readers)


# documents


def test_every_split_can_be_validated_on_by_a_yaml_of_its_own():
    built = build(table(*(finding(image_id) for image_id in SIX)), split=SIX)
    yamls = {key: yaml.safe_load(data) for key, data in built.documents.items() if key.endswith(".yaml")}
    assert {key: content["val"] for key, content in yamls.items()} == {
        "data.yaml": "validation/images",
        "data-staging.yaml": "staging/images",
        "data-canary.yaml": "canary/images",
        "data-production.yaml": "production/images",
    }
    for content in yamls.values():
        assert set(content) == {"train", "val", "test", "names"}
        assert (content["train"], content["test"]) == ("training/images", "test/images")
        assert content["names"] == dict(enumerate(VINDR.names))


def test_a_split_without_images_has_no_yaml_to_stop_the_trainer():
    built = build(table(finding("a"), finding("b")), split={"a": "training", "b": "validation"})
    assert [key for key in built.documents if key.endswith(".yaml")] == ["data.yaml"]
    assert "test" not in yaml.safe_load(built.documents["data.yaml"])


def test_classes_are_listed_by_number():
    lines = build(table(finding())).documents["classes.txt"].decode().splitlines()
    assert (len(lines), lines[0], lines[13]) == (14, "0 Aortic enlargement", "13 Pulmonary fibrosis")


def test_the_summary_counts_what_was_planned():
    rows = table(finding("a", "R8"), finding("a", "R8", 0), normal("a", "R9"), normal("b", "R9"))
    rejected = pl.DataFrame(
        [{"source": "train.csv", "line": 7, "code": "box-missing", "reason": "x_max is missing"}], schema=REJECTED
    )
    built = build(rows, split={"a": "training", "b": "test"}, rejected=rejected)
    assert summary_of(built) == {
        "total_unique_images": 2,
        "total_image_radiologist_combinations": 3,
        "labels_created": 3,
        "images_copied": 3,
        "splits": {"training": 1, "validation": 0, "test": 1, "staging": 0, "canary": 0, "production": 0},
        "version": built.version,
        "source": "folder",
        "classes": list(VINDR.names),
        "settings": {"seed": 0},
        "boxes_written": 2,
        "boxes_cut_at_the_edge": 0,
        "rows_kept": 4,
        "rows_refused": 1,
        "readings_lost": 0,
        "schema_version": 1,
    }


def test_the_scaled_boxes_give_the_very_same_numbers_again():
    box = (1 / 3, 0.1, 2 / 3, 0.7000000000000001)
    built = build(table(finding(box=box), normal(rad_id="R9")))
    drawn, nothing = scaled_rows(built)
    assert list(drawn) == [*ANNOTATION_COLUMNS, "split"]
    assert tuple(float(drawn[edge]) / 1024 for edge in ("x_min", "y_min", "x_max", "y_max")) == box
    assert (drawn["class_name"], drawn["class_id"], drawn["split"]) == ("Cardiomegaly", "3", "training")
    assert (nothing["class_name"], nothing["x_min"], nothing["y_max"]) == ("No finding", "", "")


def test_annotations_hold_every_finding_with_its_split_group_and_picture():
    built = build(table(finding(), normal(rad_id="R9")), split="canary")
    annotations = pl.read_parquet(io.BytesIO(built.documents["annotations.parquet"]))
    assert annotations.schema == ANNOTATIONS
    assert annotations.select("class_name", "split", "group", "phash", "used").rows() == [
        ("Cardiomegaly", "canary", "a1", "0" * 16, True),
        ("No finding", "canary", "a1", "0" * 16, True),
    ]
    assert annotations["md5"][0] == picture_of("a1")["md5"]


def test_rejected_rows_come_back_as_they_were():
    reason = 'class "heart, big" is unknown'
    row = {
        "source": "train.csv",
        "line": 3,
        "code": "class-unknown",
        "reason": reason,
        "image_id": "x",
        "class_name": "heart, big",
    }
    built = build(table(finding()), rejected=pl.DataFrame([row], schema=REJECTED))
    (read,) = csv.DictReader(io.StringIO(built.documents["rejected.csv"].decode()))
    assert (read["line"], read["code"], read["reason"], read["class_name"], read["x_min"]) == (
        "3",
        "class-unknown",
        reason,
        "heart, big",
        "",
    )


# the manifest


def test_the_manifest_lists_every_file_once_with_size_and_sum():
    built = build(table(finding(), normal(rad_id="R9")), labels="consensus")
    listed = built.manifest.collect()
    assert listed.schema == MANIFEST
    keys = [*built.images.collect()["key"], *built.labels.collect()["key"], *built.documents, *built.large]
    assert listed["key"].to_list() == sorted(keys)
    for key, data in built.documents.items():
        (row,) = listed.filter(key=key).to_dicts()
        assert (row["bytes"], row["md5"], row["sha256"]) == (len(data), *sums.of(data))
    kinds = dict(listed.select("key", "kind").iter_rows())
    assert kinds["training/images/a1.png"] == "image"
    assert kinds["training/labels/a1.txt"] == "label"
    assert kinds["data.yaml"] == "yaml"
    assert kinds["consensus.parquet"] == kinds["scaled_bounding_boxes.csv"] == "table"
    assert kinds["summary.json"] == kinds["classes.txt"] == "document"


def test_the_version_names_the_manifest_and_changes_with_a_label():
    built = build(table(finding()))
    assert built.version == manifest.version(built.manifest)
    assert build(table(finding(class_id=0))).version != built.version


def test_the_version_does_not_hang_on_where_rows_were_refused():
    row = {"source": "train.csv", "line": 3, "reason": "x_max is missing"}
    built = build(table(finding()), rejected=pl.DataFrame([row], schema=REJECTED))
    assert built.version == build(table(finding())).version
