"""The process that `python -m tests.fuzz` starts for a target: the code instrumented, then libFuzzer to its end."""

import logging
import sys

import atheris

logging.disable(logging.WARNING)  # streamlit's, that it runs without a server
# Not the seal: libFuzzer would take the right one from the comparison, and Polars, given a forged one, end the process.
with atheris.instrument_imports(include=["radloop", "PIL"], exclude=["radloop.sealed"]):
    from . import targets

if __name__ == "__main__":
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[name])
    atheris.Fuzz()
