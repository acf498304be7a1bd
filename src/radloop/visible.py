"""Text of somebody else's as a terminal may get it: what would move the cursor, hide or turn text is shown instead.

A class, an image, a comment, a model or a file can be called anything: `\\x1b[2J` clears a screen, `\\r` writes over
what stood before, U+202E turns "gnp.exe" round, and a lone surrogate, of a file name that is not UTF-8, cannot be
printed.
"""

import re
from typing import Final

# C0, DEL and C1; marks that turn the direction of text; line and paragraph separators; a byte order mark; surrogates
# and tags, which no font shows. Joiners (U+200C, U+200D) are letters' business in Persian and Hindi, and stay.
_HIDDEN: Final = (
    "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f"
)
_LINE: Final = re.compile(f"[{_HIDDEN}]")
_IN_JSON: Final = re.compile(f"(?!\n)[{_HIDDEN}]")


def line(text: str) -> str:
    r"""A text on one line, where everything can be seen that is in it.

    >>> line("a\x1b[2J\nb\u202egnp.exe")
    'a\\x1b[2J\\nb\\u202egnp.exe'
    """
    return _LINE.sub(_written, text)


def in_json(document: str) -> str:
    r"""A JSON document that says the same, with escapes where it would hold what a terminal obeys.

    >>> in_json('{"name": "\x9b2J\u202e"}')
    '{"name": "\\u009b2J\\u202e"}'
    """
    return _IN_JSON.sub(_as_utf16, document)


def _written(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _as_utf16(found: re.Match[str]) -> str:
    if "\ud800" <= found[0] <= "\udfff":
        return "\ufffd"  # half of a character: no reader of JSON has to take it
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
