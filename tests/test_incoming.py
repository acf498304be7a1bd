"""Who is grouped with whom, and what never trains: decided for pictures that nobody has labelled."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from incoming_unit import png
from radloop.dataset import incoming
from radloop.dataset.incoming import LINKS, PLACES, Arrival
from radloop.errors import SourceError
from radloop.tables import INCOMING

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def row(image_id, **known):
    return dict.fromkeys(INCOMING.names()) | {"image_id": image_id, "md5": image_id, "arrived_at": NOON} | known


def rows(*given):
    return pl.DataFrame([row(one) if isinstance(one, str) else one for one in given], schema=INCOMING)


def decide(table, *pairs, places=(), share=0.0, patients=()):
    """`pairs` are alike; `places`: (image_id, group, split)."""
    links = [(image, second) for first, second in pairs for image in (first, second)]
    return incoming.decide(
        table,
        pl.DataFrame(list(places), schema=PLACES, orient="row"),
        [pl.DataFrame(table_of, schema=LINKS, orient="row") for table_of in (links, list(patients))],
        audit_share=share,
        lineage="a lineage",
    )


def told(table):
    return {row["image_id"]: (row["group"], row["audit"], row["held_out"]) for row in table.iter_rows(named=True)}


def test_picture_like_a_held_out_one_is_held_out_with_it_and_no_audit():
    decided = decide(rows("a", "b"), ("a", "old"), places=[("old", "g", "test")], share=1.0)
    assert told(decided) == {"a": ("g", False, "test"), "b": ("b", True, None)}


def test_picture_like_one_that_trains_is_in_its_group_and_no_audit():
    decided = decide(rows("a", "b"), ("a", "t"), ("b", "p"), places=[("t", "t", "training"), ("p", "p", "production")])
    assert told(decided) == {"a": ("t", False, None), "b": ("p", False, None)}
    assert told(decide(rows("a"), ("a", "t"), places=[("t", "t", "training")], share=1.0))["a"] == ("t", False, None)


def test_whatever_joins_with_a_held_out_image_later_is_held_out_too():
    before = decide(rows("a", "b"), ("a", "b"))
    after = decide(pl.concat([before, rows("c")]), ("c", "b"), ("c", "old"), places=[("old", "old", "canary")])
    assert told(after) == dict.fromkeys("abc", ("old", False, "canary"))


def test_one_patient_is_one_group():
    decided = decide(rows("a", "b", "c"), patients=[("a", "p"), ("b", "p")])
    assert [group for group, _, _ in told(decided).values()] == ["a", "a", "c"]


def test_later_picture_of_an_audit_group_is_audit_whatever_the_share_is_then():
    before = decide(rows("a", "b"), share=1.0)
    assert told(decide(pl.concat([before, rows("c")]), ("c", "a"))) == {
        "a": ("a", True, None),
        "b": ("b", True, None),
        "c": ("a", True, None),
    }


def test_the_lot_is_the_patients_and_does_not_depend_on_which_image_came_first():
    def first(image_id):
        table = rows(*(row(f"{image_id}{number}", patient=f"patient {number}") for number in range(300)))
        return decide(table, share=0.3)["audit"].to_list()

    assert first("a") == first("b")
    assert 60 < sum(first("a")) < 120


def test_group_keeps_its_name_where_the_dataset_gives_its_own_another():
    before = decide(rows("b"), ("b", "m"), places=[("m", "m", "training")])
    after = decide(pl.concat([before, rows("c")]), ("c", "b"), places=[("m", "a", "training"), ("a", "a", "training")])
    assert {group for group, _, _ in told(after).values()} == {"a"}


LOOP = st.lists(
    st.tuples(
        st.integers(1, 4),  # pictures that come
        st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=4),  # who turns out to be like whom
        st.booleans(),  # whether a version is built of all that may train
        st.sampled_from([None, "test", "canary"]),  # and of whether it holds a picture out that is like the first
    ),
    max_size=5,
)


@settings(max_examples=60)
@given(LOOP)
def test_nothing_that_trained_is_ever_audit_and_nothing_that_is_audit_or_held_out_ever_trains(loop):
    table, places, trained, never, number = rows(), [], set(), set(), 0
    for count, pairs, builds, split in loop:
        new = [f"i{number + one:02}" for one in range(count)]
        number += count
        every = [f"i{one:02}" for one in range(number)]
        alike = [(every[one % number], every[other % number]) for one, other in pairs]
        if split:
            places.append((f"{split}{number}", f"{split}{number}", split))
            alike.append((every[0], f"{split}{number}"))
        # only a new picture is compared
        alike = [pair for pair in alike if set(pair) & set(new)]
        table = decide(pl.concat([table, rows(*new)]), *alike, places=places, share=0.5)
        assert table.height == number
        withheld = set(table.filter(pl.col("audit") | pl.col("held_out").is_not_null())["image_id"])
        audit = set(table.filter("audit")["image_id"])
        assert audit.isdisjoint(trained)
        assert never <= withheld, "what never trains never trains later either"
        never |= withheld
        free = table.filter(~pl.col("audit"), pl.col("held_out").is_null())
        mixed = table.filter(~pl.col("image_id").is_in(list(trained))).group_by("group").agg(pl.col("audit").n_unique())
        assert mixed.filter(pl.col("audit") > 1).is_empty()
        if builds:
            moved = set(free["image_id"]) - {image for image, *_ in places}
            assert moved.isdisjoint(never)
            trained |= moved
            places += [
                (image, group, "training") for image, group in free.select("image_id", "group").rows() if image in moved
            ]


def test_what_trained_in_a_round_before_is_no_audit_though_the_round_after_does_not_have_it():
    table = decide(rows("audit"), share=1)
    table = decide(pl.concat([table, rows("trained")]), share=0)
    joins = [("audit", "new"), ("trained", "new")]
    table = decide(pl.concat([table, rows("new")]), *joins, places=[("trained", "trained", "training")])
    later = decide(pl.concat([table, rows("later")]), ("later", "new"))
    assert dict(later.select("image_id", "audit").rows()) == {
        "audit": True,
        "trained": False,
        "new": True,
        "later": True,
    }


def test_order_of_rows_and_links_is_nothing_to_the_outcome():
    table = decide(rows("c", "a", "b"), ("a", "b"), share=0.5)
    assert decide(rows("b", "c", "a"), ("b", "a"), share=0.5).equals(table)


@pytest.mark.parametrize("image_id", ["", ".hidden", "a/b", "../a", "a\nb", "x" * 201, "\udcff"])
def test_name_that_no_file_can_have_everywhere_is_refused(image_id):
    assert incoming.problem(image_id)


def test_picture_that_shows_next_to_nothing_is_refused():
    with pytest.raises(SourceError, match="next to nothing"):
        incoming.look(png(np.full((40, 40), 7, np.uint8)))


def test_image_is_known_by_its_picture_and_refused_with_another():
    one = Arrival("a", png(np.asarray(Image.linear_gradient("L"))), NOON)
    looked = incoming.look(one.picture)
    assert incoming.already_there(one, looked, {}, {}) is None
    assert incoming.already_there(one, looked, {"a": looked.md5}, {}) == "known"
    assert incoming.already_there(one, looked, {"a": "other"}, {}) == "image-changed"
    assert incoming.already_there(one, looked, {}, {"a": ("other file", looked.pixels_md5)}) == "known"
    assert incoming.already_there(one, looked, {}, {"a": ("other",)}) == "image-id-taken"


def test_unit_that_contradicts_itself_or_its_dataset_is_told_of():
    table = rows(
        row("a", group="g", audit=True), row("b", group="h", audit=False), row("c", group="c", audit=True), row("d")
    ).with_columns(pl.col("audit").fill_null(value=False), pl.col("group").fill_null("c"))
    listed = pl.DataFrame(
        {"kind": ["image"] * 4, "image_id": ["a", "b", "c", "x"], "md5": ["a", "other", "c", "x"]},
    )
    annotations = pl.DataFrame(
        {"image_id": ["a", "t"], "group": ["g", "h"], "split": ["training", "test"]},
    )
    assert list(incoming.verify(table, listed, annotations)) == [
        ("incoming-table", "b", "it has another picture"),
        ("incoming-table", "d", "it has no picture"),
        ("incoming-table", "x", "it is in no row"),
        ("incoming-leak", "b", "its group is held out in test, and it is not"),
        ("incoming-leak", "a", "it is audit, which never trains, and is in training"),
    ]
