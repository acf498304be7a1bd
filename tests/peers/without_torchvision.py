"""Ultralytics without the torchvision that it asks for: none fits this torch, and training needs nothing of it.

usage: without_torchvision.py SCRIPT [ARGUMENTS]     (run with the Python of .venv-peers)
"""

import os
import runpy
import sys
import tempfile
from pathlib import Path

STUB = tempfile.mkdtemp()
for name, text in {
    "torchvision/__init__.py": "",
    "torchvision-0.28.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n",
}.items():
    path = Path(STUB) / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
sys.path.insert(0, STUB)
os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": STUB, "YOLO_OFFLINE": "true"}

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
