"""Background tasks beside Celery, RQ and Dramatiq with Redis, in one run: `make bench-tasks`.

Each has two processes for tasks. Measured: tasks spawned a second by one thread, and by 16 at a
time in one process, as requests do; tasks a second from the first spawn to the end of the last,
spawned by the 16; and how long after its spawn a task begins, one at a time. Without durability
(Redis without persistence), and with (Redis with appendfsync always, Celery with acks_late;
`durable=True`). Every task writes one line to a file, which is what is counted. Rounds are
interleaved; figures are medians. Writes bench/results/tasks.md.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import redis
from machine import first_line, shape
from servers import APPS, RESULTS, ROOT
from state import redis_server

sys.path[:0] = [str(ROOT / "python_tests"), str(APPS)]

from harness import Hornbeam  # noqa: E402  (the path must be set first)

PROCESSES = 2
PATIENCE = 300.0
# Times Celery's throughput, and the part of its latency.
GOALS = (3.0, 0.1)

THREADS = 16

# Spawns so many tasks that write to the file, by so many threads; how long that took, in seconds.
Spawn = Callable[[int, str, int], float]


@dataclass
class Round:
    """What was measured once."""

    spawned: float
    together: float
    done: float
    p50: float
    p99: float


@contextmanager
def broker(folder: Path, durable: bool) -> Iterator[str]:
    """Redis; its address."""
    options = ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always"]
    with redis_server(*(options if durable else [])) as port:
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def workers(words: list[str], number: int, environment: dict[str, str]) -> Iterator[None]:
    """Processes in a group of their own each; what they say is dropped."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", *words],
            env=environment,
            cwd=APPS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(number)
    ]
    try:
        yield
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
        for process in running:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def timed(spawn_one: Callable[[str, float], object], number: int, path: str, threads: int) -> float:
    """Of each of so many threads its part."""

    def some(thread: int) -> None:
        for _ in range(thread, number, threads):
            spawn_one(path, time.time())

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(some, range(threads)))
    return time.perf_counter() - begun


@contextmanager
def celery(folder: Path, durable: bool) -> Iterator[Spawn]:
    words = ["celery", "-A", "tasks_celery", "worker", "-c", str(PROCESSES), "-l", "ERROR"]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with broker(folder, durable) as url:
        os.environ.update(REDIS_URL=url, DURABLE=str(int(durable)))
        with workers(words, 1, dict(os.environ)):
            module = fresh("tasks_celery")
            yield partial(timed, module.note.delay)


@contextmanager
def dramatiq(folder: Path, durable: bool) -> Iterator[Spawn]:
    words = ["dramatiq", "tasks_dramatiq", "-p", str(PROCESSES)]
    with broker(folder, durable) as url:
        os.environ["REDIS_URL"] = url
        with workers(words, 1, dict(os.environ)):
            module = fresh("tasks_dramatiq")
            yield partial(timed, module.note.send)


@contextmanager
def rq(folder: Path, durable: bool) -> Iterator[Spawn]:
    import tasks_function  # type: ignore[import-not-found]  # of bench/apps
    from rq import Queue

    with (
        broker(folder, durable) as url,
        workers(["rq.cli", "worker", "--url", url, "-q"], PROCESSES, dict(os.environ)),
    ):
        queue = Queue(connection=redis.Redis.from_url(url))
        yield partial(timed, partial(queue.enqueue, tasks_function.note))


@contextmanager
def hornbeam(folder: Path, durable: bool) -> Iterator[Spawn]:
    options: dict[str, Any] = {"workers": 1, "task_workers": PROCESSES, "pythonpath": str(APPS)}
    if durable:
        options["data_dir"] = str(folder / "tasks")
    # One client: to make one takes 25 ms of a processor (it reads the authorities of the machine),
    # after which nothing of what is measured is in the caches.
    with (
        Hornbeam("tasks_hornbeam:app", **options) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
    ):

        def spawn(number: int, path: str, threads: int) -> float:
            query = {"number": str(number), "durable": str(durable), "path": path}
            query["threads"] = str(threads)
            answer = client.get("/spawn", params=query)
            return float(answer.raise_for_status().text)

        yield spawn


SYSTEMS = {"hornbeam": hornbeam, "celery": celery, "rq": rq, "dramatiq": dramatiq}


def fresh(name: str) -> Any:
    """A module that reads the environment anew."""
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def await_lines(path: Path, number: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while lines(path) < number:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{lines(path)} of {number} tasks have run")
        time.sleep(0.002)


def measure(name: str, durable: bool, number: int, singles: int) -> Round:
    """One round of one system."""
    with tempfile.TemporaryDirectory(prefix="bench-tasks-") as made:
        folder = Path(made)
        (folder / "store").mkdir(mode=0o700)
        with SYSTEMS[name](folder / "store", durable) as spawn:
            warm, single, many = (folder / name for name in ("warm", "single", "many"))
            spawn(48, str(warm), 1)
            await_lines(warm, 48)
            for done in range(singles):
                spawn(1, str(single), 1)
                await_lines(single, done + 1)
            alone = spawn(number, str(warm), 1)
            await_lines(warm, number + 48)
            begun = time.perf_counter()
            together = spawn(number, str(many), THREADS)
            await_lines(many, number)
            took = time.perf_counter() - begun
            waits = sorted(map(float, single.read_text().split()))
            return Round(
                number / alone,
                number / together,
                number / took,
                waits[len(waits) // 2] * 1000,
                waits[int(len(waits) * 0.99)] * 1000,
            )


def row(name: str, rounds: list[Round]) -> str:
    median = statistics.median
    return (
        f"| {name} | {median(r.spawned for r in rounds):,.0f} | "
        f"{median(r.together for r in rounds):,.0f} | "
        f"{median(r.done for r in rounds):,.0f} | {median(r.p50 for r in rounds):.2f} | "
        f"{median(r.p99 for r in rounds):.2f} |"
    )


def report(figures: dict[tuple[str, bool], list[Round]], origin: str) -> str:
    """bench/results/tasks.md."""
    text = [
        "# Background tasks beside Celery, RQ and Dramatiq", "",
        "<!-- Written by `make bench-tasks`. -->", "", origin, "",
        f"{PROCESSES} processes for tasks each; `bench/tasks.py` says what is measured. Medians of "
        "interleaved rounds.",
    ]  # fmt: skip
    for durable in (False, True):
        chosen = {name: rounds for (name, kind), rounds in figures.items() if kind is durable}
        if not chosen:
            continue
        text += ["", "## " + ("Durable" if durable else "Not durable"), ""]
        text += ["| | spawned/s by one thread | by 16 | done/s | begins after, p50 ms | p99 ms |"]
        text += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
        text += [row(name, rounds) for name, rounds in chosen.items()]
        if {"hornbeam", "celery"} <= set(chosen):
            ours, theirs = chosen["hornbeam"], chosen["celery"]
            median = statistics.median
            times = median(r.done for r in ours) / median(r.done for r in theirs)
            part = median(r.p50 for r in ours) / median(r.p50 for r in theirs)
            text += [
                "",
                f"{times:.1f} times Celery's throughput (goal: {GOALS[0]:.0f}), {part:.2f} of its "
                f"latency (goal: {GOALS[1]:.1f}).",
            ]
    return "\n".join(text) + "\n"


def origin() -> str:
    """What the figures were measured on."""
    server = first_line("redis-server", "--version").partition("v=")[2].split()[0]
    packages = ", ".join(f"{name} {version(name)}" for name in ("celery", "rq", "dramatiq"))
    return f"{shape()}, {packages}, Redis {server}; load average before: {os.getloadavg()[0]:.1f}."


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--number", type=int, default=4800)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=SYSTEMS, default=list(SYSTEMS))
    options = parser.parse_args()
    measured_on = origin()
    figures: dict[tuple[str, bool], list[Round]] = {}
    for _ in range(options.rounds):
        for durable in (False, True):
            for name in options.only:
                # RQ makes a process for each task.
                number = (
                    options.number // 20 // THREADS * THREADS if name == "rq" else options.number
                )
                found = measure(name, durable, number, options.singles)
                print(name, "durable" if durable else "", found, file=sys.stderr)
                figures.setdefault((name, durable), []).append(found)
    text = report(figures, measured_on)
    print(text)
    if set(options.only) == set(SYSTEMS):
        (RESULTS / "tasks.md").write_text(text)


if __name__ == "__main__":
    main()
