"""THE way in which a DICOM file becomes a picture: for the source of a dataset, for `ingest` and for `watch` alike."""

from dataclasses import dataclass
from datetime import date

from radloop.dicom import burnt, gray, quarantine, radiograph
from radloop.dicom.pseudonyms import Origin, Pseudonyms
from radloop.errors import DicomError
from radloop.recipe import Recipe


@dataclass(frozen=True)
class Taken:
    """A picture and what may leave the house of its source."""

    image_id: str  # pseudonyms, as patient and site
    patient: str | None
    png: bytes
    width: int  # of the source: Columns and Rows, in whose pixels results are given back
    height: int
    spacing_mm: tuple[float, float] | None  # between rows, between columns
    view: str
    site: str | None
    study_date: date | None  # shifted
    recipe: str
    burnt: str | None = None  # why there may be text in its pixels: it waits in quarantine, and is not to be used

    def require_released(self) -> None:
        """Raise DicomError, with the code HELD, where a person has to look at the picture first."""
        if self.burnt:
            raise DicomError(self.burnt, code=quarantine.HELD)


def take(data: bytes, recipe: Recipe, pseudonyms: Pseudonyms, *, frontal_only: bool = False) -> Taken:
    """The picture that the recipe makes of a DICOM file. What leads back is remembered.

    One that seems to have text in its pixels is held in quarantine, until a person has released it. Raises DicomError.
    """
    found = radiograph.read(data, frontal_only=frontal_only)
    image_id = pseudonyms.image_id(found.sop_instance_uid)
    if pseudonyms.is_forgotten(image_id):
        raise DicomError("it was forgotten, and does not come in again", code="forgotten")
    values = gray.make(found, recipe)
    picture = gray.png(values)
    patient = pseudonyms.patient(found.patient_id, found.issuer)
    pseudonyms.remember(
        Origin(
            image_id=image_id,
            study_uid=found.study_uid,
            series_uid=found.series_uid,
            sop_instance_uid=found.sop_instance_uid,
            sop_class_uid=found.sop_class_uid,
            patient_id=found.patient_id,
            issuer=found.issuer,
            rows=found.rows,
            columns=found.columns,
        )
    )
    why = burnt.why(values)
    days = pseudonyms.shift_days(patient or pseudonyms.keyed("study", found.study_uid))
    return Taken(
        image_id=image_id,
        patient=patient,
        png=picture,
        width=found.columns,
        height=found.rows,
        spacing_mm=found.spacing_mm,
        view=found.view,
        site=pseudonyms.keyed("site", found.site)[:8] if found.site else None,
        study_date=found.study_date and _moved_back(found.study_date, days),
        recipe=str(recipe),
        burnt=why and quarantine.admit(pseudonyms.folder, image_id, picture, why, writing=pseudonyms.writing),
    )


def _moved_back(day: date, days: int) -> date | None:
    """The day that many days before; None before the first that there is."""
    return date.fromordinal(day.toordinal() - days) if day.toordinal() > days else None
