"""One topic of a Socket: joined, left, joined again after each break, from the last id it saw.

    closed -> joining -> joined -> closed        (leave, or the server's hb_close)
                |  ^       |
                v  |       v
               broken <----     (a refused join, hb_error, a lost connection)

Made and fed by Socket (`receive`, `opened`, `lost`); sends by what Socket gave it. All in one loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, Protocol

from hornbeam_client.backoff import Backoff
from hornbeam_client.codec import Message
from hornbeam_client.errors import ChannelError, PushError, report

State = Literal["closed", "joining", "joined", "broken"]
Callback = Callable[[Any], None]

# Events that wait for whoever iterates; the oldest are dropped beyond that, and counted.
MAX_EVENTS = 10_000
_NAMES = ("reply", "error", "close")
_CONTROL = {f"{flavour}_{name}": name for flavour in ("hb", "phx") for name in _NAMES}


class Connection(Protocol):
    """What a channel needs of its Socket."""

    timeout: float
    delays: Sequence[float]

    def is_connected(self) -> bool: ...
    def control(self, event: str) -> str: ...
    def ref(self) -> str: ...
    def add(self, channel: Channel) -> None: ...
    def remove(self, channel: Channel) -> None: ...
    async def transmit(self, message: Message) -> None: ...
    def spawn(self, work: Coroutine[Any, Any, None]) -> object: ...


class Channel:
    """`async for event, payload in channel` gives every event of the topic since the join, until
    the channel is closed; "hb_missed" is one of them, where more was missed than the server keeps.

    `last_id`: the last message's id, on a topic with history; set it before `join` to go on from
    there. `joins`: how often it was joined. `dropped`: events that nobody took in time.
    """

    def __init__(self, socket: Connection, topic: str, params: dict[str, Any]) -> None:
        self.topic = topic
        self.params = params
        self.state: State = "closed"
        self.join_ref: str | None = None
        self.last_id: str | None = None
        self.joins = 0
        self.dropped = 0
        self._socket = socket
        self._backoff = Backoff(socket.delays)
        self._timer: asyncio.TimerHandle | None = None
        self._pending: dict[str, asyncio.Future[Any]] = {}
        self._events: deque[tuple[str, Any]] = deque()
        self._callbacks: dict[str, list[Callback]] = {}
        self._news = asyncio.Event()
        # Of `join`, until its answer.
        self._first: asyncio.Future[Any] | None = None

    async def join(self, timeout: float | None = None) -> Any:
        """Joins the topic, and again after each break until `leave`; gives the server's response.

        Raises `PushError` when the server refuses, or does not answer in time: then the channel is
        closed, and may be joined anew. A refusal of a later join is tried again by the back-off.
        """
        if self.state != "closed":
            raise ChannelError(f"channel {self.topic} is {self.state}: it is joined once")
        self.state = "broken"
        self._socket.add(self)
        self._first = asyncio.get_running_loop().create_future()
        self._enter()
        try:
            return await asyncio.wait_for(self._first, self._limit(timeout))
        except asyncio.TimeoutError:
            self.closed()
            raise PushError("timeout", {}) from None
        except (PushError, asyncio.CancelledError):
            self.closed()
            raise
        finally:
            self._first = None

    async def leave(self, timeout: float | None = None) -> None:
        """Leaves the topic for good; returns when the server has let go, or cannot be asked."""
        joined = self.state == "joined"
        leave = self._socket.control("leave")
        try:
            if joined and self._socket.is_connected():
                await asyncio.wait_for(self._ask(leave, {}), self._limit(timeout))
        except (PushError, asyncio.TimeoutError):
            pass  # it ends here all the same
        finally:
            self.closed()

    async def push(self, event: str, payload: Any = None, timeout: float | None = None) -> Any:
        """Sends an event and gives its reply's response; bytes are a binary payload.

        Waits for the topic to be joined. Raises `PushError`: "error" with the server's response,
        or with `{"reason": "disconnected"}` when the connection broke before the reply; "timeout"
        without a reply in time. For an event without a reply there is `send`.
        """
        try:
            return await asyncio.wait_for(self._push(event, payload), self._limit(timeout))
        except asyncio.TimeoutError:
            raise PushError("timeout", {}) from None

    async def send(self, event: str, payload: Any = None, timeout: float | None = None) -> None:
        """Sends an event and waits for no reply."""
        await self.joined(timeout)
        await self._transmit(self._socket.ref(), event, payload)

    async def joined(self, timeout: float | None = None) -> None:
        """Waits until the topic is joined. Raises `ChannelError` when the channel is closed."""
        try:
            await asyncio.wait_for(self._until_joined(), self._limit(timeout))
        except asyncio.TimeoutError:
            raise PushError("timeout", {}) from None

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Calls `callback` with the payload of each such event, besides the iteration; gives what
        ends that. "hb_error" is heard when the channel is broken off, "hb_close" at its end."""
        self._callbacks.setdefault(event, []).append(callback)
        return lambda: self._callbacks[event].remove(callback)

    def __aiter__(self) -> Channel:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        while not self._events:
            if self.state == "closed":
                raise StopAsyncIteration
            await self._news.wait()
        return self._events.popleft()

    # Called by Socket

    def opened(self) -> None:
        self._backoff.reset()
        self._enter()

    def lost(self) -> None:
        self._break("disconnected", {"reason": "disconnected"})

    def closed(self, payload: Any = None) -> None:
        if self.state == "closed":
            return
        self._cancel_timer()
        self.state = "closed"
        self._socket.remove(self)
        self._forget("closed")
        self._call("hb_close", payload)
        self._notify()

    def receive(self, message: Message) -> None:
        if message.join_ref is not None and message.join_ref != self.join_ref:
            return  # of an earlier join
        if message.ref is not None and message.ref.startswith("#"):
            self.last_id = message.ref[1:]
        control = _CONTROL.get(message.event)
        if control == "reply":
            self._answered(message.ref, message.payload)
        elif control == "close":
            self.closed(message.payload)
        elif control == "error":
            self._break("broken off", message.payload)
            self._rejoin_later()
        elif message.event != "hb_position":  # its ref is all there is to it
            self._event(message.event, message.payload)

    # Joining

    def _enter(self) -> None:
        self._cancel_timer()
        if not self._socket.is_connected():
            return
        self.state = "joining"
        self.join_ref = self._socket.ref()
        resume = {} if self.last_id is None else {"hb_last_id": self.last_id}
        self._socket.spawn(
            self._transmit(self.join_ref, self._socket.control("join"), {**self.params, **resume})
        )
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._socket.timeout, self._unanswered)

    def _unanswered(self) -> None:
        self.state = "broken"
        self._rejoin_later()

    def _rejoin_later(self) -> None:
        self._cancel_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._backoff.next(), self._enter)

    def _join_answered(self, payload: dict[str, Any]) -> None:
        first = self._first
        if payload["status"] != "ok":
            self.state = "broken"
            self._rejoin_later()
            if first is not None and not first.done():
                first.set_exception(PushError(payload["status"], payload["response"]))
            return
        self._cancel_timer()
        self._backoff.reset()
        self.state = "joined"
        self.joins += 1
        if first is not None and not first.done():
            first.set_result(payload["response"])
        self._notify()

    async def _until_joined(self) -> None:
        while self.state != "joined":
            if self.state == "closed":
                raise ChannelError(f"channel {self.topic} is closed: join it first")
            await self._news.wait()

    def _break(self, reason: str, payload: Any) -> None:
        broken = self.state in ("joining", "joined")
        self._cancel_timer()
        self.state = "broken"
        self._forget(reason)
        if broken:
            self._call("hb_error", payload)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Sending

    async def _push(self, event: str, payload: Any) -> Any:
        await self._until_joined()
        return await self._ask(event, payload)

    async def _ask(self, event: str, payload: Any) -> Any:
        ref = self._socket.ref()
        answer = self._pending[ref] = asyncio.get_running_loop().create_future()
        try:
            await self._transmit(ref, event, payload)
            return await answer
        finally:
            self._pending.pop(ref, None)

    async def _transmit(self, ref: str, event: str, payload: Any) -> None:
        content = {} if payload is None else payload
        await self._socket.transmit(Message(self.join_ref, ref, self.topic, event, content))

    def _answered(self, ref: str | None, payload: dict[str, Any]) -> None:
        if ref == self.join_ref:
            if self.state == "joining":
                self._join_answered(payload)
            return
        answer = self._pending.get(ref or "")
        if answer is None or answer.done():
            return
        if payload["status"] == "ok":
            answer.set_result(payload["response"])
        else:
            answer.set_exception(PushError(payload["status"], payload["response"]))

    def _forget(self, reason: str) -> None:
        """No answer will come to what was sent; whether it was handled, nobody knows."""
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(PushError("error", {"reason": reason}))

    def _limit(self, timeout: float | None) -> float:
        return self._socket.timeout if timeout is None else timeout

    # Events

    def _event(self, event: str, payload: Any) -> None:
        self._call(event, payload)
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
            self.dropped += 1
        self._events.append((event, payload))
        self._notify()

    def _call(self, event: str, payload: Any) -> None:
        for callback in list(self._callbacks.get(event, ())):
            self._tell(callback, event, payload)

    def _tell(self, callback: Callback, event: str, payload: Any) -> None:
        try:
            callback(payload)
        except Exception as error:  # whatever it is, the others go on
            report(f"a callback of {event} on {self.topic}", error)

    def _notify(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
