"""The short forms of `make chaos-cluster`: one run, and a rolling restart behind HAProxy.

Nothing here depends on how fast anything is: times that are waited for are ten times as long.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from harness import ROOT

from cluster.front import haproxy
from cluster.network import Network, NoNetworkError

CHAOS = [sys.executable, str(ROOT / "bench" / "chaos_cluster.py")]


def played(*arguments: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python_tests")}
    command = [*CHAOS, *arguments, "--rest", "0.1", "--patience", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=env)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_chaos() -> None:
    try:
        with Network(1):
            pass
    except NoNetworkError as error:
        pytest.skip(str(error))
    played("--runs", "1", "--seconds", "15")


@pytest.mark.skipif(haproxy() is None, reason="haproxy is not installed")
def test_nodes_that_end_in_turn() -> None:
    """By SIGKILL, then by SIGTERM: a rolling restart."""
    played("--kill-each", "--rolling", "--seconds", "1")
