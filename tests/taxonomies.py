"""Lists of classes that tests run on: VinBigData's, seven of the spine, and twenty of nothing in particular."""

from pathlib import Path
from typing import Final

import yaml

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


def named(classes: Taxonomy, folder: Path) -> str:
    """What `--classes` takes for these: a file that is written into `folder`."""
    path = folder / "classes.yaml"
    path.write_text(yaml.safe_dump({"names": list(classes.names)}, allow_unicode=True), encoding="utf-8")
    return str(path)
