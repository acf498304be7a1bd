"""The little source that all fixtures of earlier formats were made of: FOLDER gets train.csv and pictures of noise."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

folder = Path(sys.argv[1])
(folder / "train").mkdir(parents=True)
rng = np.random.default_rng(21)
rows = ["image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max,width,height"]
for number in range(16):
    gray = rng.integers(0, 256, (4, 4), np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(gray).save(folder / "train" / f"i{number:02}.png")
    for reader in ("R8", "R9"):
        box = "3,Cardiomegaly" if number % 2 else "14,No finding"
        class_id, name = box.split(",")
        corners = f"{number % 3},1,31,{32 - number % 4}" if number % 2 else ",,,"
        rows.append(f"i{number:02},{name},{class_id},{reader},{corners},32,32")
(folder / "train.csv").write_text("\n".join(rows) + "\n")
