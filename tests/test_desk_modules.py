"""What the desk's modules promise, each by itself, in a real Chromium."""

import pytest

from desk_modules import modules

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def js():
    with modules() as run:
        yield run


def test_whole_film_lies_in_the_middle_of_the_stage_in_its_true_shape(js):
    for film, stage, view in (
        ("{w: 2000, h: 1000}", "{w: 800, h: 800}", {"s": 0.4, "x": 0, "y": 200}),
        ("{w: 1000, h: 2000}", "{w: 800, h: 400}", {"s": 0.2, "x": 300, "y": 0}),
    ):
        assert js("geometry", f"return m.fit({film}, {stage})") == view


def test_zoom_leaves_what_is_under_the_pointer_where_it_is(js):
    before, after, s = js(
        "geometry",
        """
        const film = {w: 2000, h: 3000}, stage = {w: 800, h: 600};
        let view = m.fit(film, stage);
        const at = [311, 222], before = m.toFilm(view, at);
        for (const f of [1.2, 1.2, 3, 0.5, 1.2]) view = m.zoomed(view, f, at, film, stage);
        return [before, m.toFilm(view, at), view.s];
        """,
    )
    assert after == pytest.approx(before)
    assert s == pytest.approx(0.2 * 1.2**3 * 1.5)


def test_zoom_ends_at_a_film_that_can_still_be_seen(js):
    least, most = js(
        "geometry",
        """
        const film = {w: 1000, h: 1000}, stage = {w: 500, h: 500}, fit = m.fit(film, stage);
        let [small, big] = [fit, fit];
        for (let i = 0; i < 100; i++) { small = m.zoomed(small, 0.5, [9, 9], film, stage); big = m.zoomed(big, 2,
          [9, 9], film, stage); }
        return [small.s / fit.s, big.s];
        """,
    )
    assert least == pytest.approx(0.25)
    assert most == 40


def test_box_that_is_drawn_moved_or_resized_in_any_way_stays_in_the_film_and_has_an_area(js):
    bad = js(
        "geometry",
        """
        let seed = 1;
        const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        const film = {w: 900, h: 1400}, bad = [];
        for (let n = 0; n < 5000; n++) {
          const point = () => [(random() * 3 - 1) * film.w, (random() * 3 - 1) * film.h];
          let box = m.between(point(), point(), film);
          if (!m.isUsable(box, film)) continue;
          const [dx, dy] = point();
          const handles = Object.keys(m.HANDLES);
          for (const other of [box, m.moved(box, dx, dy, film), m.resized(box, handles[n % 8], dx, dy, film)]) {
            const inside = other.x >= 0 && other.y >= 0 && other.x + other.w <= film.w + 1e-9 &&
              other.y + other.h <= film.h + 1e-9;
            if (!inside || !m.isUsable({w: other.w + 1e-9, h: other.h + 1e-9}, film)) bad.push([n, box, other]);
          }
        }
        return bad.slice(0, 3);
        """,
    )
    assert bad == []


def test_handle_drags_its_own_edges_only_and_turns_round_over_the_other(js):
    wider, turned = js(
        "geometry",
        """
        const film = {w: 1000, h: 1000}, box = {x: 100, y: 100, w: 200, h: 200};
        return [m.resized(box, 'e', 50, 999, film), m.resized(box, 'nw', 300, 50, film)];
        """,
    )
    assert wider == {"x": 100, "y": 100, "w": 250, "h": 200}
    assert turned == {"x": 300, "y": 150, "w": 100, "h": 150}


def test_fractions_are_those_of_files_and_come_back(js):
    there, back = js(
        "geometry",
        """
        const film = {w: 2388, h: 2847}, there = m.asFractions({x: 100, y: 200, w: 300, h: 400}, film);
        return [there, m.ofFractions(there, film)];
        """,
    )
    assert there == pytest.approx([250 / 2388, 400 / 2847, 300 / 2388, 400 / 2847], abs=1e-6)
    assert all(len(str(value).split(".")[1]) <= 6 for value in there)
    assert [back[name] for name in "xywh"] == pytest.approx([100, 200, 300, 400], abs=0.01)


def test_pointer_takes_hold_of_handles_then_the_selected_box_then_rims(js):
    held = js(
        "geometry",
        """
        const view = {s: 1, x: 0, y: 0}, boxes = [{x: 100, y: 100, w: 200, h: 200}, {x: 120, y: 120, w: 50, h: 50}];
        return [[100, 100], [200, 200], [145, 145], [120, 140]].flatMap((point) =>
          [m.grip(boxes, 0, point, view, 8), m.grip(boxes, -1, point, view, 8)]).map((one) => one && [one.kind,
            one.index]);
        """,
    )
    assert held == [
        ["handle", 0], ["rim", 0],
        ["body", 0], None,
        ["body", 0], None,
        ["body", 0], ["rim", 1],
    ]  # fmt: skip


def test_undo_and_redo_go_through_every_state_and_an_arrow_held_is_one_step(js):
    seen = js(
        "history",
        """
        const history = new m.History(), seen = [];
        let state = {n: 0};
        const change = (n, tag) => { history.record(state, tag); state = {n}; };
        change(1); change(2); change(3, 'arrow'); change(4, 'arrow'); change(5, 'arrow');
        const back = (found) => { if (found) state = found; seen.push(state.n); };
        back(history.undo(state)); back(history.undo(state)); back(history.redo(state)); back(history.redo(state));
        back(history.redo(state)); back(history.undo(state)); change(9); back(history.redo(state));
        return seen;
        """,
    )
    assert seen == [2, 1, 2, 5, 5, 2, 9]


def test_sixteen_bits_keep_their_depth_in_the_window(js):
    shown, text = js(
        "gray",
        """
        const pixels = [4096, 4097, 4100, 4127, 4128, 60000];
        const data = new Uint8ClampedArray(pixels.flatMap((v) => [v >> 8, v & 255, 0, 255]));
        const gray = m.grayOf({data, width: 6, height: 1}, 16), out = new Uint32Array(6);
        const window = {low: 4096 / 65535, high: 4128 / 65535};
        m.apply(gray, m.table(window, 16, false), out);
        return [[...out].map((v) => v & 255), m.told(window, 16)];
        """,
    )
    assert shown == [0, 8, 32, 247, 255, 255]
    assert text == "W 32 L 4112"


def test_full_window_shows_eight_bits_as_they_are_and_inverted_the_other_way_round(js):
    plain, inverted, opaque = js(
        "gray",
        """
        const low = (table) => [...table].map((v) => v & 255);
        const table = m.table(m.FULL, 8, false);
        return [low(table), low(m.table(m.FULL, 8, true)), [...table].every((v) => v >>> 24 === 255 &&
          (v >> 8 & 255) === (v & 255))];
        """,
    )
    assert plain == list(range(256))
    assert inverted == list(range(255, -1, -1))
    assert opaque


def test_half_the_size_is_the_mean_of_four(js):
    half = js(
        "gray",
        """
        const values = new Uint16Array([0, 4, 9, 9, 8, 0, 9, 9, 1, 1, 1, 1]);
        return [...m.halved({values, width: 4, height: 3, bits: 16}).values];
        """,
    )
    assert half == [3, 9]


def test_presets_take_the_pictures_own_gray_values(js):
    windows = js(
        "gray",
        """
        const values = Uint8Array.from({length: 1000}, (_, i) => 50 + i / 10);  // 50 to 149, evenly
        return Object.fromEntries(m.PRESETS.map((one) => {
          const {low, high} = m.preset(one, {values, bits: 8});
          return [one.name, [Math.round(low * 255), Math.round(high * 255)]];
        }));
        """,
    )
    assert windows == {"Full": [0, 255], "Auto": [50, 149], "Lung": [50, 109], "Bone": [89, 149]}


def test_drag_to_the_right_widens_the_window_and_down_brightens(js):
    wider, brighter, narrowest = js(
        "gray",
        """
        const width = ({low, high}) => high - low, level = ({low, high}) => (high + low) / 2;
        let narrow = m.FULL;
        for (let i = 0; i < 50; i++) narrow = m.dragged(narrow, -500, 0);
        return [width(m.dragged(m.FULL, 200, 0)), level(m.dragged(m.FULL, 0, 50)), width(narrow)];
        """,
    )
    assert (wider, brighter) == (2, 0.4)
    assert narrowest == 1 / 256


def test_box_stands_out_by_three_to_one_from_any_gray(js):
    worst = js(
        "boxes",
        """
        const grays = Array.from({length: 256}, (_, g) => '#' + g.toString(16).padStart(2, '0').repeat(3));
        const styles = [...Object.values(m.STYLES), ...m.READERS];
        return styles.map(({colour}) => Math.min(m.contrast(colour, m.HALO),
          ...grays.map((gray) => Math.max(m.contrast(colour, gray), m.contrast(m.HALO, gray)))));
        """,
    )
    assert min(worst) >= 3, worst


def test_contrast_is_that_of_wcag(js):
    assert js("boxes", "return m.contrast('#777777', '#ffffff')") == pytest.approx(4.478, abs=0.001)


def test_whose_a_box_is_dashes_tell_too(js):
    dashes = js("boxes", "return [...Object.values(m.STYLES), ...m.READERS].map(({dash}) => dash)")
    assert len(set(dashes)) == len(dashes)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("{key: 'a', code: 'KeyA'}", "a"),
        ("{key: 'A', code: 'KeyA'}", "a"),
        ("{key: 'A', code: 'KeyA', shiftKey: true}", "Shift+a"),
        ("{key: 'z', code: 'KeyZ', ctrlKey: true}", "Ctrl+z"),
        ("{key: 'Z', code: 'KeyZ', ctrlKey: true, shiftKey: true}", "Ctrl+Shift+z"),
        ("{key: 'z', code: 'KeyZ', metaKey: true}", "Ctrl+z"),
        ("{key: '?', code: 'Minus', shiftKey: true}", "?"),
        ("{key: 'ф', code: 'KeyA'}", "a"),
        ("{key: 'ArrowLeft', code: 'ArrowLeft', shiftKey: true}", "Shift+ArrowLeft"),
        ("{key: 'ArrowLeft', code: 'ArrowLeft', altKey: true}", None),
        ("{key: 'Shift', code: 'ShiftLeft', shiftKey: true}", None),
        ("{key: '/', code: 'Digit7', shiftKey: true}", "/"),
    ],
)
def test_key_has_one_name_on_every_keyboard(event, name, js):
    assert js("keys", f"return m.keyName(new KeyboardEvent('keydown', {event}))") == name


def test_every_default_key_has_one_action(js):
    keys = js(
        "keys",
        """
        const classes = Array.from({length: 20}, (_, i) => 'c' + i);
        return new m.Keymap(classes, {read: () => null}).actions.flatMap((a) => a.keys);
        """,
    )
    assert len(keys) == len(set(keys)) == 60


def test_key_that_was_set_is_kept_and_one_that_is_taken_is_refused(js):
    refused, kept, moved, freed, back, browsers = js(
        "keys",
        """
        let store = null;
        const disk = {read: () => store, write: (value) => { store = structuredClone(value); }};
        const keys = new m.Keymap(['Nodule', 'Edema'], disk);
        const refused = keys.set('reveal', '1');
        keys.set('reveal', 'z');
        const again = new m.Keymap(['Edema', 'Nodule'], disk);
        keys.set('class:Nodule', 'm');
        const moved = new m.Keymap(['Edema', 'Nodule'], disk);
        const browsers = keys.set('reveal', 'Tab');
        keys.reset();
        return [refused, [again.action('z'), again.action('v')], [moved.action('m'), moved.action('1')],
          moved.action('2'), keys.action('v'), browsers];
        """,
    )
    assert refused == '1 is already "Nodule": choose another key, or give that one another first.'
    assert kept == ["reveal", None]
    assert moved == ["class:Nodule", "class:Edema"]
    assert freed is None
    assert back == "reveal"
    assert "belongs to the browser" in browsers


def test_key_is_nobodys_command_where_text_is_typed(js):
    typing = js(
        "keys",
        """
        const made = (html) => { document.body.innerHTML = html; return document.body.firstChild; };
        return ['<input>', '<input type=search>', '<textarea></textarea>', '<select></select>',
          '<p contenteditable=true></p>', '<div role=combobox></div>',
                '<input type=checkbox>', '<button></button>', '<p></p>'].map((html) => m.isTyping(made(html)));
        """,
    )
    assert typing == [True] * 6 + [False] * 3


ITEM = """
const item = (shown, more = {}) => ({feedback_id: 'f', image_id: 'i', width: 1000, height: 1000, shown,
  more: shown.length, mine: null, ...more});
const heart = [3, 0.9, 0.5, 0.6, 0.4, 0.2], nodule = [8, 0.4, 0.2, 0.2, 0.1, 0.1];
const draw = (read, class_id, x, y, w, h) => read.add({x, y, w, h}, class_id);
"""


def test_blind_read_that_differs_sees_the_ai_findings_first_and_one_that_agrees_is_saved(js):
    done = js(
        "read",
        ITEM
        + """
        const made = (shown, boxes) => { const read = new m.Read(item(shown)); boxes.forEach((box) => draw(read,
          ...box)); return read; };
        const what = (decision) => Object.keys(decision)[0];
        const same = [3, 300, 500, 400, 200], other = [8, 10, 10, 50, 50];
        return {
          nothing: what(made([], []).decide('normal')), accepted: what(made([], []).decide('accept')),
          missed: what(made([heart], []).decide('normal')), more: what(made([], [other]).decide('correct')),
          same: what(made([heart], [same]).decide('correct')), differs: what(made([heart], [other]).decide('correct')),
          accept: what(made([heart], []).decide('accept')), reject: what(made([heart], []).decide('reject')),
        };
        """,
    )
    assert done == {
        "nothing": "send", "accepted": "send", "missed": "reveal", "more": "reveal",
        "same": "send", "differs": "reveal", "accept": "reveal", "reject": "send",
    }  # fmt: skip


def test_what_is_sent_says_how_the_read_went(js):
    accept, correct, normal, reject = js(
        "read",
        ITEM
        + """
        const sent = (verdict, change = () => {}) => {
          const read = new m.Read(item([heart, nodule]));
          draw(read, 5, 100, 100, 200, 200);
          read.reveal(); change(read); read.comment = 'so'; read.decide(verdict);
          return read.decide(verdict).send;
        };
        return [sent('accept'), sent('correct', (read) => read.remove(1)), sent('normal'), sent('reject')];
        """,
    )
    blind = [{"class_id": 5, "bbox": [0.2, 0.2, 0.2, 0.2]}]
    for one in (accept, correct, normal, reject):
        assert (one["blind_findings"], one["revealed"], one["comment"]) == (blind, True, "so")
        assert [box["confidence"] for box in one["shown"]] == [0.9, 0.4]
    assert [box["class_id"] for box in accept["findings"]] == [3, 8]
    assert [box["class_id"] for box in correct["findings"]] == [5, 8]
    assert (normal["findings"], reject["findings"]) == ([], None)


def test_ai_finding_that_the_reader_has_drawn_is_not_listed_twice(js):
    boxes, ghosts, agrees = js(
        "read",
        ITEM
        + """
        const read = new m.Read(item([heart, nodule]));
        draw(read, 3, 310, 510, 380, 190);
        read.reveal();
        return [read.boxes.map((box) => [box.by, box.class_id]), read.ghosts.map((one) => one.class_id),
          read.boxes[0].agrees.confidence];
        """,
    )
    assert boxes == [["me", 3], ["ai", 8]]
    assert (ghosts, agrees) == ([3], 0.9)


def test_verdict_that_drops_what_was_drawn_has_to_be_pressed_twice_and_a_change_asks_anew(js):
    steps = js(
        "read",
        ITEM
        + """
        const read = new m.Read(item([heart])), steps = [], what = (decision) => Object.keys(decision)[0];
        read.reveal(); draw(read, 8, 10, 10, 50, 50);
        steps.push(what(read.decide('accept')), what(read.decide('normal')), what(read.decide('accept')));
        draw(read, 8, 90, 90, 50, 50);
        steps.push(what(read.decide('accept')), what(read.decide('accept')));
        return steps;
        """,
    )
    assert steps == ["say", "say", "say", "say", "send"]


def test_box_without_a_class_is_asked_for_and_never_lost(js):
    decision, left, empty, unchanged = js(
        "read",
        ITEM
        + """
        const read = new m.Read(item([])); draw(read, null, 10, 10, 50, 50);
        const decision = read.decide('correct');
        const bare = new m.Read(item([heart])); bare.reveal(); bare.remove(0);
        const same = new m.Read(item([heart])); same.reveal();
        return [decision.name, read.boxes.length, bare.decide('correct').say, same.decide('correct').send.verdict];
        """,
    )
    assert (decision, left) == (0, 1)
    assert empty == "The list is empty: that is No finding."
    assert unchanged == "accept"


def test_undo_covers_drawing_naming_moving_and_deleting_but_not_the_reveal(js):
    seen, after = js(
        "read",
        ITEM
        + """
        const read = new m.Read(item([heart])), seen = [];
        const note = () => seen.push(read.boxes.map((box) => [box.class_id, box.x]));
        draw(read, 1, 10, 10, 50, 50); read.name(0, 2); read.record(); read.place(0, {...read.boxes[0], x: 99});
          read.remove(0);
        note();
        for (let i = 0; i < 5; i++) { read.undo(); note(); }
        for (let i = 0; i < 5; i++) { read.redo(); note(); }
        read.reveal();
        return [seen, read.undo()];
        """,
    )
    assert seen[:6] == [[], [[2, 99]], [[2, 10]], [[1, 10]], [], []]
    assert seen[6:] == [[[1, 10]], [[2, 10]], [[2, 99]], [], []]
    assert after is False


def test_draft_brings_the_read_back(js):
    same, times = js(
        "read",
        ITEM
        + """
        const read = new m.Read(item([heart, nodule]));
        draw(read, 5, 100, 100, 200, 200); read.clock.before = 12; read.reveal(); read.comment = 'c'; read.final = true;
        const kept = JSON.parse(JSON.stringify(read.toDraft()));
        const again = new m.Read(item([heart, nodule])); again.ofDraft(kept);
        const [a, b] = [read, again].map((one) => one.decide('correct').send);
        return [JSON.stringify(a) === JSON.stringify(b), [b.seconds_blind, b.seconds_total]];
        """,
    )
    assert same
    assert times == [12, 12]


def test_clock_stands_still_while_nobody_looks(js):
    paused, ran = js(
        "read",
        """
        const clock = new m.Clock(); let now = 0; performance.now = () => now;
        clock.run(); now += 3000; clock.pause(); now += 60000; const paused = clock.seconds;
        clock.run(); clock.run(); now += 2000;
        const ran = clock.seconds; delete performance.now;
        return [paused, ran];
        """,
    )
    assert (paused, ran) == (3, 5)


@pytest.mark.parametrize("name", ["QuotaExceededError", "SecurityError"])
def test_draft_is_held_where_storage_is_full_or_forbidden(name, js):
    back, keeps, gone, later = js(
        "draft",
        f"""
        const fail = () => {{ throw new DOMException('no', '{name}'); }};
        const real = {{...Object.getOwnPropertyDescriptors(Storage.prototype)}};
        m.keepDraft('r', 'f', {{n: 1}});
        Storage.prototype.setItem = fail;
        if ('{name}' === 'SecurityError') Storage.prototype.getItem = Storage.prototype.removeItem = fail;
        m.keepDraft('r', 'f', {{n: 2}});
        const back = m.draft('r', 'f'), keeps = m.keeps;
        m.dropDraft('r', 'f'); const gone = m.draft('r', 'f');
        Object.defineProperties(Storage.prototype, real); localStorage.clear();
        m.keepDraft('r', 'f', {{n: 3}});
        return [back, keeps, gone, [m.draft('r', 'f'), m.keeps]];
        """,
    )
    assert (back, keeps, gone) == ({"n": 2}, False, None)
    assert later == [{"n": 3}, True]


def test_messages_go_one_at_a_time_until_the_server_has_each(js):
    sent, waiting = js(
        "draft",
        """
        const sent = [], box = new m.Outbox((message) => sent.push(message.id), {again: 20});
        box.put({id: 'a'}); box.put({id: 'b'}); box.put({id: 'a'});
        await new Promise((done) => setTimeout(done, 200));
        const again = sent.length > 1 && sent.every((id) => id === 'a');
        box.taken(['x']); box.taken(['a']);
        const next = sent.at(-1);
        box.put({id: 'who'}, {first: true});
        const before = sent.at(-1);
        box.taken(['who', 'b']); box.stop();
        return [[again, next, before], box.waiting.length];
        """,
    )
    assert sent == [True, "b", "who"]
    assert waiting == 0


def test_verdicts_that_were_not_yet_saved_are_found_again(js):
    found = js(
        "draft",
        """
        localStorage.clear();
        m.keepDraft('r', 'f2', {message: {id: 'later', at: 2}}); m.keepDraft('r', 'f1', {message: {id: 'first',
          at: 1}});
        m.keepDraft('r', 'f3', {boxes: []}); m.keepDraft('other', 'f1', {message: {id: 'theirs', at: 0}});
        return m.unsaved('r').map((message) => message.id);
        """,
    )
    assert found == ["first", "later"]
