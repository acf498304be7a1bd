"""Synthetic metadata of a hospital group: where an image was taken, and by what."""

import random
from typing import Final

_DEVICES: Final = {"north": ("DX-1", "DX-2"), "south": ("DX-3",), "clinic": ("CR-1",)}
_SITE_SHARES: Final = (0.5, 0.3, 0.2)


def of(image_id: str, *, seed: int) -> tuple[str, str, str]:
    """Site, view and device of an image: the same for the same seed."""
    chance = random.Random(f"{seed} {image_id}")
    site = chance.choices(list(_DEVICES), weights=_SITE_SHARES)[0]
    view = chance.choices(("PA", "AP"), weights=(0.8, 0.2))[0]
    return site, view, chance.choice(_DEVICES[site])
