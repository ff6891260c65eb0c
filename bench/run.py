"""`make bench`: Hornbeam beside its peers in one run; `make bench-smoke` (--smoke): in short.

Plays the scenarios of scenarios.py with the servers of peers.py, prints each table when it is
there, and at the end of a full run, or with --write, makes bench/results/bench.md and its plots
(--smoke: smoke.md; --page NAME: NAME.md, without plots).
Exit status 1 when Hornbeam has failed in a scenario.
"""

from __future__ import annotations

import argparse
import datetime
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import machine
import peers
from figures import Trouble
from peers import Make
from play import Player
from report import Origin, Outcome, page, table
from scenarios import SMOKE, Scenario, select
from servers import RESULTS

# Descriptors besides the connections; a proxy has two for each of those.
SPARE = 1000
BEFORE = "before"
HORNBEAMS = (peers.OURS, BEFORE)
TITLES = {
    "bench": "Next to its peers",
    "smoke": "Next to uvicorn, in short",
    "wsgi": "WSGI, next to gunicorn",
    "static": "Static files, next to nginx and StaticFiles",
}


def main() -> int:
    """Runs the comparison; the exit status."""
    options = parse(sys.argv[1:])
    # So that the servers are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        scenarios = list(select(options.only))
        machine.descriptors(2 * max(one.connections for one in scenarios) + SPARE)
        makes = servers(options)
        # Before anything else: what is missing is missed here.
        origin, commands = told(options), peers.commands(played(scenarios, makes))
        outcomes = compare(Player(makes, HORNBEAMS, options.rounds, options.seconds), scenarios)
    except Trouble as trouble:
        print(f"bench: {trouble}", file=sys.stderr)
        return 2
    if options.write or options.page:
        write(options.page or ("smoke" if options.smoke else "bench"), outcomes, origin, commands)
    return int(any(outcome.entries[0].failed for outcome in outcomes))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, with what follows from it."""
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="few scenarios, against uvicorn")
    parser.add_argument("--only", type=names, default=[], metavar="KEY,KEY",
                        help="scenarios, by their keys or what those begin with")  # fmt: skip
    parser.add_argument("--servers", type=names, default=[], metavar="NAME,NAME",
                        help=f"peers, of {', '.join(peers.PEERS)}")  # fmt: skip
    parser.add_argument("--against", type=Path, help="another checkout of Hornbeam, compiled")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of each load in each round")
    parser.add_argument("--write", action="store_true", help="write the results of a partial run")
    parser.add_argument("--page", choices=sorted(TITLES), help="write the results to this one")
    options = parser.parse_args(arguments)
    if unknown := set(options.servers) - set(peers.PEERS):
        parser.error(f"no server {', '.join(unknown)}; there are {', '.join(peers.PEERS)}")
    options.write |= not arguments
    if options.smoke:
        options.only = options.only or list(SMOKE)
        options.servers = options.servers or [peers.OURS, "uvicorn"]
    options.rounds = options.rounds or (7 if options.smoke else 5)
    options.seconds = options.seconds or (3 if options.smoke else 2)
    return options


def names(text: str) -> list[str]:
    """Of an argument with several."""
    return text.split(",")


def servers(options: argparse.Namespace) -> dict[str, Make]:
    """Those that take part, ours first."""
    makes = {
        name: make
        for name, make in peers.PEERS.items()
        if name == peers.OURS or not options.servers or name in options.servers
    }
    if options.against is not None:
        makes[BEFORE] = peers.before(options.against.resolve())
    return makes


def played(scenarios: Sequence[Scenario], makes: Mapping[str, Make]) -> Mapping[str, Make]:
    """The servers of the scenarios, as their commands are to be shown."""
    if all(scenario.makes for scenario in scenarios):
        return {name: make for scenario in scenarios for name, make in scenario.makes.items()}
    return makes


def told(options: argparse.Namespace) -> Origin:
    """What the results say about where they come from."""
    target = "make bench-smoke" if options.smoke else "make bench"
    said = " ".join(word for word in sys.argv[1:] if word != "--smoke")
    return Origin(
        f'{target} BENCH="{said}"' if said else target,
        peers.versions(),
        machine.shape(),
        datetime.date.today().isoformat(),
        options.rounds,
        options.seconds,
    )


def compare(player: Player, scenarios: Sequence[Scenario]) -> list[Outcome]:
    """Plays the scenarios, and shows what comes of each."""
    outcomes = []
    for scenario in scenarios:
        begun = time.monotonic()
        outcomes.append(player.play(scenario))
        print("\n".join(table(outcomes[-1])), flush=True)
        print(f"({scenario.key}: {time.monotonic() - begun:.0f} s)\n", file=sys.stderr, flush=True)
    return outcomes


def write(
    name: str, outcomes: Sequence[Outcome], origin: Origin, commands: Mapping[str, str]
) -> None:
    """The page, a full one with plots."""
    RESULTS.mkdir(exist_ok=True)
    plots: Sequence[str] = []
    if name == "bench":
        from plots import draw  # matplotlib takes a second to import

        plots = draw(outcomes, origin, RESULTS)
    (RESULTS / f"{name}.md").write_text(page(TITLES[name], outcomes, origin, commands, plots))


if __name__ == "__main__":
    sys.exit(main())
