"""Topic patterns of channels: which topics a pattern fits, and what its stars stand for.

A pattern is made of segments between colons. A segment "*" stands for one that is not empty; at the
end it stands for the whole rest: "room:*" fits "room:1" and "room:1:x". Of several patterns that
fit a topic the most specific one has it (`Pattern.rank`).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MAX_NAME", "Pattern", "check_name"]

# hornbeam_channel: bytes of a topic and of an event.
MAX_NAME: Final = 255


class Pattern:
    """A pattern, checked. Equal patterns have the same text."""

    def __init__(self, text: str) -> None:
        check_name("a pattern", text)
        self.text = text
        segments = text.split(":")
        if any("*" in segment and segment != "*" for segment in segments):
            raise ValueError(
                f'the pattern "{text}": a "*" stands for a whole segment between colons, as in '
                '"room:*"'
            )
        self._names = _names(segments)
        self._fits = re.compile(_expression(segments), re.DOTALL).fullmatch
        # In order: a literal segment before a star, a star before no segment at all.
        self.rank: tuple[int, ...] = (*(int(segment == "*") for segment in segments), 2)

    def match(self, topic: str) -> dict[str, str] | None:
        """What the stars stand for in a topic, by their names; None when it does not fit.

        A star has the name of the segment before it with "_id" ("room:*": "room_id"), one that
        follows a star "channel_id" ("chat:*:*": "chat_id", "channel_id"), one at the very front
        "id"; a name that is taken has a number ("channel_id_2").
        """
        found = self._fits(topic)
        return None if found is None else dict(zip(self._names, found.groups(), strict=True))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _names(segments: list[str]) -> list[str]:
    names: list[str] = []
    for place, segment in enumerate(segments):
        if segment != "*":
            continue
        before = segments[place - 1] if place else None
        name = "id" if before is None else "channel_id" if before == "*" else f"{before}_id"
        taken, number = name, 2
        while name in names:
            name, number = f"{taken}_{number}", number + 1
        names.append(name)
    return names


def _expression(segments: list[str]) -> str:
    parts = ["([^:]+)" if segment == "*" else re.escape(segment) for segment in segments]
    if segments[-1] == "*":
        parts[-1] = "(.*)"
    return ":".join(parts)


def check_name(what: str, name: str) -> str:
    """A topic, an event or a pattern; TypeError, ValueError."""
    if type(name) is not str:
        raise TypeError(f"{what} must be a str, not {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} must be Unicode text, not {name!r}") from None
    if not 0 < size <= MAX_NAME:
        raise ValueError(f"{what} must have 1 to {MAX_NAME} bytes of UTF-8, not {size}")
    return name
