"""What came out: one verdict per rule."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from twin.errors import TwinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to try.

    Attributes:
        rule: Number in `docs/bridge.md`.
        work: Tries it and returns what was seen.
        limit_s: How long that may take.
        alone: Whether it would disturb others, or they it.
    """

    rule: str
    what: str
    work: Callable[[], Awaitable[str]]
    limit_s: float = 20.0
    alone: bool = False


@dataclass(slots=True)
class Report:
    """The verdicts of one run, in order."""

    on_verdict: Callable[[Verdict], None] | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    async def check(self, check: Check) -> None:
        """Run one check and keep its verdict."""
        self._keep(await _judge(check))

    async def check_together(self, checks: Iterable[Check], *, at_a_time: int) -> None:
        """Run checks that do not disturb each other side by side; the verdicts keep the order of the checks."""
        room = asyncio.Semaphore(at_a_time)

        async def in_turn(check: Check) -> Verdict:
            async with room:
                return await _judge(check)

        async with asyncio.TaskGroup() as group:
            for task in [group.create_task(in_turn(check)) for check in checks]:
                self._keep(await task)

    def _keep(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        if self.on_verdict is not None:
            self.on_verdict(verdict)

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The rules that do not hold."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome is Outcome.BROKEN)


async def _judge(check: Check) -> Verdict:
    begun_s = time.monotonic()
    try:
        async with asyncio.timeout(check.limit_s):
            outcome, detail = Outcome.HOLDS, await check.work()
    except NotTestable as reason:
        outcome, detail = Outcome.UNTESTED, str(reason)
    except Broken as finding:
        outcome, detail = Outcome.BROKEN, str(finding)
    except TimeoutError:
        outcome, detail = Outcome.BROKEN, f"nothing within {check.limit_s:g} s"
    except DecodeError as error:
        outcome, detail = Outcome.BROKEN, f"what came is no message of bridge.v1: {error}"
    except (OSError, TwinError) as error:
        outcome, detail = Outcome.BROKEN, f"{type(error).__name__}: {error}"
    return Verdict(
        rule=check.rule,
        what=check.what,
        outcome=outcome,
        detail=detail,
        took_s=round(time.monotonic() - begun_s, 3),
    )
