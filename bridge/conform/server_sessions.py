"""Checks of a server, second part: coming back after a break."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from bridge.conform.report import Broken, Check, NotTestable, demand
from bridge.conform.talk import PATIENCE_S, Talk
from bridge.v1 import session_pb2, topology_pb2

if TYPE_CHECKING:
    from bridge.conform.talk import Target

NOTICED_S = 0.2
"""How long a server may take to see that a stream broke."""

SHORT_TTL_S = 10.0
LONGEST_TTL_S = 600.0
RING_BYTES = 4_000_000
"""Rule R4, with some room for what the server counts beside the messages."""


class SessionChecks:
    """Rules R."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def all(self) -> list[Check]:
        """Return the checks in the order of the rules."""
        return [
            Check(rule="R1", what="every Welcome has a new secret", work=self.fresh_token),
            Check(rule="R2", what="a broken stream goes on where it was", work=self.resume),
            Check(rule="R3", what="a wrong secret begins anew and is no error", work=self.wrong_secret),
            Check(rule="R4", what="what was not acknowledged is kept and comes again", work=self.kept),
            Check(
                rule="R4",
                what="a session is forgotten after `resume_ttl_s`",
                work=self.forgotten,
                limit_s=LONGEST_TTL_S + 30,
            ),
            Check(rule="R5", what="Subscribe and Presence outlive a connection, credit does not", work=self.outlives),
            Check(rule="R6", what="after Goodbye there is nothing to resume", work=self.goodbye),
            Check(rule="R7", what="a resume ends the older stream", work=self.resume_while_open),
        ]

    async def _begun(self) -> Talk:
        """Return a session that was begun and cut."""
        async with self._target.wire(breaks=True) as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            talk.resume_point()
            await talk.started()
            await talk.subscribe(session_pb2.CHANNEL_EVENTS)
        await asyncio.sleep(NOTICED_S)
        return talk

    def _resume(self, talk: Talk, token: str = "") -> bytes:
        return self._target.hello(resume=talk.resume_point(token=token))

    async def fresh_token(self) -> str:
        """R1."""
        begun = await self._begun()
        async with self._target.wire(breaks=True) as wire:
            talk = Talk(wire, highest=begun.highest)
            welcome = await talk.open(self._resume(begun))
            demand(welcome.resume_token not in {"", begun.welcome.resume_token}, "the same secret twice")
        async with self._target.wire() as wire:
            welcome = await Talk(wire).open(self._resume(begun))
            demand(not welcome.resumed, "the secret of an older Welcome still opens the session")
        return "a secret is good once"

    async def resume(self) -> str:
        """R2."""
        begun = await self._begun()
        async with self._target.wire() as wire:
            talk = Talk(wire, highest=begun.highest)
            welcome = await talk.open(self._resume(begun))
            demand(welcome.resumed, "not resumed within a second of the break")
            demand(welcome.session_id == begun.welcome.session_id, "resumed under another session id")
            await talk.quiet("topology_snapshot", 0.5, "again in a resumed session")
            await talk.say(topology_request=topology_pb2.TopologyRequest())
            response = await talk.until("topology_snapshot")
            demand(response.seq > begun.highest, f"number {response.seq} after {begun.highest}")
            return f"session {welcome.session_id} goes on after {begun.highest}"

    async def wrong_secret(self) -> str:
        """R3."""
        begun = await self._begun()
        async with self._target.wire() as wire:
            talk = Talk(wire)
            welcome = await talk.open(self._resume(begun, token="wrong"))  # noqa: S106
            demand(not welcome.resumed, "resumed with a wrong secret")
            demand(welcome.session_id != begun.welcome.session_id, "the session of another was given away")
            await talk.started()
            return "a new session with a snapshot"

    async def kept(self) -> str:
        """R4: a client that was told everything and dealt with nothing is told everything again."""
        size, told = 0, 0
        async with self._target.wire(breaks=True) as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            talk.acknowledges = False
            complete = False
            while not complete:
                response = await talk.until("topology_snapshot", "desired_configuration")
                size, told = size + response.ByteSize(), response.seq
                complete = response.desired_configuration.last
        if size > RING_BYTES:
            raise NotTestable(f"the beginning alone has {size} bytes; a ring holds 4 MB")
        await asyncio.sleep(NOTICED_S)
        async with self._target.wire() as wire:
            again = Talk(wire)
            welcome = await again.open(self._target.hello(resume=talk.resume_point(last_seq=0)))
            demand(welcome.resumed, f"not resumed, though only {size} bytes waited")
            while again.highest < told:
                await again.until("topology_snapshot", "desired_configuration")
            return f"{told} messages, {size} bytes came again under their numbers"

    async def forgotten(self) -> str:
        """R4."""
        begun = await self._begun()
        ttl_s = begun.welcome.resume_ttl_s
        if not 0 < ttl_s <= (LONGEST_TTL_S if self._target.patient else SHORT_TTL_S):
            raise NotTestable(f"`resume_ttl_s` is {ttl_s:g} s; --patient waits for up to {LONGEST_TTL_S:g} s")
        await asyncio.sleep(1.1 * ttl_s + 1.0)
        async with self._target.wire() as wire:
            welcome = await Talk(wire).open(self._resume(begun))
            demand(not welcome.resumed, f"still resumed {ttl_s:g} s after the break")
            return f"begins anew after {ttl_s:g} s"

    async def outlives(self) -> str:
        """R5."""
        channel = session_pb2.CHANNEL_PRESENCE
        async with self._target.wire(breaks=True) as wire:
            ann = Talk(wire)
            await ann.open(self._target.hello())
            ann.resume_point()
            await ann.started()
            await ann.subscribe(channel)
            await ann.grant(channel, 1_000)
            await ann.say(presence={"name": "Ann, who comes back"})
            await ann.alive(1)
        await asyncio.sleep(NOTICED_S)
        async with self._target.wire() as wire, self._target.wire() as other:
            again = Talk(wire, highest=ann.highest)
            demand((await again.open(self._resume(ann))).resumed, "not resumed")
            bob = Talk(other)
            await bob.open(self._target.hello())
            await bob.say(presence={"name": "Bob, who is new"})
            await again.quiet("presence_list", 1.0, "for credit of the connection before")
            await again.grant(channel, 20)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        people = (await again.until("presence_list")).presence_list.people
                        if {"Ann, who comes back", "Bob, who is new"} <= {person.name for person in people}:
                            return "subscribed and shown as before, with new credit"
            raise Broken("a resumed session does not get the list that it subscribed to, or is not in it")

    async def goodbye(self) -> str:
        """R6."""
        async with self._target.wire() as wire:
            begun = Talk(wire)
            await begun.open(self._target.hello())
            begun.resume_point()
            await begun.started()
            await begun.say(goodbye=session_pb2.Goodbye(reason="conformance"))
            with contextlib.suppress(Broken):
                await begun.ends(2.0)
        async with self._target.wire() as wire:
            welcome = await Talk(wire).open(self._resume(begun))
            demand(not welcome.resumed, "a session that was left for good was resumed")
            return "a new session"

    async def resume_while_open(self) -> str:
        """R7."""
        async with self._target.wire() as old_wire, self._target.wire() as new_wire:
            old = Talk(old_wire)
            await old.open(self._target.hello())
            await old.started()
            new = Talk(new_wire, highest=old.highest)
            demand((await new.open(self._resume(old))).resumed, "not resumed while the old stream is open")
            await old.ends()
            return "the older stream ended"
