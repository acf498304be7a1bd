"""What terminologies call VinBigData's classes (SNOMED CT, DICOM). A class that is wider than any concept has none."""

from typing import Final

from radloop.codes import Code, private
from radloop.vindr.classes import TAXONOMY

_KNOWN: Final = {
    "Atelectasis": Code("46621007", "SCT", "Atelectasis"),
    "Calcification": Code("18115005", "SCT", "Pathologic calcification"),
    "Cardiomegaly": Code("8186001", "SCT", "Cardiomegaly"),
    "Consolidation": Code("95436008", "SCT", "Lung consolidation"),
    "ILD": Code("233703007", "SCT", "Interstitial lung disease"),
    "Infiltration": Code("409609008", "SCT", "Radiologic infiltrate of lung"),
    "Lung Opacity": Code("112001", "DCM", "Opacity"),
    "Pleural effusion": Code("60046008", "SCT", "Pleural effusion"),
    "Pneumothorax": Code("36118008", "SCT", "Pneumothorax"),
    "Pulmonary fibrosis": Code("51615001", "SCT", "Fibrosis of lung"),
}

CODES: Final = tuple(_KNOWN.get(name) or private(name) for name in TAXONOMY.names)
