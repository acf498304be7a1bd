"""What a container's health check is told, and what is said of a dashboard that other machines reach."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from starlette.requests import Request

import small_loop
from radloop import manifest, tree
from radloop.dashboard import serving
from radloop.options import Dashboard

ASKED = Request({"type": "http", "headers": []})


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> Dashboard:
    return small_loop.run(tmp_path_factory.mktemp("loop"))


def told(monkeypatch, chosen: Dashboard) -> tuple[int, bytes]:
    monkeypatch.setattr(serving, "options", lambda: chosen)
    answer = serving.health(ASKED)
    return answer.status_code, answer.body


def test_dataset_that_can_be_read_is_green(loop, monkeypatch):
    assert told(monkeypatch, loop) == (200, b"ok\n")


@pytest.mark.parametrize("name", [manifest.NAME, tree.ANNOTATIONS])
def test_dataset_that_is_damaged_is_red_and_tells_no_path(loop, tmp_path, monkeypatch, name):
    damaged = tmp_path / "organized"
    shutil.copytree(loop.dataset_folder, damaged)
    (damaged / name).write_bytes(b"damaged")
    assert told(monkeypatch, dataclasses.replace(loop, dataset=damaged)) == (503, b"the dataset cannot be read\n")


def test_dataset_that_is_not_there_yet_is_green_where_a_first_load_makes_it(tmp_path, monkeypatch):
    assert told(monkeypatch, Dashboard(out=tmp_path)) == (200, b"no dataset yet\n")
    assert told(monkeypatch, Dashboard(out=tmp_path / "not" / "mounted"))[0] == 503
    assert told(monkeypatch, Dashboard(out=tmp_path, dataset=tmp_path / "boxes.csv"))[0] == 503


@pytest.mark.parametrize(
    ("host", "published", "exposed"),
    [
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("10.1.2.3", None, True),
        ("0.0.0.0", "127.0.0.1", False),
        ("0.0.0.0", "0.0.0.0", True),
    ],
)
def test_dashboard_that_other_machines_reach_is_known_by_the_address_it_is_published_on(host, published, exposed):
    assert Dashboard(out=Path(), host=host, published=published).exposed == exposed


def test_what_it_means_is_said_by_whether_it_asks_for_a_token():
    chosen = Dashboard(out=Path(), host="0.0.0.0")
    assert "travel unencrypted" in serving.exposure(chosen)
    assert "asks nobody" in serving.exposure(dataclasses.replace(chosen, auth="none"))
