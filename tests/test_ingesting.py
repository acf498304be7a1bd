"""New pictures come in beside a dataset: compared with all that it holds and held out, published, never half there."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, PngImagePlugin

import dicom_files
import incoming_unit
import made_up
from incoming_unit import png
from planted_text import plant, radiograph
from radloop import cli, files, manifest, tree
from radloop.catalog import incoming, tombstones, version
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import BusyError, DatasetError, SourceError, StrictError
from radloop.options import Etl, Ingest, Load, Pull, Simulate, Transform
from radloop.pipelines import checking, ingesting, offline, online
from radloop.pipelines.arrivals.registering import Register
from radloop.pipelines.ingesting import REFUSED_FILE
from radloop.split_sizes import SplitSizes

SIZES = SplitSizes.parse("training=18,validation=4,test=6,staging=4,canary=2,production=6")


def picture(seed: int) -> bytes:
    return png(dicom_files.gray(64, 64, seed=seed, bits=8))


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def _built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    films = made_up.films(folder / "films")
    patients = {row["image_id"]: f"patient {row['image_id'][:6]}" for row in made_up.rows(films)}
    made_up.write_rows(films, [row | {"patient_id": patients[row["image_id"]]} for row in made_up.rows(films)])
    offline.etl(Etl(out=folder / "out", source=str(films), sizes=SIZES, jobs=1))
    return folder


@pytest.fixture
def place(_built, tmp_path) -> Path:
    """A folder with a dataset in `out`, its `films`, and `new`, which is empty."""
    shutil.copytree(_built, tmp_path, dirs_exist_ok=True, copy_function=os.link)
    (tmp_path / "new").mkdir()
    return tmp_path


def ingest(place: Path, **told):
    return ingesting.ingest(Ingest(out=place / "out", from_=str(place / "new"), jobs=1, **told))


def images(place: Path, split: str) -> list[str]:
    own = version.images(version.read(place / "out").annotations)
    return own.filter(split=split)["image_id"].sort().to_list()


def put(place: Path, name: str, data: bytes) -> None:
    dicom_files.write(place / "new", name, data)


def patients(place: Path, **told: str) -> Path:
    """A table for --patients: whose each image is."""
    listed = place / "patients.csv"
    listed.write_text("image_id,patient_id\n" + "".join(f"{image_id},{who}\n" for image_id, who in told.items()))
    return listed


def refused(place: Path) -> dict[str, str]:
    """{file: code} of the last run, as only OUT/private tells it."""
    return dict(pl.read_csv(place / "out" / REFUSED_FILE).select("place", "code").iter_rows())


def rows(place: Path) -> dict[str, dict]:
    return {row["image_id"]: row for row in incoming.read(place / "out/organized").iter_rows(named=True)}


def test_pictures_come_in_without_text_and_lie_in_the_store_too(place):
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", "Anna Planted")
    buffer = io.BytesIO()
    Image.fromarray(dicom_files.gray(64, 64, seed=1, bits=8)).save(buffer, "PNG", pnginfo=info)
    put(place, "a.png", buffer.getvalue())
    put(place, "sub/b.png", picture(2))
    done = ingest(place, audit_share=0)
    assert (done.new, done.known, done.splits, done.images) == (2, 0, {"incoming": 2}, 2)
    unit = content(place / "out/organized/incoming")
    assert set(unit) == {"images/a.png", "images/b.png", tree.INCOMING, manifest.NAME}
    assert b"Planted" not in b"".join(unit.values())
    assert content(place / "out/store/organized/incoming") == unit


def test_second_run_is_nothing_new_and_changes_no_byte(place):
    for seed in range(5):
        put(place, f"{seed}.png", picture(seed))
    ingest(place)
    before = content(place / "out/organized")
    again = ingest(place, audit_share=1)
    assert (again.new, again.known) == (0, 5)
    assert content(place / "out/organized") == before


def test_picture_like_one_of_the_dataset_is_in_its_group_under_any_name_and_in_any_gray_scale(place):
    films = place / "films/train"
    held, trains, production = (images(place, split)[0] for split in ("test", "training", "production"))
    for name, image_id in (("h", held), ("t", trains), ("p", production)):
        gray = np.asarray(Image.open(films / f"{image_id}.png").convert("L"))
        put(place, f"{name}.png", png((30 + gray * 0.8).astype(np.uint8)[:, ::-1]))
    put(place, "new.png", picture(3))
    ingest(place, audit_share=1)
    found = {name: (row["held_out"], row["audit"]) for name, row in rows(place).items()}
    assert found == {"h": ("test", False), "t": (None, False), "p": (None, False), "new": (None, True)}
    groups = dict(version.images(version.read(place / "out").annotations).select("image_id", "group").iter_rows())
    assert [rows(place)[name]["group"] for name in "htp"] == [groups[one] for one in (held, trains, production)]


def test_held_out_patient_is_recognized_by_the_clear_id_which_stays_in_memory(place):
    held = images(place, "canary")[0]
    put(place, "a.png", picture(1))
    put(place, "b.png", picture(2))
    done = ingest(place, patients=patients(place, a=f"patient {held[:6]}", b="somebody else"), audit_share=0)
    assert {name: row["held_out"] for name, row in rows(place).items()} == {"a": "canary", "b": None}
    assert done.patients == 2
    everything = content(place / "out")
    assert not [name for name, data in everything.items() if b"somebody else" in data]


def test_picture_of_a_training_patient_is_no_audit_where_the_table_of_the_dataset_tells_it(place):
    trains = images(place, "training")[0]
    put(place, "a.png", picture(1))
    put(place, "b.png", picture(2))
    ingest(place, patients=patients(place, a=f"patient {trains[:6]}", b="somebody else"), audit_share=1)
    assert {name: row["audit"] for name, row in rows(place).items()} == {"a": False, "b": True}
    groups = dict(version.images(version.read(place / "out").annotations).select("image_id", "group").iter_rows())
    assert rows(place)["a"]["group"] == groups[trains]


def test_without_the_key_of_what_came_in_before_nothing_comes_in(place):
    put(place, "a.dcm", dicom_files.dicom(dicom_files.gray(64, 64, seed=1)))
    ingest(place, audit_share=0)
    before = content(place / "out/organized")
    shutil.rmtree(place / "out/private")
    with pytest.raises(SourceError, match=r"key is missing, .*its patients would not be recognized\. Bring"):
        ingest(place)
    shutil.rmtree(place / "out/organized/incoming")  # as on another machine, which knows the store alone
    with pytest.raises(SourceError, match="key is missing"):
        ingest(place)
    assert (
        content(place / "out/store/organized/incoming").items()
        <= {key.removeprefix("incoming/"): data for key, data in before.items()}.items()
    )


@pytest.mark.parametrize("told", ["0{}", "{}.0", "{}"])
def test_held_out_patient_is_recognized_by_another_way_to_write_the_id(place, told):
    held = images(place, "test")[0]
    films = place / "films"
    ids = sorted({row["image_id"] for row in made_up.rows(films)})
    made_up.write_rows(films, [row | {"patient_id": f"00{ids.index(row['image_id'])}"} for row in made_up.rows(films)])
    offline.etl(Etl(out=place / "out", source=str(films), sizes=SIZES, jobs=1))
    put(place, "a.dcm", dicom_files.dicom(dicom_files.gray(seed=1), PatientID=told.format(ids.index(held))))
    ingest(place, audit_share=0)
    assert [row["held_out"] for row in rows(place).values()] == ["test"]


def test_patient_that_is_told_after_the_picture_came_in_counts(place):
    held = images(place, "test")[0]
    put(place, "a.png", picture(1))
    put(place, "b.png", picture(2))
    ingest(place, audit_share=0)
    listed = patients(place, a=f"patient {held[:6]}", b=f"patient {held[:6]}")
    assert ingest(place, patients=listed, audit_share=0).known == 2
    assert [row["held_out"] for row in rows(place).values()] == ["test", "test"]
    before = content(place / "out/organized")
    ingest(place, patients=listed, audit_share=0)
    assert content(place / "out/organized") == before
    assert content(place / "out/store/organized/incoming") == content(place / "out/organized/incoming")


def test_later_picture_of_a_patient_shares_the_group_and_its_fate(place):
    listed = patients(place, a="one", b="one")
    put(place, "a.png", picture(1))
    ingest(place, patients=listed, audit_share=1)
    put(place, "b.png", picture(2))
    ingest(place, patients=listed, audit_share=0)
    assert [(row["group"], row["audit"]) for row in rows(place).values()] == [("a", True), ("a", True)]


def test_dicom_comes_in_under_pseudonyms_by_the_recipe_that_was_asked_for(place):
    put(place, "Planted^Anna.dcm", dicom_files.dicom(dicom_files.gray(seed=1), number=1, PatientName="Planted^Anna"))
    put(place, "IM0002", dicom_files.dicom(dicom_files.gray(seed=2), number=2, PatientID="P00001"))
    put(place, "report.dcm", b"\0" * 128 + b"DICM and nothing else")
    put(place, "README", b"passed over")
    done = ingest(place, audit_share=0)
    assert (done.new, done.refused.height, done.patients) == (2, 1, 1)
    first, second = rows(place).values()
    assert first["group"] == second["group"]
    assert (first["width"], first["height"], first["recipe"]) == (48, 60, "vinbigdata@1,size=1024,ratio=stretched")
    assert any("another recipe" in note for note in done.notes)
    public = {name: data for name, data in content(place / "out").items() if not name.startswith("private/")}
    for told in (b"Planted", b"P00001", dicom_files.ROOT.encode()):
        assert not [name for name, data in public.items() if told in data or told.decode() in name]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        pytest.param("a.png", b"", "picture", id="empty"),
        pytest.param("a.png", picture(1)[:-30], "picture", id="cut off"),
        pytest.param("a.png", picture(1)[:60] + b"\0" + picture(1)[61:], "picture", id="changed"),
        pytest.param("a.jpg", b"\xff\xd8\xff\xd9", "picture", id="no jpeg"),
        pytest.param("a\n.png", picture(1), "file", id="line break in its name"),
        pytest.param("a.dcm", b"hello", "not-dicom", id="no DICOM"),
    ],
)
def test_hostile_file_is_refused_and_counted_and_the_others_come_in(place, name, data, code):
    put(place, name, data)
    put(place, "good.png", picture(2))
    done = ingest(place)
    assert (done.new, done.refused["code"].to_list()) == (1, [code])
    table = pl.read_csv(place / "out" / REFUSED_FILE)
    assert table["code"].to_list() == [code]
    assert (place / "out" / REFUSED_FILE).stat().st_mode & 0o077 == 0


def test_link_that_leads_out_is_refused(place):
    (place / "secret.png").write_bytes(picture(1))
    (place / "secret.dcm").write_bytes(dicom_files.dicom(dicom_files.gray()))
    (place / "new/a.png").symlink_to(place / "secret.png")
    (place / "new/b.dcm").symlink_to(place / "secret.dcm")
    assert ingest(place).refused["code"].to_list() == ["file", "file"]


def test_image_id_of_another_picture_is_refused_and_what_is_there_stays(place):
    own = images(place, "training")
    put(place, "a.png", picture(1))
    ingest(place)
    put(place, "a.png", picture(2))
    put(place, f"{own[0]}.png", picture(3))
    shutil.copy(place / f"films/train/{own[1]}.png", place / "new")
    done = ingest(place)
    assert refused(place) == {
        "a.png": "image-changed",
        f"{own[0]}.png": "image-id-taken",
    }
    assert (done.new, done.known) == (0, 1)
    assert (place / "out/organized/incoming/images/a.png").read_bytes() == picture(1)


def test_what_was_forgotten_does_not_come_in_again(place):
    put(place, "a.png", picture(1))
    put(place, "b.png", picture(2))
    gone = ingest(place) and incoming.read(place / "out/organized").filter(image_id="b")
    stones = tombstones.made(
        pl.concat([gone.select("image_id", "pixels_md5"), pl.DataFrame({"image_id": ["c"], "pixels_md5": ["x"]})]),
        salt="s",
        now=gone["arrived_at"][0],
        reason="asked for",
    )
    shutil.rmtree(place / "out/organized/incoming")
    shutil.rmtree(place / "out/store/organized/incoming")
    files.write_atomic(place / "out" / tree.TOMBSTONES, tombstones.encode(stones))
    put(place, "b again.png", picture(2))
    put(place, "c.png", picture(3))
    ingest(place)
    assert refused(place) == dict.fromkeys(["b.png", "b again.png", "c.png"], "forgotten")
    assert set(rows(place)) == {"a"}


def test_strict_takes_nothing_in_where_a_file_is_refused(place):
    put(place, "a.png", picture(1))
    put(place, "Planted.png", b"no picture")
    before = content(place / "out/organized")
    with pytest.raises(StrictError, match="1 file refused") as stopped:
        ingest(place, strict=True)
    assert "Planted" not in str(stopped.value)
    assert content(place / "out/organized") == before
    (place / "new/Planted.png").unlink()
    assert ingest(place, strict=True).new == 1


def test_dry_run_tells_the_same_and_writes_nothing(place):
    put(place, "a.png", picture(1))
    put(place, "b.dcm", dicom_files.dicom(dicom_files.gray()))
    before = content(place / "out")
    foreseen = ingest(place, dry_run=True, audit_share=0)
    assert content(place / "out") == before
    done = ingest(place, audit_share=0)
    assert (foreseen.new, foreseen.splits, foreseen.done) == (done.new, done.splits, False)


def test_without_a_dataset_nothing_comes_in(tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(DatasetError, match="holds no dataset, and without one nobody knows what is held out"):
        ingest(tmp_path)


def test_dicom_without_pydicom_stops_the_run(place, monkeypatch):
    put(place, "a.png", picture(1))
    assert ingest(place).new == 1
    put(place, "b.dcm", dicom_files.dicom(dicom_files.gray()))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(SourceError, match=r"pip install 'radloop\[dicom\]'"):
        ingest(place)


def test_folder_without_pictures_or_without_a_folder_stops_the_run(place):
    with pytest.raises(SourceError, match="holds no picture"):
        ingest(place)
    (place / "new").rmdir()
    with pytest.raises(SourceError, match="is not a folder"):
        ingest(place)


def test_second_run_at_once_is_refused(place):
    put(place, "a.png", picture(1))
    with files.locked(place / "out"), pytest.raises(BusyError):
        ingest(place)


def test_what_another_machine_published_is_brought_here_and_stays_in_the_store(place, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(place, other, dirs_exist_ok=True)
    store = str(place / "out/store")
    put(place, "a.png", picture(1))
    ingest(place, audit_share=1)
    put(other, "b.png", picture(2))
    put(other, "a too.png", picture(1))
    ingest(other, store=store, audit_share=0)
    assert {name: (row["group"], row["audit"]) for name, row in rows(other).items()} == {
        "a": ("a", True),
        "a too": ("a", True),
        "b": ("b", False),
    }
    assert content(Path(store) / "organized/incoming") == content(other / "out/organized/incoming")
    put(place, "c.png", picture(3))
    ingest(place, audit_share=0)
    assert set(rows(place)) == {"a", "a too", "b", "c"}


def test_two_pictures_of_one_name_on_two_machines_stop_the_run(place, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(place, other, dirs_exist_ok=True)
    put(place, "a.png", picture(1))
    ingest(place)
    put(other, "a.png", picture(2))
    ingest(other)
    with pytest.raises(DatasetError, match=r"image a came in here and in .* with two pictures"):
        ingest(other, store=str(place / "out/store"))


def test_two_pictures_that_changed_names_on_another_machine_stop_the_run(place, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(place, other, dirs_exist_ok=True)
    for folder, names in ((place, "ab"), (other, "ba")):
        for number, name in enumerate(names, 1):
            put(folder, f"{name}.png", picture(number))
        ingest(folder)
    with pytest.raises(DatasetError, match=r"image a came in here and in .* with two pictures"):
        ingest(other, store=str(place / "out/store"))


def test_next_version_of_the_dataset_keeps_the_unit_byte_for_byte(place):
    put(place, "a.png", picture(1))
    ingest(place)
    before = content(place / "out/organized/incoming")
    offline.transform(Transform(out=place / "out", sizes=SIZES, labels="consensus", jobs=1))
    offline.load(Load(out=place / "out", jobs=1, allow_shrink=True))
    assert content(place / "out/organized/incoming") == before
    assert content(place / "out/store/organized/incoming") == before


def test_register_sees_what_another_run_took_in_meanwhile(place):
    register = Register(place / "out")
    register.refresh()
    put(place, "a.png", picture(1))
    ingest(place)
    register.refresh()
    assert register.table["image_id"].to_list() == ["a"]
    assert register.images(["a"])["split"][0] in ("incoming", "audit")


def test_pull_brings_the_unit_where_it_is_asked_for_and_takes_nothing_away(place, tmp_path_factory):
    put(place, "a.png", picture(1))
    ingest(place)
    store, out = str(place / "out/store"), tmp_path_factory.mktemp("pulled") / "out"
    offline.pull(Pull(out=out, store=store))
    assert not (out / "organized/incoming").exists()
    offline.pull(Pull(out=out, store=store, splits=("incoming",)))
    assert content(out / "organized/incoming") == content(place / "out/organized/incoming")
    part = offline.pull(Pull(out=out, store=store, splits=("test", "incoming")))
    assert content(out / "organized/incoming") == content(place / "out/organized/incoming")
    assert part.received_files == 0
    put(place, "b.png", picture(2))
    ingesting.ingest(Ingest(out=out, from_=str(place / "new"), store=str(out / "store of its own"), jobs=1))
    with pytest.raises(DatasetError, match=r"1 image came in to .* and not to"):
        offline.pull(Pull(out=out, store=store, splits=("incoming",)))


def test_simulator_shows_what_came_in_and_its_feedback_says_so(place):
    held = images(place, "staging")[0]
    shutil.copy(place / f"films/train/{held}.png", place / "new/copy.png")
    put(place, "a.png", picture(1))
    ingest(place, audit_share=1)
    (place / "new/a.png").unlink()
    put(place, "b.dcm", dicom_files.dicom(dicom_files.gray(seed=2)))
    ingest(place, audit_share=0)
    done = simulate(place, "incoming")
    assert done.pictures == 3
    said = {told["image_id"]: (told["split"], told.get("recipe")) for told in feedback(place)}
    made = next(image_id for image_id in said if image_id not in ("a", "copy"))
    recipe = "vinbigdata@1,size=1024,ratio=stretched"
    assert said == {"copy": ("staging", None), "a": ("audit", None), made: ("incoming", recipe)}
    shutil.rmtree(place / "out/feedback")
    assert simulate(place, "incoming,test").pictures == 3 + len(images(place, "test"))


def simulate(place: Path, splits: str):
    return online.simulate(
        Simulate(
            out=place / "out",
            splits=tuple(splits.split(",")),
            load_pattern="1",
            stage_seconds=0.5,
            arrival="poisson:40",
            inference_ms=0,
            jobs=1,
        )
    )


def feedback(place: Path):
    return [json.loads(path.read_bytes()) for path in (place / "out/feedback").glob("*.json")]


def test_check_judges_the_unit_in_a_folder_and_in_a_store(place):
    put(place, "a.png", picture(1))
    put(place, "b.png", picture(2))
    ingest(place)
    unit = place / "out/organized/incoming"
    found = checking.check(place / "out")
    assert found.sound
    assert found.counts["incoming/pictures"] == 2
    (unit / "images/a.png").unlink()
    (unit / "images/a.png").write_bytes(picture(3))
    files.write_atomic(unit / incoming.ARRIVING, b"")
    rules = checking.check(place / "out").violations.select("rule", "key").rows()
    assert rules == [
        ("file-changed", "incoming/images/a.png"),
        ("file-unlisted", "incoming/arriving.parquet"),
        ("ingest-unfinished", "incoming/arriving.parquet"),
    ]


def test_check_finds_what_is_held_out_and_free_to_train(place):
    put(place, "a.png", picture(1))
    ingest(place)
    root = place / "out/organized"
    group = version.read(root).annotations.filter(split="test")["group"][0]
    incoming_unit.write(root, incoming.read(root).with_columns(group=pl.lit(group)))
    found = checking.check(root).violations
    assert found["rule"].to_list() == ["incoming-leak"]
    assert "its group is held out in test" in found["detail"][0]


def test_names_that_look_like_a_persons_stop_before_anything_is_taken_in(place):
    for name in ("Doe_John", "4711471", "1971-04-23"):
        (place / "new" / f"{name}.png").write_bytes(picture(901))
        with pytest.raises(SourceError, match="--names hide") as stopped:
            ingest(place)
        assert name not in str(stopped.value)
        assert incoming.read(place / "out/organized").is_empty()
        (place / "new" / f"{name}.png").unlink()


def test_names_are_hidden_behind_pseudonyms_and_lead_back(place):
    (place / "new" / "Doe_John.png").write_bytes(picture(901))
    (place / "new" / "Roe_Jane.png").write_bytes(picture(902))
    listed = patients(place, Doe_John="one", Roe_Jane="two")
    done = ingest(place, patients=listed, names="hide")
    table = incoming.read(place / "out/organized")
    assert (done.new, done.patients, done.notes) == (2, 2, ())
    own = Pseudonyms.open(place / "out")
    assert {own.back(one).sop_instance_uid for one in table["image_id"]} == {"Doe_John", "Roe_Jane"}
    assert ingest(place, patients=listed, names="hide").known == 2


def test_a_picture_with_text_in_it_waits_for_a_person(place):
    put(place, "a.png", png(plant(radiograph(0), "DOE^JOHN 1971", px=24)))
    done = ingest(place)
    assert (done.new, done.refused["code"].to_list()) == (0, ["held"])
    waiting = place / "out/private/quarantine/waiting/a.png"
    waiting.rename(waiting.parent.parent / "released/a.png")
    assert ingest(place).new == 1


def test_no_name_of_a_file_stands_in_what_is_printed(place, capsys):
    put(place, "Planted.png", b"no picture")
    put(place, "Planted^Anna.dcm", b"no DICOM")
    with pytest.raises(SystemExit) as ended:
        cli.main(["ingest", "--from", str(place / "new"), "--out", str(place / "out"), "--json"])
    assert ended.value.code == 0
    printed = capsys.readouterr()
    assert "picture" in printed.out
    assert "Planted" not in printed.out + printed.err
    (place / "elsewhere").mkdir()
    shutil.copy(place / "films/train" / f"{images(place, 'test')[0]}.png", place / "elsewhere")
    (place / "new/Planted").symlink_to(place / "elsewhere")
    with pytest.raises(SourceError, match="no folder behind a link is read") as stopped:
        ingest(place)
    assert "Planted" not in str(stopped.value)


def test_store_with_another_version_of_the_dataset_is_told_of(place, tmp_path_factory):
    put(place, "a.png", picture(1))
    assert not any("holds version" in note for note in ingest(place).notes)
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(place, other, dirs_exist_ok=True)
    offline.transform(Transform(out=other / "out", sizes=SIZES, labels="consensus", jobs=1))
    offline.load(Load(out=other / "out", jobs=1, allow_shrink=True))
    notes = ingest(place, store=str(other / "out/store")).notes
    assert [note for note in notes if "what was held out since is not known here" in note]


def test_folder_of_a_picture_with_text_in_it_is_its_owners_alone(place):
    put(place, "a.png", png(plant(radiograph(0), "DOE^JOHN")))
    assert ingest(place).refused["code"].to_list() == ["held"]
    made = [place / "out/private", *(place / "out/private").rglob("*")]
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_key_that_others_can_read_stops_the_run_before_any_file_is_refused_for_it(place):
    put(place, "a.dcm", dicom_files.dicom(dicom_files.gray(seed=1)))
    Pseudonyms.open(place / "out")
    (place / "out/private/key").chmod(0o644)
    with pytest.raises(SourceError, match="chmod 600"):
        ingest(place)
