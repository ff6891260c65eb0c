"""HTTP hooks in Erlang (docs/http-hooks.md): one server, whose hooks (http_hooks.erl) do what
fields of a request say, and the same things asked over HTTP/1 and HTTP/2.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import APPS, ROOT, Hornbeam, StartError, wait_until
from http_client import H2, Answer, Raw
from websocket_client import Client
from websocket_http2 import Http2

EBIN = ROOT / "_build" / "default" / "lib" / "hornbeam" / "ebin"
SECOND = "on_request=http_hooks:second;on_response=http_hooks:second_response"
Field = tuple[str, str]

both = pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])


@pytest.fixture(scope="module")
def ebin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled hooks."""
    folder = tmp_path_factory.mktemp("ebin")
    source = ROOT / "python_tests" / "http" / "http_hooks.erl"
    compiler = ["erlc", "-pa", str(EBIN), "+nowarn_missing_spec", "-o", str(folder), str(source)]
    subprocess.run(compiler, check=True)
    return folder


@pytest.fixture(scope="module")
def server(ebin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    files = tmp_path_factory.mktemp("files")
    (files / "large.bin").write_bytes(b"0123456789" * 20_000)
    with Hornbeam(
        None,
        static=f"/files={files}",
        erlang_path=str(ebin),
        http_hooks=["http_hooks", SECOND],
        mount=["/short=hooks_app:app;timeout=200", "/app=hooks_app:app"],
        metrics_bind="127.0.0.1:0",
        control=str(tmp_path_factory.mktemp("control") / "socket"),
        max_body_size=3_000_000,
        access_log="combined",
        graceful_timeout=300,  # for the hook that blocks
    ) as server:
        yield server


def ask(
    server: Hornbeam,
    version: str,
    path: str,
    *fields: Field,
    method: str = "GET",
    body: bytes = b"",
) -> Answer:
    """One request on a connection of its own, which goes on after it."""
    if version == "HTTP/2":
        with H2(server) as client:
            stream = client.request(path, method=method, extra=list(fields), end=not body)
            if body:
                client.connection.send_data(stream, body, end_stream=True)
                client.flush()
            answer = client.answer(stream)
            assert client.answer(client.request("/app/whole")).body == b"whole"
            return answer
    with Raw(server) as raw:
        raw.send(head(path, *fields, method=method, body=body))
        answer = raw.answer(method)
        raw.send(head("/app/whole"))
        assert raw.answer().body == b"whole"
        return answer


def head(path: str, *fields: Field, method: str = "GET", body: bytes = b"") -> bytes:
    length = [("content-length", str(len(body)))] if body else []
    lines = [f"{method} {path} HTTP/1.1", "host: a"]
    lines += [f"{name}: {value}" for name, value in [*fields, *length]]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def values(answer: Answer, name: bytes) -> list[bytes]:
    return [value for key, value in answer.headers if key == name]


def metrics(server: Hornbeam) -> dict[str, float]:
    """The figures of hooks."""
    url = server.wait_for_output(r"metrics on (\S+)").group(1)
    text = httpx.get(url.rstrip(",") + "/metrics").text
    found = re.findall(r"^hornbeam_hook_(\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def logged(server: Hornbeam, path: str) -> str:
    """The lines of the log from the one that tells of a failed hook."""
    server.wait_for_output(rf"{path}: the hook .* failed")
    lines = server.output
    assert len(re.findall(rf" {path}: the hook", lines)) == 1, "logged once"
    return lines[lines.index(f" {path}: the hook") :]


# The request


@both
def test_a_request_that_nothing_is_done_to(server: Hornbeam, version: str) -> None:
    for name in ("nothing", "same", "junk"):
        said = ask(server, version, "/app/x?a=1", ("x-request", name)).json()
        assert (said["method"], said["path"], said["query"]) == ("GET", "/app/x", "a=1")
        assert said["fields"][-1] == ["x-request", name]


@both
def test_everything_of_a_request_can_be_changed(server: Hornbeam, version: str) -> None:
    fields = [("x-request", "change"), ("x-kept", "1")]
    said = ask(server, version, "/app/x?a=1", *fields, method="POST", body=b"kept").json()
    assert (said["method"], said["path"], said["query"]) == ("PUT", "/app/other/A", "b=2")
    assert (said["scheme"], said["client"], said["body"]) == ("https", ["10.0.0.9", 77], "kept")
    assert said["fields"][:2] == [["host", "changed:81"], ["x-first", "1"]]
    assert said["fields"][-1] == ["x-last", "\u00e9"]
    assert [name for name, _ in said["fields"]].count("host") == 1
    assert ["x-kept", "1"] in said["fields"]


def test_a_changed_path_is_routed_anew(server: Hornbeam) -> None:
    answer = ask(server, "HTTP/1.1", "/app/x", ("x-request", "mount"))
    assert answer.body == b"whole"
    assert answer.header(b"x-hooked") == b"GET /short/whole /short undefined"
    nowhere = ask(server, "HTTP/1.1", "/app/x", ("x-request", "nowhere"))
    assert (nowhere.status, nowhere.body) == (404, b"Not Found")


def test_what_clients_send_does_not_pass_for_what_a_hook_adds(server: Hornbeam) -> None:
    spoofed = [("X-User", "eve"), ("x_user", "eve"), ("x-user", "mallory")]
    fields = ask(server, "HTTP/1.1", "/app/x", *spoofed).json()["fields"]
    users = [field for field in fields if field[0].replace("_", "-") == "x-user"]
    assert users == [["x-user", "ada"]]


def test_hooks_see_requests_in_order_and_responses_in_reverse(server: Hornbeam) -> None:
    """Each with a context of its own."""
    answer = ask(server, "HTTP/1.1", "/app/x")
    assert answer.json()["fields"][-2:] == [["x-user", "ada"], ["x-second", "after ada"]]
    added = [(name, value) for name, value in answer.headers if name in (b"x-hooked", b"x-second")]
    assert added == [(b"x-second", b"second_context"), (b"x-hooked", b"GET /app/x /app seen")]


# Replies


@both
def test_a_reply_without_python(server: Hornbeam, version: str) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        answer = ask(server, version, "/app/replied", ("x-request", "reply"), method=method)
        assert answer.status == 403
        assert answer.body == (b"" if method == "HEAD" else b"from a hook")
        assert answer.header(b"content-length") == b"11"
        assert values(answer, b"x-from") == [b"a hook", b"twice"]
        assert answer.header(b"server") == b"hornbeam"
        assert answer.header(b"x-hooked") == f"{method} /app/replied undefined undefined".encode()
    assert "/replied" not in facts(server)["seen"]


def facts(server: Hornbeam) -> Any:
    return httpx.get(f"{server.url}/app/facts").json()


@both
def test_a_reply_with_a_file_and_one_without_a_body(server: Hornbeam, version: str) -> None:
    source = APPS / "hooks_app.py"
    fields = [("x-request", "file"), ("x-file", str(source))]
    answer = ask(server, version, "/app/x", *fields)
    assert (answer.status, answer.body) == (200, source.read_bytes())
    size = str(source.stat().st_size).encode()
    assert ask(server, version, "/app/x", *fields, method="HEAD").header(b"content-length") == size
    empty = ask(server, version, "/app/x", ("x-request", "reply-204"))
    assert (empty.status, empty.body, empty.header(b"content-length")) == (204, b"", None)
    assert len(ask(server, version, "/app/x", ("x-request", "reply-large")).body) == 300_000


@both
def test_files_without_python(server: Hornbeam, version: str) -> None:
    path = "/files/large.bin"
    answer = ask(server, version, path)
    assert (answer.status, answer.body) == (200, b"0123456789" * 20_000)
    assert answer.header(b"x-hooked") == b"GET /files/large.bin undefined seen"
    page = ask(server, version, "/files/none", ("x-error", "page"))
    assert (page.status, page.body) == (405, b"<p>not_found seen")
    assert ask(server, version, path, ("x-request", "reply")).status == 403
    for said in ("204", "304", "crash"):
        answer = ask(server, version, path, ("x-response", said))
        assert (said, answer.status) == (said, 500 if said == "crash" else int(said))


@both
def test_a_reply_to_a_request_with_a_body(server: Hornbeam, version: str) -> None:
    """What is left of the body is read and dropped, so that the connection goes on."""
    answer = ask(
        server, version, "/app/x", ("x-request", "reply"), method="POST", body=b"x" * 16_000
    )
    assert answer.status == 403


def test_bodies_that_are_not_worth_reading(server: Hornbeam) -> None:
    """Too long, or only sent after 100 (Continue): the connection ends after the reply."""
    for fields in (
        [("content-length", "2000000")],
        [("content-length", "5"), ("expect", "100-continue")],
    ):
        with Raw(server) as raw:
            raw.send(head("/app/x", ("x-request", "reply"), *fields, method="POST"))
            answer = raw.answer("POST")
            assert (answer.status, answer.header(b"connection")) == (403, b"close")
            assert raw.rest() == b""
    with Raw(server) as raw:
        raw.send(head("/app/x", ("x-request", "reply-close")))
        assert raw.answer().body == b"bye"
        assert raw.rest() == b""


def test_pipelined_requests(server: Hornbeam) -> None:
    with Raw(server) as raw:
        raw.send(
            head("/app/x", ("x-request", "reply"), method="POST", body=b"0123456789")
            + head("/app/whole")
            + head("/app/x", ("x-request", "crash"))
            + head("/app/whole", ("x-response", "304"))
            + head("/app/x", ("x-request", "reply"))
        )
        assert [raw.answer().status for _ in range(5)] == [403, 200, 500, 304, 403]


# Responses


@both
@pytest.mark.parametrize("path", ["/app/whole", "/app/stream", "/app/file", "/app/early"])
def test_every_kind_of_response_passes_the_hooks(server: Hornbeam, version: str, path: str) -> None:
    plain = ask(server, version, path, ("x-response", "nothing"))
    assert (plain.status, values(plain, b"x-app")) == (200, [b"one", b"two"])
    changed = ask(server, version, path, ("x-response", "drop"))
    assert (changed.status, changed.body) == (200, plain.body)
    assert not values(changed, b"x-app")
    assert values(changed, b"x-second") == [b"second_context"]
    if path == "/app/early":
        assert [status for status, _ in changed.informational] == [103]
        assert not [f for _, fields in changed.informational for f in fields if f[0] == b"x-second"]
    other = ask(server, version, path, ("x-response", "299"))
    assert (other.status, other.body) == (299, plain.body)


@both
@pytest.mark.parametrize("path", ["/app/whole", "/app/stream", "/app/file"])
def test_a_status_without_a_body(server: Hornbeam, version: str, path: str) -> None:
    """RFC 9110, 6.4.1; what the application sends is dropped."""
    for status in (204, 304):
        answer = ask(server, version, path, ("x-response", str(status)))
        assert (answer.status, answer.body) == (status, b"")
    assert ask(server, version, path, ("x-response", "404"), method="HEAD").status == 404


@both
def test_a_status_that_has_a_body_in_place_of_one_that_has_none(
    server: Hornbeam, version: str
) -> None:
    for path in ("/app/status/204", "/app/status/304"):
        for method in ("GET", "HEAD"):
            answer = ask(server, version, path, ("x-response", "200"), method=method)
            assert (answer.status, answer.body) == (200, b"")


# The server's own errors


@both
def test_the_page_of_an_error(server: Hornbeam, version: str) -> None:
    page = ("x-error", "page")
    expected = {
        "/nowhere": (405, b"<p>not_found seen"),
        "/app/boom": (501, b"<p>app_error seen"),
        "/short/hang": (505, b"<p>timeout seen"),
    }
    for path, (status, body) in expected.items():
        answer = ask(server, version, path, page)
        assert (answer.status, answer.body) == (status, body)
        assert answer.header(b"content-type") == b"text/html"
        assert answer.header(b"x-hooked") is not None
        assert ask(server, version, path).status == status - 1
    assert ask(server, version, "/nowhere", page, method="HEAD").header(b"content-length") == b"17"


def test_the_page_for_a_body_that_is_too_large(server: Hornbeam) -> None:
    with Raw(server) as raw:
        large = [("content-length", "3000001"), ("x-error", "page")]
        raw.send(head("/app/x", *large, method="POST"))
        answer = raw.answer("POST")
        assert (answer.status, answer.body) == (414, b"<p>body_too_large seen")
        assert raw.rest() == b""


def test_a_head_that_cannot_be_read_is_no_request(server: Hornbeam) -> None:
    before = metrics(server)['calls_total{stage="on_error"}']
    with Raw(server) as raw:
        raw.send(b"GET / HTTP/1.1\r\nhost: a\r\nx y: z\r\nx-error: page\r\n\r\n")
        answer = raw.answer()
        assert (answer.status, answer.body) == (400, b"Bad Request")
    assert metrics(server)['calls_total{stage="on_error"}'] == before


# WebSocket


def test_a_websocket_before_and_after_python(server: Hornbeam) -> None:
    with Client(server.connect(), "/app/ws/open") as client:
        assert client.status == 101
        assert "x-app: accepted\r\n" in client.head
        assert "x-hooked: GET /app/ws/open /app seen" in client.head
        assert client.read().payload == b"ada"
    with Client(server.connect(), "/app/ws/open", x_response="drop") as client:
        assert client.status == 101
        assert "x-app" not in client.head
    with Client(server.connect(), "/app/ws/open", x_request="reply") as client:
        assert client.status == 403
        assert "x-from: a hook\r\n" in client.head
    for path, status in (("/app/ws/denied", 401), ("/app/ws/refused", 403)):
        with Client(server.connect(), path) as client:
            assert client.status == status
            assert f"x-hooked: GET {path} /app seen" in client.head


def test_a_websocket_whose_hook_fails(server: Hornbeam) -> None:
    """101 is no status to be changed: neither to another one."""
    for how in ("crash", "200", "splits"):
        with Client(server.connect(), "/app/ws/open", x_response=how) as client:
            assert client.status == 500
    with Client(
        server.connect(), "/app/ws/open", x_error="page", Sec_WebSocket_Version="7"
    ) as client:
        assert client.status == 427
        assert "x-hooked: GET /app/ws/open /app seen" in client.head


def test_a_websocket_on_http2(server: Hornbeam) -> None:
    with Http2(server) as client:
        stream = client.open("/app/ws/open")
        assert client.status[stream][":status"] == "200"
        assert client.status[stream]["x-hooked"] == "CONNECT /app/ws/open /app seen"
        assert client.read(stream) == (1, b"ada")
        assert client.status[client.open("/app/ws/open", x_request="reply")][":status"] == "403"
        assert client.status[client.open("/app/ws/open", x_response="crash")][":status"] == "500"


# Failures


@both
@pytest.mark.parametrize("how", ["crash", "clause", "throw", "exit", "crlf", "method", "unknown"])
def test_a_request_whose_hook_fails(server: Hornbeam, version: str, how: str) -> None:
    path = f"/app/fails-{how}-{version[-1]}"
    fields = [("x-request", how), ("x-secret", "do-not-log")]
    answer = ask(server, version, path, *fields)
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert answer.header(b"x-hooked") is None
    text = logged(server, f"GET {path}")
    assert "http_hooks:on_request/1 failed in on_request: " in text
    if how not in ("crlf", "method"):
        assert "http_hooks.erl, line" in text
    assert "do-not-log" not in server.output
    assert path[4:] not in facts(server)["seen"]


@both
@pytest.mark.parametrize(
    "path", ["/app/whole", "/app/stream", "/app/file", "/app/boom", "/nowhere"]
)
def test_a_response_whose_hook_fails(server: Hornbeam, version: str, path: str) -> None:
    """The application's response does not begin; its end is a client that has left."""
    for how in ("crash", "splits", "700"):
        answer = ask(server, version, path, ("x-response", how), ("x-request", "nothing"))
        assert (answer.status, answer.body) == (500, b"Internal Server Error")
        assert not values(answer, b"x-app")
    if path == "/app/stream":
        wait_until(lambda: facts(server)["left"], 10, "the application is told")


@both
def test_a_page_whose_hook_fails(server: Hornbeam, version: str) -> None:
    answer = ask(server, version, "/nowhere", ("x-error", "crash"))
    assert (answer.status, answer.body) == (500, b"Internal Server Error")


def test_a_hook_that_blocks_holds_its_own_connection(server: Hornbeam) -> None:
    with Raw(server) as blocked:
        blocked.send(head("/app/x", ("x-request", "block")))
        assert ask(server, "HTTP/1.1", "/app/whole").status == 200
        assert ask(server, "HTTP/2", "/app/whole").status == 200


# What is told of it


def test_the_metrics(server: Hornbeam) -> None:
    before = metrics(server)
    ask(server, "HTTP/1.1", "/app/x", ("x-request", "reply"))  # and another after it
    ask(server, "HTTP/1.1", "/app/x", ("x-request", "crash"))
    after = metrics(server)
    more = {name: after[name] - before[name] for name in after}
    assert more["replies_total"] == 1
    assert more['calls_total{stage="on_request"}'] == 6
    assert more['failures_total{stage="on_request"}'] == 1
    assert more['calls_total{stage="on_response"}'] == 6
    assert more['failures_total{stage="on_response"}'] == 0
    assert 0 < more['seconds_total{stage="on_request"}'] < 60


def test_the_access_log_has_what_left(server: Hornbeam) -> None:
    ask(server, "HTTP/1.1", "/app/logged-1", ("x-request", "reply"))
    ask(server, "HTTP/1.1", "/app/whole?logged-2", ("x-response", "299"))
    server.wait_for_output(r'"GET /app/logged-1 HTTP/1.1" 403 11 ')
    server.wait_for_output(r'"GET /app/whole\?logged-2 HTTP/1.1" 299 5 ')


# The options


def control(server: Hornbeam) -> str:
    return next(flag for flag in server.command if flag.startswith("--control="))


def reload(server: Hornbeam, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "bin" / "hornbeam"), "reload", control(server), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_reload_changes_the_hooks_of_open_connections(server: Hornbeam, ebin: Path) -> None:
    """And loads the code of a module that was compiled anew. A mistake changes nothing."""
    given = ["--http-hooks=http_hooks", "--http-hooks=on_response=http_hooks:third"]
    with Raw(server) as raw, H2(server) as client:

        def third() -> list[list[bytes]]:
            raw.send(head("/app/whole"))
            over2 = client.answer(client.request("/app/whole"))
            return [values(answer, b"x-third") for answer in (raw.answer(), over2)]

        assert third() == [[], []]
        done = reload(server, "--http-hooks=no_such_module")
        assert done.returncode != 0
        assert "names the module no_such_module, which is in no folder" in done.stderr + done.stdout
        assert third() == [[], []]
        assert reload(server, *given).returncode == 0
        assert third() == [[b"1"], [b"1"]]
        recompile(ebin, '<<"1">>', '<<"2">>')
        assert reload(server, *given).returncode == 0
        assert third() == [[b"2"], [b"2"]]


def recompile(ebin: Path, old: str, new: str) -> None:
    code = (ROOT / "python_tests" / "http" / "http_hooks.erl").read_text()
    changed = code.replace(f'[{{<<"x-third">>, {old}}}]', f'[{{<<"x-third">>, {new}}}]')
    assert changed != code
    source = ebin / "http_hooks.erl"
    source.write_text(changed)
    command = ["erlc", "-pa", str(EBIN), "+nowarn_missing_spec", "-o", str(ebin), str(source)]
    subprocess.run(command, check=True)


def test_a_start_without_the_hook(ebin: Path) -> None:
    with pytest.raises(StartError) as failed:
        Hornbeam("hooks_app:app", erlang_path=str(ebin), http_hooks="http_hooks_gone").start()
    text = "bad option http_hooks: names the module http_hooks_gone, which is in no folder"
    assert text in failed.value.output
