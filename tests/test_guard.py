"""Held-out pictures are recognised by whatever name and in whatever file they come."""

import polars as pl
import pytest

from radloop.feedback import guard
from radloop.tables import FEEDBACK

MD5 = "0" * 31
IMAGES = pl.DataFrame(
    [
        ("train1", "training", "train1", MD5 + "1", "00000000000000ff"),
        ("prod1", "production", "prod1", MD5 + "2", "000000000000ff00"),
        ("test1", "test", "test1", MD5 + "3", "0000000000ff0000"),
        ("canary1", "canary", "canary1", MD5 + "4", "00000000ff000000"),
        ("odd", "production", "canary1", MD5 + "5", "000000ff00000000"),
    ],
    schema=["image_id", "split", "group", "md5", "phash"],
    orient="row",
)


def judge(image_id: str, **known: str) -> dict[str, str | None]:
    row = {"feedback_id": "f", "image_id": image_id, **known}
    feedback = pl.DataFrame([row], schema=dict.fromkeys(FEEDBACK, pl.String))
    return guard.judge(feedback, IMAGES).select(guard.JUDGED).row(0, named=True)


@pytest.mark.parametrize(
    ("image_id", "known", "held_out", "code"),
    [
        pytest.param("test1", {}, "test", "image", id="its id"),
        pytest.param("TEST1", {}, "test", "id", id="another case"),
        pytest.param("test1.png", {}, "test", "id", id="an ending in the id"),
        pytest.param("Test1.JPEG", {}, "test", "id", id="another case and ending"),
        pytest.param(" test1.dcm.gz", {}, "test", "id", id="a blank and two endings"),
        pytest.param("test1_R8", {}, "test", "reading", id="a reader in the id"),
        pytest.param("test1_R8.png", {}, "test", "reading", id="a reader and an ending"),
        pytest.param("odd", {}, "canary", "group", id="its group"),
        pytest.param("copy", {"image_md5": MD5 + "3"}, "test", "picture", id="a renamed copy"),
        pytest.param("prod1", {"image_md5": MD5 + "3"}, "test", "picture", id="a copy under the name of another image"),
        pytest.param(
            "prod1", {"image_phash": "0000000000ff0003"}, "test", "likeness", id="a near-duplicate by its hash"
        ),
        pytest.param(
            "new",
            {"image_md5": MD5 + "9", "image_phash": "0000000000ff0001"},
            "test",
            "likeness",
            id="a renamed near-duplicate",
        ),
        pytest.param("prod1", {"split": "staging"}, "staging", "elsewhere", id="the feedback says so itself"),
    ],
)
def test_held_out_picture_is_recognised(image_id, known, held_out, code):
    judged = judge(image_id, **known)
    assert (judged["held_out"], judged["code"]) == (held_out, f"held-out-{code}")


@pytest.mark.parametrize(
    ("image_id", "known"),
    [
        pytest.param("prod1", {}, id="bare"),
        pytest.param("train1", {"split": "training"}, id="training"),
        pytest.param("prod1", {"image_md5": MD5 + "2", "image_phash": "0000000000ff0000"}, id="the dataset's own file"),
        pytest.param("prod1", {"image_md5": MD5 + "8", "image_phash": "0000000000ff0007"}, id="three bits away"),
        pytest.param("prod1", {"split": "production"}, id="says production"),
    ],
)
def test_other_picture_is_not(image_id, known):
    judged = judge(image_id, **known)
    assert judged["other_picture"] is (known.get("image_md5") == MD5 + "8")
    assert judged["held_out"] is None
    assert judged["split"] is not None


def test_image_that_the_dataset_does_not_know_has_no_split_and_a_reason():
    assert judge("stranger") == {
        "split": None,
        "held_out": None,
        "code": "image-unknown",
        "evidence": "the dataset has no image of this id",
        "other_picture": False,
    }


def test_what_feedback_says_of_its_split_never_clears_it():
    assert judge("test1", split="production")["held_out"] == "test"


def test_order_of_feedback_and_of_images_does_not_matter():
    rows = [{"feedback_id": str(n), "image_id": name} for n, name in enumerate(("test1", "odd", "nobody", "prod1"))]
    feedback = pl.DataFrame(rows, schema=dict.fromkeys(FEEDBACK, pl.String))
    one = guard.judge(feedback, IMAGES)
    other = guard.judge(feedback.reverse(), IMAGES.reverse())
    assert one.equals(other.reverse())
    assert one["feedback_id"].to_list() == ["0", "1", "2", "3"]


def told(*images: tuple) -> pl.DataFrame:
    """Feedback as (image, MD5, hash)."""
    rows = [
        {"feedback_id": f"f{number}", "image_id": image_id, "image_md5": md5, "image_phash": phash}
        for number, (image_id, md5, phash) in enumerate(images)
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(FEEDBACK, pl.String))


@pytest.mark.parametrize("at_once", [1, 3, 7, 2**22])
def test_every_look_alike_is_found_however_few_are_compared_at_once(monkeypatch, at_once):
    monkeypatch.setattr(guard, "_AT_ONCE", at_once)
    near = [(f"near{bit}", MD5 + "9", f"{0xFF0000 ^ 1 << bit:016x}") for bit in range(40)]
    far = [(f"far{bit}", MD5 + "9", f"{0xFF0000 ^ 7 << bit:016x}") for bit in range(40)]
    judged = guard.judge(told(*near, *far), IMAGES)
    assert judged["held_out"].to_list() == ["test"] * 40 + [None] * 40
    assert set(judged["code"]) == {"held-out-likeness", "image-unknown"}


def test_look_alike_is_held_out_by_the_nearest_picture():
    near_canary = "00000000ff000001"
    judged = guard.judge(told(("x", MD5 + "9", near_canary), ("y", MD5 + "9", "0000000000ff0001")), IMAGES)
    assert judged["held_out"].to_list() == ["canary", "test"]


def test_image_of_the_dataset_is_itself_though_a_held_out_one_is_called_alike():
    others = pl.DataFrame(
        [("TEST1", "production", "TEST1", MD5 + "6", "0" * 16), ("test1_R8", "production", "o", MD5 + "7", "0" * 16)],
        schema=IMAGES.schema,
        orient="row",
    )
    judged = guard.judge(told(("TEST1", None, None), ("test1_R8", None, None)), pl.concat([IMAGES, others]))
    assert judged["held_out"].to_list() == [None, None]


def test_what_is_surest_is_the_evidence():
    judged = judge("test1", image_md5=MD5 + "4", image_phash="0000000000ff0000", split="staging")
    assert (judged["held_out"], judged["code"]) == ("test", "held-out-image")
    judged = judge("prod1", image_md5=MD5 + "4", image_phash="0000000000ff0000", split="staging")
    assert (judged["held_out"], judged["code"]) == ("canary", "held-out-picture")


def test_each_feedback_is_judged_by_what_it_says_itself():
    judged = guard.judge(told(("prod1", MD5 + "2", None), ("prod1", MD5 + "3", None), ("prod1", None, None)), IMAGES)
    assert judged["held_out"].to_list() == [None, "test", None]
    assert judged["feedback_id"].to_list() == ["f0", "f1", "f2"]


def test_images_without_a_hash_or_a_sum_hold_nothing_out():
    bare = IMAGES.with_columns(md5=pl.lit(None, pl.String), phash=pl.lit(None, pl.String))
    assert guard.judge(told(("prod1", None, None), ("x", None, "0" * 16)), bare)["held_out"].to_list() == [None, None]
