"""Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html): `metadata.json`, which describes
the tables and pictures beside it, with the fields of its extension for responsible AI.

Record sets: `images` and `annotations` (also rows that are in no label, as `used` tells), with `consensus` where the
readers' boxes are fused; `pictures`; `classes`; `splits`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import sealed, tree
from radloop.catalog import version
from radloop.dataset.export import card, pictures
from radloop.dataset.export.contents import Contents
from radloop.progress import Progress, silent

METADATA: Final = "metadata.json"
IMAGES: Final = "images.parquet"

_CONFORMS_TO: Final = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
_OWN_WORDS: Final = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform"),
)
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{word: f"cr:{word}" for word in _OWN_WORDS},
}
_FORMATS: Final = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


def write(contents: Contents, folder: Path, progress: Progress = silent) -> None:
    """Write tables and metadata, and link the pictures."""
    tables = {"images": _images(contents), "annotations": contents.annotations}
    data = {
        IMAGES: sealed.encode(tables["images"]),
        tree.ANNOTATIONS: version.encode(contents.annotations, contents.classes),
    }
    if "consensus" in {contents.labels[split] for split in contents.splits}:
        tables["consensus"] = _fused(contents)
        data[tree.CONSENSUS] = sealed.encode(tables["consensus"])
    for name, content in data.items():
        (folder / name).write_bytes(content)
    described = document(contents, tables, data)
    (folder / METADATA).write_bytes(tree.json_file(described))
    pictures.link(contents.root, contents.images, folder, pictures.by_split, progress)


def _images(contents: Contents) -> pl.DataFrame:
    place = pl.format(f"{pictures.FOLDER}/{{}}/{{}}", "split", "file")
    told = ("image_id", "split", "group", "width", "height", "bytes", "md5", "readers")
    return contents.images.with_columns(file=place).select("file", *told)


def _fused(contents: Contents) -> pl.DataFrame:
    fused = contents.boxes.filter(pl.col("rad_id").is_null()).drop("number", "rad_id", "weight", "ignore")
    return fused.with_columns(class_name=contents.classes.named(pl.col("class_id")))


def document(contents: Contents, tables: Mapping[str, pl.DataFrame], data: Mapping[str, bytes]) -> dict[str, Any]:
    """The content of metadata.json; `data` are the files of `tables`, in their order."""
    suffixes = sorted(set(contents.images["file"].str.extract(r"(\.[^.]*)$")))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS_TO,
        "name": f"radloop dataset {contents.version}",
        "description": card.description(contents),
        "version": f"0.0.0+{contents.version}",  # as a semantic version, which Croissant asks for
        **({"license": contents.license} if contents.license else {}),
        **card.responsible(contents),
        "distribution": [
            *(_file(name, content) for name, content in data.items()),
            {
                "@type": "cr:FileSet",
                "@id": "picture-files",
                "includes": [f"{pictures.FOLDER}/*/*{suffix}" for suffix in suffixes],
                "encodingFormat": sorted({_FORMATS[suffix.lower()] for suffix in suffixes}),
            },
        ],
        "recordSet": [
            *(_records(name, table, file) for (name, table), file in zip(tables.items(), data, strict=True)),
            _picture_records(),
            _inline("classes", contents.classes.table(with_nothing=True), "sc:Enumeration"),
            _inline("splits", pl.DataFrame({"name": contents.splits}), "cr:Split"),
        ],
    }


def _file(name: str, content: bytes) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{len(content)} B",
        "encodingFormat": "application/x-parquet",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _records(name: str, table: pl.DataFrame, file: str) -> dict[str, Any]:
    fields = [
        {**_field(name, column, kind), "source": {"fileObject": {"@id": file}, "extract": {"column": column}}}
        for column, kind in table.schema.items()
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _picture_records() -> dict[str, Any]:
    kinds = {"file": ("sc:Text", "fullpath"), "content": ("sc:ImageObject", "content")}
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"pictures/{name}",
            "name": name,
            "dataType": kind,
            "source": {"fileSet": {"@id": "picture-files"}, "extract": {"fileProperty": own}},
        }
        for name, (kind, own) in kinds.items()
    ]
    return {"@type": "cr:RecordSet", "@id": "pictures", "name": "pictures", "field": fields}


def _inline(name: str, table: pl.DataFrame, kind: str) -> dict[str, Any]:
    """A record set whose rows stand in the document itself."""
    rows = [{f"{name}/{column}": value for column, value in row.items()} for row in table.iter_rows(named=True)]
    fields = [_field(name, column, of) for column, of in table.schema.items()]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "dataType": kind, "field": fields, "data": rows}


def _field(records: str, column: str, kind: pl.DataType) -> dict[str, Any]:
    several = {"isArray": True, "arrayShape": "-1"} if isinstance(kind, pl.List) else {}
    return {"@type": "cr:Field", "@id": f"{records}/{column}", "name": column, "dataType": _type(kind), **several}


def _type(kind: pl.DataType) -> str:
    if kind.is_integer():
        return "sc:Integer"
    if kind.is_float():
        return "sc:Float"
    return "sc:Boolean" if kind == pl.Boolean else "sc:Text"
