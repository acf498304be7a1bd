"""No name leaves the house: 500 identifiers in 100 files, none of them in anything that is not OUT/private."""

import gzip
import hashlib
import io
import zipfile
from datetime import date
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
import pydicom
import pytest

import app_pages
import planted_chain
import planted_identifiers
import watched_pacs
from memory_pacs import MemoryPacs
from planted_chain import LABELLED, NEW, RECIPE, SIZES
from planted_identifiers import ALL, FILES, found, identifiers
from radloop import sealed, tags
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.options import Dashboard
from radloop.recipe import Recipe

PNG = range(10)
NAME, BORN, NUMBER, UID, STUDIED = identifiers(7).values()


def zipped(data):
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.txt", data)
    return into.getvalue()


def as_npz(data):
    into = io.BytesIO()
    np.savez_compressed(into, told=np.frombuffer(data, np.uint8))
    return into.getvalue()


@pytest.mark.parametrize("one", [NAME, BORN, NUMBER, UID, STUDIED], ids=planted_identifiers.KINDS)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "packed",
    [bytes, gzip.compress, zipped, as_npz, lambda data: b"\0" + data.upper(), lambda data: b"{" + data.lower() + b"}"],
    ids=["plain", "gzip", "zip", "npz", "upper case", "lower case"],
)
def test_the_search_finds_every_kind_in_every_encoding(tmp_path, one, encoding, packed):
    (tmp_path / "file").write_bytes(packed(one.encode(encoding)))
    assert one in found(tmp_path)


@pytest.mark.parametrize("one", [NAME, BORN, NUMBER, UID, STUDIED], ids=planted_identifiers.KINDS)
def test_the_search_looks_into_tables_and_names_of_files(tmp_path, one):
    (tmp_path / "sealed.parquet").write_bytes(sealed.encode(pl.DataFrame({"a": [f"x {one}"]})))
    assert one in found(tmp_path)
    (tmp_path / "sealed.parquet").write_bytes(sealed.encode(pl.DataFrame({"a": [[{"b": one}]]})))
    assert one in found(tmp_path)
    (tmp_path / "sealed.parquet").rename(tmp_path / f"{one}.txt").write_bytes(b"")
    assert one in found(tmp_path)


def test_the_search_knows_a_hash_without_a_key():
    digest = hashlib.sha256(f"radloop patient\0{NUMBER}".encode()).hexdigest()
    assert f"{NUMBER} (unkeyed hash)" in found(f"group {digest[:16]} …")


def test_the_search_looks_into_the_chunks_of_a_png(tmp_path):
    path, *_ = planted_identifiers.pictures(tmp_path, [7])
    clean = path.rename(tmp_path / "clean.png")
    assert {NAME, BORN, NUMBER, UID, STUDIED} <= found(tmp_path).keys()
    clean.write_bytes(tags.without_tags(clean.read_bytes()))
    assert found(tmp_path) == {}


@pytest.mark.slow
def test_five_hundred_identifiers_stand_in_a_hundred_files(tmp_path):
    paths = planted_identifiers.plant(tmp_path)
    assert len(paths) == FILES
    assert len(set(ALL)) == 500
    assert set(ALL) <= found(tmp_path).keys()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The whole loop on those files: the dataset of some, the others new, feedback, a round, the next version."""
    made = planted_chain.hospital(tmp_path_factory.mktemp("house"))
    out, source = made.out, f"dicom:{made.folder / 'labelled'}"
    made.run("etl", "--out", out, "--source", source, "--recipe", RECIPE, "--sizes", SIZES, "--jobs", 1)
    made.run("ingest", "--out", out, "--from", made.folder / "new", "--jobs", 1)
    planted_identifiers.pictures(made.folder / "png", PNG)
    made.run("ingest", "--out", out, "--from", made.folder / "png", "--jobs", 1, exits=(1,))
    made.run("ingest", "--out", out, "--from", made.folder / "png", "--names", "hide", "--jobs", 1)
    simulated = ("--splits", "incoming,production,test", "--detector", "random", "--load-pattern", "2")
    round_ = out / "organized" / "retrain" / "retrain.csv"
    for seed in range(20):  # until it has something to say on what may train
        made.run("simulate", "--out", out, *simulated, "--stage-seconds", 0.5, "--seed", seed, "--jobs", 1, "--json")
        made.run("review", "--out", out, "--simulated", "--jobs", 1, "--json")
        made.run("retrain", "--out", out, "--allow-simulated", "--jobs", 1)
        if round_.exists():
            break
    made.run("etl", "--out", out, "--source", source, "--recipe", RECIPE, "--add", round_, "--jobs", 1, "--json")
    return made


@pytest.mark.slow
def test_no_identifier_is_in_a_file_outside_private_in_the_store_or_in_what_was_said(house):
    images = pl.read_parquet(house.out / "organized" / "incoming" / "incoming.parquet")
    assert images.height == len(NEW) + len(PNG)
    assert images["patient"].drop_nulls().n_unique() == len(NEW)
    assert len(planted_identifiers.files_of(house.out)) > 300
    assert {"retrain.csv", "incoming.parquet", "online_data.log", "files.jsonl"} <= {
        path.name for path in planted_identifiers.files_of(house.out)
    }
    assert found(house.out, *house.said.values()) == {}


@pytest.mark.slow
def test_private_alone_knows_who_is_who(house):
    assert not [path for path in (house.out / "store").rglob("*") if "private" in path.parts[-2:]]
    known = found(house.out / "private")
    assert {identifiers(index)["UID"] for index in range(FILES)} <= known.keys()
    assert {identifiers(index)["number"] for index in range(FILES)} <= known.keys()
    for path in (house.out / "private").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name


@pytest.mark.slow
def test_dates_are_moved_back(house):
    studied = {identifiers(index)["UID"]: identifiers(index)["study date"] for index in LABELLED}
    own = Pseudonyms.open(house.out)
    made = pl.read_parquet(house.out / "raw" / "files.parquet").drop_nulls("study_date")
    moved = [
        (date.fromisoformat(studied[own.back(image_id).sop_instance_uid]) - day).days
        for image_id, day in made.select("image_id", "study_date").iter_rows()
    ]
    assert len(moved) >= len(LABELLED) - 1  # that of the year 5 may lie before the year 1
    assert all(1 <= days <= 3650 for days in moved)
    assert len(set(moved)) > 30


@pytest.mark.slow
def test_no_identifier_is_in_what_other_commands_write_or_say(house, tmp_path):
    image = next(iter((house.out / "organized" / "incoming" / "images").iterdir())).stem
    house.run("check", house.out, "--json")
    house.run("check", house.out / "store", exits=(0, 1))
    house.run("evaluate", "--out", house.out, "--json")
    house.run("explain", image, "--out", house.out)
    house.run("export", "--out", house.out, "--format", "coco", "--json")
    house.run("pull", "--out", tmp_path / "elsewhere", "--store", house.out / "store")
    assert not (tmp_path / "elsewhere" / "private").exists()
    assert found(house.out, tmp_path, *house.said.values()) == {}


@pytest.mark.slow
def test_no_identifier_is_in_a_report_or_in_what_a_watcher_writes_and_says(house, capfd):
    paths = sorted((house.folder / "new").rglob("*.dcm"))[::2]
    pacs = MemoryPacs(*(path.read_bytes() for path in paths))
    watched = watched_pacs.watch(house.out, pacs, recipe=Recipe.parse(RECIPE))
    assert watched.reports == len(pacs.reports) == len(paths)
    images = {str(image.StudyInstanceUID): image for image in map(pydicom.dcmread, paths)}
    reports = [pydicom.dcmread(io.BytesIO(data)) for data in pacs.reports]
    words = [planted_identifiers.of_nobody_else(one, images[str(one.StudyInstanceUID)]) for one in reports]
    assert all("random" in text for text in words)
    assert found(house.out, *words, str(watched), *capfd.readouterr()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("page", app_pages.PAGES)
def test_no_identifier_is_on_a_page(page, house):
    inputs = Dashboard(
        out=house.out,
        dataset=house.out / "organized",
        feedback=house.out / "feedback",
        reviews=house.out / "reviews",
        retrain=house.out / "organized" / "retrain" / "retrain.csv",
        log=house.out / "logs" / "online_data.log",
    )
    shown = [str(app._tree.get("main")) + str(app) for app in app_pages.every_view(app_pages.opened(page, inputs))]
    assert max(map(len, shown)) > 500
    assert found(*shown) == {}


@pytest.mark.slow
def test_no_identifier_is_in_the_words_about_what_is_refused(house, tmp_path):
    """Files that are damaged, tables that do not fit, options that are wrong."""
    new = planted_chain.hospital(tmp_path / "new")
    own = identifiers(NEW[0])
    for index, path in enumerate(sorted((new.folder / "new").rglob("*.dcm"))):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if index % 3 else data[:200] + own["name"].encode() + data[220:])
    new.run("etl", "--out", new.out, "--source", f"dicom:{new.folder / 'new'}", exits=(1, 2))
    table = new.folder / "labelled" / "train.csv"
    sound = table.read_text()
    for wrong in (
        sound.replace(identifiers(0)["UID"], f"{identifiers(0)['UID']}.9"),
        sound.partition("\n")[2],
        sound.replace(identifiers(1)["UID"], own["name"]),
    ):
        table.write_text(wrong)
        for more in ((), ("--strict",), ("--max-refused", 1)):
            asked = ("--source", f"dicom:{new.folder / 'labelled'}", "--recipe", RECIPE, "--sizes", SIZES, "--jobs", 1)
            new.run("etl", "--out", new.out, *asked, *more, exits=(0, 1, 2, 3))
    house.run("ingest", "--out", house.out, "--from", new.folder / "new", "--jobs", 1, exits=(0, 1))
    house.run("ingest", "--out", house.out, "--from", new.folder / "new", "--strict", "--jobs", 1, exits=(3,))
    words = [*new.said.values(), *house.said.values()]
    assert found(new.out, house.out, *words) == {}


def test_no_image_of_a_container_takes_the_private_folder():
    lines = (Path(__file__).parent.parent / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"  # nothing goes in but what is named

    def taken(path):
        parts, inside = PurePosixPath(path).parts, True
        for rule in rules:
            pattern = rule.removeprefix("!").removeprefix("**/")
            heads = parts if "**/" in rule else ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
            if any(fnmatch(head, pattern) for head in heads):
                inside = rule.startswith("!")
        return inside

    assert taken("src/radloop/cli.py")
    for out in ("data", "radloop-demo", "src/data", "deployment/docker/input", "."):
        assert not taken(f"{out}/private/key")
