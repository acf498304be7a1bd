"""COCO's object detection format (https://cocodataset.org/#format-data): one json file, or one for each split.

An image that a file lists without an annotation is normal. A file without annotations beside others that have some
lists images that nobody has labelled, but for those that say who looked: `readers` of an image, as radloop's own export
writes it, beside `rad_id` of an annotation.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle
from radloop.sources.formats.coco_document import Category, Id, decode
from radloop.sources.formats.coco_file import File
from radloop.sources.formats.labels import Labels, of_table
from radloop.taxonomy import Taxonomy, is_nothing, normal

_DOCUMENT: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{.*?"(?:images|categories)"\s*:\s*\[\s*[{\]]', re.DOTALL)
_ANNOTATIONS_FIRST: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"annotations"\s*:\s*\[\s*(\{[^{}]*)')
_RESULTS: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*(\{[^{}]*)")
_OF_A_BOX: Final = (b'"image_id"', b'"category_id"', b'"bbox"')
_LONGEST_SHOWN: Final = 60


def find(bundle: Bundle) -> tuple[str, ...]:
    """The json files that begin as COCO's do, lists of predictions among them."""
    return tuple(name for name in bundle.ending(".json") if _is_coco(bundle.head(name)))


def _is_coco(head: bytes) -> bool:
    first = _ANNOTATIONS_FIRST.match(head)
    return bool(_DOCUMENT.match(head) or (first and all(key in first[1] for key in _OF_A_BOX))) or _is_results(head)


def _is_results(head: bytes) -> bool:
    """Whether it is what a model found, as COCO's tools judge it: a bare list of boxes with scores."""
    first = _RESULTS.match(head)
    return first is not None and all(key in first[1] for key in (*_OF_A_BOX, b'"score"'))


def read(bundle: Bundle) -> Labels:
    """The labels in all files. Raises AnnotationError where one cannot be used, or two contradict each other."""
    names = find(bundle) or bundle.ending(".json") or (bundle.names if bundle.path.is_file() else ())
    if not names:
        raise AnnotationError(f"{bundle.path} holds no json file. Pass the folder or file that has COCO's labels.")
    results = [name for name in names if _is_results(bundle.head(name))]
    there = frozenset(bundle.names)
    files = [File(name, decode(bundle.read(name), bundle.shown(name)), there) for name in names if name not in results]
    if not files:
        raise AnnotationError(
            f"{bundle.shown(results[0])} holds predictions, not labels: a list of boxes with scores. Pass the file "
            "that has images, annotations and categories."
        )
    if not any(file.is_labelled or file.says_who_looked for file in files):
        raise AnnotationError(f"{bundle.shown(files[0].name)} holds no annotation. Pass the file that has the labels.")
    classes, notes = _classes(files)
    notes += [f"{name} holds predictions, not labels, and is not read" for name in results]
    notes += [note for file in files for note in file.notes()]
    has_splits = any(file.split for file in files)
    tables = [(file.rows(), file.refused()) for file in files]
    files.clear()  # the records: they take as much memory as the tables
    rows, refused = (pl.concat(parts, how="diagonal_relaxed") for parts in zip(*tables, strict=True))
    tables.clear()
    sized = rows["width"].is_not_null().any()
    unused = [*([] if sized else ["width", "height"]), *([] if has_splits else ["split"])]
    return of_table(rows.drop(unused), refused, boxes="original" if sized else "picture", classes=classes, notes=notes)


def _classes(files: Sequence[File]) -> tuple[Taxonomy | None, list[str]]:
    """The categories in the order of their ids, without one that is no finding, and what is to be said of them.

    None where two differ in case or spaces only: whether they are one is for the user to say.
    """
    categories: dict[Id, Category] = {}
    for file in files:
        for category in file.document.categories:
            known = categories.setdefault(category.id, category)
            if known.name != category.name:
                raise AnnotationError(
                    f"{file.name}: category {category.id} is {category.name[:_LONGEST_SHOWN]!r}, and elsewhere "
                    f"{known.name[:_LONGEST_SHOWN]!r}. Number the categories alike in all files."
                )
    notes = []
    used = {annotation.category_id for file in files for annotation in file.document.annotations or ()}
    for root in list(_roots(categories)):
        if root.id not in used:
            del categories[root.id]
            notes.append(f"the category {root.name!r} is the root of the others and of no annotation: it is left out")
    order = sorted(categories.values(), key=lambda one: (isinstance(one.id, str), one.id))
    names = list(dict.fromkeys(one.name.strip() for one in order if not is_nothing(one.name)))
    if len({normal(name) for name in names}) < len(names):
        return None, notes
    return (Taxonomy(tuple(names)) if names else None), notes


def _roots(categories: dict[Id, Category]) -> Iterator[Category]:
    """Categories that all others name as theirs above them: Roboflow writes one, with the id 0."""
    for category in categories.values():
        others = [one for one in categories.values() if one.id != category.id]
        if others and all(one.supercategory == category.name for one in others):
            yield category
