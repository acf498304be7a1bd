"""The Kaggle source: the official `kaggle` command fetches VinBigData; a second run goes on where the first stopped.

    FOLDER/train.csv, train_meta.csv, train/*.png     what the next step reads
    FOLDER/download.json                              written last: how many pictures were unpacked, in how many bytes
    FOLDER/download/                                  the zip on its way; removed at the end

The user's own credentials are the command's business: radloop only looks whether there are any, and keeps them out
of every message.
"""

import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from radloop import files
from radloop.errors import DownloadError, SourceError
from radloop.progress import Progress, silent
from radloop.sources import Wanted, archive
from radloop.sources.kaggle_failures import AGAIN, ANEW, Item, failure
from radloop.sources.raw import Boxes, RawData

DATASET: Final = "xhlulu/vinbigdata-chest-xray-resized-png-1024x1024"
COMPETITION: Final = "vinbigdata-chest-xray-abnormalities-detection"

_PICTURES: Final = re.compile(r"train/[^/]+\.png|train_meta\.csv")  # test/ has no labels
_LOOK_EVERY_S: Final = 0.25
_PATIENCE_S: Final = 600.0  # the command itself waits for ever for a first byte, and up to 300 s for a later one

# Starts the command so that it dies with radloop, even by kill -9: PR_SET_PDEATHSIG (1) outlives exec. A preexec_fn
# would do the same, but must not run in a process that has threads.
_TIED: Final = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) and os.execv(sys.argv[2], sys.argv[2:])"
)


_ANNOTATIONS: Final = Item(
    "the competition's train.csv",
    ("competitions", "download", "-c", COMPETITION, "-f", "train.csv"),
    "the rules of the competition are not accepted. Accept them at "
    f"kaggle.com/competitions/{COMPETITION}/rules, or pass --annotations FILE",
)
_DATASET: Final = Item(
    f"the dataset {DATASET}",
    ("datasets", "download", DATASET),
    f"open kaggle.com/datasets/{DATASET} with the account of these credentials and see what it asks",
)


class Kaggle:
    """VinBigData's pictures and annotations, by the `kaggle` command."""

    recipe = None

    def __init__(self, wanted: Wanted) -> None:
        """Ask nothing yet."""
        self._wanted = wanted

    def foresee(self) -> None:
        """Nothing is here before it is downloaded. Raises DownloadError where command or credentials are missing."""
        preflight(anonymous=self._wanted.annotations is not None)

    def extract(self, into: Path, *, progress: Progress = silent) -> RawData:
        """Download what is not there yet."""
        wanted = self._wanted
        return download(into, annotations=wanted.annotations, boxes=wanted.boxes, progress=progress)


def download(
    folder: Path,
    *,
    annotations: Path | None = None,
    boxes: Boxes = "auto",
    environment: Mapping[str, str] = os.environ,
    progress: Progress = silent,
    patience_s: float = _PATIENCE_S,
) -> RawData:
    """Fetch the pictures and, unless `annotations` names a file, the competition's train.csv into `folder`.

    What is already there is neither fetched nor unpacked again. `environment` is the command's; `patience_s` is how
    long the download may stand still. Raises DownloadError where Kaggle refuses or sends something damaged,
    SourceError where this machine cannot (disk full, file missing). A second call goes on, whatever stopped the first.
    """
    if annotations is not None and not annotations.is_file():
        raise SourceError(f"{annotations}: no such file. Pass --annotations the path of train.csv.")
    own_annotations = folder / "train.csv"
    fetch_annotations = annotations is None and not own_annotations.is_file()
    unpack_pictures = not _is_complete(folder)
    zip_of_pictures = folder / "download" / "pictures.zip"
    fetch_pictures = unpack_pictures and not zip_of_pictures.is_file()
    folder.mkdir(parents=True, exist_ok=True)

    if fetch_annotations or fetch_pictures:
        command = preflight(environment, anonymous=not fetch_annotations)
        fetch = _Fetch(command, environment, progress, patience_s)
        if fetch_annotations:  # first: it is small, and tells at once whether the rules are accepted
            _fetch_annotations(fetch, own_annotations)
        if fetch_pictures:
            _fetch_pictures(fetch, zip_of_pictures)
    if unpack_pictures:
        _unpack_pictures(zip_of_pictures, folder, progress)
    shutil.rmtree(folder / "download", ignore_errors=True)

    sizes = folder / "train_meta.csv"
    return RawData(
        name="kaggle",
        annotations=annotations or own_annotations,
        boxes=boxes,
        sizes=sizes if sizes.is_file() else None,
        pictures=folder / "train",
    )


def preflight(environment: Mapping[str, str] = os.environ, *, anonymous: bool = False) -> Path:
    """The `kaggle` command, found and with credentials: beside this Python, else on PATH.

    `anonymous`: go without credentials where there are none; a public dataset can be had so, a competition's file
    cannot. Raises DownloadError with the way out.
    """
    beside = Path(sys.executable).with_name("kaggle")
    found = str(beside) if beside.is_file() else shutil.which("kaggle", path=environment.get("PATH"))
    if found is None:
        raise DownloadError("The kaggle command is missing: `pip install kaggle six`, then run again.")
    if not anonymous and not credentials(environment):
        raise DownloadError(
            "No Kaggle credentials: set KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY, or put kaggle.json "
            "(from kaggle.com/settings) into ~/.kaggle. With --annotations FILE a download can do without."
        )
    return Path(found)


def credentials(environment: Mapping[str, str]) -> list[str]:
    """Every secret that kaggle 2.2.4 would find, empty where there is none (`KaggleApi.authenticate`).

    An API token, a user name with its key, and what `kaggle auth login` has left.
    """
    home = Path(environment.get("HOME") or Path.home())
    dot_kaggle = home / ".kaggle"
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "kaggle"
    legacy = Path(environment.get("KAGGLE_CONFIG_DIR") or (dot_kaggle if dot_kaggle.exists() else config))
    token = (dict(environment) | _token_beside(environment)).get("KAGGLE_API_TOKEN", "")

    named = _json(legacy / "kaggle.json")
    user = environment.get("KAGGLE_USERNAME") or named.get("username")
    key = environment.get("KAGGLE_KEY") or named.get("key")
    login = _json(dot_kaggle / "credentials.json")
    secrets = [
        _text(Path(token)) or token,  # KAGGLE_API_TOKEN may name a file
        _text(dot_kaggle / "access_token"),
        _text(dot_kaggle / "access_token.txt"),
        key if user else "",
        login.get("refresh_token"),
        login.get("access_token") if login.get("refresh_token") else "",
    ]
    return [secret for secret in secrets if isinstance(secret, str) and secret]


def _token_beside(environment: Mapping[str, str]) -> dict[str, str]:
    """KAGGLE_API_TOKEN as the file `access_token` in KAGGLE_CONFIG_DIR, where kaggle.json would lie.

    The command looks for that file in ~/.kaggle alone, whatever KAGGLE_CONFIG_DIR says.
    """
    folder = environment.get("KAGGLE_CONFIG_DIR")
    if not folder or environment.get("KAGGLE_API_TOKEN"):
        return {}
    paths = (Path(folder, name) for name in ("access_token", "access_token.txt"))
    return next(({"KAGGLE_API_TOKEN": str(path)} for path in paths if _text(path)), {})


@dataclass(frozen=True)
class _Fetch:
    """Runs the kaggle command for one item and puts its failure into one sentence."""

    command: Path
    environment: Mapping[str, str]
    progress: Progress
    patience_s: float

    def __call__(self, item: Item, inbox: Path, *, growing: Path) -> None:
        """Let the command fetch `item` into `inbox`; `growing` is the file to watch meanwhile."""
        inbox.mkdir(parents=True, exist_ok=True)
        # An empty KAGGLE_KEY= of a compose file would hide the key in kaggle.json from the command.
        environment = {
            name: value for name, value in self.environment.items() if value or not name.startswith("KAGGLE_")
        } | _token_beside(self.environment)
        arguments = (str(self.command), *item.arguments, "-p", str(inbox), "-q")
        status, output = _run(arguments, environment, _Watch(growing, self.progress, self.patience_s))
        if status != 0:
            raise failure(item, status, output, credentials(self.environment))


class _Watch:
    """Looks at the growing file: tells the progress, ends a download that stands still or cannot fit."""

    def __init__(self, path: Path, progress: Progress, patience_s: float) -> None:
        self._path = path
        self._progress = progress
        self._patience_s = patience_s
        self._size = -1
        self._total = 0
        self._grown_at = time.monotonic()

    def __call__(self) -> None:
        size = _size(self._path)
        now = time.monotonic()
        if size != self._size:
            self._size, self._grown_at = size, now
        elif now - self._grown_at > self._patience_s:
            raise DownloadError(f"Kaggle has sent nothing for {self._patience_s:.0f} s. {AGAIN}")
        self._total = _json(_marker(self._path)).get("size") or self._total
        if not self._total:
            return
        self._progress("download", size, self._total, "bytes")
        missing = self._total - size
        free = shutil.disk_usage(self._path.parent).free
        if missing > free:
            raise SourceError(
                f"{self._path.parent}: the download takes {missing / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free. "
                "Make room and run the same command again: it goes on from here."
            )


def _run(command: Sequence[str], environment: Mapping[str, str], watch: Callable[[], None]) -> tuple[int, str]:
    """Run a command to its end, `watch` called several times a second; its exit status and the end of its output.

    The command ends with this call, and with this process, however either ends.
    """
    if sys.platform == "linux":
        command = (sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command)
    output = b""
    with (
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
        selectors.DefaultSelector() as selector,
    ):
        pipe = cast(IO[bytes], process.stdout)
        selector.register(pipe, selectors.EVENT_READ)
        ended = False
        try:
            while not ended:
                if selector.select(_LOOK_EVERY_S):
                    chunk = os.read(pipe.fileno(), 65536)
                    output = (output + chunk)[-65536:]
                    ended = not chunk
                watch()
            return process.wait(), output.decode(errors="replace")
        except BaseException:
            process.kill()
            raise


def _fetch_annotations(fetch: _Fetch, target: Path) -> None:
    inbox = target.parent / "download" / "annotations"
    try:
        fetch(_ANNOTATIONS, inbox, growing=inbox / "train.csv")
        # Named by the address that served it, and packed or not as the storage likes.
        arrived = next((path for path in inbox.iterdir() if path.is_file()), inbox / "train.csv")
        if archive.begins_as_zip(arrived):
            archive.unpack(arrived, inbox, wanted=re.compile(r"train\.csv"))
            arrived = inbox / "train.csv"
        if not _is_annotations(arrived):
            raise DownloadError(f"Kaggle sent something else than train.csv; it was not kept. {ANEW}")
        os.replace(arrived, target)
    finally:  # it is small: a second run starts it afresh
        shutil.rmtree(inbox, ignore_errors=True)


def _is_annotations(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.readline(4096)
    except FileNotFoundError:
        return False
    return b"image_id" in header and b"x_min" in header


def _fetch_pictures(fetch: _Fetch, whole: Path) -> None:
    """Fetch the zip under the command's own name. It gets the name `whole` when it is, and is not fetched again."""
    arriving = whole.parent / "pictures" / f"{DATASET.partition('/')[2]}.zip"
    _drop_foreign(arriving)
    if not _has_arrived(arriving):
        try:
            fetch(_DATASET, arriving.parent, growing=arriving)
        finally:
            _drop_foreign(arriving)
        if not _has_arrived(arriving):
            arriving.unlink(missing_ok=True)
            raise DownloadError(f"Kaggle sent no whole zip for {_DATASET.name}; it was removed. {ANEW}")
    os.replace(arriving, whole)


def _drop_foreign(path: Path) -> None:
    """Remove what is no part of a zip, with its marker.

    kaggle 2.2.4 writes the body of a refused retry as the file (`download_file`, "416"), and would the next time
    append the rest of the zip to it.
    """
    if path.exists() and not archive.begins_as_zip(path):
        path.unlink()
        _marker(path).unlink(missing_ok=True)


def _has_arrived(path: Path) -> bool:
    return archive.is_whole(path) and _json(_marker(path)).get("size", _size(path)) == _size(path)


def _marker(path: Path) -> Path:
    """What the command leaves beside an unfinished file: {"validator": ETag or date, "size": bytes of the whole}."""
    return path.with_name(f"{path.name}.kaggle-partial")


def _unpack_pictures(whole: Path, folder: Path, progress: Progress) -> None:
    archive.unpack(whole, folder, wanted=_PICTURES, progress=progress)
    inventory = _inventory(folder)
    if not inventory["pictures"]:
        whole.unlink()
        raise DownloadError(f"{DATASET} holds no train/*.png any more. Pass --source the folder that has the pictures.")
    # Before the zip goes: a kill in between must not fetch it again.
    files.write_atomic(folder / "download.json", json.dumps(inventory, indent=2).encode() + b"\n")


def _is_complete(folder: Path) -> bool:
    """Whether everything was once unpacked here, and is there still."""
    return _json(folder / "download.json") == _inventory(folder)


def settle(folder: Path, *, without: Collection[Path], sizes_bytes: int) -> None:
    """Say before these pictures go, and train_meta.csv has so many bytes, that what is left then is all.

    Else the next run would fetch everything again.
    """
    if (folder / "download.json").is_file() and _is_complete(folder):
        inventory = _inventory(folder)
        gone = [path.stat().st_size for path in without]
        left = {"pictures": inventory["pictures"] - len(gone), "picture_bytes": inventory["picture_bytes"] - sum(gone)}
        written = inventory | left | {"sizes_bytes": sizes_bytes}
        files.write_atomic(folder / "download.json", json.dumps(written, indent=2).encode() + b"\n")


def _inventory(folder: Path) -> dict[str, Any]:
    pictures = [path.stat().st_size for path in (folder / "train").glob("*.png")]
    return {
        "dataset": DATASET,
        "pictures": len(pictures),
        "picture_bytes": sum(pictures),
        "sizes_bytes": _size(folder / "train_meta.csv"),
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
