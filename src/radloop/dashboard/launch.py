"""Start the dashboard's server in the place of this process."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn

from radloop import settings
from radloop.dashboard import tokens
from radloop.errors import UsageError
from radloop.options import Dashboard

SCRIPT = Path(__file__).parent / "server" / "main.py"  # .streamlit/config.toml lies beside it


def command(options: Dashboard) -> list[str]:
    """The command line of the server; what does not depend on the run stands in its config.toml."""
    flags = [f"--server.address={options.host}", f"--server.port={options.port}"]
    return [sys.executable, "-m", "streamlit", "run", str(SCRIPT), *flags, "--", *settings.words(options)]


def serve(options: Dashboard) -> NoReturn:
    """Serve until somebody stops it. Raises UsageError where the extra `dashboard` is not installed."""
    for package in ("streamlit", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"The dashboard needs {package}: pip install 'radloop[dashboard]'.")
    tokens.of(options)  # what is wrong with it is said before a server starts
    server = command(options)
    os.execv(server[0], server)  # noqa: S606  the server is this process from here on
