"""A line between a client and a server that a test can cut, as a network would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Line:
    """Passes bytes on, both ways, over as many connections as are opened.

    Attributes:
        url: Where clients connect.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def cut(self) -> None:
        """Break every open connection without a word; new ones are let through."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._ends |= {writer, there_writer}
        for source, goal in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._pump(source, goal))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, goal: asyncio.StreamWriter) -> None:
        try:
            while block := await source.read(65_536):
                goal.write(block)
                await goal.drain()
        except OSError:
            pass
        finally:
            goal.close()

    async def close(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def line_to(target: str) -> AsyncIterator[Line]:
    """Listen on a free port in front of `target` (host and port)."""
    line = Line(target)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        server.close()
        await line.close()
        await server.wait_closed()
