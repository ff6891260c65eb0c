"""What is measured: the table of scenarios, and how each takes the figures of a round.

A measurement is a function of a server that runs and of how many seconds it may load it; it returns
figures by name. `requests/s` and `events/s` are better the larger, all others the smaller. What is
not right raises Trouble.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import clients
import load
import streams
from figures import Trouble
from load import Ask
from peers import OURS, PEERS, WSGI, Make
from processes import Cpu
from servers import Server
from static_peers import SIZE, STATIC

__all__ = ["CPU", "RATE", "SCENARIOS", "SMOKE", "Measure", "Scenario", "figures_at", "select"]

Measure = Callable[[Server, int], dict[str, float]]

RATE, CPU = "requests/s", "CPU, us a request"
VM, PYTHON = "- of it in the VM", "- of it in Python"
MIB = 1024 * 1024
MULTIPART, LARGE = 60 * MIB, 100 * MIB
ROWS, ROW = 10_000, 50
JSON = json.dumps(
    {"items": [{"id": n, "name": f"item {n:04}", "price": 12.5} for n in range(1365)]},
    separators=(",", ":"),
).encode().ljust(64 * 1024)  # fmt: skip
HELLO = Ask("/", len(b"Hello, world!"))
FAST = Ask("/", len(b'{"id":1,"name":"hornbeam","tags":["a","b","c"],"price":12.5}'))
COUNTER = Ask("/", len(b'{"views":"000000000001"}'))
FLASK = Ask("/", len(b'{"id":1,"name":"hornbeam","price":12.5,"tags":["a","b","c"]}\n'))
ECHO = Ask("/echo", len(JSON.rstrip()), JSON)


def cpu_figures(used: Cpu, requests: int) -> dict[str, float]:
    """Of a request, in the whole tree of processes; split where there is an Erlang VM."""
    found = {CPU: used.all / requests}
    if used.beam:
        found[VM] = used.beam / requests
        found[PYTHON] = (used.all - used.beam) / requests
    return found


def closed(ask: Ask, connections: int) -> Measure:
    """As many requests as the connections get through; many are given time to be opened."""

    def measure(server: Server, seconds: int) -> dict[str, float]:
        before = server.cpu()
        found = load.closed(server, ask, connections, seconds * (2 if connections > 1000 else 1))
        used = server.cpu() - before
        return {
            RATE: found.requests / found.seconds, **found.latency,
            **cpu_figures(used, found.requests), "PSS, MiB": server.pss() / MIB,
        }  # fmt: skip

    return measure


def figures_at(share: float, ask: Ask, rate: float) -> Measure:
    """The fixed rate that is this share of what all can bear."""

    def measure(server: Server, seconds: int) -> dict[str, float]:
        found = load.rated(server, ask, rate, seconds)
        values = {RATE: found.rate, **found.latency}
        return {f"at {share:.0%}: {name}": value for name, value in values.items()}

    return measure


def connections_cost(server: Server, seconds: int) -> dict[str, float]:
    """What more connections cost a request."""
    few, many = (_steady_cpu(server, count, seconds) for count in (64, 4096))
    return {
        f"64 connections: {CPU}": few,
        f"4,096 connections: {CPU}": many,
        "many / few": many / few,
    }


def _steady_cpu(server: Server, connections: int, seconds: int) -> float:
    """Microseconds a request; not what it costs to connect, of which a longer load has no more."""
    used, requests = [], []
    for times in (1, 3):
        before = server.cpu()
        requests.append(load.closed(server, HELLO, connections, times * seconds).requests)
        used.append((server.cpu() - before).all)
    return max(0.0, used[1] - used[0]) / max(1, requests[1] - requests[0])


def timed(act: Callable[[Server], clients.Answer]) -> Measure:
    """Of single exchanges, one after the other for half of the time: the kernel tells CPU time in
    steps of 10 ms."""

    def measure(server: Server, seconds: int) -> dict[str, float]:
        before, begun = server.cpu(), time.monotonic()
        took = [act(server).seconds]
        while time.monotonic() < begun + seconds / 2:
            took.append(act(server).seconds)
        used = server.cpu() - before
        return {"ms": statistics.median(took) * 1000, "CPU, ms": used.all / 1000 / len(took)}

    return measure


def upload(server: Server) -> clients.Answer:
    """A form's file."""
    return _says(clients.multipart(server.port, "/upload", MULTIPART), MULTIPART)


def up(server: Server) -> clients.Answer:
    """A raw body."""
    return _says(clients.exchange(server.port, "/up", clients.zeros(LARGE), length=LARGE), LARGE)


def _says(answer: clients.Answer, number: int) -> clients.Answer:
    answer.check(len(str(number)))
    if answer.body != str(number).encode():
        raise Trouble(f"{answer.body!r} bytes have come, not {number}")
    return answer


def down(path: str, length: int) -> Callable[[Server], clients.Answer]:
    """A body that comes."""

    def act(server: Server) -> clients.Answer:
        answer = clients.exchange(server.port, path)
        answer.check(length)
        return answer

    return act


def event_streams(count: int) -> Measure:
    """Clients of server-sent events."""
    return lambda server, seconds: streams.events(server, count, seconds)


def beside_slow_ones(server: Server, seconds: int) -> dict[str, float]:
    """One client that asks and asks, beside 1,000 slow ones."""
    with streams.slow_clients(server, 1000):
        # A second in which their bodies begin is not counted.
        load.closed(server, HELLO, 1, 1)
        found = load.closed(server, HELLO, 1, seconds)
    return {RATE: found.requests / found.seconds, **found.latency}


def start_up(server: Server, _seconds: int) -> dict[str, float]:
    """The first answer; the memory when all workers have answered and nothing more is to do."""
    first = clients.first_answer(server)
    load.closed(server, FAST, 16, 1)
    clients.settle(server, 0.5)
    return {"first answer, ms": first * 1000, "PSS, MiB": server.pss() / MIB}


def idle_connection(server: Server, _seconds: int) -> dict[str, float]:
    """The memory of one."""
    return {"KiB (PSS)": clients.idle(server) / 1024}


@dataclass(frozen=True)
class Scenario:
    """A row of the table.

    rated    asked at fixed rates, too: this
    fresh    each measurement has a server that has done nothing before
    most     rounds, at most: what is steady, or takes long
    redis    the peers' application needs one
    without  peers that do not take part, and why
    makes    servers of its own, in place of all
    """

    key: str
    title: str
    app: str
    workers: int
    connections: int
    measure: Measure
    rated: Ask | None = None
    fresh: bool = False
    most: int = 1000
    redis: bool = False
    without: Mapping[str, str] = field(default_factory=lambda: {WSGI: "it is compared by WSGI"})
    makes: Mapping[str, Make] = field(default_factory=dict)


def _hello(workers: int, connections: int, rated: Ask | None = None) -> Scenario:
    return Scenario(
        f"hello-{workers}-{connections}", "raw ASGI hello", "hello:app", workers, connections,
        closed(HELLO, connections), rated,
    )  # fmt: skip


def _fastapi(workers: int, connections: int, rated: Ask | None = None) -> Scenario:
    return Scenario(
        f"fastapi-{workers}-{connections}", "FastAPI, JSON", "fast:app", workers, connections,
        closed(FAST, connections), rated,
    )  # fmt: skip


def _body(key: str, title: str, act: Callable[[Server], clients.Answer]) -> Scenario:
    return Scenario(key, title, "bodies:app", 1, 1, timed(act))


BY_ASGI = {name: "it is compared by ASGI" for name in PEERS if name not in (OURS, WSGI)}
ITSELF = {name: "only Hornbeam is compared with itself" for name in PEERS if name != OURS}

SCENARIOS = (
    _hello(1, 64, HELLO),
    _hello(1, 2048),
    _hello(2, 64),
    _hello(2, 2048),
    Scenario("connections", "CPU of a raw hello with many connections", "hello:app", 1, 4096,
             connections_cost, without=ITSELF, most=3),
    _fastapi(1, 64),
    _fastapi(2, 64, FAST),
    _fastapi(2, 2048),
    Scenario("counter-2-64", "FastAPI with a counter (peers: Redis, whose CPU and PSS are theirs)",
             "counter:app", 2, 64, closed(COUNTER, 64), redis=True),
    *(Scenario(f"flask-1-{count}", "Flask, JSON (WSGI, four threads)", "flasks:app", 1, count,
               closed(FLASK, count), without=BY_ASGI) for count in (4, 64)),
    Scenario("echo-1-64", "64 KiB of JSON echoed", "bodies:app", 1, 64, closed(ECHO, 64)),
    Scenario("multipart", "60 MiB multipart through Starlette", "upload:app", 1, 1, timed(upload)),
    _body("up", "100 MiB up, raw", up),
    _body("down", "100 MiB down, raw", down(f"/down?{LARGE}", LARGE)),
    _body("rows", "10,000 small sends", down(f"/rows?{ROWS}", ROWS * ROW)),
    Scenario("events-200", "server-sent events, one each 0.1 s", "events:app", 1, 200,
             event_streams(200), most=3),
    Scenario("events-1000", "server-sent events, one each 0.1 s", "events:app", 1, 1000,
             event_streams(1000), most=3),
    Scenario("slow", "a fast client beside 1,000 slow ones", "bodies:app", 1, 1001,
             beside_slow_ones, most=3),
    Scenario("static", "a file of 10 KiB", "", 2, 64, closed(Ask("/file.txt", SIZE), 64),
             makes=STATIC),
    Scenario("start", "start of FastAPI", "fast:app", 2, 16, start_up, fresh=True, most=3),
    Scenario("idle", "an idle keep-alive connection", "hello:app", 1, clients.IDLE,
             idle_connection, fresh=True, most=1),
)  # fmt: skip

SMOKE = ("hello-1-64", "fastapi-1-64", "multipart", "idle")


def select(words: list[str]) -> Iterator[Scenario]:
    """Those whose keys are, or begin with, one of the words; all if there is none."""
    for word in words:
        if not any(_matches(scenario.key, word) for scenario in SCENARIOS):
            known = ", ".join(scenario.key for scenario in SCENARIOS)
            raise Trouble(f"no scenario {word!r}: {known}")
    for scenario in SCENARIOS:
        if not words or any(_matches(scenario.key, word) for word in words):
            yield scenario


def _matches(key: str, word: str) -> bool:
    return key == word or key.startswith(f"{word}-")
