"""RSNA's table of labels."""

import pytest

from radloop.errors import AnnotationError
from radloop.sources import formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import rsna
from radloop.taxonomy import NOTHING

TABLE = """patientId,x,y,width,height,Target
p1,,,,,0
p2,264.0,152.0,213.0,379.0,1
p2,562.0,152.0,256.0,453.0,1
"""


@pytest.fixture
def read(tmp_path):
    def make(text):
        (tmp_path / "stage_2_train_labels.csv").write_text(text)
        assert formats.detect(Bundle(tmp_path)) == "rsna"
        return rsna.read(Bundle(tmp_path))

    return make


def test_target_0_is_normal_and_target_1_a_box_of_the_one_class(read):
    labels = read(TABLE)
    assert labels.classes.names == ("Lung Opacity",)
    assert labels.boxes == "scaled"
    columns = ("line", "image_id", "patient_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    assert labels.rows.select(columns).rows() == [
        (2, "p1", "p1", NOTHING, None, None, None, None),
        (3, "p2", "p2", "Lung Opacity", "264.0", "152.0", "477.0", "531.0"),
        (4, "p2", "p2", "Lung Opacity", "562.0", "152.0", "818.0", "605.0"),
    ]
    assert labels.rejected.is_empty()


@pytest.mark.parametrize("target", ["2", "", "yes", "nan"])
def test_another_target_is_refused_with_its_line_and_image(read, target):
    rejected = read(TABLE + f"p3,,,,,{target}\n").rejected
    assert rejected.select("line", "code", "image_id", "class_name").rows() == [(5, "class-unknown", "p3", None)]


def test_another_order_of_columns_is_read_and_another_column_is_not(read, tmp_path):
    assert read("Target,patientId,width,height,x,y\n1,p1,3,4,1,2\n").rows["x_max"].to_list() == ["4.0"]
    (tmp_path / "stage_2_train_labels.csv").write_text(TABLE.replace("Target", "class"))
    assert rsna.find(Bundle(tmp_path)) == ()
    with pytest.raises(AnnotationError, match="is not a table of this format: it begins with 'patientId,x"):
        rsna.read(Bundle(tmp_path))
