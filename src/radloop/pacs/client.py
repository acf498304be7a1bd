"""A PACS by DICOMweb. Nothing of a patient, and no UID, stands in an error: a server's own words are not repeated."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode

from radloop.errors import PacsError
from radloop.pacs import Instance, Study, multipart
from radloop.pacs.connection import Connection, Limits
from radloop.pacs.credentials import Address, Credentials
from radloop.transport import Reply

PAGE: Final = 200  # studies or instances that are asked for at once

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID: Final = 64
_JSON: Final = "application/dicom+json"
_AS_STORED: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_SEARCH, _RETRIEVAL, _STORAGE = "a search (QIDO-RS)", "a retrieval (WADO-RS)", "a storage (STOW-RS)"
_DUPLICATE: Final = 0x0111  # a failure reason that is none: the object is there already (PS3.7, C.5.6)

# Tags in DICOM JSON (PS3.18, F.2)
_STUDY, _SERIES, _OBJECT, _CLASS, _MODALITY = "0020000D", "0020000E", "00080018", "00080016", "00080060"
_OBJECTS_OF_STUDY: Final = "00201208"
_STORED, _FAILED, _REASON = "00081199", "00081198", "00081197"


class Client:
    """A DICOMweb server, as `radloop.pacs.Pacs`. Each thread that asks has a connection of its own.

    TransientPacsError is raised after tries that this has made itself.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials | None = None,
        *,
        limits: Limits | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Nothing is asked yet. `pause` waits between tries. Raises UsageError as `Credentials.context`."""
        self.address = str(address)
        self.unusable = 0  # what searches found under UIDs that DICOM does not allow, and left out
        self._connection = Connection(address, credentials or Credentials(), limits or Limits(), pause=pause)

    @classmethod
    def of(cls, address: str, auth: Path | None = None, **arguments: Any) -> Self:
        """The client that `--pacs` and `--pacs-auth` name. Raises UsageError."""
        return cls(Address.parse(address), Credentials.read(auth) if auth else None, **arguments)

    def studies(self, *, since: date | None = None) -> Iterator[Study]:
        """All studies, page by page; with `since` only those whose study date is not before it."""
        filters = {"StudyDate": f"{since:%Y%m%d}-"} if since else {}
        for found in self._search("/studies", _STUDY, {**filters, "includefield": _OBJECTS_OF_STUDY}):
            objects = next(iter(_values(found, _OBJECTS_OF_STUDY)), None)
            count = str(objects)
            yield Study(_text(found, _STUDY), int(count) if count.isascii() and count.isdecimal() else None)

    def instances(self, study_uid: str) -> Iterator[Instance]:
        """Everything in a study: images, reports, and whatever else."""
        filters = {"includefield": f"{_CLASS},{_MODALITY}"}
        for found in self._search(f"/studies/{_checked(study_uid)}/instances", _OBJECT, filters):
            series_uid = _text(found, _SERIES)
            if _is_uid(series_uid):
                uids = (study_uid, series_uid, _text(found, _OBJECT))
                yield Instance(*uids, _text(found, _CLASS), _text(found, _MODALITY))
            else:
                self.unusable += 1

    def retrieve(self, instance: Instance) -> bytes:
        """The object as a DICOM file, as it was stored. Raises PacsError "gone" where it no longer is."""
        study, series, uid = map(_checked, (instance.study_uid, instance.series_uid, instance.sop_instance_uid))
        path = f"/studies/{study}/series/{series}/instances/{uid}"
        reply = self._connection.request("GET", path, what=_RETRIEVAL, accept=_AS_STORED)
        self._require_ok(reply, _RETRIEVAL)
        try:
            return multipart.only_part(reply.headers.get("content-type", ""), reply.body)
        except multipart.MalformedError:
            raise self._garbled(_RETRIEVAL, "one DICOM object") from None

    def store(self, objects: Sequence[bytes]) -> None:
        """Store DICOM files; one that is there already is no error, and stays as it is there.

        Raises PacsError "refused" where not all were taken; those that were are stored.
        """
        if not objects:
            return
        kind, pieces, length = multipart.related(objects)
        headers = {"Content-Type": kind, "Content-Length": str(length)}
        reply = self._connection.request("POST", "/studies", what=_STORAGE, accept=_JSON, body=pieces, headers=headers)
        stored, failed = _told(reply.body)
        there = stored + sum(reason == _DUPLICATE for reason in failed)
        reasons = {f"{reason:04X}" for reason in failed if reason != _DUPLICATE}
        if not (there or failed):
            self._require_ok(reply, _STORAGE)
        elif reasons or there < len(objects):
            raise PacsError(
                f"{self.address} stored {there} of {len(objects)} objects (status {reply.status}, reasons: "
                f"{', '.join(sorted(reasons)) or 'none given'}). Its own log says more.",
                code="refused",
            )

    def close(self) -> None:
        """Close the connection of this thread."""
        self._connection.close()

    def give_up(self) -> None:
        """End what all threads wait for: their requests are late."""
        self._connection.give_up()

    def _search(self, path: str, key: str, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """What a search finds, each once, in the server's order, each with a UID as `key`; asked for as needed.

        A server may give less than was asked for: the end is a page with nothing on it.
        """
        seen: set[str] = set()
        asked = 0
        while found := self._page(f"{path}?{urlencode({**filters, 'limit': PAGE, 'offset': asked}, safe=',')}"):
            known = len(seen)
            for one in found:
                uid = _text(one, key)
                if uid not in seen:
                    seen.add(uid)
                    if _is_uid(uid):
                        yield one
                    else:
                        self.unusable += 1
            if len(seen) == known:
                if len(found) == PAGE:
                    raise PacsError(
                        f"{self.address} has no second page: it ignores offset in {_SEARCH}.", code="answer"
                    )
                return  # it answers everything at once, whatever page it is asked for
            asked += len(found)

    def _page(self, path: str) -> list[dict[str, Any]]:
        reply = self._connection.request("GET", path, what=_SEARCH, accept=_JSON)
        if reply.status == HTTPStatus.NO_CONTENT:
            return []
        self._require_ok(reply, _SEARCH)
        try:
            found = json.loads(reply.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self._garbled(_SEARCH, "a list in DICOM JSON")
        return found

    def _require_ok(self, reply: Reply, what: str) -> None:
        if reply.status == HTTPStatus.OK:
            return
        gone = what == _RETRIEVAL and reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
        way = "It is no longer there." if gone else "Is this the root of its DICOMweb?"
        sentence = f"{self.address} answered {reply.status} to {what}. {way}"
        raise PacsError(sentence, code="gone" if gone else "refused")

    def _garbled(self, what: str, expected: str) -> PacsError:
        return PacsError(f"{self.address} answered {what} with something else than {expected}.", code="answer")


def _is_uid(text: str) -> bool:
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def _checked(uid: str) -> str:
    """A UID that may be part of a path. Raises PacsError where it is none."""
    if not _is_uid(uid):
        raise PacsError("a UID that DICOM does not allow cannot be asked for.", code="uid")
    return uid


def _values(one: Any, tag: str) -> list[Any]:
    """The values of an attribute in DICOM JSON; none where anything is not as it should be."""
    attribute = one.get(tag) if isinstance(one, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else []


def _text(one: Any, tag: str) -> str:
    value = next(iter(_values(one, tag)), "")
    return value.strip("\0 ") if isinstance(value, str) else ""


def _told(body: bytearray) -> tuple[int, list[int]]:
    """How many objects are stored, and why others are not (0: no reason), by an answer to STOW-RS (PS3.18, 10.5.3)."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return 0, []
    reasons = [next(iter(_values(one, _REASON)), 0) for one in _values(told, _FAILED)]
    return len(_values(told, _STORED)), [reason if isinstance(reason, int) else 0 for reason in reasons]
