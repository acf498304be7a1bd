"""A document that is made anew each time."""

from pathlib import Path

import pytest

from radloop import sums
from radloop.dataset.made import Made

MADE = Made.of(lambda: [b"a,b\n", b"", b"1,2\n"])


def test_it_tells_the_size_and_sums_of_what_it_writes(tmp_path: Path) -> None:
    MADE.write(tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    assert data == b"a,b\n1,2\n"
    assert (MADE.size, MADE.sums) == (len(data), sums.of(data))
    assert MADE.is_in(tmp_path / "x")


@pytest.mark.parametrize("data", [b"a,b\n1,3\n", b"a,b\n1,2\n\n", b""], ids=["other", "more", "nothing"])
def test_it_is_in_no_file_that_holds_another(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    assert not MADE.is_in(tmp_path / "x")


def test_it_is_in_no_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        MADE.is_in(tmp_path / "x")
