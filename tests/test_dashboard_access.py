"""The token's file, the names that the gate knows, and who a reader is."""

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from streamlit.testing.v1 import AppTest

from radloop import settings
from radloop.dashboard import tokens
from radloop.dashboard.gate import Access, Gate
from radloop.errors import UsageError
from radloop.options import Dashboard


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_token_is_made_once_for_its_owner_alone(tmp_path):
    token, note = tokens.keep(tmp_path / "reviews")
    assert (len(token) >= 32, note) == (True, None)
    assert tokens.keep(tmp_path / "reviews") == (token, None)
    assert mode(tmp_path / "reviews" / tokens.NAME) == 0o600
    assert mode(tmp_path / "reviews") == 0o750
    assert os.listdir(tmp_path / "reviews") == [tokens.NAME]


def test_all_who_make_it_at_once_have_the_same(tmp_path):
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(tokens.keep(tmp_path)[0])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(set(made))) == (16, 1)


@pytest.mark.parametrize("exposed", [0o604, 0o640, 0o620])
def test_token_that_others_could_read_or_write_is_replaced_and_said(tmp_path, exposed):
    old, _ = tokens.keep(tmp_path)
    (tmp_path / tokens.NAME).chmod(exposed)
    new, note = tokens.keep(tmp_path)
    assert new != old
    assert "could be read by others" in note
    assert new not in note
    assert mode(tmp_path / tokens.NAME) == 0o600
    assert tokens.keep(tmp_path) == (new, None)


def test_folder_that_everybody_can_write_reviews_into_is_said(tmp_path, capsys):
    chosen = Dashboard(reviews=tmp_path / "reviews")
    tokens.of(chosen)
    assert capsys.readouterr().err == ""
    (tmp_path / "reviews").chmod(0o777)
    tokens.of(chosen)
    assert "every user of this machine can write reviews" in capsys.readouterr().err


def test_token_that_cannot_be_kept_says_what_to_do(tmp_path):
    (tmp_path / "reviews").touch()
    with pytest.raises(UsageError, match="set RADLOOP_TOKEN"):
        tokens.of(Dashboard(reviews=tmp_path / "reviews"))


def test_token_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "theirs").write_text("a-token-that-they-know\n")
    (tmp_path / tokens.NAME).symlink_to("theirs")
    with pytest.raises(UsageError, match="is a link and was refused"):
        tokens.keep(tmp_path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_token_that_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / tokens.NAME)
    with pytest.raises(UsageError, match="is no file and was refused: remove it"):
        tokens.keep(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
def test_token_of_another_user_is_refused(tmp_path):
    tokens.keep(tmp_path)
    os.chown(tmp_path / tokens.NAME, 4711, 4711)
    with pytest.raises(UsageError, match="belongs to user 4711"):
        tokens.keep(tmp_path)


@pytest.mark.parametrize("held", [b"", b"\0" * 64, b"\xff" * 64, b"many short words", b"a" * 15])
def test_file_without_a_token_is_refused(tmp_path, held):
    path = tmp_path / tokens.NAME
    path.touch(0o600)
    path.write_bytes(held)
    with pytest.raises(UsageError, match="holds no token"):
        tokens.keep(tmp_path)


@pytest.mark.parametrize(
    ("address", "public", "known", "unknown"),
    [
        pytest.param(
            "127.0.0.1", None, ["localhost", "127.0.0.1", "[::1]"], ["10.0.0.1", "reads.org", ""], id="loopback"
        ),
        pytest.param("10.0.0.1", None, ["10.0.0.1", "localhost"], ["10.0.0.2", "reads.org"], id="one address"),
        pytest.param("0.0.0.0", None, ["10.0.0.1", "[fe80::1]"], ["reads.org", "10.0.0.1.evil.org"], id="everywhere"),
        pytest.param("127.0.0.1", "reads.org", ["reads.org"], ["evil.org", "a.reads.org"], id="public name"),
    ],
)
def test_host_is_known_by_the_address_and_the_public_name(address, public, known, unknown):
    access = Access(token="t", address=address, public_name=public)
    assert [name for name in known if not access.knows_host(name)] == []
    assert [name for name in unknown if access.knows_host(name)] == []


def answer(access: Access, **headers: str) -> int:
    """The status of what a browser that has the token is answered."""
    statuses = []

    async def send(message):
        statuses.append(message.get("status"))

    named = {"host": "reads.org", "authorization": "Bearer t"} | headers
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http", "server": None}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in named.items()]
    asyncio.run(Gate(PlainTextResponse("in"), lambda: access)(scope, None, send))
    return statuses[0]


@pytest.mark.parametrize("host", ["reads.org", "127.0.0.1:8501"], ids=["kept", "put in its place by the proxy"])
def test_other_port_of_the_public_name_is_another_site(host):
    access = Access(token="t", public_name="reads.org")
    assert answer(access, host=host, origin="https://reads.org") == 200
    assert answer(access, host=host, origin="https://reads.org:8443") == 403


def test_token_is_taken_from_the_environment_and_stands_on_no_command_line_and_in_no_text(monkeypatch):
    monkeypatch.setenv("RADLOOP_TOKEN", "a-token-of-our-own")
    chosen = settings.parse(Dashboard, [])
    assert chosen.token == "a-token-of-our-own"
    assert "a-token-of-our-own" not in " ".join(settings.words(chosen)) + repr(chosen)
    monkeypatch.setenv("RADLOOP_TOKEN", "too short")
    with pytest.raises(UsageError, match="RADLOOP_TOKEN: a token has 16") as refused:
        settings.parse(Dashboard, [])
    assert "too short" not in str(refused.value)


@pytest.mark.parametrize(
    "given", ["--auth=password", "--auth=header:", "--auth=header:Authorization", "--auth=header:a b",
              "--public-name=http://reads.org", "--public-name=reads.org:80", "--adjudicators=anna,b.n"]
)  # fmt: skip
def test_access_that_cannot_be_meant_is_named(given):
    with pytest.raises(UsageError, match=given.partition("=")[0]):
        settings.parse(Dashboard, [given])


def script(inputs):
    import streamlit as st

    from radloop.dashboard import identity
    from radloop.errors import UsageError

    try:
        st.write(f"reader: {identity.reader_id(inputs)}")
    except UsageError as nobody:
        st.error(str(nobody))


@pytest.mark.parametrize(
    ("auth", "headers", "told"),
    [
        pytest.param("token", {"X-Remote-User": "anna"}, "reader: None", id="no proxy is asked"),
        pytest.param("header:X-Remote-User", {"X-Remote-User": "anna-7"}, "reader: anna-7", id="named"),
        pytest.param("header:x-remote-user", {"X-Remote-User": "anna-7"}, "reader: anna-7", id="in any case"),
        pytest.param("header:X-Remote-User", {}, "names nobody", id="nobody"),
        pytest.param(
            "header:X-Remote-User", {"X-Remote-User": "a@b.org"}, "'a@b.org', which is no Reader ID", id="mail"
        ),
    ],
)
def test_reader_is_whom_the_proxy_names(auth, headers, told, monkeypatch):
    from streamlit.runtime.context import ContextProxy, StreamlitHeaders

    monkeypatch.setattr(ContextProxy, "headers", StreamlitHeaders(headers.items()))
    test = AppTest.from_function(script, args=(Dashboard(auth=auth),)).run()
    assert told in "".join(part.value for part in (*test.markdown, *test.error))


def test_everybody_may_adjudicate_unless_some_are_named():
    from radloop.dashboard import identity

    assert identity.may_adjudicate(Dashboard(), "anna")
    assert identity.may_adjudicate(Dashboard(adjudicators=("anna", "ben")), "ben")
    assert not identity.may_adjudicate(Dashboard(adjudicators=("anna",)), "ben")
