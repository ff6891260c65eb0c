"""What figures were measured on, and whether it has what the measurements need."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from pathlib import Path

from figures import Trouble
from servers import ROOT

__all__ = ["commit", "descriptors", "first_line", "shape"]


def shape() -> str:
    """The machine, for a report."""
    cpu = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def commit() -> str:
    """Of this checkout; marked when it has changes."""
    return first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty") or "no commit"


def first_line(*words: str) -> str:
    """Of what a command says, wherever it says it; "" if it cannot."""
    try:
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30,
            check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return ""
    return done.stdout.strip().partition("\n")[0]


def descriptors(needed: int) -> None:
    """Raises the limit of open files, which the servers inherit, as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise Trouble(
            f"the limit of open files is {hard}, and this needs {needed}: "
            f"ulimit -n {needed} as root, or leave the largest out with --only"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
