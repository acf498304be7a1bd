"""The first step of every compose file, and the only one that starts as root.

    prepare.py [--say SETTING]... [--announce LOG] DIRECTORY...

It says what the settings decide, makes the directories and hands them over to the user that all else runs as, becomes
that user, and looks whether it can do what is asked: write there, read the credentials. What belongs to anybody but
root and the image's own user is never taken from them.
"""

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

ROOT, IMAGE_USER = 0, 10001
VOLUME = Path("/mnt/mydata")
SECRETS = Path("/run/secrets")
CREDENTIALS = {"RADLOOP_SOURCE": "kaggle", "RADLOOP_STORE": "rclone"}  # what a setting may need

SETTINGS = "deployment/docker/settings.env"
ENCRYPTED = b"RCLONE_ENCRYPT_V"  # how the first line of an encrypted rclone.conf begins that is no comment


class Unready(Exception):
    """What somebody has to change, in one line."""


def explain(setting: str, settings: Mapping[str, str]) -> str:
    """A setting and what it means, in words."""
    value = settings.get(setting, "")
    if setting == "RADLOOP_STORE":
        value = value or f"{settings.get('RCLONE_REMOTE', 'chi_tacc')}:{settings.get('RCLONE_CONTAINER', '')}"
        return f"{setting}={value} ({'a remote of your rclone.conf' if ':' in value else 'a volume on this machine'})"
    if setting == "RADLOOP_SOURCE":
        kinds = {"kaggle": "VinBigData, by your Kaggle credentials", "synthetic": "synthetic patients"}
        return f"{setting}={value} ({kinds.get(value.partition(':')[0], 'a folder in the container')})"
    return f"{setting}={value}"


def require_consistent(settings: Mapping[str, str]) -> None:
    """Raise Unready where settings contradict each other."""
    if settings.get("RADLOOP_STORE") and settings.get("RCLONE_CONTAINER"):
        raise Unready("RADLOOP_STORE and RCLONE_CONTAINER both name a store: remove one of them")
    if not settings["RADLOOP_UID"].isdecimal():
        raise Unready(f"RADLOOP_UID={settings['RADLOOP_UID']} has to be a number: what `id -u` prints")
    for name in ("RADLOOP_VOLUME", "RADLOOP_INPUT"):
        path = settings.get(name) or "/"
        if not path.startswith(("/", "~")):
            raise Unready(f"{name}={path} has to be an absolute path, or each compose file takes it for another folder")


def require_same_settings(secrets: Path = SECRETS) -> None:
    """Raise Unready where settings.env was changed, and the .env beside the compose file was not.

    Compose reads mounts, ports and what the shell may overrule from .env alone, and of its own folder.
    """
    told, copied = (assignments(secrets / name) for name in ("settings", "settings-copy"))
    if told is None or copied is None or told == copied:
        return
    name = min(name for name in {*told, *copied} if told.get(name) != copied.get(name))
    raise Unready(
        f"{name} is {said(told, name)} in {SETTINGS} and {said(copied, name)} in the .env beside this compose file, "
        "which compose reads: run `deployment/radloop-compose settings`, or copy settings.env over it"
    )


def assignments(path: Path) -> dict[str, str] | None:
    """The lines in force of a file of settings; None where nobody mounted one."""
    if not path.is_file():
        return None
    return dict(re.findall(r"^([A-Za-z_]\w*)=(.*?)\s*$", path.read_text(encoding="utf-8"), re.MULTILINE))


def said(settings: Mapping[str, str], name: str) -> str:
    return repr(settings[name]) if name in settings else "not set"


def hand_over(directory: Path, uid: int) -> None:
    """Make `directory`; give it to `uid`, with all in it, where it is root's or the image's own user's."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        if directory.stat().st_uid == uid:
            return
        for path in tree(directory):
            if path.lstat().st_uid in {ROOT, IMAGE_USER} - {uid}:
                os.chown(path, uid, uid, follow_symlinks=False)
    except OSError as error:
        raise Unready(f"{error.filename or directory}: {error.strerror}") from error


def tree(directory: Path) -> Iterator[Path]:
    """The directory and everything below it, the directory itself last: a kill in between starts over."""
    for folder, folders, files in os.walk(directory):
        for name in [*folders, *files]:
            yield Path(folder, name)
    yield directory


def become(uid: int) -> None:
    """Be `uid` from here on, without any capability."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def require_writable(directory: Path) -> None:
    """Raise Unready where this user cannot write into `directory`."""
    if os.access(directory, os.W_OK | os.X_OK):
        return
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise Unready(f"{directory}: the file system is read-only")
    owner = directory.stat().st_uid
    raise Unready(f"{directory} belongs to user {owner}, closed to user {os.getuid()}: set RADLOOP_UID={owner}")


def require_credentials(setting: str, settings: Mapping[str, str], secrets: Path = SECRETS) -> None:
    """Raise Unready where a setting needs credentials that are not there, or closed to this user."""
    if not needs_credentials(setting, settings):
        return
    folder, named_by = secrets / CREDENTIALS[setting], f"RADLOOP_{CREDENTIALS[setting].upper()}_DIR"
    for path in [folder, *(folder.glob("*") if os.access(folder, os.R_OK | os.X_OK) else ())]:
        if not os.access(path, os.R_OK):
            owner = path.stat().st_uid
            raise Unready(f"{named_by}: {path.name} is closed to user {os.getuid()}: set RADLOOP_UID={owner}")
    if not [path for path in folder.iterdir() if path.name not in {"README.md", ".gitignore"}]:
        raise Unready(f"{explain(setting, settings)}, but there are no credentials: set {named_by} to their folder")
    if setting == "RADLOOP_STORE":
        require_password(folder / "rclone.conf", secrets / "rclone-password")


def require_password(configuration: Path, password: Path) -> None:
    """Raise Unready where rclone.conf is encrypted, and no password for it can be read."""
    try:
        lines = configuration.read_bytes().splitlines() if configuration.is_file() else []
        first = next((line for line in lines if line.strip() and not line.startswith((b"#", b";"))), b"")
        if first.startswith(ENCRYPTED) and not (password.is_file() and password.read_bytes().strip()):
            raise Unready("rclone.conf is encrypted: set RADLOOP_RCLONE_PASSWORD_FILE to a file with its password")
    except PermissionError as error:
        owner = Path(error.filename).stat().st_uid
        name = "RADLOOP_RCLONE_PASSWORD_FILE" if error.filename == str(password) else "RADLOOP_RCLONE_DIR"
        raise Unready(f"{name}: its file is closed to user {os.getuid()}: set RADLOOP_UID={owner}") from error


def needs_credentials(setting: str, settings: Mapping[str, str]) -> bool:
    """Whether the value of a setting speaks of a server that asks who you are."""
    value = settings.get(setting, "")
    if setting == "RADLOOP_STORE":
        return ":" in value or bool(settings.get("RCLONE_CONTAINER"))
    return value == "kaggle"


def announce(log: Path) -> None:
    """Write to the simulator's log that a run is about to start: whoever needs its end can wait from here on."""
    now = datetime.now(UTC)
    line = {"time": now.isoformat(), "event": "announced", "run_id": f"of compose, {now:%H:%M:%S}"}
    with log.open("ab") as lines:
        lines.write(json.dumps(line).encode() + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--say", action="append", default=[], metavar="SETTING")
    parser.add_argument("--announce", type=Path, metavar="LOG")
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIRECTORY")
    given = parser.parse_args()
    try:
        require_same_settings()
        require_consistent(os.environ)
        for setting in given.say:
            print(f"radloop: {explain(setting, os.environ)}")
        uid = int(os.environ["RADLOOP_UID"])
        for directory in given.directories:
            hand_over(directory, uid)
        become(uid)
        for directory in given.directories:
            require_writable(directory)
        for setting in given.say:
            require_credentials(setting, os.environ)
        if given.announce:
            announce(given.announce)
        print(f"radloop: all runs as user {uid}; {shutil.disk_usage(given.directories[0]).free / 1e9:.1f} GB are free")
    except Unready as unready:
        sys.exit(f"radloop: {unready}.")


if __name__ == "__main__":
    main()
