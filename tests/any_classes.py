"""Any list of classes: few or many names of any language, also of characters that mean something to a file's format."""

from hypothesis import strategies as st

from radloop.errors import TaxonomyError
from radloop.taxonomy import Taxonomy, normal

NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12),
    st.text(" :#'\",ü肺-{[&*!|>%@`~", min_size=1, max_size=8),
    st.sampled_from(["null", "true", "1", "1.0", "肺結節", "Größe: #1, 'a'", '"', "- a", "=1+1", "a,b"]),
)


def _usable(names: list[str]) -> Taxonomy | None:
    try:
        return Taxonomy(tuple(names))
    except TaxonomyError:
        return None


ANY = st.lists(NAMES, min_size=1, max_size=30, unique_by=normal).map(_usable).filter(lambda one: one is not None)
