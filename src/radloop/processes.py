"""Worker processes that leave nothing behind."""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any


def pool(processes: int) -> ProcessPoolExecutor:
    """Processes for functions of importable modules.

    Spawned, not forked: polars has threads, and a fork copies their locks as they happen to be. Ctrl-C is the parent's
    to handle, and a parent that was killed leaves no worker behind. The caller's own script is not run again in them:
    it need not be guarded by `if __name__ == "__main__"`, and they start in half the time.
    """
    return ProcessPoolExecutor(processes, mp_context=_Context(), initializer=_follow_parent)


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  what multiprocessing calls
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # of no file, so that there is none to run
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = script


class _Context(SpawnContext):
    Process = _Process


def _follow_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
