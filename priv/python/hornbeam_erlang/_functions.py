"""Erlang functions: those registered by name (`hornbeam:register_function`), and those of other
nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hornbeam_erlang import _client as client
from hornbeam_erlang import _requests as requests

__all__ = ["call", "cast", "connect", "node", "nodes", "ping", "rpc_call", "rpc_cast"]


def call(name: str, *args: Any, timeout_ms: int = 5000) -> Any:
    """Calls a registered Erlang function and returns its value; `{ok, V}` arrives as V.

    Raises NotRegisteredError, TimeoutError after `timeout_ms` milliseconds (the function is then
    killed), ErlangError for `{error, Reason}` and for exceptions, TypeError for what cannot travel.
    """
    return client.call(*requests.function_call(name, args, timeout_ms))


def cast(name: str, *args: Any) -> None:
    """Has a registered Erlang function run and returns at once; it may take a minute.

    Raises NotRegisteredError. What it returns is dropped; an error in it is logged.
    """
    client.call(*requests.function_cast(name, args))


def rpc_call(
    node: str, module: str, function: str, args: Sequence[Any] = (), timeout_ms: int = 5000
) -> Any:
    """Runs `module:function(args)` on an Erlang node and returns its value as it is.

    Only what the option `rpc_allow` names may be called, else PermissionError. Raises TimeoutError
    after `timeout_ms` milliseconds, ConnectionError when the node cannot be reached, ErlangError
    for what the function raises.
    """
    return client.call(*requests.rpc_call(node, module, function, args, timeout_ms))


def rpc_cast(node: str, module: str, function: str, args: Sequence[Any] = ()) -> None:
    """Has a function run on an Erlang node; returns at once. Raises as `rpc_call` where it already
    can."""
    client.call(*requests.rpc_cast(node, module, function, args))


def nodes() -> list[str]:
    """The names of the connected Erlang nodes."""
    names: list[str] = client.call(*requests.nodes())
    return names


def node() -> str:
    """The name of this Erlang node; "nonode@nohost" when it is not distributed."""
    return str(client.call(*requests.node()))


def connect(node: str) -> bool:
    """Connects to a node; whether it is connected now.

    PermissionError for a node that is neither known already nor in the option `cluster_nodes`.
    """
    return bool(client.call(*requests.connect(node)))


def ping(node: str) -> bool:
    """Whether a node answers; connects to it where needed."""
    return bool(client.call(*requests.ping(node)))
