"""What every error of radloop's own is: one line."""

from radloop.errors import SourceError


def test_an_error_about_a_path_with_a_line_break_is_one_line():
    assert str(SourceError("so\rce\u2028.csv is gone\n")) == r"so\rce\u2028.csv is gone\n"
