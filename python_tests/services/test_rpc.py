"""Calls to other Erlang nodes, and publish over them: three nodes on loopback, without epmd."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from harness import wait_until

from services.conftest import RemoteError, Services, Start

ALLOW = [
    "lists:reverse",
    "erlang:node",
    "erlang:error",
    "erlang:throw",
    "timer:sleep",
    "services_functions:double",
]
NAMES = ["a@127.0.0.1", "b@127.0.0.2", "c@127.0.0.3"]


def distributed(name: str, port: int) -> str:
    """The VM's flags for a node that listens on its own loopback address, and looks nobody up."""
    address = name.partition("@")[2].replace(".", ",")
    return (
        f"-name {name} -setcookie hornbeam-tests -start_epmd false -erl_epmd_port {port} "
        f"-kernel inet_dist_use_interface {{{address}}}"
    )


@pytest.fixture(scope="module")
def nodes(start: Start) -> Iterator[list[Services]]:
    """Three servers, each on a node of its own, not connected yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield [
        start(distributed(name, port), rpc_allow=ALLOW, cluster_node=NAMES, lifespan="off")
        for name in NAMES
    ]


def test_a_node_that_is_not_connected_is_not_reached(nodes: list[Services]) -> None:
    nodes[1]("own/hold_subscription", "early")
    assert nodes[0]("loop/publish", "early", 1) == 0


def test_nodes_connect_and_call_each_other(nodes: list[Services]) -> None:
    a, b, _ = nodes
    assert a("loop/node") == NAMES[0]
    for name in NAMES[1:]:
        assert a("aio/connect", name) is True
    wait_until(lambda: sorted(b("loop/nodes")) == [NAMES[0], NAMES[2]], 10, "they are connected")
    assert a("loop/rpc_call", NAMES[1], "erlang", "node", []) == NAMES[1]
    assert a("thread/rpc_call", NAMES[2], "lists", "reverse", [[1, b"b", None]]) == [None, b"b", 1]
    assert a("aio/ping", NAMES[1]) is True
    assert a("aio/ping", "nobody@127.0.0.9") is False


def test_what_is_published_on_one_is_received_on_all(nodes: list[Services]) -> None:
    a = nodes[0]
    for services in nodes:
        services("own/hold_subscription", "everywhere")
    wait_until(lambda: a("loop/publish", "everywhere", 1) == 3, 10, "all three are reached")


def test_what_a_node_subscribed_to_before_it_was_connected(nodes: list[Services]) -> None:
    wait_until(lambda: nodes[0]("loop/publish", "early", 1) == 1, 10, "it is reached")


def test_each_subscription_of_each_node_counts(nodes: list[Services]) -> None:
    a, b, c = nodes
    for services, topic in [(b, "sum:1"), (b, "sum:*"), (c, "su*"), (c, "sum:2"), (a, "*")]:
        services("own/hold_subscription", topic)
    for reached, services, topic in [(4, b, "sum:*"), (3, c, "su*"), (2, a, "*"), (1, b, "sum:1")]:
        wait_until(lambda r=reached: a("loop/publish", "sum:1", 1) == r, 10, topic)  # type: ignore[misc]
        services("own/end_task", topic)
    wait_until(lambda: a("loop/publish", "sum:1", 1) == 0, 10, "nobody is left")


def test_errors_of_other_nodes_arrive(nodes: list[Services]) -> None:
    a = nodes[0]
    with pytest.raises(RemoteError) as error:
        a("loop/rpc_call", NAMES[1], "erlang", "error", ["reason"])
    assert error.value.kind == "ErlangError"
    assert error.value.attributes["reason"] == "'reason'"
    assert error.value.attributes["error_class"] == "'error'"
    assert "in function  error/1" in error.value.attributes["stack"]
    with pytest.raises(RemoteError) as error:
        a("loop/rpc_call", NAMES[1], "erlang", "throw", [1])
    assert error.value.attributes["error_class"] == "'throw'"


def test_a_call_ends_at_its_deadline(nodes: list[Services]) -> None:
    with pytest.raises(RemoteError) as error:
        nodes[0]("aio/rpc_call", NAMES[1], "timer", "sleep", [60_000], timeout_ms=50)
    assert error.value.kind == "TimeoutError"


def test_an_unknown_node_is_a_connection_error(nodes: list[Services]) -> None:
    for name in ["nobody@127.0.0.9", "never-heard-of"]:
        with pytest.raises(RemoteError, match="cannot be reached") as error:
            nodes[0]("loop/rpc_call", name, "erlang", "node", [])
        assert error.value.kind == "ConnectionError"


@pytest.mark.parametrize("function", ["rpc_call", "rpc_cast"])
def test_what_is_not_allowed_is_refused_with_what_to_do(
    nodes: list[Services], function: str
) -> None:
    for module, name in [("erlang", "halt"), ("no_such_module_anywhere", "f")]:
        with pytest.raises(RemoteError, match=f"--rpc-allow {module}:{name}") as error:
            nodes[0](f"loop/{function}", NAMES[0], module, name, [])
        assert error.value.kind == "PermissionError"


def test_only_nodes_that_are_known_or_named_are_connected_to(nodes: list[Services]) -> None:
    assert nodes[0]("loop/connect", "nobody@127.0.0.9") is False  # no atom, and none is made
    with pytest.raises(RemoteError, match="cluster_nodes") as error:
        nodes[0]("aio/connect", "lists")  # an atom that is there
    assert error.value.kind == "PermissionError"


def test_cast_runs_on_the_other_node(nodes: list[Services]) -> None:
    assert nodes[0]("loop/rpc_cast", NAMES[1], "services_functions", "double", [1]) is None


def test_without_distribution_only_the_node_itself_is_reached(start: Start) -> None:
    services = start(rpc_allow="all")
    assert services("loop/node") == "nonode@nohost"
    assert services("loop/nodes") == []
    assert services("loop/rpc_call", "nonode@nohost", "erlang", "abs", [-1]) == 1
    assert services("loop/connect", "b@127.0.0.2") is False
    with pytest.raises(RemoteError, match="is not distributed") as error:
        services("loop/rpc_call", "b@127.0.0.2", "erlang", "node", [])
    assert error.value.kind == "ConnectionError"
    with pytest.raises(RemoteError, match="undef"):
        services("loop/rpc_call", "nonode@nohost", "no_such_module_anywhere", "f", [])
