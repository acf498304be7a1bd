"""The desk to the eye: sizes, shape, zoomed browsers, contrast, names for a screen reader, depth, and its speed."""

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

import small_loop
import written_loop
from browser_session import chromium, served
from desk_loop import program  # noqa: F401  fixture
from desk_window import opened
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR

pytestmark = pytest.mark.slow

SIZES = ((1280, 720), (1440, 900), (1920, 1080), (1024, 768))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A loop of radiographs that are not square."""
    chromium()
    return small_loop.run(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def address(small, tmp_path_factory):
    with served(small, tmp_path_factory.mktemp("server") / "log") as found:
        yield found


@pytest.fixture(scope="module")
def plenty(tmp_path_factory):
    """The address of a desk with enough to read for several windows."""
    inputs = written_loop.run(tmp_path_factory.mktemp("loop"), VINDR, images=96)
    with served(inputs, tmp_path_factory.mktemp("server") / "log") as found:
        yield found


@pytest.fixture(scope="module")
def window(program, address):
    with opened(program, address) as found:
        found.open()
        yield found


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_film_is_whole_in_its_true_shape_beside_the_controls(size, window):
    width, height = size
    window.page.set_viewport_size({"width": width, "height": height})
    stage = window.page.locator(".stage")
    panel = window.page.locator(".panel").bounding_box()
    window.page.wait_for_function(
        "(height) => [...document.querySelectorAll('*')].map((one) => one.shadowRoot?.querySelector('.stage'))"
        ".find(Boolean).getBoundingClientRect().bottom === height",
        arg=height,
    )
    area, view, film = stage.bounding_box(), window.state("view"), window.state("film")
    shown = film["w"] * view["s"], film["h"] * view["s"]
    share = shown[0] * shown[1] / (width * height)
    most = min(width / film["w"], height / film["h"]) ** 2 * film["w"] * film["h"] / (width * height)
    print(f"{width}×{height}: the film takes {share:.0%} of the window; alone on it, it would take {most:.0%}")
    assert view["x"] >= -0.01
    assert view["y"] >= -0.01
    assert shown[0] <= area["width"] + 0.01
    assert shown[1] <= area["height"] + 0.01
    assert area["width"] * area["height"] / (width * height) > 0.68
    assert share > 0.65 * most  # what a wide film leaves to the panel at 1024 pixels; of a tall one it is 0.88
    assert shown == pytest.approx((area["width"], shown[1])) or shown == pytest.approx((shown[0], area["height"]))
    assert panel["x"] >= area["x"] + area["width"]
    scrolls = window.page.evaluate("document.documentElement.scrollHeight > innerHeight")
    assert not scrolls
    for name in ("Accept", "Correct", "No finding", "Not readable", "Show AI findings", "Skip"):
        box = window.page.get_by_role("button", name=name).first.bounding_box()
        assert 0 <= box["y"] < box["y"] + box["height"] <= height, name
        assert box["x"] + box["width"] <= width, name
    cut = window.page.locator(".toolbar").evaluate("(bar) => bar.scrollWidth > bar.clientWidth + 1")
    assert not cut


def test_desk_is_usable_at_200_per_cent(program, plenty):
    with opened(program, plenty, viewport={"width": 640, "height": 360}, device_scale_factor=2) as zoomed:
        zoomed.open()
        film, view = zoomed.state("film"), zoomed.state("view")
        stage = zoomed.page.locator(".stage").bounding_box()
        assert film["w"] * view["s"] <= stage["width"] + 0.01
        assert film["h"] * view["s"] <= stage["height"] + 0.01
        assert stage["height"] >= 200
        zoomed.drag((0.2, 0.3), (0.6, 0.6))
        zoomed.page.get_by_role("dialog").get_by_role("button", name="Cardiomegaly").click()
        expect(zoomed.rows).to_contain_text(["Cardiomegaly"])
        for name in ("Undo", "Invert", "Fit", "Reset", "Hide boxes", "Keys"):
            zoomed.page.get_by_role("button", name=name).first.click(trial=True)
        image = zoomed.image
        zoomed.page.get_by_role("button", name="Not readable").click()
        zoomed.page.get_by_role("button", name="Not readable").click()
        expect(zoomed.page.locator(".stage .image")).not_to_have_text(image)


CONTRAST = """(root) => {
    const number = (text) => text.match(/[\\d.]+/g).map(Number);
    const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgb = (colour) => { context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data]; };
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (let one = element; one; one = one.parentElement ?? one.getRootNode().host) {
            const colour = rgb(getComputedStyle(one).backgroundColor);
            if (colour[3] === 255) return colour;
            if (colour[3] > 0) throw new Error('a background that shines through: ' + one.className);
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const element of root.querySelectorAll('*')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        const area = element.getBoundingClientRect();
        if (!own || element.closest('svg') || !area.width || element.closest('button:disabled')) continue;
        const [a, b] = [rgb(getComputedStyle(element).color), behind(element)].map(light).sort((x, y) => y - x);
        found.push([element.textContent.trim().slice(0, 30), Math.round((a + 0.05) / (b + 0.05) * 100) / 100]);
    }
    return found;
}"""


@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_every_text_has_the_contrast_of_wcag_aa(theme, program, plenty):
    with opened(program, plenty) as window:
        window.open()
        window.page.evaluate(
            """(theme) => Object.keys(localStorage).filter((name) => name.startsWith('stActiveTheme'))
            .forEach((name) => localStorage.setItem(name, JSON.stringify(theme)))""",
            theme,
        )
        window.page.reload()
        window.await_picture()
        window.drag((0.2, 0.3), (0.6, 0.6))  # and its class is asked for
        window.press("v")
        found = window.desk.evaluate(CONTRAST)
        window.press("?")
        found += window.desk.evaluate(CONTRAST)
        assert len(found) > 100
        assert [one for one in found if one[1] < 4.5] == []
        background = window.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (theme == "Light")


def test_every_control_has_a_name_and_what_happens_is_told(window):
    window.page.set_viewport_size({"width": 1280, "height": 800})
    bare = window.desk.evaluate(
        """(root) => [...root.querySelectorAll('button, input, select, textarea')].filter((one) =>
            !(one.getAttribute('aria-label') || one.textContent.trim() || one.closest('label')?.textContent.trim()))
            .map((one) => one.outerHTML)"""
    )
    assert bare == []
    stage = window.page.get_by_role("application", name="Radiograph")
    expect(stage).to_be_visible()
    stage.focus()
    window.press("4")
    expect(window.page.locator("[role=status][aria-live=polite]")).to_have_text("The next box is Cardiomegaly.")
    window.press("4")
    assert window.page.locator(".panel [role=alert]").count() == 1


def test_what_is_simulated_is_marked(window):
    mark = window.page.get_by_text("Simulated", exact=True)
    expect(mark).to_be_visible()
    assert "hospital and feedback" in mark.get_attribute("title")


def test_thousand_classes_are_searched(program, tmp_path):
    classes = Taxonomy((*(f"finding {number:03}" for number in range(999)), "Ångström's sign"))
    inputs = written_loop.run(tmp_path / "loop", classes, images=24)
    with served(inputs, tmp_path / "log") as address, opened(program, address) as window:
        window.open()
        window.drag((0.2, 0.3), (0.6, 0.6))
        dialog = window.page.get_by_role("dialog", name="Class of box 1")
        expect(dialog).to_contain_text("800 more: search.")
        window.press("/")
        expect(dialog.get_by_role("searchbox")).to_be_focused()
        window.page.keyboard.type("ångs")
        expect(dialog.get_by_role("button")).to_have_count(1)
        window.press("Enter")
        expect(window.rows).to_contain_text(["Ångström's sign"])
        assert not window.focused().startswith("INPUT")


@pytest.fixture(scope="module", params=[(1024, 8), (2048, 16)], ids=["1024² of 8 bits", "2048² of 16 bits"])
def big(request, program, tmp_path_factory):
    """A window on radiographs of a real size; from the left to the right a gray value a pixel (of 16 bits), or in 4."""
    side, bits = request.param
    inputs = written_loop.run(tmp_path_factory.mktemp("loop"), VINDR, images=24)
    ramp = np.add.outer(np.arange(side) // 8, np.arange(side) + 30_000 if bits == 16 else np.arange(side) // 4)
    values = (ramp % 2**bits).astype(np.uint16 if bits == 16 else np.uint8)
    for path in inputs.dataset.glob("*/images/*.png"):
        Image.fromarray(values).save(path, compress_level=1)
    with (
        served(inputs, tmp_path_factory.mktemp("server") / "log") as address,
        opened(program, address, viewport={"width": 1440, "height": 900}) as window,
    ):
        window.open()
        yield window, side, bits


def test_frame_of_any_drag_takes_less_than_16_ms(big):
    window, side, bits = big

    def frames(what):
        times = sorted(window.desk.evaluate("(root) => root.desk.frames.splice(0)"))
        print(f"{side}² of {bits} bits, {what}: {times[len(times) // 2]:.2f} ms a frame (median of {len(times)})")
        return times[len(times) // 2]

    asked = []
    window.press("1")
    window.desk.evaluate("(root) => { root.desk.frames.length = 0; }")
    window.page.on("request", lambda request: asked.append(request.url))
    window.page.on("websocket", lambda socket: asked.append(socket.url))
    window.drag((0.1, 0.1), (0.4, 0.4), steps=40)
    medians = [frames("draw")]
    window.drag((0.25, 0.25), (0.35, 0.35), steps=40)
    medians.append(frames("move"))
    window.drag((0.5, 0.5), (0.6, 0.6), button="right", steps=40)
    medians.append(frames("window and level"))
    window.press("o")
    window.desk.evaluate("(root) => { root.desk.frames.length = 0; }")
    window.drag((0.5, 0.5), (0.45, 0.55), button="middle", steps=40)
    medians.append(frames("pan at 1:1"))
    window.drag((0.5, 0.5), (0.45, 0.55), button="right", steps=40)
    medians.append(frames("window and level at 1:1"))
    window.press("r", "Delete")
    assert asked == []
    assert max(medians) < 50  # on a machine that does other things, too; 16 is what an idle one is held to


def test_depth_of_the_source_is_there_in_a_narrow_window(big):
    window, _, bits = big
    expect(window.page.locator(".stage .window")).to_contain_text(f"{bits} bits")
    values, shown = window.desk.evaluate(
        """(root) => {
            const {picture, canvas} = root.desk, {bits, values, width} = picture.levels[0].gray;
            const size = 2 ** bits - 1, many = bits === 16 ? 64 : 16, low = values[512 * width + 512] / size;
            const whole = {s: width / picture.w, x: 0, y: 0};  // a pixel of the picture for a pixel of the canvas
            Object.assign(canvas, {width, height: width});
            picture.draw(canvas, whole, {low, high: low + many / size}, false, 1);
            const tile = picture.levels[0].context.getImageData(512, 512, 64, 1).data;
            root.desk.dirty = true; root.desk.repaint();
            const at = 512 * width + 512;
            return [[...values.subarray(at, at + 64)], [...tile].filter((_, i) => i % 4 === 0)];
        }"""
    )
    assert len(set(values)) == (64 if bits == 16 else 16)
    assert len(set(shown)) == len(set(values))
