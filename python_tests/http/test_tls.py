"""TLS: versions, suites, ALPN, clients' certificates, names, certificates that change."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from harness import ROOT, Hornbeam, StartError
from http_client import H2, Raw, tls_context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates")).create()


@pytest.fixture(scope="module")
def pair(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("localhost")


@pytest.fixture(scope="module")
def server(pair: tuple[Path, Path], authority: Authority) -> Iterator[Hornbeam]:
    other = authority.issue("other.test", kind="rsa")
    wild = authority.issue("*.wild.test")
    with serving(
        pair,
        sni=[f"other.test={other[0]};{other[1]}", f"*.wild.test={wild[0]};{wild[1]}"],
        verify="optional",
        cacertfile=str(authority.cert),
    ) as server:
        yield server


def serving(pair: tuple[Path, Path], **options: Any) -> Hornbeam:
    app = options.pop("app", "http_echo:app")
    return Hornbeam(app, ssl=True, certfile=str(pair[0]), keyfile=str(pair[1]), **options)


def connect(server: Hornbeam, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    return context.wrap_socket(server.connect(), server_hostname=name)


def ask(sock: socket.socket, server: Hornbeam) -> Any:
    connection = Raw(server, sock)
    connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return connection.answer().json()


def subject(sock: ssl.SSLSocket) -> str:
    cert = sock.getpeercert()
    assert cert is not None
    parts: Any = cert["subject"]
    return str(dict(pair for part in parts for pair in part)["commonName"])


def test_the_scope(server: Hornbeam, authority: Authority, pair: tuple[Path, Path]) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    with connect(server, tls_context(str(authority.cert))) as sock:
        scope = ask(sock, server)
        cipher = sock.cipher()
    assert (scope["scheme"], scope["http_version"]) == ("https", "1.1")
    tls = scope["extensions"]["tls"]
    assert cipher is not None
    assert tls["tls_version"] == 0x0304
    assert tls["cipher_suite"] in (0x1301, 0x1302, 0x1303)
    assert tls["server_cert"].split() == pair[0].read_text().split()
    assert (tls["client_cert_chain"], tls["client_cert_name"]) == ([], None)
    assert tls["client_cert_error"] is None


def test_alpn_chooses_the_protocol(server: Hornbeam, authority: Authority) -> None:
    for offered, version in ((["h2", "http/1.1"], "2"), (["http/1.1"], "1.1"), ([], "1.1")):
        with connect(server, tls_context(str(authority.cert), *offered)) as sock:
            if version == "2":
                assert sock.selected_alpn_protocol() == "h2"
                with H2(server, sock) as client:
                    answer = client.answer(client.request("/"))
                    assert answer.json()["http_version"] == "2"
                    assert answer.json()["extensions"]["tls"]["tls_version"] == 0x0304
            else:
                assert ask(sock, server)["http_version"] == "1.1"


def test_http_version_chooses(pair: tuple[Path, Path], authority: Authority) -> None:
    with serving(pair, http_version="HTTP/1.1") as server:
        context = tls_context(str(authority.cert), "h2", "http/1.1")
        with connect(server, context) as sock:
            assert sock.selected_alpn_protocol() == "http/1.1"


def test_a_clients_certificate(server: Hornbeam, authority: Authority) -> None:
    name = "/C=DE/O=Example, Inc./CN=some client"
    cert, key = authority.issue("client", subject=name)
    context = tls_context(str(authority.cert))
    context.load_cert_chain(cert, key)
    with connect(server, context) as sock:
        tls = ask(sock, server)["extensions"]["tls"]
    assert tls["client_cert_name"] == "CN=some client,O=Example\\, Inc.,C=DE"
    assert [pem.split() for pem in tls["client_cert_chain"]] == [cert.read_text().split()]


def test_a_certificate_of_somebody_else(
    server: Hornbeam, authority: Authority, tmp_path: Path
) -> None:
    cert, key = Authority(tmp_path / "other").create().issue("client")
    context = tls_context(str(authority.cert))
    context.load_cert_chain(cert, key)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        ask(connect(server, context), server)


def test_a_certificate_is_required(pair: tuple[Path, Path], authority: Authority) -> None:
    with serving(pair, verify="require", cacertfile=str(authority.cert)) as server:
        context = tls_context(str(authority.cert))
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            ask(connect(server, context), server)
        context.load_cert_chain(*authority.issue("client"))
        with connect(server, context) as sock:
            assert ask(sock, server)["extensions"]["tls"]["client_cert_name"] == "CN=client"


def test_names_have_certificates_of_their_own(server: Hornbeam, authority: Authority) -> None:
    context = tls_context(str(authority.cert))
    for name, expected in (
        ("localhost", "localhost"),
        ("other.test", "other.test"),
        ("a.wild.test", "*.wild.test"),
    ):
        with connect(server, context, name) as sock:
            assert subject(sock) == expected
            assert ask(sock, server)["extensions"]["tls"]["server_cert"]
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server, context, "a.b.wild.test")


def test_old_versions_and_weak_suites_are_refused(server: Hornbeam, authority: Authority) -> None:
    context = tls_context(str(authority.cert))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(server, context) as sock:
        assert sock.version() == "TLSv1.2"
        assert ask(sock, server)["extensions"]["tls"]["tls_version"] == 0x0303
    for suites in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA"):
        context.set_ciphers(suites)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(server, context)
    old = tls_context(str(authority.cert))
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(server, old)


def test_versions_and_ciphers(pair: tuple[Path, Path], authority: Authority) -> None:
    suite = "ECDHE-ECDSA-AES256-GCM-SHA384"
    with (
        serving(pair, versions="tlsv1.2", ciphers=suite) as server,
        connect(server, tls_context(str(authority.cert))) as sock,
    ):
        assert sock.version() == "TLSv1.2"
        cipher = sock.cipher()
        assert cipher is not None and cipher[0] == suite


@pytest.fixture(scope="module")
def rsa(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("localhost", kind="rsa")


def tls_1_2(authority: Authority, ciphers: str = "DEFAULT") -> ssl.SSLContext:
    context = tls_context(str(authority.cert))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


def suite(sock: ssl.SSLSocket) -> str:
    cipher = sock.cipher()
    assert cipher is not None
    return cipher[0]


def test_tls_1_2_with_an_rsa_certificate_is_ecdhe(
    rsa: tuple[Path, Path], authority: Authority
) -> None:
    """DHE costs the server several times as much, and OTP would prefer it."""
    with serving(rsa) as server:
        for ciphers in ("DEFAULT", "DHE+AESGCM:ECDHE+AESGCM", "DHE-RSA-AES128-GCM-SHA256:ALL"):
            with connect(server, tls_1_2(authority, ciphers)) as sock:
                assert suite(sock).startswith("ECDHE-RSA-")
                assert ask(sock, server)["scheme"] == "https"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(server, tls_1_2(authority, "DHE+AESGCM"))
        with connect(server, tls_context(str(authority.cert))) as sock:
            assert sock.version() == "TLSv1.3"


def test_dhe_where_it_is_asked_for(rsa: tuple[Path, Path], authority: Authority) -> None:
    name = "DHE-RSA-AES256-GCM-SHA384"
    with (
        serving(rsa, ciphers=name, versions="tlsv1.2") as server,
        connect(server, tls_1_2(authority)) as sock,
    ):
        assert suite(sock) == name


def test_a_certificate_turns_tls_on(pair: tuple[Path, Path], authority: Authority) -> None:
    cert, key = map(str, pair)
    context = tls_context(str(authority.cert))
    with Hornbeam("http_echo:app", certfile=cert, env={"HORNBEAM_KEYFILE": key}) as server:
        assert server.url.startswith("https://")
        assert httpx.get(server.url, verify=context).status_code == 200
        with server.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert not sock.recv(100).startswith(b"HTTP")
    for given, text in (
        ({"ssl": False, "certfile": cert}, "bad option ssl: is false, but there is a certfile"),
        ({"ssl": False, "keyfile": key}, "bad option ssl: is false, but there is a keyfile"),
        ({"keyfile": key}, "bad option certfile: is needed beside keyfile"),
        ({"sni": f"a={cert};{key}"}, "bad option certfile: is needed beside sni"),
    ):
        with pytest.raises(StartError, match=text), Hornbeam("http_echo:app", **given):
            pass


def test_clear_text_on_a_tls_port_and_the_like(server: Hornbeam, authority: Authority) -> None:
    for garbage in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01", b"\x00" * 100):
        with server.connect() as sock:
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(1000)
            assert not answer.startswith(b"HTTP")
    with connect(server, tls_context(str(authority.cert))) as sock:
        ask(sock, server)
    assert "CRASH" not in server.output


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_kinds_of_keys(authority: Authority, kind: str) -> None:
    with serving(authority.issue("localhost", kind=kind)) as server:
        assert httpx.get(server.url, verify=tls_context(str(authority.cert))).status_code == 200


def test_files_that_cannot_be_used(
    pair: tuple[Path, Path], authority: Authority, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    other = authority.issue("other")
    for cert, key, text in (
        (nothing, pair[1], "there is no certificate in it"),
        (pair[0], nothing, "there is no private key in it"),
        (pair[0], other[1], "the key does not belong to the certificate"),
        (tmp_path / "nowhere", pair[1], "names a file that does not exist"),
    ):
        with pytest.raises(StartError, match=text):
            serving((cert, key)).start()


def test_certificates_are_read_again(authority: Authority, tmp_path: Path) -> None:
    """New handshakes get the new one; an open connection goes on; a bad one changes nothing."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def install(pair: tuple[Path, Path]) -> None:
        shutil.copy(pair[0], cert)
        shutil.copy(pair[1], key)

    install(authority.issue("localhost", subject="/CN=first"))
    context = tls_context(str(authority.cert))
    with Node(cert, key) as node, node.connect(context) as old:
        assert subject(old) == "first"
        install(authority.issue("localhost", subject="/CN=second"))
        assert node.reload() == "ok"
        with node.connect(context) as new:
            assert subject(new) == "second"
            assert b"200 OK" in exchange(new)
        key.write_text("not a key\n")
        assert "no_private_key" in node.reload()
        with node.connect(context) as newer:
            assert subject(newer) == "second"
        assert b"200 OK" in exchange(old)


def exchange(sock: ssl.SSLSocket) -> bytes:
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return sock.recv(65_536)


class Node:
    """A server in an Erlang shell, for what has to be called there."""

    def __init__(self, cert: Path, key: Path) -> None:
        options = (
            f'#{{bind => "127.0.0.1:0", ssl => true, certfile => "{cert}", keyfile => "{key}", '
            f'python => "{ROOT}/.venv/bin/python", '
            f'pythonpath => "{ROOT}/python_tests/apps"}}'
        )
        code = (
            f'{{ok, _}} = hornbeam:start("http_echo:app", {options}), '
            '#{binds := [Url]} = hornbeam:info(), io:format("~ts~n", [Url]), '
            "Loop = fun(F) -> case io:get_line(standard_io, []) of "
            "eof -> hornbeam:stop(), halt(0); "
            '_ -> io:format("~tw~n", [hornbeam:reload_certs()]), F(F) end end, Loop(Loop).'
        )
        paths = [*ROOT.glob("_build/default/lib/*/ebin"), *ROOT.glob(".deps/erlang/lib/*/ebin")]
        self.process = subprocess.Popen(
            ["erl", "-noshell", "-pa", *map(str, paths), "-eval", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line().rsplit(":", 1)[1])

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_about: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0

    def connect(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        sock = socket.create_connection(("127.0.0.1", self.port), 20)
        return context.wrap_socket(sock, server_hostname="localhost")

    def reload(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("reload\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()
