"""Checks of a server, fourth part: what it does with a scene. They push out the one that is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bridge.conform.report import Broken, Check, NotTestable, demand
from bridge.conform.talk import PATIENCE_S, Talk, code_of
from bridge.v1 import figures_pb2, media_pb2, session_pb2, topology_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridge.conform.talk import Target
    from bridge.conform.wire import Wire

WIDTH, HEIGHT = 400, 300
PART_BYTES = 256 * 1024
"""Rule M1: the largest part of a picture."""

MOST_QUEUED = 20_000
"""Messages after which a queue counts as without a bound, rule L5."""


class SceneChecks:
    """Rules O, F, L and M of the server's end of a scene."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def all(self) -> list[Check]:
        """Return the checks in the order of the rules."""
        checks = [
            ("B6", "figures that do not fit together are refused", self.broken_figures),
            ("L1", "a lossless message is acknowledged", self.lossless_ack),
            ("L5", "a client that never acknowledges is thrown out", self.never_acknowledges),
            ("D2", "an entity that a scene may not offer is refused alone, with the reason", self.refused_offer),
            ("O2", "a second client that wants the same is told to wait", self.conflict),
            ("O3", "a takeover tells the older client", self.takeover),
            ("O4", "the fencing number grows", self.fencing),
            ("F1", "telemetry of a scene is taken and credit given back", self.scene_credit),
            ("M1", "parts of a picture out of order end the stream", self.parts_out_of_order),
            ("M1", "a picture that is none costs that picture only", self.bad_picture),
            ("M2", "pictures go to who gave credit, whole and in order", self.pictures),
        ]
        return [Check(rule=rule, what=what, work=work, limit_s=90, alone=True) for rule, what, work in checks]

    def _hello(self, **more: Any) -> bytes:
        if not self._target.scene_id:
            raise NotTestable("needs --scene: a scene of the server to show instead of the present one")
        provides = [session_pb2.PROVISION_MOTION, session_pb2.PROVISION_KPI]
        return self._target.hello(session_pb2.ROLE_SCENE, provides=provides, epoch=1, **{"takeover": True, **more})

    async def _shown(self, wire: Wire) -> Talk:
        talk = Talk(wire)
        await talk.open(self._hello())
        return talk

    async def broken_figures(self) -> str:
        """B6."""
        async with self._target.wire() as wire:
            talk = await self._shown(wire)
            await talk.say(telemetry=figures_pb2.Telemetry(entity_index=[0, 1], position_m=[1.0, 2.0]))
            return await talk.refusal("PROTOCOL")

    async def lossless_ack(self) -> str:
        """L1, L2."""
        async with self._target.wire() as wire:
            talk = await self._shown(wire)
            await talk.started()
            number = await talk.say_lossless(
                event={"name": "conform.hello", "sim_time_s": talk.welcome.resume_at_sim_s}
            )
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while (response := await talk.next()) is not None:
                        if response.ack >= number:
                            return f"number {number} acknowledged"
            except TimeoutError:
                raise Broken("never acknowledged") from None
            raise Broken("the stream ended")

    async def never_acknowledges(self) -> str:
        """L5: it reads everything and says nothing of it, so that only the queue of the server can be full."""
        async with self._target.wire(breaks=True) as wire:
            talk = await self._shown(wire)
            talk.acknowledges = False
            await talk.started()
            while talk.highest < MOST_QUEUED:
                await talk.say_lossless(contribute=_not_to_offer())
                response = await talk.until("contribute_reply", "refusal")
                if response.HasField("refusal"):
                    break
            else:
                raise Broken(f"{MOST_QUEUED} messages wait for an acknowledgement; the queue has no bound")
            refusal = response.refusal
            demand(code_of(refusal) == "OVERLOADED", f"refused with {code_of(refusal)}: {refusal.message}")
            demand(refusal.retry_after_s > 0, "not told when to come back")
            demand(await talk.next() is None, "the stream goes on after Refusal")
        async with self._target.wire() as wire:
            again = Talk(wire, highest=talk.highest)
            welcome = await again.open(self._hello(resume=talk.resume_point()))
            how = "resumed" if welcome.resumed else "not resumed: the ring does not hold so much"
            return f"after {talk.highest} messages; {how}"

    async def refused_offer(self) -> str:
        """D2."""
        async with self._target.wire() as wire:
            talk = await self._shown(wire)
            await talk.say_lossless(contribute=_not_to_offer())
            (verdict,) = (await talk.until("contribute_reply")).contribute_reply.entities
            demand(verdict.reason, f"taken in as `{verdict.entity_id}`, or refused without a reason")
            await talk.alive(4)
            return verdict.reason

    async def conflict(self) -> str:
        """O2."""
        async with self._target.wire() as wire:
            await self._shown(wire)
            async with self._target.wire() as second:
                await second.send(self._hello(takeover=False))
                refusal = (await Talk(second).until("refusal")).refusal
                demand(code_of(refusal) == "CONFLICT", f"refused with {code_of(refusal)}: {refusal.message}")
                demand(refusal.retry_after_s > 0, "not told how long to wait")
                return refusal.message

    async def takeover(self) -> str:
        """O3."""
        async with self._target.wire() as wire, self._target.wire() as second:
            older = await self._shown(wire)
            await self._shown(second)
            notice = (await older.until("notice")).notice
            demand(notice.code == session_pb2.NOTICE_CODE_TAKEN_OVER, f"notice {notice.code}")
            await older.ends()
            return notice.message

    async def fencing(self) -> str:
        """O4."""
        numbers: list[int] = []
        for _ in range(2):
            async with self._target.wire() as wire:
                numbers.append((await self._shown(wire)).welcome.fencing_number)
        demand(0 < numbers[0] < numbers[1], f"{numbers}")
        return f"{numbers[0]} < {numbers[1]}"

    async def scene_credit(self) -> str:
        """F1, F2."""
        async with self._target.wire() as wire:
            talk = await self._shown(wire)
            demand(talk.welcome.telemetry_credits > 0, "no first credit")
            phone = next((entity for entity in await talk.started() if entity.kind == "ue"), None)
            if phone is None:
                raise NotTestable("the inventory has no UE")
            for number in range(1, talk.welcome.telemetry_credits + 1):
                await talk.say(telemetry=_telemetry(talk, phone, number))
            while (credit := (await talk.until("credit")).credit).channel != session_pb2.CHANNEL_TELEMETRY:
                pass
            return f"{credit.messages} given back"

    async def parts_out_of_order(self) -> str:
        """M1."""
        async with self._target.wire() as wire:
            talk = await self._shown(wire)
            first, *_ = _picture(1)
            await talk.say(camera_frame=first)
            first.offset += 7 + len(first.data)
            await talk.say(camera_frame=first)
            return await talk.refusal("PROTOCOL")

    async def bad_picture(self) -> str:
        """M1."""
        async with self._target.wire() as wire:
            talk = await self._shown(wire)
            if not talk.welcome.camera_credits:
                raise NotTestable("the server takes no unasked pictures: `camera_credits` is 0")
            rubbish = b"no picture at all"
            await talk.say(
                camera_frame=media_pb2.CameraFrame(
                    codec=media_pb2.IMAGE_CODEC_JPEG,
                    width=WIDTH,
                    height=HEIGHT,
                    data=rubbish,
                    total_bytes=len(rubbish),
                    last=True,
                )
            )
            await talk.alive(3)
            return "the stream goes on"

    async def pictures(self) -> str:
        """M2, and M1 of the parts that the server sends on."""
        channel = session_pb2.CHANNEL_CAMERA
        async with self._target.wire() as shows, self._target.wire() as watches:
            scene = await self._shown(shows)
            if not scene.welcome.camera_credits:
                raise NotTestable("the server takes no unasked pictures: `camera_credits` is 0")
            watcher = Talk(watches)
            await watcher.open(self._target.hello(scene_id=self._target.scene_id))
            await watcher.started()
            await watcher.subscribe(channel)
            await _send_picture(scene, 1)
            await watcher.quiet("camera_frame", 0.7, "without credit")
            await watcher.grant(channel, 1)
            await _send_picture(scene, 2)
            parts = [part async for part in _parts(watcher)]
            whole = b"".join(part.data for part in parts)
            demand(whole in {_pixels(1), _pixels(2)}, f"{len(whole)} bytes that are not what the scene sent")
            await watcher.quiet("camera_frame", 0.5, "a second time for one credit")
            return f"{len(whole)} bytes in {len(parts)} parts for one credit"


def _not_to_offer() -> topology_pb2.Contribute:
    """Return an offer that no server may take: what belongs to the network comes from the scenario."""
    return topology_pb2.Contribute(entities=[topology_pb2.ContributedEntity(local_id="conform", kind="cell")])


def _telemetry(talk: Talk, phone: topology_pb2.Entity, number: int) -> figures_pb2.Telemetry:
    place = phone.position
    return figures_pb2.Telemetry(
        epoch=1,
        number=number,
        revision=talk.revision,
        sim_time_s=talk.welcome.resume_at_sim_s,
        entity_index=[phone.index],
        position_m=[place.east_m, place.north_m, place.up_m],
    )


def _pixels(shade: int) -> bytes:
    return bytes([shade]) * (3 * WIDTH * HEIGHT)


def _picture(shade: int) -> list[media_pb2.CameraFrame]:
    """Return a picture of one colour, in parts."""
    pixels = _pixels(shade)
    return [
        media_pb2.CameraFrame(
            camera_id="conform",
            codec=media_pb2.IMAGE_CODEC_RAW_RGB,
            width=WIDTH,
            height=HEIGHT,
            offset=offset,
            data=pixels[offset : offset + PART_BYTES],
            last=offset + PART_BYTES >= len(pixels),
            total_bytes=len(pixels),
        )
        for offset in range(0, len(pixels), PART_BYTES)
    ]


async def _send_picture(scene: Talk, shade: int) -> None:
    """Send a picture unasked and wait for the credit that it cost."""
    for part in _picture(shade):
        await scene.say(camera_frame=part)
    while (await scene.until("credit")).credit.channel != session_pb2.CHANNEL_CAMERA:
        pass


async def _parts(watcher: Talk) -> AsyncIterator[media_pb2.CameraFrame]:
    """Yield the parts of one picture, each looked at."""
    offset = 0
    while True:
        part = (await watcher.until("camera_frame")).camera_frame
        demand(part.offset == offset, f"a part begins at {part.offset}, expected {offset}")
        demand(len(part.data) <= PART_BYTES, f"a part of {len(part.data)} bytes")
        offset += len(part.data)
        yield part
        if part.last:
            demand(offset == part.total_bytes, f"{offset} bytes, total_bytes says {part.total_bytes}")
            return
