"""What a school may be called, and which school an e-mail address belongs to.

db/migrations/0016_schools.up.sql says the latter in SQL, which also knows the domains that admins have
added; a test keeps the two equal.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_HOST: Final = re.compile(r"[^@]+@((?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+)")
_ACADEMIC: Final = re.compile(r"(?:^|\.)([a-z0-9-]+\.(?:edu|(?:edu|ac)\.[a-z]{2}))\Z")
_SHARED: Final = re.compile(r"(?:edu|ac)\.[a-z]{2}")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")

_MAX_ADDRESS: Final = 320
"""Characters of an e-mail address, by RFC 3696."""

_MAX_DOMAIN: Final = 253
"""Characters of a domain, by RFC 1035."""


def school_of(email: str | None) -> str | None:
    """The domain, in lower case, that a school has registered below `.edu`, `.edu.xx` or `.ac.xx`, of any
    country; None for other addresses.

    Names are registered only at the next level there, so one more label is the school, independent of its
    hosts: `student@cs.stanford.edu` and `staff@Stanford.EDU` both belong to `stanford.edu`, and
    `a@cs.ox.ac.uk` to `ox.ac.uk`.
    """
    host = _HOST.fullmatch(email or "")
    if host is None or len(email or "") > _MAX_ADDRESS:
        return None
    found = _ACADEMIC.search(host[1].lower())
    return None if found is None else found[1]


def usable_domain(text: str) -> str:
    """A domain of e-mail addresses as it is stored: lower case, ASCII.

    Raises ValueError, with a sentence, for an invalid domain, and for one that many schools share.
    """
    domain = text.strip().lower()
    if len(domain) > _MAX_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise ValueError("A domain looks like stanford.edu: ASCII letters, digits, hyphens and dots.")
    if _SHARED.fullmatch(domain):
        raise ValueError(f"Many schools share {domain}; name the domain of one.")
    return domain


def folded(name: str) -> str:
    """A name in the form in which names are compared; `fold_school` does the same in SQL."""
    return " ".join(unicodedata.normalize("NFC", name).lower().split())
