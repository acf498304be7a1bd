"""The page Review: which image comes to whom, what the desk is told of it, and what becomes of a verdict."""

import dataclasses
import json
import shutil
from pathlib import Path

import msgspec
import polars as pl
import pytest
from streamlit.runtime.context import ContextProxy, StreamlitHeaders

import small_loop
import written_loop
from desk_page import Desk, desk  # noqa: F401  the fixture
from radloop.dashboard import drafts, loading, loop
from radloop.dashboard.pages import review
from radloop.feedback import listing, records, reviews
from radloop.feedback.orders import ORDERS
from radloop.feedback.records import Detection
from radloop.options import Dashboard
from radloop.vindr.classes import TAXONOMY as VINDR

pytestmark = pytest.mark.usefixtures("desk")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A loop that no test changes."""
    return written_loop.run(tmp_path_factory.mktemp("loop"), VINDR)


@pytest.fixture
def copied(made, tmp_path):
    """The same to be changed."""
    out = tmp_path / "out"
    shutil.copytree(made.out, out)
    parts = dataclasses.asdict(made)
    moved = {name: out / value.relative_to(made.out) for name, value in parts.items() if isinstance(value, Path)}
    return Dashboard(**parts | moved)


def waiting(inputs: Dashboard) -> pl.DataFrame:
    """WORKLIST of everybody."""
    found = loading.dataset(inputs.dataset)
    said, reviewed = loading.feedback(inputs.feedback, found.taxonomy), loading.reviews(inputs.reviews, found.taxonomy)
    return loop.queued(found, said, reviewed, inputs.seed, inputs.read_twice)


def written(inputs: Dashboard) -> set[str]:
    """The names of all reviews."""
    return set(listing.names(inputs.reviews))


def newest(inputs: Dashboard, before: set[str]) -> reviews.Review:
    """The one review more."""
    (name,) = written(inputs) - before
    return reviews.decode((inputs.reviews / name).read_bytes(), VINDR, name=name)


def test_nobody_is_shown_an_image_before_the_reader_is_known(made):
    window = Desk(made, reader=None)
    assert (window.told["reader"], window.item) == (None, None)
    assert window.say("begin", reader="Dr. House", tab="t")["wrong"].startswith("A Reader ID has")
    assert window.item is None
    assert window.say("begin", reader="reader-7", tab="t")["wrong"] == ""
    assert window.item is not None


@pytest.mark.parametrize("verdict", ["accept", "normal", "reject"])
def test_verdict_is_a_file_of_its_own_and_the_next_image_comes(verdict, copied):
    window, before = Desk(copied), written(copied)
    first, following = window.item, window.told["next"]
    told = window.decide(verdict)
    review = newest(copied, before)
    assert (review.verdict, review.reviewer, review.simulated) == (verdict, "reader-7", False)
    assert (review.feedback_id, review.seconds_blind, review.seconds_total) == (first["feedback_id"], 3.5, 7.25)
    assert told["item"]["feedback_id"] == following["feedback_id"]
    assert told["refused"] is None


@pytest.mark.slow
def test_desk_is_told_what_is_suspected_and_which_box_is_meant_but_for_images_of_the_lot(tmp_path):
    inputs = written_loop.run(tmp_path, VINDR, images=240)
    window = Desk(inputs)
    told = window.say("worklist", worklist="suspects")
    waits = waiting(inputs).drop_nulls("suspicion").sort("suspected", descending=True)
    assert told["worklist"]["left"] == waits.height
    assert (told["worklist"]["order"], told["worklist"]["says"]) == ("queue", ORDERS["queue"].says)
    assert told["item"]["feedback_id"] == waits["feedback_id"][0]
    why = told["item"]["why"]
    assert why["kind"] == waits["suspicion"][0]
    assert why["says"].startswith(why["kind"])
    assert all(0 <= side <= 1 for side in why["bbox"])
    lot = waiting(inputs).filter(kind="lot")["feedback_id"][0]
    assert Desk(inputs, feedback=lot, reader="other").item["why"] is None


def test_message_that_comes_again_is_acted_on_once(copied):
    window, before = Desk(copied), written(copied)
    window.decide("normal", id="the-same")
    sent = window.page.session_state["saying"]
    for again in (window, Desk(copied)):  # the second after a reload, in a session of its own
        assert "the-same" in again.say(**sent)["taken"]
    newest(copied, before)


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["accept", "correct", "normal", "reject"])
def test_message_that_comes_again_to_another_server_writes_no_second_review(copied, verdict):
    window, before = Desk(copied), written(copied)
    findings = [{"class_id": 2, "bbox": [0.5, 0.5, 0.2, 0.2]}]
    window.decide(verdict, **({"findings": findings} if verdict == "correct" else {}), comment="once")
    review._answers.clear()  # the server was killed and started again
    told = window.say(**window.page.session_state["saying"])
    assert told["refused"] is None
    newest(copied, before)
    window.say(**window.page.session_state["saying"] | {"id": "another", "seconds_total": 9.5})
    assert len(written(copied) - before) == 2  # read once more, it is another review


@pytest.mark.slow
def test_comment_with_half_a_letter_is_saved(copied):
    window, before = Desk(copied), written(copied)
    assert window.decide("normal", comment="lung \ud83e")["refused"] is None
    assert newest(copied, before).comment == "lung ?"


@pytest.mark.slow
def test_session_that_another_person_came_back_to_signs_nothing_for_the_one_before(copied, monkeypatch):
    named = {"X-Remote-User": "anna"}
    monkeypatch.setattr(ContextProxy, "headers", property(lambda _: StreamlitHeaders(named.items())))
    window = Desk(dataclasses.replace(copied, auth="header:X-Remote-User"))
    before, read_by_anna = written(copied), window.item["feedback_id"]
    named["X-Remote-User"] = "ben"
    told = window.decide("normal")
    assert (told["reader"], told["item"]["feedback_id"]) == ("ben", read_by_anna)
    assert "signed by anna, and ben is at the desk" in told["refused"]["error"]
    assert written(copied) == before


def test_verdict_before_it_is_known_who_speaks_is_not_taken_and_so_comes_again(copied):
    window, before = Desk(copied), written(copied)
    sent = {"id": "early", "kind": "verdict", "feedback_id": window.item["feedback_id"], "reader": "reader-7"}
    sent |= {"verdict": "normal", "findings": [], "blind_findings": [], "revealed": False, "seconds_blind": 1.0}
    sent |= {"seconds_total": 1.0, "comment": "", "adjudicates": False}
    again = Desk(copied, reader=None)  # after the server was started anew
    assert again.say(**sent)["taken"] == []
    again.say("begin", reader="reader-7", tab="t")
    assert "early" in again.say(**sent)["taken"]
    assert newest(copied, before).verdict == "normal"


def test_verdict_that_cannot_be_saved_is_said_and_the_image_stays(copied):
    window = Desk(copied)
    first = window.item["feedback_id"]
    told = window.decide("correct", findings=[{"class_id": 99, "bbox": [0.5, 0.5, 0.1, 0.1]}])
    assert "class_id 99 is unknown" in told["refused"]["error"]
    assert told["refused"]["feedback_id"] == told["item"]["feedback_id"] == first
    assert told["refused"]["id"] in told["taken"]


def test_folder_that_cannot_be_written_is_said(copied):
    window = Desk(copied)
    shutil.rmtree(copied.reviews)
    copied.reviews.write_text("a file, not a folder")
    told = window.say("verdict", feedback_id=window.item["feedback_id"])
    assert told["refused"] is not None


@pytest.mark.slow
def test_desk_begins_with_what_the_seed_of_the_setting_puts_first(made):
    def first(seed):
        return waiting(dataclasses.replace(made, seed=seed))["feedback_id"][0]

    other = next(seed for seed in range(100) if first(seed) != first(0))  # whose lot falls on that of seed 0
    for seed in (0, other):
        loop.claims.clear()
        assert Desk(dataclasses.replace(made, seed=seed)).item["feedback_id"] == first(seed)


@pytest.mark.slow
def test_nothing_but_the_ai_findings_tells_what_the_model_thinks(copied):
    silent = {"class_id": VINDR.nothing, "confidence": 0.8, "bbox": None, "detections": []}
    later = records.Feedback(image_id="image047", timestamp="2026-01-02T18:00:00Z", feedback_id="silent", **silent)
    records.write(copied.feedback, later)
    window, told = Desk(copied), set()
    for _ in range(waiting(copied).height):
        mine = dict(window.item)
        shown = [mine.pop(name) for name in ("shown", "more", "feedback_id", "image_id", "jpg", "png")]
        assert isinstance(shown[0], list)
        rest = {name: value for name, value in window.told.items() if name not in ("item", "next", "taken")}
        told.add(json.dumps([mine, rest], default=str))
        window.say("skip", feedback_id=window.item["feedback_id"])
    assert len(told) == 1


@pytest.mark.slow
def test_skipped_image_comes_again_when_all_others_have_been_seen(made):
    window = Desk(made)
    seen = [window.item["feedback_id"]]
    for _ in range(waiting(made).height):
        window.say("skip", feedback_id=window.item["feedback_id"])
        seen.append(window.item["feedback_id"])
    assert seen[0] == seen[-1]
    assert len(set(seen)) == len(seen) - 1


@pytest.mark.slow
def test_two_readers_are_not_given_the_same_image(made):
    one, other = Desk(made, "reader-1"), Desk(made, "reader-2")
    on_desks = [window.told[place]["image_id"] for window in (one, other) for place in ("item", "next")]
    assert len(set(on_desks)) == 4
    opened_by_address = Desk(made, "reader-3", feedback=one.item["feedback_id"])
    assert opened_by_address.item["image_id"] == on_desks[0]
    assert "reader-1 has this image on the desk, too" in opened_by_address.told["notice"]


@pytest.mark.slow
def test_reload_finds_the_image_on_the_desk_and_another_tab_of_the_reader_does_not_take_it(made):
    window = Desk(made)
    first = window.item["feedback_id"]
    reloaded = Desk(made, feedback=first)
    assert (reloaded.item["feedback_id"], reloaded.told["notice"]) == (first, "")
    other = Desk(made, reader=None)
    assert other.say("begin", reader="reader-7", tab="another")["item"]["feedback_id"] != first


def test_address_that_names_no_feedback_is_said(made):
    window = Desk(made, feedback="nowhere")
    assert "There is no feedback nowhere" in window.told["notice"]


@pytest.mark.slow
def test_held_out_image_says_so_before_the_read(made):
    found = loading.dataset(made.dataset)
    said = loading.feedback(made.feedback, found.taxonomy)
    held = loop.judged(found, said).filter(pl.col("held_out") == "test")["feedback_id"][0]
    assert Desk(made, feedback=held).item["held_out"] == "test"
    assert Desk(made).item["held_out"] is None


@pytest.mark.slow
def test_very_many_boxes_are_capped_and_counted(copied):
    path = sorted(copied.feedback.iterdir())[0]
    feedback = records.decode(path.read_bytes(), VINDR, name=path.name)
    one = Detection(class_id=5, confidence=0.9, bbox=(0.3, 0.3, 0.1, 0.1))
    top = {"class_id": one.class_id, "confidence": one.confidence, "bbox": one.bbox}
    many = msgspec.structs.replace(feedback, detections=[one] * 1500, feedback_id="many", **top)
    records.write(copied.feedback, many)
    item = Desk(copied, feedback="many").item
    assert (len(item["shown"]), item["more"]) == (drafts.MOST_SHOWN, 1500)


def disputed(inputs: Dashboard) -> str:
    """The id of a feedback that two readers have judged differently."""
    feedback_id, image_id = waiting(inputs).row(0, named=True)["feedback_id"], waiting(inputs)["image_id"][0]
    for reader, verdict, findings in (("reader-1", "normal", []), ("reader-2", "correct", [(0.5, 0.5, 0.2, 0.2)])):
        review = reviews.Review(
            feedback_id=feedback_id,
            image_id=image_id,
            reviewer=reader,
            verdict=verdict,
            findings=[reviews.Finding(class_id=4, bbox=bbox) for bbox in findings],
            timestamp="2026-01-02T12:00:00+00:00",
        )
        reviews.write(inputs.reviews, review, VINDR)
    return feedback_id


@pytest.mark.slow
def test_adjudicator_sees_the_readers_of_a_disputed_image_and_nobody_else_does(copied):
    feedback_id = disputed(copied)
    chosen = dataclasses.replace(copied, adjudicators=("chief",))
    item = Desk(chosen, "chief", feedback=feedback_id).item
    assert item["may_adjudicate"]
    made_up = reviews.Review(
        feedback_id=feedback_id,
        image_id=item["image_id"],
        reviewer="S-R1",
        verdict="normal",
        findings=[],
        timestamp="2026-01-02T13:00:00+00:00",
        simulated=True,
    )
    reviews.write(copied.reviews, made_up, VINDR)  # is not heard beside people
    item = Desk(chosen, "chief", feedback=feedback_id).item
    assert [(reader["name"], reader["said"]) for reader in item["readers"]] == [
        ("reader-1", "No finding"),
        ("reader-2", "corrects, 1 box"),
    ]
    assert item["readers"][1]["findings"] == [[4, 0.5, 0.5, 0.2, 0.2]]
    third = Desk(chosen, "reader-3", feedback=feedback_id).item
    assert (third["may_adjudicate"], third["readers"]) == (False, [])


@pytest.mark.slow
def test_final_read_settles_and_another_moves_on(copied):
    feedback_id = disputed(copied)
    window = Desk(copied, "chief")
    window.say("worklist", worklist="disputed")
    assert window.item["feedback_id"] == feedback_id
    assert window.decide("normal")["item"] is None  # it is still disputed, and not shown once more
    assert "choose another" in window.told["empty"]
    other = Desk(copied, "second-chief")
    other.say("worklist", worklist="disputed")
    other.decide("normal", adjudicates=True)
    assert feedback_id not in waiting(copied)["feedback_id"]


@pytest.mark.slow
def test_read_of_before_is_shown_again_and_amended(copied):
    window, before = Desk(copied), written(copied)
    feedback_id = window.item["feedback_id"]
    box = {"class_id": 2, "bbox": [0.5, 0.5, 0.2, 0.2]}
    window.decide("correct", findings=[box], comment="early")
    (first,) = written(copied) - before
    again = Desk(copied, feedback=feedback_id)
    assert again.item["mine"] == {
        "verdict": "correct", "comment": "early", "revealed": True, "findings": [[2, 0.5, 0.5, 0.2, 0.2]],
    }  # fmt: skip
    again.decide("normal", blind_findings=None, seconds_blind=None)
    assert newest(copied, before | {first}).previous == first.split(".")[2]


@pytest.mark.slow
def test_what_is_simulated_is_marked(tmp_path):
    assert "hospital and feedback" in Desk(small_loop.run(tmp_path)).told["simulated"]
