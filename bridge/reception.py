"""The first words of a stream: who is it, may it come in, and is there room."""

from __future__ import annotations

import asyncio
import re
from itertools import islice
from typing import TYPE_CHECKING

from bridge import codec, mapping
from bridge.access import OBSERVE, SCENE
from bridge.errors import VersionMismatch
from bridge.session import too_large
from bridge.stream import PROTOCOL_VERSION
from bridge.v1 import session_pb2
from twin.errors import Overloaded, ProtocolError, TooLarge
from twin.ids import uuid7
from twin.ports import SceneInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bridge.access import Doorkeeper, Guest
    from bridge.stream import BridgeSettings
    from twin.topology import Topology

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MOST_WORDS, MOST_LETTERS = 64, 80
"""Archetypes and codecs that a scene may name, and characters of each word that are kept."""


class Reception:
    """Reads Hello and knows who is behind it."""

    def __init__(self, *, settings: BridgeSettings, doorkeeper: Doorkeeper) -> None:
        self._settings = settings
        self._doorkeeper = doorkeeper
        self._waiting = 0

    async def hear(self, requests: AsyncIterator[bytes]) -> session_pb2.Hello:
        """Wait for Hello.

        Raises:
            ProtocolError: None came in time, or it is none. VersionMismatch: No common version.
            Overloaded: Too many streams wait at the door. TooLarge.
        """
        if self._waiting >= self._settings.max_greeting:
            raise Overloaded(f"`{self._waiting}` streams have not said Hello yet; try again in a moment")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.hello_timeout_s):
                raw = await anext(requests)
        except TimeoutError:
            raise ProtocolError(f"no Hello within `{self._settings.hello_timeout_s}` s; say it first") from None
        except StopAsyncIteration:
            raise ProtocolError("the stream ended before Hello") from None
        finally:
            self._waiting -= 1
        if len(raw) > self._settings.max_message_bytes:
            raise too_large(len(raw), self._settings.max_message_bytes)
        request = codec.decode_request(raw)
        if request.WhichOneof("body") != "hello":
            raise ProtocolError(f"the first message is `{request.WhichOneof('body')}`; say Hello first")
        hello = request.hello
        if not hello.protocol_min <= PROTOCOL_VERSION <= hello.protocol_max:
            raise VersionMismatch(
                f"the client speaks bridge.v1 versions `{hello.protocol_min}` to `{hello.protocol_max}`,"
                f" this twin speaks `{PROTOCOL_VERSION}`; update the older of the two"
            )
        return hello

    def recognise(self, hello: session_pb2.Hello, credentials: str) -> Guest:
        """Return who says Hello and may do what its role does.

        Args:
            credentials: Token that the transport carried, "" when none.

        Raises:
            Unauthenticated: No or a wrong token. PermissionDenied: Not with this token. ProtocolError: No role.
        """
        guest = self._doorkeeper.admit(hello.token or credentials)
        match hello.role:
            case session_pb2.ROLE_SCENE:
                guest.need(SCENE)
                if not _SLUG.fullmatch(hello.scene_id):
                    raise ProtocolError(
                        f"`{hello.scene_id[:80]}` is no scene id; use 1 to 64 of a-z, 0-9, dot, dash and underscore"
                    )
            case session_pb2.ROLE_OBSERVER | session_pb2.ROLE_TRAINER:
                guest.need(OBSERVE)
            case _:
                raise ProtocolError("Hello names no role; say scene, observer or trainer")
        return guest

    def check_size(self, topology: Topology, hello: session_pb2.Hello) -> None:
        """Check that the client can show the inventory, and that the twin can send it.

        Raises:
            TooLarge: It cannot.
        """
        most = self._settings.max_entities
        can = hello.capabilities.max_entities or most
        if len(topology) > min(can, most):
            raise TooLarge(
                f"the inventory has `{len(topology)}` entities, this client shows at most `{can}` and the twin sends at"
                f" most `{most}`; use a smaller scenario or a client that shows more"
            )


def info_of(hello: session_pb2.Hello, *, scene_id: str) -> SceneInfo:
    """Return what a client says of itself, under a session id of its own."""
    return SceneInfo(
        scene_id=scene_id,
        session_id=uuid7(),
        engine=hello.engine[:MOST_LETTERS],
        engine_version=hello.engine_version[:MOST_LETTERS],
        provides=frozenset(mapping.PROVISIONS[p] for p in hello.provides if p in mapping.PROVISIONS),
        epoch=hello.epoch,
        archetypes=_words(hello.capabilities.archetypes),
        camera_codecs=_words(hello.capabilities.camera_codecs),
    )


def _words(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word[:MOST_LETTERS] for word in islice(words, MOST_WORDS))
