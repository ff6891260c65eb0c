"""The whole of `hornbeam_erlang` from a page that shows it.

    examples/erlang_integration/run.sh          # then open http://127.0.0.1:8000

GET  /             the page
POST /try/{name}   runs one of the examples below; the answer is what it returned and its source
GET  /events       what is published to "demo:*", as server-sent events
"""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, StreamingResponse

from hornbeam_erlang import (
    ErlangError,
    NotRegisteredError,
    aio,
    cache_stats,
    cached,
    clear_cache,
    node,
    nodes,
    ping,
    publish,
    receive_pubsub,
    rpc_call,
    rpc_cast,
    state_add,
    state_cas,
    state_decr,
    state_delete,
    state_get,
    state_get_multi,
    state_incr,
    state_items,
    state_keys,
    state_pop,
    state_set,
    subscribe,
    subscription,
    unsubscribe,
)
from hornbeam_erlang import call as call_erlang
from hornbeam_erlang import cast as cast_erlang

app = FastAPI()
EXAMPLES: dict[str, Callable[[], Awaitable[Any]]] = {}


def example(function: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """Puts a function on the page."""
    EXAMPLES[function.__name__] = function
    return function


@example
async def values() -> Any:
    """Values keep their types: the state is not JSON."""
    state_set("user:1", {"name": "Ada", "tags": ("a", "b"), "key": b"\x00\xff", "big": 2**70})
    return {name: repr(value) for name, value in state_get("user:1").items()}


@example
async def counters() -> Any:
    """Exact in all workers; with a ttl the count starts afresh when it has expired."""
    return [
        state_incr("views"),
        state_incr("views", 10),
        state_decr("views"),
        state_incr("m", ttl=60),
    ]


@example
async def several() -> Any:
    """Several keys at once, and keys by what they begin with."""
    state_set("s:a", 1)
    state_set("s:b", 2)
    return [state_get_multi(["s:a", "s:c"]), sorted(state_keys("s:")), sorted(state_items("s:"))]


@example
async def winners() -> Any:
    """A lock, an optimistic update, and taking a value: of many who try exactly one succeeds."""
    state_delete("lock")
    locks = [state_add("lock", "me", ttl=30), state_add("lock", "you")]
    state_set("job", "waiting")
    swaps = [state_cas("job", "waiting", "running"), state_cas("job", "waiting", "running")]
    return [locks, swaps, state_pop("job"), state_pop("job", "gone")]


@example
async def awaitable() -> Any:
    """The same names under `aio` do not block the loop, and go out together."""
    import asyncio

    return await asyncio.gather(*(aio.state_incr("pipelined") for _ in range(5)))


@cached(ttl=60, namespace="slow")
async def slow_square(number: int) -> int:
    """Takes long, as a model does, and counts how often it has to."""
    state_incr("squares")
    return number * number


@example
async def computed_once() -> Any:
    """Of equal calls at once one computes, in whichever worker; the others wait for its result."""
    import asyncio

    clear_cache("slow")
    state_delete("squares")
    results = await asyncio.gather(*(slow_square(12) for _ in range(100)))
    return [
        set(results) == {144},
        state_get("squares"),
        cache_stats()["namespaces"]["slow"]["entries"],
    ]


@example
async def messages() -> Any:
    """Subscribe for the length of a block; patterns end with *."""
    async with subscription("chat:1", "user:*") as incoming:
        reached = await aio.publish("user:7", {"online": True})
        return [reached, await anext(incoming)]


@example
async def polling() -> Any:
    """For code that polls: the subscription is this task's, or this thread's."""
    subscribe("jobs")
    publish("jobs", {"id": 1})
    got = receive_pubsub(1.0)
    unsubscribe("jobs")
    return got


@example
async def functions() -> Any:
    """Erlang functions by their names (demo.erl registers them)."""
    cast_erlang("log", "hello from Python")
    return [call_erlang("add", 1, 2), await aio.call("reverse", [1, 2, 3])]


@example
async def errors() -> Any:
    """Errors are Python's exceptions."""

    def attempt(name: str) -> str:
        try:
            return str(call_erlang(name, timeout_ms=50))
        except NotRegisteredError as error:
            return f"NotRegisteredError: {error.text}"
        except ErlangError as error:
            return f"ErlangError: {error.error_class} {error.reason}"
        except TimeoutError as error:
            return f"TimeoutError: {error}"

    return [attempt(name) for name in ["refuse", "crash", "slow", "not_registered"]]


@example
async def back_and_forth() -> Any:
    """Erlang calls a Python function of this module, with `hornbeam:call`."""
    return await aio.call("ask_python", "app:greet", ["Erlang"])


def greet(name: str) -> str:
    """Called from Erlang, in a thread."""
    return f"Hello {name}, this is Python; I count {state_incr('greetings')}."


@example
async def other_nodes() -> Any:
    """What `rpc_allow` names may be run on this node and on others."""
    rpc_cast(node(), "erlang", "system_time")
    try:
        refused = rpc_call(node(), "init", "stop")
    except PermissionError as error:
        refused = str(error)
    return [node(), nodes(), ping(node()), rpc_call(node(), "erlang", "system_time") > 0, refused]


@app.get("/")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE.replace("@@EXAMPLES@@", json.dumps(list(EXAMPLES))))


@app.post("/try/{name}")
async def try_one(name: str) -> dict[str, Any]:
    """Runs an example."""
    if name not in EXAMPLES:
        raise HTTPException(404)
    function = EXAMPLES[name]
    source = inspect.getsource(function).partition("\n")[2]
    return {"result": await function(), "source": source, "about": inspect.getdoc(function)}


@app.get("/events")
async def events() -> StreamingResponse:
    """Ends, and with it its subscription, when the browser goes."""

    async def stream() -> AsyncIterator[str]:
        async with subscription("demo:*") as incoming:
            yield ": subscribed\n\n"
            async for topic, message in incoming:
                yield f"data: {json.dumps([topic, message])}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.post("/publish/{topic}/{text}")
async def publish_one(topic: str, text: str) -> int:
    """Publishes to "demo:TOPIC"."""
    return await aio.publish(f"demo:{topic}", text)


PAGE = """<!doctype html><meta charset="utf-8"><title>Python and Erlang</title>
<style>body { font: 16px sans-serif; max-width: 50em; margin: 2em auto }
pre { background: #eee; padding: 1em; overflow: auto } button { font: inherit }</style>
<h1>Python and Erlang</h1><div id="examples"></div>
<h2>Events</h2><p><input id="text" value="hello"> <button id="publish">publish</button></p>
<pre id="events"></pre>
<script>
for (const name of @@EXAMPLES@@) {
  const button = document.createElement("button"), output = document.createElement("pre");
  button.textContent = name;
  button.onclick = async () => {
    const answer = await (await fetch("try/" + name, {method: "POST"})).json();
    output.textContent = answer.source + "\\n" + JSON.stringify(answer.result, null, 2);
  };
  document.getElementById("examples").append(button, output);
}
new EventSource("events").onmessage = event =>
  document.getElementById("events").append(event.data + "\\n");
document.getElementById("publish").onclick = () => {
  const text = document.getElementById("text").value;
  fetch("publish/page/" + encodeURIComponent(text), {method: "POST"});
};
</script>
"""
