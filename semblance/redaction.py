"""What no log, no report and no record of a job shows."""

from __future__ import annotations

import re

HIDDEN = "[redacted]"

_NUMBER = r"-?\d+\.\d+(?:e[-+]?\d+)?"

_NAMED = r"\b\w*(?:password|passwd|secret|token|api[_-]?key)\w*"

_SECRET = re.compile(
    r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JWT
    r"|(?<=bearer )[^\s\"',]+"
    r"|(?<=signature=)[^\s&\"']+"
    rf"|(?P<name>{_NAMED}=[\"']?|{_NAMED}[\"']?\s*:\s*[\"'])[^\s&\"',;]+"
    r"|(?<=://)[^\s/@\"']+(?=@)"  # user and password of an address
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an e-mail address
    rf"|{_NUMBER}(?:[,\s]+{_NUMBER}){{7,}}",  # an embedding
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text without what looks like a credential, an e-mail address or an embedding.

    A second line of defence, for the messages of libraries: this project's own contain none of these.
    """
    return _SECRET.sub(lambda found: f"{found['name'] or ''}{HIDDEN}", text)
