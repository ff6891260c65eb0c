"""A worker that says anything: its process is killed or not, and that is all that ever happens.

FUZZ_SESSIONS says how many sessions are played, 300 by default; `make fuzz` plays 100,000.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator

import pytest
from harness import ROOT, Hornbeam
from hypothesis import HealthCheck, Phase, given, settings
from websocket_client import handshake
from worker.sessions import Session, sessions

SESSIONS = int(os.environ.get("FUZZ_SESSIONS", "300"))
# Hypothesis keeps what it has tried; it starts anew after so many.
AT_ONCE = 2_000

# What the OTP logger says of a process that crashed, however it was started.
CRASH = re.compile(
    r"CRASH REPORT|SUPERVISOR REPORT|ERROR REPORT|Error in process|terminating|FORMAT ERROR"
    r"|crasher|Supervisor|ended unexpectedly|exception"
)

# After a handshake the connection goes on: an answer that is not 1xx, or a close frame.
DENIED_OR_CLOSED = re.compile(rb"HTTP/1\.1 [2-9]|\x88")


class Player:
    """Plays sessions to a server and looks at what becomes of it."""

    def __init__(self, server: Hornbeam) -> None:
        self.server = server
        self.played = 0
        self._line = 0
        self._steady = server.connect()

    def play(self, session: Session) -> None:
        """One session; then a request on another connection, and a look at the log."""
        self.played += 1
        target = "/?script=" + session.script.hex()
        with self.server.connect() as client:
            if session.websocket:
                client.sendall(handshake(target))
            else:
                client.sendall(
                    f"POST {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                    "content-length: 4\r\n\r\nbody".encode()
                )
            read_to_end(client, DENIED_OR_CLOSED if session.websocket else None)
        # A GET goes to another worker once: two may just have been killed.
        while not (answer := self._ask()).startswith(b"HTTP/1.1 200 OK"):
            assert answer.startswith(b"HTTP/1.1 502 "), answer
        self.look()

    def look(self) -> None:
        """Whether anything has crashed."""
        text, self._line = self.server.output_from(self._line)
        assert not CRASH.search(text), text

    def _ask(self) -> bytes:
        self._steady.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        return self._steady.recv(65_536)


def read_to_end(client: socket.socket, mark: re.Pattern[bytes] | None) -> None:
    """Until the server has ended the connection, or says so."""
    try:
        while data := client.recv(65_536):
            if mark is not None and mark.search(data):
                return
    except ConnectionResetError:
        return


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    fake = ROOT / "test" / "fake_worker.py"
    options = {
        "workers": 2,
        "max_request_line": 1_048_576,
        "worker_heartbeat": 3000,
        "timeout": 5000,
    }
    with Hornbeam("fake:app", python=fake, env={"FAKE": "script"}, **options) as server:
        player = Player(server)
        yield player
        player.look()


@pytest.mark.timeout(60 + SESSIONS)
def test_a_worker_may_say_anything(player: Player) -> None:
    started = time.monotonic()
    while player.played < SESSIONS:

        @settings(
            max_examples=min(AT_ONCE, SESSIONS - player.played),
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(sessions)
        def one(session: Session) -> None:
            player.play(session)

        one()
        print(f"{player.played} sessions, {time.monotonic() - started:.0f} s", flush=True)
    output = player.server.output
    assert "and is killed" in output
