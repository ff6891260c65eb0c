"""Starts three nodes of the application on this machine, and connects them.

    python3 examples/distributed_rpc/run.py

Each node has a loopback address of its own, 127.0.0.1 to 127.0.0.3, and the same port for
distribution, so that no name service (epmd) is needed and nobody but this machine can connect.
Ctrl-C stops all three. On real machines the flags would be `-name a@HOST -setcookie SECRET`.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAMES = ["a@127.0.0.1", "b@127.0.0.2", "c@127.0.0.3"]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(name: str, port: int, cookie: str) -> subprocess.Popen[str]:
    """One node, on an HTTP port that is free."""
    address = name.partition("@")[2]
    flags = (
        f"-name {name} -setcookie {cookie} -start_epmd false -erl_epmd_port {port} "
        f"-kernel inet_dist_use_interface {{{address.replace('.', ',')}}}"
    )
    command = [
        ROOT / "bin" / "hornbeam", "run", "app:app", f"--bind={address}:0", f"--pythonpath={HERE}",
        f"--python={sys.executable}", "--rpc-allow=erlang:node", "--rpc-allow=lists:sum",
        *(f"--cluster-node={other}" for other in NAMES),
    ]  # fmt: skip
    env = {**os.environ, "HORNBEAM_ERL_FLAGS": flags}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def url_of(node: subprocess.Popen[str]) -> str:
    """Waits for the line that names the address."""
    assert node.stdout is not None
    for line in node.stdout:
        if found := re.search(r"^Hornbeam .* on (\S+)", line):
            return found.group(1)
    raise SystemExit("a node did not start")


def main() -> None:
    """Runs until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port, cookie = free_port(), secrets.token_hex(16)
    nodes: list[subprocess.Popen[str]] = []
    try:
        nodes += [start(name, port, cookie) for name in NAMES]
        urls = [url_of(node) for node in nodes]
        for name, url in zip(NAMES, urls, strict=True):
            print(name, url, flush=True)
        for name in NAMES[1:]:  # the rest is transitive
            request = urllib.request.Request(f"{urls[0]}/connect/{name}", method="POST")
            urllib.request.urlopen(request, timeout=10).close()
        print("connected", flush=True)
        for node in nodes:
            node.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait()


if __name__ == "__main__":
    main()
