"""One JSON document from outside: its bytes read strictly, or (code, sentence) for what is wrong with it."""

import errno
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, TypeVar, get_args

import msgspec

from radloop import formats
from radloop.errors import UNDECODABLE, FeedbackError, NewerFormatError
from radloop.tables import Verdict
from radloop.words import Seen

MAX_BYTES: Final = 4 * 1024 * 1024

T = TypeVar("T")
BOM: Final = b"\xef\xbb\xbf"  # what Windows programs write in front; it means nothing
_FIRST_READ: Final = 16 * 1024  # bytes; almost every file is smaller
_READ_ONLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_UNREADABLE: Final = {
    errno.ELOOP: ("not-a-file", "a symbolic link: feedback is a file"),
    errno.EISDIR: ("not-a-file", "a folder"),
    errno.ENXIO: ("not-a-file", "not a regular file"),
    errno.EAGAIN: ("not-a-file", "not a regular file"),
    errno.EACCES: ("unreadable", "no permission to read it"),
    errno.EPERM: ("unreadable", "no permission to read it"),
    errno.ENOENT: ("gone", "it went away while the folder was read"),
}

_LONGEST_SHOWN: Final = 60  # characters of a value in a sentence
_TYPES: Final = {
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_EXPECTED: Final = re.compile(r"Expected `(?P<types>[a-z |]+)`(?:, got `(?P<got>\w+)`)?(?P<limit>.*)", re.DOTALL)
_FORMS: Final = {  # of the fields that are a text of a certain form, or one of few values
    "image_id": "1 to 200 characters, without a slash or control character, and no dot in front",
    "feedback_id": "1 to 64 letters, digits, - and _, the first a letter or digit",
    "image_md5": "32 hexadecimal digits in lower case",
    "image_phash": "16 hexadecimal digits in lower case",
    "recipe": "the name of a recipe: 1 to 100 characters of ASCII, without blanks",
    "reviewer": "a pseudonym of 1 to 50 letters, digits and -",
    "previous": "16 hexadecimal digits in lower case",
    "split": f"one of {', '.join(get_args(Seen))}",
    "verdict": f"one of {', '.join(get_args(Verdict))}",
    "schema_version": "1 or 2",
}


def read_bytes(directory: int, name: str) -> bytes:
    """What is in a file of the folder. Raises FeedbackError where it is none that could be feedback."""
    if not name.isascii() and shown(name) != name:
        raise FeedbackError("its name is not UTF-8", code="bad-file-name")
    try:
        descriptor = os.open(name, _READ_ONLY, dir_fd=directory)
        try:
            data = os.read(descriptor, _FIRST_READ)
            return data if 0 < len(data) < _FIRST_READ else data + _rest(descriptor)
        finally:
            os.close(descriptor)
    except OSError as unreadable:
        raise _of_system(unreadable) from unreadable


def lines(directory: int, name: str) -> Iterator[tuple[str, bytes | FeedbackError]]:
    """(`name:number`, its bytes) of each line that is not empty; an error where the file, or a line of it, is none."""
    try:
        descriptor = os.open(name, _READ_ONLY, dir_fd=directory)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.ENXIO, "not a regular file")
    except OSError as unreadable:
        yield name, _of_system(unreadable)
        return
    with os.fdopen(descriptor, "rb") as file:
        number = 0
        while line := file.readline(MAX_BYTES + 1):
            number += 1
            if len(line) > MAX_BYTES:
                yield f"{name}:{number}", FeedbackError(f"a line of more than {MAX_BYTES} bytes", code="too-large")
                return
            if line.strip():
                yield f"{name}:{number}", line.strip()


def _of_system(unreadable: OSError) -> FeedbackError:
    other = ("unreadable", f"cannot be read: {unreadable.strerror}")
    code, sentence = _UNREADABLE.get(unreadable.errno or 0, other)
    return FeedbackError(sentence, code=code)


def _rest(descriptor: int) -> bytes:
    """What comes after the first bytes, if this is a file of a size to be read."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise FeedbackError("not a regular file", code="not-a-file")
    _refuse_size(status.st_size)
    parts = []
    while part := os.read(descriptor, MAX_BYTES):
        parts.append(part)
    return b"".join(parts)


def _refuse_size(count: int) -> None:
    if count == 0:
        raise FeedbackError("the file is empty", code="empty")
    if count > MAX_BYTES:
        raise FeedbackError(f"{count} bytes are more than any feedback has ({MAX_BYTES}): not read", code="too-large")


def shown(name: str) -> str:
    """A file's name as text that can be written anywhere."""
    return os.fsencode(name).decode("utf-8", "replace")


def decode(data: bytes, decoder: msgspec.json.Decoder[T], newest: int = 1) -> T:
    """The document in the bytes, of a format up to `newest`. Raises FeedbackError; a key may stand twice."""
    _refuse_size(len(data))
    data = data.removeprefix(BOM)
    try:
        return decoder.decode(data)
    except UNDECODABLE as broken:
        raise refusal(data, broken, newest) from broken


def convert(document: dict[str, Any], kind: type[T], newest: int = 1) -> T:
    """`document` as a record. Raises FeedbackError."""
    data = json.dumps(document).encode()
    return decode(data, msgspec.json.Decoder(kind), newest)


def refuse_repeated_keys(data: bytes) -> None:
    """A key that stands twice has two values, and JSON readers differ in which they take."""
    try:
        _plain(data)
    except (ValueError, RecursionError) as unreadable:  # deep nesting or endless numbers in a key of no meaning
        raise FeedbackError(f"it is not readable as JSON: {unreadable}", code="not-json") from unreadable


def refusal(data: bytes, broken: Exception, newest: int = 1) -> FeedbackError:
    """What msgspec says of `data`, in a code and in words that name field and value."""
    if isinstance(broken, msgspec.ValidationError):
        return _of_newer(data, newest) or _of_field(data, str(broken))
    if isinstance(broken, RecursionError):
        return FeedbackError("it is not readable as JSON: nested too deeply", code="not-json")
    if isinstance(broken, UnicodeDecodeError):
        return FeedbackError("it is not JSON: a text in it is not UTF-8", code="not-json")
    detail = str(broken).removeprefix("JSON is malformed: ").replace("Input data was", "the data are")
    return FeedbackError(f"it is not JSON: {detail}", code="not-json")


def _of_newer(data: bytes, newest: int) -> FeedbackError | None:
    """The refusal of a document that tells of a format of later, whatever else is wrong with it then."""
    try:
        formats.require_json(data, name="it", up_to=newest)
    except NewerFormatError as newer:
        return FeedbackError(str(newer), code="bad-schema-version")
    return None


def _of_field(data: bytes, message: str) -> FeedbackError:
    """`message` is `Expected … - at `$.detections[0].class_id``; without a place it speaks of the whole document."""
    what, _, place = message.rpartition(" - at `$")
    what, place = (what, place.rstrip("`").removeprefix(".")) if what else (message, "")
    if what.startswith("Object missing required field"):
        absent = what.split("`")[1]
        inside = f" in {place}" if place else ""
        return FeedbackError(f"{absent} is missing{inside}", code=f"missing-{_kebab(absent)}")
    if not place:
        found = re.search(r"`(\w+)`$", what)  # none of a number that is out of range
        return FeedbackError(f"it is {_TYPES[found[1]] if found else 'a number'}, not an object", code="not-an-object")
    field = re.sub(r"\[\d+\]", "", place).rpartition(".")[2]
    try:
        value = f" {_in_short(_at(_plain(data), place))}"
    except (ValueError, RecursionError):  # digits without end
        value = ""
    return FeedbackError(f"{place}{value}: {_expectation(field, what)}", code=f"bad-{_kebab(field)}")


def _expectation(field: str, what: str) -> str:
    found = _EXPECTED.fullmatch(what)
    types = found["types"].split(" | ") if found else []
    if not found or "matching regex" in found["limit"]:
        return f"expected {_FORMS[field]}" if field in _FORMS else what[:1].lower() + what[1:]
    words = " or ".join(_TYPES.get(one, one) for one in types if one != "null")
    return f"expected {words}{found['limit']}{' or null' if 'null' in types else ''}"


def plain(data: bytes) -> dict[str, Any] | None:
    """The object in the bytes as Python has it, whatever its fields are worth; None where there is none."""
    try:
        document = _plain(data)
    except (FeedbackError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _plain(data: bytes) -> Any:
    """The document as Python has it. Raises ValueError, RecursionError, and FeedbackError where a key stands twice."""

    def distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
        document = dict(pairs)
        if len(document) != len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise FeedbackError(f"the key {twice[:40]!r} stands twice", code="key-twice")
        return document

    return json.loads(data, object_pairs_hook=distinct)


def _at(document: Any, place: str) -> Any:
    for name, number in re.findall(r"(\w+)|\[(\d+)\]", place):
        document = document[name] if name else document[int(number)]
    return document


def _in_short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _kebab(field: str) -> str:
    return field.replace("_", "-")
