"""Every gesture and key of the desk, in a real Chromium."""

import pytest
from playwright.sync_api import expect

from desk_loop import address, inputs, program, seat, window  # noqa: F401  fixtures
from desk_window import opened

pytestmark = pytest.mark.slow


def edges(box):
    return [box[name] for name in ("left", "top", "right", "bottom")]


def drawn(window, start=(0.2, 0.3), end=(0.5, 0.6), key="9"):
    """Draw a box of a class, and return it."""
    window.drag(start, end)
    window.press(key)
    return window.boxes()[-1]


def level(window):
    low, high = window.state("window.low"), window.state("window.high")
    return (low + high) / 2, high - low


def test_drag_draws_a_box_that_is_in_the_list_at_once_and_asks_for_its_class(window):
    window.drag((0.2, 0.3), (0.5, 0.6))
    expect(window.rows).to_have_count(1)
    expect(window.page.get_by_role("dialog", name="Class of box 1")).to_be_visible()
    assert edges(window.boxes()[0]) == pytest.approx([0.2, 0.3, 0.5, 0.6], abs=0.01)
    assert window.boxes()[0]["class_id"] is None
    window.press("Escape")  # not yet: the box stays
    expect(window.rows).to_contain_text(["class?"])
    window.rows.get_by_role("button", name="Change the class of 1").click()
    window.page.get_by_role("dialog").get_by_role("button", name="Pneumothorax").click()
    expect(window.rows).to_contain_text(["Pneumothorax"])
    expect(window.page.get_by_role("dialog")).to_have_count(0)


def test_class_that_was_chosen_before_is_the_next_boxs(window):
    window.press("4")
    expect(window.says).to_have_text("The next box is Cardiomegaly.")
    window.drag((0.2, 0.3), (0.5, 0.6))
    expect(window.page.get_by_role("dialog")).to_have_count(0)
    assert window.boxes()[0]["class_id"] == 3
    window.press("q")  # of the box that is selected now
    assert window.boxes()[0]["class_id"] == 10
    window.page.get_by_role("group", name="Classes").get_by_role("button", name="ILD").click()
    assert window.boxes()[0]["class_id"] == 5


def test_box_is_moved_by_its_body_when_selected_and_by_its_rim_when_not(window):
    drawn(window)
    window.drag((0.35, 0.45), (0.45, 0.55))
    assert edges(window.boxes()[0]) == pytest.approx([0.3, 0.4, 0.6, 0.7], abs=0.01)
    window.press("Escape")
    window.drag((0.3, 0.5), (0.2, 0.5))
    assert edges(window.boxes()[0]) == pytest.approx([0.2, 0.4, 0.5, 0.7], abs=0.01)
    assert len(window.boxes()) == 1
    assert window.boxes()[0]["class_id"] == 8


@pytest.mark.parametrize(
    ("handle", "moved"),
    [
        ((0.3, 0.3), (0, 1)), ((0.45, 0.3), (1,)), ((0.6, 0.3), (2, 1)), ((0.6, 0.45), (2,)),
        ((0.6, 0.6), (2, 3)), ((0.45, 0.6), (3,)), ((0.3, 0.6), (0, 3)), ((0.3, 0.45), (0,)),
    ],
    ids=["nw", "n", "ne", "e", "se", "s", "sw", "w"],
)  # fmt: skip
def test_each_of_the_eight_handles_moves_its_own_edges(handle, moved, window):
    drawn(window, (0.3, 0.3), (0.6, 0.6))
    window.drag(handle, (handle[0] + 0.05, handle[1] + 0.05))
    expected = [0.3, 0.3, 0.6, 0.6]
    for edge in moved:
        expected[edge] += 0.05
    assert edges(window.boxes()[0]) == pytest.approx(expected, abs=0.01)


def test_box_in_a_box_can_be_drawn_and_a_click_selects_the_smaller(window):
    drawn(window, (0.2, 0.2), (0.8, 0.8))
    window.press("Escape")
    drawn(window, (0.4, 0.4), (0.6, 0.6), "1")
    assert len(window.boxes()) == 2
    window.click(0.1, 0.9)
    assert window.state("read.selected") == -1
    window.click(0.5, 0.5)
    assert window.state("read.selected") == 1
    window.click(0.3, 0.3)
    assert window.state("read.selected") == 0


def test_click_draws_nothing(window):
    window.click(0.5, 0.5)
    assert window.boxes() == []


def test_undo_and_redo_by_every_key_cover_every_change(window):
    drawn(window)
    window.press("ArrowRight", "ArrowRight", "2", "Delete")
    assert window.boxes() == []
    window.press("Control+z")
    assert window.boxes()[0]["class_id"] == 1
    window.press("Control+z")
    moved = window.boxes()[0]
    assert moved["class_id"] == 8
    window.press("Control+z")  # both steps of the arrow at once
    assert window.boxes()[0]["left"] < moved["left"]
    window.press("Control+z")
    assert window.boxes()[0]["class_id"] is None
    window.press("Control+z", "Control+z")
    assert window.boxes() == []
    window.press("Control+y", "Control+Shift+z", "Control+y")
    assert window.boxes()[0]["left"] == pytest.approx(moved["left"])
    window.page.get_by_role("button", name="Undo").click()
    assert window.boxes()[0]["left"] < moved["left"]
    window.page.get_by_role("button", name="Redo").click()
    assert window.boxes()[0]["left"] == pytest.approx(moved["left"])


@pytest.mark.parametrize("how", ["right", "shift"])
def test_right_or_shift_drag_sets_the_window_and_draws_nothing(how, window):
    before = level(window)
    if how == "shift":
        window.page.keyboard.down("Shift")
    window.drag((0.3, 0.3), (0.5, 0.4), button="right" if how == "right" else "left")
    window.page.keyboard.up("Shift")
    after = level(window)
    assert after[1] > before[1]  # to the right: wider
    assert after[0] < before[0]  # down: brighter
    assert window.boxes() == []
    expect(window.page.locator(".stage .window")).to_contain_text(f"W {round(after[1] * 255)} L")


def test_presets_invert_and_reset_change_what_is_seen(window):
    def mean():
        return window.desk.evaluate(
            """(root) => { const c = root.querySelector('canvas');
            root.desk.dirty = true; root.desk.repaint();
            return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
                const {data} = c.getContext('2d').getImageData(c.width / 2 - 50, c.height / 2 - 50, 100, 100);
                let sum = 0; for (let i = 0; i < data.length; i += 4) sum += data[i];
                done(sum / (data.length / 4)); }))); }"""
        )

    full = mean()
    window.press("i")
    assert mean() == pytest.approx(255 - full, abs=1)
    window.press("i", "p")
    assert window.state("window") != {"low": 0, "high": 1}
    lung = window.page.get_by_role("button", name="Lung", exact=True)
    lung.click()
    bright = mean()
    assert bright > full
    window.press("j")
    assert mean() < bright
    window.press("k", "k")
    assert mean() > bright
    width = level(window)[1]
    window.press("Shift+k")
    assert level(window)[1] > width
    window.press("Shift+j", "Shift+j")
    assert level(window)[1] < width
    window.press("r")
    assert window.state("window") == {"low": 0, "high": 1}
    assert mean() == pytest.approx(full, abs=0.5)


def test_wheel_zooms_at_the_pointer_also_while_drawing(window):
    begin, there = window.at(0.3, 0.3), window.at(0.5, 0.6)
    window.page.mouse.move(*begin)
    window.page.mouse.down()
    window.page.mouse.move(*there, steps=5)
    scale = window.state("view.s")
    window.page.mouse.wheel(0, -300)
    window.await_state("view.s", pytest.approx(scale * 1.2**3))
    assert window.at(0.5, 0.6) == pytest.approx(there, abs=1)
    window.page.mouse.up()
    window.press("1")
    assert edges(window.boxes()[0]) == pytest.approx([0.3, 0.3, 0.5, 0.6], abs=0.01)


@pytest.mark.parametrize("how", ["middle", "Alt", "Space"])
def test_middle_alt_or_space_drag_moves_the_view(how, window):
    window.press("+", "+")
    before = window.state("view")
    if how != "middle":
        window.page.keyboard.down(how)
    window.drag((0.4, 0.4), (0.5, 0.45), button="middle" if how == "middle" else "left")
    if how != "middle":
        window.page.keyboard.up(how)
    after = window.state("view")
    side = before["s"] * window.state("film.w")
    assert after["x"] - before["x"] == pytest.approx(0.1 * side, abs=2)
    assert after["y"] - before["y"] == pytest.approx(0.05 * side, abs=2)
    assert window.boxes() == []


def test_fit_one_to_one_and_zoom_by_keys_and_double_click(window):
    whole = window.state("view")
    window.press("o")
    assert window.state("view.s") == pytest.approx(1)  # 64 px of film, 64 of picture
    expect(window.page.locator(".stage .window")).to_contain_text("100 %")
    window.press("f")
    assert window.state("view") == whole
    window.press("+")
    assert window.state("view.s") > whole["s"]
    window.press("-", "-")
    assert window.state("view.s") < whole["s"]
    window.page.mouse.dblclick(*window.at(0.5, 0.5))
    assert window.state("view") == whole
    window.press("ArrowRight")  # no box is selected: the view
    assert window.state("view.x") < whole["x"]


def test_escape_gives_up_a_drag(window):
    drawn(window)
    before = edges(window.boxes()[0])
    window.page.mouse.move(*window.at(0.35, 0.45))
    window.page.mouse.down()
    window.page.mouse.move(*window.at(0.6, 0.8), steps=4)
    window.press("Escape")
    window.page.mouse.up()
    assert edges(window.boxes()[0]) == pytest.approx(before)
    window.press("Control+z")
    assert window.boxes()[0]["class_id"] is None  # the step before is that of the class


def test_boxes_are_hidden_and_shown(window):
    drawn(window)
    expect(window.page.locator("g[data-box]")).to_have_count(1)
    window.press("h")
    expect(window.page.locator("g[data-box]")).to_have_count(0)
    window.press("h")
    expect(window.page.locator("g[data-box]")).to_have_count(1)


def test_box_on_the_film_has_the_number_and_name_that_the_list_has(window):
    drawn(window)
    drawn(window, (0.6, 0.6), (0.8, 0.8), "1")
    expect(window.page.locator("g[data-box] text")).to_have_text(["1 Nodule/Mass", "2 Aortic enlargement"])
    expect(window.rows.locator(".number")).to_have_text(["1", "2"])
    window.rows.get_by_role("button", name="Delete 1", exact=True).click()
    expect(window.page.locator("g[data-box] text")).to_have_text(["1 Aortic enlargement"])


def test_keys_are_listed_set_kept_and_reset(window):
    window.press("?")
    dialog = window.page.get_by_role("dialog", name="Keys and gestures")
    expect(dialog).to_be_visible()
    actions = window.desk.evaluate("(root) => root.desk.keys.actions.map(({title}) => title)")
    expect(dialog.locator("tbody").first.locator("th")).to_have_text(actions)
    button = dialog.get_by_role("button", name="Key of: Invert")
    button.click()
    window.press("v")
    expect(dialog.get_by_role("status")).to_contain_text('V is already "Show AI findings"')
    button.click()
    window.press("z")
    expect(button).to_have_text("Z")
    window.press("Escape")
    expect(dialog).to_be_hidden()
    window.press("z")
    assert window.state("inverted")
    window.press("i")
    assert window.state("inverted")
    assert window.kept()[f"radloop.keys.{window.reader}"] == '{"invert":"z"}'
    window.press("?")
    dialog.get_by_role("button", name="Reset all keys").click()
    dialog.get_by_role("button", name="Close").click()
    window.press("i")
    assert not window.state("inverted")


def test_no_key_fires_while_text_is_typed_and_none_writes_into_text(window):
    image = window.image
    window.press("c")
    expect(window.page.get_by_label("Comment", exact=True)).to_be_focused()
    window.page.keyboard.type("vaenxs123?")
    expect(window.page.get_by_label("Comment", exact=True)).to_have_value("vaenxs123?")
    assert window.image == image
    assert not window.state("read.revealed")
    window.press("Escape", "v")
    expect(window.page.get_by_label("Comment", exact=True)).to_have_value("vaenxs123?")
    expect(window.page.locator(".step")).to_contain_text("2. ")


def test_focus_is_in_no_field_that_the_person_did_not_choose(program, address):
    with opened(program, address) as other:
        other.page.goto(f"{address}/review")
        expect(other.page.get_by_label("Reader ID", exact=True)).to_be_visible()
        fields = ("INPUT", "TEXTAREA", "SELECT")
        assert not other.focused().startswith(fields)
        other.open()
        for keys in (("b",), ("9",), ("v",), ("e",), ("s",)):
            other.press(*keys)
            assert not other.focused().startswith(fields), keys
        other.await_picture()
        assert not other.focused().startswith(fields)
        before = other.image
        other.press("s")  # and so the next key is a command
        expect(other.page.locator(".stage .image")).not_to_have_text(before)


def test_touch_one_finger_pans_two_zoom_and_the_tool_draws(program, address):
    with opened(program, address, has_touch=True) as tablet:
        tablet.open()
        cdp = tablet.page.context.new_cdp_session(tablet.page)

        def touch(kind, *points):
            spots = [{"x": x, "y": y, "id": at} for at, (x, y) in enumerate(points)]
            cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

        def finger(start, end):
            (ax, ay), (bx, by) = tablet.at(*start), tablet.at(*end)
            touch("touchStart", (ax, ay))
            for step in range(1, 6):
                touch("touchMove", (ax + (bx - ax) * step / 5, ay + (by - ay) * step / 5))
            touch("touchEnd")

        before = tablet.state("view")
        finger((0.4, 0.4), (0.5, 0.5))
        after = tablet.state("view")
        assert after["x"] - before["x"] == pytest.approx(0.1 * before["s"] * tablet.state("film.w"), abs=2)
        assert tablet.boxes() == []
        (ax, ay), (bx, by) = tablet.at(0.4, 0.4), tablet.at(0.6, 0.6)
        touch("touchStart", (ax, ay))
        touch("touchStart", (ax, ay), (bx, by))
        for step in range(1, 6):
            touch("touchMove", (ax - 10 * step, ay - 10 * step), (bx + 10 * step, by + 10 * step))
        touch("touchEnd")
        apart = (bx - ax + 100) / (bx - ax)
        assert tablet.state("view.s") == pytest.approx(after["s"] * apart, rel=0.02)
        assert tablet.boxes() == []
        tablet.page.get_by_role("button", name="Draw").tap()
        tablet.press("f")
        finger((0.2, 0.2), (0.5, 0.5))
        expect(tablet.rows).to_have_count(1)
        assert edges(tablet.boxes()[0]) == pytest.approx([0.2, 0.2, 0.5, 0.5], abs=0.01)
        tablet.page.get_by_role("dialog").get_by_role("button", name="Nodule/Mass").tap()
        tablet.page.get_by_role("button", name="Draw").tap()
        finger((0.5, 0.5), (0.6, 0.6))  # a handle of the selected box
        assert edges(tablet.boxes()[0]) == pytest.approx([0.2, 0.2, 0.6, 0.6], abs=0.01)
        touch("touchStart", tablet.at(0.9, 0.9))
        touch("touchEnd")
        assert tablet.state("read.selected") == -1
        touch("touchStart", tablet.at(0.3, 0.3))
        touch("touchEnd")
        assert tablet.state("read.selected") == 0


def test_everything_can_be_done_by_keyboard_alone(program, address):
    with opened(program, address) as keys:
        keys.page.goto(f"{address}/review")
        expect(keys.page.get_by_label("Reader ID", exact=True)).to_be_visible()
        for _ in range(60):
            if keys.focused().startswith("INPUT"):
                break
            keys.press("Tab")
        keys.page.keyboard.type(keys.reader)
        keys.press("Enter")
        keys.await_picture()
        keys.press("b")
        before = edges(keys.boxes()[0])
        keys.press("ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown", "Control+ArrowRight", "9")
        left, top, right, bottom = (now - then for now, then in zip(edges(keys.boxes()[0]), before, strict=True))
        assert left == pytest.approx(0, abs=1e-9)  # left by one, the edge right by one
        assert top < 0
        assert right == pytest.approx(0, abs=1e-9)
        assert bottom == pytest.approx(0, abs=1e-9)
        keys.press("Control+ArrowUp", "Control+ArrowDown", "Shift+ArrowUp", "Shift+ArrowLeft")
        assert edges(keys.boxes()[0])[2] < before[2]
        keys.press("b", "1", ",")
        assert keys.state("read.selected") == 0
        keys.press(".")
        assert keys.state("read.selected") == 1
        keys.press("/")
        for _ in range(3):
            keys.press("Tab")
        keys.press("Enter")  # the button of the fourth class
        assert keys.boxes()[1]["class_id"] == 3
        image = keys.image
        keys.press("v")
        expect(keys.page.locator(".step")).to_contain_text("2. ")
        keys.press("e")
        expect(keys.page.locator(".stage .image")).not_to_have_text(image)
        keys.await_saved()
