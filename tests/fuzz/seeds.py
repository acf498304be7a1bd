"""What the fuzzers begin with: for each target a few small inputs that its reader takes, and words of its language."""

import gzip
import io
import json
import random
import struct
import zipfile
import zlib

import numpy as np
import polars as pl
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

import dicom_files
import label_studio_files
import models_unit
import monitor_report
import structured_reports
from radloop import manifest
from radloop.catalog import heldout, incoming, monitor, tombstones
from radloop.dicom.report import Device
from radloop.feedback import records, reviews
from radloop.tables import HELDOUT, INCOMING, MANIFEST
from radloop.vindr.classes import TAXONOMY

from . import targets

_HEADER = ",".join(targets.ALL_COLUMNS).encode()
_ROWS = b"""\
a1,Cardiomegaly,3,R9,100,200,300.5,400.25,2048,2560,p1
a1,Aortic enlargement,0,R8,10,20,30,40,,,
a1,No finding,14,R10,,,,,2048,2560,p1
"a ""2"" b",No finding,14,R9,,,,,2048,2560,p2
"""
_BARE = {
    "image_id": "a1",
    "class_id": 3,
    "confidence": 0.95,
    "bbox": [0.5, 0.5, 0.2, 0.4],
    "timestamp": "2026-11-22T10:00:00.250000+00:00",
}
_NORMAL = _BARE | {"class_id": 14, "bbox": None, "timestamp": "2026-11-22 10:00:00"}
_DETECTIONS = [
    {"class_id": 3, "class_name": "Cardiomegaly", "confidence": 0.95, "bbox": [0.5, 0.5, 0.2, 0.4]},
    {"class_id": 0, "confidence": 0.4, "bbox": [0.3, 0.3, 0.1, 0.1]},
]
_RICH = _BARE | {
    "class_name": "Cardiomegaly",
    "detections": _DETECTIONS,
    "low_detections": [{"class_id": 5, "confidence": 0.2, "bbox": [0.3, 0.3, 0.1, 0.1]}],
    "kept_from": 0.05,
    "split": "production",
    "image_md5": "0" * 32,
    "image_phash": "f" * 16,
    "picture": {"mean": 120.0, "std": 50.5, "sharpness": 900.25},
    "model": {"name": "oracle", "version": "noise-1"},
    "latency_ms": 12.5,
    "stage": 4,
    "arrived_at": "2026-11-22T10:00:00+00:00",
    "feedback_id": "f1",
    "run_id": "run-1",
    "simulated": {"site": "north", "view": "PA", "device": "DX-1"},
    "schema_version": 1,
}
_CORRECT = {
    "feedback_id": "f1",
    "image_id": "a1",
    "reviewer": "R1",
    "verdict": "correct",
    "findings": [{"class_id": 3, "bbox": [0.5, 0.6, 0.4, 0.2]}, {"class_id": 10, "bbox": [0.2, 0.7, 0.1, 0.1]}],
    "timestamp": "2026-01-02T12:00:00+00:00",
    "comment": "portable film",
}
_LOG = [
    {"time": "2026-11-22T10:00:00+00:00", "event": "start", "run_id": "r1", "detector": "random", "arrival": "workers"},
    {"time": "2026-11-22T10:00:01+00:00", "event": "request", "run_id": "r1", "stage": 1, "latency_ms": 101.5},
    {"time": "2026-11-22T10:00:02+00:00", "event": "error", "run_id": "r1", "stage": 1, "kind": "timeout"},
    {"time": "2026-11-22T10:01:00+00:00", "event": "stage", "run_id": "r1", "stage": 1, "requests": 2, "p50_ms": 101.5},
]


_LABEL = b"3 0.500000 0.500000 0.250000 0.125000\n10 0.250000 0.750000 0.100000 0.100000\n"
_YAML = b"train: training/images\nval: validation/images\nnames:\n  0: Aortic enlargement\n  1: Atelectasis\n"


def _json(document: object, **changes: object) -> bytes:
    return json.dumps(document | changes if isinstance(document, dict) else document).encode()


def _annotations() -> list[bytes]:
    plain = _HEADER + b"\n" + _ROWS
    few = b"image_id,class_name,x_min,y_min,x_max,y_max\r\na,Cardiomegaly,1,2,3,4\r\n\r\nb,No finding,,,,\r\n"
    quoted = b'image_id,class_id,x_min,y_min,x_max,y_max,note\na,3,1,2,3,4,"two\nlines"\nb,14,,,,,\xff\nc,14\n'
    return [plain, few, quoted, b"\xef\xbb\xbf" + few, gzip.compress(few, mtime=0)]


def _validation() -> list[bytes]:
    numbers = random.Random(0)
    many = []
    for at in range(60):  # enough that their frame is proved
        x, y = numbers.randint(0, 1500), numbers.randint(0, 2000)
        many.append(
            f"a{at},{TAXONOMY.names[at % 14]},{at % 14},R{at % 17 + 1},{x},{y},{x + 400},{y + 300},2048,2560,p{at}"
        )
    return [_ROWS, _ROWS[: _ROWS.index(b"\n") + 1] * 2, "\n".join(many).encode()]


def _pictures() -> list[bytes]:
    gray = np.add.outer(np.arange(12) * 9, np.arange(16) * 7).astype(np.uint8)
    made = []
    for mode in ("L", "RGB", "RGBA", "LA", "P", "1", "I;16"):
        image = Image.fromarray(gray.astype(np.uint16) << 8) if mode == "I;16" else Image.fromarray(gray).convert(mode)
        made.append(_saved(image, "PNG", compress_level=0))
    film = Image.fromarray(gray)
    exif = Image.Exif()
    exif[0x0112] = 6
    made += [_saved(film, "PNG", transparency=7), _saved(film, "PNG", exif=exif), _interlaced()]
    for options in ({}, {"progressive": True}, {"exif": exif}):
        made.append(_saved(film, "JPEG", quality=50, **options))
    return [*made, _saved(film.convert("RGB"), "JPEG", quality=50), _saved(film.convert("CMYK"), "JPEG", quality=50)]


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _interlaced() -> bytes:
    """Pillow writes none: 10×10 gray pixels, each of the seven passes with lines of filter 0."""
    lines = b""
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        width, height = -(-(10 - x) // dx), -(-(10 - y) // dy)
        lines += (b"\0" + bytes(range(width))) * height
    header = struct.pack(">IIBBBBB", 10, 10, 8, 0, 0, 0, 1)
    return targets.as_png([(b"IHDR", header), (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b"")])


def _manifest() -> bytes:
    row = {"key": "test/labels/a_R1.txt", "kind": "label", "image_id": "a", "rad_id": "R1", "split": "test"}
    yaml = {"key": "data.yaml", "kind": "yaml", "bytes": 3, "md5": "0" * 32}
    return manifest.encode(pl.DataFrame([row | {"bytes": 0, "md5": "1" * 32}, yaml], schema=MANIFEST))


def _journal() -> list[bytes]:
    return [
        b"http://user:hunter2@triton:8000/v2 did not answer",
        b'http://user:hunter2@[::1]/ \xff \\ "http://user:hunter2@host"\r\n\t',
    ]


def _shown() -> list[bytes]:
    scaled = b"image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,split\n"
    rows = b"a1,Cardiomegaly,3,R9,100,200,300.5,400.25,training\na1,No finding,14,R10,,,,,training\n"
    return [scaled + rows, scaled + b"a1,Cardiomegaly,3,R9,1,2,3,4\n", _HEADER + b"\n" + _ROWS]


def _feedback() -> list[bytes]:
    rich = records.decode(_json(_RICH), TAXONOMY, name="x")
    bare = _json(_BARE)
    return [
        bare,
        _json(_NORMAL),
        _json(_NORMAL, bbox=[]),
        records.encode(rich),
        bare + targets.SEPARATOR + _json(_RICH),
    ]


def _reviews() -> list[bytes]:
    correct = _json(_CORRECT)
    accept = _json(_CORRECT, reviewer="R2", verdict="accept", timestamp="2026-01-02T12:05:00Z")
    normal = _json(_CORRECT, reviewer="R3", verdict="normal", findings=[], adjudicates=True, simulated=True)
    reject = _json(_CORRECT, verdict="reject", findings=None)
    return [
        correct,
        reviews.encode(reviews.decode(correct, TAXONOMY, name="f1.R1.0.json")),
        normal,
        reject,
        targets.SEPARATOR.join([correct, accept, normal]),
    ]


def _yolo() -> list[bytes]:
    listed = b"./a.png\n/data/b.png\n"
    return [
        targets.SEPARATOR.join(
            [b"train: train.txt\nval: train.txt\nnames: [a, b]\n", listed, _LABEL[:0], b"1 .5 .5 .2 .1"]
        ),
        targets.SEPARATOR.join(
            [b"path: .\ntrain: .\nval: .\nnames:\n  0: a\n  1: b\nnc: 2\n", b"", b"0 0.5 0.5 1 1\r\n", b""]
        ),
        targets.SEPARATOR.join([b"names:\nnc: 12\n", b"", _LABEL, b"0 .5 .5 .1 .1 .9\n0 .1 .1 .2 .2 .3 .3\n"]),
    ]


def _voc() -> list[bytes]:
    corners = b"<xmin>1</xmin><ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax>"
    thing = b"<object><name>a</name><difficult>1</difficult><bndbox>" + corners + b"</bndbox></object>"
    size = b"<size><width>200</width><height>300</height></size>"
    one = b"<annotation><filename>a.png</filename>" + size + thing + thing + b"</annotation>"
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><annotation>&b;</annotation>'
    return [
        targets.SEPARATOR.join([one, b"<annotation/>"]),
        targets.SEPARATOR.join([one.replace(b">1<", b">0<"), bomb]),
        one.decode().encode("utf-16"),
    ]


def _zips() -> list[bytes]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in (("a.txt", _LABEL), ("b/c.xml", b"<annotation/>"), (".hidden", b"x")):
                archive.writestr(zipfile.ZipInfo(name), content, method)
        made.append(buffer.getvalue())
    return made


def _label_studio() -> list[bytes]:
    drawn = label_studio_files.annotation(label_studio_files.region(), completed_by={"email": "a@b.org"})
    choice = label_studio_files.choice("No finding")
    polygon = label_studio_files.annotation(label_studio_files.region(type="polygon"))
    tasks = [
        label_studio_files.task(drawn, label_studio_files.annotation(completed_by=2)),
        label_studio_files.task(label_studio_files.annotation(choice), id=2, image="s3://x/b.png"),
        label_studio_files.task(polygon, image="c.png"),
        {"data": {"image": "d.png"}, "completions": [{"created_at": 1600000000, "result": []}]},
    ]
    return [_json(tasks), _json(tasks[:1]), b'[{"data":{"image":"a"},"annotations":[{"result":[]}]}]']


def _coco() -> list[bytes]:
    images = [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}, {"id": 2, "file_name": "b.png"}]
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3.5, 4], "iscrowd": 0, "segmentation": [[1, 2, 3]]}
    categories = [{"id": 0, "name": "x", "supercategory": "none"}, {"id": 1, "name": "A", "supercategory": "x"}]
    whole = {"images": images, "annotations": [box], "categories": categories}
    broken = _json(whole, annotations=[box, box | {"bbox": [1, 2, "3", 4]}, box | {"iscrowd": 1}])
    read = [{"id": 3, "file_name": "c.png", "readers": ["R1", "R2"]}]
    readers = _json(whole, images=read, annotations=[box | {"image_id": 3, "rad_id": "R1"}])
    return [
        _json(whole),
        broken.replace(b"3.5", b"NaN") + targets.SEPARATOR + readers,
        _json(whole) + targets.SEPARATOR + _json({"images": images, "categories": categories}),
        _json([box | {"score": 0.5}]),
    ]


def _rsna() -> list[bytes]:
    table = b"patientId,x,y,width,height,Target\na,,,,,0\nb,264.0,152.0,213.0,379.0,1\nb,5,6,-7,8,1\nc,,,,,2\n"
    return [table, b"Target;patientId;width;height;x;y\r\n1;a;3;4;1;2\r\n", gzip.compress(table, mtime=0)]


def _nih() -> list[bytes]:
    header = b"Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    return [header + b"00013118_008.png,A,225.08,547.5,86.75,79\na.png,B,1,2,3,4,,,\n", header + b"a,b,1,2,3,x,y\n"]


def _cvat() -> list[bytes]:
    image = b"<image id='0' name='a.png' width='9' height='9'>"
    box = b"<box label='A' source='auto' xtl='1' ytl='2' xbr='3.5' ybr='4'></box>"
    meta = (
        b"<meta><task><labels><label><name>A</name></label></labels><owner><username>x</username></owner></task></meta>"
    )
    tag, polygon = b"<tag label='No finding'></tag>", b"<polygon label='A' points='1,2;3,4'/>"
    return [
        b"<annotations>" + meta + image + box + b"</image>\n" + image + tag + b"</image></annotations>",
        b"<annotations>" + image + box + polygon + b"</image><image name='b'/></annotations>",
    ]


def _dicom() -> list[bytes]:
    """Small ones, but none that gdcm decodes: each would be a process."""
    values = dicom_files.gray(12, 11)
    tags = {"PixelSpacing": None, "WindowCenter": [900, 30], "WindowWidth": [1500, 60], "RescaleSlope": 2}
    view = Dataset()
    view.CodeValue = "399348003"
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 16], b"\1\0\2\0\3\0\0\3"
    padded = {"PixelPaddingValue": 0, "PixelAspectRatio": [2, 1], "PhotometricInterpretation": "MONOCHROME1"}
    colours = np.stack([dicom_files.gray(12, 10, seed=seed, bits=8) for seed in range(3)], axis=-1)
    return [
        dicom_files.dicom(values, **tags),
        dicom_files.dicom(values, syntax=uid.ImplicitVRLittleEndian, ViewPosition=None, ViewCodeSequence=[view]),
        dicom_files.dicom(values, syntax=uid.ExplicitVRBigEndian, VOILUTSequence=[table], **padded),
        dicom_files.dicom(values.astype(np.int16) - 900, syntax=uid.RLELossless, RescaleIntercept=-5),
        dicom_files.dicom(values, syntax=uid.JPEG2000Lossless, ModalityLUTSequence=[table]),
        dicom_files.dicom(dicom_files.gray(12, 12, bits=8), syntax=uid.JPEGBaseline8Bit),
        dicom_files.dicom(values, syntax=uid.DeflatedExplicitVRLittleEndian),
        dicom_files.dicom(colours),
    ]


def _imported() -> list[bytes]:
    item = label_studio_files.region("Nodule/Mass")
    rejected = [label_studio_files.choice("Not readable")]
    return [targets.tasks_seed([item], [], rejected), targets.tasks_seed([item, item])]


_TOLD = {
    "name": "m",
    "versions": ["1", "2"],
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 1, 32, 32]}],
    "outputs": [{"name": "output0", "datatype": "FP32", "shape": [1, 18, 2]}],
}


def _tritons() -> list[bytes]:
    values = np.zeros((1, 18, 2), np.float32)
    values[0, :4, 0], values[0, 7, 0] = (16, 16, 8, 8), 0.9
    answer = {"model_name": "m", "model_version": "2"}
    output = {"name": "output0", "datatype": "FP32", "shape": [1, 18, 2]}
    plain = _json(answer, outputs=[output | {"data": values.ravel().tolist()}])
    head = _json(answer, outputs=[output | {"parameters": {"binary_data_size": values.nbytes}}])
    told, separator = _json(_TOLD), targets.SEPARATOR
    return [
        told + separator + separator + plain,
        told + separator + str(len(head)).encode() + separator + head + values.tobytes(),
        _json({"error": "unknown model"}),
    ]


def _aliases() -> list[bytes]:
    row = {"at": "2026-11-30T12:00:00+00:00", "action": "promote", "alias": "champion", "model": "new-2"}
    told = {"aliases": {"champion": {"model": "new-2"}}, "history": [row | {"previous": "old-1"}]}
    compared = [_json(models_unit.comparison(name, passed=name == "a")) for name in "ab"]
    return [targets.SEPARATOR.join([_json(told), *compared]), _json(told)]


def _memories() -> list[bytes]:
    return [
        tombstones.encode(tombstones.NOTHING),
        heldout.encode(HELDOUT.to_frame()),
        incoming.encode(INCOMING.to_frame()),
    ]


def _reports() -> list[bytes]:
    drawn = [structured_reports.box(3, 1, 2, 5, 6, certainty=0.9), structured_reports.box(0, 2, 2, 4, 4)]
    made = structured_reports.made(Device("m"), (1, drawn), (2, []))
    return [made]


_HISTORY = {
    "schema_version": 1,
    "entries": [],
    "kept": {"0123456789abcdef": {"manifest": "0" * 32, "documents": "1" * 32}},
}
_CARD = {
    "model": "m-1",
    "name": "m",
    "version": "1",
    "detector": "onnx:m.onnx",
    "md5": "0" * 32,
    "classes": ["a"],
    "has_own_classes": False,
    "map": [],
    "recipe": None,
    "dataset": "d",
    "verdict": {"staging": "a"},
}
_ROUND = {"dataset": "d", "feedback": 7, "fates": {"kept": 3}, "rows": {"feedback": 2}, "images": 2}

SEEDS = {
    "gates": lambda: [b"map:\n  margin: auto\nrecall: {loss: 0.1}\n", b"latency_p95:\n  ratio: 1.5\ncalibration:\n"],
    "versions": lambda: [_json(_HISTORY)],
    "watched": lambda: [monitor.encode(monitor_report.report())],
    "card": lambda: [_json(_CARD), _json(_CARD | {"detector": "triton:http://h:8000/m", "md5": None})],
    "aliases": _aliases,
    "rounds_told": lambda: [_json(_ROUND) + targets.SEPARATOR + _json({"fates": {}}), _json(_ROUND)],
    "memories": _memories,
    "structured_report": _reports,
    "multiparted": lambda: [
        b"multipart/related; boundary=x\x1e--x\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--x--\r\n",
        b"application/dicom\x1eDICM",
    ],
    "ledger": lambda: [targets.ledger_seed()],
    "told_names": lambda: [b"{0: 'Cardiomegaly', 1: \"No finding\"}", b"['a', 'b']", b"vinbigdata@1,size=1024"],
    "triton": _tritons,
    "csv_for_people": lambda: [b"=1+1", b"a;-2", b"'@x\r\n=y"],
    "yolo_set": _yolo,
    "voc_file": _voc,
    "packed": _zips,
    "annotations": _annotations,
    "validation": _validation,
    "sizes": lambda: [b"image_id,dim0,dim1\na,2560,2048\nb,2560.0,2048\n", b"dim1,x,image_id,dim0\r\n10,,a,50000\r\n"],
    "source": lambda: [
        _json({"name": "folder", "boxes": "auto", "annotations": "source.json", "sizes": None, "pictures": "."})
    ],
    "picture": _pictures,
    "png": lambda: [data for data in _pictures() if data.startswith(b"\x89PNG")],
    "feedback": _feedback,
    "review": _reviews,
    "listing": lambda: [_manifest()],
    "keys": lambda: [b"data.yaml\ntest/images/a_R1.png\nretrain/x\na..b/c..", b"../a", b"a\\b", b"a//b"],
    "summary": lambda: [_json({"version": "0123456789abcdef", "total_unique_images": 3, "splits": {"test": 1}})],
    "log": lambda: [b"\n".join(map(_json, _LOG)), b"\n".join(map(_json, _LOG))[:-9]],
    "journal": _journal,
    "shown": _shown,
    "label": lambda: [_LABEL, _LABEL.replace(b"\n", b"\r\n"), b"", b"0 0.1 0.1 0.9 0.1 0.9 0.9\n", b"\n 1e-1 0 .5 1 1"],
    "config": lambda: [_YAML, b"path: ..\ntrain: [a, b]\nval: a\nnc: 2\n", b"names: &a [x]\ntrain: *a\nval: !!str 1"],
    "numbers": lambda: [
        b"1,2,3,5,3,2,1",
        b"[1, 2, 3]",
        b"poisson:2.5",
        b"workers",
        b"brightness:0.2@4,mix:0.8@6",
        b"training=300,validation=60,test=60,staging=30,canary=30,production=120",
    ],
    "environment": lambda: [
        b"LOAD_PATTERN=1,2\nDELAY_BETWEEN_STEPS=0.5\nFEEDBACK_DIR=x\nRADLOOP_SPLITS=test, canary",
        b"RADLOOP_JOBS=2\nRADLOOP_SEED=0\nRADLOOP_KEEP_OLD=true\nRADLOOP_LABELS=consensus",
    ],
    "picture_cache": lambda: [targets.picture_cache_seed()],
    "rows_cache": lambda: [targets.rows_cache_seed()],
    "coco": _coco,
    "rsna": _rsna,
    "nih": _nih,
    "label_studio": _label_studio,
    "cvat": _cvat,
    "imported": _imported,
    "dicom": _dicom,
}

_CSV_WORDS = [
    *targets.ALL_COLUMNS,
    *TAXONOMY.names,
    "No finding",
    "\\x0a",
    "\\x0d\\x0a",
    ",",
    '\\"',
    "nan",
    "inf",
    "1e9",
    "-1",
    "1025",
    "R10",
]
_JSON_WORDS = [
    *(f'\\"{key}\\":' for key in (*_RICH, *_CORRECT, "adjudicates", "site", "version")),
    *(
        "null",
        "true",
        "false",
        "1e308",
        "-0.0",
        "[]",
        "{}",
        "\\x1e",
        "\\\\ud800",
        "\\\\u0000",
        "+14:00",
        "Z",
        "0001-01-01",
    ),
    *("14", "13", "accept", "correct", "normal", "reject", "9999-12-31T23:59:59", "1e-310", "[[[[[[[[", '{\\"a\\":'),
]
_TASK_KEYS = (
    *("annotations", "result", "value", "type", "x", "width", "rotation", "completed_by", "rectanglelabels"),
    *("was_cancelled", "updated_at", "prediction", "image_id", "choices"),
)
_TASK_WORDS = [
    *(f'\\"{key}\\":' for key in _TASK_KEYS),
    *(f'\\"{word}\\"' for word in ("rectangle", "labels", "choices", "textarea", "No finding", "Nodule/Mass")),
    *("null", "true", "[]", "{}", "1e308", "-1", "\\\\ud800"),
]
_PNG_WORDS = [
    *("IHDR", "IDAT", "IEND", "PLTE", "tRNS", "acTL", "fcTL", "fdAT", "eXIf", "iCCP", "zTXt", "iTXt", "gAMA"),
    *("\\x00\\x00\\x00\\x00", "\\x78\\x01", "\\x00\\x00\\x00\\x0d"),
]
_JPEG_WORDS = [f"\\xff\\x{marker:02x}" for marker in (*range(0xC0, 0xE2), 0xEE, 0xFE)]
WORDS = {
    "yolo_set": [
        "\\x1e",
        "names",
        "nc",
        "train",
        "val",
        "path",
        ": ",
        "train.txt",
        "a.png",
        "../",
        "/",
        "nan",
        "1e9",
        "-1",
        " 0.5",
    ],
    "voc_file": [
        *(
            "\\x1e",
            "<annotation>",
            "</annotation>",
            "<object>",
            "</object>",
            "<bndbox>",
            "</bndbox>",
            "<xmin>",
            "</xmin>",
        ),
        *("<name>", "</name>", "<filename>", "</filename>", "<size>", "</size>", "<width>", "</width>", "<polygon/>"),
        *(
            "<!DOCTYPE a [",
            "<!ENTITY",
            "]>",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "&amp;",
            "&#10;",
            "<?xml encoding='x'?>",
        ),
        *("nan", "0.5", "-1", "1e9", "../"),
    ],
    "packed": ["PK\\x01\\x02", "PK\\x03\\x04", "PK\\x05\\x06", "../", "/", "\\\\", "\\xff\\xff\\xff\\xff"],
    "annotations": _CSV_WORDS,
    "validation": _CSV_WORDS,
    "sizes": ["image_id", "dim0", "dim1", "\\x0a", "10", "50000", "2048.0", "1e4", "nan"],
    "picture": _PNG_WORDS + _JPEG_WORDS,
    "png": _PNG_WORDS,
    "numbers": [
        "training=",
        "validation=",
        "test=",
        "staging=",
        "canary=",
        "production=",
        "poisson:",
        "workers",
        "brightness:",
        "contrast:",
        "rotation:",
        "mix:",
        "@",
        ",",
        "[",
        "]",
    ],
    "environment": [f"{name}=" for name in sorted(targets.VARIABLES)],
    "shown": [*_CSV_WORDS, "split", "training", "test"],
    "label": ["\\x0a", "nan", "inf", "1e39", "\\xef\\xbb\\xbf", "\\xe2\\x80\\xa8", "0.500000", "1.000000", "14"],
    "config": [
        *(
            "path",
            "train",
            "val",
            "test",
            "nc",
            "names",
            "download",
            ":",
            "&a",
            "*a",
            "<<",
            "---",
            "[*a,*a,*a]",
            "{",
            "}",
        ),
        *("!!bool", "!!int", "!!float", "!!timestamp", "!!binary", "!!set", "!!omap", ".inf", "0x", "\\x5cx00", "../"),
    ],
    "keys": ["..", "/", "\\\\", "\\x0a"],
    "journal": ["//", "@", "user:hunter2", '\\"', "\\\\"],
    "dicom": [
        *(
            "DICM",
            "1.2.840.10008.1.2",
            "1.2.840.10008.1.2.4.90",
            "OW",
            "OB",
            "SQ",
            "UN",
            "US",
            "DS",
            "\\xff\\xff\\xff\\xff",
        ),
        *(f"\\x28\\x00\\x{element:02x}\\x00" for element in (0x02, 0x04, 0x06, 0x08, 0x10, 0x11, 0x30, 0x34)),
        *(f"\\x28\\x00\\x{element:02x}\\x01" for element in (0x00, 0x01, 0x02, 0x03, 0x20, 0x21)),
        *(
            "\\x28\\x00\\x50\\x10",
            "\\x28\\x00\\x10\\x30",
            "\\xe0\\x7f\\x10\\x00",
            "\\xfe\\xff\\x00\\xe0",
            "\\xfe\\xff\\xdd\\xe0",
        ),
        *("MONOCHROME1", "PALETTE COLOR", "YBR_FULL_422", "SIGMOID", "\\xff\\xd9", "\\xff\\xc0", "\\xff\\x51", "nan"),
    ],
    "cvat": [
        "<image ",
        "<box ",
        "<tag ",
        "<label>",
        "</image>",
        "<![CDATA[",
        "&#0;",
        "rotation='1'",
        "name='",
        "nan",
        "1e999",
    ],
    **dict.fromkeys(("label_studio", "imported"), _TASK_WORDS),
    "coco": [
        *_JSON_WORDS,
        *(f'\\"{key}\\":' for key in ("images", "annotations", "categories", "image_id", "category_id", "bbox", "id")),
        *(f'\\"{key}\\":' for key in ("file_name", "iscrowd", "rad_id", "readers", "support", "supercategory", "name")),
        *("NaN", "-Infinity", "1e999", "\\xef\\xbb\\xbf"),
    ],
    "rsna": [*_CSV_WORDS, "patientId", "x", "y", "width", "height", "Target", ";", "\\x85"],
    "nih": [*_CSV_WORDS, "Image Index", "Finding Label", "Bbox [x", ";", "_"],
    "multiparted": ["boundary=", "multipart/related;", "\\x0d\\x0a\\x0d\\x0a", "--x", "--x--", "\\x1e"],
    "told_names": ["{", "}", "[", "0: ", "'", '\\"', "\\\\x1b", "size=", "vinbigdata@"],
    "csv_for_people": ["=", "+", "-", "@", ";", "'", "\\x0d\\x0a", "\\x09", "1e9"],
    "gates": ["map:", "recall:", "margin", "auto", "latency_p95", "ratio", "&a", "*a", "<<", "{", "}", "nan", "1e999"],
    **dict.fromkeys(("versions", "watched", "card", "aliases", "rounds_told", "triton"), _JSON_WORDS),
    **dict.fromkeys(("feedback", "review", "source", "summary", "log"), _JSON_WORDS),
}
