"""What happens to a cluster for some seconds: a deck of faults, each with its end.

Called by bench/chaos_cluster.py, in a thread; calls nodes.py and network.py. A fault is a context:
it begins, lasts as long as its caller lets it, and when it has ended all nodes run and reach each
other. Those that need a network of their own, or libraries that are not there, are left out of the
deck by name.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import httpx

from cluster.nodes import Cluster, Node

__all__ = ["Fault", "Faults"]

Fault = Callable[[], AbstractContextManager[None]]


class Faults:
    """Of one cluster. `paused`: from when to when a node's processes stood still, by its name."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self.cluster, self.rng = cluster, rng
        self.paused: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.done: Counter[str] = Counter()

    def deck(self) -> dict[str, Fault]:
        """By name, what can be done here."""
        found: dict[str, Fault] = {
            "pause": self.pause,
            "kill": self.kill,
            "kill all": self.kill_all,
        }
        if self.cluster.network is not None:
            found |= {
                "halves": self.halves,
                "isolated leader": self.isolated_leader,
                "one way": self.one_way,
                "bridge": self.bridge,
                "slow link": self.slow_link,
            }
        if self.cluster.preloaded:
            found |= {
                "clock": self.clock,
                "slow disk": self.slow_disk,
                "full disk": self.full_disk,
            }
        return found

    def leader(self) -> Node:
        """Whom the nodes name; anyone where none is named."""
        for node in self.cluster.nodes:
            with suppress(httpx.HTTPError):
                name = httpx.get(f"{node.url}/leader", timeout=1).json()
                for other in self.cluster.nodes:
                    if other.name == name:
                        return other
        return self.any()

    def any(self) -> Node:
        """Drawn; the leader half of the time."""
        return self.rng.choice(self.cluster.nodes)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """SIGSTOP of all of a node: a machine that is suspended."""
        node = self.leader() if self.rng.random() < 0.5 else self.any()
        began = time.monotonic()
        node.pause()
        try:
            yield
        finally:
            node.resume()
            self.paused[node.name].append((began, time.monotonic()))

    @contextmanager
    def kill(self) -> Iterator[None]:
        """SIGKILL; it starts again on its folder."""
        node = self.leader() if self.rng.random() < 0.5 else self.any()
        node.kill()
        try:
            yield
        finally:
            node.start()

    @contextmanager
    def kill_all(self) -> Iterator[None]:
        """The room loses power."""
        for node in self.cluster.nodes:
            node.kill()
        try:
            yield
        finally:
            self.cluster.start()

    @contextmanager
    def halves(self) -> Iterator[None]:
        """One without the other two."""
        alone = self.any().number
        with self._cut([alone], [n for n in self._numbers() if n != alone]):
            yield

    @contextmanager
    def isolated_leader(self) -> Iterator[None]:
        """The leader without the others."""
        alone = self.leader().number
        with self._cut([alone], [n for n in self._numbers() if n != alone]):
            yield

    @contextmanager
    def bridge(self) -> Iterator[None]:
        """Two that reach each other through the third only."""
        one, between, other = self.rng.sample(self._numbers(), 3)
        with self._cut([one, between], [between, other]):
            yield

    @contextmanager
    def one_way(self) -> Iterator[None]:
        """One hears another, and is not heard by it."""
        network = self.cluster.network
        assert network is not None
        network.cut(*self.rng.sample(self._numbers(), 2))
        try:
            yield
        finally:
            network.heal()

    @contextmanager
    def slow_link(self) -> Iterator[None]:
        """A node that can send little."""
        network = self.cluster.network
        assert network is not None
        network.slow(self.any().number, self.rng.choice([64, 256, 1024]))
        try:
            yield
        finally:
            network.heal()

    @contextmanager
    def clock(self) -> Iterator[None]:
        """An hour, forward or back."""
        node = self.any()
        node.jump(self.rng.choice([-3600, -60, 60, 3600]))
        try:
            yield
        finally:
            node.jump(0)

    @contextmanager
    def slow_disk(self) -> Iterator[None]:
        """Every fsync takes longer."""
        node = self.any()
        node.slow_disk(self.rng.choice([20, 200, 1000]))
        try:
            yield
        finally:
            node.slow_disk(0)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """A node that can write nothing more; if it ended for that, it starts again."""
        node = self.any()
        node.fill_disk()
        try:
            yield
        finally:
            node.empty_disk()
            if not node.is_alive():
                node.kill()
                node.start()

    @contextmanager
    def _cut(self, *groups: list[int]) -> Iterator[None]:
        network = self.cluster.network
        assert network is not None
        network.part(*groups)
        try:
            yield
        finally:
            network.heal()

    def _numbers(self) -> list[int]:
        return [node.number for node in self.cluster.nodes]
