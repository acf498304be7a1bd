"""The rows that the records of one COCO file are."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from radloop.errors import AnnotationError
from radloop.sources.formats.coco_document import LONGEST_NAME, Broken, Document, Id, Kind
from radloop.tables import SINGLE_READER
from radloop.taxonomy import NOTHING, is_nothing
from radloop.words import several

_SPLITS: Final = "training|train|validation|valid|val|testing|test|dev|staging|canary|production"
_SPLIT: Final = re.compile(rf"(?<![a-z])({_SPLITS})(?![a-z])")
_BOX: Final = ("x_min", "y_min", "x_max", "y_max")
_NO_BOX: Final = (None, None, None, None)
_LARGEST_WHOLE: Final = 2**31
_LONGEST_SHOWN: Final = 60
_DRAWN: Final = pl.Schema({"file": pl.String, "rad_id": pl.String})


class File:
    """One file: its images, and its annotations beside the image of each, as tables."""

    def __init__(self, name: str, document: Document, there: frozenset[str]) -> None:
        """there: the files around it, which tell whether pictures are named from the folder that it lies in.

        Raises AnnotationError where one id has two pictures, or an annotation tells no image.
        """
        self.name, self.document = name, document
        self.class_names = {category.id: category.name for category in document.categories}
        self._index = {_key(image.id): at for at, image in enumerate(document.images)}
        self._require_one_picture_each()
        self._require_images_of_annotations()
        self._images = self._image_table(there)
        self._annotations = self._annotation_table()

    @property
    def is_labelled(self) -> bool:
        """Whether it holds any annotation, refused ones among them."""
        return bool(self.document.annotations) or any(one.kind == "annotations" for one in self.document.broken)

    @property
    def says_who_looked(self) -> bool:
        """Whether its images name their readers."""
        return any(image.readers for image in self.document.images)

    @property
    def split(self) -> str | None:
        """The split that its name tells, or else the folder that it lies in."""
        told = (_SPLIT.search(part.lower()) for part in reversed(self.name.split("/")))
        return next((one[1] for one in told if one), None)

    def notes(self) -> Iterator[str]:
        """What is to be said of it."""
        images, annotations = self.document.images, self.document.annotations or ()
        if not self.is_labelled:
            silent = sum(not image.readers for image in images)
            if silent:
                yield f"{self.name} holds no annotation: its {several(silent, 'image')} are unlabelled, not normal"
        if twice := len(images) - len(self._index):
            yield f"{self.name} lists {several(twice, 'image')} twice under one id"
        ids = Counter(one.id for one in annotations if one.id is not None)
        if twice := ids.total() - len(ids):
            yield f"{self.name}: {twice:,} of the annotations have the id of another, and all are read"

    def rows(self) -> pl.DataFrame:
        """Sound annotations, and "No finding" of whoever looked at an image and drew nothing."""
        found = self._annotations.filter(pl.col("code").is_null()).select(
            "file", "class_name", "width", "height", *_BOX,
            rad_id=pl.col("rad_id").fill_null(SINGLE_READER), place=self._place("annotations"),
        )  # fmt: skip
        nothing = self._nothing().select(
            "file", "width", "height", "rad_id", class_name=pl.lit(NOTHING), place=self._place("images")
        )
        return pl.concat([found, nothing], how="diagonal").with_columns(split=pl.lit(self.split, pl.String))

    def refused(self) -> pl.DataFrame:
        """What is no row: annotations that are no sound box, and what stands in the place of a record."""
        refused = self._annotations.filter(pl.col("code").is_not_null())
        annotations = self.document.annotations or ()
        reasons = [_reason(code, annotations[at]) for code, at in refused.select("code", "at").iter_rows()]
        table = refused.select(
            "file", "class_name", "code", *_BOX,
            rad_id=pl.col("rad_id").fill_null(SINGLE_READER), place=self._place("annotations"),
            reason=pl.Series(reasons, dtype=pl.String),
        )  # fmt: skip
        broken = [self._broken_row(one) for one in self.document.broken]
        return pl.concat([table, pl.DataFrame(broken, schema=table.schema)], how="vertical")

    def _broken_row(self, broken: Broken) -> dict[str, str | None]:
        fields = broken.fields
        category = fields.get("category_id")
        return {
            "file": self._file_of(broken),
            "class_name": self.class_names.get(category) if isinstance(category, Id) else None,
            "code": "record-unusable",
            "rad_id": _text(fields.get("rad_id")) or SINGLE_READER,
            "place": f"{self.name}: {broken.kind}[{broken.number}]",
            "reason": f"it is none of COCO's {broken.kind}: {broken.reason}",
        }

    def _file_of(self, broken: Broken) -> str | None:
        if broken.kind == "images":
            return _text(broken.fields.get("file_name"))
        at = self._index.get(_key(broken.fields["image_id"]))
        return None if at is None else str(self._images["file"][at])

    def _nothing(self) -> pl.DataFrame:
        """The images that somebody looked at without an annotation, sound or not, and who it was (`rad_id`)."""
        broken = [(self._file_of(one), _text(one.fields.get("rad_id"))) for one in self.document.broken]
        drawn = pl.concat([self._annotations.select("file", "rad_id"), pl.DataFrame(broken, _DRAWN, orient="row")])
        drawn = drawn.unique()
        by_nobody_named = drawn.filter(pl.col("rad_id").is_null())
        fused = any(one.support is not None for one in self.document.annotations or ())
        looked = (
            []
            if fused
            else [(at, who) for at, one in enumerate(self.document.images) for who in {*(one.readers or ())}]
        )
        at, who = zip(*looked, strict=True) if looked else ((), ())
        readers = self._images.select(pl.all().gather(pl.Series(at, dtype=pl.Int64))).with_columns(
            rad_id=pl.Series(who, dtype=pl.String)
        )
        readers = readers.join(by_nobody_named, on="file", how="anti").join(drawn, on=["file", "rad_id"], how="anti")
        if not self.is_labelled:
            return readers
        others = self._images.filter(pl.lit(fused) | ~pl.col("named")).join(drawn, on="file", how="anti")
        return pl.concat([readers, others.with_columns(rad_id=pl.lit(SINGLE_READER))], how="vertical")

    def _place(self, kind: Kind) -> pl.Expr:
        return pl.format("{}: {}[{}]", pl.lit(self.name), pl.lit(kind), "number")

    def _require_one_picture_each(self) -> None:
        images = self.document.images
        if len(self._index) == len(images):
            return
        for image in images:
            other = images[self._index[_key(image.id)]]
            if other.file_name != image.file_name:
                raise AnnotationError(
                    f"{self.name}: the images {_shown(image.file_name)} and {_shown(other.file_name)} have one id, "
                    f"{_shown(image.id)}: it cannot be told whose the annotations are. Number the images anew."
                )

    def _require_images_of_annotations(self) -> None:
        for one in self.document.broken:
            image_id = one.fields.get("image_id")
            if one.kind == "annotations" and (not isinstance(image_id, Id) or isinstance(image_id, bool)):
                raise AnnotationError(
                    f"{self.name}: annotations[{one.number}] tells no image_id ({one.reason}): its image would be "
                    "taken for normal, and nobody knows which it is. Mend it, or remove it."
                )

    def _image_table(self, there: frozenset[str]) -> pl.DataFrame:
        images = self.document.images
        paths, folder = [image.file_name for image in images], self.name.rpartition("/")[0]
        if folder:
            paths = [near if (near := f"{folder}/{path}") in there else path for path in paths]
        table = pl.DataFrame(
            {
                "file": pl.Series(paths, dtype=pl.String),
                "width": pl.Series([image.width or None for image in images], dtype=pl.Float64),
                "height": pl.Series([image.height or None for image in images], dtype=pl.Float64),
                "named": pl.Series([bool(image.readers) for image in images], dtype=pl.Boolean),
                "number": pl.Series(self.document.image_numbers, dtype=pl.Int64),
            }
        )
        sides = pl.col("width", "height")
        whole = table.select((sides.is_null() | ((sides % 1 == 0) & (sides.abs() < _LARGEST_WHOLE))).all())
        return table.with_columns(sides.cast(pl.Int64)) if all(whole.row(0)) else table

    def _annotation_table(self) -> pl.DataFrame:
        """The annotations, each with its image, and why it is refused where it is (`code`)."""
        annotations = self.document.annotations or []
        at = pl.Series([self._index.get(_key(one.image_id)) for one in annotations], dtype=pl.Int64)
        corners = [*zip(*(one.bbox or _NO_BOX for one in annotations), strict=True)] or [()] * 4
        x, y, w, h = (pl.Series(name, side, dtype=pl.Float64) for name, side in zip("xywh", corners, strict=True))
        table = self._images.select(pl.col("file", "width", "height").gather(at)).with_columns(
            x_min=x, y_min=y, x_max=x + w, y_max=y + h, negative=(w < 0) | (h < 0),
            class_name=pl.Series([self.class_names.get(one.category_id) for one in annotations], dtype=pl.String),
            rad_id=pl.Series([one.rad_id for one in annotations], dtype=pl.String),
            crowd=pl.Series([bool(one.iscrowd) for one in annotations], dtype=pl.Boolean),
            number=pl.Series(self.document.annotation_numbers, dtype=pl.Int64),
            at=pl.int_range(len(annotations)),
        )  # fmt: skip
        nothing = pl.col("class_name").is_in([name for name in self.class_names.values() if is_nothing(name)])
        code = (
            pl.when(pl.col("file").is_null()).then(pl.lit("image-unknown"))
            .when(pl.col("class_name").is_null()).then(pl.lit("class-unknown"))
            .when("crowd").then(pl.lit("region-not-box"))
            .when(pl.col("x_min").is_null() & ~nothing).then(pl.lit("box-missing"))
            .when("negative").then(pl.lit("size-negative"))
        )  # fmt: skip
        return table.with_columns(code=code)


def _reason(code: str, annotation: Any) -> str:
    """Why an annotation is refused, with the value."""
    return {
        "image-unknown": f"no image has its image_id, {_shown(annotation.image_id)}",
        "class-unknown": f"the class is unknown: category_id {_shown(annotation.category_id)}",
        "region-not-box": f"it marks a region, which is no box: iscrowd {annotation.iscrowd}",
        "box-missing": "the finding has no box",
        "size-negative": f"the box has a negative width or height: {annotation.bbox}",
    }[code]


def _key(image_id: Id) -> str:
    """What ways to write an id have in common: 7, 7.0 and "7"."""
    return str(int(image_id)) if isinstance(image_id, float) and image_id.is_integer() else str(image_id)


def _shown(value: object) -> str:
    return repr(value)[:_LONGEST_SHOWN]


def _text(value: object) -> str | None:
    return value[:LONGEST_NAME] if isinstance(value, str) else None
