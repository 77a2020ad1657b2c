"""What a school may be called, and which school an e-mail address is of.

db/migrations/0016_schools.up.sql says the latter in SQL, where it also knows the domains that admins have
added; a test holds both together.
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
    """The domain, lower case, that a school has registered below `.edu`, `.edu.xx` or `.ac.xx`, of whatever
    country; None for other addresses.

    There names are registered at the next level only, so that one label more is the school, however its hosts
    are called: `student@cs.stanford.edu` and `staff@Stanford.EDU` are both of `stanford.edu`, and
    `a@cs.ox.ac.uk` is of `ox.ac.uk`.
    """
    host = _HOST.fullmatch(email or "")
    if host is None or len(email or "") > _MAX_ADDRESS:
        return None
    found = _ACADEMIC.search(host[1].lower())
    return None if found is None else found[1]


def usable_domain(text: str) -> str:
    """A domain of e-mail addresses as it is kept: lower case, ASCII.

    Raises ValueError, with a sentence, for what is no domain, and for one below which many schools are.
    """
    domain = text.strip().lower()
    if len(domain) > _MAX_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise ValueError("A domain is written like stanford.edu: letters of ASCII, digits, hyphens and dots.")
    if _SHARED.fullmatch(domain):
        raise ValueError(f"Below {domain} are many schools; name the domain of one.")
    return domain


def folded(name: str) -> str:
    """A name in the form in which names are compared, as `fold_school` does it in SQL."""
    return " ".join(unicodedata.normalize("NFC", name).lower().split())
