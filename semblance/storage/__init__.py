"""Where photos are kept: the main store, the files of each photo, and the old app's buckets and folders.

`opening` makes a `Storage` from the settings; `pictures` is what the rooms above use of it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

PictureTable: TypeAlias = Literal["faces", "celebrities", "babies"]
"""The tables whose rows name pictures."""
