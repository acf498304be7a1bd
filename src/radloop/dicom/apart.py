"""gdcm in a process of its own: some damaged JPEG ends the process that decodes it, which must not be radloop's.

It is the only free decoder of lossless JPEG. This file is run as a script, too, and so imports nothing of radloop.
"""

import subprocess
import sys
from typing import Final

_SECONDS: Final = 120.0  # a large picture takes one


def decode(packed: bytes, *, syntax: str, rows: int, columns: int, samples: int, precision: int) -> bytes | None:
    """The values of a JPEG or JPEG-LS stream, in 8 bits or, little endian, 16; None where it is damaged."""
    options = (syntax, *map(str, (rows, columns, samples, precision)))
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, *options],
            input=packed,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else done.stdout


def _run(syntax: str, rows: int, columns: int, samples: int, precision: int) -> bytes:
    import resource

    import gdcm

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core file with somebody's picture
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(sys.stdin.buffer.read())
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())

    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    kind = "MONOCHROME2" if samples == 1 else "RGB"  # so that no colours are turned into others
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.GetPIType(kind)))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    allocated = 8 if precision <= 8 else 16
    image.SetPixelFormat(gdcm.PixelFormat(samples, allocated, precision, precision - 1, 0))
    values: str = image.GetBuffer()
    return values.encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    sys.stdout.buffer.write(_run(sys.argv[1], *map(int, sys.argv[2:])))
