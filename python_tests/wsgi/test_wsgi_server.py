"""WSGI applications behind a server: what they get, what comes of what they give, their threads.

All are cases of apps/wsgi_cases.py behind wsgiref's validator, which must have found nothing; those
below /raw break PEP 3333 and have no validator.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from apps.wsgi_cases import CASES
from harness import ROOT, Hornbeam, StartError, wait_until
from http_client import H2, Raw
from raw_http import RawClient
from websocket_client import Client

MOUNTS = [
    "/raw=wsgi_cases:raw",
    "/hidden=wsgi_cases:checked;worker_class=wsgi",
    "/hung=wsgi_cases:raw;threads=2;timeout=300;workers=2",
    "/asgi=core_kinds:app",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam(
        "wsgi_cases:app", mount=MOUNTS, window=65_536, request_id=True, shutdown_timeout=600
    ) as server:
        yield server
        assert "AssertionError" not in server.output
        assert "ResourceWarning" not in server.output


@pytest.fixture(scope="module")
def url(server: Hornbeam) -> str:
    return server.url


def get(url: str, **arguments: object) -> httpx.Response:
    return httpx.get(url, timeout=30, **arguments)  # type: ignore[arg-type]


def test_the_start_says_which_are_wsgi(server: Hornbeam) -> None:
    line = next(line for line in server.output.splitlines() if " serving " in line)
    assert "wsgi_cases:app (WSGI), wsgi_cases:raw (WSGI) at /raw" in line
    assert "core_kinds:app at /asgi" in line


# The environ


def test_environ(server: Hornbeam, url: str) -> None:
    headers = {"X-A": "\xe4".encode(), "X_A": b"evil", "Cookie": "a=1", "X-Request-ID": "r1"}
    answer = get(f"{url}/environ/gr%C3%BC%2Fn?q=%20", headers=headers)
    found = answer.json()
    host, port = server.address
    assert found["REQUEST_METHOD"] == "GET"
    assert found["SCRIPT_NAME"] == ""
    assert found["PATH_INFO"] == "/environ/gr\xc3\xbc/n"
    assert found["RAW_URI"] == found["REQUEST_URI"] == "/environ/gr%C3%BC%2Fn?q=%20"
    assert found["QUERY_STRING"] == "q=%20"
    assert found["HTTP_X_A"] == "\xc3\xa4"
    assert found["HTTP_COOKIE"] == "a=1"
    assert found["HTTP_HOST"] == f"{host}:{port}"
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"].isdecimal()) == ("127.0.0.1", True)
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("127.0.0.1", str(port))
    assert (found["SERVER_PROTOCOL"], found["wsgi.url_scheme"]) == ("HTTP/1.1", "http")
    assert found["hornbeam.request_id"] == answer.headers["x-request-id"] == "r1"
    assert found["wsgi.version"] == [1, 0]
    assert "CONTENT_LENGTH" not in found
    kinds = ("multithread", "multiprocess", "run_once", "input_terminated")
    assert [found[f"wsgi.{kind}"] for kind in kinds] == [True, False, False, True]


def test_a_mount_has_its_script_name(url: str) -> None:
    found = get(f"{url}/hidden/environ/a?b").json()
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/hidden", "/environ/a")
    assert found["RAW_URI"] == "/hidden/environ/a?b"
    assert get(f"{url}/hung/environ").json()["wsgi.multiprocess"] is True


def test_http2(server: Hornbeam) -> None:
    with H2(server) as client:
        answer = client.answer(client.request("/environ"))
        found = answer.json()
        assert found["SERVER_PROTOCOL"] == "HTTP/2.0"
        assert found["HTTP_HOST"]
        assert len(client.answer(client.request("/large")).body) == 2_097_152


# The request's body


@pytest.mark.parametrize("how", ["pieces", "all", "lines", "readlines", "readline"])
@pytest.mark.parametrize("chunked", [True, False])
def test_bodies(url: str, how: str, chunked: bool) -> None:
    body = b"".join(b"%d\n" % number for number in range(40_000))[:200_000]
    parts = (body[at : at + 30_000] for at in range(0, len(body), 30_000))
    answer = httpx.post(f"{url}/body?{how}", content=parts if chunked else body)
    assert answer.content == body
    lines = len(body.splitlines())
    expected = {"pieces": 200, "all": 1, "readline": lines}.get(how, lines)
    assert int(answer.headers["x-parts"]) == expected


def test_a_client_that_waits_is_asked_to_go_on(server: Hornbeam) -> None:
    head = (
        b"POST /body?all HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    )
    with RawClient(server.connect()) as client:
        client.send(head)
        assert client.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"body")
        assert client.response().body == b"body"


def test_what_is_not_read_does_no_harm(url: str) -> None:
    with httpx.Client() as client:
        for _ in range(2):
            assert client.post(f"{url}/unread", content=b"x" * 300_000).text == "unread"


# Responses


def test_one_piece_has_its_length(url: str) -> None:
    assert get(f"{url}/raw/told").headers["content-length"].isdecimal()
    assert get(f"{url}/raw/large").headers["content-length"] == "2097152"
    assert get(f"{url}/large").content == bytes(range(256)) * 8192


def test_streams(url: str) -> None:
    answer = get(f"{url}/lazy")
    assert (answer.text, answer.headers["transfer-encoding"]) == ("one two", "chunked")
    assert get(f"{url}/write").text == "written, returned"


def test_heads_can_be_replaced_until_something_was_sent(server: Hornbeam, url: str) -> None:
    answer = get(f"{url}/replaced")
    assert (answer.status_code, answer.text) == (500, "replaced")
    assert "x-first" not in answer.headers
    with pytest.raises(httpx.RemoteProtocolError):
        get(f"{url}/too_late")
    server.wait_for_output("LookupError: too late to tell")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("twice", "RuntimeError: start_response was called before"),
        ("silent", "the application returned without calling start_response: GET /raw/silent"),
        ("raises", "LookupError: raised in the application"),
        ("exits", "SystemExit: 3"),
        ("text", "TypeError: a body consists of bytes, not of str"),
        ("status?OK", "ValueError: a status begins with three digits"),
        ("status?100+Continue", 'ValueError: a final status, like "200 OK", is needed'),
        ("injected", "x-bad"),
    ],
)
def test_what_goes_wrong_is_a_500_and_in_the_log(
    server: Hornbeam, url: str, path: str, text: str
) -> None:
    answer = get(f"{url}/raw/{path}")
    assert (answer.status_code, "x-evil" in answer.headers) == (500, False)
    server.wait_for_output(text.replace("(", r"\("))
    assert get(f"{url}/raw/told").status_code == 200


def test_statuses_and_fields(url: str) -> None:
    assert get(f"{url}/raw/status?299+Any+words").status_code == 299
    assert get(f"{url}/raw/status?204+None").content == b""
    answer = get(f"{url}/raw/fields")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-latin"].encode("latin-1") == b"gr\xfc\xdfe"
    assert "connection" not in answer.headers
    assert (answer.text, answer.headers["content-length"]) == ("fields", "6")


def test_content_length_is_kept_to(server: Hornbeam, url: str) -> None:
    assert get(f"{url}/sized").text == "1234567890"
    assert get(f"{url}/raw/longer").text == "12345"
    with pytest.raises(httpx.RemoteProtocolError):
        get(f"{url}/raw/shorter")
    server.wait_for_output("the response is longer than its content-length: GET /raw/longer")
    server.wait_for_output("the response is shorter than its content-length: GET /raw/shorter")
    said = get(f"{url}/raw/told").text
    assert "closed longer" in said
    assert "closed shorter" in said
    assert "closed sized" in get(f"{url}/told").text


def test_head(url: str) -> None:
    answer = httpx.head(f"{url}/raw/sized")
    assert (answer.content, answer.headers["content-length"]) == (b"", "10")
    assert httpx.head(f"{url}/raw/told").headers["content-length"].isdecimal()
    assert httpx.head(f"{url}/raw/file").headers["content-length"] == "512000"


@pytest.mark.parametrize("how", ["whole", "rest", "unnamed"])
def test_files(url: str, how: str) -> None:
    answer = get(f"{url}/raw/file?{how}")
    content = bytes(range(256)) * 2000
    assert answer.content == (content[500_000:] if how == "rest" else content)
    assert ("content-length" in answer.headers) == (how == "whole")
    if how != "unnamed":
        wait_until(lambda: f"closed file {how}" in get(f"{url}/raw/told").text, 10, "it is closed")


def test_early_hints(server: Hornbeam) -> None:
    with Raw(server) as client:
        client.send(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.answer()
    assert answer.body == b"hinted"
    link = (b"link", b"</style.css>; rel=preload; as=style")
    assert [(status, link in fields) for status, fields in answer.informational] == [(103, True)]


def test_errors_are_in_the_log(server: Hornbeam, url: str) -> None:
    get(f"{url}/errors")
    server.wait_for_output("one of the application's")
    server.wait_for_output("left behind by /errors")


def test_back_pressure_and_a_client_that_goes(server: Hornbeam, url: str) -> None:
    """A generator is not asked for more than the client takes, and closed when that has gone."""
    with RawClient(server.connect()) as client:
        client.send(b"GET /raw/endless HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read(100_000)
        wait_until(lambda: _is_steady(url), 20, "the generator waits")
    wait_until(lambda: "closed endless" in get(f"{url}/raw/told").text, 20, "it is closed")


def _is_steady(url: str) -> bool:
    before = get(f"{url}/raw/told").text
    threading.Event().wait(0.2)
    return before == get(f"{url}/raw/told").text


# Threads


def test_each_request_has_a_thread(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: get(f"{url}/together").text, range(8)))
    assert sorted(answers) == ["0", "0", "1", "1", "2", "2", "3", "3"]


def test_the_shared_state_from_threads(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert [answer.status_code for answer in pool.map(get, [f"{url}/erlang"] * 4)] == [200] * 4
    assert get(f"{url}/erlang").text == "1000"


def test_a_thread_that_hangs_has_504_and_its_worker_goes_when_all_do(
    server: Hornbeam, url: str
) -> None:
    """Two workers with two threads: others are answered meanwhile, by the threads that are left and
    then by new workers; nobody else is lost."""
    before = set(server.workers())
    with ThreadPoolExecutor(4) as pool:
        hung = [pool.submit(get, f"{url}/hung/waits") for _ in range(3)]
        assert [one.result().status_code for one in hung] == [504] * 3
        for _ in range(10):
            assert get(f"{url}/hung/environ").status_code == 200
        assert get(f"{url}/hung/waits").status_code == 504
    server.wait_for_output(r"all threads of this worker \(threads: 2\) hang", 20)
    server.wait_for_output("in waits")
    server.wait_for_output(r"of wsgi_cases:raw has no thread that does not hang and is replaced")
    wait_until(lambda: len(set(server.workers()) - before) >= 1, 20, "its successor is there")
    wait_until(lambda: get(f"{url}/hung/environ").status_code == 200, 20, "it serves")


def test_websockets_are_refused(server: Hornbeam) -> None:
    with Client(server.connect(), "/environ") as client:
        assert client.status == 501


def test_the_asgi_neighbour_is_served(url: str) -> None:
    assert get(f"{url}/asgi/").status_code == 200


def test_there_is_no_lifespan() -> None:
    with (
        pytest.raises(StartError, match="lifespan is on, and a WSGI application has no lifespan"),
        Hornbeam("wsgi_cases:app", lifespan="on"),
    ):
        pass


CHANGING = """
import pathlib, time
def app(environ, start_response):
    path = pathlib.Path(environ["QUERY_STRING"] or "/")
    while not path.exists():
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"multithread: %d" % environ["wsgi.multithread"]]
"""
ASGI = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"asgi"})
"""


def test_a_reload_and_a_stop_let_requests_finish(tmp_path: Path) -> None:
    """Threads and the class may change; what runs is answered by the worker that has it."""
    module, control = tmp_path / "changing.py", str(tmp_path / "control.sock")
    module.write_text(CHANGING)
    command = [str(ROOT / "bin" / "hornbeam"), "reload", "--control", control]
    with (
        Hornbeam("changing:app", pythonpath=str(tmp_path), control=control) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        assert get(server.url).text == "multithread: 1"
        running = pool.submit(get, f"{server.url}?{tmp_path / 'one'}")
        wait_until(lambda: _in_flight(control) == 1, 10, "it is there")
        assert subprocess.run([*command, "--threads", "1"], timeout=60, check=True).returncode == 0
        assert get(server.url).text == "multithread: 0"
        (tmp_path / "one").touch()
        assert running.result().text == "multithread: 1"
        module.write_text(ASGI)
        assert subprocess.run(command, timeout=60, check=True).returncode == 0
        assert get(server.url).text == "asgi"
        module.write_text(CHANGING)
        assert subprocess.run(command, timeout=60, check=True).returncode == 0
        running = pool.submit(get, f"{server.url}?{tmp_path / 'two'}")
        wait_until(lambda: _in_flight(control) == 1, 10, "it is there")
        stopped = pool.submit(server.stop)
        (tmp_path / "two").touch()
        assert (running.result().text, stopped.result()) == ("multithread: 0", 0)


def _in_flight(control: str) -> int:
    command = [str(ROOT / "bin" / "hornbeam"), "status", "--control", control]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "changing:app (WSGI) at /: " in done.stdout
    return int(done.stdout.partition(" in flight")[0].rpartition(" ")[2])


def test_every_case_is_asked_for() -> None:
    source = open(__file__).read()  # noqa: SIM115, PTH123
    assert [name for name in CASES if f"/{name}" not in source and f'("{name}' not in source] == [
        "release"
    ]
