"""hornbeam_worker.logs, .calls and .asgi.lifespan alone, without Erlang."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest
from harness import wait_until

from hornbeam_worker import credit, frames, logged, logs
from hornbeam_worker.asgi.lifespan import Lifespan
from hornbeam_worker.calls import Calls
from hornbeam_worker.failure import FailureKind, StartFailure
from hornbeam_worker.transport import Transport

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def records() -> Iterator[list[dict[str, Any]]]:
    """The records that a logger of its own has sent, decoded."""
    sent: list[dict[str, Any]] = []

    def send(frame: bytes) -> None:
        assert frame[4] == frames.LOG
        sent.append(msgpack.unpackb(frame[9:]))

    handler = logs.ErlangHandler(send, _window())
    logger = logging.getLogger("unit")
    logger.propagate = False
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield sent
    logger.removeHandler(handler)


def test_a_record_has_level_logger_and_message(records: list[dict[str, Any]]) -> None:
    logging.getLogger("unit").warning("%s and %d", "text", 1)
    assert records[0]["level"] == 30
    assert records[0]["logger"] == "unit"
    assert records[0]["message"] == "text and 1"
    assert "traceback" not in records[0]


def test_a_record_with_an_exception_has_its_traceback(records: list[dict[str, Any]]) -> None:
    try:
        raise LookupError("gone")
    except LookupError:
        logging.getLogger("unit").exception("failed")
    assert records[0]["traceback"].startswith("Traceback (most recent call last):\n")
    assert records[0]["traceback"].endswith("LookupError: gone")


def _window(
    on_wait: Callable[[Callable[[], object]], None] = lambda _done: None, patience: float = 0.0
) -> logs.Window:
    """A window of this thread's "loop", which does so to wait."""

    def wait_in_loop(done: Callable[[], object], timeout: float | None = None) -> None:
        assert timeout == patience
        on_wait(done)

    return logs.Window(wait_in_loop, patience)


def _credit(count: int) -> bytes:
    return count.to_bytes(4, "big")


def test_records_that_nobody_takes_are_counted_and_waited_for_once() -> None:
    sent: list[dict[str, Any]] = []
    waits: list[object] = []
    window = _window(waits.append)
    handler = logs.ErlangHandler(lambda frame: sent.append(msgpack.unpackb(frame[9:])), window)

    def log(number: int) -> None:
        handler.handle(logging.LogRecord("unit", 20, "", 0, str(number), None, None))

    log(0)
    window.take(credit.log_window())
    log(1)
    log(2)
    assert len(waits) == 1
    window.on_credit(_credit(credit.log_window()))
    log(3)
    log(4)
    assert [fields["message"] for fields in sent] == [
        "0", "2 log records were dropped: the server did not take them in time", "3", "4",
    ]  # fmt: skip


def test_the_loop_reads_credit_while_it_waits_and_nothing_is_dropped() -> None:
    sent: list[int] = []  # bytes of each payload, on their way
    arrived = 0

    def read(done: Callable[[], object]) -> None:
        nonlocal arrived
        while not done():
            size = sent.pop(0)
            arrived += 1
            if arrived == 1:  # what is read while it waits logs too, which must not wait in turn
                handler.handle(logging.LogRecord("unit", 20, "", 0, "nested", None, None))
            window.on_credit(_credit(credit.message(size)))

    window = _window(read)
    handler = logs.ErlangHandler(lambda frame: sent.append(len(frame) - 9), window)
    for _ in range(2000):
        handler.handle(logging.LogRecord("unit", 20, "", 0, "x" * 1000, None, None))
        assert sum(map(credit.message, sent)) < credit.log_window() + 2000
    assert arrived > 800
    assert arrived + len(sent) == 2000 + 1  # that the nested one was dropped is said


def test_a_thread_waits_for_credit_without_the_handlers_lock() -> None:
    window = _window(patience=30)
    sent: list[bytes] = []
    handler = logs.ErlangHandler(sent.append, window)
    window.take(credit.log_window())
    record = logging.LogRecord("unit", 20, "", 0, "x", None, None)
    thread = threading.Thread(target=handler.handle, args=[record])
    thread.start()
    wait_until(lambda: bool(window._changed._waiters), 20, "it waits")  # type: ignore[attr-defined]
    assert handler.lock is not None
    assert handler.lock.acquire(timeout=0.0)
    handler.lock.release()
    window.on_credit(_credit(credit.log_window()))
    thread.join(20)
    assert not thread.is_alive()
    assert len(sent) == 1


def test_a_forked_child_logs_to_standard_error() -> None:
    script = (
        "import logging, os\n"
        "from hornbeam_worker import logs\n"
        "window = logs.Window(lambda done, timeout=None: None)\n"
        "logs.install('info', lambda frame: os.write(1, b'parent '), window)\n"
        "logging.getLogger('one').warning('first')\n"
        "if os.fork() == 0:\n"
        "    logging.getLogger('two').warning('in the child')\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "logging.getLogger('one').warning('last')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT / "priv/python")},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert ended.stdout == "parent parent "
    assert ended.stderr == "WARNING two: in the child\n"


def test_a_worker_keeps_what_a_full_pipe_does_not_take(tmp_path: Path) -> None:
    """Also what was written before there was a loop."""
    script = tmp_path / "full.py"
    script.write_text(
        "import asyncio, os, sys, threading\n"
        "from hornbeam_worker.transport import Transport\n"
        "transport = Transport()\n"
        "piece = bytes(50_000)\n"
        "while not transport.full:\n"
        "    transport.send_threadsafe(piece)\n"
        "    sent = globals().get('sent', 0) + len(piece)\n"
        "async def main():\n"
        "    transport.start(asyncio.get_running_loop())\n"
        "    transport.send_threadsafe(piece)\n"
        "    print(sent + len(piece), flush=True)\n"
        "    while transport._unwritten: await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n"
        "os._exit(0)\n"
    )
    reading, writing = os.pipe()
    unused, held = os.pipe()
    shell = f'exec "$0" "$1" 3<&{unused} 4>&{writing}'
    env = {**os.environ, "PYTHONPATH": str(ROOT / "priv" / "python")}
    process = subprocess.Popen(
        ["/bin/bash", "-c", shell, sys.executable, script], env=env, text=True,
        pass_fds=[unused, writing], stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(writing)
    assert process.stdout is not None
    expected = int(process.stdout.readline())
    received = 0
    while data := os.read(reading, 65_536):
        received += len(data)
    assert process.wait(10) == 0
    assert received == expected > 1_048_576
    for descriptor in (reading, unused, held):
        os.close(descriptor)


class FakeTransport:
    """Answers nothing by itself: a thread's call waits until `on_reply` or the end."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.came = threading.Event()

    def send_threadsafe(self, frame: bytes) -> None:
        self.sent.append(frame)
        self.came.set()


def call_in_thread(calls: Calls) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            calls.call(1, ["key"])
        except ConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, errors


def test_a_call_of_a_thread_fails_when_erlang_has_gone() -> None:
    transport = FakeTransport()
    calls = Calls(cast(Transport, transport))
    thread, errors = call_in_thread(calls)
    assert transport.came.wait(10)
    calls.fail_all()
    thread.join(10)
    assert len(errors) == 1


def test_a_lifespan_that_is_off_is_never_called() -> None:
    async def app(*_arguments: Any) -> None:
        raise AssertionError("it was called")

    async def main() -> None:
        lifespan = Lifespan(app, "off")
        await lifespan.startup()
        await lifespan.shutdown()

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_lifespan_that_fails_is_a_start_failure(mode: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.failed", "message": "no"})

    async def main() -> None:
        with pytest.raises(StartFailure) as failure:
            await Lifespan(app, mode).startup()
        assert (failure.value.kind, failure.value.text) == (FailureKind.LIFESPAN_FAILED, "no")

    asyncio.run(main())


def test_what_a_client_chose_stays_in_its_line(caplog: pytest.LogCaptureFixture) -> None:
    for given, shown in (
        ("/a\nb\x1b[2J", "/a%0Ab%1B[2J"),
        ("/é", "/é"),
        ("/\x9b\u2028", "/%C2%9B%E2%80%A8"),
    ):
        logged.error(logging.getLogger("hornbeam.asgi"), "GET %s", given, of=None)
        assert caplog.messages[-1] == f"GET {shown}"
