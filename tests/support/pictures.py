"""Pictures to ingest, made from the real photos."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from tests.support.photos import ASTRONAUT, OBAMA, OBAMA_2

PORTRAITS = (ASTRONAUT, OBAMA_2, OBAMA)


def portrait(index: int = 0) -> np.ndarray:
    """A real photo of one person, BGR."""
    image = cv2.imread(str(PORTRAITS[index % len(PORTRAITS)]))
    assert image is not None
    return image


def gallery(folder: Path, count: int) -> Path:
    """A folder of `count` different pictures. Every tenth repeats the one before it under another name, and
    every seventh contains no face."""
    entries = []
    last = ""
    for index in range(count):
        category = "even" if index % 2 == 0 else "odd"
        name = f"{index:04d}.jpg"
        image = np.zeros((200, 200, 3), np.uint8) + index if index % 7 == 3 else portrait(index)
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60 + index // 3])[1].tobytes()
        if index % 10 == 9:
            encoded = (folder / last).read_bytes()
        last = f"{category}/{name}"
        (folder / category).mkdir(parents=True, exist_ok=True)
        (folder / last).write_bytes(encoded)
        entries.append({"filename": name, "category": category, "name": f"Person {index}", "gender": "male"})
    (folder / "metadata.json").write_text(json.dumps({"celebrities": entries}))
    return folder
