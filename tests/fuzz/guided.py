"""The process that `run.fuzz` starts for a target: the code instrumented, then libFuzzer to its end."""

import logging
import sys
from pathlib import Path

import atheris

logging.disable(logging.WARNING)  # streamlit's, that it runs without a server
# Not the seal: libFuzzer would take the right one from the comparison, and Polars, given a forged one, end the process.
with atheris.instrument_imports(include=["radloop", "PIL"], exclude=["radloop.sealed"]):
    from . import seeds, targets


def main(name: str, scratch: str, *options: str) -> None:
    corpus, words = Path(scratch, "corpus"), Path(scratch, "words")
    corpus.mkdir()
    for number, seed in enumerate(seeds.SEEDS[name]()):
        (corpus / str(number)).write_bytes(seed)
    words.write_text("".join(f'"{word}"\n' for word in seeds.WORDS.get(name, ["radloop"])), encoding="utf-8")
    atheris.Setup([name, *options, f"-dict={words}", str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
