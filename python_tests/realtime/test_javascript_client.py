"""The client of clients/javascript: its own tests, and with the server, in Node and Chromium."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until
from javascript_places import (
    NODE,
    PACKAGE,
    PLACES,
    Chromium,
    Node,
    Place,
    built,
    needs_browser,
    needs_node,
)

CONNECT = """
state.heard = [];
state.errors = [];
state.closed = [];
state.joins = 0;
state.url = args.url;
state.socket = new state.lib.Socket(args.url, {
  transport: state.WebSocket, params: {token: "ada"}, backoff: [50], timeout: 2000, ...args.options,
});
state.socket.onClose((why) => state.closed.push(why.code));
state.answer = (push) => new Promise((resolve) => {
  for (const status of ["ok", "error", "timeout"])
    push.receive(status, (response) => resolve([status, response]));
});
state.join = (topic, params = {}) => {
  const channel = state.socket.channel(topic, params);
  for (const event of ["said", "pushed"])
    channel.on(event, (payload) =>
      state.heard.push(payload instanceof Uint8Array ? [...payload] : payload));
  channel.onMissed(() => state.heard.push("missed"));
  channel.onError((error) => state.errors.push(error));
  state[topic] = channel;
  return state.answer(channel.join().receive("ok", () => state.joins++));
};
state.socket.connect();
"""
JOINS = "return state.joins"
HEARD = "return state.heard"


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with _server() as running:
        yield running


def _server(**options: Any) -> Hornbeam:
    return Hornbeam("channels_page:app", channels="channels_page:channels", workers=2, **options)


def _url(server: Hornbeam) -> str:
    return f"{server.url}/socket".replace("http", "ws")


def _place(name: str, server: Hornbeam, folder: Path) -> AbstractContextManager[Place]:
    client = built()
    return Node(client) if name == "node" else Chromium(folder, server.url, "/hornbeam.js")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, server: Hornbeam, tmp_path: Path) -> Iterator[Place]:
    with _place(request.param, server, tmp_path) as made:
        made.run(CONNECT, url=_url(server), options={})
        yield made


@pytest.fixture
def tab(server: Hornbeam, tmp_path: Path) -> Iterator[Chromium]:
    built()
    with Chromium(tmp_path, server.url, "/hornbeam.js") as made:
        yield made


def join(place: Place, topic: str, params: Any = None) -> Any:
    return place.run(
        "return await state.join(args.topic, args.params)", topic=topic, params=params or {}
    )


def call(place: Place, topic: str, event: str, payload: Any = None) -> Any:
    return place.run(
        "return await state.answer(state[args.topic].push(args.event, args.payload))",
        topic=topic, event=event, payload=payload or {},
    )  # fmt: skip


def said(server: Hornbeam, topic: str) -> None:
    """A broadcast from the application, which the topic keeps."""
    assert httpx.get(f"{server.url}/broadcast/{topic}/said").status_code == 200


# By itself


@needs_node
@pytest.mark.parametrize("script", ["check", "test"])
def test_types_and_unit_tests(script: str) -> None:
    built()
    assert NODE is not None
    command = {
        "check": [NODE, "node_modules/typescript/bin/tsc", "--noEmit", "--strict"],
        "test": [
            NODE,
            "--test",
            *(str(file) for file in sorted((PACKAGE / "test").glob("*.test.mjs"))),
        ],
    }[script]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr


# Against the server


def test_join_push_reply_and_broadcast(place: Place) -> None:
    status, response = join(place, "room:1", {"name": "Ada"})
    assert (status, response["user"], response["params"]) == ("ok", "ada", {"name": "Ada"})
    assert call(place, "room:1", "echo", {"é": [1, None]}) == ["ok", {"é": [1, None]}]
    place.run('state["room:1"].push("say", {text: "hello"})')
    wait_until(lambda: place.run(HEARD) == [{"text": "hello"}], 10, "it is heard")
    assert place.run('return await state["room:1"].push("later", 7).promise()') == {"late": 7}


def test_refusals_have_their_reasons(place: Place, server: Hornbeam) -> None:
    assert join(place, "room:forbidden") == ["error", {"reason": "forbidden"}]
    assert join(place, "nowhere") == ["error", {"reason": "unmatched topic"}]
    place.run(CONNECT, url=_url(server), options={"params": {"refuse": "now"}})
    wait_until(lambda: place.run("return state.closed.length > 1"), 10, "the handshake is refused")
    assert set(place.run("return state.closed")) == {1006}


def test_bytes_both_ways(place: Place) -> None:
    join(place, "room:1")
    echoed = place.run("""
        const push = state["room:1"].push("echo", new Uint8Array([0, 255, 7]));
        return [...await push.promise()];
    """)
    assert echoed == [0, 255, 7]
    place.run('state["room:1"].push("say", new Uint8Array([1, 2]).buffer)')
    wait_until(lambda: place.run(HEARD) == [[1, 2]], 10, "it is heard")


def test_leaving_ends_it(place: Place) -> None:
    join(place, "room:1")
    assert place.run('return await state.answer(state["room:1"].leave())') == ["ok", {}]
    assert place.run('return state["room:1"].state') == "closed"
    assert place.run('return await state.answer(state["room:1"].push("echo"))') == [
        "error", {"reason": "not joined"},
    ]  # fmt: skip


def test_a_worker_that_dies_costs_a_rejoin(place: Place) -> None:
    _, response = join(place, "room:1")
    place.run('state["room:1"].push("exit", {})')
    wait_until(lambda: place.run(JOINS) == 2, 20, "it has joined again")
    assert call(place, "room:1", "count")[1]["pid"] != response["pid"]


def test_heartbeats_are_answered(place: Place, server: Hornbeam) -> None:
    place.run(CONNECT, url=_url(server), options={"heartbeat": 20, "timeout": 1000})
    place.run("state.beats = 0")
    place.run("state.socket.onMessage(({ topic }) => state.beats += topic === 'hornbeam')")
    wait_until(lambda: place.run("return state.beats") > 3, 10, "they are answered")
    assert place.run("return state.closed") == []


def test_presence_of_two(place: Place) -> None:
    place.run("""
        const channel = state.socket.channel("lobby:here", {name: "Ada"});
        state.presence = new state.lib.Presence(channel);
        channel.join();
        state.other = new state.lib.Socket(state.url, {transport: state.WebSocket});
        state.other.connect();
        state.other.channel("lobby:here", {name: "Bob"}).join();
    """)
    listed = "return state.presence.list((key, {metas: [first]}) => [key, first.status]).sort()"
    both = [["Ada", "here"], ["Bob", "here"]]
    wait_until(lambda: place.run(listed) == both, 10, "both are there")
    place.run("state.other.disconnect()")
    wait_until(lambda: place.run(listed) == both[:1], 10, "one has left")


def test_what_was_missed_arrives_in_order_and_once(place: Place, server: Hornbeam) -> None:
    topic = f"lobby:{type(place).__name__}"
    join(place, topic)
    call(place, topic, "say", {"n": 0})
    place.run("state.socket.disconnect()")
    with Node(built()) as other:
        other.run(CONNECT, url=_url(server), options={})
        join(other, topic)
        for n in (1, 2, 3):
            call(other, topic, "say", {"n": n})
        place.run("state.socket.connect()")
        wait_until(lambda: len(place.run(HEARD)) == 4, 10, "all are there")
        call(other, topic, "say", {"n": 4})
        wait_until(lambda: len(place.run(HEARD)) == 5, 10, "and the next one")
        assert place.run(HEARD) == [{"n": n} for n in range(5)]
        # More than the topic keeps.
        place.run("state.socket.disconnect(); state.heard = []")
        for n in range(5, 11):
            call(other, topic, "say", {"n": n})
        place.run("state.socket.connect()")
        wait_until(lambda: len(place.run(HEARD)) == 6, 10, "what is kept")
        assert place.run(HEARD) == ["missed", *({"n": n} for n in range(6, 11))]


@pytest.mark.parametrize("name", PLACES)
def test_a_server_that_restarts(name: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(_server())
        place = stack.enter_context(_place(name, server, tmp_path))
        place.run(CONNECT, url=_url(server), options={})
        join(place, "lobby:1")
        call(place, "lobby:1", "say", {"n": 0})
        port = server.address[1]
        server.stop()
        wait_until(lambda: place.run("return state.socket.state") != "open", 10, "it is noticed")
        place.run('state["lobby:1"].push("say", {n: 1}, 60000)')
        stack.enter_context(_server(bind=f"127.0.0.1:{port}"))
        # What waited is sent; the old server's history has gone with it, which is told.
        wait_until(lambda: place.run(HEARD) == [{"n": 0}, "missed", {"n": 1}], 20, "it goes on")


# A tab


def test_a_tab_without_network(tab: Chromium, server: Hornbeam) -> None:
    tab.run(
        CONNECT, url=_url(server), options={"heartbeat": 200, "timeout": 3000, "backoff": [60000]}
    )
    join(tab, "lobby:offline")
    call(tab, "lobby:offline", "say", {"n": 0})
    _network(tab, offline=True)
    wait_until(lambda: tab.run("return state.socket.state") != "open", 20, "it is noticed")
    said(server, "lobby:offline")
    _network(tab, offline=False)
    # Not by its back-off, which is a minute: the event "online" wakes it.
    wait_until(lambda: tab.run(JOINS) == 2, 20, "it has joined again")
    wait_until(lambda: tab.run(HEARD) == [{"n": 0}, {"from": "http"}], 10, "it has what it missed")


def _network(tab: Chromium, *, offline: bool) -> None:
    # Chromium's emulation leaves a WebSocket that is open as it is.
    tab.run("state.socket.send = () => {}" if offline else "delete state.socket.send")
    tab.driver.set_network_conditions(
        offline=offline, latency=0, download_throughput=-1, upload_throughput=-1
    )


def test_a_tab_that_was_frozen(tab: Chromium, server: Hornbeam) -> None:
    tab.run(CONNECT, url=_url(server), options={})
    join(tab, "lobby:frozen")
    call(tab, "lobby:frozen", "say", {"n": 0})
    tab.driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})
    assert httpx.get(f"{server.url}/disconnect/user:ada").status_code == 200
    said(server, "lobby:frozen")
    tab.driver.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "active"})
    wait_until(lambda: tab.run(JOINS) == 2, 20, "it has joined again")
    wait_until(lambda: tab.run(HEARD) == [{"n": 0}, {"from": "http"}], 10, "it has what it missed")


@needs_browser
def test_events_where_there_is_no_websocket(tab: Chromium, server: Hornbeam) -> None:
    class_ = "state.WebSocket = class { constructor() { throw new Error('blocked'); } };"
    tab.run(class_ + CONNECT, url=_url(server), options={"fallback": "events"})
    assert join(tab, "lobby:events") == ["ok", {"read_only": True}]
    said(server, "lobby:events")
    wait_until(lambda: tab.run(HEARD) == [{"from": "http"}], 10, "it is heard")
    assert call(tab, "lobby:events", "say") == ["error", {"reason": "read-only"}]
    assert tab.run('return state["lobby:events"].lastId') is not None
    # The server refuses one: it is told as an error of the channel, and tried again.
    options = {"fallback": "events", "params": {"token": "no"}}
    tab.run(class_ + CONNECT, url=_url(server), options=options)
    tab.run('state.join("lobby:events")')
    wait_until(lambda: tab.run("return state.errors.length > 1"), 10, "it is refused")
    assert tab.run("return state.errors[0]") == {"reason": "events"}
