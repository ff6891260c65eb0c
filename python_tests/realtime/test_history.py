"""Topics that keep their last messages: what a client gets that comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from channel_client import Channels, Message
from harness import Hornbeam, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam(
        "channel_events:app", channels="channel_events:channels", workers=2, channel_rate="infinity"
    ) as running:
        yield running


@pytest.fixture
def client(server: Hornbeam) -> Iterator[Channels]:
    with Channels(server) as connected:
        yield connected


def send(server: Hornbeam, topic: str, first: int, last: int | None = None, **more: Any) -> None:
    """Broadcasts {"n": first}, ... to the topic, as its event "n"."""
    query = {"topic": topic, "from": first, "to": first if last is None else last, **more}
    httpx.get(f"{server.url}/send", params=query, timeout=60).raise_for_status()


def numbers(client: Channels, last: int) -> list[int]:
    """The numbers of the events "n" that come, up to this one."""
    found = client.until(lambda message: message.event == "n" and message.payload["n"] == last)
    return [message.payload["n"] for message in [*client.before, found] if message.event == "n"]


def seen(client: Channels, n: int) -> str:
    """The id of a message."""
    message = client.until(lambda message: message.event == "n" and message.payload["n"] == n)
    assert message.ref is not None and message.ref[0] == "#"
    return message.ref[1:]


def come_back(
    client: Channels, topic: str, last_id: str, last: int
) -> tuple[list[int], Message | None]:
    """Joins with the last id that was seen: numbers up to `last`, and what was told as missed."""
    client.join(topic, {"hb_last_id": last_id})
    found = client.until(lambda message: message.event == "n" and message.payload["n"] == last)
    missed = [message for message in client.before if message.event == "hb_missed"]
    assert missed in ([], client.before[:1])
    got = [message.payload["n"] for message in [*client.before, found] if message.event == "n"]
    return got, missed[0] if missed else None


def test_a_message_of_a_topic_with_a_history_has_an_id_of_its_own(
    server: Hornbeam, client: Channels
) -> None:
    client.join("five:ids")
    send(server, "five:ids", 1, 3)
    ids = [client.event("n").ref for _ in range(3)]
    assert all(ref is not None and ref.startswith("#") and len(ref) > 8 for ref in ids)
    assert len(set(ids)) == 3


def test_who_has_seen_no_message_comes_back_to_where_it_joined(server: Hornbeam) -> None:
    client = Channels(server, flavour="hb")
    client.join("five:fresh")
    where = client.event("hb_position").ref
    assert where is not None and where[0] == "#"
    client.close()
    send(server, "five:fresh", 1, 5)
    again = Channels(server, flavour="hb")
    assert come_back(again, "five:fresh", where[1:], 5) == ([1, 2, 3, 4, 5], None)
    send(server, "five:fresh", 6)
    late = Channels(server, flavour="hb")
    got, missed = come_back(late, "five:fresh", where[1:], 6)
    assert got == [2, 3, 4, 5, 6]
    assert missed is not None and missed.payload == {"last_id": where[1:]}


def test_a_phoenix_client_is_told_of_no_position(server: Hornbeam, client: Channels) -> None:
    client.join("five:phoenix")
    send(server, "five:phoenix", 1)
    assert client.until(lambda message: message.event == "n").payload["n"] == 1
    assert not [message for message in client.before if message.event == "hb_position"]


def test_a_message_of_another_topic_has_none(server: Hornbeam, client: Channels) -> None:
    client.join("plain:1")
    send(server, "plain:1", 1)
    assert client.event("n").ref is None


def test_who_comes_back_gets_what_it_missed_after_the_answer_and_once(
    server: Hornbeam, client: Channels
) -> None:
    client.join("five:back")
    send(server, "five:back", 1)
    last_id = seen(client, 1)
    client.close()
    send(server, "five:back", 2, 4)
    with Channels(server) as again:
        ref = again.begin_join("five:back", {"hb_last_id": last_id})
        assert again.read().ref == ref  # first the answer
        send(server, "five:back", 5)
        assert numbers(again, 5) == [2, 3, 4, 5]
        # Each has the id that it had for those who were there.
        send(server, "five:back", 6)
        last_id = seen(again, 6)
    with Channels(server) as third:
        send(server, "five:back", 7)
        assert come_back(third, "five:back", last_id, 7) == ([7], None)


@pytest.mark.parametrize(("missed", "told"), [(4, False), (5, True)])
def test_what_is_kept_is_so_many_messages(
    server: Hornbeam, client: Channels, missed: int, told: bool
) -> None:
    # The last one that it saw is one of the five, or just is not.
    topic = f"five:limit{missed}"
    client.join(topic)
    send(server, topic, 0)
    last_id = seen(client, 0)
    client.close()
    send(server, topic, 1, missed)
    with Channels(server) as again:
        got, said = come_back(again, topic, last_id, missed)
    assert got == list(range(1, missed + 1))
    assert (said is not None) is told


def test_who_missed_more_is_told_and_gets_what_there_is(server: Hornbeam, client: Channels) -> None:
    client.join("five:more")
    send(server, "five:more", 1)
    last_id = seen(client, 1)
    client.close()
    send(server, "five:more", 2, 20)
    with Channels(server) as again:
        got, said = come_back(again, "five:more", last_id, 20)
    assert got == [16, 17, 18, 19, 20]
    assert said is not None and said.payload["last_id"] == last_id


@pytest.mark.parametrize("last_id", ["", "x", "#", "0-1", "a" * 300, "\u00fc\n", '"'])
def test_an_id_that_is_not_known_is_told_as_missed(server: Hornbeam, last_id: str) -> None:
    topic = f"five:odd{len(last_id)}{ord(last_id[0]) if last_id else ''}"
    with Channels(server) as first:
        first.join(topic)
        send(server, topic, 1)
        first.event("n")
    with Channels(server) as client:
        client.join(topic, {"hb_last_id": last_id})
        send(server, topic, 2)
        got = numbers(client, 2)
    assert got == [1, 2]
    assert [message.event for message in client.before if message.event == "hb_missed"] == [
        "hb_missed"
    ] * (last_id != "")


def test_who_comes_for_the_first_time_gets_what_comes(server: Hornbeam, client: Channels) -> None:
    client.join("five:first")
    send(server, "five:first", 1)
    client.event("n")
    with Channels(server) as other:
        other.join("five:first")
        send(server, "five:first", 2)
        assert numbers(other, 2) == [2]


def test_what_is_too_old_is_not_kept(server: Hornbeam, client: Channels) -> None:
    client.join("brief:1")
    send(server, "brief:1", 1)
    last_id = seen(client, 1)
    client.close()
    send(server, "brief:1", 2)
    begun = time.monotonic()

    def forgotten() -> bool:
        with Channels(server) as again:
            ref = again.begin_join("brief:1", {"hb_last_id": last_id})
            again.reply(ref)
            again.ok(again.push("phoenix", "heartbeat"))
            told = [message.event for message in again.before]
            assert told in (["n"], ["hb_missed", "n"], ["hb_missed"])
            return told == ["hb_missed"]

    wait_until(forgotten, 10, "the message is forgotten")
    assert time.monotonic() - begun >= 0.9


def test_a_topic_without_history_keeps_nothing(server: Hornbeam, client: Channels) -> None:
    send(server, "plain:2", 1, 3)
    client.join("plain:2", {"hb_last_id": "0-1"})
    send(server, "plain:2", 4)
    assert numbers(client, 4) == [4]
    assert not [message for message in client.before if message.event == "hb_missed"]


def test_a_broadcast_to_nobody_is_kept(server: Hornbeam) -> None:
    send(server, "five:nobody", 1, 2)
    with Channels(server) as client:
        got, _ = come_back(client, "five:nobody", "x", 2)
    assert got == [1, 2]


def test_what_a_channel_filters_it_filters_for_those_who_come_back(
    server: Hornbeam, client: Channels
) -> None:
    client.join("filtered:1")
    send(server, "filtered:1", 1, 6)
    client.until(lambda message: message.event == "n" and message.payload["n"] == 5)
    with Channels(server) as again:
        again.join("filtered:1", {"hb_last_id": "x"})
        send(server, "filtered:1", 7)
        last = again.until(lambda message: message.event == "n" and message.payload["n"] == 7)
        got = [message for message in [*again.before, last] if message.event == "n"]
    assert [message.payload["n"] for message in got] == [1, 3, 5, 7]
    assert all(message.payload["seen"] for message in got)


def test_who_is_there_is_no_message_of_the_history(server: Hornbeam, client: Channels) -> None:
    client.join("present:1")
    send(server, "present:1", 1)
    last_id = seen(client, 1)
    with Channels(server) as again:
        send(server, "present:1", 2)
        got, said = come_back(again, "present:1", last_id, 2)
    assert (got, said) == ([2], None)


def test_an_application_reads_what_is_kept(server: Hornbeam, client: Channels) -> None:
    client.join("five:read")
    send(server, "five:read", 1, 7)
    ids = [seen(client, n) for n in range(1, 8)]

    def read(last_id: str = "", limit: int = 10) -> Any:
        query: dict[str, str | int] = {"topic": "five:read", "last_id": last_id, "limit": limit}
        return httpx.get(f"{server.url}/history", params=query).raise_for_status().json()

    assert read() == [True, [[ids[n - 1], "n", n] for n in range(3, 8)]]
    assert read(limit=2) == [True, [[ids[5], "n", 6], [ids[6], "n", 7]]]
    assert read(ids[5]) == [True, [[ids[6], "n", 7]]]
    assert read(ids[0])[0] is False


def test_ids_of_a_server_before_are_not_those_of_this_one() -> None:
    with (
        Hornbeam("channel_events:app", channels="channel_events:channels") as first,
        Channels(first) as client,
    ):
        client.join("five:1")
        send(first, "five:1", 1)
        last_id = seen(client, 1)
    with Hornbeam("channel_events:app", channels="channel_events:channels") as second:
        send(second, "five:1", 11, 13)
        with Channels(second) as client:
            got, said = come_back(client, "five:1", last_id, 13)
    assert got == [11, 12, 13]
    assert said is not None and said.payload["last_id"] == last_id


def test_all_histories_together_have_a_bound() -> None:
    with Hornbeam(
        "channel_events:app", channels="channel_events:channels", channel_history_bytes=1 << 20
    ) as server:
        send(server, "many:old", 1, 100)
        send(server, "many:new", 1, 300, size=10_000)
        with Channels(server) as client:
            client.join("many:new", {"hb_last_id": "x"})
            send(server, "many:new", 301)
            got = numbers(client, 301)
            assert 60 <= len(got) <= 105  # of a mebibyte, and each is about 10,300 bytes
            assert got == list(range(got[0], 302))
            # The oldest of all went first, whosever it was.
            client.join("many:old", {"hb_last_id": "x"})
            send(server, "many:old", 101)
            assert numbers(client, 101) == [101]


def test_nobody_misses_anything_or_gets_it_twice_while_messages_come_all_the_time(
    server: Hornbeam,
) -> None:
    """Clients go and come back at any time while a publisher never pauses."""
    topic, last = "many:race", 4000
    publisher = threading.Thread(
        target=send, args=(server, topic, 1, last), kwargs={"pause": 0.0005}
    )
    got: dict[int, list[int]] = {number: [] for number in range(4)}
    failures: list[BaseException] = []

    def come_and_go(number: int) -> None:
        try:
            last_id = ""
            while not got[number] or got[number][-1] < last:
                with Channels(server) as client:
                    client.join(topic, {"hb_last_id": last_id} if last_id else {})
                    for _ in range(37 + number * 11):
                        message = client.read()
                        assert message.event == "n", message
                        got[number].append(message.payload["n"])
                        assert message.ref is not None
                        last_id = message.ref[1:]
                        if message.payload["n"] == last:
                            break
        except BaseException as error:
            failures.append(error)
            raise

    clients = [threading.Thread(target=come_and_go, args=(number,)) for number in got]
    for client in clients:
        client.start()
    publisher.start()
    for thread in [publisher, *clients]:
        thread.join(60)
        assert not thread.is_alive()
    assert not failures
    for numbers_of_one in got.values():
        assert numbers_of_one == list(range(numbers_of_one[0], last + 1))
