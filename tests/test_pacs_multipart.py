"""The bodies of DICOMweb."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.pacs import multipart


@given(st.binary(max_size=200))
def test_object_comes_out_of_a_body_as_it_went_in(data):
    kind, pieces, length = multipart.related([data])
    body = bytearray(b"".join(pieces))
    assert len(body) == length
    assert multipart.only_part(kind, body) == data
    assert multipart.only_part(kind, bytearray(b"a preamble\r\n") + body + b"an epilogue") == data


@given(st.binary(max_size=50), st.integers(0, 400))
def test_body_that_is_cut_off_anywhere_is_no_object(data, length):
    kind, pieces, whole = multipart.related([data])
    body = b"".join(pieces)[: min(length, whole - 3)]
    with pytest.raises(multipart.MalformedError):
        multipart.only_part(kind, bytearray(body))


def test_two_objects_are_not_taken_for_one():
    kind, pieces, _ = multipart.related([b"a", b"b"])
    with pytest.raises(multipart.MalformedError):
        multipart.only_part(kind, bytearray(b"".join(pieces)))


def test_single_part_is_its_own_body():
    assert multipart.only_part("application/dicom; transfer-syntax=1.2", bytearray(b"abc")) == b"abc"


@given(st.text(max_size=80), st.binary(max_size=200))
def test_nothing_but_an_object_or_a_refusal_comes_of_any_answer(kind, body):
    with suppress(multipart.MalformedError):
        assert isinstance(multipart.only_part(kind, bytearray(body)), bytes)


@pytest.mark.parametrize("kind", ['multipart/related; boundary="a b"', "Multipart/Related;type=x;boundary=a"])
def test_boundary_is_found_however_it_is_written(kind):
    boundary = b"a b" if '"' in kind else b"a"
    body = bytearray(b"--%s\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--%s--" % (boundary, boundary))
    assert multipart.only_part(kind, body) == b"DICM"
