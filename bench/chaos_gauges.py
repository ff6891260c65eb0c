"""What must be the same before and after a run of chaos.py."""

from __future__ import annotations

import time
import urllib.request
from dataclasses import dataclass

from harness import Hornbeam, memory, open_files
from ops.faults import Faults

__all__ = ["Gauges", "gauges", "metrics", "ready", "settled", "workers"]

# Without those that remember what was.
TABLES = (
    "[{T, ets:info(T, size)} || T <- lists:sort(ets:all()), is_atom(T), "
    'lists:prefix("hornbeam", atom_to_list(T)), '
    "not lists:member(T, [hornbeam_counts, hornbeam_crashes, hornbeam_routes])]"
)
PORTS = "lists:sort([N || P <- erlang:ports(), {name, N} <- [erlang:port_info(P, name)]])"
# Between two runs: what breathes, and what a worker may keep of the messages that it handled.
VM_MEMORY, WORKER_MEMORY = 100_000_000, 100_000_000
# Of /metrics
SHOWN = {
    "hornbeam_requests_in_flight", "hornbeam_requests_waiting", "hornbeam_websockets",
    "hornbeam_connections", "hornbeam_workers",
}  # fmt: skip


@dataclass(frozen=True)
class Gauges:
    """At one moment, without load."""

    exact: dict[str, object]
    processes: int
    vm_memory: int
    worker_memory: int

    def leaks(self, before: Gauges) -> list[str]:
        """What is not back; a few processes of the VM come and go, and memory breathes."""
        found = [
            f"{name}: {value}, was {before.exact[name]}"
            for name, value in self.exact.items()
            if value != before.exact[name]
        ]
        for name, slack in (
            ("processes", 5), ("vm_memory", VM_MEMORY), ("worker_memory", WORKER_MEMORY),
        ):  # fmt: skip
            now, was = getattr(self, name), getattr(before, name)
            if now > was + slack:
                found.append(f"{name}: {now}, was {was}")
        return found


def metrics(server: Hornbeam) -> dict[str, float]:
    """/metrics of a server with metrics_bind, where its log says."""
    address = server.wait_for_output(r"metrics on (http://\S+)").group(1)
    with urllib.request.urlopen(address + "/metrics", timeout=30) as answer:
        text = answer.read().decode()
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def ready(server: Hornbeam) -> int:
    """How many workers of the application take requests."""
    return int(metrics(server).get('hornbeam_workers{mount="/",state="ready"}', 0))


def workers(server: Hornbeam) -> list[int]:
    """The process ids of the application's workers, without the fake one's."""
    return [pid for pid in server.workers() if "fake_worker.py" not in _command(pid)]


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""


def gauges(server: Hornbeam, agent: Faults) -> Gauges:
    """Now."""
    now = metrics(server)
    exact: dict[str, object] = {
        name: value for name, value in now.items() if name.partition("{")[0] in SHOWN
    }
    exact["descriptors of the VM"] = open_files(server.beam())
    exact["processes of the machine"] = len(server.descendants())
    exact["ports"] = agent.run(PORTS)
    exact["tables"] = agent.run(TABLES)
    return Gauges(
        exact,
        processes=int(now["hornbeam_beam_processes"]),
        vm_memory=memory(server.beam()),
        worker_memory=max(map(memory, workers(server))),
    )


def settled(server: Hornbeam, agent: Faults, before: Gauges, seconds: float = 40) -> list[str]:
    """The leaks that are left when everything has had time to end."""
    deadline = time.monotonic() + seconds
    while leaks := gauges(server, agent).leaks(before):
        if time.monotonic() > deadline:
            return leaks
        time.sleep(0.5)
    return []
