"""What a server and its children take: CPU time and memory, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cpu", "cpu", "pss", "tree"]

_TICK = 1e6 / os.sysconf("SC_CLK_TCK")


@dataclass
class Cpu:
    """Microseconds of CPU time: of Erlang VMs, and of everything."""

    beam: float
    all: float

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.beam - other.beam, self.all - other.all)


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield from tree(child)


def cpu(pid: int) -> Cpu:
    """What a process and all below it have used so far."""
    total = Cpu(0.0, 0.0)
    for each in tree(pid):
        try:
            name, _, fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")
        except OSError:  # it has just ended
            continue
        user, system = fields.split()[11:13]
        used = (int(user) + int(system)) * _TICK
        total.all += used
        if "(beam" in name:
            total.beam += used
    return total


def pss(pid: int) -> int:
    """Bytes of memory of a process and all below it, what they share divided among them."""
    total = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
