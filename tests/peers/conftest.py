"""What the comparisons with other people's packages share."""

import pytest

collect_ignore = [
    "exported.py",
    "figures.py",
    "trainer.py",
    "without_torchvision.py",
]  # run with the Python of .venv-peers, which has what they import


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-peers RECORD=--record` writes what the peers said to where `make test` looks for it."""
    parser.addoption("--record", action="store_true", help="keep the peers' verdicts for the tests without them")
