"""Reviews weighed against each other: many pairs at once as one pair by itself."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from radloop.feedback import weighing
from radloop.tables import REVIEW_FINDINGS

# boxes of which some lie on each other and some do not
BOXES = [(0.1, 0.1, 0.3, 0.3), (0.12, 0.1, 0.32, 0.3), (0.2, 0.1, 0.4, 0.3), (0.6, 0.6, 0.9, 0.9)]
FINDINGS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(BOXES)), max_size=3)
READ = st.tuples(st.sampled_from(["correct", "reject"]), FINDINGS)


def same(one: tuple, other: tuple) -> bool:
    """The two by themselves."""
    drawn = [
        (np.array([class_id for class_id, _ in found], dtype=int), np.array([box for _, box in found]).reshape(-1, 4))
        for _, found in (one, other)
    ]
    return (one[0] == "reject") == (other[0] == "reject") and weighing.same_findings(*drawn[0], *drawn[1])


@settings(max_examples=60)
@given(st.lists(st.tuples(READ, READ), max_size=12))
def test_pairs_mean_the_same_together_as_each_by_itself(read):
    pairs = pl.DataFrame(
        [(f"{n}a", one[0], f"{n}b", other[0]) for n, (one, other) in enumerate(read)],
        schema=dict.fromkeys(["file", "verdict", "file_other", "verdict_other"], pl.String),
        orient="row",
    )
    findings = pl.DataFrame(
        [
            (f"{n}{side}", class_id, *box)
            for n, both in enumerate(read)
            for side, (_, found) in zip("ab", both, strict=True)
            for class_id, box in found
        ],
        schema=REVIEW_FINDINGS,
        orient="row",
    )
    assert weighing.mean_the_same(pairs, findings).to_list() == [same(*both) for both in read]
