"""What a server and its children take: CPU time and memory, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cpu", "cpu", "pss", "resident", "tree"]

_TICK = 1e6 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cpu:
    """Microseconds of CPU time: of Erlang VMs, and of everything."""

    beam: float = 0.0
    all: float = 0.0

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.beam + other.beam, self.all + other.all)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.beam - other.beam, self.all - other.all)


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    try:
        children = [
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:  # it has just ended
        return
    for child in children:
        yield from tree(child)


def cpu(pid: int) -> Cpu:
    """What a process and all below it have used so far."""
    return sum(map(_cpu, tree(pid)), Cpu())


def _cpu(pid: int) -> Cpu:
    try:
        name, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return Cpu()
    user, system = fields.split()[11:13]
    used = (int(user) + int(system)) * _TICK
    return Cpu(used if "(beam" in name else 0.0, used)


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


def resident(pid: int) -> int:
    """Bytes of memory of a process and all below it, what they share counted for each."""
    return (
        sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in tree(pid)) * _PAGE
    )
