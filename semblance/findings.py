"""What a check of settings or of the machine finds, for people: `doctor` prints it, a start refuses by it."""

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
    """One thing looked at. fix: what to do, where it is not ok."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    text: str
    fix: str = ""

    @property
    def line(self) -> str:
        """All of it for a list without headings."""
        return f"{self.text}: {self.fix}" if self.fix else self.text


Check: TypeAlias = Callable[[Settings], Iterator[Finding]]


def require(settings: Settings, checks: Sequence[Check]) -> None:
    """Raise ConfigurationError with a line for each thing that must be mended, for all of them at once; log
    what had better be mended."""
    with ThreadPoolExecutor(len(checks)) as pool:
        results = list(pool.map(lambda check: list(check(settings)), checks))
    findings = list(chain.from_iterable(results))
    for finding in findings:
        if finding.level == "warn":
            logger.warning("%s", finding.line)
    # What two checks stumble over is said once.
    if lines := dict.fromkeys(finding.line for finding in findings if finding.level == "fail"):
        raise ConfigurationError("\n".join(lines))
