"""What to leave out of a folder or bucket, such as the files of operating systems and NAS devices."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Sequence

from batch.ingest.spelling import composed

DEFAULT_EXCLUDES = (
    ".*",  # hidden: .DS_Store, ._resource-forks, .Trashes, .git
    "@eaDir",  # Synology: thumbnails of every picture
    "#recycle",
    "#snapshot",
    "@Recycle",  # QNAP
    "@Recently-Snapshot",
    "Thumbs.db",  # Windows
    "ehthumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN",
    "System Volume Information",
    "__MACOSX",  # archives made by macOS
    "lost+found",
)


class Exclusions:
    """Glob patterns that ignore case. Without a slash, a pattern matches a file or folder of that name
    anywhere; with one it matches a path below the source, and `*` also matches slashes. A slash at the end is
    ignored."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """patterns: in addition to DEFAULT_EXCLUDES."""
        self.counts: Counter[str] = Counter()
        given = [pattern.rstrip("/") for pattern in (*DEFAULT_EXCLUDES, *patterns)]
        self._names = [(pattern, _compiled(pattern)) for pattern in given if "/" not in pattern]
        self._paths = [(pattern, _compiled(pattern.lstrip("/"))) for pattern in given if "/" in pattern]

    def pattern_for(self, path: str) -> str | None:
        """The pattern that leaves out a path below the source, or a folder above it; None if none does."""
        names = _folded(path).split("/")
        above = ["/".join(names[: depth + 1]) for depth in range(len(names))]
        for tested, patterns in ((names, self._names), (above, self._paths)):
            for pattern, fits in patterns:
                if any(map(fits.match, tested)):
                    return pattern
        return None

    def leaves_out(self, path: str) -> bool:
        """Whether a pattern leaves out a file or folder; if so, it is counted."""
        pattern = self.pattern_for(path)
        if pattern is not None:
            self.counts[pattern] += 1
        return pattern is not None


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(_folded(pattern)))


def _folded(text: str) -> str:
    return composed(text).casefold()
