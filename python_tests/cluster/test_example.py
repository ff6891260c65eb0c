"""examples/cluster: its three processes on this machine, and the files for other machines."""

from __future__ import annotations

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
        wait_until(lambda: "started\n" in self.lines, 60, "all three have started")
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
    one, two, three = (httpx.Client(base_url=url, timeout=20) for url in nodes.urls)

    def written() -> Any:
        return one.put("/notes/today", content="buy milk").status_code == 200

    wait_until(written, 30, "the cluster is there")
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
    wait_until(lambda: two.get("/").json()["there"] == names, 20, "all are there")
    wait_until(lambda: two.get("/").json()["ticks"] > 0, 20, "somebody leads")
    reports = [client.post("/reports/a").json()["token"] for client in (one, two, three)]
    assert reports == sorted(set(reports))
    assert one.post("/say/hello").json() == 3
    heard = {"text": "hello", "from": names[0]}
    wait_until(lambda: heard in three.get("/heard").json(), 10, "it is heard")

    nodes.kill("127.0.0.2")
    assert one.get("/notes/today").json()["text"] == "buy bread"
    wait_until(lambda: three.get("/").json()["there"] == [names[0], names[2]], 20, "it is away")
    nodes.kill("127.0.0.3")
    wait_until(lambda: one.get("/notes/today").status_code == 503, 20, "it is alone")
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


@pytest.mark.skipif(haproxy() is None, reason="haproxy is not installed")
def test_haproxy_takes_its_file() -> None:
    program = shutil.which(haproxy() or "")
    assert program
    command = [program, "-c", "-f", str(EXAMPLE / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
