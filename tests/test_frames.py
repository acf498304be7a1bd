from contextlib import suppress

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.dataset import frames
from radloop.errors import AnnotationError
from radloop.sources import synthetic
from radloop.tables import CLASS_ID
from radloop.vindr.places import MIDDLES

FILMS = np.array([(2336, 2836), (2304, 2880), (3072, 3072), (2540, 3072), (2048, 2500), (2430, 1994), (3056, 2544)])
PLACES = {0: (0.55, 0.34), 3: (0.55, 0.62), 8: (0.3, 0.4), 10: (0.25, 0.7), 11: (0.7, 0.2)}


def prove(boxes, *, middles=MIDDLES, **options):
    unknown = [name for name in ("picture_width", "picture_height") if name not in boxes.columns]
    boxes = boxes.with_columns(pl.lit(None, pl.Int32).alias(name) for name in unknown)
    return frames.prove(boxes, middles=middles, **options)


def films(count, *, seed=0, sizes=FILMS):
    """True boxes in original pixels: aorta and heart on every film, other findings on some."""
    rng = np.random.default_rng(seed)
    rows = []
    for film in range(count):
        width, height = sizes[rng.integers(len(sizes))]
        for class_id in (0, 3, *rng.choice([8, 10, 11], 2)):
            x, y = np.array(PLACES[class_id]) * np.exp(rng.normal(0, 0.07, 2))
            w, h = 0.12 * np.exp(rng.normal(0, 0.2, 2))
            box = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
            rows.append((f"a{film}", class_id, *np.round(box), width, height))
    schema = ["image_id", "class_id", "x_min", "y_min", "x_max", "y_max", "width", "height"]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("class_id").cast(CLASS_ID), pl.col("width", "height").cast(pl.Int32)
    )


def made_up(count, *, seed):
    """The boxes of the synthetic source, whose places were made without the proof, in original pixels."""
    rows, sizes = synthetic.annotations(count, seed=seed)
    return rows.drop_nulls("x_min").join(sizes, on="image_id").select(
        "image_id",
        pl.col("class_id").cast(CLASS_ID),
        *(pl.col(side).cast(pl.Float64) for side in ("x_min", "y_min", "x_max", "y_max")),
        pl.col("dim1").cast(pl.Int32).alias("width"),
        pl.col("dim0").cast(pl.Int32).alias("height"),
    )  # fmt: skip


def scaled(boxes, *, width="width", height="height"):
    return boxes.with_columns(
        pl.col("x_min", "x_max") * 1024 / pl.col(width), pl.col("y_min", "y_max") * 1024 / pl.col(height)
    )


def swapped(boxes):
    return boxes.rename({"width": "height", "height": "width"}).select(boxes.columns)


def with_sizes(boxes, width, height):
    return boxes.with_columns(pl.lit(width, pl.Int32).alias("width"), pl.lit(height, pl.Int32).alias("height"))


@pytest.mark.parametrize("name", ["train.csv", "scaled_bounding_boxes.csv", "mine.csv"])
@pytest.mark.parametrize(
    ("boxes", "frame"),
    [
        pytest.param(films(60), "original", id="original"),
        pytest.param(scaled(films(60)), "scaled", id="scaled"),
        pytest.param(scaled(films(60, sizes=np.array([(3000, 3000)]))), "scaled", id="scaled, square originals"),
        pytest.param(films(60, sizes=FILMS // 3), "original", id="small originals"),
    ],
)
def test_the_proof_goes_before_the_name(boxes, frame, name):
    assert prove(boxes, said="auto", name=name).frame == frame


@pytest.mark.parametrize(
    ("boxes", "said", "message"),
    [
        pytest.param(swapped(films(60)), "auto", "dim0 is the HEIGHT", id="sizes swapped"),
        pytest.param(swapped(films(60)), "original", "dim0 is the HEIGHT", id="sizes swapped, said original"),
        pytest.param(films(60), "scaled", "were not rescaled. Pass --boxes original", id="not rescaled"),
        pytest.param(films(60, sizes=FILMS // 3), "scaled", "--boxes original", id="small, not rescaled"),
        pytest.param(with_sizes(films(60), 1024, 1024), "auto", "not rescaled.*train_meta.csv", id="only 1024"),
        pytest.param(scaled(films(60)), "original", "rescaled already. Pass --boxes scaled", id="rescaled already"),
        pytest.param(scaled(scaled(films(60))), "auto", "rescaled twice", id="rescaled twice"),
        pytest.param(scaled(scaled(films(60))), "scaled", "rescaled twice", id="rescaled twice, said scaled"),
        pytest.param(with_sizes(scaled(scaled(films(60))), 1024, 1024), "scaled", "twice", id="twice, sizes 1024"),
        pytest.param(with_sizes(scaled(scaled(films(60))), None, None), "scaled", "twice", id="twice, no sizes"),
        pytest.param(
            scaled(films(60), width="height", height="width"), "auto", "x · 1024 / dim1", id="rescaled by swapped sizes"
        ),
        pytest.param(with_sizes(films(60), None, None), "auto", "no original size is known", id="no sizes"),
        pytest.param(
            scaled(films(60)).with_columns(x_min=pl.col("x_min") - 500), "scaled", "negative coordinate", id="negative"
        ),
        pytest.param(with_sizes(films(60), 700, 700), "auto", "do not fit.*sizes are not those", id="wrong sizes"),
    ],
)
def test_each_classic_error_is_named(boxes, said, message):
    with pytest.raises(AnnotationError, match=message):
        prove(boxes, said=said, name="train.csv")


@pytest.mark.parametrize(
    ("boxes", "said", "name", "frame"),
    [
        pytest.param(scaled(films(1)).tail(1), "scaled", "train.csv", "scaled", id="said"),
        pytest.param(scaled(films(1)).tail(1), "original", "train.csv", "original", id="said, though wrong"),
        pytest.param(scaled(films(1)).tail(1), "auto", "train.csv.gz", "original", id="by name"),
        pytest.param(scaled(films(1)).tail(1), "auto", "scaled_bounding_boxes.csv", "scaled", id="by the other name"),
        pytest.param(films(4), "auto", "scaled_bounding_boxes.csv", "original", id="over 1025 pixels"),
        pytest.param(with_sizes(scaled(films(4)), 1024, 1024), "auto", "mine.csv", "scaled", id="one frame"),
        pytest.param(films(1).clear(), "auto", "mine.csv", "scaled", id="no boxes"),
    ],
)
def test_few_boxes_prove_nothing(boxes, said, name, frame):
    assert prove(boxes, said=said, name=name).frame == frame


def test_few_boxes_without_a_telling_name_ask_for_the_flag():
    with pytest.raises(AnnotationError, match="Pass --boxes original or --boxes scaled"):
        prove(scaled(films(1)).tail(1), said="auto", name="mine.csv")


def test_a_single_misfit_is_left_to_the_rows():
    boxes = films(3)
    wide, low = boxes.head(1).with_columns(x_max=pl.lit(9000.0)), boxes.tail(1).with_columns(y_min=pl.lit(-50.0))
    boxes = pl.concat([boxes, wide, low])
    assert prove(boxes, said="auto", name="train.csv").frame == "original"


def test_more_than_one_percent_of_misfits_stop_the_run():
    boxes = films(60)
    bad = boxes.head(3).with_columns(x_max=pl.lit(9000.0))
    with pytest.raises(AnnotationError, match="3 of 243 boxes do not fit"):
        prove(pl.concat([boxes, bad]), said="auto", name="train.csv")


def test_a_table_of_one_film_size_is_no_alarm():
    assert prove(films(60, sizes=np.array([(2336, 2836)])), said="auto", name="train.csv").frame == "original"


@given(
    places=st.lists(
        st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 13), st.integers(0, 6)), min_size=50, max_size=60
    ),
    said=st.sampled_from(["auto", "original", "scaled"]),
)
@settings(max_examples=30)
def test_any_boxes_are_a_verdict_or_one_error(places, said):
    rows = [
        (f"a{at}", class_id, x * w, y * h, (x + 0.1) * w, (y + 0.1) * h, w, h)
        for at, (x, y, class_id, film) in enumerate(places)
        for w, h in [map(int, FILMS[film])]
    ]
    with suppress(AnnotationError):
        boxes = pl.DataFrame(rows, schema=films(1).schema, orient="row")
        assert prove(boxes, said=said, name="train.csv").frame in ("original", "scaled")


def _alarms(make, *, trials):
    count = 0
    for seed in range(trials):
        try:
            prove(make(films(25, seed=seed)), said="auto", name="train.csv")
        except AnnotationError:
            count += 1
    return count / trials


@pytest.mark.slow
def test_a_hundred_boxes_on_25_films_give_no_false_alarm():
    assert _alarms(lambda boxes: boxes, trials=60) == 0
    assert _alarms(scaled, trials=60) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "error", [pytest.param(swapped, id="swapped"), pytest.param(lambda boxes: scaled(scaled(boxes)), id="twice")]
)
def test_a_hundred_boxes_on_25_films_show_the_error(error):
    assert _alarms(error, trials=60) >= 0.95


@pytest.mark.parametrize(
    ("boxes", "name", "frame"),
    [
        pytest.param(films(60), "scaled_bounding_boxes.csv", "original", id="over 1024 pixels"),
        pytest.param(films(60, sizes=FILMS // 3), "train.csv", "original", id="by the name"),
        pytest.param(scaled(films(60)), "scaled_bounding_boxes.csv", "scaled", id="by the other name"),
        pytest.param(with_sizes(scaled(films(60)), 1024, 1024), "mine.csv", "scaled", id="one frame"),
    ],
)
def test_places_of_unknown_classes_prove_nothing_and_the_note_says_so(boxes, name, frame):
    proof = prove(boxes, said="auto", name=name, middles=None)
    assert proof.frame == frame
    assert "only whether boxes fit was looked at" in proof.note
    assert "believed, not proved" in proof.note
    assert "only whether" not in prove(films(60), said="auto", name=name).note


@pytest.mark.parametrize(
    ("boxes", "said", "message"),
    [
        pytest.param(films(60), "scaled", "were not rescaled. Pass --boxes original", id="not rescaled"),
        pytest.param(with_sizes(films(60), 1024, 1024), "auto", "not rescaled.*train_meta.csv", id="only 1024"),
        pytest.param(with_sizes(films(60), None, None), "auto", "no original size is known", id="no sizes"),
        pytest.param(with_sizes(films(60), 700, 700), "auto", "do not fit.*sizes are not those", id="wrong sizes"),
        pytest.param(scaled(films(60)), "auto", "Pass --boxes original or --boxes scaled", id="nothing tells"),
    ],
)
def test_boxes_of_unknown_classes_still_have_to_fit(boxes, said, message):
    with pytest.raises(AnnotationError, match=message):
        prove(boxes, said=said, name="mine.csv", middles=None)


def test_the_verdict_does_not_depend_on_the_order():
    boxes = films(60)
    notes = {prove(boxes.sample(fraction=1, shuffle=True, seed=n), said="auto", name="x").note for n in range(5)}
    assert len(notes) == 1


def times(factor):
    return lambda boxes: boxes.with_columns(pl.col("x_min", "y_min", "x_max", "y_max") * factor)


def from_below(boxes):
    return boxes.with_columns(y_min=pl.col("height") - pl.col("y_max"), y_max=pl.col("height") - pl.col("y_min"))


def from_the_right(boxes):
    return boxes.with_columns(x_min=pl.col("width") - pl.col("x_max"), x_max=pl.col("width") - pl.col("x_min"))


def axes_swapped(boxes):
    names = {"x_min": "y_min", "y_min": "x_min", "x_max": "y_max", "y_max": "x_max"}
    return boxes.rename(names).select(boxes.columns)


def partly(change, share):
    """A function that changes the boxes of a share of the films."""

    def changed(boxes):
        ids = boxes["image_id"].unique().sort()
        some = pl.col("image_id").is_in(ids.head(round(share * len(ids))).implode())
        return pl.concat([change(boxes.filter(some)), boxes.filter(~some)], how="vertical_relaxed")

    return changed


@pytest.mark.slow
@pytest.mark.parametrize("count", [13, 16, 20, 60])
@pytest.mark.parametrize("make", [lambda boxes: boxes, scaled], ids=["original", "scaled"])
def test_prove_is_said_only_where_boxes_of_four_fifths_would_have_been_found(count, make):
    proven = 0
    for seed in range(6):
        boxes = make(films(count, seed=seed))
        if "prove it" in prove(boxes, said="auto", name="mine.csv").note:
            proven += 1
            with pytest.raises(AnnotationError):
                prove(times(0.8)(boxes), said="auto", name="train.csv")
    assert proven or count < 60


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_mirrored_boxes_that_are_too_few_to_stop_are_not_called_proved(seed):
    boxes = made_up(40, seed=seed)
    assert "prove it" in prove(boxes, said="auto", name="train.csv").note
    assert "believed, not proved" in prove(from_the_right(boxes), said="auto", name="train.csv").note


def test_many_mirrored_boxes_stop_with_the_reason():
    with pytest.raises(AnnotationError, match="as if x were counted from the right edge"):
        prove(from_the_right(films(60)), said="auto", name="train.csv")


def test_few_boxes_are_believed_and_not_proved():
    note = prove(films(3), said="auto", name="train.csv").note
    assert "believed, not proved: 12 boxes on 3 images are too few" in note
    assert "believed" in prove(films(3), said="original", name="train.csv").note


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(partly(scaled, 0.5), "in 1024×1024 pixels", id="half in 1024"),
        pytest.param(partly(scaled, 0.05), "in 1024×1024 pixels", id="one in twenty in 1024"),
        pytest.param(partly(lambda boxes: times(1 / 3)(boxes), 0.4), "of 0.33 times the size", id="a third as large"),
        pytest.param(partly(from_below, 0.3), "with y counted from the lower edge", id="some from below"),
        pytest.param(partly(axes_swapped, 0.3), "with x and y swapped", id="some with x and y swapped"),
    ],
)
def test_a_part_in_another_frame_is_counted_and_named(change, sentence):
    boxes = films(60)
    changed = change(boxes)
    with pytest.raises(
        AnnotationError, match=f"of 60 images lie as boxes {sentence} do, the others in original"
    ) as told:
        prove(changed, said="original", name="train.csv")
    moved = boxes.join(changed, on=boxes.columns, how="anti")["image_id"].unique().to_list()
    count = int(str(told.value).split("the boxes of ")[1].split(" of ")[0])
    assert 0.7 * len(moved) <= count <= len(moved)


def test_images_that_do_not_fit_are_named_where_no_places_are_known():
    changed = partly(times(3), 0.2)(films(40, sizes=FILMS // 3))
    with pytest.raises(AnnotationError, match="do not fit into original pixels"):
        prove(changed, said="original", name="train.csv", middles=None)
    changed = partly(lambda boxes: scaled(boxes).with_columns(pl.col("^[xy]_.*$") / 1024), 0.2)(films(40))
    with pytest.raises(AnnotationError, match="8 of 40 images lie as boxes in fractions of the picture do"):
        prove(changed, said="original", name="train.csv", middles=None)


def test_images_too_few_to_be_a_part_are_named_in_the_summary():
    boxes = films(300)
    table = pl.concat([scaled(boxes.filter(pl.col("image_id") == "a7")), boxes.filter(pl.col("image_id") != "a7")])
    note = prove(table, said="auto", name="train.csv").note
    assert "prove it. Look at the boxes of a7: they lie rather in 1024×1024 pixels." in note
    assert "Look at" not in prove(boxes, said="auto", name="train.csv").note


def anywhere(count, *, seed=0):
    """Boxes of three classes anywhere on films: nobody knows where they should be."""
    rng = np.random.default_rng(seed)
    boxes = films(count, seed=seed)
    u, v = rng.uniform(0.02, 0.8, (2, len(boxes)))
    side = 0.1 * np.exp(rng.normal(0, 0.3, len(boxes)))
    return boxes.with_columns(
        pl.col("class_id") % 3,
        x_min=u * boxes["width"],
        y_min=v * boxes["height"],
        x_max=(u + side) * boxes["width"],
        y_max=(v + side) * boxes["height"],
    )


@pytest.mark.parametrize(
    ("side", "sentence"),
    [
        pytest.param(1024, "in 1024×1024 pixels", id="1024"),
        pytest.param(100, "in percent of the picture", id="percent"),
        pytest.param(1, "in fractions of the picture", id="fractions"),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.25])
def test_a_part_in_a_smaller_frame_is_found_by_the_size_of_its_boxes(side, sentence, share):
    def change(boxes):
        return scaled(boxes).with_columns(pl.col("^[xy]_m.*$") * side / 1024)

    with pytest.raises(AnnotationError, match=f"of 60 images lie as boxes {sentence} do, the others in original"):
        prove(partly(change, share)(anywhere(60)), said="original", name="train.csv", middles=None)


@pytest.mark.parametrize("corners", [1, 4])
def test_small_findings_that_do_lie_in_corners_are_no_part(corners):
    """They lie in all corners, or are not of the size that the smaller frame asks for."""
    boxes = anywhere(60).with_row_index()
    far = pl.col("index") % 4 % corners
    some = pl.col("image_id").is_in([f"a{film}" for film in range(0, 60, 3)])
    size = 0.04 if corners == 4 else 0.1
    x = pl.when(far % 2 == 1).then(0.9).otherwise(0.3 * (pl.col("index") % 7) / 7) * pl.col("width")
    y = pl.when(far > 1).then(0.9).otherwise(0.3 * (pl.col("index") % 5) / 5) * pl.col("height")
    moved = boxes.filter(some).with_columns(x_min=x, y_min=y)
    moved = moved.with_columns(x_max=x + size * pl.col("width"), y_max=y + size * pl.col("height"))
    table = pl.concat([boxes.filter(~some), moved]).drop("index")
    assert prove(table, said="auto", name="train.csv", middles=None).frame == "original"


def test_boxes_over_the_edge_of_a_picture_without_a_size_are_left_to_the_rows():
    boxes = films(12)
    unknown = boxes.head(5).with_columns(image_id=pl.lit("b"), x_min=pl.lit(-50.0), width=None, height=None)
    table = pl.concat([boxes, unknown], how="vertical_relaxed")
    assert prove(table, said="original", name="train.csv").frame == "original"


def test_single_bad_rows_on_several_images_are_no_part():
    bad = films(300).with_columns(x_max=pl.when(pl.int_range(pl.len()) % 150 == 7).then(9000.0).otherwise("x_max"))
    assert prove(bad, said="original", name="train.csv", middles=None).frame == "original"


ERRORS = {
    "none": lambda boxes: boxes,
    "none, rescaled": scaled,
    "sizes swapped": swapped,
    "rescaled by swapped sizes": lambda boxes: scaled(boxes, width="height", height="width"),
    "rescaled twice": lambda boxes: scaled(scaled(boxes)),
}
FOUND_AT_LEAST = {"sizes swapped": 0.95, "rescaled by swapped sizes": 0.95, "rescaled twice": 0.98}


@pytest.mark.slow
def test_rates_of_the_documentation_hold_on_the_synthetic_source():
    """About 100 boxes, on 12 films of the published shape: docs/scale-proof.md."""
    boxes = made_up(1500, seed=0)
    image_ids = boxes["image_id"].unique().sort()
    stopped = dict.fromkeys(ERRORS, 0)
    for seed in range(100):
        some = image_ids.sample(fraction=1, shuffle=True, seed=seed)
        table = boxes.filter(pl.col("image_id").is_in(some.head(12).implode()))
        for error, make in ERRORS.items():
            try:
                prove(make(table), said="auto", name="train.csv" if "sizes" in error else "scaled_bounding_boxes.csv")
            except AnnotationError:
                stopped[error] += 1
    assert stopped["none"] == stopped["none, rescaled"] == 0
    assert {error: stopped[error] / 100 >= rate for error, rate in FOUND_AT_LEAST.items()} == dict.fromkeys(
        FOUND_AT_LEAST, True
    )


@pytest.mark.parametrize(("side", "proven"), [(1100, False), (1150, False), (1300, True), (1400, True)])
def test_places_that_speak_for_one_frame_but_not_decisively_prove_nothing(side, proven):
    """A likelihood ratio of e^5 is not enough, one of e^9 is."""
    boxes = scaled(films(30, sizes=np.array([(side, side)])))
    if proven:
        assert "prove it" in prove(boxes, said="auto", name="mine.csv").note
    else:
        with pytest.raises(AnnotationError, match="do not prove"):
            prove(boxes, said="auto", name="mine.csv")


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param(scaled(films(13)).head(49), id="one box fewer than fifty"),
        pytest.param(
            scaled(films(60)).with_columns(pl.col("x_min", "y_min", "x_max", "y_max") / 2), id="pixels of 512×512"
        ),
    ],
)
def test_boxes_that_no_frame_explains_well_prove_none(boxes):
    with pytest.raises(AnnotationError, match="do not prove"):
        prove(boxes, said="auto", name="mine.csv")


def test_fifty_boxes_prove_a_frame():
    assert prove(scaled(films(13)).head(50), said="auto", name="mine.csv").frame == "scaled"


def test_one_bad_row_does_not_hide_the_proof_of_a_small_table():
    row = pl.int_range(pl.len()) == 7
    boxes = scaled(films(15)).with_columns(x_max=pl.when(row).then(1500.0).otherwise("x_max"))
    assert prove(boxes, said="auto", name="mine.csv").frame == "scaled"
