"""The short form of `make chaos`: two minutes of load with faults of all kinds. Clients and
faults rest between what they do, since the other suites run beside it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from harness import ROOT

CHAOS = [sys.executable, str(ROOT / "bench" / "chaos.py"), "--seconds", "120", "--pause", "0.5"]


@pytest.mark.timeout(600)
def test_chaos() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python_tests")}
    done = subprocess.run(CHAOS, capture_output=True, text=True, timeout=590, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
