import polars as pl
import pytest

from made_up_model import answer, write
from radloop import detectors
from radloop.detectors import create
from radloop.errors import TaxonomyError, TransientDetectorError, UsageError
from radloop.predictions import Picture
from radloop.tables import TRUTH
from taxonomies import SPINE, VINDR

NOWHERE = "http://127.0.0.1:1"  # nobody listens
NO_TRUTH = pl.DataFrame(schema=TRUTH)


def test_each_detector_is_named_by_its_spec(tmp_path):
    model = write(tmp_path / "mine.onnx", answer())
    made = [create("random", VINDR), create("oracle:0.5", VINDR, truth=NO_TRUTH)]
    made += [create(f"onnx:{model}", VINDR), create("onnx:tiny", VINDR)]
    assert [detector.name for detector in made] == ["random", "oracle", "mine", "tiny"]
    assert [detector.version for detector in made[:2]] == ["1", "noise-0.5"]
    assert made[2].version != made[3].version


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "yolo",
        "random:3",
        "onnx",
        "onnx:",
        "oracle:loud",
        "oracle:-1",
        "oracle:nan",
        "oracle:4",
        "triton:ftp://host/m",
        "triton:http://host:99999/m",
        "triton:http://host:eight/m",
        "triton:http://[::1/m",
    ],
)
def test_another_spec_is_a_usage_error_that_shows_one(spec):
    with pytest.raises(UsageError, match=r"--detector.*(random|NOISE|http)"):
        create(spec, VINDR, truth=NO_TRUTH)


def test_oracle_without_the_truth_is_a_usage_error():
    with pytest.raises(UsageError, match="truth"):
        create("oracle:1", VINDR)


def test_triton_without_any_address_is_a_usage_error():
    with pytest.raises(UsageError, match="TRITON_URL"):
        create("triton", VINDR)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("http://host:8000/mine", ("http://host:8000", "mine"), id="server and model"),
        pytest.param("http://host:8000", ("http://host:8000", "chest_xray_detector"), id="the usual model"),
        pytest.param("http://host:8000/", ("http://host:8000", "chest_xray_detector"), id="a slash at the end"),
        pytest.param("host:8000", ("http://host:8000", "chest_xray_detector"), id="no scheme"),
        pytest.param("https://host/triton/mine", ("https://host/triton", "mine"), id="behind a gateway"),
    ],
)
def test_address_of_a_triton_names_server_and_model(monkeypatch, address, expected):
    asked = []
    monkeypatch.setattr("radloop.detectors.triton.Triton", lambda url, _, *, model, **__: asked.append((url, model)))
    create(f"triton:{address}", VINDR)
    create("triton", VINDR, triton_url=address)
    assert asked == [expected, expected]


def test_credentials_in_the_address_of_a_triton_are_neither_taken_nor_shown():
    with pytest.raises(UsageError, match="credentials in the address") as refused:
        create("triton:http://me:secret@127.0.0.1:1/mine", VINDR)
    assert "secret" not in str(refused.value)


def test_server_that_is_not_there_yet_is_worth_another_try():
    with pytest.raises(TransientDetectorError, match=f"{NOWHERE} cannot be reached: .*refused") as failed:
        create(f"triton:{NOWHERE}", VINDR)
    assert failed.value.kind == "connection"


def test_random_and_oracle_never_decode_the_picture():
    unreadable = Picture("a1", b"not a picture")
    create("random", VINDR).predict(unreadable)
    create("oracle:1", VINDR, truth=NO_TRUTH).predict(unreadable)


def test_every_spec_in_the_usage_message_is_one():
    assert [form.split(":")[0] for form in detectors._FORMS.replace(" or ", ", ").split(", ")] == [
        "random", "oracle", "onnx", "onnx", "triton",
    ]  # fmt: skip


def test_the_tiny_detector_is_of_vindr_alone():
    with pytest.raises(TaxonomyError, match=r"tiny\.onnx.*dataset alone has .*'Osteophytes'.*model alone has .*'ILD'"):
        create("onnx:tiny", SPINE)


def test_a_detector_that_has_nothing_to_say_says_nothing(classes):
    assert detectors.notes(create("random", classes)) == ()
