"""The links between nodes: what a cut loses, and what it leaves. Needs root."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from harness import wait_until

from cluster.network import Network, NoNetworkError

# Answers every datagram. Of each line "ADDRESS" it tells whether an answer came; of an empty one,
# how many it was asked.
PEER = """
import socket, sys, threading
here = socket.socket(type=socket.SOCK_DGRAM)
here.bind((sys.argv[1], 7000))
asked = 0
def answer():
    global asked
    while True:
        data, peer = here.recvfrom(100)
        asked += 1
        here.sendto(data, peer)
threading.Thread(target=answer, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    if not line.strip():
        print(asked, flush=True)
        continue
    asking = socket.socket(type=socket.SOCK_DGRAM)
    asking.settimeout(0.3)
    asking.sendto(b"?", (line.strip(), 7000))
    try:
        print(asking.recv(100) == b"?", flush=True)
    except OSError:
        print(False, flush=True)
"""


class Peer:
    """A process in a node's network."""

    def __init__(self, network: Network, number: int) -> None:
        self.network = network
        command = [*network.inside(number), sys.executable, "-c", PEER, network.addresses[number]]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self._line() == "ready"

    def reaches(self, number: int) -> bool:
        """There and back."""
        return self._said(self.network.addresses[number]) == "True"

    def asked(self) -> int:
        """How many datagrams have come."""
        return int(self._said(""))

    def _said(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_about: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    try:
        with Network(3) as network:
            yield network
    except NoNetworkError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def peers(network: Network) -> Iterator[list[Peer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Peer(network, number)) for number in range(3)]


def pairs(peers: list[Peer]) -> set[str]:
    """Who reaches whom and is answered."""
    found = set()
    for one in range(3):
        for other in range(3):
            if one != other and peers[one].reaches(other):
                found.add(f"{one}{other}")
    return found


def test_links_are_cut_and_healed(network: Network, peers: list[Peer]) -> None:
    everybody = {"01", "02", "10", "12", "20", "21"}
    assert pairs(peers) == everybody
    # One way: neither a question nor an answer comes through, so neither is answered.
    network.cut(0, 1)
    before = [peer.asked() for peer in peers]
    assert pairs(peers) == everybody - {"01", "10"}
    assert [peer.asked() - was for peer, was in zip(peers, before, strict=True)] == [2, 1, 2]
    network.heal()
    wait_until(lambda: pairs(peers) == everybody, 10, "all is as before")
    network.part([0], [1, 2])
    assert pairs(peers) == {"12", "21"}
    network.heal()
    # A bridge: 1 reaches both, who do not reach each other.
    network.part([0, 1], [1, 2])
    wait_until(lambda: pairs(peers) == everybody - {"02", "20"}, 10, "1 is between them")
    network.heal()
    network.slow(2, 64)
    wait_until(lambda: pairs(peers) == everybody, 10, "a slow link is one")
    network.heal()


def test_nothing_is_left() -> None:
    try:
        with Network(2) as network:
            name = network.inside(0)[3][:-2]
            assert name in spaces_and_links()
    except NoNetworkError as error:
        pytest.skip(str(error))
    assert name not in spaces_and_links()


def spaces_and_links() -> str:
    commands = (["ip", "netns", "list"], ["ip", "-o", "link"])
    return "".join(subprocess.run(c, capture_output=True, text=True).stdout for c in commands)
