"""Three nodes of examples/cluster behind HAProxy, whose nodes end one after the other under load.

    bench/chaos_cluster.py --kill-each --seconds 600   each in turn by SIGKILL
    bench/chaos_cluster.py --rolling [--from REV]      each in turn by SIGTERM, and upgraded

With both, by the one, then by the other.

Called by chaos_cluster.py; calls cluster/front.py for HAProxy and the visitors, whose demands must
hold. Besides:

- a node that was killed is away in presence within AWAY seconds, and back within BACK seconds of
  its readiness
- a lock is to be had again within its ttl and an election of any death: RELEASED seconds

`--from REV`: the nodes begin as that commit, built in a worktree of its own, and one by one become
what is here; for a while both are in the cluster.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from cluster.front import Front, Visitors
from cluster.nodes import Cluster, Node, ports
from harness import ROOT, wait_until

__all__ = ["Restarts", "built"]

End = Callable[[Node], None]
AWAY, BACK, RELEASED = 10.0, 10.0, 15.0
EXAMPLE = ROOT / "examples" / "cluster"
OPTIONS: dict[str, Any] = {
    "pythonpath": str(EXAMPLE),
    "channels": "app:channels",
    "cluster_ready": True,
    "workers": 1,
}


class Restarts:
    """One cluster under load, for so many seconds at least."""

    def __init__(
        self,
        seconds: float,
        seed: str,
        folder: Path,
        rest: float = 0.02,
        *,
        patience: float = 1,
        **options: Any,
    ) -> None:
        self.seconds, self.rng, self.patience = seconds, random.Random(seed), patience
        self.cluster = Cluster("app:app", folder, **{**OPTIONS, **options})
        self.front = Front(self.cluster, ports(["127.0.0.1"], 1)[0], patience)
        self.visitors = Visitors(self.front.address, seed, rest, patience)
        self.problems: list[str] = []
        self.figures: dict[str, float] = {"ends": 0}

    def play(self, *, kill: bool, roll: bool, upgrade: bool = False) -> None:
        """Each node by SIGKILL, then each by SIGTERM. `upgrade`: it comes back as what is here."""
        self._upgrade = upgrade
        self._under_load([*([self._killed] if kill else []), *([self._rolled] if roll else [])])

    def _under_load(self, ends: list[End]) -> None:
        with self.cluster as cluster, self.front:
            for node in cluster.nodes:
                self._wait_ready(node)
            self._in_time("at first", 30, self._names(), cluster.nodes)
            asyncio.run(self.visitors.run(self._in_turn(ends)))
            asyncio.run(self.visitors.last())
        self.problems += self.visitors.problems
        without = self.visitors.longest_without_lock()
        self.figures["s without a lock, at most"] = without
        if without > RELEASED * self.patience:
            self.problems.append(f"nobody got the lock for {without:.1f} s")
        for kind, seconds in self.visitors.slowest.items():
            self.figures[f"slowest {kind}, s"] = seconds

    async def _in_turn(self, ends: list[End]) -> None:
        until = time.monotonic() + self.seconds
        await asyncio.sleep(1)
        for end in itertools.cycle(ends):
            for node in self.rng.sample(self.cluster.nodes, len(self.cluster.nodes)):
                self.figures["ends"] += 1
                await asyncio.to_thread(end, node)
                await asyncio.sleep(self._rest())
            if time.monotonic() > until and self.figures["ends"] >= len(ends) * 3:
                return

    def _rest(self) -> float:
        """From one end to the next: in an upgrade both versions are there for most of the time."""
        if self._upgrade:
            return self.seconds / len(self.cluster.nodes)
        return self.rng.uniform(0.5, 3) if self.seconds > 1 else 0

    def _killed(self, node: Node) -> None:
        others = [other for other in self.cluster.nodes if other is not node]
        node.kill()
        self._in_time("away", AWAY, [other.name for other in others], others)
        node.start()
        self._wait_ready(node)
        self._in_time("back", BACK, self._names(), self.cluster.nodes)

    def _rolled(self, node: Node) -> None:
        node.stop()
        if self._upgrade:
            self.cluster.launcher = None
        node.start()
        self._wait_ready(node)
        self._in_time("back", BACK, self._names(), self.cluster.nodes)

    def _in_time(self, what: str, seconds: float, names: list[str], nodes: list[Node]) -> None:
        began = time.monotonic()
        try:
            within = seconds * self.patience
            wait_until(lambda: self._there(names, nodes), within, f"presence: {what}")
        except AssertionError as error:
            self.problems.append(str(error))
        figure = f"s until {what} in presence, at most"
        self.figures[figure] = max(self.figures.get(figure, 0), time.monotonic() - began)

    def _there(self, names: list[str], nodes: list[Node]) -> bool:
        """Whether these nodes say that these are there."""
        try:
            answers = [httpx.get(f"{node.url}/", timeout=60).json() for node in nodes]
        except (httpx.HTTPError, ValueError):
            return False
        return all(answer.get("there") == names for answer in answers)

    def _names(self) -> list[str]:
        return [node.name for node in self.cluster.nodes]

    def _wait_ready(self, node: Node) -> None:
        url = f"http://{node.address}:{self.cluster.metrics_port}/readyz"

        def ready() -> bool:
            with suppress(httpx.HTTPError):
                return httpx.get(url, timeout=60).status_code == 200
            return False

        wait_until(ready, 60 * self.patience, f"{url} is 200")


@contextmanager
def built(revision: str) -> Iterator[Path]:
    """The launcher of another commit, built in a worktree that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="hornbeam-from-") as folder:
        place = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", str(place), revision], check=True)
        try:
            for shared in (".venv", ".deps"):
                (place / shared).symlink_to((ROOT / shared).resolve())
            subprocess.run(["rebar3", "compile"], cwd=place, check=True)
            yield place / "bin" / "hornbeam"
        finally:
            subprocess.run([*git, "remove", "--force", str(place)], check=True)
