"""hornbeam_erlang.socketio on the stand-in: servers of one process as if each were a worker's."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import socketio
from harness import wait_until

from hornbeam_erlang import publish
from hornbeam_erlang.socketio import AsyncManager, Manager
from hornbeam_erlang.testing import Standalone

pytest_plugins = ["hornbeam_erlang.pytest_plugin"]


class Server:
    """What a manager asks of an AsyncServer: clients that keep what they are sent."""

    def __init__(self, **options: Any) -> None:
        self.manager = AsyncManager(**options)
        self.sio = socketio.AsyncServer(async_mode="asgi", client_manager=self.manager)
        self.sent: list[Any] = []
        self.sio._send_eio_packet = self._send
        self.sio._send_packet = self._send
        self.manager.initialize()

    async def _send(self, client: str, packet: Any) -> None:
        text = packet.encode()
        self.sent.append((client, json.loads(text.lstrip("0123456789").partition(",")[2] or text)))

    async def client(self, name: str) -> str:
        return str(await self.manager.connect(name, "/chat"))


async def until(condition: Callable[[], Any]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not in 10 s")


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


@pytest.mark.usefixtures("hornbeam_standalone")
def test_servers_hear_each_other() -> None:
    async def test() -> None:
        one, other = Server(), Server()
        a, b = await one.client("a"), await other.client("b")
        await one.manager.enter_room(b, "/chat", "room")  # of another worker
        await one.manager.enter_room(a, "/chat", "room")
        await until(lambda: "room" in other.manager.get_rooms(b, "/chat"))
        await one.manager.emit("news", {"n": 1}, namespace="/chat", room="room")
        await until(lambda: other.sent)
        assert one.sent == [("a", ["news", {"n": 1}])]
        assert other.sent == [("b", ["news", {"n": 1}])]
        await AsyncManager(write_only=True).emit("late", None, namespace="/chat", skip_sid=a)
        await until(lambda: len(other.sent) == 2)
        assert len(one.sent) == 1

    run(test)


@pytest.mark.usefixtures("hornbeam_standalone")
def test_an_answer_may_have_bytes() -> None:
    async def test() -> None:
        one, other = Server(), Server()
        b = await other.client("b")
        answers: list[Any] = []
        await one.manager.emit(
            "ask", None, namespace="/chat", room=b, callback=lambda *answer: answers.append(answer)
        )
        await until(lambda: 1 in other.manager.callbacks.get(b, {}))
        await other.manager.trigger_callback(b, 1, [{"bytes": b"\xff"}, 2])
        await until(lambda: answers)
        assert answers == [({"bytes": b"\xff"}, 2)]

    run(test)


@pytest.mark.usefixtures("hornbeam_standalone")
def test_so_many_callbacks_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of clients of other workers, of which nobody says that they have gone."""
    monkeypatch.setattr("hornbeam_erlang.socketio.MOST_CALLBACKS", 3)

    async def test() -> None:
        manager = Server().manager
        called: list[int] = []

        async def ask(sid: str, number: int) -> None:
            await manager.emit("ask", 1, room=sid, callback=lambda: called.append(number))

        for number, sid in enumerate("aab"):
            await ask(sid, number)
        assert {sid: sorted(ids)[1:] for sid, ids in manager.callbacks.items()} == {
            "a": [1, 2],
            "b": [3],
        }
        await manager.trigger_callback("a", 2, [])
        await ask("c", 3)
        assert sorted(manager.callbacks) == ["a", "b", "c"]
        await ask("d", 4)  # one too many: the oldest goes, and with it the last of its client
        assert sorted(manager.callbacks) == ["b", "c", "d"]
        await manager.trigger_callback("a", 1, [])
        for sid, number in [("b", 3), ("c", 4), ("d", 5)]:
            await manager.trigger_callback(sid, number, [])
        assert called == [1, 2, 3, 4]
        assert manager.callbacks == {}
        assert not manager._asked

    run(test)


@pytest.mark.usefixtures("hornbeam_standalone")
def test_a_queue_holds_so_many_and_tells_of_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """The loop does not read while it is not given the time to."""

    async def test() -> None:
        logger = logging.getLogger("test")
        server = Server(queue_size=3, logger=logger)
        await server.client("a")
        message = {"method": "emit", "event": "e", "namespace": "/chat"}
        for number in range(3):
            publish("socketio", message | {"data": number})
        await until(lambda: len(server.sent) == 3)
        assert server.manager.dropped == 0
        for number in range(4):
            publish("socketio", message | {"data": number})
        await until(lambda: len(server.sent) == 6)
        assert [data for _, (_, data) in server.sent] == [0, 1, 2, 1, 2, 3]
        assert server.manager.dropped == 1

    run(test)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("1 messages of other workers were lost")


@pytest.mark.usefixtures("hornbeam_standalone")
def test_other_channels_are_not_heard() -> None:
    async def test() -> None:
        one, other = Server(channel="one"), Server(channel="other")
        await one.client("a")
        await other.client("b")
        await one.manager.emit("e", 1, namespace="/chat")
        message = {"method": "emit", "event": "e", "namespace": "/chat", "data": 2}
        publish("other", message)
        await until(lambda: other.sent)
        assert other.sent == [("b", ["e", 2])]

    run(test)


@pytest.mark.usefixtures("hornbeam_standalone")
def test_threads() -> None:
    sent: list[Any] = []
    sio = socketio.Server(async_mode="threading", client_manager=Manager())
    sio._send_eio_packet = lambda client, packet: sent.append((client, packet.encode()))
    sio.manager.initialize()
    sio.manager.connect("a", "/")
    Manager(write_only=True).emit("news", b"\x01")
    wait_until(lambda: len(sent) == 2, 10, "a text and its attachment")
    publish("socketio", b"\x80\x04N.")
    publish("socketio", json.dumps({"method": "emit", "event": "e", "namespace": "/", "data": 1}))
    wait_until(lambda: len(sent) == 3, 10, "what follows no message")
    assert sent[2] == ("a", '42["e",1]')
    assert sio.manager.thread.daemon  # it keeps no worker alive


def test_what_can_be_wrong_at_once(hornbeam_standalone: Standalone) -> None:
    for manager in (Manager, AsyncManager):
        with pytest.raises(ValueError, match="is a pattern"):
            manager(channel="rooms:*")
        with pytest.raises(ValueError, match="queue_size must be an int of at least 1"):
            manager(queue_size=0)
        assert manager(write_only=True).dropped == 0
    with pytest.raises(TypeError, match="a set cannot travel to Erlang"):
        Manager(write_only=True).emit("e", {1})


def test_outside_a_worker() -> None:
    with pytest.raises(RuntimeError, match="this process is none of its workers"):
        Manager(write_only=True).emit("e", 1)
