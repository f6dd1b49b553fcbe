"""Writing that must not be given up: what happened already is journaled, however long the disk is full."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import structlog

from twin.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RETRY_S = 1.0
"""How long to wait before a full disk is tried again."""

T = TypeVar("T")

_log = structlog.get_logger("twin_app.patience")


async def until_stored(write: Callable[[], Awaitable[T]], *, what: str) -> T:
    """Repeat a write until the store takes it; said once in the log. Ends early only by cancellation.

    Args:
        write: Stores all or nothing, so that it may be repeated.
        what: Name of the thing that waits, for the log.
    """
    failed = False
    while True:
        try:
            return await write()
        except Unavailable as error:
            if not failed:
                _log.error("waits_for_disk", what=what, error=str(error))
            failed = True
            await asyncio.sleep(RETRY_S)
