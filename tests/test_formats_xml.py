"""XML of other people: nothing in it is expanded or fetched, and what is wrong with it is one sentence."""

import pytest

from radloop.sources.formats import xml
from radloop.sources.formats.xml import XmlError


class Seen:
    """Keeps the tags with their lines."""

    def __init__(self):
        self.lines, self.tags = None, []

    def start(self, tag, attributes):
        self.tags.append((tag, self.lines.CurrentLineNumber, attributes))

    def end(self, tag):
        """Nothing is kept."""

    data = end

    def close(self):
        """Nothing is kept."""


def test_each_element_comes_with_its_line():
    seen = Seen()
    xml.parse(b"<a>\n<b x='1'/>\n\n<b/></a>", seen)
    assert seen.tags == [("a", 1, {}), ("b", 2, {"x": "1"}), ("b", 4, {})]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "xml-broken"),
        (b"<a><b></a>", "xml-broken"),
        (b"<a>&#0;</a>", "xml-broken"),
        (b"<?xml version='1.0' encoding='nonsense'?><a/>", "xml-broken"),
        (b"<!DOCTYPE a SYSTEM 'http://127.0.0.1/x'><a/>", "xml-unsafe"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "xml-unsafe"),
    ],
)
def test_what_is_no_safe_xml_is_one_sentence_with_a_code(data, code):
    with pytest.raises(XmlError) as wrong:
        xml.parse(data, Seen())
    assert wrong.value.code == code
    assert len(str(wrong.value).splitlines()) == 1
