"""What bench/replicated.py measures: Hornbeam's replicated state, etcd, Redis with two replicas;
three nodes each at 127.0.0.1 to 127.0.0.3, with their files in one folder.

Owns their processes. Each has `measure(operation, clients, seconds)`: that many clients, each of
which waits for its answer before it asks again, on the node that leads. Those of Hornbeam are
coroutines of its worker; those of etcd connections of h2load, which speaks gRPC to it (a client in
Python would be the slower half); those of Redis connections of redis-py with hiredis, in uvloop.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import redis.asyncio
from cluster.nodes import Cluster, Node, ports
from harness import wait_until
from processes import cpu, pss
from servers import APPS, await_listener, program

__all__ = ["VALUE", "Etcd", "Nodes", "Redis", "Requests", "Sample", "System", "ask", "nodes"]

VALUE = "x" * 100
KEYS = 1000
COOKIE = {"HORNBEAM_CLUSTER_COOKIE": "a-secret-of-the-figures-of-the-cluster"}
ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
# Hornbeam's operations as etcd's methods.
METHODS = {"set": "Put", "get": "Range", "local": "Range"}


@dataclass(frozen=True)
class Sample:
    """Operations a second, times in ms, µs of CPU time of all the system's processes for each."""

    rate: float
    p50: float
    p99: float
    longest: float
    cpu: float


class System(Protocol):
    """What can be measured."""

    def measure(self, operation: str, clients: int, seconds: float) -> Sample: ...


def sampled(times: list[float], seconds: float, used: float) -> Sample:
    """Of how long each operation took, in ms."""
    times.sort()
    count = len(times)
    return Sample(
        count / seconds, times[count // 2], times[int(count * 0.99)], times[-1], used / count
    )


# --- Hornbeam ---


def ask(node: Node, path: str, timeout: float = 600) -> Any:
    """What bench/apps/cluster.py answers."""
    return httpx.get(node.url + path, timeout=timeout).raise_for_status().json()


@contextmanager
def nodes(
    folder: Path, *, secure: bool = True, started: int = 3, **options: Any
) -> Iterator[Nodes]:
    """A cluster of bench/apps/cluster.py with one worker on each node; so many are started."""
    if not secure:
        options |= dict.fromkeys(("cluster_ca", "cluster_cert", "cluster_key"))
        options["cluster_insecure"] = True
    folder.mkdir(mode=0o700)
    cluster = Cluster(
        "cluster:app", folder, env={} if secure else COOKIE,
        **{"pythonpath": str(APPS), "lifespan": "off", "workers": 1, **options},
    )  # fmt: skip
    late, cluster.nodes = cluster.nodes[started:], cluster.nodes[:started]
    with cluster:
        cluster.nodes += late
        yield Nodes(cluster)


class Nodes:
    """Hornbeam's three."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def leader(self) -> Node:
        """The node that leads, once one does."""
        first = self.cluster.nodes[0]
        name = wait_until(
            lambda: (info := ask(first, "/info"))["quorum"] and info["leader"], 30, "one leads"
        )
        return next(node for node in self.cluster.nodes if node.name == name)

    def cpu(self) -> float:
        """µs that all nodes have used."""
        return sum(cpu(node.running.pid).all for node in self.cluster.nodes)

    def pss(self) -> list[int]:
        """Bytes of memory of each node's VM."""
        return [pss(node.running.beam()) for node in self.cluster.nodes]

    def measure(self, operation: str, clients: int, seconds: float) -> Sample:
        """Inside the leader's worker."""
        before = self.cpu()
        found = ask(self.leader(), f"/{operation}/{clients}/{seconds}")
        used = (self.cpu() - before) / (found["rate"] * seconds)
        assert found["failed"] == 0, f"{found['failed']:.0f} failed"
        return Sample(found["rate"], found["p50"], found["p99"], found["max"], used)


class Requests:
    """The same cluster, with an HTTP request for each operation."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes

    def measure(self, operation: str, clients: int, seconds: float) -> Sample:
        """h2load as a client of the leader's server."""
        assert operation == "set"
        before = self.nodes.cpu()
        url = f"{self.nodes.leader().url}/write"
        times = h2load(url, clients, seconds, "--h1")
        return sampled(times, seconds, self.nodes.cpu() - before)


def h2load(url: str, clients: int, seconds: float, *more: str) -> list[float]:
    """How long each request took, in ms."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder) / "log"
        words = [program("h2load"), f"-c{clients}", "-m1", "-t1", f"-D{seconds:g}"]
        done = subprocess.run(
            [*words, f"--log-file={log}", *more, url], capture_output=True, text=True, check=True
        )
        rows = [line.split("\t") for line in log.read_text().splitlines()]
    assert all(row[1] == "200" for row in rows), done.stdout
    return [int(row[2]) / 1000 for row in rows]


# --- etcd ---


class Etcd:
    """Three members."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client, peer = ports(ADDRESSES, 2)
        members = ",".join(f"n{n}=http://{a}:{peer}" for n, a in enumerate(ADDRESSES))
        self.commands = [
            [
                program("etcd"), f"--name=n{n}", f"--data-dir={folder / f'n{n}'}",
                f"--listen-client-urls=http://{a}:{self.client}",
                f"--advertise-client-urls=http://{a}:{self.client}",
                f"--listen-peer-urls=http://{a}:{peer}",
                f"--initial-advertise-peer-urls=http://{a}:{peer}",
                f"--initial-cluster={members}", "--initial-cluster-state=new",
                "--logger=zap", f"--log-outputs={folder / f'log{n}'}",
            ]
            for n, a in enumerate(ADDRESSES)
        ]  # fmt: skip
        self.processes: list[subprocess.Popen[bytes]] = []
        self.bodies: dict[str, Path] = {}

    def __enter__(self) -> Etcd:
        self.folder.mkdir(mode=0o700)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes = [subprocess.Popen(words, **quiet) for words in self.commands]  # type: ignore[call-overload]
        try:
            wait_until(self._leader, 30, "etcd has a leader")
        except BaseException:
            self.__exit__()
            raise
        key, value = _field(1, b"bench"), _field(2, VALUE.encode())
        # PutRequest, RangeRequest, and that with serializable: a read that may be old.
        for name, message in (("set", key + value), ("get", key), ("local", key + b"\x38\x01")):
            self.bodies[name] = self.folder / f"{name}.bin"
            self.bodies[name].write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        return self

    def __exit__(self, *_about: object) -> None:
        _end_all(self.processes)

    def _status(self) -> list[dict[str, Any]]:
        endpoints = ",".join(f"http://{a}:{self.client}" for a in ADDRESSES)
        words = [program("etcdctl"), f"--endpoints={endpoints}", "endpoint", "status", "-wjson"]
        env = {**os.environ, "ETCDCTL_API": "3"}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
        return json.loads(done.stdout) if done.returncode == 0 else []

    def _leader(self) -> str | None:
        for each in self._status():
            status = each["Status"]
            if status.get("leader") == status["header"]["member_id"]:
                return str(each["Endpoint"])
        return None

    def measure(self, operation: str, clients: int, seconds: float) -> Sample:
        """On the leader."""
        leader, before = self._leader(), self._status()
        used = sum(cpu(process.pid).all for process in self.processes)
        times = h2load(
            f"{leader}/etcdserverpb.KV/{METHODS[operation]}", clients, seconds,
            f"-d{self.bodies[operation]}", "-Hcontent-type: application/grpc", "-Hte: trailers",
        )  # fmt: skip
        used = sum(cpu(process.pid).all for process in self.processes) - used
        if operation == "set":
            # Errors of gRPC have status 200 as well.
            wrote = [_revision(status) for status in (self._status(), before)]
            assert wrote[0] - wrote[1] >= len(times), "etcd has not written all"
        return sampled(times, seconds, used)


def _field(number: int, value: bytes) -> bytes:
    """Of a protocol buffer."""
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def _revision(status: list[dict[str, Any]]) -> int:
    return max(int(each["Status"]["header"]["revision"]) for each in status)


# --- Redis ---


class Redis:
    """A server and two replicas; a write is answered when one of them has it (WAIT 1)."""

    def __init__(self, folder: Path, appendfsync: str) -> None:
        self.folder, self.fsync = folder, appendfsync
        self.port = ports(ADDRESSES, 1)[0]
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Redis:
        self.folder.mkdir(mode=0o700)
        try:
            for number, address in enumerate(ADDRESSES):
                self._start(number, address)
            with redis.Redis(ADDRESSES[0], self.port) as client:
                wait_until(lambda: client.execute_command("WAIT", 2, 100) == 2, 30, "replicas")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, number: int, address: str) -> None:
        folder = self.folder / f"n{number}"
        folder.mkdir()
        words = [
            program("redis-server"), "--port", str(self.port), "--bind", address,
            "--dir", str(folder), "--save", "", "--appendonly", "yes",
            "--appendfsync", self.fsync, "--repl-diskless-sync-delay", "0",
        ]  # fmt: skip
        if number:
            words += ["--replicaof", ADDRESSES[0], str(self.port)]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        self.processes.append(process)
        if not number:
            await_listener(self.port, process)

    def __exit__(self, *_about: object) -> None:
        _end_all(self.processes)

    def measure(self, operation: str, clients: int, seconds: float) -> Sample:
        """As many connections as clients."""
        import uvloop

        used = sum(cpu(process.pid).all for process in self.processes)
        times = uvloop.run(self._together(operation, clients, seconds))
        used = sum(cpu(process.pid).all for process in self.processes) - used
        return sampled(times, seconds, used)

    async def _together(self, operation: str, clients: int, seconds: float) -> list[float]:
        until = time.perf_counter() + seconds
        each = [self._client(operation, number, until) for number in range(clients)]
        return [took for times in await asyncio.gather(*each) for took in times]

    async def _client(self, operation: str, number: int, until: float) -> list[float]:
        client = redis.asyncio.Redis(host=ADDRESSES[0], port=self.port)
        write, clock, times = operation == "set", time.perf_counter, []
        begun = clock()
        while begun < until:
            key = f"bench:{number}"
            if write:
                pipe = client.pipeline(transaction=False)
                pipe.set(key, VALUE)
                pipe.execute_command("WAIT", 1, 5000)
                _, replicas = await pipe.execute()
                assert replicas >= 1
            else:
                await client.get(key)
            ended = clock()
            times.append((ended - begun) * 1000)
            begun, number = ended, (number + 1) % KEYS
        await client.aclose()
        return times


def _end_all(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
