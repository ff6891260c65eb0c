"""The worker's loop: sends every frame where it belongs, and starts and ends the application.

Called by `main`. Owns the cycles (one per stream in progress) by their stream ids. A frame for a
stream that is no longer here is late and is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgpack

import hornbeam_erlang._client
from hornbeam_erlang import _trace
from hornbeam_worker import frames, health, loader, log_config, logged, logs
from hornbeam_worker.asgi.http import PIECE, HTTPCycle
from hornbeam_worker.asgi.lifespan import Lifespan
from hornbeam_worker.asgi.scope import Scope, http_scope, websocket_scope
from hornbeam_worker.asgi.websocket import WebSocketCycle
from hornbeam_worker.calls import Calls
from hornbeam_worker.events import Events
from hornbeam_worker.failure import FAILED, FailureKind, StartFailure
from hornbeam_worker.frames import Frame, Measured
from hornbeam_worker.host import Stream
from hornbeam_worker.invocation import Invocation
from hornbeam_worker.loader import Loaded, Preloaded
from hornbeam_worker.threads import Threads
from hornbeam_worker.transport import Transport

if TYPE_CHECKING:  # what only some workers need is imported there
    from hornbeam_worker.bridges import Bridges
    from hornbeam_worker.performance import Method
    from hornbeam_worker.service import Service
    from hornbeam_worker.wsgi.crew import Crew

__all__ = ["Server", "run"]

logger = logging.getLogger("hornbeam.worker")

# Whether a task can run up to its first wait as it is made: a turn of the loop less for each.
_CAN_BE_EAGER: Final = sys.version_info >= (3, 12)

# What tasks get when the BEAM has gone and cannot say, and to end once they are cancelled.
_PATIENCE: Final = 1.0


# With traceparent and the id of its request; None where it has none, or nobody has asked for it.
_Beginning = tuple[HTTPCycle | WebSocketCycle, bytes | None, str | None]


class Server:
    """What one worker process serves; the `Host` of its streams."""

    def __init__(
        self,
        transport: Transport,
        loop: asyncio.AbstractEventLoop,
        boot: dict[str, Any],
        events: Events,
        log_window: logs.Window,
        load: Callable[[], Loaded],
    ) -> None:
        self.transport = transport
        self.loop = loop
        self.threads = Threads()
        self.app: Callable[..., Any] = _not_loaded
        self.window: int = boot["window"]
        self.piece: int = min(PIECE, self.window // 4)
        self.prefetch: int = boot["body_prefetch"]
        self.measure: Callable[[Any, int], Measured] | None = None
        self._boot = boot
        self._load = load
        self._lifespan: Lifespan | None = None
        self._state: dict[str, Any] = {}
        self._cycles: dict[int, Stream] = {}
        self._is_wsgi = False
        # Of a WSGI application: its threads; settled when the last of its requests has ended
        self._crew: Crew | None = None
        self._idle: asyncio.Future[None] | None = None
        self._service: Service | None = None
        self._channels: Callable[..., Any] | None = None  # the application that clients connect to
        # What begins in the loop's next turn
        self._beginning: list[_Beginning] = []
        self._stop = loop.create_future()
        self._patience = _PATIENCE
        self._request_ids: bool = boot["request_id"]
        self._traces: bool = boot["trace"]
        self._draining = False
        self._bridges: Bridges | None = None
        self._openers: dict[int, Callable[[int, bytes], None]] = {
            frames.REQUEST: self._open,
            frames.WS_OPEN: self._open_websocket,
            frames.INVOKE: self._open_invocation,
            frames.PERFORM: self._open_performance,
        }
        self._control: dict[int, Callable[[bytes], None]] = {
            frames.STOP: self._on_stop,
            frames.DRAIN: self._on_drain,
            frames.PING: self._on_ping,
            frames.EVENT: events.on_event,
            frames.CREDIT: log_window.on_credit,
            frames.DIAGNOSE: self._on_diagnose,
        }

    def load(self) -> None:
        """Imports the application. What is said to be WSGI is imported before the loop runs, as
        its code expects: it may query Django's database, or run a loop of its own."""
        boot = self._boot
        self.app, self._is_wsgi = self._load()
        if boot["measure"]:
            from hornbeam_worker import routes

            routes.watch(self.app)
            found = routes.Routes(boot["root_path"])
            self.measure = found.wsgi if self._is_wsgi else found.asgi

    def _watch_metrics(self) -> None:
        """What the application counts with other libraries is pushed from now on."""
        if self._boot["measure"]:
            from hornbeam_worker.bridges import Bridges

            self._bridges = Bridges(self._boot["metrics_opentelemetry"])
            self._bridges.look()

    async def serve(self) -> None:
        """Starts the application, serves until told to stop, ends the application."""
        if self._boot["worker_class"] == "service":
            await self._serve_service()
            return
        if self._boot["worker_class"] != "wsgi":
            self.load()
        about = self._prepare_wsgi() if self._is_wsgi else {}
        if self._boot["channels_path"]:
            self._prepare_channels()
        self._lifespan = Lifespan(self.app, "off" if self._is_wsgi else self._boot["lifespan"])
        await self._lifespan.startup()
        self._state = self._lifespan.state
        await self._until_stopped(about)
        await self._lifespan.shutdown()

    async def _serve_service(self) -> None:
        from hornbeam_worker import service

        concurrency = self._boot["max_concurrency"]
        self.threads = Threads(concurrency)
        self._service = await service.start(self, self._boot["app"], concurrency)
        await self._until_stopped({})
        await self._service.close()

    async def _until_stopped(self, about: dict[str, Any]) -> None:
        about |= {"dump": health.offer_stacks(), "python": platform.python_version()}
        self._watch_metrics()
        self.transport.send(frames.encode(frames.READY, 0, msgpack.packb(about)))
        await self._stop
        await self._finish_tasks()

    def _prepare_wsgi(self) -> dict[str, Any]:
        """Starts the threads of a WSGI application; what Erlang is told of them."""
        from hornbeam_worker.wsgi.crew import Crew

        boot = self._boot
        if boot["lifespan"] == "on":
            text = "lifespan is on, and a WSGI application has no lifespan"
            raise StartFailure(FailureKind.LIFESPAN_FAILED, text)
        self._crew = Crew(
            self,
            boot["threads"],
            multiprocess=boot["workers"] > 1,
            request_ids=self._request_ids,
            traces=self._traces,
            finished=self._finished_in_thread,
        )
        self._crew.start()
        self._openers[frames.REQUEST] = self._open_wsgi
        return {"interface": "wsgi", "threads": boot["threads"]}

    def _prepare_channels(self) -> None:
        from hornbeam_worker import channels

        if self._boot["channels"]:
            channels.load(self._boot["channels"])
        self._channels = channels.connect

    def deliver(self, frame: Frame) -> None:
        """Takes one frame from the transport."""
        kind, stream, payload = frame
        if (opener := self._openers.get(kind)) is not None:
            opener(stream, payload)
        elif stream:
            if (cycle := self._cycles.get(stream)) is not None:
                cycle.on_frame(kind, payload)
        else:
            self._control[kind](payload)

    def stop(self) -> None:
        """The BEAM has gone: end as after a stop frame."""
        if not self._stop.done():
            self._stop.set_result(None)

    def finished(self, stream: int) -> None:
        """A cycle's application has returned."""
        del self._cycles[stream]
        if self._draining or self._idle is not None:
            self._look_what_is_left()

    def _finished_in_thread(self, stream: int) -> None:
        """As `finished`, in the thread of a WSGI request. What is looked at is set before the loop
        looks whether anything is left: one of the two sees the other."""
        self._cycles.pop(stream, None)
        if (self._draining or self._stop.done()) and not self._cycles:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the worker ends
                self.loop.call_soon_threadsafe(self._look_what_is_left)

    def _look_what_is_left(self) -> None:
        if self._idle is not None and not self._cycles and not self._idle.done():
            self._idle.set_result(None)
        if self._draining:
            self._tell_if_drained()

    def _open_wsgi(self, stream: int, payload: bytes) -> None:
        assert self._crew is not None
        cycle = self._cycles[stream] = self._crew.cycle(stream, payload)
        self._crew.run(stream, cycle)  # now, for a thread may be done with it at once

    def _refuse_websocket(self, stream: int) -> None:
        """WSGI has no WebSockets (RFC 9110, 15.6.2)."""
        fields = msgpack.packb([(b"content-type", b"text/plain; charset=utf-8")])
        text = b"a WSGI application takes no WebSockets\n"
        self.transport.send(*frames.response(stream, True, 501, fields, text))

    def _open(self, stream: int, payload: bytes) -> None:
        start = 5 + int.from_bytes(payload[1:5], "big")
        scope = http_scope(payload[5:start], self._state)
        cycle = HTTPCycle(self, stream, scope, payload[0], payload[start:])
        self._cycles[stream] = cycle
        self._begin(cycle, scope)

    def _open_websocket(self, stream: int, payload: bytes) -> None:
        scope = websocket_scope(payload, self._state)
        app = self.app
        if self._channels is not None and self._is_of_channels(scope):
            app = self._channels
        elif self._is_wsgi:
            self._refuse_websocket(stream)
            return
        cycle = WebSocketCycle(self, stream, scope, app)
        self._cycles[stream] = cycle
        self._begin(cycle, scope)

    def _is_of_channels(self, scope: Scope) -> bool:
        path: str = self._boot["channels_path"]
        asked = scope["path"].removeprefix(scope["root_path"])
        return asked in (path, f"{path}/websocket")

    def _open_invocation(self, stream: int, payload: bytes) -> None:
        invocation = self._cycles[stream] = Invocation(self, stream, payload)
        invocation.start()

    def _open_performance(self, stream: int, payload: bytes) -> None:
        from hornbeam_worker.performance import Performance

        performance = self._cycles[stream] = Performance(self, stream, payload, self._find_method)
        performance.start()

    def _find_method(self, name: str) -> Method:
        if "\0" in name:
            from hornbeam_worker import hooks

            return hooks.find(name)
        if self._service is None:
            raise AttributeError(f'no service runs here, and so no method "{name}"')
        return self._service.find(name)

    def _begin(self, cycle: HTTPCycle | WebSocketCycle, scope: Scope) -> None:
        """Has the application's task begin in the loop's next turn, behind all frames of this read:
        it may read others itself. The task factory of an application makes tasks as ever."""
        parent = None
        if self._traces:
            headers = scope["headers"]
            if headers and headers[0][0] == b"traceparent":  # where hornbeam_trace puts it
                field = headers[0][1]
            else:  # somebody's hook has changed the fields
                field = _field(scope, b"traceparent")
            parent = field if len(field) == _trace.LENGTH else None
        number = _number(scope) if self._request_ids else None
        if _CAN_BE_EAGER and self.loop.get_task_factory() is None:
            if not self._beginning:
                self.loop.call_soon(self._begin_eagerly)
            self._beginning.append((cycle, parent, number))
        else:
            cycle.task = self.loop.create_task(cycle.run(parent, number))

    def _begin_eagerly(self) -> None:
        beginning, self._beginning = self._beginning, []
        if sys.version_info >= (3, 12):
            for cycle, parent, number in beginning:
                run = cycle.run(parent, number)
                cycle.task = asyncio.Task(run, loop=self.loop, eager_start=True)

    def _on_stop(self, payload: bytes) -> None:
        self._patience = int.from_bytes(payload, "big") / 1000
        self.stop()

    def _on_drain(self, _payload: bytes) -> None:
        self._draining = True
        self._tell_if_drained()

    def _tell_if_drained(self) -> None:
        if not self._cycles:
            self.transport.send(frames.encode(frames.DRAINED, 0))

    def _on_ping(self, payload: bytes) -> None:
        if self._bridges is not None:
            self._bridges.look()
        figures = health.figures(len(self._cycles))
        if self._crew is not None and self._crew.look():
            figures["hung"] = 1
        echo = len(payload).to_bytes(2, "big") + payload
        self.transport.send(frames.encode(frames.PONG, 0, echo + msgpack.packb(figures)))

    def _on_diagnose(self, payload: bytes) -> None:
        """A question about this process; what answers it is imported with the first one."""
        from hornbeam_worker import diagnose

        running = [] if self._crew is None else self._crew.running()
        diagnose.answer(payload, self.transport, diagnose.Running(self._cycles, running))

    async def _finish_tasks(self) -> None:
        """Lets what is in progress see the disconnect and end, for a time; then cancels it."""
        cycles = list(self._cycles.values())
        tasks: list[asyncio.Future[None]] = [cycle.task for cycle in cycles if cycle.task]
        if self._crew is not None and cycles:
            # Threads cannot be cancelled: those that go on end with the process.
            self._idle = self.loop.create_future()
            tasks.append(self._idle)
            if not self._cycles:
                return
        if not tasks:
            return
        for cycle in cycles:
            cycle.on_disconnect()
        _done, pending = await asyncio.wait(tasks, timeout=self._patience)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=_PATIENCE)


def _number(scope: Scope) -> str:
    """The id of a request, which its scope has from now on."""
    number = _field(scope, b"x-request-id").decode("latin-1")
    scope["extensions"]["hornbeam.request_id"] = {"id": number}
    return number


def _field(scope: Scope, name: bytes) -> bytes:
    # What the server has added stands once.
    return next((value for key, value in reversed(scope["headers"]) if key == name), b"")


def run(transport: Transport, preloaded: Preloaded | None = None) -> int:
    """Waits for the boot frame, then runs the server in a loop of its own until it ends.

    Returns the exit status. `preloaded`: the application has been imported.
    """
    try:
        first = transport.read_first()
    except ConnectionError:
        return 0  # the BEAM has ended before it said what to run
    boot: dict[str, Any] = msgpack.unpackb(first.payload)
    log_window = logs.Window(transport.wait_in_loop)
    logs.install(boot["log_level"], transport.send_threadsafe, log_window)
    logged.watch()
    if preloaded is None:
        loader.extend_path(boot["pythonpath"])
        log_config.configure(boot["log_config"])
    loop = _new_loop(boot["loop"])
    asyncio.set_event_loop(loop)
    calls = Calls(transport, boot["window"])

    def load() -> Loaded:
        if preloaded is None:
            return loader.load(boot["app"], boot["worker_class"], factory=boot["factory"])
        try:
            preloaded.declare(calls)
        except Exception as error:
            text = loader.application_traceback(error)
            raise StartFailure(FailureKind.IMPORT_FAILED, text) from None
        return preloaded.loaded

    server = Server(transport, loop, boot, Events(calls), log_window, load)

    def at_eof() -> None:
        calls.fail_all()
        server.stop()

    transport.attach(server.deliver, calls.on_reply, at_eof)
    transport.poll_time = boot["call_poll_time"] / 1_000_000
    hornbeam_erlang._client.connect(calls)
    try:
        if boot["worker_class"] == "wsgi":
            server.load()
        loop.run_until_complete(_serve(transport, loop, server))
    except StartFailure as failure:
        transport.send_threadsafe(failure.frame())  # first, for the end may take a while
        return FAILED
    else:
        return 0
    finally:
        _end(loop)


async def _serve(transport: Transport, loop: asyncio.AbstractEventLoop, server: Server) -> None:
    transport.start(loop)
    await server.serve()
    if (metrics := sys.modules.get("hornbeam_erlang._metrics")) is not None:
        with contextlib.suppress(Exception):  # the BEAM has gone
            metrics.flush()
    transport.flush()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """In the order of asyncio.run, but for what a task may take. How long threads of the executor
    may, the BEAM bounds: it kills after shutdown_timeout."""
    loop.run_until_complete(_cancel_what_is_left())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _cancel_what_is_left() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    ended, pending = await asyncio.wait(tasks, timeout=_PATIENCE)
    for task in ended:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("exception in %s as the worker ended", _name(task), exc_info=error)
    if pending:
        names = ", ".join(sorted(map(_name, pending)))
        logger.warning("left behind, for they ignored their cancellation: %s", names)
        for task in pending:
            # It has been said. (asyncio.gather sets this in the same way.)
            task._log_destroy_pending = False  # type: ignore[attr-defined]


def _name(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return f"{task.get_name()} ({getattr(coroutine, '__qualname__', coroutine)})"


def _new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind != "asyncio":
        try:
            import uvloop

            return uvloop.new_event_loop()
        except ModuleNotFoundError:
            if kind == "uvloop":
                raise
    return asyncio.new_event_loop()


async def _not_loaded(*_arguments: object) -> None:
    raise RuntimeError("the application is not loaded yet")
