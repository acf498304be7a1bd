"""Pictures come from their folder only, whole, and as the window asks."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radloop.dashboard import pictures
from radloop.errors import SourceError


def png(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    png(tmp_path / "in" / "train" / "a.png", np.full((20, 30), 100, np.uint8))
    png(tmp_path / "secret.png", np.zeros((20, 20), np.uint8))
    return tmp_path / "in"


def test_picture_is_found_in_the_usual_folders(folder):
    assert pictures.find(None, folder, "a").name == "a.png"


@pytest.mark.parametrize("image_id", ["../secret", "/etc/passwd", "train/a", "..", "", "a\0b", "a\\b"])
def test_id_that_is_a_path_is_refused(folder, image_id):
    with pytest.raises(SourceError, match="no image id"):
        pictures.find(None, folder, image_id)


@pytest.mark.parametrize("target", ["../secret.png", "../../in/train/a.png"], ids=["outside", "back inside"])
def test_link_is_followed_only_inside_the_folder(folder, target):
    (folder / "b.png").symlink_to(target)
    if target.startswith("../secret"):
        with pytest.raises(SourceError, match="link out of its folder"):
            pictures.find(None, folder, "b")
    else:
        with pytest.raises(SourceError):
            pictures.find(None, folder, "b")


def test_linked_folder_outside_is_refused(folder, tmp_path):
    (folder / "images").symlink_to(tmp_path)
    with pytest.raises(SourceError, match="link out of its folder"):
        pictures.find(None, folder, "secret")


def test_window_stretches_its_gray_values_over_black_to_white():
    values = np.array([[0, 50, 100, 150, 255]], np.uint8)
    assert pictures.windowed(values, (50, 150)).tolist() == [[0, 0, 127, 255, 255]]
    assert pictures.windowed(values, pictures.FULL_WINDOW).tolist() == values.tolist()


def test_damaged_picture_says_so(folder):
    path = folder / "train" / "a.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"a\.png was refused"):
        pictures.jpeg(path)


def test_changed_picture_is_read_again(folder):
    path = folder / "train" / "a.png"
    before = pictures.jpeg(path)
    png(path, np.full((20, 31), 200, np.uint8))
    assert pictures.jpeg(path) != before


def test_small_picture_has_the_films_proportions(folder):
    data = pictures.proportions(folder / "train" / "a.png", (2000, 1000), 100)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (100, 50)
