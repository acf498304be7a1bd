"""Why a row is refused."""

import polars as pl
import pytest

from radloop.dataset import row_rules

ROW = {
    "image_id": "a", "rad_id": "R1", "reader": "R1", "kind": "finding", "class_code": None, "class_reason": None,
    "x_min": "1", "y_min": "1", "x_max": "5", "y_max": "5", "width": None, "height": None, "says_size": False,
    "sized": False, "sizes_differ": False,
    **{f"{side}_said": value for side, value in zip(row_rules.SIDES, (1.0, 1.0, 5.0, 5.0), strict=True)},
    **{f"{side}_px": value for side, value in zip(row_rules.SIDES, (1.0, 1.0, 5.0, 5.0), strict=True)},
}  # fmt: skip


def told(**changes: object) -> tuple[str | None, str | None]:
    schema = dict.fromkeys(("class_code", "class_reason", "width", "height"), pl.String)
    schema |= dict.fromkeys(row_rules.BOX_PX, pl.Float64)
    table = pl.DataFrame([ROW | changes], schema_overrides=schema)
    return table.select(row_rules.ROW_REASON).unnest("refusal").row(0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"image_id": ""}, "image-missing"),
        ({"image_id": "../a"}, "image-unsafe"),
        ({"rad_id": "a_b"}, "reader-unsafe"),
        ({"kind": "nothing"}, "normal-with-box"),
        ({"x_min_px": 7.0}, "box-inverted"),
        ({"x_min_px": 5.0}, "box-without-area"),
        ({"x_min_px": None}, "coordinate-no-number"),
        ({"image_id": "", "x_min_px": 7.0}, "image-missing"),
    ],
)
def test_the_first_rule_that_refuses_a_row_gives_the_code(changes: dict, code: str | None) -> None:
    assert told(**changes)[0] == code
    assert (told(**changes)[1] is None) == (code is None)


def test_a_sentence_shows_the_value_without_control_characters() -> None:
    assert told(rad_id="a\nb") == (
        "reader-unsafe",
        "rad_id is not made of letters, digits and hyphens: rad_id 'a\ufffdb'",
    )


def test_a_row_that_is_refused_keeps_its_first_reason() -> None:
    table = pl.DataFrame({"code": [None, "old"], "reason": [None, "before"]}, schema_overrides={"code": pl.String})
    refusal = pl.struct(code=pl.lit("new"), reason=pl.lit("after")).alias("refusal")
    assert row_rules.refuse(table, refusal).rows() == [("new", "after"), ("old", "before")]
