"""Text planted into radiographs, as consoles print it: for tests and benchmarks of the check for burnt-in text."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from radloop.sources import synthetic

DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
FONTS = {
    "Pillow's own": None,
    "DejaVu Sans": "DejaVuSans.ttf",
    "DejaVu Sans Bold": "DejaVuSans-Bold.ttf",
    "DejaVu Serif": "DejaVuSerif.ttf",
    "DejaVu Sans Mono": "DejaVuSansMono.ttf",
}
TEXTS = ("DOE^JOHN", "Mustermann, Erika", "MRN 00481516", "1971-04-23 14:05", "Smith A 12.03.58")
CORNERS = (("top", "left"), ("top", "right"), ("bottom", "left"), ("bottom", "right"))
EDGE_PX = 10


@lru_cache(maxsize=64)
def radiograph(index: int, *, seed: int = 5) -> np.ndarray:
    """A generated radiograph without text, but for the letter of its side."""
    drawn = synthetic.picture(synthetic.patient(index, seed=seed))
    drawn.setflags(write=False)
    return drawn


def fonts() -> list[str]:
    """The fonts that this machine has."""
    return [name for name, file in FONTS.items() if file is None or (DEJAVU / file).exists()]


def plant(gray, text, *, px=20, font="Pillow's own", contrast="white", where=("top", "left"), angle=0):
    """A copy of `gray` with `text` on it. `px`: the font's size; contrast: white, black or by how many gray values."""
    rows, columns = gray.shape
    mask = _drawn(text, px, font, angle)[: rows - 2 * EDGE_PX, : columns - 2 * EDGE_PX]
    height, width = mask.shape
    top = {"top": EDGE_PX, "middle": (rows - height) // 2, "bottom": rows - height - EDGE_PX}[where[0]]
    left = {"left": EDGE_PX, "middle": (columns - width) // 2, "right": columns - width - EDGE_PX}[where[1]]
    planted = gray.astype(np.float64)
    region = planted[top : top + height, left : left + width]
    if contrast in ("white", "black"):
        ink = 255.0 * (contrast == "white")
    else:
        ground = float(np.median(region))
        ink = ground + contrast if ground + contrast <= 255 else ground - contrast
    region += (ink - region) * mask
    return np.clip(planted, 0, 255).astype(np.uint8)


def _drawn(text, px, font, angle):
    file = FONTS[font]
    chosen = ImageFont.load_default(px) if file is None else ImageFont.truetype(str(DEJAVU / file), px)
    left, top, right, bottom = chosen.getbbox(text)
    drawn = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4), 0)
    ImageDraw.Draw(drawn).text((2 - left, 2 - top), text, 255, font=chosen)
    turned = drawn.rotate(angle, expand=True, resample=Image.Resampling.BICUBIC) if angle else drawn
    return np.asarray(turned).astype(np.float64) / 255
