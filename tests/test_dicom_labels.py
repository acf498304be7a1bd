"""Which DICOM file a table's image_id means: one to one or not at all, and in no message in clear."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import AnnotationError
from radloop.sources import dicom_labels
from radloop.sources.dicom_pictures import Made
from radloop.sources.formats import kept
from radloop.sources.formats.labels import of_table

KEY = bytes(range(32))
UIDS = [f"1.2.3.{number}" for number in range(4)]


@pytest.fixture
def own(tmp_path):
    return Pseudonyms(tmp_path, KEY)


def made(own, *names, uids=UIDS):
    """Files of these names with these UIDs in turn."""
    return {
        name: Made(f"k{name}", own.image_id(uid), patient=own.patient(f"P{uid}"), study=own.keyed("study", uid))
        for name, uid in zip(names, uids, strict=False)
    }


def labels(*ids, **more):
    return of_table(
        pl.DataFrame([{"line": at, "image_id": one, "class_name": "a", **more} for at, one in enumerate(ids, 2)])
    )


def meant(own, files, *ids):
    return dicom_labels.under_pseudonyms(labels(*ids), files, own, name="train.csv").rows["image_id"].to_list()


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(["1.2.3.0", "1.2.3.1"], id="SOPInstanceUIDs"),
        pytest.param(["a", "b"], id="names of files"),
        pytest.param(["a.dcm", " b.dcm "], id="names with their ending"),
    ],
)
def test_id_is_the_uid_or_the_name_of_the_file(own, ids):
    files = made(own, "s/a.dcm", "s/b.dcm", "s/c.dcm")
    assert meant(own, files, *ids) == [own.image_id("1.2.3.0"), own.image_id("1.2.3.1")]


def test_files_that_are_named_by_their_uid_are_meant_by_both(own):
    files = made(own, "1.2.3.0.dcm", "1.2.3.1.dcm", "other.dcm")
    assert meant(own, files, "1.2.3.0", "1.2.3.2") == [own.image_id("1.2.3.0"), own.image_id("1.2.3.2")]


def test_id_of_no_file_becomes_a_pseudonym_of_no_picture(own):
    files = made(own, "a.dcm")
    found = meant(own, files, "a", "Smith^John")
    assert found[0] == own.image_id("1.2.3.0")
    assert found[1] == own.keyed("id", "Smith^John")


@pytest.mark.parametrize(
    ("names", "ids", "words"),
    [
        pytest.param(["a.dcm", "b.dcm"], ["1.2.3.0", "b"], "it cannot be told which is meant", id="some of each"),
        pytest.param(["x/a.dcm", "y/a.dcm"], ["a"], "the name of several DICOM files", id="a name in two folders"),
        pytest.param(["a.dcm"], ["Smith"], "none of its 1 image ids is the SOPInstanceUID", id="none"),
        pytest.param(["a.dcm"], ["a", "a.dcm"], "written in two ways", id="two ids of one file"),
        pytest.param(["1.2.3.1", "b"], ["1.2.3.1", "1.2.3.0"], "it cannot be told", id="a name that is another's UID"),
    ],
)
def test_ids_that_may_mean_two_files_stop_with_a_sentence_that_names_none(own, names, ids, words):
    with pytest.raises(AnnotationError) as stopped:
        meant(own, made(own, *names), *ids)
    assert words in str(stopped.value)
    assert "Smith" not in str(stopped.value)
    assert "1.2.3" not in str(stopped.value)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("12345"), st.sampled_from("xy")), min_size=1, max_size=5
    ),
    st.lists(st.sampled_from(["a", "b", "c", "1", "2", "3", "9"]), min_size=1, max_size=4, unique=True),
)
def test_id_means_the_one_file_that_it_names_or_the_run_stops(told, ids):
    own = Pseudonyms(Path("private"), KEY)
    uid_of = {f"{folder}/{stem}.dcm": uid for stem, uid, folder in told}  # any stems may be another file's UID
    files = {name: Made(name, own.image_id(uid)) for name, uid in uid_of.items()}
    try:
        found = dict(zip(ids, meant(own, files, *ids), strict=True))
    except AnnotationError:
        return
    by_uid = [one for one in ids if one in uid_of.values()]
    for one in ids:
        named = {own.image_id(uid) for name, uid in uid_of.items() if PurePosixPath(name).stem == one}
        if by_uid:
            wanted = {own.image_id(one)} if one in by_uid else {own.keyed("id", one)}
            assert named <= wanted
        else:
            wanted = named or {own.keyed("id", one)}
        assert {found[one]} == wanted
    known = [image for image in found.values() if image in {file.image_id for file in files.values()}]
    assert len(known) == len(set(known)) > 0


def test_one_patient_for_all_files_stops(own):
    one = {name: replace(file, patient="same") for name, file in made(own, "a.dcm", "b.dcm").items()}
    with pytest.raises(AnnotationError, match="All 2 DICOM files that make a picture name one and the same patient"):
        meant(own, one, "a", "b")
    assert len(meant(own, one | {"c.dcm": Made("k", own.image_id("9"))}, "a", "b")) == 2


def test_patients_and_studies_are_the_files_and_the_tables_under_pseudonyms(own):
    told = labels("a", "b", patient_id="0012", study_id="S1")
    rows = dicom_labels.under_pseudonyms(told, made(own, "a.dcm", "b.dcm"), own, name="train.csv").rows
    assert rows["patient_id"].to_list() == [own.patient("12")] * 2
    assert rows["file_patient"].to_list() == [own.patient("P1.2.3.0"), own.patient("P1.2.3.1")]
    assert rows["study_id"].to_list() == [own.keyed("study", uid) for uid in UIDS[:2]]
    assert not {"0012", "S1", "a"} & {cell for row in rows.drop("class_name").iter_rows() for cell in row}


def test_table_of_damaged_rows_alone_means_no_file(own):
    ragged = pl.DataFrame([{"line": 2, "code": "cells-miscounted", "reason": "two cells", "image_id": "a"}])
    told = of_table(pl.DataFrame({"line": [], "image_id": [], "class_name": []}), ragged)
    found = dicom_labels.under_pseudonyms(told, made(own, "a.dcm"), own, name="train.csv")
    assert (found.rows.height, found.rejected["image_id"].to_list()) == (0, [None])


def test_refused_file_takes_its_rows_along_and_is_a_refused_row_where_it_has_none(own):
    files = made(own, "a.dcm", "b.dcm", "c.dcm")
    refused = {name: Made(files[name].file, files[name].image_id, "multi-frame", "two") for name in ("b.dcm", "c.dcm")}
    found = dicom_labels.under_pseudonyms(labels("a", "b"), files | refused, own, name="train.csv")
    assert found.rows["image_id"].to_list() == [own.image_id("1.2.3.0")]
    assert found.rejected.select("line", "image_id", "code", "class_name").rows() == [
        (3, own.image_id("1.2.3.1"), "multi-frame", "a"),
        (None, own.image_id("1.2.3.2"), "dicom-multi-frame", None),
    ]


@pytest.mark.parametrize("turned", [False, True], ids=["sound first", "damaged first"])
def test_damaged_copy_of_a_file_takes_no_row_from_the_sound_one(own, turned):
    sound = made(own, "1.2.3.0.dcm")
    files = sound | {"copy.dcm": Made("k", own.image_id("1.2.3.0"), "cut-off", "it ends too soon")}
    files = dict(reversed(files.items())) if turned else files
    found = dicom_labels.under_pseudonyms(labels("1.2.3.0"), files, own, name="train.csv")
    assert (found.rows.height, found.rejected.height) == (1, 0)


def test_row_with_slipped_cells_keeps_known_ids_alone(own):
    ragged = pl.DataFrame(
        [
            {"line": 3, "code": "cells-miscounted", "reason": "two cells", "image_id": "a", "rad_id": "R0"},
            {"line": 4, "code": "cells-miscounted", "reason": "two cells", "image_id": "Smith", "rad_id": "John"},
        ]
    )
    told = of_table(pl.DataFrame([{"line": 2, "image_id": "a", "class_name": "x", "rad_id": "R0"}]), ragged)
    found = dicom_labels.under_pseudonyms(told, made(own, "a.dcm"), own, name="train.csv").rejected
    assert found.select("line", "image_id", "rad_id").rows() == [(3, own.image_id("1.2.3.0"), "R0"), (4, None, None)]


def test_labels_are_kept_as_they_are(own, tmp_path):
    ragged = pl.DataFrame([{"line": 9, "code": "not-utf-8", "reason": "it is not", "image_id": "a"}])
    told = of_table(pl.DataFrame([{"line": 2, "image_id": "a", "class_name": "x", "x_min": 1.5}]), ragged)
    hidden = dicom_labels.under_pseudonyms(told, made(own, "a.dcm"), own, name="train.csv")
    (tmp_path / "labels.parquet").write_bytes(kept.encode(hidden))

    read = kept.read(tmp_path / "labels.parquet", decimal=None)

    assert read.rows.equals(hidden.rows.select(read.rows.columns))
    assert read.rejected.equals(hidden.rejected)
    assert read.decimal is None
