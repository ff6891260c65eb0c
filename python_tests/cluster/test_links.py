"""The links of servers that have a cluster: where they listen, what others can see of secrets, how
a start fails. Who is let in: test/hornbeam_cluster_links_SUITE.erl."""

from __future__ import annotations

import contextlib
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Hornbeam, StartError, wait_until

COOKIE = "a-secret-of-these-tests-alone"
ADDRESSES = ("127.0.0.21", "127.0.0.22")
# What a listening socket has for its state in /proc/net/tcp.
LISTEN = "0A"


class Links:
    """Files and a port for two nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ca: list[str | Path] = [
            ROOT / "bin" / "hornbeam",
            "cluster",
            "ca",
            folder / "ca",
            *ADDRESSES,
        ]
        subprocess.run(ca, check=True, timeout=60, stdout=subprocess.DEVNULL)
        with socket.create_server((ADDRESSES[0], 0)) as free:
            self.port: int = free.getsockname()[1]

    def server(self, number: int, **options: Any) -> Hornbeam:
        address = ADDRESSES[number]
        given = {
            "cluster": "static:" + ",".join(ADDRESSES),
            "cluster_address": address,
            "cluster_port": self.port,
            "cluster_cert": self.folder / "ca" / f"{address}.pem",
            "cluster_key": self.folder / "ca" / f"{address}-key.pem",
            "cluster_ca": self.folder / "ca" / "ca.pem",
            "cluster_dir": self.folder / f"data-{number}",
        }
        given |= options
        flags = {
            key: str(value) for key, value in given.items() if value is not None and key != "env"
        }
        env = {"HORNBEAM_CLUSTER_COOKIE": COOKIE} | options.get("env", {})
        return Hornbeam("http_echo:app", env=env, **flags)

    def listening(self) -> dict[str, str]:
        """Addresses that somebody listens on at the port, and the sockets."""
        found = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
            address, port = local.split(":")
            if state == LISTEN and int(port, 16) == self.port:
                found[socket.inet_ntoa(bytes.fromhex(address)[::-1])] = inode
        return found


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Links:
    return Links(tmp_path_factory.mktemp("links"))


@pytest.fixture(scope="module")
def nodes(links: Links) -> Iterator[tuple[Hornbeam, Hornbeam]]:
    with links.server(0) as one, links.server(1) as two:
        yield one, two


def test_nodes_listen_at_their_own_address_and_are_linked(
    links: Links, nodes: tuple[Hornbeam, Hornbeam]
) -> None:
    assert sorted(links.listening()) == list(ADDRESSES)
    for node, other in (nodes, nodes[::-1]):
        node.wait_for_output(r"its links are TLS, its certificate holds until 20\d\d-\d\d-\d\d")
        address = ADDRESSES[nodes.index(other)]
        node.wait_for_output(rf"cluster: hornbeam@{address} is up")


def test_the_cookie_is_on_no_command_line_and_no_worker_has_it(
    nodes: tuple[Hornbeam, Hornbeam],
) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            assert COOKIE.encode() not in (process / "cmdline").read_bytes()
    for node in nodes:
        assert node.workers()
        for pid in node.workers():
            assert COOKIE.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_no_worker_has_a_socket_of_the_links(
    links: Links, nodes: tuple[Hornbeam, Hornbeam]
) -> None:
    sockets = {f"socket:[{inode}]" for inode in links.listening().values()}
    for node in nodes:
        vm = node.beam()
        for pid in node.descendants():
            held = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
            assert bool(held & sockets) == (pid == vm), pid


def test_what_a_reload_may_change(nodes: tuple[Hornbeam, Hornbeam]) -> None:
    command = [str(ROOT / "bin" / "hornbeam"), "reload", str(nodes[0].beam())]

    def reload(*flags: str) -> str:
        done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    assert reload("--cluster-ready", "--cluster-forget-after=60000") == "reloaded\n"
    for flag in ("--cluster=dns:nodes", "--cluster-port=1", "--cluster-ticktime=2000"):
        name = flag.partition("=")[0].removeprefix("--").replace("-", "_")
        assert f"bad option {name}: cannot be changed by a reload" in reload(flag)


def test_a_server_without_a_cluster_has_no_links(links: Links, tmp_path: Path) -> None:
    address = {"cluster": None, "cluster_address": None, "cluster_dir": None}
    with links.server(0, **address) as server:
        command = Path(f"/proc/{server.beam()}/cmdline").read_bytes()
        assert b"hornbeam_cluster" not in command
        assert "cluster" not in server.output


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"cluster_ca": None, "cluster_cert": None, "cluster_key": None},
            "cluster_cert: is needed",
        ),
        (
            {"env": {"HORNBEAM_ERL_FLAGS": "-proto_dist inet_tcp"}},
            "the links of the cluster cannot be opened: this Erlang VM was not started for them",
        ),
        ({"env": {"HORNBEAM_CLUSTER_COOKIE": "short"}}, "HORNBEAM_CLUSTER_COOKIE: a cookie has"),
    ],
)
def test_starts_that_fail(links: Links, options: dict[str, Any], text: str) -> None:
    server = links.server(0, **{"cluster_port": links.port + 1}, **options)
    with pytest.raises(StartError) as failed:
        server.start()
    assert failed.value.status == 1
    assert text in failed.value.output
    assert COOKIE not in failed.value.output


def test_without_tls_the_log_says_so_and_the_stop_is_clean(links: Links, tmp_path: Path) -> None:
    cookie = tmp_path / "cookie"
    cookie.touch(0o600)
    cookie.write_text(f"{COOKIE}\n")
    none = {"cluster_ca": None, "cluster_cert": None, "cluster_key": None}
    server = links.server(
        0,
        **none,
        cluster_insecure="true",
        cluster_cookie_file=cookie,
        cluster_port=links.port + 1,
        cluster_dir=None,
        data_dir=tmp_path / "above" / "data",
        cluster="static:" + ADDRESSES[0],
    )
    with server:
        server.wait_for_output(r"warning cluster: this node is .* WITHOUT TLS \(cluster_insecure\)")
    assert not re.search(r"(?i)error|killed|unexpected", server.output)
    assert stat.S_IMODE((tmp_path / "above" / "data" / "cluster").stat().st_mode) == 0o700


def test_a_node_that_has_a_name_is_used_as_it_is(links: Links, tmp_path: Path) -> None:
    flags = "-name own@127.0.0.1 -setcookie own -start_epmd false -erl_epmd_port 0"
    with socket.create_server(("127.0.0.1", 0)) as free:
        flags = flags.replace("_port 0", f"_port {free.getsockname()[1]}")
    server = links.server(0, env={"HORNBEAM_ERL_FLAGS": flags}, cluster_dir=tmp_path / "data")
    with server:
        command = Path(f"/proc/{server.beam()}/cmdline").read_bytes()
        assert b"hornbeam_cluster" not in command
        wait_until(lambda: "serving" in server.output, 10, "it serves")
        assert "its links are TLS" not in server.output
