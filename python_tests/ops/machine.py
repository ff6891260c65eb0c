"""Takes disk, memory and processes away from a server: a small file system, control groups.

Where root's rights or a control group are missing, the test that asks is skipped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness import Hornbeam, wait_until


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 64 KiB and few inodes, mounted on the folder."""
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=64", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Writes until the last byte is taken; the file."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (4096, 512, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return ballast


class Group:
    """A control group of one kind (memory, pids), of version 1 or 2; processes are put into it."""

    def __init__(self, kind: str) -> None:
        name = f"hornbeam-test-{os.getpid()}-{time.monotonic_ns()}"
        root = Path("/sys/fs/cgroup")
        self.is_v1 = (root / kind).is_dir()
        self.folder = (root / kind if self.is_v1 else root) / name

    def open(self, limits: dict[str, int]) -> Group:
        """Makes it. `limits`: by the names of version 2, such as memory.max."""
        try:
            self.folder.mkdir()
        except OSError as error:
            pytest.skip(f"no control group can be made here: {error}")
        try:
            for name, value in limits.items():
                self.limit(name, value)
        except OSError as error:
            self.folder.rmdir()
            pytest.skip(f"no control group can be limited here: {error}")
        return self

    def limit(self, name: str, value: int | str) -> None:
        v1 = {
            "memory.max": "memory.limit_in_bytes",
            "memory.swap.max": "memory.memsw.limit_in_bytes",
        }
        (self.folder / (v1.get(name, name) if self.is_v1 else name)).write_text(str(value))

    def take(self, server: Hornbeam) -> None:
        """Puts in all of the server's processes; what one in it starts is born in it."""
        taken: set[int] = set()
        while found := {server.pid, *server.descendants()} - taken:
            for pid in found:
                with suppress(ProcessLookupError):  # it has ended since
                    (self.folder / "cgroup.procs").write_text(str(pid))
            taken |= found

    def oom_kills(self) -> int:
        """How many of its processes the kernel has ended because memory was used up."""
        counts = "memory.oom_control" if self.is_v1 else "memory.events"
        lines = (self.folder / counts).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def close(self) -> None:
        wait_until(lambda: not (self.folder / "cgroup.procs").read_text(), 10, "it is empty")
        self.folder.rmdir()


@contextmanager
def group(kind: str, **limits: int) -> Iterator[Group]:
    made = Group(kind).open({name.replace("_", "."): value for name, value in limits.items()})
    try:
        yield made
    finally:
        made.close()
