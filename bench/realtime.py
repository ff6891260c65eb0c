"""`make bench-channels`: channels in Hornbeam, Django Channels and python-socketio, in one run.

Two workers each; the peers run on uvicorn, with Redis between the workers (channels_redis,
AsyncRedisManager). Clients have joined ten topics (websocket_load.c). Measured: how many messages a
second reach them when one is sent to each topic and the next when the last has arrived everywhere,
how long a delivery takes, and what CPU time it costs the server's processes, Redis among them; how
many events a second a handler in Python answers, or sends to all of a topic; how fast clients join;
what memory one that has joined and says nothing takes (PSS). And presence, which neither peer has:
as many members of ten topics, each told of all. Writes bench/results/channels.md with --write;
--smoke is a short form of a few seconds, whose figures say nothing but that all of it runs.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path

import machine
from figures import Entry, Trouble, interleave, number, ratios
from peers import hornbeam, uvicorn
from servers import RESULTS, ROOT, Recipe, Server, program, redis, started

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
EVENTS = {"events": "events that Python answers", "relay": "events that Python sends to a topic"}
SETTLE = 3.0
WARM = 200
# The least (for memory: the most) ratio to each peer that the project asks of itself.
AIM_FANOUT, AIM_MEMORY = 5.0, 1 / 3


class Load:
    """The compiled load client."""

    def __init__(self, folder: Path) -> None:
        self.binary = folder / "websocket_load"
        source = ROOT / "bench" / "websocket_load.c"
        subprocess.run(["cc", "-O2", "-o", self.binary, source], check=True)
        self.share = 0.0  # the most of a core that it has taken itself

    def rate(
        self, kind: str, server: Server, connections: int, amount: float, size: int
    ) -> dict[str, float]:
        """Messages per second that reached the client, the CPU time of each, how long they took."""
        with self._client(kind, server, connections, amount, size) as (process, _):
            assert process.stdout is not None and process.stdin is not None
            before = server.cpu()
            process.stdin.write(b"\n")
            process.stdin.flush()
            figures = [float(figure) for figure in process.stdout.readline().split()]
            used = (server.cpu() - before).all
            if len(figures) < 3:
                raise Trouble(f"{server.name}: {kind}: the load client has ended early")
        messages, seconds, share, *times = figures
        self.share = max(self.share, share)
        found = {"rate": messages / seconds, "cpu": used / messages}
        return found | dict(zip(("p50", "p99"), (time * 1000 for time in times), strict=False))

    @contextmanager
    def joined(self, server: Server, connections: int, dialect: str = "") -> Iterator[float]:
        """Clients that have joined, for the time of the block; how many a second did."""
        with self._client("joined", server, connections, 0, 1, dialect) as (_, seconds):
            yield connections / seconds

    @contextmanager
    def _client(
        self, kind: str, server: Server, connections: int, amount: float, size: int,
        dialect: str = "",
    ) -> Iterator[tuple[subprocess.Popen[bytes], float]]:  # fmt: skip
        """One whose clients have joined, and how many seconds that took."""
        words = [kind, str(server.port), str(connections), f"{amount:g}", str(size)]
        words = [str(self.binary), *words, dialect or server.name]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdin is not None
            ready, _, seconds = process.stdout.readline().partition(b" ")
            if ready != b"ready":
                raise Trouble(f"{server.name}: {kind}: the clients could not join")
            yield process, float(seconds)
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


Figures = dict[str, dict[str, list[float]]]  # by what was measured, and the server


def memory(name: str, load: Load, connections: int, settle: float) -> dict[str, float]:
    """Bytes for each client that has joined; how many a second have."""
    with running(name) as server, load.joined(server, WARM):
        time.sleep(settle)  # what the first ones cost is not theirs
        before = server.pss()
        with load.joined(server, connections) as rate:
            time.sleep(settle)
            after = server.pss()
    return {"memory": (after - before) / connections, "joins": rate}


def rates(rounds: int, measure: Callable[[Server], dict[str, float]]) -> Figures:
    """What each has in each round, after one that does not count."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(name)) for name in RECIPES}
        for server in servers.values():
            measure(server)
        return rounds_of(rounds, lambda name: measure(servers[name]))


def rounds_of(rounds: int, measure: Callable[[str], dict[str, float]]) -> Figures:
    """The same, whatever runs; a server in trouble ends the run."""
    entries = [Entry(name) for name in RECIPES]
    interleave(entries, rounds, measure)
    for entry in entries:
        if entry.failed:
            raise Trouble(entry.failed)
    kinds = entries[0].figures
    return {kind: {entry.name: entry.figures[kind] for entry in entries} for kind in kinds}


def row(what: str, found: dict[str, list[float]], aim: str = "") -> str:
    """One line of the table: medians, and ours to each peer's."""
    medians = [number(statistics.median(found[name])) for name in RECIPES]
    times = [ratios(found["hornbeam"], found[name]) for name in PEERS]
    each = [
        f"**{statistics.median(t):.2f}** ({min(t):.2f} to {max(t):.2f})"
        if len(t) > 1
        else f"**{t[0]:.2f}**"
        for t in times
    ]
    return f"| {what} | {' | '.join(medians)} | {' | '.join(each)} | {aim} |"


def rows(options: argparse.Namespace) -> Iterator[str]:
    """The table's, and what stands below it."""
    clients: int = options.clients
    with tempfile.TemporaryDirectory() as folder:
        load = Load(Path(folder))
        found = rates(
            options.rounds,
            lambda server: load.rate("shout", server, clients, options.messages, 100),
        )
        aim = f"at least {AIM_FANOUT:g}"
        yield row(f"to {clients:,} clients of 10 topics: deliveries/s", found["rate"], aim)
        yield row("- a delivery, p50, ms", found["p50"])
        yield row("- a delivery, p99, ms", found["p99"])
        yield row("- CPU time of a delivery, us", found["cpu"])
        for kind, what in EVENTS.items():
            measure = partial(load.rate, kind, connections=64, amount=options.seconds, size=32)
            found = rates(options.rounds, measure)
            yield row(f"{what}, 64 clients: messages/s", found["rate"])
            yield row("- CPU time of one, us", found["cpu"])
        found = rounds_of(
            options.memory_rounds, lambda name: memory(name, load, clients, options.settle)
        )
        yield row(f"{clients:,} join: joins/s", found["joins"])
        aim = f"at most {AIM_MEMORY:.2f}"
        yield row(f"{clients:,} that have joined: bytes each", found["memory"], aim)
        yield from presence(load, clients)
        yield ""
        yield f"The load client itself has taken {load.share:.2f} of a core at most."


def presence(load: Load, clients: int) -> Iterator[str]:
    """Of Hornbeam alone."""
    with running("hornbeam") as server:
        before = server.cpu()
        with load.joined(server, clients, "presence") as rate:
            used = (server.cpu() - before).all / clients
            yield ""
            yield (
                f"Presence, {clients:,} members of 10 topics, each told of all: {rate:,.0f} "
                f"joins/s, {used:,.0f} us of CPU time each. Neither peer has presence."
            )


def main() -> None:
    """Runs the comparison and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--messages", type=int, default=10, help="to each topic in a round")
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--memory-rounds", type=int, default=3, help="of joins and memory")
    parser.add_argument("--smoke", action="store_true", help="50 clients, one round, a moment")
    parser.add_argument("--write", action="store_true", help="write bench/results/channels.md")
    options = parser.parse_args()
    options.settle = SETTLE
    if options.smoke:
        options.clients, options.rounds, options.memory_rounds = 50, 1, 1
        options.messages, options.seconds, options.settle = 2, 0.2, 0.2
    origin = measured_on()
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
        (RESULTS / "channels.md").write_text(page(options, report, origin))


def measured_on() -> str:
    """The machine, the versions, and what else it did."""
    packages = ("channels", "channels_redis", "python-socketio", "uvicorn", "uvloop", "websockets")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    redis_version = machine.first_line(program("redis-server"), "--version").split("v=")[1].split()
    return (
        f"{datetime.date.today().isoformat()}; {machine.shape()}; Hornbeam {machine.commit()}, "
        f"{versions}, Redis {redis_version[0]}; load average before: {os.getloadavg()[0]:.1f}."
    )


def page(options: argparse.Namespace, report: str, origin: str) -> str:
    """bench/results/channels.md."""
    return (
        "# Channels next to Django Channels and python-socketio\n\n"
        f'`make bench-channels BENCH="{" ".join(sys.argv[1:])}"`: two workers each, the peers on '
        f"uvicorn with Redis; {options.rounds} interleaved rounds ({options.memory_rounds} of "
        "joins and memory), medians, ratios round by round; "
        f"{options.messages} messages of 100 bytes to each of ten topics, the next when the last "
        "has arrived everywhere. CPU time and memory (PSS) are those of all of a server's "
        "processes, Redis among them.\n\n"
        f"{report}\n\n{origin}\n"
    )


if __name__ == "__main__":
    main()
