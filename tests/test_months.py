"""The model on this hospital's audit images: by what people read there blind, month by month, and never by a guess."""

from datetime import UTC, datetime

import polars as pl
import pytest

from feedback_files import rich
from radloop.feedback import guard, months, reading, records, reviews
from radloop.feedback.reviews import Finding, Review
from taxonomies import VINDR

MD5 = "0" * 32
BOX = (0.5, 0.5, 0.2, 0.4)
ELSEWHERE = (0.2, 0.2, 0.1, 0.1)


def image(image_id: str, split: str = "audit", group: str | None = None) -> tuple[str | None, ...]:
    return image_id, split, group or image_id, MD5, None


def review(image_id: str, **changes) -> Review:
    told = {
        "feedback_id": f"f-{image_id}",
        "image_id": image_id,
        "reviewer": "reader-1",
        "verdict": "correct",
        "findings": [Finding(class_id=3, bbox=BOX)],
        "timestamp": "2026-11-23T10:00:00+00:00",
    }
    return Review(**told | changes)


class Hospital:
    """Feedback on audit images, and what people said."""

    def __init__(self, folder, images: list[tuple[str | None, ...]], said: list[Review]) -> None:
        columns = ["image_id", "split", "group", "md5", "phash"]
        self.images = pl.DataFrame(images, schema=dict.fromkeys(columns, pl.String), orient="row")
        (folder / "feedback").mkdir()
        for image_id, *_ in images:
            own = rich(image_id=image_id, feedback_id=f"f-{image_id}", split="audit", image_phash=None)
            records.write(folder / "feedback", own)
        (folder / "reviews").mkdir()
        for one in said:
            reviews.write(folder / "reviews", one, VINDR)
        self.found = reading.read(folder / "feedback", VINDR)
        self.judged = guard.judge(self.found.feedback, self.images)
        self.said = reviews.read(folder / "reviews", VINDR)

    def readings(self, **options) -> pl.DataFrame:
        return months.readings(self.found, self.judged, self.said, self.images, **options)


def drawn(table: pl.DataFrame) -> list[tuple]:
    return table.select("image_id", "rad_id", "class_id").rows()


def test_truth_is_the_blind_read_but_for_a_final_one(tmp_path):
    blind, other = [Finding(class_id=5, bbox=ELSEWHERE)], [Finding(class_id=3, bbox=BOX)]
    said = [
        review("a", blind_findings=blind, findings=other, revealed=True),
        review("b", blind_findings=[], findings=other, revealed=True),
        review("c", findings=other),
        review("d", blind_findings=blind, findings=other, revealed=True, adjudicates=True),
    ]
    hospital = Hospital(tmp_path, [image(one) for one in "abcde"], said)
    assert drawn(hospital.readings()) == [
        ("a", "reader-1", 5),
        ("b", "reader-1", None),
        ("c", "reader-1", 3),
        ("d", "reader-1", 3),
    ]


@pytest.mark.parametrize(
    ("images", "said", "simulated"),
    [
        pytest.param([image("a", "test")], [review("a")], True, id="not of the audit"),
        pytest.param([image("a")], [review("a", simulated=True)], False, id="simulated, and the dataset is not"),
        pytest.param([image("a")], [review("a", verdict="reject", findings=None)], True, id="rejected"),
        pytest.param([image("a", group="g"), image("b", "training", "g")], [review("a")], True, id="its group trains"),
        pytest.param([image("a")], [review("a", feedback_id="f-other")], True, id="of feedback that is not there"),
    ],
)
def test_what_is_no_truth_of_an_audit_image_is_left_out(tmp_path, images, said, simulated):
    assert Hospital(tmp_path, images, said).readings(simulated=simulated).is_empty()


def test_persons_go_before_simulated_readers(tmp_path):
    said = [review("a", reviewer="S-R1", simulated=True), review("a", verdict="normal", findings=[])]
    assert drawn(Hospital(tmp_path, [image("a")], said).readings(simulated=True)) == [("a", "reader-1", None)]


def test_months_are_those_of_arrival_and_too_few_is_said_with_null(tmp_path):
    ids = [f"i{number:02}" for number in range(30)]
    right = [Finding(class_id=3, bbox=BOX)]
    wrong = [Finding(class_id=3, bbox=ELSEWHERE)]
    said = [review(one, findings=right if at < 24 else wrong) for at, one in enumerate(ids[:26])]
    hospital = Hospital(tmp_path, [image(one) for one in ids], said)
    came = [datetime(2026, 9 if at < 24 else 10, 5, tzinfo=UTC) for at in range(30)]
    arrived = pl.DataFrame({"image_id": ids, "arrived_at": came})
    table = months.of(hospital.found, hospital.judged, hospital.readings(), arrived, VINDR)
    rows = {row["month"]: row for row in table.iter_rows(named=True)}
    assert list(rows) == ["2026-09", "2026-10", None]
    assert (rows["2026-09"]["images"], rows["2026-09"]["read"], rows["2026-09"]["ap"]) == (24, 24, pytest.approx(1))
    assert rows["2026-09"]["ap_low"] is not None
    assert (rows["2026-10"]["images"], rows["2026-10"]["read"], rows["2026-10"]["ap"]) == (6, 2, 0)
    assert rows["2026-10"]["ap_low"] is None
    assert rows[None]["read"] == 26


def test_month_that_nobody_has_read_has_no_figure(tmp_path):
    hospital = Hospital(tmp_path, [image("a")], [])
    arrived = pl.DataFrame({"image_id": ["a"], "arrived_at": [datetime(2026, 9, 5, tzinfo=UTC)]})
    row = months.of(hospital.found, hospital.judged, hospital.readings(), arrived, VINDR).row(0, named=True)
    assert (row["images"], row["read"], row["ap"]) == (1, 0, None)
