"""Who the reader is, where a proxy that knows people says so, and what that reader may do."""

import streamlit as st

from radloop.errors import UsageError
from radloop.options import READER_ID, Dashboard


def reader_id(inputs: Dashboard) -> str | None:
    """The Reader ID that the proxy names; None where no proxy does and the page has to ask.

    Raises UsageError where the proxy names nobody, or somebody by a name that is no pseudonym.
    """
    if inputs.auth_header is None:
        return None
    named = st.context.headers.get_all(inputs.auth_header)
    if len(named) != 1:
        raise UsageError(f"The proxy names nobody in the header {inputs.auth_header}: no review can be signed.")
    if not READER_ID.fullmatch(named[0]):
        raise UsageError(
            f"The proxy's header {inputs.auth_header} says {named[0][:60]!r}, which is no Reader ID (letters, digits "
            "and hyphens, at most 50): let it send a pseudonym."
        )
    return named[0]


def may_adjudicate(inputs: Dashboard, reader: str) -> bool:
    """Whether `reader` may give a final (adjudicated) read."""
    return inputs.may_adjudicate(reader)
