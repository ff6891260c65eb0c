"""cluster_state over three nodes: what one says the others see; its bounds; what is promised in
docs/cluster-state.md and needs no broken links or disks (those are in test_faults.py)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from harness import wait_until

from cluster.nodes import Cluster, Node

COOKIE = {"HORNBEAM_CLUSTER_COOKIE": "a-secret-of-the-tests-of-the-state"}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("state")
    with Cluster(
        "cluster_state_app:app", folder, env=COOKIE, workers=1, lifespan="off",
        cluster_insecure=True, cluster_ca=None, cluster_cert=None, cluster_key=None,
        cluster_max_bytes=20 * MIB, cluster_ticktime=2000,
    ) as cluster:  # fmt: skip
        whole(cluster)
        yield cluster


def whole(cluster: Cluster) -> None:
    for node in cluster.nodes:
        wait_until(lambda n=node: is_there(n), 30, node.name)  # type: ignore[misc]


def is_there(node: Node) -> bool:
    info = ask(node, "info").json()
    return bool(info["quorum"] and info["leader"] and info.get("membership") == "voter")


def ask(node: Node, path: str, **said: Any) -> httpx.Response:
    if not said:
        return httpx.get(f"{node.url}/{path}", timeout=60)
    return httpx.post(f"{node.url}/{path}", json=said, timeout=60)


def call(node: Node, name: str, *args: Any, **kwargs: Any) -> Any:
    answer = ask(node, "call", name=name, args=args, kwargs=kwargs)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(node: Node, name: str, *args: Any) -> str:
    answer = ask(node, "call", name=name, args=args, kwargs={})
    assert answer.status_code == 409, answer.text
    text: str = answer.json()
    return text


def test_every_node_sees_what_any_has_said(cluster: Cluster) -> None:
    a, b, c = cluster.nodes
    call(a, "set", "name", "Ada")
    assert [call(node, "get", "name") for node in (a, b, c)] == ["Ada"] * 3
    assert call(b, "add", "name", "Eve") is False
    assert call(b, "cas", "name", "Ada", "Grace") is True
    assert call(c, "cas", "name", "Ada", "Eve") is False
    value, revision = call(c, "read", "name")
    assert value == "Grace"
    assert call(a, "replace", "name", revision, "Joan") is True
    assert call(b, "replace", "name", revision, "Eve") is False
    assert call(b, "read", "name")[1] > revision
    assert call(c, "read", "nobody") == [None, 0]
    assert call(a, "incr", "visits", 2) == 2
    assert call(b, "decr", "visits") == 1
    assert "TypeError" in refused(c, "incr", "name")
    assert call(c, "get_multi", ["name", "visits", "nobody"]) == {
        "name": "Joan", "visits": 1, "nobody": None,
    }  # fmt: skip
    assert call(a, "pop", "name") == "Joan"
    assert call(b, "delete", "name") is False
    assert call(c, "delete", "visits") is True


def test_many_at_once_count_exactly(cluster: Cluster) -> None:
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda n: ask(n, "many", key="all", count=500).json(), cluster.nodes))
    assert ended == [{"int": 500}] * 3
    assert call(cluster.nodes[0], "get", "all") == 1500


def test_keys_in_their_order_page_by_page(cluster: Cluster) -> None:
    a, b, _ = cluster.nodes
    for number in (2, 10, 1):
        call(a, "set", f"scan:{number:03}", number)
    call(a, "set", "scanned", True)
    assert call(b, "items", "scan:") == [["scan:001", 1], ["scan:002", 2], ["scan:010", 10]]
    assert call(b, "keys", "scan:") == ["scan:001", "scan:002", "scan:010"]
    wait_until(lambda: call(b, "keys", "scan:", local=True) == call(b, "keys", "scan:"), 10, "old")


def test_what_expires(cluster: Cluster) -> None:
    """Never early, and not much later."""
    a, b, c = cluster.nodes
    began = time.monotonic()
    call(a, "set", "short", 1, 0.5)
    call(a, "set", "kept", 1, 0.5)
    assert call(b, "touch", "kept", None) is True
    while call(c, "get", "short") is not None:
        assert time.monotonic() - began < 20
    assert time.monotonic() - began >= 0.5
    assert call(c, "get", "kept") == 1
    assert call(b, "touch", "short", 1) is False


def test_changes_are_told_once_and_in_order_on_every_node(cluster: Cluster) -> None:
    a, b, c = cluster.nodes
    call(a, "set", "watch:1", 0)
    with ThreadPoolExecutor(2) as pool:
        told = [pool.submit(ask, node, "watch", key="watch:*", count=5) for node in (b, c)]
        # Whoever begins to watch late gets the last value first, so all are seen to the end.
        for value in (1, 2):
            call(a, "set", "watch:1", value)
        call(b, "delete", "watch:1")
        for number in range(1, 6):
            call(c, "set", "watch:end", number)
        for future in told:
            changes = future.result().json()
            revisions = [revision for _, _, _, revision in changes]
            assert revisions == sorted(set(revisions))
            assert all(kind in ("put", "delete") for kind, _, _, _ in changes)


def test_how_large_values_may_be(cluster: Cluster) -> None:
    """A key and its value have 4 MiB together, with what a value is encoded in and 200 bytes."""
    most = 4 * MIB - 200 - len("big")
    told = ask(cluster.nodes[0], "sizes", sizes=[most - 40, most + 1, 4 * MIB]).json()
    assert told[0] == str(most - 40)
    assert all("4 MiB" in text for text in told[1:])
    assert call(cluster.nodes[1], "delete", "big") is True


def test_how_much_there_may_be(cluster: Cluster) -> None:
    """cluster_max_bytes: what makes nothing larger is still done."""
    a, b, _ = cluster.nodes
    value = "x" * 3 * MIB
    for number in range(6):
        call(a, "set", f"full:{number}", value)
    assert "cluster_max_bytes" in refused(a, "set", "full:6", value)
    assert "cluster_max_bytes" in refused(b, "set", "full:7", value)
    call(b, "set", "full:0", "y" * 3 * MIB)
    for number in range(6):
        assert call(b, "delete", f"full:{number}") is True
    call(a, "set", "full:6", 1)


def test_a_leader_is_killed_with_a_thousand_open(cluster: Cluster) -> None:
    """Each is answered once; what was acknowledged is there, once, and nothing that was refused."""
    name = ask(cluster.nodes[0], "info").json()["leader"]
    leader = next(node for node in cluster.nodes if node.name == name)
    one, other = (node for node in cluster.nodes if node is not leader)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, node, "many", key="open", count=1000) for node in (one, other)]
        wait_until(lambda: call(one, "get", "open", local=True) is not None, 20, "some are done")
        leader.kill()
        ended = [future.result().json() for future in asked]
    assert [sum(each.values()) for each in ended] == [1000, 1000]
    acknowledged = sum(each.get("int", 0) for each in ended)
    doubtful = sum(each.get("InDoubtError", 0) for each in ended)
    wait_until(lambda: ask(one, "info").json()["quorum"], 20, "a majority")
    found = wait_until(lambda: _value(one, "open"), 20, "there is a leader")
    assert acknowledged <= found <= acknowledged + doubtful
    leader.start()
    whole(cluster)
    assert call(leader, "get", "open") == found


def _value(node: Node, key: str) -> int:
    answer = ask(node, "call", name="get", args=[key], kwargs={})
    return int(answer.json()) if answer.status_code == 200 else 0


def test_a_stop_of_each_node_in_turn_fails_nothing(cluster: Cluster) -> None:
    """A node that stops hands over what it leads."""
    for node in cluster.nodes:
        other = next(each for each in cluster.nodes if each is not node)
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(node.stop)
            counts = [ask(other, "many", key="turns", count=20).json() for _ in range(10)]
            stopping.result()
        assert counts == [{"int": 20}] * 10
        node.start()
        whole(cluster)
    assert call(cluster.nodes[0], "get", "turns") == 600
