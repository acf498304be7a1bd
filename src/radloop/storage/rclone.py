"""Any remote of rclone as an object store, through one `rclone rcd` that lives as long as the store is used."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from radloop.errors import StoreError
from radloop.progress import Progress, silent
from radloop.storage.change import Outcome, Stored
from radloop.storage.daemon import Daemon, RcloneError
from radloop.storage.layout import key_in
from radloop.storage.objects import ObjectStore
from radloop.storage.quickest import Arrived, ignored
from radloop.storage.refusals import is_forbidden, way_out, with_way_out

# Files on their way at once: over a long line their number hides its delay. So many answers a second would come in, if
# each took as long as the quickest so far; of files of 50 KiB that is 250 Mbit/s.
_ANSWERS_PER_S: Final = 600
_FEWEST: Final = 8
_MOST: Final = 64
_PATIENCE: Final = 6  # failures without a success between them: then the server is down, not busy

_OF_SERVER: Final = frozenset({"operations/list", "operations/copyfile", "operations/deletefile"})

# What a listing says of a large object in parts is not what its bytes are. Who asks for bytes compares them himself, by
# the manifest's MD5s or by the seal in them.
_UNCHECKED: Final = {"IgnoreSize": True, "IgnoreChecksum": True}


class _Job(NamedTuple):
    daemon: Daemon
    number: int
    group: str  # of its statistics

    def status(self) -> dict[str, Any]:
        return self.daemon.call("job/status", {"jobid": self.number})

    def ask(self, command: str) -> dict[str, Any]:
        return self.daemon.call(command, {"group": self.group})


class RcloneStore(ObjectStore):
    """The remote and path `address`, as rclone writes it: `chi_tacc:object-persist-project19`."""

    finds_quickest = True

    def __init__(self, address: str) -> None:
        """Start nothing yet."""
        self.address = address.rstrip("/")
        self._daemon: Daemon | None = None
        self._starting = threading.RLock()
        self._quickest_s = 0.0  # of all answers to one small question

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
    def _info(self) -> dict[str, Any]:
        return self._info_of(self._started())

    def _info_of(self, daemon: Daemon) -> dict[str, Any]:
        return daemon.call("operations/fsinfo", {"fs": self.address})

    @property
    def _features(self) -> dict[str, Any]:
        return dict(self._info["Features"])

    @property
    def _at_once(self) -> int:
        return min(max(_FEWEST, round(self._quickest_s * _ANSWERS_PER_S)), _MOST)

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

    def upload(
        self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent, arrived: Arrived = ignored
    ) -> Outcome:
        """Send the files `root`/key, one request each, nothing asked before.

        Where the store keeps MD5s, its listing is compared with the manifest's: rclone need not work them out, too.
        """
        config = {"NoTraverse": True, "IgnoreChecksum": "md5" in (self._info["Hashes"] or ())}
        return self._batch("upload", str(root.absolute()), self._at(prefix), keys, config, progress, arrived)

    def fetch(self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        """Bring the objects below `into`: first as one listing shows them, what it does not show by name."""
        into = into.absolute()
        paths = {key: into / key for key in keys}
        into.mkdir(parents=True, exist_ok=True)
        outcome, by_name, logged_in_anew = Outcome(), False, False
        missing = [key for key, path in paths.items() if not path.is_file()]
        while missing:
            config = {"NoTraverse": by_name, **_UNCHECKED}
            outcome = self._batch("download", self._at(prefix), str(into), missing, config, progress)
            before, missing = len(missing), [key for key in missing if not paths[key].is_file()]
            arrived = len(missing) < before
            if is_forbidden(outcome.error or "") and (arrived or not logged_in_anew):
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
            error=next((with_way_out(str(error)) for error in failed.values()), None),
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
                self._leave(self._daemon)

    def _leave(self, daemon: Daemon) -> None:
        """End `daemon`, with all that is still under way there; the next request starts another."""
        with self._starting:
            daemon.end()
            if self._daemon is daemon:
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
            if path and self._info_of(daemon)["Features"].get("Overlay"):
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
        begin = time.monotonic()
        try:
            answer = daemon.call(command, parameters)
        except RcloneError as error:
            if error.is_missing:
                self._note(time.monotonic() - begin)
            if not (is_forbidden(str(error)) and self._log_in_anew(daemon)):
                raise
            daemon = self._started()
            answer = daemon.call(command, parameters)
        if command in _OF_SERVER:
            daemon.was_allowed = True
            self._note(time.monotonic() - begin)
        return answer

    def _note(self, seconds: float) -> None:
        self._quickest_s = min(self._quickest_s or seconds, seconds)

    def _log_in_anew(self, daemon: Daemon) -> bool:
        """Leave `daemon` to those who still ask it, unless it never was allowed anything; whether to ask again."""
        with self._starting:
            if self._daemon is daemon:
                if not daemon.was_allowed:
                    return False
                self._daemon = None
            return True

    def _explained(self, error: RcloneError | str, key: str = "") -> StoreError:
        place = key_in(self.address, key) if key else self.address
        if way_out(str(error)):
            return StoreError(f"{place}: {with_way_out(str(error))}")
        return StoreError(f"{place}: {error}. Run the same command again when it answers.")

    def _raise_if_final(self, error: str) -> None:
        if way_out(error) and not is_forbidden(error):
            raise self._explained(error)

    def _batch(
        self,
        what: str,
        source: str,
        target: str,
        keys: Iterable[str],
        config: Mapping[str, bool],
        progress: Progress,
        arrived: Arrived = ignored,
    ) -> Outcome:
        """Copy the named files in one job of rclone's."""
        names = list(keys)
        if not names:
            return Outcome()
        daemon = self._started()
        group = daemon.group()
        listed = daemon.folder / f"{group}.keys"
        listed.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        command = {
            "srcFs": source,
            "dstFs": target,
            "_async": True,
            "_group": group,
            "_filter": {"FilesFromRaw": [str(listed)]},
            "_config": {"NoCheckDest": True, "IgnoreTimes": True, "Transfers": self._at_once, **config},
        }
        try:
            job = _Job(daemon, daemon.call("sync/copy", command)["jobid"], group)
            error = self._watch(what, job, len(names), progress, arrived)
        except RcloneError as refused:
            self._leave(daemon)
            raise self._explained(refused) from refused
        except BaseException:
            self._leave(daemon)
            raise
        listed.unlink(missing_ok=True)
        if error is None:
            return Outcome()
        self._leave(daemon)  # what still runs of it ends, and who comes next logs in anew
        self._raise_if_final(error)
        return Outcome(with_way_out(error))

    def _watch(self, what: str, job: _Job, total: int, progress: Progress, arrived: Arrived) -> str | None:
        """Wait for a job, tell how far it is; its last error, also before its end where nothing but errors come."""
        done = errors = errors_then = 0
        in_the_air: set[str] | None = None  # what was under way when the server first forbade something
        begin = time.monotonic()
        while True:
            status, stats = job.status(), job.ask("core/stats")
            if stats["transfers"] > done:
                done, errors_then = stats["transfers"], stats["errors"]
            errors = stats["errors"]
            progress(what, stats["bytes"], stats["totalBytes"], "bytes")
            progress(f"{what}ed files", done, max(total, done))
            if arrived is not ignored:  # the last hundred; who asks knows of all in the end
                arrived(each["name"] for each in job.ask("core/transferred")["transferred"] if not each["error"])
            last: str = stats.get("lastError") or status["error"] or "rclone gave no reason"
            if status["finished"]:
                return None if status["success"] and not errors else last
            if errors:
                self._raise_if_final(last)
            if errors and is_forbidden(last):
                under_way = {transfer["name"] for transfer in stats.get("transferring") or ()}
                in_the_air = under_way if in_the_air is None else in_the_air & under_way
            if in_the_air == set() or (in_the_air is None and errors - errors_then >= _PATIENCE):
                return last
            time.sleep(min(max((time.monotonic() - begin) / 16, 0.02), 0.15))  # rclone has no call that waits

    def _each(
        self, what: str, keys: Iterable[str], act: Callable[[str], object], progress: Progress
    ) -> dict[str, RcloneError]:
        """Act on every key, many at once; what failed. Gives up where nothing but failures come."""
        failed: dict[str, RcloneError] = {}
        streak = 0
        pool = ThreadPoolExecutor(min(2 * self._at_once, _MOST))  # of small requests as many again
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
