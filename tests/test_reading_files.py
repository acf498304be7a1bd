"""The lists of pictures and labels, made of some images at a time."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop import manifest, sums
from radloop.dataset import labelling, plan, portions, reading_files
from radloop.dataset.labelling import Labelling
from radloop.dataset.plan import Account, Plan
from radloop.dataset.reading_files import Parts
from radloop.errors import DatasetError
from radloop.tables import ASSIGNMENT, FINDINGS, MANIFEST, PICTURES, REJECTED
from taxonomies import VINDR

SHA256 = "0f" * 32
HEART = (0.3, 0.5, 0.7, 0.9)
NOTHING_LOST = pl.DataFrame(schema={"image_id": pl.String, "rad_id": pl.String})


def tables(*readings: tuple[str, str]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """FINDINGS, ASSIGNMENT and PICTURES of these images and readers."""
    images = sorted({image_id for image_id, _ in readings})
    pictures = [
        {"image_id": one, "path": f"x/{one}.PNG", "bytes": 7, "md5": one, "sha256": SHA256, "phash": one}
        for one in images
    ]
    splits = ["training", "validation"]
    return (
        pl.DataFrame([(*one, 3, *HEART, 9, 9) for one in readings], schema=FINDINGS, orient="row"),
        pl.DataFrame([(one, one, splits[i % 2]) for i, one in enumerate(images)], schema=ASSIGNMENT, orient="row"),
        pl.DataFrame([dict.fromkeys(PICTURES) | one for one in pictures], schema=PICTURES),
    )


def listed(*readings: tuple[str, str], **wishes: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    findings, assignment, pictures = tables(*readings)
    labels, _ = labelling.labels(findings, assignment, Labelling(**wishes), NOTHING_LOST)
    images, texts = reading_files.lists(reading_files.of(labels, pictures, empty=""))
    return images.collect(), texts.collect()


@pytest.fixture
def of_few(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda number: monkeypatch.setattr(portions, "IMAGES_AT_ONCE", number)


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.just("R1")), min_size=1, max_size=20), st.integers(1, 5))
def test_every_row_is_in_one_part_and_no_image_in_two(readings: list[tuple[str, str]], number: int) -> None:
    given_tables = tables(*readings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "IMAGES_AT_ONCE", number)
        parts = list(Parts(*given_tables))
    for name, whole in zip(("findings", "assignment", "pictures"), given_tables, strict=True):
        assert pl.concat([getattr(part, name) for part in parts]).equals(whole.sort("image_id"))
    images = [set(part.findings["image_id"]) for part in parts]
    assert [set(part.assignment["image_id"]) for part in parts] == images
    assert [len(one) for one in images[:-1]] == [number] * (len(parts) - 1)


def test_pictures_of_other_images_are_passed_over(of_few: Callable[[int], None]) -> None:
    of_few(1)
    findings, assignment, pictures = tables(("b", "R1"), ("d", "R1"))
    more = pl.concat([pictures, *(pictures.head(1).with_columns(image_id=pl.lit(one)) for one in "ace")])
    first, second = (part.pictures["image_id"].to_list() for part in Parts(findings, assignment, more))
    assert (first, second) == (["b"], ["d"])


@pytest.mark.parametrize("kind", [{}, {"labels": "consensus"}, {"judge": "consensus"}], ids=["readers", "one", "both"])
def test_a_dataset_made_of_few_images_at_a_time_is_the_same(kind: dict, of_few: Callable[[int], None]) -> None:
    given_tables = tables(*((image_id, rad_id) for image_id in "edcba" for rad_id in ("R2", "R1")))

    def built() -> Plan:
        findings, assignment, pictures = given_tables
        account = Account("folder", {}, {}, pl.DataFrame(schema=REJECTED), NOTHING_LOST)
        return plan.build(findings, pictures, assignment, VINDR, Labelling(**kind), account)

    whole = built()
    of_few(2)
    again = built()
    assert again.version == whole.version
    assert again.documents == whole.documents
    assert [list(one.large) for one in (whole, again)] == [["scaled_bounding_boxes.csv"]] * 2
    assert manifest.encode(again.manifest) == manifest.encode(whole.manifest)


def test_a_picture_and_a_label_of_each_reading_are_listed_by_key() -> None:
    images, labels = listed(("b", "R1"), ("a", "R1"), ("a", "R2"))
    assert images.schema == {**MANIFEST, "source": pl.String}
    assert labels.schema == {**MANIFEST, "text": pl.String}
    assert images["key"].to_list() == [f"{name}.png" for name in ("training/images/a_R1", "training/images/a_R2")] + [
        "validation/images/b_R1.png"
    ]
    assert images.row(2, named=True) | {"key": ""} == {
        "key": "", "kind": "image", "image_id": "b", "rad_id": "R1", "split": "validation", "bytes": 7, "md5": "b",
        "sha256": SHA256, "source": "x/b.PNG",
    }  # fmt: skip
    text = labels["text"][0].encode()
    assert labels.row(0, named=True)["bytes"] == len(text)
    assert labels.select(sums.Sums._fields).row(0) == sums.of(text)


def test_ids_with_dots_stand_in_the_order_of_their_whole_keys() -> None:
    """Where one id goes on after another's end, the ending decides: a.png < a.s.png, but a.s.txt < a.txt."""
    images, labels = listed(("a", "R1"), ("a.", "R1"), ("a.s", "R1"), labels="consensus")
    for files in (images, labels):
        assert files["key"].to_list() == sorted(files["key"])
    assert images["image_id"].to_list() != labels["image_id"].to_list()


def test_two_labels_of_one_name_are_an_error_that_names_both() -> None:
    findings, assignment, pictures = tables(("a", "R1_R2"), ("a_R1", "R2"))
    same = assignment.with_columns(split=pl.lit("training"))
    labels, _ = labelling.labels(findings, same, Labelling(), NOTHING_LOST)
    files = reading_files.of(labels, pictures, empty="")
    with pytest.raises(DatasetError, match="image 'a' of 'R1_R2' and image 'a_R1' of 'R2' would both be the file a_R1"):
        reading_files.lists(files)
