"""A TCP relay between a client and a server that a test can cut, leave lying dead, or take away for a while."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Carries bytes both ways, over as many connections as are opened.

    Args:
        target: Port of the server on this machine, or its address `host:port`.

    Attributes:
        target: Port of the server; a new one holds for new connections.
        port: Where clients connect.
        dead: While True no byte is carried in either direction, and nobody is told.
        taken: Connections that came so far.
    """

    def __init__(self, target: int | str) -> None:
        self.target = int(str(target).rpartition(":")[2])
        self.port = 0
        self.dead = False
        self.taken = 0
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Where clients connect, with the host."""
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Listen; after :meth:`close` on the same port again."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Be away: refuse new connections and cut the open ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every open connection without a word; new ones are let through."""
        for end in self._ends:
            end.transport.abort()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        if self._server is None:  # closed meanwhile: this connection came too late to be cut
            for end in ends:
                end.transport.abort()
            return
        self._ends |= ends
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._ends -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if not self.dead:
                    writer.write(data)
                    await writer.drain()
        writer.close()  # what is on its way still arrives


@asynccontextmanager
async def relay(target: int | str) -> AsyncIterator[Relay]:
    """Listen on a free port in front of a server."""
    between = Relay(target)
    await between.open()
    try:
        yield between
    finally:
        await between.close()
