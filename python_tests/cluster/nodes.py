"""Several nodes of a cluster on this machine, and what can happen to them.

    with Cluster("cluster_app:app", network=network, folder=tmp_path) as cluster:
        cluster.nodes[0].kill()
        cluster.nodes[0].start()

Owns the nodes' processes (`bin/hornbeam run`), their folders and disks. Called by the tests of the
cluster and by bench/chaos_cluster.py; calls harness.Hornbeam for each life of a node, and
network.py when nodes shall have networks of their own. Without one they are at 127.0.0.1, 127.0.0.2
and so on.

A node can be stopped, killed, paused and started again on its folder. With `faults` its disk is a
small one of its own (tmpfs, needs root) that can be filled and slowed, and its clock can jump:
libraries loaded before libc do that for its processes alone.

At the end every node must stop by itself, with exit status 0, unless the block failed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from harness import ROOT, Hornbeam

from cluster.network import Network

__all__ = ["Cluster", "Node", "ports"]

HERE = Path(__file__).resolve().parent
DISK = 256 * 1024 * 1024


class Node:
    """One node. `server` is its present life, or its last one."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster, self.number = cluster, number
        self.address = cluster.addresses[number]
        self.name = f"hornbeam@{self.address}"
        self.folder = cluster.folder / f"node{number}"
        self.disk = self.folder / "cluster"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.disk.mkdir(mode=0o700, exist_ok=True)
        self.server: Hornbeam | None = None
        self.options: dict[str, Any] = {}
        self._lives: list[Hornbeam] = []
        self._paused: list[int] = []
        (self.folder / "clock").write_text("+0")
        self._delay = self.folder / "delay"
        self._delay.write_bytes(struct.pack("i", 0))

    @property
    def http(self) -> tuple[str, int]:
        """Where it serves, in every life."""
        return self.address, self.cluster.http_port

    @property
    def url(self) -> str:
        """The same."""
        return "http://{}:{}".format(*self.http)

    @property
    def output(self) -> str:
        """What it printed, in all its lives."""
        lives = (f"--- {self.name}\n{life.output}" for life in self._lives)
        return "\n".join(lives)

    @property
    def running(self) -> Hornbeam:
        """Its present life."""
        assert self.server is not None, "not started"
        return self.server

    def start(self) -> Node:
        """A new life, on the folder of the last one."""
        options = {**self.cluster.options_of(self), **self.options}
        server = Hornbeam(self.cluster.app, env=self._environment(), **options)
        if self.cluster.launcher is not None:
            server.command[0] = str(self.cluster.launcher)
        if self.cluster.network is not None:
            server.command[:0] = self.cluster.network.inside(self.number)
        self.server = server
        self._lives.append(server)
        try:
            server.start()
        except BaseException:
            print(self.output)
            server.kill()
            raise
        return self

    def stop(self) -> None:
        """SIGTERM, as a rolling restart does."""
        status = self.running.stop()
        assert status == 0, f"{self.name} exited with {status}:\n{self.running.output}"

    def kill(self) -> None:
        """SIGKILL to the VM, the workers and all else at once: as a machine that loses power."""
        self.running.kill()
        self._paused.clear()

    def pause(self) -> None:
        """SIGSTOP to all its processes."""
        server = self.running
        self._paused = [server.pid, *server.descendants()]
        for pid in self._paused:
            _send(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        for pid in self._paused:
            _send(pid, signal.SIGCONT)
        self._paused.clear()

    def is_alive(self) -> bool:
        """Whether its VM runs."""
        with suppress(StopIteration):
            return self.running.beam() > 0
        return False

    def jump(self, seconds: int) -> None:
        """Its clock goes so much before or after the machine's, within a second."""
        (self.folder / "clock").write_text(f"{seconds:+}")

    def slow_disk(self, milliseconds: int) -> None:
        """Every fsync takes so much longer; 0: no longer."""
        with self._delay.open("r+b") as file:
            file.write(struct.pack("i", milliseconds))

    def fill_disk(self) -> None:
        """Takes what is left of it."""
        with (self.disk / "ballast").open("wb") as file:
            size = 0
            for step in (1 << 22, 1 << 12):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), size, step)
                        size += step

    def empty_disk(self) -> None:
        """Gives it back."""
        (self.disk / "ballast").unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        env = {**self.cluster.env, "NODE": self.name}
        if self.cluster.preloaded:
            env |= {
                "LD_PRELOAD": ":".join(map(str, self.cluster.preloaded)),
                "SLOW_DISK": str(self._delay),
                "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            }
        return env


class Cluster:
    """`count` nodes that are to form one cluster. `options`: of every node, by their keys."""

    def __init__(
        self,
        app: str,
        folder: Path,
        *,
        count: int = 3,
        network: Network | None = None,
        faults: bool = False,
        env: dict[str, str] | None = None,
        launcher: Path | None = None,
        **options: Any,
    ) -> None:
        self.app, self.folder, self.network, self.env = app, folder, network, env or {}
        self.launcher = launcher
        loopback = [f"127.0.0.{number + 1}" for number in range(count)]
        self.addresses = loopback if network is None else network.addresses
        self.options = options
        self.preloaded = _preloaded(folder) if faults else []
        self._make_certificates()
        self._disks = ExitStack()
        found = ports(loopback, 3) if network is None else [8000, 4370, 9000]
        self.http_port, self.cluster_port, self.metrics_port = found
        self.nodes = [Node(self, number) for number in range(count)]
        if faults:
            for node in self.nodes:
                self._disks.enter_context(_Disk(node.disk))

    def options_of(self, node: Node) -> dict[str, Any]:
        """Those that make it a node of this cluster."""
        certificates = self.folder / "certificates"
        return {
            "bind": "{}:{}".format(*node.http),
            "metrics_bind": f"{node.address}:{self.metrics_port}",
            "cluster": f"static:{','.join(self.addresses)}",
            "cluster_address": node.address,
            "cluster_port": self.cluster_port,
            "cluster_dir": node.disk,
            "cluster_ca": certificates / "ca.pem",
            "cluster_cert": certificates / f"{node.address}.pem",
            "cluster_key": certificates / f"{node.address}-key.pem",
            **self.options,
        }

    def start(self) -> Cluster:
        """All at once: the first time they wait for each other."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Node.start, self.nodes))
        return self

    def heal(self) -> None:
        """Ends every fault but the death of nodes."""
        if self.network is not None:
            self.network.heal()
        for node in self.nodes:
            node.resume()
            node.jump(0)
            node.slow_disk(0)
            node.empty_disk()

    def _make_certificates(self) -> None:
        folder = str(self.folder / "certificates")
        command = [str(ROOT / "bin" / "hornbeam"), "cluster", "ca", folder]
        subprocess.run([*command, *self.addresses], check=True, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        """Ends all that runs, at once."""
        for node in self.nodes:
            if node.server is not None:
                node.kill()
        self._disks.close()

    def __enter__(self) -> Cluster:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.heal()
            alive = [node for node in self.nodes if node.is_alive()]
            if error is not None:
                for node in self.nodes:
                    print(node.output)
            else:
                with ThreadPoolExecutor(len(self.nodes)) as pool:
                    list(pool.map(Node.stop, alive))
        finally:
            self.close()


class _Disk:
    """A small file system in memory, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __enter__(self) -> None:
        size = f"size={DISK},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", self.folder], check=True)

    def __exit__(self, *_about: object) -> None:
        subprocess.run(["umount", "-l", self.folder], check=True)


def _preloaded(folder: Path) -> list[Path]:
    """The libraries that slow the disk and let the clock jump, where they can be had."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if compiler := shutil.which("cc"):
        slow = folder / "slow_disk.so"
        source = HERE / "slow_disk.c"
        command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(slow), str(source), "-ldl"]
        subprocess.run(command, check=True)
        libraries.append(slow)
    return libraries


def ports(addresses: list[str], count: int) -> list[int]:
    """So many that are free on all the addresses now."""
    with ExitStack() as probes:
        found: list[int] = []
        while len(found) < count:
            first = probes.enter_context(socket.socket())
            first.bind((addresses[0], 0))
            port: int = first.getsockname()[1]
            with suppress(OSError):
                for address in addresses[1:]:
                    probes.enter_context(socket.socket()).bind((address, port))
                found.append(port)
        return found


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
