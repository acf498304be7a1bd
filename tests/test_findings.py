import csv
import io
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.catalog import classes as catalog
from radloop.catalog.classes import Wishes
from radloop.dataset import findings
from radloop.errors import RadloopError
from radloop.sources.formats.csv import read_annotations
from radloop.tables import ANNOTATION_COLUMNS, FINDINGS, REJECTED
from radloop.taxonomy import Taxonomy
from taxonomies import SPINE, VINDR

NORMAL = {"class_name": "No finding", "class_id": "14", "x_min": "", "y_min": "", "x_max": "", "y_max": ""}


def annotation(image_id="a1", **changes):
    box = {"x_min": "100", "y_min": "200", "x_max": "300", "y_max": "400"}
    return {"image_id": image_id, "class_name": "Cardiomegaly", "class_id": "3", "rad_id": "R9"} | box | changes


def normal(image_id="a1", **changes):
    return annotation(image_id, **NORMAL | changes)


def table(*rows):
    extra = [name for name in ("width", "height", "patient_id") if any(name in row for row in rows)]
    columns = {name: [row.get(name) for row in rows] for name in (*ANNOTATION_COLUMNS, *extra)}
    lines = pl.Series("line", range(2, 2 + len(rows)), dtype=pl.Int64)
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).insert_column(0, lines)


def sizes(*image_ids, width=1000, height=2000):
    side = {"width": [width] * len(image_ids), "height": [height] * len(image_ids)}
    return pl.DataFrame({"image_id": image_ids} | side).cast({"width": pl.Int32, "height": pl.Int32})


def validated(rows, *, wishes=None, **options):
    resolved = catalog.resolve(rows, wishes or Wishes(declared=VINDR))
    return findings.validate(rows, resolved, **options)


def validate(*rows, known=None, boxes="original", **options):
    return validated(table(*rows), sizes=sizes("a1", "b2") if known is None else known, boxes=boxes, **options)


def codes(valid):
    return valid.rejected["code"].to_list()


def reasons(valid):
    return valid.rejected["reason"].to_list()


def test_a_finding_is_a_fraction_of_its_picture():
    valid = validate(annotation())
    assert valid.findings.rows() == [("a1", "R9", 3, 0.1, 0.1, 0.3, 0.2, 1000, 2000)]
    assert valid.findings.schema == FINDINGS
    assert valid.frame == "original"


def test_boxes_of_the_small_pictures_are_divided_by_their_side():
    valid = validate(annotation(x_max="1024"), boxes="scaled")
    assert valid.findings.row(0)[3:] == (100 / 1024, 200 / 1024, 1.0, 400 / 1024, 1024, 1024)


def test_no_finding_has_no_box():
    valid = validate(normal())
    assert valid.findings.rows() == [("a1", "R9", None, None, None, None, None, 1000, 2000)]
    assert valid.lost.is_empty()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"class_name": " cardiomegaly "}, id="case and spaces of the name"),
        pytest.param({"class_name": None}, id="id only"),
        pytest.param({"class_name": ""}, id="empty name"),
        pytest.param({"class_id": None}, id="name only"),
        pytest.param({"class_id": "3.0"}, id="id as a float"),
        pytest.param({"x_min": " 100.0 ", "y_max": "4e2"}, id="numbers"),
        pytest.param({"rad_id": " R9"}, id="space before the reader"),
    ],
)
def test_forms_of_one_row_are_the_same_finding(changes):
    assert validate(annotation(**changes)).findings.equals(validate(annotation()).findings)


@pytest.mark.parametrize("image_id", ["a b", "ünï", "a.b_c", "a..b", "x" * 200, "a'\"b", "-a"])
def test_image_ids_that_are_file_names_are_kept(image_id):
    valid = validate(annotation(image_id), known=sizes(image_id))
    assert valid.findings["image_id"].to_list() == [image_id]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"image_id": ""}, "the row names no image", id="no image"),
        pytest.param({"image_id": "../a"}, "image_id is no safe file name: image_id '../a'", id="slash"),
        pytest.param({"image_id": "a\\b"}, "image_id is no safe file name: image_id 'a\\b'", id="backslash"),
        pytest.param({"image_id": ".."}, "image_id is no safe file name: image_id '..'", id="dots"),
        pytest.param({"image_id": ".a"}, "image_id is no safe file name: image_id '.a'", id="leading dot"),
        pytest.param({"image_id": "a\0"}, "image_id is no safe file name: image_id 'a\ufffd'", id="NUL"),
        pytest.param({"image_id": "a\u2028"}, "image_id is no safe file name: image_id 'a\ufffd'", id="line separator"),
        pytest.param({"image_id": "a\x1b[31m"}, "image_id is no safe file name: image_id 'a\ufffd[31m'", id="escape"),
        pytest.param({"image_id": "ü" * 101}, f"image_id is no safe file name: image_id '{'ü' * 60}'", id="long"),
        pytest.param(
            {"rad_id": "R_9"}, "rad_id is not made of letters, digits and hyphens: rad_id 'R_9'", id="underscore"
        ),
        pytest.param({"rad_id": ""}, "rad_id is not made of letters, digits and hyphens: rad_id ''", id="no reader"),
        pytest.param({"rad_id": "R9\n"}, None, id="reader with a newline at its end"),
        pytest.param({"class_id": "", "class_name": " "}, "the row names no class", id="no class"),
        pytest.param({"class_id": "15", "class_name": ""}, "the class is unknown: class_id '15'", id="id over 14"),
        pytest.param({"class_id": "-1", "class_name": ""}, "the class is unknown: class_id '-1'", id="id below 0"),
        pytest.param({"class_id": "3.5"}, "the class is unknown: class_id '3.5'", id="id between"),
        pytest.param({"class_id": "nan"}, None, id="id NaN beside a name"),
        pytest.param(
            {"class_id": "1"},
            "class_id and class_name disagree: class_id '1', class_name 'Cardiomegaly'",
            id="id and name disagree",
        ),
        pytest.param(NORMAL | {"x_max": "1"}, "'No finding' has a box: x_max '1'", id="No finding with a box"),
        pytest.param(NORMAL | {"x_max": "a"}, "'No finding' has a box: x_max 'a'", id="No finding with text"),
        pytest.param(
            dict.fromkeys(("x_min", "y_min", "x_max", "y_max"), " "), "the finding has no box", id="finding without box"
        ),
        pytest.param({"y_min": ""}, "a coordinate is not a number: y_min ''", id="a coordinate is missing"),
        pytest.param({"x_min": "ten"}, "a coordinate is not a number: x_min 'ten'", id="text"),
        pytest.param({"y_max": "NaN"}, "a coordinate is not a number: y_max 'NaN'", id="NaN"),
        pytest.param({"x_max": "inf"}, "a coordinate is not a number: x_max 'inf'", id="inf"),
        pytest.param({"x_max": "1e400"}, "a coordinate is not a number: x_max '1e400'", id="1e400"),
        pytest.param({"x_max": "1e9"}, "a coordinate is larger than any image: x_max '1e9'", id="huge"),
        pytest.param({"x_min": "-1e9"}, "a coordinate is larger than any image: x_min '-1e9'", id="huge, negative"),
        pytest.param({"x_min": "500"}, "the box is inverted: x_min '500', x_max '300'", id="inverted"),
        pytest.param({"y_min": "400"}, "the box has no area: y_min '400', y_max '400'", id="no area"),
        pytest.param({"y_min": "399.99"}, "the box has no area: y_min '399.99', y_max '400'", id="a line in a label"),
        pytest.param(
            {"x_min": "0", "y_min": "0", "x_max": "1", "y_max": "1.0"},
            "the box is 0, 0, 1, 1, which stands for no box",
            id="what stands for no box elsewhere",
        ),
        pytest.param({"x_min": "-40"}, "the box lies outside the picture: x_min '-40'", id="negative"),
        pytest.param(
            {"x_max": "1002"},
            "the box lies outside the picture: x_max '1002', width_px '1000'",
            id="over the right edge",
        ),
        pytest.param(
            {"y_max": "2001.5"}, "the box lies outside the picture: y_max '2001.5', height_px '2000'", id="lower edge"
        ),
        pytest.param(
            {"x_min": "999.95", "x_max": "1000.8"},
            "nothing of the box is in the picture: x_min '999.95', x_max '1000.8'",
            id="beside the right edge",
        ),
        pytest.param(
            {"y_min": "-0.9", "y_max": "0"},
            "nothing of the box is in the picture: y_min '-0.9', y_max '0'",
            id="above the upper edge",
        ),
        pytest.param({"image_id": "c3"}, "no size of the image is known", id="no size"),
        pytest.param(
            {"width": "0", "height": "9"},
            "width and height are no size of a picture: width '0', height '9'",
            id="size 0",
        ),
        pytest.param(
            {"width": "", "height": "900"},
            "width and height are no size of a picture: width '', height '900'",
            id="half a size",
        ),
    ],
)
def test_a_bad_row_is_refused_with_its_reason(changes, reason):
    valid = validate(annotation(**changes), annotation("b2"), annotation("b2", rad_id="R8"), source="mine")
    if reason is None:
        assert valid.rejected.is_empty()
        return
    assert valid.rejected.select("source", "line", "reason").rows() == [("mine", 2, reason)]
    assert valid.rejected["code"].str.contains("^[a-z0-9]+(-[a-z0-9]+)+$").all()
    assert valid.rejected.row(0)[5:] == tuple((annotation() | changes)[name] for name in ANNOTATION_COLUMNS)
    assert valid.rejected.schema == REJECTED
    assert valid.findings["image_id"].to_list() == ["b2", "b2"]


@pytest.mark.parametrize("box", [{"x_min": "-1"}, {"x_max": "1001"}, {"y_min": "-0.5"}, {"y_max": "2001"}])
def test_one_pixel_over_the_edge_is_kept_and_not_clamped(box):
    valid = validate(annotation(**box))
    assert valid.rejected.is_empty()
    norm = valid.findings.row(0)[3:7]
    assert min(norm) < 0 or max(norm) > 1


def test_the_same_row_twice_is_one_finding():
    valid = validate(annotation(), annotation(x_min="100.0"), annotation(class_name="CARDIOMEGALY "))
    assert len(valid.findings) == 1
    assert reasons(valid) == ["the row repeats another"] * 2


def test_one_rectangle_of_two_classes_is_two_findings():
    valid = validate(annotation(), annotation(class_name="ILD", class_id="5"))
    assert valid.findings["class_id"].to_list() == [3, 5]


# A refused row never makes a false normal


def test_no_finding_beside_a_finding_is_refused():
    valid = validate(normal(), annotation())
    assert valid.findings["class_id"].to_list() == [3]
    assert reasons(valid) == ["'No finding' contradicts another row of the same reading"]
    assert valid.lost.is_empty()


def test_no_finding_beside_a_refused_finding_is_lost():
    valid = validate(normal(), annotation(x_max="1e9"), normal(rad_id="R1"))
    assert valid.findings["rad_id"].to_list() == ["R1"]
    assert valid.lost.rows() == [("a1", "R9")]


def test_no_finding_twice_is_normal():
    valid = validate(normal(), normal())
    assert valid.findings["class_id"].to_list() == [None]
    assert reasons(valid) == ["the row repeats another"]
    assert codes(valid) == ["row-repeats"]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(annotation(x_min="x"), id="no number"),
        pytest.param(annotation(x_max="5000"), id="outside"),
        pytest.param(annotation(class_name="", class_id="99"), id="unknown class"),
        pytest.param(normal(x_max="5"), id="No finding with a box"),
    ],
)
def test_a_reading_that_lost_a_row_that_may_be_a_finding_is_lost_whole(bad):
    valid = validate(annotation(), annotation(y_min="210"), bad, annotation(rad_id="R1"), annotation("b2"))
    assert valid.findings.select("image_id", "rad_id").rows() == [("a1", "R1"), ("b2", "R9")]
    assert valid.lost.rows() == [("a1", "R9")]
    assert codes(valid).count("reading-void") == 2
    assert "another row of the reading was refused" in reasons(valid)


def test_a_refused_row_without_a_reader_voids_all_readings_of_its_image():
    valid = validate(annotation(rad_id=""), annotation(), annotation(rad_id="R1"), annotation("b2"))
    assert valid.findings["image_id"].to_list() == ["b2"]
    assert valid.lost.rows() == [("a1", "R1"), ("a1", "R9")]


def broken(code, image_id, rad_id):
    cells = dict.fromkeys(REJECTED, None) | {"code": code, "reason": "", "image_id": image_id, "rad_id": rad_id}
    return pl.DataFrame([cells], schema=REJECTED)


@pytest.mark.parametrize(
    ("row", "lost"),
    [
        pytest.param(broken("not-utf-8", "a1", " R9"), [("a1", "R9")], id="its reading"),
        pytest.param(broken("cells-miscounted", "a1", "R9"), [("a1", "R1"), ("a1", "R9")], id="its image"),
        pytest.param(broken("cells-miscounted", None, None), [], id="nobody's"),
    ],
)
def test_what_is_no_row_voids_what_it_may_be_of(row, lost):
    valid = validate(annotation(), annotation(rad_id="R1"), annotation("b2"), broken=row)
    assert valid.lost.rows() == lost


def test_a_row_that_names_no_image_loses_no_reading():
    valid = validate(annotation(image_id="../x"), annotation(rad_id="R1"))
    assert valid.lost.is_empty()
    assert len(valid.findings) == 1


@pytest.mark.parametrize("text", ["NaN", "NULL", "None", "N/A", "na", " nan "])
def test_cells_that_say_no_value_are_empty(text):
    sides = ("x_min", "y_min", "x_max", "y_max")
    valid = validate(
        normal(**dict.fromkeys(sides, text)),
        annotation("b2", width=text, height=text, patient_id=text, class_name=text),
        normal("b2", rad_id="R1", class_id=text),
    )
    assert valid.findings["class_id"].to_list() == [None, None, 3]
    assert valid.rejected.is_empty()
    assert valid.patients.is_empty()
    assert codes(validate(annotation(**dict.fromkeys(sides, text)))) == ["box-missing"]
    assert reasons(validate(annotation(class_name=text, class_id=""), annotation("b2"))) == [
        f"the row names no class: class_name '{text.strip()}'"
    ]


@pytest.mark.parametrize("box", [("0", "0", "0", "0"), ("0", "0", "1", "1"), ("0.0", "0", "1.0", "1")])
def test_a_placeholder_is_no_box_of_no_finding_and_no_finding(box):
    placeholder = dict(zip(("x_min", "y_min", "x_max", "y_max"), box, strict=True))
    assert validate(normal(**placeholder)).findings["class_id"].to_list() == [None]
    valid = validate(annotation(**placeholder), normal("b2"))
    assert valid.findings["image_id"].to_list() == ["b2"]
    assert valid.lost.rows() == [("a1", "R9")]


def test_a_class_of_the_list_may_be_called_as_no_value_is():
    wishes = Wishes(declared=Taxonomy(("NA", "Cardiomegaly")))
    valid = validate(annotation(class_name="NA", class_id=""), wishes=wishes)
    assert valid.findings["class_id"].to_list() == [0]


# classes that the user leaves out

KEEP_HEART = Wishes(declared=VINDR, kept=("Cardiomegaly",))
ILD = {"class_name": "ILD", "class_id": "5"}


def test_a_class_left_out_is_refused_beside_what_its_reading_keeps():
    valid = validate(annotation(), annotation(**ILD), annotation(**ILD), wishes=KEEP_HEART)
    assert valid.findings["class_id"].to_list() == [0]
    assert reasons(valid) == ["the class is left out: class_name 'ILD'"] * 2
    assert codes(valid) == ["class-dropped"] * 2
    assert valid.lost.is_empty()


def test_a_reading_of_nothing_but_left_out_classes_found_nothing():
    other = {"class_name": "", "class_id": "7"}
    valid = validate(annotation(**ILD), annotation(**ILD), annotation(**other), annotation("b2"), wishes=KEEP_HEART)
    assert valid.findings.select("image_id", "class_id", "x_min_norm").rows() == [("a1", None, None), ("b2", 0, 0.1)]
    assert codes(valid) == ["class-dropped"] * 2
    assert valid.lost.is_empty()
    assert "1 readings drew only classes that are left out" in valid.notes[1]
    assert valid.origins["class_name"].to_list() == ["", "Cardiomegaly"]


def test_the_box_of_a_left_out_finding_is_not_looked_at():
    valid = validate(annotation(**ILD, x_min="x"), annotation("b2", **ILD, x_max="9000"), wishes=KEEP_HEART)
    assert valid.findings["class_id"].to_list() == [None, None]
    assert valid.rejected.is_empty()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(annotation(x_min="x"), id="refused finding"),
        pytest.param(normal(), id="No finding"),
        pytest.param(annotation(class_name="", class_id="99"), id="unknown class"),
    ],
)
def test_a_left_out_finding_never_makes_a_reading_normal_that_lost_another_row(other):
    valid = validate(annotation(**ILD), other, wishes=KEEP_HEART)
    assert valid.findings.is_empty()
    assert "class-dropped" in codes(valid)
    assert valid.lost.rows() == [("a1", "R9")]


def test_findings_of_any_classes_are_numbered_by_their_own_list():
    rows = [
        annotation(class_name=name, class_id=str(number), rad_id=f"R{number}")
        for number, name in enumerate(SPINE.names)
    ]
    valid = validate(*rows, normal(rad_id="R7", class_id="7"), wishes=Wishes())
    assert valid.findings["class_id"].to_list() == [*range(7), None]
    assert "only whether boxes fit was looked at" in valid.notes[0]


# sizes


def test_the_rows_own_size_goes_before_the_table_of_sizes():
    valid = validate(annotation(width="500", height="800"), annotation("b2", width="", height=""))
    assert valid.findings.select("width", "height").rows() == [(500, 800), (1000, 2000)]


def test_one_row_gives_the_size_of_its_image():
    valid = validate(annotation(width="500", height="800"), normal(rad_id="R1", width="", height=""))
    assert valid.findings["width"].to_list() == [500, 500]


def test_rows_that_disagree_about_the_size_are_refused():
    valid = validate(annotation(width="500", height="800"), normal(rad_id="R1", width="500", height="801"))
    assert set(reasons(valid)) == {"the rows of the image give it several sizes"}
    assert len(valid.lost) == 2


def test_sizes_are_not_needed_for_boxes_of_the_small_pictures():
    valid = validated(table(annotation(), normal("b2")), sizes=None, boxes="scaled")
    assert len(valid.findings) == 2


# patients


def test_patients_are_hashed_and_never_shown():
    valid = validate(
        annotation(patient_id=" MRN-1 "),
        normal("b2", patient_id="MRN-1"),
        annotation("b2", rad_id="R1", patient_id="MRN-2"),
        annotation("b2", rad_id="R2", x_min="x", patient_id="MRN-3"),
        annotation("b2", rad_id="R3", patient_id=""),
    )
    of = {image_id: set(valid.patients.filter(image_id=image_id)["patient"]) for image_id in ("a1", "b2")}
    assert of["a1"] < of["b2"]
    assert [len(of[image_id]) for image_id in ("a1", "b2")] == [2, 6]  # as written, and what all ways to write it share
    assert valid.patients["patient"].str.contains("^[0-9a-f]{16}$").all()
    assert "MRN" not in str([valid.findings.write_csv(), valid.rejected.write_csv(), valid.patients.write_csv()])


def test_ways_to_write_a_patient_that_are_probably_one_are_joined_and_counted():
    told = {"a1": "0012", "b2": "12", "c3": "12.0", "d4": "13", "e5": "P-a", "f6": "p-A"}
    rows = [normal(image_id, patient_id=patient) for image_id, patient in told.items()]
    valid = validate(*rows, known=sizes(*told))
    of = {image_id: set(valid.patients.filter(image_id=image_id)["patient"]) for image_id in told}
    assert of["a1"] & of["b2"] & of["c3"]
    assert of["e5"] & of["f6"]
    assert not of["d4"] & (of["a1"] | of["e5"])
    note = next(note for note in valid.notes if "probably" in note)
    assert note.startswith("5 ids of patients are probably 2")
    assert "P-a" not in note


def test_an_empty_column_of_patients_is_said_and_joins_nothing():
    valid = validate(normal(patient_id="NaN"), normal("b2", patient_id=""))
    assert valid.patients.is_empty()
    assert "no row names a patient: the column for that is empty" in valid.notes


def test_a_study_groups_its_images_and_is_no_patient_of_that_name():
    rows = table(normal(patient_id="7"), normal("b2", patient_id="8"), normal("c3", patient_id="9"))
    valid = validated(
        rows.with_columns(study_id=pl.Series(["1", "1", "7"])), sizes=sizes("a1", "b2", "c3"), boxes="original"
    )
    of = {image_id: set(valid.patients.filter(image_id=image_id)["patient"]) for image_id in ("a1", "b2", "c3")}
    assert of["a1"] & of["b2"]
    assert not of["c3"] & of["a1"]


def test_without_patients_the_table_is_empty():
    assert validate(annotation()).patients.schema == {"image_id": pl.String, "patient": pl.String}


# pictures


def test_rows_without_a_sound_picture_are_refused():
    valid = validate(
        annotation(), normal("b2"), normal("b2", rad_id="R1"), annotation("c3"), known=sizes("a1", "b2", "c3")
    )
    pictures = pl.DataFrame({"image_id": ["a1", "b2"], "problem": [None, "it is cut"]})
    left = findings.require_pictures(valid, pictures)
    assert left.findings["image_id"].to_list() == ["a1"]
    assert left.rejected.select("line", "reason", "image_id").rows() == [
        (4, "the picture cannot be used: it is cut", "b2"),
        (3, "the picture cannot be used: it is cut", "b2"),
        (5, "no picture of the image was found", "c3"),
    ]
    assert codes(left) == ["picture-unusable", "picture-unusable", "picture-missing"]
    assert left.rejected.schema == REJECTED
    assert left.lost.rows() == [("b2", "R1"), ("b2", "R9"), ("c3", "R9")]
    assert len(left.origins) == 1


def test_no_rows_left_is_no_error_here():
    valid = validate(annotation(x_min="x"))
    left = findings.require_pictures(valid, pl.DataFrame(schema={"image_id": pl.String, "problem": pl.String}))
    assert (len(left.findings), len(left.rejected)) == (0, 1)


# Any table, in any order

LIKELY = (
    {
        "image_id": ["a1", "b2", "c3"],
        "class_name": [*VINDR.names, "No finding", "cardiomegaly "],
        "class_id": [str(class_id) for class_id in range(16)],
        "rad_id": ["R8", "R9", "R1"],
        "width": ["", "1000", "1024"],
        "height": ["", "1000", "2000"],
        "patient_id": ["", "SECRET1", "SECRET2"],
    }
    | {side: ["", "-3", "0", "7.5", "100"] for side in ("x_min", "y_min")}
    | {side: ["", "90", "900", "1100"] for side in ("x_max", "y_max")}
)
HOSTILE = [
    "nan",
    "inf",
    "-inf",
    "1e999",
    "..",
    "../x",
    "\r\n",
    "\0",
    "\u2028",
    "=1+1",
    "\ufeff",
    "١٢",
    "𝟙",
    "İ",
    " ",
    ",",
    "a" * 201,
]
LETTERS = "aR9 \"',;\n\r\t\\/.-_\0\x7f\x85éß漢🩻\u200b\u202e"


def any_table(rng):
    """Known columns in any order, some left out, and rows of what may stand in them; then the rows in another order."""
    columns = rng.sample([*LIKELY, "comment"], len(LIKELY) + 1 - rng.choice([0, 0, 1, 2]))
    damage = rng.choice([0, 0.02, 0.2])
    rows = []
    for _ in range(rng.randint(1, 8)):
        row = {name: rng.choice(LIKELY.get(name, HOSTILE)) for name in columns}
        class_id = int(row.get("class_id", "15"))
        if class_id < 15 and rng.random() < 0.8:
            row["class_name"] = VINDR.name(class_id)
        for name in columns:
            if rng.random() < damage:
                text = "".join(rng.choice(LETTERS) for _ in range(rng.randint(0, 6)))
                row[name] = rng.choice([*HOSTILE, text])
        rows.append([row[name] for name in columns])
    return columns, rows, rng.sample(rows, len(rows))


def written(columns, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([columns, *rows])
    return text.getvalue().encode()


def run(path, table, boxes, known, wishes):
    """What is read and validated; the error's type where it is one."""
    path.write_bytes(written(*table))
    try:
        rows, broken = read_annotations(path)
        return validated(rows, wishes=wishes, sizes=known, boxes=boxes), rows, broken
    except RadloopError as error:
        return type(error)


def loses_no_row(result, rows):
    if isinstance(result, type):
        return
    valid, read, broken = result
    assert len(valid.findings) + len(valid.rejected) == len(read)
    assert len(read) + len(broken) == len([row for row in rows if len(row) > 1 or row[0].strip()])
    assert set(valid.rejected["line"]).isdisjoint(valid.origins["line"])
    assert valid.findings.schema == FINDINGS
    assert valid.findings.filter(pl.col("class_id").is_not_null()).null_count().sum_horizontal().sum() == 0
    assert "SECRET" not in valid.rejected.write_csv() + broken.write_csv()
    readings = valid.findings.select("image_id", "rad_id")
    assert valid.rejected.filter(pl.col("code").is_null() | pl.col("reason").is_null()).is_empty()
    assert valid.lost.join(readings, on=["image_id", "rad_id"], how="semi").is_empty()


def same_but_for_the_lines(first, second):
    if isinstance(first, type) or isinstance(second, type):
        assert first == second
        return
    (valid, _, broken), (again, _, broken_again) = first, second
    assert valid.findings.equals(again.findings)
    assert valid.patients.equals(again.patients)
    assert valid.lost.equals(again.lost)
    assert valid.rejected.drop("line").equals(again.rejected.drop("line"))
    assert broken.drop("line").sort(pl.all()).equals(broken_again.drop("line").sort(pl.all()))


KNOWN = [None, sizes("a1", "b2", "c3"), sizes("a1", width=1024, height=1024)]


WISHES = [Wishes(declared=VINDR), Wishes(declared=VINDR, dropped=VINDR.names[4:]), Wishes()]


@pytest.mark.slow
@given(
    rng=st.randoms(),
    boxes=st.sampled_from(["auto", "original", "scaled"]),
    known=st.sampled_from(KNOWN),
    wishes=st.sampled_from(WISHES),
)
@settings(max_examples=150)
def test_any_table_loses_no_row(tmp_path_factory, rng, boxes, known, wishes):
    columns, rows, shuffled = any_table(rng)
    path = tmp_path_factory.getbasetemp() / "train.csv"
    result = run(path, (columns, rows), boxes, known, wishes)
    loses_no_row(result, rows)
    same_but_for_the_lines(result, run(path, (columns, shuffled), boxes, known, wishes))


@pytest.mark.slow
@given(
    rng=st.integers(0, 2**64).map(Random),
    boxes=st.sampled_from(["auto", "original", "scaled"]),
    known=st.sampled_from(KNOWN),
    wishes=st.sampled_from(WISHES),
)
@settings(max_examples=4_000)
def test_four_thousand_tables_lose_no_row(tmp_path_factory, rng, boxes, known, wishes):
    columns, rows, _ = any_table(rng)
    loses_no_row(run(tmp_path_factory.getbasetemp() / "train.csv", (columns, rows), boxes, known, wishes), rows)


@pytest.mark.slow
def test_a_million_rows_are_validated():
    rows = table(*(annotation(f"a{at}", x_min=str(at % 200)) for at in range(1000)))
    rows = pl.concat(
        [rows.with_columns(pl.format("{}-{}", "image_id", pl.lit(at)).alias("image_id")) for at in range(1000)]
    )
    known = rows.select("image_id", pl.lit(1000, pl.Int32).alias("width"), pl.lit(2000, pl.Int32).alias("height"))
    valid = validated(rows, sizes=known, boxes="original")
    assert len(valid.findings) + len(valid.rejected) == 1_000_000
