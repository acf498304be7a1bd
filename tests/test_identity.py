"""Ids that look like what tells who a person is."""

import polars as pl
import pytest

from radloop.dataset import identity


def warnings(*image_ids, reader="R1"):
    return list(identity.warnings(pl.DataFrame({"image_id": image_ids, "rad_id": [reader] * len(image_ids)})))


@pytest.mark.parametrize(
    ("image_id", "kind"),
    [
        ("DOE^JOHN", "names"), ("Doe_John", "names"), ("Müller, Anna", "names"), ("DOE JANE", "names"),
        ("1234567 Doe", "names"), ("Doe-00471122", "names"),
        ("20240131", "dates"), ("chest_2024-01-31", "dates"), ("31.12.1999", "dates"),
        ("1234567", "record numbers"), ("MRN-77", "record numbers"), ("patient_12", "record numbers"),
    ],
)  # fmt: skip
def test_ids_that_tell_who_somebody_is_are_counted_by_column_and_never_shown(image_id, kind):
    (warning, *_) = [one for one in warnings(image_id, "b2") if f"look like {kind}" in one]
    assert warning.startswith("1 of 2 values of the column image_id")
    assert image_id not in warning


def test_a_reader_with_a_name_is_told():
    assert "column rad_id look like names" in warnings("a1", reader="Smith")[0]


@pytest.mark.parametrize("image_id", ["50a418190bc3fb1ef1633bf9678929b3", "a1", "IMG_0001", "img-1.2.840.1", "00012"])
def test_pseudonyms_are_no_warning(image_id):
    assert warnings(image_id) == []
