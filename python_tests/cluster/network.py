"""A network of its own for each node of a cluster, whose links can be cut: Linux's namespaces.

    with Network(3) as network:
        subprocess.Popen([*network.inside(0), "program"])  # runs at network.addresses[0]
        network.cut(0, 1)  # nothing that 0 sends reaches 1, while 1 still reaches 0
        network.heal()

Owns one bridge, and a namespace for each node with a link to it; this machine itself is on the
bridge too, so that clients reach every node, whatever is cut between the nodes. Called by nodes.py.

A cut is an entry in the sender's table of neighbours that gives the receiver a hardware address
which nobody has. Packets are lost in silence, as on a broken line, in that direction only, and also
those of connections that are open. It needs nothing but `ip` (filters of packets are no part of
every kernel). A slow link is a token bucket on the sender's side, by `tc`.

Needs root. What this process made is removed at the end; what a killed one left is removed by the
next. Names hold the process id.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from contextlib import ExitStack, suppress
from types import TracebackType

__all__ = ["Network", "NoNetworkError", "network_if_possible"]

NOBODY = "02:00:00:00:00:01"
_numbers = itertools.count()


class NoNetworkError(Exception):
    """Namespaces cannot be made here; the text says why."""


class Network:
    """`count` addresses, each in a namespace."""

    def __init__(self, count: int) -> None:
        self._name = f"hb{os.getpid()}x{next(_numbers)}"
        self._bridge = f"{self._name}b"
        self._count = count
        self.addresses: list[str] = []
        self._cuts: set[tuple[int, int]] = set()
        self._slow: set[int] = set()

    def __enter__(self) -> Network:
        _remove_what_was_left()
        try:
            self._make()
        except (OSError, subprocess.CalledProcessError) as error:
            self._remove()
            said = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
            raise NoNetworkError(f"network namespaces cannot be made here: {said}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def inside(self, number: int) -> list[str]:
        """What stands before a command that shall run there."""
        return ["ip", "netns", "exec", self._space(number)]

    def cut(self, sender: int, receiver: int) -> None:
        """Loses what `sender` sends to `receiver`."""
        address = self.addresses[receiver]
        to_nobody = ["lladdr", NOBODY, "nud", "permanent"]
        _ip("-n", self._space(sender), "neigh", "replace", address, *to_nobody, "dev", "eth0")
        self._cuts.add((sender, receiver))

    def part(self, *groups: list[int]) -> None:
        """Cuts both ways between all that are not in one group; a node may be in several."""
        everybody = range(self._count)
        for one, other in itertools.permutations(everybody, 2):
            if not any(one in group and other in group for group in groups):
                self.cut(one, other)

    def slow(self, number: int, kbit: int) -> None:
        """Lets that node send so much a second; the rest waits up to two seconds, then is lost."""
        bucket = ["tbf", "rate", f"{kbit}kbit", "burst", "16kb", "latency", "2s"]
        _run("tc", "-n", self._space(number), "qdisc", "replace", "dev", "eth0", "root", *bucket)
        self._slow.add(number)

    def heal(self) -> None:
        """All is as in the beginning."""
        for sender, receiver in sorted(self._cuts):
            address = self.addresses[receiver]
            _ip("-n", self._space(sender), "neigh", "del", address, "dev", "eth0")
        for number in sorted(self._slow):
            _run("tc", "-n", self._space(number), "qdisc", "del", "dev", "eth0", "root")
        self._cuts.clear()
        self._slow.clear()

    def _space(self, number: int) -> str:
        return f"{self._name}n{number}"

    def _make(self) -> None:
        net = _free_net()
        self.addresses = [f"{net}.{number + 1}" for number in range(self._count)]
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("link", "set", self._bridge, "up")
        _ip("addr", "add", f"{net}.254/24", "dev", self._bridge)
        for number, address in enumerate(self.addresses):
            space, here = self._space(number), f"{self._name}v{number}"
            _ip("netns", "add", space)
            _ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", here, "master", self._bridge, "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def _remove(self) -> None:
        _remove(self._name)


def network_if_possible(stack: ExitStack, count: int) -> Network | None:
    """None where it cannot be made: then nothing can be cut."""
    try:
        return stack.enter_context(Network(count))
    except NoNetworkError as error:
        print(error)
        return None


def _free_net() -> str:
    """The first three numbers of a net that is not in use here."""
    taken = _ip("-o", "addr")
    nets = (f"10.213.{(os.getpid() + n) % 256}" for n in range(256))
    return next(net for net in nets if f" {net}." not in taken)


def _remove_what_was_left() -> None:
    with suppress(OSError, subprocess.CalledProcessError):
        names = set(re.findall(r"\bhb(\d+)x\d+[bnv]", _ip("netns", "list") + _ip("-o", "link")))
        for pid in names:
            if not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
                _remove(f"hb{pid}x")


def _remove(prefix: str) -> None:
    """All namespaces and links whose names begin so."""
    with suppress(OSError, subprocess.CalledProcessError):
        for space in re.findall(rf"^{prefix}\w*", _ip("netns", "list"), re.MULTILINE):
            _ip("netns", "del", space)
        for link in re.findall(rf" ({prefix}\w*)[:@]", _ip("-o", "link")):
            # The end of a pair may have gone with its namespace meanwhile.
            subprocess.run(["ip", "link", "del", link], capture_output=True)


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
