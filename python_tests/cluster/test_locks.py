"""Locks, semaphores and elections over three nodes: who has them when processes and nodes end,
stand still, are cut off, and lose the majority: the table of docs/locks.md. In the stand-in:
python_tests/services/test_locks_stand_in.py; the rules: EUnit's hornbeam_cluster_leases_tests,
hornbeam_cluster_locks_tests and PropEr's prop_hornbeam_cluster_claims. The partition needs root."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until

from cluster.network import network_if_possible
from cluster.nodes import Cluster, Node

# Of a lease that is to run out; of one that no busy machine outlasts.
TTL, LONG = 2, 3600
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
    return ask(node, f"/take/lock/{name}", **{"ttl": LONG, **query})


def taken(node: Node, name: str, ttl: int = LONG) -> dict[str, int]:
    """Token and process, when the cluster has a leader again: until then it is not held."""

    def answered() -> dict[str, int] | None:
        answer = take(node, name, ttl=ttl, timeout=WITHIN / 2)
        return answer if isinstance(answer, dict) else None

    found = wait_until(answered, WITHIN, f"{node.name} gets {name}")
    assert found is not None
    return found


def gets(node: Node, name: str, ttl: int = LONG) -> int:
    """Its token."""
    return taken(node, name, ttl)["token"]


def is_not_free(node: Node, name: str) -> None:
    def is_held() -> bool:
        return bool(take(node, name, timeout=0) == "TimeoutError")

    wait_until(is_held, WITHIN, f"{name} is held by another")


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
    first = gets(nodes[0], "turn")
    is_not_free(nodes[1], "turn")
    waits = pool.submit(gets, nodes[2], "turn")
    assert give(nodes[0], "turn") == "given"
    assert waits.result() > first
    assert give(nodes[2], "turn") == "given"


def test_a_lease_is_renewed(nodes: list[Node], pool: ThreadPoolExecutor) -> None:
    """It is kept for longer than its lease; a machine that is too busy gets a longer one."""
    for ttl in (TTL, 5 * TTL, 20 * TTL):
        first = gets(nodes[0], "renewed", ttl)
        waits: Future[int] = pool.submit(gets, nodes[2], "renewed")
        with suppress(TimeoutError):
            second = waits.result(ttl * 1.5)
            assert second > first
            assert give(nodes[2], "renewed") == "given"
            assert give(nodes[0], "renewed") == "LockLostError"
            continue
        assert give(nodes[0], "renewed") == "given"
        assert waits.result() > first
        assert give(nodes[2], "renewed") == "given"
        return
    pytest.fail("no lease was renewed")


def test_a_worker_is_killed(nodes: list[Node]) -> None:
    """What it had is free before its lease is over."""
    first = taken(nodes[0], "worker")
    os.kill(first["pid"], signal.SIGKILL)
    assert gets(nodes[1], "worker") > first["token"]
    assert give(nodes[1], "worker") == "given"


def test_a_node_stands_still(nodes: list[Node]) -> None:
    """Longer than the lease: another one gets it, with a larger token; then it hears of that."""
    first = gets(nodes[0], "still", TTL)
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

    def leading() -> list[tuple[Node, int]]:
        terms = [(node, *current(node)) for node in nodes if leads(node)]
        return [(node, token) for node, token, name in terms if name == node.name]

    wait_until(lambda: len(leading()) == 1, WITHIN, "one leads")
    ((gone, before),) = wait_until(leading, WITHIN, "it knows")[:1]
    others = [node for node in nodes if node is not gone]
    first = gets(gone, "node", TTL)
    gone.kill()
    assert gets(others[0], "node") > first

    def another() -> bool:
        token, name = current(others[1])
        return token > before and name != gone.name

    wait_until(another, WITHIN, "another one leads")
    wait_until(lambda: sum(map(leads, others)) == 1, WITHIN, "one leads")
    gone.start()
    assert give(others[0], "node") == "given"
    # What it held before is not in its way.
    assert gets(gone, "node") > first
    assert give(gone, "node") == "given"


def test_a_node_is_stopped(nodes: list[Node]) -> None:
    """What it had is free before its lease is over."""
    token = gets(nodes[1], "stopped")
    nodes[1].stop()
    assert gets(nodes[2], "stopped") > token
    nodes[1].start()
    assert give(nodes[2], "stopped") == "given"
    gets(nodes[1], "stopped")
    assert give(nodes[1], "stopped") == "given"


def test_a_partition(nodes: list[Node], pool: ThreadPoolExecutor) -> None:
    """With two holders, on the side of the majority and on the other one; who waits there."""
    alone, *rest = nodes
    network = alone.cluster.network
    if network is None:
        pytest.skip("there are no networks to cut")
    kept, lost = gets(rest[0], "kept"), gets(alone, "lost", TTL)
    queued = pool.submit(gets, rest[1], "kept")
    network.part([alone.number], [node.number for node in rest])
    wait_until(lambda: held(alone, "lost") == [lost, True], WITHIN, "it hears that it is lost")
    assert gets(rest[0], "lost") > lost
    wait_until(lambda: take(alone, "other") == "NoQuorumError", WITHIN, "nothing is given")
    assert held(rest[0], "kept") == [kept, False]
    network.heal()
    assert give(alone, "lost") == "LockLostError"
    is_not_free(alone, "kept")
    assert held(rest[0], "kept") == [kept, False]
    assert give(rest[0], "kept") == "given"
    assert queued.result() > kept, "the queue goes on"
    assert [give(rest[1], "kept"), give(rest[0], "lost")] == ["given", "given"]


def test_another_node_is_killed(nodes: list[Node], pool: ThreadPoolExecutor) -> None:
    """The one that leads, or not: who has a lock keeps it, who waits keeps his place."""
    holder, waits, gone = nodes
    kept = gets(holder, "kept")
    queued = pool.submit(gets, waits, "kept")
    gone.kill()
    gets(holder, "meanwhile")
    assert give(holder, "meanwhile") == "given"
    assert held(holder, "kept") == [kept, False]
    assert give(holder, "kept") == "given"
    assert queued.result() > kept
    assert give(waits, "kept") == "given"
    gone.start()
    gets(gone, "back")
    assert give(gone, "back") == "given"


def test_without_a_majority(nodes: list[Node]) -> None:
    """Who holds it hears that it is lost, and nobody gets it."""
    token = gets(nodes[0], "minority", TTL)
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
    token = gets(nodes[0], "all")
    for node in nodes:
        node.kill()
    list(pool.map(Node.start, nodes))
    assert gets(nodes[1], "all") > token
    assert give(nodes[1], "all") == "given"


def test_without_a_cluster() -> None:
    with Hornbeam("locks_app:app") as server:
        assert take(server, "x") == "NoClusterError"
