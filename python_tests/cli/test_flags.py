"""Flags and variables of uvicorn, gunicorn and the like, as somebody gives them who knows those.

What each of them means is held by EUnit (hornbeam_option_aliases_tests); here a server runs with
the main ones.
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from certificates import Authority
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RemoteSettingsChanged, ResponseReceived
from h2.settings import SettingCodes
from harness import ROOT, Hornbeam, StartError, wait_until

LAUNCHER = str(ROOT / "bin" / "hornbeam")

APP = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        return
    headers = [(b"x-app", b"mine")] if scope["path"] == "/own" else []
    text = os.environ.get(scope["query_string"].decode(), "none").encode()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the module `flags_app` is."""
    (tmp_path / "flags_app.py").write_text(APP)
    return tmp_path


def serving(folder: Path, *flags: str, env: dict[str, str] | None = None) -> Hornbeam:
    """`hornbeam run` with these flags and no other of the kind."""
    server = Hornbeam("flags_app:app", env=env)
    common = ["--python", sys.executable, "--app-dir", str(folder)]
    server.command = [LAUNCHER, "run", "flags_app:app", *common, *flags]
    return server


def variable(server: Hornbeam, name: str) -> str:
    """What the application has in its environment."""
    return httpx.get(f"{server.url}/?{name}").text


def test_host_and_port(folder: Path) -> None:
    with serving(folder, "--host", "localhost", "--port", "0") as server:
        assert server.url.startswith("http://localhost:")
        assert httpx.get(server.url).status_code == 200


def test_uds(folder: Path) -> None:
    path = folder / "web.sock"
    with serving(folder, "--uds", str(path)) as server:
        assert server.url == f"unix:{path}"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://test/").status_code == 200


def test_gunicorn_s_command_line(folder: Path) -> None:
    flags = ["-b", "127.0.0.1:0", "-w2", "-k", "uvicorn.workers.UvicornWorker", "-eFOO=bar"]
    with serving(folder, *flags, "--keep-alive", "2", "--access-logfile", "-") as server:
        assert len(server.workers()) == 2
        assert variable(server, "FOO") == "bar"
        server.wait_for_output(r'"GET /\?FOO HTTP/1.1" 200')


def test_web_concurrency_and_port(folder: Path) -> None:
    platform = {"WEB_CONCURRENCY": "2", "PORT": "0"}
    with serving(folder, env=platform) as server:
        assert server.url.startswith("http://0.0.0.0:")
        assert len(server.workers()) == 2
    ours = {"HORNBEAM_WORKERS": "1", "HORNBEAM_BIND": "127.0.0.1:0"}
    with serving(folder, env=platform | ours) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert len(server.workers()) == 1


def client_of(server: Hornbeam, *, http2: bool) -> httpx.Client:
    return httpx.Client(base_url=server.url, http1=not http2, http2=http2)


BARE = ["--no-server-header", "--no-date-header"]


@pytest.mark.parametrize("http2", [False, True])
def test_headers(folder: Path, *, http2: bool) -> None:
    flags = [
        "--port",
        "0",
        "--header",
        "X-App: default",
        "--header",
        "X-Two:1",
        "--header=x-two: 2",
    ]
    with serving(folder, *flags) as server, client_of(server, http2=http2) as client:
        answer = client.get("/")
        assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        assert answer.headers["x-app"] == "default"
        assert answer.headers.get_list("x-two") == ["1", "2"]
        assert answer.headers["server"] == "hornbeam"
        assert "date" in answer.headers
        # The application's own.
        assert client.get("/own").headers.get_list("x-app") == ["mine"]
        # What the server answers itself.
        refused = client.get("/", headers={"x": "x" * 20000})
        assert (refused.status_code, refused.headers["x-app"]) == (431, "default")


@pytest.mark.parametrize("http2", [False, True])
def test_no_server_header_and_no_date_header(folder: Path, *, http2: bool) -> None:
    bare = serving(folder, "--port", "0", *BARE)
    with bare as server, client_of(server, http2=http2) as client:
        for target in ("/", "/own"):
            assert {"server", "date"}.isdisjoint(client.get(target).headers)
        refused = client.get("/", headers={"x": "x" * 20000})
        assert refused.status_code == 431
        assert {"server", "date"}.isdisjoint(refused.headers)
    with serving(folder, "--port", "0", BARE[0]) as server:
        headers = httpx.get(server.url).headers
        assert ("server" in headers, "date" in headers) == (False, True)


def handshake(server: Hornbeam) -> bytes:
    """What is answered to a WebSocket's handshake over HTTP/1.1."""
    with server.connect() as connection:
        connection.sendall(
            b"GET /?FOO HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096)
        return answer.lower()


def test_headers_of_a_handshake(folder: Path) -> None:
    with serving(folder, "--port", "0", "--header", "x-app:1", *BARE) as server:
        answer = handshake(server)
        assert answer.startswith(b"http/1.1 101 ")
        assert b"\r\nx-app: 1\r\n" in answer
        assert b"\r\nserver:" not in answer
        assert b"\r\ndate:" not in answer


def extended_connect(server: Hornbeam) -> tuple[bool, str]:
    """Whether HTTP/2 offers WebSockets, and the status of one that is asked for all the same."""
    h2 = H2Connection(H2Configuration(client_side=True))
    h2.initiate_connection()
    status, settled = "", False
    fields = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/"}
    with server.connect() as connection:
        connection.sendall(h2.data_to_send())
        while not status:
            for event in h2.receive_data(connection.recv(65536)):
                if isinstance(event, RemoteSettingsChanged) and not settled:
                    settled = True
                    h2.send_headers(1, [*fields.items(), (":authority", "test")])
                elif isinstance(event, ResponseReceived):
                    status = dict(event.headers)[b":status"].decode()
            connection.sendall(h2.data_to_send())
    return h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1, status


def test_ws_none(folder: Path) -> None:
    """As with uvicorn, an upgrade is then a request like others."""
    with serving(folder, "--port", "0", "--ws", "none") as server:
        assert handshake(server).startswith(b"http/1.1 200 ok\r\n")
        assert extended_connect(server) == (False, "501")
    with serving(folder, "--port", "0", "--ws", "websockets") as server:
        assert extended_connect(server) == (True, "200")


def watched(folder: Path, *flags: str, polling: bool) -> Hornbeam:
    """A server with --reload; without watchfiles where it is to look itself."""
    env = {}
    if polling:
        hidden = folder / "hidden"
        hidden.mkdir()
        (hidden / "watchfiles.py").write_text("raise ImportError")
        env["PYTHONPATH"] = str(hidden)
    else:
        pytest.importorskip("watchfiles")
    server = serving(folder, "--port", "0", "--reload", *flags, env=env)
    server.start()
    server.wait_for_output(f"watching.*{'polling' if polling else 'watchfiles'}")
    return server


@pytest.mark.parametrize("polling", [True, False])
def test_reload_dir_include_and_exclude(folder: Path, *, polling: bool) -> None:
    pages, other = folder / "pages", folder / "other"
    for place in (pages / "drafts", other):
        place.mkdir(parents=True)
    flags = ["--reload-dir", str(pages), "--reload-include", "*.html", "--reload-include", ".env"]
    more = ["--reload-exclude", "drafts", "--reload-exclude", "*_tmp.py"]
    server = watched(folder, *flags, *more, polling=polling)
    try:
        # It says that it watches just before it does.
        first = pages / "first.html"

        def noticed() -> bool:
            first.touch()
            return "first.html" in server.output

        wait_until(noticed, 20, "it watches")
        # None of these counts, the last one does.
        for quiet in ("drafts/a.py", "drafts/b.html", "c_tmp.py", "d.txt", ".hidden.py"):
            (pages / quiet).write_text("1")
        (other / "e.py").write_text("1")
        (folder / "flags_app.py").write_text(APP + "\n")
        (pages / "z.html").write_text("1")
        server.wait_for_output(r"changed: .*z\.html")
        server.wait_for_output("server default reloaded")
        (pages / "zz.py").write_text("1")
        server.wait_for_output(r"changed: .*zz\.py")
        (pages / ".env").write_text("A=1")
        server.wait_for_output(r"changed: .*\.env")
        changed = [line for line in server.output.splitlines() if "changed: " in line]
        names = {line.rpartition("/")[2] for line in changed}
        assert names == {"first.html", "z.html", "zz.py", ".env"}
        assert server.stop() == 0
    finally:
        server.kill()


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_an_encrypted_key(folder: Path, kind: str) -> None:
    authority = Authority(folder / "ca").create()
    cert, plain = authority.issue("localhost", kind=kind)
    key = folder / "key.pem"
    encrypt = ["openssl", "pkey", "-in", str(plain), "-aes256", "-passout", "pass:hush"]
    subprocess.run([*encrypt, "-out", str(key)], check=True, capture_output=True)
    flags = ["--port", "0", "--ssl-certfile", str(cert), "--ssl-keyfile", str(key)]
    trusting = ssl.create_default_context(cafile=str(authority.cert))
    with serving(folder, *flags, env={"HORNBEAM_KEYFILE_PASSWORD": "hush"}) as server:
        assert httpx.get(server.url, verify=trusting).status_code == 200


def test_an_encrypted_key_without_its_password(folder: Path) -> None:
    cert, plain = Authority(folder / "ca").create().issue("localhost")
    key = folder / "key.pem"
    encrypt = ["openssl", "pkey", "-in", str(plain), "-aes256", "-passout", "pass:hush"]
    subprocess.run([*encrypt, "-out", str(key)], check=True, capture_output=True)
    flags = ["--port", "0", "--ssl-certfile", str(cert), "--ssl-keyfile", str(key)]
    for more, message in (
        ([], "its key is encrypted, and keyfile_password is not given"),
        (["--ssl-keyfile-password=secret1"], "keyfile_password does not open its key"),
    ):
        with pytest.raises(StartError) as failure:
            serving(folder, *flags, *more).start()
        assert failure.value.status == 1
        assert message in failure.value.output
        assert "secret1" not in failure.value.output


def alone(server: Hornbeam) -> list[int]:
    """Its only worker; nothing while there are several."""
    found = server.workers()
    return found if len(found) == 1 else []


def test_env_file(folder: Path) -> None:
    """Weaker than --env and than the server's own environment; read anew by a reload."""
    file = folder / "my.env"
    file.write_text('# secrets\nexport ONE="a b"\nTWO=file\nTHREE=file # why\n')
    flags = ["--port", "0", "--env-file", str(file), "--env", "TWO=flag"]
    with serving(folder, *flags, env={"THREE": "own"}) as server:
        said = [variable(server, name) for name in ("ONE", "TWO", "THREE")]
        assert said == ["a b", "flag", "own"]
        file.write_text("ONE=new\n")
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_output("server default reloaded")
        wait_until(lambda: variable(server, "ONE") == "new", 10, "it is read")
        # Without its file a worker is tried again, as without its interpreter.
        file.unlink()
        (worker,) = wait_until(lambda: alone(server), 10, "the old one has ended")
        os.kill(worker, signal.SIGKILL)
        server.wait_for_output("env_file names a file that does not exist")
        file.write_text("ONE=back\n")
        assert variable(server, "ONE") == "back"
    file.write_text("ONE=1\nhush\n")
    with pytest.raises(StartError) as failure:
        serving(folder, *flags).start()
    assert failure.value.status == 1
    assert "bad option env_file: has no NAME=VALUE in line 2 of: " in failure.value.output
    assert "hush" not in failure.value.output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--daemon"], "--daemon is not taken here: run it with systemd"),
        (["-t", "30"], "-t is not taken here: use --worker-heartbeat MS"),
        (["--interface", "rsgi"], "--interface rsgi is not taken here: RSGI is granian's own"),
        (["--host", "::1", "-b", ":1"], "--host and --port make one address"),
        (["--limit-concurency", "1"], "did you mean --limit-concurrency?"),
    ],
)
def test_what_cannot_be_had_exits_with_2(flags: list[str], message: str) -> None:
    command = [LAUNCHER, "run", "app:app", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_help_names_the_most_used() -> None:
    done = subprocess.run([LAUNCHER, "help"], capture_output=True, text=True, timeout=60)
    for flag in ("--host", "--port", "--uds", "-b", "-w", "-k", "--timeout-keep-alive", "PORT"):
        assert flag in done.stdout
    assert "docs/coming-from.md" in done.stdout
