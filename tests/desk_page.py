"""The page Review without a browser: what it tells the desk, and what it does with what the desk says."""

from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app_pages import opened
from radloop.dashboard import loop
from radloop.dashboard.desk import component
from radloop.options import Dashboard

_names = count()


@pytest.fixture
def desk(monkeypatch):
    """Stand in for the browser: what it is told is kept, and what a test says goes the desk's own way."""
    loop.claims.clear()  # of another test's windows

    def show(data, heard):
        st.session_state["told"] = data
        st.button("say", key="say", on_click=heard)

    monkeypatch.setattr(component, "show", show)
    monkeypatch.setattr(component, "message", lambda: st.session_state["saying"])
    return Desk


class Desk:
    """One browser window on the page."""

    def __init__(self, inputs: Dashboard, reader: str | None = "reader-7", **query: str) -> None:
        self.page: AppTest = opened("review", inputs, **query)
        if reader is not None:
            self.say("begin", reader=reader, tab=f"tab-of-{reader}")

    @property
    def told(self) -> Mapping[str, Any]:
        """What the desk was told last."""
        return self.page.session_state["told"]

    @property
    def item(self) -> Mapping[str, Any]:
        """The image on the desk."""
        return self.told["item"]

    def say(self, kind: str, **more: Any) -> Mapping[str, Any]:
        """Send a message; what the desk is told then."""
        self.page.session_state["saying"] = {"id": f"m{next(_names)}", "kind": kind} | more
        self.page.button(key="say").click().run()
        assert [error.message for error in self.page.exception] == []
        return self.told

    def decide(self, verdict: str, **changes: Any) -> Mapping[str, Any]:
        """Send a verdict on the image on the desk, as the browser would; the findings of accept are the AI's."""
        ai = [{"class_id": class_id, "bbox": bbox} for class_id, _, *bbox in self.item["shown"]]
        findings = {"accept": ai, "normal": [], "reject": None}.get(verdict)
        message = {
            "feedback_id": self.item["feedback_id"],
            "reader": self.told["reader"],
            "verdict": verdict,
            "findings": findings,
            "blind_findings": [],
            "revealed": True,
            "seconds_blind": 3.5,
            "seconds_total": 7.25,
            "comment": "",
            "adjudicates": False,
        }
        return self.say("verdict", **message | changes)
