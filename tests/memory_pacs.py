"""A PACS in memory, for tests: it holds DICOM files by their UIDs, and can be made to fail."""

import io
from collections.abc import Sequence

import pydicom

from radloop.errors import PacsError, TransientPacsError
from radloop.pacs import Instance, Study


class MemoryPacs:
    """As `radloop.pacs.Pacs`; `before` is called with the name of what is asked for, and may raise."""

    address = "memory"

    def __init__(self, *objects, before=lambda asked: None):
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.before = before
        self.store(objects)
        self.asked.clear()

    def _ask(self, what):
        self.asked.append(what)
        self.before(what)

    def _headers(self):
        return [pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True) for data in list(self.objects.values())]

    def studies(self, *, since=None):
        self._ask("studies")
        counts: dict[str, int] = {}
        for header in self._headers():
            if since is None or header.get("StudyDate", "") >= f"{since:%Y%m%d}":
                counts[str(header.StudyInstanceUID)] = counts.get(str(header.StudyInstanceUID), 0) + 1
        return iter([Study(uid, count) for uid, count in counts.items()])

    def instances(self, study_uid):
        self._ask("instances")
        return iter(
            Instance(
                study_uid,
                str(header.SeriesInstanceUID),
                str(header.SOPInstanceUID),
                str(header.SOPClassUID),
                str(header.Modality),
            )
            for header in self._headers()
            if header.StudyInstanceUID == study_uid
        )

    def retrieve(self, instance):
        self._ask("retrieve")
        if instance.sop_instance_uid not in self.objects:
            raise PacsError("it is no longer there", code="gone")
        return self.objects[instance.sop_instance_uid]

    def store(self, objects: Sequence[bytes]):
        self._ask("store")
        for data in objects:
            header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
            self.objects.setdefault(str(header.SOPInstanceUID), bytes(data))
        self._ask("stored")

    def remove(self, uid):
        del self.objects[uid]

    @property
    def reports(self) -> list[bytes]:
        """All reports."""
        return [data for data in self.objects.values() if pydicom.dcmread(io.BytesIO(data)).Modality == "SR"]


def gone():
    """What a PACS that is not there raises."""
    return TransientPacsError("memory cannot be reached: connection refused. Is it running?")
