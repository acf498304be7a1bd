"""The DICOMweb client against a real Orthanc, and against servers that answer as none should."""

import json
from datetime import date

import pytest

from dicom_files import dicom, gray, uid_of, with_file, written
from radloop import pacs as pacs_room
from radloop.errors import PacsError, TransientPacsError
from radloop.pacs import Instance, Study, client
from radloop.pacs.client import Client
from radloop.pacs.connection import Limits
from rude_server import reply, rude_server

pytest_plugins = ("pacs_server",)

HERE = Instance("1.2.3", "1.2.4", "1.2.5", "1.2.840.10008.5.1.4.1.1.1.1", "DX")
STORED = {"00081155": {"vr": "UI", "Value": ["1.2.5"]}}


def picture(number=1, **tags):
    return dicom(gray(20, 16, seed=number), number=number, **tags)


def asked_of(server, **limits):
    at_once = Limits(seconds=10, tries=2, **limits)
    return Client.of(f"http://127.0.0.1:{server.port}/dicom-web", limits=at_once, pause=lambda seconds: None)


def page(count, first=0):
    return [{"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}} for number in range(first, first + count)]


def test_client_is_a_pacs():
    client: pacs_room.Pacs = Client.of("http://127.0.0.1:1/dicom-web")
    assert client.address == "http://127.0.0.1:1/dicom-web"


def test_stored_objects_are_found_and_come_back_as_they_are(pacs):
    second = picture(3, StudyInstanceUID=uid_of(1, 3), PatientID="P00001", Modality="CR")
    client = Client.of(f"dicomweb:{pacs.url}")
    client.store([picture(1), picture(2), second])
    assert set(client.studies()) == {Study(uid_of(1, 3), 2), Study(uid_of(2, 3), 1)}
    found = {one.sop_instance_uid: one for one in client.instances(uid_of(1, 3))}
    assert {uid: one.modality for uid, one in found.items()} == {uid_of(1): "DX", uid_of(3): "CR"}
    assert client.retrieve(found[uid_of(1)]) == picture(1)
    assert client.retrieve(found[uid_of(3)]) == second
    assert client.unusable == 0


def test_object_that_is_there_already_counts_as_stored_and_stays_as_it_is(pacs):
    client = Client.of(pacs.url)
    client.store([picture()])
    client.store([picture(PatientName="Another^Name"), picture(2)])
    (found,) = client.instances(uid_of(1, 3))
    assert client.retrieve(found) == picture()
    assert len(list(client.studies())) == 2


def test_study_is_searched_by_its_date(pacs):
    client = Client.of(pacs.url)
    client.store([picture(1, StudyDate="20260101"), picture(2, StudyDate="20260301")])
    assert [study.study_uid for study in client.studies(since=date(2026, 2, 1))] == [uid_of(2, 3)]


def test_search_goes_through_all_pages_and_tells_everything_once(pacs, monkeypatch):
    monkeypatch.setattr(client, "PAGE", 3)
    asking = Client.of(pacs.url)
    asking.store([picture(number) for number in range(8)])
    assert sorted(study.study_uid for study in asking.studies()) == [uid_of(number, 3) for number in range(8)]


def test_object_that_is_gone_is_told_from_a_server_that_is_none(pacs):
    asking = Client.of(pacs.url)
    asking.store([picture()])
    (there,) = asking.instances(uid_of(1, 3))
    pacs.empty()
    with pytest.raises(PacsError) as gone:
        asking.retrieve(there)
    assert gone.value.code == "gone"
    with pytest.raises(PacsError, match=r"answered 404 to a search .* root of its DICOMweb\?") as wrong:
        list(Client.of(f"{pacs.root}/nothing").studies())
    assert wrong.value.code == "refused"


def test_batch_of_which_one_is_no_dicom_is_stored_but_for_that_and_said(pacs):
    asking = Client.of(pacs.url)
    with pytest.raises(PacsError, match=r"stored 1 of 2 objects \(status 400, reasons: none given\)"):
        asking.store([picture(), b"no DICOM" * 100])
    assert len(list(asking.studies())) == 1
    with pytest.raises(PacsError, match="answered 400 to a storage"):
        asking.store([b"no DICOM" * 100])


def test_error_names_no_uid_and_no_person(pacs):
    asking = Client.of(pacs.url)
    asking.store([picture(PatientID="Doe4711")])
    (there,) = asking.instances(uid_of(1, 3))
    absent = there._replace(sop_instance_uid=uid_of(77))
    with pytest.raises(PacsError) as failed:
        asking.retrieve(absent)
    assert "1.2.826" not in str(failed.value)
    assert "Doe" not in str(failed.value)


def test_pacs_that_is_down_is_waited_for_and_then_said_to_be_down(pacs):
    waited = []
    asking = Client.of(pacs.url, pause=waited.append, limits=Limits(tries=3))
    pacs.kill()
    with pytest.raises(TransientPacsError, match=r"cannot be reached: .*\. Is it running\?"):
        list(asking.studies())
    assert waited == [0.25, 0.5]
    asking = Client.of(pacs.url, pause=lambda seconds: pacs.start())
    assert list(asking.studies()) == []


def test_connection_that_was_cut_is_opened_again(pacs):
    asking = Client.of(pacs.url, pause=lambda seconds: pacs.open())
    asking.store([picture()])
    pacs.cut()
    assert len(list(asking.studies())) == 1


def test_line_that_carries_nothing_is_given_up(pacs):
    asking = Client.of(pacs.url, limits=Limits(seconds=0.3, tries=1))
    asking.store([picture()])
    pacs.stall()
    with pytest.raises(TransientPacsError, match=r"did not answer a search \(QIDO-RS\) within 0\.3 s"):
        list(asking.studies())
    pacs.open()
    assert len(list(asking.studies())) == 1


@pytest.mark.parametrize(
    ("status", "told", "sentence"),
    [
        pytest.param(200, {"00081199": {"vr": "SQ", "Value": [STORED]}}, None, id="stored"),
        pytest.param(200, None, None, id="stored, without a word"),
        pytest.param(202, {"00081198": {"Value": [STORED | {"00081197": {"Value": [0x0111]}}]}}, None, id="there"),
        pytest.param(
            409,
            {"00081198": {"Value": [STORED | {"00081197": {"Value": [0xA700]}}]}},
            r"stored 0 of 1 objects \(status 409, reasons: A700\)",
            id="no room",
        ),
        pytest.param(409, {"00081198": {"Value": [7]}}, r"\(status 409, reasons: 0000\)", id="garbled reason"),
        pytest.param(202, None, "answered 202 to a storage", id="accepted, without a word"),
        pytest.param(413, None, "answered 413 to a storage", id="too large for the server"),
    ],
)
def test_answer_to_a_storage_is_understood(status, told, sentence):
    body = b"" if told is None else json.dumps(told).encode()
    with rude_server(lambda request: reply(body, status)) as server:
        if sentence is None:
            asked_of(server).store([b"a"])
        else:
            with pytest.raises(PacsError, match=sentence):
                asked_of(server).store([b"a"])


def test_server_that_answers_all_at_once_whatever_page_is_asked_for_is_believed():
    with rude_server(lambda request: reply(json.dumps(page(3)).encode())) as server:
        assert [study.study_uid for study in asked_of(server).studies()] == ["1.2.0", "1.2.1", "1.2.2"]


def test_server_that_gives_its_first_page_for_ever_is_found_out():
    with (
        rude_server(lambda request: reply(json.dumps(page(client.PAGE)).encode())) as server,
        pytest.raises(PacsError, match="ignores offset"),
    ):
        list(asked_of(server).studies())


def test_server_whose_pages_are_smaller_than_asked_for_loses_nothing():
    pages = [page(2), page(2, 2), page(1, 4), []]
    with rude_server(lambda request: reply(json.dumps(pages.pop(0)).encode())) as server:
        assert len(list(asked_of(server).studies())) == 5


def test_uid_that_would_change_the_address_is_left_out_and_counted():
    hostile = [{"0020000D": {"Value": [uid]}} for uid in ("../admin", "1.2?x=", "1" * 65, 7, "")]
    pages = [hostile + page(1), []]
    with rude_server(lambda request: reply(json.dumps(pages.pop(0)).encode())) as server:
        asking = asked_of(server)
        assert [study.study_uid for study in asking.studies()] == ["1.2.0"]
    assert asking.unusable == 4  # the last two are one
    for part in ("study_uid", "series_uid", "sop_instance_uid"):
        with pytest.raises(PacsError, match="UID"):
            asking.retrieve(HERE._replace(**{part: "1/../../x"}))


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[7]", b"<html>", b"[" * 100_000, b"\xff"],
    ids=["empty", "object", "number in it", "page", "deep", "no text"],
)
def test_search_that_is_answered_with_anything_else_is_said(body):
    with (
        rude_server(lambda request: reply(body)) as server,
        pytest.raises(PacsError, match="something else than a list in DICOM JSON"),
    ):
        list(asked_of(server).studies())


@pytest.mark.parametrize("kind", ["text/html", "multipart/related; boundary=x", "multipart/related"])
def test_retrieval_that_is_answered_with_anything_else_is_said(kind):
    with (
        rude_server(lambda request: reply(b"<html>hello</html>", content_type=kind)) as server,
        pytest.raises(PacsError, match="something else than one DICOM object"),
    ):
        asked_of(server).retrieve(HERE)


def test_another_client_sees_what_ours_does(pacs):
    from dicomweb_client.api import DICOMwebClient

    other = DICOMwebClient(pacs.url)
    asking = Client.of(pacs.url)
    asking.store([picture(1), picture(2)])
    theirs = {one["0020000D"]["Value"][0] for one in other.search_for_studies()}
    assert theirs == {study.study_uid for study in asking.studies()}
    for study in asking.studies():
        (there,) = asking.instances(study.study_uid)
        read = other.retrieve_instance(there.study_uid, there.series_uid, there.sop_instance_uid)
        assert with_file(asking.retrieve(there), lambda dataset: None) == written(read)
