"""`make bench-smoke`: Hornbeam next to uvicorn, one worker each, in the same run.

Requests a second and CPU time of a raw ASGI hello (the server's own cost) and of a FastAPI route
that returns JSON (what a user sees), 64 connections by wrk; the time of a multipart upload through
Starlette; the memory of an idle keep-alive connection. `--against DIR` adds another checkout of
Hornbeam, compiled. Writes bench/results/smoke.md with `--write`.

All rounds are interleaved, and what is compared are the ratios of a round.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compare import RESULTS, hornbeam, machine, started, uvicorn, wrk
from processes import Cpu, cpu, pss

UPLOAD = 60 * 1024 * 1024
# So many that what the VM takes at once, whatever their number, is little for each.
IDLE = 4000
BOUNDARY = b"frontier"


@dataclass
class Server:
    """One that runs: where, and what was measured, one value a round."""

    name: str
    port: int
    pid: int
    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Notes a round's value."""
        self.figures.setdefault(name, []).append(value)


def main() -> None:
    """Runs the comparison and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout of Hornbeam")
    parser.add_argument("--write", action="store_true", help="write bench/results/smoke.md")
    options = parser.parse_args()

    def load(server: Server) -> None:
        before = cpu(server.pid)
        rate = wrk(server.port, options.seconds)
        used = cpu(server.pid) - before
        requests = rate * options.seconds
        server.add("requests/s", rate)
        server.add("CPU, us a request", used.all / requests)
        if used.beam:
            server.add("of it in the VM", used.beam / requests)

    table = [
        "| | figure | Hornbeam | uvicorn | ratio (rounds) | before | ratio (rounds) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    cases: list[tuple[str, str, Callable[[Server], None]]] = [
        ("raw hello", "hello:app", load),
        ("FastAPI", "fast:app", load),
        ("60 MiB multipart", "upload:app", upload),
    ]
    for title, app, measure in cases:
        with servers(app, options.against) as candidates:
            interleave(candidates, options.rounds, measure)
            table += rows(title, candidates)
    # Of servers that have had nothing else to do, whose memory is not in use yet.
    with servers("hello:app", options.against) as candidates:
        for server in candidates:
            idle(server)
        table += rows("idle connection", candidates)
    text = "\n".join(table)
    print(text)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "smoke.md").write_text(
            f"# Next to uvicorn (uvloop, httptools), and to an earlier commit\n\n"
            f'`make bench-smoke BENCH="{" ".join(sys.argv[1:])}"`: one worker each, 64 '
            f"connections (wrk), {options.rounds} interleaved rounds of {options.seconds} s, "
            f"medians; the ratios are those of the rounds: median (least to largest).\n\n{text}\n\n"
            f"{datetime.date.today().isoformat()}; {machine()}.\n"
        )


@contextlib.contextmanager
def servers(app: str, against: Path | None) -> Iterator[list[Server]]:
    """Runs all candidates for the time of the block."""
    commands = {"hornbeam": hornbeam(app), "uvicorn": uvicorn(app)}
    if against is not None:
        commands["before"] = hornbeam(app, root=against)
    with contextlib.ExitStack() as stack:
        yield [
            Server(name, *stack.enter_context(started(command)))
            for name, command in commands.items()
        ]


def interleave(
    candidates: Sequence[Server], rounds: int, measure: Callable[[Server], None]
) -> None:
    """Measures all once a round, in an order that alternates; the first round is a warm-up."""
    for number in range(rounds + 1):
        for server in candidates if number % 2 else reversed(candidates):
            measure(server)
    for server in candidates:
        for values in server.figures.values():
            del values[0]


def rows(title: str, candidates: Sequence[Server]) -> Iterator[str]:
    """A row for each figure."""
    by_name = {server.name: server.figures for server in candidates}
    for figure, ours in by_name["hornbeam"].items():
        peers = [by_name.get(name, {}).get(figure) for name in ("uvicorn", "before")]
        cells = [f"{number(peer)} | {ratio(ours, peer)}" for peer in peers]
        yield f"| {title} | {figure} | {number(ours)} | {' | '.join(cells)} |"


def number(values: list[float] | None) -> str:
    """The median."""
    if not values:
        return "-"
    median = statistics.median(values)
    return f"{median:,.0f}" if median >= 100 else f"{median:.2f}"


def ratio(ours: list[float], theirs: list[float] | None) -> str:
    """Ours to theirs, round by round."""
    if not theirs:
        return "-"
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"


def upload(server: Server) -> None:
    """Seconds until the answer to a multipart upload."""
    head = (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    end = b"\r\n--" + BOUNDARY + b"--\r\n"
    length = len(head) + UPLOAD + len(end)
    with socket.create_connection(("127.0.0.1", server.port), 60) as client:
        begun = time.monotonic()
        client.sendall(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"Content-Type: multipart/form-data; boundary=" + BOUNDARY + b"\r\n"
            b"Content-Length: %d\r\n\r\n" % length + head
        )
        piece = bytes(1024 * 1024)
        for _ in range(UPLOAD // len(piece)):
            client.sendall(piece)
        client.sendall(end)
        answer = b""
        while data := client.recv(65536):
            answer += data
        server.add("seconds", time.monotonic() - begun)
    assert answer.endswith(str(UPLOAD).encode()), answer


def idle(server: Server) -> None:
    """KiB for each of many connections that have had an answer and wait."""
    before = pss(server.pid)
    clients = []
    try:
        for _ in range(IDLE):
            client = socket.create_connection(("127.0.0.1", server.port), 10)
            clients.append(client)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        settle(server.pid)
        server.add("KiB (PSS)", (pss(server.pid) - before) / IDLE / 1024)
    finally:
        for client in clients:
            client.close()


def settle(pid: int) -> None:
    """Waits until the server has nothing left to do."""
    deadline = time.monotonic() + 15
    last: Cpu | None = None
    while time.monotonic() < deadline:
        now = cpu(pid)
        if last is not None and now.all - last.all < 5000:
            return
        last = now
        time.sleep(2)


if __name__ == "__main__":
    main()
