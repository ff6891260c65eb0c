"""The replicated state, for threads and plain code; `aio.cluster_state` is the same to await.

What a change has answered is written down by a majority of the cluster's members, and every later
read sees it, on whichever node: docs/cluster-state.md says what holds when nodes fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hornbeam_erlang import _cluster_requests as requests
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._client import call
from hornbeam_erlang._cluster_changes import Versioned

__all__ = ["ClusterState", "cluster_info", "cluster_state"]


def cluster_info() -> dict[str, Any]:
    """This node in its cluster: node, phase, id, membership, members, leader, quorum.

    NoClusterError where there is none.
    """
    info: dict[str, Any] = call(*requests.info())
    return info


class ClusterState:
    """Keys and values of the whole cluster. Keys, values and `ttl` are those of the node's own
    state (`state_get` and so on); a key and its value have 4 MiB together at most.

    Every method raises NoQuorumError when fewer than a majority of the members can be reached (it
    was not done), InDoubtError when a change was sent and not answered (it may be done, or not),
    NoClusterError without a cluster, and ClusterOverloadedError when too much waits. With
    `local=True` a read asks nobody: it gives what this node has heard of, which may be old.
    """

    __slots__ = ()

    def get(self, key: Any, default: Any = None, *, local: bool = False) -> Any:
        """The value of a key, or `default`."""
        value = call(*requests.get(key, local))
        return default if value is ABSENT else value

    def get_multi(self, keys: Iterable[Any], *, local: bool = False) -> dict[Any, Any]:
        """The values of several keys at one moment; None for those that are missing."""
        wanted = list(keys)
        return dict(zip(wanted, call(*requests.get_multi(wanted, local)), strict=True))

    def read(self, key: Any) -> Versioned:
        """The value of a key with its revision, for `replace`."""
        found = call(*requests.read(key))
        return Versioned(None, 0) if found is ABSENT else Versioned(*found)

    def set(self, key: Any, value: Any, ttl: float | None = None) -> None:
        """Stores a value; with `ttl` it expires after so many seconds, or up to half a second (or
        an election) later, never earlier."""
        call(*requests.set_(key, value, ttl))

    put = set

    def add(self, key: Any, value: Any, ttl: float | None = None) -> bool:
        """Stores a value unless the key has one; whether it did. Of many who try one succeeds."""
        return bool(call(*requests.add(key, value, ttl)))

    def cas(self, key: Any, old: Any, new: Any) -> bool:
        """Stores `new` if the value is exactly `old`; whether it did. The time of expiry stays."""
        return bool(call(*requests.cas(key, old, new)))

    def replace(self, key: Any, revision: int, value: Any, ttl: float | None = None) -> bool:
        """Stores a value if the key has had this revision since (0: if it has no value); whether it
        did. Without `ttl` the time of expiry stays."""
        return bool(call(*requests.replace(key, revision, value, ttl)))

    def update(
        self,
        key: Any,
        function: Callable[[Any], Any],
        default: Any = None,
        ttl: float | None = None,
    ) -> Any:
        """Stores `function(value)`, of `default` where there is none, and returns it. It is called
        again when another has changed the value meanwhile, so it does nothing else."""
        while True:
            value, revision = self.read(key)
            new = function(value if revision else default)
            if self.replace(key, revision, new, ttl):
                return new

    def incr(self, key: Any, delta: float = 1, ttl: float | None = None) -> Any:
        """Adds to a number (0 where there is none) and returns the sum."""
        return call(*requests.incr(key, delta, ttl))

    def decr(self, key: Any, delta: float = 1) -> Any:
        """Subtracts from a number and returns the difference."""
        return self.incr(key, -delta)

    def pop(self, key: Any, default: Any = None) -> Any:
        """Removes a key and returns its value, or `default`. Of many who try one gets it."""
        value = call(*requests.pop(key))
        return default if value is ABSENT else value

    def delete(self, key: Any) -> bool:
        """Deletes a key; whether there was one."""
        return bool(call(*requests.delete(key)))

    def touch(self, key: Any, ttl: float | None) -> bool:
        """Has a value expire after `ttl` seconds from now (None: never); False without one."""
        return bool(call(*requests.touch(key, ttl)))

    def scan(
        self, prefix: str | bytes | None = None, *, local: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """Keys and values, all or those that begin with `prefix`, in the order of the keys, read
        page by page: each page is of one moment, all of them are not."""
        after: list[Any] = []
        while True:
            entries, after = call(*requests.page(prefix, after, local))
            for key, value, _ in entries:
                yield key, value
            if not after:
                return

    def items(self, prefix: str | bytes | None = None, *, local: bool = False) -> list[Any]:
        """The pairs of `scan` as a list."""
        return list(self.scan(prefix, local=local))

    def keys(self, prefix: str | bytes | None = None, *, local: bool = False) -> list[Any]:
        """The keys of `scan`."""
        return [key for key, _ in self.scan(prefix, local=local)]


cluster_state = ClusterState()
