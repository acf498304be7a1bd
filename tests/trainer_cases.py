"""Small datasets, each right or wrong in one way, for which the trainer's verdict is recorded (trainer_verdicts.json).

`make test-peers` asks the package itself; `make test` compares `radloop check` with what it said.
"""

import io
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

Files = dict[str, bytes]

BOX: Final = b"0 0.500000 0.500000 0.250000 0.125000\n"
TRIANGLE: Final = b"0 0.1 0.1 0.9 0.1 0.9 0.9\n"
SAME_BOUNDS: Final = b"0 0.1 0.1 0.1 0.9 0.9 0.9\n"
YAML: Final = b"train: train/images\nval: val/images\nnames: [a, b]\n"
FORMS: Final = {"avif": "AVIF", "bmp": "BMP", "jp2": "JPEG2000", "jpeg": "JPEG", "tiff": "TIFF", "webp": "WEBP"}
ONE: Final = "train/labels/one.txt"


def picture(form: str = "PNG", seed: int = 0, size: tuple[int, int] = (32, 32), values: type = np.uint8) -> bytes:
    """A picture of random gray values over the whole range of their type."""
    top = 1.0 if values is np.float32 else np.iinfo(values).max
    pixels = np.random.default_rng(seed).random(size[::-1]) * top
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(values)).save(buffer, form)
    return buffer.getvalue()


def reworked(png: bytes, change) -> bytes:
    """A PNG whose compressed pixels are changed, with right checksums of its chunks."""
    at, built = 8, [png[:8]]
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        data = change(data) if kind == b"IDAT" else data
        built.append(len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4))
        at += 12 + length
    return b"".join(built)


def sound() -> Files:
    """Two pictures to train on, one of them without a box, and two to validate on."""
    return {
        "data.yaml": YAML,
        "train/images/one.png": picture(seed=1),
        ONE: BOX,
        "train/images/two.png": picture(seed=2),
        "train/labels/two.txt": b"",
        "val/images/three.png": picture(seed=3),
        "val/labels/three.txt": BOX,
        "val/images/four.png": picture(seed=4),
        "val/labels/four.txt": BOX,
    }


def label(data: bytes) -> Files:
    """The sound dataset with this label for `one.png`."""
    return sound() | {ONE: data}


def yaml(data: bytes) -> Files:
    """The sound dataset with this data.yaml."""
    return sound() | {"data.yaml": data}


def shown(name: str, data: bytes) -> Files:
    """The sound dataset with this picture, and a box on it, more."""
    return sound() | {f"train/images/{name}": data, f"train/labels/{name.rpartition('.')[0]}.txt": BOX}


def listed(data: bytes, **more: bytes) -> Files:
    """The sound dataset, its training pictures named by this list."""
    return sound() | {"data.yaml": YAML.replace(b"train/images", b"train.txt"), "train.txt": data} | more


def without(files: Files, *keys: str) -> Files:
    """All files but these."""
    return {key: data for key, data in files.items() if key not in keys}


def of_labels() -> dict[str, Files]:
    """What may stand in a label."""
    texts = {
        "byte order mark": b"\xef\xbb\xbf" + BOX,
        "two byte order marks": b"\xef\xbb\xbf" * 2 + BOX,
        "byte order mark alone": b"\xef\xbb\xbf",
        "byte order mark in line 2": BOX + b"\xef\xbb\xbf" + BOX,
        "blank lines": b"\n\n" + BOX + b"\n\n1 0.5 0.5 0.1 0.1\n\n",
        "line of spaces": BOX + b"  \t \n1 0.5 0.5 0.1 0.1\n",
        "white space alone": b" \n\t\n",
        "CRLF": BOX.replace(b"\n", b"\r\n") * 1 + b"1 .5 5e-1 0.25 0.125\r\n",
        "old line breaks": b"0 0.5 0.5 0.1 0.1\r1 0.5 0.5 0.1 0.1",
        "UTF-16": BOX.decode().encode("utf-16"),
        "Latin-1": BOX + b"# \xe9\n",
        "four columns": b"0 0.5 0.5 0.2\n",
        "six columns": b"0 0.5 0.5 0.2 0.2 0.9\n",
        "six columns in one line": BOX + b"0 0.5 0.5 0.2 0.2 0.9\n",
        "commas": b"0,0.5,0.5,0.2,0.2\n",
        "decimal commas": b"0 0,5 0,5 0,2 0,2\n",
        "a word": b"nodule 0.5 0.5 0.2 0.2\n",
        "NaN": b"0 nan 0.5 0.2 0.2\n",
        "class NaN": b"nan 0.5 0.5 0.2 0.2\n",
        "infinity": b"0 inf 0.5 0.2 0.2\n",
        "class infinity": b"inf 0.5 0.5 0.2 0.2\n",
        "pixels": b"0 512 300 90 80\n",
        "just outside": b"0 1.0101 0.5 0.2 0.2\n",
        "at the limits": b"0 1.01 -0.01 1 1\n",
        "negative width": b"0 0.5 0.5 -0.005 0.2\n",
        "negative height among good lines": BOX + b"1 0.5 0.5 0.2 -0.009\n",
        "large negative width": b"0 0.5 0.5 -0.2 0.2\n",
        "no width": b"0 0.5 0.5 0 0\n",
        "class and a half": b"0.5 0.5 0.5 0.2 0.2\n",
        "class 1.0": b"1.0 0.5 0.5 0.2 0.2\n",
        "class 1.000001": b"1.000001 0.5 0.5 0.2 0.2\n",
        "class too high": b"2 0.5 0.5 0.2 0.2\n",
        "class -1": b"-1 0.5 0.5 0.2 0.2\n",
        "class -0": b"-0 0.5 0.5 0.2 0.2\n",
        "class -0.005": b"-0.005 0.5 0.5 0.2 0.2\n",
        "the same line again": BOX * 3,
        "the same box in other digits": BOX + b"0 .5 .5 .25 .125\n",
        "one of minus zero": b"0 0 0 0.1 0.1\n0 -0.0 0 0.1 0.1\n",
        "bad line among copies": BOX * 2 + b"7 0.5 0.5 0.2 0.2\n",
        "polygon": TRIANGLE,
        "two polygons": TRIANGLE + b"1 0.2 0.2 0.4 0.2 0.4 0.4 0.2 0.4\n",
        "two polygons of one box": TRIANGLE + SAME_BOUNDS,
        "three polygons of one box, two alike": TRIANGLE + SAME_BOUNDS + TRIANGLE,
        "the same polygon again": TRIANGLE * 2,
        "box among polygons": TRIANGLE + BOX,
        "polygon among boxes": BOX * 2 + TRIANGLE,
        "six columns among polygons": TRIANGLE + b"0 0.5 0.5 0.2 0.2 0.9\n",
        "one point among polygons": TRIANGLE + b"0 0.5 0.5\n",
        "a class alone among polygons": TRIANGLE + b"0\n",
        "half a point": b"0 0.1 0.1 0.9 0.1 0.9 0.9 0.5\n",
        "polygon beyond the edge": b"0 0.5 0.1 1.5 0.1 1.5 0.9\n",
        "polygon far beyond the edge": b"0 0.9 0.1 1.9 0.1 1.9 0.9\n",
        "polygon of infinity": b"0 inf 0.1 inf 0.1 0.9 0.9\n",
        "box and two numbers more": b"0 0.5 0.5 0.2 0.2 0.9 1\n",
    }
    return {f"label: {name}": label(data) for name, data in texts.items()}


def of_yamls() -> dict[str, Files]:
    """What may stand in a data.yaml."""
    paths = b"train: train/images\nval: val/images\n"
    texts = {
        "names and nc": YAML + b"nc: 2\n",
        "nc as text": YAML + b"nc: '2'\n",
        "nc as 2.0": YAML + b"nc: 2.0\n",
        "nc as 2.5": YAML + b"nc: 2.5\n",
        "nc of another number": YAML + b"nc: 3\n",
        "nc empty": YAML + b"nc:\n",
        "nc a word": YAML + b"nc: two\n",
        "names empty with nc": paths + b"nc: 2\nnames:\n",
        "names an empty list with nc": paths + b"nc: 2\nnames: []\n",
        "names empty": paths + b"names:\n",
        "names a text": paths + b"names: a\n",
        "names missing": paths,
        "nc alone": paths + b"nc: 2\n",
        "nc 0 alone": paths + b"nc: 0\n",
        "nc as text alone": paths + b"nc: '2'\n",
        "numbered names": paths + b"names: {0: a, 1: b}\n",
        "numbers as text": paths + b"names: {'0': a, '1': b}\n",
        "names from 1": paths + b"names: {1: a, 2: b}\n",
        "names with a gap": paths + b"names: {0: a, 2: b}\n",
        "names from -1": paths + b"names: {-1: x, 0: a}\n",
        "names by name": paths + b"names: {a: 0, b: 1}\n",
        "no train": b"val: val/images\nnames: [a, b]\n",
        "train empty": b"train:\nval: val/images\nnames: [a, b]\n",
        "no val": b"train: train/images\nnames: [a, b]\n",
        "val as validation": b"train: train/images\nvalidation: val/images\nnames: [a, b]\n",
        "val None": b"train: train/images\nval: None\nnames: [a, b]\n",
        "val a number": b"train: train/images\nval: 3\nnames: [a, b]\n",
        "val not there": b"train: train/images\nval: nowhere\nnames: [a, b]\n",
        "train not there": b"train: nowhere\nval: val/images\nnames: [a, b]\n",
        "test not there": YAML + b"test: nowhere\n",
        "test None": YAML + b"test: None\n",
        "test empty": YAML + b"test:\n",
        "test a number": YAML + b"test: 3\n",
        "one ../ too many": YAML.replace(b"train: ", b"train: ../"),
        "one ../ too many in a list": YAML.replace(b"train: train/images", b"train: [../train/images]"),
        "a list of folders": YAML.replace(b"train: train/images", b"train: [train/images, val/images]"),
        "path of its own": b"path: .\n" + YAML,
        "path empty": b"path:\n" + YAML,
        "path a number": b"path: 3\n" + YAML,
        "keypoints a number": YAML + b"kpt_shape: 3\n",
        "broken": b"train: [unclosed",
        "empty": b"",
        "a list": b"- train\n",
        "a control character": YAML.replace(b"[a, b]", b"[a, 'b\x01']"),
    }
    found = {f"yaml: {name}": yaml(data) for name, data in texts.items()}
    found["yaml: keypoints for a detector"] = yaml(YAML + b"kpt_shape: [2, 3]\n") | {
        ONE: BOX.strip() + b" 0.1 0.1 2 0.2 0.2 2\n"
    }
    found["yaml: download that is not needed"] = yaml(YAML + b"download: print('run')\n")
    found["yaml: download that is run"] = without(
        yaml(YAML + b"download: print('run')\n"), *(key for key in sound() if key.startswith("val/"))
    )
    return found


def of_pictures() -> dict[str, Files]:
    """What a picture may be."""
    found = {f"picture: {form}": shown(f"x.{ending}", picture(form, 9)) for ending, form in FORMS.items()}
    jpeg, png = picture("JPEG", 9), picture(seed=9)
    found |= {
        "picture: ending in capitals": shown("x.PNG", png),
        "picture: PNG by another name": shown("x.jpg", png),
        "picture: JPEG 2000 by another name": shown("x.png", picture("JPEG2000", 9)),
        "picture: GIF by another name": shown("x.png", picture("GIF", 9)),
        "picture: PPM by another name": shown("x.png", picture("PPM", 9)),
        "picture: GIF": shown("x.gif", picture("GIF", 9)),
        "picture: PPM": shown("x.ppm", picture("PPM", 9)),
        "picture: 16 bits": shown("x.png", picture(seed=9, values=np.uint16)),
        "picture: 10 px": shown("x.png", picture(size=(10, 50))),
        "picture: 9 px": shown("x.png", picture(size=(9, 50))),
        "picture: text": shown("x.png", b"not a picture"),
        "picture: nothing": shown("x.png", b""),
        "picture: a folder": sound() | {"train/images/x.png/note": b""},
        "picture: JPEG cut in half": shown("x.jpg", jpeg[: len(jpeg) // 2]),
        "picture: JPEG without its last bytes": shown("x.jpg", jpeg[:-2]),
        "picture: JPEG with bytes behind its end": shown("x.jpg", jpeg + b"\0\0"),
        "picture: JPEG cut, with an end": shown("x.jpg", jpeg[: len(jpeg) // 2] + b"\xff\xd9"),
        "picture: JPEG broken in the middle": shown("x.jpg", jpeg[:700] + bytes(50) + jpeg[750:]),
        "picture: PNG cut in half": shown("x.png", png[: len(png) // 2]),
        "picture: PNG without its last bytes": shown("x.png", png[:-2]),
        "picture: PNG without its end": shown("x.png", png[:-12]),
        "picture: PNG with bytes behind its end": shown("x.png", png + b"\0\0"),
        "picture: PNG of half its pixels": shown("x.png", reworked(png, lambda data: data[: len(data) // 2])),
        "picture: PNG of a wrong sum": shown("x.png", reworked(png, lambda data: data[:-1] + bytes([data[-1] ^ 1]))),
        "picture: PNG with a wrong checksum": shown("x.png", png[:60] + bytes([png[60] ^ 1]) + png[61:]),
        "picture: TIFF of real numbers": shown("x.tif", picture("TIFF", 9, values=np.float32)),
        "picture: TIFF of 32 bits": shown("x.tif", picture("TIFF", 9, values=np.int32)),
        "picture: TIFF of 16 bits": shown("x.tif", picture("TIFF", 9, values=np.uint16)),
    }
    for ending in ("bmp", "jp2", "tiff", "webp"):
        data = picture(FORMS[ending], 9)
        found[f"picture: {FORMS[ending]} cut in half"] = shown(f"x.{ending}", data[: len(data) // 2])
    return found


def of_trees() -> dict[str, Files]:
    """How pictures, labels and lists may lie."""
    base = sound()
    both = b"./train/images/one.png\n./train/images/two.png\n"
    return {
        "tree: sound": base,
        "tree: a label missing": without(base, "train/labels/two.txt"),
        "tree: a label in capitals": without(base, ONE) | {"train/labels/one.TXT": BOX},
        "tree: a label of another name": without(base, ONE) | {"train/labels/One.txt": BOX},
        "tree: every label missing": without(base, ONE, "train/labels/two.txt"),
        "tree: every label of val missing": without(base, "val/labels/three.txt", "val/labels/four.txt"),
        "tree: every picture of train dropped": base | {ONE: b"7 0 0 0 0\n", "train/labels/two.txt": b"x"},
        "tree: every picture of val dropped": base | {"val/labels/three.txt": b"x", "val/labels/four.txt": b"x"},
        "tree: every picture of test dropped": base
        | {"data.yaml": YAML + b"test: t/images\n", "t/images/t.png": picture(seed=5), "t/labels/t.txt": b"x"},
        "tree: labels all empty": base | {ONE: b""},
        "tree: no picture": without(base, "train/images/one.png", "train/images/two.png"),
        "tree: a.png and a.jpg": base | {"train/images/one.jpg": picture("JPEG", 9)},
        "tree: a label without a picture": base | {"train/labels/x.txt": BOX},
        "tree: the names of the classes among the labels": base | {"train/labels/classes.txt": b"a\nb\n"},
        "tree: a model's yaml beside": base | {"yolo.yaml": b"nc: 2\nbackbone: []\nhead: []\n"},
        "tree: a run's settings beside": base | {"args.yaml": b"data: data.yaml\nval: true\nsplit: val\n"},
        "tree: a hidden picture": base | {"train/images/.x.png": b"x"},
        "tree: folders within": base | {"train/images/deep/x.png": picture(seed=9), "train/labels/deep/x.txt": BOX},
        "tree: pictures and labels side by side": base
        | {"data.yaml": YAML.replace(b"train/images", b"flat"), "flat/x.png": picture(seed=9), "flat/x.txt": BOX},
        "tree: an old cache": base | {"train/labels.cache": b"old"},
        "list: ./ before each": listed(both),
        "list: a byte order mark": listed(b"\xef\xbb\xbf" + both),
        "list: CRLF and blank lines": listed(both.replace(b"\n", b"\r\n\r\n")),
        "list: nothing before each": listed(both.replace(b"./", b"")),
        "list: nothing before one": listed(both.replace(b"./", b"", 1)),
        "list: ../ before each": listed(both.replace(b"./", b"../train/")),
        "list: spaces behind": listed(both.replace(b".png\n", b".png \n")),
        "list: spaces before": listed(b"./train/images/one.png\n  ./train/images/two.png\n"),
        "list: a picture that is not there": listed(both + b"./train/images/x.png\n"),
        "list: not UTF-8": listed(both + b"./train/images/\xe9.png\n"),
        "list: empty": listed(b"\n"),
        "list: a picture in its place": sound() | {"data.yaml": YAML.replace(b"train/images", b"train/images/one.png")},
    }


def every() -> dict[str, Files]:
    """All of them, by name."""
    return of_labels() | of_yamls() | of_pictures() | of_trees()


def write(files: Files, root: Path) -> Path:
    """Lay one out as a folder."""
    for key, data in files.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    return root
