"""What `--add` and the version before bring beside the source's rows."""

from dataclasses import replace

import polars as pl
import pytest

from radloop.catalog import classes as catalog
from radloop.catalog import truth, version
from radloop.catalog.classes import Wishes
from radloop.dataset import additions, findings
from radloop.dataset.additions import Added
from radloop.dataset.findings import Validated
from radloop.tables import ANNOTATION_COLUMNS, ANNOTATIONS, ASSIGNMENT
from taxonomies import VINDR

Row = tuple[str, str, str, int | None]  # image, reader, source, class; a box in the middle


def table(*rows: Row, **columns) -> pl.DataFrame:
    """The rows as raw text, as a retrain.csv has them."""
    box = ("300", "500", "700", "800")
    names = (*ANNOTATION_COLUMNS, "width", "height", "source")
    filled = [
        (one, VINDR.name(number), None, reader, *((None,) * 4 if number is None else box), "1024", "1024", source)
        for one, reader, source, number in rows
    ]
    text = pl.DataFrame(filled, schema=dict.fromkeys(names, pl.String), orient="row")
    return text.with_columns(line=pl.int_range(2, pl.len() + 2, dtype=pl.Int64), **columns)


def validated(rows: pl.DataFrame) -> Validated:
    meant = catalog.resolve(rows, Wishes(declared=VINDR))
    return findings.validate(rows, meant, sizes=None, boxes="scaled")


def base(*rows: tuple[str, str, int | None]) -> Validated:
    return validated(table(*((one, reader, "", number) for one, reader, number in rows)))


def new(*rows: Row, **columns) -> Added:
    text = table(*rows, **columns)
    return additions.added(validated(text), text)


def assigned(**splits: str) -> pl.DataFrame:
    return pl.DataFrame([(one, one, split) for one, split in splits.items()], schema=ASSIGNMENT, orient="row")


def merge(own: Validated, added: Added | None, *, carried: Added | None = None, pictures=(), blind=None, **splits):
    return additions.merge(
        own,
        carried,
        added,
        previous=assigned(**splits) if splits else None,
        pictures=pl.Series(list(pictures), dtype=pl.String),
        blind=blind,
    )


def used(valid: Validated) -> list[tuple]:
    return sorted(valid.findings.filter("used").select("image_id", "rad_id", "class_id").rows())


def test_without_anything_beside_them_all_rows_are_the_readers():
    valid, moved = merge(base(("a", "R1", 3), ("a", "R2", None)), None)
    assert valid.findings["source"].to_list() == ["reader", "reader"]
    assert valid.findings["used"].all()
    assert moved == frozenset()


def test_a_review_joins_the_readers():
    valid, moved = merge(base(("a", "R1", 3), ("a", "R2", None)), new(("a", "ann", "review", 7)), a="training")
    assert used(valid) == [("a", "R1", 3), ("a", "R2", None), ("a", "ann", 7)]
    assert moved == frozenset()


def test_what_a_model_said_takes_no_persons_place_and_moves_the_image():
    valid, moved = merge(base(("a", "R1", 3)), new(("a", "M-net", "prediction", 7)), a="production")
    assert used(valid) == [("a", "R1", 3)]
    assert valid.findings.filter(source="prediction")["used"].to_list() == [False]
    assert moved == {"a"}


def test_what_a_model_said_is_the_label_where_nobody_has_read():
    valid, moved = merge(base(("a", "R1", 3)), new(("b", "M-net", "prediction", 7)), pictures=["a", "b"], a="training")
    assert used(valid) == [("a", "R1", 3), ("b", "M-net", 7)]
    assert moved == {"b"}


def test_what_a_model_said_is_no_label_where_a_reading_was_lost():
    own = base(("a", "R1", 3))
    own = replace(own, lost=pl.DataFrame([("b", "R1")], schema=["image_id", "rad_id"], orient="row"))
    valid, moved = merge(own, new(("b", "M-net", "prediction", 7)), pictures=["a", "b"], a="training")
    assert used(valid) == [("a", "R1", 3)]
    assert valid.rejected["code"].to_list() == ["image-unknown"]
    assert moved == frozenset()


def test_a_blind_study_sets_the_readers_of_what_moves_aside_and_of_nothing_else():
    own = base(("a", "R1", 3), ("b", "R1", 3), ("c", "R1", 3))
    added = new(("a", "M-net", "prediction", 7), ("b", "ann", "review", 7))
    valid, _ = merge(own, added, blind=frozenset("c"), a="production", b="training", c="training")
    assert used(valid) == [("a", "M-net", 7), ("b", "R1", 3), ("b", "ann", 7)]


def test_a_reader_who_reviews_an_image_of_its_own_has_one_reading_of_it():
    valid, _ = merge(base(("a", "R8", 3), ("a", "R9", 3)), new(("a", "R8", "review", None)), a="training")
    assert used(valid) == [("a", "R8", None), ("a", "R9", 3)]


@pytest.mark.parametrize("split", ["validation", "test", "staging", "canary"])
@pytest.mark.parametrize("source", ["review", "prediction"])
def test_no_row_of_a_held_out_image_is_taken(split, source):
    valid, moved = merge(base(("a", "R1", 3)), new(("a", "x", source, 7)), a=split)
    assert used(valid) == [("a", "R1", 3)]
    assert valid.rejected["code"].to_list() == ["image-held-out"]
    assert moved == frozenset()


def test_a_row_that_tells_itself_that_it_was_held_out_is_not_taken_by_any_version():
    valid, moved = merge(base(("a", "R1", 3)), new(("a", "ann", "review", 7), split=pl.lit("test")))
    assert valid.rejected["reason"].to_list() == ["the image is held out (test) and never trains"]
    assert moved == frozenset()


def test_what_was_carried_gives_way_to_what_is_new_reading_by_reading():
    carried = new(("a", "ann", "review", 7), ("a", "bob", "review", 8))
    valid, moved = merge(base(("a", "R1", 3)), new(("a", "ann", "review", None)), carried=carried, a="training")
    assert used(valid) == [("a", "R1", 3), ("a", "ann", None), ("a", "bob", 8)]
    assert valid.origins.height == valid.findings.height
    assert moved == frozenset()


def test_rows_that_do_not_train_are_not_taken_and_an_old_table_trains():
    rows = table(("a", "ann", "review", 7), ("b", "ann", "review", 7))
    assert additions.training(rows).height == 2
    told = rows.with_columns(trains=pl.Series(["false", "true"]))
    assert additions.training(told)["image_id"].to_list() == ["b"]


def test_a_table_that_does_not_tell_has_reviews_and_models_by_their_names():
    text = table(("a", "ann", "", 7), ("a", "M-net", "", 7))
    assert additions.added(validated(text), text).marks["source"].sort().to_list() == ["prediction", "review"]


def test_a_version_gives_back_what_was_added_to_it_to_the_last_bit():
    edges = {"x_min_norm": 1 / 3, "y_min_norm": 0.1, "x_max_norm": 0.7, "y_max_norm": 2 / 3}
    row = {"image_id": "a", "rad_id": "ann", "class_id": 3, "class_name": "Cardiomegaly", "source": "review"}
    known = pl.DataFrame([row | edges | {"final": True, "used": True}], schema=ANNOTATIONS)
    text = additions.of_version(known)
    again = additions.added(validated(text), text)
    assert again.valid.findings.select(*edges).row(0, named=True) == edges
    assert again.marks.select("source", "final").row(0) == ("review", True)


def test_readings_of_images_that_nobody_read_are_the_reviews():
    rows = [
        {"image_id": one, "rad_id": reader, "class_id": 3, "source": source, "used": True, "final": False}
        for one, reader, source in (
            ("a", "R1", "reader"),
            ("a", "ann", "review"),
            ("b", "ann", "review"),
            ("b", "M-net", "prediction"),
        )
    ]
    known = version.readings(pl.DataFrame(rows, schema=ANNOTATIONS))
    assert known.select("image_id", "rad_id").rows() == [("a", "R1"), ("b", "ann")]


# a final reading


def fused(*rows: tuple[str, int | None, bool], min_readers: int = 2) -> list[tuple[int, int, bool]]:
    own, _ = merge(base(*(("a", reader, number) for reader, number, _ in rows)), None)
    final = {reader for reader, _, decides in rows if decides}
    table = own.findings.with_columns(final=pl.col("rad_id").is_in(sorted(final)))
    return truth.fuse(table, min_readers=min_readers).select("class_id", "support", "kept").rows()


def test_a_box_that_only_a_final_reading_has_is_kept_and_what_it_lacks_goes():
    three = [("R1", 3, False), ("R2", 3, False), ("R3", None, False)]
    assert fused(*three, ("ann", 7, False)) == [(3, 2, True), (7, 1, False)]
    assert fused(*three, ("ann", 7, True)) == [(3, 2, False), (7, 1, True)]
    assert fused(*three, ("ann", 3, True)) == [(3, 3, True)]
    assert fused(*three, ("ann", None, True)) == [(3, 2, False)]
