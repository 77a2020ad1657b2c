"""A gallery of known people in the format of bulk ingestion, and other pictures of the same people."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.photos import (
    ASTRONAUT,
    BIDEN,
    GROUP_FACES,
    OBAMA,
    OBAMA_2,
    OBAMA_3,
    OBAMA_CUT,
    OBAMA_RGBA,
    cut_out,
)
from tests.support.photos import altered as altered_photo

WOMEN = {"Eileen Collins", "Person 1", "Person 2", "Person 6"}
FRIENDS = [f"Person {number}" for number in range(1, len(GROUP_FACES) + 1)]
"""The people of the group photo, from left to right. Their category is `actors`."""
OBAMA_BIO = "44th President of the United States"


def make_gallery(folder: Path) -> Path:
    """A photo of each person in a folder per category, `metadata.json` beside them; returns the folder."""
    people = [
        ("politicians", "barack-obama.jpg", "Barack Obama", OBAMA.read_bytes()),
        ("politicians", "joe-biden.jpg", "Joe Biden", BIDEN.read_bytes()),
        ("astronauts", "eileen-collins.png", "Eileen Collins", ASTRONAUT.read_bytes()),
        *(("actors", f"person-{n}.png", name, cut_out(n - 1)) for n, name in enumerate(FRIENDS, start=1)),
    ]
    entries = []
    for category, filename, name, content in people:
        (folder / category).mkdir(parents=True, exist_ok=True)
        (folder / category / filename).write_bytes(content)
        gender = "female" if name in WOMEN else "male"
        entry = {"filename": filename, "name": name, "category": category, "gender": gender}
        entries.append(entry | ({"bio": OBAMA_BIO} if name == "Barack Obama" else {}))
    (folder / "metadata.json").write_text(json.dumps({"celebrities": entries}))
    return folder


PROBES = {
    "obama-2": ("Barack Obama", OBAMA_2.read_bytes),
    "obama-3": ("Barack Obama", OBAMA_3.read_bytes),
    "obama-rgba": ("Barack Obama", OBAMA_RGBA.read_bytes),
    "obama-cut-left": ("Barack Obama", OBAMA_CUT[0].read_bytes),
    "obama-cut-right": ("Barack Obama", OBAMA_CUT[1].read_bytes),
    "biden-altered": ("Joe Biden", lambda: altered_photo(BIDEN)),
    "collins-altered": ("Eileen Collins", lambda: altered_photo(ASTRONAUT)),
}
"""The person shown, and how to get the picture. None is a file of the gallery."""
