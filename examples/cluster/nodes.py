"""Starts three nodes of the application on this machine, as one cluster with TLS between them.

    python3 examples/cluster/nodes.py [--folder FOLDER] [--port PORT]

The nodes are at 127.0.0.1 to 127.0.0.3, each with the same two ports: PORT for HTTP and one for the
others. The certificates, the cookie that follows from them and the nodes' data are made in FOLDER,
by default one that is removed at the end. With a FOLDER of its own the cluster goes on where it was
when it is started again. Ctrl-C stops all three.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
HORNBEAM = HERE.parent.parent / "bin" / "hornbeam"
ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


def free_port() -> int:
    """A port that is free now on all three addresses."""
    while True:
        probes = [socket.socket() for _ in ADDRESSES]
        try:
            probes[0].bind((ADDRESSES[0], 0))
            port: int = probes[0].getsockname()[1]
            for probe, address in zip(probes[1:], ADDRESSES[1:], strict=True):
                probe.bind((address, port))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return port


def make_certificates(folder: Path) -> None:
    """An authority and one certificate for each node, unless they are there."""
    if not (folder / "ca.pem").exists():
        command = [HORNBEAM, "cluster", "ca", folder, *ADDRESSES]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def start(address: str, folder: Path, port: int, cluster_port: int) -> subprocess.Popen[str]:
    """One node."""
    command = [
        HORNBEAM, "run", "app:app", f"--pythonpath={HERE}", f"--python={sys.executable}",
        "--channels=app:channels", f"--bind={address}:{port}",
        f"--cluster=static:{','.join(ADDRESSES)}",
        f"--cluster-address={address}",
        f"--cluster-port={cluster_port}",
        f"--cluster-dir={folder / address}",
        f"--cluster-ca={folder / 'ca.pem'}",
        f"--cluster-cert={folder / address}.pem",
        f"--cluster-key={folder / address}-key.pem",
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)


def wait_for(node: subprocess.Popen[str], address: str) -> None:
    """Until it serves; then its output is passed on."""
    assert node.stdout is not None
    for line in node.stdout:
        if found := re.search(r"^Hornbeam .* on (\S+)", line):
            print(f"hornbeam@{address}", found.group(1).rstrip(","), flush=True)
            threading.Thread(target=show, args=(address, node), daemon=True).start()
            return
        print(address, line, end="", flush=True)
    raise SystemExit(f"the node at {address} did not start")


def show(address: str, node: subprocess.Popen[str]) -> None:
    """What a node prints, with its address in front."""
    for line in node.stdout or ():
        print(address, line, end="", flush=True)


def run(folder: Path, port: int) -> None:
    """Until Ctrl-C or SIGTERM."""
    make_certificates(folder)
    cluster_port = free_port()
    nodes: list[subprocess.Popen[str]] = []
    try:
        nodes += [start(address, folder, port, cluster_port) for address in ADDRESSES]
        for node, address in zip(nodes, ADDRESSES, strict=True):
            wait_for(node, address)
        print("started", flush=True)
        for node in nodes:
            node.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait()


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = arguments.port or free_port()
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        run(arguments.folder.resolve(), port)
    else:
        with tempfile.TemporaryDirectory(prefix="hornbeam-cluster-") as folder:
            run(Path(folder), port)


if __name__ == "__main__":
    main()
