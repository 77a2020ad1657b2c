"""What checks of the settings and the machine find: `doctor` prints it, and a stack may refuse to start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

from semblance.errors import ConfigurationError
from semblance.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. fix: what to do if the level is not ok."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    text: str
    fix: str = ""

    @property
    def line(self) -> str:
        """Text and fix in one line."""
        return f"{self.text}: {self.fix}" if self.fix else self.text


Check: TypeAlias = Callable[[Settings], Iterator[Finding]]


def require(settings: Settings, checks: Sequence[Check]) -> None:
    """Raise ConfigurationError with one line for each failure, all at once; log the warnings."""
    with ThreadPoolExecutor(len(checks)) as pool:
        results = list(pool.map(lambda check: list(check(settings)), checks))
    findings = list(chain.from_iterable(results))
    for finding in findings:
        if finding.level == "warn":
            logger.warning("%s", finding.line)
    # Two checks may fail for the same reason.
    if lines := dict.fromkeys(finding.line for finding in findings if finding.level == "fail"):
        raise ConfigurationError("\n".join(lines))
