"""Plays a scenario: its servers up together, warmed up, measured in interleaved rounds.

A server that cannot be started or measured stays in the outcome with the reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import clients
from figures import Entry, Trouble, interleave
from peers import Make
from report import Outcome
from scenarios import RATE, Measure, Scenario, figures_at
from servers import Server, redis, started

__all__ = ["Player"]

# Of the capacity of the slowest.
SHARES = (0.5, 0.8)
# At most: two rates of so many servers take long.
RATED_ROUNDS = 3

Launch = Callable[[str], AbstractContextManager[Server]]


@dataclass(frozen=True)
class Player:
    """The servers by name, those that are Hornbeams; how many rounds of how many seconds."""

    makes: Mapping[str, Make]
    hornbeams: Sequence[str]
    rounds: int
    seconds: int

    def play(self, scenario: Scenario) -> Outcome:
        """Warm-up and rounds; then, if the scenario has any, the fixed rates."""
        outcome = Outcome(
            scenario.key, scenario.title, scenario.workers, scenario.connections,
            [Entry(name, failed=scenario.without.get(name, "")) for name in self._makes(scenario)],
        )  # fmt: skip
        with self._launcher(scenario) as launch:
            if scenario.fresh:
                self._fresh(scenario, outcome, launch)
                return outcome
            with _all(outcome.entries, launch) as running:

                def rounds(entries: Sequence[Entry], measure: Measure, most: int) -> None:
                    interleave(
                        entries,
                        min(self.rounds, most),
                        lambda name: measure(running[name], self.seconds),
                    )

                def warm_up(name: str) -> dict[str, float]:
                    scenario.measure(running[name], 1)
                    return {}

                interleave(outcome.entries, 1, warm_up)
                rounds(outcome.entries, scenario.measure, scenario.most)
                self._rates(scenario, outcome, rounds)
        return outcome

    def _fresh(self, scenario: Scenario, outcome: Outcome, launch: Launch) -> None:
        """Each measurement with a server of its own."""

        def measure(name: str) -> dict[str, float]:
            with launch(name) as server:
                return scenario.measure(server, self.seconds)

        interleave(outcome.entries, min(self.rounds, scenario.most), measure)

    def _rates(
        self,
        scenario: Scenario,
        outcome: Outcome,
        rounds: Callable[[Sequence[Entry], Measure, int], None],
    ) -> None:
        """At shares of what the slowest bears."""
        able = [entry for entry in outcome.entries if not entry.failed]
        if scenario.rated is None or not able:
            return
        slowest = min(able, key=lambda entry: entry.median(RATE))
        capacity = slowest.median(RATE)
        for share in SHARES:
            # What fails here has its other figures still.
            tried = [Entry(entry.name, entry.figures) for entry in able]
            rounds(tried, figures_at(share, scenario.rated, share * capacity), RATED_ROUNDS)
            outcome.notes += [f"{e.name} at {share:.0%}: {e.failed}" for e in tried if e.failed]
        outcome.notes.append(
            f"Fixed rates: shares of the {capacity:,.0f} requests/s that {slowest.name} bears."
        )

    def _makes(self, scenario: Scenario) -> Mapping[str, Make]:
        return scenario.makes or self.makes

    @contextlib.contextmanager
    def _launcher(self, scenario: Scenario) -> Iterator[Launch]:
        """Starts a server of the scenario by its name, a peer with Redis where it needs one."""
        with contextlib.ExitStack() as stack:
            env, beside = {}, []
            if scenario.redis:
                path, pid = stack.enter_context(redis())
                env, beside = {"BENCH_REDIS": str(path)}, [pid]

            def launch(name: str) -> AbstractContextManager[Server]:
                recipe = self._makes(scenario)[name](scenario.app, scenario.workers)
                if name in self.hornbeams:
                    return started(name, recipe)
                return started(name, recipe, env, beside)

            yield launch


@contextlib.contextmanager
def _all(entries: Sequence[Entry], launch: Launch) -> Iterator[dict[str, Server]]:
    """All at once, for the time of the block: those that have answered."""
    with contextlib.ExitStack() as stack:
        running = {}
        for entry in entries:
            if entry.failed:
                continue
            try:
                server = stack.enter_context(launch(entry.name))
                clients.first_answer(server)
                running[entry.name] = server
            except Trouble as trouble:
                entry.failed = str(trouble)
        yield running
