"""Pictures from the cameras of scenes: asked for one by one, or sent unasked within credit and shown to observers.

A bad picture costs whoever waits for it, not the stream; only parts that do not follow each other end the stream.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bridge import codec
from bridge.peers import give_credit, listeners, tell_ignored
from bridge.picture import CODEC_NUMBERS, Assembly, BrokenOrder, parts_of
from bridge.v1 import session_pb2
from bridge.words import clean
from twin.errors import (
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    ProtocolError,
    SceneNotNamed,
    SceneUnavailable,
    TooLarge,
)
from twin.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from bridge.peers import Peer
    from bridge.picture import Codec
    from bridge.v1 import media_pb2
    from twin.errors import TwinError
    from twin.media import CameraImage

MAX_WAITING = 16
"""Requests for pictures at a time, those on their way included: each may hold 10 MB."""
MAX_CAMERAS = 8
"""Cameras of a scene whose newest picture is kept."""
MAX_SKIPPED = 64
"""Pictures without credit that a client may have begun and not ended."""
MAX_CAMERA_ID = 64


@dataclass(slots=True)
class _Request:
    session_id: str
    camera_id: str
    answer: asyncio.Future[CameraImage]
    assembly: Assembly


@dataclass(slots=True)
class _Turn:
    """Whose turn it is at one camera; asyncio.Lock lets them through in order of arrival."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


@dataclass(slots=True)
class _Unasked:
    """What one client sends unasked."""

    credits: int
    coming: dict[str, Assembly] = field(default_factory=dict[str, Assembly])
    skipped: set[str] = field(default_factory=set[str])


class CameraDesk:
    """Asks for pictures, takes them in, and shows them around.

    Args:
        peers: Everybody whose stream is open.
        first_credits: Unasked pictures that a client may have under way.
        max_waiting: Requests at a time; more are refused.

    Attributes:
        dropped: Unasked pictures that came without credit.
        late_parts: Parts of pictures that nobody waits for any more.
    """

    def __init__(
        self, *, peers: Callable[[], Iterable[Peer]], first_credits: int = 1, max_waiting: int = MAX_WAITING
    ) -> None:
        self._peers = peers
        self._first_credits = first_credits
        self._max_waiting = max_waiting
        self._requests: dict[str, _Request] = {}
        self._turns: dict[tuple[str, str], _Turn] = {}
        self._unasked: dict[str, _Unasked] = {}
        self._latest: dict[str, dict[str, tuple[str, CameraImage]]] = {}
        self.dropped = 0
        self.late_parts = 0

    # Asking.

    async def picture(
        self,
        *,
        scene_id: str | None,
        camera_id: str = "",
        width: int = 0,
        height: int = 0,
        codec: Codec | None = None,
        timeout_s: float,
    ) -> CameraImage:
        """Ask a camera for one picture and wait for it; several who ask the same camera are served in order.

        Args:
            scene_id: None = the only one that has a camera.
            camera_id: "" = the user's own.
            width: Wanted pixels; 0 = as it is.
            height: The same.
            codec: Wanted codec; None = the scene chooses.

        Raises:
            SceneUnavailable: No scene with a camera is connected, it left meanwhile, or it has no picture.
            DeadlineExceeded: Not in time. TooLarge: The picture is. ProtocolError: It is none, or came in pieces that
            do not fit. Overloaded: Too many ask at once. SceneNotNamed: Several have one.
        """
        if len(camera_id) > MAX_CAMERA_ID:
            raise InvalidInput(f"a camera id has `{len(camera_id)}` characters; at most {MAX_CAMERA_ID}")
        scene_id = self._find(scene_id, codec).info.scene_id
        try:
            async with asyncio.timeout(timeout_s), self._turn(scene_id, camera_id):
                peer = self._find(scene_id, codec)  # anew: another session may hold the scene after the wait
                return await self._ask(peer, camera_id, width=width, height=height, word=codec)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the scene `{scene_id}` sent no picture of camera `{camera_id}` within `{timeout_s:g}` s"
            ) from None

    @asynccontextmanager
    async def _turn(self, scene_id: str, camera_id: str) -> AsyncGenerator[None]:
        if sum(turn.waiting for turn in self._turns.values()) >= self._max_waiting:
            raise Overloaded(f"`{self._max_waiting}` pictures are asked for already; try again when they have come")
        turn = self._turns.setdefault((scene_id, camera_id), _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[scene_id, camera_id]

    async def _ask(self, peer: Peer, camera_id: str, *, width: int, height: int, word: Codec | None) -> CameraImage:
        request_id = uuid7()
        request = _Request(
            session_id=peer.info.session_id,
            camera_id=camera_id,
            answer=asyncio.get_running_loop().create_future(),
            assembly=Assembly(scene_id=peer.info.scene_id),
        )
        response = codec.ConnectResponse()
        wanted = response.camera_request
        wanted.request_id, wanted.camera_id, wanted.width, wanted.height = request_id, camera_id, width, height
        if word is not None:
            wanted.codec = CODEC_NUMBERS[word]
        self._requests[request_id] = request
        try:
            peer.outbox.send_now(response)
            return await request.answer
        finally:
            del self._requests[request_id]
            if request.answer.done() and not request.answer.cancelled():
                request.answer.exception()  # seen, even when the time-out came at the same moment

    def _find(self, scene_id: str | None, word: Codec | None) -> Peer:
        """Return the session that shows the scene and has a camera: who provides MOTION before anybody else."""
        cameras = [
            peer
            for peer in self._peers()
            if peer.is_scene and peer.info.camera_codecs and scene_id in {None, peer.info.scene_id}
        ]
        scenes = {peer.info.scene_id for peer in cameras}
        if len(scenes) > 1:
            raise SceneNotNamed(f"several scenes have cameras; name one of {', '.join(sorted(scenes))}")
        if not cameras:
            named = f"the scene `{scene_id}`" if scene_id else "the twin"
            raise SceneUnavailable(
                f"{named} has no camera now; connect a scene that shows pictures (`camera_codecs` in its Hello)"
            )
        able = [p for p in cameras if word is None or word in {c.lower() for c in p.info.camera_codecs}]
        if not able:
            offered = sorted({c for p in cameras for c in p.info.camera_codecs})
            raise SceneUnavailable(f"no camera of the scene sends `{word}`; ask for one of {', '.join(offered)}")
        return next((peer for peer in able if "MOTION" in peer.info.provides), able[0])

    # Taking in.

    def arrived(self, peer: Peer, part: media_pb2.CameraFrame) -> None:
        """Take a part of a picture.

        Raises:
            ProtocolError: It does not follow the parts before it; the stream must end.
        """
        if part.request_id:
            self._answered(peer, part)
        else:
            self._sent_unasked(peer, part)

    def _answered(self, peer: Peer, part: media_pb2.CameraFrame) -> None:
        request = self._requests.get(part.request_id)
        if request is None or request.session_id != peer.info.session_id or request.answer.cancelled():
            self.late_parts += 1
            return
        if part.reason:
            _fail(request, SceneUnavailable(f"the scene has no picture: {clean(part.reason, limit=300)}"))
            return
        try:
            image = request.assembly.add(part)
        except BrokenOrder as error:
            _fail(request, error)
            raise
        except (TooLarge, ProtocolError) as error:
            _fail(request, error)
            return
        if image is not None and not request.answer.done():
            camera_id = clean(image.camera_id, limit=MAX_CAMERA_ID) or request.camera_id
            request.answer.set_result(replace(image, camera_id=camera_id))
        elif request.assembly.bad is not None:
            _fail(request, request.assembly.bad)

    def _sent_unasked(self, peer: Peer, part: media_pb2.CameraFrame) -> None:
        state = self._unasked.setdefault(peer.info.session_id, _Unasked(credits=self._first_credits))
        camera_id = part.camera_id
        if part.reason:  # the sender gave up in the middle
            if state.coming.pop(camera_id, None) is not None:
                self._give_back(peer, state)
            state.skipped.discard(camera_id)
            return
        if camera_id not in state.coming and not self._begin(peer, state, part):
            return
        image = None
        try:
            image = state.coming[camera_id].add(part)
        except BrokenOrder:
            raise
        except (TooLarge, ProtocolError) as error:
            tell_ignored(peer, f"a picture of camera `{clean(camera_id, limit=MAX_CAMERA_ID)}` was ignored: {error}")
        if part.last:
            del state.coming[camera_id]
            self._give_back(peer, state)
        if image is not None:
            self._show(peer, replace(image, camera_id=clean(camera_id, limit=MAX_CAMERA_ID)))

    def _begin(self, peer: Peer, state: _Unasked, part: media_pb2.CameraFrame) -> bool:
        """Return whether an unasked picture may come in; without credit all its parts are dropped."""
        if part.offset and part.camera_id in state.skipped:
            if part.last:
                state.skipped.remove(part.camera_id)
            return False
        if part.offset:
            raise BrokenOrder(f"a picture begins at byte `{part.offset}`; send its first part first")
        if state.credits > 0:
            state.skipped.discard(part.camera_id)
            state.credits -= 1
            state.coming[part.camera_id] = Assembly(scene_id=peer.info.scene_id)
            return True
        self.dropped += 1
        if not part.last:
            state.skipped.add(part.camera_id)
            if len(state.skipped) > MAX_SKIPPED:
                raise BrokenOrder(
                    f"`{len(state.skipped)}` pictures were begun without credit and never ended; end them"
                )
        return False

    def _give_back(self, peer: Peer, state: _Unasked) -> None:
        state.credits += 1
        give_credit(peer, session_pb2.CHANNEL_CAMERA, 1)

    def _show(self, peer: Peer, image: CameraImage) -> None:
        kept = self._latest.setdefault(image.scene_id, {})
        kept.pop(image.camera_id, None)
        kept[image.camera_id] = (peer.info.session_id, image)
        if len(kept) > MAX_CAMERAS:
            del kept[next(iter(kept))]
        watching = listeners(
            self._peers(), scene_id=image.scene_id, channel=session_pb2.CHANNEL_CAMERA, but=peer.info.session_id
        )
        if watching:
            bodies = [part.SerializeToString() for part in parts_of(image)]
            for observer in watching:
                observer.outbox.offer_parts(session_pb2.CHANNEL_CAMERA, bodies)

    def latest_picture(self, scene_id: str, camera_id: str = "") -> CameraImage | None:
        """Return the newest picture that a camera sent unasked, None when there is none."""
        found = self._latest.get(scene_id, {}).get(camera_id)
        return found[1] if found else None

    # Coming and going.

    def joined(self, peer: Peer) -> None:
        """Begin anew with a connection: its credits are those of Welcome."""
        self._unasked.pop(peer.info.session_id, None)

    def cut(self, peer: Peer) -> None:
        """Give up what was on its way on a stream that has ended."""
        self._unasked.pop(peer.info.session_id, None)
        for request in self._requests.values():
            if request.session_id == peer.info.session_id:
                _fail(request, SceneUnavailable(f"the scene `{peer.info.scene_id}` left before its picture came"))

    def gone(self, peer: Peer) -> None:
        """Forget the pictures of a session that will not come back."""
        self.cut(peer)
        kept = self._latest.get(peer.info.scene_id, {})
        for camera_id in [c for c, (session_id, _) in kept.items() if session_id == peer.info.session_id]:
            del kept[camera_id]
        if not kept:
            self._latest.pop(peer.info.scene_id, None)

    def close(self) -> None:
        """Tell everybody who still waits that no picture will come."""
        for request in self._requests.values():
            _fail(request, SceneUnavailable("the bridge stops"))


def _fail(request: _Request, error: TwinError) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
