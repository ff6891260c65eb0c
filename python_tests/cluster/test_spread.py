"""What spreads over nodes without a majority: results that are computed once, rate limits (and the
exact ones, which need one), what is published. Three nodes at 127.0.0.1, 127.0.0.2, 127.0.0.3."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from event_stream import Stream
from harness import Hornbeam, wait_until

from cluster.test_forming import Node, free_port

HOUR = ["20/hour"]


class Spread(Node):
    """A node that runs apps/cluster_spread.py."""

    def _life(self) -> Hornbeam:
        env = {name: text for name, text in self._env.items() if text}
        return Hornbeam("cluster_spread:app", env=env, **self._options)

    def ask(self, name: str, *arguments: Any) -> Any:
        answer = httpx.post(f"{self.server.url}/{name}", json=arguments, timeout=60).json()
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["value"]


class Nodes(list[Spread]):
    """The three, and threads to ask them in."""

    def __init__(self, nodes: list[Spread]) -> None:
        super().__init__(nodes)
        self.pool = ThreadPoolExecutor(32)

    def later(self, node: Spread, name: str, *arguments: Any) -> Future[Any]:
        return self.pool.submit(node.ask, name, *arguments)

    def begun(self, name: str) -> int:
        """How many computations of this name."""
        return sum(node.ask("count", name) for node in self if node.server.descendants())

    def computing(self, name: str, times: int = 1) -> Spread:
        """The node that has begun to compute, when so many have."""
        wait_until(lambda: self.begun(name) >= times, 20, f"{name} is computed {times} times")
        return next(node for node in self if node.ask("count", name))

    def waits(self, node: Spread, before: int, more: int) -> None:
        """Until so many more callers of a node wait for another one."""
        wait_until(lambda: node.ask("stats", False)["waits"] >= before + more, 20, "callers wait")

    def is_whole(self) -> None:
        for node in self:
            node.is_up_with(3)
        wait_until(
            lambda: all(len(node.ask("stats", True)) == 3 for node in self),
            20,
            "every node knows the homes of results",
        )


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder, port = tmp_path_factory.mktemp("spread"), free_port()
    made = [_node(number, folder, port) for number in (1, 2, 3)]
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(Spread.start, made))
        found = Nodes(made)
        found.is_whole()
        yield found
    finally:
        for node in made:
            print(f"--- output of {node.name} ---", node.server.output, sep="\n")
            node.end()


def _node(number: int, folder: Path, port: int) -> Spread:
    return Spread(
        number,
        folder,
        port,
        cluster="static:127.0.0.1,127.0.0.2,127.0.0.3",
        workers=1,
        channels="channel_events:channels",
        cluster_ticktime=4000,
    )


def everywhere(nodes: Nodes, name: str, each: int = 3) -> list[Future[Any]]:
    return [nodes.later(node, "computed", name) for node in nodes for _ in range(each)]


# Computed once


def test_equal_calls_on_all_nodes_are_computed_once(nodes: Nodes) -> None:
    asked = everywhere(nodes, "once")
    node = nodes.computing("once")
    node.ask("opened", "once")
    assert {future.result() for future in asked} == {f"once of {node.name}"}
    assert nodes.begun("once") == 1
    before = [each.ask("stats", False)["hits"] for each in nodes]
    assert {each.ask("computed", "once") for each in nodes} == {f"once of {node.name}"}
    assert [each.ask("stats", False)["hits"] for each in nodes] == [n + 1 for n in before]


def test_what_is_not_shared_is_each_nodes_own(nodes: Nodes) -> None:
    for node in nodes:
        node.ask("opened", "own")
        assert node.ask("computed", "own", False) == f"own of {node.name}"
    assert nodes.begun("own") == 3


def test_a_failure_is_told_to_all_and_not_kept(nodes: Nodes) -> None:
    asked = everywhere(nodes, "fails")
    node = nodes.computing("fails")
    for other in nodes:
        if other is not node:
            asked.append(nodes.later(other, "computed", "fails"))
    node.ask("opened", "fails", "fail")
    for future in asked[:9]:
        with pytest.raises(AssertionError, match=r"ValueError.*fails cannot be computed"):
            future.result()
    for each in nodes:
        each.ask("opened", "fails")
    assert nodes[0].ask("computed", "fails").startswith("fails of")


def test_threads_wait_for_other_nodes_too(nodes: Nodes) -> None:
    asked = [nodes.later(node, "computed_in_thread", "thread") for node in nodes]
    node = nodes.computing("thread")
    node.ask("opened", "thread")
    assert {future.result() for future in asked} == {f"thread of {node.name}"}
    assert nodes.begun("thread") == 1


def test_a_call_that_holds_up_its_loop_waits_for_no_other_node(nodes: Nodes) -> None:
    asked = nodes.later(nodes[0], "computed", "loop")
    nodes.computing("loop")
    assert nodes[1].ask("computed_on_the_loop", "loop") == "loop on the loop"
    nodes[0].ask("opened", "loop")
    assert asked.result() == f"loop of {nodes[0].name}"


def test_waiting_has_its_time(nodes: Nodes) -> None:
    asked = nodes.later(nodes[0], "computed", "late")
    nodes.computing("late")
    with pytest.raises(AssertionError, match="TimeoutError"):
        nodes[1].ask("computed", "late", True, None, 0.1)
    waiting = nodes.later(nodes[2], "computed", "late")
    nodes[0].ask("opened", "late")
    assert asked.result() == waiting.result() == f"late of {nodes[0].name}"


def test_a_result_ends_everywhere_when_its_time_is_over(nodes: Nodes) -> None:
    for node in nodes:
        node.ask("opened", "short")
    assert len({node.ask("computed", "short", True, 1.0) for node in nodes}) == 1

    def again() -> bool:
        for node in nodes:
            node.ask("computed", "short", True, 1.0)
        return nodes.begun("short") > 1

    wait_until(again, 20, "it is computed again")


def test_what_is_forgotten_is_forgotten_everywhere(nodes: Nodes) -> None:
    for node in nodes:
        node.ask("opened", "cleared")
    assert len({node.ask("computed", "cleared") for node in nodes}) == 1
    assert nodes.begun("cleared") == 1
    assert nodes[2].ask("cleared", "n") >= 3
    figures = nodes[1].ask("stats", True)
    assert {
        name: each["namespaces"]["n"]["entries"] for name, each in figures.items()
    } == dict.fromkeys((node.name for node in nodes), 0)
    nodes[1].ask("computed", "cleared")
    assert nodes.begun("cleared") == 2


def test_another_computes_when_a_node_dies_that_does(nodes: Nodes) -> None:
    """Also when the dead one is the home of some of the keys."""
    names = [f"death {number}" for number in range(6)]
    leading = [nodes.later(nodes[2], "computed", name) for name in names]
    for name in names:
        nodes.computing(name)
    waiting = {name: [nodes.later(node, "computed", name) for node in nodes[:2]] for name in names}
    nodes[2].end()
    for future in leading:
        with pytest.raises(httpx.HTTPError):
            future.result()
    for name in names:
        for node in nodes[:2]:
            node.ask("opened", name)
    for name in names:
        assert {future.result() for future in waiting[name]} <= {
            f"{name} of {node.name}" for node in nodes[:2]
        }
    nodes[2].start()
    nodes.is_whole()


def test_a_home_that_stands_still_is_waited_for_until_it_counts_as_gone(nodes: Nodes) -> None:
    names = [f"still {number}" for number in range(6)]
    vm = nodes[2].server.beam()
    os.kill(vm, signal.SIGSTOP)
    try:
        for node in nodes[:2]:
            for name in names:
                node.ask("opened", name)
        asked = {
            name: [nodes.later(node, "computed", name) for node in nodes[:2]] for name in names
        }
        for name in names:
            assert {future.result() for future in asked[name]} <= {
                f"{name} of {node.name}" for node in nodes[:2]
            }
    finally:
        os.kill(vm, signal.SIGCONT)
    nodes.is_whole()


# Rate limits


def passed(nodes: Nodes, times: int, key: str, scope: str, on_failure: str = "node") -> list[int]:
    """How many of so many requests, made on each node at once, pass there."""
    asked = [nodes.later(node, "hits", times, key, HOUR, scope, on_failure) for node in nodes]
    return [future.result() for future in asked]


def test_a_limit_of_each_node_is_its_own(nodes: Nodes) -> None:
    assert passed(nodes, 30, "own", "node") == [20, 20, 20]


def test_an_exact_limit_holds_over_all_nodes(nodes: Nodes) -> None:
    for key in ("one", "two"):
        assert sum(passed(nodes, 30, key, "exact", "raise")) == 20
    assert passed(nodes, 1, "one", "exact", "raise") == [0, 0, 0]
    nodes[0].ask("reset", "one", HOUR, "exact")
    assert nodes[2].ask("left", "one", HOUR, "exact") == 20


def knows(nodes: list[Spread], key: str, limit: list[str], left: int) -> None:
    """Until all know how much is left."""
    for node in nodes:
        wait_until(
            partial(lambda node: node.ask("left", key, limit, "cluster") == left, node),
            20,
            f"{node.name} knows that {left} are left",
        )


def test_nodes_tell_each_other_what_they_have_let_through(nodes: Nodes) -> None:
    """Within a second; at once when little is left."""
    total = 0
    limit = ["6/hour"]
    for turn in range(1, 7):
        total += nodes[turn % 3].ask("hits", 1, "told", limit, "cluster")
        knows(nodes, "told", limit, 6 - turn)
    assert total == 6
    assert [node.ask("hits", 5, "told", limit, "cluster") for node in nodes] == [0, 0, 0]


def test_what_was_let_through_too_much_is_a_debt(nodes: Nodes) -> None:
    """At once no more than the limit passes on each node; and it is all counted, everywhere."""
    passing = passed(nodes, 30, "debt", "cluster")
    assert 20 <= sum(passing) <= 60
    knows(nodes, "debt", HOUR, 0)
    nodes[1].ask("reset", "debt", HOUR, "cluster")
    knows(nodes, "debt", HOUR, 20)


# What is published


def heard(node: Spread, topic: str, count: int) -> list[Any]:
    wait_until(lambda: len(node.ask("heard", topic)) >= count, 20, f"{count} messages come")
    messages: list[Any] = node.ask("heard", topic)
    return messages


def listening(nodes: Nodes, topic: str) -> None:
    """The others listen, and the first knows that."""
    for node in nodes[1:]:
        node.ask("listen", topic)
    for node in nodes[1:]:
        wait_until(
            partial(
                lambda node: nodes[0].ask("publish", topic, -1, 1)[0] and node.ask("heard", topic),
                node,
            ),
            20,
            "it is known who listens",
        )


def test_messages_of_one_publisher_keep_their_order_to_another_node(nodes: Nodes) -> None:
    """And come once: also to the node that publishes."""
    nodes[0].ask("listen", "order")
    listening(nodes, "order")
    nodes[0].ask("publish", "order", 0, 500)
    for node in nodes:
        wait_until(partial(lambda node: 499 in node.ask("heard", "order"), node), 20, "all comes")
        assert [n for n in node.ask("heard", "order") if n >= 0] == list(range(500))


def test_a_node_that_does_not_read_holds_nobody_up(nodes: Nodes) -> None:
    """What is not sent to it is counted, and takes no memory; the others get everything."""
    listening(nodes, "stopped")
    stopped = nodes[2]
    before = nodes[0].figure("messages_not_sent_total", node=stopped.name)
    vm = stopped.server.beam()
    os.kill(vm, signal.SIGSTOP)
    try:
        memory = resident(nodes[0].server.beam())
        longest = 0.0
        # As much at once as a link takes whose node reads.
        for first in range(0, 240, 4):
            reached, took = nodes[0].ask("publish", "stopped", first, 4, 100_000)
            assert reached == 4
            longest = max(longest, took)
            heard(nodes[1], "stopped", first + 5)
        grown = resident(nodes[0].server.beam()) - memory
    finally:
        os.kill(vm, signal.SIGCONT)
    print(f"longest {longest:.4f} s, memory {grown / 1e6:.1f} MB")
    assert nodes[0].figure("messages_not_sent_total", node=stopped.name) > before + 50
    assert grown < 64_000_000
    assert "messages were not sent there" in nodes[0].command("status")
    assert [n for n in nodes[1].ask("heard", "stopped") if n >= 0] == list(range(240))
    nodes.is_whole()


# Clients that come back to another node


def stream(node: Spread, topic: str, **fields: str) -> Stream:
    """A stream of events, from now on or behind a Last-Event-ID."""
    opened = Stream(node.server, f"/events/{quote(topic, safe='')}", **fields)
    assert opened.status == 200, opened.body
    opened.opened()
    return opened


def test_a_stream_goes_on_at_a_node_that_has_kept_nothing_of_it(nodes: Nodes) -> None:
    one, other, third = nodes
    with stream(one, "many:back") as here:
        known(third, here, "many:back")
        third.ask("broadcast", "many:back", 1, 3)
        here.numbers(3)
        last = here.parser.last_id
    third.ask("broadcast", "many:back", 4, 6)
    # The node at which the client was has got them, and keeps them.
    with stream(one, "many:back", Last_Event_ID=str(last)) as here:
        assert here.numbers(6) == [4, 5, 6]
    with stream(other, "many:back", Last_Event_ID=str(last)) as there:
        # Each keeps each message once.
        assert [n for _, n in third.ask("kept", "many:back")][-6:] == [1, 2, 3, 4, 5, 6]
        assert there.numbers(6) == [4, 5, 6]
        known(third, there, "many:back")
        third.ask("broadcast", "many:back", 7, 7)
        assert there.numbers(7)[-1] == 7


def known(publisher: Spread, stream: Stream, topic: str) -> None:
    """Until what is published there comes here."""

    def comes() -> bool:
        publisher.ask("broadcast", topic, 0, 0)
        stream.socket.settimeout(0.1)
        try:
            return stream.numbers(0) == [0]
        except TimeoutError:
            return False
        finally:
            stream.socket.settimeout(20)

    wait_until(comes, 20, "it is known who listens")


def test_a_message_has_one_id_on_all_nodes(nodes: Nodes) -> None:
    with stream(nodes[0], "many:ids") as here, stream(nodes[1], "many:ids") as there:
        for each in (here, there):
            known(nodes[2], each, "many:ids")
        nodes[2].ask("broadcast", "many:ids", 1, 3)
        seen = []
        for each in (here, there):
            each.numbers(1)
            ids = [each.parser.last_id]
            for number in (2, 3):
                each.numbers(number)
                ids.append(each.parser.last_id)
            seen.append(ids)
        assert seen[0] == seen[1]


def test_what_no_node_knows_is_said_to_be_missed(nodes: Nodes) -> None:
    with stream(nodes[1], "many:gone", Last_Event_ID="nobody-knows") as back:
        assert back.next().event == "hb_missed"


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# Without a majority: the last, since two nodes end


def test_an_exact_limit_without_a_majority_does_what_it_is_told(nodes: Nodes) -> None:
    for node in nodes[1:]:
        node.end()
    wait_until(lambda: nodes[0].figure("quorum") == 0, 20, "the majority is gone")
    alone = nodes[0]
    assert alone.ask("hits", 30, "lost", HOUR, "exact", "open") == 30
    assert alone.ask("hits", 30, "lost", HOUR, "exact", "closed") == 0
    assert alone.ask("hits", 30, "lost", HOUR, "exact", "node") == 20
    with pytest.raises(AssertionError, match="NoQuorumError"):
        alone.ask("hits", 1, "lost", HOUR, "exact", "raise")
    assert alone.ask("hits", 30, "alone", HOUR, "cluster") == 20
    alone.ask("opened", "alone")
    assert alone.ask("computed", "alone") == f"alone of {alone.name}"
