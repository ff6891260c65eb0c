"""`make bench-channels`: channels in Hornbeam, Django Channels and python-socketio, in one run.

Two workers each; the peers run on uvicorn, with Redis between the workers (channels_redis,
AsyncRedisManager). Clients have joined ten topics (websocket_load.c): how many messages a second
reach them when one is sent to each topic and the next when the last has arrived everywhere; how
fast they join; how many events a second a handler in Python answers; what one that has joined and
says nothing takes in the server's processes together, Redis among them. And presence, which the
peers have not: as many members of ten topics, each told of all. Writes bench/results/channels.md
with --write.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import machine
from figures import Entry, Trouble, interleave, ratios
from peers import hornbeam, uvicorn
from processes import resident
from servers import RESULTS, ROOT, Recipe, Server, redis, started

# The load client answers no pings, and sends as fast as it can.
OURS = hornbeam(
    "channels_hornbeam:app", 2, "--channels", "channels_hornbeam:channels",
    "--websocket-ping-interval", "infinity", "--websocket-timeout", "infinity",
    "--max-connections", "infinity", "--channel-rate", "infinity",
)  # fmt: skip
_PINGS = ("--ws-ping-interval", "100000")
RECIPES: dict[str, Recipe] = {
    "hornbeam": OURS,
    "django": uvicorn("channels_django:app", 2, *_PINGS, "--lifespan", "off"),
    "socketio": uvicorn("channels_socketio:app", 2, *_PINGS),
}
NAMES = {"hornbeam": "Hornbeam", "django": "Django Channels", "socketio": "python-socketio"}
PEERS = ("django", "socketio")
SETTLE = 3.0
# The least (for memory: the most) ratio to each peer that the project asks of itself.
AIM_FANOUT, AIM_MEMORY = 5.0, 1 / 3


class Load:
    """The compiled load client."""

    def __init__(self, folder: Path) -> None:
        self.binary = folder / "websocket_load"
        source = ROOT / "bench" / "websocket_load.c"
        subprocess.run(["cc", "-O2", "-o", self.binary, source], check=True)

    def words(self, kind: str, server: Server, *rest: object, dialect: str = "") -> list[str]:
        numbers = [f"{each:g}" if isinstance(each, float) else str(each) for each in rest]
        return [str(self.binary), kind, str(server.port), *numbers, dialect or server.name]

    def rate(self, kind: str, server: Server, connections: int, amount: float, size: int) -> float:
        """Messages per second that reached the client."""
        words = self.words(kind, server, connections, amount, size)
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=300)
        messages, seconds, _share = map(float, done.stdout.split())
        return messages / seconds

    @contextmanager
    def joined(self, server: Server, connections: int, dialect: str = "") -> Iterator[float]:
        """Clients that have joined, for the time of the block; how many a second did."""
        words = self.words("joined", server, connections, 0, 1, dialect=dialect)
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdin is not None
            ready, _, seconds = process.stdout.readline().partition(b" ")
            if ready != b"ready":
                raise Trouble(f"{server.name}: the clients could not join")
            yield connections / float(seconds)
            process.stdin.close()


@contextmanager
def running(name: str) -> Iterator[Server]:
    """One of them, with a Redis of its own where it needs one."""
    with ExitStack() as stack:
        if name == "hornbeam":
            yield stack.enter_context(started(name, RECIPES[name]))
        else:
            path, pid = stack.enter_context(redis())
            env = {"BENCH_REDIS": str(path)}
            yield stack.enter_context(started(name, RECIPES[name], env, beside=[pid]))


def memory(name: str, load: Load, connections: int) -> tuple[float, float]:
    """Bytes for each client that has joined; how many a second have."""
    with running(name) as server, load.joined(server, 200):
        time.sleep(SETTLE)  # what the first ones cost is not theirs
        before = sum(map(resident, server.pids))
        with load.joined(server, connections) as rate:
            time.sleep(SETTLE)
            after = sum(map(resident, server.pids))
    return (after - before) / connections, rate


def rates(rounds: int, measure: Callable[[Server], float]) -> dict[str, list[float]]:
    """What each has in each round, after one that does not count."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(name)) for name in RECIPES}
        for server in servers.values():
            measure(server)
        entries = [Entry(name) for name in servers]
        interleave(entries, rounds, lambda name: {"rate": measure(servers[name])})
    return {entry.name: entry.figures["rate"] for entry in entries}


def row(what: str, found: dict[str, list[float]], aim: str = "") -> str:
    """One line of the table: medians, and ours to each peer's."""
    medians = [f"{statistics.median(found[name]):,.0f}" for name in RECIPES]
    times = [ratios(found["hornbeam"], found[name]) for name in PEERS]
    each = [
        f"**{statistics.median(t):.2f}** ({min(t):.2f} to {max(t):.2f})"
        if len(t) > 1
        else f"**{t[0]:.2f}**"
        for t in times
    ]
    return f"| {what} | {' | '.join(medians)} | {' | '.join(each)} | {aim} |"


def rows(options: argparse.Namespace) -> Iterator[str]:
    """The table's."""
    clients: int = options.clients
    with tempfile.TemporaryDirectory() as folder:
        load = Load(Path(folder))
        shouted = rates(
            options.rounds,
            lambda server: load.rate("shout", server, clients, options.messages, 100),
        )
        yield row(
            f"to {clients:,} clients of 10 topics: deliveries/s",
            shouted,
            f"at least {AIM_FANOUT:g}",
        )
        answered = rates(
            options.rounds, lambda server: load.rate("events", server, 64, options.seconds, 32)
        )
        yield row("events that Python answers, 64 clients: messages/s", answered)
        idle = {name: memory(name, load, clients) for name in RECIPES}
        yield row(f"{clients:,} that have joined: joins/s", {n: [v[1]] for n, v in idle.items()})
        yield row(
            f"{clients:,} that have joined: bytes each", {n: [v[0]] for n, v in idle.items()},
            f"at most {AIM_MEMORY:.2f}",
        )  # fmt: skip
        with running("hornbeam") as server, load.joined(server, clients, "presence") as rate:
            yield ""
            members = f"{clients:,} members of 10 topics, each told of all"
            yield f"Presence, {members}: {rate:,.0f} joins/s."


def main() -> None:
    """Runs the comparison and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--messages", type=int, default=10, help="to each topic in a round")
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--write", action="store_true", help="write bench/results/channels.md")
    options = parser.parse_args()
    names = " | ".join(NAMES[name] for name in RECIPES)
    lines = [
        f"| | {names} | to Django Channels | to python-socketio | aim |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    try:
        machine.descriptors(2 * options.clients + 1000)
        lines += rows(options)
    except Trouble as trouble:
        sys.exit(f"bench: {trouble}")
    report = "\n".join(lines)
    print(report)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "channels.md").write_text(
            f"# Channels next to Django Channels and python-socketio\n\n"
            f"`make bench-channels`: two workers each, the peers on uvicorn with Redis; "
            f"{options.rounds} interleaved rounds, medians; {options.messages} messages of 100 "
            f"bytes to each of ten topics, one after the other.\n\n{report}\n\n"
            f"{datetime.date.today().isoformat()}; {machine.shape()}.\n"
        )


if __name__ == "__main__":
    main()
