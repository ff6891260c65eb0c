"""How nodes find each other, what the others notice when one ends, stops or stands still, what
the commands and figures say of it. Nodes are at 127.0.0.1, 127.0.0.2 and so on, with one port."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import ROOT, Hornbeam, StartError, wait_until
from javascript_places import CHROMEDRIVER, CHROMIUM, chrome

from cluster.dns_server import DnsServer
from dashboard import cells, dashboard_url

COOKIE = "a-secret-of-the-tests-of-the-cluster"


class Node:
    """One node; `server` is its present life."""

    def __init__(self, number: int, folder: Path, port: int, **options: Any) -> None:
        self.address = f"127.0.0.{number}"
        self.name = f"{options.get('cluster_name', 'hornbeam')}@{self.address}"
        self._env = {"HORNBEAM_CLUSTER_COOKIE": COOKIE, **options.pop("env", {})}
        self._folder = folder / f"node{number}"
        self._options: dict[str, Any] = {
            "bind": f"{self.address}:0",
            "metrics_bind": f"{self.address}:0",
            "control": str(folder / f"control{number}"),
            "lifespan": "off",
            "cluster_address": self.address,
            "cluster_port": port,
            "cluster_dir": str(self._folder),
            **({} if "cluster_cert" in options else {"cluster_insecure": True}),
            **options,
        }
        self.server = self._life()

    def _life(self) -> Hornbeam:
        env = {name: text for name, text in self._env.items() if text}
        return Hornbeam("http_echo:app", env=env, **self._options)

    def start(self) -> Node:
        self.server = self._life().start()
        return self

    def end(self) -> None:
        """As a machine that loses power."""
        self.server.kill()

    def get(self, path: str) -> httpx.Response:
        url = self.server.wait_for_output(r"metrics on (\S+)").group(1)
        return httpx.get(url + path, timeout=10)

    def figure(self, name: str, **labels: str) -> float:
        """A metric, or the sum of those with these labels; 0 where there is none."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = re.findall(
            rf"^hornbeam_cluster_{name}(\{{.*\}})? (\S+)$", self.get("/metrics").text, re.M
        )
        return sum(float(value) for found, value in lines if all(each in found for each in wanted))

    def nodes(self, state: str) -> float:
        return self.figure("nodes", state=state)

    def command(self, *arguments: str) -> str:
        """What `hornbeam cluster` prints."""
        command = [str(ROOT / "bin" / "hornbeam"), "cluster", *arguments]
        done = subprocess.run(
            [*command, "--control", self._options["control"]],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout + done.stderr

    def is_up_with(self, count: int) -> None:
        """Waits until so many nodes, itself included, are linked and a majority is there."""
        wait_until(
            lambda: self.nodes("up") == count and self.figure("quorum") == 1,
            20,
            f"{self.name} has {count} nodes",
        )


Make = Callable[..., Node]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_nodes(folder: Path) -> Iterator[Make]:
    """A function that makes nodes with one port; they stop at the end."""
    port = free_port()
    made: list[Node] = []

    def make(number: int, **options: Any) -> Node:
        made.append(Node(number, folder, options.pop("port", port), **options))
        return made[-1]

    try:
        yield make
    finally:
        for node in made:
            print(f"--- output of {node.name} ---", node.server.output, sep="\n")
            node.end()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    yield from make_nodes(tmp_path)


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Three nodes that name each other, over TLS."""
    folder = tmp_path_factory.mktemp("trio")
    addresses = [f"127.0.0.{number}" for number in (1, 2, 3)]
    command = [str(ROOT / "bin" / "hornbeam"), "cluster", "ca", str(folder), *addresses]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    for make in make_nodes(folder):
        nodes = [
            make(
                number,
                cluster=f"static:{','.join(addresses)}",
                cluster_ticktime=1000,
                cluster_ca=str(folder / "ca.pem"),
                cluster_cert=str(folder / f"127.0.0.{number}.pem"),
                cluster_key=str(folder / f"127.0.0.{number}-key.pem"),
                env={"HORNBEAM_CLUSTER_COOKIE": ""},
                **({"dashboard_bind": "127.0.0.1:0"} if number == 1 else {}),
            )
            for number in (1, 2, 3)
        ]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(Node.start, nodes))
        yield nodes


def test_three_nodes_that_name_each_other_are_one_cluster(trio: list[Node]) -> None:
    for node in trio:
        node.is_up_with(3)
    wait_until(lambda: sum(n.figure("leader") for n in trio) == 1, 10, "one of them leads")
    a, b, _ = trio
    assert a.figure("members") == 3
    assert a.figure("term") >= 1
    assert a.figure("link_bytes_total", node=b.name, direction="out") > 100
    assert a.figure("link_bytes_total", node=b.name, direction="in") > 100
    status = a.command("status")
    assert re.search(r"cluster hornbeam \(static:.*\): 3 of 3 nodes up, leader hornbeam@", status)
    assert re.search(rf"{b.name} +up +\d+ s +yes", status)


def test_a_node_that_is_killed_is_noticed_and_comes_back(trio: list[Node]) -> None:
    a, b, c = trio
    c.end()
    for node in (a, b):
        wait_until(lambda n=node: n.nodes("down") == 1, 5, "it is down")  # type: ignore[misc]
        node.is_up_with(2)
        node.server.wait_for_output(rf"{c.name} is down \(its link was closed\)")
    before = a.figure("reconnects_total")
    c.start()
    for node in trio:
        node.is_up_with(3)
    assert a.figure("reconnects_total") == before + 1


@pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: python3 tools/setup.py browser"
)
def test_the_dashboard_shows_each_node_as_it_is(trio: list[Node], tmp_path: Path) -> None:
    """The page of the cluster, that is open all the while, and the number on the overview."""
    a, b, c = trio
    for node in trio:
        node.is_up_with(3)
    browser = chrome(tmp_path / "profile", "--window-size=1200,860", logs=True)
    facts = "return Object.fromEntries([...document.querySelectorAll('#' + arguments[0] + ' dt')]"
    facts += ".map(name => [name.innerText, name.nextElementSibling.innerText]))"

    def states() -> dict[str, str]:
        return {name: row[0] for name, row in cells(browser, "nodes").items()}

    try:
        browser.get(dashboard_url(a.server) + "/cluster")
        up = {a.name: "this one", b.name: "up", c.name: "up"}
        wait_until(lambda: states() == up, 60, "all are up")
        wait_until(
            lambda: [row[2] for row in cells(browser, "nodes").values()] == ["true"] * 3,
            60,
            "each is a member",
        )
        said = browser.execute_script(facts, "cluster")
        assert (said["This node"], said["Majority"]) == (a.name, "true")
        c.end()
        try:
            wait_until(lambda: states() == up | {c.name: "down"}, 60, "one is down")
            # Its link was closed, or by now nothing listens there.
            wait_until(lambda: cells(browser, "nodes")[c.name][-1], 60, "and why")
        finally:
            c.start()
        wait_until(lambda: states() == up, 60, "it is back")
        browser.get(dashboard_url(a.server))
        wait_until(
            lambda: browser.execute_script(facts, "nodes").get("Nodes up") == "3", 60, "three"
        )
        logs = browser.get_log("browser")  # type: ignore[no-untyped-call]
        assert [log["message"] for log in logs] == []
    finally:
        browser.quit()
    for node in trio:
        node.is_up_with(3)


def test_a_node_that_stands_still_is_noticed_in_time(trio: list[Node]) -> None:
    a, b, c = trio
    for node in trio:
        node.is_up_with(3)
    vm = c.server.beam()
    os.kill(vm, signal.SIGSTOP)
    try:
        for node in (a, b):
            node.server.wait_for_output(
                rf"{c.name} is down \(it has said nothing for cluster_ticktime\)", 10
            )
            assert node.figure("quorum") == 1
    finally:
        os.kill(vm, signal.SIGCONT)
    for node in trio:
        node.is_up_with(3)


def test_a_node_that_stops_says_goodbye(trio: list[Node]) -> None:
    a, b, c = trio
    for node in trio:
        node.is_up_with(3)
    seen = len(re.findall(rf"{c.name} is down", a.server.output))
    assert c.server.stop() == 0
    for node in (a, b):
        node.server.wait_for_output(rf"{c.name} is stopping")
        wait_until(lambda n=node: n.nodes("stopped") == 1, 5, "it has stopped")  # type: ignore[misc]
        node.is_up_with(2)
    assert len(re.findall(rf"{c.name} is down", a.server.output)) == seen
    assert a.figure("members") == 3
    c.start()
    for node in trio:
        node.is_up_with(3)


def test_the_commands_change_who_is_a_member(trio: list[Node]) -> None:
    a, _, c = trio
    for node in trio:
        node.is_up_with(3)
    assert "is up; let it leave" in a.command("forget", c.name)
    assert "is a member no longer" in c.command("leave")
    wait_until(lambda: a.figure("members") == 2, 10, "it has left")
    assert "this node has left it" in c.command("status")
    assert c.server.stop() == 0
    c.start()
    for node in trio:
        node.is_up_with(3)
        wait_until(lambda n=node: n.figure("members") == 3, 10, "it has joined")  # type: ignore[misc]
    # One that was forgotten while it was away, and comes back with what it had.
    c.end()
    wait_until(lambda: a.nodes("down") == 1, 5, "it is down")
    assert f"{c.name} is a member no longer" in a.command("forget", c.address)
    wait_until(lambda: a.figure("members") == 2, 10, "it is forgotten")
    c.start()
    c.server.wait_for_output(rf"{c.name} was forgotten by the others, and joins anew")
    for node in trio:
        node.is_up_with(3)
        wait_until(lambda n=node: n.figure("members") == 3, 10, "it is a member")  # type: ignore[misc]


def test_nodes_find_each_other_in_a_folder(make: Make, tmp_path: Path) -> None:
    """And with cluster_ready one is ready only with a majority."""
    folder = tmp_path / "nodes"
    options = {"cluster": f"folder:{folder}", "cluster_size": 2}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        path = str(tmp_path / "notify")
        systemd.bind(path)
        systemd.settimeout(30)
        a = make(1, cluster_ready=True, env={"NOTIFY_SOCKET": path}, **options).start()
        assert a.get("/readyz").status_code == 503
        assert a.get("/healthz").status_code == 200
        assert systemd.recv(4096) == b"STATUS=serving, waiting for a majority of the cluster\n"
        b = make(2, **options).start()
        for node in (a, b):
            node.is_up_with(2)
        assert systemd.recv(4096).startswith(b"READY=1\n")
    assert a.get("/readyz").status_code == 200
    assert b.server.stop() == 0
    assert [file.name for file in folder.iterdir()] == [a.name]
    assert a.get("/readyz").status_code == 503
    assert a.server.stop() == 0


def test_nodes_find_each_other_in_dns(make: Make, tmp_path: Path) -> None:
    """Late ones as well; an answer that does not come changes nothing."""
    with DnsServer() as dns:
        dns.addresses["web.test"] = ["127.0.0.1"]
        options = {"cluster": "dns:web.test", "env": dns.environment(tmp_path)}
        a = make(1, cluster_size=1, **options).start()
        a.is_up_with(1)

        dns.addresses["web.test"].append("127.0.0.2")
        b = make(2, cluster_size=2, **options).start()
        for node in (a, b):
            node.is_up_with(2)
        wait_until(lambda: a.figure("members") == 2, 10, "the late one has a vote")

        dns.addresses["web.test"].clear()
        a.server.wait_for_output(r"who there should be is not known: web.test: .*last answer holds")
        assert a.nodes("up") == 2
        assert re.search("who there should be is not known", a.command("status"))


def test_nodes_are_called_by_the_targets_of_srv_records(make: Make, tmp_path: Path) -> None:
    """So they stay who they are when their addresses change."""
    with DnsServer() as dns:
        port = free_port()
        service = dns.services["_hornbeam._tcp.web.test"] = []
        for number in (1, 2):
            dns.addresses[f"web-{number}.test"] = [f"127.0.0.{number}"]
            service.append((port, f"web-{number}.test"))
        service.append((port + 1, "elsewhere.test"))
        options = {
            "cluster": "srv:_hornbeam._tcp.web.test",
            "cluster_size": 2,
            "env": dns.environment(tmp_path),
            "port": port,
        }
        nodes = [make(number, **options, cluster_address=f"web-{number}.test") for number in (1, 2)]
        for node in nodes:
            node.start()
        for node in nodes:
            node.is_up_with(2)
        a = nodes[0]
        a.server.wait_for_output(rf"elsewhere.test has port {port + 1}, and all nodes have {port}")
        assert a.figure("link_bytes_total", node="hornbeam@web-2.test") > 0


def test_who_does_not_belong_is_refused(make: Make, tmp_path: Path) -> None:
    """One of another cluster, and one with another cookie; and one that is named by a person."""
    a = make(1, cluster="static:127.0.0.1").start()
    a.is_up_with(1)
    everybody = f"static:{a.name},127.0.0.2"
    other = make(2, cluster=everybody, cluster_name="other").start()
    other.server.wait_for_output(rf"{a.name} is refused: it belongs to the cluster \"hornbeam\"")
    a.server.wait_for_output(r"other@127.0.0.2 is refused: it belongs to the cluster \"other\"")
    assert other.nodes("refused") == 1
    other.end()

    stranger = {"HORNBEAM_CLUSTER_COOKIE": "another-secret-than-the-one-that-they-have"}
    options = {"cluster": "static:127.0.0.1,127.0.0.3", "env": stranger}
    wrong = make(3, **options).start()
    wrong.server.wait_for_output(rf"{a.name} is not reached: what answers at its address does not")
    assert wrong.figure("connect_failures_total", reason="not_let_in") >= 1
    wrong.end()

    folder = tmp_path / "nobody"
    late = make(4, cluster=f"folder:{folder}", cluster_size=2).start()
    assert "not founded yet" in late.command("status")
    assert f"connecting to {a.name}" in late.command("join", a.address)
    late.is_up_with(2)
    wait_until(lambda: a.figure("members") == 2, 10, "it is a member")
    for node in (late, a):
        assert node.server.stop() == 0


def test_addresses_where_nobody_is_cost_little(make: Make) -> None:
    """A hundred, one of which is a server that says nothing; who is there is linked at once."""
    port = free_port()
    with socket.create_server(("127.0.0.9", port)):
        nobody = [f"198.51.100.{number}" for number in range(97)]
        everybody = ",".join([*nobody, "127.0.0.1", "127.0.0.2", "127.0.0.9"])
        options = {"port": port, "cluster": f"static:{everybody}", "cluster_size": 2}
        a, b = (make(number, **options).start() for number in (1, 2))
        for node in (a, b):
            wait_until(lambda n=node: n.nodes("up") == 2, 10, "they are linked")  # type: ignore[misc]
        assert a.nodes("down") == 98
        wait_until(lambda: a.figure("connect_failures_total") > 96, 30, "each was tried")
        assert a.command("status").count("down") >= 98
        # 97 tries side by side would be as many more: one has about 250 by itself.
        processes = re.search(r"^hornbeam_beam_processes (\d+)", a.get("/metrics").text, re.M)
        assert processes is not None
        assert int(processes.group(1)) < 400
        a.server.wait_for_output(r"@127.0.0.9 is not reached: what answers at its address", 40)
        lines = re.findall(r"@(198\S+) is not reached", a.server.output)
        assert len(lines) == len(set(lines))


def test_a_start_fails_with_what_to_do() -> None:
    options = {"cluster_insecure": True, "cluster_dir": "/proc/x", "cluster_port": free_port()}
    env = {"HORNBEAM_CLUSTER_COOKIE": COOKIE}
    for cluster, text in [
        ("static:127.0.0.1,127.0.0.2", r"are this machine's \(127.0.0.1, 127.0.0.2\)"),
        ("static:192.0.2.77", r"none of the nodes' addresses \(192.0.2.77\) is this machine's"),
        ("static:127.0.0.1", r"cluster does not start: the folder /proc/x of cluster_dir cannot"),
    ]:
        server = Hornbeam("http_echo:app", env=env, cluster=cluster, **options)
        with pytest.raises(StartError, match=text) as error:
            server.start()
        assert error.value.status == 1
        assert "crash" not in error.value.output.lower()
