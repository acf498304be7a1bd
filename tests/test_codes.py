"""What findings are called outside a dataset."""

from radloop import codes, domain
from radloop.taxonomy import Taxonomy
from radloop.vindr.classes import TAXONOMY


def test_a_class_keeps_its_code_in_every_taxonomy_and_spelling():
    one, other = Taxonomy(("crack", "hole")), Taxonomy(("Hole", "dent", "Crack"))

    assert [code.key for code in codes.of_names(one)] == [codes.of_names(other)[place].key for place in (2, 0)]


def test_a_code_fits_into_dicom():
    (code,) = codes.of_names(Taxonomy(("a\\" * 99,)))

    assert len(code.value) <= 16
    assert len(code.scheme) <= 16
    assert len(code.meaning) <= 64
    assert "\\" not in code.meaning


def test_every_class_has_a_code_of_its_own(classes):
    found = domain.codes_of(classes)

    assert len({code.key for code in found}) == len(classes)


def test_vinbigdatas_classes_have_the_codes_of_terminologies_where_there_are_some():
    found = dict(zip(TAXONOMY.names, domain.codes_of(TAXONOMY), strict=True))

    assert found["Pneumothorax"].key == ("36118008", "SCT")
    assert found["Other lesion"].scheme == codes.PRIVATE
