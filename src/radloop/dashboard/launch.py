"""Start the dashboard's server in the place of this process."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn

from radloop.dashboard.inputs import Inputs
from radloop.errors import UsageError

SCRIPT = Path(__file__).parent / "server" / "main.py"  # .streamlit/config.toml lies beside it


def command(inputs: Inputs, *, host: str, port: int) -> list[str]:
    """The command line of the server; what does not depend on the run stands in its config.toml."""
    flags = [f"--server.address={host}", f"--server.port={port}"]
    return [sys.executable, "-m", "streamlit", "run", str(SCRIPT), *flags, "--", *inputs.arguments()]


def serve(inputs: Inputs, *, host: str, port: int) -> NoReturn:
    """Serve until somebody stops it. Raises UsageError where the extra `dashboard` is not installed."""
    for package in ("streamlit", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"The dashboard needs {package}: pip install 'radloop[dashboard]'.")
    print(f"radloop: http://{host}:{port}", file=sys.stderr, flush=True)  # noqa: T201  where to look
    server = command(inputs, host=host, port=port)
    os.execv(server[0], server)  # noqa: S606  the server is this process from here on
