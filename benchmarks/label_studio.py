"""A real Label Studio on this machine, without its telemetry, and its labelling page under its own keys."""

import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.stopwatch import Area, Hand, Place, Work
from radloop.vindr.classes import TAXONOMY

ENVIRONMENT = harness.ROOT / ".venv-label-studio"
WANTED = harness.ROOT / "benchmarks" / "label-studio.txt"
_START_SECONDS = 300
_USER, _PASSWORD = "bench@example.com", secrets.token_urlsafe(12)
_TOKEN = secrets.token_hex(20)
_KEYS = "1234567890qwty"  # of the classes, in their order; Label Studio's own letters are others


def install() -> None:
    """Into an environment of its own, once for each version: it asks for 160 packages."""
    harness.install(ENVIRONMENT, WANTED)


def version() -> str:
    """The one that is compared with."""
    return WANTED.read_text().partition("label-studio==")[2].split()[0]


@contextmanager
def served(folder: Path, port: int) -> Iterator["LabelStudio"]:
    """A fresh one with all its data in `folder`."""
    folder.mkdir()
    quiet = {"COLLECT_ANALYTICS": "False", "LATEST_VERSION_CHECK": "False", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
    files = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(folder),
    }
    command = [
        *(str(ENVIRONMENT / "bin" / "label-studio"), "start", "--no-browser", "--data-dir", str(folder)),
        *("--internal-host", "127.0.0.1", "--port", str(port), "--enable-legacy-api-token"),
        *("--username", _USER, "--password", _PASSWORD, "--user-token", _TOKEN),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder), **quiet, **files}
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(server, address, folder / "log")
            yield LabelStudio(address, folder)
        finally:
            server.terminate()
            server.wait(timeout=60)


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=10):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise SystemExit(f"Label Studio did not start:\n{log.read_text()[-4000:]}")


class LabelStudio:
    """Its label stream, as fast as it can be had: boxes of the model shown at once, a key for every class."""

    name = "Label Studio"
    is_ahead = True
    is_blind = False
    frames = "() => []"
    picture = """() => {
      const image = document.querySelector("img[src^=blob]"), task = window.Htx?.task?.id;
      const drawn = image?.complete && image.naturalWidth && image.style.visibility === "visible";
      return drawn && task && window.Htx.annotationStore.selected?.regions.length ? task : null;
    }"""
    boxes = """() => JSON.stringify(window.Htx.annotationStore.selected.regions
      .map((r) => [r.shapeRef?.x(), r.shapeRef?.y(), r.width, r.height, r.labelName]))"""
    window = """() => document.querySelector("img[src^=blob]").style.filter"""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.keys = dict(zip(TAXONOMY.names, _KEYS, strict=True))

    def begin(self, hand: Hand, given: Work) -> None:
        """A project of its own with its first picture on the screen."""
        labels = "".join(f'<Label value="{name}" hotkey="{key}"/>' for name, key in self.keys.items())
        config = (
            f'<View><RectangleLabels name="label" toName="image">{labels}</RectangleLabels><Image name="image" '
            'value="$image" zoomControl="true" brightnessControl="true" contrastControl="true"/></View>'
        )
        options = {"sampling": "Sequential sampling", "show_collab_predictions": True, "model_version": "bench"}
        project = self.ask("/api/projects", {"title": "bench", "label_config": config, **options})["id"]
        self._project = f"/api/projects/{project}"
        pictures = self.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        self.ask("/api/storages/localfiles", {"project": project, "path": str(pictures), "use_blob_urls": True})
        tasks = []
        for path, detections in given:
            shutil.copy(path, pictures)
            results = [self._result(detection) for detection in detections]
            predictions = [{"model_version": "bench", "score": 0.9, "result": results}]
            data = {"image": f"/data/local-files/?d=pictures/{path.name}"}
            tasks.append({"data": data, "predictions": predictions})
        self.ask(f"{self._project}/import", tasks)
        hand.page.goto(f"{self.address}/user/login/")
        hand.page.fill("input[name=email]", _USER)
        hand.page.fill("input[name=password]", _PASSWORD)
        hand.page.click("button[type=submit]")
        hand.page.wait_for_url(lambda url: "/login" not in url)
        hand.page.goto(f"{self.address}/projects/{project}/data?labeling=1")
        hand.page.wait_for_function(self.picture)
        hand.page.on("dialog", lambda dialog: (hand.count(), dialog.accept()))  # "Please confirm …": Enter

    def ask(self, path: str, body: Any = None) -> Any:
        """What its API says: JSON to JSON, as the one user."""
        return json.loads(self.read(path, body))

    def read(self, path: str, body: Any = None) -> bytes:
        """The bytes at an address of it."""
        request = urllib.request.Request(
            self.address + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {_TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            read: bytes = answer.read()
            return read

    @staticmethod
    def _result(detection: Mapping[str, Any]) -> dict[str, Any]:
        x, y, width, height = (100 * part for part in detection["bbox"])
        place = {"x": x - width / 2, "y": y - height / 2, "width": width, "height": height, "rotation": 0}
        value = place | {"rectanglelabels": [detection["class_name"]]}
        names = {"from_name": "label", "to_name": "image", "type": "rectanglelabels"}
        return {**names, "value": value, "score": detection["confidence"]}

    def area(self, hand: Hand) -> Area:
        """Where the picture is on the screen."""
        box = hand.page.locator("img[src^=blob]").bounding_box()
        assert box is not None
        return Area(box["x"], box["y"], box["width"], box["height"])

    def reveal(self, hand: Hand) -> None:
        """The model's boxes are there from the beginning."""

    def draw(self, hand: Hand, name: str, *corners: Place) -> None:
        """A box of a class: its key, then a drag."""
        hand.press(self.keys[name])
        area = self.area(hand)
        hand.drag(*(area.at(*corner) for corner in corners))

    def move(self, hand: Hand, box: Sequence[float], by: Place) -> None:
        """A box that is taken by its middle."""
        area, (x, y, _, _) = self.area(hand), box
        hand.drag(area.at(x, y), area.at(x + by[0], y + by[1]))

    def level(self, hand: Hand) -> None:
        """Brightness and contrast, a slider each, which opens under the pointer."""
        for control in ("brightness", "contrast"):
            hand.page.get_by_label(control).hover()
            handle = hand.page.locator(".lsf-range__range-handle").bounding_box()
            assert handle is not None
            x, y = handle["x"], handle["y"]
            hand.drag((x, y), (x, y - 30 if y > 410 else y + 30))
        hand.page.mouse.move(0, 0)

    def undo(self, hand: Hand) -> None:
        hand.press("Control+z")

    def accept(self, hand: Hand) -> None:
        hand.press("Control+Enter")

    correct = accept

    def no_finding(self, hand: Hand) -> None:
        """Delete all regions, say yes, submit."""
        if hand.page.evaluate(f"({self.boxes})()") != "[]":
            hand.press("Control+Backspace")
        hand.press("Control+Enter")

    def next(self, hand: Hand) -> None:
        hand.press("Control+Space")

    def end(self, hand: Hand) -> None:
        """The next round has a project of its own."""

    def kept(self) -> int:
        return int(self.ask(self._project)["num_tasks_with_annotations"])
