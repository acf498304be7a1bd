"""Worklists: which images wait for whose eyes, whatever the order of rows; and claims, from any number of threads."""

import dataclasses
import hashlib
import shutil
import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import written_loop
from radloop import options
from radloop.catalog import version
from radloop.feedback import audit, reviews, suspects, worklists
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.feedback.worklists import KINDS, Claims
from radloop.pipelines import explaining, reviewing
from radloop.tables import (
    CLASS_ID,
    DETECTIONS,
    FEEDBACK,
    HELD_OUT,
    REFUSED_FILES,
    REVIEW_FINDINGS,
    REVIEWS,
    WAITING,
    WORKLIST,
)
from taxonomies import VINDR

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
READERS = ("ann", "bob", "eve")
SEED = 3
NOBODY = pl.DataFrame(schema={"image_id": pl.String, "rad_id": pl.String, "class_id": CLASS_ID})


def drawn(image_id: str, share: float) -> bool:
    """Whether the lot of the plan falls on the image, written out again."""
    digest = hashlib.md5(f"read twice {SEED} {image_id}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48 < share


# an image that is to be read twice where half of them are, and one that is not
TWICE, ONCE = (next(f"i{n}" for n in range(99) if drawn(f"i{n}", 0.5) is wanted) for wanted in (True, False))


def judged(*said: tuple) -> pl.DataFrame:
    """Feedback as (id, image, split), a minute after each other; nothing was found."""
    rows = [
        {
            "feedback_id": name,
            "image_id": image_id,
            "timestamp": NOON + timedelta(minutes=minute),
            "confidence": 0.5,
            "split": split,
        }
        for minute, (name, image_id, split) in enumerate(said)
    ]
    held = pl.when(pl.col("split").is_in(HELD_OUT)).then("split")
    return pl.DataFrame(rows, schema=FEEDBACK).with_columns(held_out=held, other_picture=pl.lit(value=False))


def reviewed(*said: tuple, known: pl.DataFrame, owed: tuple = ()) -> Reviews:
    """Reviews as (reader, feedback, verdict, adjudicates, simulated), an hour after each other, all on any feedback."""
    image = dict(known.select("feedback_id", "image_id").iter_rows())
    rows = [
        {
            "review_id": f"{hour:016x}",
            "feedback_id": feedback_id,
            "image_id": image[feedback_id],
            "reviewer": reader,
            "verdict": verdict,
            "timestamp": NOON + timedelta(hours=hour + 1),
            "adjudicates": final,
            "simulated": simulated,
            "file": f"{feedback_id}.{reader}.{hour:016x}.json",
        }
        for hour, (reader, feedback_id, verdict, final, simulated) in enumerate(said)
    ]
    unreadable = [(feedback_id, f"{feedback_id}.{reader}.0.json") for feedback_id, reader in owed]
    return Reviews(
        pl.DataFrame(rows, schema=REVIEWS),
        REVIEW_FINDINGS.to_frame(),
        REFUSED_FILES.to_frame(),
        pl.DataFrame(unreadable, schema=WAITING, orient="row"),
    )


def work(known: pl.DataFrame, said: Reviews, share: float = 0.5, *, held_out: bool = False) -> pl.DataFrame:
    waits = worklists.waiting(known, said, DETECTIONS.to_frame(), seed=SEED, read_twice=share, held_out=held_out)
    records = Records(known.match_to_schema(FEEDBACK, extra_columns="ignore"), DETECTIONS.to_frame(), said.refused)
    return worklists.ordered(waits, records, NOBODY, seed=SEED)


def lists(reader: str, all_work: pl.DataFrame, **asked) -> dict[str, list[str]]:
    return {kind: worklists.worklist(kind, reader, all_work, **asked)["feedback_id"].to_list() for kind in KINDS}


def of(*said: tuple, images: tuple = (("f", ONCE, "production"),), reader: str = "ann", share: float = 0.5, **asked):
    """The lists that the one feedback `f` is in, as a set of their names."""
    known = judged(*images)
    return {
        kind
        for kind, names in lists(reader, work(known, reviewed(*said, known=known), share), **asked).items()
        if names
    }


ANN, ANN_NO = ("ann", "f", "normal", False, False), ("ann", "f", "reject", False, False)
BOB, BOB_NO = ("bob", "f", "normal", False, False), ("bob", "f", "reject", False, False)
FINAL = ("eve", "f", "normal", True, False)
ON_TWICE = {"images": (("f", TWICE, "production"),)}
OPEN = {"all", "next"}


@pytest.mark.parametrize(
    ("said", "asked", "found"),
    [
        pytest.param([], {}, {*OPEN, "unread"}, id="nobody has read it"),
        pytest.param([], {"busy": [ONCE]}, {"all"}, id="somebody else has it on the desk"),
        pytest.param([], {"mine": [ONCE]}, {*OPEN, "unread", "mine"}, id="begun"),
        pytest.param([BOB], {}, set(), id="settled by one"),
        pytest.param([BOB], ON_TWICE, {*OPEN, "twice"}, id="settled by one, planned for two"),
        pytest.param([ANN], ON_TWICE, {"all"}, id="the second reader is somebody else"),
        pytest.param([ANN], ON_TWICE | {"mine": [TWICE]}, {"all"}, id="also where the first has it open again"),
        pytest.param([ANN], ON_TWICE | {"share": 0.0}, set(), id="nothing is read twice"),
        pytest.param([ANN, BOB], ON_TWICE, set(), id="both have read it"),
        pytest.param([FINAL], ON_TWICE, set(), id="a final read needs no second"),
        pytest.param(
            [("S-1", "f", "normal", False, True)], ON_TWICE, {*OPEN, "twice"}, id="after a simulated first reader"
        ),
        pytest.param(
            [("S-1", "f", "normal", False, True), ANN], ON_TWICE, {"all"}, id="who does not count beside a person"
        ),
        pytest.param([BOB, FINAL[:1] + BOB_NO[1:]], {}, {*OPEN, "disputed"}, id="two others differ"),
        pytest.param([BOB, ("eve", *BOB_NO[1:])], {"adjudicates": False}, {"all"}, id="for those who may adjudicate"),
        pytest.param([ANN, BOB_NO], {}, {"all", "disputed", "mine"}, id="another differs from me"),
        pytest.param([ANN, BOB_NO], {"adjudicates": False}, {"all", "mine"}, id="and I may not adjudicate"),
        pytest.param([BOB_NO, ANN], {}, {"all"}, id="I differ, and it moves on"),
        pytest.param([BOB, ANN_NO, BOB, ANN_NO, BOB], {}, {"all", "disputed", "mine"}, id="they go on"),
        pytest.param([BOB, ANN_NO, FINAL], {}, set(), id="adjudicated"),
        pytest.param([BOB, ANN_NO, ANN], {}, set(), id="I amend, and agree"),
    ],
)
def test_feedback_is_in_the_lists_of_its_state(said, asked, found):
    assert of(*said, **asked) == found


def test_review_that_cannot_be_read_waits_for_its_reader_and_for_who_adjudicates():
    known = judged(("f", ONCE, "production"))
    waits = work(known, reviewed(known=known, owed=[("f", "ann")]))
    assert {kind for kind, names in lists("ann", waits, adjudicates=False).items() if names} == {"all", "mine"}
    assert {kind for kind, names in lists("bob", waits).items() if names} == {*OPEN, "disputed"}


def test_held_out_images_are_listed_only_where_asked_for_and_marked():
    known = judged(("f", ONCE, "test"), ("g", TWICE, "production"))
    assert work(known, reviewed(known=known))["feedback_id"].to_list() == ["g"]
    asked = work(known, reviewed(known=known), held_out=True)
    assert sorted(asked.select("feedback_id", "held_out").rows()) == [("f", "test"), ("g", None)]


def test_second_reader_is_given_the_feedback_that_the_first_has_read():
    known = judged(("f", TWICE, "production"), ("later", TWICE, "production"))
    assert lists("ann", work(known, reviewed(BOB, known=known)))["twice"] == ["f"]


def test_lot_draws_the_share_of_the_images_and_not_those_of_the_audit():
    known = judged(*((f"f{n}", f"i{n}", "production") for n in range(1000)))
    said = reviewed(*(("bob", f"f{n}", "normal", False, False) for n in range(1000)), known=known)
    second = work(known, said, 0.1)
    assert 70 < second.height < 130
    assert second.filter(kind="lot").height < 30


@st.composite
def worlds(draw):
    """Some feedback on few images, some reviews of it, and how many images are to be read twice."""
    places = st.tuples(st.sampled_from([ONCE, TWICE, "a", "b"]), st.sampled_from(["production", "training", "test"]))
    split = dict(draw(st.lists(places, min_size=1, max_size=4)))
    images = draw(st.lists(st.sampled_from(sorted(split)), min_size=1, max_size=6))
    known = judged(*((f"f{n}", image, split[image]) for n, image in enumerate(images)))
    one = st.tuples(
        st.sampled_from([*READERS, "S-1"]),
        st.sampled_from(known["feedback_id"].to_list()),
        st.sampled_from(["normal", "reject"]),
        st.booleans(),
    )
    said = draw(st.lists(one, max_size=10))
    return known, [(*review[:3], review[3] and review[0] == "eve", review[0] == "S-1") for review in said]


def newest(said: list[tuple], feedback_id: str) -> dict[str, tuple]:
    """The review of each reader that counts, in the order of time."""
    each = {}
    for review in said:
        if review[1] == feedback_id:
            each.pop(review[0], None)
            each[review[0]] = review
    return {reader: review for reader, review in each.items() if not review[4]} or each


def expected(known: pl.DataFrame, said: list[tuple]) -> dict[str, tuple[str, list[str], str | None]]:
    """{feedback: (state, readers of its image, who spoke last)} by the words of the documentation, one by one."""
    waits = {}
    for (image_id,), of_image in known.filter(pl.col("held_out").is_null()).group_by("image_id"):
        counting = {one: newest(said, one) for one in of_image["feedback_id"]}
        every = [review for each in counting.values() for review in each.values()]
        every = [review for review in every if not review[4]] or every
        readers = sorted({review[0] for review in every})
        states = {}
        for one, each in counting.items():
            final = any(review[3] for review in each.values())
            differ = len({review[2] for review in each.values()}) > 1
            states[one] = "unread" if not each else "disputed" if differ and not final else "settled"
        again = len(readers) == 1 and drawn(image_id, 0.5) and not any(review[3] for review in every)
        if "settled" in states.values() and not again:
            continue
        state = next(state for state in ("disputed", "settled", "unread") if state in states.values())
        chosen = [one for one in of_image["feedback_id"] if states[one] == state][-1]
        last = next((reader for reader in reversed(counting[chosen])), None)
        waits[chosen] = ("second" if state == "settled" else state, readers, last)
    return waits


@settings(max_examples=40)
@given(worlds(), st.sampled_from(READERS), st.booleans())
def test_every_image_that_waits_is_in_exactly_the_lists_of_its_state(world, reader, adjudicates):
    known, said = world
    found = lists(reader, work(known, reviewed(*said, known=known)), adjudicates=adjudicates)
    waits = expected(known, said)
    in_words = {
        "all": set(waits),
        "unread": {one for one, (state, *_) in waits.items() if state == "unread"},
        "twice": {one for one, (state, readers, _) in waits.items() if state == "second" and reader not in readers},
        "disputed": {
            one for one, (state, _, last) in waits.items() if state == "disputed" and last != reader and adjudicates
        },
        "mine": {
            one
            for one, (state, readers, last) in waits.items()
            if state == "disputed" and reader in readers and last != reader
        },
        "suspects": set(),  # nobody has read these images outside the loop
    }
    untouched = {one for one in in_words["disputed"] if reader not in waits[one][1]}
    in_words["next"] = in_words["unread"] | in_words["twice"] | untouched
    assert {kind: set(names) for kind, names in found.items()} == in_words
    assert all(len(names) == len(set(names)) for names in found.values())


@settings(max_examples=25)
@given(worlds(), st.sampled_from(READERS))
def test_nobody_is_given_what_they_have_said_something_of(world, reader):
    known, said = world
    given_next = lists(reader, work(known, reviewed(*said, known=known)))["next"]
    image = dict(known.select("feedback_id", "image_id").iter_rows())
    spoke = {image[feedback_id] for who, feedback_id, *_ in said if who == reader}
    assert not spoke & {image[one] for one in given_next}


@settings(max_examples=15)
@given(worlds(), st.randoms())
def test_lists_do_not_depend_on_the_order_of_rows(world, random):
    known, said = world
    read = reviewed(*said, known=known)
    one = work(known, read)
    shuffled = known.sample(fraction=1.0, shuffle=True, seed=random.randrange(99))
    other = work(shuffled, dataclasses.replace(read, reviews=read.reviews.reverse()))
    assert one.equals(other)
    assert one.schema == WORKLIST
    places = worklists.worklist("next", "ann", one)["place"].to_list()
    assert places == [*range(1, len(places) + 1)]


class Clock:
    """A time that passes when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_image_on_a_desk_is_not_given_to_another():
    claims = Claims()
    assert claims.first(["a", "b"], "ann") == "a"
    assert claims.first(["a", "b"], "bob") == "b"
    assert claims.first(["a", "b"], "eve") is None
    assert claims.claim("a", "bob") == "ann"
    assert claims.claim("a", "ann") is None
    assert (claims.of("ann"), claims.others("ann")) == (["a"], ["b"])


def test_two_sessions_of_one_reader_get_different_images():
    claims = Claims()
    assert claims.first(["a", "b"], "ann", "tab 1") == "a"
    assert claims.first(["a", "b"], "ann", "tab 2") == "b"
    assert claims.claim("a", "ann", "tab 2") == "ann"
    assert claims.of("ann") == ["a", "b"]
    assert claims.others("ann", "tab 2") == ["a"]


def test_claim_ends_with_its_time_unless_it_is_renewed():
    clock = Clock()
    claims = Claims(10, clock)
    claims.claim("a", "ann")
    clock.now = 9
    assert claims.claim("a", "ann") is None
    clock.now = 18
    assert claims.claim("a", "bob") == "ann"
    clock.now = 19
    assert claims.others("bob") == []
    assert claims.claim("a", "bob") is None
    assert claims.claim("a", "ann") == "bob"


def test_claim_is_given_back_by_who_has_it_alone():
    claims = Claims()
    claims.claim("a", "ann")
    claims.release("a", "bob")
    assert claims.claim("a", "bob") == "ann"
    claims.release("a", "ann")
    assert claims.claim("a", "bob") is None


@settings(max_examples=20)
@given(st.integers(2, 8), st.integers(1, 12))
def test_no_two_threads_ever_have_the_same_image(sessions, images):
    claims, start, got = Claims(), threading.Barrier(sessions), []

    def read(session):
        start.wait()
        while (
            image := claims.first([f"i{n}" for n in range(images) if f"i{n}" not in mine(session)], "ann", session)
        ) is not None:
            got.append((image, session))

    def mine(session):
        return {image for image, who in got if who == session}

    threads = [threading.Thread(target=read, args=(f"s{n}",)) for n in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(image for image, _ in got) == sorted(f"i{n}" for n in range(images))
    assert len(claims.of("ann")) == images


@pytest.fixture(scope="module")
def doubted(tmp_path_factory):
    """A loop in which a detector and the readers differ on many images."""
    return written_loop.run(tmp_path_factory.mktemp("loop"), VINDR, images=240).out


def review(out, **told) -> pl.DataFrame:
    return reviewing.review(options.Review(out=out, queue=True, **told)).queue


@pytest.mark.slow
def test_suspects_are_unread_images_with_readers_that_the_lot_has_not_drawn(doubted):
    listed, everything = review(doubted, worklist="suspects"), review(doubted)
    known = version.read(doubted)
    assert listed.height > 3
    assert listed["suspected"].to_list() == sorted(listed["suspected"], reverse=True)
    assert listed["kind"].to_list() == listed["suspicion"].to_list()
    assert set(listed["kind"]) <= set(suspects.KINDS)
    assert set(listed["state"]) == {"unread"}
    assert listed.join(known.readings, on="image_id", how="anti").is_empty()
    assert (audit.lots(listed["image_id"], 0) >= audit.SHARE).all()
    assert set(listed["feedback_id"]) == set(everything.drop_nulls("suspicion")["feedback_id"])
    assert everything.filter(kind="lot")["suspicion"].null_count() == everything.filter(kind="lot").height
    assert set(listed["feedback_id"]) == set(review(doubted, worklist="suspects", order="random")["feedback_id"])
    assert review(doubted, worklist="suspects", reader="ann").columns == [
        "place", "feedback_id", "image_id", "state", "held_out"
    ]  # fmt: skip


@pytest.mark.slow
def test_share_of_suspects_in_the_queue_is_the_one_that_was_asked_for(doubted):
    for share, places in ((0.0, 0), (0.5, 4)):
        kinds = review(doubted, suspect_share=share)["kind"].head(10)
        assert kinds.is_in(suspects.KINDS).sum() >= places
        assert share or not kinds.is_in(suspects.KINDS).any()


@pytest.mark.slow
def test_labels_are_suspected_no_more_once_somebody_has_read_the_image(doubted, tmp_path):
    first = review(doubted, worklist="suspects").row(0, named=True)
    shutil.copytree(doubted, tmp_path / "out")
    read = reviews.Review(
        feedback_id=first["feedback_id"],
        image_id=first["image_id"],
        reviewer="ann",
        verdict="normal",
        findings=[],
        timestamp="2026-11-01T12:00:00+00:00",
    )
    reviews.write(tmp_path / "out" / "reviews", read, VINDR)
    assert first["image_id"] not in review(tmp_path / "out", worklist="suspects", read_twice=1.0)["image_id"]


@pytest.mark.slow
def test_who_has_no_feedback_of_a_known_detector_is_told_what_it_takes(doubted, tmp_path):
    shutil.copytree(doubted, tmp_path / "out")
    known = version.read(tmp_path / "out").images.filter(pl.col("split").is_in(["validation", "test"]))["image_id"]
    for path in (tmp_path / "out" / "feedback").iterdir():
        if path.name.split(".")[0] in known:
            path.unlink()
    queued = reviewing.review(options.Review(out=tmp_path / "out", queue=True, worklist="suspects"))
    assert queued.queue.is_empty()
    assert "radloop simulate --splits validation,test" in queued.notes[0]


@pytest.mark.slow
def test_explain_says_the_place_that_the_queue_says(doubted):
    waits = review(doubted, order="yield")
    for place in (0, waits.height - 1):
        row = waits.row(place, named=True)
        asked = options.Explain(out=doubted, store=str(doubted / "none"), asked=row["image_id"], order="yield")
        (node,) = [part for part in explaining.explain(asked).tree.parts if "order" in part.facts]
        assert f"place {place + 1} of {waits.height} of the order yield, by {row['kind']}" in node.text
        assert {name: row[name] for name in ("place", "kind", "state", "suspicion")}.items() <= node.facts.items()
