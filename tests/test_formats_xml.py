"""XML of other people: nothing in it is expanded or fetched, and what is wrong with it is one sentence."""

import pytest

from radloop.sources.formats import xml
from radloop.sources.formats.xml import XmlError


class Seen(xml.Target):
    """Keeps the tags with their lines."""

    def __init__(self):
        super().__init__("a", "another-root")
        self.tags = []

    def begin(self, path, attributes):
        self.tags.append((["a", *path][-1], self.line, attributes))


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
        (b"<b/>", "another-root"),
        (b"<a>" * 101, "xml-broken"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "xml-unsafe"),
    ],
)
def test_what_is_no_safe_xml_is_one_sentence_with_a_code(data, code):
    with pytest.raises(XmlError) as wrong:
        xml.parse(data, Seen())
    assert wrong.value.code == code
    assert len(str(wrong.value).splitlines()) == 1
