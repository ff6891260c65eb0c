"""What callers of the cluster were told, and what they are told, when something is broken.

One cluster of three nodes with networks and disks of their own; needs root. Every test ends with a
cluster that is whole again. The promises are those of docs/clustering.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import wait_until

from cluster.judge import holds
from cluster.network import Network, NoNetworkError
from cluster.nodes import Cluster, Node

# Of a cluster that has lost its leader: to have another one. Of one that is whole again: to be one.
# Longer than either takes on a machine that has much else to do.
ELECTION, WHOLE = 60.0, 120.0
# Of whoever asks, and of a holder of a lock that gets no processor.
PATIENCE, TURN = 60.0, 5.0
# Of an operation that waits for an answer: the option cluster_timeout.
TIMEOUT = 5.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    env = {"LOCK_JOURNAL": str(folder / "locks")}
    with ExitStack() as stack:
        try:
            network = stack.enter_context(Network(3))
        except NoNetworkError as error:
            pytest.skip(str(error))
        yield stack.enter_context(
            Cluster(
                "cluster_app:app", folder, network=network, faults=True, env=env,
                channels="cluster_app:channels", workers=1, cluster_ready=True,
            )
        )  # fmt: skip


@pytest.fixture
def cluster(made: Cluster) -> Iterator[Cluster]:
    whole(made)
    yield made
    made.heal()
    for node in made.nodes:
        if not node.is_alive():
            node.kill()
            node.start()
    whole(made)


def whole(cluster: Cluster) -> None:
    for node in cluster.nodes:
        wait_until(lambda n=node: asked(n, "incr", "works", 1)[0] == 200, WHOLE, node.name)  # type: ignore[misc]
    are_members(cluster)
    names = [node.name for node in cluster.nodes]
    for node in cluster.nodes:
        wait_until(lambda n=node: got(n, "/there") == names, WHOLE, f"all are there on {node.name}")  # type: ignore[misc]


def are_members(cluster: Cluster) -> None:
    """Every node's own member has what the cluster has said yes to."""
    now = time.monotonic()
    told(cluster.nodes[0], "put", "whole", now, within=WHOLE)
    for node in cluster.nodes:
        what = f"{node.name} is a member"
        try:
            wait_until(lambda n=node: asked(n, "local", "whole") == (200, now), WHOLE, what)  # type: ignore[misc]
        except AssertionError:
            print(node.output)
            raise


def got(node: Node, path: str) -> Any:
    """What it answers; None where it does not."""
    try:
        return httpx.get(f"{node.url}{path}", timeout=PATIENCE).json()
    except (httpx.HTTPError, ValueError):
        return None


def asked(node: Node, kind: str, key: str, *args: Any) -> tuple[int, Any]:
    """Status and what was said."""
    said = {"kind": kind, "key": key, "args": list(args)}
    try:
        answer = httpx.post(f"{node.url}/op", json=said, timeout=PATIENCE)
    except httpx.HTTPError as error:
        return 0, repr(error)
    if answer.status_code >= 500 and "json" not in answer.headers.get("content-type", ""):
        return answer.status_code, answer.text
    content = answer.json()
    return answer.status_code, content["result" if answer.status_code == 200 else "error"]


def told(node: Node, kind: str, key: str, *args: Any, within: float = ELECTION) -> Any:
    """The result, of the first answer that has one."""

    def answered() -> tuple[Any] | None:
        status, result = asked(node, kind, key, *args)
        return (result,) if status == 200 else None

    try:
        found = wait_until(answered, within, f"{node.name} answers {kind} {key}")
    except AssertionError:
        print(node.output)
        raise
    assert found is not None
    return found[0]


def leader(cluster: Cluster) -> Node:
    def named() -> Node | None:
        for node in cluster.nodes:
            name = got(node, "/leader")
            found = [other for other in cluster.nodes if other.name == name]
            if found:
                return found[0]
        return None

    found = wait_until(named, ELECTION, "there is a leader")
    assert found is not None
    return found


def others(cluster: Cluster, node: Node) -> list[Node]:
    return [other for other in cluster.nodes if other is not node]


def test_a_node_that_is_killed_takes_nothing_with_it(cluster: Cluster) -> None:
    first = leader(cluster)
    assert told(first, "put", "killed", "said by the leader") is None
    first.kill()
    for node in others(cluster, first):
        assert told(node, "get", "killed") == "said by the leader"
    told(others(cluster, first)[0], "put", "killed", "said meanwhile")
    first.start()
    assert told(first, "get", "killed") == "said meanwhile"


def test_all_are_killed(cluster: Cluster) -> None:
    for number, node in enumerate(cluster.nodes):
        told(node, "put", f"all{number}", number)
    for node in cluster.nodes:
        node.kill()
    first, *rest = cluster.nodes
    first.start()
    wait_until(lambda: asked(first, "get", "all0") == (503, "NoQuorumError"), WHOLE, "it is alone")
    for node in rest:
        node.start()
    for number in range(3):
        for node in cluster.nodes:
            assert told(node, "get", f"all{number}", within=WHOLE) == number


@pytest.mark.parametrize("whom", ["leader", "follower"])
def test_a_node_that_reaches_nobody(cluster: Cluster, whom: str) -> None:
    """It refuses, or says that it does not know; the others go on; after the heal all agree."""
    assert cluster.network is not None
    alone = leader(cluster) if whom == "leader" else others(cluster, leader(cluster))[0]
    rest = others(cluster, alone)
    told(alone, "put", whom, "before")
    cluster.network.part([alone.number], [node.number for node in rest])
    for node in rest:
        assert told(node, "get", whom) == "before"
    told(rest[0], "put", whom, "meanwhile")
    # Until it has noticed it does not know; then it refuses at once, and that is not done.
    said: set[tuple[int, Any]] = set()

    def refuses() -> bool:
        answer = asked(alone, "put", whom, "alone")
        said.add(answer)
        return answer == (503, "NoQuorumError")

    wait_until(refuses, WHOLE, "it refuses")
    assert said <= {(503, "NoQuorumError"), (503, "InDoubtError")}
    may_be = {"meanwhile"} | ({"alone"} if len(said) == 2 else set())
    took = []
    for _ in range(5):
        for said_of_it in (("put", whom, "refused"), ("get", whom)):
            began = time.monotonic()
            assert asked(alone, *said_of_it) == (503, "NoQuorumError")
            took.append(time.monotonic() - began)
    assert min(took) < TIMEOUT, "it waits for nothing"
    assert asked(alone, "local", whom) == (200, "before")
    cluster.network.heal()
    # What is in doubt may still be on its way.
    found: set[object] = set()

    def all_agree() -> bool:
        nonlocal found
        found = {told(node, "get", whom, within=WHOLE) for node in cluster.nodes}
        return len(found) == 1

    wait_until(all_agree, WHOLE, "all say the same")
    assert found <= may_be


@pytest.mark.parametrize("cut", ["one way", "bridge"])
def test_links_that_are_half_broken(cluster: Cluster, cut: str) -> None:
    """Somewhere writes go on, and everything that was acknowledged is there afterwards."""
    assert cluster.network is not None
    first = leader(cluster)
    one, other = others(cluster, first)
    if cut == "one way":
        cluster.network.cut(first.number, one.number)
    else:
        cluster.network.part([first.number, other.number], [other.number, one.number])
    acknowledged = sum(told(node, "incr", cut, 1) is not None for node in [other] for _ in range(5))
    cluster.network.heal()
    for node in cluster.nodes:
        assert told(node, "get", cut, within=WHOLE) == acknowledged


def test_a_leader_that_stands_still(cluster: Cluster) -> None:
    first = leader(cluster)
    told(first, "put", "still", 1)
    first.pause()
    told(others(cluster, first)[0], "put", "still", 2)
    first.resume()
    assert told(first, "get", "still") == 2


def test_a_clock_that_jumps(cluster: Cluster) -> None:
    """Neither loses what is to stay nor keeps what is to go."""
    first = leader(cluster)
    told(first, "put", "clock", 1)
    with ThreadPoolExecutor() as pool:
        said = {"seconds": 4, "ttl": 60, "timeout": WHOLE}
        held = pool.submit(httpx.post, f"{first.url}/hold/clock", json=said, timeout=2 * WHOLE)
        journal = cluster.folder / "locks"
        wait_until(lambda: "clock" in lines(journal, "acquired"), PATIENCE, "it has the lock")
        first.jump(7200)
        assert told(first, "incr", "jumps", 1) == 1
        assert held.result().json()["lost"] is False
    first.jump(-7200)
    assert told(others(cluster, first)[0], "get", "clock") == 1


def test_a_disk_that_is_full(cluster: Cluster) -> None:
    """The cluster goes on without the node that led; with room again it is a member again."""
    full = leader(cluster)
    told(full, "put", "full", 1)
    full.fill_disk()
    rest = others(cluster, full)
    for _ in range(20):
        told(rest[0], "put", "large", "x" * 50_000)
        told(rest[0], "incr", "room", 1)
    assert told(rest[1], "get", "full") == 1
    full.empty_disk()
    assert told(full, "get", "room", within=WHOLE) >= 20
    # As a member: with one of the two others it is a majority.
    are_members(cluster)
    rest[0].kill()
    told(rest[1], "incr", "room", 1, within=WHOLE)


@pytest.mark.parametrize("whom", ["leader", "follower"])
def test_a_disk_that_is_slow(cluster: Cluster, whom: str) -> None:
    """Nothing is lost, and the cluster goes on."""
    first = leader(cluster)
    slow = first if whom == "leader" else others(cluster, first)[0]
    told(slow, "put", "slow", whom)
    slow.slow_disk(500)
    for node in cluster.nodes:
        told(node, "incr", f"slow {whom}", 1, within=WHOLE)
    slow.slow_disk(0)
    for node in cluster.nodes:
        assert told(node, "get", f"slow {whom}", within=WHOLE) >= 3
        assert told(node, "get", "slow") == whom


def test_a_log_that_has_a_hole(cluster: Cluster) -> None:
    """Which a full disk may leave: the others remove the member, and it joins anew."""
    damaged, other, _ = cluster.nodes
    for _ in range(20):
        told(other, "incr", "hole", 1)
    damaged.kill()
    damaged.start()  # what was in the log's first file is in a segment now
    are_members(cluster)
    damaged.kill()
    (segment, *_) = sorted(damaged.disk.glob("ra/*/*.segment"))
    content = bytearray(segment.read_bytes())
    assert content[:6] == b"RASG\0\2", "Ra writes another format now"
    # The fifth entry of the index is as the sixth is.
    content[8 + 4 * 32 : 8 + 5 * 32] = content[8 + 5 * 32 : 8 + 6 * 32]
    segment.write_bytes(content)
    damaged.start()
    are_members(cluster)
    assert asked(damaged, "local", "hole") == (200, 20)
    assert "joins anew" in damaged.output


def test_a_lock_whose_holder_is_cut_off(cluster: Cluster) -> None:
    """The others get it when its lease is over; it hears of that before, and the token is larger"""
    assert cluster.network is not None
    alone = others(cluster, leader(cluster))[0]
    other = others(cluster, alone)[0]
    journal = cluster.folder / "locks"
    said = {"ttl": 5, "timeout": WHOLE}

    def hold(node: Node, seconds: float) -> Any:
        asked_for = {**said, "seconds": seconds}
        return httpx.post(f"{node.url}/hold/cut", json=asked_for, timeout=2 * WHOLE)

    with ThreadPoolExecutor() as pool:
        held = pool.submit(hold, alone, WHOLE)
        wait_until(lambda: "cut" in lines(journal, "acquired"), PATIENCE, "it has the lock")
        cluster.network.part([alone.number], [node.number for node in others(cluster, alone)])
        second = hold(other, 0.1).json()
        cluster.network.heal()
        held.result()
    first, last = sorted(
        (hold for hold in holds(journal.read_text().splitlines()) if hold.name == "cut"),
        key=lambda hold: hold.token,
    )
    assert last.token == second["token"] > first.token
    assert first.writes[-1] < last.acquired + TURN
    assert "cut" in lines(journal, "lost")


def lines(journal: Path, event: str) -> set[str]:
    """The names of the locks of which that is written."""
    if not journal.exists():
        return set()
    words = [line.split() for line in journal.read_text().splitlines()]
    return {word[0] for word in words if word[2] == event}
