"""Review: a radiologist reads an image blind, then sees the AI findings, and says what is right."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import polars as pl
import streamlit as st

from radloop.dashboard import drafts, identity, layout, loading, loop
from radloop.dashboard.desk import component, items
from radloop.dashboard.desk.work import NO_READER_ID, Answers, Work
from radloop.dashboard.loading import Dataset, Feedback
from radloop.errors import RadloopError
from radloop.feedback import worklists
from radloop.feedback.chaining import Chain
from radloop.feedback.logged import Writer
from radloop.feedback.orders import ORDERS
from radloop.options import READER_ID, Dashboard
from radloop.taxonomy import Taxonomy
from radloop.words import Worklist

READER: Final = "reader"  # in st.session_state: the Reader ID that was given
_WORK: Final = "desk-work"
_KINDS: Final[Mapping[Worklist, str]] = {
    "next": "Worklist: next",
    "mine": "Mine",
    "unread": "Unread",
    "twice": "To be read twice",
    "disputed": "Disputed",
    "suspects": "Suspected labels",
}
# The desk has the whole window: its first row stands beside the two buttons of Streamlit's header.
_STYLE: Final = """<style>
.stMainBlockContainer {padding: 0 0 0 .25rem}
.stMainBlockContainer .stVerticalBlock {gap: 0}
.stAppHeader {background: transparent; height: 2.75rem; min-height: 0}
.stAppHeader, .stAppHeader * {pointer-events: none}
.stAppHeader button, .stAppHeader button * {pointer-events: auto}
</style>"""


@dataclass(frozen=True)
class _Loop:
    """What the page was drawn from."""

    inputs: Dashboard
    dataset: Dataset
    feedback: Feedback
    simulated: str  # what of it a program made up


@st.cache_resource(show_spinner=False)
def _answers() -> Answers:
    return Answers()


def page(inputs: Dashboard) -> None:
    """The desk, with what the address asks for or else what comes next."""
    found, said, reviewed = layout.quiet_dataset(inputs), layout.quiet_feedback(inputs), layout.reviews(inputs)
    if found is None or said is None or reviewed is None or not loop.has_images(found):
        _cannot(inputs)
        return
    st.set_page_config(initial_sidebar_state="collapsed")
    st.html(_STYLE)
    here = _Loop(inputs, found, said, ", ".join(layout.marks(found, said, reviewed)))
    work = _work()
    _identify(inputs, work)
    work.is_listed = False  # the page was opened anew: what waits may be other images
    work.wanted = st.query_params.get("feedback")
    _desk(here)


def _cannot(inputs: Dashboard) -> None:
    """Say what is missing."""
    layout.head("Review", "Read blind, then see the AI findings; what you say is what the next model learns.")
    found, said = layout.dataset(inputs), layout.feedback(inputs)
    if found is not None and said is not None and not loop.has_images(found):
        layout.missing("A table alone does not tell which images are held out.", "radloop transform")


def _work() -> Work:
    work: Work = st.session_state.setdefault(_WORK, Work())
    return work


def _identify(inputs: Dashboard, work: Work) -> None:
    """Who reads: whom the proxy names, else who said so in this session."""
    try:
        named = identity.reader_id(inputs)
    except RadloopError as nobody:
        work.wrong = str(nobody)
        work.reader = None
        return
    reader = named or st.session_state.get(READER)
    if reader != work.reader:
        work.close(loop.claims())
        work.reader, work.is_listed = reader, False


def _put(work: Work, said: Feedback) -> None:
    """Put on the desk what the address names."""
    wanted, work.wanted = work.wanted, None
    if wanted is None or wanted == work.current:
        return
    if wanted in said.records.feedback["feedback_id"]:
        work.open(wanted, items.image_of(said, wanted), loop.claims())
    else:
        work.notice = f"There is no feedback {wanted[:80]}."


@st.fragment
def _desk(here: _Loop) -> None:
    work, inputs = _work(), here.inputs
    if work.reader is not None and work.tab:
        if not work.is_listed or not work.left:
            _list(here, work, work.reader)
        _put(work, here.feedback)
        work.advance(loop.claims(), inputs.reviews_folder)
        _address(work)
    component.show(_told(here, work), lambda: _heard(here))


def _list(here: _Loop, work: Work, reader: str) -> None:
    """Make the reader's worklist anew: with many reviews that takes a while, so not for every image."""
    inputs, claims = here.inputs, loop.claims()
    reviewed = loading.reviews(inputs.reviews_folder, here.dataset.taxonomy, inputs.convention)
    parts = (here.dataset, here.feedback, reviewed, inputs.seed, inputs.read_twice, inputs.places)
    waits = loop.queued(*parts)
    chosen = worklists.worklist(
        work.kind,
        reader,
        waits,
        adjudicates=identity.may_adjudicate(inputs, reader),
        mine=claims.of(reader),
        busy=claims.others(reader, work.tab),
    )
    disputed = waits.filter(pl.col("state") == "disputed")["feedback_id"]
    work.begin(chosen, disputed, inputs.reviews_folder)
    work.suspected = items.suspicions(loop.suspected(*parts), here.dataset.taxonomy)


def _address(work: Work) -> None:
    """Let the address name the image, once for each: the browser's Back leads to the one before."""
    if work.current is None:
        st.query_params.pop("feedback", None)
    elif st.query_params.get("feedback") != work.current:
        st.query_params["feedback"] = work.current


def _told(here: _Loop, work: Work) -> dict[str, Any]:
    """What the desk is told: all that it shows, but for what the browser keeps itself."""
    reader = work.reader

    def item(feedback_id: str | None) -> dict[str, Any] | None:
        if feedback_id is None or reader is None:
            return None
        decides = feedback_id in work.disputed and identity.may_adjudicate(here.inputs, reader)
        told = items.item(here.inputs, here.dataset, here.feedback, feedback_id, reader=reader, decides=decides)
        return {**told, "why": work.suspected.get(feedback_id)}

    return {
        "reader": reader,
        "tab": work.tab,
        "fixed": here.inputs.auth_header is not None,
        "wrong": work.wrong,
        "notice": work.notice,
        "worklist": {
            "kind": work.kind,
            "kinds": list(_KINDS.items()),
            "left": len(work.left),
            "order": here.inputs.order,
            "says": ORDERS[here.inputs.order].says,
        },
        "classes": list(here.dataset.taxonomy.names),
        "simulated": here.simulated,
        "item": item(work.current),
        "next": item(work.following),
        "taken": work.taken,
        "refused": work.refused,
        "empty": _empty(here, work.kind),
    }


def _empty(here: _Loop, kind: Worklist) -> str:
    if not loop.trainable(here.dataset, here.feedback):
        return "No feedback is on an image that may train: there is nothing to review."
    if kind == "next":
        return "Nothing is left to read: every image that waited has its review."
    return "Nothing is left in this worklist: choose another."


def _heard(here: _Loop) -> None:
    """Do what the desk says, once for each message."""
    message, work = component.message(), _work()
    kind, name = message.get("kind"), str(message.get("id"))[:100]
    if name in work.taken or (kind != "begin" and not (work.reader and work.tab)):
        return  # it will be said again once it is known who speaks
    if kind == "begin":
        _begin(here.inputs, work, message)
    elif kind == "worklist" and message.get("worklist") in _KINDS:
        work.close(loop.claims())
        work.kind, work.left, work.is_listed = cast("Worklist", message["worklist"]), [], False
    elif kind == "skip":
        work.done(str(message.get("feedback_id")), loop.claims(), again=True)
    elif kind == "verdict":
        _verdict(here, work, name, message)
    work.heard(name)
    if work.reader and work.wanted is None:
        work.advance(loop.claims(), here.inputs.reviews_folder)
        _address(work)  # before the page is drawn, which opens what the address names


def _begin(inputs: Dashboard, work: Work, message: Mapping[str, Any]) -> None:
    """Take a Reader ID that a person gave (where a proxy says who it is, nobody gives one), and the name of the tab."""
    tab = str(message.get("tab"))[:100]
    if tab != work.tab:
        work.close(loop.claims())
        work.tab = tab
    reader = str(message.get("reader"))
    if inputs.auth_header is not None:
        return
    if not READER_ID.fullmatch(reader):
        work.wrong = NO_READER_ID
        return
    st.session_state[READER], work.wrong = reader, ""
    _identify(inputs, work)


def _verdict(here: _Loop, work: Work, name: str, message: Mapping[str, Any]) -> None:
    """Save a verdict, or keep the sentence why not: then the image is on the desk again."""
    _identify(here.inputs, work)  # another person may have come back to this session
    feedback_id = str(message.get("feedback_id"))
    error = _answers().once(work.reader or "", name, lambda: _saved(here, work, message))
    if error is None:
        work.done(feedback_id, loop.claims())
        work.refused = None
        return
    work.refused = {"id": name, "feedback_id": feedback_id, "error": error}
    if feedback_id in here.feedback.records.feedback["feedback_id"]:
        work.open(feedback_id, items.image_of(here.feedback, feedback_id), loop.claims())


@st.cache_resource(show_spinner=False)
def _chain(folder: Path) -> Chain:
    """Where each reader's next review goes on: one for all windows, which asks for it one at a time (`Answers`)."""
    return Chain(folder)


@st.cache_resource(show_spinner=False, hash_funcs={Taxonomy: lambda classes: classes.names})
def _writer(folder: Path, classes: Taxonomy) -> Writer:
    return Writer(folder, classes, "radloop dashboard", durable=True)


def _client() -> str | None:
    """Where the browser is, as far as the server knows: behind a proxy the proxy."""
    return st.context.ip_address


def _saved(here: _Loop, work: Work, message: Mapping[str, Any]) -> str | None:
    """None once the review is on the disk, else the sentence why it is not."""
    inputs, said, reader = here.inputs, here.feedback, work.reader or ""
    try:
        verdict = drafts.decode(message)
        if verdict.feedback_id not in said.records.feedback["feedback_id"]:
            return f"there is no feedback {verdict.feedback_id}."
        before = items.mine(items.reads_of(inputs, here.dataset, verdict.feedback_id), reader)
        review = drafts.review(
            verdict,
            items.image_of(said, verdict.feedback_id),
            reader=reader,
            ai=items.ai_findings(inputs, said, verdict.feedback_id)[0],
            may_adjudicate=identity.may_adjudicate(inputs, reader),
            previous=_chain(inputs.reviews_folder).previous(reader),
            now=datetime.now(UTC),
        )
        if not drafts.is_again(review, before.review if before else None):
            _writer(inputs.reviews_folder, here.dataset.taxonomy).write(review, who=reader, client=_client())
    except (RadloopError, OSError) as failed:
        return str(failed)
    return None
