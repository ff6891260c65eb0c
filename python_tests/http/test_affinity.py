"""Sticky sessions: which worker a request goes to (docs/affinity.md)."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until
from http_client import H2
from websocket_client import Client
from websocket_http2 import Http2

COOKIE = "hornbeam_affinity"
# So many that all of several workers have some, but for one time in a thousand million.
MANY = 50


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("affinity") / "control"


@pytest.fixture(scope="module")
def server(control: Path) -> Iterator[Hornbeam]:
    with Hornbeam(
        "affinity_app:app",
        workers=3,
        affinity=["query:sid", "header:X-Session", "cookie:sessionid", "cookie"],
        mount=[
            "/place=affinity_app:app;workers=2;affinity=path:2;affinity=client",
            "/off=affinity_app:app;workers=2;affinity=off",
        ],
        forwarded_allow_ips="127.0.0.1",
        control=control,
        max_concurrency=20,
    ) as server:
        yield server


@pytest.fixture
def web(server: Hornbeam) -> Iterator[httpx.Client]:
    """Without keep-alive: each request is a connection of its own, and none has a worker that
    it stays with."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=server.url, timeout=20, limits=limits) as client:
        yield client


def fresh(server: Hornbeam, path: str = "/", **fields: str) -> httpx.Response:
    """A request of a client that has no cookies yet."""
    return httpx.get(server.url + path, headers=fields, timeout=20)


def ours(response: httpx.Response) -> list[str]:
    """The cookies of the server's own that a response sets."""
    return [c for c in response.headers.get_list("set-cookie") if c.startswith(COOKIE)]


def value(response: httpx.Response) -> str:
    (cookie,) = ours(response)
    return cookie.split(";")[0].partition("=")[2]


def cookies_of_all(server: Hornbeam) -> dict[str, str]:
    """A cookie for each worker, by the number of its process."""
    found: dict[str, str] = {}

    def all_found() -> bool:
        response = fresh(server)
        found[response.text] = value(response)
        return len(found) == 3

    wait_until(all_found, 20, "each of the workers has set its cookie")
    return found


def with_cookie(server: Hornbeam, cookie: str, path: str = "/") -> httpx.Response:
    return fresh(server, path, cookie=f"a=b; {COOKIE}={cookie}; c=d")


# Sources


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/?a=1&sid={}", None),
        ("/", ("x-session", "{}")),
        ("/", ("cookie", "other=1; sessionid={}")),
    ],
)
def test_a_key_belongs_to_one_worker(
    web: httpx.Client, path: str, header: tuple[str, str] | None
) -> None:
    def worker(key: int) -> str:
        fields = {} if header is None else {header[0]: header[1].format(f"key{key}")}
        response = web.get(path.format(f"key{key}"), headers=fields)
        assert ours(response) == []
        return response.text

    workers = {key: worker(key) for key in range(MANY)}
    assert len(set(workers.values())) == 3
    assert all(worker(key) == workers[key] for key in range(10))


def test_the_first_that_is_present_decides(web: httpx.Client) -> None:
    by_key = {n: web.get(f"/?sid=key{n}").text for n in range(MANY)}
    one = by_key[0]
    other = next(n for n in range(MANY) if by_key[n] != one)
    both = {"x-session": f"key{other}", "cookie": f"sessionid=key{other}"}
    assert web.get("/?sid=key0", headers=both).text == one
    assert web.get("/?sid=", headers=both).text == by_key[other]
    assert web.get("/", headers={"x-session": "", "cookie": "sessionid=key0"}).text == one
    assert web.get("/", headers={"x-session": "key0"}).text == one


def test_an_encoded_value_is_the_same(web: httpx.Client) -> None:
    for n in range(10):
        assert web.get(f"/?sid=a:{n}").text == web.get(f"/?sid=%61%3A{n}").text


def test_a_segment_of_the_path(web: httpx.Client) -> None:
    workers = [web.get(f"/place/rooms/{n}/x").text for n in range(MANY)]
    assert len(set(workers)) == 2
    assert [web.get(f"/place/rooms/{n}?y=1").text for n in range(10)] == workers[:10]


def test_the_clients_address(web: httpx.Client) -> None:
    def worker(address: str) -> str:
        return web.get("/place", headers={"x-forwarded-for": address}).text

    assert len({worker(f"10.0.0.{n}") for n in range(MANY)}) == 2
    assert len({worker("10.0.0.7") for _ in range(5)}) == 1
    # One network is one client, and IPv4 is IPv4.
    assert len({worker(f"2001:db8::{n}") for n in range(8)}) == 1
    assert worker("::ffff:10.0.0.7") == worker("10.0.0.7")


def test_a_mount_without(web: httpx.Client) -> None:
    responses = [web.get("/off?sid=1", headers={"x-session": "a"}) for _ in range(6)]
    assert len({response.text for response in responses}) == 2
    assert not any(map(ours, responses))


# The server's own cookie


def test_the_cookie_is_set_once(web: httpx.Client) -> None:
    first = web.get("/")
    assert re.fullmatch(
        COOKIE + r"=[123]\.[0-9A-F]{32}; Path=/; HttpOnly; SameSite=Lax", ours(first)[0]
    )
    others = [web.get("/") for _ in range(8)]
    assert {response.text for response in others} == {first.text}
    assert not any(map(ours, others))


def test_over_https_it_is_secure_and_below_the_prefix(server: Hornbeam) -> None:
    response = fresh(server, **{"x-forwarded-proto": "https", "x-forwarded-prefix": "/shop"})
    assert ours(response)[0].endswith("; Path=/shop; HttpOnly; SameSite=Lax; Secure")
    odd = fresh(server, **{"x-forwarded-prefix": "/a;b"})
    assert "; Path=/; " in ours(odd)[0]


@pytest.mark.parametrize("path", ["/", "/missing", "/stream", "/file", "/fail"])
def test_on_every_kind_of_response(server: Hornbeam, path: str) -> None:
    response = fresh(server, path)
    own = [c for c in response.headers.get_list("set-cookie") if c.startswith("mine")]
    assert own == ([] if path == "/fail" else ["mine=1", "mine=2"])
    again = with_cookie(server, value(response), path)
    assert ours(again) == []
    if path != "/fail":
        assert again.headers["x-pid"] == response.headers["x-pid"]


def test_what_is_forged_is_as_none(server: Hornbeam) -> None:
    cookies = list(cookies_of_all(server).values())
    signatures = [cookie.partition(".")[2] for cookie in cookies]
    assert len(set(signatures)) == 3
    moved = "1." + next(c for c in cookies if not c.startswith("1.")).partition(".")[2]
    for forged in [
        moved, "1", "1.", ".", "", "1." + "0" * 32, "999999." + signatures[0], f"x.{signatures[0]}",
        cookies[0].lower() + "0", "-1." + signatures[0], cookies[0] + "0", "1.é" + "0" * 30,
    ]:  # fmt: skip
        answer = httpx.get(server.url, headers=[(b"cookie", f"{COOKIE}={forged}".encode())])
        assert value(answer) in cookies, forged
    # The one that holds counts, wherever it stands.
    two = fresh(server, cookie=f"{COOKIE}={moved}; {COOKIE}={cookies[0]}")
    assert ours(two) == []


# Protocols


def test_over_http2(server: Hornbeam) -> None:
    for pid, cookie in cookies_of_all(server).items():
        with H2(server) as client:
            # A field for each cookie (RFC 9113, 8.2.3).
            extra = [("cookie", "a=b"), ("cookie", f"{COOKIE}={cookie}")]
            answers = [client.answer(client.request("/", extra=extra)) for _ in range(3)]
        assert {answer.body.decode() for answer in answers} == {pid}
        names = [value for answer in answers for name, value in answer.headers]
        assert not any(name.startswith(COOKIE.encode()) for name in names)
    with H2(server) as client:
        first = client.answer(client.request("/"))
        assert any(value.startswith(COOKIE.encode()) for _, value in first.headers)


def test_websockets(server: Hornbeam) -> None:
    for pid, cookie in cookies_of_all(server).items():
        for path in ("/ws", "/ws/denied"):
            with Client(server.connect(), path, cookie=f"{COOKIE}={cookie}") as client:
                assert f"x-pid: {pid}" in client.head and COOKIE not in client.head
        with Http2(server) as connection:
            stream = connection.open("/ws", cookie=f"{COOKIE}={cookie}")
            assert connection.status[stream]["x-pid"] == pid


@pytest.mark.parametrize(("path", "status"), [("/ws", 101), ("/ws/denied", 401)])
def test_a_handshake_sets_the_cookie(server: Hornbeam, path: str, status: int) -> None:
    with Client(server.connect(), path) as client:
        assert client.status == status
        pid = re.findall(r"x-pid: (\d+)", client.head)
        (cookie,) = re.findall(rf"set-cookie: {COOKIE}=(\S+);", client.head)
        assert client.head.count("set-cookie: mine=") == 2
    assert [with_cookie(server, cookie).text] == pid


# Workers that come and go


def test_what_does_not_fit_goes_elsewhere_and_comes_back(server: Hornbeam) -> None:
    """A worker that is taken for late, on a busy machine, may not get one of those held."""
    (pid, cookie), *others = cookies_of_all(server).items()
    hold = f"GET /hold HTTP/1.1\r\nHost: a\r\nCookie: {COOKIE}={cookie}\r\n\r\n".encode()
    with contextlib.ExitStack() as held:

        def goes_elsewhere() -> bool:
            if with_cookie(server, cookie).text != pid:
                return True
            held.enter_context(server.connect()).sendall(hold)
            return False

        wait_until(goes_elsewhere, 20, "the worker is full")
        response = with_cookie(server, cookie)
        assert response.text in dict(others) and ours(response) == []
    wait_until(lambda: with_cookie(server, cookie).text == pid, 20, "it has room again")


def test_a_connection_stays_with_its_worker(server: Hornbeam) -> None:
    """A worker that is taken for late, on a busy machine, may cost one of them its own."""

    def stays() -> bool:
        with httpx.Client(base_url=server.url) as client:
            return len({client.get("/off").text for _ in range(10)}) == 1

    def stays_on_http2() -> bool:
        with H2(server) as client:
            return len({client.answer(client.request("/off")).body for _ in range(10)}) == 1

    wait_until(stays, 20, "a connection stays with its worker")
    wait_until(stays_on_http2, 20, "a connection stays with its worker")


def test_death_moves_the_sessions_of_one_worker(server: Hornbeam, web: httpx.Client) -> None:
    by_key = {n: web.get(f"/?sid=key{n}").text for n in range(MANY)}
    cookies = cookies_of_all(server)
    victim = next(iter(cookies))
    # Stopped at first: requests are on their way to it when it dies, and are answered by others.
    os.kill(int(victim), signal.SIGSTOP)
    waiting = [server.connect() for _ in range(3)]
    for connection in waiting:
        connection.sendall(
            f"GET / HTTP/1.1\r\nHost: a\r\nCookie: {COOKIE}={cookies[victim]}\r\n\r\n".encode()
        )
    os.kill(int(victim), signal.SIGKILL)
    for connection in waiting:
        with connection, connection.makefile("rb") as file:
            assert file.readline().startswith(b"HTTP/1.1 200")
    moved = with_cookie(server, cookies[victim])
    assert moved.status_code == 200 and moved.text != victim
    after = {n: web.get(f"/?sid=key{n}").text for n in range(MANY)}
    assert [n for n in range(MANY) if after[n] != by_key[n]] == [
        n for n in range(MANY) if by_key[n] == victim
    ]
    for pid, cookie in cookies.items():
        if pid != victim:
            assert with_cookie(server, cookie).text == pid
    # Its successor, in the same place, has all keys of its predecessor.
    wait_until(lambda: len(server.workers()) == 7, 20, "a successor is there")
    wait_until(
        lambda: len({web.get(f"/?sid=key{n}").text for n in range(MANY)}) == 3, 20, "it is ready"
    )
    again = {n: web.get(f"/?sid=key{n}").text for n in range(MANY)}
    assert len({again[n] for n in range(MANY) if by_key[n] == victim}) == 1
    assert all(again[n] == by_key[n] for n in range(MANY) if by_key[n] != victim)


def test_a_reload_keeps_cookies_and_keys(
    server: Hornbeam, web: httpx.Client, control: Path
) -> None:
    cookies = cookies_of_all(server)
    by_key = {n: web.get(f"/?sid=key{n}").text for n in range(MANY)}
    renamed = reloaded(server, control, cookies)
    assert set(renamed) == set(cookies) and not set(renamed.values()) & set(cookies)
    assert all(web.get(f"/?sid=key{n}").text == renamed[by_key[n]] for n in range(MANY))
    # With one worker less what that one had moves, and nothing else.
    by_key = {n: web.get(f"/?sid=key{n}").text for n in range(MANY)}
    gone = next(pid for pid, cookie in cookies.items() if cookie.startswith("3."))
    fewer = reloaded(server, control, cookies, "--workers=2")
    assert set(fewer) == set(cookies) - {gone}
    answer = with_cookie(server, cookies[gone])
    assert value(answer) in cookies.values()
    for n in range(MANY):
        old = next(pid for pid in cookies if renamed[pid] == by_key[n])
        if old != gone:
            assert web.get(f"/?sid=key{n}").text == fewer[old]
    # Another secret: what was signed with the old one is as none.
    reloaded(server, control, {}, "--affinity-secret=other", "--workers=3")
    assert all(ours(with_cookie(server, cookie)) for cookie in cookies.values())


def reloaded(
    server: Hornbeam, control: Path, cookies: dict[str, str], *flags: str
) -> dict[str, str]:
    """Reloads; which processes have the cookies of others now: those that hold."""
    command = [str(ROOT / "bin" / "hornbeam"), "reload", "--control", str(control), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = {pid: with_cookie(server, cookie) for pid, cookie in cookies.items()}
    return {pid: answer.text for pid, answer in answers.items() if not ours(answer)}
