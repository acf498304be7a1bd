"""What a dataset tells of itself is counted in its own tables."""

import dataclasses

import polars as pl
import pytest

import exports
from radloop.dataset.export import card


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return exports.organized(tmp_path_factory.mktemp("loop"))


def test_figures_of_the_card_are_those_of_the_tables(dataset):
    chosen = exports.read(dataset)
    told = card.responsible(chosen)
    rows = chosen.annotations
    busiest = rows.group_by("rad_id").len()["len"].max() / rows.height
    found = rows.filter(pl.col("class_id").is_not_null())["image_id"].n_unique() / rows["image_id"].n_unique()
    assert told["rai:annotationsPerItem"] == "2 readings an image"
    assert f"the busiest wrote {busiest:.0%} of the rows" in told["rai:dataBiases"][0]
    assert told["rai:dataBiases"][1].startswith(f"{found:.0%} of the images have a finding")
    assert told["rai:dataAnnotationProtocol"][0].startswith("3 readers each drew")
    assert "program" in told["rai:dataCollection"]
    assert "The images are synthetic" in card.description(chosen)


def test_dataset_that_nobody_has_read_says_so(dataset):
    chosen = exports.read(dataset)
    unread = dataclasses.replace(chosen, annotations=chosen.annotations.with_columns(source=pl.lit("prediction")))
    told = card.responsible(unread)
    assert told["rai:dataBiases"] == ["No reader has seen the images."]
    assert told["rai:machineAnnotationTools"][0].startswith(f"{chosen.annotations.height} rows")


def test_source_that_is_not_made_up_is_named_and_not_explained(dataset):
    taken = dataclasses.replace(exports.read(dataset), source="folder")
    assert card.responsible(taken)["rai:dataCollection"].startswith("Taken over from folder")
    assert "The images are synthetic" not in card.description(taken)
