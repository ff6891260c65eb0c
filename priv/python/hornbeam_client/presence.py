"""Who is there: keeps the state of a channel's presence from `presence_state` and `presence_diff`.

Made by whoever uses it, before the join; calls Channel only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hornbeam_client.channel import Channel

Entry = dict[str, Any]
# The key, what was known of it (None if nothing) or what is left, and the metas that came or went.
Changed = Callable[[str, Any, Entry], None]


class Presence:
    """`state` maps each key to `{"metas": [...]}`."""

    def __init__(self, channel: Channel) -> None:
        self.state: dict[str, Entry] = {}
        self.on_join: Changed | None = None
        self.on_leave: Changed | None = None
        self.on_sync: Callable[[], None] | None = None
        self._channel = channel
        self._join: str | None = None
        # Diffs that came before the state of this join.
        self._early: list[dict[str, Any]] = []
        channel.on("presence_state", self._stated)
        channel.on("presence_diff", self._differs)

    def list(self) -> list[str]:
        """The keys that are there."""
        return [*self.state]

    def _stated(self, state: dict[str, Entry]) -> None:
        self._join = self._channel.join_ref
        leaves = _differences(self.state, state)
        self._change(_differences(state, self.state), leaves)
        early, self._early = self._early, []
        for diff in early:
            self._change(diff["joins"], diff["leaves"])
        self._synced()

    def _differs(self, diff: dict[str, Any]) -> None:
        if self._join != self._channel.join_ref:
            self._early.append(diff)
            return
        self._change(diff["joins"], diff["leaves"])
        self._synced()

    def _change(self, joins: dict[str, Entry], leaves: dict[str, Entry]) -> None:
        for key, come in joins.items():
            before = self.state.get(key)
            stay = [] if before is None else _without(before, come)["metas"]
            self.state[key] = {**come, "metas": [*stay, *come["metas"]]}
            if self.on_join is not None:
                self.on_join(key, before, come)
        for key, gone in leaves.items():
            if key not in self.state:
                continue
            rest = _without(self.state[key], gone)
            if rest["metas"]:
                self.state[key] = rest
            else:
                del self.state[key]
            if self.on_leave is not None:
                self.on_leave(key, rest, gone)

    def _synced(self) -> None:
        if self.on_sync is not None:
            self.on_sync()


def _differences(state: dict[str, Entry], other: dict[str, Entry]) -> dict[str, Entry]:
    """What `state` has and `other` has not."""
    parts = {key: _without(entry, other.get(key)) for key, entry in state.items()}
    return {key: entry for key, entry in parts.items() if entry["metas"]}


def _without(entry: Entry, other: Entry | None) -> Entry:
    refs = {meta["phx_ref"] for meta in other["metas"]} if other is not None else set()
    return {**entry, "metas": [meta for meta in entry["metas"] if meta["phx_ref"] not in refs]}
