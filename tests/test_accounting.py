"""What a version tells of itself is what was asked, and where its pictures come from."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from radloop.catalog.classes import wishes
from radloop.dataset.plan import Ancestry
from radloop.errors import UsageError
from radloop.options import Transform
from radloop.pipelines.versions import accounting
from radloop.sources.raw import RawData
from radloop.tables import INCOMING


def account(**asked):
    data = RawData("folder", Path("train.csv"), "auto", None, Path("pictures"))
    valid = SimpleNamespace(frame="original", rejected="refused", lost="lost")
    ancestry = Ancestry("lineage", None), {}
    chosen, renamed = Transform(**asked), wishes(None, ("A=B",))
    return accounting.account(data, chosen, renamed, valid, {"worst": 1}, ancestry, INCOMING.to_frame())


def test_settings_are_those_that_were_asked_for():
    told = account(seed=7, min_readers=2).settings
    assert (told["seed"], told["min_readers"], told["boxes"], told["map"]) == (7, 2, "original", {"a": "B"})
    assert "judge" not in told
    assert account(judge="consensus").settings["judge"] == "consensus"


def test_source_proof_and_what_was_left_out_are_passed_on():
    told = account()
    assert (told.source, told.proof, told.rejected, told.lost) == ("folder", {"worst": 1}, "refused", "lost")
    assert (told.ancestry.lineage, told.recipe, told.radiographs) == ("lineage", None, None)


def test_labels_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="--labels consensus with --judge per-reader"):
        accounting.labelling(Transform(labels="consensus", judge="per-reader"))
