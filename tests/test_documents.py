"""One document from outside: what is wrong with it is a code and a sentence that names field and value."""

import json
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_files import bare, put, refused_by, rich
from radloop import formats
from radloop.errors import FeedbackError
from radloop.feedback import documents, records
from radloop.feedback.records import Feedback
from radloop.feedback.reviews import Review

FEEDBACK = msgspec.json.Decoder(Feedback)
BOX = {"class_id": 3, "confidence": 0.5, "bbox": [0.5, 0.5, 0.1, 0.1]}
IMAGE_ID = "1 to 200 characters, without a slash or control character, and no dot in front"


def refusal(content: object) -> tuple[str, str]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(FeedbackError) as refused:
        documents.decode(data, FEEDBACK, formats.FEEDBACK.number)
    return refused.value.code, str(refused.value)


def without(key: str) -> dict:
    return {name: value for name, value in bare().items() if name != key}


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"", "empty", "the file is empty"),
        (b"{", "not-json", "it is not JSON: the data are truncated"),
        (b'{"image_id": nan}', "not-json", "it is not JSON: invalid character (byte 17)"),
        (b"[]", "not-an-object", "it is a list, not an object"),
        (b"null", "not-an-object", "it is null, not an object"),
        (b"2e308", "not-an-object", "it is a number, not an object"),
        (without("confidence"), "missing-confidence", "confidence is missing"),
        (without("image_id"), "missing-image-id", "image_id is missing"),
        (bare(model={}), "missing-name", "name is missing in model"),
        (bare(detections=[BOX, {}]), "missing-class-id", "class_id is missing in detections[1]"),
        (bare(confidence="high"), "bad-confidence", 'confidence "high": expected a number'),
        (bare(confidence=1.01), "bad-confidence", "confidence 1.01: expected a number <= 1.0"),
        (bare(class_id=3.5), "bad-class-id", "class_id 3.5: expected a whole number"),
        (bare(bbox=7), "bad-bbox", "bbox 7: expected a list or null"),
        (bare(bbox=[0.5, 0.5]), "bad-bbox", "bbox [0.5, 0.5]: expected a list of length 4"),
        (bare(bbox=[0.5, 0.5, 1, "x"]), "bad-bbox", 'bbox[3] "x": expected a number'),
        (bare(model="tiny"), "bad-model", 'model "tiny": expected an object or null'),
        (bare(detections=[None]), "bad-detections", "detections[0] null: expected an object"),
        (
            bare(detections=[BOX | {"confidence": -1}]),
            "bad-confidence",
            "detections[0].confidence -1: expected a number >= 0.0",
        ),
        (bare(image_id=""), "bad-image-id", f'image_id "": expected {IMAGE_ID}'),
        (bare(image_id="x" * 999), "bad-image-id", f'image_id "{"x" * 59}…: expected {IMAGE_ID}'),
        (bare(image_id="a\nb"), "bad-image-id", f'image_id "a\\nb": expected {IMAGE_ID}'),
        (
            bare(split="train"),
            "bad-split",
            'split "train": expected one of training, validation, test, staging, canary, production, incoming, audit',
        ),
        (
            bare(schema_version=3),
            "bad-schema-version",
            "it was written by a newer radloop (format 3, this one reads up to 2): upgrade radloop. "
            "Nothing of it was read.",
        ),
        (bare(stage=2**31), "bad-stage", "stage 2147483648: expected a whole number <= 2147483647"),
        (
            json.dumps(bare()).encode().replace(b": 3,", b": " + b"9" * 5000 + b","),
            "bad-class-id",
            "class_id: integer value out of range",
        ),
        (
            json.dumps(bare(confidence="x"))[:-1].encode() + b', "x": 1, "x": 1}',
            "key-twice",
            "the key 'x' stands twice",
        ),
    ],
)
def test_what_is_wrong_has_a_code_and_names_field_and_value(content, code, sentence):
    assert refusal(content) == (code, sentence)


@pytest.mark.parametrize(
    "field", ["image_id", "feedback_id", "image_md5", "image_phash", "recipe", "split", "schema_version"]
)
def test_field_of_a_certain_form_says_which_one(field):
    code, sentence = refusal(bare(**{field: "/ /"}))
    assert code == f"bad-{field.replace('_', '-')}"
    assert "expected" in sentence
    assert "^" not in sentence


def test_every_field_with_a_pattern_has_its_form_in_words():
    schema = msgspec.json.schema_components([Feedback, Review])[1]
    patterned = {
        name
        for component in schema.values()
        for name, field in component["properties"].items()
        if "pattern" in json.dumps(field) or "enum" in json.dumps(field)
    }
    assert {"image_id", "reviewer", "verdict"} <= patterned
    assert patterned <= documents._FORMS.keys()


def test_file_larger_than_any_feedback_is_not_read(tmp_path):
    put(tmp_path, "x.json", b" " * (documents.MAX_BYTES + 1))
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FeedbackError, match="4194305 bytes are more than") as refused:
            documents.read_bytes(directory, "x.json")
    finally:
        os.close(directory)
    assert refused.value.code == "too-large"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_document_is_feedback_or_one_sentence(content):
    data = json.dumps(content if not isinstance(content, dict) else bare() | content).encode()
    refused = refused_by(documents.decode, data, FEEDBACK)
    assert refused is None or len(str(refused).splitlines()) == 1
    assert refused is None or refused.code.replace("-", "").isalnum()


def test_repeated_key_is_found_in_a_document_that_can_be_decoded():
    data = records.encode(rich())
    documents.refuse_repeated_keys(data)
    with pytest.raises(FeedbackError, match="'run_id' stands twice"):
        documents.refuse_repeated_keys(data.rstrip()[:-1] + b', "run_id": "x"}')
