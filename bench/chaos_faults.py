"""The faults of chaos.py: what clients, workers and the machine do to the server for some seconds.

A fault is a function that has the stage (the server, a random generator, how long) and is run in a
thread; it returns when its cause is gone. CLIENTS and MACHINE are two decks: a run draws from both
at once, so that any two of them meet. Each says what it explains (chaos_record).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
from chaos_gauges import metrics, ready, workers
from chaos_load import PATIENCE
from chaos_record import Fault, Record
from harness import Hornbeam, wait_until
from http_client import H2
from ops.machine import Group, fill
from raw_http import Incomplete, RawClient
from websocket_client import TEXT, Client, frame

__all__ = ["CLIENTS", "MACHINE", "WORKERS", "Stage"]

WORKERS = 3
LIMIT = 20.0
NO_PLACE, CUT = 503, frozenset({"closed", "502"})


@dataclass
class Stage:
    """What a fault works with. `disk` and `processes` are None where the machine has none; `pause`
    is a fault's rest between two of its deeds, in seconds."""

    server: Hornbeam
    record: Record
    rng: random.Random
    seconds: float
    pause: float
    disk: Path | None
    processes: Group | None

    def __post_init__(self) -> None:
        self.until = time.monotonic() + self.seconds

    def lasts(self) -> bool:
        """Whether the fault is to go on, after a rest."""
        time.sleep(self.pause)
        return time.monotonic() < self.until

    def hold(self) -> None:
        """Until the fault's time is over."""
        time.sleep(max(0.0, self.until - time.monotonic()))

    def whole(self) -> None:
        """Waits until all workers take requests, and every GET that one of them may have cost has
        its answer: it is sent to a second worker, not to a third.
        """
        wait_until(lambda: ready(self.server) == WORKERS, LIMIT, "all workers are ready")
        now = time.monotonic()
        wait_until(lambda: not self.record.underway("get", now), PATIENCE, "GETs have answers")

    def settled(self) -> None:
        """Waits until those that were replaced have gone, too."""
        self.whole()
        wait_until(lambda: len(workers(self.server)) == WORKERS, LIMIT, "the old workers have gone")

    def strike(self, number: signal.Signals) -> int:
        """Sends a signal to one of the workers; its process id."""
        while True:
            victim = self.rng.choice(workers(self.server))
            # It may just have ended by itself.
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, number)
                return victim

    def ask(self, method: str, path: str) -> str:
        """The status of a request that hits a worker; what becomes of it is not the fault's."""
        try:
            answer = httpx.request(method, self.server.url + path, timeout=60)
        except httpx.TransportError:
            return "closed"
        return str(answer.status_code)

    @contextlib.contextmanager
    def sockets(self) -> Iterator[list[socket.socket]]:
        """Connections of the fault, closed at its end."""
        made: list[socket.socket] = []
        try:
            yield made
        finally:
            for one in made:
                one.close()

    def connect(self, made: list[socket.socket]) -> socket.socket | None:
        """One more; None when it was refused."""
        with contextlib.suppress(OSError):
            made.append(self.server.connect())
            return made[-1]
        return None


# --- clients ---


def descriptors(stage: Stage) -> None:
    """Idle connections, more than the server has descriptors for."""
    with stage.sockets() as made:
        while stage.lasts():
            for _ in range(100):
                if len(made) < 700:
                    stage.connect(made)
            time.sleep(0.1)


def windows(stage: Stage) -> None:
    """HTTP/2 clients that ask for much and take nothing of it."""
    with stage.sockets() as made, contextlib.suppress(OSError):
        for _ in range(4):
            if (sock := stage.connect(made)) is None:
                continue
            client = H2(stage.server, sock)
            client.connection.update_settings({4: 0})  # SETTINGS_INITIAL_WINDOW_SIZE
            client.flush()
            for _ in range(50):
                client.request("/download?300000")
        stage.hold()


def stalled(stage: Stage) -> None:
    """Heads and bodies that stop in the middle."""
    beginnings = [
        b"GET / HTTP/1.1\r\nhost: ch", b"P",
        b"POST /body HTTP/1.1\r\nhost: chaos\r\ncontent-length: 100000\r\n\r\nsome",
        b"POST /body HTTP/1.1\r\nhost: chaos\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0",
    ]  # fmt: skip
    with stage.sockets() as made:
        for _ in range(60):
            if (sock := stage.connect(made)) is not None:
                with contextlib.suppress(OSError):
                    sock.sendall(stage.rng.choice(beginnings))
        stage.hold()


def fragments(stage: Stage) -> None:
    """Messages of one-byte fragments without an end, and empty continuation frames."""
    kinds = [
        frame(TEXT, b"a", fin=False) + frame(0, b"a", fin=False) * 5000,
        frame(TEXT, b"", fin=False) + frame(0, b"", fin=False) * 5000,
    ]
    more = [frame(0, b"a", fin=False) * 5000, frame(0, b"", fin=False) * 5000]
    while stage.lasts():
        kind = stage.rng.randrange(2)
        with contextlib.suppress(OSError, EOFError), stage.server.connect() as sock:
            client = Client(sock, "/")
            client.send(kinds[kind])
            while stage.lasts():
                client.send(more[kind])
        stage.record.note("ends of a flood of fragments")


def frames(stage: Stage) -> None:
    """Empty DATA frames, and PING frames, of HTTP/2."""
    floods = [bytes([0, 0, 0, 0, 0, 0, 0, 0, 1]), b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)]
    while stage.lasts():
        with contextlib.suppress(OSError, EOFError), stage.server.connect() as sock:
            client = H2(stage.server, sock)
            client.request("/body", method="POST", end=False)
            flood = stage.rng.choice(floods)
            while stage.lasts():
                sock.sendall(flood * 1000)
        stage.record.note("ends of a flood of frames")


def pipelining(stage: Stage) -> None:
    """Hundreds of requests at once, whose answers are read late, if at all."""
    requests = b"".join(b"GET /?%d HTTP/1.1\r\nhost: chaos\r\n\r\n" % n for n in range(300))
    while stage.lasts():
        with contextlib.suppress(OSError, Incomplete), stage.server.connect() as sock:
            client = RawClient(sock)
            client.send(requests)
            if stage.rng.random() < 0.3:
                continue  # not read at all
            for number in range(300):
                answer = client.response()
                if answer.status == NO_PLACE:
                    break
                if (answer.status, answer.body) != (200, b"%d" % number):
                    stage.record.problem(f"pipelined {number}: {answer.status} {answer.body!r}")
            stage.record.note("pipelines answered")


def topics(stage: Stage) -> None:
    """Very many topics, left at once."""
    while stage.lasts():
        with contextlib.suppress(OSError, EOFError), stage.server.connect() as sock:
            sock.settimeout(60)
            count = stage.rng.choice([1000, 5000, 20_000])
            client = Client(sock, f"/topics/{count}?t{stage.rng.randrange(1000)}x")
            if client.status == 101 and client.read().payload == b"joined":
                stage.record.note("topics joined and left at once")


# --- workers and the machine ---


def killed(stage: Stage) -> None:
    """SIGKILL to one after the other."""
    while stage.lasts():
        stage.strike(signal.SIGKILL)
        time.sleep(0.3)
        stage.whole()
        stage.record.note("workers killed")


def stopped(stage: Stage) -> None:
    """SIGSTOP to one, until its heartbeat ends it; then the next."""
    while stage.lasts():
        victim = stage.strike(signal.SIGSTOP)
        wait_until(partial(ended, stage.server, victim), LIMIT, "its heartbeat ends it")
        stage.whole()
        stage.record.note("workers stopped")


def ended(server: Hornbeam, worker: int) -> bool:
    """Whether the process is gone."""
    return worker not in workers(server)


def blocked(stage: Stage) -> None:
    """The application blocks the loop, until the heartbeat ends the worker."""
    while stage.lasts():
        stage.record.note(f"a request that blocks its worker: {stage.ask('POST', '/block?s=60')}")
        stage.whole()


def grown(stage: Stage) -> None:
    """Workers reach max_worker_memory; in the end all are replaced, full or not."""
    name = 'hornbeam_worker_retirements_total{mount="/"}'
    before = metrics(stage.server)[name]
    deadline = stage.until + 120
    while stage.lasts() or metrics(stage.server)[name] == before:
        stage.ask("GET", "/grow?kib=30000")
        time.sleep(0.05)
        if time.monotonic() > deadline:
            stage.record.problem("no worker was retired for its memory")
            break
    stage.record.note("rounds of workers retired for memory")
    reload_once(stage)
    stage.settled()


def reload_once(stage: Stage) -> None:
    said = stage.server.output.count("server default reloaded")
    os.kill(stage.server.beam(), signal.SIGHUP)
    wait_until(
        lambda: stage.server.output.count("server default reloaded") > said, 60, "it is reloaded"
    )
    stage.whole()


def reloaded(stage: Stage) -> None:
    """One reload after the other."""
    while stage.lasts():
        reload_once(stage)
        stage.record.note("reloads")
    stage.settled()


def hostile(stage: Stage) -> None:
    """Workers that write what is no frame: of the application, and a fake one of another mount."""
    while stage.lasts():
        seed = stage.rng.randrange(1 << 30)
        stage.record.note(f"a worker's garbage: {stage.ask('POST', f'/frames?{seed}')}")
        script = stage.rng.randbytes(stage.rng.randrange(1, 40))
        stage.ask("POST", f"/fake/?script={script.hex()}")
        stage.whole()


def unread(stage: Stage) -> None:
    """Nobody reads standard output and error, and the application logs."""
    stage.server.reading.clear()
    try:
        while stage.lasts():
            stage.ask("POST", "/flood?1")
    finally:
        stage.server.reading.set()


def full_disk(stage: Stage) -> None:
    """The disk of the access log has no byte left."""
    assert stage.disk is not None
    ballast = fill(stage.disk)
    try:
        stage.hold()
    finally:
        ballast.unlink()


def no_process(stage: Stage) -> None:
    """A worker dies while no process can be started."""
    assert stage.processes is not None
    stage.processes.limit("pids.max", 1)
    try:
        stage.strike(signal.SIGKILL)
        stage.hold()
    finally:
        stage.processes.limit("pids.max", "max")
    stage.whole()


def asleep(stage: Stage) -> None:
    """The VM stands still."""
    beam = stage.server.beam()
    os.kill(beam, signal.SIGSTOP)
    try:
        time.sleep(min(stage.seconds, 4.0))
    finally:
        os.kill(beam, signal.SIGCONT)


# What the end of a worker costs: its POSTs and streams. GETs are tried on another one.
A_WORKER_ENDS = {
    "post": CUT, "download": CUT, "events": CUT, "http2": CUT, "publish": CUT, "count": CUT,
    "websocket": CUT | {"1011", "1012"}, "subscriber": CUT | {"1011", "1012"},
}  # fmt: skip
# One that is replaced ends what it has first; what has no end is cut at graceful_timeout.
A_WORKER_LEAVES = {
    kind: A_WORKER_ENDS[kind] for kind in ("download", "events", "websocket", "subscriber")
}
NO_CONNECTION = {
    kind: frozenset({"503", "closed"})
    for kind in ("get", "post", "download", "events", "http2", "websocket", "subscriber",
                 "publish", "count")
}  # fmt: skip

Deck = list[tuple[Fault, Callable[[Stage], None]]]

CLIENTS: Deck = [
    (Fault("descriptors", NO_CONNECTION, refuses=True), descriptors),
    (Fault("windows"), windows),
    (Fault("stalled"), stalled),
    (Fault("fragments"), fragments),
    (Fault("frames"), frames),
    (Fault("pipelining"), pipelining),
    (Fault("topics"), topics),
]
MACHINE: Deck = [
    (Fault("killed", A_WORKER_ENDS), killed),
    (Fault("stopped", A_WORKER_ENDS), stopped),
    (Fault("blocked", A_WORKER_ENDS), blocked),
    (Fault("grown", A_WORKER_LEAVES), grown),
    (Fault("reloaded", A_WORKER_LEAVES), reloaded),
    (Fault("hostile", A_WORKER_ENDS), hostile),
    (Fault("unread"), unread),
    (Fault("full_disk"), full_disk),
    (Fault("no_process", A_WORKER_ENDS), no_process),
    (Fault("asleep", refuses=True), asleep),
]
