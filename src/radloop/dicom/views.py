"""From which side a radiograph was taken, as far as its header says."""

from typing import Any, Final

from radloop.dicom.header import text

FRONTAL: Final = frozenset({"PA", "AP", "FRONTAL"})
LATERAL: Final = frozenset({"LL", "RL", "LATERAL"})
KNOWN: Final = FRONTAL | LATERAL | {"LLD", "RLD", "LLO", "RLO", "OBLIQUE"}  # decubitus and oblique views

_WORDS: Final = {"LAT": "LATERAL", "LEFT LATERAL": "LL", "RIGHT LATERAL": "RL", "A-P": "AP", "P-A": "PA"}
_CODES: Final = {  # SNOMED CT, and the SNOMED RT that older files have (PS3.16, CID 4010)
    **dict.fromkeys(("272479007", "R-40888"), "PA"),
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("399033003", "R-10202"), "FRONTAL"),
    **dict.fromkeys(("399067008", "R-102CD"), "LATERAL"),
    **dict.fromkeys(("399173006", "R-10236"), "LL"),
    **dict.fromkeys(("399198007", "R-10232"), "RL"),
    **dict.fromkeys(("399182000", "399184004", "399236003", "399160007", "399356000", "399135007"), "OBLIQUE"),
    **dict.fromkeys(("399038007", "399006002", "R-102C1", "R-10238", "R-10234", "R-10204", "R-40985"), "OBLIQUE"),
    **dict.fromkeys(("R-10220", "R-10210", "R-10212"), "OBLIQUE"),
}


def of(dataset: Any) -> str:
    """The view, one of KNOWN: by ViewPosition, else ViewCodeSequence, else PatientOrientation. Empty where unknown.

    No other text leaves here: a name may stand in any of them.
    """
    word = text(dataset, "ViewPosition").upper()
    word = _WORDS.get(word, word)
    if word in KNOWN:
        return word
    for item in dataset.get("ViewCodeSequence") or ():
        code = text(item, "CodeValue")
        if code in _CODES:
            return _CODES[code]
    return _by_orientation(dataset)


def _by_orientation(dataset: Any) -> str:
    """Rows that run to the patient's front or back are of a lateral, to the left or right of a frontal view."""
    directions = dataset.get("PatientOrientation") or ()
    if isinstance(directions, str) or len(directions) != 2:
        return ""
    row, column = (str(direction)[:1].upper() for direction in directions)
    if column not in ("F", "H"):
        return ""
    return {"A": "LATERAL", "P": "LATERAL", "L": "FRONTAL", "R": "FRONTAL"}.get(row, "")
