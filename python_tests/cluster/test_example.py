"""examples/cluster: its three processes on this machine, and the files for other machines."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from harness import ROOT, wait_until

from cluster.front import haproxy

EXAMPLE = ROOT / "examples" / "cluster"


class Nodes:
    """nodes.py, with what it has printed."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(EXAMPLE / "nodes.py"), "--port=0", f"--folder={folder}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(lambda: "started\n" in self.lines, 120, "all three have started")
        found = (re.match(r"hornbeam@\S+ (http://\S+)", line) for line in self.lines)
        self.urls = [match.group(1) for match in found if match]

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line)

    def kill(self, address: str) -> None:
        """The VM of one node, and its launcher: as the README says."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"--cluster-address={address}".encode() in command and self._is_mine(entry):
                os.kill(int(entry.name), signal.SIGKILL)

    def _is_mine(self, entry: Path) -> bool:
        try:
            while entry.name not in ("1", "0"):
                if int(entry.name) == self.process.pid:
                    return True
                entry = Path("/proc") / (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            pass
        return False

    def close(self) -> None:
        """All have ended."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)
        self._reader.join(10)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    started = Nodes(tmp_path)
    try:
        yield started
    finally:
        started.close()


def test_what_the_readme_tries(nodes: Nodes) -> None:
    one, two, three = (httpx.Client(base_url=url, timeout=120) for url in nodes.urls)

    def written() -> Any:
        return one.put("/notes/today", content="buy milk").status_code == 200

    wait_until(written, 120, "the cluster is there")
    note = two.get("/notes/today")
    assert note.json()["text"] == "buy milk"
    changed = three.put(
        "/notes/today", content="buy bread", headers={"if-match": note.headers["etag"]}
    )
    assert changed.status_code == 200
    again = one.put("/notes/today", content="no", headers={"if-match": note.headers["etag"]})
    assert again.status_code == 409
    assert [client.post("/visits").json() for client in (one, two, three)] == [1, 2, 3]
    names = [f"hornbeam@127.0.0.{number}" for number in (1, 2, 3)]
    wait_until(lambda: two.get("/").json()["there"] == names, 120, "all are there")
    wait_until(lambda: two.get("/").json()["ticks"] > 0, 120, "somebody leads")
    reports = [client.post("/reports/a").json()["token"] for client in (one, two, three)]
    assert reports == sorted(set(reports))
    assert one.post("/say/hello").json() == 3
    heard = {"text": "hello", "from": names[0]}
    wait_until(lambda: heard in three.get("/heard").json(), 120, "it is heard")

    nodes.kill("127.0.0.2")
    assert one.get("/notes/today").json()["text"] == "buy bread"
    wait_until(lambda: three.get("/").json()["there"] == [names[0], names[2]], 120, "it is away")
    nodes.kill("127.0.0.3")
    wait_until(lambda: one.get("/notes/today").status_code == 503, 120, "it is alone")
    answer = one.put("/notes/today", content="alone")
    assert (answer.status_code, answer.json()) == (503, {"detail": "no quorum"})


def test_the_compose_file_names_options_that_there_are() -> None:
    services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    page = (ROOT / "docs" / "options.md").read_text()
    options = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
    for name in ("node1", "node2", "node3"):
        environment = services[name]["environment"]
        assert {key.removeprefix("HORNBEAM_").lower() for key in environment} <= options
        assert environment["HORNBEAM_CLUSTER_ADDRESS"] in environment["HORNBEAM_CLUSTER"]
        assert environment["HORNBEAM_CLUSTER_ADDRESS"] in str(services[name]["networks"])


def test_the_compose_file_is_one(tmp_path: Path) -> None:
    """By the schema of Compose files, which refuses what is none."""
    text = (EXAMPLE / "compose.yaml").read_text()
    assert is_compose_file(EXAMPLE / "compose.yaml") == ""
    (tmp_path / "compose.yaml").write_text(text.replace("stop_grace_period", "stop_grace"))
    assert "stop_grace" in is_compose_file(tmp_path / "compose.yaml")


def is_compose_file(file: Path) -> str:
    """What is wrong with it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, timeout=120)
    assert "validation" in done.stdout.lower(), done.stderr
    return "" if done.returncode == 0 else done.stdout


def test_the_compose_file_has_what_it_names() -> None:
    compose = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    used = {volume.partition(":")[0] for each in compose["services"].values()
            for volume in each["volumes"] if not volume.startswith(".")}  # fmt: skip
    assert used == set(compose["volumes"])
    files = [volume.split(":")[0] for volume in compose["services"]["haproxy"]["volumes"]]
    assert all((EXAMPLE / file).is_file() for file in files)
    (pool,) = compose["networks"]["nodes"]["ipam"]["config"]
    net = ipaddress.ip_network(pool["subnet"])
    addresses = [each["networks"]["nodes"]["ipv4_address"] for each in compose["services"].values()]
    assert all(ipaddress.ip_address(address) in net for address in addresses)
    assert len(set(addresses)) == len(addresses) == 4
    for address in addresses[:3]:
        assert f"{address}:8000" in (EXAMPLE / "haproxy.cfg").read_text()
        assert address in (EXAMPLE / "compose.yaml").read_text().split("services:")[0]
    ignored = set(addresses[3:])
    assert compose["x-environment"]["HORNBEAM_FORWARDED_ALLOW_IPS"] in ignored


@pytest.mark.parametrize("page", ["clustering.md", "deployment.md"])
def test_the_manifests_for_kubernetes(page: str) -> None:
    """By their schema where `pip install kubernetes-validate` was (110 MB); and what they name."""
    blocks = re.findall(r"```yaml[^\n]*\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    found = [
        each for block in blocks if "apiVersion" in block for each in yaml.safe_load_all(block)
    ]
    assert found
    if importlib.util.find_spec("kubernetes_validate"):
        validate = importlib.import_module("kubernetes_validate").validate
        for manifest in found:
            validate(manifest, "1.31", strict=True)
    options = set(
        re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "options.md").read_text(), re.MULTILINE)
    )
    for manifest in found:
        template = manifest["spec"].get("template")
        if template is not None:
            labels = template["metadata"]["labels"]
            assert manifest["spec"]["selector"]["matchLabels"].items() <= labels.items()
            are_right(template["spec"], manifest["spec"].get("volumeClaimTemplates", []), options)


def are_right(pod: Any, claims: Any, options: set[str]) -> None:
    """Volumes, ports and options that a pod's containers name are there."""
    volumes = {each["name"] for each in pod.get("volumes", [])}
    volumes |= {each["metadata"]["name"] for each in claims}
    for container in pod["containers"]:
        assert {each["name"] for each in container.get("volumeMounts", [])} <= volumes
        ports = {each.get("name", each["containerPort"]) for each in container["ports"]}
        ports |= {each["containerPort"] for each in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        for each in container.get("env", []):
            if each["name"].startswith("HORNBEAM_"):
                assert each["name"].removeprefix("HORNBEAM_").lower() in options


@pytest.mark.skipif(haproxy() is None, reason="haproxy is not installed")
def test_haproxy_takes_its_file() -> None:
    program = shutil.which(haproxy() or "")
    assert program
    command = [program, "-c", "-f", str(EXAMPLE / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
