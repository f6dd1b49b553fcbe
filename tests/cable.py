"""A TCP cable between a client and a server that a test can cut, or leave lying dead without saying so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Cable:
    """Carries bytes both ways.

    Attributes:
        port: Where clients connect.
        dead: While True nothing is carried in either direction, and nobody is told.
        connections: How many clients came.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.dead = False
        self.connections = 0
        self._target_port = target_port
        self._ends: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        """Break every connection at once."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._ends += [writer, far_writer]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.dead:
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.transport.abort()


@asynccontextmanager
async def cable(target_port: int) -> AsyncIterator[Cable]:
    """Lay a cable on a free port."""
    laid = Cable(target_port)
    server = await asyncio.start_server(laid.carry, "127.0.0.1", 0)
    laid.port = server.sockets[0].getsockname()[1]
    try:
        yield laid
    finally:
        laid.cut()
        server.close()
        await server.wait_closed()
