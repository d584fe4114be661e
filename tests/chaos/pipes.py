"""The wires to PostgreSQL and Redis: a proxy that carries bytes, late, in part or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from random import Random

SLOW = 0.2  # seconds at most, for what is read at once
CUT_WITHIN = 2000  # bytes


class Pipe:
    """A proxy on a port of its own, between the bridge and a server. It may be changed at any time."""

    def __init__(self, target_port: int, random: Random) -> None:
        self.port = 0  # known once it is entered
        self._target_port = target_port
        self._random = random
        self._slow = self._cuts = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Pipe:
        self._thread.start()
        starting = asyncio.start_server(self._connect, "127.0.0.1", 0, backlog=256)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def slow(self) -> None:
        """Whatever is sent is carried later, from now on."""
        self._slow = True

    def cut_amid(self) -> None:
        """From now on, each connection breaks after some bytes more, wherever in a message that is."""
        self._cuts = True

    def stand_still(self) -> None:
        """Nothing is carried, from now on, and nobody hears of it."""
        self._do(self._flows.clear)

    def cut(self) -> None:
        """Every connection breaks now; what is on its way is lost."""
        self._do(self._cut_each)

    def mend(self) -> None:
        """Carry everything at once again; connections that stand still go on."""
        self._slow = self._cuts = False
        self._do(self._flows.set)

    def _do(self, work: Callable[[], object]) -> None:
        async def do() -> None:
            work()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result()

    def _cut_each(self) -> None:
        for connection in list(self._connections):
            connection.cut()

    async def _close(self) -> None:
        self._server.close()
        running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)  # in which what was cut is closed

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self._random.randrange(CUT_WITHIN), writer)
        self._connections.add(connection)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            connection.writers.append(far_writer)
            there = asyncio.create_task(self._carry(connection, reader, far_writer))
            back = asyncio.create_task(self._carry(connection, far_reader, writer))
            _, unfinished = await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for task in unfinished:
                task.cancel()
        connection.cut()
        self._connections.discard(connection)

    async def _carry(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while content := await reader.read(2**16):
                if self._slow:
                    await asyncio.sleep(self._random.uniform(0, SLOW))
                await self._flows.wait()
                if self._cuts:
                    content, rest = content[: connection.left], content[connection.left :]
                    connection.left -= len(content)
                    writer.write(content)
                    if rest:
                        await writer.drain()
                        return
                else:
                    writer.write(content)
                await writer.drain()


class _Connection:
    """Both ends of a connection, and how many bytes it carries at most where connections are cut."""

    def __init__(self, left: int, writer: asyncio.StreamWriter) -> None:
        self.left = left
        self.writers = [writer]

    def cut(self) -> None:
        for writer in self.writers:
            end: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # that it is closed
                # Reset, and not ended in order.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
