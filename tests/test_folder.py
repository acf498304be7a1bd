import zipfile

import pytest

from radloop.errors import SourceError
from radloop.sources import folder


@pytest.fixture
def source(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "source"

    return make


def test_train_csv_goes_before_scaled_boxes(source):
    found = folder.find(source("train.csv", "scaled_bounding_boxes.csv", "train_meta.csv", "train/a1.png"))
    assert found.annotations.name == "train.csv"
    assert found.sizes.name == "train_meta.csv"
    assert found.pictures.name == "train"
    assert (found.name, found.boxes) == ("folder", "auto")


def test_named_annotations_go_before_all(source, tmp_path):
    (tmp_path / "mine.csv").touch()
    found = folder.find(source("train.csv", "a1.png"), annotations=tmp_path / "mine.csv", boxes="scaled")
    assert found.annotations == tmp_path / "mine.csv"
    assert found.boxes == "scaled"


def test_sizes_beside_the_annotations_go_first(source, tmp_path):
    for name in ("mine.csv", "train_meta.csv"):
        (tmp_path / name).touch()
    found = folder.find(source("train_meta.csv", "a1.png"), annotations=tmp_path / "mine.csv")
    assert found.sizes == tmp_path / "train_meta.csv"


@pytest.mark.parametrize(
    ("names", "pictures"),
    [
        pytest.param(("train/a1.png", "images/a1.png", "a1.png"), "train", id="train"),
        pytest.param(("train/notes.txt", "images/a1.JPG"), "images", id="images"),
        pytest.param(("train/notes.txt", "a1.jpeg"), "source", id="itself"),
    ],
)
def test_pictures_are_found(source, names, pictures):
    assert folder.find(source("scaled_bounding_boxes.csv", *names)).pictures.name == pictures


@pytest.mark.parametrize("hidden", ["train/._a.png", "train/.thumbnails/a.png", "train/.a.JPG"])
def test_hidden_files_choose_no_folder(source, hidden):
    assert folder.find(source("scaled_bounding_boxes.csv", "images/a1.png", hidden)).pictures.name == "images"


@pytest.mark.parametrize("deep", ["train/a/a1.png", "train/a/b/c/a1.jpg", "train/a.png/a1.png"])
def test_pictures_in_folders_within_choose_a_folder(source, deep):
    assert folder.find(source("scaled_bounding_boxes.csv", "images/a1.png", deep)).pictures.name == "train"


def test_compressed_annotations_are_found(source):
    assert folder.find(source("train.csv.gz", "a1.png")).annotations.name == "train.csv.gz"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SourceError, match="nowhere is not a folder"):
        folder.find(tmp_path / "nowhere")


def test_missing_annotations_list_what_was_looked_for(source):
    with pytest.raises(SourceError, match=r"none of train\.csv, .*scaled_bounding_boxes\.csv.* --annotations"):
        folder.find(source("a1.png"))


def test_named_annotations_must_be_a_file(source, tmp_path):
    with pytest.raises(SourceError, match=r"absent\.csv does not exist"):
        folder.find(source("a1.png"), annotations=tmp_path / "absent.csv")


def test_missing_pictures_list_what_was_looked_for(source):
    with pytest.raises(SourceError, match=r"no picture \(\.png, .*train/.*images/"):
        folder.find(source("train.csv"))


def test_pictures_in_a_zip_are_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        packed.writestr("a.png", b"")
    with pytest.raises(SourceError, match=r"set\.zip is a zip\. Unpack it and pass the folder: only labels are read"):
        folder.find(tmp_path / "set.zip")
