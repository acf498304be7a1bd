"""The whole chain around a real Orthanc, everything killed once in the middle; `hospital_day.py` does it at length."""

from collections import Counter

import pytest

import hospital_day
from hospital_day import Hospital

pytest_plugins = ("pacs_server",)
STUDIES = 12


@pytest.mark.slow
def test_every_study_has_one_report_whatever_is_killed_and_what_a_reader_says_joins_the_next_version(pacs, tmp_path):
    hospital = Hospital.build(pacs, tmp_path, STUDIES)
    hospital_day.day(hospital, 1, per_second=1.5, say=print)
    assert hospital.watch_once().studies == 0
    assert hospital_day.counted(hospital) == {
        "images": Counter({1: STUDIES}),
        "reports": Counter({1: STUDIES}),
        "feedback": Counter({1: STUDIES}),
    }

    assert hospital_day.read_all(hospital) > 0
    assert hospital.watch_once().reviews == STUDIES
    after = hospital_day.next_version(hospital)
    before, now = after["training"]
    assert after["version"][0] != after["version"][1]
    assert after["came in as"].total() == STUDIES
    assert now - before == after["came in as"]["incoming"] > 0
    assert after["are now"]["audit"] == after["came in as"]["audit"]
