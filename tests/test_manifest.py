"""The list of every file: encoding, reading what others wrote, and the version id."""

import hashlib
from pathlib import Path

import polars as pl
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop import manifest, sealed
from radloop.errors import DatasetError
from radloop.tables import MANIFEST


def row(key: str, kind: str = "label", md5: str = "d41d8cd98f00b204e9800998ecf8427e", **changes: object) -> dict:
    return {"key": key, "kind": kind, "image_id": None, "rad_id": None, "split": None, "bytes": 0, "md5": md5} | changes


def table(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=MANIFEST)


THREE = table(row("test/labels/a_R1.txt"), row("data.yaml", "yaml", "aa"), row("summary.json", "document", "bb"))


def test_manifest_reads_back_sorted_by_key() -> None:
    assert manifest.decode(manifest.encode(THREE), name="m").rows() == THREE.sort("key").rows()


def test_a_manifest_of_the_format_before_is_read_with_sha256_null_and_names_the_same_version() -> None:
    before = manifest.decode(sealed.encode(THREE.drop("sha256").sort("key")), name="m")
    assert before.schema == MANIFEST
    assert before.equals(THREE.sort("key"))
    filled = THREE.with_columns(sha256=pl.lit("0" * 64))
    assert manifest.version(before) == manifest.version(filled)


def test_same_rows_in_any_order_are_the_same_bytes_and_version() -> None:
    assert manifest.encode(THREE.reverse()) == manifest.encode(THREE)
    assert manifest.version(THREE.reverse()) == manifest.version(THREE)


def test_a_manifest_that_is_read_bit_by_bit_has_the_same_bytes_and_version() -> None:
    halves = [part.sort("key").lazy() for part in (THREE.head(1), THREE.tail(2))]
    by_key = halves[0].merge_sorted(halves[1], key="key")
    assert manifest.encode(by_key) == manifest.encode(THREE)
    assert manifest.version(by_key) == manifest.version(THREE)


def test_version_is_the_hash_that_its_docstring_says() -> None:
    lines = b"data.yaml\0aa\ntest/labels/a_R1.txt\0d41d8cd98f00b204e9800998ecf8427e\n"
    assert manifest.version(THREE) == hashlib.sha256(lines).hexdigest()[:16]


def test_version_ignores_documents_and_tables() -> None:
    more = pl.concat([THREE, table(row("rejected.csv", "document"), row("annotations.parquet", "table"))])
    assert manifest.version(more) == manifest.version(THREE)


@pytest.mark.parametrize("kind", ["image", "label", "yaml"])
def test_version_changes_with_each_byte_and_name_that_is_trained_on(kind: str) -> None:
    versions = {
        manifest.version(table(row("a", kind, "1"))),
        manifest.version(table(row("a", kind, "2"))),
        manifest.version(table(row("b", kind, "1"))),
        manifest.version(table()),
    }
    assert len(versions) == 4


@settings(max_examples=50, deadline=None)
@given(order=st.permutations([row(f"test/labels/{name}.txt", md5=name) for name in "abcdef"]))
def test_version_never_depends_on_order(order: list[dict]) -> None:
    assert manifest.version(table(*order)) == manifest.version(table(*reversed(order)))


@pytest.mark.parametrize(
    "key",
    ["a", "data.yaml", "test/images/a b_R1.png", "test/images/ä…_R1.png", "a..b/c..", "retrain/x"],
)
def test_key_that_stays_inside_is_safe(key: str) -> None:
    assert manifest.is_safe_key(key)


@pytest.mark.parametrize(
    "key",
    ["", None, "/etc/passwd", "..", "../a", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", "a\\b", "a\nb", "a\0b"],
)
def test_key_that_might_leave_is_unsafe(key: str | None) -> None:
    assert not manifest.is_safe_key(key)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "not a manifest", id="empty"),
        pytest.param(b"PAR1 and no more", "not a manifest", id="no parquet"),
        pytest.param(manifest.encode(THREE)[:-9], "not a manifest", id="cut"),
        pytest.param(sealed.encode(pl.DataFrame({"key": ["a"]})), "its columns are key", id="other columns"),
        pytest.param(sealed.encode(THREE.cast({"bytes": pl.Int32})), "not a manifest", id="other types"),
        pytest.param(sealed.encode(table(row("../../.ssh/config"))), "unsafe key '../../.ssh/config'", id="a way out"),
        pytest.param(sealed.encode(table(row("a"), row("a"))), "a key twice", id="a key twice"),
        pytest.param(sealed.encode(table(row("a") | {"key": None})), "unsafe key None", id="no key"),
    ],
)
def test_hostile_manifest_is_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(DatasetError) as refused:
        manifest.decode(data, name="store:organized/manifest.parquet")
    assert says in str(refused.value)
    assert "store:organized/manifest.parquet" in str(refused.value)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(DatasetError):
        manifest.decode(data, name="m")


@settings(max_examples=500, deadline=None)
@given(place=st.integers(0, 4000), bit=st.integers(0, 7))
def test_a_manifest_with_one_bit_changed_is_refused_before_it_is_parsed(place: int, bit: int) -> None:
    data = bytearray(manifest.encode(THREE))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(DatasetError, match="damaged"):
        manifest.decode(bytes(data), name="m")


def test_sealed_manifest_is_a_parquet_file_for_every_reader(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(manifest.encode(THREE))
    assert pl.read_parquet(tmp_path / "m.parquet").rows() == THREE.sort("key").rows()
    assert pyarrow.parquet.read_table(tmp_path / "m.parquet").num_rows == THREE.height


def test_folder_without_manifest_has_none(tmp_path: Path) -> None:
    assert manifest.read(tmp_path) is None


def test_manifest_of_a_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / manifest.NAME).write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=str(tmp_path / manifest.NAME)):
        manifest.read(tmp_path)


@pytest.mark.parametrize("name", ["manifest.parquet", "data.yaml"])
def test_dataset_is_the_folder_itself_or_its_organized_child(tmp_path: Path, name: str) -> None:
    (tmp_path / "organized").mkdir()
    (tmp_path / "organized" / name).write_bytes(b"")
    assert manifest.unit_root(tmp_path) == tmp_path / "organized"
    (tmp_path / name).write_bytes(b"")
    assert manifest.unit_root(tmp_path) == tmp_path


def test_folder_without_dataset_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Run `radloop transform`"):
        manifest.unit_root(tmp_path)


@given(st.lists(st.none() | st.text("a./\\\0\n\x1f\x20é…", max_size=8), min_size=1))
def test_many_keys_are_judged_as_each_alone(keys: list[str | None]) -> None:
    unsafe = manifest.unsafe_keys(pl.Series(keys, dtype=pl.String))
    assert unsafe.to_list() == [not manifest.is_safe_key(key) for key in keys]
