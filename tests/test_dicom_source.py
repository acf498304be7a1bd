"""From a hospital's folder of DICOM files and a CSV to a dataset: boxes, recipe, persons, and what is refused."""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pydicom
import pytest
from PIL import Image

import dicom_folder
import made_up
import traces
from dicom_files import dicom, gray, uid_of, with_file, write
from dicom_folder import keyed
from planted_text import plant, radiograph
from radloop import cli, manifest, sealed
from radloop.catalog import version
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import RefusedError, SourceError, SplitError, UsageError
from radloop.options import Etl, Extract, Forget, Ingest, Transform
from radloop.pipelines import checking, forgetting, ingesting, offline
from radloop.recipe import Recipe
from radloop.split_sizes import SplitSizes
from radloop.words import Exit

COUNT = 24
SIZES = SplitSizes.parse("training=14,validation=2,test=2,staging=2,canary=2,production=2")
SMALL = Recipe("vinbigdata", 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("hospital")
    dicom_folder.labelled(place, COUNT)
    return place


@pytest.fixture
def own(folder, tmp_path):
    """The same files in a folder that a test may change."""
    return Path(shutil.copytree(folder, tmp_path / "hospital"))


def build(folder: Path, out: Path, *, recipe: Recipe = SMALL, extract=None, **more):
    asked = {"source": f"dicom:{folder}", "out": keyed(out), "jobs": 1, "recipe": recipe, **(extract or {})}
    offline.extract(Extract(**asked))
    return offline.transform(Transform(out=out, sizes=SIZES, jobs=1, **more))


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, build(folder, out)


def annotations(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / "organized" / "annotations.parquet")


def csv_rows(folder: Path) -> list[list[str]]:
    return [line.split(",") for line in (folder / "train.csv").read_text().splitlines()[1:]]


def headers(folder: Path) -> dict[str, pydicom.Dataset]:
    """The header of each file, by its name without the ending."""
    return {path.stem: pydicom.dcmread(path, stop_before_pixels=True) for path in folder.rglob("*.dicom")}


def image_ids(folder: Path, out: Path) -> dict[str, str]:
    """The pseudonym of each file, by its name without the ending."""
    own = Pseudonyms.open(out)
    return {stem: own.image_id(header.SOPInstanceUID) for stem, header in headers(folder).items()}


def test_boxes_are_fractions_of_rows_and_columns(folder, built):
    out, _ = built
    ids = image_ids(folder, out)
    shapes = {stem: (header.Columns, header.Rows) for stem, header in headers(folder).items()}
    wanted = []
    for name, _, class_id, reader, *box in csv_rows(folder):
        if box[0]:
            (columns, rows), (left, top, right, bottom) = shapes[name], map(float, box)
            wanted.append(
                (ids[name], reader, int(class_id), left / columns, top / rows, right / columns, bottom / rows)
            )
    found = annotations(out).filter(pl.col("x_min_norm").is_not_null())
    corners = ["x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm"]
    got = sorted(found.select("image_id", "rad_id", "class_id", *corners).rows())
    assert len(got) == len(wanted) > 50
    assert [row[:3] for row in got] == [row[:3] for row in sorted(wanted)]
    assert np.allclose([row[3:] for row in got], [row[3:] for row in sorted(wanted)], atol=1e-12)

    image_id, reader, class_id, left, top, right, bottom = sorted(wanted)[0]
    (label,) = (out / "organized").glob(f"*/labels/{image_id}_{reader}.txt")
    line = f"{class_id} {(left + right) / 2:.6f} {(top + bottom) / 2:.6f} {right - left:.6f} {bottom - top:.6f}"
    assert line in label.read_text().splitlines()


def test_dataset_is_sound_and_says_by_which_recipe_it_was_made(built):
    out, done = built
    assert checking.check(out / "organized").sound
    summary = json.loads((out / "organized" / "summary.json").read_text())
    assert summary["recipe"] == str(SMALL) == version.read(out).recipe
    assert (out / "organized" / "data.yaml").read_text().startswith(f"# recipe: {SMALL}\n")
    assert json.loads((out / "raw" / "source.json").read_text())["recipe"] == str(SMALL)
    assert done.rows_in == done.rows_out


def test_patient_never_spans_two_splits(folder, built):
    out, _ = built
    ids = image_ids(folder, out)
    splits = dict(annotations(out).select("image_id", "split").unique().iter_rows())
    together = {}
    for stem, header in headers(folder).items():
        together.setdefault(header.PatientID, set()).add(splits[ids[stem]])
    assert len(together) == COUNT // 2 + 1
    assert all(len(found) == 1 for found in together.values())


def test_spacing_stands_in_a_table_of_the_dataset(folder, built):
    out, _ = built
    table = sealed.decode((out / "organized" / "radiographs.parquet").read_bytes())
    assert table["image_id"].to_list() == sorted(image_ids(folder, out).values())
    assert set(table["spacing_mm_row"]) == set(table["spacing_mm_column"]) == {0.15}
    assert set(table["view"]) == {"PA"}
    sizes = annotations(out).select("image_id", "width", "height").unique().sort("image_id")
    assert table.select("image_id", "width", "height").rows() == sizes.rows()


def test_no_clear_identifier_is_in_a_file_outside_the_private_folder(folder, built):
    out, _ = built
    stems = [path.stem.encode() for path in folder.rglob("*.dicom")]
    clear = [*stems, b"Synthetic^Patient", b"P00003", uid_of(1).rpartition(".")[0].encode(), b"20260105"]
    places = [path for path in out.rglob("*") if path.is_file() and path.parent != out / "private"]
    assert len(places) > 150
    tables = [str(pl.read_parquet(path).rows()).encode() for path in places if path.suffix == ".parquet"]
    assert [text for text in clear for data in tables if text in data] == []
    assert [(text, path) for path in places for text in clear if text in path.read_bytes() + bytes(path)] == []


def test_image_id_of_the_table_may_be_the_uid(built, tmp_path):
    out, _ = built
    dicom_folder.labelled(tmp_path / "hospital", COUNT, ids=uid_of)
    done = build(tmp_path / "hospital", tmp_path / "out")
    assert done.version == version.read(out).id


def test_two_recipes_of_the_same_files_are_two_versions_and_none_continues_the_other(folder, built, tmp_path):
    _, first = built
    other = Recipe("minmax", 64)
    second = build(folder, tmp_path / "out", recipe=other)
    assert second.version != first.version

    with pytest.raises(SplitError) as stopped:
        build(folder, tmp_path / "out")
    assert str(SMALL) in str(stopped.value)
    assert f"--recipe {other}" in str(stopped.value)
    assert version.read(tmp_path / "out").id == second.version
    assert build(folder, tmp_path / "out", fresh=True).version == first.version


def test_other_recipe_stops_the_whole_run_before_a_picture_is_made(folder, tmp_path):
    asked = Etl(source=f"dicom:{folder}", out=keyed(tmp_path), sizes=SIZES, jobs=1, recipe=SMALL)
    offline.run(asked)
    before = tree_of(tmp_path)
    for dry_run in (False, True):
        with pytest.raises(SplitError, match="other gray values"):
            offline.etl(dataclasses.replace(asked, recipe=Recipe("minmax", 64), dry_run=dry_run))
    assert tree_of(tmp_path) == before


def tree_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_picture_that_came_in_and_joined_has_its_spacing_in_the_table_too(folder, tmp_path):
    out = keyed(tmp_path / "out")
    build(folder, out)
    new = gray(150, 120, seed=500)
    write(tmp_path / "new", "n.dcm", dicom(new, number=500, PixelSpacing=[0.2, 0.1]))
    ingesting.ingest(Ingest(from_=str(tmp_path / "new"), out=out, jobs=1, recipe=SMALL, audit_share=0.0))
    image_id = Pseudonyms.open(out).image_id(uid_of(500))
    (tmp_path / "retrain.csv").write_text(
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,split,source,trains\n"
        f"{image_id},Cardiomegaly,3,R1,300,500,700,800,incoming,review,true\n"
    )
    done = offline.transform(Transform(out=out, sizes=SIZES, jobs=1, add=tmp_path / "retrain.csv"))
    assert done.images["training"] == 15
    table = sealed.decode((out / "organized" / "radiographs.parquet").read_bytes())
    told = table.filter(image_id=image_id).row(0, named=True)
    assert (told["width"], told["height"], told["spacing_mm_row"], told["spacing_mm_column"]) == (120, 150, 0.2, 0.1)


def test_what_is_forgotten_is_in_no_file_of_the_source_any_more(own, tmp_path):
    out = keyed(tmp_path / "out")
    asked = Etl(source=f"dicom:{own}", out=out, sizes=SIZES, jobs=1, recipe=SMALL)
    offline.run(asked)
    image_id = sorted(image_ids(own, out).values())[0]
    forgetting.forget(Forget(asked=image_id, out=out))
    leading = traces.Marks(frozenset({image_id}))
    assert traces.of(out, leading) == []

    again = offline.run(asked)  # its file still lies in the hospital's folder
    assert traces.of(out, leading) == []
    assert again.transformed.rows_refused == 0
    assert image_id not in annotations(out)["image_id"]
    assert sum(again.transformed.images.values()) == COUNT - 1


def test_recipe_is_in_the_version_id_also_where_it_makes_the_same_pictures(folder, built, tmp_path):
    same = build(folder, tmp_path / "out", recipe=Recipe("minmax", 64))
    kinds = pl.col("kind") == "yaml"
    before = version.read(built[0]).files.filter(kinds)["md5"]
    assert set(before).isdisjoint(version.read(tmp_path / "out").files.filter(kinds)["md5"])
    assert same.version != built[1].version


def test_pictures_that_came_as_pictures_have_no_recipe(tmp_path):
    films = made_up.films(tmp_path / "films")
    offline.extract(Extract(source=str(films), out=tmp_path / "out"))
    offline.transform(Transform(out=tmp_path / "out", sizes=SIZES, jobs=1))
    root = tmp_path / "out" / "organized"
    for name in ("organized/summary.json", "organized/data.yaml", "raw/source.json"):
        assert "recipe" not in (tmp_path / "out" / name).read_text()
    assert "radiographs.parquet" not in manifest.read(root)["key"]
    assert not (tmp_path / "out" / "private").exists()


def test_refused_file_is_a_refused_row_and_voids_its_readings(own, tmp_path):
    lost = csv_rows(own)[0][0]
    path = own / "train" / f"{lost}.dicom"
    path.write_bytes(with_file(path.read_bytes(), lambda dataset: setattr(dataset, "NumberOfFrames", 3)))
    image_id = image_ids(own, keyed(tmp_path / "out"))[lost]
    write(own, "reports/1.dcm", with_file(dicom(gray(), number=900), lambda one: one.pop("PixelData")))
    for name in ("one", "two"):
        write(own, f"{name}.dcm", b"no DICOM")

    with pytest.raises(RefusedError, match=r"train\.csv: .*multi-frame"):
        build(own, tmp_path / "out")
    done = build(own, tmp_path / "out", max_refused=0.5)

    rejected = pl.read_csv(tmp_path / "out" / "organized" / "rejected.csv")
    of_image = rejected.filter(image_id=image_id)
    rows = [row for row in csv_rows(own) if row[0] == lost]
    assert of_image.height == len(rows) > 0
    assert set(of_image["code"]) == {"multi-frame"}
    assert rejected.filter(code="dicom-no-pixels")["image_id"].to_list() == [
        Pseudonyms.open(tmp_path / "out").image_id(uid_of(900))
    ]
    assert image_id not in annotations(tmp_path / "out")["image_id"]
    assert done.rows_in == done.rows_out + done.rows_refused
    assert any(
        "4 of 27 DICOM files make no picture (2 not-dicom, 1 multi-frame, 1 no-pixels)" in note for note in done.notes
    )
    private = (tmp_path / "out" / "private" / "files.csv").read_text()
    assert f"train/{lost}.dicom,{image_id},multi-frame," in private


def test_folder_of_files_that_make_no_picture_stops_and_says_where_each_is_told(tmp_path):
    write(tmp_path / "dicom", "Smith.dcm", with_file(dicom(gray()), lambda one: one.pop("PixelData")))
    (tmp_path / "dicom" / "train.csv").write_text("image_id,class_name,x_min,y_min,x_max,y_max\nSmith,No finding,,,,\n")
    with pytest.raises(SourceError, match=r"None of the 1 DICOM files .*private/files\.csv says it of each") as stopped:
        offline.extract(Extract(source=f"dicom:{tmp_path / 'dicom'}", out=tmp_path / "out"))
    assert "Smith" not in str(stopped.value)
    assert "Smith.dcm" in (tmp_path / "out" / "private" / "files.csv").read_text()


def test_picture_with_text_in_it_waits_for_a_person(own, tmp_path):
    path = next((own / "train").iterdir())
    path.write_bytes(dicom(plant(radiograph(0), "DOE^JOHN 1971", px=24), number=700))
    asked = Extract(source=f"dicom:{own}", out=keyed(tmp_path / "out"), recipe=Recipe("minmax", None), jobs=1)
    image_id = Pseudonyms.open(tmp_path / "out").image_id(uid_of(700))
    offline.extract(asked)
    held = tmp_path / "out" / "private" / "quarantine"
    picture = tmp_path / "out" / "raw" / "images" / f"{image_id}.png"
    assert not picture.exists()

    (held / "waiting" / f"{image_id}.png").rename(held / "released" / f"{image_id}.png")
    offline.extract(asked)
    assert picture.exists()


def test_files_without_rows_do_not_count_as_refused_rows_but_with_strict(own, tmp_path):
    for number in range(900, 910):
        write(own, f"reports/{number}.dcm", with_file(dicom(gray(), number=number), lambda one: one.pop("PixelData")))
    assert build(own, tmp_path / "out").rows_refused == 10
    assert cli_run("transform", "--out", tmp_path / "out", "--strict") == Exit.REFUSED_ROWS


def cli_run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(one) for one in arguments])
    return ended.value.code


@pytest.mark.parametrize("recipe", [Recipe("vinbigdata", None), Recipe("minmax", 64, keeps_ratio=True)], ids=str)
def test_boxes_of_any_shape_of_picture_and_pixel_are_the_same_fractions(folder, built, recipe, tmp_path):
    wide = tmp_path / "wide"
    dicom_folder.labelled(wide, COUNT, PixelSpacing=[0.3, 0.15])  # pixels twice as high as wide
    done = build(wide, tmp_path / "out", recipe=recipe)
    columns = ["rad_id", "class_id", "x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm"]
    assert done.rows_in == done.rows_out
    left, right = (annotations(out).select("image_id", *columns).sort(pl.all()) for out in (built[0], tmp_path / "out"))
    assert left.equals(right)


def test_inverted_and_coloured_files_become_gray_pictures(tmp_path):
    source, out = tmp_path / "dicom", keyed(tmp_path / "out")
    values = gray(bits=8)
    colours = np.stack([values] * 3, axis=-1)
    for number, data in enumerate(
        (
            dicom(values, number=1),
            dicom(255 - values, number=2, PhotometricInterpretation="MONOCHROME1"),
            dicom(colours, number=3),
        ),
        1,
    ):
        write(source, f"{number}.dcm", data)
    (source / "train.csv").write_text(
        "image_id,class_name,x_min,y_min,x_max,y_max\n" + "".join(f"{number},No finding,,,,\n" for number in (1, 2, 3))
    )
    offline.extract(Extract(source=f"dicom:{source}", out=out, recipe=Recipe("minmax", None), jobs=1))

    own = Pseudonyms.open(out)
    plain, inverted, coloured = (
        np.asarray(Image.open(out / "raw" / "images" / f"{own.image_id(uid_of(number))}.png")) for number in (1, 2, 3)
    )
    assert np.array_equal(plain, inverted)
    assert coloured.shape == plain.shape
    assert np.abs(plain.astype(int) - coloured).max() <= 1


def test_folder_without_labels_names_the_way_for_unlabelled_pictures(tmp_path):
    write(tmp_path, "a.dcm", dicom(gray()))
    with pytest.raises(SourceError, match=r"radloop ingest --from"):
        offline.extract(Extract(source=f"dicom:{tmp_path}", out=tmp_path / "out"))
    assert not (tmp_path / "out" / "raw" / "images").exists()


def test_without_pydicom_one_sentence_says_how_to_get_it(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(SourceError, match=r"pip install 'radloop\[dicom\]'"):
        offline.extract(Extract(source=f"dicom:{folder}", out=tmp_path / "out"))
    assert not (tmp_path / "out" / "raw").exists()


def test_folder_without_dicom_files_says_so(tmp_path):
    (tmp_path / "train.csv").write_text("image_id,class_name,x_min,y_min,x_max,y_max\na,No finding,,,,\n")
    with pytest.raises(SourceError, match="holds no DICOM file"):
        offline.extract(Extract(source=f"dicom:{tmp_path}", out=tmp_path / "out", dry_run=True))


def test_recipe_is_for_dicom_files_alone(tmp_path):
    with pytest.raises(UsageError, match="--recipe is for DICOM files"):
        offline.extract(Extract(source=str(tmp_path), out=tmp_path / "out", recipe=SMALL))
    with pytest.raises(UsageError, match="--frontal-only is for DICOM files"):
        offline.extract(Extract(source="synthetic:6", out=tmp_path / "out", frontal_only=True))


def test_labels_of_another_format_name_the_files(folder, built, tmp_path):
    rows = csv_rows(folder)
    names = sorted({row[0] for row in rows})
    classes = {int(row[2]): row[1] for row in rows if row[4]}
    boxes = [(row[0], int(row[2]), *map(float, row[4:])) for row in rows if row[4]]
    coco = {
        "images": [{"id": at, "file_name": f"somewhere/{name}.dicom"} for at, name in enumerate(names)],
        "categories": [{"id": number, "name": name} for number, name in sorted(classes.items())],
        "annotations": [
            {"id": at, "image_id": names.index(name), "category_id": number, "bbox": [x, y, r - x, b - y]}
            for at, (name, number, x, y, r, b) in enumerate(boxes)
        ],
    }
    (tmp_path / "labels.json").write_text(json.dumps(coco))
    build(folder, tmp_path / "out", extract={"annotations": tmp_path / "labels.json", "format": "coco"})

    columns = ["image_id", "class_name", "x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm"]
    found, wanted = (
        annotations(out).select(columns).drop_nulls().unique().sort(columns) for out in (tmp_path / "out", built[0])
    )
    assert found.select(columns[:2]).rows() == wanted.select(columns[:2]).rows()
    assert np.allclose(found.select(columns[2:]).to_numpy(), wanted.select(columns[2:]).to_numpy(), atol=1e-9)


@pytest.mark.slow
def test_killed_run_and_a_second_one_end_in_the_bytes_of_an_undisturbed_run(folder, tmp_path):
    def command(out):
        arguments = ["extract", "--source", f"dicom:{folder}", "--out", str(keyed(out)), "--jobs", "2"]
        code = f"from radloop import cli; cli.main({[*arguments, '--recipe', 'vinbigdata,size=512']!r})"
        return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL)

    def finished(out):
        return {path.name: path.read_bytes() for path in (out / "raw").rglob("*") if path.is_file()}

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert command(whole).wait() == 0
    running = command(killed)
    images = killed / "raw" / "images"
    while running.poll() is None and len(list(images.glob("[0-9a-f]*.png"))) < 3:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (killed / "raw" / "source.json").exists()
    assert cli_run("transform", "--out", killed) == 1

    assert command(killed).wait() == 0
    assert finished(killed) == finished(whole)
    lines = (killed / "private" / "origins.jsonl").read_bytes().splitlines()
    assert len({hashlib.md5(line).hexdigest() for line in lines}) == COUNT


@pytest.mark.slow
def test_whole_run_from_dicom_to_a_store(folder, tmp_path):
    done = offline.run(Etl(source=f"dicom:{folder}", out=tmp_path, sizes=SIZES, jobs=2, recipe=SMALL))
    assert done.published.done
    assert checking.check(str(tmp_path / "store")).sound
    assert not list((tmp_path / "store").rglob("private"))
