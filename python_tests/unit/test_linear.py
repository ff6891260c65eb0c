"""Nothing in Python is quadratic: what one operation costs beside 1,000 others and beside 100,000.

Cost is the number of bytecodes that are executed: no clock, so a busy machine changes nothing.
test/hornbeam_linear_tests.erl is the same for Erlang.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbeam_erlang._hub import Hub, Mailbox
from hornbeam_worker import frames
from hornbeam_worker.frames import Decoder

pytestmark = pytest.mark.alone

FACTOR = 3


def bytecodes(operation: Callable[[], object]) -> int:
    """How many the operation executes."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(before)
    return count


def hub_of(topics: int, form: str = "t{}", mailboxes: int = 1) -> tuple[Hub, list[Mailbox]]:
    """A hub with so many topics, dealt out to so many mailboxes."""
    hub, owners = Hub(), [Mailbox() for _ in range(mailboxes)]
    for number in range(topics):
        hub.join(owners[number % mailboxes], form.format(number))
    return hub, owners


def join(size: int) -> float:
    hub, (mailbox,) = hub_of(size)
    return bytecodes(lambda: hub.join(mailbox, "another"))


def leave(size: int) -> float:
    hub, (mailbox,) = hub_of(size)
    return bytecodes(lambda: hub.leave(mailbox, f"t{size - 1}"))


def leave_all(size: int) -> float:
    hub, (mailbox,) = hub_of(size)
    return bytecodes(lambda: hub.leave_all(mailbox)) / size


def one_of_many_leaves(size: int) -> float:
    hub, mailboxes = hub_of(size, mailboxes=size)
    return bytecodes(lambda: hub.leave_all(mailboxes[-1]))


def deliver(size: int) -> float:
    hub, _ = hub_of(size)
    return bytecodes(lambda: hub.deliver("t500", b""))


def deliver_beside_patterns(size: int) -> float:
    hub, _ = hub_of(size, "t{}:*")
    return bytecodes(lambda: hub.deliver("t500:x", b""))


def feed_by_bytes(size: int) -> float:
    decoder, data = Decoder(), frames.encode(frames.BODY, 1, bytes(size))

    def feed() -> None:
        for at in range(len(data)):
            decoder.feed(data[at : at + 1])

    return bytecodes(feed) / size


def feed_many_frames(size: int) -> float:
    decoder, data = Decoder(), frames.encode(frames.BODY, 1, b"x") * size
    return bytecodes(lambda: decoder.feed(data)) / size


@pytest.mark.parametrize(
    "cost",
    [
        join,
        leave,
        leave_all,
        one_of_many_leaves,
        deliver,
        deliver_beside_patterns,
        feed_by_bytes,
        feed_many_frames,
    ],
)
def test_one_costs_the_same_beside_many(cost: Callable[[int], float]) -> None:
    assert cost(100_000 if cost is not feed_by_bytes else 20_000) <= FACTOR * cost(1000)


OPERATION = st.tuples(
    st.sampled_from(["join", "leave", "leave_all", "deliver"]),
    st.integers(0, 2),
    st.text("ab*", max_size=3),
)


@given(st.lists(OPERATION, max_size=60))
def test_a_hub_does_what_a_list_of_subscriptions_does(
    operations: list[tuple[str, int, str]],
) -> None:
    hub, mailboxes = Hub(), [Mailbox(), Mailbox(), Mailbox()]
    joined: Counter[tuple[int, str]] = Counter()
    for operation, number, topic in operations:
        mailbox = mailboxes[number]
        if operation == "join":
            hub.join(mailbox, topic)
            joined[number, topic] += 1
        elif operation == "leave":
            assert hub.leave(mailbox, topic) == (joined[number, topic] > 0)
            joined -= Counter([(number, topic)])
        elif operation == "leave_all":
            left = Counter(hub.leave_all(mailbox))
            assert left == Counter({t: n for (m, t), n in joined.items() if m == number})
            joined = Counter({key: n for key, n in joined.items() if key[0] != number})
        elif not topic.endswith("*"):
            found = [(m, n) for (m, t), n in joined.items() if _matches(topic, t)]
            assert hub.deliver(topic, b"\x01") == sum(n for _, n in found)
            for at, box in enumerate(mailboxes):
                assert (box.take() is not None) == any(m == at for m, _ in found)
                assert box.take() is None


def _matches(topic: str, subscribed: str) -> bool:
    return topic.startswith(subscribed[:-1]) if subscribed.endswith("*") else topic == subscribed
