"""hornbeam_erlang.ratelimit on the stand-in, with a clock of its own: the rule, whose request it
is, what each framework answers."""

from __future__ import annotations

import asyncio
import math
import pickle
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory
from fastapi import Depends, FastAPI, Request, Response
from fastapi.testclient import TestClient
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hornbeam_erlang import _rates as rates
from hornbeam_erlang import state_items
from hornbeam_erlang.ratelimit import Hit, RateLimit, RateLimitExceeded, rate_limit
from hornbeam_erlang.testing import Standalone

pytest_plugins = ["hornbeam_erlang.pytest_plugin"]

FIELDS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")


@pytest.fixture
def erlang(hornbeam_standalone: Standalone, monkeypatch: pytest.MonkeyPatch) -> Standalone:
    """A stand-in whose clock only `advance` moves."""
    now = time.monotonic_ns()
    monkeypatch.setattr("hornbeam_erlang._standalone.time.monotonic_ns", lambda: now)
    monkeypatch.setattr("hornbeam_erlang._standalone.time.monotonic", lambda: now / 1e9)
    return hornbeam_standalone


# The rule


def test_as_many_at_once_as_the_window_has(erlang: Standalone) -> None:
    limit = RateLimit("3/minute")
    assert limit.hit("a") == Hit(True, 3, 2, 0.0, 20.0, 0)
    assert limit.hit("a") == Hit(True, 3, 1, 0.0, 40.0, 0)
    assert limit.hit("a") == Hit(True, 3, 0, 0.0, 60.0, 0)
    assert limit.hit("a") == Hit(False, 3, 0, 20.0, 60.0, 0)
    assert limit.hit("b").allowed
    erlang.advance(19.999)
    assert not limit.hit("a").allowed
    erlang.advance(0.001)
    assert limit.hit("a") == Hit(True, 3, 0, 0.0, 60.0, 0)
    assert not limit.hit("a").allowed
    erlang.advance(60)
    assert [limit.hit("a").allowed for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("scope", ["cluster", "exact"])
def test_where_there_is_one_node_scopes_are_alike(erlang: Standalone, scope: str) -> None:
    limit = RateLimit("2/minute", scope=scope, on_failure="closed")
    assert [limit.hit("a").allowed for _ in range(3)] == [True, True, False]
    limit.reset("a")
    assert limit.hit("a") == Hit(True, 2, 1, 0.0, 30.0, 0)

    @rate_limit("1/minute", key="all", scope=scope)
    def limited() -> bool:
        return True

    assert limited()
    with pytest.raises(RateLimitExceeded):
        limited()


def test_a_debt_leaves_nothing() -> None:
    """More has passed on other nodes than may at once."""
    windows = rates.parse(["2/minute"], None)
    assert rates.verdict((False, 10**9, [90 * 10**9]), windows).remaining == 0


@pytest.mark.parametrize("wrong", [{"scope": "world"}, {"on_failure": "never"}])
def test_scopes_have_names(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is none of"):
        RateLimit("1/minute", **wrong)


def test_an_awaited_hit_is_the_same(erlang: Standalone) -> None:
    limit = RateLimit("1/day", name="shared")
    assert asyncio.run(limit.ahit("a")).allowed
    assert not RateLimit("1/day", name="shared").hit("a").allowed
    assert RateLimit("1/day", name="another").hit("a").allowed
    limit.reset("a")
    assert limit.hit("a").allowed


def test_what_it_costs(erlang: Standalone) -> None:
    limit = RateLimit("10/minute", cost=4)
    assert limit.hit("a", 0).remaining == 10
    assert state_items() == []
    assert [limit.hit("a").remaining for _ in range(2)] == [6, 2]
    refused = limit.hit("a")
    assert (refused.allowed, refused.remaining, refused.wait) == (False, 2, 12.0)
    assert limit.hit("a", 2).remaining == 0
    for cost in (11, -1, 1.0, True):
        with pytest.raises(ValueError, match="it could never pass"):
            limit.hit("a", cost)  # type: ignore[arg-type]
    assert limit.hit("b", 10).allowed
    with pytest.raises(ValueError, match="could never pass"):
        RateLimit("10/minute", burst=2, cost=3)


def test_a_request_passes_all_windows_or_counts_in_none(erlang: Standalone) -> None:
    limit = RateLimit("2/second", "3/minute")
    assert [limit.hit("a").allowed for _ in range(3)] == [True, True, False]
    erlang.advance(1)
    third = limit.hit("a")
    assert (third.allowed, third.window, third.limit, third.remaining) == (True, 1, 3, 0)
    erlang.advance(1)
    assert limit.hit("a") == Hit(False, 3, 0, 18.0, 58.0, 1)
    erlang.advance(18)
    assert limit.hit("a").allowed


def test_a_burst_smaller_than_the_window(erlang: Standalone) -> None:
    limit = RateLimit("60/minute", burst=2)
    assert [limit.hit("a").allowed for _ in range(3)] == [True, True, False]
    erlang.advance(1)
    assert [limit.hit("a").allowed for _ in range(2)] == [True, False]


def test_nothing_is_kept_of_a_window_that_is_whole_again(erlang: Standalone) -> None:
    limit = RateLimit("10/second")
    limit.hit("a" * 100_000)
    limit.hit("a" * 100_000)
    [((name, row), _)] = state_items()
    assert (name, len(row)) == ("hornbeam.rate_limit", 16)
    erlang.advance(0.19)
    assert len(state_items()) == 1
    erlang.advance(0.02)
    assert state_items() == []


TIMES = st.lists(st.tuples(st.integers(0, 3_000_000_000), st.integers(0, 3)), max_size=40)
TEXTS = st.lists(
    st.tuples(st.integers(3, 9), st.integers(1, 5)).map(lambda n: f"{n[0]}/{n[1]} s"),
    min_size=1,
    max_size=3,
)


@given(TEXTS, TIMES)
def test_never_more_than_it_says_and_never_less(
    limits: list[str], requests: list[tuple[int, int]]
) -> None:
    """Refused is only what some window has no room for: all that has passed, each until its time
    is over, one after the other."""
    windows = rates.parse(limits, None)
    until = [0] * len(windows)
    now = 0
    passed: list[tuple[int, int]] = []
    for pause, cost in requests:
        now += pause
        rule = [(window.interval, window.tolerance) for window in windows]
        (allowed, wait, _), until = rates.decide(now, cost, rule, until)
        if cost:
            over = max(_over(window, [*passed, (now, cost)]) for window in windows)
            assert allowed == (over <= 0)
            assert wait == max(0, over)
        if allowed:
            passed.append((now, cost))


def _over(window: rates.Window, passed: list[tuple[int, int]]) -> int:
    """By how many ns what has passed is more than may, in the worst of all spans up to now."""
    now = passed[-1][0]
    return max(
        sum(cost for time, cost in passed if time >= start) * window.interval
        - (now - start)
        - window.tolerance
        for start, _ in passed
    )


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("100/minute", (100, 60)),
        ("10/5 seconds", (10, 5)),
        ("10/5seconds", (10, 5)),
        ("5 per hour", (5, 3600)),
        (" 1 / 2 Days ", (1, 172800)),
        ("7/s", (7, 1)),
        (f"{rates.MOST_REQUESTS}/d", (rates.MOST_REQUESTS, 86400)),
        ("1/366 days", (1, rates.MOST_SECONDS)),
    ],
)
def test_texts(text: str, window: tuple[int, int]) -> None:
    [parsed] = rates.parse([text], None)
    assert parsed[:2] == window
    assert parsed.interval * parsed.requests >= parsed.seconds * 10**9
    assert (parsed.interval - 1) * parsed.requests < parsed.seconds * 10**9


def test_bounds() -> None:
    for text in ("", "5", "5/", "x/minute", "5/fortnight", "0/minute", "-1/minute", "5/0 minutes",
                 f"{rates.MOST_REQUESTS + 1}/d", "1/367 days", "1/ss", "٣/minute"):  # fmt: skip
        with pytest.raises(ValueError, match=r"rate limit|requests|days"):
            RateLimit(text)
    many = [f"{number}/minute" for number in range(1, rates.MOST_WINDOWS + 2)]
    assert len(RateLimit("; ".join(many[:-1])).windows) == rates.MOST_WINDOWS
    for limits in ([], many):
        with pytest.raises(ValueError, match="1 to 8 windows"):
            RateLimit(*limits)
    for options in ({"fields": ["draft-7"]}, {"key": "cookie"}, {"burst": 0},
                    {"fields": ["draft-6", "draft-8"]}):  # fmt: skip
        with pytest.raises(ValueError, match=r"fields|key|burst|choose one"):
            RateLimit("1/s", **options)


def test_the_key_is_a_str(erlang: Standalone) -> None:
    with pytest.raises(TypeError, match="is a str, not 7"):
        RateLimit("1/s").hit(7)  # type: ignore[arg-type]
    assert RateLimit("1/s").hit("\ud800").allowed


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_clients(host: str | None, client: str) -> None:
    assert rates.client_of(host) == client


def test_fields_of_each_kind(erlang: Standalone) -> None:
    limit = RateLimit("2/second", "3/minute", fields=["draft-8", "x"])
    limit.hit("a")
    limit.hit("a")
    fields = limit.response_fields(limit.hit("a"))
    assert fields == {
        "RateLimit-Policy": '"0";q=2;w=1, "1";q=3;w=60',
        "RateLimit": '"0";r=0;t=1',
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1",
        "Retry-After": "1",
    }
    assert RateLimit("1/s", fields=()).response_fields(limit.hit("b")) == {}


# Frameworks


def told(headers: Any) -> list[str | None]:
    return [headers.get(field) for field in FIELDS]


def test_a_dependency(erlang: Standalone) -> None:
    async def name(request: Request) -> str:
        return request.headers["name"]

    app = FastAPI()
    limit = RateLimit("1/minute", key=name)

    @app.get("/one", dependencies=[Depends(limit)])
    def one() -> int:
        return 1

    @app.get("/two", dependencies=[Depends(limit)])
    def two() -> int:
        return 2

    client = TestClient(app)
    for path in ("/one", "/two"):  # each for itself
        response = client.get(path, headers={"name": "a"})
        assert response.status_code == 200
        assert told(response.headers) == ["1", "0", "60", "1;w=60"]
        refused = client.get(path, headers={"name": "a"})
        assert refused.status_code == 429
        assert refused.json() == {"detail": "Too many requests: try again in 60 s"}
        assert refused.headers["retry-after"] == "60"
        assert client.get(path, headers={"name": "b"}).status_code == 200
    erlang.advance(60)
    assert client.get("/one", headers={"name": "a"}).status_code == 200


def test_a_name_is_shared(erlang: Standalone) -> None:
    app = FastAPI(dependencies=[Depends(RateLimit("2/minute", name="all", key="all"))])
    app.get("/one")(lambda: 1)
    app.get("/two")(lambda: 2)
    client = TestClient(app)
    statuses = [client.get(path).status_code for path in ("/one", "/two", "/one")]
    assert statuses == [200, 200, 429]


def test_fastapi_with_the_decorator(erlang: Standalone) -> None:
    app = FastAPI()

    @app.get("/plain/{number}")
    @rate_limit("1/minute")
    def plain(number: int, request: Request) -> int:
        return number

    @app.get("/async/{number}")
    @rate_limit("1/minute", key="header:x-key")
    async def asynchronous(number: int, request: Request) -> Response:
        return Response(str(number))

    client = TestClient(app)
    for path in ("/plain", "/async"):
        assert client.get(f"{path}/7").text == "7"
        refused = client.get(f"{path}/8")
        assert refused.status_code == 429
        assert refused.json()["detail"].startswith("Too many requests")
    assert client.get("/async/9", headers={"x-key": "k"}).headers["ratelimit-remaining"] == "0"


def test_starlette(erlang: Standalone) -> None:
    @rate_limit("1/minute")
    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse("home")

    client = TestClient(Starlette(routes=[Route("/", home)]))
    response = client.get("/")
    assert (response.text, *told(response.headers)) == ("home", "1", "0", "60", "1;w=60")
    refused = client.get("/")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert refused.text == "Too many requests: try again in 60 s"


def test_flask(erlang: Standalone) -> None:
    app = Flask(__name__)

    @app.get("/")
    @rate_limit("1/minute")
    def home() -> str:
        return "home"

    @app.get("/key")
    @rate_limit("1/minute", key="header:x-key")
    def keyed() -> tuple[str, int]:
        return "made", 201

    client = app.test_client()
    response = client.get("/")
    assert (response.text, *told(response.headers)) == ("home", "1", "0", "60", "1;w=60")
    refused = client.get("/")
    assert refused.status_code == 429
    assert refused.get_json() == {"detail": "Too many requests: try again in 60 s"}
    assert (refused.headers["retry-after"], *told(refused.headers)) == (
        "60",
        "1",
        "0",
        "60",
        "1;w=60",
    )
    statuses = [client.get("/key", headers={"x-key": key}).status_code for key in "aab"]
    assert statuses == [201, 429, 201]


@pytest.fixture
def requests() -> Iterator[RequestFactory]:
    if not django_settings.configured:
        django_settings.configure(DEFAULT_CHARSET="utf-8")
    yield RequestFactory()


def test_django(erlang: Standalone, requests: RequestFactory) -> None:
    @rate_limit("1/minute", fields=["x"])
    def view(request: HttpRequest, name: str) -> HttpResponse:
        return HttpResponse(name)

    @rate_limit("1/minute", key="header:x-key")
    async def asynchronous(request: HttpRequest) -> JsonResponse:
        return JsonResponse({})

    response = view(requests.get("/"), "a")
    assert (response.content, response["x-ratelimit-remaining"]) == (b"a", "0")
    refused = view(requests.get("/"), "b")
    assert (refused.status_code, refused["retry-after"]) == (429, "60")
    assert refused.content == b'{"detail": "Too many requests: try again in 60 s"}'
    assert view(requests.get("/", REMOTE_ADDR="192.0.2.9"), "c").status_code == 200
    call: Callable[[Any], Awaitable[Any]] = asynchronous
    for key, status in [("a", 200), ("a", 429), ("b", 200)]:
        answer = asyncio.run(_awaited(call, requests.get("/", headers={"x-key": key})))
        assert answer.status_code == status


async def _awaited(view: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    return await view(request)


def test_any_function(erlang: Standalone) -> None:
    @rate_limit("1/minute", key=lambda user: f"user {user}")
    def send(user: int) -> int:
        return user

    @rate_limit("1/minute", key="all")
    async def fetch() -> str:
        return "fetched"

    assert send(7) == 7
    assert send(8) == 8
    with pytest.raises(RateLimitExceeded, match="try again in 60 s") as refused:
        send(7)
    assert math.isclose(refused.value.hit.wait, 60)
    assert pickle.loads(pickle.dumps(refused.value)).hit == refused.value.hit
    assert asyncio.run(fetch()) == "fetched"
    with pytest.raises(RateLimitExceeded):
        asyncio.run(fetch())


def test_a_function_whose_caller_is_not_seen(erlang: Standalone) -> None:
    @rate_limit("1/minute")
    def nobody() -> None: ...

    async def key() -> str:
        return ""

    @rate_limit("1/minute", key=key)
    def plain() -> None: ...

    with pytest.raises(TypeError, match="does not see whose call this is"):
        nobody()
    with pytest.raises(TypeError, match="must be a plain function"):
        plain()
