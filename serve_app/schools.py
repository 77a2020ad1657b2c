"""Which school an e-mail address belongs to."""

from __future__ import annotations

import re

_EDU = re.compile(r"[^@]+@(?:[a-z0-9-]+\.)*([a-z0-9-]+\.edu)")


def school_of(email: str | None) -> str | None:
    """The school's registered domain, lower case; None for an address that is not below `.edu`.

    Under `.edu` names are registered at the second level only, so the last two labels are the school
    however its hosts are called: `student@cs.stanford.edu` and `staff@Stanford.EDU` are both of
    `stanford.edu`. Other addresses give no school, also where they may sign up: everybody at a public mail
    provider would be at one school.
    """
    found = _EDU.fullmatch((email or "").lower())
    return None if found is None else found[1]
