"""Load by wrk and by h2load, and their output read: every answer must be right.

wrk is a closed loop: each connection asks again when it has its answer, so a server that is slow is
asked less. h2load asks at a fixed rate instead. Its connections begin one after the other, so that
the requests come evenly and not in bursts; a request that has to wait since the one before it on
its connection has no answer yet is still timed from when it is sent, and for that there are many
connections, each asked seldom.
"""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clients import exchange
from figures import Trouble, percentiles
from servers import ROOT, Server, program

__all__ = ["Ask", "Rated", "Wrk", "closed", "parse_h2load", "parse_log", "parse_wrk", "rated"]

RATED_CONNECTIONS = 256
# wrk's latencies are kept up to this; more counts as an error.
PATIENCE = 10


@dataclass(frozen=True)
class Ask:
    """A request, by its path and the body to post, and the length of the answer's body."""

    path: str
    length: int
    body: bytes = b""


@dataclass(frozen=True)
class Wrk:
    """What wrk has measured: milliseconds by figures' names, errors by kind, as far as any."""

    requests: int
    seconds: float
    bytes: int
    latency: dict[str, float]
    errors: dict[str, int]


def closed(server: Server, ask: Ask, connections: int, seconds: int) -> Wrk:
    """As many requests as the connections get through."""
    whole = _whole(server, ask)
    with tempfile.NamedTemporaryFile() as body:
        body.write(ask.body)
        body.flush()
        found = parse_wrk(_run(
            [
                program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s",
                f"--timeout={PATIENCE}s", "-s", str(ROOT / "bench" / "wrk.lua"),
                f"http://127.0.0.1:{server.port}{ask.path}",
                *(["--", body.name] if ask.body else []),
            ],
            seconds,
        ))  # fmt: skip
    if found.errors:
        raise Trouble("wrk: " + ", ".join(f"{n} {kind}" for kind, n in found.errors.items()))
    # Besides whole answers it has read parts of those that were under way at the end.
    if not 0 <= found.bytes - found.requests * whole <= connections * whole:
        raise Trouble(f"{found.bytes} bytes are not {found.requests} answers of {whole}")
    return found


def _whole(server: Server, ask: Ask) -> int:
    """Bytes of an answer, head and all, that is right."""
    answer = exchange(server.port, ask.path, [ask.body] if ask.body else [], close=False)
    answer.check(ask.length)
    return answer.whole


def parse_wrk(text: str) -> Wrk:
    """The line that wrk.lua prints."""
    line = re.search(r"^bench (.*)$", text, re.MULTILINE)
    if line is None:
        raise Trouble(f"wrk has printed no figures: {text.strip()[-200:]}")
    values = {name: int(value) for name, value in re.findall(r"(\S+)=(\d+)", line.group(1))}
    if not values["requests"]:
        raise Trouble("wrk has got no answer")
    return Wrk(
        values["requests"],
        values["duration"] / 1e6,
        values["bytes"],
        {f"{name}, ms": values[name] / 1000 for name in ("p50", "p99", "p99.9")},
        {
            name: values[name]
            for name in ("connect", "read", "write", "status", "timeout")
            if values[name]
        },
    )


@dataclass(frozen=True)
class Rated:
    """What came of a fixed rate: requests sent a second, milliseconds by figures' names."""

    rate: float
    latency: dict[str, float]


def rated(server: Server, ask: Ask, rate: float, seconds: int) -> Rated:
    """So many GET requests a second, whatever becomes of them."""
    each = max(1, round(rate * seconds / RATED_CONNECTIONS))
    count = each * RATED_CONNECTIONS
    # All connections within the time in which each of them asks once.
    begin = math.ceil(rate / 1000)
    with tempfile.NamedTemporaryFile("r") as log:
        text = _run(
            [
                program("h2load"), "--h1", f"--requests={count}", f"--clients={RATED_CONNECTIONS}",
                f"--rps={rate / RATED_CONNECTIONS:.4f}", f"--rate={begin}", "--rate-period=1ms",
                f"--log-file={log.name}", f"http://127.0.0.1:{server.port}{ask.path}",
            ],
            seconds,
        )  # fmt: skip
        found = parse_log(log)
    done, data = parse_h2load(text)
    if done != count or data != count * ask.length:
        raise Trouble(f"h2load: {done} of {count} answers, {data} bytes, not {count * ask.length}")
    return found


def parse_h2load(text: str) -> tuple[int, int]:
    """Answers, and bytes of their bodies."""
    done = re.search(r"^requests: .* (\d+) done, .* 0 errored, 0 timeout$", text, re.MULTILINE)
    data = re.search(r"\((\d+)\) data$", text, re.MULTILINE)
    if done is None or data is None:
        raise Trouble(f"h2load has not got all answers: {text.strip()[-600:]}")
    return int(done.group(1)), int(data.group(1))


def parse_log(lines: Iterable[str]) -> Rated:
    """h2load's log: when a request was sent, in microseconds; its status; microseconds it took.

    The status is 0 where the status line has no reason phrase, as hypercorn's: then the length of
    the body alone tells whether the answer is right.
    """
    rows = [tuple(map(int, line.split("\t")[:3])) for line in lines]
    wrong = [status for _, status, _ in rows if status not in (0, 200)]
    if wrong or len(rows) < 2:
        raise Trouble(f"h2load: {len(wrong)} of {len(rows)} answers are wrong, as {wrong[:1]}")
    sent = [begun for begun, _, _ in rows]
    seconds = max(1, max(sent) - min(sent)) / 1e6
    return Rated((len(rows) - 1) / seconds, percentiles(took / 1000 for _, _, took in rows))


def _run(words: list[str], seconds: int) -> str:
    """What a load generator prints; it may take longer than it was told, not for ever."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=5 * seconds + 60, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"{Path(words[0]).name} did not end in {error.timeout:g} s") from error
    if done.returncode:
        raise Trouble(f"{Path(words[0]).name}: {done.stderr.strip()[-200:]}")
    return done.stdout
