"""The tags of a DICOM file that radloop reads: an allow-list. Everything else is taken away before anybody looks.

PS3.15, Annex E (the basic profile), lists what to take away; here stands what stays, and docs/privacy.md shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

Becomes = Literal["gray values", "a number", "a word", "a pseudonym", "a moved date", "nothing"]


@dataclass(frozen=True)
class Kept:
    """What leaves the house of a tag, and why the tag is read."""

    becomes: Becomes
    why: str


_SHAPE: Final = Kept("gray values", "how the stored bytes are cut into values")
_MEANING: Final = Kept("gray values", "what the stored values mean")
_WINDOW: Final = Kept("gray values", "how a display would show them")
_TABLE: Final = Kept("gray values", "a table of gray values or colours; the texts beside it are not read")
_VIEW: Final = Kept(
    "a word", "from which side the radiograph was taken: one of a closed list, any other text is dropped"
)
_LENGTH: Final = Kept("a number", "millimetres of a pixel, in a plausible range and rounded; the ratio of its sides")
_PERSON: Final = Kept("a pseudonym", "whose image it is: images of a person share a split")
_BACK: Final = Kept("nothing", "leads results back into the study; only in OUT/private")
_REFUSAL: Final = Kept("nothing", "why a file is refused")

TAGS: Final[Mapping[str, Kept]] = MappingProxyType(
    {
        "SpecificCharacterSet": Kept("nothing", "how the texts below are written"),
        "SOPClassUID": _BACK,
        "SOPInstanceUID": Kept("a pseudonym", "the name of the image (image_id); in clear only in OUT/private"),
        "StudyInstanceUID": _BACK,
        "SeriesInstanceUID": _BACK,
        "StudyDate": Kept("a moved date", "moved back by whole days, the same for all dates of a patient"),
        "PatientID": _PERSON,
        "IssuerOfPatientID": _PERSON,
        "InstitutionName": Kept("a pseudonym", "where it was taken: models differ by site"),
        "Modality": Kept("nothing", "what kind of picture it is"),
        "BurnedInAnnotation": _REFUSAL,
        "NumberOfFrames": _REFUSAL,
        "ViewPosition": _VIEW,
        "ViewCodeSequence": _VIEW,
        "CodeValue": _VIEW,
        "PatientOrientation": _VIEW,
        "PixelSpacing": _LENGTH,
        "ImagerPixelSpacing": _LENGTH,
        "PixelAspectRatio": _LENGTH,
        "Rows": Kept("a number", "the frame that boxes and results are in"),
        "Columns": Kept("a number", "the frame that boxes and results are in"),
        "SamplesPerPixel": _SHAPE,
        "PlanarConfiguration": _SHAPE,
        "BitsAllocated": _SHAPE,
        "BitsStored": _SHAPE,
        "HighBit": _SHAPE,
        "PixelRepresentation": _SHAPE,
        "PhotometricInterpretation": _MEANING,
        "PixelPaddingValue": _MEANING,
        "PixelPaddingRangeLimit": _MEANING,
        "RescaleSlope": _MEANING,
        "RescaleIntercept": _MEANING,
        "WindowCenter": _WINDOW,
        "WindowWidth": _WINDOW,
        "VOILUTFunction": _WINDOW,
        "ModalityLUTSequence": _TABLE,
        "VOILUTSequence": _TABLE,
        "LUTDescriptor": _TABLE,
        "LUTData": _TABLE,
        "RedPaletteColorLookupTableDescriptor": _TABLE,
        "GreenPaletteColorLookupTableDescriptor": _TABLE,
        "BluePaletteColorLookupTableDescriptor": _TABLE,
        "RedPaletteColorLookupTableData": _TABLE,
        "GreenPaletteColorLookupTableData": _TABLE,
        "BluePaletteColorLookupTableData": _TABLE,
        "SegmentedRedPaletteColorLookupTableData": _TABLE,
        "SegmentedGreenPaletteColorLookupTableData": _TABLE,
        "SegmentedBluePaletteColorLookupTableData": _TABLE,
        "PixelData": Kept("gray values", "the picture, through the recipe; looked at for text first"),
    }
)


def limit(dataset: Any) -> None:
    """Take everything out of a pydicom dataset, and of the items of its sequences, that is not in TAGS."""
    from pydicom.datadict import keyword_for_tag

    for tag in list(dataset.keys()):
        keyword = keyword_for_tag(tag)
        if keyword not in TAGS:
            del dataset[tag]
        elif keyword.endswith("Sequence"):
            for item in dataset[tag].value or ():
                limit(item)
