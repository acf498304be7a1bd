"""How a picture is made from its DICOM source: a named, versioned recipe that every picture and feedback carries."""

import re
from dataclasses import dataclass
from typing import Final

from radloop.errors import UsageError

VERSION: Final = 1  # raised whenever the gray values that a recipe makes change
LARGEST_SIDE_PX: Final = 16_384

_RULES: Final = ("vinbigdata", "minmax")
_NUMBER: Final = r"-?\d{1,6}(?:\.\d{1,6})?"
_WINDOW: Final = re.compile(rf"window:({_NUMBER})/({_NUMBER})")
_WAY_OUT: Final = (
    "It is vinbigdata, minmax or window:CENTER/WIDTH, then perhaps ,size=PIXELS or ,size=original and ,ratio=kept, "
    "such as window:40/400,size=512."
)


@dataclass(frozen=True)
class Recipe:
    """From stored values to 8-bit gray values.

    gray: "vinbigdata": modality LUT, VOI LUT or window (the first), MONOCHROME1 inverted, smallest to largest value
    as 0 to 255; "minmax": the same without VOI LUT or window; "window:CENTER/WIDTH": that window in the place of the
    file's own (DICOM PS3.3, C.11.2.1.2). Then resized (Lanczos) to a square of `size_px`, or with the ratio kept so
    that the longer side has `size_px`; None: as it is.
    """

    gray: str = "vinbigdata"
    size_px: int | None = 1024
    keeps_ratio: bool = False
    version: int = VERSION

    def __str__(self) -> str:
        """Its name.

        >>> str(Recipe()), str(Recipe("minmax", None))
        ('vinbigdata@1,size=1024,ratio=stretched', 'minmax@1,size=original')
        """
        if self.size_px is None:
            return f"{self.gray}@{self.version},size=original"
        return f"{self.gray}@{self.version},size={self.size_px},ratio={'kept' if self.keeps_ratio else 'stretched'}"

    @property
    def window(self) -> tuple[float, float] | None:
        """Centre and width of a window of its own."""
        found = _WINDOW.fullmatch(self.gray)
        return (float(found[1]), float(found[2])) if found else None

    @classmethod
    def parse(cls, text: str) -> "Recipe":
        """The recipe that `--recipe` or a name asks for. Raises UsageError.

        >>> Recipe.parse("window:40/400,size=512,ratio=kept")
        Recipe(gray='window:40/400', size_px=512, keeps_ratio=True, version=1)
        """
        first, *rest = text.strip().split(",")
        gray, _, version = first.partition("@")
        told = dict(part.partition("=")[::2] for part in rest)
        if version not in ("", str(VERSION)):
            raise UsageError(f"recipe {text[:80]!r} is of version {version}: this radloop makes version {VERSION}.")
        window = _WINDOW.fullmatch(gray)
        if (gray not in _RULES and window is None) or (window is not None and float(window[2]) < 1):
            raise UsageError(f"unknown recipe {text[:80]!r}. {_WAY_OUT}")
        size, ratio = told.pop("size", "1024"), told.pop("ratio", "stretched")
        is_number = re.fullmatch(r"[1-9]\d{1,4}", size) is not None and int(size) <= LARGEST_SIDE_PX
        if told or ratio not in ("kept", "stretched") or not (is_number or size == "original"):
            raise UsageError(f"unknown recipe {text[:80]!r}. {_WAY_OUT}")
        kept = ratio == "kept" and is_number  # of a picture that is left as it is, the ratio is nothing to choose
        return cls(gray, int(size) if is_number else None, kept)
