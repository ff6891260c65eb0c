"""`make chaos`: load whose every byte is looked at, with faults of all kinds in between.

Clients (chaos_load) ask all the time. Meanwhile faults are drawn from two decks (chaos_faults), one
of clients and one of workers and the machine, each for some seconds, so that two meet at any time;
no kind comes again before all have come. What must hold:

- an exchange is answered right, or ends as a fault that is there explains (chaos_record)
- two seconds after the end of a fault a new connection gets 200
- the VM lives, and no answered increment of a counter is lost
- in the end every gauge is back (chaos_gauges), and the log tells of no crash

The choices come from a seed, which is printed; --seed repeats them (not the machine's timing).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from chaos_faults import CLIENTS, MACHINE, WORKERS, Deck, Stage
from chaos_gauges import Gauges, gauges, settled
from chaos_load import Load, counter
from chaos_record import RIGHT, Fault, Record
from harness import ROOT, Hornbeam, wait_until
from ops.faults import Faults, compile_faults
from ops.machine import Group, group, small_disk

SOON = 2.0
# What the OTP logger says of a process that crashed, however it was started.
CRASH = re.compile(
    r"CRASH REPORT|SUPERVISOR REPORT|ERROR REPORT|Error in process|terminat(ing|ed abnormally)"
    r"|FORMAT ERROR|crasher|Supervisor|ended unexpectedly"
)
FAKE = f"/fake=fake:app;python={ROOT}/test/fake_worker.py;env=FAKE=script;workers=1"
OPTIONS = {
    "workers": WORKERS,
    "mount": FAKE,
    "access_log": "json",
    "metrics_bind": "127.0.0.1:0",
    "files": (400, 400),
    "max_worker_memory": 250_000_000,
    "worker_heartbeat": 3000,
    "graceful_timeout": 4000,
    "shutdown_timeout": 2000,
    "header_timeout": 3000,
    "body_timeout": 5000,
    "send_timeout": 5000,
    "queue_timeout": 30_000,
}


class Run:
    """One server, one seed."""

    def __init__(self, seconds: float, pause: float, seed: str, folder: Path) -> None:
        self.seconds, self.pause, self.seed = seconds, pause, seed
        self.record = Record()
        self.disk: Path | None = None
        self.processes: Group | None = None
        self.folder = folder
        self.output = ""

    def play(self) -> list[str]:
        """The whole run; what went wrong."""
        with contextlib.ExitStack() as machine:
            self._take_of_the_machine(machine)
            env = compile_faults(self.folder)
            log = (self.disk or self.folder) / "access.log"
            server = machine.enter_context(
                Hornbeam("chaos_app:app", env=env, access_log_file=log, **OPTIONS)
            )
            agent = machine.enter_context(Faults(server))
            if self.processes is not None:
                self.processes.take(server)
            # Every part has worked once before anything is measured.
            asyncio.run(Load(server, Record(), "warm", self.pause).run(asyncio.sleep(3)))
            wait_until(lambda: gauges(server, agent).leaks(quiet(server, agent)) == [], 60, "quiet")
            before, first = gauges(server, agent), counter(server)
            asyncio.run(Load(server, self.record, self.seed, self.pause).run(self._faults(server)))
            problems = self._counted(counter(server) - first - 1)
            problems += settled(server, agent, before)
            if crash := CRASH.search(server.output):
                at = crash.start()
                problems.append(
                    f"a crash in the log: {server.output[max(0, at - 300) : at + 3000]}"
                )
            self.output = server.output
        return [*self.record.problems(), *problems]

    def _take_of_the_machine(self, machine: contextlib.ExitStack) -> None:
        """A small disk and a control group, where there is the right to."""
        disk = self.folder / "disk"
        disk.mkdir()
        try:
            machine.enter_context(small_disk(disk))
            self.disk = disk
        except pytest.skip.Exception as why:
            self.record.skipped["full_disk"] = str(why)
        try:
            self.processes = machine.enter_context(group("pids", pids_max=1 << 20))
        except pytest.skip.Exception as why:
            self.record.skipped["no_process"] = str(why)

    async def _faults(self, server: Hornbeam) -> None:
        """Both decks until the time is over, and each through once."""
        decks = (self._deck(server, name, deck) for name, deck in
                 (("clients", CLIENTS), ("machine", MACHINE)))  # fmt: skip
        await asyncio.gather(*decks)

    async def _deck(self, server: Hornbeam, name: str, deck: Deck) -> None:
        rng = random.Random(f"{self.seed} {name}")
        until = time.monotonic() + self.seconds
        cards = [card for card in deck if card[0].name not in self.record.skipped]
        # The first round takes most of a short run; later ones mix shorter and longer faults.
        longest = min(20.0, self.seconds / len(deck) * 0.8)
        first = True
        while first or time.monotonic() < until:
            rng.shuffle(cards)
            for fault, run in cards:
                if not first and time.monotonic() >= until:
                    break
                stage = Stage(
                    server, self.record, rng, rng.uniform(longest / 3, longest),
                    self.pause, self.disk, self.processes,
                )  # fmt: skip
                await asyncio.to_thread(self._one, fault, run, stage)
            first = False

    def _one(self, fault: Fault, run: object, stage: Stage) -> None:
        assert callable(run)
        print(f"{fault.name} for {stage.seconds:.1f} s", flush=True)
        try:
            with self.record.during(fault):
                run(stage)
            self._serves(fault, stage)
        except Exception as error:  # a fault that fails is a finding, and the others go on
            self.record.problem(f"{fault.name}: {error!r}")

    def _serves(self, fault: Fault, stage: Stage) -> None:
        """200 to a new connection within two seconds, when no other fault refuses it."""
        deadline, said = time.monotonic() + SOON, ""
        while time.monotonic() < deadline:
            try:
                # The first may have met the worker that another fault has just stopped.
                probe = httpx.get(f"{stage.server.url}/?probe", timeout=SOON / 2)
                status = probe.status_code
                if status == 200:
                    return
                said = str(status)
            except httpx.TransportError as error:
                said = repr(error)
            if self.record.refusing():
                deadline = time.monotonic() + SOON
            time.sleep(0.05)
        self.record.problem(f"no 200 within two seconds of the end of {fault.name}: {said}")

    def _counted(self, counted: int) -> list[str]:
        ends = self.record.ends["count"]
        if ends[RIGHT] <= counted <= ends.total():
            return []
        return [f"counted {counted} of {ends[RIGHT]} answered and {ends.total()} sent"]


def quiet(server: Hornbeam, agent: Faults) -> Gauges:
    """The gauges a moment ago."""
    before = gauges(server, agent)
    time.sleep(0.5)
    return before


def main() -> None:
    """Plays; exit status 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--pause", type=float, default=0.002, help="of clients and faults, s")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        run = Run(options.seconds, options.pause, options.seed, Path(folder))
        problems = run.play()
    print(run.record.report())
    if problems:
        log = Path(tempfile.gettempdir()) / f"chaos-{options.seed}-server.log"
        log.write_text(run.output)
        problems.append(f"the server's log is in {log}")
    print("\n".join(problems) or "no end that nothing explains, and nothing is left over")
    print(f"seed {options.seed}: {'FAILED' if problems else 'passed'}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
