"""The shared state beside redis-py and Redis, in one run: `make bench-state`.

Each round measures every case once, one after the other, so that whatever else the machine does
meets all of them; the figures are medians of the rounds. Writes bench/results/state.md. Redis is on
loopback, without persistence; redis-py uses hiredis if that is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis
import redis.asyncio
from machine import first_line, shape
from servers import RESULTS, ROOT, free_port

sys.path[:0] = [str(ROOT / "python_tests"), str(ROOT / "bench" / "apps")]

from harness import Hornbeam  # noqa: E402  (the path must be set first)

THREADS = 32
AWAITS = 100
POLL_TIMES = [0, 50, 200, 1000]
GOALS = {"loop": 5.0, "threads": 2.0, "aio": 3.0}
HOWS = {
    "loop": "one coroutine, synchronous",
    "threads": "32 threads",
    "aio": "100 awaits at a time",
}

Figures = dict[tuple[str, str, str], list[float]]


@contextmanager
def redis_server(*options: str) -> Iterator[int]:
    """Redis on a free port of loopback, without persistence but for what the options say."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(
        [*command, *(options or ("--appendonly", "no"))], stdout=subprocess.DEVNULL
    )
    try:
        client = redis.Redis(port=port)
        deadline = time.monotonic() + 10
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        client.set("bench:value", "x" * 32)
        client.close()
        yield port
    finally:
        server.terminate()
        server.wait()


def redis_sync(port: int, name: str, how: str, seconds: float) -> float:
    """Operations per second of redis-py, in one thread or in 32 with one pool of connections."""
    client = redis.Redis(port=port)
    operation: Callable[[], Any] = (
        (lambda: client.get("bench:value")) if name == "get" else (lambda: client.incr("bench:n"))
    )
    counts: list[int] = []
    started = time.perf_counter()

    def work() -> None:
        count = 0
        while time.perf_counter() < started + seconds:
            for _ in range(20):
                operation()
            count += 20
        counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(THREADS if how == "threads" else 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not threads:
        work()
    client.close()
    return sum(counts) / (time.perf_counter() - started)


async def redis_aio(port: int, name: str, seconds: float, pipeline: bool) -> float:
    """Operations per second of redis-py's asyncio client: 100 awaits, or a pipeline of 100."""
    client = redis.asyncio.Redis(port=port)

    def one(target: Any) -> Any:
        return target.get("bench:value") if name == "get" else target.incr("bench:n")

    started, count = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        if pipeline:
            batch = client.pipeline(transaction=False)
            for _ in range(AWAITS):
                one(batch)
            await batch.execute()
        else:
            await asyncio.gather(*(one(client) for _ in range(AWAITS)))
        count += AWAITS
    took = time.perf_counter() - started
    await client.aclose()
    return count / took


def uvloop_run(coroutine: Any) -> Any:
    """In the same event loop as a worker's."""
    import uvloop

    return uvloop.run(coroutine)


def ask(server: Hornbeam, path: str) -> dict[str, float]:
    """What bench/apps/state.py measured."""
    answer = httpx.get(server.url + path, timeout=300).raise_for_status()
    found: dict[str, float] = answer.json()
    return found


def hornbeam(**options: Any) -> Hornbeam:
    """A server of bench/apps/state.py with one worker."""
    return Hornbeam("state:app", pythonpath=str(ROOT / "bench" / "apps"), lifespan="off", **options)


def compare(rounds: int, seconds: float) -> Figures:
    """Every case in every round."""
    figures: Figures = {}

    def note(who: str, name: str, how: str, rate: float) -> None:
        figures.setdefault((who, name, how), []).append(rate)

    with redis_server() as port, hornbeam() as server:
        ask(server, "/fill/1000")
        for _ in range(rounds):
            for name in ("get", "incr"):
                for how in HOWS:
                    note("hornbeam", name, how, ask(server, f"/{name}/{how}/{seconds}")["rate"])
                    if how == "aio":
                        rate = uvloop_run(redis_aio(port, name, seconds, False))
                        note("redis", name, how, rate)
                        rate = uvloop_run(redis_aio(port, name, seconds, True))
                        note("redis pipeline", name, how, rate)
                    else:
                        note("redis", name, how, redis_sync(port, name, how, seconds))
    return figures


def polling(rounds: int, seconds: float) -> dict[int, tuple[float, float, float]]:
    """For each call_poll_time: calls per second, µs of CPU of Python and of the BEAM for each."""
    found: dict[int, list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for poll in POLL_TIMES:
            with hornbeam(call_poll_time=poll) as server:
                ask(server, "/fill/1000")
                before = cpu_seconds(server.beam())
                figures = ask(server, f"/incr/loop/{seconds}")
                calls = figures["rate"] * seconds
                beam = (cpu_seconds(server.beam()) - before) / calls
                python = figures["cpu"] / figures["rate"]
                found.setdefault(poll, []).append((figures["rate"], python * 1e6, beam * 1e6))
    return {poll: medians(rows) for poll, rows in found.items()}


def medians(rows: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Of each column."""
    first, second, third = (statistics.median(column) for column in zip(*rows, strict=True))
    return first, second, third


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sizes(rounds: int, seconds: float) -> dict[str, float]:
    """What an operation costs at 1,000,000 keys, as a multiple of what it costs at 1,000."""
    ratios: dict[str, list[float]] = {"get": [], "incr": []}
    with hornbeam() as small, hornbeam() as large:
        ask(small, "/fill/1000")
        ask(large, "/fill/1000000")
        for _ in range(rounds):
            for name, found in ratios.items():
                few = ask(small, f"/{name}/loop/{seconds}")["rate"]
                many = ask(large, f"/{name}/loop/{seconds}")["rate"]
                found.append(few / many)
    return {name: statistics.median(found) for name, found in ratios.items()}


def report(figures: Figures, polls: dict[int, Any], keys: dict[str, float], origin: str) -> str:
    """bench/results/state.md."""
    lines = [
        "# The shared state beside Redis", "",
        "<!-- Written by `make bench-state`. -->", "", origin, "",
        "Operations per second, medians of interleaved rounds.", "",
        "| operation | how | hornbeam_erlang | redis-py | times | goal |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for name in ("get", "incr"):
        for how, text in HOWS.items():
            ours = statistics.median(figures["hornbeam", name, how])
            theirs = statistics.median(figures["redis", name, how])
            row = f"| {name} | {text} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.1f} |"
            lines.append(f"{row} {GOALS[how]:.0f} |")
    lines += ["", "redis-py with `pipeline()`, 100 commands in one object and one await:", ""]
    for name in ("get", "incr"):
        rate = statistics.median(figures["redis pipeline", name, "aio"])
        lines.append(f"- {name}: {rate:,.0f} operations per second")
    lines += [
        "", "## Polling", "",
        "`state_incr` by one coroutine, synchronous, by `call_poll_time`.", "",
        "| call_poll_time, µs | calls per s | Python: µs CPU per call | BEAM: µs CPU per call |",
        "| ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for poll, (rate, python, beam) in polls.items():
        lines.append(f"| {poll} | {rate:,.0f} | {python:.1f} | {beam:.1f} |")
    lines += [
        "",
        "## Keys",
        "",
        "What one operation costs at 1,000,000 keys, times that at 1,000:",
        "",
    ]
    lines += [f"- {name}: {ratio:.2f} (goal: at most 1.3)" for name, ratio in keys.items()]
    return "\n".join(lines) + "\n"


def origin() -> str:
    """What the figures were measured on."""
    version = first_line("redis-server", "--version").partition("v=")[2].split()[0]
    versions = f"redis-py {redis.__version__}, Redis {version}"
    return f"{shape()}, {versions}; load average before: {os.getloadavg()[0]:.1f}."


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    measured_on = origin()
    text = report(
        compare(options.rounds, options.seconds),
        polling(min(3, options.rounds), options.seconds),
        sizes(options.rounds, options.seconds),
        measured_on,
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "state.md").write_text(text)


if __name__ == "__main__":
    main()
