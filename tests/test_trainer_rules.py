"""What the trainer would refuse: each rule both ways, and the fast reading of labels against a slow one."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radloop.dataset import trainer_rules, trainer_tree, yolo
from radloop.dataset.trainer_labels import judge_label, judge_labels
from radloop.dataset.trainer_pictures import judge_picture
from radloop.dataset.trainer_yaml import judge_yaml

GOOD_LINE = b"3 0.500000 0.500000 0.250000 0.125000\n"
NAMES = {0: "Aortic enlargement", 1: "Atelectasis"}
GOOD_YAML = {"train": "training/images", "val": "validation/images", "names": NAMES}


def rules(violations: list[trainer_rules.Violation]) -> list[str]:
    return [violation.rule for violation in violations]


def picture(form: str = "PNG", size: tuple[int, int] = (12, 12), values: int = 90, bits: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("L" if bits == 8 else "I;16", size, values).save(buffer, form)
    return buffer.getvalue()


def dataset(root: Path, **files: bytes) -> Path:
    """A sound dataset of one training and one validation picture; `files` come on top."""
    plain = {
        "data.yaml": b"train: training/images\nval: validation/images\nnames: {0: Nodule, 1: Other}\n",
        "training/images/a.png": picture(),
        "training/labels/a.txt": b"0 0.500000 0.500000 0.250000 0.125000\n",
        "validation/images/b.png": picture(),
        "validation/labels/b.txt": b"",
    }
    for key, data in (plain | files).items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    return root


def judged(root: Path) -> list[tuple[str, str]]:
    found = trainer_tree.judge_tree(yolo.read(root))
    return [(violation.rule, violation.key) for violation in found.violations]


def test_every_rule_says_what_follows_from_it() -> None:
    assert all(trainer_rules.RULES.values())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", [], id="empty is background"),
        pytest.param(b"\n \n", [], id="only white space is background"),
        pytest.param(GOOD_LINE, [], id="one box"),
        pytest.param(GOOD_LINE.replace(b"\n", b"\r\n"), [], id="CRLF"),
        pytest.param(GOOD_LINE.strip(), [], id="no last line break"),
        pytest.param(b"\n\n" + GOOD_LINE + b"\n\n", [], id="empty lines"),
        pytest.param(b"3.0\t.5 5e-1  0.25 0.125", [], id="other spellings of the same numbers"),
        pytest.param(b"0 1.01 -0.01 1 1", [], id="at the limits"),
        pytest.param(b"13 0 0 0 0", [], id="the last class"),
        pytest.param(GOOD_LINE + b"  \n1 0 0 1 1", [], id="a line of spaces"),
        pytest.param(b"3 0.5 0.5 0.2", [("label-columns", 1)], id="four columns"),
        pytest.param(b"3 0.5 0.5 0.2 0.2 0.9", [("label-columns", 1)], id="six columns, a confidence"),
        pytest.param(b"\n\n" + GOOD_LINE + b"3", [("label-columns", 4)], id="lines are counted from the first byte"),
        pytest.param(b"3 0.1 0.1 0.9 0.1 0.9 0.9", [], id="seven columns are a polygon"),
        pytest.param(b"3 0.1 0.1 0.9 0.1 0.9 0.9\n3 0.1 0.1 0.9 0.1", [("label-mixed", 2)], id="a box among polygons"),
        pytest.param(b"3 0.1 0.1 0.9 0.1 0.9 0.9\n3 0.1 0.1 0.1 0.9 0.9 0.9", [], id="two polygons of one box are two"),
        pytest.param(b"3 0.1 0.1 0.9 0.1 0.9 0.9\n" * 2, [("label-duplicate", 2)], id="the same polygon again"),
        pytest.param(b"3 0.1 0.1 0.9 0.1 0.9 0.9 0.5", [("label-columns", 1)], id="a polygon with half a point"),
        pytest.param(b"nodule 0.5 0.5 0.2 0.2", [("label-number", 1)], id="a class by name"),
        pytest.param(b"3,0.5,0.5,0.2,0.2", [("label-columns", 1)], id="commas"),
        pytest.param(b"3 nan 0.5 0.2 0.2", [("label-number", 1)], id="NaN"),
        pytest.param(b"nan 0.5 0.5 0.2 0.2", [("label-number", 1)], id="class NaN"),
        pytest.param(b"3 inf 0.5 0.2 0.2", [("label-range", 1)], id="infinity"),
        pytest.param(b"3 1e39 0.5 0.2 0.2", [("label-range", 1)], id="more than float32 holds"),
        pytest.param(b"3 512 300 90 80", [("label-range", 1)], id="pixels"),
        pytest.param(b"3 1.0101 0.5 0.2 0.2", [("label-range", 1)], id="just too large"),
        pytest.param(b"3 0.5 -0.0101 0.2 0.2", [("label-range", 1)], id="just negative"),
        pytest.param(b"14 0.5 0.5 0.2 0.2", [("label-class", 1)], id="No finding as a class"),
        pytest.param(b"-1 0.5 0.5 0.2 0.2", [("label-class", 1)], id="a negative class"),
        pytest.param(b"inf 0.5 0.5 0.2 0.2", [("label-class", 1)], id="class infinity"),
        pytest.param(b"3.5 0.5 0.5 0.2 0.2", [("label-class", 1)], id="a class and a half"),
        pytest.param(b"3 0.5 0.5 -0.005 0.2", [("label-negative", 1)], id="a negative width"),
        pytest.param(GOOD_LINE + b"3 0.5 0.5 0.2 -0.005", [("label-negative", 2)], id="a negative height"),
        pytest.param(b"3 -0.005 0.5 0.2 0.2", [], id="a centre just outside"),
        pytest.param(GOOD_LINE * 3, [("label-duplicate", 2), ("label-duplicate", 3)], id="the same line again"),
        pytest.param(GOOD_LINE + b"3 .5 .5 .25 .125", [("label-duplicate", 2)], id="the same box in other digits"),
        pytest.param(GOOD_LINE * 2 + b"14 0 0 0 0", [("label-class", 3)], id="a dropped image has no duplicates"),
        pytest.param(b"\xef\xbb\xbf" + GOOD_LINE, [], id="a byte order mark"),
        pytest.param(b"\xef\xbb\xbf" * 2 + GOOD_LINE, [("label-number", 1)], id="two byte order marks"),
        pytest.param(GOOD_LINE + b"3 0.5 0.5 0.2 0.2 \xe9", [("label-encoding", 2)], id="Latin-1"),
        pytest.param(GOOD_LINE.decode().encode("utf-16"), [("label-encoding", 1)], id="UTF-16"),
    ],
)
def test_label_is_judged_as_the_trainer_does(data: bytes, expected: list[tuple[str, int]]) -> None:
    found = judge_labels(["a.txt"], [data], 14)
    assert [(violation.rule, violation.line) for violation in found] == expected
    assert {violation.key for violation in found} <= {"a.txt"}


def test_any_class_will_do_where_no_yaml_names_them() -> None:
    assert judge_labels(["a.txt"], [b"99 0.500000 0.500000 0.250000 0.125000\n"], None) == []


def test_the_bad_file_is_named_among_good_ones() -> None:
    texts = [GOOD_LINE, b"", GOOD_LINE * 2, b"14 0.500000 0.500000 0.250000 0.125000\n", GOOD_LINE]
    found = judge_labels([f"{number}.txt" for number in range(5)], texts, 14)
    assert [(violation.rule, violation.key) for violation in found] == [
        ("label-duplicate", "2.txt"),
        ("label-class", "3.txt"),
    ]


def as_the_trainer(data: bytes, classes: int) -> str:
    """What becomes of a picture with this label, worked out on whole arrays: "dropped", or how many boxes stay.

    The steps are those of `verify_image_label` of Ultralytics 8.4.190.
    """
    try:
        text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig").read()
        rows = [line.split() for line in text.strip().splitlines() if line.strip()]
        outlines = []
        with np.errstate(all="ignore"):
            if any(len(row) > 6 for row in rows):
                if any(len(row) == 5 for row in rows):
                    return "dropped"
                outlines = [np.array(row[1:], dtype=np.float32).reshape(-1, 2) for row in rows]
                bounds = [(points.min(axis=0), points.max(axis=0)) for points in outlines]
                sides = [[*((low + high) / 2), *(high - low)] for low, high in bounds]
                boxes = np.array([[np.float32(row[0]), *side] for row, side in zip(rows, sides, strict=True)])
            else:
                boxes = np.array(rows, dtype=np.float32)
            if not len(boxes):
                return "0"
            if boxes.ndim != 2 or boxes.shape[1] != 5 or not boxes[:, 1:].max() <= 1.01:
                return "dropped"
            lowest = boxes.min()
            if not (lowest >= 0 or (lowest >= -0.01 and boxes[:, 3:5].min() >= 0)) or not (boxes[:, 0] % 1 == 0).all():
                return "dropped"
    except (ValueError, IndexError):
        return "dropped"
    if boxes[:, 0].max() >= classes:
        return "dropped"
    distinct = len(np.unique(boxes, axis=0))
    if distinct < len(boxes) and outlines:
        distinct = len({row[:1].tobytes() + points.tobytes() for row, points in zip(boxes, outlines, strict=True)})
    return str(distinct)


NUMBERS = st.one_of(
    st.sampled_from(["0", "1", "13", "14", "0.5", "0.500000", "0.25", "1.000000", "1.010000", "1.01", "-0.01", "nan"]),
    st.sampled_from(["-0.010001", "1.0100001", "1e-3", "-1", "inf", "1e39", "x", "\ufeff1", "0,5", "1_0", "٣", ""]),
    st.floats(-0.02, 1.02).map(lambda value: f"{value:.6f}"),
)
LINES = st.one_of(
    st.lists(NUMBERS, min_size=4, max_size=8).map(" ".join),
    st.tuples(st.integers(0, 15), *[st.floats(0, 1)] * 4).map(
        lambda row: f"{row[0]} {row[1]:.6f} {row[2]:.6f} {row[3]:.6f} {row[4]:.6f}"
    ),
    st.sampled_from(["", " ", "0 0.500000 0.500000 0.250000 0.125000", "0 0.5 0.5 0.25 0.125"]),
)
LABELS = st.one_of(
    st.tuples(st.lists(LINES, max_size=5), st.sampled_from(["\n", "\r\n", "\r", "\x85"])).map(
        lambda parts: parts[1].join(parts[0]).encode()
    ),
    st.binary(max_size=60),
)


@settings(max_examples=600, deadline=None)
@given(data=LABELS)
def test_label_rules_drop_exactly_what_the_trainer_drops(data: bytes) -> None:
    found = judge_label("a.txt", data, 14)
    dropped = any(trainer_rules.RULES[violation.rule] == "image dropped" for violation in found)
    expected = as_the_trainer(data, 14)
    assert ("dropped" if dropped else "kept") == ("dropped" if expected == "dropped" else "kept")
    if not dropped:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        lines = [line for line in text.strip().splitlines() if line.strip()]
        assert len(lines) - rules(found).count("label-duplicate") == int(expected)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(LABELS, max_size=6))
def test_many_labels_at_once_are_judged_like_one_by_one(texts: list[bytes]) -> None:
    keys = [f"{number}.txt" for number in range(len(texts))]
    one_by_one = [violation for key, text in zip(keys, texts, strict=True) for violation in judge_label(key, text, 14)]
    assert judge_labels(keys, texts, 14) == one_by_one


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(picture(), [], id="PNG"),
        pytest.param(picture("JPEG"), [], id="JPEG"),
        pytest.param(picture(size=(10, 4000)), [], id="ten pixels are enough"),
        pytest.param(picture(size=(9, 4000)), ["picture-small"], id="nine are not"),
        pytest.param(picture("GIF"), ["picture-format"], id="a GIF by another name"),
        pytest.param(picture("JPEG")[:-2], ["picture-truncated"], id="a JPEG without its end"),
        pytest.param(picture("JPEG") + b"\0", ["picture-tail"], id="a JPEG with a byte behind its end"),
        pytest.param(picture("BMP")[:-20], ["picture-undecodable"], id="a cut BMP"),
        pytest.param(picture(values=0), ["picture-black"], id="black"),
        pytest.param(picture(values=15), ["picture-black"], id="nearly black"),
        pytest.param(picture("JPEG", values=7), ["picture-black"], id="a JPEG nearly black"),
        pytest.param(picture(values=4095, bits=16), ["picture-black"], id="12 bits in 16"),
        pytest.param(picture(values=4096, bits=16), [], id="16 bits, not so dark"),
        pytest.param(picture(values=255), [], id="white"),
        pytest.param(picture()[:-30], ["picture-unreadable"], id="a cut PNG"),
        pytest.param(picture()[:40] + b"\0" + picture()[41:], ["picture-unreadable"], id="a PNG with a wrong CRC"),
        pytest.param(b"not a picture", ["picture-unreadable"], id="text"),
        pytest.param(b"", ["picture-unreadable"], id="nothing"),
    ],
)
def test_picture_is_judged_as_the_trainer_does(data: bytes, expected: list[str]) -> None:
    assert rules(judge_picture("a.png", data)) == expected


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 200), byte=st.integers(0, 255))
def test_a_damaged_picture_never_ends_the_check(position: int, byte: int) -> None:
    data = bytearray(picture())
    data[position % len(data)] = byte
    assert len(judge_picture("a.png", bytes(data))) <= 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [], id="sound"),
        pytest.param({"names": ["a", "b"], "nc": 2}, [], id="a list of names and their number"),
        pytest.param({"names": {"0": "a", "1": "b"}}, [], id="numbers as text"),
        pytest.param({"path": "/data"}, [], id="an absolute path"),
        pytest.param({"train": None}, ["yaml-keys"], id="train empty"),
        pytest.param({"val": ...}, ["yaml-keys"], id="val missing"),
        pytest.param({"val": ..., "validation": "validation/images"}, [], id="val by its other name"),
        pytest.param({"names": ...}, ["yaml-names"], id="names missing"),
        pytest.param({"names": ..., "nc": 14}, [], id="nc will do"),
        pytest.param({"names": None, "nc": 2}, [], id="names empty, nc will do"),
        pytest.param({"nc": "2"}, [], id="nc as text"),
        pytest.param({"nc": 2.0}, [], id="nc as a whole number with a point"),
        pytest.param({"nc": 2.5}, ["yaml-names"], id="nc and a half"),
        pytest.param({"nc": None}, ["yaml-names"], id="nc empty beside names"),
        pytest.param({"names": {-1: "x", 0: "a"}}, [], id="numbers from -1"),
        pytest.param({"test": 3}, ["yaml-keys"], id="test is a number"),
        pytest.param({"kpt_shape": 3}, ["yaml-keys", "yaml-keys"], id="keypoints are a number"),
        pytest.param({"names": ..., "nc": "many"}, ["yaml-names"], id="nc is no number"),
        pytest.param({"names": []}, ["yaml-names"], id="no names"),
        pytest.param({"names": "a"}, ["yaml-names"], id="names is a text"),
        pytest.param({"names": {0: "a", 2: "b"}}, ["yaml-names"], id="a gap in the numbers"),
        pytest.param({"names": {1: "a", 2: "b"}}, ["yaml-names"], id="numbers from one"),
        pytest.param({"names": {"a": 0}}, ["yaml-names"], id="names and numbers swapped"),
        pytest.param({"names": ["a"], "nc": 2}, ["yaml-names"], id="nc and names disagree"),
        pytest.param({"path": "."}, ["yaml-path"], id="a relative path"),
        pytest.param({"download": "print('hello')"}, ["yaml-download"], id="a program to run"),
    ],
)
def test_yaml_is_judged_as_the_trainer_does(changes: dict[str, object], expected: list[str]) -> None:
    content = {key: value for key, value in (GOOD_YAML | changes).items() if value is not ...}
    assert rules(judge_yaml("data.yaml", content)) == expected


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_yaml_without_keys_is_refused(content: object) -> None:
    assert rules(judge_yaml("data.yaml", content)) == ["yaml-unreadable"]


def test_sound_tree_has_no_violation_and_all_its_pictures(tmp_path: Path) -> None:
    found = trainer_tree.judge_tree(yolo.read(dataset(tmp_path)))
    assert found.violations == []
    assert found.classes == 2
    assert found.pictures.rows() == [
        ("training/images/a.png", "training/labels/a.txt", "train", "data.yaml"),
        ("validation/images/b.png", "validation/labels/b.txt", "val", "data.yaml"),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"data.yaml": b"train: [unclosed"}, [("yaml-unreadable", "data.yaml")], id="broken yaml"),
        pytest.param({"data.yaml": b"[" * 5000}, [("yaml-unreadable", "data.yaml")], id="yaml too deep"),
        pytest.param(
            {"data.yaml": b"train: training/images\nval: nowhere\nnames: [a]\n"},
            [("place-missing", "data.yaml")],
            id="a folder that is not there",
        ),
        pytest.param(
            {"data.yaml": b"train: training/images\nval: training/labels\nnames: [a]\n"},
            [("place-empty", "data.yaml")],
            id="a folder without pictures",
        ),
        pytest.param(
            {"data.yaml": b"train: training/images\nval: training/images\nstaging: validation/images\nnames: [a]\n"},
            [("yaml-split", "data.yaml")],
            id="a split that the trainer does not know",
        ),
        pytest.param(
            {"data.yaml": b"train: ../training/images\nval: validation/images\nnames: [a]\n"}, [], id="one ../ too many"
        ),
        pytest.param({"training/images/c.gif": b"GIF89a"}, [("picture-ignored", "training/images/c.gif")], id="a GIF"),
        pytest.param({"training/labels/c.txt": b""}, [("label-orphan", "training/labels/c.txt")], id="an orphan label"),
        pytest.param({"training/notes.txt": b"hello"}, [], id="a text elsewhere"),
        pytest.param({"args.yaml": b"epochs: 3"}, [], id="a yaml that is no dataset"),
    ],
)
def test_tree_is_judged_as_the_trainer_finds_it(
    tmp_path: Path, files: dict[str, bytes], expected: list[tuple[str, str]]
) -> None:
    assert judged(dataset(tmp_path, **files)) == expected


def test_folder_without_any_label_is_not_taken_for_normal_pictures(tmp_path: Path) -> None:
    dataset(tmp_path)
    (tmp_path / "training/labels/a.txt").unlink()
    assert judged(tmp_path) == [("train-unlabelled", "training/images")]


@pytest.mark.parametrize("other", ["c.TXT", "C.txt", "c.Txt"])
def test_label_that_is_named_otherwise_is_missing_and_the_other_is_named(tmp_path: Path, other: str) -> None:
    dataset(tmp_path, **{"training/images/c.png": picture(), f"training/labels/{other}": b"0 0.5 0.5 0.1 0.1\n"})
    found = trainer_tree.judge_tree(yolo.read(tmp_path)).violations
    (missing,) = [violation for violation in found if violation.rule == "label-missing"]
    assert missing.key == "training/images/c.png"
    assert f"{other} is there" in missing.detail


def test_one_missing_label_among_others_is_said(tmp_path: Path) -> None:
    assert judged(dataset(tmp_path, **{"training/images/c.png": picture()})) == [
        ("label-missing", "training/images/c.png")
    ]


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "bmp"])
def test_one_label_for_two_pictures_is_said(tmp_path: Path, ending: str) -> None:
    assert judged(dataset(tmp_path, **{f"training/images/a.{ending}": picture("JPEG")})) == [
        ("label-shared", "training/labels/a.txt")
    ]


def test_labels_looked_for_outside_the_dataset_are_missing(tmp_path: Path) -> None:
    root = tmp_path / "images" / "mine"
    dataset(root, **{"data.yaml": b"train: flat\nval: validation/images\nnames: [a]\n", "flat/a.png": picture()})
    assert judged(root) == [("train-unlabelled", "flat")]


def test_pictures_are_found_as_the_trainer_does(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "deep/c.webp", "notes.txt", "x.gif", ".hidden.png", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert trainer_tree.find_pictures(tmp_path) == [f"{tmp_path}/{name}" for name in ("a.jpeg", "b.PNG", "deep/c.webp")]
    assert trainer_tree.find_pictures(tmp_path / "nowhere") == []


def with_list(root: Path, lines: bytes) -> trainer_tree.Found:
    """The dataset, its training picture named by a list."""
    data = b"train: train.txt\nval: validation/images\nnames: [a, b]\n"
    return trainer_tree.judge_tree(yolo.read(dataset(root, **{"data.yaml": data, "train.txt": lines})))


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b"./training/images/a.png\n", id="plain"),
        pytest.param(b"\xef\xbb\xbf./training/images/a.png\r\n\r\n", id="with a byte order mark and CRLF"),
        pytest.param(b"./training/labels/../images/a.png", id="in a roundabout way"),
    ],
)
def test_list_of_pictures_is_followed(tmp_path: Path, lines: bytes) -> None:
    found = with_list(tmp_path, lines)
    assert found.violations == []
    assert "training/images/a.png" in found.pictures["key"]


@pytest.mark.parametrize("before", ["", "../", "images/", " ./"])
def test_list_whose_paths_begin_otherwise_is_looked_for_elsewhere(tmp_path: Path, before: str) -> None:
    lines = f"./training/images/a.png\n{before}training/images/b.png\n".encode()
    (violation,) = with_list(tmp_path, lines).violations
    assert violation[:3] == ("list-path", "train.txt", 2)


def test_pictures_of_a_list_without_dots_are_judged_all_the_same(tmp_path: Path) -> None:
    found = with_list(tmp_path, b"training/images/a.png\n")
    assert rules(found.violations) == ["list-path"]
    assert "training/images/a.png" in found.pictures["key"]


@pytest.mark.parametrize("line", ["./training/images/a.png ", "# a.png, the first", "./training/labels/a.txt"])
def test_line_of_a_list_that_names_no_picture_is_said(tmp_path: Path, line: str) -> None:
    found = with_list(tmp_path, f"{line}\n./training/images/a.png\n".encode())
    assert [violation[:3] for violation in found.violations] == [("list-ignored", "train.txt", 1)]


def test_cache_of_before_is_no_fault_for_the_trainer_knows_the_time_of_every_file(tmp_path: Path) -> None:
    assert judged(dataset(tmp_path, **{"training/labels.cache": b"old"})) == []


def test_dataset_elsewhere_that_a_yaml_names_is_judged(tmp_path: Path) -> None:
    elsewhere = dataset(tmp_path / "elsewhere", **{"training/images/c.png": picture()})
    (tmp_path / "here").mkdir()
    named = f"path: {elsewhere}\ntrain: training/images\nval: validation/images\nnames: [a, b]\n"
    (tmp_path / "here/data.yaml").write_text(named)
    assert judged(tmp_path / "here") == [("label-missing", "../elsewhere/training/images/c.png")]
