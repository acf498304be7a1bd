"""Sources as people write them: the right labels, or a stop that changes nothing and says why."""

import csv
import io
import os
from pathlib import Path

import polars as pl
import pytest

import made_up
from radloop import cli
from radloop.errors import AnnotationError, RefusedError, SplitError, StoreError, StrictError
from radloop.options import Etl, Extract, Load, Transform
from radloop.pipelines import checking, offline
from radloop.split_sizes import SplitSizes
from taxonomies import SPINE

pytest_plugins = ("swift_server",)

SIDES = ("x_min", "y_min", "x_max", "y_max")
SIZES = SplitSizes.parse("training=20,validation=4,test=4,staging=4,canary=4,production=4")
NO_BOX = dict.fromkeys(SIDES, "")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return made_up.films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def base(films, tmp_path_factory):
    """The labels of the source as it should be, by key."""
    out = tmp_path_factory.mktemp("base")
    etl(films, out)
    return labels(out)


@pytest.fixture
def source(films, tmp_path):
    """The films with a table of their own, to be ruined."""
    own = tmp_path / "films"
    own.mkdir()
    (own / "train.csv").write_bytes((films / "train.csv").read_bytes())
    os.link(films / "train_meta.csv", own / "train_meta.csv")
    (own / "train").symlink_to(films / "train")
    return own


def etl(source: Path, out: Path, **options):
    return offline.run(Etl(**{"source": str(source), "out": out, "sizes": SIZES, "jobs": 1, **options}))


def labels(out: Path) -> dict[str, str]:
    root = out / "organized"
    return {str(path.relative_to(root)): path.read_text() for path in root.glob("*/labels/*.txt")}


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def is_normal(row) -> bool:
    return row["class_id"] == "14"


def change(source: Path, *, boxes=None, normal=None, every=None):
    """Write the rows anew: `boxes` and `normal` of findings and of the others, `every` of all give what changes."""

    def changed(row):
        parts = [one for one in (normal if is_normal(row) else boxes, every) if one]
        return {name: value for part in parts for name, value in (row | part(row)).items()}

    made_up.write_rows(source, [row | changed(row) for row in made_up.rows(source)])


def of_sides(write):
    return lambda row: {side: write(float(row[side])) for side in SIDES}


def constant(**cells):
    return lambda row: cells


def no_value(text):
    return lambda source: change(source, normal=constant(**dict.fromkeys(SIDES, text)))


def no_box(*corners):
    return lambda source: change(source, normal=constant(**dict(zip(SIDES, corners, strict=True))))


def numbers(write):
    return lambda source: change(source, boxes=of_sides(write))


def renamed(write):
    return lambda source: change(source, every=lambda row: {"image_id": write(row["image_id"])})


def retold(write):
    def retell(source):
        path = source / "train.csv"
        path.write_bytes(write(path.read_text()))

    return retell


def with_tabs(text: str) -> str:
    return text.replace(",", "\t")


def with_semicolons(text: str) -> str:
    return text.replace(",", ";").replace(".", ",")


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(no_value("NaN"), id="NaN in No finding"),
        pytest.param(no_value("NULL"), id="NULL in No finding"),
        pytest.param(no_value("None"), id="None in No finding", marks=pytest.mark.slow),
        pytest.param(no_value("N/A"), id="N/A in No finding", marks=pytest.mark.slow),
        pytest.param(no_box(0, 0, 1, 1), id="0,0,1,1 in No finding"),
        pytest.param(no_box(0, 0, 0, 0), id="0,0,0,0 in No finding", marks=pytest.mark.slow),
        pytest.param(no_box("0.0", "0", "1.0", "1"), id="0.0,0,1.0,1 in No finding", marks=pytest.mark.slow),
        pytest.param(numbers(lambda side: str(side).replace(".", ",")), id="decimal commas"),
        pytest.param(numbers("{:,.1f}".format), id="thousands with commas", marks=pytest.mark.slow),
        pytest.param(
            numbers(lambda side: f"{side:,.1f}".translate(str.maketrans(",.", ".,"))),
            id="thousands with points",
            marks=pytest.mark.slow,
        ),
        pytest.param(renamed("{}.png".format), id="ids with an ending"),
        pytest.param(renamed(str.upper), id="ids in capitals", marks=pytest.mark.slow),
        pytest.param(renamed(" {} ".format), id="ids between blanks", marks=pytest.mark.slow),
        pytest.param(renamed(" {}.PNG".format), id="ids with all of it", marks=pytest.mark.slow),
        pytest.param(retold(lambda text: with_tabs(text).encode("utf-16")), id="UTF-16 with tabs"),
        pytest.param(retold(lambda text: text.encode("utf-16-be")), id="UTF-16 without a mark", marks=pytest.mark.slow),
        pytest.param(retold(lambda text: with_semicolons(text).encode()), id="semicolons", marks=pytest.mark.slow),
    ],
)
def test_one_table_in_many_ways_gives_the_same_labels(source, base, tmp_path, write):
    write(source)

    done = etl(source, tmp_path / "out")

    assert labels(tmp_path / "out") == base
    assert done.transformed.rows_refused == 0


def widths_in_x_max(source):
    change(
        source,
        boxes=lambda row: {
            "x_max": float(row["x_max"]) - float(row["x_min"]),
            "y_max": float(row["y_max"]) - float(row["y_min"]),
        },
    )


def two_kinds_of_commas(source):
    rows = made_up.rows(source)
    boxes = [row for row in rows if not is_normal(row)]
    for row in boxes[: len(boxes) // 2]:
        row |= {side: row[side].replace(".", ",") for side in SIDES}
    made_up.write_rows(source, rows)


def half_of_the_images(source):
    rows = made_up.rows(source)
    kept = sorted({row["image_id"] for row in rows})[::2]
    made_up.write_rows(source, [row for row in rows if row["image_id"] in kept])


def one_reader_of_three(source):
    rows = made_up.rows(source)
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row["image_id"], row["rad_id"])
    made_up.write_rows(source, [row for row in rows if row["rad_id"] == first[row["image_id"]]])


def a_third_without_numbers(source):
    rows = made_up.rows(source)
    for at, row in enumerate(rows):
        if at % 3 == 0 and not is_normal(row):
            row["x_min"] = "left"
    made_up.write_rows(source, rows)


def a_column_is_gone(source):
    made_up.write_rows(source, [{k: v for k, v in row.items() if k != "y_max"} for row in made_up.rows(source)])


def ids_shifted_without_names(source):
    rows = [row | {"class_id": str((int(row["class_id"]) + 1) % 15)} for row in made_up.rows(source)]
    rows = [row | dict(zip(SIDES, "0011", strict=True)) if row["class_id"] == "0" else row for row in rows]
    made_up.write_rows(source, [{k: v for k, v in row.items() if k != "class_name"} for row in rows])


def of_one_patient(source):
    change(source, every=constant(**{"Patient ID": "7"}))


def everything_is_normal(source):
    readings = {(row["image_id"], row["rad_id"]): row for row in made_up.rows(source)}
    nothing = {"class_name": "No finding", "class_id": "14", **NO_BOX}
    made_up.write_rows(source, [row | nothing for row in readings.values()])


def the_whole_table_is_one_box(source):
    change(source, boxes=constant(**dict(zip(SIDES, ("10", "10", "90", "90"), strict=True))))


def points_instead_of_boxes(source):
    change(
        source,
        boxes=lambda row: {"x_max": float(row["x_min"]) + 1, "y_max": float(row["y_min"]) + 1},
    )


RUINED = {
    "widths_in_x_max": (widths_in_x_max, RefusedError, "the box is inverted: .* widths and heights"),
    "two_kinds_of_commas": (two_kinds_of_commas, AnnotationError, "decimal point and some with a decimal comma"),
    "half_of_the_images": (half_of_the_images, StoreError, "holds 40 images, .* has 20 images, .*--allow-shrink"),
    "one_reader_of_three": (one_reader_of_three, StoreError, "120 labels .* 40 labels .*--allow-shrink"),
    "a_third_without_numbers": (a_third_without_numbers, RefusedError, "a coordinate is not a number: x_min 'left'"),
    "a_column_is_gone": (a_column_is_gone, AnnotationError, "lacks the column y_max"),
    "ids_shifted_without_names": (ids_shifted_without_names, RefusedError, "x the box is 0, 0, 1, 1"),
    "of_one_patient": (of_one_patient, SplitError, "belong together"),
    "everything_is_normal": (everything_is_normal, StoreError, "and 0 boxes: .*--allow-shrink"),
    "boxes_of_zeros": (numbers(lambda side: "0"), RefusedError, "stands for no box|has no area"),
    "the_whole_table_is_one_box": (the_whole_table_is_one_box, AnnotationError, "one and the same, 10, 10, 90, 90"),
    "points_instead_of_boxes": (
        points_instead_of_boxes,
        AnnotationError,
        "at most 2 pixels|do not lie in original pixels",
    ),
    "ids_of_other_pictures": (renamed("x{}".format), AnnotationError, "none of the 40 image ids"),
    "no_finding_with_a_box": (no_box(10, 10, 90, 90), RefusedError, "'No finding' has a box"),
}


@pytest.fixture(scope="module")
def published(films, tmp_path_factory):
    """A folder with a sound version in OUT/organized and in OUT/store."""
    out = tmp_path_factory.mktemp("published")
    etl(films, out)
    return out


@pytest.mark.parametrize("name", RUINED)
def test_a_ruined_source_leaves_store_and_dataset_as_they_are(source, published, name):
    ruin, error, sentence = RUINED[name]
    before = {place: tree(published / place) for place in ("store", "organized")}
    ruin(source)

    with pytest.raises(error, match=f"(?s){sentence}"):
        etl(source, published)

    assert {place: tree(published / place) for place in before} == before


@pytest.mark.parametrize("name", ["half_of_the_images", "everything_is_normal"])
def test_what_shrank_is_published_where_it_is_meant(source, published, tmp_path, name):
    etl(source, tmp_path)
    RUINED[name][0](source)
    offline.extract(Extract(source=str(source), out=tmp_path))
    offline.transform(Transform(out=tmp_path, sizes=SIZES, jobs=1))
    with pytest.raises(StoreError, match="--allow-shrink"):
        offline.load(Load(out=tmp_path, jobs=1))
    assert offline.load(Load(out=tmp_path, jobs=1, allow_shrink=True)).done


def test_refused_rows_can_be_read_until_the_next_success(source, films, tmp_path):
    a_third_without_numbers(source)
    rows = made_up.rows(source)
    change(source, every=constant(PatientID="SECRET"))

    with pytest.raises(RefusedError, match=r"(?s)x a coordinate is not a number: x_min 'left'.*rejected\.csv has all"):
        etl(source, tmp_path)

    text = (tmp_path / "rejected.csv").read_text()
    refused = list(csv.DictReader(io.StringIO(text)))
    lines = [at for at, row in enumerate(rows, 2) if row["x_min"] == "left"]
    assert sorted(int(row["line"]) for row in refused) == lines
    assert {row["code"] for row in refused} == {"coordinate-no-number"}
    assert {row["x_min"] for row in refused} == {"left"}
    assert "SECRET" not in text
    assert not (tmp_path / "organized").exists()
    etl(films, tmp_path)
    assert not (tmp_path / "rejected.csv").exists()


def test_missing_pictures_stop_and_two_ids_are_shown_beside_two_names_of_pictures(source, films, tmp_path):
    (source / "train").unlink()
    (source / "train").mkdir()
    for at, picture in enumerate(sorted((films / "train").iterdir())):
        os.link(picture, source / "train" / (f"scan{at}.png" if at < 4 else picture.name))
    with pytest.raises(
        RefusedError, match=r"no picture of the image was found\. Ids without a picture: '.*'; pictures"
    ):
        etl(source, tmp_path)
    assert "picture-missing" in (tmp_path / "rejected.csv").read_text()


def test_three_most_frequent_reasons_are_shown_with_an_example(source, tmp_path):
    rows = made_up.rows(source)
    boxes = [row for row in rows if not is_normal(row)]
    for row, changes in zip(
        boxes, [{"x_min": "a"}] * 4 + [{"y_min": "9e9"}] * 3 + [{"rad_id": "R_1"}] * 2 + [NO_BOX], strict=False
    ):
        row |= changes
    made_up.write_rows(source, rows)

    with pytest.raises(RefusedError) as stopped:
        etl(source, tmp_path)

    assert "10 of" in str(stopped.value)
    assert "4x a coordinate is not a number: x_min 'a'; 3x a coordinate is larger than any image" in str(stopped.value)
    assert "2x rad_id is not made of letters" in str(stopped.value)
    assert "and 1 more kinds" in str(stopped.value)


def test_few_refused_rows_go_on_and_their_readings_get_no_label(source, base, tmp_path):
    rows = made_up.rows(source)
    bad = next(row for row in rows if not is_normal(row))
    bad["x_min"] = "left"
    made_up.write_rows(source, rows)

    etl(source, tmp_path, max_refused=0.05)

    left = {Path(key).name: text for key, text in base.items()}
    del left[f"{bad['image_id']}_{bad['rad_id']}.txt"]
    assert {Path(key).name: text for key, text in labels(tmp_path).items()} == left
    with pytest.raises(RefusedError, match="more than --max-refused allows"):
        etl(source, tmp_path, max_refused=0.001)


def test_strict_writes_and_publishes_nothing_and_exits_3(source, published, tmp_path, capsys):
    made_up.write_rows(source, [*made_up.rows(source), made_up.rows(source)[0]])
    before = tree(published / "store")
    with pytest.raises(StrictError, match="the row repeats another"):
        etl(source, published, strict=True)
    assert tree(published / "store") == before

    flags = ["--source", str(source), "--out", str(tmp_path), "--sizes", str(SIZES)]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["etl", *flags, "--strict"])
    assert stopped.value.code == 3
    assert "With --strict nothing is written" in capsys.readouterr().err
    assert (tmp_path / "rejected.csv").exists()
    assert not (tmp_path / "organized").exists()
    assert not (tmp_path / "store").exists()


def test_rows_that_say_none_are_normal_where_that_is_said(source, base, tmp_path):
    rows = [row | ({"class_name": "None"} if is_normal(row) else {}) for row in made_up.rows(source)]
    made_up.write_rows(source, [{k: v for k, v in row.items() if k != "class_id"} for row in rows])
    with pytest.raises(RefusedError, match=r"x the row names no class: class_name 'None'\. .* --map 'None=No finding'"):
        etl(source, tmp_path, classes="vinbigdata")
    etl(source, tmp_path, classes="vinbigdata", map=("None=No finding",))
    assert labels(tmp_path) == base


def test_a_class_that_is_left_out_is_not_refused(source, tmp_path):
    done = etl(source, tmp_path, drop_classes=("Cardiomegaly", "Aortic enlargement"), strict=True)
    assert done.transformed.rows_refused > 0


# patients and splits


def splits_of(out: Path) -> dict[str, str]:
    table = pl.read_parquet(out / "organized" / "annotations.parquet")
    return dict(table.select("image_id", "split").unique().iter_rows())


@pytest.mark.parametrize(
    "column",
    [
        "PatientID",
        "Patient ID",
        pytest.param("StudyInstanceUID", marks=pytest.mark.slow),
        pytest.param("subject_id", marks=pytest.mark.slow),
    ],
)
def test_patients_under_any_name_never_span_two_splits(source, tmp_path, column):
    ids = sorted({row["image_id"] for row in made_up.rows(source)})
    change(source, every=lambda row: {column: f"P{ids.index(row['image_id']) % 10}"})

    done = etl(source, tmp_path)

    where = splits_of(tmp_path)
    assert all(len({where[image_id] for image_id in ids[patient::10]}) == 1 for patient in range(10))
    assert any(f"the column '{column}' tells whose" in note for note in done.transformed.notes)


def test_splits_of_the_source_are_kept_where_that_is_asked_and_never_ignored_unsaid(source, tmp_path):
    ids = sorted({row["image_id"] for row in made_up.rows(source)})
    told = {image_id: ("train", "train", "val", "test")[at % 4] for at, image_id in enumerate(ids)}
    change(source, every=lambda row: {"split": told[row["image_id"]]})

    ignored = etl(source, tmp_path / "ignored")
    etl(source, tmp_path / "kept", keep_splits=True)

    assert any("splits that the source has are not used" in note for note in ignored.transformed.notes)
    ours = {"train": "training", "val": "validation", "test": "test"}
    assert splits_of(tmp_path / "kept") == {image_id: ours[split] for image_id, split in told.items()}
    assert checking.check(tmp_path / "kept").sound
    assert "staging" not in (tmp_path / "kept/organized/data.yaml").read_text()

    etl(source, tmp_path / "kept", keep_splits=True)
    told[ids[0]] = "test"
    change(source, every=lambda row: {"split": told[row["image_id"]]})
    with pytest.raises(SplitError, match="in another split than the version before"):
        etl(source, tmp_path / "kept", keep_splits=True)


def test_a_patient_in_two_splits_of_the_source_stops(source, tmp_path):
    ids = sorted({row["image_id"] for row in made_up.rows(source)})
    told = {image_id: ("train", "val")[at % 2] for at, image_id in enumerate(ids)}
    change(source, every=lambda row: {"split": told[row["image_id"]], "patient": ids.index(row["image_id"]) // 2})
    with pytest.raises(SplitError, match=r"\(training\), .*\(validation\).*belong together"):
        etl(source, tmp_path, keep_splits=True)


def test_splits_of_the_source_without_validation_stop(source, tmp_path):
    ids = sorted({row["image_id"] for row in made_up.rows(source)})
    change(source, every=lambda row: {"split": ("train", "test")[ids.index(row["image_id"]) % 2]})
    with pytest.raises(SplitError, match=r"leave none for validation, .* Name images of both in the column `split`"):
        etl(source, tmp_path, keep_splits=True)


# small data sets


def only(source: Path, count: int) -> None:
    rows = made_up.rows(source)
    drawn = {row["image_id"] for row in rows if not is_normal(row)}
    ids = sorted({row["image_id"] for row in rows}, key=lambda one: (one not in drawn, one))[:count]
    made_up.write_rows(source, [row for row in rows if row["image_id"] in ids])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_too_few_images_for_a_trainer_stop(source, tmp_path, count):
    only(source, count)
    with pytest.raises(SplitError, match=f"{count} images? in {count} groups? leave none for .*validation"):
        etl(source, tmp_path, sizes=SplitSizes())
    assert not (tmp_path / "organized").exists()
    assert not (tmp_path / "store" / "organized").exists()


@pytest.mark.parametrize(
    ("count", "sizes", "named"),
    [
        pytest.param(5, "training=3,validation=1,test=1,staging=0,canary=0,production=0", ["test"], id="five images"),
        pytest.param(2, "training=1,validation=1,test=0,staging=0,canary=0,production=0", [], id="two images"),
        pytest.param(8, "training=4,validation=2,test=0,staging=2,canary=0,production=0", [], id="an empty test split"),
    ],
)
def test_small_data_sets_name_only_what_there_is(source, tmp_path, count, sizes, named):
    only(source, count)
    etl(source, tmp_path, sizes=SplitSizes.parse(sizes))

    assert checking.check(tmp_path).sound
    data = (tmp_path / "organized" / "data.yaml").read_text()
    assert [split for split in ("test", "staging", "production") if f"{split}/images" in data] == named
    assert all(
        (tmp_path / "organized" / line.split(": ")[1]).is_dir() for line in data.splitlines() if "/images" in line
    )


def test_one_class_is_enough(source, tmp_path):
    done = etl(source, tmp_path, keep_classes=("Cardiomegaly",))
    assert checking.check(tmp_path).sound
    assert "names:\n  0: Cardiomegaly\n" in (tmp_path / "organized" / "data.yaml").read_text()
    assert done.transformed.rows_out == 120


def test_images_of_one_patient_are_too_few(source, tmp_path):
    of_one_patient(source)
    with pytest.raises(SplitError, match="40 images in 1 group leave none for validation"):
        etl(source, tmp_path)


def test_other_classes_are_those_of_the_table(source, tmp_path):
    change(
        source,
        boxes=lambda row: {
            "class_name": SPINE.names[int(row["class_id"]) % 7],
            "class_id": str(int(row["class_id"]) % 7),
        },
    )
    etl(source, tmp_path)
    names = "".join(f"  {at}: {name}\n" for at, name in enumerate(SPINE.names))
    assert (tmp_path / "organized" / "data.yaml").read_text().endswith(f"names:\n{names}")
    assert sum(len(text.splitlines()) for text in labels(tmp_path).values()) == len(
        {tuple(row.items()) for row in made_up.rows(source) if not is_normal(row)}
    )


def test_a_dry_run_stops_in_the_same_way_and_leaves_no_trace(source, tmp_path):
    a_third_without_numbers(source)
    options = Etl(source=str(source), out=tmp_path / "out", sizes=SIZES, jobs=1, dry_run=True)
    with pytest.raises(RefusedError, match="more than --max-refused allows"):
        offline.etl(options)
    assert not (tmp_path / "out").exists()


@pytest.mark.swift
@pytest.mark.slow
def test_a_real_swift_is_untouched_by_ten_ruined_sources(films, tmp_path, swift, container):
    store = f"chi_tacc:{container}"
    etl(films, tmp_path / "out", store=store)
    before = swift.objects(container)
    for number, (ruin, error, sentence) in enumerate(RUINED.values()):
        own = tmp_path / str(number)
        own.mkdir()
        for name in ("train.csv", "train_meta.csv"):
            (own / name).write_bytes((films / name).read_bytes())
        (own / "train").symlink_to(films / "train")
        ruin(own)
        with pytest.raises(error, match=f"(?s){sentence}"):
            etl(own, tmp_path / "out", store=store)
        assert swift.objects(container) == before
