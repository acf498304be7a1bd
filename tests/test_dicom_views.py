"""The view of a radiograph is one of a few words, whichever attribute tells it."""

import pytest

from radloop.dicom import views


@pytest.mark.parametrize(
    ("tags", "view"),
    [
        ({"ViewPosition": "PA"}, "PA"),
        ({"ViewPosition": "ll "}, "LL"),
        ({"ViewPosition": "LAT"}, "LATERAL"),
        ({"ViewCodeSequence": [{"CodeValue": "399067008"}]}, "LATERAL"),
        ({"ViewCodeSequence": [{"CodeValue": "R-10206"}]}, "AP"),
        ({"ViewPosition": "AP", "ViewCodeSequence": [{"CodeValue": "399067008"}]}, "AP"),
        ({"PatientOrientation": ["A", "F"]}, "LATERAL"),
        ({"PatientOrientation": ["L", "F"]}, "FRONTAL"),
        ({"PatientOrientation": ["A", "L"]}, ""),
        ({"PatientOrientation": ""}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_a_view_is_told_by_the_first_attribute_that_knows_it(tags, view):
    assert views.of(tags) == view


def test_a_name_in_the_place_of_a_view_leaves_nothing():
    assert views.of({"ViewPosition": "MILLER^ANNA"}) == ""
    assert views.of({"ViewCodeSequence": [{"CodeValue": "MILLER"}]}) == ""
