"""Pictures come from their folder only, whole, and as the window asks."""

import io
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from starlette.requests import Request

from radloop.dashboard import addresses, pictures, serving
from radloop.errors import SourceError
from radloop.options import Dashboard


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


def test_link_to_itself_is_refused(folder):
    (folder / "circle.png").symlink_to("circle.png")
    with pytest.raises(SourceError):
        pictures.find(None, folder, "circle")


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


# ---- by their address ------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(folder, tmp_path, monkeypatch):
    """What the server answers to an address."""
    told = Dashboard(out=tmp_path, images=folder)
    monkeypatch.setattr(serving, "options", lambda: told)

    def answer(address: str, **headers: str):
        path, _, query = address.partition("?")
        return serving.picture(
            Request(
                {
                    "type": "http",
                    "method": "GET",
                    "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
                    "query_string": query.encode(),
                    "path_params": {"name": path.removeprefix("/radloop/picture/")},
                }
            )
        )

    return answer


@pytest.mark.parametrize(("px", "kind"), [(None, "image/png"), (256, "image/jpeg"), (1600, "image/jpeg")])
def test_address_of_a_picture_is_kept_for_ever_and_another_picture_has_another(folder, ask, px, kind):
    address = pictures.url(None, folder, "a", px)
    found = ask(address)
    assert (found.status_code, found.media_type) == (200, kind)
    assert found.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert ask(address.partition("v=")[0]).headers["cache-control"] == "private, no-cache"
    assert ask(address, **{"if-none-match": found.headers["etag"]}).status_code == 304
    png(folder / "train" / "a.png", np.full((21, 30), 100, np.uint8))
    assert pictures.url(None, folder, "a", px) != address
    assert ask(address).headers["cache-control"] == "private, no-cache"


def test_address_holds_the_base_path_and_no_host(folder, monkeypatch):
    assert pictures.url(None, folder, "a").startswith("/radloop/picture/a.png?v=")
    monkeypatch.setattr(st, "get_option", {"server.baseUrlPath": "/reads/"}.get)
    assert pictures.url(None, folder, "a", 256).startswith("/reads/radloop/picture/a.jpg?px=256&v=")


@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_picture_has_the_gray_values_of_its_source(folder, ask, bits):
    values = (np.arange(600).reshape(20, 30) * (1 if bits == 8 else 109)).astype(np.uint8 if bits == 8 else np.uint16)
    png(folder / "deep.png", values)
    found = ask(pictures.url(None, folder, "deep"))
    assert found.headers["x-radloop-bits"] == str(bits)
    sent = np.asarray(Image.open(io.BytesIO(found.body)))
    assert np.array_equal(sent if bits == 8 else sent[..., 0].astype(np.uint16) << 8 | sent[..., 1], values)


def test_module_of_the_desk_is_kept_for_ever_under_the_address_of_its_version():
    def part(name: str):
        return serving.module(Request({"type": "http", "method": "GET", "headers": [], "path_params": {"name": name}}))

    version = addresses.desk().rpartition("/")[2]
    assert "immutable" in part(f"{version}/desk.js").headers["cache-control"]
    assert part("desk.js").headers["cache-control"] == "no-cache"
    for name in ("component.py", f"{version}/component.py", f"{version}/../desk.js", "0/desk.js", ""):
        assert part(name).status_code == 404


def test_window_of_an_address_is_that_of_the_picture(folder, ask):
    png(folder / "w.png", np.repeat(np.array([[50, 150]], np.uint8), 15, axis=1).repeat(20, axis=0))
    found = ask(pictures.url(None, folder, "w", 1600, window=(50, 150)))
    assert np.asarray(Image.open(io.BytesIO(found.body)))[0, [0, -1]] == pytest.approx([0, 255], abs=3)


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "a.jpg?px=4000", "a.jpg?px=1e3", "a.png?px=256", "a.gif", "a", "a.jpg?px=1600&low=9&high=9",
     f"a.jpg?px=1600&low=0&high={10**30}", "none.png", "../secret.png", "train/a.png"],
)  # fmt: skip
def test_address_of_nothing_is_answered_in_a_sentence(ask, name):
    found = ask(name)
    assert (found.status_code, found.media_type) == (404, "text/plain")
    assert found.body.endswith(b".\n")


def test_address_of_a_damaged_picture_is_answered_in_a_sentence(folder, ask):
    path = folder / "train" / "a.png"
    address = pictures.url(None, folder, "a")
    path.write_bytes(path.read_bytes()[:-20])
    assert (ask(address).status_code, b"was refused" in ask(address).body) == (404, True)
