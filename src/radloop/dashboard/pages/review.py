"""Review: the radiologist looks first, then sees the model's boxes, and says what is right."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.catalog.rule import Rule
from radloop.dashboard import drafts, layout, loading, loop, pictures, radiograph, samples
from radloop.dashboard.drafts import Draft
from radloop.dashboard.loading import Dataset, Feedback, Reviewed
from radloop.dashboard.samples import Layer
from radloop.errors import RadloopError
from radloop.feedback import reviews, worklists
from radloop.options import Dashboard
from radloop.tables import Verdict
from radloop.taxonomy import Taxonomy

_PSEUDONYM: Final = re.compile(r"[A-Za-z0-9-]{1,50}")
_MINE: Final = "you"
_SIDES: Final = ("left", "top", "right", "bottom")
_DRAFT: Final = "draft"


def page(inputs: Dashboard) -> None:
    """One feedback after the other, the most worthwhile first."""
    found, said = layout.quiet_dataset(inputs), layout.quiet_feedback(inputs)
    reviewed = layout.reviews(inputs)
    layout.head(
        "Review",
        "Look first, then see what the model says; your word is what the next model learns.",
        simulated=layout.marks(found, said, reviewed),
    )
    found, said = layout.dataset(inputs), layout.feedback(inputs)
    if found is None or said is None or reviewed is None:
        return
    if not loop.has_images(found):
        layout.missing("A table alone does not tell which images are held out.", "radloop transform")
        return
    reviewer = _reviewer()
    feedback_id = _next(inputs, found, said, reviewed, reviewer)
    if feedback_id is None:
        if loop.trainable(found, said):
            st.success("Nothing is left to review: every feedback that could train is settled.")
        else:
            st.info("No feedback is on an image that may train: there is nothing to review.")
        return
    image_id = str(said.records.feedback.filter(pl.col("feedback_id") == feedback_id)["image_id"][0])
    draft = _draft(said, feedback_id, image_id, loading.last_rule(inputs.retrain_table))
    _desk(inputs, found, reviewed, draft, reviewer)


def _reviewer() -> str | None:
    left, right = st.columns([1, 2])
    name = left.text_input(
        "Your pseudonym",
        key="reviewer",
        persist_state="session",
        placeholder="reader-7",
        max_chars=50,
        help="No real name: it is in files.",
    )
    if name and not _PSEUDONYM.fullmatch(name):
        right.error("Letters, digits and - only: the pseudonym is part of a file's name.")
        return None
    return name or None


def _next(inputs: Dashboard, found: Dataset, said: Feedback, reviewed: Reviewed, reviewer: str | None) -> str | None:
    """What the address asks for, else what is on the desk, else the first of the queue that was not skipped."""
    asked = st.query_params.get("feedback")
    if asked is not None:
        if asked in said.records.feedback["feedback_id"]:
            return asked
        st.warning(f"There is no feedback {layout.plain(asked)[:80]}.")
    work = loop.queued(found, said, reviewed, inputs.seed, inputs.read_twice)
    queued = worklists.worklist("next", reviewer or "", work)
    if queued.height:
        st.caption(f"{queued.height:,} wait for a look.")  # not why: it would tell what the model said
    on_desk = st.session_state.get(_DRAFT)
    if isinstance(on_desk, Draft) and on_desk.feedback_id in said.records.feedback["feedback_id"]:
        return on_desk.feedback_id
    skipped = st.session_state.setdefault("skipped", [])
    left = queued.filter(~pl.col("feedback_id").is_in(skipped))["feedback_id"]
    if left.is_empty():
        skipped.clear()
        left = queued["feedback_id"]
    return str(left[0]) if len(left) else None


def _draft(said: Feedback, feedback_id: str, image_id: str, rule: Rule) -> Draft:
    draft = st.session_state.get(_DRAFT)
    if not isinstance(draft, Draft) or draft.feedback_id != feedback_id:
        draft = drafts.begin(feedback_id, image_id, samples.detections(said, feedback_id), rule)
        st.session_state[_DRAFT] = draft
        for side in _SIDES:
            st.session_state[side] = 0.0
        st.session_state["comment"] = ""
    return draft


@st.fragment
def _desk(inputs: Dashboard, found: Dataset, reviewed: Reviewed, draft: Draft, reviewer: str | None) -> None:
    frame = pictures.frame(found, draft.image_id)
    left, right = st.columns([5, 3], gap="medium")
    with right:
        _steps(draft)
        _add(draft, frame, found.taxonomy)
        _list(draft, found.taxonomy)
        _verdicts(inputs.reviews_folder, draft, reviewer, _earlier(reviewed, draft.feedback_id), found.taxonomy)
    with left:
        _picture(inputs, found, draft, frame)


def _steps(draft: Draft) -> None:
    if draft.revealed:
        st.markdown(
            f"**2. Compare.** The model shows {len(draft.shown)} boxes (dashed). Keep, remove, add; then decide."
        )
        return
    st.markdown("**1. Look.** Drag over the picture to draw what you see. Then reveal.")
    st.button("Reveal the model's boxes", shortcut="v", type="primary", width="stretch", on_click=draft.reveal)


def _picture(inputs: Dashboard, found: Dataset, draft: Draft, frame: tuple[int, int]) -> None:
    low, high = st.slider("Window (gray values shown from black to white)", 0, 255, (0, 255), key="review-window")
    try:
        path = pictures.find(found, inputs.images, draft.image_id)
        source = pictures.address(pictures.jpeg(path, window=(low, max(high, low + 1))))
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return
    mine = [box for box in draft.drawn if not box.by_model]
    theirs = [box for box in draft.drawn if box.by_model]
    layers = [Layer(_MINE, drafts.table(mine))]
    if draft.revealed:
        layers.append(Layer(samples.MODEL, drafts.table(theirs)))
    view = f"{draft.feedback_id}-{len(draft.drawn)}"
    figure = radiograph.draw(
        source, frame, layers, found.taxonomy, view=draft.image_id, dragmode="select", selections=view
    )
    st.plotly_chart(
        figure,
        key=f"desk-{draft.feedback_id}",
        config=radiograph.DRAWING,
        on_select=lambda: _take(draft, frame),
        selection_mode="box",
        alt="the radiograph, to draw boxes on",
    )
    st.caption(f"{frame[0]}×{frame[1]} px. Drag: a box; wheel: zoom; the hand in the chart's bar moves the picture.")


def _take(draft: Draft, frame: tuple[int, int]) -> None:
    """Put the box that was just dragged into the four fields."""
    event: Any = st.session_state.get(f"desk-{draft.feedback_id}")
    boxes = event["selection"]["box"] if event else []
    corners = drafts.dragged(boxes[-1]["x"], boxes[-1]["y"], frame) if boxes else None
    if corners is not None:
        for side, value in zip(_SIDES, corners, strict=True):
            st.session_state[side] = round(value, 1)


def _add(draft: Draft, frame: tuple[int, int], classes: Taxonomy) -> None:
    st.selectbox("Class", classes.names, key="class", persist_state="session")
    columns = st.columns(4)
    for column, side in zip(columns, _SIDES, strict=True):
        limit = float(frame[0] if side in ("left", "right") else frame[1])
        column.number_input(f"{side}, px", 0.0, limit, step=1.0, format="%.1f", key=side)
    corners = drafts.dragged(
        (st.session_state["left"], st.session_state["right"]),
        (st.session_state["top"], st.session_state["bottom"]),
        frame,
    )
    st.button(
        "Add this box",
        shortcut="b",
        width="stretch",
        disabled=corners is None,
        on_click=_append,
        args=(draft, corners, frame, classes),
    )


def _append(draft: Draft, corners: drafts.Corners, frame: tuple[int, int], classes: Taxonomy) -> None:
    class_id = classes.names.index(st.session_state["class"])
    draft.drawn.append(drafts.Drawn(class_id, drafts.as_fractions(corners, frame)))
    for side in _SIDES:
        st.session_state[side] = 0.0


def _list(draft: Draft, classes: Taxonomy) -> None:
    shown = [(place, box) for place, box in enumerate(draft.drawn)]
    st.markdown(f"**Boxes: {len(shown)}**")
    for place, box in shown:
        name, button = st.columns([5, 3])
        name.markdown(f"{layout.plain(classes.name(box.class_id))} · {'model' if box.by_model else 'you'}")
        button.button("Remove", key=f"remove-{place}", width="stretch", on_click=_remove, args=(draft, place))


def _remove(draft: Draft, place: int) -> None:
    del draft.drawn[place]


def _earlier(reviewed: Reviewed, feedback_id: str) -> pl.DataFrame:
    return reviewed.reviews.reviews.filter(pl.col("feedback_id") == feedback_id)


def _verdicts(
    folder: Path | None, draft: Draft, reviewer: str | None, earlier: pl.DataFrame, classes: Taxonomy
) -> None:
    st.text_input("Comment", key="comment", max_chars=2000)
    adjudicates = False
    if earlier.height and draft.revealed:  # what others said is no blind look, either
        st.caption(f"Reviewed before by {layout.plain(', '.join(earlier['reviewer'].unique().sort()))}.")
        st.dataframe(earlier.select("reviewer", "verdict", "comment", "simulated"), hide_index=True, key="earlier")
        adjudicates = st.checkbox("I decide (adjudicates)", key=f"decide-{draft.feedback_id}")
    ready = reviewer is not None and draft.revealed and folder is not None
    if reviewer is None:
        st.info("Give a pseudonym above to decide.")
    verdicts: tuple[tuple[str, Verdict, str, bool], ...] = (
        ("Accept", "accept", "a", not draft.edited),
        ("Correct", "correct", "e", draft.edited and bool(draft.drawn)),
        ("Normal", "normal", "n", not [box for box in draft.drawn if not box.by_model]),
        ("Reject", "reject", "x", True),
    )
    helps = {
        "accept": "The model's boxes are complete and right.",
        "correct": "The list above is complete and right.",
        "normal": "There is no finding at all.",
        "reject": "The picture cannot be used; it trains nothing.",
    }
    for column, (title, verdict, key, possible) in zip(st.columns(2) * 2, verdicts, strict=True):
        if column.button(
            title, shortcut=key, width="stretch", disabled=not (ready and possible), key=verdict, help=helps[verdict]
        ):
            _write(folder, draft, verdict, reviewer, adjudicates, classes)
    if st.button("Skip to the next", shortcut="s", width="stretch"):
        st.session_state.setdefault("skipped", []).append(draft.feedback_id)
        _leave()


def _write(
    folder: Path | None, draft: Draft, verdict: Verdict, reviewer: str | None, adjudicates: bool, classes: Taxonomy
) -> None:
    if folder is None or reviewer is None:
        return
    review = draft.review(
        verdict, reviewer=reviewer, now=datetime.now(UTC), comment=st.session_state["comment"], adjudicates=adjudicates
    )
    try:
        path = reviews.write(folder, review, classes, durable=True)
    except (RadloopError, OSError) as failed:
        st.error(f"**Not saved:** {layout.plain(failed)}")
        return
    st.toast(f"Saved: {layout.plain(path.name)}")
    _leave()


def _leave() -> None:
    st.session_state.pop(_DRAFT, None)
    st.query_params.pop("feedback", None)
    st.rerun()
