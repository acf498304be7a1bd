"""Any remote of rclone as an object store, through one `rclone rcd` that lives as long as the store is used."""

import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from radloop.errors import StoreError
from radloop.progress import Progress, silent
from radloop.storage.change import Stored
from radloop.storage.daemon import Daemon, RcloneError
from radloop.storage.layout import key_in
from radloop.storage.objects import ObjectStore, Outcome

_PARALLEL: Final = 16  # small requests at once: over a long line their number hides its delay
_PATIENCE: Final = 6  # failures without a success between them: then the server is down, not busy

_OF_SERVER: Final = frozenset({"operations/list", "operations/copyfile", "operations/deletefile"})

_HTTP: Final = r"(http error|status ?code)\W*"
# What another try cannot mend, and the way out. The patterns are of rclone's errors, in any case.
_FINAL: Final = {
    "rclone knows no such remote. `rclone listremotes` names those it knows.": ["didn't find section in config file"],
    "rclone's configuration is encrypted. Set RCLONE_CONFIG_PASS.": ["decrypt config", "config(uration)? password"],
    "the server refused user or password. Correct the remote with `rclone config`.": [
        f"{_HTTP}401",
        "unauthori[sz]ed",
        "authori[sz]ation failed",
        "authentication failed",
        "invalid.{0,20}credential",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ],
    "the quota is used up. Remove something there or ask for more, then run the same command again.": [
        f"{_HTTP}(413|507)",
        "too ?large ?object",
        "insufficient storage",
        "quota exceeded",
    ],
    "the password of crypt is another than that of what lies there. Correct the remote with `rclone config` (password "
    "and password2); where files that are not encrypted lie beside it, set RCLONE_CRYPT_STRICT_NAMES=false.": [
        "bad password\\?",
        "undecryptable",
        "not an encrypted file",
    ],
    "the disk is full. Free some space and run the same command again.": ["no space left on device"],
    "no permission to write there, or it is read-only.": ["permission denied", "read-only file system"],
    "a name is too long for it.": ["name too long", "KeyTooLong"],
}
# A server that logged us in may forbid what it allowed before when the token has expired: Ceph's does. rclone logs in
# anew after a 401 only.
_FORBIDDEN: Final = f"{_HTTP}403|operation forbidden|access ?denied"
_MAY_NOT: Final = (
    "the server forbids it, also to a new login: this user may not write there, or may not make the container. Ask for "
    "the right, or correct the remote with `rclone config`."
)
# What a listing says of a large object in parts is not what its bytes are. Who asks for bytes compares them himself, by
# the manifest's MD5s or by the seal in them.
_UNCHECKED: Final = {"IgnoreSize": True, "IgnoreChecksum": True}


class RcloneStore(ObjectStore):
    """The remote and path `address`, as rclone writes it: `chi_tacc:object-persist-project19`."""

    def __init__(self, address: str) -> None:
        """Start nothing yet."""
        self.address = address.rstrip("/")
        self._daemon: Daemon | None = None
        self._starting = threading.RLock()

    def preflight(self) -> None:
        """Raise StoreError where rclone, the remote, the credentials or the container's name do not work."""
        if self._features.get("BucketBased") and self.address.endswith(":"):
            raise StoreError(f"{self.address} names no container. Write it as {self.address}CONTAINER.")
        self.top()

    @property
    def can_copy(self) -> bool:
        """Whether the server makes copies by itself."""
        return bool(self._features.get("Copy"))

    @cached_property
    def _features(self) -> dict[str, Any]:
        return self._features_of(self._started())

    def _features_of(self, daemon: Daemon) -> dict[str, Any]:
        features: dict[str, Any] = daemon.call("operations/fsinfo", {"fs": self.address})["Features"]
        return features

    def list(self, prefix: str = "", *, progress: Progress = silent) -> dict[str, Stored]:
        """Every object under `prefix`, from one listing."""
        options = {
            "recurse": True,
            "filesOnly": True,
            "noModTime": True,
            "noMimeType": True,
            "showHash": True,
            "hashTypes": ["md5"],
        }
        entries = self._entries(prefix, options)
        cut = len(prefix) + 1 if prefix else 0
        return {
            entry["Path"][cut:]: Stored(entry["Size"], (entry.get("Hashes") or {}).get("md5") or None)
            for entry in entries
        }

    def top(self) -> set[str]:
        """The names at the root of the store."""
        return {entry["Name"] for entry in self._entries("", {"noModTime": True, "noMimeType": True})}

    def _entries(self, prefix: str, options: Mapping[str, object]) -> Iterable[dict[str, Any]]:
        try:
            found = self._rc("operations/list", fs=self.address, remote=prefix, opt=options)["list"]
        except RcloneError as error:
            if error.is_missing:
                return ()
            raise self._explained(error) from error
        return found or ()

    def get(self, key: str) -> bytes | None:
        """The bytes of one small object; None where it is missing."""
        daemon = self._started()  # held, for its folder goes with it
        with tempfile.TemporaryDirectory(dir=daemon.folder) as folder:
            try:
                self._rc(
                    "operations/copyfile",
                    srcFs=self.address,
                    srcRemote=key,
                    dstFs=folder,
                    dstRemote="object",
                    _config=_UNCHECKED,
                )
            except RcloneError as error:
                if error.is_missing:
                    return None
                raise self._explained(error, key) from error
            return (Path(folder) / "object").read_bytes()

    def put(self, key: str, data: bytes) -> None:
        """Write one small object; it is there when this returns."""
        daemon = self._started()  # held, for its folder goes with it
        with tempfile.TemporaryDirectory(dir=daemon.folder) as folder:
            # a file, not a stream: Swift stores a stream of unknown length in chunks
            (Path(folder) / "object").write_bytes(data)
            try:
                self._rc(
                    "operations/copyfile",
                    srcFs=folder,
                    srcRemote="object",
                    dstFs=self.address,
                    dstRemote=key,
                    _config={"NoCheckDest": True, "IgnoreTimes": True},
                )
            except RcloneError as error:
                raise self._explained(error, key) from error

    def upload(self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent) -> Outcome:
        """Send the files `root`/key, one request each, nothing asked before."""
        return self._batch("upload", str(root.absolute()), self._at(prefix), keys, progress)

    def fetch(self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        """Bring the objects below `into`: first as one listing shows them, what it does not show by name."""
        into = into.absolute()
        paths = {key: into / key for key in keys}
        into.mkdir(parents=True, exist_ok=True)
        outcome, by_name, logged_in_anew = Outcome(), False, False
        missing = [key for key, path in paths.items() if not path.is_file()]
        while missing:
            config = {"NoTraverse": by_name, **_UNCHECKED}
            outcome = self._batch("download", self._at(prefix), str(into), missing, progress, **config)
            before, missing = len(missing), [key for key in missing if not paths[key].is_file()]
            arrived = len(missing) < before
            if _is_forbidden(outcome.error or "") and (arrived or not logged_in_anew):
                logged_in_anew = not arrived  # the next batch logs in anew, and may then go on as this one did
            elif by_name:
                break
            else:
                by_name, logged_in_anew = True, False
        if outcome.error is not None and not RcloneError(outcome.error).is_missing:
            raise self._explained(outcome.error)
        return {key: path for key, path in paths.items() if path.is_file()}

    def copy(self, prefix: str, sources: Mapping[str, str], *, progress: Progress = silent) -> Outcome:
        """Let the server make {target: source}."""
        at = self._at(prefix)

        def copy(target: str) -> None:
            self._rc(
                "operations/copyfile",
                srcFs=at,
                srcRemote=sources[target],
                dstFs=at,
                dstRemote=target,
                _config={"NoCheckDest": True, "IgnoreTimes": True},
            )

        failed = self._each("server copies", sources, copy, progress)
        return Outcome(
            error=next((_with_way_out(str(error)) for error in failed.values()), None),
            gone=frozenset(key for key, error in failed.items() if error.is_missing),
        )

    def delete(self, prefix: str, keys: Iterable[str]) -> None:
        """Remove objects by name, whatever a listing shows."""
        at = self._at(prefix)
        failed = self._each("remove", keys, lambda key: self._rc("operations/deletefile", fs=at, remote=key), silent)
        for key, error in failed.items():
            if not error.is_missing:
                raise self._explained(error, key_in(prefix, key))

    def close(self) -> None:
        """End rclone."""
        with self._starting:
            if self._daemon is not None:
                self._daemon.end()
                self._daemon = None

    def _at(self, prefix: str) -> str:
        if not prefix:
            return self.address
        return f"{self.address}{prefix}" if self.address.endswith(":") else f"{self.address}/{prefix}"

    def _started(self) -> Daemon:
        with self._starting:
            if self._daemon is None:
                self._daemon = self._start()
            return self._daemon

    def _start(self) -> Daemon:
        """A new rclone, which knows the remote and logs in anew."""
        daemon = Daemon()
        name, _, path = self.address.partition(":")
        try:
            if name not in (daemon.call("config/listremotes", {}).get("remotes") or []):
                raise StoreError(
                    f"{self.address}: rclone knows no remote {name}. `rclone listremotes` names those it knows, "
                    "`rclone config` makes one."
                )
            if path and self._features_of(daemon).get("Overlay"):
                # with a wrong password the names on the way there lead nowhere, and the store would seem empty
                daemon.call("operations/list", {"fs": f"{name}:", "remote": ""})
        except RcloneError as error:
            if error.is_missing:
                return daemon
            daemon.end()
            raise self._explained(error) from error
        except StoreError:
            daemon.end()
            raise
        return daemon

    def _rc(self, command: str, **parameters: object) -> dict[str, Any]:
        daemon = self._started()
        try:
            answer = daemon.call(command, parameters)
        except RcloneError as error:
            if not (_is_forbidden(str(error)) and self._log_in_anew(daemon)):
                raise
            daemon = self._started()
            answer = daemon.call(command, parameters)
        daemon.was_allowed |= command in _OF_SERVER
        return answer

    def _log_in_anew(self, daemon: Daemon) -> bool:
        """Leave `daemon` to those who still ask it, unless it never was allowed anything; whether to ask again."""
        with self._starting:
            if self._daemon is daemon:
                if not daemon.was_allowed:
                    return False
                self._daemon = None
            return True

    def _call(self, command: str, **parameters: object) -> dict[str, Any]:
        try:
            return self._rc(command, **parameters)
        except RcloneError as error:
            raise self._explained(error) from error

    def _explained(self, error: RcloneError | str, key: str = "") -> StoreError:
        place = key_in(self.address, key) if key else self.address
        way_out = _way_out(str(error))
        if way_out:
            return StoreError(f"{place}: {_with_way_out(str(error))}")
        return StoreError(f"{place}: {error}. Run the same command again when it answers.")

    def _raise_if_final(self, error: str) -> None:
        if _way_out(error) and not _is_forbidden(error):
            raise self._explained(error)

    def _batch(
        self, what: str, source: str, target: str, keys: Iterable[str], progress: Progress, **config: bool
    ) -> Outcome:
        """Copy the named files in one job of rclone's."""
        names = list(keys)
        if not names:
            return Outcome()
        daemon = self._started()
        group = daemon.group()
        listed = daemon.folder / f"{group}.keys"
        listed.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        job = self._call(
            "sync/copy",
            srcFs=source,
            dstFs=target,
            _async=True,
            _group=group,
            _filter={"FilesFromRaw": [str(listed)]},
            _config={"NoCheckDest": True, "IgnoreTimes": True, **config},
        )["jobid"]
        try:
            error = self._watch(what, job, group, len(names), progress)
        except BaseException:
            self.close()
            raise
        listed.unlink(missing_ok=True)
        if error is None:
            return Outcome()
        self.close()  # what still runs of it ends, and who comes next logs in anew
        self._raise_if_final(error)
        return Outcome(_with_way_out(error))

    def _watch(self, what: str, job: int, group: str, total: int, progress: Progress) -> str | None:
        """Wait for a job, tell how far it is; its last error, also before its end where nothing but errors come."""
        done = errors = errors_then = 0
        in_the_air: set[str] | None = None  # what was under way when the server first forbade something
        pause = 0.02
        while True:
            status = self._call("job/status", jobid=job)
            stats = self._call("core/stats", group=group)
            if stats["transfers"] > done:
                done, errors_then = stats["transfers"], stats["errors"]
            errors = stats["errors"]
            progress(what, stats["bytes"], stats["totalBytes"], "bytes")
            progress(f"{what}ed files", done, max(total, done))
            last: str = stats.get("lastError") or status["error"] or "rclone gave no reason"
            if status["finished"]:
                return None if status["success"] and not errors else last
            if errors:
                self._raise_if_final(last)
            if errors and _is_forbidden(last):
                under_way = {transfer["name"] for transfer in stats.get("transferring") or ()}
                in_the_air = under_way if in_the_air is None else in_the_air & under_way
            if in_the_air == set() or (in_the_air is None and errors - errors_then >= _PATIENCE):
                return last
            time.sleep(pause)  # rclone has no call that waits
            pause = min(2 * pause, 0.25)

    def _each(
        self, what: str, keys: Iterable[str], act: Callable[[str], object], progress: Progress
    ) -> dict[str, RcloneError]:
        """Act on every key, many at once; what failed. Gives up where nothing but failures come."""
        failed: dict[str, RcloneError] = {}
        streak = 0
        pool = ThreadPoolExecutor(_PARALLEL)
        try:
            futures = {pool.submit(act, key): key for key in keys}
            for done, future in enumerate(as_completed(futures), 1):
                error = future.exception()
                if isinstance(error, RcloneError):
                    failed[futures[future]] = error
                    self._raise_if_final(str(error))
                    streak += not error.is_missing
                elif error is not None:
                    raise error
                else:
                    streak = 0
                if streak >= _PATIENCE:
                    self.close()  # or what is under way would be tried to its end
                    break
                if done % 16 == 0 or done == len(futures):
                    progress(what, done, len(futures))
        finally:
            pool.shutdown(cancel_futures=True)
        return failed


def _way_out(error: str) -> str | None:
    """The sentence for an error that another try cannot mend, or not without a new login."""
    if _is_forbidden(error):
        return _MAY_NOT
    for sentence, patterns in _FINAL.items():
        if any(re.search(pattern, error, re.IGNORECASE) for pattern in patterns):
            return sentence
    return None


def _is_forbidden(error: str) -> bool:
    return re.search(_FORBIDDEN, error, re.IGNORECASE) is not None


def _with_way_out(error: str) -> str:
    way_out = _way_out(error)
    return f"{way_out} ({error})" if way_out and way_out not in error else error
