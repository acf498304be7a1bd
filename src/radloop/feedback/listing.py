"""The files of a folder of feedback or reviews, and of the folders in it: which hold one document, which one a line."""

import os
from array import array
from pathlib import Path
from typing import Final

import numpy as np

_DOCUMENT: Final = ".json"
_LINES: Final = (".jsonl", ".ndjson")


def inodes(folder: Path) -> dict[str, int]:
    """{name: inode} of every file in `folder` and in its folders, by inode; empty where there is no folder.

    A document that is known with the same inode is the same file: feedback is never changed. No file is touched for
    it. Temporary and hidden files are left out. A name is relative, with slashes.
    """
    return dict(zip(*_names_and_inodes(folder), strict=True))


def names(folder: Path) -> list[str]:
    """The names of `inodes`, in a quarter of its memory."""
    return _names_and_inodes(folder)[0]


def _names_and_inodes(folder: Path) -> tuple[list[str], list[int]]:
    """By inode: in this order reading is 1.8 times as fast as by name where the cache is cold."""
    found, inodes = [], array("Q")  # a list of entries would take 50 MB for 200,000 files
    inside = [""]
    while inside:
        place = inside.pop()
        try:
            entries = os.scandir(f"{folder}/{place}")
        except (FileNotFoundError, PermissionError):
            if place:  # a folder that cannot be looked into is a file that cannot be read
                found.append(place.removesuffix("/"))
                inodes.append(0)
                continue
            if os.path.exists(folder):
                raise
            break
        with entries:
            for entry in entries:
                name = entry.name
                if not name.endswith(_DOCUMENT):
                    if not is_visible(name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        inside.append(f"{place}{name}/")
                        continue
                elif name[0] == ".":
                    continue
                found.append(place + name)
                inodes.append(entry.inode())
    numbers = np.array(inodes)
    order = np.argsort(numbers)
    return [found[at] for at in order.tolist()], numbers[order].tolist()


def is_visible(name: str) -> bool:
    """Whether a file of this name is looked at: neither hidden nor temporary."""
    return not name.startswith(".") and not name.endswith(".tmp")


def has_lines(name: str) -> bool:
    """Whether a file of this name holds a feedback a line: it grows."""
    return name.lower().endswith(_LINES)


def is_document(name: str) -> bool:
    """Whether a file of this name holds one feedback: it is written once and never changed."""
    return name[-len(_DOCUMENT) :].lower() == _DOCUMENT


def kind(name: str) -> str:
    """What a file of another name is, in a sentence."""
    ending = os.path.splitext(name)[1]
    what = f"a file that ends in {ending}" if ending else "a file without an ending"
    return f"{what}: feedback is read from .json (one each) and .jsonl (one a line)"
