"""Every reader of outside bytes keeps its promises: on what once broke one, on damaged inputs, guided by coverage."""

import importlib.util
import json
import os
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import seeds, targets
from fuzz.run import FOUND, fuzz

# 10 ms and more an input
SLOW = {"validation", "feedback", "review", "rows_cache", "label_studio", "cvat", "imported", "rsna", "nih", "dicom"}
INPUTS = sorted(path.relative_to(FOUND).as_posix() for path in FOUND.glob("*/*"))
ODD_NUMBERS = [0, 1, -1, 14, 15, 0.5, -0.01, 1.01, 1e308, 1e-320, 2**31, 2**63, 10**30]
ODD_TIMES = ["2026-01-01", "2026-01-01T00:00:00+14:00", "0001-01-01", "20260101T000000", "2026-01-01T24:00"]
ODD_TEXTS = ["", " ", "f1", "R1", "a/b", "..", "\ud800", "ä" * 120, *ODD_TIMES]


@pytest.mark.parametrize("path", INPUTS)
def test_input_that_once_broke_a_promise(path):
    targets.TARGETS[path.split("/")[0]]((FOUND / path).read_bytes())


@pytest.mark.parametrize("name", targets.TARGETS)
def test_every_target_has_inputs_to_begin_with(name):
    for seed in sound(name):
        targets.TARGETS[name](seed)


@cache
def sound(name):
    return seeds.SEEDS[name]()


@st.composite
def damaged(draw, name):
    """A sound input after a few of the things that disks, networks and people do to files."""
    data = draw(st.sampled_from(sound(name)))
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted(draw(st.integers(0, len(data))) for _ in "se")
        part = data[start:end]
        data = draw(
            st.sampled_from(
                [
                    data[:start],
                    data[:start] + data[end:],
                    data[:end] + part + data[end:],
                    data[:start] + bytes(len(part)) + data[end:],
                    data[:start] + part[::-1] + data[end:],
                    data[:start] + draw(st.sampled_from(sound(name)))[start:],
                    data[:start] + draw(st.binary(max_size=8)) + data[end:],
                ]
            )
        )
    return data


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in targets.TARGETS]
)
def test_damaged_input_breaks_no_promise(name):
    @settings(max_examples=40 if name in SLOW else 100)
    @given(damaged(name))
    def run(data):
        targets.TARGETS[name](data)

    run()


def values():
    plain = st.none() | st.booleans() | st.sampled_from(ODD_NUMBERS) | st.sampled_from(ODD_TEXTS)
    box = st.lists(st.sampled_from(ODD_NUMBERS), min_size=3, max_size=5)
    found = st.lists(
        st.fixed_dictionaries({"class_id": st.integers(-1, 15), "bbox": box}, optional={"confidence": plain})
    )
    return plain | box | found


@st.composite
def documents(draw, name):
    """One to three sound JSON documents, in each a few values that are well-formed and odd; a key may stand twice."""
    written = []
    for _ in range(draw(st.integers(1, 3))):
        document = json.loads(draw(st.sampled_from(sound(name))).split(targets.SEPARATOR)[0])
        keys = draw(st.lists(st.sampled_from(sorted(document)), max_size=3, unique=True))
        document |= {key: draw(values()) for key in keys}
        again = draw(st.lists(st.sampled_from(sorted(document)), max_size=1))
        pairs = [*document.items(), *((key, document[key]) for key in again)]
        text = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs)
        written.append(f"{{{text}}}".encode())
    return targets.SEPARATOR.join(written)


@pytest.mark.slow
@settings(max_examples=100)
@given(documents("feedback"))
def test_odd_feedback_is_read_alike_alone_and_among_many(data):
    targets.feedback(data)


@pytest.mark.slow
@settings(max_examples=100)
@given(documents("review"))
def test_odd_review_is_read_whole_or_refused(data):
    targets.review(data)


CELLS = {
    "image_id": ["a", "b", "a b", "../a", ".a", "", "ä" * 101, "a\u2028b"],
    "class_name": ["Cardiomegaly", "cardiomegaly ", "No finding", "", "Nodule"],
    "class_id": ["3", "3.0", "14", "", "15", "-1", "nan", "３"],
    "rad_id": ["R1", " R1", "R2", "", "R_1", "R" * 51],
    **dict.fromkeys(("x_min", "y_min"), ("0", "-1", "-1.5", "100", "", "nan", "inf", "1e5", "1e-320")),
    **dict.fromkeys(("x_max", "y_max"), ("100.05", "100.2", "2048", "2049", "2050.5", "", "NaN", "x", "1_0")),
    "width": ["", "2048", "2048.5", "9", "1e9", "2000"],
    "height": ["", "2560", "2560.0", "-1", "2500"],
    "patient_id": ["", "p1", "p2"],
}


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(st.tuples(*(st.sampled_from(cells) for cells in CELLS.values())), min_size=1, max_size=12))
def test_odd_rows_are_findings_or_refused(rows):
    targets.validation("\n".join(map(",".join, rows)).encode())


@settings(max_examples=500)
@given(st.lists(st.sampled_from([*seeds.WORDS["numbers"], *"= 01\x1d-\n", "1000", "1001", "0.5"])))
def test_odd_numbers_are_values_within_their_bounds_or_refused(words):
    targets.numbers("".join(words).encode())


@pytest.mark.slow
@pytest.mark.parametrize("name", targets.TARGETS)
def test_guided_fuzzing_finds_nothing(name, tmp_path):
    if importlib.util.find_spec("atheris") is None and os.environ.get("CI") != "true":
        pytest.skip("atheris has no wheel for this platform")
    assert fuzz(name, 60, runs=200 if name in SLOW else 1000, seed=1, found=tmp_path)
