"""Checking a dataset from its files alone: ours, damaged in every way, and those that others wrote."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from memory_store import MemoryStore
from radloop import manifest, sealed, storage, sums, tree
from radloop.dataset import doubles, plan, proof, splits, trainer_pictures, trainer_rules, yolo
from radloop.dataset.labelling import Labelling
from radloop.dataset.plan import Account, Plan
from radloop.errors import DatasetError
from radloop.pipelines import checking
from radloop.split_sizes import SplitSizes
from radloop.storage import publish
from radloop.tables import FINDINGS, GROUPS, HELDOUT, MANIFEST, PICTURES, REJECTED
from radloop.taxonomy import Taxonomy
from taxonomies import SPINE, VINDR

SIZES = SplitSizes(training=6, validation=2, test=2, staging=1, canary=1, production=1)
IMAGES = [f"image{number:02}" for number in range(13)]


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def build(pictures: Path, classes: Taxonomy = VINDR, no_finding: str = "background") -> Plan:
    """Thirteen images, two readers each; every second image has a box; the first two share a patient."""
    pictures.mkdir(exist_ok=True)
    finding_rows, picture_rows = [], []
    for number, image_id in enumerate(IMAGES):
        data = png(number)
        (pictures / f"{image_id}.png").write_bytes(data)
        md5 = hashlib.md5(data).hexdigest()
        measured = (16, 16, 120.0, 70.0, 9.0, md5[:16], None)
        picture_rows.append((image_id, f"{image_id}.png", len(data), *sums.of(data), md5, *measured))
        box = (number % 4, 0.25, 0.25, 0.75, 0.75) if number % 2 else (None,) * 5
        finding_rows += [(image_id, rad_id, *box, 1000, 1200) for rad_id in ("R8", "R9")]
    findings = pl.DataFrame(finding_rows, schema=FINDINGS, orient="row")
    groups = pl.DataFrame({"image_id": IMAGES, "group": [IMAGES[0], *IMAGES[:1], *IMAGES[2:]]}, schema=GROUPS)
    assignment = splits.assign(findings, groups, SIZES, classes, seed=0)
    return plan.build(
        findings,
        pl.DataFrame(picture_rows, schema=PICTURES, orient="row"),
        assignment,
        classes,
        Labelling(no_finding=no_finding),
        Account(
            source="folder",
            settings={},
            proof=proof.of(findings, assignment, SIZES, classes, seed=0),
            rejected=pl.DataFrame(schema=REJECTED),
            lost=pl.DataFrame(schema={"image_id": pl.String, "rad_id": pl.String}),
        ),
    )


@pytest.fixture
def organized(tmp_path: Path) -> Path:
    """A sound dataset of radloop."""
    yolo.write(build(tmp_path / "raw"), tmp_path / "out/organized", pictures=tmp_path / "raw")
    return tmp_path / "out/organized"


def rules(report: checking.Report) -> set[str]:
    return set(report.violations["rule"])


def rewrite(path: Path, data: bytes) -> None:
    """Write without touching what else is linked to the file."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def relist(organized: Path, **changed: bytes) -> None:
    """Write files and a manifest that agrees with them, as a broken writer would."""
    listed = manifest.read(organized)
    assert listed is not None
    for key, data in changed.items():
        rewrite(organized / key, data)
        here = pl.col("key") == key
        listed = listed.with_columns(
            bytes=pl.when(here).then(pl.lit(len(data), pl.Int64)).otherwise("bytes"),
            **{
                name: pl.when(here).then(pl.lit(digits)).otherwise(name)
                for name, digits in sums.of(data)._asdict().items()
            },
        )
    rewrite(organized / manifest.NAME, manifest.encode(listed))


def first(organized: Path, pattern: str) -> str:
    return min(str(path.relative_to(organized)) for path in organized.glob(pattern))


def with_box(organized: Path) -> str:
    return min(
        str(path.relative_to(organized)) for path in organized.glob("training/labels/*.txt") if path.stat().st_size
    )


def test_what_radloop_wrote_has_no_violation(organized: Path) -> None:
    report = checking.check(organized.parent, jobs=2)
    assert report.violations.rows() == []
    assert report.sound
    assert report.place == str(organized)
    assert report.version == build(organized.parents[1] / "raw").version
    assert report.counts == {"pictures": 26, "labels": 26, "boxes": 12, "empty labels": 14}
    assert len(report.checked) == 3


def test_a_dataset_of_any_classes_has_no_violation(classes: Taxonomy, tmp_path: Path) -> None:
    for no_finding in ("background", "class"):
        yolo.write(build(tmp_path / "raw", classes, no_finding), tmp_path / "organized", pictures=tmp_path / "raw")
        assert checking.check(tmp_path).violations.rows() == []


def test_every_rule_has_its_consequence() -> None:
    assert trainer_rules.RULES.items() <= checking.RULES.items()


def test_checking_writes_nothing(organized: Path) -> None:
    before = {key: (organized / key).stat().st_mtime_ns for key in yolo.walk(organized)}
    checking.check(organized)
    assert {key: (organized / key).stat().st_mtime_ns for key in yolo.walk(organized)} == before


def lose(pattern: str) -> Callable[[Path], None]:
    return lambda root: (root / first(root, pattern)).unlink()


def replace(pattern: str, data: bytes) -> Callable[[Path], None]:
    return lambda root: rewrite(root / first(root, pattern), data)


def add(key: str, data: bytes) -> Callable[[Path], None]:
    return lambda root: rewrite(root / key, data)


def listed_as(key: str, data: bytes) -> Callable[[Path], None]:
    return lambda root: relist(root, **{key: data})


OTHER_LABEL = b"4 0.500000 0.500000 0.500000 0.500000\n"  # as long as the one that was written


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(lose("test/labels/*"), {"file-missing", "label-missing"}, id="a label is gone"),
        pytest.param(lose("test/images/*"), {"file-missing", "label-orphan"}, id="a picture is gone"),
        pytest.param(lose("splits.json"), {"file-missing", "split-proof"}, id="the proof is gone"),
        pytest.param(lambda root: rewrite(root / with_box(root), OTHER_LABEL), {"file-changed"}, id="another class"),
        pytest.param(replace("test/images/*", png(99)), {"file-changed"}, id="another picture"),
        pytest.param(replace("test/images/*", b"x"), {"file-changed", "picture-unreadable"}, id="a broken picture"),
        pytest.param(add("notes.txt", b""), {"file-unlisted"}, id="a file more"),
        pytest.param(add("training/images/z_R1.png", png(98)), {"file-unlisted", "label-missing"}, id="a picture more"),
        pytest.param(add("training/labels.cache", b""), set(), id="the trainer's own cache"),
        pytest.param(add(manifest.NAME, b"damaged"), {"manifest-unreadable"}, id="a damaged manifest"),
        pytest.param(listed_as("summary.json", b"{}"), {"summary-wrong"}, id="an empty summary"),
        pytest.param(listed_as("summary.json", b"]"), {"summary-wrong"}, id="no summary"),
        pytest.param(listed_as("summary.json", b"[" * 10**5), {"summary-wrong"}, id="a summary of brackets"),
        pytest.param(listed_as("splits.json", b"[" * 10**5), {"split-proof"}, id="a proof of brackets"),
        pytest.param(listed_as("splits.json", b"[]"), {"split-proof"}, id="a proof of nothing"),
        pytest.param(listed_as("splits.json", b"{}"), {"split-proof"}, id="an empty proof"),
        pytest.param(listed_as("splits.json", b"\xff"), {"split-proof"}, id="no proof"),
        pytest.param(listed_as("annotations.parquet", b"x"), {"split-annotations"}, id="no annotations"),
        pytest.param(
            listed_as("annotations.parquet", sealed.encode(pl.DataFrame({"a": [1]}))),
            {"split-annotations"},
            id="other annotations",
        ),
    ],
)
def test_damage_is_found(organized: Path, damage: Callable[[Path], None], expected: set[str]) -> None:
    damage(organized)
    report = checking.check(organized)
    assert rules(report) == expected
    assert report.sound == (not expected)


def test_bad_line_is_named_with_its_file_line_and_consequence(organized: Path) -> None:
    key = with_box(organized)
    good = (organized / key).read_bytes()
    relist(organized, **{key: good + b"14 0.5 0.5 0.1 0.1\n"})
    found = checking.check(organized).violations.filter(pl.col("rule").str.starts_with("label"))
    assert found.rows() == [("label-class", key, 2, "class 14: classes are 0..13", "image dropped")]


def test_group_in_two_splits_is_found(organized: Path) -> None:
    annotations = pl.read_parquet(organized / "annotations.parquet")
    table = annotations.with_columns(group=pl.lit("one patient"))
    relist(organized, **{"annotations.parquet": sealed.encode(table)})
    report = checking.check(organized)
    assert rules(report) == {"leak-group"}
    assert "group one patient is in canary and production and" in report.violations["detail"][0]


def test_files_of_another_split_than_the_annotations_are_found(organized: Path) -> None:
    annotations = pl.read_parquet(organized / "annotations.parquet")
    image_id = annotations.filter(split="test")["image_id"][0]
    moved = pl.when(pl.col("image_id") == image_id).then(pl.lit("training")).otherwise("split")
    relist(organized, **{"annotations.parquet": sealed.encode(annotations.with_columns(split=moved))})
    report = checking.check(organized)
    assert rules(report) == {"split-annotations", "split-proof"}
    assert report.violations.filter(rule="split-annotations").height == 4  # two readers' pictures and labels


def test_same_picture_in_two_splits_is_found(organized: Path) -> None:
    one, other = first(organized, "training/images/*"), first(organized, "test/images/*")
    relist(organized, **{other: (organized / one).read_bytes()})
    assert "leak-picture" in rules(checking.check(organized))


def test_listed_picture_without_label_is_no_normal_one(organized: Path) -> None:
    key = first(organized, "training/labels/*")
    listed = manifest.read(organized)
    assert listed is not None
    (organized / key).unlink()
    rewrite(organized / manifest.NAME, manifest.encode(listed.filter(pl.col("key") != key)))
    assert rules(checking.check(organized)) == {"label-missing", "summary-wrong"}


def retrain(organized: Path, label: bytes) -> Path:
    """A unit of re-training data with one image."""
    root = organized / "retrain"
    plain = {
        "images/p.png": ("image", png(50)),
        "labels/p.txt": ("label", label),
        "data-retrain.yaml": ("yaml", b"train: images\nval: ../validation/images\nnames: [a, b]\n"),
    }
    for key, (_, data) in plain.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    rows = [
        {"key": key, "kind": kind, "bytes": len(data), "md5": hashlib.md5(data).hexdigest()}
        for key, (kind, data) in plain.items()
    ]
    (root / manifest.NAME).write_bytes(manifest.encode(pl.DataFrame(rows, schema=MANIFEST)))
    return root


def test_retraining_data_is_checked_as_a_unit_of_its_own(organized: Path) -> None:
    retrain(organized, b"1 0.500000 0.500000 0.500000 0.500000\n")
    report = checking.check(organized)
    assert report.sound
    assert report.counts["retrain/pictures"] == 1
    assert report.counts["pictures"] == 26


def test_violation_in_the_retraining_data_has_its_whole_key(organized: Path) -> None:
    retrain(organized, b"2 0.500000 0.500000 0.500000 0.500000\n")
    found = checking.check(organized).violations
    assert found["rule", "key"].rows() == [
        ("label-class", "retrain/labels/p.txt"),
        ("split-dropped", "retrain/data-retrain.yaml"),
    ]


def test_folder_without_a_dataset_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(DatasetError, match="holds no dataset"):
        checking.check(tmp_path)
    with pytest.raises(DatasetError, match="holds no dataset"):
        checking.check(tmp_path / "nowhere")


def foreign(root: Path, yaml: str = "train: train/images\nval: valid/images\nnames: [a, b]\n") -> Path:
    """A sound YOLO dataset that radloop did not make."""
    for number, split in enumerate(("train", "valid")):
        (root / split / "images").mkdir(parents=True)
        (root / split / "labels").mkdir()
        (root / split / "images/one.png").write_bytes(png(number))
        (root / split / "labels/one.txt").write_bytes(b"0 0.5 0.5 0.2 0.2\n")
    (root / "data.yaml").write_text(yaml)
    return root


def test_sound_foreign_dataset_passes_and_the_report_says_what_was_not_checked(tmp_path: Path) -> None:
    report = checking.check(foreign(tmp_path))
    assert report.sound
    assert report.version is None
    assert any("no manifest.parquet" in sentence for sentence in report.checked)


def test_picture_that_training_shares_with_validation_is_found(tmp_path: Path) -> None:
    foreign(tmp_path)
    (tmp_path / "train/images/renamed.png").write_bytes((tmp_path / "valid/images/one.png").read_bytes())
    (tmp_path / "train/labels/renamed.txt").write_bytes(b"0 0.5 0.5 0.2 0.2\n")
    assert checking.check(tmp_path).violations.row(0)[:2] == ("leak-picture", "train/images/renamed.png")


def again(root: Path, form: str, label: bytes) -> Path:
    """The training picture of a foreign dataset once more, in another form."""
    name = f"again.{form.lower()}"
    with Image.open(root / "train/images/one.png") as picture:
        picture.save(root / "train/images" / name, form)
    (root / "train/labels/again.txt").write_bytes(label)
    return root


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize(
    "label",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"1 0.5 0.5 0.2 0.2\n", id="another class"),
        pytest.param(b"0 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.1 0.1\n", id="a box more"),
    ],
)
def test_same_picture_with_other_boxes_is_found(tmp_path: Path, form: str, label: bytes) -> None:
    (found,) = checking.check(again(foreign(tmp_path), form, label)).violations.rows()
    assert found[0] == "label-contradicts"
    assert {found[1].rpartition("/")[2], found[3].split("/")[2].split(",")[0]} == {"one.png", f"again.{form.lower()}"}


@pytest.mark.parametrize("label", [b"0 0.5 0.5 0.2 0.2", b"\n0 0.5 0.5 0.2 0.2  \r\n"])
def test_same_picture_with_the_same_boxes_is_no_contradiction(tmp_path: Path, label: bytes) -> None:
    assert checking.check(again(foreign(tmp_path), "PNG", label)).sound


def test_pictures_nearly_black_are_found(tmp_path: Path) -> None:
    foreign(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 2**12, (32, 32), dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "valid/images/one.png")
    assert checking.check(tmp_path).violations["rule", "key"].rows() == [("picture-black", "valid/images/one.png")]


def test_report_names_the_trainer_and_says_what_it_takes_for_outlines(tmp_path: Path) -> None:
    (foreign(tmp_path) / "train/labels/one.txt").write_bytes(b"0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    report = checking.check(tmp_path)
    assert report.sound
    assert any("Ultralytics 8.4" in sentence for sentence in report.checked)
    assert any("1 labels hold outlines" in sentence for sentence in report.checked)


def test_readers_of_one_image_differ_rightly_and_images_that_are_one_picture_are_told(organized: Path) -> None:
    listed = manifest.read(organized)
    assert listed is not None
    assert doubles.note(listed) is None
    boxed, empty = (listed.filter(kind="label", bytes=size)["image_id"][0] for size in (0, len(OTHER_LABEL)))
    same = pl.when(pl.col("image_id").is_in([boxed, empty]) & (pl.col("kind") == "image"))
    note = doubles.note(listed.with_columns(md5=same.then(pl.lit("f" * 32)).otherwise("md5")))
    assert note is not None
    assert note.startswith("1 pictures stand under two image ids")


def test_listed_picture_that_is_not_there_is_found(tmp_path: Path) -> None:
    foreign(tmp_path, "train: train.txt\nval: valid/images\nnames: [a, b]\n")
    (tmp_path / "train.txt").write_text("./train/images/one.png\n./train/images/two.png\n")
    report = checking.check(tmp_path)
    assert [row[:2] for row in report.violations.rows()] == [("picture-unreadable", "train/images/two.png")]


def test_foreign_dataset_without_yaml_is_refused_as_the_trainer_would(tmp_path: Path) -> None:
    (foreign(tmp_path) / "data.yaml").unlink()
    assert rules(checking.check(tmp_path)) == {"yaml-missing"}


@pytest.fixture
def four_pictures(tmp_path: Path) -> list[Path]:
    (tmp_path / "pictures").mkdir()
    paths = [tmp_path / "pictures" / f"{name}.png" for name in "abcd"]
    for number, path in enumerate(paths):
        path.write_bytes(png(number))
    return paths


def test_what_supervision_wrote_lacks_train_and_val(tmp_path: Path, four_pictures: list[Path]) -> None:
    supervision = pytest.importorskip("supervision")
    box = supervision.Detections(xyxy=np.array([[2.0, 2.0, 9.0, 9.0]]), class_id=np.array([1]))
    twice = supervision.Detections.merge([box, box])
    found = {str(path): twice if number == 0 else box for number, path in enumerate(four_pictures)}
    dataset = supervision.DetectionDataset(["a", "b"], list(found), found)
    out = tmp_path / "supervised"
    dataset.as_yolo(str(out / "images"), str(out / "labels"), str(out / "data.yaml"))

    report = checking.check(out)
    assert rules(report) == {"yaml-keys"}
    assert report.violations["detail"].to_list() == ["`train` is missing", "`val` is missing"]

    (out / "data.yaml").write_text("train: images\nval: images\n" + (out / "data.yaml").read_text())
    assert rules(checking.check(out)) == {"label-duplicate", "leak-picture"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("form", "left_px", "expected"),
    [
        pytest.param("yolo", 2, {"yaml-missing"}, id="no yaml in the Darknet form"),
        pytest.param("yolo_ultralytics", 2, set(), id="sound in the Ultralytics form"),
        pytest.param("yolo_ultralytics", -9, {"label-range", "split-dropped"}, id="a box outside its picture"),
    ],
)
def test_what_datumaro_wrote_is_judged(
    tmp_path: Path, four_pictures: list[Path], form: str, left_px: int, expected: set[str]
) -> None:
    datumaro = pytest.importorskip("datumaro")
    from datumaro.components.media import Image as DatumaroImage

    items = [
        datumaro.DatasetItem(
            path.stem,
            subset="train" if number < 2 else "val",
            media=DatumaroImage.from_file(str(path)),
            annotations=[datumaro.Bbox(left_px, 2, 7, 7, label=1)],
        )
        for number, path in enumerate(four_pictures)
    ]
    dataset = datumaro.Dataset.from_iterable(items, categories=["a", "b"])
    dataset.export(str(tmp_path / "out"), form, save_media=True)
    assert rules(checking.check(tmp_path / "out")) == expected


OTHER_NAMES = tree.classes_txt(("Effusion", *VINDR.names[1:]))


@pytest.mark.parametrize(
    ("key", "data", "detail"),
    [
        pytest.param(
            "classes.txt", OTHER_NAMES, "class 0 is 'Effusion' instead of 'Aortic enlargement'", id="classes.txt"
        ),
        pytest.param(
            "data.yaml",
            tree.data_yaml({"train": "training/images", "val": "validation/images"}, SPINE.names),
            "class 0 is 'Osteophytes'",
            id="data.yaml",
        ),
        pytest.param("data-canary.yaml", b"names: 3\ntrain: a", "0 classes instead of 14", id="another yaml"),
        pytest.param("classes.txt", tree.classes_txt(VINDR.names[:5]), "5 classes instead of 14", id="too few"),
        pytest.param(
            "classes.txt", tree.classes_txt(VINDR.file_names(with_nothing=True)), "15 classes in classes.txt", id="one"
        ),
        pytest.param("classes.txt", b"0 \xff", "0 classes instead of 14", id="not UTF-8"),
    ],
)
def test_files_that_name_other_classes_are_found(organized: Path, key: str, data: bytes, detail: str) -> None:
    relist(organized, **{key: data})
    found = checking.check(organized).violations.filter(rule="classes-differ")
    assert found["key"].to_list() == [key]
    assert detail in found["detail"][0]


def test_a_summary_of_other_classes_is_found(organized: Path) -> None:
    summary = json.loads((organized / "summary.json").read_text())
    for names, rule in ((SPINE.names, "classes-differ"), ([1], "summary-wrong"), ("a", "summary-wrong")):
        relist(organized, **{"summary.json": json.dumps(summary | {"classes": names}).encode()})
        assert rule in rules(checking.check(organized))


def test_a_dataset_of_before_summaries_named_classes_is_sound(organized: Path) -> None:
    summary = json.loads((organized / "summary.json").read_text())
    del summary["classes"]
    relist(organized, **{"summary.json": json.dumps(summary).encode()})
    assert checking.check(organized).sound


def test_summary_counts_what_is_there(organized: Path) -> None:
    summary = json.loads((organized / "summary.json").read_text())
    relist(organized, **{"summary.json": json.dumps(summary | {"labels_created": 27}).encode()})
    report = checking.check(organized)
    assert report.violations["detail"].to_list() == ["labels_created: 27, but it is 26"]


def test_every_rule_is_documented() -> None:
    page = (Path(__file__).parent.parent / "docs/checking.md").read_text()
    assert [rule for rule in checking.RULES if f"`{rule}`" not in page] == []
    assert trainer_rules.TRAINER in page


@pytest.fixture
def remote(organized: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """An object store with a sound dataset."""
    store = MemoryStore()
    publish.publish(organized, store)
    monkeypatch.setattr(storage, "open_store", lambda address: store)
    return store


def test_sound_store_passes_and_the_report_names_the_trainer(remote: MemoryStore) -> None:
    report = checking.check("remote:container")
    assert report.violations.rows() == []
    assert any(trainer_rules.TRAINER in sentence for sentence in report.checked)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"download: bash steal.sh\n", "yaml-download"),
        (b"path: .\n", "yaml-path"),
        (b"nc: 99\n", "yaml-names"),
    ],
)
@pytest.mark.parametrize("key", ["data.yaml", "data-canary.yaml"])
def test_yaml_of_a_store_is_judged_as_the_trainer_does(remote: MemoryStore, key: str, line: bytes, rule: str) -> None:
    remote.objects[f"organized/{key}"] += line
    report = checking.check("remote:container")
    assert report.violations.filter(rule=rule)["key"].to_list() == [key]
    assert "file-changed" in rules(report)


def test_pictures_of_a_store_that_are_nearly_black_are_found_by_their_thumbnails(remote: MemoryStore) -> None:
    listed = manifest.decode(remote.objects["organized/manifest.parquet"], name="it")
    row = listed.filter(kind="image", split="test").row(0, named=True)
    thumbnails = {"black": bytes(1024), "nearly": bytes([15] * 1022 + [255] * 2), "dark": bytes([16] * 1024)}
    found = {}
    for name, thumbnail in thumbnails.items():
        remembered = {"image_id": row["image_id"], "split": "test", "md5": row["md5"], "thumbnail": thumbnail}
        memory = pl.DataFrame([remembered], schema=HELDOUT)
        found[name] = [violation.key for violation in trainer_pictures.judge_thumbnails(listed, memory)]
    assert found == {"black": [row["key"]], "nearly": [row["key"]], "dark": []}


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"hevc"])
def test_heic_that_only_the_trainer_reads_is_told_and_no_violation(tmp_path: Path, brand: bytes) -> None:
    (foreign(tmp_path) / "train/images/two.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(40))
    (tmp_path / "train/labels/two.txt").write_bytes(b"")
    report = checking.check(tmp_path)
    assert report.sound
    assert any("not 1 HEIC pictures" in sentence for sentence in report.checked)


@pytest.mark.parametrize(
    ("form", "orientation", "turned"), [("JPEG", 6, 1), ("PNG", 3, 1), ("JPEG", 1, 0), ("PNG", 0, 0)]
)
def test_pictures_that_the_trainer_turns_are_told(tmp_path: Path, form: str, orientation: int, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(7).integers(0, 255, (16, 16), dtype=np.uint8)
    foreign(tmp_path)
    Image.fromarray(pixels).save(tmp_path / f"train/images/two.{form.lower()}", exif=exif)
    (tmp_path / "train/labels/two.txt").write_bytes(b"")
    report = checking.check(tmp_path)
    assert report.sound
    assert sum("1 pictures are turned by the trainer" in sentence for sentence in report.checked) == turned
