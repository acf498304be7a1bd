"""Many rounds of new patients, reviews and versions: nobody is ever in training and in what measures the model."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.catalog import heldout, version
from radloop.catalog.version import Earlier
from radloop.dataset import additions, incoming, splits
from radloop.dataset.incoming import LINKS
from radloop.feedback import guard
from radloop.pipelines.versions.continuing import Continued
from radloop.pipelines.versions.joining import Joining
from radloop.split_sizes import SplitSizes
from radloop.tables import ANNOTATIONS, FEEDBACK, HELD_OUT, INCOMING
from taxonomies import VINDR
from test_incoming import NOON

SIZES = SplitSizes.parse("training=6,validation=2,test=2,staging=1,canary=1,production=4")


class Hospital:
    """A dataset, what came in, and whose every picture is; only tables, no file."""

    def __init__(self) -> None:
        self.patient: dict[str, int] = {}
        self.annotations = ANNOTATIONS.to_frame()
        self.incoming = INCOMING.to_frame()
        self.was_audit: set[str] = set()
        self.was_held_out: dict[str, str] = {}

    def images(self) -> pl.DataFrame:
        return version.images(self.annotations, self.incoming)

    def links(self) -> pl.DataFrame:
        return pl.DataFrame(
            {"image_id": list(self.patient), "value": [f"p{one}" for one in self.patient.values()]}, schema=LINKS
        )

    def named(self, patients: list[int]) -> list[str]:
        ids = [f"i{len(self.patient) + at:03}" for at in range(len(patients))]
        self.patient |= dict(zip(ids, patients, strict=True))
        return ids

    def come_in(self, patients: list[int]) -> None:
        ids = self.named(patients)
        new = pl.DataFrame([{"image_id": one, "md5": one, "arrived_at": NOON} for one in ids], schema=INCOMING)
        places = version.images(self.annotations).select("image_id", "group", "split")
        every = pl.concat([self.incoming, new])
        self.incoming = incoming.decide(every, places, [self.links()], audit_share=0.3, lineage="a lineage")

    def trainable(self) -> list[str]:
        """What the guard lets train."""
        images = self.images()
        feedback = pl.DataFrame(
            [{"feedback_id": one, "image_id": one, "image_md5": one} for one in images["image_id"]], schema=FEEDBACK
        )
        judged = guard.judge(feedback, images)
        return judged.filter(pl.col("held_out").is_null())["image_id"].sort().to_list()

    def next_version(self, source: list[int], reviewed: set[str], also: set[int]) -> None:
        """The next version, with new pictures of the source, some that came in `also`, and what was reviewed."""
        came = [one for at, one in enumerate(self.incoming["image_id"].sort()) if at in also]
        own = self.named(source) + came
        before = self.annotations
        here = Joining(self.incoming, Path(), Path(), "")
        continued = Continued()
        if before.height:
            continued = Continued(Earlier("v", VINDR, before, heldout.of_annotations(before), {}, {}))
        settled = here.assignment(continued)
        adds = reviewed - additions.withheld(settled).keys()
        split = dict(version.images(before).select("image_id", "split").iter_rows())
        moved = frozenset(one for one in adds if split.get(one) != "training")
        ids = sorted({*before["image_id"], *own, *adds})
        findings = pl.DataFrame(
            [{"image_id": one, "rad_id": "R1", "class_id": None, "used": True, "md5": one} for one in ids],
            schema=ANNOTATIONS,
        )
        patients = self.links().filter(pl.col("image_id").is_in(ids))
        assignment = splits.assign(
            findings,
            splits.group(
                findings["image_id"], patients=patients.rename({"value": "patient"}), duplicates=_no_duplicates()
            ).groups,
            SIZES,
            VINDR,
            seed=0,
            previous=settled,
            links=[self.links(), here.groups],
            move=moved,
        )
        self.annotations = findings.drop("split", "group").join(assignment, on="image_id").select(ANNOTATIONS.names())


def _no_duplicates() -> pl.DataFrame:
    return pl.DataFrame(schema={"image_id": pl.String, "group": pl.String})


def check(hospital: Hospital) -> None:
    images = hospital.images()
    by_patient: dict[int, set[str]] = {}
    for image_id, split in images.select("image_id", "split").iter_rows():
        by_patient.setdefault(hospital.patient[image_id], set()).add(split)
        if image_id in hospital.was_audit:
            assert split == "audit"
        assert hospital.was_held_out.get(image_id, split) == split
        if split == "audit":
            hospital.was_audit.add(image_id)
        elif split in HELD_OUT:
            hospital.was_held_out[image_id] = split
    for patient, found in by_patient.items():
        assert not ("training" in found and found & {"audit", *HELD_OUT}), (patient, found)
        assert len(found & {"training", *HELD_OUT}) <= 1, (patient, found)


patients = st.integers(0, 30)
played = st.tuples(
    st.lists(patients, min_size=1, max_size=8),  # who comes in
    st.lists(patients, max_size=3),  # who is new in the source
    st.sets(st.integers(0, 60), max_size=20),  # which of all images are reviewed
    st.sets(st.integers(0, 30), max_size=3),  # which of those that came in stand in the source, too
    st.booleans(),  # whether the table was changed, so that it names also what may not train
)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=14, max_size=18), st.lists(played, min_size=2, max_size=4))
def test_nobody_is_ever_in_training_and_in_what_measures(first, rounds):
    hospital = Hospital()
    hospital.next_version(first, set(), set())
    check(hospital)
    for came, source, chosen, also, is_tampered in rounds:
        hospital.come_in(came)
        check(hospital)
        trainable = list(hospital.patient) if is_tampered else hospital.trainable()
        reviewed = {one for at, one in enumerate(trainable) if at in chosen}
        before = hospital.annotations
        hospital.next_version(source, reviewed, also)
        check(hospital)
        if not is_tampered:
            after = dict(version.images(hospital.annotations).select("image_id", "split").iter_rows())
            assert {after[one] for one in reviewed} <= {"training"}
        for image_id, split in version.images(before).select("image_id", "split").iter_rows():
            now = hospital.annotations.filter(image_id=image_id)["split"][0]
            assert now == split or (split, now) == ("production", "training")
