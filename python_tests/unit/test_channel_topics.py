"""Patterns of channels: what fits, what the stars stand for, which of several has a topic."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbeam_erlang._channel_topics import MAX_NAME, Pattern
from hornbeam_erlang.channels import Channel, Channels

segments = st.sampled_from(["a", "b", "room", "", "é\n", "x.y"])
topics = st.lists(segments, min_size=1, max_size=4).map(":".join).filter(bool)
patterns = st.lists(st.one_of(segments, st.just("*")), min_size=1, max_size=4).map(":".join)
patterns = patterns.filter(bool)


def oracle(pattern: str, topic: str) -> list[str] | None:
    """What the stars stand for, segment by segment."""
    wanted, there = pattern.split(":"), topic.split(":")
    found: list[str] = []
    for place, segment in enumerate(wanted):
        last = place == len(wanted) - 1
        if place >= len(there) or (segment not in ("*", there[place])):
            return None
        if segment == "*":
            if last:
                return [*found, ":".join(there[place:])]
            if not there[place]:
                return None
            found.append(there[place])
    return found if len(wanted) == len(there) else None


@given(patterns, topics)
def test_a_pattern_fits_as_segment_by_segment(pattern: str, topic: str) -> None:
    found = Pattern(pattern).match(topic)
    assert (None if found is None else list(found.values())) == oracle(pattern, topic)


@given(st.lists(patterns, max_size=5, unique=True), topics)
def test_the_most_specific_of_those_that_fit_has_a_topic(given: list[str], topic: str) -> None:
    fitting = [pattern for pattern in given if oracle(pattern, topic) is not None]
    found = Channels(*map(Channel, given)).find(topic)
    if not fitting:
        assert found is None
        return
    assert found is not None
    chosen = found[0].pattern
    for other in fitting:
        pairs = itertools.zip_longest(chosen.split(":"), other.split(":"))
        mine, its = next(((m, i) for m, i in pairs if m != i), (None, None))
        # Where they differ first: a literal before a star, a star before nothing.
        assert mine == its or its == "*" or its is None


@pytest.mark.parametrize(
    ("pattern", "topic", "parts"),
    [
        ("room:lobby", "room:lobby", {}),
        ("room:*", "room:lobby", {"room_id": "lobby"}),
        ("room:*", "room:a:b", {"room_id": "a:b"}),
        ("room:*", "room:", {"room_id": ""}),
        ("chat:*:*", "chat:team:general", {"chat_id": "team", "channel_id": "general"}),
        ("a:*:*:*", "a:1:2:3", {"a_id": "1", "channel_id": "2", "channel_id_2": "3"}),
        ("team:*:user:*", "team:1:user:2", {"team_id": "1", "user_id": "2"}),
        ("a:*:a:*", "a:1:a:2", {"a_id": "1", "a_id_2": "2"}),
        ("*:log", "x:log", {"id": "x"}),
        ("*", "x:y", {"id": "x:y"}),
    ],
)
def test_the_parts_of_a_topic_have_the_names_of_the_original(
    pattern: str, topic: str, parts: dict[str, str]
) -> None:
    assert Pattern(pattern).match(topic) == parts


@pytest.mark.parametrize("topic", ["room", "rooms:lobby", "xroom:lobby", "ROOM:lobby", ""])
def test_others_do_not_fit(topic: str) -> None:
    assert Pattern("room:*").match(topic) is None


@pytest.mark.parametrize(
    "pattern", ["", "room*", "r*m:x", "room:**", "x" * (MAX_NAME + 1), "\ud800"]
)
def test_what_is_no_pattern_says_so(pattern: str) -> None:
    with pytest.raises(ValueError):
        Pattern(pattern)


def test_a_pattern_may_have_so_many_bytes() -> None:
    assert Pattern("é" * (MAX_NAME // 2) + "x").text
    with pytest.raises(ValueError, match=f"1 to {MAX_NAME} bytes"):
        Pattern("é" * (MAX_NAME // 2 + 1))


def test_two_channels_of_one_pattern_are_refused() -> None:
    with pytest.raises(ValueError, match="two channels have the pattern room"):
        Channels(Channel("room:*"), Channel("room:*"))
