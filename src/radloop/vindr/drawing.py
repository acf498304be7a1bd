"""Drawing a frontal chest radiograph that nobody took: one anatomy per image id, findings where their boxes are."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from radloop.readers import Boxes, Classes
from radloop.vindr import canvas, chest
from radloop.vindr.anatomy import anatomy, seed_of
from radloop.vindr.paint import AORTA, HEART, paint


def picture(image_id: str, boxes: Boxes, classes: Classes, *, side_px: int = 1024) -> npt.NDArray[np.uint8]:
    """The radiograph of one image id with a finding in each box: (side_px, side_px), 8-bit gray.

    `boxes` (n, 4) are fractions of the picture. The same arguments always give the same pixels.
    """
    body = anatomy(image_id)
    rng = np.random.default_rng([seed_of(image_id), 1])
    organs = {HEART: body.heart, AORTA: body.knob}
    for class_id, box in zip(classes.tolist(), boxes.tolist(), strict=True):
        if class_id in organs:
            organs[class_id] = tuple(box)
    drawn = chest.draw(
        body,
        rng,
        min(side_px, canvas.GRID_PX),
        heart=organs[HEART],
        enlarged=HEART in classes,
        knob=organs[AORTA],
    )
    for class_id, box in sorted(zip(classes.tolist(), boxes.tolist(), strict=True)):
        if class_id not in organs:
            paint(drawn, class_id, box, rng)
    return canvas.expose(drawn.canvas, body, rng, side_px)


def healthy(image_id: str, mark: Callable[[canvas.Field], None], *, side_px: int = 1024) -> npt.NDArray[np.uint8]:
    """The radiograph of one image id without a finding, on whose canvas (0 dark … 1 bright) `mark` may paint."""
    body = anatomy(image_id)
    rng = np.random.default_rng([seed_of(image_id), 1])
    grid = min(side_px, canvas.GRID_PX)
    drawn = chest.draw(body, rng, grid, heart=body.heart, enlarged=False, knob=body.knob)
    mark(drawn.canvas)
    return canvas.expose(drawn.canvas, body, rng, side_px)
