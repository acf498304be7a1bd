"""Lists of classes that tests run on: VinBigData's, seven of the spine, and twenty of nothing in particular."""

from typing import Final

from radloop.taxonomy import Taxonomy
from radloop.vindr.classes import TAXONOMY as VINDR

SPINE: Final = Taxonomy(
    (
        "Osteophytes",
        "Disc space narrowing",
        "Surgical implant",
        "Foraminal stenosis",
        "Spondylolysthesis",
        "Vertebral collapse",
        "Other lesions",
    )
)
TWENTY: Final = Taxonomy(tuple(f"finding {number:02}: a, b" for number in range(20)))
EVERY: Final = {"VinBigData": VINDR, "7 classes": SPINE, "20 classes": TWENTY}
