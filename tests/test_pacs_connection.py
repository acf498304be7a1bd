"""What a request to a PACS may take, whatever the server does."""

import socket
import subprocess
import time
from http import HTTPStatus

import pytest

from pacs_tools import tool
from radloop.errors import PacsError, TransientPacsError
from radloop.pacs.connection import Connection, Limits
from radloop.pacs.credentials import Address, Credentials
from rude_server import drip, reply, rude_server

SECRET = "pass-4711"
LOGIN = Credentials(user="radloop", password=SECRET)


def connection(server, *, credentials=None, tls=False, **limits):
    address = Address(tls, "localhost" if tls else "127.0.0.1", server.port, "/dicom-web")
    limited = Limits(**{"seconds": 10, "tries": 1, **limits})
    return Connection(address, credentials or Credentials(), limited, pause=lambda seconds: None)


def ask(asking, **arguments):
    return asking.request("GET", "/studies?x", what="a search", accept="a/b", **arguments)


def test_server_that_drips_is_left_after_the_time_of_a_request():
    """tests/test_transport.py has all the ways to drip."""
    with rude_server(lambda connection, request: drip(connection, b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        started = time.monotonic()
        with pytest.raises(TransientPacsError, match=r"did not answer a search within 0\.2 s"):
            ask(connection(server, seconds=0.2))
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", id="told"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1001), id="untold"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + bytes(4096), id="chunked"),
    ],
)
def test_answer_that_is_too_large_is_not_taken(answer):
    with rude_server(lambda request: answer) as server:
        asking = connection(server, most_bytes=1000)
        with pytest.raises(PacsError, match="more than 1,000 bytes") as large:
            ask(asking)
    assert large.value.code == "too-large"


def test_packed_answer_is_not_unpacked():
    with (
        rude_server(lambda request: reply(b"x", content_encoding="gzip")) as server,
        pytest.raises(PacsError, match="packed"),
    ):
        ask(connection(server))


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX: y\r\n\r\n0123456789"


@pytest.mark.parametrize("length", range(len(ANSWER)))
def test_answer_that_is_cut_off_anywhere_is_none(length):
    def short(connection, request):
        connection.sendall(ANSWER[:length])

    with rude_server(short) as server, pytest.raises(TransientPacsError, match="cannot be reached"):
        ask(connection(server))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_failure_that_may_pass_is_tried_again(status):
    answers = [reply(status=status), reply(status=status), reply(b"there")]
    with rude_server(lambda request: answers.pop(0)) as server:
        assert ask(connection(server, tries=3)).body == b"there"
        assert server.connections == 1


def test_failure_that_stays_is_said_after_the_tries():
    with (
        rude_server(lambda request: reply(status=503)) as server,
        pytest.raises(TransientPacsError, match="answered 503 to a search, 2 times"),
    ):
        ask(connection(server, tries=2))
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 404, 409, 501, 202, 204])
def test_every_other_status_is_asked_for_once(status):
    with rude_server(lambda request: reply(status=status)) as server:
        assert ask(connection(server, tries=3)).status == status
    assert len(server.requests) == 1


def test_pause_grows_and_is_as_long_as_the_server_asks_for_within_reason():
    waited = []
    answers = [reply(status=503), reply(status=503, retry_after="3"), reply(status=503, retry_after="9999")]
    with rude_server(lambda request: answers.pop(0) if answers else reply()) as server:
        asking = connection(server, tries=4)
        asking._pause = waited.append
        ask(asking)
    assert waited == [0.25, 3.0, 30.0]


def test_connection_is_kept_and_opened_again_where_the_server_has_closed_it():
    def once(connection, request):
        connection.sendall(reply(b"a"))

    with rude_server(once) as server:
        asking = connection(server)
        assert [bytes(ask(asking).body) for _ in range(3)] == [b"a"] * 3
        assert server.connections == 3
    with rude_server(lambda request: reply(b"a")) as server:
        asking = connection(server)
        assert [bytes(ask(asking).body) for _ in range(3)] == [b"a"] * 3
        assert server.connections == 1


def test_server_that_refuses_a_body_before_its_end_is_heard():
    def refuse(connection, request):
        connection.sendall(reply(status=413))

    with rude_server(refuse) as server:
        answered = connection(server).request(
            "POST", "/", what="a storage", accept="*/*", body=[b"x"], headers={"Content-Length": "1"}
        )
    assert answered.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed_and_credentials_stay(status):
    with rude_server(lambda request: reply()) as elsewhere:
        location = f"http://127.0.0.1:{elsewhere.port}/x"
        with (
            rude_server(lambda request: reply(status=status, location=location)) as server,
            pytest.raises(PacsError, match="Give the address where it is") as redirected,
        ):
            ask(connection(server, credentials=LOGIN))
        assert redirected.value.code == "redirect"
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        pytest.param(LOGIN, b"Authorization: Basic cmFkbG9vcDpwYXNzLTQ3MTE=", id="basic"),
        pytest.param(Credentials(token="abc.def"), b"Authorization: Bearer abc.def", id="bearer"),
    ],
)
def test_credentials_are_sent_and_stand_in_no_error(credentials, header):
    with rude_server(lambda request: reply(status=401)) as server:
        with pytest.raises(PacsError, match="These credentials may not") as refused:
            ask(connection(server, credentials=credentials))
        with pytest.raises(PacsError, match="Name a file with credentials: --pacs-auth"):
            ask(connection(server))
    assert header in server.requests[0]
    assert b"Authorization" not in server.requests[1]
    assert refused.value.code == "unauthorized"
    assert SECRET not in f"{refused.value}{credentials!r}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, and what it says of a server and of a client."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run([tool("openssl"), *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA", "-days", "2")
    for name in ("server", "client"):
        (folder / "names").write_text("subjectAltName=DNS:localhost")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        made = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *made)
    return folder


@pytest.fixture
def tls(certificates):
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    return context


def test_server_is_trusted_by_the_ca_that_is_named_and_by_no_other(certificates, tls):
    with rude_server(lambda request: reply(b"a"), tls) as server:
        assert ask(connection(server, credentials=Credentials(ca=certificates / "ca.pem"), tls=True)).body == b"a"
        with pytest.raises(PacsError, match="cannot be trusted: self-signed certificate") as untrusted:
            ask(connection(server, tls=True, tries=3))
        named = Address(True, "127.0.0.1", server.port, "")
        asking = Connection(named, Credentials(ca=certificates / "ca.pem"), Limits())
        with pytest.raises(PacsError, match="certificate is not valid for"):
            ask(asking)
    assert untrusted.value.code == "untrusted"
    assert len(server.requests) == 1


@pytest.mark.parametrize("says_so", [True, False], ids=["says so", "does not say so"])
def test_connection_over_tls_that_the_server_has_closed_is_opened_again(certificates, tls, says_so):
    def once(connection, request):
        connection.sendall(reply(b"a"))
        if says_so:
            connection.unwrap()

    with rude_server(once, tls) as server:
        asking = connection(server, credentials=Credentials(ca=certificates / "ca.pem"), tls=True, tries=1)
        assert [ask(asking, body=[b"x"], headers={"Content-Length": "1"}).body for _ in range(3)] == [b"a"] * 3


def test_client_is_known_by_its_certificate(certificates, tls):
    import ssl

    tls.verify_mode = ssl.CERT_REQUIRED
    ours = Credentials(
        ca=certificates / "ca.pem", certificate=certificates / "client.pem", key=certificates / "client.key"
    )
    with rude_server(lambda request: reply(b"a"), tls) as server:
        assert ask(connection(server, credentials=ours, tls=True)).body == b"a"
        with pytest.raises(TransientPacsError):
            ask(connection(server, credentials=Credentials(ca=certificates / "ca.pem"), tls=True))


def test_handshake_that_never_ends_is_left(certificates):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = Address(True, "localhost", listening.getsockname()[1], "")
        asking = Connection(address, Credentials(ca=certificates / "ca.pem"), Limits(seconds=0.2, tries=1))
        with pytest.raises(TransientPacsError, match="did not answer"):
            ask(asking)
