"""The client that Phoenix publishes, unchanged, in Node and in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Hornbeam, wait_until
from javascript_places import PHOENIX, PLACES, Chromium, Node, Place

# Its defaults but for the delays.
CONNECT = """
const after = () => 50;
state.heard = [];
state.joins = 0;
state.url = args.url;
state.socket = new state.lib.Socket(args.url, {
  transport: state.WebSocket, params: {token: "ada"}, reconnectAfterMs: after, rejoinAfterMs: after,
});
state.answer = (push) => new Promise((resolve) => {
  for (const status of ["ok", "error", "timeout"])
    push.receive(status, (response) => resolve([status, response]));
});
state.join = (topic, params = {}) => {
  const channel = state.socket.channel(topic, params);
  channel.onMessage = (event, payload) => {
    const plain = payload instanceof ArrayBuffer ? [...new Uint8Array(payload)] : payload;
    if (!/^(chan|phx)_/.test(event)) state.heard.push([event, plain]);
    return payload;
  };
  const push = channel.join();
  push.receive("ok", () => state.joins++);
  state[topic] = channel;
  return state.answer(push);
};
state.socket.connect();
"""
CALL = "return await state.answer(state[args.topic].push(args.event, args.payload))"
HEARD = "return state.heard"


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("channels_page:app", channels="channels_page:channels", workers=2) as running:
        yield running


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, server: Hornbeam, tmp_path: Path) -> Iterator[Place]:
    with _place(request.param, server, tmp_path) as made:
        made.run(CONNECT, url=f"{server.url}/socket".replace("http", "ws"))
        yield made


def _place(name: str, server: Hornbeam, folder: Path) -> Node | Chromium:
    return Node(PHOENIX) if name == "node" else Chromium(folder, server.url, "/phoenix.mjs")


def join(place: Place, topic: str, params: Any = None) -> Any:
    return place.run(
        "return await state.join(args.topic, args.params)", topic=topic, params=params or {}
    )


def call(place: Place, topic: str, event: str, payload: Any = None) -> Any:
    return place.run(CALL, topic=topic, event=event, payload=payload or {})


def test_join_push_reply_and_broadcast(place: Place) -> None:
    status, response = join(place, "room:1", {"name": "Ada"})
    assert (status, response["user"], response["params"]) == ("ok", "ada", {"name": "Ada"})
    assert call(place, "room:1", "echo", {"é": [1, None]}) == ["ok", {"é": [1, None]}]
    assert call(place, "room:1", "count")[1]["n"] == 1
    assert call(place, "room:1", "count")[1]["n"] == 2
    place.run('state["room:1"].push("say", {text: "hello"})')
    wait_until(lambda: place.run(HEARD) == [["said", {"text": "hello"}]], 10, "it is heard")
    assert call(place, "room:1", "later", 7) == ["ok", {"late": 7}]


def test_refusals_have_their_reasons(place: Place) -> None:
    assert join(place, "room:forbidden") == ["error", {"reason": "forbidden"}]
    assert join(place, "nowhere") == ["error", {"reason": "unmatched topic"}]


def test_bytes_both_ways(place: Place) -> None:
    join(place, "room:1")
    echoed = place.run("""
        const push = state["room:1"].push("echo", new Uint8Array([0, 255, 7]).buffer);
        const [status, response] = await state.answer(push);
        return [status, response instanceof ArrayBuffer, ...new Uint8Array(response)];
    """)
    assert echoed == ["ok", True, 0, 255, 7]
    place.run('state["room:1"].push("say", new Uint8Array([1, 2]).buffer)')
    wait_until(lambda: place.run(HEARD) == [["said", [1, 2]]], 10, "it is heard")


def test_after_an_error_of_a_handler_it_joins_again(place: Place) -> None:
    join(place, "room:1")
    place.run('state["room:1"].push("boom", {})')
    wait_until(lambda: place.run("return state.joins") == 2, 10, "it has joined again")
    assert call(place, "room:1", "echo", 1) == ["ok", 1]


def test_leaving_ends_it(place: Place) -> None:
    join(place, "room:1")
    assert place.run('return await state.answer(state["room:1"].leave())') == ["ok", {}]
    assert place.run('return state["room:1"].state') == "closed"


def test_a_worker_that_dies_costs_a_rejoin(place: Place) -> None:
    _, response = join(place, "room:1")
    join(place, "room:2")
    # What runs in the worker when it ends is broken off; the other channel is moved.
    place.run('state["room:1"].push("exit", {})')
    wait_until(lambda: place.run("return state.joins") == 3, 20, "one has joined again")
    assert call(place, "room:1", "count")[1]["pid"] != response["pid"]
    assert call(place, "room:2", "count")[1]["n"] == 1


def test_presence_of_two(place: Place) -> None:
    place.run("""
        const channel = state.socket.channel("lobby:1", {name: "Ada"});
        state.presence = new state.lib.Presence(channel);
        channel.join();
        state.other = new state.lib.Socket(state.url, {transport: state.WebSocket});
        state.other.connect();
        state.other.channel("lobby:1", {name: "Bob"}).join();
    """)
    listed = "return state.presence.list((key, {metas: [first]}) => [key, first.status]).sort()"
    both = [["Ada", "here"], ["Bob", "here"]]
    wait_until(lambda: place.run(listed) == both, 10, "both are there")
    place.run("state.other.disconnect()")
    wait_until(lambda: place.run(listed) == both[:1], 10, "one has left")


def test_it_connects_again(place: Place) -> None:
    join(place, "room:1")
    place.run("state.socket.conn.close()")
    wait_until(lambda: place.run("return state.joins") == 2, 10, "it has joined again")
    assert call(place, "room:1", "echo", 1) == ["ok", 1]
