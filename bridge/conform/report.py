"""What came out: one verdict per rule."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Outcome(StrEnum):
    """How a check ended."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One check.

    Attributes:
        rule: Number in `docs/bridge.md`.
        detail: What was seen; for `untested`, why it could not be tried.
    """

    rule: str
    what: str
    outcome: Outcome
    detail: str
    took_s: float


class NotTestable(Exception):
    """The other side offers nothing to try this on."""


class Broken(Exception):
    """The rule does not hold; the text says what was seen."""


def demand(condition: object, seen: str) -> None:
    """Raise :class:`Broken` unless the condition is true."""
    if not condition:
        raise Broken(seen)


@dataclass(slots=True)
class Report:
    """The verdicts of one run, in order."""

    on_verdict: Callable[[Verdict], None] | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    async def check(self, rule: str, what: str, work: Callable[[], Awaitable[str]], *, limit_s: float = 20.0) -> bool:
        """Run one check and keep its verdict; returns whether the rule holds."""
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(limit_s):
                outcome, detail = Outcome.HOLDS, await work()
        except NotTestable as reason:
            outcome, detail = Outcome.UNTESTED, str(reason)
        except Broken as finding:
            outcome, detail = Outcome.BROKEN, str(finding)
        except TimeoutError:
            outcome, detail = Outcome.BROKEN, f"nothing within {limit_s:g} s"
        except OSError as error:
            outcome, detail = Outcome.BROKEN, f"{type(error).__name__}: {error}"
        verdict = Verdict(
            rule=rule, what=what, outcome=outcome, detail=detail, took_s=round(time.monotonic() - begun_s, 3)
        )
        self.verdicts.append(verdict)
        if self.on_verdict is not None:
            self.on_verdict(verdict)
        return outcome is Outcome.HOLDS

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The rules that do not hold."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome is Outcome.BROKEN)
