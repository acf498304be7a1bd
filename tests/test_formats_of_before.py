"""What earlier radloops wrote, read by this one: the loop goes on, and what is written anew tells its format.

tests/formats/<day>.tar.xz holds a source, OUT and a store, as main of that day wrote them (`radloop extract`,
`transform`, `load`, `simulate`, `review --simulated`, `retrain`) of the source of tests/formats/source.py.
"""

import io
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest

from radloop import formats, manifest, sealed
from radloop.catalog import version
from radloop.errors import DatasetError, NewerFormatError
from radloop.options import Extract, Load, Pull, Retrain, Transform
from radloop.pipelines import checking, offline, retraining
from radloop.tables import MANIFEST

DAYS = ["2026-11-23", "2026-11-29", "2026-11-30"]
FIXTURES = Path(__file__).parent / "formats"


@pytest.fixture(params=DAYS)
def before(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(FIXTURES / f"{request.param}.tar.xz") as tar:
        tar.extractall(tmp_path, filter="tar")
    return tmp_path


def told(path: Path) -> int:
    """The format that a file tells."""
    if path.suffix == ".json":
        return int(json.loads(path.read_bytes()).get(formats.FIELD, 0))
    return int(pl.read_parquet_metadata(path).get(formats.METADATA, "0"))


def is_kept(name: str) -> bool:
    """Whether it stays what it was when an earlier radloop wrote it: a kept version, a round's reviews."""
    return "organized/versions/" in name or "/rounds/" in name


def files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dataset_of_before_is_sound_and_pulled_as_it_lies(before: Path) -> None:
    for place in (before / "out", before / "store"):
        assert [*checking.check(place).violations["rule"]] == []
    old = manifest.read(before / "store" / "organized")
    assert old is not None
    assert old["sha256"].null_count() == old.height
    pulled = offline.pull(Pull(out=before / "here", store=str(before / "store")))
    assert pulled.version == manifest.version(old)
    name = "organized/manifest.parquet"
    assert (before / "here" / name).read_bytes() == (before / "store" / name).read_bytes()


def test_the_loop_goes_on_from_what_was_written_before(before: Path) -> None:
    out, store = before / "out", before / "store"
    old = version.read(out / "organized")
    offline.extract(Extract(out=out, source=str(before / "source")))
    offline.transform(Transform(out=out, store=str(store)))
    offline.load(Load(out=out, store=str(store)))
    new = version.read(out / "organized")
    assert new.images.select("image_id", "split", "md5").equals(old.images.select("image_id", "split", "md5"))
    assert manifest.version(new.files) == manifest.version(old.files)
    assert new.files["sha256"].null_count() == 0
    done = retraining.retrain(Retrain(out=out, store=str(store)))
    assert done.report["reviews_used"] > 0
    for place in (out, store):
        assert [*checking.check(place).violations["rule"]] == []
    for unit in ("organized", "organized/retrain"):
        for place in (out, store):
            assert told(place / unit / "manifest.parquet") == formats.MANIFEST.number


def test_every_file_that_the_loop_writes_is_in_the_table_and_tells_its_number(before: Path) -> None:
    out, store = before / "out", before / "store"
    people = {path for name, path in files(out).items() if name.startswith(("feedback/", "reviews/"))}
    offline.extract(Extract(out=out, source=str(before / "source")))
    offline.transform(Transform(out=out, store=str(store)))
    offline.load(Load(out=out, store=str(store)))
    retraining.retrain(Retrain(out=out, store=str(store)))
    wrong = []
    for place in (out, store):
        for name, path in files(place).items():
            known = formats.of(name)
            if known is None and not name.endswith(".png"):
                wrong.append(name)
            elif known and known.tells != "nothing" and path not in people and not is_kept(name):
                wrong += [f"{name}: {told(path)} instead of {known.number}"] * (told(path) != known.number)
    assert wrong == []


def newer(table: pl.DataFrame, number: int) -> bytes:
    return sealed.encode(table, number=number)


def test_what_a_newer_radloop_wrote_is_refused_with_the_way_out() -> None:
    table = MANIFEST.to_frame().with_columns(sha512=pl.lit(None, pl.String))
    with pytest.raises(NewerFormatError, match=r"store: manifest was written by a newer radloop \(format 3, this one"):
        manifest.decode(newer(table, 3), name="store: manifest")
    with pytest.raises(DatasetError, match=r"summary.json was written by a newer radloop \(format 2, .*: upgrade"):
        version.summary_of(b'{"schema_version": 2, "splits": {}}', name="here")


def test_what_tells_no_format_or_an_earlier_one_is_read() -> None:
    formats.require_json(b"{}", name="x")
    formats.require_json(b"no json", name="x")  # another's to refuse
    table = pl.DataFrame({"a": [1]})
    for number in (1, 2):
        assert sealed.decode(newer(table, number), up_to=2).equals(table)
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", statistics=False)  # as it was before there were numbers
    sealed._seal(buffer)
    assert sealed.decode(buffer.getvalue()).equals(table)


@pytest.mark.parametrize(("pattern", "known"), formats.FILES.items())
def test_the_upgrade_page_tells_every_number(pattern: str, known: formats.Format) -> None:
    page = (Path(__file__).parents[1] / "docs" / "upgrading.md").read_text(encoding="utf-8")
    number = "none" if known.tells == "nothing" else str(known.number)
    assert f"| `{pattern}` | {number} |" in page
