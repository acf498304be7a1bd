"""Who asks a PACS, and where."""

import pytest

from radloop.errors import UsageError
from radloop.pacs.credentials import Address, Credentials

SECRET = "pass-4711"


@pytest.fixture
def auth(tmp_path):
    """Writes a file of --pacs-auth."""

    def write(text, mode=0o600):
        path = tmp_path / "pacs.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://pacs.hospital.org/dicom-web", "https://pacs.hospital.org/dicom-web"),
        ("dicomweb:http://127.0.0.1:8042/dicom-web/", "http://127.0.0.1:8042/dicom-web"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("HTTPS://Pacs:443/a", "https://pacs/a"),
    ],
)
def test_address_is_read(text, shown):
    assert str(Address.parse(text)) == shown
    assert Address.parse(shown) == Address.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "pacs", "ftp://pacs/a", "https://", "https://pacs:port/a", "https://pacs/a?token=1", "https://pacs/a b", "x:"],
)
def test_address_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="such as dicomweb:https://pacs"):
        Address.parse(text)


def test_address_with_credentials_is_refused_without_showing_them():
    with pytest.raises(UsageError, match="--pacs-auth") as refused:
        Address.parse(f"https://radloop:{SECRET}@pacs/a")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ('user = "a"\npassword = "b"', "Basic YTpi"),
        ('token = "abc"', "Bearer abc"),
        ("", None),
        ("plain_http = true", None),
    ],
)
def test_file_says_who_asks(auth, text, header):
    assert Credentials.read(auth(text)).authorization == header


def test_pem_files_lie_beside_the_file(auth, tmp_path):
    (tmp_path / "me.pem").touch(0o600)
    read = Credentials.read(auth('certificate = "me.pem"\nca = "/etc/ca.pem"'))
    assert str(read.certificate) == str(tmp_path / "me.pem")
    assert str(read.ca) == "/etc/ca.pem"


@pytest.mark.parametrize(
    "text",
    [
        f'user = "{SECRET}"',
        f'password = "{SECRET}"',
        f'user = "a"\npassword = "{SECRET}"\ntoken = "b"',
        f'token = "{SECRET}\\r\\nX-Admin: 1"',
        f'user = "a:b"\npassword = "{SECRET}"',
        f'key = "{SECRET}"',
        f'pasword = "{SECRET}"',
        f"token = {SECRET}",
        'token = ""',
        "token = 7",
        b"\xff\xfe",
        pytest.param("[" * 5000, id="deep"),
    ],
)
def test_file_that_cannot_be_meant_is_refused_without_a_word_of_it(auth, text):
    with pytest.raises(UsageError, match="it has to be a TOML file with user and password, or token, or") as refused:
        Credentials.read(auth(text))
    assert SECRET not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o601])
def test_file_that_others_can_read_is_refused(auth, mode):
    with pytest.raises(UsageError, match="can be read by others than its owner: chmod 600"):
        Credentials.read(auth('token = "abc"', mode))


def test_key_that_others_can_read_is_refused(auth, tmp_path):
    (tmp_path / "me.key").touch()
    (tmp_path / "me.key").chmod(0o644)
    (tmp_path / "me.pem").touch(0o644)
    with pytest.raises(UsageError, match=r"me\.key can be read by others"):
        Credentials.read(auth('certificate = "me.pem"\nkey = "me.key"'))


def test_file_that_is_missing_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"pacs\.toml cannot be read: No such file"):
        Credentials.read(tmp_path / "pacs.toml")


@pytest.mark.parametrize("host", ["pacs", "10.0.0.7", "127.0.0.1.evil.org", "localhost.evil.org"])
def test_secret_goes_in_clear_only_where_it_is_said(host):
    address = Address.parse(f"http://{host}/dicom-web")
    with pytest.raises(UsageError, match="would be sent the credentials in clear: use https"):
        Credentials(token="abc").context(address)
    assert Credentials(token="abc", plain_http=True).context(address) is None
    assert Credentials().context(address) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_secret_may_go_in_clear_within_this_machine(host):
    assert Credentials(token="abc").context(Address.parse(f"http://{host}:8042/dicom-web")) is None


def test_pem_file_that_is_none_is_said(tmp_path):
    (tmp_path / "ca.pem").write_text("no PEM")
    for ca in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        with pytest.raises(UsageError, match="the certificates of --pacs-auth cannot be used"):
            Credentials(ca=ca).context(Address.parse("https://pacs/a"))
