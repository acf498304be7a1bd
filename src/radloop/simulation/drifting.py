"""What changes about the pictures in the middle of a run, so that the measures of drift have something true to find."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from radloop.errors import UsageError

Kind = Literal["brightness", "contrast", "rotation", "mix"]
_Gray = npt.NDArray[np.uint8]

# What an amount is, and from where to where it makes sense.
_RANGES: Final[dict[str, tuple[float, float, str]]] = {
    "brightness": (-1.0, 1.0, "the share of the gray scale that is added"),
    "contrast": (-0.95, 5.0, "the share by which distances from the mean grow"),
    "rotation": (-45.0, 45.0, "degrees, counter-clockwise"),
    "mix": (0.0, 1.0, "the share of pictures with a finding"),
}
_FORM: Final = re.compile(r"(?P<kind>[a-z]+):(?P<amount>[+-]?[0-9]{1,3}(\.[0-9]{1,6})?)@(?P<stage>[0-9]{1,4})")


@dataclass(frozen=True)
class Drift:
    """One change from a stage on (counted from 1)."""

    kind: Kind
    amount: float
    stage: int

    def __str__(self) -> str:
        """As the user writes it."""
        return f"{self.kind}:{self.amount:.9g}@{self.stage}"


def parse(text: str) -> tuple[Drift, ...]:
    """Changes as in `brightness:0.2@4,mix:0.8@6`; none in an empty text. Raises UsageError.

    >>> parse("brightness:0.2@4")
    (Drift(kind='brightness', amount=0.2, stage=4),)
    """
    return tuple(_parse_one(part.strip()) for part in text.split(",")) if text.strip() else ()


def _parse_one(text: str) -> Drift:
    form = _FORM.fullmatch(text)
    if form is None or form["kind"] not in get_args(Kind):
        raise UsageError(
            f"--drift {text[:60]!r}: KIND:AMOUNT@STAGE is meant, such as brightness:0.2@4; "
            f"the kinds are {', '.join(get_args(Kind))}."
        )
    low, high, meaning = _RANGES[form["kind"]]
    drift = Drift(form["kind"], float(form["amount"]), int(form["stage"]))  # type: ignore[arg-type]
    if not low <= drift.amount <= high:
        raise UsageError(f"--drift {text!r}: the amount is {meaning}, from {low:g} to {high:g}.")
    return drift


def of_pixels(drifts: Iterable[Drift], stage: int) -> tuple[Drift, ...]:
    """The changes of the pictures themselves that hold in a stage."""
    return tuple(drift for drift in drifts if drift.kind != "mix" and drift.stage <= stage)


def share_with_finding(drifts: Iterable[Drift], stage: int) -> float | None:
    """The share of pictures with a finding that holds in a stage; None: as they come."""
    shares = [drift for drift in drifts if drift.kind == "mix" and drift.stage <= stage]
    return max(shares, key=lambda drift: drift.stage).amount if shares else None


def apply(gray: _Gray, drifts: Iterable[Drift]) -> _Gray:
    """The picture after the changes, one after the other; gray values stay in 0..255, the size stays."""
    for drift in drifts:
        match drift.kind:
            case "brightness":
                gray = _as_gray(gray + 255.0 * drift.amount)
            case "contrast":
                mean = float(gray.mean())
                gray = _as_gray(mean + (gray - mean) * (1 + drift.amount))
            case "rotation":
                turned = Image.fromarray(gray).rotate(drift.amount, Image.Resampling.BILINEAR)
                gray = np.asarray(turned)
            case "mix":
                pass  # changes which pictures arrive, not what they are
    return gray


def _as_gray(values: npt.NDArray[np.floating]) -> _Gray:
    rounded: _Gray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
