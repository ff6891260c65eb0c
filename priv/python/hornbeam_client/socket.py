"""The connection that channels share: opened, kept alive, opened again until it is closed.

    async with connect(url) as socket    opens it; the end of the block closes it

One task connects, reads and waits (`_run`), one beats while there is a connection. Owns the list
of channels and feeds them; is called by Channel to send. All in one loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from hornbeam_client.backoff import DELAYS, Backoff
from hornbeam_client.channel import Channel
from hornbeam_client.codec import Message, decode, encode
from hornbeam_client.errors import ChannelError, ConnectError, PushError, report

try:
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.client import connect as websocket
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
except ImportError as error:
    raise ImportError(
        "hornbeam_client needs the package websockets, 13 or newer: pip install 'hornbeam[client]'"
    ) from error

Params = Mapping[str, Any]
Flavour = Literal["hornbeam", "phoenix"]


class Socket:
    """Made by `connect`. `connects`: how often it was connected."""

    def __init__(
        self,
        url: str,
        params: Params | Callable[[], Params] | None = None,
        *,
        flavour: Flavour = "hornbeam",
        heartbeat: float = 30,
        timeout: float = 10,
        backoff: Sequence[float] = DELAYS,
        max_size: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        address(url, {})  # raises for what is none
        self.timeout = timeout
        self.delays = backoff
        self.connects = 0
        self._url = url
        self._params = params
        self._flavour = flavour
        self._heartbeat = heartbeat
        self._backoff = Backoff(backoff)
        self._max_size = max_size
        self._headers = headers
        self._connection: ClientConnection | None = None
        self._channels: list[Channel] = []
        self._refs = 0
        self._answered: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def channel(self, topic: str, params: dict[str, Any] | None = None) -> Channel:
        """A channel of `topic`; nothing is sent before its `join`, whose payload `params` is."""
        return Channel(self, topic, params or {})

    def is_connected(self) -> bool:
        return self._connection is not None

    async def open(self) -> None:
        """Connects. Raises `ConnectError` when that fails; later breaks are mended instead."""
        running = self.spawn(self._run())
        await asyncio.wait({running, self._opened}, return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            running.result()  # what the function of the parameters raised
        await self._opened

    async def close(self) -> None:
        """Ends the connection, its channels and all attempts."""
        connection = self._connection
        for channel in list(self._channels):
            channel.closed()
        if connection is not None:
            await connection.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def break_off(self) -> None:
        """Breaks the connection as a network does, for tests: the back-off opens it again."""
        if self._connection is not None:
            self._connection.transport.abort()

    # Called by Channel

    def ref(self) -> str:
        self._refs += 1
        return str(self._refs)

    def control(self, event: str) -> str:
        return ("phx_" if self._flavour == "phoenix" else "hb_") + event

    def add(self, channel: Channel) -> None:
        self._channels.append(channel)

    def remove(self, channel: Channel) -> None:
        self._channels.remove(channel)

    async def transmit(self, message: Message) -> None:
        """Raises `PushError` when there is no connection any more."""
        frame = encode(message)
        try:
            if self._connection is not None:
                await self._connection.send(frame)
                return
        except ConnectionClosed:
            pass
        raise PushError("error", {"reason": "disconnected"})

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the socket at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # A broken connection is mended by `_run`, what fails before there is one `open` raises;
        # what else there is would be lost with the task.
        mended = isinstance(error, PushError) or not self._opened.done()
        if error is not None and not mended:
            report("a task failed", error)

    # The connection

    async def _run(self) -> None:
        while True:
            try:
                connection = await asyncio.wait_for(self._connect(), self.timeout)
            except (OSError, WebSocketException, asyncio.TimeoutError, ValueError) as error:
                if not self._opened.done():
                    self._opened.set_exception(_refusal(self._url, error))
                    return
            else:
                await self._serve(connection)
            await asyncio.sleep(self._backoff.next())

    async def _connect(self) -> ClientConnection:
        params = self._params() if callable(self._params) else self._params
        url = address(self._url, params or {})
        # The heartbeat is the channels' own: it is answered by what answers them.
        return await websocket(
            url, max_size=self._max_size, additional_headers=self._headers, ping_interval=None
        )

    async def _serve(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.connects += 1
        self._backoff.reset()
        beat = self.spawn(self._beat(connection))
        try:
            if not self._opened.done():
                self._opened.set_result(None)
            for channel in list(self._channels):
                channel.opened()
            async for frame in connection:
                self._receive(frame)
        except ConnectionClosed:
            pass
        finally:
            self._connection = None
            beat.cancel()
            for channel in list(self._channels):
                channel.lost()

    def _receive(self, frame: str | bytes) -> None:
        try:
            message = decode(frame)
        except ValueError as error:
            report("a frame that is no message", error)
            return
        if message.ref is not None:
            self._answered.discard(message.ref)
        for channel in list(self._channels):
            if channel.topic == message.topic:
                channel.receive(message)

    async def _beat(self, connection: ClientConnection) -> None:
        """A heartbeat without an answer in time ends the connection."""
        while True:
            await asyncio.sleep(self._heartbeat)
            ref = self.ref()
            self._answered.add(ref)
            await self.transmit(Message(None, ref, self._flavour, "heartbeat", {}))
            await asyncio.sleep(self.timeout)
            if ref in self._answered:
                connection.transport.abort()


@contextlib.asynccontextmanager
async def connect(
    url: str, params: Params | Callable[[], Params] | None = None, **options: Any
) -> AsyncIterator[Socket]:
    """A socket that is connected, until the end of the block. `options` are those of `Socket`.

    `url` is the server's channels_path, as "ws://127.0.0.1:8000/socket"; `http` stands for `ws`.
    `params` are sent in its query, a function is asked at each connect. Raises `ConnectError` when
    the first connection fails, with what the server refused it with.
    """
    socket = Socket(url, params, **options)
    try:
        await socket.open()
        yield socket
    finally:
        await socket.close()


def address(url: str, params: Params) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("ws", "wss", "http", "https"):
        raise ChannelError(f'{url!r} is no address like "ws://127.0.0.1:8000/socket"')
    query = "&".join(filter(None, [parts.query, urlencode({**params, "vsn": "2.0.0"})]))
    scheme = parts.scheme.replace("http", "ws")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/websocket", query, ""))


def _refusal(url: str, error: BaseException) -> ConnectError:
    if not isinstance(error, InvalidStatus):
        return ConnectError(f"cannot connect to {url}: {error or type(error).__name__}")
    status = error.response.status_code
    body = bytes(error.response.body or b"").decode("utf-8", "replace")
    try:
        response = json.loads(body)
    except ValueError:
        response = body
    return ConnectError(f"{url} refused the connection: {status} {body}", status, response)
