import polars as pl
import pytest

from made_up_model import answer, write
from radloop import detectors
from radloop.detectors import create
from radloop.errors import TransientDetectorError, UsageError
from radloop.measures.evaluation import TRUTH
from radloop.predictions import Picture

NOWHERE = "http://127.0.0.1:1"  # nobody listens
NO_TRUTH = pl.DataFrame(schema=TRUTH)


def test_each_detector_is_named_by_its_spec(tmp_path):
    model = write(tmp_path / "mine.onnx", answer())
    made = [create("random"), create("oracle:0.5", truth=NO_TRUTH), create(f"onnx:{model}"), create("onnx:tiny")]
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
    ],
)
def test_another_spec_is_a_usage_error_that_shows_one(spec):
    with pytest.raises(UsageError, match=r"--detector.*(random|NOISE|http)"):
        create(spec, truth=NO_TRUTH)


def test_oracle_without_the_truth_is_a_usage_error():
    with pytest.raises(UsageError, match="truth"):
        create("oracle:1")


def test_triton_without_any_address_is_a_usage_error():
    with pytest.raises(UsageError, match="TRITON_URL"):
        create("triton")


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
    monkeypatch.setattr(
        "radloop.detectors.triton.Triton", lambda url, *, model, **_: asked.append((url, model)) or create("random")
    )
    create(f"triton:{address}")
    create("triton", triton_url=address)
    assert asked == [expected, expected]


def test_server_that_is_not_there_yet_is_worth_another_try():
    with pytest.raises(TransientDetectorError, match=f"{NOWHERE} cannot be reached: .*refused") as failed:
        create(f"triton:{NOWHERE}")
    assert failed.value.kind == "connection"


def test_random_and_oracle_never_decode_the_picture():
    unreadable = Picture("a1", b"not a picture")
    create("random").predict(unreadable)
    create("oracle:1", truth=NO_TRUTH).predict(unreadable)


def test_every_spec_in_the_usage_message_is_one():
    assert [form.split(":")[0] for form in detectors._FORMS.replace(" or ", ", ").split(", ")] == [
        "random", "oracle", "onnx", "onnx", "triton",
    ]  # fmt: skip
