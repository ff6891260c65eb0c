"""`make chaos-cluster`: three nodes under load and faults, and what must hold of every answer.

A run is a new cluster of three nodes with networks and disks of their own (cluster/nodes.py). Its
clients (cluster/load.py) ask all the time and note what they were told; meanwhile faults are drawn
from a deck (cluster/faults.py), one at a time, and no kind comes again before all have come. After
the last one:

- the history of every key is linearizable (cluster/linearizability.py)
- of every counter: acknowledged <= value <= acknowledged + unknown
- tokens of locks only grow, and no holder goes on when another holds (cluster/judge.py)
- each time of a schedule (every second) is one task, whoever began it, and none is left out; where
  clocks jump, which is in half of the runs, only the former
- presence is the same on all nodes, and a message reaches all, within CONVERGES seconds

The choices come from a seed, which is printed; --seed repeats them (not the machine's timing).
Needs root, for the networks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from cluster.faults import Faults
from cluster.judge import TURN, Tick, counters, holds, late_writes, locks, schedules, ticks
from cluster.linearizability import check_all
from cluster.load import Load
from cluster.network import Network, NoNetworkError
from cluster.nodes import Cluster
from cluster_restarts import Restarts, built
from harness import wait_until

# Of presence and messages, from the end of the last fault.
CONVERGES = 40.0
# Of what ran on a node that was killed or cut off: its lease, and an election.
RUN_AGAIN = 60.0
FAULT, QUIET = (2.0, 8.0), (0.5, 3.0)
# Places of one history at a time; ten times those of a test.
LIMIT = 200_000
OPTIONS: dict[str, Any] = {
    "channels": "cluster_app:channels",
    "workers": 1,
    "schedule": ["tick=cluster_app:tick;every=1s;missed=all"],
    "graceful_timeout": 3000,
    "shutdown_timeout": 2000,
}


class Run:
    """One cluster, one seed."""

    def __init__(self, options: argparse.Namespace, seed: str, folder: Path) -> None:
        self.seconds, self.kinds, self.reads_here = (
            options.seconds,
            options.only,
            options.reads_here,
        )
        self.seed, self.folder, self.rest = seed, folder, options.rest or 0.01
        self.patience: float = options.patience
        self.rng = random.Random(f"{seed} faults")
        # Schedules go by the clocks of nodes.
        self.clocks_jump = "clock" in self.kinds or self.rng.random() < 0.5
        self.problems: list[str] = []
        self.figures: Counter[str] = Counter()
        self.output = ""

    def play(self) -> None:
        """The whole run."""
        journal, self.ticks = self.folder / "locks", self.folder / "ticks"
        journal.touch()
        self.ticks.touch()
        with Network(3) as network:
            cluster = Cluster(
                "cluster_app:app", self.folder, network=network, faults=True,
                env={"LOCK_JOURNAL": str(journal), "TICKS": str(self.ticks)}, **OPTIONS,
            )  # fmt: skip
            with kept_output(self, cluster), cluster:
                self._ready(cluster)
                faults = Faults(cluster, self.rng)
                addresses = [node.http for node in cluster.nodes]
                load = Load(addresses, self.seed, rest=self.rest, reads_here=self.reads_here)
                finals = asyncio.run(self._loaded(load, faults))
                self._converges(cluster)
                self._ticks_on()
        self._judge(load, faults, finals, journal)

    async def _loaded(self, load: Load, faults: Faults) -> dict[str, int | None]:
        await load.run(self._faults(faults))
        return await asyncio.wait_for(load.finals(), 60 * self.patience)

    async def _faults(self, faults: Faults) -> None:
        deck = faults.deck()
        if not self.clocks_jump:
            deck.pop("clock", None)
        names = [name for name in deck if not self.kinds or name in self.kinds]
        cards: list[str] = []
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            cards = cards or self.rng.sample(names, len(names))
            name = cards.pop()
            seconds = self.rng.uniform(*FAULT)
            print(f"  {name} for {seconds:.1f} s", flush=True)
            faults.done[name] += 1
            fault = deck[name]()
            try:
                await asyncio.to_thread(fault.__enter__)
                await asyncio.sleep(seconds)
            finally:
                await asyncio.to_thread(fault.__exit__, None, None, None)
            await asyncio.sleep(self.rng.uniform(*QUIET))

    def _ready(self, cluster: Cluster) -> None:
        """All nodes answer an operation."""
        for node in cluster.nodes:
            said = {"kind": "incr", "key": "ready", "args": [1]}

            def works(url: str = f"{node.url}/op", said: object = said) -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    return httpx.post(url, json=said, timeout=60).status_code == 200
                return False

            wait_until(works, 60 * self.patience, f"{node.name} has the cluster's state")

    def _converges(self, cluster: Cluster) -> None:
        names, began = sorted(node.name for node in cluster.nodes), time.monotonic()

        urls = [node.url for node in cluster.nodes]

        def there() -> list[Any]:
            return [httpx.get(f"{url}/there", timeout=60).json() for url in urls]

        def reached() -> list[Any]:
            return [httpx.post(f"{url}/publish", json=1, timeout=60).json() for url in urls]

        def heard() -> list[Any]:
            return [len(httpx.get(f"{url}/heard", timeout=60).json()) for url in urls]

        self._in_time("presence", there, names)
        before = heard()
        self._in_time("a message", reached, len(names))
        if self.problems:
            self.problems.append(f"messages heard: {before}, then {heard()}")
        self.figures["ms to converge"] = int((time.monotonic() - began) * 1000)

    def _ticks_on(self) -> None:
        """Until each time of the schedule has run, up to now."""
        if self.clocks_jump:
            return
        now = time.time() * 1000

        def all_have_run() -> bool:
            found = self._ticks()
            return any(tick.due >= now for tick in found) and not schedules(found)

        with contextlib.suppress(AssertionError):  # _judge says what is missing
            wait_until(all_have_run, RUN_AGAIN * self.patience, "each time has run")

    def _ticks(self) -> list[Tick]:
        return ticks(self.ticks.read_text().splitlines())

    def _in_time(self, what: str, ask: Callable[[], list[Any]], right: object) -> None:
        """Until all nodes say what is right."""
        said: list[Any] = []

        def is_right() -> bool:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                said[:] = ask()
                return all(answer == right for answer in said)
            return False

        try:
            wait_until(is_right, CONVERGES * self.patience, what)
        except AssertionError as error:
            self.problems.append(f"{what} does not reach all nodes: {error!r}, {said}")

    def _judge(
        self, load: Load, faults: Faults, finals: dict[str, int | None], journal: Path
    ) -> None:
        operations = load.history.operations
        for key, verdict in check_all(operations, limit=LIMIT).items():
            self.figures["histories undecided"] += verdict.right is None
            if verdict.right is False:
                self.problems.append(f"{key} is not linearizable: {verdict.explanation}")
        self.problems += counters(operations, finals)
        found = holds(journal.read_text().splitlines())
        self.problems += locks(found, faults.paused, TURN * self.patience)
        self.figures["holds of locks"] = sum(1 for hold in found if hold.token)
        self.figures["writes refused by their token"] = len(late_writes(found))
        begun = self._ticks()
        self.problems += schedules(begun, gaps=not self.clocks_jump)
        self.figures["times of a schedule"] = len({tick.due for tick in begun})
        self.figures["of them run again"] = len(begun) - self.figures["times of a schedule"]
        for outcome in ("ok", "fail", "unknown"):
            self.figures[f"operations {outcome}"] = sum(o.outcome == outcome for o in operations)
        self.figures["keys"] = len({operation.key for operation in operations})
        self.figures["longest operation, ms"] = int(
            1000 * max((o.returned - o.invoked for o in operations if o.outcome == "ok"), default=0)
        )
        self.figures.update({f"lock: {end}": count for end, count in sorted(load.locks.items())})
        self.figures.update({end: count for end, count in sorted(load.history.ends.items())})


@contextlib.contextmanager
def kept_output(run: Run, cluster: Cluster) -> Iterator[None]:
    """What the nodes printed last, for a person."""
    try:
        yield
    finally:
        run.output = "\n".join(node.output for node in cluster.nodes)


def main() -> None:
    """Plays; exit status 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    parser.add_argument("--rest", type=float, help="of clients, between two operations, s")
    parser.add_argument("--patience", type=float, default=1, help="times what is waited for")
    parser.add_argument("--only", action="append", default=[], help="a fault, by its name")
    parser.add_argument("--reads-here", action="store_true", help="stale reads: it must fail")
    parser.add_argument("--kill-each", action="store_true", help="behind HAProxy, by SIGKILL")
    parser.add_argument("--rolling", action="store_true", help="behind HAProxy, by SIGTERM")
    parser.add_argument("--from", dest="revision", help="with --rolling: the commit to upgrade")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    failed = []
    if options.kill_each or options.rolling:
        if not restarted(options):
            failed.append(options.seed)
    else:
        for number in range(options.runs):
            seed = options.seed if options.runs == 1 else f"{options.seed}-{number}"
            print(f"run {number + 1} of {options.runs}: --runs 1 --seed {seed}", flush=True)
            if not played(options, seed):
                failed.append(seed)
    print(f"seed {options.seed}: {f'FAILED: {failed}' if failed else 'passed'}")
    sys.exit(bool(failed))


def restarted(options: argparse.Namespace) -> bool:
    """Three nodes behind HAProxy; whether all was right."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-cluster-"))
        launcher = stack.enter_context(built(options.revision)) if options.revision else None
        run = Restarts(
            options.seconds, options.seed, Path(folder), options.rest or 0.02,
            patience=options.patience, launcher=launcher,
        )  # fmt: skip
        run.play(kill=options.kill_each, roll=options.rolling, upgrade=launcher is not None)
    print("\n".join(f"  {name}: {figure:.2f}" for name, figure in run.figures.items()))
    print(f"  {dict(sorted(run.visitors.ends.items()))}")
    print("\n".join(run.problems[:50]))
    return not run.problems


def played(options: argparse.Namespace, seed: str) -> bool:
    """One run; whether all was right."""
    with tempfile.TemporaryDirectory(prefix="chaos-cluster-") as folder:
        run = Run(options, seed, Path(folder))
        try:
            run.play()
        except NoNetworkError as error:
            raise SystemExit(str(error)) from error
        except Exception as error:
            run.problems.append(f"{type(error).__name__}: {error}")
    for name, figure in run.figures.items():
        print(f"  {name}: {figure}")
    if run.problems:
        log = Path(tempfile.gettempdir()) / f"chaos-cluster-{seed}.log"
        log.write_text(run.output)
        print("\n".join(run.problems), f"the nodes' output is in {log}", sep="\n")
    return not run.problems


if __name__ == "__main__":
    main()
