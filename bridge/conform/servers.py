"""Checks a server: plays observers and, where it may, scenes against it and looks at what it does.

Nothing here changes the network that the server keeps. Only with `scene_id` does it show itself as a scene of that
name, which pushes out the one that is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.conform.report import Broken
from bridge.conform.server_scenes import SceneChecks
from bridge.conform.server_sessions import SessionChecks
from bridge.conform.server_streams import StreamChecks
from bridge.conform.server_watching import WatchChecks
from bridge.conform.talk import Talk, Target
from bridge.v1 import session_pb2
from twin.errors import Unavailable

if TYPE_CHECKING:
    from bridge.conform.report import Check, Report

__all__ = ["Target", "check_server", "checks_of"]

AT_A_TIME = 8
"""Checks side by side; a few of them open two or three streams."""


def checks_of(target: Target) -> list[Check]:
    """Return every check that can be tried on a server."""
    parts = (StreamChecks(target), SessionChecks(target), WatchChecks(target), SceneChecks(target))
    return [check for part in parts for check in part.all()]


async def check_server(target: Target, report: Report) -> None:
    """Run every check against a server: those that do not disturb each other side by side, then the others.

    Raises:
        Unavailable: Nobody listens at the address, or this client is not let in.
    """
    await _gets_in(target)
    checks = checks_of(target)
    await report.check_together((check for check in checks if not check.alone), at_a_time=AT_A_TIME)
    for check in checks:
        if check.alone:
            await report.check(check)


async def _gets_in(target: Target) -> None:
    """A wrong address or a missing token is no broken rule."""
    try:
        await _enters(target, target.hello())
    except Unavailable:
        if not target.scene_id:
            raise
        # Where no scene has been yet there is nothing to watch: be the first.
        await _enters(target, target.hello(session_pb2.ROLE_SCENE, provides=[session_pb2.PROVISION_KPI], epoch=1))
        await _enters(target, target.hello())


async def _enters(target: Target, hello: bytes) -> None:
    async with target.wire() as wire:
        try:
            await Talk(wire).open(hello)
        except Broken as finding:
            raise Unavailable(f"`{target.url}` cannot be checked, nobody gets in: {finding}") from None
        except TimeoutError:
            raise Unavailable(f"`{target.url}` takes the connection and does not answer Hello") from None
