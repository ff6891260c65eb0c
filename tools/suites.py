"""Runs the suites, what waits side by side: `python3 tools/suites.py LEVEL`.

Owns what belongs to each level, and its order. A lane is a row of steps; lanes run side by side,
because most tests wait for timers, processes and sockets and leave the processors free. What
measures memory or compares times bears the mark `alone` and runs when the lanes have ended, one
test on each processor of the smallest machine. A step's output is shown in one piece, at its end;
what failed in it is shown again below the verdict, where whoever sees only the end of a log finds
it. Up to AGAIN tests that failed beside the others run once more when the lanes have ended: what
then passes is named in the verdict, as unsteady, for somebody to mend; what does not has failed.
Called by the Makefile, after the set-up and the compiler, and by `tools/platforms.py` in other
roots. Standard library only.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As when .venv is activated: its interpreter is python3, which elsewhere may be a slow script.
# Bytecode is kept, whatever is said outside: each process would compile tests and worker anew.
ENVIRONMENT = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)
# The smallest machine that runs them has two processors, and a test waits half of its time. Six
# keep both busy to the end of the longest lane.
PROCESSORS, WORKERS = 2, 6
# The lines in which EUnit (a failure, a cancelled case), Common Test and pytest name what failed.
NAMES_A_FAILURE = re.compile(
    r" +\d+\) \S+:\S+/\d+| {2}\S+:\S+/\d+$| +%% Unknown error"
    r"|%%% .*: (FAILED|SKIPPED)|%%% .*\btc_auto_skip|(FAILED|ERROR) \S+\.py"
)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Shown of each failure, and of all.
LINES_OF_ONE, LINES_OF_ALL, LINE_LENGTH = 5, 40, 200
# So many tests that failed may run again. More is no accident of a busy machine.
AGAIN = 3
PYTEST_NAMES = re.compile(r"(?:FAILED|ERROR) (\S+\.py(?:::.*?)?)(?: - .*)?$")
EUNIT_NAMES = re.compile(r" +\d+\) (\S+?):\S+/\d+|  (\S+?):\S+/\d+$")
CT_NAMES = re.compile(r"%%% (\S+ ==> \S+): (?:FAILED|SKIPPED)")
CHAOS = ("python_tests/ops/test_chaos.py",)
# Nodes that are cut off, killed and filled, for six minutes: `make test-cluster`. One short run is
# among all tests.
CHAOS_OF_A_CLUSTER = "python_tests/cluster/test_chaos_cluster.py"
FAULTS = (
    "python_tests/cluster/test_faults.py",
    "python_tests/cluster/test_tasks.py",
    CHAOS_OF_A_CLUSTER,
)


@dataclass(frozen=True)
class Step:
    """A command with a name.

    Linux shares the processors among sessions, then among what is in each (sched_autogroup). A step
    whose tests run one after the other keeps pace in a session of its own, beside others with many
    processes.
    """

    name: str
    argv: tuple[str, ...]
    own_session: bool = False


@dataclass(frozen=True)
class Level:
    """Lanes that run side by side, then what must have the machine for itself."""

    purpose: str
    lanes: tuple[tuple[Step, ...], ...]
    alone: tuple[Step, ...] = ()


PYTEST = (".venv/bin/python", "-m", "pytest")


def _pytest(name: str, *arguments: str) -> Step:
    return Step(name, (*PYTEST, *arguments))


def _spread(processes: int) -> tuple[str, ...]:
    # By file: a file's tests share its server.
    return ("-n", str(processes), "--dist", "loadfile")


def _side_by_side(*folders: str) -> tuple[Step, ...]:
    """Collected once before, or each process would compile all the tests by itself."""
    chosen = ("-m", "not alone", *(f"--ignore={path}" for path in CHAOS + FAULTS), *folders)
    return (
        _pytest("pytest, collection", "--collect-only", "-qq", "--no-header", *chosen),
        _pytest("pytest", *_spread(WORKERS), *chosen),
    )


def _alone() -> Step:
    """Only the files that have such tests: collecting them all takes several seconds."""
    files = sorted((ROOT / "python_tests").rglob("test_*.py"))
    marked = [str(path.relative_to(ROOT)) for path in files if "mark.alone" in path.read_text()]
    return _pytest("pytest, alone", *_spread(PROCESSORS), "-m", "alone", *marked)


def _chaos() -> Step:
    """Three minutes of load, in which nothing is measured: it takes what the others leave."""
    return Step("chaos", ("nice", "-n", "5", *_pytest("", *CHAOS).argv))


def _chaos_of_a_cluster() -> Step:
    """Half a minute, when there is less to do beside it."""
    name, test = "chaos of a cluster", f"{CHAOS_OF_A_CLUSTER}::test_chaos"
    return replace(_pytest(name, test), own_session=True)


def _quick_eunit() -> Step:
    """All modules but those that start many processes or run for long."""
    names = sorted(path.stem for path in (ROOT / "test").glob("*_tests.erl"))
    chosen = [name for name in names if name not in SLOW_EUNIT]
    return Step("eunit", ("rebar3", "eunit", f"--module={','.join(chosen)}"))


SLOW_EUNIT = {
    "hornbeam_broken_worker_tests",
    "hornbeam_greedy_worker_tests",
    "hornbeam_linear_tests",
    "hornbeam_pool_watch_tests",
    "hornbeam_worker_tests",
}

# One after the other: both compile into _build/test. What ct leaves there, with a transformation of
# its own, is good for eunit; the other way round all is compiled twice, 13 s of CPU.
ERLANG = (
    Step("ct", ("rebar3", "ct"), own_session=True),
    Step("eunit", ("rebar3", "eunit"), own_session=True),
)
QUICK = ("python_tests/smoke", "python_tests/unit")
# What meets OTP, Cowboy and Python the most.
SHORT = (*QUICK, "python_tests/http", "python_tests/websocket", "python_tests/services")

LEVELS = {
    "all": Level(
        "every suite",
        (ERLANG, _side_by_side(), (_chaos(), _chaos_of_a_cluster())),
        (_alone(),),
    ),
    "cluster": Level("nodes that are cut off, killed and filled", ((_pytest("pytest", *FAULTS),),)),
    "short": Level(
        "EUnit, Common Test, the pytest suites of HTTP, WebSocket and services",
        (ERLANG, _side_by_side(*SHORT)),
    ),
    "quick": Level(
        "the parts without processes, and one request per protocol",
        ((_quick_eunit(),), (_pytest("pytest", "-m", "not alone", *QUICK),)),
    ),
}


def main(arguments: list[str]) -> int:
    """Run a level; the process's exit status."""
    if len(arguments) != 1 or arguments[0] not in LEVELS:
        levels = "".join(f"\n  {name:6} {level.purpose}" for name, level in LEVELS.items())
        print(f"usage: tools/suites.py LEVEL{levels}", file=sys.stderr)
        return 2
    level = LEVELS[arguments[0]]
    run = Run()
    run.lanes(level.lanes)
    run.lanes([level.alone])
    run.again()
    print(f"suites {arguments[0]}: {run.verdict()}")
    for name, failures in run.failed.items():
        print(f"--- {name}, what failed:\n{failures}")
    return 1 if run.failed else 0


class Run:
    """The steps that ran, and what failed in those that did."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self._named: dict[Step, list[str]] = {}  # what failed
        self._unsteady: list[str] = []
        self._began = time.monotonic()
        self._printing = threading.Lock()
        self._sessions: set[int] = set()

    def lanes(self, lanes: Sequence[Sequence[Step]]) -> None:
        """Run lanes side by side, to the end of all: a failure keeps nothing from running."""
        threads = [threading.Thread(target=self._lane, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:  # the terminal's, which reaches its own session alone
            for leader in list(self._sessions):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(leader, signal.SIGTERM)
            raise

    def again(self) -> None:
        """What failed once more, alone, unless it is more than an accident."""
        failed = dict(self._named)
        for step, names in failed.items():
            if names and sum(map(len, failed.values())) <= AGAIN:
                del self.failed[step.name]
                self._step(alone(step, names))
                if f"{step.name}, again" not in self.failed:
                    self._unsteady += names

    def verdict(self) -> str:
        """One line for a person, and one for each test that is unsteady."""
        outcome = f"FAILED: {', '.join(self.failed)}" if self.failed else "all passed"
        unsteady = "".join(f"\nunsteady, passed alone: {name}" for name in self._unsteady)
        return f"{outcome}, {time.monotonic() - self._began:.0f} s{unsteady}"

    def _lane(self, lane: Sequence[Step]) -> None:
        for step in lane:
            self._step(step)

    def _step(self, step: Step) -> None:
        began = time.monotonic()
        with tempfile.TemporaryFile() as output:
            with subprocess.Popen(
                step.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=ENVIRONMENT,
                start_new_session=step.own_session,
            ) as process:
                if step.own_session:
                    self._sessions.add(process.pid)
                status = process.wait()
            self._sessions.discard(process.pid)
            output.seek(0)
            with self._printing:
                print(f"--- {step.name}: {time.monotonic() - began:.0f} s", flush=True)
                while piece := output.read(65536):
                    os.write(sys.stdout.fileno(), piece)
                if status != 0:
                    output.seek(0)
                    lines = io.TextIOWrapper(output, errors="replace").readlines()
                    self.failed[step.name] = failures(lines)
                    self._named[step] = named(step, lines)


def named(step: Step, output: Iterable[str]) -> list[str]:
    """The tests, or of EUnit the modules, that have failed."""
    pattern = {"ct": CT_NAMES, "eunit": EUNIT_NAMES}.get(step.name, PYTEST_NAMES)
    found = (pattern.match(COLOURS.sub("", line)) for line in output)
    return list(dict.fromkeys(next(filter(None, each.groups())) for each in found if each))


def alone(step: Step, names: Sequence[str]) -> Step:
    """A step for what has failed in another: of Common Test with its suite."""
    name = f"{step.name}, again"
    if step.name == "ct":
        suites = dict.fromkeys(f"test/{each.partition(' ')[0]}" for each in names)
        return Step(name, ("rebar3", "ct", f"--suite={','.join(suites)}"))
    if step.name == "eunit":
        return Step(name, ("rebar3", "eunit", f"--module={','.join(names)}"))
    return _pytest(name, *names)


def failures(output: Iterable[str]) -> str:
    """What a failed step names as its failures; its last lines if it names none."""
    lines = [COLOURS.sub("", line) for line in output]
    named = [i for i, line in enumerate(lines) if NAMES_A_FAILURE.match(line)]
    shown = sorted({j for i in named for j in range(i, min(i + LINES_OF_ONE, len(lines)))})
    chosen = [lines[i] for i in shown[:LINES_OF_ALL]] or lines[-LINES_OF_ONE:]
    return "\n".join(line.rstrip()[:LINE_LENGTH] for line in chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
