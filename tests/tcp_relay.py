"""A TCP relay between a client and a server that can cut what goes through it, and be away for a while."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Attributes:
    target: Port of the server.
    port: Port of the relay.
    taken: Connections that came so far.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.taken = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Be away: refuse new connections and cut the open ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every open connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ways = {
                asyncio.create_task(self._pump(reader, there_writer)),
                asyncio.create_task(self._pump(there_reader, writer)),
            }
            self._tasks |= ways
            self._writers |= {writer, there_writer}
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for end in (writer, there_writer):
                end.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)
            self._tasks -= ways
            self._writers -= {writer, there_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    between = Relay(target)
    await between.open()
    try:
        yield between
    finally:
        await between.close()
