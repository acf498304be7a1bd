"""How long something may take, as people write it."""

import pytest

from radloop.durations import Duration
from radloop.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("90s", 90), ("2h", 7200), ("0", 0), ("45", 45), (" 1.5m ", 90)]
)
def test_duration_is_read(text, seconds):
    assert Duration.parse(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "-1", "1d", "m", "1 h 30 m", "nan", "1e9", "9999999"])
def test_other_text_is_refused_with_the_way_out(text):
    with pytest.raises(UsageError, match="30m"):
        Duration.parse(text)
