import gzip
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from made_up_model import ended
from radloop.detectors.names import Wishes
from radloop.detectors.onnx import TINY, Onnx
from radloop.detectors.triton import Triton
from radloop.errors import DetectorError, MisreadDetectorError, TaxonomyError, TransientDetectorError
from radloop.predictions import Picture
from radloop.recipe import Recipe
from radloop.sources import synthetic
from radloop.taxonomy import Taxonomy
from radloop.vindr import canvas
from rude_server import drip, reply, rude_server
from taxonomies import SPINE, VINDR

pytest_plugins = ("triton_server",)

METADATA = {
    "versions": ["1", "10", "9"],
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 1, 32, 32]}],
    "outputs": [{"name": "output0", "datatype": "FP32", "shape": [1, 18, -1]}],
}
UNREADABLE = Picture("a1", b"")


def picture():
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32), 128, dtype=np.uint8)).save(buffer, "PNG")
    return Picture("a1", buffer.getvalue())


def film(index):
    known = synthetic.patient(index, seed=52)
    return Picture(known.image_id, canvas.encode(synthetic.picture(known, side_px=320)))


def store_of_films(root, count):
    """A store as an older pipeline leaves it: pictures, and no manifest."""
    images = root / "test" / "images"
    images.mkdir(parents=True)
    for one in map(film, range(count)):
        (images / f"{one.image_id}_R1.png").write_bytes(one.data)
    return root


def by_place(said):
    """Class, box and confidence, row by row: confidences may differ in the last digit, and so the order."""
    table = np.column_stack([said.class_ids, said.cxcywh_norm, said.confidences])
    return table[np.lexsort((table[:, 1].round(3), table[:, 2].round(3), table[:, 0]))]


class Server:
    """What a Triton would say, word by word: (status, body) per path; None: no answer at all."""

    def __init__(self):
        self.answers = {
            "/v2/health/ready": (200, b""),
            "/v2/models/mine": (200, json.dumps(METADATA).encode()),
            "/v2/models/mine/ready": (200, b""),
            "/v2/repository/index": (200, b'[{"name": "others"}, {"name": "another"}]'),
        }
        self.hung = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, body = server.answers.get(self.path, (404, b'{"error": "unknown"}'))
                if body is None:
                    server.hung.wait(60)
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                self.do_GET()

            def log_message(self, *words):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def infers(self, status, body):
        self.answers["/v2/models/mine/infer"] = (status, body)

    def stop(self):
        self.hung.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


def numbers(values, **told):
    """A KServe answer in JSON; Triton itself sends the numbers as bytes behind it."""
    shape = list(np.shape(values))
    tensor = {"name": "output0", "datatype": "FP32", "shape": shape, "data": np.ravel(values).tolist()}
    return json.dumps({"model_name": "mine", "outputs": [tensor], **told}).encode()


def heart():
    values = np.zeros((1, 18, 2))
    values[0, [0, 1, 2, 3, 7], 0] = 16, 20, 8, 4, 0.93
    return values


def test_version_is_the_newest_that_the_server_tells(server):
    detector = Triton(server.url, VINDR, model="mine")
    assert (detector.name, detector.version) == ("mine", "10")


@pytest.mark.parametrize(
    ("model", "path"), [("my model", "my%20model"), ("a%20b", "a%20b"), ("Röntgen", "R%C3%B6ntgen")]
)
def test_name_of_a_model_may_have_any_letters(server, model, path):
    server.answers |= {name.replace("mine", path): answer for name, answer in server.answers.items()}
    assert Triton(server.url, VINDR, model=model).name == model


@pytest.mark.parametrize(
    ("configuration", "recipe"),
    [
        pytest.param({"parameters": {"radloop_recipe": {"string_value": "minmax"}}}, str(Recipe("minmax")), id="told"),
        pytest.param({"parameters": {}}, None, id="not told"),
        pytest.param(["no object"], None, id="another server's"),
        pytest.param(None, None, id="no configuration"),
    ],
)
def test_recipe_is_what_the_configuration_of_the_model_tells(server, configuration, recipe):
    if configuration is not None:
        server.answers["/v2/models/mine/config"] = (200, json.dumps(configuration).encode())
    assert Triton(server.url, VINDR, model="mine").recipe == recipe


def test_version_of_an_answer_is_the_one_that_answered(server):
    detector = Triton(server.url, VINDR, model="mine")
    told = []
    for version in ({"model_version": "10"}, {"model_version": "11"}, {"model_version": ""}, {}):
        server.infers(200, numbers(heart(), **version))
        told.append(detector.predict(picture()).model_version)
    assert told == ["10", "11", "10", "10"]


def test_model_that_is_loaded_in_mid_run_is_judged_anew(server):
    detector = Triton(server.url, VINDR, model="mine")
    server.infers(200, numbers(heart(), model_version="10"))
    for _ in range(25):
        detector.predict(picture())
    fractions = heart()
    fractions[0, :4] /= 32
    server.infers(200, numbers(fractions, model_version="11"))
    with pytest.raises(MisreadDetectorError, match="mine answers boxes as fractions"):
        detector.predict(picture())


def test_answer_in_json_is_read_too(server):
    server.infers(200, numbers(heart()))
    said = Triton(server.url, VINDR, model="mine").predict(picture())
    assert said.class_ids.tolist() == [3]
    assert said.cxcywh_norm.tolist() == [pytest.approx([0.5, 0.625, 0.25, 0.125])]


def test_less_sure_boxes_of_a_served_model_are_kept_beside_the_detections(server):
    values = heart()
    values[0, [0, 1, 2, 3, 8], 1] = 8, 8, 4, 4, 0.125
    server.infers(200, numbers(values))
    said = Triton(server.url, VINDR, model="mine").predict(picture())
    assert (said.class_ids.tolist(), said.low.class_ids.tolist()) == ([3], [4])
    assert (said.low.confidences.tolist(), said.kept_from) == ([0.125], 0.05)
    assert said.low.cxcywh_norm.tolist() == [[0.25, 0.25, 0.125, 0.125]]


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/models/mine", "/v2/models/mine/ready"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(503, b"", id="unavailable"),
        pytest.param(500, b'{"error": "out of memory"}', id="failed"),
        pytest.param(429, b"", id="too many requests"),
        pytest.param(400, b'{"error": "Request for unknown model: \'mine\' has no available versions"}', id="loading"),
    ],
)
def test_server_or_model_that_is_not_ready_yet_is_worth_another_try(server, path, status, body):
    server.answers[path] = (status, body)
    with pytest.raises(TransientDetectorError, match=f"mine answered {status}") as failed:
        Triton(server.url, VINDR, model="mine")
    assert failed.value.kind == f"status {status}"


def test_model_that_the_server_does_not_have_is_final_and_the_others_are_named(server):
    server.answers["/v2/models/yours"] = (404, b'{"error": "unknown model"}')
    with pytest.raises(
        DetectorError, match=r"yours answered 404: unknown model\. The server has: another, others"
    ) as no:
        Triton(server.url, VINDR, model="yours")
    assert not isinstance(no.value, TransientDetectorError)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"inputs": 3}', b'{"inputs": [{}], "outputs": []}'])
def test_another_kind_of_server_is_final(server, body):
    server.answers["/v2/models/mine"] = (200, body)
    with pytest.raises(DetectorError, match="no KServe v2 server") as failed:
        Triton(server.url, VINDR, model="mine")
    assert not isinstance(failed.value, TransientDetectorError)


@pytest.mark.parametrize(
    ("changes", "way_out"),
    [
        pytest.param({"outputs": [METADATA["outputs"][0] | {"shape": [1, 84, 10]}]}, "data.yaml", id="eighty classes"),
        pytest.param({"inputs": [METADATA["inputs"][0] | {"shape": [1, 32, 32, 3]}]}, "1 or 3", id="channels last"),
        pytest.param({"inputs": [METADATA["inputs"][0] | {"datatype": "UINT8"}]}, "images UINT8", id="bytes in"),
        pytest.param({"outputs": [METADATA["outputs"][0] | {"datatype": "FP16"}]}, "output0 FP16", id="half precision"),
        pytest.param({"inputs": METADATA["inputs"] * 2}, "images FP32", id="two inputs"),
        pytest.param({"outputs": []}, "none", id="no output"),
    ],
)
def test_model_of_another_shape_is_refused_at_the_start(server, changes, way_out):
    server.answers["/v2/models/mine"] = (200, json.dumps(METADATA | changes).encode())
    with pytest.raises(DetectorError, match=f"{server.url}/mine .*{way_out}"):
        Triton(server.url, VINDR, model="mine")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(404, b'{"error": "unknown model"}', "status 404", id="model gone"),
        pytest.param(400, b'{"error": "unexpected shape for input"}', "status 400", id="wrong tensor"),
        pytest.param(302, b"", "status 302", id="redirect"),
        pytest.param(200, b"garbage", "answer", id="no JSON"),
        pytest.param(200, b'{"outputs": []}', "answer", id="no tensor"),
        pytest.param(200, numbers(np.zeros((1, 9, 4))), "answer", id="wrong shape"),
        pytest.param(200, numbers(np.full((1, 18, 4), 7.0)), "answer", id="no scores"),
    ],
)
def test_request_that_cannot_succeed_is_final(server, status, body, kind):
    detector = Triton(server.url, VINDR, model="mine")
    server.infers(status, body)
    with pytest.raises(DetectorError) as failed:
        detector.predict(picture())
    assert not isinstance(failed.value, TransientDetectorError)
    assert failed.value.kind == kind


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_request_that_may_succeed_later_is_transient(server, status):
    detector = Triton(server.url, VINDR, model="mine")
    server.infers(status, b"")
    with pytest.raises(TransientDetectorError) as failed:
        detector.predict(picture())
    assert failed.value.kind == f"status {status}"
    server.infers(200, numbers(heart()))
    assert len(detector.predict(picture()).class_ids) == 1


def test_server_that_accepts_and_never_answers_is_timed_out(server):
    detector = Triton(server.url, VINDR, model="mine", timeout_s=0.2)
    server.infers(200, None)
    began = time.monotonic()
    with pytest.raises(TransientDetectorError, match=r"did not answer within 0\.2 s") as failed:
        detector.predict(picture())
    assert failed.value.kind == "timeout"
    assert time.monotonic() - began < 30  # and not the minute that the server would take


def endless(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
    while True:
        connection.sendall(bytes(1 << 20))


def packed(connection):
    connection.sendall(reply(gzip.compress(bytes(1 << 20)), content_encoding="gzip"))


def dripping(connection):
    drip(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")


def closing(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")


@pytest.mark.parametrize(
    ("infer", "kind", "passes", "says"),
    [
        pytest.param(endless, "too large", False, "more than 67,108,864 bytes", id="endless"),
        pytest.param(packed, "packed", False, "answered packed", id="packed"),
        pytest.param(dripping, "timeout", True, r"did not answer within 0\.5 s", id="dripping"),
        pytest.param(closing, "connection", True, "cannot be reached: IncompleteRead", id="closing early"),
    ],
)
def test_answer_without_an_end_is_an_error_of_its_kind(server, infer, kind, passes, says):
    def answer(connection, request):
        path = request.split()[1].decode()
        if path.endswith("/infer"):
            infer(connection)
        else:
            status, body = server.answers.get(path, (404, b""))
            connection.sendall(reply(body, status))

    with rude_server(answer) as rude:
        detector = Triton(f"http://127.0.0.1:{rude.port}", VINDR, model="mine", timeout_s=0.5 if passes else 30)
        with pytest.raises(DetectorError, match=says) as failed:
            detector.predict(picture())
    assert failed.value.kind == kind
    assert isinstance(failed.value, TransientDetectorError) == passes


def test_picture_that_cannot_be_decoded_is_never_sent(server):
    with pytest.raises(DetectorError) as failed:
        Triton(server.url, VINDR, model="mine").predict(UNREADABLE)
    assert failed.value.kind == "picture"


def test_classes_of_a_served_model_are_named_by_the_user_or_taken_in_order(server):
    server.infers(200, numbers(heart()))
    assert "tells no names" in Triton(server.url, VINDR, model="mine").notes[0]
    turned = Wishes(declared=Taxonomy(tuple(reversed(VINDR.names))))
    named = Triton(server.url, VINDR, model="mine", wishes=turned)
    assert named.notes == ()
    assert [VINDR.names[number] for number in named.predict(picture()).class_ids] == [VINDR.names[-4]]
    with pytest.raises(TaxonomyError, match=f"{server.url}/mine has other classes"):
        Triton(server.url, SPINE, model="mine", wishes=turned)
    with pytest.raises(DetectorError, match="scores of 7 or 8 classes"):
        Triton(server.url, SPINE, model="mine")


def test_served_model_that_suppresses_by_itself_is_read(server):
    outputs = [METADATA["outputs"][0] | {"shape": [-1, 300, 6]}]
    server.answers["/v2/models/mine"] = (200, json.dumps(METADATA | {"outputs": outputs}).encode())
    server.infers(200, numbers(ended((6, 0.9, (12, 12, 20, 20)))))
    said = Triton(server.url, SPINE, model="mine").predict(picture())
    assert said.class_ids.tolist() == [6]
    assert said.cxcywh_norm.tolist() == [pytest.approx([0.5, 0.5, 0.25, 0.25])]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["chest_xray_detector", "batched"])
def test_real_triton_predicts_what_onnx_runtime_does(triton, model):
    here, there = (
        Onnx(TINY, VINDR, min_confidence=0.05),
        Triton(triton.url, VINDR, model=model, timeout_s=60, min_confidence=0.05),
    )
    pictures = [film(index) for index in range(30)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(there.predict, pictures))
    for one, said in zip(pictures, answers, strict=True):
        expected = here.predict(one)
        assert by_place(said).shape == by_place(expected).shape
        assert np.abs(by_place(said) - by_place(expected)).max(initial=0) < 1e-3
        assert said.highest_score == pytest.approx(expected.highest_score, abs=1e-3)
    assert sum(len(said.class_ids) for said in answers) > 20


@pytest.mark.slow
def test_real_tritons_model_that_fails_is_transient(triton):
    with pytest.raises(TransientDetectorError, match="answered 500") as failed:
        Triton(triton.url, VINDR, model="fails", timeout_s=60).predict(film(0))
    assert failed.value.kind == "status 500"


@pytest.mark.slow
def test_real_triton_without_the_model_says_so(triton):
    with pytest.raises(DetectorError, match=r"answered 40[04]: Request for unknown model: 'nowhere' is not found"):
        Triton(triton.url, VINDR, model="nowhere", timeout_s=60)


@pytest.mark.slow
def test_real_triton_that_stops_and_starts_is_lost_and_found(triton):
    detector, one = Triton(triton.url, VINDR, timeout_s=60), film(0)
    before = detector.predict(one)
    triton.stop()
    with pytest.raises(TransientDetectorError) as failed:
        detector.predict(one)
    assert failed.value.kind == "connection"
    triton.start()
    assert detector.predict(one).confidences.tolist() == before.confidences.tolist()
