"""What of a store is shown: of the dataset's splits, and of what came in."""

import polars as pl
import pytest

from dicom_files import gray
from incoming_unit import png, row
from memory_store import MemoryStore
from radloop import manifest, sums, tree
from radloop.catalog import incoming
from radloop.errors import StoreError
from radloop.pipelines.simulator import showing
from radloop.tables import INCOMING, MANIFEST


def store(*, changed: bool = False) -> MemoryStore:
    """One with two images of the dataset, and three that came in, of which it has one."""
    made = MemoryStore()
    own = [
        (f"{split}/images/{one}_R1.png", "image", one, "R1", split, 3, "0" * 32, "0" * 64)
        for one, split in (("t", "test"), ("b", "training"))
    ]
    made.objects["organized/manifest.parquet"] = manifest.encode(pl.DataFrame(own, schema=MANIFEST, orient="row"))
    pictures = {one: png(gray(64, 64, seed=seed, bits=8)) for seed, one in enumerate("abc")}
    rows = [
        row("a", pictures["a"], audit=True, recipe="r"),
        row("b", pictures["b"]),
        row("c", pictures["c"], held_out="test"),
    ]
    table = incoming.encode(pl.DataFrame(rows, schema=INCOMING))
    listed = [
        (f"images/{one}.png", "image", one, None, None, len(data), *sums.of(data)) for one, data in pictures.items()
    ]
    listed.append((tree.INCOMING, "table", None, None, None, len(table), *sums.of(table)))
    made.objects["organized/incoming/incoming.parquet"] = table[:-1] if changed else table
    made.objects["organized/incoming/manifest.parquet"] = manifest.encode(
        pl.DataFrame(listed, schema=MANIFEST, orient="row")
    )
    return made


def test_incoming_images_are_shown_with_their_split_and_recipe_unless_the_dataset_has_them():
    chosen = showing.choose(store(), ("incoming",))
    assert chosen.rows.select("key", "image_id", "split").rows() == [
        ("incoming/images/a.png", "a", "audit"),
        ("incoming/images/c.png", "c", "test"),
    ]
    assert chosen.recipes == {"a": "r", "c": None}


def test_incoming_images_are_shown_beside_a_split_or_not_at_all():
    assert showing.choose(store(), ("test", "incoming")).rows["image_id"].to_list() == ["a", "c", "t"]
    assert showing.choose(store(), ("test",)).rows["image_id"].to_list() == ["t"]


def test_table_that_is_not_what_the_manifest_lists_is_not_believed():
    with pytest.raises(StoreError, match=r"incoming.parquet is not what the manifest lists"):
        showing.choose(store(changed=True), ("incoming",))


def test_store_without_such_pictures_says_how_to_get_some():
    empty = store()
    del empty.objects["organized/incoming/manifest.parquet"]
    with pytest.raises(StoreError, match=r"holds no pictures of incoming. .* run `radloop ingest`"):
        showing.choose(empty, ("incoming",))
