"""What gdcm does with damaged bytes ends a process, and never that of radloop."""

import subprocess

import numpy as np
import pytest
from pydicom import uid

from dicom_files import dicom, gray
from radloop.dicom import apart, frames, radiograph
from radloop.errors import DicomError


def packed(values: np.ndarray) -> frames.Frame:
    return radiograph.read(dicom(values, syntax=uid.JPEGLSLossless)).frame


def decode(frame: frames.Frame, stream: bytes) -> bytes | None:
    return apart.decode(
        stream, syntax=frame.syntax, rows=frame.rows, columns=frame.columns, samples=1, precision=frame.stored
    )


@pytest.mark.parametrize("bits", [8, 12])
def test_values_come_back(bits):
    values = gray(31, 17, bits=bits)
    found = decode(packed(values), frames._single_fragment(packed(values)))
    assert np.array_equal(np.frombuffer(found, values.dtype), values.ravel())


def test_damaged_bytes_and_an_end_of_the_process_are_none(monkeypatch):
    frame = packed(gray())
    stream = frames._single_fragment(frame)
    assert decode(frame, stream[:20]) is None

    def killed(command, **_):
        return subprocess.CompletedProcess(command, -6, b"half", b"")

    monkeypatch.setattr(subprocess, "run", killed)
    assert decode(frame, stream) is None
    with pytest.raises(DicomError, match="damaged"):
        frames.decode(frame)


def test_a_decoder_without_an_end_is_ended(monkeypatch):
    def endless(command, *, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", endless)
    assert decode(packed(gray()), b"") is None
