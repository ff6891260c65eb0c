"""The stand-in's presence: who is there in which topic, and the diffs of it."""

from __future__ import annotations

import itertools
from typing import Any

from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._channel_messages import decode, encode

__all__ = ["Tracked"]

_DIFF = "presence_diff"
Entries = dict[str, dict[bytes | None, dict[str, Any]]]


class Tracked:
    """By topic and key, the metas of those who track it, each by the token of its connection."""

    def __init__(self) -> None:
        self._entries: dict[str, Entries] = {}
        self._refs = itertools.count(1)

    def on_channel_broadcast(
        self, topic: str, event: str, packed: str | bytes, token: bytes | None, _history: Any
    ) -> bool:
        """Delivers what is broadcast."""
        raise NotImplementedError

    def listed(self, topic: str) -> str:
        """All of a topic, as JSON text."""
        entries = self._entries.get(topic, {})
        made = encode("the list", {key: _entry(metas) for key, metas in entries.items()})
        assert isinstance(made, str)
        return made

    def gone(self, topic: str, token: bytes) -> None:
        """A connection has left a topic."""
        for key in list(self._entries.get(topic, {})):
            self.on_presence_untrack(topic, key, token)

    def vanished(self, token: bytes) -> None:
        """A connection has ended."""
        for topic in list(self._entries):
            self.gone(topic, token)

    def is_there(self, token: bytes) -> bool:
        """Whether a connection is."""
        raise NotImplementedError

    def on_presence_track(self, topic: str, key: str, meta: str, token: bytes | None) -> Any:
        if token is not None and not self.is_there(token):
            return ABSENT
        metas = self._entries.setdefault(topic, {}).setdefault(key, {})
        if token in metas:
            return self._replace(topic, key, meta, token)
        made = metas[token] = {**decode(meta), "phx_ref": self._ref()}
        self._diff(topic, {key: {"metas": [made]}}, {})
        return made["phx_ref"]

    def on_presence_update(self, topic: str, key: str, meta: str, token: bytes | None) -> Any:
        if token is not None and not self.is_there(token):
            return ABSENT
        if token not in self._entries.get(topic, {}).get(key, {}):
            raise ValueError("this is not tracked")
        return self._replace(topic, key, meta, token)

    def on_presence_untrack(self, topic: str, key: str, token: bytes | None) -> bool:
        metas = self._entries.get(topic, {}).get(key, {})
        if token not in metas:
            return False
        gone = metas.pop(token)
        if not metas:
            del self._entries[topic][key]
        self._diff(topic, {}, {key: {"metas": [gone]}})
        return True

    def on_presence_list(self, topic: str) -> str:
        return self.listed(topic)

    def on_presence_get(self, topic: str, key: str) -> Any:
        metas = self._entries.get(topic, {}).get(key)
        return encode("the entry", _entry(metas)) if metas else ABSENT

    def _replace(self, topic: str, key: str, meta: str, token: bytes | None) -> str:
        metas = self._entries[topic][key]
        before = metas[token]
        made = {**decode(meta), "phx_ref": self._ref(), "phx_ref_prev": before["phx_ref"]}
        metas[token] = made
        self._diff(topic, {key: {"metas": [made]}}, {key: {"metas": [before]}})
        return str(made["phx_ref"])

    def _ref(self) -> str:
        return f"ref{next(self._refs)}"

    def _diff(self, topic: str, joins: dict[str, Any], leaves: dict[str, Any]) -> None:
        packed = encode("the diff", {"joins": joins, "leaves": leaves})
        self.on_channel_broadcast(topic, _DIFF, packed, None, None)


def _entry(metas: dict[bytes | None, dict[str, Any]]) -> dict[str, Any]:
    return {"metas": list(metas.values())}
