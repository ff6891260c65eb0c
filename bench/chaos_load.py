"""The well-behaved clients of chaos.py: each looks at every byte that it is answered.

A client is a coroutine that goes on until the run ends; its choices come from a generator of its
own, made of the seed and its name. Kinds of exchanges:

get          GETs on a connection that is kept; always 200
post         bodies of all sizes, of one piece, in chunks, or slowly
download     a body that is taken slowly
events       an event stream: its numbers in order
http2        8 streams at once, GETs and POSTs
websocket    small and large messages around the window, echoed
subscriber   a WebSocket to which /publish publishes
count        a counter in the shared state; no answered increment may be lost
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import zlib
from collections.abc import Awaitable, Callable

import httpx
from chaos_record import RIGHT, Record
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from harness import Hornbeam
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

__all__ = ["Load", "counter"]

PATIENCE = 60.0
WINDOW = 262_144
SIZES = [0, 1, 100, 16_384, 65_535, 65_536, 65_537, WINDOW - 1, WINDOW, WINDOW + 1, 1_000_000]
MESSAGES = [1, 125, 126, 65_536, WINDOW - 2, WINDOW - 1, WINDOW, WINDOW + 1, 300_000, 1_000_000]

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Load:
    """All clients of a server. Each rests for `pause` seconds after an exchange that went right."""

    def __init__(self, server: Hornbeam, record: Record, seed: str, pause: float) -> None:
        self.server, self.record, self.seed, self.pause = server, record, seed, pause
        self.stop = asyncio.Event()

    async def run(self, seconds: Awaitable[object]) -> None:
        """Clients ask until the awaitable ends."""
        kinds = [
            (get, 5), (post, 3), (download, 2), (events, 2), (http2, 2),
            (websocket, 3), (subscriber, 2), (publish, 1), (count, 1),
        ]  # fmt: skip
        tasks = [
            asyncio.create_task(self._client(kind, number))
            for kind, many in kinds
            for number in range(many)
        ]
        try:
            await seconds
        finally:
            self.stop.set()
            await asyncio.gather(*tasks)

    async def _client(self, kind: Kind, number: int) -> None:
        rng = random.Random(f"{self.seed} {kind.__name__} {number}")
        kept = Kept(self.server)
        while not self.stop.is_set():
            exchange = self.record.begin(kind.__name__)
            try:
                end = await asyncio.wait_for(kind(kept, rng), PATIENCE)
            except Exception as error:
                end = ended(error)
                kept.close()
            self.record.end(exchange, end)
            # A client that is refused comes again a little later.
            await asyncio.sleep(self.pause if end == RIGHT else 0.1)
        kept.close()


def ended(error: Exception) -> str:
    """How an exchange ended, in a word; what is no end is raised again."""
    match error:
        case InvalidStatus():
            return str(error.response.status_code)
        case ConnectionClosed():
            return str(error.rcvd.code) if error.rcvd else "closed"
        case asyncio.TimeoutError() | TimeoutError():
            return "timeout"
        case OSError() | EOFError() | InvalidMessage() | InvalidHandshake():
            return "closed"
    raise error


class Kept:
    """A client's connection, which it keeps while the server does."""

    def __init__(self, server: Hornbeam) -> None:
        self.server = server
        self._connection: Connection | None = None

    async def ask(self, request: bytes) -> tuple[str, bytes]:
        """Status and body. A connection that was closed between requests is opened again."""
        head, reader = b"", None
        if self._connection is not None:
            reader, writer = self._connection
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
        if not head:
            self.close()
            self._connection = await asyncio.open_connection(*self.server.address)
            reader, writer = self._connection
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
        assert reader is not None
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        if re.search(rb"(?i)\r\nconnection: *close", head):
            self.close()
        return head[9:12].decode(), body

    def close(self) -> None:
        """Opened again by the next request."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


Kind = Callable[[Kept, random.Random], Awaitable[str]]


def pattern(size: int) -> bytes:
    """What python_tests/apps/chaos_app.py sends; said twice, so that one judges the other."""
    return b"".join(b"%015d\n" % number for number in range(size // 16 + 1))[:size]


def judged(status: str, body: bytes, expected: bytes) -> str:
    """The end of an exchange with a status and a body."""
    if status != "200":
        return status
    return RIGHT if body == expected else f"wrong: {body[:40]!r} for {expected[:40]!r}"


async def get(kept: Kept, rng: random.Random) -> str:
    text = b"%d" % rng.randrange(1 << 60)
    return judged(*await kept.ask(b"GET /?%s HTTP/1.1\r\nhost: chaos\r\n\r\n" % text), text)


async def post(kept: Kept, rng: random.Random) -> str:
    """Slow ones take a connection of their own."""
    data = rng.randbytes(16) * (rng.choice(SIZES) // 16 + 1)
    answer = b"%d %d" % (len(data), zlib.crc32(data))
    head, how = b"POST /body HTTP/1.1\r\nhost: chaos\r\n", rng.randrange(6)
    length = b"content-length: %d\r\n\r\n" % len(data)
    if how == 0:
        return await slow_post(kept, head + b"connection: close\r\n" + length, data, answer)
    if how in (1, 2):
        size = rng.choice([100_000, 10_000, 1_000_000])
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        request = head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        return judged(*await kept.ask(request), answer)
    return judged(*await kept.ask(head + length + data), answer)


async def slow_post(kept: Kept, head: bytes, data: bytes, answer: bytes) -> str:
    reader, writer = await asyncio.open_connection(*kept.server.address)
    with contextlib.closing(writer):
        writer.write(head)
        size = len(data) // 10 + 1
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await writer.drain()
            await asyncio.sleep(0.02)
        status, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return judged(status[9:12].decode() or "closed", body, answer)


async def download(kept: Kept, rng: random.Random) -> str:
    """Takes a piece now and then."""
    size = rng.choice([1, WINDOW, WINDOW + 1, 2_000_000])
    reader, writer = await asyncio.open_connection(*kept.server.address, limit=16_384)
    with contextlib.closing(writer):
        writer.write(b"GET /download?%d HTTP/1.1\r\nhost: chaos\r\n\r\n" % size)
        head = await reader.readuntil(b"\r\n\r\n")
        if head[9:12] != b"200":
            return head[9:12].decode()
        data = b""
        while len(data) < size:
            data += await reader.readexactly(min(100_000, size - len(data)))
            await asyncio.sleep(rng.random() * 0.05)
        return judged("200", data, pattern(size))


async def events(kept: Kept, rng: random.Random) -> str:
    """Some events of a stream without an end."""
    reader, writer = await asyncio.open_connection(*kept.server.address)
    with contextlib.closing(writer):
        # HTTP/1.0: without chunks
        writer.write(b"GET /numbers HTTP/1.0\r\nhost: chaos\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if head[9:12] != b"200":
            return head[9:12].decode()
        for number in range(rng.randrange(1, 100)):
            event = await reader.readuntil(b"\n\n")
            if event != b"data: %d\n\n" % number:
                return f"wrong: {event!r} for {number}"
        return RIGHT


async def http2(kept: Kept, rng: random.Random) -> str:
    """Three times 8 streams at once, on one connection."""
    client = await Http2.open(kept.server)
    with contextlib.closing(client):
        for _ in range(3):
            expected: dict[int, bytes] = {}
            for size in rng.choices([None, None, 0, 1000, 70_000], k=8):
                text = b"%d" % rng.randrange(1 << 60)
                if size is None:
                    expected[client.request("GET", "/?" + text.decode())] = text
                else:
                    data = text * (size // len(text) + 1)
                    stream = client.request("POST", "/body", data)
                    expected[stream] = b"%d %d" % (len(data), zlib.crc32(data))
            await client.answers()
            for stream, body in expected.items():
                end = judged(client.status[stream], bytes(client.body[stream]), body)
                if end != RIGHT:
                    return end
    return RIGHT


class Http2:
    """One connection with prior knowledge. httpx is not taken: its uploads side by side wait for
    each other for ever, with any server (httpcore reads for a window that another stream got).
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._left: dict[int, bytes] = {}
        self.status: dict[int, str] = {}
        self._open: set[int] = set()
        self.body: dict[int, bytearray] = {}

    @classmethod
    async def open(cls, server: Hornbeam) -> Http2:
        """Connects."""
        return cls(*await asyncio.open_connection(*server.address))

    def request(self, method: str, path: str, data: bytes | None = None) -> int:
        """A stream; its body is sent by `answers`."""
        stream = int(self._h2.get_next_available_stream_id())
        fields = {":method": method, ":scheme": "http", ":authority": "chaos", ":path": path}
        self._h2.send_headers(stream, list(fields.items()), end_stream=data is None)
        if data is not None:
            self._left[stream] = data
        self._open.add(stream)
        self.status[stream], self.body[stream] = "closed", bytearray()
        return stream

    async def answers(self) -> None:
        """Until every stream has ended."""
        while self._open:
            for stream in list(self._left):
                self._send(stream)
            self._writer.write(self._h2.data_to_send())
            await self._writer.drain()
            if not (data := await self._reader.read(65_536)):
                raise EOFError
            for event in self._h2.receive_data(data):
                self._take(event)

    def _send(self, stream: int) -> None:
        while stream in self._left:
            data = self._left[stream]
            room = min(self._h2.local_flow_control_window(stream), 16_384, len(data))
            if room == 0 and data:
                return
            self._h2.send_data(stream, data[:room], end_stream=room == len(data))
            self._left[stream] = data[room:]
            if room == len(data):
                del self._left[stream]

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived(stream_id=int(stream), headers=headers):
                fields = {str(name): str(value) for name, value in headers or ()}
                self.status[stream] = fields[":status"]
            case DataReceived(stream_id=int(stream), data=bytes(data)):
                self.body[stream] += data
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            case StreamEnded(stream_id=int(stream)):
                self._open.discard(stream)
                self._left.pop(stream, None)
            case StreamReset(stream_id=int(stream)):
                # A complete answer before NO_ERROR (RFC 9113, 8.1) has ended the stream already.
                if stream in self._open:
                    self.status[stream] = "closed"
                self._open.discard(stream)
                self._left.pop(stream, None)
            case ConnectionTerminated():
                raise EOFError

    def close(self) -> None:
        """Goes away."""
        self._writer.close()


async def websocket(kept: Kept, rng: random.Random) -> str:
    """Up to 30 messages, some at once: a small one and one that exceeds the window with it."""
    async with opened(kept, "/") as ws:
        for _ in range(rng.randrange(1, 10)):
            sizes = [1, WINDOW - 1] if rng.random() < 0.3 else rng.choices(MESSAGES, k=3)
            # As text or as bytes
            sent = [b"%d" % rng.randrange(10) * size for size in sizes]
            messages = [data.decode() if rng.random() < 0.5 else data for data in sent]
            sending = [asyncio.create_task(ws.send(message)) for message in messages]
            try:
                for message in messages:
                    received = await ws.recv()
                    if received != message:
                        return f"wrong: {len(received)} for {len(message)}, {received[:20]!r}"
            finally:
                await asyncio.gather(*sending, return_exceptions=True)
    return RIGHT


async def subscriber(kept: Kept, rng: random.Random) -> str:
    """Until some messages have come or none comes for a while: when nobody publishes."""
    async with opened(kept, "/topic") as ws:
        for _ in range(rng.randrange(1, 50)):
            try:
                message = await asyncio.wait_for(ws.recv(), 5)
            except asyncio.TimeoutError:
                break
            if "news" not in str(message):
                return f"wrong: {message[:40]!r}"
    return RIGHT


def opened(kept: Kept, path: str) -> contextlib.AbstractAsyncContextManager[ClientConnection]:
    url = kept.server.url.replace("http", "ws") + path
    return connect(url, open_timeout=PATIENCE, max_size=None, compression=None, proxy=None)


async def publish(kept: Kept, rng: random.Random) -> str:
    status, body = await kept.ask(b"POST /publish HTTP/1.1\r\nhost: chaos\r\n\r\n")
    return judged(status, body, body if body.isdigit() else b"a number")


async def count(kept: Kept, rng: random.Random) -> str:
    status, body = await kept.ask(b"POST /count HTTP/1.1\r\nhost: chaos\r\n\r\n")
    return judged(status, body, body if body.isdigit() else b"a number")


def counter(server: Hornbeam) -> int:
    """What the shared counter holds; this counts once more."""
    return int(httpx.post(f"{server.url}/count", timeout=PATIENCE).text)
