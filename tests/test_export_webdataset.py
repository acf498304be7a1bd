"""WebDataset: each image once, with its own bytes and the boxes of its readers, in shards of a size."""

import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

import exports
from radloop.catalog import version
from radloop.dataset.export import webdataset
from radloop.errors import DatasetError
from radloop.tables import SPLITS


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return exports.organized(tmp_path_factory.mktemp("loop"))


def written(dataset, folder, *, most_bytes=10**9, **asked):
    webdataset.write(exports.read(dataset, **asked), folder, most_bytes=most_bytes)
    return {path.name: members(path) for path in sorted(folder.iterdir())}


def members(path):
    """Each file in a shard and its bytes."""
    with tarfile.open(path) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]


def test_every_image_is_in_one_shard_of_its_split_with_its_bytes_and_boxes(dataset, tmp_path):
    shards = written(dataset, tmp_path)
    assert list(shards) == sorted(f"{split}-000000.tar" for split in SPLITS)
    md5s = {row["image_id"]: (row["split"], row["md5"]) for row in version.read(dataset).images.to_dicts()}
    found, pictures = [], {}
    for name, tar in shards.items():
        for member, data in tar:
            image_id, _, ending = member.name.partition(".")
            if ending == "json":
                label = json.loads(data)
                assert (label["image_id"], f"{label['split']}-000000.tar") == (image_id, name)
                for box in label["boxes"]:
                    corners = [round(edge * exports.SIDE, 6) for edge in box["xyxy_norm"]]
                    found.append((image_id, box["class_name"], box["rad_id"], *corners))
            else:
                assert ending == "png"
                pictures[image_id] = (label["split"], exports.md5(data))
    assert pictures == md5s
    assert sorted(found) == exports.drawn(dataset)


def test_headers_tell_no_time_and_no_owner(dataset, tmp_path):
    for tar in written(dataset, tmp_path).values():
        assert {(one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) for one, _ in tar} == {
            (0, 0, 0, "", "", 0o644)
        }


def test_shards_hold_no_more_than_they_may_and_together_the_same(dataset, tmp_path):
    most = 12_000  # three or four of the pictures
    shards = written(dataset, tmp_path, most_bytes=most, splits=("training",))
    assert len(shards) > 2
    names = [member.name for _, tar in sorted(shards.items()) for member, _ in tar]
    assert names == [
        f"{image_id}.{ending}"
        for image_id in exports.read(dataset).of("training")[0]["image_id"]
        for ending in ("json", "png")
    ]
    for tar in shards.values():
        assert sum(member.size for member, _ in tar if member.name.endswith(".png")) <= most


@given(st.lists(st.text(".%2E25ab", min_size=1, max_size=6), unique=True, min_size=2, max_size=9))
def test_sample_names_have_no_dot_and_stay_distinct(image_ids):
    names = [webdataset.sample_name(image_id) for image_id in image_ids]
    assert len(set(names)) == len(names)
    assert not any("." in name for name in names)


def test_picture_whose_bytes_are_others_stops_it(dataset, tmp_path):
    out = tmp_path / "loop"
    root = exports.organized(out)
    chosen = exports.read(root)
    path = next((root / "test" / "images").iterdir())
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="its MD5 is another"):
        webdataset.write(chosen, tmp_path, most_bytes=10**9)
