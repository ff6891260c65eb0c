"""Locks, semaphores and elections over three nodes: who has them when processes and nodes end,
stand still, are cut off, and lose the majority: the table of docs/locks.md. In the stand-in:
python_tests/services/test_locks_stand_in.py; the rules: EUnit's hornbeam_cluster_leases_tests,
hornbeam_cluster_locks_tests and PropEr's prop_hornbeam_cluster_claims. The partition needs root."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until

from cluster.network import network_if_possible
from cluster.nodes import Cluster, Node

TTL = 2
# Longer than anything takes here on a machine that has much else to do.
WITHIN = 120


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    folder = tmp_path_factory.mktemp("locks")
    with ExitStack() as stack:
        network = network_if_possible(stack, 3)
        env = {"CAMPAIGN": "1"}
        cluster = Cluster("locks_app:app", folder, network=network, env=env, workers=1)
        stack.enter_context(cluster)
        for node in cluster.nodes:
            gets(node, "formed")
            assert give(node, "formed") == "given"
        yield cluster.nodes


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def ask(node: Node | Hornbeam, path: str, **query: Any) -> Any:
    """The value of an answer, or the name of an error."""
    return httpx.post(node.url + path, params=query, timeout=WITHIN).json()


def take(node: Node | Hornbeam, name: str, **query: Any) -> Any:
    return ask(node, f"/take/lock/{name}", **{"ttl": TTL, **query})


def gets(node: Node, name: str) -> int:
    """Its token, when the cluster has a leader again."""

    def token() -> int:
        taken = take(node, name, timeout=30)
        if not isinstance(taken, dict):
            return 0
        return int(taken["token"])

    return wait_until(token, WITHIN, f"{node.name} gets {name}")


def held(node: Node, name: str) -> Any:
    return ask(node, "/held").get(name)


def give(node: Node, name: str) -> Any:
    return ask(node, f"/give/{name}")


def test_one_at_a_time_over_processes_and_nodes(
    nodes: list[Node], pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """In three processes, in tasks and threads: nobody meets anybody, and who comes later has a
    larger token."""
    query = {"rounds": 8, "threads": 4, "folder": str(tmp_path)}
    asked = [pool.submit(ask, node, "/fight/x", **query) for node in nodes for _ in range(2)]
    assert [each.result() for each in asked] == [12] * 6
    tokens = [int(line) for line in (tmp_path / "tokens").read_text().split()]
    assert len(tokens) == 72
    assert tokens == sorted(set(tokens))


def test_so_many_at_once(nodes: list[Node], pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    query = {"limit": 3, "rounds": 6, "folder": str(tmp_path)}
    most = [each.result() for each in [pool.submit(ask, n, "/places", **query) for n in nodes]]
    assert 1 <= max(most) <= 3


def test_who_waits_gets_it(nodes: list[Node], pool: ThreadPoolExecutor) -> None:
    first = take(nodes[0], "turn")["token"]
    assert take(nodes[1], "turn", timeout=0) == "TimeoutError"
    assert take(nodes[1], "turn", timeout=0.05) == "TimeoutError"
    waits: Future[Any] = pool.submit(take, nodes[2], "turn")
    # It is kept for longer than its lease: it is renewed.
    with pytest.raises(TimeoutError):
        waits.result(TTL * 1.5)
    assert give(nodes[0], "turn") == "given"
    assert waits.result()["token"] > first
    assert give(nodes[2], "turn") == "given"


def test_a_worker_is_killed(nodes: list[Node]) -> None:
    """What it had is free before its lease is over."""
    taken = take(nodes[0], "worker", ttl=3600)
    os.kill(taken["pid"], signal.SIGKILL)
    assert gets(nodes[1], "worker") > taken["token"]
    assert give(nodes[1], "worker") == "given"


def test_a_node_stands_still(nodes: list[Node]) -> None:
    """Longer than the lease: another one gets it, with a larger token; then it hears of that."""
    first = take(nodes[0], "still")["token"]
    nodes[0].pause()
    second = gets(nodes[1], "still")
    assert second > first
    nodes[0].resume()
    wait_until(lambda: held(nodes[0], "still") == [first, True], WITHIN, "it hears that it is lost")
    assert give(nodes[0], "still") == "LockLostError"
    assert held(nodes[1], "still") == [second, False]
    assert give(nodes[1], "still") == "given"


def leads(node: Node) -> bool:
    answer = ask(node, "/leader")
    return isinstance(answer, dict) and bool(answer["leads"])


def current(node: Node) -> tuple[int, str]:
    """Who leads, as this node has heard; (0, "") where it has not."""
    found = ask(node, "/leader")
    if not isinstance(found, dict):
        return 0, ""
    token, name = found["current"] or (0, "")
    return token, name


def test_a_node_is_killed(nodes: list[Node]) -> None:
    """Its locks are free when their leases are over, and another one leads; it comes back."""
    wait_until(lambda: sum(map(leads, nodes)) == 1, WITHIN, "one leads")
    (gone,) = filter(leads, nodes)
    before, name = current(gone)
    assert name == gone.name
    others = [node for node in nodes if node is not gone]
    first = take(gone, "node")["token"]
    gone.kill()
    assert gets(others[0], "node") > first

    def another() -> bool:
        token, name = current(others[1])
        return token > before and name != gone.name

    wait_until(another, WITHIN, "another one leads")
    assert sum(map(leads, others)) == 1
    gone.start()
    assert give(others[0], "node") == "given"
    # What it held before is not in its way.
    assert gets(gone, "node") > first
    assert give(gone, "node") == "given"


def test_a_node_is_stopped(nodes: list[Node]) -> None:
    """What it had is free before its lease is over."""
    token = take(nodes[1], "stopped", ttl=3600)["token"]
    nodes[1].stop()
    assert gets(nodes[2], "stopped") > token
    nodes[1].start()
    assert give(nodes[2], "stopped") == "given"


def test_a_partition(nodes: list[Node], pool: ThreadPoolExecutor) -> None:
    """With two holders, on the side of the majority and on the other one; who waits there."""
    alone, *rest = nodes
    network = alone.cluster.network
    if network is None:
        pytest.skip("there are no networks to cut")
    kept, lost = take(rest[0], "kept", ttl=3600)["token"], take(alone, "lost")["token"]
    queued = pool.submit(take, rest[1], "kept", timeout=WITHIN)
    network.part([alone.number], [node.number for node in rest])
    wait_until(lambda: held(alone, "lost") == [lost, True], WITHIN, "it hears that it is lost")
    assert gets(rest[0], "lost") > lost
    wait_until(lambda: take(alone, "other") == "NoQuorumError", WITHIN, "nothing is given")
    assert held(rest[0], "kept") == [kept, False]
    network.heal()
    assert give(alone, "lost") == "LockLostError"
    wait_until(lambda: take(alone, "kept", timeout=0) == "TimeoutError", WITHIN, "it is held")
    assert held(rest[0], "kept") == [kept, False]
    assert give(rest[0], "kept") == "given"
    assert queued.result()["token"] > kept, "the queue goes on"
    assert [give(rest[1], "kept"), give(rest[0], "lost")] == ["given", "given"]


def test_another_node_is_killed(nodes: list[Node], pool: ThreadPoolExecutor) -> None:
    """The one that leads, or not: who has a lock keeps it, who waits keeps his place."""
    holder, waits, gone = nodes
    kept = take(holder, "kept", ttl=60)["token"]
    queued = pool.submit(take, waits, "kept", ttl=60, timeout=WITHIN)
    gone.kill()
    gets(holder, "meanwhile")
    assert give(holder, "meanwhile") == "given"
    assert held(holder, "kept") == [kept, False]
    assert give(holder, "kept") == "given"
    assert queued.result()["token"] > kept
    assert give(waits, "kept") == "given"
    gone.start()
    gets(gone, "back")
    assert give(gone, "back") == "given"


def test_without_a_majority(nodes: list[Node]) -> None:
    """Who holds it hears that it is lost, and nobody gets it."""
    token = take(nodes[0], "minority")["token"]
    nodes[1].kill()
    nodes[2].kill()
    wait_until(
        lambda: held(nodes[0], "minority") == [token, True], WITHIN, "it hears that it is lost"
    )
    wait_until(lambda: take(nodes[0], "other") == "NoQuorumError", WITHIN, "nothing is given")
    assert give(nodes[0], "minority") == "LockLostError"
    nodes[1].start()
    nodes[2].start()
    assert gets(nodes[2], "minority") > token
    assert give(nodes[2], "minority") == "given"


def test_after_all_were_killed(nodes: list[Node], pool: ThreadPoolExecutor) -> None:
    """It is free, and tokens go on growing."""
    token = take(nodes[0], "all", ttl=3600)["token"]
    for node in nodes:
        node.kill()
    list(pool.map(Node.start, nodes))
    assert gets(nodes[1], "all") > token
    assert give(nodes[1], "all") == "given"


def test_without_a_cluster() -> None:
    with Hornbeam("locks_app:app") as server:
        assert take(server, "x") == "NoClusterError"
