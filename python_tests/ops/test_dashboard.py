"""The dashboard without a browser: who may see it, what it says, what its buttons do."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import threading
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from apps.dashboard_app import HOSTILE
from certificates import Authority
from harness import ROOT, Hornbeam, StartError, wait_until
from websockets.sync.client import connect

from dashboard import PAGES, Page, column, csrf, dashboard_url, observed, page
from ops.support import pids

PASSWORD = "correct horse battery"
TOKEN = "a-token-of-more-than-twenty-signs"


# The process that remembers the points of the charts: killed, kept away, back again.
SERIES = """
    ok = hornbeam:register_function(series, fun(What) ->
        case {What, whereis(hornbeam_series@default)} of
            {<<"kill">>, Pid} -> true = exit(Pid, kill), ok;
            {<<"away">>, Pid} ->
                {_, Dictionary} = process_info(Pid, dictionary),
                {_, [Sup | _]} = lists:keyfind(list_to_atom([36 | "ancestors"]), 1, Dictionary),
                ok = persistent_term:put(series, Sup),
                ok = supervisor:terminate_child(Sup, series);
            {<<"back">>, undefined} ->
                {ok, _} = supervisor:restart_child(persistent_term:get(series), series), ok
        end
    end).
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    flags = f"-eval '{SERIES}'"
    env = {"HORNBEAM_ENV": "SECRET_KEY=hush-hush", "HORNBEAM_ERL_FLAGS": flags}
    with observed(env=env) as running:
        yield running


# A connection for each: who waits for a processor may find that a kept one has been closed.
ONCE = httpx.Limits(max_keepalive_connections=0)


@pytest.fixture(scope="module")
def visitor(server: Hornbeam) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=dashboard_url(server), timeout=60, limits=ONCE) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    folder = tmp_path_factory.mktemp("secrets")
    with Hornbeam(
        "dashboard_app:app",
        dashboard_bind="127.0.0.1:0",
        dashboard_password_file=str(secret(folder / "password", hashed(PASSWORD))),
        dashboard_token_file=str(secret(folder / "token", TOKEN)),
        dashboard_host="Dash.example",
    ) as running:
        yield running


def secret(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def hashed(password: str) -> str:
    """What `hornbeam password` prints."""
    command = [str(ROOT / "bin" / "hornbeam"), "password"]
    return subprocess.run(
        command, input=password + "\n", capture_output=True, text=True, timeout=120, check=True
    ).stdout


@contextmanager
def stranger(server: Hornbeam) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=dashboard_url(server), timeout=60, limits=ONCE) as client:
        yield client


def sign_in(client: httpx.Client, given: str) -> httpx.Response:
    return client.post("/login", data={"secret": given})


# Who may see it


def test_what_a_stranger_sends_fills_no_log(guarded: Hornbeam) -> None:
    """Refused before anybody has signed in, and no record of a crash is left."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    with stranger(guarded) as client:
        for fields in ((b"authorization", b"Bearer \xff"), (b"cookie", b"=;;;=")):
            assert client.get("/", headers=[fields]).status_code in (303, 401), fields
        for body, status in ((b"secret=%zz", 400), (b"secret=" + b"x" * 70_000, 413)):
            assert client.post("/login", content=body, headers=form).status_code == status
    assert "crash" not in guarded.output
    assert "exit with reason" not in guarded.output


@pytest.mark.parametrize("path", ["/log?text=%FF&level=error", "/log?%FF=a", "/?span=%zz"])
def test_what_is_no_text_is_not_looked_for(visitor: httpx.Client, path: str) -> None:
    page(visitor, path)


@pytest.mark.parametrize(
    ("bind", "files", "text"),
    [
        ("0.0.0.0:0", {}, "can be reached by others at 0.0.0.0:0: it needs dashboard_password"),
        ("[::]:0", {}, "can be reached by others at [::]:0"),
        ("127.0.0.1:0", {"password": ("abc", 0o600)}, "it does not hold what hornbeam password"),
        ("127.0.0.1:0", {"token": ("short", 0o600)}, "a token has 20 characters or more"),
        ("127.0.0.1:0", {"token": (TOKEN, 0o644)}, "others may read or write it; chmod 600"),
    ],
)  # fmt: skip
def test_a_start_that_would_leave_it_open_is_refused(
    tmp_path: Path, bind: str, files: dict[str, tuple[str, int]], text: str
) -> None:
    options: dict[str, Any] = {
        f"dashboard_{kind}_file": str(secret(tmp_path / kind, *given))
        for kind, given in files.items()
    }
    with (
        pytest.raises(StartError) as failed,
        Hornbeam("dashboard_app:app", dashboard_bind=bind, **options),
    ):
        pass
    assert text in str(failed.value)


def test_the_hash_is_pbkdf2_as_everybody_has_it() -> None:
    kind, rounds, salt, derived = hashed(PASSWORD).strip().split("$")
    assert kind == "pbkdf2_sha512" and int(rounds) >= 210_000
    expected = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), b64decode(salt), int(rounds))
    assert b64decode(derived) == expected
    command = [str(ROOT / "bin" / "hornbeam"), "password"]
    short = subprocess.run(command, input="short\n", capture_output=True, text=True, timeout=120)
    assert short.returncode == 1 and "a password has 8 to 1024 bytes" in short.stderr


def test_nobody_sees_a_page_without_signing_in(guarded: Hornbeam) -> None:
    with stranger(guarded) as client:
        for path in PAGES:
            answer = client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path
        assert client.get("/series").status_code == 303
        assert client.get("/events/").status_code == 403
        assert client.post("/actions", data={"action": "drain"}).status_code == 401
        assert client.get("/login").status_code == 200


def test_signing_in_and_out(guarded: Hornbeam) -> None:
    for given in (PASSWORD, TOKEN):
        with stranger(guarded) as client:
            answer = sign_in(client, given)
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Secure" not in cookie
            for path in PAGES:
                assert client.get(path).status_code == 200, path
            old = dict(client.cookies)
            out = client.post("/logout", data={"csrf": csrf(client)})
            assert out.status_code == 303 and "Max-Age=0" in out.headers["set-cookie"]
            client.cookies.update(old)
            assert client.get("/").status_code == 303
    guarded.wait_for_output(r"dashboard: 127.0.0.1 has signed in", 60)
    guarded.wait_for_output(r"dashboard: 127.0.0.1 has signed out", 60)


def test_behind_tls_the_cookie_is_for_tls_alone(guarded: Hornbeam) -> None:
    with stranger(guarded) as client:
        client.headers["x-forwarded-proto"] = "https"
        assert "Secure" in sign_in(client, TOKEN).headers["set-cookie"]


def test_it_speaks_tls_itself(tmp_path: Path) -> None:
    """Pages, events and buttons; the cookie is for TLS alone; who speaks HTTP fills no log."""
    authority = Authority(tmp_path / "tls").create()
    cert, key = authority.issue("localhost")
    token = secret(tmp_path / "token", TOKEN)
    with Hornbeam(
        "dashboard_app:app", dashboard_bind="0.0.0.0:0", dashboard_token_file=str(token),
        dashboard_certfile=str(cert), dashboard_keyfile=str(key),
    ) as server:  # fmt: skip
        url = dashboard_url(server).replace("0.0.0.0", "localhost")
        assert url.startswith("https://localhost:")
        context = ssl.create_default_context(cafile=str(authority.cert))
        with httpx.Client(base_url=url, verify=context, timeout=60, limits=ONCE) as client:
            answer = sign_in(client, TOKEN)
            assert "; Secure" in answer.headers["set-cookie"]
            assert answer.status_code == 303
            assert "Workers" in client.get("/workers").text
            with client.stream("GET", "/events/workers") as stream:
                assert next(stream.iter_lines()) == "event: parts"
            moved = client.post("/actions", data={"csrf": "x"}, headers={"origin": url})
            assert moved.status_code == 403
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http"), timeout=60)
    assert "speaks HTTP" not in server.output
    assert "rash" not in server.output
    assert "error" not in server.output


def test_a_certificate_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("none")
    with (
        pytest.raises(StartError) as failed,
        Hornbeam(
            "dashboard_app:app", dashboard_bind="127.0.0.1:0",
            dashboard_certfile=str(tmp_path / "cert"),
        ),
    ):  # fmt: skip
        pass
    assert f"cannot use {tmp_path}/cert: " in failed.value.output
    assert "rash" not in failed.value.output


def test_a_script_shows_the_token(guarded: Hornbeam) -> None:
    with stranger(guarded) as client:
        good, bad = ({"authorization": f"Bearer {text}"} for text in (TOKEN, TOKEN + "x"))
        assert client.get("/series", headers=good).json()["columns"][0] == "at"
        assert client.get("/series", headers=bad).status_code == 401
        assert client.post("/actions", data={"action": "no"}, headers=good).status_code == 400
        assert client.post("/actions", data={"action": "no"}, headers=bad).status_code == 401


def test_other_names_of_the_host_are_refused(guarded: Hornbeam) -> None:
    with stranger(guarded) as client:
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "dash"):
            for path in ("/login", "/", "/assets/dashboard.js", "/events/"):
                answer = client.get(path, headers={"host": host})
                assert answer.status_code in (403, 404), (host, path)
                assert "set-cookie" not in answer.headers
        for host in ("localhost", "dash.example:8443", "127.0.0.1", "[::1]:80", "10.0.0.1"):
            assert client.get("/login", headers={"host": host}).status_code == 200, host


def test_tries_to_sign_in_are_limited(tmp_path: Path) -> None:
    token = secret(tmp_path / "token", TOKEN)
    with (
        Hornbeam(
            "dashboard_app:app", dashboard_bind="0.0.0.0:0", dashboard_token_file=str(token)
        ) as server,
        stranger(server) as client,
    ):
        server.wait_for_output(r"the dashboard on 0\.0\.0\.0:\d+ speaks HTTP", 60)
        # One more is let through every 15 seconds: a slow machine may see one or two of them.
        answers = [sign_in(client, "wrong") for _ in range(40)]
        codes = [answer.status_code for answer in answers]
        assert codes[:5] == [403] * 5
        assert 429 in codes
        limited = answers[codes.index(429)]
        assert int(limited.headers["retry-after"]) >= 1
        assert "Too many tries" in limited.text
        assert client.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_every_answer_says_what_a_browser_may_do(visitor: httpx.Client) -> None:
    for path in (*PAGES, "/series", "/assets/dashboard.js", "/nothing"):
        headers = visitor.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self';") and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    for path in PAGES:
        html = visitor.get(path).text
        assert " style=" not in html and " onclick=" not in html and "<script>" not in html
        assert "http://" not in html.replace(str(visitor.base_url), "") or path in ("/", "/options")


def test_a_button_needs_a_page_of_its_own(server: Hornbeam, visitor: httpx.Client) -> None:
    good = {"action": "replace", "kind": "mount", "place": "/", "worker": "1"}
    before = pids(server)
    token = csrf(visitor)
    wrong: list[tuple[dict[str, str], dict[str, str]]] = [
        (good, {}),
        ({**good, "csrf": ""}, {}),
        ({**good, "csrf": token[:-1] + "~"}, {}),
        ({**good, "csrf": token}, {"origin": "http://evil.example"}),
        ({**good, "csrf": token}, {"origin": "null"}),
        ({**good, "csrf": token}, {"origin": f"http://127.0.0.1:{server.address[1]}"}),
        ({**good, "csrf": token}, {"sec-fetch-site": "cross-site"}),
        ({**good, "csrf": token}, {"sec-fetch-site": "same-site"}),
    ]
    for form, headers in wrong:
        assert visitor.post("/actions", data=form, headers=headers).status_code == 403, form
    # Another visitor's token is none of mine.
    with stranger(server) as other:
        assert visitor.post("/actions", data={**good, "csrf": csrf(other)}).status_code == 403
    assert visitor.get("/actions").status_code == 404
    assert visitor.put("/workers").status_code == 405
    assert pids(server) == before
    server.wait_for_output(r"dashboard: a forged request of 127.0.0.1 was refused", 60)


def test_nothing_that_others_have_said_is_markup(server: Hornbeam, visitor: httpx.Client) -> None:
    httpx.get(f"{server.url}/fill", timeout=60)
    wait_until(
        lambda: page(visitor, "/background").tables["Tasks"][1:] != [], 60, "the task is there"
    )
    for path in (
        *PAGES, "/state?look=1", f"/?span={HOSTILE}", f"/background?state={HOSTILE}",
        f"/workers?did={HOSTILE}", f"/state?key={HOSTILE}", f"/{HOSTILE}",
    ):  # fmt: skip
        html = visitor.get(path).text
        assert "<script>" not in html and "<img src=x" not in html, path
    topics = page(visitor, "/topics").tables["Topics with subscribers on this node"]
    assert f"news-{HOSTILE}" in column(topics, "Topic or pattern")
    state = visitor.get("/state?look=1").text
    keys = Page(state).tables["Largest"]
    assert f"user:{HOSTILE}" in column(keys, "Key")
    assert ["user:*", "1"] in [row[:2] for row in Page(state).tables["By prefix"]]
    assert ["session:*", "20"] in [row[:2] for row in Page(state).tables["By prefix"]]
    # No value unless it is asked for.
    assert "a value" not in state
    links = [
        part.split('"')[0] for part in state.split('href="')[1:] if part.startswith("/state?key")
    ]
    shown = [visitor.get(link.replace("&amp;", "&")).text for link in links]
    assert any("a value" in html for html in shown)
    assert not any("<script>" in html or "<img src=x" in html for html in shown)


def test_the_log_is_there_and_can_be_looked_through(
    server: Hornbeam, visitor: httpx.Client
) -> None:
    httpx.get(f"{server.url}/log", timeout=60)

    def messages(query: str) -> list[str]:
        html = visitor.get(f"/log?{query}").text
        assert "<script>" not in html and "<img src=x" not in html
        table = Page(html).tables.get("The last lines", [["Message"]])
        return column(table, "Message")

    said = f"said: {HOSTILE}"
    wait_until(lambda: said in messages(""), 60, "the line is there")
    for fits in ("level=error", "text=SAID", "logger=shop", f"text={quote(HOSTILE)}"):
        assert said in messages(fits), fits
    for other in ("level=critical", "text=nothing", "logger=sho", "worker=77", "request_id=1"):
        assert said not in messages(other), other


def test_secrets_are_masked(visitor: httpx.Client) -> None:
    html = visitor.get("/options?all=1").text
    assert "SECRET_KEY" in html and "hush" not in html
    changed = page(visitor, "/options").tables["Options"]
    values = {row[0]: (row[1], row[2]) for row in changed[1:]}
    assert values["workers"] == ("2", "flag --workers")
    assert "timeout" not in values


# What it says


def test_the_numbers_are_those_of_the_metrics(server: Hornbeam, visitor: httpx.Client) -> None:
    metrics = server.wait_for_output(r"metrics on (http://\S+)", 60).group(1) + "/metrics"
    for path in ("/", "/", "/fail"):
        httpx.get(server.url + path, timeout=60)

    def same() -> bool:
        text = httpx.get(metrics, timeout=60).text
        table = page(visitor, "/").tables["Requests by class of status"]
        counts = dict(zip(column(table, "Status"), column(table, "Requests"), strict=True))
        return counts["5xx"] != "0" and all(
            f'hornbeam_requests_total{{status="{status}"}} {count}\n' in text
            for status, count in counts.items()
        )

    wait_until(same, 60, "both say the same")
    applications = page(visitor, "/applications").tables["Applications and their mounts"]
    assert column(applications, "Place") == ["/"]
    assert column(applications, "Workers") == ["2"]
    (workers,) = page(visitor, "/workers").tables.values()
    assert {int(pid) for pid in column(workers, "Pid")} == pids(server)
    assert page(visitor, "/vm").facts["OTP"].isdigit()
    assert "in no cluster" in visitor.get("/cluster").text
    points = visitor.get("/series").json()
    assert len(points["columns"]) == 11
    wait_until(lambda: visitor.get("/series").json()["points"], 60, "there is a point")


def test_requests_in_progress_are_counted(server: Hornbeam, visitor: httpx.Client) -> None:
    with ThreadPoolExecutor(3) as pool:
        waiting = [
            pool.submit(httpx.get, server.url + quote(f"/wait{HOSTILE}"), timeout=120)
            for _ in range(3)
        ]

        def in_flight() -> list[str]:
            return column(
                page(visitor, "/applications").tables["Applications and their mounts"], "In flight"
            )

        wait_until(lambda: in_flight() == ["3"], 60, "three are in flight")
        wait_until(lambda: page(visitor, "/").facts["In flight"] == "3", 60, "the overview, too")
        in_progress = visitor.get("/requests").text
        assert "<script>" not in in_progress and "<img src=x" not in in_progress
        table = Page(in_progress).tables["Requests, WebSockets and calls that workers have"]
        assert column(table, "Request") == [f"/wait{HOSTILE}"] * 3
        forms = [form for form in Page(in_progress).forms if form.get("action") == "request"]
        stack = visitor.post("/actions", data={k: v for k, v in forms[0].items() if k}).text
        assert "dashboard_app.py" in stack and "anext(aiter(messages))" in stack

        def gone() -> bool:
            httpx.get(f"{server.url}/go", timeout=60)
            return all(answer.done() for answer in waiting)

        wait_until(gone, 60, "they go on")
        assert [answer.result().status_code for answer in waiting] == [200] * 3


def test_events_bring_what_has_changed(visitor: httpx.Client) -> None:
    with visitor.stream("GET", "/events/") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        seen: set[str] = set()
        for line in stream.iter_lines():
            if line.startswith("event: "):
                seen.add(line.removeprefix("event: "))
            if seen == {"parts", "point"}:
                break
    assert visitor.get("/events/nothing").status_code == 404


def test_a_page_that_is_open_outlives_what_remembers_the_points(
    server: Hornbeam, visitor: httpx.Client
) -> None:
    """It shows nothing while that is away, and points again when it is back."""

    def series(what: str) -> None:
        assert httpx.get(f"{server.url}/series?{what}", timeout=60).status_code == 200

    with visitor.stream("GET", "/events/") as stream:
        lines = stream.iter_lines()

        def until(wanted: str) -> None:
            assert any(line.startswith(wanted) for line in lines), wanted

        until("event: point")
        series("kill")
        until("event: point")
        series("away")
        try:
            for _ in range(3):  # one for each look
                until(":")
            assert "Overview" in visitor.get("/").text
            assert visitor.get("/series").json()["points"] == []
        finally:
            series("back")
        until("event: point")
    assert "hornbeam_dashboard_events" not in server.output
    assert "cowboy" not in server.output


def test_a_session_that_is_over_ends_its_events(guarded: Hornbeam) -> None:
    with stranger(guarded) as client:
        sign_in(client, TOKEN)
        token = csrf(client)
        with client.stream("GET", "/events/workers") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: parts"
            with httpx.Client(
                base_url=client.base_url, cookies=client.cookies, timeout=60, limits=ONCE
            ) as other:
                other.post("/logout", data={"csrf": token})
            assert "event: end" in list(lines)


def test_assets_have_etags(visitor: httpx.Client) -> None:
    first = visitor.get("/assets/dashboard.js")
    assert first.status_code == 200 and first.headers["cache-control"] == "no-cache"
    again = visitor.get("/assets/dashboard.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    for path in (
        "/assets/",
        "/assets/../../python/x",
        "/assets/%2e%2e/icon.svg",
        "/assets/VERSION",
    ):
        assert visitor.get(path).status_code == 404, path


def test_what_is_vendored_is_what_npm_has() -> None:
    folder = ROOT / "priv" / "dashboard" / "uplot"
    name, *files = (folder / "VERSION").read_text().splitlines()
    assert name.startswith("uplot 1.")
    assert "MIT License" in (folder / "LICENSE").read_text()
    listed = {file for _, file in map(str.split, files)}
    assert listed | {"VERSION"} == {file.name for file in folder.iterdir()}
    for line in files:
        expected, file = line.split()
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == expected, file


# What its buttons do


def press(client: httpx.Client, action: str, worker: int) -> str:
    form = {"action": action, "kind": "mount", "place": "/", "worker": str(worker)}
    answer = client.post("/actions", data={**form, "csrf": csrf(client)})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def worker_pids(client: httpx.Client) -> dict[str, str]:
    table, *_ = page(client, "/workers").tables.values()
    ready = [row for row in table[1:] if row[1] == "ready"]
    return {row[0]: row[2] for row in ready}


@pytest.mark.parametrize("action", ["replace", "drain"])
def test_a_worker_is_relieved(server: Hornbeam, visitor: httpx.Client, action: str) -> None:
    wait_until(lambda: set(worker_pids(visitor)) == {"1", "2"}, 60, "both are ready")
    before = worker_pids(visitor)
    assert press(visitor, action, 1) == f"/workers?did={action}"
    assert 'role="status"' in visitor.get(f"/workers?did={action}").text
    wait_until(
        lambda: worker_pids(visitor).get("1", before["1"]) != before["1"], 60, "there is another"
    )
    wait_until(lambda: int(before["1"]) not in pids(server), 60, "the old one has ended")
    assert worker_pids(visitor)["2"] == before["2"]
    server.wait_for_output(rf"dashboard: 127.0.0.1 asks: {action} worker 1 of /: {action}", 60)
    assert press(visitor, action, 7) == "/workers?did=not_ready"
    form = {"action": action, "kind": "mount", "place": "/x", "worker": "1"}
    assert visitor.post("/actions", data={**form, "csrf": csrf(visitor)}).status_code == 400


def test_the_last_end_of_a_worker_is_told(server: Hornbeam, visitor: httpx.Client) -> None:
    wait_until(lambda: set(worker_pids(visitor)) == {"1", "2"}, 60, "both are ready")
    pid = worker_pids(visitor)["2"]
    os.kill(int(pid), 9)

    def told() -> bool:
        table, *_ = page(visitor, "/workers").tables.values()
        return any("ended by signal 9" in end for end in column(table, "Last crash"))

    wait_until(told, 60, "it says why")
    crashes = page(visitor, "/workers").tables["Crashes"]
    assert pid in column(crashes, "Pid")


def test_a_worker_is_looked_into(server: Hornbeam, visitor: httpx.Client) -> None:
    wait_until(lambda: set(worker_pids(visitor)) == {"1", "2"}, 60, "both are ready")
    form = {"kind": "mount", "place": "/", "worker": "1", "seconds": "1", "csrf": csrf(visitor)}

    def asked(action: str) -> str:
        answer = visitor.post("/actions", data={**form, "action": action})
        assert answer.status_code == 200, answer.text
        return answer.text

    assert "Thread" in asked("stack") or "thread" in asked("stack")
    assert "<pre" in asked("memory")
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            httpx.get(f"{server.url}/busy", timeout=60)

    with ThreadPoolExecutor(4) as pool:
        load = [pool.submit(busy) for _ in range(4)]
        html = asked("profile")
        while "dashboard_app.py" not in html:  # on a busy machine it may not have had its turn
            html = asked("profile")
        done.set()
        for each in load:
            each.result()
    assert "<svg" in html and " style=" not in html and "<style" not in html
    server.wait_for_output(r"dashboard: 127.0.0.1 asks for: profile of worker 1", 60)
    bad = visitor.post("/actions", data={**form, "action": "profile", "seconds": "301"})
    assert "--seconds is from 1 to 300" in bad.text


def test_routes_are_those_of_the_metrics(server: Hornbeam, visitor: httpx.Client) -> None:
    metrics = server.wait_for_output(r"metrics on (http://\S+)", 60).group(1) + "/metrics"
    httpx.get(f"{server.url}/fail", timeout=60)
    httpx.get(server.url + quote(f"/wait-not{HOSTILE}"), timeout=60)

    def same() -> bool:
        html = visitor.get("/routes?by=failing").text
        assert "<script>" not in html and "<img src=x" not in html
        table = Page(html).tables["Routes since the start"]
        failing = column(table, "Route")[0]
        failed = column(table, "5xx")[0]
        count = 'hornbeam_route_duration_seconds_count{method="GET",route="/fail",status="5xx"} '
        return failing == "/fail" and count + failed + "\n" in httpx.get(metrics, timeout=60).text

    wait_until(same, 60, "both say the same")
    for by in ("slow", "failing", "time", "count", HOSTILE):
        assert visitor.get(f"/routes?by={by}").status_code == 200


def test_websockets_that_have_ended_are_told_by_route(
    server: Hornbeam, visitor: httpx.Client
) -> None:
    for name in "ab":
        with connect(f"{server.url.replace('http', 'ws')}/rooms/{name}", open_timeout=60):
            pass

    def told() -> list[list[str]]:
        return page(visitor, "/routes").tables.get("WebSockets that have ended", [])[1:]

    wait_until(lambda: [row[:2] for row in told()] == [["/rooms/{name}", "2"]], 60, "two")


def test_dev_has_one_on_loopback_and_run_has_none(tmp_path: Path) -> None:
    class Dev(Hornbeam):
        def __init__(self) -> None:
            super().__init__("dashboard_app:app")
            self.command[1] = "dev"

    with Dev() as server:
        url = dashboard_url(server)
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(url, timeout=60).status_code == 200
