"""What the trainer says of a data yaml, before it looks for a picture."""

import math
from collections.abc import Iterator
from typing import Final, TypeGuard

from radloop.dataset.trainer_rules import Violation

SPLITS: Final = ("train", "val", "test")
_OTHER_PLACES: Final = ("path", "validation", "minival")
_LISTS: Final = ("kpt_shape", "flip_idx")  # keys of other tasks, whose kind the trainer looks at all the same


def judge_yaml(key: str, content: object) -> list[Violation]:
    """What the trainer says of a parsed data yaml."""
    if not isinstance(content, dict):
        return [Violation("yaml-unreadable", key, None, f"it holds {_kind(content)}, not keys with values")]
    found = [Violation("yaml-keys", key, None, detail) for detail in _places_problems(content)]
    found += [Violation("yaml-names", key, None, detail) for detail in _names_problems(content)]
    path = content.get("path")
    if isinstance(path, str) and path and not path.startswith("/"):
        named = " ".join(path.split())[:200]
        detail = f"`path: {named}` is looked for in the working directory, then in a global folder: leave it out"
        found.append(Violation("yaml-path", key, None, detail))
    if content.get("download"):
        found.append(Violation("yaml-download", key, None, "`download` is run as a program where val is missing"))
    return found


def is_place(name: object) -> bool:
    """Whether a key of the yaml is one whose folder the trainer looks for."""
    return name in SPLITS or name in _OTHER_PLACES


def named_split(content: object, split: str) -> object:
    """What a parsed yaml names as `split`; `val` may be called `validation`."""
    if not isinstance(content, dict):
        return None
    return content.get("validation") if split == "val" and "val" not in content else content.get(split)


def class_count(content: object) -> int | None:
    """The number of classes that a parsed data yaml names; None where it names none that the trainer takes."""
    if not isinstance(content, dict):
        return None
    names = content.get("names")
    if names is None:
        return _whole_number(content.get("nc"))
    if isinstance(names, list) and names:
        return len(names)
    return len(numbers) if isinstance(names, dict) and (numbers := _numbers(names)) else None


def keypoint_columns(content: object) -> int:
    """How many columns behind the box `kpt_shape` declares; 0 where it declares none."""
    shape = content.get("kpt_shape") if isinstance(content, dict) else None
    return math.prod(shape) if _is_shape(shape) else 0


def _places_problems(content: dict[object, object]) -> Iterator[str]:
    for split in ("train", "val"):
        if split not in content and not (split == "val" and "validation" in content):
            yield f"`{split}` is missing"
        elif not named_split(content, split):
            yield f"`{split}` is empty"
    for split in (*SPLITS, "minival"):
        if not _are_paths(named_split(content, split)):
            yield f"`{split}` is no path and no list of paths"
    path = content.get("path")
    if path is not None and not isinstance(path, str):
        yield f"`path` is {_kind(path)}, not a path"
    for name in _LISTS:
        value = content.get(name)
        if value is not None and not isinstance(value, list):
            yield f"`{name}` is {_kind(value)}, not a list"
    if "kpt_shape" in content and not _is_shape(content["kpt_shape"]):
        yield "`kpt_shape` is no pair of numbers"
    if content.get("download") and not isinstance(content["download"], str):
        yield "`download` is no text"


def _is_shape(shape: object) -> TypeGuard[list[int]]:
    return isinstance(shape, list) and len(shape) == 2 and all(isinstance(number, int) for number in shape)


def _are_paths(value: object) -> bool:
    if value is None:
        return True
    return all(isinstance(path, str) for path in (value if isinstance(value, list) else [value]))


def _names_problems(content: dict[object, object]) -> Iterator[str]:
    names = content.get("names")
    if names is None and "nc" not in content:
        yield "`names` (or `nc`) is missing"
        return
    count = _whole_number(content.get("nc"))
    if "nc" in content and (count is None or (names is None and count < 1)):
        yield f"`nc` is {content['nc']!r}, not a number of classes"
    if names is None:
        return
    if not isinstance(names, list | dict) or not names:
        yield f"`names` holds {_kind(names)}, not a list or numbered names"
        return
    if isinstance(names, dict):
        numbers = _numbers(names)
        if numbers is None:
            yield "`names` has a key that is no number"
        elif 0 not in numbers or numbers[-1] >= len(numbers):
            yield f"`names` are numbered {numbers[0]}..{numbers[-1]}: {len(numbers)} names need 0..{len(numbers) - 1}"
    if count is not None and count != len(names):
        yield f"`nc` is {content['nc']!r}, but there are {len(names)} names"


def _numbers(names: dict[object, object]) -> list[int] | None:
    try:
        return sorted({int(number) for number in names})  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None


def _whole_number(count: object) -> int | None:
    """A number of classes as the trainer reads it: '2' and 2.0 are 2."""
    try:
        number = float(count)  # type: ignore[arg-type]
        return int(number) if number == int(number) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _kind(content: object) -> str:
    return "nothing" if content in (None, "", [], {}) else f"a {type(content).__name__}"
