"""The load client of `make bench-channels` against this server: what it counts has arrived.

The figures themselves are those of the benchmark; this is its short form, without the peers.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import ROOT, Hornbeam

CLIENTS = 40

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary: Path = tmp_path_factory.mktemp("load") / "websocket_load"
    source = ROOT / "bench" / "websocket_load.c"
    subprocess.run(["cc", "-O1", "-o", binary, source], check=True)
    return binary


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam(
        "channels_hornbeam:app", pythonpath=str(ROOT / "bench" / "apps"), workers=2,
        channels="channels_hornbeam:channels", channel_rate="infinity",
    ) as running:  # fmt: skip
        yield running


@contextmanager
def joined(
    load: Path, server: Hornbeam, kind: str, amount: str = "0", dialect: str = "hornbeam"
) -> Iterator[subprocess.Popen[str]]:
    """A load client whose connections have all joined."""
    words = [str(load), kind, str(server.address[1]), str(CLIENTS), amount, "32", dialect]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        ready, seconds = process.stdout.readline().split()
        assert (ready, float(seconds) > 0) == ("ready", True)
        yield process
        process.stdin.close()
    assert process.returncode == 0


def figures(process: subprocess.Popen[str]) -> list[float]:
    """What it has measured."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return [float(figure) for figure in process.stdout.readline().split()]


def test_a_message_to_each_topic_reaches_all(load: Path, server: Hornbeam) -> None:
    with joined(load, server, "shout", "3") as process:
        deliveries, seconds, _share, p50, p99 = figures(process)
    assert deliveries == 3 * CLIENTS
    assert 0 < p50 <= p99 <= seconds


@pytest.mark.parametrize("kind", ["events", "relay"])
def test_events_come_back(load: Path, server: Hornbeam, kind: str) -> None:
    with joined(load, server, kind, "0.3") as process:
        messages, seconds, _share = figures(process)
    assert messages >= CLIENTS
    assert seconds >= 0.3


@pytest.mark.parametrize("dialect", ["hornbeam", "presence"])
def test_clients_join_and_stay(load: Path, server: Hornbeam, dialect: str) -> None:
    with joined(load, server, "joined", dialect=dialect) as process:
        assert process.poll() is None


def test_a_refusal_is_told(load: Path, server: Hornbeam) -> None:
    """By the client of a server that speaks otherwise: it does not count what is none."""
    words = [str(load), "joined", str(server.address[1]), "1", "0", "1", "django"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("refused: HTTP/1.1 5")
