"""Nothing that a radiologist did is lost: not by a reload, another page, a dead server, a refusal, or somebody else."""

import os
import shutil
from contextlib import ExitStack

import msgspec
import pytest
from playwright.sync_api import expect

from browser_session import free_port, served
from desk_loop import address, inputs, program  # noqa: F401  fixtures
from desk_window import PATIENCE_MS, opened, written
from radloop.dashboard import drafts
from radloop.feedback import records, reviews
from radloop.feedback.records import Detection
from slow_line import slow
from taxonomies import VINDR

pytestmark = pytest.mark.slow


def drawn(window):
    """A box of a class."""
    window.drag((0.2, 0.3), (0.5, 0.6))
    window.press("9")
    expect(window.rows).to_have_count(1)


def test_reload_in_the_middle_brings_the_image_and_the_draft_back(program, address, inputs):
    with opened(program, address) as window:
        window.open()
        image = window.image
        drawn(window)
        window.press("c")
        window.page.keyboard.type("look at the left apex")
        window.press("Escape", "v")
        expect(window.page.locator(".step")).to_contain_text("2. ")
        boxes = window.boxes()
        window.page.reload()
        window.await_picture()
        expect(window.says).to_have_text("Your draft is back.")
        assert (window.image, window.boxes()) == (image, boxes)
        expect(window.page.get_by_label("Comment", exact=True)).to_have_value("look at the left apex")
        window.press("e")
        window.await_saved()
        (review,) = written(inputs.reviews, VINDR, window.reader)
        assert [box.class_id for box in review.blind_findings] == [8]
        assert (review.comment, review.revealed) == ("look at the left apex", True)
        assert not [name for name in window.kept() if name.endswith(review.feedback_id)]


def test_another_page_and_the_way_back_keep_the_draft(program, address):
    with opened(program, address) as window:
        window.open()
        image = window.image
        drawn(window)
        window.page.goto(f"{address}/labels")
        expect(window.page.get_by_role("heading", name="Labels")).to_be_visible(timeout=PATIENCE_MS)
        window.page.go_back()
        window.await_picture()
        assert window.image == image
        expect(window.rows).to_contain_text(["Nodule/Mass"])


def test_back_shows_the_read_before_and_amends_it(program, address, inputs):
    with opened(program, address) as window:
        window.open()
        image = window.image
        drawn(window)
        window.press("v", "e")
        expect(window.page.locator(".stage .image")).not_to_have_text(image)
        window.await_saved()
        (first,) = written(inputs.reviews, VINDR, window.reader)
        window.page.go_back()
        expect(window.page.locator(".stage .image")).to_have_text(image, timeout=PATIENCE_MS)
        expect(window.page.locator(".step")).to_contain_text("Look again: ")
        window.await_picture()
        assert len(window.boxes()) == len(first.findings)
        window.press("x", "x")
        expect(window.page.locator(".stage .image")).not_to_have_text(image)
        window.await_saved()
        second = written(inputs.reviews, VINDR, window.reader)[-1]
        assert (second.verdict, second.blind_findings) == ("reject", None)
        names = os.listdir(inputs.reviews)
        assert f"{first.feedback_id}.{window.reader}.{second.previous}.json" in names


def test_server_that_dies_in_the_middle_gets_the_verdict_when_it_is_back(program, inputs, tmp_path):
    port = free_port()
    with ExitStack() as life, ExitStack() as window_life:
        address = life.enter_context(served(inputs, tmp_path / "first", port=port))
        window = window_life.enter_context(opened(program, address))
        window.open()
        drawn(window)
        window.press("v")
        feedback_id = window.state("read.item.feedback_id")
        life.close()
        window.press("e")
        expect(window.page.locator(".unsaved")).to_have_text("1 not yet saved")
        life.enter_context(served(inputs, tmp_path / "second", port=port))
        window.await_written(inputs.reviews, 1)
        (review,) = written(inputs.reviews, VINDR, window.reader)
        assert (review.feedback_id, review.findings[0].class_id) == (feedback_id, 8)
        window.await_saved()
        window_life.close()


def test_verdict_that_cannot_be_saved_puts_the_image_back_with_its_boxes(program, address, inputs):
    with opened(program, address) as window:
        window.open()
        image = window.image
        drawn(window)
        aside = inputs.reviews.with_name("aside")
        inputs.reviews.rename(aside)
        inputs.reviews.write_text("a file, not a folder")
        try:
            window.press("v", "e")
            expect(window.page.get_by_role("alert").first).to_contain_text("Not saved", timeout=PATIENCE_MS)
            expect(window.page.locator(".stage .image")).to_have_text(image)
            assert window.boxes()[0]["class_id"] == 8
        finally:
            inputs.reviews.unlink()
            aside.rename(inputs.reviews)
        window.press("e")
        window.await_saved()
        assert len(written(inputs.reviews, VINDR, window.reader)) == 1


def test_browser_that_keeps_nothing_is_told_of_and_still_saves(program, address, inputs):
    with opened(program, address) as window:
        window.page.add_init_script(
            "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"
        )
        window.open()
        drawn(window)
        expect(window.page.get_by_text("No drafts: this browser's storage is full or forbidden")).to_be_visible()
        window.press("v", "e")
        window.await_saved()
        assert len(written(inputs.reviews, VINDR, window.reader)) == 1


def test_two_readers_at_once_get_different_images_and_lose_nothing(program, address, inputs):
    with opened(program, address) as one, opened(program, address) as other:
        seen = []
        for window in (one, other):
            window.open()
        for _ in range(3):
            for window in (one, other):
                image = window.image
                seen.append(image)
                drawn(window)
            for window in (one, other):
                image = window.image
                window.press("v", "e")
                expect(window.page.locator(".stage .image")).not_to_have_text(image)
                window.await_picture()
        for window in (one, other):
            window.await_saved()
            assert len(written(inputs.reviews, VINDR, window.reader)) == 3
        assert len(set(seen)) == 6
    assert reviews.read(inputs.reviews, VINDR).refused.is_empty()


def test_who_opens_an_image_that_another_reads_is_told(program, address):
    with opened(program, address) as one, opened(program, address) as other:
        one.open()
        other.open(feedback=one.state("read.item.feedback_id"))
        assert one.image == other.image
        expect(other.page.get_by_role("note")).to_have_text(f"{one.reader} has this image on the desk, too.")


def test_adjudicator_sees_and_takes_over_the_readers_boxes_and_ends_the_dispute(program, address, inputs):
    with opened(program, address) as first, opened(program, address) as second, opened(program, address) as chief:
        first.open()
        feedback_id = first.state("read.item.feedback_id")
        drawn(first)
        first.press("v", "e")
        first.await_saved()
        second.open(feedback=feedback_id)
        expect(second.page.get_by_role("group", name="Readers")).to_be_hidden()  # a second reader sees nobody's
        second.press("v", "n", "n")
        second.await_saved()
        chief.open()
        chief.page.get_by_label("Worklist", exact=True).select_option(label="Disputed")
        chief.await_state("read.item.feedback_id", feedback_id)
        readers = chief.page.get_by_role("group", name="Readers")
        expect(readers).to_contain_text(f"{first.reader}: corrects")
        expect(readers).to_contain_text(f"{second.reader}: No finding")
        of_first = chief.page.locator(f"g[data-box^='{first.reader}-']")
        shown = of_first.count()
        assert shown >= 1
        readers.get_by_role("button", name=f"{first.reader}: corrects").click()
        expect(of_first).to_have_count(0)
        readers.get_by_role("button", name=f"{first.reader}: corrects").click()
        expect(of_first).to_have_count(shown)
        readers.get_by_role("button", name="Take").click()
        expect(chief.rows).to_have_count(shown)
        chief.press("d")
        expect(chief.page.get_by_label("Final (adjudicated) read")).to_be_checked()
        chief.press("v", "e")
        chief.await_saved()
        (review,) = written(inputs.reviews, VINDR, chief.reader)
        assert review.adjudicates
        assert 8 in [box.class_id for box in review.findings]
        expect(chief.says).to_contain_text("choose another")


def test_slow_line_shows_the_first_picture_and_reveals_without_it(program, address):
    with slow(address) as line, opened(program, line.address) as window:
        window.open()
        before = line.down.carried
        window.press("v")
        expect(window.page.locator(".step")).to_contain_text("2. ")
        assert line.down.carried - before < 20_000
        image = window.image
        took = window.desk.evaluate(
            """async (root) => {
                const before = root.desk.read.item.feedback_id, begun = performance.now();
                await root.desk.picture.ready; root.desk.act('reject'); root.desk.act('reject');
                const isThere = ({read, picture}) =>
                    read && read.item.feedback_id !== before && picture.levels.length;
                while (!isThere(root.desk)) await new Promise(requestAnimationFrame);
                return performance.now() - begun;
            }"""
        )
        print(f"next picture over the slow line after {took:.0f} ms")
        assert window.image != image
        window.await_saved()


def test_feedback_of_39_000_boxes_is_shown_capped_and_said(program, address, inputs):
    path = sorted(inputs.feedback.iterdir())[0]
    feedback = records.decode(path.read_bytes(), VINDR, name=path.name)
    many = [
        Detection(
            class_id=n % 14,
            confidence=round(0.3 + 0.6 * n / 39_000, 5),
            bbox=(round(0.1 + n % 100 / 125, 3), 0.5, 0.1, 0.2),
        )
        for n in range(39_000)
    ]
    top = {"class_id": many[-1].class_id, "confidence": many[-1].confidence, "bbox": many[-1].bbox}
    feedback = msgspec.structs.replace(feedback, detections=many, feedback_id="many", split="production", **top)
    packed = msgspec.json.encode(feedback)  # as short as JSON can be: of more than 4 MB none is read
    (inputs.feedback / f"{feedback.image_id}.many.json").write_bytes(packed)
    with opened(program, address) as window:
        window.open(feedback="many")
        window.press("v")
        expect(window.page.locator(".step")).to_have_text(
            f"2. Compare: the {drafts.MOST_SHOWN} most confident of 39,000 AI findings are shown."
        )
        expect(window.rows).to_have_count(drafts.MOST_SHOWN)
        window.desk.evaluate("(root) => { root.desk.frames.length = 0; root.desk.select(-1); }")
        window.drag((0.02, 0.02), (0.3, 0.3), steps=20)
        frames = sorted(window.desk.evaluate("(root) => root.desk.frames"))
        print(f"a frame of a drag among {drafts.MOST_SHOWN} boxes: median {frames[len(frames) // 2]:.1f} ms")
        expect(window.rows).to_have_count(drafts.MOST_SHOWN + 1)
        window.press("Control+z", "a")
        window.await_saved()
        (review,) = written(inputs.reviews, VINDR, window.reader)
        assert (review.verdict, len(review.findings)) == ("accept", drafts.MOST_SHOWN)
    shutil.rmtree(inputs.out / "cache", ignore_errors=True)
