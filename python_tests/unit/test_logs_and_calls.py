"""hornbeam_worker.logs, .calls and .asgi.lifespan alone, without Erlang."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest

from hornbeam_worker import frames, logs
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

    handler = logs.ErlangHandler(send)
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


def test_records_for_which_there_is_no_room_are_counted() -> None:
    sent: list[dict[str, Any]] = []
    room = [True, False, False, True, True]
    handler = logs.ErlangHandler(lambda frame: sent.append(msgpack.unpackb(frame[9:])),
                                 lambda: room.pop(0))  # fmt: skip
    for number in range(5):
        record = logging.LogRecord("unit", logging.INFO, "", 0, str(number), None, None)
        handler.handle(record)
    assert [fields["message"] for fields in sent] == [
        "0", "2 log records were dropped: the server did not take them in time", "3", "4",
    ]  # fmt: skip


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
