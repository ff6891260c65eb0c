"""The examples of Python calling Erlang, and of Erlang before Python, run as their texts say."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def page() -> Iterator[httpx.Client]:
    """examples/erlang_integration, started by its script."""
    command = [str(EXAMPLES / "erlang_integration" / "run.sh"), "--bind=127.0.0.1:0"]
    script = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
    )
    try:
        assert script.stdout is not None
        url = next(
            found.group(1)
            for line in script.stdout
            if (found := re.search(r"^Hornbeam .* on (\S+)", line))
        )
        with httpx.Client(base_url=url, timeout=30) as client:
            wait_until(lambda: result(client, "functions", 500), 10, "demo.erl has started")
            yield client
    finally:
        script.send_signal(signal.SIGTERM)
        assert script.wait(30) == 0
        script.stdout and script.stdout.close()


def result(client: httpx.Client, name: str, *may_be: int) -> Any:
    response = client.post(f"/try/{name}")
    if response.status_code in may_be:
        return None
    return response.raise_for_status().json()["result"]


def test_the_page_shows_every_example(page: httpx.Client) -> None:
    text = page.get("/").text
    names = json.loads(re.search(r"of (\[.*?\])\)", text).group(1))  # type: ignore[union-attr]
    assert len(names) == 12
    for name in names:
        answer = page.post(f"/try/{name}").raise_for_status().json()
        assert answer["about"] in answer["source"]


def test_what_the_examples_return(page: httpx.Client) -> None:
    assert result(page, "values") == {
        "name": "'Ada'", "tags": "('a', 'b')", "key": "b'\\x00\\xff'", "big": str(2**70),
    }  # fmt: skip
    first, second, third, _ = result(page, "counters")
    assert (second, third) == (first + 10, first + 9)
    assert result(page, "several") == [
        {"s:a": 1, "s:c": None}, ["s:a", "s:b"], [["s:a", 1], ["s:b", 2]],
    ]  # fmt: skip
    assert result(page, "winners") == [[True, False], [True, False], "running", "gone"]
    pipelined = result(page, "awaitable")
    assert pipelined == list(range(pipelined[0], pipelined[0] + 5))
    assert result(page, "computed_once") == [True, 1, 1]
    assert result(page, "messages") == [1, ["user:7", {"online": True}]]
    assert result(page, "polling") == ["jobs", {"id": 1}]
    assert result(page, "functions") == [3, [3, 2, 1]]
    assert result(page, "errors") == [
        "ErlangError: error not_today",
        "ErlangError: error on_purpose",
        "TimeoutError: the call has not been answered in time",
        'NotRegisteredError: no function is registered as "not_registered" '
        "(hornbeam:register_function)",
    ]
    assert re.match(r"Hello Erlang, .* I count \d", result(page, "back_and_forth"))
    name, others, answers, time_is_known, refused = result(page, "other_nodes")
    assert (name, others, answers, time_is_known) == ("nonode@nohost", [], True, True)
    assert "--rpc-allow init:stop" in refused


def test_events_of_the_page(page: httpx.Client) -> None:
    with page.stream("GET", "/events") as response:
        lines = response.iter_lines()
        assert next(lines) == ": subscribed"
        assert page.post("/publish/page/hello").json() == 1
        assert next(line for line in lines if line.startswith("data")) == (
            'data: ["demo:page", "hello"]'
        )
    wait_until(lambda: page.post("/publish/page/x").json() == 0, 10, "the subscription has ended")


def compiled(example: str, folder: Path) -> str:
    """The folder with the hook of an example, compiled as it says."""
    ebin = ROOT / "_build" / "default" / "lib" / "hornbeam" / "ebin"
    source = EXAMPLES / example / f"{example}.erl"
    command = ["erlc", "-pa", str(ebin), "-o", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    return str(folder)


def test_the_rate_limit_holds_over_all_workers(tmp_path: Path) -> None:
    ebin = compiled("rate_limit", tmp_path)
    with Hornbeam(
        "app:app", pythonpath=str(EXAMPLES / "rate_limit"), workers=2, max_concurrency=1,
        erlang_path=ebin, http_hooks="rate_limit",
    ) as server:  # fmt: skip

        def ask(client: str = "127.0.0.1") -> httpx.Response:
            transport = httpx.HTTPTransport(local_address=client, verify=False)
            with httpx.Client(transport=transport, timeout=30) as one:
                return one.get(server.url)

        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(), range(20)))
        allowed = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(allowed) + len(refused) == 20
        assert 5 <= len(allowed) <= 6 + (time.monotonic() - began) // 2
        assert {"4", "0"} <= {answer.headers["ratelimit-remaining"] for answer in allowed}
        assert refused[0].headers["retry-after"] in ("1", "2")
        assert refused[0].text == "Too many requests\n"
        assert ask("127.0.0.2").headers["ratelimit-remaining"] == "4"
        wait_until(lambda: ask().status_code == 200, 10, "the next token")


def test_a_signed_cookie_is_read_before_python(tmp_path: Path) -> None:
    with Hornbeam(
        "app:app", pythonpath=str(EXAMPLES / "signed_cookie"), env={"COOKIE_SECRET": "s3cret"},
        erlang_path=compiled("signed_cookie", tmp_path), http_hooks="signed_cookie",
    ) as server, httpx.Client(base_url=server.url, timeout=30) as client:  # fmt: skip
        spoofed = {"X-User": "eve", "x_user": "eve"}
        for path in ("/", "/log%69n2", "/login/", "//login"):
            stranger = client.get(path, headers=spoofed)
            assert (stranger.status_code, stranger.headers["location"]) == (303, "/login")
        assert client.get("/login").status_code == 200
        assert client.get("/log%69n").status_code == 200
        assert client.post("/login?name=ada%20l").json() == {"welcome": "ada l"}
        assert client.get("/", headers=spoofed).json() == {"hello": "ada l"}
        user, expires, mac = client.cookies["session"].split(".")
        forged = [
            f"{b'eve'.hex()}.{expires}.{mac}", f"{user}.{int(expires) + 1}.{mac}",
            f"{user}.{expires}.{mac[:-1]}", f"{user}.{expires}.{'0' * 64}", f"{user}.{expires}",
            f"{user}.x.{mac}", f"{user}.1.{signature(user, '1')}", "", "..",
        ]  # fmt: skip
        client.cookies.clear()
        for cookie in forged:
            answer = client.get("/", headers={"cookie": f"session={cookie}"})
            assert answer.status_code == 303, cookie
        good = f"{user}.{expires}.{signature(user, expires)}"
        answer = client.get("/", headers={"cookie": f"a=b; session={good}"})
        assert answer.json() == {"hello": "ada l"}


def signature(user: str, expires: str) -> str:
    return hmac.new(b"s3cret", f"{user}.{expires}".encode(), hashlib.sha256).hexdigest()


def test_a_maintenance_page_is_switched_on_and_off(tmp_path: Path) -> None:
    page = tmp_path / "maintenance.html"
    with Hornbeam(
        "hooks_app:app", env={"MAINTENANCE_PAGE": str(page)}, timeout=300,
        erlang_path=compiled("maintenance", tmp_path), http_hooks="maintenance",
    ) as server, httpx.Client(base_url=server.url, timeout=30) as client:  # fmt: skip
        assert client.get("/").status_code == 200
        page.write_bytes((EXAMPLES / "maintenance" / "page.html").read_bytes())
        answer = client.get("/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert "back at noon" in answer.text
        assert client.get("/healthz").status_code == 200
        page.unlink()
        assert client.get("/").status_code == 200
        late = client.get("/hang")
        assert (late.status_code, "One moment" in late.text) == (504, True)


def test_the_flask_application() -> None:
    pythonpath = str(EXAMPLES / "flask_app")
    with (
        Hornbeam("app:app", pythonpath=pythonpath, workers=2) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert "serving app:app (WSGI) on" in server.output
        for visits in (1, 2, 3):
            assert f"{visits} times; all together {visits} times" in client.get("/").text
        uploaded = client.post("/api/upload", files={"file": ("a.bin", b"x" * 1_000_000)})
        assert uploaded.status_code == 201
        assert uploaded.json() == {"name": "a.bin", "size": 1_000_000}
        assert client.get("/count").text.split() == [str(number) for number in range(1, 11)]
        assert client.get("/source").text == (EXAMPLES / "flask_app" / "app.py").read_text()


def test_sessions_in_the_memory_of_a_worker() -> None:
    """Each request on a connection of its own, as from a browser that comes back."""
    folder = ROOT / "examples" / "sticky_sessions"
    with Hornbeam("app:app", pythonpath=str(folder), workers=3, affinity="cookie") as server:
        seen = []
        for _visitor in range(3):
            cookies = httpx.Cookies()
            for visit in range(1, 5):
                answer = httpx.get(server.url, cookies=cookies)
                cookies.update(answer.cookies)
                assert answer.json()["visits"] == visit
                seen.append(answer.json()["worker"])
        assert all(len(set(seen[at : at + 4])) == 1 for at in (0, 4, 8))
        assert len(set(seen)) > 1  # not all are sent to the same


def test_three_nodes() -> None:
    script = subprocess.Popen(
        [sys.executable, EXAMPLES / "distributed_rpc" / "run.py"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ),
    )  # fmt: skip
    try:
        assert script.stdout is not None
        urls: dict[str, str] = {}
        for line in script.stdout:
            if line == "connected\n":
                break
            name, url = line.split()
            urls[name] = url
        assert len(urls) == 3
        for name, url in urls.items():
            about = httpx.get(url, timeout=30).json()
            assert about["node"] == name
            others = sorted(set(urls) - {name})
            wait_until(lambda u=url, o=others: sorted(httpx.get(u).json()["nodes"]) == o, 10, name)  # type: ignore[misc]
        a, b, c = urls.values()
        wait_until(lambda: httpx.post(f"{b}/publish/hello").json() == 3, 10, "all are reached")
        news = {"text": "hello", "from": "b@127.0.0.2"}
        for url in (a, b, c):
            wait_until(lambda u=url: news in httpx.get(u).json()["received"], 10, url)  # type: ignore[misc]
        answer = httpx.get(f"{c}/ask/a@127.0.0.1", timeout=30).json()
        assert answer == {"node": "a@127.0.0.1", "sum": 6}
        assert httpx.get(f"{c}/ask/nobody@127.0.0.9", timeout=30).status_code == 502
    finally:
        script.terminate()
        assert script.wait(60) == 0
        script.stdout and script.stdout.close()


# Models in service pools


def test_texts_that_are_asked_for_together_are_one_run_of_the_model() -> None:
    with (
        Hornbeam(
            "app:app",
            pythonpath=str(EXAMPLES / "embedding_service"),
            service="embeddings=models:Embeddings;concurrency=64",
        ) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        assert client.get("/search", params={"q": "hornbeams"}).json()[0]["text"].startswith("Oaks")
        made = client.get("/vector", params={"q": "bread"}).json()
        assert (made["type"], made["dtype"], round(made["norm"], 3)) == ("ndarray", "float32", 1)
        with ThreadPoolExecutor(16) as pool:
            for _ in range(4):
                list(
                    pool.map(lambda n: client.get("/vector", params={"q": f"text {n}"}), range(16))
                )
        figures = client.get("/figures").json()
        assert figures["texts"] == 66 and figures["runs"] < 66


def test_a_client_that_leaves_ends_the_answer() -> None:
    with (
        Hornbeam(
            "app:app",
            pythonpath=str(EXAMPLES / "llm_chat"),
            service="llm=llm:Model;concurrency=4;queue=20",
        ) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        with client.stream("GET", "/answer", params={"prompt": "Hello"}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.iter_lines()
            words = [json.loads(next(lines).removeprefix("data: ")) for _ in range(1)]
            assert words[0][0].isupper() and client.get("/generating").text == "1"
        wait_until(lambda: client.get("/generating").text == "0", 20, "the model has stopped")


def test_background_jobs(tmp_path: Path) -> None:
    """Each job is followed to its end, and an order is charged once over a kill of everything."""
    options: dict[str, Any] = {
        "pythonpath": str(EXAMPLES / "background_jobs"), "task_workers": 1,
        "data_dir": tmp_path / "data",
    }  # fmt: skip

    def last(server: Hornbeam, path: str) -> dict[str, Any]:
        job = httpx.post(server.url + path, timeout=30).raise_for_status().json()["id"]
        with httpx.stream("GET", f"{server.url}/events/{job}", timeout=60) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            told = [json.loads(line[6:]) for line in response.iter_lines() if line]
        assert told[-1]["progress"] is None or told[-1]["progress"]["of"] > 0
        event: dict[str, Any] = told[-1]
        return event

    options["env"] = {"LEDGER": str(tmp_path / "ledger.db")}
    server = Hornbeam("app:app", **options).start()
    try:
        assert "Background jobs" in httpx.get(server.url, timeout=30).text
        assert last(server, "/primes/2000")["result"] == 303
        assert len(last(server, "/reports")["result"]) == 20
        first = last(server, "/orders/7")
        assert first["result"] == "7 is charged 9.99"
        assert httpx.get(f"{server.url}/events/nothing", timeout=30).status_code == 404
        assert httpx.post(f"{server.url}/cancel/{first['id']}", timeout=30).json() == {
            "cancelled": False
        }
    finally:
        server.kill()
    with Hornbeam("app:app", **options) as again:
        assert last(again, "/orders/7")["id"] == first["id"]
