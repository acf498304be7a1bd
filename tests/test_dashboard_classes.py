"""Every page shows the classes of its dataset: seven of the spine, one alone, three hundred, and odd names."""

import json
import time

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

import taxonomies
import written_loop
from app_pages import PAGES, every_choice, every_view, opened, said
from radloop import tree
from radloop.dashboard import figures, loading
from radloop.options import Dashboard
from radloop.taxonomy import NOTHING, Taxonomy

ONE = Taxonomy(("Fracture",))
MANY = Taxonomy(tuple(f"finding {number:03}" for number in range(300)))
ODD = Taxonomy(
    (
        "any",
        "5",
        "2024-01-01",
        "**bold**: #1, \"quoted\" 'twice'",
        "<script>alert(1)</script>",
        "Überlagerung, 骨折 [x](http://elsewhere.example)",
        "a name that is far too long for the axis of any chart, and goes on and on until nobody reads it any more",
    )
)
LONGEST_PX = 5_000  # of a chart
LONGEST_SECONDS = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes a loop of some classes, once."""
    loops: dict[Taxonomy, Dashboard] = {}

    def make(classes: Taxonomy, images: int = 48) -> Dashboard:
        if classes not in loops:
            loops[classes] = written_loop.run(tmp_path_factory.mktemp("loop"), classes, images=images)
        return loops[classes]

    return make


def names_on(test: AppTest) -> set[str]:
    """Every name in a table or a select box of the page."""
    found = {option for box in [*test.selectbox, *test.multiselect] for option in box.options}
    for frame in test.dataframe:
        for name in ("class_name", "class_a_name", "class_b_name"):
            if name in frame.value.columns:
                found |= set(frame.value[name].dropna())
    return found


def heights(test: AppTest) -> list[int]:
    return [json.loads(chart.proto.spec)["layout"].get("height", 0) for chart in test.get("plotly_chart")]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("classes", [taxonomies.SPINE, ONE, ODD], ids=["seven", "one", "odd"])
def test_page_shows_every_view(page, classes, made):
    for test in every_choice(opened(page, made(classes))):
        assert test.error == []
        assert not set(taxonomies.VINDR.names) & names_on(test)
        assert "VinBigData" not in said(test)


@pytest.mark.parametrize("page", ["labels", "heatmaps", "images", "feedback"])
def test_page_names_every_class_of_its_dataset(page, made):
    test = opened(page, made(taxonomies.SPINE))
    assert names_on(test) >= set(taxonomies.SPINE.names)


@pytest.mark.parametrize("page", PAGES)
def test_page_of_three_hundred_classes_is_quick_and_no_chart_is_endless(page, made):
    inputs = made(MANY, images=360)
    began = time.monotonic()
    for test in every_choice(opened(page, inputs)):
        assert test.error == []
        assert max(heights(test), default=0) < LONGEST_PX
        assert time.monotonic() - began < LONGEST_SECONDS
        began = time.monotonic()


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("labels", "The 40 most frequent of 300 classes; the data below has all."),
        ("readers", "The 40 most frequent of"),
        ("retraining", "The 40 most frequent of 300 classes; the data below has all."),
    ],
)
def test_chart_of_many_classes_says_which_it_shows(page, sentence, made):
    test = opened(page, made(MANY, images=360))
    assert sentence in said(test)


def test_table_below_a_chart_of_many_classes_has_all(made):
    test = opened("labels", made(MANY, images=360))
    assert set(test.dataframe[0].value["class_name"]) == {*MANY.names, NOTHING}


def test_the_most_frequent_are_shown_in_their_own_order():
    counts = pl.DataFrame({"name": [f"{n:03}" for n in range(100)], "images": [n % 50 for n in range(100)]})
    shown, sentence = figures.most(counts, of="name", size="images", what="classes")
    assert shown["name"].is_sorted()
    assert shown.height == figures.MOST_ROWS
    assert shown["images"].min() == 30
    assert sentence == "The 40 most frequent of 100 classes; the data below has all."


def test_what_is_no_class_is_shown_and_not_counted():
    names = [f"{n:03}" for n in range(100)]
    counts = pl.DataFrame({"name": [*names, NOTHING], "images": [*range(100), 0]})
    shown, sentence = figures.most(counts, of="name", size="images", what="classes", besides=(NOTHING,))
    assert shown["name"].to_list() == [*names[60:], NOTHING]
    assert "of 100 classes" in sentence


def test_few_are_shown_whole_and_nothing_is_said():
    counts = pl.DataFrame({"name": ["a", "b"], "images": [0, 0]})
    shown, sentence = figures.most(counts, of="name", size="images", what="classes")
    assert shown.equals(counts)
    assert sentence == ""


def test_feedback_alone_has_the_default_classes_and_says_so(made):
    alone = Dashboard(feedback=made(taxonomies.VINDR).feedback)
    test = opened("feedback", alone)
    assert "read as VinBigData's (Aortic enlargement, Atelectasis, Calcification and 11 more)" in said(test)
    assert set(taxonomies.VINDR.names) <= names_on(test)


def test_feedback_of_a_class_that_the_dataset_has_not_is_refused(made):
    parts = made(taxonomies.VINDR), made(ONE)
    test = opened("feedback", Dashboard(dataset=parts[1].dataset, feedback=parts[0].feedback))
    assert "feedback files cannot be used" in said(test)


@pytest.mark.slow
def test_markdown_and_tags_in_a_class_stay_text(made):
    for page in PAGES:
        for test in every_view(opened(page, made(ODD))):
            written = "\n".join(part.value for part in [*test.markdown, *test.caption, *test.warning, *test.info])
            assert "](http" not in written
            assert "<script>" not in written
            for chart in test.get("plotly_chart"):
                assert "<script>" not in chart.proto.spec


def test_names_that_look_like_numbers_are_names_on_an_axis():
    data = pl.DataFrame({"class_name": ["5", "2024-01-01"], "images": [1, 2]})
    figure = figures.bars(data, of="class_name", value="images", title="images")
    assert figure.layout.yaxis.type == "category"


def test_dataset_whose_summary_is_damaged_is_refused(made, tmp_path):
    dataset = written_loop.run(tmp_path, ONE).dataset
    (dataset / tree.SUMMARY).write_text('{"classes": ["a", "A"]}')
    assert "is damaged" in said(opened("labels", Dashboard(dataset=dataset)))


def test_table_of_other_classes_names_them(made):
    found = loading.dataset(made(taxonomies.SPINE).dataset / tree.BOXES)
    assert found.taxonomy == taxonomies.SPINE
