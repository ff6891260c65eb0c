"""What spreads over nodes during a partition: each side goes on with those that it sees.

Three nodes with networks of their own; the first is cut off from the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import pytest
from harness import wait_until

from cluster.network import Network, NoNetworkError
from cluster.nodes import Cluster, Node

LIMIT = ["10/hour"]
# Longer than anything takes here on a machine that has much else to do.
WITHIN = 120


def ask(node: Node, name: str, *arguments: Any) -> Any:
    """What a function returns; None where it raises."""
    return httpx.post(f"{node.url}/{name}", json=arguments, timeout=WITHIN).json().get("value")


def linked(node: Node) -> int:
    """How many nodes this one knows as homes of results, itself included."""
    return len(ask(node, "stats", True))


def hears(publisher: Node, nodes: list[Node], number: int) -> None:
    """Published until all these have heard it: a node hears of subscriptions a moment later."""

    def heard() -> bool:
        ask(publisher, "publish", "news", number, 1)
        return all(number in ask(node, "heard", "news") for node in nodes)

    wait_until(heard, WITHIN, f"{number} is heard")


def keeps(publisher: Node, nodes: list[Node], number: int) -> None:
    """The same with the history of a channel, which is asked for on all of them."""

    def kept() -> bool:
        ask(publisher, "broadcast", "many:news", number, number)
        found = [ask(node, "kept", "many:news") or [] for node in nodes]
        return all(number in {n for _, n in each} for each in found)

    wait_until(kept, WITHIN, f"{number} is kept")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        try:
            network = stack.enter_context(Network(3))
        except NoNetworkError as error:
            pytest.skip(str(error))
        folder = tmp_path_factory.mktemp("partition")
        made = Cluster(
            "cluster_spread:app", folder, network=network, workers=1, cluster_ticktime=4000,
            channels="channel_events:channels",
        )  # fmt: skip
        yield stack.enter_context(made)


def test_each_side_goes_on_for_itself_and_both_together_after_a_heal(cluster: Cluster) -> None:
    one, *others = nodes = cluster.nodes
    network = cluster.network
    assert network is not None
    wait_until(lambda: all(linked(node) == 3 for node in nodes), WITHIN, "all are linked")
    for node in nodes:
        wait_until(
            partial(ask, node, "hits", 1, "before", LIMIT, "exact", "raise"),
            WITHIN,
            "a majority counts",
        )
    for node in nodes:
        ask(node, "listen", "news")
        # A node keeps what it sees from its first broadcast on.
        ask(node, "broadcast", "many:news", 0, 0)
    hears(one, nodes, 1)
    keeps(one, nodes, 1)
    for other in (1, 2):
        network.cut(0, other)
        network.cut(other, 0)
    wait_until(lambda: [linked(node) for node in nodes] == [1, 2, 2], WITHIN, "the sides part")
    for node in nodes:
        ask(node, "opened", "parted")
    results = [ask(node, "computed", "parted") for node in nodes]
    assert results[0] == f"parted of {one.name}"
    assert results[1] == results[2] != results[0]
    assert sum(ask(node, "count", "parted") for node in nodes) == 2
    # Rate limits: each side has the whole; exact ones are those of the majority.
    assert ask(one, "hits", 20, "sides", LIMIT, "cluster") == 10
    assert 10 <= sum(ask(node, "hits", 20, "sides", LIMIT, "cluster") for node in others) <= 20
    assert ask(one, "hits", 20, "before", LIMIT, "exact", "closed") == 0
    # The other side may have to choose a leader first.
    wait_until(
        lambda: ask(others[0], "hits", 1, "before", LIMIT, "exact", "raise") == 1,
        WITHIN,
        "a leader",
    )
    # A request that was in doubt may have been counted.
    assert 0 < sum(ask(node, "hits", 20, "before", LIMIT, "exact", "raise") for node in others) <= 6
    # Messages and histories: each side has its own, and gets nothing of the other's afterwards.
    hears(one, [one], 10)
    hears(others[0], others, 20)
    keeps(one, [one], 10)
    keeps(others[0], others, 20)
    network.heal()
    wait_until(lambda: all(linked(node) == 3 for node in nodes), WITHIN, "all are linked again")
    hears(one, nodes, 30)
    hears(others[1], nodes, 40)
    keeps(one, nodes, 30)
    news = [set(ask(node, "heard", "news")) for node in nodes]
    assert [({10, 20} & each) for each in news] == [{10}, {20}, {20}]
    numbers = [{number for _, number in ask(node, "kept", "many:news")} for node in nodes]
    assert [({10, 20} & each) for each in numbers] == [{10}, {20}, {20}]
    for node in nodes:
        ask(node, "opened", "whole")
    assert len({ask(node, "computed", "whole") for node in nodes}) == 1
    wait_until(
        lambda: ask(one, "hits", 1, "before", LIMIT, "exact", "closed") == 0,
        WITHIN,
        "it is counted",
    )
