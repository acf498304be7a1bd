"""Errors that another try cannot mend say what can."""

import pytest

from radloop.storage.refusals import is_forbidden, way_out, with_way_out


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("HTTP Error: 401: Unauthorized", "refused user or password"),
        ("HTTP Error 403: 403 Forbidden", "also to a new login"),
        ("HTTP Error: 507: Insufficient Storage", "quota is used up"),
        ("write /x: no space left on device", "the disk is full"),
    ],
)
def test_error_has_its_way_out_and_keeps_the_words_of_the_store(error: str, sentence: str) -> None:
    assert sentence in (way_out(error) or "")
    assert sentence in with_way_out(error)
    assert error in with_way_out(error)


def test_error_that_may_pass_has_none() -> None:
    error = "HTTP Error: 503: Service Unavailable"
    assert way_out(error) is None
    assert with_way_out(error) == error
    assert not is_forbidden(error)
